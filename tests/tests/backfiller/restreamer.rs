//! Against the real restreamer.

use tests::content::ts_bytes;
use tests::node::Node;
use tests::origin::Fault;

use super::peer::{ScriptedPeer, path, segment_name};
use super::{CHANNEL, HOUR, SOON, put};

#[tokio::test]
async fn two_nodes_hold_the_same_after_a_round_each_way() {
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    for second in 0..60 {
        let content = ts_bytes(second.into(), 50_000);
        let kind = ["full", "full", "suspect", "partial"][second as usize % 4];
        let name = segment_name(second * 2, kind, &content);
        let hour = ["2026-01-02T03", "2026-01-02T04"][second as usize % 2];
        for node in [(&a, second % 3), (&b, (second + 1) % 3)] {
            if node.1 != 0 {
                put(node.0, hour, &name, &content);
            }
        }
    }
    // Nobody's business: hidden by a tombstone, hidden by a dot, being written.
    let content = ts_bytes(1000, 1000);
    let buried = segment_name(1000, "full", &content);
    put(&a, HOUR, &buried, &content);
    put(&a, HOUR, &buried.replace(".ts", ".tombstone"), b"");
    put(&a, HOUR, &format!(".{buried}"), &content);
    let temp = "00:40.000000-2.0-temp-1b4e28ba-2fa1-41d2-883f-0016d3cca427.ts";
    put(&a, HOUR, temp, b"half");
    let files_of_a = a.files(CHANNEL, "source");
    a.start_restreamer().await;
    b.start_restreamer().await;
    for (node, peer) in [(&b, &a), (&a, &b)] {
        let peers = [peer.restreamer_url()];
        let mut service = node
            .start_backfiller(CHANNEL, &peers, &["--run-once"])
            .await;
        assert_eq!(service.wait(SOON).await.code(), Some(0));
        assert_eq!(service.count_log("WARN"), 0);
    }
    let (mut at_a, at_b) = (a.files(CHANNEL, "source"), b.files(CHANNEL, "source"));
    for (name, hash) in &files_of_a {
        assert_eq!(at_a.get(name), Some(hash), "{name}");
    }
    // The tombstone has spread, what it hides has not.
    at_a.retain(|name, _| !name.contains(&buried) && !name.ends_with(temp));
    assert_eq!(at_a.len(), 61);
    assert_eq!(at_a, at_b);
}

#[tokio::test]
async fn what_a_bad_peer_fails_at_comes_from_a_good_one() {
    let (mut a, b) = (Node::new("a"), Node::new("b"));
    let bad = ScriptedPeer::start().await;
    for second in 0..20 {
        let name = bad.add(HOUR, second * 2, second.into());
        put(&a, HOUR, &name, &ts_bytes(second.into(), 20_000));
        let fault = match second % 4 {
            0 => Fault::cut_after(100),
            1 => Fault::status(503),
            2 => Fault::answer(tests::origin::Resource::text("another content")),
            _ => Fault::none(),
        };
        bad.origin.always(path(HOUR, &name), fault);
    }
    a.start_restreamer().await;
    let peers = [bad.origin.url(""), a.restreamer_url()];
    let mut service = b.start_backfiller(CHANNEL, &peers, &["--run-once"]).await;
    assert_eq!(service.wait(SOON).await.code(), Some(0));
    assert_eq!(b.files(CHANNEL, "source"), a.files(CHANNEL, "source"));
    assert!(b.temp_files().is_empty());
}
