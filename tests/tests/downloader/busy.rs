//! A server that is asked too much says for how long it wants to be left alone (`Retry-After`).

use std::time::Duration;

use tests::origin::{Fault, LiveOptions, LiveStream, Log, MasterPlaylist, NewSegment, Resource};

use super::handover::record_master;
use super::{SOON, Scene};

const PAUSE: &str = "asks for a pause";

/// A third of the 30 s that are listed, in fast time, less its jitter.
const MOST: Duration = Duration::from_millis(800);

/// All that is listed: by then it has been asked for again, often.
const LISTED: Duration = Duration::from_secs(3);

fn busy(status: u16, retry_after: &str) -> Fault {
    let answer = Resource::text("too much\n").status(status);
    Fault::answer(answer.header("Retry-After", retry_after)).labelled("busy")
}

fn options() -> LiveOptions {
    LiveOptions {
        window: 15,
        // Nobody looks elsewhere because it stands still.
        target_duration: Some(10),
        ..LiveOptions::default()
    }
}

async fn scene() -> Scene {
    Scene::new(options()).await
}

/// The times from each request for a path that was refused to the next one.
fn pauses(log: &Log, path: &str) -> Vec<Duration> {
    let all: Vec<_> = log.of(path).collect();
    let pairs = all.windows(2).filter(|pair| pair[0].fault.is_some());
    pairs
        .map(|pair| pair[1].started - pair[0].started)
        .collect()
}

#[tokio::test]
async fn a_playlist_is_left_alone_for_as_long_as_its_server_asks() {
    let mut scene = scene().await;
    let path = scene.stream.path();
    let mut all = scene.push(15);
    // The look for it, too; in fast time it is half a second.
    scene.origin.next(1, path.as_str(), busy(503, "5"));
    let downloader = scene.record().await;
    scene.expect(&all).await;
    let rule = scene.origin.next(2, path.as_str(), busy(429, "6"));
    all.extend(scene.push(3));
    scene.expect(&all).await;
    let metrics = downloader.metrics().await;
    assert_eq!(scene.origin.uses(rule), 2);
    let log = scene.origin.log();
    let pauses = pauses(&log, &path);
    assert_eq!(pauses.len(), 3);
    let first = Duration::from_millis(500);
    assert!(pauses[0] >= first && pauses[0] < LISTED, "{pauses:?}");
    // Then the worker, and a look for another place at once; neither comes again too soon.
    let refused: Vec<_> = log.of(&path).filter(|it| it.fault.is_some()).collect();
    let lasted = pauses[2] + (refused[2].started - refused[1].started);
    let second = Duration::from_millis(600);
    assert!(lasted >= second && lasted < LISTED, "{lasted:?}");
    assert_eq!(downloader.count_log(PAUSE), 1);
    assert_eq!(metrics.sum("segments_missed_total", &[]), 0.0);
}

#[tokio::test]
async fn a_live_playlist_does_not_wait_for_an_hour() {
    let mut scene = scene().await;
    let path = scene.stream.path();
    let mut all = scene.push(15);
    let downloader = scene.record().await;
    scene.expect(&all).await;
    let before = scene.origin.count(&path);
    let rule = scene.origin.always(path.as_str(), busy(429, "3600"));
    all.extend(scene.push(3));
    let five = |log: &Log| log.count(&path) >= before + 6;
    scene.origin.wait_for(SOON, five).await.unwrap();
    scene.origin.remove_rule(rule);
    scene.expect(&all).await;
    // The worker, and a look for another place at once: both come again only after a pause.
    let log = scene.origin.log();
    let refused: Vec<_> = log.of(&path).filter(|it| it.fault.is_some()).collect();
    let lasted = refused[4].started - refused[0].started;
    assert!(lasted >= MOST && lasted < LISTED, "{lasted:?}");
    downloader.wait_for_log(PAUSE, SOON).await;
}

#[tokio::test]
async fn another_failure_that_follows_a_refusal_is_told() {
    let mut scene = scene().await;
    let path = scene.stream.path();
    let all = scene.push(15);
    let downloader = scene.record().await;
    scene.expect(&all).await;
    let rule = scene.origin.always(path.as_str(), busy(429, "1"));
    downloader.wait_for_log(PAUSE, SOON).await;
    scene.origin.remove_rule(rule);
    scene.origin.always(path.as_str(), Fault::status(500));
    let told = downloader.wait_for_log("the media playlist fails", SOON);
    assert!(told.await.contains("500"));
}

#[tokio::test]
async fn where_one_of_two_places_asks_for_a_pause_the_other_is_asked() {
    let mut scene = scene().await;
    let mut other = LiveStream::new(&scene.origin, "other", options());
    let (first, second) = (scene.stream.path(), other.path());
    let master = MasterPlaylist::new()
        .unnamed(&first, 1000)
        .unnamed(&second, 1000);
    scene.origin.put_playlist("/master.m3u8", master.render());
    let mut all = scene.push(15);
    for segment in &all {
        other.push_segment(NewSegment::new(&segment.duration, segment.content.clone()));
    }
    // The second one relieves the first at once; and when that is well again, the other way round.
    let rule = scene.origin.always(first.as_str(), busy(503, "3600"));
    let downloader = record_master(&scene).await;
    scene.expect(&all).await;
    assert_eq!(scene.origin.uses(rule), 1);
    scene.origin.remove_rule(rule);
    let rule = scene.origin.always(second.as_str(), busy(503, "3600"));
    let asked = |log: &Log| log.count(&first) >= 3;
    scene.origin.wait_for(SOON, asked).await.unwrap();
    let refused = scene.origin.uses(rule);
    assert!((1..=2).contains(&refused), "{refused}");
    all.extend(scene.push(3));
    scene.expect(&all).await;
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.sum("segments_missed_total", &[]), 0.0);
}

#[tokio::test]
async fn who_is_answered_again_needs_no_successor() {
    let mut scene = scene().await;
    let path = scene.stream.path();
    let master = MasterPlaylist::new().unnamed(&path, 1000);
    scene.origin.put_playlist("/master.m3u8", master.render());
    let all = scene.push(15);
    let downloader = record_master(&scene).await;
    scene.expect(&all).await;
    let rule = scene.origin.next(1, path.as_str(), busy(429, "6"));
    let refused = |_: &Log| scene.origin.uses(rule) == 1;
    scene.origin.wait_for(SOON, refused).await.unwrap();
    let before = scene.origin.count(&path);
    let often = |log: &Log| log.count(&path) >= before + 4;
    scene.origin.wait_for(SOON, often).await.unwrap();
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.sum("worker_generation", &[]), 1.0);
}

#[tokio::test]
async fn segments_are_left_alone_for_a_third_of_what_is_listed_at_most() {
    let mut scene = scene().await;
    let all = scene.push(15);
    for segment in &all {
        let busy = busy(503, "3600");
        scene.origin.next(1, segment.path.as_str(), busy);
    }
    let downloader = scene.record().await;
    scene.expect(&all).await;
    for segment in &all {
        let pauses = pauses(&scene.origin.log(), &segment.path);
        assert!(
            pauses.len() == 1 && pauses[0] >= MOST && pauses[0] < LISTED,
            "{pauses:?}"
        );
    }
    assert_eq!(downloader.count_log(PAUSE), 1);
}
