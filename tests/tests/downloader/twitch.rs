//! Twitch, as its real answers are shaped: the token, the usher service, advertisements, skew.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use tests::content::ts_bytes;
use tests::node::Service;
use tests::origin::{
    Fault, LiveOptions, LiveStream, Log, MasterPlaylist, Matching, NewSegment, Published, Resource,
};

use super::{SOON, Scene};

const LABELS: [(&str, &str); 2] = [("channel", "test"), ("quality", "source")];
const USHER: &str = "/api/channel/hls/test.m3u8";

/// A stand-in for Twitch at the scene's origin, which leads to a stream.
fn twitch(scene: &Scene) {
    let answer = serde_json::json!({"data": {"streamPlaybackAccessToken": {
        "value": "{\"channel\":\"test\"}", "signature": "0123abc", "__typename": "PlaybackAccessToken"}}});
    scene.origin.handle("/gql", move |request| {
        let right = request.method == "POST"
            && request.header("client-id") == Some("kimne78kx3ncx6brgo4mv6wki5h1ko");
        Some(match right {
            true => Resource::json(&answer),
            false => Resource::text("bad").status(400),
        })
    });
    lead_to(scene, &scene.stream);
}

/// What the usher service answers from now on.
fn lead_to(scene: &Scene, stream: &LiveStream) {
    let master = MasterPlaylist::new()
        .tag("#EXT-X-TWITCH-INFO:NODE=\"x\"")
        .named("1080p60 (source)", &stream.path(), 6_000_000)
        .named("720p60", "/low/playlist.m3u8", 3_000_000);
    scene.origin.put_playlist(USHER, master.render());
}

async fn record(scene: &Scene, extra: &[&str]) -> Service {
    let (gql, usher) = (scene.origin.url("/gql"), scene.origin.url("/"));
    let mut arguments = vec![
        "--time-scale",
        "0.1",
        "--twitch-gql",
        &gql,
        "--twitch-usher",
        &usher,
    ];
    arguments.extend(extra);
    scene.node.start_downloader("test!", &arguments).await
}

fn advertisement(seed: u64) -> NewSegment {
    NewSegment::new("2.000", ts_bytes(seed, 1000)).title("Amazon|5000000000")
}

#[tokio::test]
async fn asks_as_the_web_player_does() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    let all = scene.push(3);
    let file = scene.node.base_dir().join(".token");
    std::fs::write(&file, "sesame123\n").unwrap();
    let file = file.display().to_string();
    let downloader = record(&scene, &["--twitch-auth-file", &file]).await;
    scene.expect(&all).await;
    let log = scene.origin.log();
    let request = &log.last("/gql").unwrap().request;
    assert_eq!(request.header("authorization"), Some("OAuth sesame123"));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["operationName"], "PlaybackAccessToken");
    assert_eq!(body["variables"]["login"], "test");
    assert_eq!(
        body["extensions"]["persistedQuery"]["sha256Hash"],
        "ed230aa1e33e07eebb8928504583da78a5173989fadfb1ac94be06a04f3cdbe9"
    );
    let request = &log.last(USHER).unwrap().request;
    for (name, value) in [
        ("sig", "0123abc"),
        ("token", "{\"channel\":\"test\"}"),
        ("player", "twitchweb"),
        ("type", "any"),
        ("allow_source", "true"),
        ("allow_audio_only", "true"),
        ("allow_spectre", "false"),
        ("fast_bread", "true"),
        ("supported_codecs", "av1,h265,h264"),
    ] {
        assert_eq!(request.parameter(name).as_deref(), Some(value), "{name}");
    }
    assert!(request.parameter("p").unwrap().parse::<u32>().is_ok());
    for header in ["referer", "origin"] {
        assert!(
            request
                .header(header)
                .unwrap()
                .starts_with("https://player.twitch.tv")
        );
    }
    let secrets = ["sesame123", "0123abc"];
    let leaked = downloader
        .log()
        .into_iter()
        .find(|l| secrets.iter().any(|s| l.contains(s)));
    assert_eq!(leaked, None);
}

