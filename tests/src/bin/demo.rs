//! `make demo`: a real live stream, recorded by node A, replicated by node B, and played from
//! either, on loopback. With `SECONDS` it ends by itself and says whether B has all that A has.

use std::process::ExitCode;
use std::time::Duration;

use tests::ffmpeg::{LiveHls, LiveHlsOptions, probe};
use tests::node::{Node, Service};
use tests::playlist::Summary;
use tokio::time::{Instant, sleep, sleep_until};

/// The stream's name.
const CHANNEL: &str = "demo";
/// Between two lines of progress.
const INTERVAL: Duration = Duration::from_secs(4);
/// How long the first segment may take on a slow machine.
const FIRST: Duration = Duration::from_secs(60);
/// How long the last segments may take to reach node B.
const SETTLE: Duration = Duration::from_secs(60);
/// How long a service may take to stop.
const STOP: Duration = Duration::from_secs(15);
/// ffmpeg ends by itself after so long, whatever happens to us.
const MAX_SECONDS: u32 = 24 * 3600;

fn main() -> ExitCode {
    let seconds = match seconds() {
        Ok(seconds) => seconds,
        Err(text) => {
            eprintln!("demo: SECONDS={text:?} is no number of seconds of at least 10");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Dropping the demo in the middle ends everything that it has started.
    runtime.block_on(async {
        tokio::select! {
            outcome = demo(seconds) => match outcome {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    eprintln!("demo: FAILED: {why}");
                    ExitCode::FAILURE
                }
            },
            () = stopped() => {
                eprintln!("\ndemo: stopped");
                ExitCode::SUCCESS
            }
        }
    })
}

/// Ends at Ctrl-C or SIGTERM.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        },
        _ => std::future::pending().await,
    }
}

/// `SECONDS` of the environment; none, or an empty one: go on until Ctrl-C.
fn seconds() -> Result<Option<u64>, String> {
    let text = std::env::var("SECONDS").unwrap_or_default();
    match text.parse() {
        _ if text.is_empty() => Ok(None),
        Ok(seconds) if seconds >= 10 => Ok(Some(seconds)),
        _ => Err(text),
    }
}

/// The two nodes and what runs on them.
struct Fleet {
    a: Node,
    b: Node,
    downloader: Service,
    backfiller: Service,
}

async fn demo(seconds: Option<u64>) -> Result<(), String> {
    let mut live = LiveHls::start(LiveHlsOptions {
        max_seconds: MAX_SECONDS,
        ..LiveHlsOptions::default()
    })
    .await;
    live.wait_first_playlist(FIRST).await;
    say(&format!("live stream   {}", live.url()));

    let mut fleet = start(&live).await;
    for (name, node) in [("A", &fleet.a), ("B", &fleet.b)] {
        let url = node.restreamer_url();
        say(&format!("play node {name}   {url}/playlist/{CHANNEL}.m3u8"));
    }
    say("Open one in VLC, mpv or ffplay. Ctrl-C stops everything.\n");

    let begun = Instant::now();
    let end = seconds.map(|seconds| begun + Duration::from_secs(seconds));
    while end.is_none_or(|end| Instant::now() < end) {
        let next = Instant::now() + INTERVAL;
        sleep_until(end.map_or(next, |end| end.min(next))).await;
        let (a, b) = (summary(&fleet.a).await, summary(&fleet.b).await);
        say(&format!(
            "{:>4} s: recorded on A {:>6.1} s, replicated on B {:>6.1} s, holes: A {}, B {}",
            begun.elapsed().as_secs(),
            a.seconds,
            b.seconds,
            a.holes,
            b.holes
        ));
        running(&mut fleet)?;
        if let Some(complaint) = live.ended() {
            return Err(format!("ffmpeg has ended: {complaint}"));
        }
    }
    live.finish().await;
    let recorded = summary(&fleet.a).await;
    // What ffmpeg has begun and not yet listed, and what the last poll has not seen.
    let least = seconds.unwrap_or(0) as f64 - 10.0;
    if recorded.seconds < least || recorded.holes > 0 {
        return Err(format!(
            "A has {:.1} s and {} holes after {} s",
            recorded.seconds,
            recorded.holes,
            begun.elapsed().as_secs()
        ));
    }
    finish(fleet).await
}

