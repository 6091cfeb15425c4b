//! Video with a number in each picture and a click for some of them, as segments on a node's disk:
//! what a cut holds can be read back to the picture.
//!
//! A number is written in black and white blocks, once as it is and once inverted, so that a
//! picture that is damaged or mixed from two is noticed. [`read`] panics on one; [`look`] gives
//! `None` for it.

mod picture;
mod reading;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::content::sha256_base64;

pub use reading::{Reading, look, read};

/// Some minutes of small video take some seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// Pictures whose number is a multiple of this come with a click.
pub const CLICK_EVERY: u32 = 8;

/// Samples of sound in a second.
const SAMPLE_RATE: u64 = 48_000;

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// By libx264.
    H264,
    /// By libx265.
    H265,
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Options {
    /// How pictures are coded.
    pub codec: Codec,
    /// The profile of H.264, by x264's name; without one, what its quickest preset makes.
    pub profile: Option<&'static str>,
    /// Pictures a second, as a fraction.
    pub fps: (u32, u32),
    /// With three B-frames in a row, or none.
    pub b_frames: bool,
    /// Whether pictures shown before a key picture may need those before it.
    pub open_gop: bool,
    /// How long it is; rounded to whole pictures.
    pub seconds: f64,
    /// How long each segment is; rounded to whole pictures.
    pub segment_seconds: f64,
    /// Key pictures in each segment.
    pub keys: u32,
    /// When the first picture is shown.
    pub start: DateTime<Utc>,
    /// Its number: below 2^24, like all.
    pub first: u32,
    /// The stream's own clock where it begins, in seconds; it begins anew at 95,443.7.
    pub clock: f64,
    /// Whether there is sound.
    pub sound: bool,
}

impl Default for Options {
    /// 20 s of H.264 with B-frames and sound at 25 pictures a second, in segments of 2 s with two
    /// key pictures each.
    fn default() -> Options {
        Options {
            codec: Codec::H264,
            profile: None,
            fps: (25, 1),
            b_frames: true,
            open_gop: false,
            seconds: 20.0,
            segment_seconds: 2.0,
            keys: 2,
            start: "2026-01-02T03:00:00Z".parse().expect("a time"),
            first: 0,
            clock: 0.0,
            sound: true,
        }
    }
}

/// A segment on the disk.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Where it is.
    pub path: PathBuf,
    /// When its first picture is shown, exact to the microsecond.
    pub start: DateTime<Utc>,
    /// The numbers in it.
    pub numbers: Range<u32>,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// In order of time.
    pub segments: Vec<Segment>,
    options: Options,
}

impl Numbered {
    /// When the picture of this number is shown: so long after its segment's start as the
    /// stream's own clock says, to the nearest microsecond (a start is rounded, too).
    #[must_use]
    pub fn instant(&self, number: u32) -> DateTime<Utc> {
        let mut segments = self.segments.iter().rev();
        let segment = segments.find(|segment| segment.numbers.start <= number);
        let (start, first) = segment.map_or((self.options.start, self.options.first), |segment| {
            (segment.start, segment.numbers.start)
        });
        let (pictures, seconds) = self.options.fps;
        let (pictures, seconds) = (u64::from(pictures), u64::from(seconds));
        let number = u64::from(number - first);
        let micros = (2 * number * seconds * 1_000_000 + pictures) / (2 * pictures);
        start + TimeDelta::microseconds(micros as i64)
    }

    /// All numbers.
    #[must_use]
    pub fn numbers(&self) -> Range<u32> {
        let end = self
            .segments
            .last()
            .map_or(self.options.first, |last| last.numbers.end);
        self.options.first..end
    }

