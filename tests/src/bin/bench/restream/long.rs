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
/// Repeated requests after each, in pairs with the bare socket.
const REPEATED: usize = 15;

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
        let (mut firsts, mut repeated, mut first_bytes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut memory, mut bytes, mut index, mut ratios) = (0.0, 0, 0.0, Vec::new());
        for _ in 0..STARTS {
            let mut node = Node::at("bench", place.base_dir());
            node.start_restreamer().await;
            has_asked_ffmpeg(&node).await;
            let address = node.restreamer_address();
            let made = fetch(address, &target).await;
            firsts.push(made.all);
            bytes = made.bytes;
            let socket = bare::serve(&vec![b'x'; bytes]);
            for turn in 0..REPEATED {
                let pair = if turn % 2 == 0 {
                    let again = fetch(address, &target).await;
                    (again, fetch(socket, &target).await)
                } else {
                    let bare = fetch(socket, &target).await;
                    (fetch(address, &target).await, bare)
                };
                let (again, bare) = pair;
                repeated.push(again.all);
                first_bytes.push(again.first_byte);
                ratios.push(bare.all.as_secs_f64() / again.all.as_secs_f64());
            }
            let metrics = node.metrics().await;
            memory = metrics.sum("process_resident_memory_bytes", &[]) / 1e6;
            index = metrics.sum("restreamer_index_bytes", &[]) / 1e6;
        }
        let (first, again) = (middle(&mut firsts), middle(&mut repeated));
        ratios.sort_by(f64::total_cmp);
        let quarter = |n: usize| ratios[ratios.len() * n / 4];
        say(&format!(
            "  {hours:>3} h ({:>5.1} MB): first {:>6.1} ms ({:.2} ms an hour), repeated {:>5.1} ms \
             ({:.2} GB/s), its first byte after {:.1} ms; {:.2} of a bare socket's speed (the middle half \
             of {} pairs: {:.2} to {:.2}); the index has {index:.0} MB, the process {memory:.0} MB",
            bytes as f64 / 1e6,
            ms(first),
            ms(first) / hours as f64,
            ms(again),
            bytes as f64 / again.as_secs_f64() / 1e9,
            ms(middle(&mut first_bytes)),
            quarter(2),
            ratios.len(),
            quarter(1),
            quarter(3),
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

/// What came of a request.
struct Fetched {
    first_byte: Duration,
    all: Duration,
    bytes: usize,
}

/// Fetches something to its end and throws it away.
async fn fetch(address: SocketAddr, target: &str) -> Fetched {
    let mut buffer = vec![0; 1 << 20];
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut bytes = stream.read(&mut buffer).await.expect("an answer");
    let first_byte = begun.elapsed();
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "a good answer");
    loop {
        let read = stream.read(&mut buffer).await.expect("an answer");
        bytes += read;
        if read == 0 {
            return Fetched {
                first_byte,
                all: begun.elapsed(),
                bytes,
            };
        }
    }
}