async fn start(live: &LiveHls) -> Fleet {
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    let spec = format!("{CHANNEL}!:url:{}", live.url());
    let downloader = a.start_downloader(&spec, &[]).await;
    a.start_restreamer().await;
    b.start_restreamer().await;
    let peers = [a.restreamer_url()];
    let backfiller = b
        .start_backfiller(CHANNEL, &peers, &["--interval", "2"])
        .await;
    Fleet {
        a,
        b,
        downloader,
        backfiller,
    }
}

/// A service that ended on its own is a failure.
fn running(fleet: &mut Fleet) -> Result<(), String> {
    let restreamers = [fleet.a.restreamer.as_mut(), fleet.b.restreamer.as_mut()];
    let others = [&mut fleet.downloader, &mut fleet.backfiller];
    for service in restreamers.into_iter().flatten().chain(others) {
        if !service.is_running() {
            return Err(format!("{} has ended: {:?}", service.name(), service.log()));
        }
    }
    Ok(())
}

/// What a node's playlist holds.
async fn summary(node: &Node) -> Summary {
    let answer = node.get(&format!("/playlist/{CHANNEL}/source.m3u8")).await;
    Summary::read(&answer.text())
}

/// The last segments are recorded and replicated; then both nodes must hold the same.
async fn finish(mut fleet: Fleet) -> Result<(), String> {
    let deadline = Instant::now() + SETTLE;
    let files = |node: &Node| node.files(CHANNEL, "source");
    // The downloader's last poll was up to half a segment before the last segment.
    let mut before = files(&fleet.a);
    loop {
        sleep(Duration::from_secs(3)).await;
        let now = files(&fleet.a);
        if now == before && fleet.a.temp_files().is_empty() && now == files(&fleet.b) {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!(
                "B has {} of A's {} files",
                files(&fleet.b).len(),
                now.len()
            ));
        }
        before = now;
    }
    fleet.downloader.terminate();
    fleet.backfiller.terminate();
    for service in [&mut fleet.downloader, &mut fleet.backfiller] {
        let status = service.wait(STOP).await;
        if !status.success() {
            return Err(format!("{} ended with {status}", service.name()));
        }
    }
    let (a, b) = (files(&fleet.a), files(&fleet.b));
    if a != b || a.is_empty() {
        return Err(format!(
            "A has {} files, B {}, and they differ",
            a.len(),
            b.len()
        ));
    }
    let wrong = fleet.b.wrong_hashes(CHANNEL, "source");
    if !wrong.is_empty() {
        return Err(format!(
            "on B the content of {wrong:?} does not match its name"
        ));
    }
    let playlist = fleet
        .b
        .get(&format!("/playlist/{CHANNEL}/source.m3u8"))
        .await
        .text();
    let summary = Summary::read(&playlist);
    let (first, last) = summary.range.ok_or("B's playlist is empty")?;
    let url = format!(
        "{}/playlist/{CHANNEL}/source.m3u8?start={first}&end={last}",
        fleet.b.restreamer_url()
    );
    let probed = probe(&url).await;
    if !probed.readable || !probed.errors.is_empty() || summary.holes > 0 {
        return Err(format!(
            "B's playlist has {} discontinuities; ffprobe says: {}",
            summary.holes, probed.errors
        ));
    }
    say(&format!(
        "\nB holds exactly A's {} segments; ffprobe reads {:.1} s from B without an error.",
        b.len(),
        probed.duration.unwrap_or_default()
    ));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
fn say(line: &str) {
    println!("{line}");
}
