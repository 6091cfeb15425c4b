//! Streams of every shape, from an origin without faults.

use tests::content::ts_bytes;
use tests::node::Node;
use tests::origin::{
    ByteRanges, Dates, LiveOptions, LiveStream, MasterPlaylist, NewSegment, Origin, Uris, Zone,
};

use super::{FAST, SOON, Scene, wait_for_metric};

/// Records what a stream lists at first and what follows, and expects all of it.
async fn records_all(options: LiveOptions) {
    let mut scene = Scene::new(options).await;
    let mut all = scene.push(3);
    let downloader = scene.record().await;
    scene.expect(&all).await;
    for _ in 0..8 {
        all.extend(scene.push(2));
        scene.expect(&all).await;
    }
    let labels = &[("channel", "test"), ("quality", "source"), ("type", "full")];
    // The last of what is counted of a segment.
    wait_for_metric(&downloader, "segment_size_count", labels, all.len() as f64).await;
    let metrics = downloader.metrics().await;
    assert_eq!(
        metrics.get("segments_downloaded_total", labels),
        Some(all.len() as f64)
    );
    let seconds = metrics.get("segment_duration_downloaded_total", labels);
    assert_eq!(seconds, Some(2.0 * all.len() as f64));
    let latest = all.last().unwrap().start.timestamp() as f64;
    assert_eq!(metrics.get("latest_segment", &labels[..2]), Some(latest));
}

#[tokio::test]
async fn every_segment_once_under_the_name_all_nodes_give_it() {
    // It runs over the end of an hour.
    records_all(LiveOptions::default()).await;
}

#[tokio::test]
async fn dates_on_the_first_of_each_list_in_a_zone_without_a_colon() {
    records_all(LiveOptions {
        dates: Dates::FirstInList,
        zone: Zone::PlusZero,
        uris: Uris::SchemeLess,
        ..LiveOptions::default()
    })
    .await;
}

#[tokio::test]
async fn a_date_on_the_first_of_the_stream_only_and_a_foreign_zone() {
    records_all(LiveOptions {
        dates: Dates::FirstOnly,
        zone: Zone::Minutes(330),
        crlf: true,
        byte_order_mark: true,
        query: "?token=x".to_owned(),
        ..LiveOptions::default()
    })
    .await;
}

#[tokio::test]
async fn byte_ranges_with_and_without_an_offset() {
    for byte_ranges in [ByteRanges::WithOffset, ByteRanges::Implied] {
        records_all(LiveOptions {
            byte_ranges,
            ..LiveOptions::default()
        })
        .await;
    }
}

#[tokio::test]
async fn digits_of_a_duration_survive() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let content = ts_bytes(7, 1000);
    let new = NewSegment::new("2.0021234567", content);
    let segment = scene.stream.push_segment(new);
    let _downloader = scene.record().await;
    assert!(segment.file().contains("-2.0021234567-full-"));
    scene.expect(&[segment]).await;
}

#[tokio::test]
async fn init_sections_go_in_front_and_change() {
    let mut scene = Scene::new(LiveOptions {
        extension: "m4s".to_owned(),
        ..LiveOptions::default()
    })
    .await;
    scene.stream.set_init(ts_bytes(100, 700));
    let mut all = scene.push(3);
    let _downloader = scene.record().await;
    scene.expect(&all).await;
    scene.stream.set_init(ts_bytes(101, 800));
    all.extend(scene.push(3));
    // A part of a file, as packagers that write one file do.
    let packed = ts_bytes(102, 2000);
    scene
        .origin
        .put("/live/all.mp4", packed.clone(), "video/mp4");
    let attributes = "URI=\"all.mp4\",BYTERANGE=\"500@100\"";
    scene.stream.set_init_at(attributes, packed.slice(100..600));
    all.extend(scene.push(3));
    scene.expect(&all).await;
    assert_eq!(scene.origin.count("/live/init0.mp4"), 1);
    assert_eq!(scene.origin.count("/live/all.mp4"), 1);
}

