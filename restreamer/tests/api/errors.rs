//! What cannot be answered: the status of SPEC §4, one line of text, CORS; never a 500.

use axum::http::StatusCode;

use crate::support::{Api, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_request_gets_its_status_and_one_line() {
    let hour = |hour| {
        format!(
            "c/source/2026-01-02T{hour}/{}",
            name("00:00.000000-2.0-full")
        )
    };
    let api = Api::new(&[&hour("00"), &hour("12"), "c/chat/2026-01-02T00/x.json"]);
    let too_long = "x".repeat(256);
    let (long_file, long_segment) = (
        format!("/files/{too_long}"),
        format!("/segments/{too_long}"),
    );
    let deep = format!("/segments{}", "/x".repeat(4000));
    // (target, status, what the line names)
    let table: [(&str, u16, &str); 47] = [
        ("/files/..%2f..", 403, "dot"),
        ("/files/.hidden", 403, "dot"),
        ("/files/c/source/..", 403, "dot"),
        ("/files/c/source/2026-01-02T00/../x", 403, "dot"),
        ("/segments/../x", 403, "dot"),
        ("/segments/..%2f..%2fetc%2fpasswd", 403, "dot"),
        ("/segments/%2e%2e/x", 403, "dot"),
        ("/segments/c/.hidden/x", 403, "dot"),
        ("/segments/c/%2Ehidden", 403, "dot"),
        ("/extras/..", 403, "dot"),
        ("/extras/c/..%2f..", 403, "dot"),
        ("/playlist/..%2fc/source.m3u8", 403, "dot"),
        ("/playlist/.m3u8", 403, "dot"),
        ("/.hidden", 403, "dot"),
        ("/files/a%00b", 400, "control"),
        ("/files/a%0d%0ab", 400, "control"),
        ("/segments/a%00b", 400, "control"),
        ("/files/%ff", 400, "UTF-8"),
        (&long_file, 400, "255 bytes"),
        (&long_segment, 400, "255 bytes"),
        (&deep, 404, "no file"),
        ("/segments/none", 404, "none"),
        ("/segments/c/source/2026-01-02T00", 404, "2026-01-02T00"),
        ("/segments/c//source", 404, "empty name"),
        ("/segments/", 404, "no such route"),
        ("/extras", 404, "no such route"),
        ("/", 404, "no such route"),
        ("/files/c/source?tombstones=maybe", 400, "tombstones"),
        (
            "/files/c?tombstones=true&tombstones=true",
            400,
            "tombstones",
        ),
        ("/playlist/none.m3u8", 404, "none"),
        ("/playlist/c", 404, ".m3u8"),
        ("/playlist/c/source", 404, ".m3u8"),
        ("/playlist/none/source.m3u8", 404, "none/source"),
        ("/playlist/c/none.m3u8", 404, "c/none"),
        ("/playlist/c/chat.m3u8", 404, "c/chat"),
        ("/playlist/c/source.m3u8?start=nonsense", 400, "nonsense"),
        ("/playlist/c.m3u8?start=nonsense", 400, "start"),
        ("/playlist/c/source.m3u8?end=2026-02-30", 400, "end"),
        ("/playlist/c/source.m3u8?start=", 400, "start"),
        ("/playlist/c/source.m3u8?start=%0a%0d%00", 400, "start"),
        ("/playlist/c.m3u8?end=2026&end=2027", 400, "end"),
        (
            "/playlist/c.m3u8?start=2026-01-02T01:00&end=2026-01-02T00:00",
            400,
            "end",
        ),
        (
            "/playlist/c/source.m3u8?start=2026-01-02T01:00&end=2026-01-02T01:00",
            400,
            "end",
        ),
        // 13 hours without bounds, or with one of them.
        ("/playlist/c/source.m3u8", 400, "12 hours"),
        (
            "/playlist/c/source.m3u8?start=2026-01-02T00:00",
            400,
            "12 hours",
        ),
        (
            "/playlist/c/source.m3u8?end=2026-01-02T13:00",
            400,
            "12 hours",
        ),
        ("/playlist/c/source/x.m3u8", 404, "no such route"),
    ];
    for (target, status, named) in table {
        let answer = api.get(target).await;
        let text = answer.text();
        let target = &target[..target.len().min(80)];
        assert_eq!(answer.status, status, "{target}: {text}");
        assert_eq!(text.find('\n'), Some(text.len() - 1), "{target}: {text:?}");
        assert!(text.contains(named), "{target}: {text}");
        assert!(text.len() < 300, "{target}: {text}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_refused_and_told_which_there_are() {
    let api = Api::new(&["x"]);
    for method in ["POST", "PUT", "DELETE"] {
        let answer = api.request(method, "/segments/x", &[]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("GET,HEAD"));
        assert!(answer.text().contains("method"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_any_origin_may_ask_anything() {
    let api = Api::new(&["c/source/"]);
    for target in [
        "/files",
        "/segments/none",
        "/playlist/c/source.m3u8",
        "/none",
    ] {
        let preflight = [
            ("origin", "https://example.com"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "range,x-anything"),
        ];
        let answer = api.request("OPTIONS", target, &preflight).await;
        assert!(answer.status.is_success(), "{target}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(
            answer.header("access-control-allow-methods"),
            Some("GET,POST,HEAD")
        );
        assert_eq!(answer.header("access-control-allow-headers"), Some("*"));
        let answer = api.request("GET", target, &preflight[..1]).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-expose-headers"), Some("*"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_served_under_both_names() {
    let api = Api::new(&["c/source/2026-01-02T03/"]);
    api.get("/files/c/source").await;
    api.get("/files/c/source/2026-01-02T03").await;
    api.get("/playlist/c/source.m3u8").await;
    for target in ["/metrics", "/metrics/restreamer"] {
        let page = api.get(target).await;
        assert_eq!(page.status, StatusCode::OK);
        for line in [
            "http_request_latency_all_count{endpoint=\"/files/{channel}/{quality}\",method=\"GET\",status=\"200\"} ",
            "http_request_concurrency_all{endpoint=\"/files/{channel}/{quality}\",method=\"GET\"} ",
            "restreamer_index_misses_total{of=\"playlists\"} ",
            "restreamer_index_hits_total{of=\"listings\"} ",
            "restreamer_index_hours{of=\"playlists\"} ",
            "restreamer_index_bytes{of=\"listings\"} ",
        ] {
            // A sample, not what stands above it: with a value.
            let value = page
                .text()
                .lines()
                .find_map(|found| found.strip_prefix(line));
            let value: f64 = value.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
            assert!(value >= 0.0, "{line}{value}");
        }
    }
}
