//! One worker relieves another: URLs that expire, streams that end and begin again.

use tests::content::ts_bytes;
use tests::eventually;
use tests::node::Service;
use tests::origin::{
    Dates, Fault, LiveOptions, LiveStream, Log, MasterPlaylist, NewSegment, Published,
};

use super::{FAST, SOON, Scene};

/// A master playlist that leads to this stream.
pub(crate) fn lead_to(scene: &Scene, stream: &LiveStream) {
    let master = MasterPlaylist::new().unnamed(&stream.path(), 1000);
    scene.origin.put_playlist("/master.m3u8", master.render());
}

pub(crate) async fn record_master(scene: &Scene) -> Service {
    let channel = format!("test:url:{}", scene.origin.url("/master.m3u8"));
    scene.node.start_downloader(&channel, FAST).await
}

#[tokio::test]
async fn an_expired_url_is_replaced() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    lead_to(&scene, &scene.stream);
    let mut all = scene.push(3);
    let downloader = record_master(&scene).await;
    scene.expect(&all).await;
    // The same show under another URL; the old one is refused from now on.
    let start = all[0].start;
    let options = LiveOptions {
        start,
        ..LiveOptions::default()
    };
    let mut fresh = LiveStream::new(&scene.origin, "fresh", options);
    for segment in &all {
        let same = NewSegment::new(&segment.duration, segment.content.clone());
        fresh.push_segment(same);
    }
    lead_to(&scene, &fresh);
    scene.origin.always(scene.stream.path(), Fault::expired());
    for n in 0..3 {
        all.push(fresh.push(5000 + n));
        scene.expect(&all).await;
    }
    // What was there already was not fetched again from the new place.
    assert_eq!(scene.origin.count("/fresh/0.ts"), 0);
    // The old URL is left alone.
    let asked = scene.origin.count(&scene.stream.path());
    let polls = scene.origin.count(&fresh.path());
    let more = |log: &Log| log.count("/fresh/playlist.m3u8") > polls + 5;
    scene.origin.wait_for(SOON, more).await.unwrap();
    assert_eq!(scene.origin.count(&scene.stream.path()), asked);
    let generation = downloader.metrics().await.sum("worker_generation", &[]);
    assert_eq!(generation, 2.0);
}

#[tokio::test]
async fn the_old_one_goes_on_until_the_new_one_works() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    lead_to(&scene, &scene.stream);
    let mut all = scene.push(3);
    let downloader = record_master(&scene).await;
    scene.expect(&all).await;
    // The successor's list is empty (a pre-roll would be the same), then refused, while the old
    // one still has the show.
    let empty = LiveStream::new(&scene.origin, "empty", LiveOptions::default());
    lead_to(&scene, &empty);
    scene
        .origin
        .next(1, scene.stream.path(), Fault::status(500));
    let polled = |log: &Log| log.count("/empty/playlist.m3u8") > 3;
    scene.origin.wait_for(SOON, polled).await.unwrap();
    all.extend(scene.push(2));
    scene.expect(&all).await;
    scene.origin.always(empty.path(), Fault::status(404));
    all.extend(scene.push(2));
    scene.expect(&all).await;
    assert_eq!(downloader.count_log("lost a segment"), 0);
}

#[tokio::test]
async fn a_successor_that_fails_at_once_harms_nothing() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    lead_to(&scene, &scene.stream);
    let mut all = scene.push(3);
    let _downloader = record_master(&scene).await;
    scene.expect(&all).await;
    let gone = LiveStream::new(&scene.origin, "gone", LiveOptions::default());
    lead_to(&scene, &gone);
    scene.origin.always(gone.path(), Fault::status(500));
    for _ in 0..3 {
        scene
            .origin
            .next(1, scene.stream.path(), Fault::status(500));
        all.extend(scene.push(2));
        scene.expect(&all).await;
    }
    assert!(scene.origin.count(&gone.path()) >= 1);
}

