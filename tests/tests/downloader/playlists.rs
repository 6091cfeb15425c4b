//! Playlists as they are in the field: keys, sound of its own, low latency, a day in one list,
//! and what is too large to be believed.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use tests::content::ts_bytes;
use tests::origin::{
    Fault, Hold, LiveOptions, LiveStream, Log, MasterPlaylist, Matching, NewSegment, Rule, Variant,
};

use super::{FAST, SOON, Scene};

const LABELS: [(&str, &str); 2] = [("channel", "test"), ("quality", "source")];

/// A line that makes no sense costs its segment, once, however long it stays in the list.
#[tokio::test]
async fn what_cannot_be_read_is_lost_once_and_told_once() {
    let scene = Scene::new(LiveOptions::default()).await;
    let publish = |first: u64| {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for n in first..first + 6 {
            let duration = if n == 5 { "never" } else { "2.000" };
            text.push_str(&format!(
                "#EXT-X-PROGRAM-DATE-TIME:2024-11-08T22:00:{:02}Z\n#EXTINF:{duration},\n{n}.ts\n",
                2 * n
            ));
            let content = ts_bytes(n, 2000);
            scene
                .origin
                .put(&format!("/live/{n}.ts"), content, "video/mp2t");
        }
        scene.origin.put_playlist(&scene.stream.path(), text);
    };
    publish(0);
    let downloader = scene.record().await;
    for first in 0..6 {
        publish(first);
        // The newest is recorded: this list was read.
        tests::eventually(SOON, "the newest segment", async || {
            let full = scene.full();
            (full.len() as u64 == first + 5)
                .then_some(())
                .ok_or(format!("{full:?}"))
        })
        .await;
    }
    let reason = [("reason", "unreadable"), LABELS[0], LABELS[1]];
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.get("segments_lost_total", &reason), Some(1.0));
    assert_eq!(metrics.sum("segments_missed_total", &LABELS), 0.0);
    assert_eq!(downloader.count_log("segment 5: its duration"), 1);
}

/// Durations that lead to before the beginning of time, and numbers at their end.
#[tokio::test]
async fn numbers_that_nobody_counts_with_crash_nothing() {
    let scene = Scene::new(LiveOptions::default()).await;
    let content = ts_bytes(2, 2000);
    scene
        .origin
        .put("/live/2.ts", content.clone(), "video/mp2t");
    let path = scene.stream.path();
    let publish = |n: u64| {
        // Another list each time: the same one is not taken again.
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n#EXTINF:2,\n0.ts\n\
            #EXTINF:{},\n1.ts\n#EXT-X-PROGRAM-DATE-TIME:2024-11-08T22:00:00Z\n\
            #EXTINF:2,\n2.ts\n# {n}\n",
            u64::MAX,
            i64::MAX
        );
        scene.origin.put_playlist(&path, text);
    };
    publish(0);
    let downloader = scene.record().await;
    for n in 1..5 {
        let polls = scene.origin.count(&path);
        publish(n);
        let taken = |log: &Log| log.count(&path) > polls + 1;
        scene.origin.wait_for(SOON, taken).await.unwrap();
    }
    let hash = tests::content::sha256_base64(&content);
    tests::eventually(SOON, "the segment that makes sense", async || {
        let full = scene.full();
        let there = full.iter().any(|name| name.contains(&hash));
        there.then_some(()).ok_or(format!("{full:?}"))
    })
    .await;
    assert_eq!(downloader.count_log("panicked"), 0);
    assert_eq!(downloader.count_log("crashed"), 0);
}

