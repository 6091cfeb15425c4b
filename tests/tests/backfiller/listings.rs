//! Listings that are too large, or no listings at all.

use tests::node::Node;
use tests::origin::{Fault, Framing, Hold, Resource};

use super::peer::ScriptedPeer;
use super::{CHANNEL, HOUR, SOON, names, run_once, start};

#[tokio::test]
async fn an_hour_without_a_proper_list_does_not_hide_the_others() {
    let table = [
        (Fault::status(500), "answered 500"),
        (
            Fault::answer(Resource::text("<html>")),
            "is not a list of names",
        ),
        (
            Fault::answer(Resource::text("{\"a\": 1}")),
            "expected a JSON array of strings",
        ),
        (
            Fault::answer(Resource::text("[1, 2]")),
            "invalid type: integer",
        ),
        (Fault::cut_after(3), "broke off"),
        (Fault::stall_after(3, Hold::Forever), "did not end in 2s"),
        (Fault::stall_head(Hold::Forever), "did not answer in 500ms"),
        (Fault::reset(), "no response from"),
        (
            Fault::endless(100 << 20),
            "is larger than the 67108864 bytes",
        ),
        (
            Fault::answer(Resource::text(format!("[{}\"\"]", "\"\",".repeat(300_000)))),
            "more than 250000 names",
        ),
    ];
    for (fault, reason) in table {
        let node = Node::new("b");
        let peer = ScriptedPeer::start().await;
        let old = "2026-01-02T02";
        let (newer, older) = (peer.add(HOUR, 0, 0), peer.add(old, 0, 1));
        for n in 0..1000 {
            peer.list(
                HOUR,
                &format!("{n} is a long enough name to make the list a large one"),
            );
        }
        peer.origin
            .always(format!("/files/{CHANNEL}/source/{HOUR}"), fault);
        let (service, code) = run_once(&node, &[&peer], &["--stall-timeout", "0.5"]).await;
        assert_eq!(code, Some(1), "{reason}");
        let line = service.wait_for_log("round failed", SOON).await;
        assert!(line.contains(reason), "{line}");
        assert!(line.contains("segments=1"), "{line}");
        assert!(names(&node, HOUR).is_empty(), "{newer}");
        assert_eq!(names(&node, old), [older]);
        service
            .wait_for_log("not everything was fetched", SOON)
            .await;
    }
}

#[tokio::test]
async fn memory_stays_bounded_by_a_listings_limit() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let good = peer.add(HOUR, 0, 0);
    let list = |count| {
        let body = format!("[{}\"\"]", "\"x\",".repeat(count));
        let fault = Fault::answer(Resource::new("application/json", body));
        fault.framed(Framing::Chunked)
    };
    peer.origin.always("/files/test/720p", list(240_000));
    // 100 MB, and the peer does not say so beforehand.
    peer.origin.always("/files/test/480p", list(25_000_000));
    let extra = ["--qualities", "480p,720p,source"];
    let service = start(&node, &[&peer], &extra).await;
    service.wait_for_log("round failed", SOON).await;
    assert_eq!(names(&node, HOUR), [good]);
    // A name that is listed 240,000 times is still one name.
    assert_eq!(service.count_log("left a bad name"), 2);
    let status = format!("/proc/{}/status", service.id().unwrap());
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().strip_suffix(" kB").unwrap();
    let peak: u64 = peak.parse().unwrap();
    assert!(peak < 200_000, "{peak} kB");
}

#[tokio::test]
async fn silence_hides_neither_another_quality_nor_another_hour() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let names_there: Vec<String> = (0..6)
        .map(|n| peer.add(&format!("2026-01-02T0{n}"), 0, n))
        .collect();
    peer.origin.always("/files/test/720p", Fault::reset());
    // Newest first: two that are silent, one that answers, and then three.
    for silent in [0, 1, 2, 4, 5] {
        let path = format!("/files/{CHANNEL}/source/2026-01-02T0{silent}");
        peer.origin.always(path, Fault::reset());
    }
    let extra = ["--qualities", "720p,source"];
    let (service, code) = run_once(&node, &[&peer], &extra).await;
    assert_eq!(code, Some(1));
    service.wait_for_log("round failed", SOON).await;
    assert_eq!(names(&node, "2026-01-02T03"), names_there[3..4]);
    let asked = |hour: u32| {
        peer.origin
            .count(&format!("/files/{CHANNEL}/source/2026-01-02T0{hour}"))
    };
    assert!(asked(2) > 0 && asked(0) > 0);
}
