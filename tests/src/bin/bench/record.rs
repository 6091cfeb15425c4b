//! Recording: CPU and memory for 1, 20 and 100 channels of 4.8 Mbit/s, and the delay from a
//! segment's appearance in the playlist to its final name, beside ffmpeg and streamlink on the
//! same streams.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tempfile::TempDir;
use tests::node::Node;
use tests::origin::{LiveOptions, LiveStream, NewSegment, Origin};
use tests::process::Process;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

use crate::report::say;

/// How many channels.
const SIZES: [usize; 3] = [1, 20, 100];
/// streamlink is one Python process a channel: more than this is no use to anybody.
const MOST_STREAMLINKS: usize = 20;
/// Before anything is measured, everything has started and caught up.
const WARM_UP: Duration = Duration::from_secs(8);
/// What is measured.
const WINDOW: Duration = Duration::from_secs(30);
const SEGMENT: Duration = Duration::from_secs(2);
/// Segments of real video to go round: more than a run needs.
const CONTENT_SECONDS: u32 = 80;
/// Where `make bench` puts streamlink.
const STREAMLINK: &str = "target/bench/streamlink/bin/streamlink";

/// Runs this part; `ONLY=20` runs it with so many channels alone.
pub(crate) async fn run() {
    let only: Option<usize> = std::env::var("ONLY").ok().and_then(|n| n.parse().ok());
    let sizes = only.map_or(SIZES.to_vec(), |channels| vec![channels]);
    let content = content().await;
    let bytes: usize = content.iter().map(Bytes::len).sum();
    let megabits = bytes as f64 * 8e-6 / f64::from(CONTENT_SECONDS);
    say(&format!(
        "recording channels of {megabits:.1} Mbit/s in segments of 2 s, for {} s:",
        WINDOW.as_secs()
    ));
    say("  channels  recorder      CPU, of one core   a channel   memory (PSS)   a channel");
    for channels in sizes {
        ours(channels, &content).await;
        others("ffmpeg", channels, &content, |url, file| {
            let mut command = Command::new("ffmpeg");
            command.args([
                "-nostdin",
                "-loglevel",
                "error",
                "-i",
                url,
                "-c",
                "copy",
                "-f",
                "mpegts",
            ]);
            command.arg(file);
            command
        })
        .await;
        if !Path::new(STREAMLINK).is_file() {
            say(&format!(
                "            streamlink    not there: {STREAMLINK} (make bench installs it)"
            ));
        } else if channels <= MOST_STREAMLINKS {
            others("streamlink", channels, &content, |url, file| {
                let mut command = Command::new(STREAMLINK);
                command.args(["--loglevel", "error", "-o"]).arg(file);
                command.args([&format!("hls://{url}"), "best"]);
                command
            })
            .await;
        }
    }
}

/// Real video in segments of 2 s.
async fn content() -> Vec<Bytes> {
    let directory = TempDir::new().expect("a temporary directory");
    let picture =
        format!("testsrc2=size=640x360:rate=25:duration={CONTENT_SECONDS},noise=alls=40:allf=t");
    let sound = format!("sine=frequency=440:sample_rate=48000:duration={CONTENT_SECONDS}");
    let rate = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -keyint_min 50 -sc_threshold 0 \
        -b:v 4600k -minrate 4600k -maxrate 4600k -bufsize 4600k -x264-params nal-hrd=cbr \
        -c:a aac -b:a 128k -f hls -hls_time 2 -hls_list_size 0 -hls_segment_filename %d.ts index.m3u8";
    let status = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            &picture,
        ])
        .args(["-f", "lavfi", "-i", &sound])
        .args(rate.split_whitespace())
        .current_dir(directory.path())
        .status()
        .await
        .expect("ffmpeg");
    assert!(status.success(), "ffmpeg: {status}");
    let segments = CONTENT_SECONDS / 2;
    let read = |n| std::fs::read(directory.path().join(format!("{n}.ts"))).expect("a segment");
    (0..segments).map(|n| read(n).into()).collect()
}

/// When each segment was published: by channel, and by the beginning of its name.
type Times = Arc<Mutex<HashMap<(usize, String), SystemTime>>>;

/// Live streams that go on by themselves.
struct Streams {
    urls: Vec<String>,
    times: Times,
    // Dropped last: the origin.
    _running: JoinSet<()>,
    _origin: Origin,
}

impl Streams {
    async fn start(count: usize, content: &[Bytes]) -> Streams {
        let origin = Origin::start_with(4096).await;
        let times = Times::default();
        let mut running = JoinSet::new();
        let mut urls = Vec::new();
        for channel in 0..count {
            // To the millisecond, as the playlist writes it.
            let now = chrono::Utc::now().timestamp_millis();
            let options = LiveOptions {
                keep: 10,
                start: chrono::DateTime::from_timestamp_millis(now).unwrap_or_default(),
                ..LiveOptions::default()
            };
            let mut stream = LiveStream::new(&origin, &format!("c{channel}"), options);
            urls.push(stream.url());
            let (content, times) = (content.to_vec(), Arc::clone(&times));
            // They do not all publish at once.
            let first = Instant::now() + SEGMENT.mul_f64(channel as f64 / count as f64);
            running.spawn(async move {
                let mut ticks = interval_at(first, SEGMENT);
                for bytes in content.iter().cycle() {
                    ticks.tick().await;
                    let segment = stream.push_segment(NewSegment::new("2.000", bytes.clone()));
                    let name = segment.start.format("%Y-%m-%dT%H/%M:%S%.6f-").to_string();
                    let now = SystemTime::now();
                    times.lock().expect("no panic").insert((channel, name), now);
                }
            });
        }
        Streams {
            urls,
            times,
            _running: running,
            _origin: origin,
        }
    }
}

