//! Clients that hang up in the middle of a long playlist change nothing for others.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use flate2::read::GzDecoder;
use socket2::SockRef;
use tests::node::Node;
use tests::raw;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fill;

/// As many as a live playlist may have.
const HOURS: usize = 12;

/// Of 2 s each: all hours together are a list of 4 MB, far more than the buffers between two
/// processes hold.
const IN_AN_HOUR: usize = 1800;

/// So many of the last hour's come while clients ask.
const LATE: usize = 5;

const GZIP: &[(&str, &str)] = &[("Accept-Encoding", "gzip")];

/// Asks and hangs up as one that is killed does: at once, or when it has read a little.
async fn hang_up(address: SocketAddr, target: &str, headers: &[(&str, &str)], at_once: bool) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    if !at_once {
        let mut first = [0; 1024];
        stream.read_exact(&mut first).await.unwrap();
        assert!(first.starts_with(b"HTTP/1.1 200"));
    }
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_in_the_middle_changes_nothing_for_others() {
    let mut node = Node::new("a");
    let hour = |n: usize| format!("2026-01-02T{n:02}");
    for n in 0..HOURS {
        let late = if n == HOURS - 1 { LATE } else { 0 };
        fill(&node, &hour(n), 0..IN_AN_HOUR - late);
    }
    node.start_restreamer().await;
    let address = node.restreamer_address();
    let live = "/playlist/test/source.m3u8?start=2026-01-02T00:00";
    let bounded = format!("{live}&end=2026-01-02T12:00");
    for there in (IN_AN_HOUR * HOURS - LATE..).take(LATE + 1) {
        for (target, headers) in [(live, &[][..]), (&bounded, &[]), (&bounded, GZIP)] {
            // The first may be gone before anybody has read what it asked for.
            let ((), answer, ()) = tokio::join!(
                hang_up(address, target, headers, true),
                raw::request(address, "GET", target, headers),
                hang_up(address, target, headers, false),
            );
            assert!(answer.status == 200 && answer.complete, "{target}");
            let mut text = String::new();
            match answer.header("content-encoding") {
                None => text = answer.text(),
                Some(_) => {
                    let mut decoder = GzDecoder::new(&*answer.body);
                    decoder.read_to_string(&mut text).unwrap();
                }
            }
            assert!(text.len() > 3_500_000 && text.starts_with("#EXTM3U\n"));
            assert_eq!(text.matches("#EXTINF:2.000,").count(), there, "{target}");
            assert!(!text.contains("#EXT-X-DISCONTINUITY\n"));
        }
        let index = there - IN_AN_HOUR * (HOURS - 1);
        if index < IN_AN_HOUR {
            fill(&node, &hour(HOURS - 1), index..index + 1);
        }
    }
}
