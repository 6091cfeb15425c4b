//! The players, and footage for them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tempfile::TempDir;
use tests::content::{duration_in_name, sha256_base64};
use tests::process::Process;
use tokio::process::Command;

pub(crate) const SOON: Duration = Duration::from_secs(60);

/// hls.js in Chromium, playing something. What it does is in its log, a line of JSON each.
pub(crate) struct Browser(pub(crate) Process);

impl Browser {
    pub(crate) fn play(url: &str) -> Browser {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tools = root.join("../target/web");
        assert!(
            tools.join("node_modules/hls.js").is_dir(),
            "hls.js is missing and this test needs it: run scripts/web-tools (make test does)"
        );
        let mut command = Command::new("node");
        command.arg(root.join("web/play.mjs")).arg(url);
        command.env("WEB_TOOLS", tools);
        Browser(Process::spawn("hls.js in Chromium", command))
    }

    /// The first of its messages of which `find` makes something.
    pub(crate) async fn wait<T>(&self, what: &str, mut find: impl FnMut(&Value) -> Option<T>) -> T {
        let find = |line: &str| find(&serde_json::from_str(line).ok()?);
        self.0.wait_for_line(what, SOON, find).await
    }

    /// Waits until what is on the screen was recorded at `instant` or later.
    pub(crate) async fn wait_for_date(&self, instant: DateTime<Utc>) {
        let what = format!("a picture of {instant}");
        self.wait(&what, |message| (date(message)? >= instant).then_some(()))
            .await;
    }

    /// All messages of a kind.
    pub(crate) fn messages(&self, event: &str) -> Vec<Value> {
        let lines = self.0.log();
        let messages = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        messages
            .filter(|message: &Value| message["event"] == event)
            .collect()
    }

    /// Nothing that it was told contradicted what it was told before, and it got over everything.
    /// Returns the segments that it loaded: each once, in order.
    pub(crate) fn assert_content(&self) -> Vec<DateTime<Utc>> {
        for bad in ["contradiction", "page-error"] {
            assert_eq!(self.messages(bad), [Value::Null; 0]);
        }
        for error in self.messages("error") {
            assert_eq!(error["fatal"], false, "{error}");
            // To wait at a hole is its work; anything else would be ours.
            let details = error["details"].as_str().unwrap();
            assert!(
                details.starts_with("bufferStalled")
                    || details.starts_with("bufferNudge")
                    || details.starts_with("bufferSeekOverHole"),
                "{error}"
            );
        }
        let loaded = self.messages("loaded");
        let dates: Vec<DateTime<Utc>> = loaded.iter().filter_map(date).collect();
        assert!(!dates.is_empty() && dates.is_sorted(), "{loaded:?}");
        let mut urls: Vec<&str> = loaded
            .iter()
            .filter_map(|one| one["url"].as_str())
            .collect();
        urls.sort_unstable();
        urls.dedup();
        assert_eq!(
            urls.len(),
            loaded.len(),
            "something was loaded twice: {loaded:?}"
        );
        dates
    }
}

/// When what a message is about was recorded.
pub(crate) fn date(message: &Value) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(message["date"].as_f64()? as i64)
}

/// Plays something to its end with mpv (or `arguments` say where to stop), without a screen or a
/// speaker, and returns its exit code and what it complained about.
pub(crate) async fn mpv(url: &str, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut command = Command::new("mpv");
    command
        .args([
            "--no-config",
            "--vo=null",
            "--ao=null",
            "--msg-level=all=warn",
        ])
        .args(arguments)
        .arg(url);
    let mut mpv = Process::spawn("mpv", command);
    let status = mpv.wait(SOON).await;
    let mut log = mpv.log();
    // A busy machine does not feed the (null) audio device in time: not the playlist's doing.
    log.retain(|line| !line.contains("underrun"));
    (status.code(), log)
}

/// Puts so many segments of a second of real video below a base directory, as though recorded
/// from `start` on; returns their files in order.
pub(crate) async fn footage(
    base: &Path,
    start: DateTime<Utc>,
    seconds: u32,
) -> Vec<std::path::PathBuf> {
    let made = TempDir::new().unwrap();
    let mut command = Command::new("ffmpeg");
    command.current_dir(made.path()).args(
        format!(
            "-hide_banner -nostdin -loglevel error -t {seconds} -f lavfi -i testsrc2=size=320x180:rate=25 \
             -t {seconds} -f lavfi -i sine=frequency=440:sample_rate=48000 -c:v libx264 -preset ultrafast \
             -pix_fmt yuv420p -bf 2 -g 25 -keyint_min 25 -sc_threshold 0 -c:a aac -b:a 64k -ac 2 \
             -f hls -hls_time 1 -hls_list_size 0 -hls_segment_filename %d.ts index.m3u8"
        )
        .split_whitespace(),
    );
    let mut ffmpeg = Process::spawn("ffmpeg", command);
    assert!(ffmpeg.wait(SOON).await.success(), "{:?}", ffmpeg.log());
    let mut files = Vec::new();
    let mut at = start;
    let list = fs::read_to_string(made.path().join("index.m3u8")).unwrap();
    let durations = list
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:"));
    for (number, duration) in durations.enumerate() {
        let duration = duration.trim_end_matches(',');
        let content = fs::read(made.path().join(format!("{number}.ts"))).unwrap();
        let name = format!(
            "{}-{}-full-{}.ts",
            at.format("%M:%S%.6f"),
            duration_in_name(duration),
            sha256_base64(&content)
        );
        let directory = base
            .join("test/source")
            .join(at.format("%Y-%m-%dT%H").to_string());
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join(name);
        fs::write(&file, content).unwrap();
        files.push(file);
        at += TimeDelta::microseconds((duration.parse::<f64>().unwrap() * 1e6).round() as i64);
    }
    files
}

/// The starts of the full segments of a node, and their names.
pub(crate) fn recorded(files: &BTreeMap<String, String>) -> Vec<DateTime<Utc>> {
    let full = files.keys().filter(|name| name.contains("-full-"));
    full.map(|name| {
        let start = format!("{}Z", name[..26].replace('/', ":"));
        start.parse().unwrap()
    })
    .collect()
}