/// The time on a processor of processes, thread by thread: `/proc/PID/stat` counts in hundredths of
/// a second, which one channel hardly takes in half a minute.
#[derive(Debug, Default)]
struct Meter {
    /// Nanoseconds by process and thread, those that have ended among them.
    threads: HashMap<(u32, String), u64>,
}

impl Meter {
    fn look(&mut self, ids: &[u32]) {
        for id in ids {
            let threads = std::fs::read_dir(format!("/proc/{id}/task"));
            for thread in threads.into_iter().flatten().flatten() {
                // The first of its three numbers (sched-stats in the kernel's documentation).
                let times = std::fs::read_to_string(thread.path().join("schedstat"));
                let times = times.unwrap_or_default();
                if let Some(Ok(time)) = times.split(' ').next().map(str::parse) {
                    let name = thread.file_name().to_string_lossy().into_owned();
                    self.threads.insert((*id, name), time);
                }
            }
        }
    }

    fn seconds(&self) -> f64 {
        self.threads.values().sum::<u64>() as f64 / 1e9
    }
}

/// Bytes of memory of processes.
fn memory(ids: &[u32]) -> u64 {
    let kib = ids.iter().filter_map(|id| {
        let maps = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
        let pss = maps.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        pss.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    kib.sum::<u64>() * 1024
}

/// Measures processes that have just been started.
async fn measure(name: &str, channels: usize, ids: &[u32]) {
    sleep(WARM_UP).await;
    let mut meter = Meter::default();
    meter.look(ids);
    let (before, begun) = (meter.seconds(), Instant::now());
    // A thread's last moments before it ends are lost: few, if it is looked at often.
    while begun.elapsed() < WINDOW {
        sleep(WINDOW / 60).await;
        meter.look(ids);
    }
    let cpu = (meter.seconds() - before) / begun.elapsed().as_secs_f64() * 100.0;
    let mib = memory(ids) as f64 / f64::from(1 << 20);
    say(&format!(
        "  {channels:>8}  {name:<12} {cpu:>14.2} %   {:>7.3} %   {mib:>8.1} MiB   {:>6.2} MiB",
        cpu / channels as f64,
        mib / channels as f64
    ));
}

async fn ours(channels: usize, content: &[Bytes]) {
    let streams = Streams::start(channels, content).await;
    let node = Node::new("bench");
    let specs: Vec<String> = streams
        .urls
        .iter()
        .enumerate()
        .map(|(n, url)| format!("c{n}:url:{url}"))
        .collect();
    let downloader = node.start_downloader(&specs.join(" "), &[]).await;
    let begun = SystemTime::now() + WARM_UP;
    measure(
        "ours",
        channels,
        &[downloader.id().expect("a running process")],
    )
    .await;
    let ended = SystemTime::now() - Duration::from_secs(1);

    let times = streams.times.lock().expect("no panic").clone();
    let mut delays = Vec::new();
    let mut lost = 0;
    for ((channel, name), published) in &times {
        if !(begun..ended).contains(published) {
            continue;
        }
        match final_name(&node.base_dir().join(format!("c{channel}/source")), name) {
            Some(at) => delays.push(at.duration_since(*published).unwrap_or_default()),
            None => lost += 1,
        }
    }
    delays.sort_unstable();
    let at = |part: f64| {
        let index = (delays.len() as f64 * part) as usize;
        delays.get(index).copied().unwrap_or_default().as_millis()
    };
    say(&format!(
        "            delay from playlist to final name: median {} ms, 99 % {} ms, at most {} ms; {} segments, {lost} lost",
        at(0.5),
        at(0.99),
        delays.last().copied().unwrap_or_default().as_millis(),
        delays.len()
    ));
}

/// When the file whose path begins so got its name: a rename sets the change time.
fn final_name(quality: &Path, name: &str) -> Option<SystemTime> {
    let (hour, start) = name.split_once('/')?;
    let entries = std::fs::read_dir(quality.join(hour)).ok()?;
    let found: PathBuf = entries.flatten().map(|entry| entry.path()).find(|path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.starts_with(start) && name.contains("-full-")
    })?;
    let metadata = std::fs::metadata(found).ok()?;
    let nanos = u32::try_from(metadata.ctime_nsec()).ok()?;
    Some(UNIX_EPOCH + Duration::new(u64::try_from(metadata.ctime()).ok()?, nanos))
}

async fn others(
    name: &str,
    channels: usize,
    content: &[Bytes],
    command: impl Fn(&str, &Path) -> Command,
) {
    let streams = Streams::start(channels, content).await;
    // A player starts only where there is something to play.
    sleep(SEGMENT * 2).await;
    let directory = TempDir::new().expect("a temporary directory");
    let mut processes = Vec::new();
    for (n, url) in streams.urls.iter().enumerate() {
        let mut command = command(url, &directory.path().join(format!("{n}.ts")));
        command.stdin(Stdio::null());
        processes.push(Process::spawn(name, command));
    }
    let ids: Vec<u32> = processes.iter().filter_map(Process::id).collect();
    measure(name, channels, &ids).await;
}