/// A token that is not accepted, then a file that is not there: recorded all the same, told once.
#[tokio::test]
async fn a_token_that_is_of_no_use_stops_no_recording() {
    for there in [true, false] {
        let mut scene = Scene::new(LiveOptions::default()).await;
        scene.origin.handle("/gql", |request| {
            let revoked = request.header("authorization").is_some();
            let answer = serde_json::json!({"error": "Unauthorized", "status": 401,
                "message": "The \"Authorization\" token is invalid."});
            revoked.then(|| Resource::json(&answer).status(401))
        });
        twitch(&scene);
        let all = scene.push(3);
        let file = scene.node.base_dir().join(".token");
        if there {
            std::fs::write(&file, "revoked\n").unwrap();
        }
        let file = file.display().to_string();
        // Looked for again and again.
        let extra = ["--twitch-auth-file", &file, "--max-url-age", "1"];
        let downloader = record(&scene, &extra).await;
        scene.expect(&all).await;
        let looks = |log: &Log| log.count(USHER) >= 3;
        scene.origin.wait_for(SOON, looks).await.unwrap();
        assert_eq!(downloader.count_log("the OAuth token is of no use"), 1);
        assert_eq!(downloader.count_log("revoked"), 0);
    }
}

#[tokio::test]
async fn offline_is_waited_for_and_no_such_channel_is_said() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    let all = scene.push(2);
    let rule = scene.origin.always(USHER, Fault::status(404));
    let downloader = record(&scene, &[]).await;
    downloader.wait_for_log("it is not live", SOON).await;
    let log = scene.origin.log();
    let request = &log.last("/gql").unwrap().request;
    assert_eq!(request.header("authorization"), None);
    scene.origin.remove_rule(rule);
    scene.expect(&all).await;
    drop(downloader);

    let null = serde_json::json!({"data": {"streamPlaybackAccessToken": null}});
    scene
        .origin
        .always("/gql", Fault::answer(Resource::json(&null)));
    let downloader = record(&scene, &[]).await;
    downloader
        .wait_for_log("there is no channel of that name", SOON)
        .await;
}

#[tokio::test]
async fn secrets_stay_out_of_the_log_when_the_usher_fails() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    scene.push(1);
    scene.origin.next(1, USHER, Fault::status(500));
    scene.origin.next(1, USHER, Fault::reset());
    let downloader = record(&scene, &["--log", "debug"]).await;
    downloader.wait_for_log("live channel=test", SOON).await;
    let leaked = downloader
        .log()
        .into_iter()
        .find(|line| line.contains("0123abc"));
    assert_eq!(leaked, None);
}

#[tokio::test]
async fn a_quality_that_is_not_there_is_named_with_what_there_is() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    let all = scene.push(2);
    let downloader = record(&scene, &["--qualities", "source,480p"]).await;
    let line = downloader
        .wait_for_log("a quality is not there", SOON)
        .await;
    assert!(
        line.contains("480p") && line.contains("1080p60 (source), 720p60"),
        "{line}"
    );
    scene.expect(&all).await;
}

#[tokio::test]
async fn a_quality_that_comes_later_is_recorded_from_then_on() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    let all = scene.push(2);
    let downloader = record(&scene, &["--qualities", "source,480p"]).await;
    downloader
        .wait_for_log("a quality is not there", SOON)
        .await;
    let mut low = LiveStream::new(&scene.origin, "480p", LiveOptions::default());
    let file = low.push(500).file();
    let master = MasterPlaylist::new()
        .named("1080p60 (source)", &scene.stream.path(), 6_000_000)
        .named("480p", &low.path(), 1_000_000);
    scene.origin.put_playlist(USHER, master.render());
    tests::eventually(SOON, "the other quality", async || {
        let files = scene.node.files("test", "480p");
        files
            .contains_key(&file)
            .then_some(())
            .ok_or(format!("{files:?}"))
    })
    .await;
    scene.expect(&all).await;
}