/// The encoder is restarted a minute after all that there was, and everything is recorded on.
async fn goes_on_after_a_restart(scene: &mut Scene, mut all: Vec<Published>, reuse_names: bool) {
    let later = all.last().unwrap().start + chrono::TimeDelta::seconds(60);
    scene.stream.restart(reuse_names);
    scene.stream.jump_to(later);
    for _ in 0..3 {
        all.extend(scene.push(1));
        scene.expect(&all).await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_and_begins_again_is_recorded_on() {
    for reuse_names in [false, true] {
        let mut scene = Scene::new(LiveOptions::default()).await;
        let mut all = scene.push(3);
        let downloader = scene.record().await;
        scene.expect(&all).await;
        all.extend(scene.push(1));
        scene.stream.end();
        scene.expect(&all).await;
        downloader.wait_for_log("the stream has ended", SOON).await;
        wait_until_expected(&downloader, 0.0).await;
        goes_on_after_a_restart(&mut scene, all, reuse_names).await;
        wait_until_expected(&downloader, 1.0).await;
    }
}

#[tokio::test]
async fn an_encoder_that_restarts_without_a_word_is_recorded_on() {
    for (reuse_names, dates) in [
        (false, Dates::Every),
        (true, Dates::Every),
        (false, Dates::FirstInList),
        (true, Dates::FirstInList),
    ] {
        let mut scene = Scene::new(LiveOptions {
            dates,
            ..LiveOptions::default()
        })
        .await;
        let all = scene.push(5);
        let _downloader = scene.record().await;
        scene.expect(&all).await;
        goes_on_after_a_restart(&mut scene, all, reuse_names).await;
    }
}

#[tokio::test]
async fn a_new_init_section_under_an_old_name_is_fetched() {
    let mut scene = Scene::new(LiveOptions {
        extension: "m4s".to_owned(),
        ..LiveOptions::default()
    })
    .await;
    let path = "/live/init.mp4";
    let mut all = Vec::new();
    let _downloader = scene.record().await;
    for seed in 0..3 {
        let init = ts_bytes(700 + seed, 600);
        scene.origin.put(path, init.clone(), "video/mp4");
        scene.stream.set_init_at("URI=\"init.mp4\"", init);
        // The second time the stream ends first, the third time it only begins again.
        for _ in 0..2 {
            all.extend(scene.push(1));
            scene.expect(&all).await;
        }
        if seed == 0 {
            scene.stream.end();
            let asked = scene.origin.count(&scene.stream.path());
            let seen = |log: &Log| log.count("/live/playlist.m3u8") > asked + 1;
            scene.origin.wait_for(SOON, seen).await.unwrap();
        }
        let later = all.last().unwrap().start + chrono::TimeDelta::seconds(60);
        scene.stream.restart(false);
        scene.stream.jump_to(later);
    }
    assert_eq!(scene.origin.count(path), 3);
}

/// A stream that is over is looked for as if it had never been, and nothing of it is fetched,
/// lost or told over and over.
#[tokio::test]
async fn the_end_of_a_stream_is_the_end_of_the_work() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(3);
    let gone = NewSegment::new("2.000", ts_bytes(9, 10)).missing();
    let gone = scene.stream.push_segment(gone);
    let broken = scene.push(1);
    scene
        .origin
        .always(broken[0].path.as_str(), Fault::status(500));
    all.extend(scene.push(1));
    scene.stream.end();
    let downloader = scene.record().await;
    scene.expect(&all).await;
    // Many workers have come and gone by now: one a second for a minute, in fast time.
    let polls = |n: usize| move |log: &Log| log.count("/live/playlist.m3u8") >= n;
    scene.origin.wait_for(SOON, polls(30)).await.unwrap();
    assert_eq!(downloader.count_log("the stream has ended"), 1);
    assert_eq!(scene.origin.count(&gone.path), 1);
    assert_eq!(
        downloader.metrics().await.sum("segments_lost_total", &[]),
        1.0
    );
    // One getter retries it, every 2 s.
    let log = scene.origin.log();
    let tries: Vec<_> = log.of(&broken[0].path).map(|e| e.started).collect();
    for pair in tries.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause.as_secs_f64() > 0.15, "{pause:?}");
    }
}

#[tokio::test]
async fn a_playlist_that_stands_still_is_questioned() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    lead_to(&scene, &scene.stream);
    let mut all = scene.push(3);
    let downloader = record_master(&scene).await;
    scene.expect(&all).await;
    // The stream goes on elsewhere; the old playlist answers as before.
    let start = all[2].start + chrono::TimeDelta::seconds(2);
    let options = LiveOptions {
        start,
        ..LiveOptions::default()
    };
    let mut elsewhere = LiveStream::new(&scene.origin, "elsewhere", options);
    for n in 0..3 {
        all.push(elsewhere.push(4000 + n));
    }
    lead_to(&scene, &elsewhere);
    scene.expect(&all).await;
    downloader.wait_for_log("stands still", SOON).await;
}

#[tokio::test]
async fn what_was_missed_between_two_workers_is_counted() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(3);
    let downloader = scene.record().await;
    scene.expect(&all).await;
    let rule = scene.origin.always(scene.stream.path(), Fault::status(404));
    downloader
        .wait_for_log("the media playlist fails", SOON)
        .await;
    scene.push(20);
    all.extend(scene.push(6));
    scene.origin.remove_rule(rule);
    scene.expect(&all).await;
    let missed = downloader.metrics().await.sum("segments_missed_total", &[]);
    assert_eq!(missed, 20.0);
}

#[tokio::test]
async fn a_channel_that_is_not_live_is_waited_for() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let rule = scene.origin.always(scene.stream.path(), Fault::status(404));
    let downloader = scene.record().await;
    downloader.wait_for_log("not live", SOON).await;
    wait_until_expected(&downloader, 0.0).await;
    let all = scene.push(2);
    scene.origin.remove_rule(rule);
    scene.expect(&all).await;
    assert_eq!(downloader.count_log("not live"), 1, "said once");
    wait_until_expected(&downloader, 1.0).await;
    // What nobody reaches is not known to be over.
    let missed = "segments_missed_total";
    assert_eq!(downloader.metrics().await.get(missed, &[]), Some(0.0));
    let rule = scene.origin.always(scene.stream.path(), Fault::status(500));
    scene
        .origin
        .wait_for(SOON, |_| scene.origin.uses(rule) >= 10)
        .await
        .unwrap();
    wait_until_expected(&downloader, 1.0).await;
}

#[tokio::test]
async fn an_important_channel_is_always_expected() {
    let scene = Scene::new(LiveOptions::default()).await;
    scene.origin.always(scene.stream.path(), Fault::status(404));
    let channel = format!("test!:url:{}", scene.stream.url());
    let downloader = scene.node.start_downloader(&channel, FAST).await;
    downloader.wait_for_log("not live", SOON).await;
    wait_until_expected(&downloader, 1.0).await;
}

/// Waits until the page of metrics says that there ought to be new segments, or that there need not.
async fn wait_until_expected(downloader: &Service, expected: f64) {
    eventually(SOON, "what is expected", async || {
        let said = downloader.metrics().await.get("recording_expected", &[]);
        let right = said == Some(expected);
        right.then_some(()).ok_or(format!("{said:?}"))
    })
    .await;
}
