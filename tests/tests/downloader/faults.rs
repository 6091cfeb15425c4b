//! An origin that fails in every way, and segments that come all the same.

use std::time::Duration;

use tests::content::ts_bytes;
use tests::origin::{Fault, Framing, Hold, LiveOptions, Log, Matching, NewSegment, Resource};

use super::{SOON, Scene, wait_for_metric};

const LABELS: [(&str, &str); 2] = [("channel", "test"), ("quality", "source")];

#[tokio::test]
async fn cut_in_the_middle_is_kept_as_partial_and_then_the_full_one_wins() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let segment = scene.stream.push(300_000);
    scene
        .origin
        .next(1, segment.path.as_str(), Fault::cut_after(100_000));
    // Shorter than what is there: not worth a file.
    scene
        .origin
        .next(1, segment.path.as_str(), Fault::cut_after(50_000));
    scene
        .origin
        .next(1, segment.path.as_str(), Fault::reset_after(200_000));
    let downloader = scene.record().await;
    scene.expect(std::slice::from_ref(&segment)).await;
    let partial = scene.of_type("partial");
    let hash = tests::content::sha256_base64(&segment.content[..100_000]);
    assert!(
        partial.iter().any(|name| name.contains(&hash)),
        "{partial:?}"
    );
    assert!(partial.len() <= 2, "{partial:?}");
    for (kind, count) in [("full", 1), ("partial", partial.len())] {
        let (name, labels) = ("segments_downloaded_total", [("type", kind)]);
        wait_for_metric(&downloader, name, &labels, count as f64).await;
    }

    // The restreamer serves the full one.
    let mut node = scene.node;
    node.start_restreamer().await;
    let playlist = node.get("/playlist/test/source.m3u8").await.text();
    assert!(
        playlist.contains("-full-") && !playlist.contains("-partial-"),
        "{playlist}"
    );
}

#[tokio::test]
async fn every_fault_of_a_segment_is_overcome() {
    let faults = [
        Fault::status(500),
        Fault::status(429),
        Fault::reset(),
        Fault::hang_up(),
        Fault::cut_after(0),
        Fault::reset_after(1),
        Fault::stall_head(Hold::Forever),
        Fault::stall_after(5000, Hold::Forever),
        Fault::declare_length(1_000_000),
        Fault::none().dripping(2000, Duration::from_millis(20)),
        Fault::none().framed(Framing::UntilClose),
    ];
    let mut scene = Scene::new(LiveOptions {
        window: faults.len(),
        ..LiveOptions::default()
    })
    .await;
    let mut all = Vec::new();
    for (seed, fault) in faults.into_iter().enumerate() {
        let content = ts_bytes(seed as u64, 20_000);
        let segment = scene.stream.push_segment(NewSegment::new("2.000", content));
        scene.origin.next(1, segment.path.as_str(), fault);
        all.push(segment);
    }
    let _downloader = scene.record().await;
    scene.expect(&all).await;
}

#[tokio::test]
async fn a_late_head_or_body_does_not_wait_for_its_end() {
    // In fast time another attempt starts after 0.5 s, and 1.5 s for the body; the first one
    // would be given up only after 6 s and 24 s.
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    scene
        .origin
        .next(1, all[0].path.as_str(), Fault::stall_head(Hold::Forever));
    scene.origin.next(
        1,
        all[1].path.as_str(),
        Fault::stall_after(100, Hold::Forever),
    );
    let begun = tokio::time::Instant::now();
    let _downloader = scene.record().await;
    scene.expect(&all).await;
    // Far below the hard timeouts, however busy the machine.
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        all.iter()
            .all(|segment| scene.origin.count(&segment.path) == 2)
    );
    all.extend(scene.push(1));
    scene.expect(&all).await;
}

/// Six attempts wait for a head, which comes late, but before it would be given up: what then
/// comes in is not cut off at that time.
#[tokio::test]
async fn what_comes_in_is_not_cut_off_because_its_head_was_late() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let segment = scene.stream.push(4000);
    // In fast time a head may take 6 s; the sixth attempt begins after 2.5 s.
    let slow = Fault::delay(Duration::from_millis(3500)).dripping(100, Duration::from_millis(100));
    scene.origin.always(segment.path.as_str(), slow);
    let downloader = scene.record().await;
    // 7.5 s after it was first asked for: it is as doubtful as all that took so long.
    tests::eventually(SOON, "the segment", async || {
        let all = scene.node.files("test", "source");
        let whole = all.keys().any(|name| name.contains("-suspect-"));
        whole.then_some(()).ok_or(format!("{all:?}"))
    })
    .await;
    assert_eq!(scene.origin.count(&segment.path), 6);
    assert_eq!(scene.of_type("partial").len(), 0);
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.sum("segments_lost_total", &LABELS), 0.0);
}