#[tokio::test]
async fn segments_without_a_duration_are_told_apart() {
    let scene = Scene::new(LiveOptions::default()).await;
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n\
        #EXT-X-PROGRAM-DATE-TIME:2024-11-08T22:00:00Z\n"
        .to_owned();
    let mut hashes = Vec::new();
    for n in 0..5 {
        text.push_str(&format!("#EXTINF:0,\n{n}.ts\n"));
        let content = ts_bytes(n, 2000);
        hashes.push(tests::content::sha256_base64(&content));
        let path = format!("/live/{n}.ts");
        scene.origin.put(&path, content, "video/mp2t");
    }
    scene.origin.put_playlist(&scene.stream.path(), text);
    let _downloader = scene.record().await;
    tests::eventually(SOON, "all five", async || {
        let full = scene.full();
        let is_there = |hash: &&String| full.iter().any(|name| name.contains(*hash));
        let there = hashes.iter().filter(is_there).count();
        (there == 5).then_some(()).ok_or(format!("{full:?}"))
    })
    .await;
}

#[tokio::test]
async fn sound_of_its_own_is_recorded_too() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut sound = LiveStream::new(&scene.origin, "sound", LiveOptions::default());
    let master = MasterPlaylist::new()
        .audio("a", "English", Some("/sound/playlist.m3u8"))
        .variant(Variant {
            name: None,
            group: None,
            uri: scene.stream.path(),
            bandwidth: 1000,
            resolution: None,
            audio: Some("a".to_owned()),
        });
    scene.origin.put_playlist("/master.m3u8", master.render());
    let video = scene.push(3);
    let heard: Vec<_> = (0..3).map(|n| sound.push(500 + n).file()).collect();
    let channel = format!("test:url:{}", scene.origin.url("/master.m3u8"));
    let _downloader = scene.node.start_downloader(&channel, FAST).await;
    scene.expect(&video).await;
    tests::eventually(SOON, "the sound", async || {
        let files: Vec<_> = scene
            .node
            .files("test", "source-audio-English")
            .into_keys()
            .collect();
        (files == heard).then_some(()).ok_or(format!("{files:?}"))
    })
    .await;
}

#[tokio::test]
async fn low_latency_lists_are_recorded_by_whole_segments() {
    let mut scene = Scene::new(LiveOptions {
        version: 9,
        head_tags: vec![
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=24.0"
                .to_owned(),
            "#EXT-X-PART-INF:PART-TARGET=0.33".to_owned(),
        ],
        foot_tags: vec![
            "#EXT-X-PART:DURATION=0.33,URI=\"part0.mp4\",INDEPENDENT=YES".to_owned(),
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part1.mp4\"".to_owned(),
        ],
        ..LiveOptions::default()
    })
    .await;
    let mut all = scene.push(3);
    let _downloader = scene.record().await;
    scene.expect(&all).await;
    all.extend(scene.push(3));
    scene.expect(&all).await;
    let log = scene.origin.log();
    let odd = log.iter().find(|e| {
        e.request.path.contains("part") || e.request.query().is_some_and(|q| q.contains("_HLS"))
    });
    assert!(odd.is_none(), "{odd:?}");
    assert!(all.iter().all(|segment| log.count(&segment.path) == 1));
}

