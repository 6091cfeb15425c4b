//! The restreamer as a process on loopback, asked to the byte: what its users and peers rely
//! on (SPEC §4), and what must never be a 500.
#![allow(clippy::unwrap_used, reason = "a helper of tests reports by panicking")]

mod bounds;
mod closed;
mod hangups;
mod headers;

use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

use m3u8_rs::{MediaPlaylist, Playlist};
use tests::content::{sha256_base64, ts_bytes};
use tests::node::Node;
use tests::raw::{self, Answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(20);

/// A node with a running restreamer and these hours, each of 20 segments of 3 s at its
/// beginning.
async fn node(hours: &[&str]) -> Node {
    let mut node = Node::new("a");
    for (n, hour) in hours.iter().enumerate() {
        let directory = node.base_dir().join("test/source").join(hour);
        fs::create_dir_all(&directory).unwrap();
        for segment in 0..20 {
            let content = ts_bytes(n as u64 * 20 + segment, 188 * 100);
            let hash = sha256_base64(&content);
            let name = format!("00:{:02}.000000-3.0-full-{hash}.ts", segment * 3);
            fs::write(directory.join(name), content).unwrap();
        }
    }
    node.start_restreamer().await;
    node
}

/// Puts segments of 2 s, all empty, into an hour: those of these indices, in a full hour 1,800.
/// All are one file, which takes much less time than a file each.
fn fill(node: &Node, hour: &str, indices: Range<usize>) {
    let empty = node.base_dir().join(".empty");
    fs::write(&empty, "").unwrap();
    let hash = sha256_base64(b"");
    let directory = node.base_dir().join("test/source").join(hour);
    fs::create_dir_all(&directory).unwrap();
    for index in indices {
        let (minute, second) = (index / 30, index % 30 * 2);
        let name = format!("{minute:02}:{second:02}.000000-2.0-full-{hash}.ts");
        fs::hard_link(&empty, directory.join(name)).unwrap();
    }
}

/// Asks, with these lines beside `Host`, takes the first bytes of an answer of this status, and then
/// nothing.
async fn begun(node: &Node, target: &str, headers: &str, status: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.restreamer_address()).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, *format!("HTTP/1.1 {status}").as_bytes());
    stream
}

/// The body of an answer that has begun, to the end of its connection.
async fn body_of(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let head = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    rest.split_off(head + 4)
}

/// Asks until too much was asked; each answer before that is good, and `check` sees it. Clients are
/// told to come again soon.
async fn refused(node: &Node, target: &str, most: usize, check: impl Fn(&Answer)) -> Answer {
    for _ in 0..most {
        let answer = node.get(target).await;
        match answer.status {
            200 => check(&answer),
            429 => {
                let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..10).contains(&seconds), "{seconds}");
                return answer;
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    panic!("there is no limit to how often {target} is asked for");
}

fn media(answer: &Answer) -> MediaPlaylist {
    assert_eq!(answer.status, 200, "{}", answer.text());
    match m3u8_rs::parse_playlist_res(&answer.body) {
        Ok(Playlist::MediaPlaylist(playlist)) => playlist,
        other => panic!("no media playlist: {other:?}\n{}", answer.text()),
    }
}

#[tokio::test]
async fn bad_requests_get_their_status_and_one_line() {
    let node = node(&["2026-01-02T00", "2026-01-02T12"]).await;
    // (target, status, what the line names)
    let table = [
        ("/files/..%2f..", 403, "dot"),
        ("/files/../..", 403, "dot"),
        ("/segments/../x", 403, "dot"),
        ("/segments/test/../../etc/passwd", 403, "dot"),
        ("/segments/%2e%2e/%2e%2e/etc/passwd", 403, "dot"),
        ("/segments/test/.hidden/x", 403, "dot"),
        ("/segments/.hidden", 403, "dot"),
        ("/files/.hidden", 403, "dot"),
        ("/extras/../..", 403, "dot"),
        ("/segments//etc/passwd", 404, "empty name"),
        ("/segments/%2fetc%2fpasswd", 404, "empty name"),
        ("/segments/test/source/2026-01-02T05/x.ts", 404, "x.ts"),
        ("/playlist/test/source.m3u8?start=nonsense", 400, "nonsense"),
        ("/playlist/test.m3u8?end=nonsense", 400, "end"),
        (
            "/playlist/test/source.m3u8?start=2026-01-02T01:00:00&end=2026-01-02T00:00:00",
            400,
            "end",
        ),
        // 13 hours without bounds.
        ("/playlist/test/source.m3u8", 400, "12 hours"),
        ("/playlist/nobody/source.m3u8", 404, "nobody"),
        (
            "/files/test/source/2026-01-02T00?tombstones=perhaps",
            400,
            "tombstones",
        ),
    ];
    for (target, status, named) in table {
        let answer = node.get(target).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{target}: {text}");
        assert_eq!(text.find('\n'), Some(text.len() - 1), "{target}: {text:?}");
        assert!(text.contains(named), "{target}: {text}");
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("text/plain; charset=utf-8"), "{target}");
    }
    for nothing in ["2026-01-02T05", "2026-13-02T05", "x"] {
        let answer = node.get(&format!("/files/test/source/{nothing}")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "[]"));
    }
    // 13 hours are fine where both bounds are given.
    let target = "/playlist/test/source.m3u8?start=2026-01-02T00:00&end=2026-01-02T13:00";
    let playlist = media(&node.get(target).await);
    assert_eq!(playlist.segments.len(), 40);
    let restreamer = node.restreamer.as_ref().unwrap();
    assert_eq!(restreamer.count_log("ERROR"), 0);
    let metrics = node.metrics().await;
    let refused = [("endpoint", "/segments/{*path}"), ("status", "403")];
    assert_eq!(metrics.sum("http_request_latency_all_count", &refused), 5.0);
    assert!(
        metrics
            .of("http_request_latency_all_count")
            .all(|(labels, _)| labels["status"].as_str() < "500")
    );
}

