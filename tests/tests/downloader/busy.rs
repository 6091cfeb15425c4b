//! A server that is asked too much says for how long it wants to be left alone (`Retry-After`).

use std::time::Duration;

use tests::origin::{Fault, LiveOptions, Log, Resource};

use super::{SOON, Scene};

const PAUSE: &str = "asks for a pause";

/// A third of the 30 s that are listed, in fast time, less its jitter: nobody waits longer.
const MOST: Duration = Duration::from_millis(800);

fn busy(status: u16, retry_after: &str) -> Fault {
    let answer = Resource::text("too much\n").status(status);
    Fault::answer(answer.header("Retry-After", retry_after)).labelled("busy")
}

async fn scene() -> Scene {
    Scene::new(LiveOptions {
        window: 15,
        // Nobody looks elsewhere because it stands still.
        target_duration: Some(10),
        ..LiveOptions::default()
    })
    .await
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
    let pauses = pauses(&scene.origin.log(), &path);
    assert_eq!(pauses.len(), 3);
    assert!(pauses[0] >= Duration::from_millis(500), "{pauses:?}");
    assert!(
        pauses[1..]
            .iter()
            .all(|it| *it >= Duration::from_millis(600)),
        "{pauses:?}"
    );
    assert_eq!(downloader.count_log(PAUSE), 1);
    // Whoever follows would be refused as well.
    assert_eq!(metrics.sum("worker_generation", &[]), 1.0);
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
    assert!(lasted >= MOST, "{lasted:?}");
    downloader.wait_for_log(PAUSE, SOON).await;
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
        assert!(pauses.len() == 1 && pauses[0] >= MOST, "{pauses:?}");
    }
    assert_eq!(downloader.count_log(PAUSE), 1);
}