#[tokio::test]
async fn a_gap_is_not_asked_for_until_it_is_filled() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    let gap = NewSegment::new("2.000", ts_bytes(99, 1000))
        .tag("#EXT-X-GAP")
        .missing();
    let gap = scene.stream.push_segment(gap);
    all.extend(scene.push(1));
    let downloader = scene.record().await;
    scene.expect(&all).await;
    assert_eq!(scene.origin.count(&gap.path), 0);
    let line = "the origin says that it does not have segments";
    let line = downloader.wait_for_log(line, SOON).await;
    assert!(line.contains(&format!("[{}]", gap.sequence)), "{line}");
    let labels = [("channel", "test"), ("quality", "source")];
    let gaps = downloader
        .metrics()
        .await
        .get("segments_gap_total", &labels);
    assert_eq!(gaps, Some(1.0));
    // The origin has got it from somewhere.
    scene
        .origin
        .put(&gap.path, gap.content.clone(), "video/mp2t");
    let filled = scene.stream.render().replace("#EXT-X-GAP\n", "");
    scene.origin.put_playlist(&scene.stream.path(), filled);
    all.push(gap);
    scene.expect(&all).await;
}

/// Only Twitch's dates are signs of a bad connection (SPEC §5).
#[tokio::test]
async fn a_date_that_jumps_elsewhere_is_counted_and_no_reason_to_doubt() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    let downloader = scene.record().await;
    scene.expect(&all).await;
    let later = all[1].start + chrono::TimeDelta::seconds(9);
    scene.stream.jump_to(later);
    for _ in 0..2 {
        all.extend(scene.push(1));
        scene.expect(&all).await;
    }
    assert!(scene.of_type("suspect").is_empty());
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.sum("suspicious_skew_count_total", &[]), 1.0);
    // And none to look for another place.
    assert_eq!(metrics.sum("worker_generation", &[]), 1.0);
}

#[tokio::test]
async fn a_master_playlist_leads_to_its_best_variant() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let other = LiveStream::new(&scene.origin, "low", LiveOptions::default());
    let master = MasterPlaylist::new()
        .unnamed("low/playlist.m3u8", 1000)
        .unnamed("live/playlist.m3u8", 2000);
    scene.origin.put_playlist("/master.m3u8", master.render());
    let all = scene.push(3);
    let channel = format!("test:url:{}", scene.origin.url("/master.m3u8"));
    let _downloader = scene.node.start_downloader(&channel, FAST).await;
    scene.expect(&all).await;
    assert_eq!(scene.origin.count(&other.path()), 0);
}

#[tokio::test]
async fn a_redirect_decides_the_base_of_relative_uris() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(3);
    let moved = tests::origin::Fault::redirect(302, &scene.stream.url());
    scene.origin.always("/elsewhere/x.m3u8", moved);
    let channel = format!("test:url:{}", scene.origin.url("/elsewhere/x.m3u8"));
    let _downloader = scene.node.start_downloader(&channel, FAST).await;
    scene.expect(&all).await;
}

#[tokio::test]
async fn so_does_one_of_a_master_playlist() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(3);
    // The list is named relative to where the master playlist is found in the end.
    let master = MasterPlaylist::new().unnamed("playlist.m3u8", 1000);
    scene
        .origin
        .put_playlist("/live/master.m3u8", master.render());
    let moved = tests::origin::Fault::redirect(302, "/live/master.m3u8");
    scene.origin.always("/elsewhere/master.m3u8", moved);
    let channel = format!("test:url:{}", scene.origin.url("/elsewhere/master.m3u8"));
    let _downloader = scene.node.start_downloader(&channel, FAST).await;
    scene.expect(&all).await;
}

#[tokio::test]
async fn several_channels_in_one_process() {
    let origin = Origin::start().await;
    let node = Node::new("a");
    let mut specs = Vec::new();
    let mut expected = Vec::new();
    for name in ["one", "two", "three"] {
        let mut stream = LiveStream::new(&origin, name, LiveOptions::default());
        expected.push((name, stream.push(1000).file()));
        specs.push(format!("{name}:url:{}", stream.url()));
    }
    let _downloader = node.start_downloader(&specs.join(" "), FAST).await;
    for (name, file) in expected {
        tests::eventually(SOON, name, async || {
            let files = node.files(name, "source");
            files
                .contains_key(&file)
                .then_some(())
                .ok_or(format!("{files:?}"))
        })
        .await;
    }
}