#[tokio::test]
async fn what_is_gone_is_lost_with_a_reason_and_holds_nothing_up() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    let gone = scene
        .stream
        .push_segment(NewSegment::new("2.000", ts_bytes(9, 10)).missing());
    all.extend(scene.push(2));
    let downloader = scene.record().await;
    scene.expect(&all).await;
    let line = downloader.wait_for_log("lost a segment", SOON).await;
    assert!(line.contains("404") && line.contains(&gone.path), "{line}");
    assert_eq!(scene.origin.count(&gone.path), 1);
    let metrics = downloader.metrics().await;
    let reason = [("reason", "404"), LABELS[0], LABELS[1]];
    assert_eq!(metrics.get("segments_lost_total", &reason), Some(1.0));
}

/// A cache that answers with the part that somebody else had asked for.
#[tokio::test]
async fn a_part_that_nobody_asked_for_is_not_the_segment() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(2);
    for (segment, length) in [(&all[0], 400), (&all[1], 10_000)] {
        let range = format!("bytes 0-{}/10000", length - 1);
        let body = segment.content.slice(..length);
        let part = Resource::new("video/mp2t", body).status(206);
        let part = Fault::answer(part.header("Content-Range", &range));
        scene.origin.next(1, segment.path.as_str(), part);
    }
    let _downloader = scene.record().await;
    scene.expect(&all).await;
    // What says that it is all is all.
    let asked = [&all[0], &all[1]].map(|segment| scene.origin.count(&segment.path));
    assert_eq!(asked, [2, 1]);
}

#[tokio::test]
async fn an_empty_body_is_suspect_and_not_the_last_word() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(1);
    let fault = Fault::silent_end_after(0, Framing::Length);
    scene.origin.next(2, all[0].path.as_str(), fault);
    let _downloader = scene.record().await;
    scene.expect(&all).await;
    let suspect = scene.of_type("suspect");
    assert_eq!(suspect.len(), 1, "{suspect:?}");
}

#[tokio::test]
async fn what_took_a_minute_is_suspect() {
    // In fast time a minute is 5.9 s.
    let mut scene = Scene::new(LiveOptions::default()).await;
    let segment = scene.stream.push(10_000);
    // Every attempt is as slow: 20 pieces with a pause of 350 ms after each.
    let slow = Fault::none().dripping(500, Duration::from_millis(350));
    scene.origin.always(segment.path.as_str(), slow);
    let _downloader = scene.record().await;
    tests::eventually(SOON, "a suspect segment", async || {
        let suspect = scene.of_type("suspect");
        (suspect.len() == 1)
            .then_some(())
            .ok_or(format!("{suspect:?}"))
    })
    .await;
    assert!(scene.full().is_empty());
}

#[tokio::test]
async fn a_failing_playlist_costs_nothing_while_it_still_lists_the_segments() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    let downloader = scene.record().await;
    scene.expect(&all).await;
    let path = scene.stream.path();
    let html = tests::origin::Resource::text("<html>sorry</html>");
    for fault in [
        Fault::status(500),
        Fault::reset(),
        Fault::stall_head(Hold::Forever),
        Fault::stall_after(20, Hold::Forever),
        Fault::cut_after(30),
        Fault::answer(html),
    ] {
        let rule = scene.origin.next(1, path.as_str(), fault);
        all.extend(scene.push(2));
        scene.expect(&all).await;
        assert_eq!(scene.origin.uses(rule), 1);
    }
    let metrics = downloader.metrics().await;
    assert!(metrics.sum("playlist_fetch_failures_total", &LABELS) >= 3.0);
    assert_eq!(metrics.sum("segments_missed_total", &LABELS), 0.0);
}

#[tokio::test]
async fn segments_that_nobody_saw_are_counted() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    let downloader = scene.record().await;
    scene.expect(&all).await;
    let rule = scene.origin.always(scene.stream.path(), Fault::status(500));
    scene.push(10);
    all.extend(scene.push(6));
    scene.origin.remove_rule(rule);
    scene.expect(&all).await;
    let missed = downloader
        .metrics()
        .await
        .sum("segments_missed_total", &LABELS);
    assert_eq!(missed, 10.0);
    downloader
        .wait_for_log("segments left the playlist unseen", SOON)
        .await;
}