#[tokio::test]
async fn a_playlist_is_read_and_its_segments_are_fetched() {
    let node = node(&["2026-01-02T00"]).await;
    let listed = node.get("/files/test/source/2026-01-02T00").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 20);

    let playlist = media(&node.get("/playlist/test/source.m3u8").await);
    assert!(!playlist.end_list);
    assert_eq!(playlist.segments.len(), 20);
    let range = "start=2026-01-02T00:00:10&end=2026-01-02T00:00:20";
    let target = format!("/playlist/test/source.m3u8?{range}");
    let playlist = media(&node.get(&target).await);
    assert!(playlist.end_list);
    assert_eq!(playlist.target_duration, 3);
    assert_eq!(playlist.segments.len(), 4);
    let seconds = playlist.segments.iter().map(|segment| {
        let time = segment.program_date_time.unwrap();
        time.format("%S").to_string()
    });
    assert!(seconds.eq(["09", "12", "15", "18"]));

    let address = node.restreamer_address();
    for segment in &playlist.segments {
        assert!(!segment.discontinuity);
        let whole = node.get(&segment.uri).await;
        assert_eq!(whole.status, 200, "{}", segment.uri);
        assert!(whole.complete);
        assert_eq!(whole.header("content-type"), Some("video/mp2t"));
        let hash = sha256_base64(&whole.body);
        assert!(segment.uri.ends_with(&format!("-{hash}.ts")));
        let tag = format!("\"{hash}\"");
        assert_eq!(whole.header("etag"), Some(tag.as_str()));

        let head = raw::request(address, "HEAD", &segment.uri, &[]).await;
        assert_eq!(head.status, 200);
        assert!(head.complete && head.body.is_empty());
        assert_eq!(head.header("content-length"), Some("18800"));

        let known = [("If-None-Match", tag.as_str())];
        let answer = raw::request(address, "GET", &segment.uri, &known).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0));

        let range = [("Range", "bytes=188-375"), ("If-Range", tag.as_str())];
        let part = raw::request(address, "GET", &segment.uri, &range).await;
        assert_eq!(part.status, 206);
        assert_eq!(part.body, whole.body.slice(188..376));
        let shown = part.header("content-range");
        assert_eq!(shown, Some("bytes 188-375/18800"));

        let ranges = [("Range", "bytes=0-187,-188")];
        let parts = raw::request(address, "GET", &segment.uri, &ranges).await;
        assert_eq!(parts.status, 206);
        assert!(parts.complete);
        let content_type = parts.header("content-type").unwrap();
        assert!(content_type.starts_with("multipart/byteranges; boundary="));
    }

    let master = node
        .get(&format!("/playlist/test.m3u8?{range}"))
        .await
        .text();
    assert!(master.contains(&format!("\n{target}\n")), "{master}");
}

#[tokio::test]
async fn any_page_may_ask() {
    let node = node(&["2026-01-02T00"]).await;
    let address = node.restreamer_address();
    let origin = ("Origin", "https://example.com");
    let preflight = [
        origin,
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "range"),
    ];
    for target in ["/files", "/playlist/test.m3u8", "/segments/none"] {
        let answer = raw::request(address, "OPTIONS", target, &preflight).await;
        assert_eq!(answer.status, 200, "{target}");
        let methods = answer.header("access-control-allow-methods");
        assert_eq!(methods, Some("GET,POST,HEAD"));
        let answer = raw::request(address, "GET", target, &[origin]).await;
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("*"), "{target}");
    }
}