#[tokio::test]
async fn advertisements_are_counted_and_not_recorded() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    for seed in 0..2 {
        scene.stream.push_segment(advertisement(1000 + seed));
    }
    let downloader = record(&scene, &[]).await;
    let mut all = scene.push(2);
    scene.expect(&all).await;
    // By date range alone, in the middle.
    let start = all.last().unwrap().start + TimeDelta::seconds(2);
    scene.stream.options_mut().head_tags = vec![format!(
        "#EXT-X-DATERANGE:ID=\"stitched-ad-1\",CLASS=\"twitch-stitched-ad\",START-DATE=\"{}\",DURATION=4.0",
        start.format("%Y-%m-%dT%H:%M:%S%.3fZ")
    )];
    scene.push(2);
    all.extend(scene.push(2));
    scene.expect(&all).await;
    let ads = downloader
        .metrics()
        .await
        .get("ad_segments_ignored_total", &LABELS);
    assert_eq!(ads, Some(4.0));
}

/// The timeline of a hand-over: the old connection has the show while the new one still shows
/// advertisements; the old one goes on until the new one has the show too.
#[tokio::test]
async fn the_old_connection_goes_on_while_the_new_one_has_a_pre_roll() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    let mut all = scene.push(3);
    let start = all[0].start;
    let downloader = record(&scene, &[]).await;
    scene.expect(&all).await;
    // A failed poll asks for a successor, which gets a pre-roll.
    let options = LiveOptions {
        start,
        ..LiveOptions::default()
    };
    let mut fresh = LiveStream::new(&scene.origin, "fresh", options);
    fresh.push_segment(advertisement(1));
    lead_to(&scene, &fresh);
    scene
        .origin
        .next(1, scene.stream.path(), Fault::status(500));
    let polled = |log: &Log| log.count("/fresh/playlist.m3u8") >= 3;
    scene.origin.wait_for(SOON, polled).await.unwrap();
    for seed in 2..4 {
        // Both alive at once: the show here, advertisements there.
        all.extend(scene.push(1));
        fresh.push_segment(advertisement(seed));
        scene.expect(&all).await;
    }
    // The new one comes to the show, with the same segments under other URLs.
    let shown = all.last().unwrap().clone();
    fresh.push_segment(
        NewSegment::new(&shown.duration, shown.content.clone())
            .discontinuity()
            .starting(shown.start),
    );
    let before = scene.origin.count(&fresh.path());
    let seen = |log: &Log| log.count("/fresh/playlist.m3u8") > before + 1;
    scene.origin.wait_for(SOON, seen).await.unwrap();
    all.push(fresh.push(7777));
    scene.expect(&all).await;
    // From now on the old one is left alone.
    let (old, new) = (
        scene.origin.count(&scene.stream.path()),
        scene.origin.count(&fresh.path()),
    );
    let more = |log: &Log| log.count("/fresh/playlist.m3u8") > new + 5;
    scene.origin.wait_for(SOON, more).await.unwrap();
    assert_eq!(scene.origin.count(&scene.stream.path()), old);
    let metrics = downloader.metrics().await;
    assert_eq!(metrics.sum("segments_lost_total", &[]), 0.0);
    assert_eq!(metrics.sum("worker_generation", &[]), 2.0);
}