    /// The numbers that a cut of `[start, end)` holds.
    #[must_use]
    pub fn between(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> Range<u32> {
        let all = self.numbers();
        let first = |from: DateTime<Utc>| {
            let mut numbers = all.clone();
            numbers
                .find(|&number| self.instant(number) >= from)
                .unwrap_or(all.end)
        };
        first(start)..first(end)
    }
}

/// Makes numbered video and puts it into a quality's directory, under the names of SPEC §2.
///
/// # Panics
/// If ffmpeg is not there or fails.
pub async fn make(quality: &Path, options: &Options) -> Numbered {
    let work = TempDir::with_prefix("numbered-").expect("a temporary directory");
    let rate = f64::from(options.fps.0) / f64::from(options.fps.1);
    let count = (options.seconds * rate).round() as u32;
    let in_segment = (options.segment_seconds * rate).round() as u32;
    encode(options, work.path(), count, in_segment).await;
    let mut made = Numbered {
        segments: Vec::new(),
        options: options.clone(),
    };
    let mut clock = None;
    for number in 0.. {
        let file = work.path().join(format!("{number}.ts"));
        let Ok(content) = std::fs::read(&file) else {
            break;
        };
        let mut times = reading::picture_times(&content, clock);
        times.sort_unstable();
        let first = *clock.get_or_insert(times[0]);
        let number_at =
            |time: i64| options.first + ((time - first) as f64 / 90_000.0 * rate).round() as u32;
        let numbers = number_at(times[0])..number_at(times[times.len() - 1]) + 1;
        assert_eq!(
            numbers.len(),
            times.len(),
            "pictures of a segment follow one another"
        );
        let start = of_all(options, numbers.start);
        let duration = numbers.len() as f64 / rate;
        let name = format!(
            "{:02}:{:02}.{:06}-{duration:?}-full-{}.ts",
            start.minute(),
            start.second(),
            start.timestamp_subsec_micros(),
            sha256_base64(&content)
        );
        let directory = quality.join(start.format("%Y-%m-%dT%H").to_string());
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join(name);
        std::fs::write(&path, content).expect("a file");
        made.segments.push(Segment {
            path,
            start,
            numbers,
        });
    }
    assert_eq!(
        made.numbers().len() as u32,
        count,
        "every picture is in a segment"
    );
    made
}

/// When a picture is shown, to the nearest microsecond from the start of all.
fn of_all(options: &Options, number: u32) -> DateTime<Utc> {
    let nothing = Numbered {
        segments: Vec::new(),
        options: options.clone(),
    };
    nothing.instant(number)
}

/// Has ffmpeg make `0.ts`, `1.ts` … in a directory.
async fn encode(options: &Options, directory: &Path, count: u32, in_segment: u32) {
    crate::ffmpeg::require("ffmpeg");
    let Options { codec, fps, .. } = options;
    let key = in_segment.div_ceil(options.keys.max(1));
    let b_frames = if options.b_frames { 3 } else { 0 };
    let mut line = format!(
        "-hide_banner -nostats -loglevel error -f rawvideo -pix_fmt gray -s {}x{} -r {}/{} -i pipe:0 ",
        picture::WIDTH,
        picture::HEIGHT,
        fps.0,
        fps.1
    );
    if options.sound {
        std::fs::write(directory.join("sound"), sound(options, count)).expect("a file");
        line.push_str(&format!(
            "-f s16le -ar {SAMPLE_RATE} -ac 1 -i sound -c:a aac -b:a 64k "
        ));
    }
    line.push_str(&match codec {
        Codec::H264 => format!(
            "-c:v libx264 {} -x264-params \
             keyint={key}:min-keyint={key}:scenecut=0:repeat-headers=1:bframes={b_frames}:b-adapt=0:open-gop={}:threads=2 ",
            options.profile.map_or("-preset ultrafast".to_owned(), |profile| {
                format!("-preset veryfast -profile:v {profile}")
            }),
            u32::from(options.open_gop)
        ),
        Codec::H265 => format!(
            "-c:v libx265 -preset ultrafast -x265-params \
             log-level=none:keyint={key}:min-keyint={key}:scenecut=0:repeat-headers=1:bframes={b_frames}:b-adapt=0:open-gop={} ",
            u32::from(options.open_gop)
        ),
    });
    let edges: Vec<String> = (1..count.div_ceil(in_segment))
        .map(|edge| (edge * in_segment).to_string())
        .collect();
    let edges = if edges.is_empty() {
        count.to_string()
    } else {
        edges.join(",")
    };
    line.push_str(&format!(
        "-pix_fmt yuv420p -fps_mode passthrough -output_ts_offset {} -f segment -segment_frames {edges} \
         -segment_format mpegts %d.ts",
        options.clock
    ));
    let mut command = Command::new("ffmpeg");
    command
        .args(line.split_whitespace())
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("ffmpeg starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let first = options.first;
    let feed = async move {
        for number in first..first + count {
            // Its end says why it takes no more.
            if stdin.write_all(&picture::draw(number)).await.is_err() {
                break;
            }
        }
    };
    let work = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = timeout(LIMIT, work).await.expect("ffmpeg ends in time");
    let output = output.expect("ffmpeg ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg: {errors}");
}

/// Silence, with 10 ms of a tone from the instant on at which certain pictures are shown.
fn sound(options: &Options, count: u32) -> Vec<u8> {
    let (pictures, seconds) = (u64::from(options.fps.0), u64::from(options.fps.1));
    let at = |number: u32| (u64::from(number) * seconds * SAMPLE_RATE / pictures) as usize;
    let mut samples = vec![0_i16; at(count)];
    let clicks = (0..count).filter(|number| (number + options.first).is_multiple_of(CLICK_EVERY));
    for click in clicks {
        let click = samples[at(click)..]
            .iter_mut()
            .take(SAMPLE_RATE as usize / 100);
        for (n, sample) in click.enumerate() {
            let phase = n as f64 * 2000.0 * std::f64::consts::TAU / SAMPLE_RATE as f64;
            *sample = (phase.cos() * 20_000.0) as i16;
        }
    }
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}