#[tokio::test]
async fn a_day_in_one_list() {
    let mut scene = Scene::new(LiveOptions {
        window: 43_200,
        ..LiveOptions::default()
    })
    .await;
    // A list of a day, of which the origin still has the last few: all others are lost, one by
    // one and with a reason, and hold nothing up.
    let day = 43_000;
    let list = |first: u64, count: u64| {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
            #EXT-X-PROGRAM-DATE-TIME:2024-11-08T00:00:00.000Z\n"
        );
        for n in first..first + count {
            text.push_str(&format!("#EXTINF:2.000,\n/day/{n}.ts\n"));
        }
        text
    };
    scene.origin.put_playlist("/day.m3u8", list(0, day));
    let last = ts_bytes(7, 5000);
    scene
        .origin
        .put(&format!("/day/{}.ts", day - 1), last.clone(), "video/mp2t");
    let channel = format!("test:url:{}", scene.origin.url("/day.m3u8"));
    let downloader = scene
        .node
        .start_downloader(
            &channel,
            &["--log", "info,downloader=error", FAST[0], FAST[1]],
        )
        .await;
    let hash = tests::content::sha256_base64(&last);
    tests::eventually(
        Duration::from_secs(120),
        "the last segment of the day",
        async || {
            let full = scene.full();
            full.iter()
                .any(|name| name.contains(&hash))
                .then_some(())
                .ok_or(format!("{full:?}"))
        },
    )
    .await;
    tests::eventually(SOON, "all others to be lost", async || {
        let reason = [("reason", "404")];
        let lost = downloader
            .metrics()
            .await
            .sum("segments_lost_total", &reason);
        (lost == (day - 1) as f64)
            .then_some(())
            .ok_or(format!("{lost}"))
    })
    .await;
    scene.push(1);
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_a_clear_error() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    scene.push(1);
    // A playlist without an end.
    let endless = scene
        .origin
        .always(scene.stream.path(), Fault::endless(200 << 20));
    // In real time: its 64 MiB take a moment.
    let channel = format!("test:url:{}", scene.stream.url());
    let downloader = scene.node.start_downloader(&channel, &[]).await;
    let line = downloader
        .wait_for_log("allowed for a playlist", Duration::from_secs(60))
        .await;
    assert!(line.contains("67108864"), "{line}");
    scene.origin.remove_rule(endless);
    drop(downloader);

    let mut scene = Scene::new(LiveOptions::default()).await;
    let downloader = scene.record().await;
    // A segment of 600 MB, which nobody waits for.
    let good = scene.push(1);
    let large = scene.stream.push(1600);
    let announced = Fault::declare_length(600 << 20);
    scene.origin.always(large.path.as_str(), announced);
    let line = downloader.wait_for_log("allowed for a segment", SOON).await;
    assert!(line.contains("lost a segment"), "{line}");
    scene.expect(&good).await;
}

/// Signed URLs: what is under way is not asked for by the next URL, too, and what is lost is lost
/// once.
#[tokio::test]
async fn urls_that_change_with_every_list_are_of_the_same_segments() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(5);
    let gone = NewSegment::new("2.000", ts_bytes(9, 10)).missing();
    let gone = scene.stream.push_segment(gone);
    let slow = all[4].path.as_str();
    let late = Fault::stall_head(Hold::For(Duration::from_millis(250)));
    scene.origin.always(slow, late);
    let downloader = scene.record().await;
    let path = scene.stream.path();
    for n in 0..8 {
        scene.stream.options_mut().query = format!("?signature={n}");
        scene.stream.publish();
        let polls = scene.origin.count(&path);
        let more = |log: &Log| log.count(&path) > polls;
        scene.origin.wait_for(SOON, more).await.unwrap();
    }
    scene.expect(&all).await;
    assert_eq!(scene.origin.count(slow), 1);
    assert!(scene.origin.count(&gone.path) > 1);
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.sum("segments_lost_total", &[]), 1.0);
}

/// An origin that lists 8 s only and stalls one request in twenty for 7 s, resets, cuts short or
/// answers 500 to others, costs nothing.
#[tokio::test]
async fn a_short_window_at_a_bad_origin_costs_nothing() {
    let mut scene = Scene::new(LiveOptions {
        window: 4,
        keep: 6,
        ..LiveOptions::default()
    })
    .await;
    let mut number = 0_u32;
    scene
        .origin
        .add_rule(Rule::choosing(Matching::Any, move |_| {
            number += 1;
            Some(match number % 20 {
                // In fast time 7 s are 0.7 s.
                3 => Fault::stall_head(Hold::For(Duration::from_millis(700))),
                8 => Fault::reset(),
                13 => Fault::cut_after(300),
                18 => Fault::status(500),
                _ => return None,
            })
        }));
    let mut all = scene.push(1);
    let downloader = scene.record().await;
    let seen = |log: &Log| log.count("/live/0.ts") > 0;
    scene.origin.wait_for(SOON, seen).await.unwrap();
    // A segment every 2 s, in fast time.
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..120 {
        ticks.tick().await;
        all.extend(scene.push(1));
    }
    scene.expect(&all).await;
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.sum("segments_missed_total", &LABELS), 0.0);
    assert_eq!(metrics.sum("segments_lost_total", &[]), 0.0);
}

