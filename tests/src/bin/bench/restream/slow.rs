//! Ten thousand clients that each fetch a segment at 20 kB/s.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Resource, getrlimit, setrlimit};
use tests::content::ts_bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::load::cpu_time;
use super::site::{LENGTH, SEGMENTS, Site};
use crate::report::say;

const CLIENTS: usize = 10_000;
/// Bytes a second.
const RATE: usize = 20_000;
const TICK: Duration = Duration::from_millis(500);
/// What a client's kernel holds of what it has not read yet, in bytes.
const RECEIVE_BUFFER: u32 = 32 * 1024;
/// What the server may take for all of them, in bytes.
const MOST_MEMORY: f64 = 500e6;
/// They come over so long a time.
const RAMP: Duration = Duration::from_secs(10);

pub(super) async fn run(site: &Site) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("more open files");
    let room = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        room > CLIENTS as u64 + 100,
        "only {room} files may be open (ulimit -n)"
    );

    let contents: Arc<Vec<Bytes>> =
        Arc::new((0..SEGMENTS).map(|n| ts_bytes(n as u64, LENGTH)).collect());
    let address = site.node().restreamer_address();
    let connected = Arc::new(AtomicUsize::new(0));
    let pids = site.our_pids();
    let (before, begun) = (cpu_time(&pids), Instant::now());
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let (contents, connected) = (Arc::clone(&contents), Arc::clone(&connected));
        clients.spawn(async move {
            sleep(RAMP.mul_f64(n as f64 / CLIENTS as f64)).await;
            connected.fetch_add(1, Ordering::Relaxed);
            let outcome = fetch(address, n % SEGMENTS, &contents[n % SEGMENTS]).await;
            connected.fetch_sub(1, Ordering::Relaxed);
            outcome
        });
    }
    let (mut failures, mut done) = (Vec::new(), 0);
    let (mut most, mut memory, mut kernel, mut files) = (0, 0.0_f64, 0.0_f64, 0.0_f64);
    let mut look = interval(Duration::from_secs(2));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                Some(Ok(Ok(()))) => done += 1,
                Some(Ok(Err(error))) => failures.push(error),
                Some(Err(error)) => failures.push(error.to_string()),
                None => break,
            },
            _ = look.tick() => {
                most = most.max(connected.load(Ordering::Relaxed));
                memory = memory.max(resident(pids[0]));
                files = files.max(open_files(pids[0]) as f64);
                kernel = kernel.max(tcp_memory());
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    say(&format!(
        "{CLIENTS} clients at {RATE} bytes a second, a segment each: {done} have it whole, {} failed, \
         in {seconds:.0} s; {most} at once",
        failures.len()
    ));
    say(&format!(
        "  the server: at most {:.0} MB and {files:.0} open files, {:.1} s of CPU; TCP in the kernel, both \
         sides: at most {:.0} MB",
        memory / 1e6,
        cpu_time(&pids) - before,
        kernel / 1e6
    ));
    assert_eq!(failures.first(), None, "the first failure");
    assert!(memory < MOST_MEMORY, "{memory} bytes");
}

/// Fetches a segment slowly and compares it.
async fn fetch(address: SocketAddr, number: usize, content: &Bytes) -> Result<(), String> {
    let error = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let socket = TcpSocket::new_v4().map_err(error("socket"))?;
    socket
        .set_recv_buffer_size(RECEIVE_BUFFER)
        .map_err(error("socket"))?;
    let mut stream = socket.connect(address).await.map_err(error("connect"))?;
    let request = format!(
        "GET /segments/test/source/2026-01-02T00/{number}.ts HTTP/1.1\r\nHost: x\r\n\
         Connection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(error("send"))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.map_err(error("head"))?);
    }
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(String::from_utf8_lossy(&head).into_owned());
    }
    let mut tick = interval(TICK);
    let mut piece = vec![0; RATE / 2];
    let mut at = 0;
    while at < content.len() {
        tick.tick().await;
        let length = piece.len().min(content.len() - at);
        stream
            .read_exact(&mut piece[..length])
            .await
            .map_err(error("read"))?;
        if piece[..length] != content[at..at + length] {
            return Err(format!("other content at {at}"));
        }
        at += length;
    }
    Ok(())
}

/// A process's memory in bytes.
fn resident(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: f64 = text
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0.0);
    pages * 4096.0
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What the kernel holds for TCP, in bytes.
fn tcp_memory() -> f64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .unwrap_or_default();
    let pages: f64 = line
        .rsplit(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0.0);
    pages * 4096.0
}
