//! The waveform of a range's sound, as ffmpeg's filter showwavespic draws it (scale `sqrt`, black
//! on nothing), which would keep hours of samples in memory: we keep one number a column.

use std::io;
use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt as _;

use super::behind::blocking;
use super::encode::{EncodeError, sound};
use super::plan::Clip;
use super::stretch::Stretch;
use crate::error::{ApiError, shown};
use crate::ffmpeg::{Job, Running};

/// The longest range (SPEC §4).
pub(crate) const MAX_LENGTH: TimeDelta = TimeDelta::hours(6);

/// The largest image, in both directions (SPEC §4).
const MAX_SIZE: u32 = 4096;

/// Six hours are decoded in a minute or two on a machine that does nothing else.
const LIMIT: Duration = Duration::from_secs(600);

/// Samples a second, of which there are two channels.
const RATE: u32 = 48_000;
const CHANNELS: usize = 2;

/// The bytes of a sample of all channels.
const FRAME: usize = 2 * CHANNELS;

/// An image's size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    width: u32,
    height: u32,
}

impl Size {
    /// What is drawn where nothing else is asked for (SPEC §4).
    pub(crate) const DEFAULT: Size = Size {
        width: 1024,
        height: 64,
    };

    /// Reads `WIDTHxHEIGHT`.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub(crate) fn parse(text: &str) -> Result<Size, ApiError> {
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u32>().ok().filter(|_| is_plain);
            number.filter(|number| (1..=MAX_SIZE).contains(number))
        };
        let size = text.split_once('x').and_then(|(width, height)| {
            Some(Size {
                width: number(width)?,
                height: number(height)?,
            })
        });
        size.ok_or_else(|| {
            ApiError::BadRequest(format!(
                "size: {} is not WIDTHxHEIGHT, both from 1 to {MAX_SIZE}",
                shown(text)
            ))
        })
    }
}

/// Draws the sound of a stretch, as PNG.
///
/// # Errors
/// 406 if there is no sound; what a segment or ffmpeg fails with.
pub(crate) async fn waveform(job: &Job, stretch: Stretch, size: Size) -> Result<Vec<u8>, ApiError> {
    let length = stretch.until - stretch.from;
    let clip = Clip {
        stretches: vec![stretch],
        fade: None,
    };
    let Some(running) = sound(job, LIMIT, vec![clip], RATE).await? else {
        return Err(ApiError::NotAcceptable("there is no sound".to_owned()));
    };
    let frames = length.num_microseconds().unwrap_or(0) as u64 * u64::from(RATE) / 1_000_000;
    let levels = levels(running, Columns::new(size.width, frames)).await?;
    let drawn = blocking(move || encode(size, &draw(size, &levels)));
    let drawn = drawn.await.and_then(|drawn| drawn);
    drawn.map_err(|error| ApiError::internal("draw the waveform", &error))
}

/// Reads samples to their end.
async fn levels(
    mut running: Running,
    mut columns: Columns,
) -> Result<Vec<[u16; CHANNELS]>, EncodeError> {
    let mut rest = Vec::new();
    while let Some(chunk) = running.next().await {
        let chunk = chunk?;
        if rest.is_empty() {
            let whole = chunk.len() - chunk.len() % FRAME;
            columns.add(&chunk[..whole]);
            rest.extend_from_slice(&chunk[whole..]);
        } else {
            rest.extend_from_slice(&chunk);
            let whole = rest.len() - rest.len() % FRAME;
            columns.add(&rest[..whole]);
            rest.drain(..whole);
        }
    }
    Ok(columns.finish())
}

/// How loud it is, column by column.
#[derive(Debug)]
struct Columns {
    width: u64,
    /// Samples of each channel in all.
    frames: u64,
    /// Those that were added.
    added: u64,
    /// When the column under way ends.
    ends: u64,
    sums: [u64; CHANNELS],
    count: u64,
    levels: Vec<[u16; CHANNELS]>,
}

impl Columns {
    fn new(width: u32, frames: u64) -> Columns {
        let mut columns = Columns {
            width: u64::from(width),
            frames: frames.max(1),
            added: 0,
            ends: 0,
            sums: [0; CHANNELS],
            count: 0,
            levels: Vec::with_capacity(width as usize),
        };
        columns.ends = columns.end(0);
        columns
    }

