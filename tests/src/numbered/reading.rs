//! What is in numbered video: which pictures, when each is shown, when it clicks.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::{CLICK_EVERY, LIMIT, SAMPLE_RATE, picture};

/// What numbered video holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The numbers, in the order shown.
    pub numbers: Vec<Option<u32>>,
    /// When each is shown, in seconds of the stream's clock.
    pub times: Vec<f64>,
    /// When clicks begin, in seconds of the stream's clock.
    pub clicks: Vec<f64>,
    /// When its first sound begins and its last one ends, if it has any.
    pub sound: Option<(f64, f64)>,
    /// What ffmpeg complained about.
    pub errors: String,
}

impl Reading {
    /// By how much, in seconds, the sound is off from the picture, where it is off most: positive
    /// where it is late. `None` if no picture that clicks has its click in the sound.
    ///
    /// # Panics
    /// If a click that should be heard is not.
    #[must_use]
    pub fn sound_off(&self) -> Option<f64> {
        let (from, to) = self.sound?;
        let clicking = self.numbers.iter().zip(&self.times);
        let clicking =
            clicking.filter(|(number, _)| number.is_some_and(|n| n.is_multiple_of(CLICK_EVERY)));
        let mut off: Vec<f64> = Vec::new();
        for (number, &time) in clicking {
            // At the edges a click may be cut off.
            if time < from + 0.05 || time > to - 0.1 {
                continue;
            }
            let nearest = self.clicks.iter().map(|click| click - time);
            let nearest = nearest.min_by(|a, b| a.abs().total_cmp(&b.abs()));
            off.push(nearest.unwrap_or_else(|| panic!("no click for {number:?}")));
        }
        off.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs()))
    }
}

/// The numbers of a file's pictures, in the order shown.
///
/// # Panics
/// If it cannot be decoded without a complaint, or a picture has no number.
pub async fn read(content: &[u8]) -> Vec<u32> {
    let reading = look(content).await;
    assert_eq!(reading.errors, "", "ffmpeg complains");
    let numbers = reading.numbers.iter().enumerate();
    let numbers =
        numbers.map(|(n, number)| number.unwrap_or_else(|| panic!("picture {n} has no number")));
    numbers.collect()
}

/// Decodes a file of any kind and looks at all that is in it.
///
/// # Panics
/// If ffmpeg is not there or does not end.
pub async fn look(content: &[u8]) -> Reading {
    crate::ffmpeg::require("ffmpeg");
    let work = TempDir::with_prefix("look-").expect("a temporary directory");
    std::fs::write(work.path().join("in"), content).expect("a file");
    let line = format!(
        "-hide_banner -nostdin -nostats -loglevel warning -copyts -i in \
         -map 0:v:0 -fps_mode passthrough -pix_fmt gray -f rawvideo pictures \
         -map 0:v:0 -fps_mode passthrough -c:v rawvideo -pix_fmt gray -f framecrc times \
         -map 0:a:0? -ac 1 -ar {SAMPLE_RATE} -c:a pcm_s16le -f s16le sound \
         -map 0:a:0? -ac 1 -ar {SAMPLE_RATE} -c:a pcm_s16le -f framecrc soundtimes"
    );
    let has_sound = crate::ffmpeg::probe(work.path().join("in").to_str().expect("a path")).await;
    let has_sound = has_sound.stream("audio").is_some();
    let line = match line.split_once("-map 0:a") {
        Some((video, _)) if !has_sound => video.to_owned(),
        _ => line,
    };
    let mut command = Command::new("ffmpeg");
    command
        .args(line.split_whitespace())
        .current_dir(work.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output())
        .await
        .expect("ffmpeg ends in time");
    let output = output.expect("ffmpeg runs");
    let file = |name: &str| std::fs::read(work.path().join(name)).unwrap_or_default();
    let pictures = file("pictures");
    let numbers: Vec<Option<u32>> = pictures
        .chunks_exact(picture::WIDTH * picture::HEIGHT)
        .map(picture::number)
        .collect();
    let times = frame_times(work.path(), "times");
    let times: Vec<f64> = times.iter().map(|(time, _)| *time).collect();
    assert_eq!(numbers.len(), times.len(), "each picture has a time");
    let sound_times = frame_times(work.path(), "soundtimes");
    let sound = sound_times.first().zip(sound_times.last());
    let sound = sound.map(|((from, _), (last, length))| (*from, last + length));
    Reading {
        numbers,
        times,
        clicks: clicks(&file("sound"), &sound_times),
        sound,
        errors: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    }
}

/// When each frame of ffmpeg's list begins and how long it is, in seconds.
fn frame_times(directory: &Path, name: &str) -> Vec<(f64, f64)> {
    let text = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    let base = text.lines().find_map(|line| line.strip_prefix("#tb 0: "));
    let base = base
        .and_then(|base| base.split_once('/'))
        .unwrap_or(("1", "1"));
    let number = |text: &str| text.trim().parse::<f64>().expect("a number");
    let second = number(base.0) / number(base.1);
    let frames = text.lines().filter(|line| !line.starts_with('#'));
    let frames = frames.map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        (number(fields[2]) * second, number(fields[3]) * second)
    });
    frames.collect()
}

/// When clicks begin: where it becomes loud after silence.
fn clicks(sound: &[u8], times: &[(f64, f64)]) -> Vec<f64> {
    const LOUD: u16 = 6000;
    const SILENCE: usize = SAMPLE_RATE as usize / 25;
    let samples: Vec<u16> = sound
        .chunks_exact(2)
        .map(|sample| i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs())
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    // Silent for long before the first sample.
    let mut silent = SILENCE;
    for (time, length) in times {
        let frame = (length * SAMPLE_RATE as f64).round() as usize;
        let frame = &samples[at.min(samples.len())..(at + frame).min(samples.len())];
        for (n, &sample) in frame.iter().enumerate() {
            if sample < LOUD {
                silent += 1;
                continue;
            }
            if silent >= SILENCE {
                found.push(time + n as f64 / SAMPLE_RATE as f64);
            }
            silent = 0;
        }
        at += frame.len();
    }
    found
}

/// The times at which the pictures of a transport stream are shown, as ffmpeg writes them (its
/// first stream is that of pictures), unwrapped near `reference`.
pub(super) fn picture_times(content: &[u8], reference: Option<i64>) -> Vec<i64> {
    const PID: u16 = 0x100;
    const WRAP: i64 = 1 << 33;
    let mut times: Vec<i64> = Vec::new();
    for packet in content.chunks_exact(188) {
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
        if packet[1] & 0x40 == 0 || pid != PID {
            continue;
        }
        let adaptation = if packet[3] & 0x20 == 0 {
            0
        } else {
            1 + usize::from(packet[4])
        };
        let pes = &packet[4 + adaptation..];
        let stamp: Vec<i64> = pes[9..14].iter().map(|&byte| i64::from(byte)).collect();
        let time = (stamp[0] >> 1 & 7) << 30
            | stamp[1] << 22
            | (stamp[2] >> 1) << 15
            | stamp[3] << 7
            | stamp[4] >> 1;
        let near = reference.or(times.first().copied()).unwrap_or(time);
        times.push(near + (time - near + WRAP / 2).rem_euclid(WRAP) - WRAP / 2);
    }
    times
}
