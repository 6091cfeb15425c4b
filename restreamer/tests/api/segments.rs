//! `/segments/…`: content, types, validators, ranges.

use axum::http::StatusCode;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Answer, Api, HASH, name};

const HOUR: &str = "c/source/2026-01-02T03";

/// An API with a segment of this content, and the segment's target.
fn segment(content: &[u8]) -> (Api, String) {
    let api = Api::new(&[]);
    let path = format!("{HOUR}/{}", name("00:00.000000-2.0-full"));
    api.write(&path, content);
    (api, format!("/segments/{path}"))
}

/// Larger than any buffer, and every byte tells where it is.
fn content() -> Vec<u8> {
    (0..700_001_u32).map(|n| (n % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_file_and_its_head() {
    let content = content();
    let (api, target) = segment(&content);
    let encoded = target.replace(':', "%3A");
    for target in [&target, &encoded] {
        let answer = api.get(target).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body == content);
        let head = api.request("HEAD", target, &[("range", "bytes=0-1")]).await;
        assert_eq!(head.status, StatusCode::OK);
        assert!(head.body.is_empty());
        for answer in [&answer, &head] {
            let expected = [
                ("content-length", "700001"),
                ("content-type", "video/mp2t"),
                ("accept-ranges", "bytes"),
                ("cache-control", "public, max-age=31536000, immutable"),
                ("etag", &format!("\"{HASH}\"")),
                ("vary", ""),
            ];
            for (name, value) in expected {
                assert_eq!(answer.header(name).unwrap_or_default(), value, "{name}");
            }
            assert!(answer.header("last-modified").is_some());
        }
    }
    let (api, target) = segment(b"");
    let answer = api.get(&target).await;
    assert_eq!(answer.header("content-length"), Some("0"));
    assert!(answer.body.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_never_changes_is_kept_for_ever() {
    let temp = "00:02.000000-2.0-temp-0c5d81c6-79a5-4d6b-8df4-3a8a8e5b5e0f.ts";
    let temp = format!("{HOUR}/{temp}");
    let partial = format!("{HOUR}/{}", name("00:02.000000-2.0-partial"));
    let foreign = format!("{HOUR}/x.ts");
    let chat = "c/chat/2026-01-02T03/00:00.000000-abc.json";
    let api = Api::new(&[
        &temp,
        &partial,
        &foreign,
        chat,
        "notes/a.txt",
        "notes/page.html",
    ]);
    let for_ever = "public, max-age=31536000, immutable";
    // (path, content type, for how long, by date)
    let table = [
        (partial.as_str(), "video/mp2t", for_ever, true),
        (&temp, "video/mp2t", "no-store", false),
        (&foreign, "video/mp2t", "no-cache", true),
        (chat, "application/json", "no-cache", true),
        ("notes/a.txt", "text/plain; charset=utf-8", "no-cache", true),
        (
            "notes/page.html",
            "application/octet-stream",
            "no-cache",
            true,
        ),
    ];
    for (path, content_type, life, by_date) in table {
        let target = format!("/segments/{path}");
        let answer = api.get(&target).await;
        assert_eq!(answer.text(), path);
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("etag").is_some(), life == for_ever, "{path}");
        assert_eq!(answer.header("cache-control"), Some(life), "{path}");
        let modified = answer.header("last-modified");
        assert_eq!(modified.is_some(), by_date, "{path}");
        if let Some(modified) = modified {
            let condition = [("if-modified-since", modified)];
            let again = api.request("GET", &target, &condition).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragmented_mp4_is_told_by_its_content() {
    let (api, target) = segment(b"\0\0\0\x1cftypiso5\0\0\x02\0");
    assert_eq!(
        api.get(&target).await.header("content-type"),
        Some("video/mp4")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_it_gets_no_body() {
    let (api, target) = segment(b"0123456789");
    let tag = format!("\"{HASH}\"");
    for condition in [
        ("if-none-match", tag.as_str()),
        ("if-none-match", "*"),
        ("if-none-match", &format!("\"x\", W/{tag}")),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = api.request(method, &target, &[condition]).await;
            assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{condition:?}");
            assert!(answer.body.is_empty());
            // A cache would take it for what it has.
            assert_eq!(answer.header("content-length"), None);
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert!(answer.header("cache-control").is_some());
        }
    }
    let answer = api.request("GET", &target, &[("if-match", "\"x\"")]).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_range() {
    let content = content();
    let (api, target) = segment(&content);
    // (range, first, end)
    let table = [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, 700_001),
        ("bytes=-100", 699_901, 700_001),
        ("bytes=262143-262144", 262_143, 262_145),
        ("bytes=1-699999", 1, 700_000),
        ("bytes=9999999-, 5-6", 5, 7),
    ];
    for (range, first, end) in table {
        let answer = api.request("GET", &target, &[("range", range)]).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert!(answer.body == content[first..end], "{range}");
        let length = (end - first).to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        let shown = format!("bytes {first}-{}/700001", end - 1);
        assert_eq!(answer.header("content-range"), Some(shown.as_str()));
        assert_eq!(answer.header("content-type"), Some("video/mp2t"));
        assert!(answer.header("etag").is_some());
    }
    let range = [("range", "bytes=700001-")];
    let answer = api.request("GET", &target, &range).await;
    assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(answer.header("content-range"), Some("bytes */700001"));
    assert_eq!(answer.header("cache-control"), None);
    assert_eq!(answer.text().lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_are_not_served_get_the_whole() {
    let (api, target) = segment(b"0123456789");
    let tag = format!("\"{HASH}\"");
    let range = ("range", "bytes=2-3");
    // (headers, status)
    let many = format!("bytes={}", "0-0,".repeat(1000));
    let table: [(&[(&str, &str)], u16); 8] = [
        (&[range], 206),
        (&[("range", "lines=2-3")], 200),
        (&[("range", "bytes=3-2")], 200),
        (&[("range", "bytes=0-8,1-9")], 200),
        (&[("range", &many)], 200),
        (&[range, ("if-range", &tag)], 206),
        (&[range, ("if-range", "\"x\"")], 200),
        (&[range, ("if-none-match", &tag)], 304),
    ];
    for (headers, status) in table {
        let answer = api.request("GET", &target, headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 200 {
            assert_eq!(answer.text(), "0123456789");
        }
    }
}

/// The parts of a multipart body: `Content-Range` and content.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let content_type = answer.header("content-type").unwrap();
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_else(|| panic!("{content_type}"));
    let mut rest = &answer.body[..];
    let mut parts = Vec::new();
    loop {
        let line = format!("\r\n--{boundary}");
        rest = rest.strip_prefix(line.as_bytes()).unwrap();
        if rest == b"--\r\n" {
            return parts;
        }
        let end = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[2..end]).unwrap();
        rest = &rest[end + 4..];
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("Content-Type: video/mp2t"));
        let range = lines
            .next()
            .unwrap()
            .strip_prefix("Content-Range: ")
            .unwrap();
        let numbers: Vec<usize> = range
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let length = numbers[1] + 1 - numbers[0];
        parts.push((range.to_owned(), rest[..length].to_vec()));
        rest = &rest[length..];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_ranges() {
    let content = content();
    let (api, target) = segment(&content);
    let range = [("range", "bytes=5-6, 100000-499999,-1")];
    let answer = api.request("GET", &target, &range).await;
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.header("content-range"), None);
    assert_eq!(
        answer.header("content-length"),
        Some(answer.body.len().to_string().as_str())
    );
    let expected = [
        ("bytes 5-6/700001", &content[5..7]),
        ("bytes 100000-499999/700001", &content[100_000..500_000]),
        ("bytes 700000-700000/700001", &content[700_000..]),
    ];
    let parts = parts(&answer);
    assert_eq!(parts.len(), expected.len());
    for (part, (range, bytes)) in parts.iter().zip(expected) {
        assert_eq!(part.0, range);
        assert!(part.1 == bytes, "{range}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_regular_files_that_no_tombstone_hides() {
    let (api, target) = segment(b"x");
    // A pipe that nobody writes to must not keep anybody waiting.
    let pipe = api.path("pipe.ts");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(api.path("socket")).unwrap();
    std::os::unix::fs::symlink("loop", api.path("loop")).unwrap();
    for target in ["/segments/pipe.ts", "/segments/socket", "/segments/c"] {
        let answer = api.get(target).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
    }
    assert_eq!(api.get(&target).await.status, StatusCode::OK);
    let tombstone = target["/segments/".len()..].replace(".ts", ".tombstone");
    api.write(&tombstone, b"");
    assert_eq!(api.get(&target).await.status, StatusCode::NOT_FOUND);
}