/// Each answer that a hand-over waits for is asked for again long before it is given up (30 s).
#[tokio::test]
async fn answers_that_never_come_hold_up_no_hand_over() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    let mut all = scene.push(3);
    let _downloader = record(&scene, &[]).await;
    scene.expect(&all).await;
    let options = LiveOptions {
        start: all[0].start,
        ..LiveOptions::default()
    };
    let mut fresh = LiveStream::new(&scene.origin, "fresh", options);
    for segment in &all {
        fresh.push_segment(NewSegment::new(&segment.duration, segment.content.clone()));
    }
    all.push(fresh.push(6000));
    lead_to(&scene, &fresh);
    let before = scene.origin.log();
    let paths = ["/gql", USHER, "/fresh/playlist.m3u8"];
    for path in paths {
        let forever = Fault::stall_head(tests::origin::Hold::Forever);
        scene.origin.next(1, path, forever);
    }
    scene.origin.always(scene.stream.path(), Fault::expired());
    scene.expect(&all).await;
    let log = scene.origin.log();
    for path in paths {
        let asked: Vec<_> = log.of(path).skip(before.count(path)).collect();
        // In fast time: 0.2 s after the first, where giving it up would take 3 s.
        let later = asked[1].started - asked[0].started;
        assert!(later.as_secs_f64() < 1.5, "{path}: {later:?}");
    }
}

#[tokio::test]
async fn a_date_that_jumps_makes_what_follows_suspect_and_asks_for_a_successor() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    let all = scene.push(3);
    let downloader = record(&scene, &[]).await;
    scene.expect(&all).await;
    // Another connection has the same under other URLs.
    let later = all.last().unwrap().start + TimeDelta::milliseconds(2500);
    let jump = || NewSegment::new("2.000", ts_bytes(50, 5000)).starting(later);
    let mut fresh = LiveStream::new(&scene.origin, "fresh", LiveOptions::default());
    for segment in &all {
        fresh.push_segment(NewSegment::new(&segment.duration, segment.content.clone()));
    }
    fresh.push_segment(jump());
    lead_to(&scene, &fresh);
    let jumped = scene.stream.push_segment(jump());
    let suspect = jumped.file().replace("-full-", "-suspect-");
    tests::eventually(
        SOON,
        "a suspect segment, and then the full one",
        async || {
            let files = scene.node.files("test", "source");
            // The successor begins with a clean slate: it has seen no jump.
            let both = files.contains_key(&suspect) && files.contains_key(&jumped.file());
            both.then_some(()).ok_or(format!("{files:?}"))
        },
    )
    .await;
    let metrics = downloader.metrics().await;
    assert!(metrics.sum("suspicious_skew_count_total", &LABELS) >= 1.0);
    assert!(metrics.sum("worker_generation", &LABELS) >= 2.0);
}

/// The same show under another URL, which leads on.
fn renewed(scene: &Scene, all: &[Published], directory: &str) -> LiveStream {
    let mut fresh = LiveStream::new(&scene.origin, directory, LiveOptions::default());
    for segment in all {
        fresh.push_segment(NewSegment::new(&segment.duration, segment.content.clone()));
    }
    fresh
}

/// The old URL works as before, and is replaced for its age alone: nothing is lost and nothing
/// fetched twice.
async fn is_replaced_for_its_age(
    scene: &Scene,
    downloader: &Service,
    mut fresh: LiveStream,
    mut all: Vec<Published>,
) {
    let is_polled = |log: &Log| log.count(&fresh.path()) > 3;
    scene.origin.wait_for(SOON, is_polled).await.unwrap();
    let asked = scene.origin.count(&scene.stream.path());
    for n in 0..2 {
        all.push(fresh.push(5000 + n));
        scene.expect(&all).await;
    }
    assert_eq!(
        scene.origin.count(&scene.stream.path()),
        asked,
        "the old one has been relieved"
    );
    assert_eq!(scene.origin.count("/fresh/0.ts"), 0);
    let metrics = downloader.metrics().await;
    assert!(metrics.sum("worker_generation", &LABELS) >= 2.0);
    assert_eq!(metrics.sum("playlist_fetch_failures_total", &LABELS), 0.0);
}

