//! What ffprobe and ffmpeg say about a file or URL. Both run with an end.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::require;

/// To read some minutes of small video takes a few seconds.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One stream of what was probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// `video`, `audio` …
    pub kind: String,
    /// `h264`, `aac` …
    pub codec: String,
    /// Width and height of a picture.
    pub size: Option<(u64, u64)>,
}

/// What ffprobe says without decoding.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Seconds, if it knows.
    pub duration: Option<f64>,
    /// The first timestamp in seconds, if it knows.
    pub start: Option<f64>,
    /// The streams.
    pub streams: Vec<Stream>,
    /// Warnings and errors; empty if all is well.
    pub errors: String,
    /// False if ffprobe gave up.
    pub readable: bool,
}

impl Probe {
    /// The first stream of a kind.
    #[must_use]
    pub fn stream(&self, kind: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.kind == kind)
    }
}

/// What ffmpeg saw when it decoded everything.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// Pictures of the first video stream.
    pub frames: u64,
    /// Seconds up to the end of the last picture or sound.
    pub seconds: f64,
    /// Warnings and errors; empty if all is well.
    pub errors: String,
    /// False if ffmpeg gave up.
    pub success: bool,
}

/// Asks ffprobe about a file or URL.
///
/// # Panics
/// If ffprobe is not there or does not end.
pub async fn probe(target: &str) -> Probe {
    let arguments = [
        "-v",
        "warning",
        "-print_format",
        "json",
        "-show_format",
        "-show_streams",
        target,
    ];
    let output = run("ffprobe", &arguments).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let format = &answer["format"];
    let streams = answer["streams"].as_array().map_or(&[][..], Vec::as_slice);
    Probe {
        duration: seconds(&format["duration"]),
        start: seconds(&format["start_time"]),
        streams: streams.iter().map(stream).collect(),
        errors: errors(&output),
        readable: output.status.success(),
    }
}

fn stream(value: &Value) -> Stream {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Stream {
        kind: text("codec_type"),
        codec: text("codec_name"),
        size: value["width"].as_u64().zip(value["height"].as_u64()),
    }
}

fn seconds(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}

/// Has ffmpeg decode a file or URL from end to end, pictures and sound.
///
/// # Panics
/// If ffmpeg is not there or does not end.
pub async fn decode(target: &str) -> Decoded {
    let arguments = [
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-v",
        "warning",
        "-progress",
        "-",
        "-i",
        target,
        "-fps_mode",
        "passthrough",
        "-f",
        "null",
        "-",
    ];
    let output = run("ffmpeg", &arguments).await;
    let mut decoded = Decoded {
        errors: errors(&output),
        success: output.status.success(),
        ..Decoded::default()
    };
    // Reports follow one another; the last one stands.
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        match line.split_once('=') {
            Some(("frame", value)) => decoded.frames = value.trim().parse().unwrap_or(0),
            Some(("out_time_us", value)) => {
                decoded.seconds = value.trim().parse().map_or(0.0, |us: f64| us / 1e6);
            }
            _ => {}
        }
    }
    decoded
}

async fn run(program: &str, arguments: &[&str]) -> Output {
    require(program);
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for proxy in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
    ] {
        command.env_remove(proxy);
    }
    match timeout(TIMEOUT, command.output()).await {
        Ok(output) => output.unwrap_or_else(|error| panic!("cannot run {program}: {error}")),
        Err(_) => panic!("{program} {arguments:?} did not end in {TIMEOUT:?}"),
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
