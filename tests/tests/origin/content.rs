//! What an origin serves when nothing goes wrong, what it logs, and how it ends.

use futures::future::join_all;
use tempfile::TempDir;
use tests::origin::{Fault, Gate, Hold, LiveOptions, LiveStream, Origin, Resource};
use tests::raw;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{DELAY, SOON, bare, client, drain, get, origin};

#[tokio::test]
async fn content_is_served_replaced_and_removed() {
    let (origin, content) = origin().await;
    let response = get(&origin, "/a.ts?token=1").await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "video/mp2t");
    assert_eq!(drain(response).await, (content.to_vec(), true));

    origin.put("/a.ts", "new", "video/mp2t");
    origin.put("/a.ts?v=2", "for this query", "text/plain");
    let text = async |path| get(&origin, path).await.unwrap().text().await.unwrap();
    assert_eq!(text("/a.ts").await, "new");
    assert_eq!(text("/a.ts?v=2").await, "for this query");
    origin.remove("/a.ts");
    assert_eq!(get(&origin, "/a.ts").await.unwrap().status(), 404);
    assert_eq!(origin.count("/a.ts"), 4);

    let post = client().post(origin.url("/a.ts")).send().await.unwrap();
    assert_eq!(post.status(), 405);
}

#[tokio::test]
async fn head_and_ranges() {
    let (origin, content) = origin().await;
    let head = raw::request(origin.address(), "HEAD", "/a.ts", &[]).await;
    assert_eq!(head.header("content-length"), Some("300000"));
    assert!(head.complete && head.body.is_empty());

    let range = [("Range", "bytes=100-199")];
    let part = raw::request(origin.address(), "GET", "/a.ts", &range).await;
    assert_eq!(part.status, 206);
    assert_eq!(part.header("content-range"), Some("bytes 100-199/300000"));
    assert_eq!(part.body, content.slice(100..200));
    let range = [("Range", "bytes=300000-")];
    let none = raw::request(origin.address(), "GET", "/a.ts", &range).await;
    assert_eq!(none.status, 416);
    let log = origin.log();
    let ranges: Vec<_> = log.iter().map(|e| e.request.range()).collect();
    assert_eq!(ranges, [None, Some("bytes=100-199"), Some("bytes=300000-")]);
}

#[tokio::test]
async fn directories_and_nothing_beside_them() {
    let outer = TempDir::new().unwrap();
    let inner = outer.path().join("inner");
    std::fs::create_dir_all(inner.join("deep")).unwrap();
    std::fs::write(outer.path().join("secret"), "no").unwrap();
    std::fs::write(inner.join("deep/a.m3u8"), "#EXTM3U").unwrap();
    std::fs::write(inner.join(".hidden"), "no").unwrap();
    let origin = Origin::start().await;
    origin.serve_dir("/live", &inner);
    let answer = raw::get(origin.address(), "/live/deep/a.m3u8").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "#EXTM3U"));
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("application/vnd.apple.mpegurl"));
    for target in [
        "/live/../secret",
        "/live/.hidden",
        "/live/none",
        "/live/",
        "/live/deep",
    ] {
        assert_eq!(
            raw::get(origin.address(), target).await.status,
            404,
            "{target}"
        );
    }
}

#[tokio::test]
async fn handlers_see_the_request_and_may_call_the_origin() {
    let origin = std::sync::Arc::new(Origin::start().await);
    let weak = std::sync::Arc::downgrade(&origin);
    origin.handle("/gql", move |request| {
        weak.upgrade()?
            .put("/later", "made by a handler", "text/plain");
        let asked = String::from_utf8_lossy(&request.body).into_owned();
        let answer = serde_json::json!({"asked": asked, "id": request.header("client-id")});
        Some(Resource::json(&answer).status(201).header("X-Y", "z"))
    });
    let question = client()
        .post(origin.url("/gql"))
        .header("Client-ID", "me")
        .body("{}");
    let answer = question.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["x-y"], "z");
    let expected = serde_json::json!({"asked": "{}", "id": "me"}).to_string();
    assert_eq!(answer.text().await.unwrap(), expected);
    assert_eq!(get(&origin, "/later").await.unwrap().status(), 200);
}

#[tokio::test]
async fn connections_are_kept_and_counted() {
    let (origin, content) = origin().await;
    let client = client();
    for _ in 0..3 {
        let response = client.get(origin.url("/a.ts")).send().await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), content);
    }
    assert_eq!(origin.log().connections(), 1);
    let mut idle = TcpStream::connect(origin.address()).await.unwrap();
    origin
        .wait_for(SOON, |log| log.connections() == 2)
        .await
        .unwrap();
    origin.drop_connections();
    let end = timeout(SOON, idle.read(&mut [0])).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(raw::get(origin.address(), "/a.ts").await.body, content);
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let origin = Origin::start().await;
    let mut stream = TcpStream::connect(origin.address()).await.unwrap();
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert!(origin.log().is_empty());
}

#[tokio::test]
async fn a_wait_in_vain_lists_the_requests() {
    let (origin, _) = origin().await;
    raw::get(origin.address(), "/none").await;
    let wait = origin.wait_for(DELAY, |log| log.count("/never") > 0).await;
    let message = wait.unwrap_err().to_string();
    assert!(message.contains("GET /none -> 404"), "{message}");
}

#[tokio::test]
async fn connections_are_bounded() {
    let origin = Origin::start_with(1).await;
    origin.put("/a", "x", "text/plain");
    let gate = Gate::new();
    origin.next(1, "/a", Fault::stall_head(Hold::Until(gate.clone())));
    let first = raw::get(origin.address(), "/a");
    let second = async {
        origin.wait_for(SOON, |log| log.len() == 1).await.unwrap();
        let mut second = Box::pin(raw::get(origin.address(), "/a"));
        assert!(timeout(DELAY, &mut second).await.is_err());
        gate.open();
        second.await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status, second.status), (200, 200));
}

#[tokio::test]
async fn all_ends_with_the_handle() {
    let (origin, _) = origin().await;
    let address = origin.address();
    origin.always("/a.ts", Fault::stall_head(Hold::Forever));
    let held = tokio::spawn(bare(address, "/a.ts"));
    origin.wait_for(SOON, |log| log.open() == 1).await.unwrap();
    timeout(SOON, origin.stop()).await.unwrap();
    assert!(held.await.unwrap().1.is_err());
    assert!(TcpStream::connect(address).await.is_err());

    let dropped = Origin::start().await;
    let address = dropped.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    dropped
        .wait_for(SOON, |log| log.connections() == 1)
        .await
        .unwrap();
    drop(dropped);
    let end = timeout(SOON, idle.read(&mut [0])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_live_stream_is_what_its_origin_serves() {
    let origin = Origin::start().await;
    let mut live = LiveStream::new(
        &origin,
        "/live/",
        LiveOptions {
            window: 3,
            keep: 1,
            ..LiveOptions::default()
        },
    );
    let published: Vec<_> = (0..6).map(|_| live.push(5000)).collect();
    let playlist = get(&origin, "/live/playlist.m3u8").await.unwrap();
    assert_eq!(playlist.url().as_str(), live.url());
    assert_eq!(playlist.text().await.unwrap(), live.render());
    let listed: Vec<_> = live.listed().map(|segment| segment.sequence).collect();
    assert_eq!(listed, [3, 4, 5]);
    let answers = published
        .iter()
        .map(|s| raw::get(origin.address(), &s.path));
    let answers = join_all(answers).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [404, 404, 200, 200, 200, 200]);
    assert_eq!(answers[5].body, published[5].content);
}