#[tokio::test]
async fn a_url_of_twitch_is_replaced_when_it_is_old() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    twitch(&scene);
    let all = scene.push(3);
    let downloader = record(&scene, &["--max-url-age", "1"]).await;
    scene.expect(&all).await;
    let fresh = renewed(&scene, &all, "fresh");
    lead_to(&scene, &fresh);
    is_replaced_for_its_age(&scene, &downloader, fresh, all).await;
}

/// A program that stands in for yt-dlp and finds this URL.
fn find(scene: &Scene, url: &str) -> String {
    let script = scene.node.base_dir().join(".yt-dlp");
    let json = serde_json::json!({"id": "x", "url": url});
    let new = scene.node.base_dir().join(".yt-dlp.new");
    std::fs::write(&new, format!("#!/bin/sh\necho '{json}'\n")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, &script).unwrap();
    script.display().to_string()
}

#[tokio::test]
async fn a_url_of_youtube_is_replaced_when_it_is_old() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(3);
    let script = find(&scene, &scene.stream.url());
    let extra = [
        "--yt-dlp",
        &script,
        "--time-scale",
        "0.1",
        "--max-url-age",
        "1",
    ];
    let channel = "test:youtube:https://youtube.example/live";
    let downloader = scene.node.start_downloader(channel, &extra).await;
    scene.expect(&all).await;
    let fresh = renewed(&scene, &all, "fresh");
    find(&scene, &fresh.url());
    is_replaced_for_its_age(&scene, &downloader, fresh, all).await;
}

#[tokio::test]
async fn prefetch_is_left_alone() {
    let mut scene = Scene::new(LiveOptions {
        foot_tags: vec!["#EXT-X-TWITCH-PREFETCH:/live/next.ts".to_owned()],
        ..LiveOptions::default()
    })
    .await;
    twitch(&scene);
    let mut all = scene.push(3);
    let _downloader = record(&scene, &[]).await;
    scene.expect(&all).await;
    all.extend(scene.push(2));
    scene.expect(&all).await;
    assert_eq!(scene.origin.count("/live/next.ts"), 0);
}

#[tokio::test]
async fn a_missing_yt_dlp_is_one_clear_message() {
    let scene = Scene::new(LiveOptions::default()).await;
    let extra = ["--yt-dlp", "/nonexistent/yt-dlp"];
    let channel = "test:youtube:https://youtube.example/live";
    let downloader = scene.node.start_downloader(channel, &extra).await;
    let line = downloader.wait_for_log("yt-dlp", SOON).await;
    assert!(line.contains("pip install yt-dlp"), "{line}");
}

#[tokio::test]
async fn youtube_is_asked_for_at_most_four_segments_at_once() {
    let mut scene = Scene::new(LiveOptions {
        window: 20,
        ..LiveOptions::default()
    })
    .await;
    let all = scene.push(20);
    let script = find(&scene, &scene.stream.url());
    let gate = tests::origin::Gate::new();
    let held = Fault::stall_head(tests::origin::Hold::Until(gate.clone()));
    scene.origin.always(Matching::suffix(".ts"), held);
    let extra = ["--yt-dlp", script.as_str(), "--time-scale", "0.1"];
    let channel = "test:youtube:https://youtube.example/live";
    let _downloader = scene.node.start_downloader(channel, &extra).await;
    let asked = |log: &Log| -> BTreeSet<String> {
        let segments = log.iter().filter(|e| e.request.path.ends_with(".ts"));
        segments.map(|e| e.request.path.clone()).collect()
    };
    // Each of the four makes a second attempt before a fifth is asked for.
    let late = |log: &Log| {
        log.iter()
            .filter(|e| e.request.path.ends_with(".ts"))
            .count()
            >= 8
    };
    scene.origin.wait_for(SOON, late).await.unwrap();
    assert_eq!(asked(&scene.origin.log()).len(), 4);
    gate.open();
    scene.expect(&all).await;
}