#[tokio::test]
async fn connections_are_used_again() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    let _downloader = scene.record().await;
    for _ in 0..10 {
        all.extend(scene.push(1));
        scene.expect(&all).await;
    }
    let enough = |log: &Log| log.count("/live/playlist.m3u8") > 20;
    scene.origin.wait_for(SOON, enough).await.unwrap();
    let log = scene.origin.log();
    assert!(
        log.connections() <= 4,
        "{} of {}",
        log.connections(),
        log.len()
    );
}

#[tokio::test]
async fn too_many_at_once_wait_their_turn() {
    let mut scene = Scene::new(LiveOptions {
        window: 200,
        ..LiveOptions::default()
    })
    .await;
    let all = scene.push(200);
    let gate = tests::origin::Gate::new();
    let held = Fault::stall_head(Hold::Until(gate.clone()));
    scene.origin.always(Matching::suffix(".ts"), held);
    let _downloader = scene.record().await;
    let waiting = |log: &Log| {
        let asked: std::collections::HashSet<_> = log
            .iter()
            .filter(|e| e.request.path.ends_with(".ts"))
            .map(|e| &e.request.path)
            .collect();
        asked.len() == 64
    };
    scene.origin.wait_for(SOON, waiting).await.unwrap();
    // Some seconds of the stream later there are still no more.
    let polls = scene.origin.count(&scene.stream.path());
    let later = |log: &Log| log.count("/live/playlist.m3u8") > polls + 5;
    scene.origin.wait_for(SOON, later).await.unwrap();
    assert!(waiting(&scene.origin.log()));
    gate.open();
    scene.expect(&all).await;
}

#[tokio::test]
async fn segments_that_fail_hold_no_others_up() {
    let mut scene = Scene::new(LiveOptions {
        window: 110,
        ..LiveOptions::default()
    })
    .await;
    let failing: Vec<String> = scene.push(100).into_iter().map(|s| s.path).collect();
    let is_failing = Matching::by(move |request| failing.contains(&request.path));
    scene.origin.always(is_failing, Fault::status(503));
    let mut all = scene.push(5);
    let _downloader = scene.record().await;
    scene.expect(&all).await;
    all.extend(scene.push(3));
    scene.expect(&all).await;
}

#[tokio::test]
async fn segments_that_hang_hold_no_others_up_and_are_lost_in_the_end() {
    let mut scene = Scene::new(LiveOptions {
        window: 110,
        ..LiveOptions::default()
    })
    .await;
    let hanging: Vec<String> = scene.push(80).into_iter().map(|s| s.path).collect();
    let paths = hanging.clone();
    let hangs = Matching::by(move |request| paths.contains(&request.path));
    scene.origin.always(hangs, Fault::stall_head(Hold::Forever));
    let mut all = scene.push(5);
    // A fiftieth of all times: a head may take 1.2 s, and a segment is lost after 24 s.
    let channel = format!("test:url:{}", scene.stream.url());
    let fast = ["--time-scale", "0.02"];
    let downloader = scene.node.start_downloader(&channel, &fast).await;
    scene.expect(&all).await;
    all.extend(scene.push(3));
    scene.expect(&all).await;
    tests::eventually(
        Duration::from_secs(90),
        "all that hang to be lost",
        async || {
            let late = [("reason", "late")];
            let lost = downloader.metrics().await.sum("segments_lost_total", &late);
            (lost == hanging.len() as f64)
                .then_some(())
                .ok_or(format!("{lost}"))
        },
    )
    .await;
}

#[tokio::test]
async fn an_init_section_that_comes_late_loses_nothing() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let init = ts_bytes(1, 700);
    scene.stream.set_init_at("URI=\"late.mp4\"", init.clone());
    let all = scene.push(3);
    let _downloader = scene.record().await;
    let asked = |log: &Log| log.count("/live/late.mp4") >= 3;
    scene.origin.wait_for(SOON, asked).await.unwrap();
    scene.origin.put("/live/late.mp4", init, "video/mp4");
    scene.expect(&all).await;
}

#[tokio::test]
async fn an_init_section_that_is_gone_loses_its_segments_and_holds_no_others_up() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    scene
        .stream
        .set_init_at("URI=\"gone.mp4\"", ts_bytes(1, 10));
    scene.push(3);
    scene.stream.set_init(ts_bytes(2, 700));
    let all = scene.push(3);
    let downloader = scene.record().await;
    scene.expect(&all).await;
    tests::eventually(SOON, "three losses", async || {
        let lost = downloader
            .metrics()
            .await
            .sum("segments_lost_total", &[("reason", "404")]);
        (lost == 3.0).then_some(()).ok_or(format!("{lost}"))
    })
    .await;
}
