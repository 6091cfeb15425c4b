//! What a running server says in the heads of its answers: what they are, how long they may be
//! kept, and that a client which has them already gets nothing again.

use std::fs;
use std::io::{IoSliceMut, Read as _};
use std::net::SocketAddr;
use std::path::Path;

use flate2::read::GzDecoder;
use tempfile::TempDir;
use tests::content::{sha256_base64, ts_bytes};
use tests::node::Node;
use tests::raw::{self, Answer};

use super::node;

const HOUR: &str = "test/source/2026-01-02T00";

/// A segment that is being written.
const TEMPORARY: &str = "00:57.000000-3.0-temp-0c5d81c6-79a5-4d6b-8df4-3a8a8e5b5e0f.ts";

/// Puts a file into the base directory.
fn write(node: &Node, path: &str, content: &[u8]) {
    let file = node.base_dir().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

async fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    let answer = raw::request(address, "GET", target, headers).await;
    assert!(answer.complete, "{target}");
    answer
}

#[tokio::test]
async fn what_a_file_is_and_how_long_it_may_be_kept() {
    let node = node(&[]).await;
    let mp4 = b"\0\0\0\x1cftypiso5\0\0\0\0iso5iso6mp41";
    let named = |content: &[u8]| {
        let hash = sha256_base64(content);
        format!("{HOUR}/00:00.000000-3.0-full-{hash}.ts")
    };
    let ts = ts_bytes(1, 188 * 10);
    let temporary = format!("{HOUR}/{TEMPORARY}");
    let batch = "test/chat/2026-01-02T00/00:00.000000-abc.json";
    let for_ever = Some("public, max-age=31536000, immutable");
    let (again, never) = (Some("no-cache"), Some("no-store"));
    // (path, content, type, Cache-Control, whether its tag is known, whether its date is)
    type Row<'a> = (&'a str, &'a [u8], &'a str, Option<&'a str>, bool, bool);
    let table: [Row<'_>; 6] = [
        (&named(&ts), &ts, "video/mp2t", for_ever, true, true),
        (&named(mp4), mp4, "video/mp4", for_ever, true, true),
        (&temporary, &ts, "video/mp2t", never, false, false),
        (batch, b"[]", "application/json", again, false, true),
        ("test/emotes/x.png", b"x", "image/png", again, false, true),
        (
            "notes",
            b"x",
            "application/octet-stream",
            again,
            false,
            true,
        ),
    ];
    let address = node.restreamer_address();
    for (path, content, content_type, life, has_tag, has_date) in table {
        write(&node, path, content);
        let target = format!("/segments/{path}");
        let answer = get(address, &target, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(&*answer.body, content, "{path}");
        assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
        assert_eq!(answer.header("cache-control"), life, "{path}");
        assert_eq!(answer.header("accept-ranges"), Some("bytes"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("etag").is_some(), has_tag, "{path}");
        let modified = answer.header("last-modified");
        assert_eq!(modified.is_some(), has_date, "{path}");
        let later = "Fri, 01 Jan 2100 00:00:00 GMT";
        // (If-Modified-Since, status)
        let conditions = [
            (modified.unwrap_or(later), if has_date { 304 } else { 200 }),
            (later, if has_date { 304 } else { 200 }),
            ("Thu, 01 Jan 1970 00:00:01 GMT", 200),
            ("nonsense", 200),
        ];
        for (since, status) in conditions {
            let answer = get(address, &target, &[("If-Modified-Since", since)]).await;
            assert_eq!(answer.status, status, "{path}: {since}");
            let expected = if status == 304 { 0 } else { content.len() };
            assert_eq!(answer.body.len(), expected, "{path}: {since}");
            assert_eq!(answer.header("cache-control"), life, "{path}: {since}");
        }
    }
}

/// By `sendfile` from the length on from which that is less work than a copy: on a disk, and on a `tmpfs`,
/// which the system does not tell about.
#[tokio::test]
async fn what_is_in_memory_is_sent_without_a_copy() {
    for place in [std::env::temp_dir().as_path(), Path::new("/dev/shm")] {
        let base = TempDir::new_in(place).unwrap();
        let mut node = Node::at("a", base.path());
        node.start_restreamer().await;
        let address = node.restreamer_address();
        for (path, size) in [
            ("short.ts", 20_000),
            ("middle.ts", 40_000),
            ("long.ts", 1_000_000),
        ] {
            let content = ts_bytes(1, size);
            write(&node, path, &content);
            let answer = get(address, &format!("/segments/{path}"), &[]).await;
            assert!(*answer.body == *content, "{path}");
        }
        let part = [("Range", "bytes=500000-")];
        get(address, "/segments/long.ts", &part).await;
        let metrics = node.metrics().await;
        let sent = |how| metrics.get("restreamer_file_bytes_total", &[("how", how)]);
        let sent = ["sendfile", "copied", "read"].map(sent);
        let known = can_tell_what_is_in_memory(&base.path().join("long.ts"));
        let expected = match known {
            true => [1_540_000.0, 20_000.0, 0.0],
            // NFS, say.
            false => [0.0, 0.0, 1_560_000.0],
        };
        assert_eq!(sent, expected.map(Some), "{}", place.display());
    }
}

fn can_tell_what_is_in_memory(path: &Path) -> bool {
    let file = fs::File::open(path).unwrap();
    let mut byte = [0];
    let mut room = [IoSliceMut::new(&mut byte)];
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    rustix::io::preadv2(&file, &mut room, 0, flags).is_ok()
        || rustix::fs::fstatfs(&file).unwrap().f_type == 0x0102_1994
}

#[tokio::test]
async fn several_ranges_to_the_byte() {
    let node = node(&[]).await;
    let content = ts_bytes(1, 1000);
    write(&node, "x.ts", &content);
    let ranges = [("Range", "bytes=0-9,500-503,-3")];
    let answer = get(node.restreamer_address(), "/segments/x.ts", &ranges).await;
    assert_eq!(answer.status, 206);
    let kind = answer.header("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut expected = Vec::new();
    for (first, last) in [(0, 9), (500, 503), (997, 999)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: video/mp2t\r\n\
             Content-Range: bytes {first}-{last}/1000\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&content[first..=last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let text = String::from_utf8_lossy(&answer.body);
    assert!(*answer.body == *expected, "{text}");
}

#[tokio::test]
async fn lists_are_compressed_and_known_again() {
    let node = node(&["2026-01-02T00", "2026-01-02T01"]).await;
    let (long, no) = (Some("public, max-age=3600"), Some("no-cache"));
    let m3u8 = "application/vnd.apple.mpegurl";
    let start = "start=2026-01-02T00:00";
    // (target, type, Cache-Control, whether it is compressed)
    let table = [
        (
            format!("/playlist/test/source.m3u8?{start}&end=2026-01-02T00:01"),
            (m3u8, long, true),
        ),
        // A hole at its end, at its start, and no end.
        (
            format!("/playlist/test/source.m3u8?{start}&end=2026-01-02T00:02"),
            (m3u8, no, true),
        ),
        (
            "/playlist/test/source.m3u8?start=2026-01-02T00:02&end=2026-01-02T01:01".to_owned(),
            (m3u8, no, true),
        ),
        (
            format!("/playlist/test/source.m3u8?{start}"),
            (m3u8, no, true),
        ),
        (format!("/playlist/test.m3u8?{start}"), (m3u8, no, false)),
        (format!("/files/{HOUR}"), ("application/json", no, true)),
        // Fits into one packet.
        (
            "/files/test/source".to_owned(),
            ("application/json", no, false),
        ),
    ];
    let address = node.restreamer_address();
    let gzip = ("Accept-Encoding", "gzip");
    for (target, (content_type, life, is_compressed)) in &table {
        let plain = get(address, target, &[]).await;
        assert_eq!(plain.status, 200, "{target}: {}", plain.text());
        assert_eq!(plain.header("content-encoding"), None, "{target}");
        let packed = get(address, target, &[gzip]).await;
        let encoding = packed.header("content-encoding");
        assert_eq!(encoding, is_compressed.then_some("gzip"), "{target}");
        let mut content = Vec::new();
        if *is_compressed {
            let mut decoder = GzDecoder::new(&*packed.body);
            decoder.read_to_end(&mut content).unwrap();
            assert_ne!(packed.header("etag"), plain.header("etag"), "{target}");
            assert!(packed.body.len() < plain.body.len(), "{target}");
        } else {
            content.extend_from_slice(&packed.body);
        }
        assert!(content == plain.body, "{target}");
        for (answer, accept) in [(&plain, "identity"), (&packed, "gzip")] {
            assert_eq!(answer.header("content-type"), Some(*content_type));
            assert_eq!(answer.header("cache-control"), *life, "{target}");
            let length = answer.body.len().to_string();
            assert_eq!(answer.header("content-length"), Some(&*length), "{target}");
            let tag = answer.header("etag").unwrap();
            let accept = ("Accept-Encoding", accept);
            // (If-None-Match, status)
            let conditions = [(tag, 304), ("\"x\"", 200), ("*", 304)];
            for (known, status) in conditions {
                let again = get(address, target, &[accept, ("If-None-Match", known)]).await;
                assert_eq!(again.status, status, "{target}: {known}");
                assert_eq!(again.header("etag"), Some(tag), "{target}: {known}");
                assert_eq!(again.header("cache-control"), *life, "{target}");
                assert_eq!(again.body.is_empty(), status == 304, "{target}");
            }
            // A cache would take a length for that of what it has.
            for method in ["GET", "HEAD"] {
                let headers = [accept, ("If-None-Match", tag)];
                let again = raw::request(address, method, target, &headers).await;
                assert_eq!(again.status, 304, "{method} {target}");
                assert_eq!(again.header("content-length"), None, "{method} {target}");
                assert_eq!(again.header("transfer-encoding"), None, "{method} {target}");
            }
        }
    }
    // What is new is sent.
    let tag = get(address, &table[5].0, &[]).await;
    let known = ("If-None-Match", tag.header("etag").unwrap());
    write(&node, &format!("{HOUR}/{TEMPORARY}"), b"x");
    assert_eq!(get(address, &table[5].0, &[known]).await.status, 200);
}
