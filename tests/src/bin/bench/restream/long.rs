//! Playlists of 12 hours, a day and a week: first, when nothing is indexed, and again; and what
//! the index of a week takes. Repeated ones in turns with a bare socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::segment::Hour;
use tests::node::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bare;
use super::site::{PER_HOUR, make_hour};
use crate::report::{middle, ms, say};

const HOURS: usize = 7 * 24;
/// So many starts of the server, each with one first request.
const STARTS: usize = 3;
/// Repeated requests after each.
const REPEATED: usize = 5;

pub(super) async fn run() {
    let place = Node::new("bench");
    let first: Hour = "2026-01-02T00".parse().expect("an hour");
    let mut hour = first;
    for _ in 0..HOURS {
        make_hour(&place.base_dir().join("test/source").join(hour.to_string()));
        hour = hour.next();
    }
    // What is still being written would be measured, too.
    rustix::fs::sync();
    say(&format!("long playlists, {} files:", HOURS * PER_HOUR));
    for hours in [12, 24, HOURS] {
        let end = first.start() + chrono::TimeDelta::hours(hours as i64);
        let target = format!(
            "/playlist/test/source.m3u8?start={first}:00&end={}",
            end.format("%Y-%m-%dT%H:%M")
        );
        let (mut firsts, mut repeated, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        let (mut memory, mut bytes, mut index) = (0.0, 0, 0.0);
        for _ in 0..STARTS {
            let mut node = Node::at("bench", place.base_dir());
            node.start_restreamer().await;
            has_asked_ffmpeg(&node).await;
            let address = node.restreamer_address();
            let (time, length) = fetch(address, &target).await;
            firsts.push(time);
            bytes = length;
            let socket = bare::serve(&vec![b'x'; bytes]);
            for _ in 0..REPEATED {
                repeated.push(fetch(address, &target).await.0);
                bare.push(fetch(socket, &target).await.0);
            }
            let metrics = node.metrics().await;
            memory = metrics.sum("process_resident_memory_bytes", &[]) / 1e6;
            index = metrics.sum("restreamer_index_bytes", &[]) / 1e6;
        }
        let (first, again) = (middle(&mut firsts), middle(&mut repeated));
        let bare = middle(&mut bare);
        say(&format!(
            "  {hours:>3} h ({:>5.1} MB): first {:>6.1} ms ({:.2} ms an hour), repeated {:>5.1} ms \
             ({:.2} GB/s, {:.2} of a bare socket's); the index has {index:.0} MB, the process {memory:.0} MB",
            bytes as f64 / 1e6,
            ms(first),
            ms(first) / hours as f64,
            ms(again),
            bytes as f64 / again.as_secs_f64() / 1e9,
            bare.as_secs_f64() / again.as_secs_f64(),
        ));
    }
}

/// Waits until a restreamer has heard from ffmpeg what that can do, which takes both cores a while.
async fn has_asked_ffmpeg(node: &Node) {
    tests::eventually(Duration::from_secs(20), "ffmpeg's answer", async || {
        let metrics = node.metrics().await;
        let (runs, now) = ("ffmpeg_runs_total", "ffmpeg_running");
        let (runs, now) = (metrics.sum(runs, &[]), metrics.sum(now, &[]));
        let is_done = runs > 0.0 && now == 0.0;
        is_done
            .then_some(())
            .ok_or(format!("{runs} runs, {now} now"))
    })
    .await;
}

/// Fetches something to its end and throws it away; how long it took, and how long it was.
async fn fetch(address: SocketAddr, target: &str) -> (Duration, usize) {
    let mut buffer = vec![0; 1 << 20];
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut total = 0;
    loop {
        let read = stream.read(&mut buffer).await.expect("an answer");
        if total == 0 {
            assert!(buffer.starts_with(b"HTTP/1.1 200"), "a good answer");
        }
        total += read;
        if read == 0 {
            return (begun.elapsed(), total);
        }
    }
}
