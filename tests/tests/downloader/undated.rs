//! Lists that say little or nothing about when their segments are.

use chrono::NaiveDateTime;
use tests::origin::{Dates, Fault, LiveOptions, LiveStream, Log, NewSegment};

use super::handover::{lead_to, record_master};
use super::{SOON, Scene};

/// Waits until there are so many segments.
async fn wait_for_count(scene: &Scene, count: usize) {
    tests::eventually(SOON, &format!("{count} segments"), async || {
        let full = scene.full();
        (full.len() == count)
            .then_some(())
            .ok_or(format!("{full:?}"))
    })
    .await;
}

/// URLs that have a session in them: the successor's list has other names and no dates by which
/// to tell that it is the same show.
#[tokio::test]
async fn an_expired_url_is_replaced_without_dates_too() {
    for dates in [Dates::Never, Dates::FirstOnly] {
        let options = LiveOptions {
            dates,
            window: 4,
            ..LiveOptions::default()
        };
        let mut scene = Scene::new(options.clone()).await;
        lead_to(&scene, &scene.stream);
        let downloader = record_master(&scene).await;
        let mut fresh = LiveStream::new(&scene.origin, "fresh", options);
        let mut all = Vec::new();
        for n in 0..6_usize {
            all.push(scene.stream.push(3000 + n));
            let content = all[n].content.clone();
            fresh.push_segment(NewSegment::new("2.000", content));
            wait_for_count(&scene, n + 1).await;
        }
        lead_to(&scene, &fresh);
        scene.origin.always(scene.stream.path(), Fault::expired());
        for n in 6..9 {
            all.push(fresh.push(5000 + n));
            wait_for_count(&scene, n + 1).await;
        }
        // Nothing else comes of the polls that follow.
        let polls = scene.origin.count(&fresh.path());
        let more = |log: &Log| log.count("/fresh/playlist.m3u8") > polls + 3;
        scene.origin.wait_for(SOON, more).await.unwrap();
        let names: Vec<String> = scene.full().into_iter().collect();
        assert_eq!(names.len(), 9, "{dates:?}: {names:?}");
        // In the order in which they were listed, 2 s apart.
        let start = |name: &str| {
            NaiveDateTime::parse_from_str(&name[..26], "%Y-%m-%dT%H/%M:%S%.f").unwrap()
        };
        for (n, segment) in all.iter().enumerate() {
            let hash = tests::content::sha256_base64(&segment.content);
            let later = start(&names[n]) - start(&names[0]);
            assert!(names[n].contains(&hash), "{dates:?}: {names:?}");
            assert_eq!(
                later.num_milliseconds(),
                2000 * n as i64,
                "{dates:?}: {names:?}"
            );
        }
        assert_eq!(downloader.count_log("lost a segment"), 0);
    }
}

/// Lists without any date, whose workers relieve one another: nothing is recorded twice, be the
/// list alive or not.
#[tokio::test]
async fn without_dates_a_successor_records_nothing_again() {
    let mut scene = Scene::new(LiveOptions {
        dates: Dates::Never,
        ..LiveOptions::default()
    })
    .await;
    scene.push(3);
    let downloader = scene.record().await;
    tests::eventually(SOON, "the first segments", async || {
        let full = scene.full();
        (full.len() >= 3).then_some(()).ok_or(format!("{full:?}"))
    })
    .await;
    // It stands still until two others have taken over, and fails now and then.
    tests::eventually(SOON, "three workers", async || {
        let generation = downloader.metrics().await.sum("worker_generation", &[]);
        (generation >= 3.0)
            .then_some(())
            .ok_or(format!("{generation}"))
    })
    .await;
    assert_eq!(scene.full().len(), 3);
    for n in 4..=9 {
        scene
            .origin
            .next(1, scene.stream.path(), Fault::status(500));
        scene.stream.push(3000 + n);
        tests::eventually(SOON, &format!("{n} segments"), async || {
            let full = scene.full();
            (full.len() >= n).then_some(()).ok_or(format!("{full:?}"))
        })
        .await;
    }
    let polls = scene.origin.count(&scene.stream.path());
    let more = |log: &Log| log.count("/live/playlist.m3u8") > polls + 10;
    scene.origin.wait_for(SOON, more).await.unwrap();
    assert_eq!(scene.full().len(), 9);
}

/// A list without dates whose sequence number never moves: only the names tell what is new.
#[tokio::test]
async fn numbers_that_stand_still_lose_nothing() {
    let mut scene = Scene::new(LiveOptions {
        dates: Dates::Never,
        window: 3,
        head_tags: vec!["#EXT-X-MEDIA-SEQUENCE:0".to_owned()],
        ..LiveOptions::default()
    })
    .await;
    scene.push(3);
    let downloader = scene.record().await;
    for count in 3..9 {
        wait_for_count(&scene, count).await;
        scene.push(1);
    }
    wait_for_count(&scene, 9).await;
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.sum("segments_missed_total", &[]), 0.0);
    assert_eq!(metrics.sum("segments_known_total", &[]), 0.0);
}

/// The encoder begins again, with its numbers and names, and nothing says when: all of the new run
/// comes behind the old one, and nothing of it stands where the old one was.
#[tokio::test]
async fn what_begins_again_without_dates_takes_no_place_of_what_was() {
    let mut scene = Scene::new(LiveOptions {
        dates: Dates::Never,
        ..LiveOptions::default()
    })
    .await;
    let mut all = scene.push(5);
    let _downloader = scene.record().await;
    wait_for_count(&scene, 5).await;
    scene.stream.restart(true);
    for count in 6..9 {
        all.extend(scene.push(1));
        wait_for_count(&scene, count).await;
    }
    // The names are in the order of their starts.
    for (name, segment) in scene.full().iter().zip(&all) {
        let hash = tests::content::sha256_base64(&segment.content);
        assert!(name.contains(&hash), "{name} of {:?}", scene.full());
    }
    assert_eq!(scene.node.wrong_hashes("test", "source"), [""; 0]);
}