/// What is listed for 8 s, and not served any more after that, is asked for a third time in them.
#[tokio::test]
async fn a_segment_in_a_short_window_is_asked_for_in_time() {
    let mut scene = Scene::new(LiveOptions {
        window: 4,
        keep: 0,
        ..LiveOptions::default()
    })
    .await;
    let mut all = scene.push(4);
    let path = "/live/3.ts";
    scene.origin.next(2, path, Fault::stall_head(Hold::Forever));
    let channel = format!("test:url:{}", scene.stream.url());
    let slower = ["--time-scale", "0.3"];
    let _downloader = scene.node.start_downloader(&channel, &slower).await;
    let asked = |log: &Log| log.count(path) > 0;
    scene.origin.wait_for(SOON, asked).await.unwrap();
    // A segment every 2 s, in time three times as fast: it slides out after 8.
    let mut ticks = tokio::time::interval(Duration::from_millis(600));
    ticks.tick().await;
    for _ in 0..4 {
        ticks.tick().await;
        all.extend(scene.push(1));
    }
    scene.expect(&all).await;
}

#[tokio::test]
async fn playlists_are_kept_beside_the_segments_they_led_to() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    let mut arguments = FAST.to_vec();
    arguments.extend(["--playlist-debug", "3"]);
    let channel = format!("test:url:{}", scene.stream.url());
    let _downloader = scene.node.start_downloader(&channel, &arguments).await;
    scene.expect(&all).await;
    // Lists that do not differ count once.
    let polls = scene.origin.count(&scene.stream.path());
    let more = |log: &Log| log.count("/live/playlist.m3u8") > polls + 3;
    scene.origin.wait_for(SOON, more).await.unwrap();
    for _ in 0..3 {
        all.extend(scene.push(1));
        scene.expect(&all).await;
    }
    let hour = scene
        .node
        .base_dir()
        .join("playlist-debug/test/source/2024-11-08T22");
    let stem = all[4].start.format("%M:%S%.6f-2.0.").to_string();
    let text = scene.stream.render();
    tests::eventually(SOON, "three playlists", async || {
        let entries = std::fs::read_dir(&hour).map_err(|error| error.to_string())?;
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name.starts_with(&stem));
        names.sort();
        let newest = names
            .last()
            .map(|name| std::fs::read_to_string(hour.join(name)).unwrap());
        let good = names.len() == 3 && newest.as_deref() == Some(text.as_str());
        good.then_some(()).ok_or(format!("{names:?}"))
    })
    .await;
    // Beside five segments there are names of four lists, each of which is on disk once.
    let entries = std::fs::read_dir(&hour).unwrap();
    let files: Vec<_> = entries.map(|e| e.unwrap().metadata().unwrap()).collect();
    let inodes: std::collections::HashSet<u64> = files.iter().map(MetadataExt::ino).collect();
    assert_eq!((files.len(), inodes.len()), (1 + 1 + 2 + 3 + 3, 4));
}

#[tokio::test]
async fn metrics_tell_how_far_behind_and_how_many_run() {
    let start = chrono::Utc::now() - chrono::TimeDelta::seconds(20);
    let mut scene = Scene::new(LiveOptions {
        start,
        ..LiveOptions::default()
    })
    .await;
    let all = scene.push(3);
    let held = Fault::stall_head(Hold::Forever);
    scene.origin.always(all[1].path.as_str(), held);
    let downloader = scene.record().await;
    tests::eventually(SOON, "the gauges", async || {
        let metrics = downloader.metrics().await;
        let behind = metrics.sum("seconds_behind_live", &LABELS);
        let running = metrics.sum("getters_running", &LABELS);
        let generation = metrics.sum("worker_generation", &LABELS);
        // The newest of three segments of 2 s ends 14 s before now.
        let good = (14.0..60.0).contains(&behind) && running == 1.0 && generation == 1.0;
        good.then_some(())
            .ok_or(format!("{behind} {running} {generation}"))
    })
    .await;
}