#[tokio::test]
async fn bad_options_are_one_line_and_exit_code_2() {
    let node = Node::new("a");
    for (arguments, named) in [
        (vec!["a:url:nonsense"], "\"nonsense\""),
        (vec!["../a:url:http://127.0.0.1/"], "dot"),
        (
            vec!["a:url:http://127.0.0.1/", "a:url:http://127.0.0.2/"],
            "given twice",
        ),
        (
            vec!["a:url:http://127.0.0.1/", "--qualities", "720p"],
            "only the quality source",
        ),
        (vec!["a", "--qualities", "source,chat"], "chat"),
        (vec![" "], "no channel"),
        (
            vec!["a:url:http://127.0.0.1/", "--qualities", "a/b"],
            "slash",
        ),
        (
            vec!["a:url:http://127.0.0.1/", "--metrics-port", "x"],
            "--metrics-port",
        ),
        (vec!["a:url:http://127.0.0.1/", "--log", "a=b=c"], "--log"),
        (vec!["a:url:http://127.0.0.1/", "--log", "inof"], "--log"),
        (vec![], "CHANNEL"),
    ] {
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let mut downloader = node.start("downloader", &arguments, &[]).await;
        // RUST_LOG, which the harness sets, would hide --log.
        if named == "--log" {
            downloader = node
                .start("downloader", &arguments, &[("RUST_LOG", "")])
                .await;
        }
        let status = downloader.wait(SOON).await;
        let log = downloader.log();
        assert_eq!(status.code(), Some(2), "{log:?}");
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].contains(named), "{log:?}");
    }
}

/// A good channel beside a bad one, in one variable, and a bad one.
#[tokio::test]
async fn what_is_wrong_with_a_channel_is_told_without_its_secrets() {
    let node = Node::new("a");
    for (channels, named) in [
        ("a:url:http://h/x?token=SECRET b:nonsense", "\"nonsense\""),
        ("a:url:ftp://user:SECRET@h", "no http or https URL"),
    ] {
        let variables = [("DOWNLOADER_CHANNELS", channels)];
        let mut downloader = node.start("downloader", &[], &variables).await;
        assert_eq!(downloader.wait(SOON).await.code(), Some(2));
        let log = downloader.log();
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(
            log[0].contains(named) && !log[0].contains("SECRET"),
            "{log:?}"
        );
    }
}

/// A quality that a channel of its type never has is told once and no reason to look for it;
/// a list may have blanks in it.
#[tokio::test]
async fn a_quality_that_cannot_be_there_is_not_looked_for() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(2);
    let channel = format!("test!:url:{}", scene.stream.url());
    let arguments = [FAST[0], FAST[1], "--qualities", "720p60, source"];
    let downloader = scene.node.start_downloader(&channel, &arguments).await;
    let line = downloader
        .wait_for_log("never has this quality", SOON)
        .await;
    assert!(line.contains("quality=720p60"), "{line}");
    scene.expect(&all).await;
    let metrics = downloader.metrics().await;
    let expected = |quality| [("channel", "test"), ("quality", quality)];
    assert_eq!(
        metrics.get("recording_expected", &expected("source")),
        Some(1.0)
    );
    assert_eq!(metrics.get("recording_expected", &expected("720p60")), None);
    assert_eq!(downloader.count_log("never has this quality"), 1);
    assert_eq!(downloader.count_log("a quality is not there"), 0);
}

/// A word that is no level would silence all of the log.
#[tokio::test]
async fn a_typing_error_in_rust_log_is_told() {
    let node = Node::new("a");
    let arguments = ["a:url:http://127.0.0.1/".to_owned()];
    let variables = [("RUST_LOG", "inof")];
    let mut downloader = node.start("downloader", &arguments, &variables).await;
    assert_eq!(downloader.wait(SOON).await.code(), Some(2));
    let log = downloader.log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(
        log[0].contains("RUST_LOG") && log[0].contains("'inof'"),
        "{log:?}"
    );
}

#[tokio::test]
async fn options_come_from_the_environment_too() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(2);
    let base = scene.node.base_dir().display().to_string();
    // Blanks as a compose file may have them, and a variable that is there but empty.
    let channels = format!("  test:url:{} \n other:url:{0} ", scene.stream.url());
    let environment = [
        ("DOWNLOADER_CHANNELS", channels.as_str()),
        ("DOWNLOADER_QUALITIES", ""),
        ("DOWNLOADER_BASE_DIR", &base),
        ("DOWNLOADER_METRICS_PORT", "0"),
        ("DOWNLOADER_TIME_SCALE", "0.1"),
    ];
    let _downloader = scene.node.start("downloader", &[], &environment).await;
    scene.expect(&all).await;
}
