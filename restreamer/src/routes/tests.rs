use super::*;
use crate::Options;
use axum::body::{Body, to_bytes};
use clap::Parser as _;
use std::fs;
use tempfile::TempDir;
use tower::ServiceExt as _;

const TARGET: &str = "/playlist/c/q.m3u8?start=2026-01-02T03:00:00&end=2026-01-02T03:00:04";

struct Api {
    routes: Routes,
    base: TempDir,
}

impl Api {
    fn new() -> Api {
        let base = TempDir::new().unwrap();
        let options = ["restreamer", "--base-dir", base.path().to_str().unwrap()];
        let routes = crate::router(&Options::parse_from(options));
        let api = Api { routes, base };
        for second in [0, 2] {
            api.add(&format!("00:0{second}.000000-2.0-full"));
        }
        api
    }

    fn add(&self, segment: &str) {
        let hour = self.base.path().join("c/q/2026-01-02T03");
        fs::create_dir_all(&hour).unwrap();
        let name = format!("{segment}-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts");
        fs::write(hour.join(name), "x").unwrap();
    }

    /// Waits until the hour is so old that a later change is sure to show.
    fn settle(&self) {
        let hour = self.base.path().join("c/q/2026-01-02T03");
        let changed = || fs::metadata(&hour).unwrap().modified().unwrap();
        while changed().elapsed().unwrap_or_default() < std::time::Duration::from_millis(50) {
            std::thread::yield_now();
        }
    }

    /// Whether it is answered before the router is asked, the head and the body.
    async fn ask(&self, request: impl Fn() -> Request) -> (bool, String, bytes::Bytes) {
        let at_once = playlist::again(&self.routes.app, &request()).is_some();
        let answer = self.routes.clone().oneshot(request()).await.unwrap();
        let (head, body) = answer.into_parts();
        let mut lines: Vec<String> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines.insert(0, head.status.to_string());
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (at_once, lines.join("\n"), body)
    }
}

fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = axum::http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn what_is_asked_again_is_answered_the_same_without_the_router() {
    for coding in ["identity", "gzip"] {
        let api = Api::new();
        api.settle();
        let headers = [("origin", "http://page"), ("accept-encoding", coding)];
        let get = || request(Method::GET, TARGET, &headers);
        let first = api.ask(get).await;
        assert!(!first.0, "nobody has asked yet");
        assert!(first.1.contains("access-control-allow-origin: *"));
        let second = api.ask(get).await;
        assert!(!second.0, "one that was asked once is not worth it");
        for _ in 0..2 {
            let again = api.ask(get).await;
            assert!(again.0);
            assert_eq!((&again.1, &again.2), (&first.1, &first.2), "{coding}");
            assert_eq!((&second.1, &second.2), (&first.1, &first.2), "{coding}");
        }
        // Conditions count, and what is no GET goes another way.
        let tag = first.1.lines().find(|line| line.starts_with("etag: "));
        let known = [
            headers[0],
            headers[1],
            ("if-none-match", &tag.unwrap()[6..]),
        ];
        let router = api.routes.router.clone();
        let by_router = router.oneshot(request(Method::GET, TARGET, &known)).await;
        let by_router = by_router.unwrap();
        let (at_once, head, body) = api.ask(|| request(Method::GET, TARGET, &known)).await;
        assert!(
            at_once && body.is_empty() && head.starts_with("304"),
            "{head}"
        );
        for (name, value) in by_router.headers() {
            // The connection takes it out of an answer without content.
            if name != header::CONTENT_LENGTH {
                let line = format!("{name}: {}", value.to_str().unwrap());
                assert!(head.lines().any(|other| other == line), "{line}: {head}");
            }
        }
        let (at_once, head, body) = api.ask(|| request(Method::HEAD, TARGET, &headers)).await;
        assert!(!at_once && body.is_empty());
        assert_eq!(head, first.1);
        for method in [Method::POST, Method::OPTIONS] {
            assert!(
                !api.ask(|| request(method.clone(), TARGET, &headers))
                    .await
                    .0
            );
        }
    }
}

#[tokio::test]
async fn what_has_changed_is_not_answered_from_memory() {
    let api = Api::new();
    api.settle();
    let get = || request(Method::GET, TARGET, &[]);
    for _ in 0..2 {
        api.ask(get).await;
    }
    let (at_once, _, before) = api.ask(get).await;
    assert!(at_once);
    // Another coding is another answer; so is another target, even of the same range.
    let gzip = || request(Method::GET, TARGET, &[("accept-encoding", "gzip")]);
    assert!(!api.ask(gzip).await.0);
    let other = format!("{TARGET}&x");
    let other = api.ask(|| request(Method::GET, &other, &[])).await;
    assert!(!other.0);
    assert_eq!(other.2, before);
    api.add("00:01.000000-1.0-full");
    let (at_once, _, same) = api.ask(get).await;
    assert!(!at_once);
    assert_eq!(
        same, before,
        "a shorter one inside of another changes nothing"
    );
    fs::remove_dir_all(api.base.path().join("c/q/2026-01-02T03")).unwrap();
    let (at_once, _, none) = api.ask(get).await;
    assert!(!at_once);
    assert!(!none.windows(7).any(|word| word == b"#EXTINF"));
    fs::remove_dir_all(api.base.path().join("c")).unwrap();
    let (at_once, head, _) = api.ask(get).await;
    assert!(!at_once && head.starts_with("404"), "{head}");
}
