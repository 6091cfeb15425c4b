//! Stopping, in good order and otherwise.

use std::time::Duration;

use tests::origin::{Fault, Gate, Hold, LiveOptions, Log};

use super::{FAST, SOON, Scene};

#[tokio::test]
async fn sigterm_keeps_what_has_come_and_leaves_nothing_temporary() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(3);
    // One stalls before its head, one in its body; one is held and then comes in time.
    let gate = Gate::new();
    let until_released = || Hold::Until(gate.clone());
    scene
        .origin
        .always(all[0].path.as_str(), Fault::stall_head(Hold::Forever));
    scene.origin.always(
        all[1].path.as_str(),
        Fault::stall_after(4000, Hold::Forever),
    );
    scene.origin.always(
        all[2].path.as_str(),
        Fault::stall_after(4000, until_released()),
    );
    let channel = format!("test:url:{}", scene.stream.url());
    let mut downloader = scene.node.start_downloader(&channel, &[]).await;
    let under_way = |log: &Log| {
        let sent = |n: usize| log.last(&all[n].path).map_or(0, |e| e.sent);
        log.count(&all[0].path) > 0 && sent(1) == 4000 && sent(2) == 4000
    };
    scene.origin.wait_for(SOON, under_way).await.unwrap();
    downloader.terminate();
    downloader.wait_for_log("stopping", SOON).await;
    let polls = scene.origin.count(&scene.stream.path());
    gate.open();
    // The grace is 6 s, and docker kills after 10 s.
    let status = downloader.wait(Duration::from_secs(9)).await;
    assert_eq!(status.code(), Some(0));
    let left = "stopped before these segments were there in full";
    let line = downloader.wait_for_log(left, SOON).await;
    let said = ["channel=test", "quality=source", "segments=2", "in_part=1"];
    assert!(said.iter().all(|part| line.contains(part)), "{line}");
    assert_eq!(scene.node.temp_files(), [""; 0]);
    let full: Vec<_> = scene.full().into_iter().collect();
    assert_eq!(full, [all[2].file()]);
    let hash = tests::content::sha256_base64(&all[1].content[..4000]);
    let partial: Vec<_> = scene.of_type("partial").into_iter().collect();
    assert_eq!(partial.len(), 1);
    assert!(partial[0].contains(&hash), "{partial:?}");
    assert_eq!(
        scene.origin.count(&scene.stream.path()),
        polls,
        "no new work"
    );
}

#[tokio::test]
async fn sigterm_keeps_what_a_second_attempt_has() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let segment = scene.stream.push(100_000);
    scene
        .origin
        .next(1, segment.path.as_str(), Fault::stall_head(Hold::Forever));
    scene.origin.next(
        1,
        segment.path.as_str(),
        Fault::stall_after(70_000, Hold::Forever),
    );
    scene
        .origin
        .always(segment.path.as_str(), Fault::stall_head(Hold::Forever));
    let mut downloader = scene.record().await;
    let second = |log: &Log| log.of(&segment.path).any(|e| e.sent == 70_000);
    scene.origin.wait_for(SOON, second).await.unwrap();
    downloader.terminate();
    assert_eq!(downloader.wait(SOON).await.code(), Some(0));
    assert_eq!(scene.node.temp_files(), [""; 0]);
    let hash = tests::content::sha256_base64(&segment.content[..70_000]);
    let partial = scene.of_type("partial");
    assert!(
        partial.iter().any(|name| name.contains(&hash)),
        "{partial:?}"
    );
}

#[tokio::test]
async fn what_a_crash_left_goes_after_an_immediate_restart_too() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(1);
    scene.origin.next(
        1,
        all[0].path.as_str(),
        Fault::stall_after(4000, Hold::Forever),
    );
    let mut downloader = scene.record().await;
    tests::eventually(SOON, "a temporary file", async || {
        let temp = scene.node.temp_files();
        (temp.len() == 1).then_some(()).ok_or(format!("{temp:?}"))
    })
    .await;
    downloader.kill_hard();
    downloader.wait(SOON).await;
    let _downloader = scene.record().await;
    scene.expect(&all).await;
}

#[tokio::test]
async fn an_idle_downloader_stops_at_once() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(2);
    let channel = format!("test:url:{}", scene.stream.url());
    let mut downloader = scene.node.start_downloader(&channel, &[]).await;
    scene.expect(&all).await;
    downloader.terminate();
    let status = downloader.wait(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(downloader.count_log("stopped before"), 0);
}

#[tokio::test]
async fn killed_at_any_instant_it_goes_on_where_it_was() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(4);
    scene.origin.always(
        all[3].path.as_str(),
        Fault::stall_after(4000, Hold::Forever),
    );
    let mut downloader = scene.record().await;
    tests::eventually(SOON, "a temporary file", async || {
        let (temp, full) = (scene.node.temp_files(), scene.full());
        (temp.len() == 1 && full.len() == 3)
            .then_some(())
            .ok_or(format!("{temp:?} {full:?}"))
    })
    .await;
    downloader.kill_hard();
    downloader.wait(SOON).await;
    let asked = scene.origin.count(&all[0].path);
    // What a dead process left goes once it is no longer fresh; the file's age is set here, so
    // that the test need not wait.
    let left = scene.node.temp_files();
    assert_eq!(left.len(), 1);
    let file = std::fs::File::open(scene.node.base_dir().join(&left[0])).unwrap();
    let a_while_ago = std::time::SystemTime::now() - Duration::from_secs(10);
    file.set_modified(a_while_ago).unwrap();
    drop(file);
    scene.origin.clear_rules();
    all.extend(scene.push(1));
    let channel = format!("test:url:{}", scene.stream.url());
    let downloader = scene.node.start_downloader(&channel, FAST).await;
    scene.expect(&all).await;
    downloader
        .wait_for_log("removed a dead process's temporary file", SOON)
        .await;
    assert_eq!(
        scene.origin.count(&all[0].path),
        asked,
        "nothing is fetched twice"
    );
}
