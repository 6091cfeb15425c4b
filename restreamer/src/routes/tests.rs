//! What is asked again and again, by the router and before it.

use std::fs;
use std::thread;
use std::time::SystemTime;

use axum::body::{Body, to_bytes};
use clap::Parser as _;
use common::store::Stamp;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;
use crate::Options;

const HOUR: &str = "c/q/2026-01-02T03";
const TARGET: &str = "/playlist/c/q.m3u8?start=2026-01-02T03:00:00&end=2026-01-02T03:00:04";

/// An answer: whether it came before the router was asked, its status with its headers in order, its
/// body.
type Answer = (bool, String, Vec<u8>);

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
        api.settle();
        api
    }

    fn add(&self, segment: &str) {
        let hour = self.base.path().join(HOUR);
        fs::create_dir_all(&hour).unwrap();
        let name = format!("{segment}-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts");
        fs::write(hour.join(name), "x").unwrap();
    }

    /// Waits until the hour is so old that a later change is sure to show.
    fn settle(&self) {
        let stamp = Stamp::of(&self.base.path().join(HOUR)).unwrap().unwrap();
        while !stamp.is_settled(SystemTime::now()) {
            thread::yield_now();
        }
    }

    async fn ask(&self, request: impl Fn() -> Request) -> Answer {
        let at_once = playlist::again(&self.routes.app, &request()).is_some();
        let answer = self.routes.clone().oneshot(request()).await.unwrap();
        let head = shown(&answer);
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (at_once, head, body.to_vec())
    }
}

fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = axum::http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn shown(answer: &Response) -> String {
    let headers = answer.headers().iter();
    let mut lines: Vec<String> = headers
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines.insert(0, answer.status().to_string());
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_again_is_answered_the_same_without_the_router() {
    for coding in ["identity", "gzip"] {
        let api = Api::new();
        let headers = [("origin", "http://page"), ("accept-encoding", coding)];
        let get = || request(Method::GET, TARGET, &headers);
        let (at_once, head, body) = api.ask(get).await;
        assert!(!at_once, "nobody has asked yet");
        assert!(head.contains("\naccess-control-allow-origin: *\n"));
        // One that was asked once is not worth it.
        assert_eq!(api.ask(get).await, (false, head.clone(), body.clone()));
        for _ in 0..2 {
            assert_eq!(api.ask(get).await, (true, head.clone(), body.clone()));
        }
        // Conditions count.
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
        for (condition, value, status) in [
            ("if-none-match", tag.unwrap(), "304"),
            ("if-match", "\"other\"", "412"),
        ] {
            let headers = [headers[0], headers[1], (condition, value)];
            let get = || request(Method::GET, TARGET, &headers);
            let (at_once, head, body) = api.ask(get).await;
            assert!(at_once && body.is_empty() && head.starts_with(status));
            let router = api.routes.router.clone();
            let mut by_router = router.oneshot(get()).await.unwrap();
            // The connection does what is right with it where there is no content.
            by_router.headers_mut().remove(header::CONTENT_LENGTH);
            assert_eq!(head, shown(&by_router));
        }
        // All else goes another way.
        let as_head = || request(Method::HEAD, TARGET, &headers);
        assert_eq!(api.ask(as_head).await, (false, head, Vec::new()));
        for method in [Method::POST, Method::OPTIONS] {
            let other = || request(method.clone(), TARGET, &headers);
            assert!(!api.ask(other).await.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_changed_is_not_answered_from_memory() {
    let api = Api::new();
    let get = || request(Method::GET, TARGET, &[]);
    for _ in 0..2 {
        api.ask(get).await;
    }
    let (at_once, _, before) = api.ask(get).await;
    assert!(at_once);
    // Another coding is another answer; another target is read first, even if it means the same.
    let gzip = || request(Method::GET, TARGET, &[("accept-encoding", "gzip")]);
    assert!(!api.ask(gzip).await.0);
    let spelled = format!("{TARGET}&x");
    let (at_once, _, same) = api.ask(|| request(Method::GET, &spelled, &[])).await;
    assert_eq!((at_once, &same), (false, &before));
    // A shorter one inside of another changes nothing.
    api.add("00:01.000000-1.0-full");
    let (at_once, _, same) = api.ask(get).await;
    assert_eq!((at_once, &same), (false, &before));
    api.settle();
    api.ask(get).await;
    assert!(api.ask(get).await.0);
    let segments = |text: &[u8]| String::from_utf8_lossy(text).matches("#EXTINF").count();
    assert_eq!(segments(&before), 2);
    fs::remove_dir_all(api.base.path().join(HOUR)).unwrap();
    let (at_once, _, none) = api.ask(get).await;
    assert_eq!((at_once, segments(&none)), (false, 0));
    fs::remove_dir_all(api.base.path().join("c")).unwrap();
    let (at_once, head, _) = api.ask(get).await;
    assert!(!at_once && head.starts_with("404"), "{head}");
}
