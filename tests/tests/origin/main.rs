//! The scriptable origin does what it says, looked at from a client's side.
#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in what they share"
)]

mod content;
mod faults;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Response};
use tests::content::ts_bytes;
use tests::origin::{Log, Origin, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// More than anything here takes, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Long enough to tell a delay from none.
pub(crate) const DELAY: Duration = Duration::from_millis(150);
/// Larger than one piece (64 KiB) and one socket buffer at first.
pub(crate) const SIZE: usize = 300_000;

pub(crate) async fn origin() -> (Origin, Bytes) {
    let origin = Origin::start().await;
    let content = ts_bytes(1, SIZE);
    origin.put("/a.ts", content.clone(), "video/mp2t");
    (origin, content)
}

pub(crate) fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(SOON)
        .build()
        .unwrap()
}

pub(crate) async fn get(origin: &Origin, path: &str) -> reqwest::Result<Response> {
    client().get(origin.url(path)).send().await
}

/// All of the body that comes, and whether it came to a proper end.
pub(crate) async fn drain(mut response: Response) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, true),
            Err(_) => return (body, false),
        }
    }
}

pub(crate) async fn outcome(origin: &Origin, path: &str, wanted: Outcome) {
    let is_so = |log: &Log| log.last(path).is_some_and(|e| e.outcome == wanted);
    origin.wait_for(SOON, is_so).await.unwrap();
}

/// What a bare socket sees after a request: the bytes, and how the connection ended.
pub(crate) async fn bare(address: SocketAddr, target: &str) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let end = timeout(SOON, stream.read_to_end(&mut bytes)).await.unwrap();
    (bytes, end.map(drop))
}
