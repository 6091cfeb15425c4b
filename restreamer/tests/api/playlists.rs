//! `/playlist/…`, read back by m3u8-rs.

use std::time::Duration;

use axum::http::StatusCode;
use m3u8_rs::{MasterPlaylist, MediaPlaylist, Playlist};

use crate::support::{Answer, Api, name};

fn media(answer: &Answer) -> MediaPlaylist {
    check(answer);
    match m3u8_rs::parse_playlist_res(&answer.body) {
        Ok(Playlist::MediaPlaylist(playlist)) => playlist,
        other => panic!("no media playlist: {other:?}\n{}", answer.text()),
    }
}

fn master(answer: &Answer) -> MasterPlaylist {
    check(answer);
    match m3u8_rs::parse_playlist_res(&answer.body) {
        Ok(Playlist::MasterPlaylist(playlist)) => playlist,
        other => panic!("no master playlist: {other:?}\n{}", answer.text()),
    }
}

fn check(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("application/vnd.apple.mpegurl"));
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
}

/// Adds an hour of segments of 10 s, the first and last of them spanning the hour's edges.
fn add_hour(api: &Api, quality: &str, hour: &str, bytes: usize) {
    for n in 0..360 {
        let (minute, second) = (n / 6, n % 6 * 10 + 5);
        let name = name(&format!("{minute:02}:{second:02}.000000-10.0-full"));
        let path = format!("c/{quality}/{hour}/{name}");
        api.write(&path, &vec![0; bytes]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_listed_and_every_path_leads_to_its_segment() {
    let api = Api::new(&[]);
    add_hour(&api, "a b", "2026-01-02T03", 7);
    add_hour(&api, "a b", "2026-01-02T04", 7);
    let target = "/playlist/c/a%20b.m3u8?start=2026-01-02T04:00:00&end=2026-01-02T05:00:00";
    let playlist = media(&api.get(target).await);
    assert!(playlist.end_list);
    assert_eq!(playlist.target_duration, 10);
    // From the segment that spans the start through the one that spans the end.
    assert_eq!(playlist.segments.len(), 361);
    let times: Vec<String> = [0, 360]
        .map(|n| playlist.segments[n].program_date_time.unwrap().to_rfc3339())
        .into();
    assert_eq!(
        times,
        ["2026-01-02T03:59:55+00:00", "2026-01-02T04:59:55+00:00"]
    );
    for segment in playlist.segments.iter().step_by(60) {
        let answer = api.get(&segment.uri).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", segment.uri);
        assert_eq!(answer.body.len(), 7);
        assert!(!segment.discontinuity);
    }
    let head = api.request("HEAD", target, &[]).await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(head.body.is_empty());
    let length: usize = head.header("content-length").unwrap().parse().unwrap();
    assert!(length > 361 * 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_end_it_never_claims_to_be_complete() {
    let api = Api::new(&[]);
    add_hour(&api, "source", "2026-01-02T03", 1);
    for query in ["", "?start=2026-01-02T03:30", "?start=2020", "?other=x"] {
        let playlist = api.get(&format!("/playlist/c/source.m3u8{query}")).await;
        if query == "?start=2020" {
            assert_eq!(playlist.status, StatusCode::BAD_REQUEST);
            continue;
        }
        let playlist = media(&playlist);
        assert!(!playlist.end_list, "{query}");
        let full = if query.contains("30") { 181 } else { 360 };
        assert_eq!(playlist.segments.len(), full, "{query}");
    }
    // With one, it is as complete as the range.
    let playlist = media(
        &api.get("/playlist/c/source.m3u8?end=2026-01-02T03:10")
            .await,
    );
    assert!(playlist.end_list);
    assert_eq!(playlist.segments.len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_there_is_an_empty_list() {
    let api = Api::new(&["c/empty/"]);
    add_hour(&api, "source", "2026-01-02T03", 1);
    for target in [
        "/playlist/c/empty.m3u8",
        "/playlist/c/empty.m3u8?start=2026-01-02T03:00",
        "/playlist/c/source.m3u8?start=2026-01-05&end=2026-01-06",
        "/playlist/c/source.m3u8?start=2026-01-05",
        "/playlist/c/source.m3u8?end=2026-01-01",
    ] {
        let playlist = media(&api.get(target).await);
        assert!(playlist.segments.is_empty(), "{target}");
        assert!(!playlist.end_list, "{target}");
    }
    let target = "/playlist/c/empty.m3u8?start=0001-01-01T00&end=9999-12-31";
    assert!(media(&api.get(target).await).segments.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_on_disk_is_in_the_next_playlist() {
    let api = Api::new(&["c/source/2026-01-02T03/"]);
    let target = "/playlist/c/source.m3u8";
    for n in 0..60 {
        let segment = name(&format!("00:{n:02}.000000-1.0-full"));
        api.write(&format!("c/source/2026-01-02T03/{segment}"), b"x");
        assert_eq!(media(&api.get(target).await).segments.len(), n + 1);
    }
    let bounded = format!("{target}?start=2026-01-02T03:00&end=2026-01-02T04:00");
    assert_eq!(media(&api.get(&bounded).await).segments.len(), 60);
    let first = name("00:00.000000-1.0-full").replace(".ts", ".tombstone");
    api.write(&format!("c/source/2026-01-02T03/{first}"), b"");
    assert_eq!(media(&api.get(&bounded).await).segments.len(), 59);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_the_list_gets_no_body_until_it_changes() {
    let api = Api::new(&[]);
    add_hour(&api, "source", "2026-01-02T03", 100);
    let range = "start=2026-01-02T03:10&end=2026-01-02T03:20";
    let media = format!("/playlist/c/source.m3u8?{range}");
    let tags = async || {
        let mut tags = Vec::new();
        for (target, life) in [
            (media.as_str(), "public, max-age=3600"),
            ("/playlist/c/source.m3u8", "no-cache"),
            ("/playlist/c.m3u8", "no-cache"),
            ("/files/c/source/2026-01-02T03", "no-cache"),
        ] {
            let answer = api.get(target).await;
            assert_eq!(answer.header("cache-control"), Some(life), "{target}");
            let tag = answer.header("etag").unwrap().to_owned();
            let known = [("if-none-match", tag.as_str())];
            let again = api.request("GET", target, &known).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{target}");
            assert!(again.body.is_empty());
            assert_eq!(again.header("etag"), Some(tag.as_str()));
            tags.push(tag);
        }
        tags
    };
    let before = tags().await;
    assert_eq!(tags().await, before);
    let other = format!("{media}:30");
    assert_ne!(api.get(&other).await.header("etag"), Some(&*before[0]));
    for segment in [
        "15:05.000000-10.004-full",
        "59:59.000000-30.0-full",
        "59:57.0-4.0-full",
    ] {
        let path = format!("c/source/2026-01-02T03/{}", name(segment));
        api.write(&path, &[0; 1000]);
    }
    let path = format!("c/source/2026-01-02T04/{}", name("00:05.000000-2.0-full"));
    api.write(&path, &[0; 1000]);
    let after = tags().await;
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before, after);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_in_the_same_hour_does_not_change_a_range() {
    let api = Api::new(&[]);
    add_hour(&api, "source", "2026-01-02T03", 1);
    let target = "/playlist/c/source.m3u8?start=2026-01-02T03:10&end=2026-01-02T03:40";
    let write = |segment: &str| {
        let path = format!("c/source/2026-01-02T03/{}", name(segment));
        api.write(&path, b"x");
    };
    for encoding in ["identity", "gzip"] {
        let accept = ("accept-encoding", encoding);
        let before = api.request("GET", target, &[accept]).await;
        write(&format!("59:5{}.000000-1.0-full", encoding.len()));
        let tag = before.header("etag").unwrap();
        let known = [accept, ("if-none-match", tag)];
        let again = api.request("GET", target, &known).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{encoding}");
        let after = api.request("GET", target, &[accept]).await;
        assert_eq!(after.body, before.body, "{encoding}");
        write(&format!("20:0{}.000000-10.0-full", encoding.len() - 4));
        let changed = api.request("GET", target, &known).await;
        assert_eq!(changed.status, StatusCode::OK, "{encoding}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_complete_and_past_is_kept() {
    let api = Api::new(&[]);
    add_hour(&api, "source", "2026-01-02T03", 1);
    let hole = name("30:05.000000-10.0-full");
    let long = Some("public, max-age=3600");
    // (range, kept with all, kept with a hole at 30:05)
    let table = [
        ("start=2026-01-02T03:10&end=2026-01-02T03:20", long, long),
        ("start=2026-01-02T03:10&end=2026-01-02T03:40", long, None),
        ("start=2026-01-02T03:10&end=2026-01-02T05:00", None, None),
        // Begins with a hole, which no tag tells of.
        ("start=2026-01-02T03:00&end=2026-01-02T03:20", None, None),
        ("start=2026-01-02T03:00:05&end=2026-01-02T03:20", long, long),
        ("start=2026-01-02T03:30:10&end=2026-01-02T03:40", long, None),
        // The first hour may yet be another.
        ("end=2026-01-02T03:20", None, None),
        ("start=2026-01-02T03:10", None, None),
        ("start=2026-01-02T03:10&end=9999-01-01", None, None),
    ];
    for with_hole in [false, true] {
        if with_hole {
            std::fs::remove_file(api.path(&format!("c/source/2026-01-02T03/{hole}"))).unwrap();
        }
        for (range, whole, holed) in table {
            let target = format!("/playlist/c/source.m3u8?{range}");
            let life = if with_hole { holed } else { whole };
            let answer = api.get(&target).await;
            assert_eq!(
                answer.header("cache-control"),
                life.or(Some("no-cache")),
                "{range}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_it_says_the_same() {
    let api = Api::new(&[]);
    add_hour(&api, "source", "2026-01-02T03", 1);
    let gzip = [("accept-encoding", "gzip, deflate, br, zstd")];
    for target in [
        "/playlist/c/source.m3u8?start=2026-01-02T03:00:05&end=2026-01-02T04:00:05",
        "/playlist/c/source.m3u8?start=2026-01-02T03:12:34&end=2026-01-02T03:56",
        "/playlist/c/source.m3u8?start=2026-01-02T03:12:34",
        "/playlist/c/source.m3u8?start=2026-02-02&end=2026-02-03",
    ] {
        let plain = api.get(target).await;
        let packed = api.request("GET", target, &gzip).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(packed.header("vary"), Some("accept-encoding"));
        assert_eq!(plain.header("vary"), Some("accept-encoding"));
        assert_eq!(packed.content(), plain.body, "{target}");
        assert_ne!(packed.header("etag"), plain.header("etag"));
        let length = packed.body.len().to_string();
        assert_eq!(packed.header("content-length"), Some(length.as_str()));
        let tag = packed.header("etag").unwrap();
        let known = [gzip[0], ("if-none-match", tag)];
        let again = api.request("GET", target, &known).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        assert_eq!(again.header("content-encoding"), None);
        let head = api.request("HEAD", target, &gzip).await;
        assert_eq!(head.header("content-length"), Some(length.as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_list_only_ever_grows_at_its_end() {
    let api = Api::new(&[]);
    let add = |second: u32| {
        let name = name(&format!("00:{second:02}.000000-2.0-full"));
        api.write(&format!("c/source/2026-01-02T03/{name}"), b"x");
    };
    [0, 2, 6, 8].into_iter().for_each(add);
    let seconds = |answer: &Answer| {
        let playlist = media(answer);
        let times = playlist.segments.iter().map(|segment| {
            let mark = if segment.discontinuity { "|" } else { "" };
            format!("{mark}{}", segment.program_date_time.unwrap().format("%-S"))
        });
        times.collect::<Vec<_>>().join(" ")
    };
    let live = "/playlist/c/source.m3u8?start=2026-01-02T03:00";
    let answer = api.get(live).await;
    assert_eq!(seconds(&answer), "0 2 |6 8");
    assert!(answer.text().contains("\n#EXT-X-START:TIME-OFFSET=-6\n"));
    assert!(answer.text().contains("\n#EXT-X-TARGETDURATION:2\n"));
    // What was missing comes late: a player that has seen the list is not told, others are.
    add(4);
    add(10);
    assert_eq!(seconds(&api.get(live).await), "0 2 |6 8 10");
    assert_eq!(
        seconds(&api.get(&format!("{live}:00")).await),
        "0 2 |6 8 10"
    );
    assert_eq!(
        seconds(&api.get("/playlist/c/source.m3u8").await),
        "0 2 4 6 8 10"
    );
    let answer = api.get(&format!("{live}&end=2026-01-02T03:00:12")).await;
    assert_eq!(seconds(&answer), "0 2 4 6 8 10");
    assert!(!answer.text().contains("EXT-X-START"));
    // Hours later it still goes on, and after twelve the oldest slides out.
    for hour in ["2026-01-02T10", "2026-01-02T16"] {
        let name = name("00:00.000000-2.0-full");
        api.write(&format!("c/source/{hour}/{name}"), b"x");
    }
    // What follows a hole is held back.
    assert_eq!(seconds(&api.get(live).await), "0 2 |6 8 10");
    tokio::time::advance(Duration::from_secs(15)).await;
    let playlist = media(&api.get(live).await);
    assert_eq!(playlist.media_sequence, 5);
    assert_eq!(playlist.discontinuity_sequence, 2);
    assert_eq!(seconds(&api.get(live).await), "0 |0");
    // Retention takes hours away.
    std::fs::remove_dir_all(api.path("c/source/2026-01-02T10")).unwrap();
    std::fs::remove_dir_all(api.path("c/source/2026-01-02T03")).unwrap();
    let playlist = media(&api.get(live).await);
    assert_eq!((playlist.media_sequence, playlist.segments.len()), (6, 1));
    assert_eq!(playlist.discontinuity_sequence, 3);
    // Whoever asks for that much for the first time is refused.
    let answer = api
        .get("/playlist/c/source.m3u8?start=2026-01-02T02:59")
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_live_playlist_that_is_empty_for_a_while_goes_on() {
    let api = Api::new(&[]);
    add_hour(&api, "source", "2026-01-02T03", 10);
    let live = "/playlist/c/source.m3u8";
    let first = media(&api.get(live).await);
    let said = first.segments.len() as u64;
    assert_eq!(first.media_sequence, 0);
    std::fs::remove_dir_all(api.path("c/source/2026-01-02T03")).unwrap();
    let empty = media(&api.get(live).await);
    assert_eq!((empty.media_sequence, empty.segments.len()), (said, 0));
    add_hour(&api, "source", "2026-01-02T05", 10);
    media(&api.get(live).await);
    tokio::time::advance(Duration::from_secs(15)).await;
    let again = media(&api.get(live).await);
    assert_eq!(again.segments.len() as u64, said);
    assert_eq!(again.media_sequence, said);
    assert_eq!(again.discontinuity_sequence, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_playlist_has_the_qualities_of_the_range() {
    let api = Api::new(&["c/empty/", "c/chat/2026-01-02T03/x.json"]);
    add_hour(&api, "small", "2026-01-02T03", 100);
    add_hour(&api, "source", "2026-01-02T03", 1000);
    add_hour(&api, "late", "2026-01-02T09", 10);
    let names = async |query: &str| {
        let playlist = master(&api.get(&format!("/playlist/c.m3u8{query}")).await);
        let names = playlist.variants.iter().map(|v| v.video.clone().unwrap());
        names.collect::<Vec<_>>().join(" ")
    };
    // (query, qualities)
    let table = [
        ("", "source small late"),
        (
            "?start=2026-01-02T03:10&end=2026-01-02T03:20",
            "source small",
        ),
        // The last segment of the hour before spans the start.
        ("?start=2026-01-02T04:00:04", "source small late"),
        ("?start=2026-01-02T04:00:05", "late"),
        ("?end=2026-01-02T03:00:00", ""),
        ("?end=2026-01-02T09:00:01", "source small late"),
        ("?start=2026-01-03&end=2026-01-04", ""),
        // What may go on: those that have come as far as any, or nearly.
        ("?start=2026-01-03", "late"),
        ("?start=2026-01-03&end=2999-01-01", "late"),
    ];
    for (query, expected) in table {
        if expected.is_empty() {
            let answer = api.get(&format!("/playlist/c.m3u8{query}")).await;
            check(&answer);
            assert!(!answer.text().contains("STREAM-INF"), "{query}");
        } else {
            assert_eq!(names(query).await, expected, "{query}");
        }
    }
    // An encoder's wrong clock: what it has then says nothing of the others.
    add_hour(&api, "wrong", "2999-01-02T03", 100);
    assert_eq!(names("?start=2026-01-02T11:00").await, "wrong late");
    std::fs::remove_dir_all(api.path("c/wrong")).unwrap();
    let query = "start=2026-01-02T03:10&end=2026-01-02T03:20";
    let playlist = master(&api.get(&format!("/playlist/c.m3u8?{query}")).await);
    assert_eq!(
        playlist.variants[0].uri,
        format!("/playlist/c/source.m3u8?{query}")
    );
    assert_eq!(playlist.variants[0].bandwidth, 800);
    assert_eq!(playlist.alternatives.len(), 2);
    let media = media(&api.get(&playlist.variants[1].uri).await);
    assert_eq!(media.segments.len(), 61);
}