#[tokio::test]
async fn what_is_being_sent_at_a_stop_is_sent_to_its_end() {
    let mut node = node(&[]).await;
    // Far more than the buffers between two processes hold.
    let length = 64 << 20;
    let file = fs::File::create(node.base_dir().join("large")).unwrap();
    file.set_len(length).unwrap();
    let address = node.restreamer_address();
    let stream = begun(&node, "/segments/large", "", "200").await;

    let restreamer = node.restreamer.as_mut().unwrap();
    restreamer.terminate();
    tests::eventually(
        SOON,
        "new connections to be refused",
        async || match TcpStream::connect(address).await {
            Ok(_) => Err("one was taken".to_owned()),
            Err(_) => Ok(()),
        },
    )
    .await;
    assert!(restreamer.is_running());
    assert_eq!(body_of(stream).await.len() as u64, length);
    assert_eq!(restreamer.wait(SOON).await.code(), Some(0));
    restreamer.wait_for_log("stopped", SOON).await;
}

#[tokio::test]
async fn a_stop_takes_twenty_seconds_at_most() {
    let mut node = node(&[]).await;
    let file = fs::File::create(node.base_dir().join("large")).unwrap();
    file.set_len(64 << 20).unwrap();
    let stream = begun(&node, "/segments/large", "", "200").await;
    // It takes no more of it, and does not hang up either.
    let restreamer = node.restreamer.as_mut().unwrap();
    let asked = Instant::now();
    restreamer.terminate();
    assert_eq!(restreamer.wait(2 * SOON).await.code(), Some(0));
    let took = asked.elapsed();
    let about = Duration::from_secs(19)..Duration::from_secs(28);
    assert!(about.contains(&took), "{took:?}");
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slow_clients_each_get_their_file_whole() {
    const CLIENTS: usize = 80;
    // Far more than fits between two processes, so that each client keeps the server waiting.
    const LENGTH: usize = 8 << 20;
    let node = node(&[]).await;
    let contents = [ts_bytes(1, LENGTH), ts_bytes(2, LENGTH)];
    for (n, content) in contents.iter().enumerate() {
        fs::write(node.base_dir().join(format!("{n}.ts")), content).unwrap();
    }
    let mut streams = Vec::new();
    for client in 0..CLIENTS {
        let target = format!("/segments/{}.ts", client % 2);
        let headers = format!("Range: bytes={client}-\r\nConnection: close\r\n");
        streams.push(begun(&node, &target, &headers, "206").await);
    }
    // All of them wait now. One file is open once, and none of it is in memory for each.
    let metrics = node.metrics().await;
    let files = metrics.get("process_open_fds", &[]).unwrap();
    assert!(files < CLIENTS as f64 + 40.0, "{files} open files");
    let memory = metrics.get("process_resident_memory_bytes", &[]).unwrap();
    assert!(memory < 100e6, "{memory} bytes");
    let reading = streams.into_iter().enumerate().map(|(client, stream)| {
        let expected = contents[client % 2].slice(client..);
        tokio::spawn(async move {
            assert!(body_of(stream).await == *expected, "client {client}");
        })
    });
    for reading in reading.collect::<Vec<_>>() {
        reading.await.unwrap();
    }
}

#[tokio::test]
async fn too_much_work_is_refused_and_nobody_else_waits_for_it() {
    let node = node(&["2026-01-02T00"]).await;
    let address = node.restreamer_address();
    let refused = refused(&node, "/extras/test", 400, |answer| {
        assert_eq!(answer.json().as_array().unwrap().len(), 20);
    })
    .await;
    assert!(refused.text().contains("too many requests"));
    // What is cheap is as fast as ever.
    for target in [
        "/files/test/source",
        "/health",
        "/playlist/test/source.m3u8",
    ] {
        assert_eq!(node.get(target).await.status, 200, "{target}");
    }
    let known = [("family", "extras"), ("reason", "rate")];
    let counted = node.metrics().await.sum("restreamer_refused_total", &known);
    assert!(counted >= 1.0);
    tests::eventually(SOON, "the limit to be lifted", async || {
        let answer = raw::request(address, "GET", "/extras/test", &[]).await;
        (answer.status == 200).then_some(()).ok_or(answer.text())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_loses_its_disk_says_so() {
    let node = node(&["2026-01-02T00"]).await;
    let health = node.get("/health").await;
    assert_eq!(health.status, 200);
    let newest = &health.json()["newest_segments"][0];
    assert_eq!(newest["start"], "2026-01-02T00:00:57.000000Z");
    let aside = node.base_dir().with_extension("aside");
    fs::rename(node.base_dir(), &aside).unwrap();
    let health = node.get("/health").await;
    fs::rename(&aside, node.base_dir()).unwrap();
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["base_directory_readable"], false);
    assert_eq!(node.get("/health").await.status, 200);
}