    /// When a column ends, in samples.
    fn end(&self, column: usize) -> u64 {
        (column as u64 + 1) * self.frames / self.width
    }

    fn add(&mut self, samples: &[u8]) {
        for frame in samples.chunks_exact(FRAME) {
            while self.added >= self.ends && self.levels.len() < self.width as usize {
                self.next();
            }
            for (sum, sample) in self.sums.iter_mut().zip(frame.chunks_exact(2)) {
                *sum += u64::from(i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs());
            }
            self.count += 1;
            self.added += 1;
        }
    }

    fn next(&mut self) {
        // Twice the mean: that of a sine as loud as can be fills two thirds.
        let count = self.count.max(1);
        let level = |sum: u64| u16::try_from(2 * sum / count).unwrap_or(u16::MAX);
        // Columns narrower than a sample are as loud as the one before.
        let last = self.levels.last().copied().filter(|_| self.count == 0);
        self.levels.push(last.unwrap_or(self.sums.map(level)));
        self.sums = [0; CHANNELS];
        self.count = 0;
        self.ends = self.end(self.levels.len());
    }

    fn finish(mut self) -> Vec<[u16; CHANNELS]> {
        if self.count > 0 && self.levels.len() < self.width as usize {
            self.next();
        }
        self.levels
    }
}

/// How opaque each pixel is, row by row: half for each channel that reaches it.
fn draw(size: Size, levels: &[[u16; CHANNELS]]) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut pixels = vec![0_u8; width * height];
    for (column, channels) in levels.iter().take(width).enumerate() {
        for level in channels {
            let part = (f64::from((*level).min(i16::MAX as u16)) / f64::from(i16::MAX)).sqrt();
            let filled = ((part * height as f64) as usize).min(height);
            let top = (height - filled) / 2;
            for row in top..top + filled {
                pixels[row * width + column] += u8::MAX / CHANNELS as u8;
            }
        }
    }
    pixels
}

/// As PNG: black, more or less opaque.
fn encode(size: Size, pixels: &[u8]) -> io::Result<Vec<u8>> {
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, size.width, size.height);
    encoder.set_color(png::ColorType::GrayscaleAlpha);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    let pairs: Vec<u8> = pixels.iter().flat_map(|&opaque| [0, opaque]).collect();
    writer.write_image_data(&pairs)?;
    writer.finish()?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(list: &[i16]) -> Vec<u8> {
        let frames = list.iter().flat_map(|sample| [*sample, 0]);
        frames.flat_map(i16::to_le_bytes).collect()
    }

    fn columns(width: u32, frames: u64, list: &[i16]) -> Vec<u16> {
        let mut columns = Columns::new(width, frames);
        for part in samples(list).chunks(2 * FRAME) {
            columns.add(part);
        }
        columns
            .finish()
            .iter()
            .map(|channels| channels[0])
            .collect()
    }

    #[test]
    fn a_column_is_as_loud_as_its_samples() {
        assert_eq!(columns(2, 4, &[100, -100, 300, 100]), [200, 400]);
        // More columns than samples, and the other way round.
        assert_eq!(columns(4, 2, &[10, -20]), [0, 20, 20, 40]);
        assert_eq!(columns(2, 5, &[1, 1, 4, 4, 4]), [2, 8]);
        // Samples that do not come are nothing, those that nobody expects are left out.
        assert_eq!(columns(3, 6, &[5, 5]), [10]);
        assert_eq!(columns(1, 2, &[5, 5, 500]).len(), 1);
    }

    #[test]
    fn louder_is_higher_around_the_middle() {
        let size = Size::parse("3x4").unwrap();
        let full = i16::MAX as u16;
        let pixels = draw(size, &[[0, 0], [full / 4 + 1, 0], [u16::MAX, full]]);
        assert_eq!(pixels, [0, 0, 254, 0, 127, 254, 0, 127, 254, 0, 0, 254]);
        let png = encode(size, &pixels).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    }

    #[test]
    fn sizes() {
        assert_eq!(Size::parse("1024x64").unwrap(), Size::DEFAULT);
        assert!(Size::parse("4096x4096").is_ok() && Size::parse("1x1").is_ok());
        for text in [
            "", "x", "10", "0x10", "10x0", "4097x1", "1x4097", "+1x1", "1x1x1", "1 x 1", "-1x5",
        ] {
            let error = Size::parse(text).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().starts_with("size: "), "{error}");
        }
    }
}
