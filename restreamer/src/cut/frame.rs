//! The picture that is shown at an instant: the last one that appears at or before it. Only what
//! it needs is decoded.

use std::ffi::OsString;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::WANTED_FROM;
use super::behind::blocking;
use super::encode::EncodeError;
use super::load::load;
use super::stretch::Stretch;
use crate::error::ApiError;
use crate::ffmpeg::{Input, Job};
use crate::footage::{Footage, Picture};
use crate::mpegts::demux::Unit;
use crate::mpegts::mux::Muxer;
use crate::mpegts::tables::{Codec, Program};
use crate::mpegts::video::Access;

/// A group of pictures of 4K takes some seconds on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A picture of 8K without any compression is less.
const MAX_BYTES: usize = 256 << 20;

/// ffmpeg decodes some pictures to learn of a stream, and then once more.
const NO_LOOK: &str = "-nofind_stream_info -strict 1";

/// The picture shown at an instant that a stretch covers, as PNG.
///
/// # Errors
/// 406 if there are no pictures; what a segment or ffmpeg fails with.
pub(crate) async fn frame(
    job: &Job,
    stretch: &Stretch,
    instant: DateTime<Utc>,
) -> Result<Bytes, ApiError> {
    let nothing = || ApiError::NotAcceptable("timestamp: there are no pictures".to_owned());
    let source = stretch.sources.first().ok_or_else(nothing)?;
    let footage = load(job, source).await?.footage;
    let pictures = footage.pictures();
    let target = target(&pictures, instant.timestamp_micros()).ok_or_else(nothing)?;
    let mut units: Vec<Unit> = Vec::new();
    let first = match first(&pictures, target) {
        Some(first) => first,
        None => {
            // It needs the end of the segment before.
            if let Some(before) = stretch.before.last() {
                let mut before = load(job, before).await?.footage;
                before.follow(footage.shown);
                units = end(before);
            }
            0
        }
    };
    let needed = &pictures[first..=target];
    let wanted = pictures[target];
    let needed = needed
        .iter()
        .filter(|picture| !picture.is_disposable || picture.unit == wanted.unit);
    units.extend(needed.map(|picture| footage.media.units[picture.unit].clone()));
    let shift = WANTED_FROM - wanted.pts;
    // Nothing but pictures, so that the decoder waits for nothing else.
    let (program, looks) = match footage.main.codec {
        // The decoder learns all from the first picture, but for how many to hold back for their order,
        // which it takes from what the stream says of itself. Where that is wrong, nothing may come.
        Codec::H264 | Codec::H265 => (Program::of(footage.main), &[NO_LOOK, ""][..]),
        _ => (footage.media.program.clone(), &[""][..]),
    };
    let mut muxer = Muxer::new(program, 0);
    for unit in &mut units {
        unit.pts += shift;
        unit.dts += shift;
        muxer.add(unit);
    }
    let pictures = Bytes::from(muxer.packets());
    let mut picture = Bytes::new();
    for look in looks {
        picture = decoded(job, look, pictures.clone()).await?;
        if !picture.is_empty() {
            break;
        }
    }
    if picture.is_empty() {
        return Err(ApiError::internal(
            "decode the picture",
            &source.path.display(),
        ));
    }
    let png = blocking(move || png_of(&picture)).await;
    match png {
        Ok(Ok(png)) => Ok(png.into()),
        Ok(Err(error)) => Err(ApiError::internal("write the picture", &error)),
        Err(error) => Err(ApiError::internal("write the picture", &error)),
    }
}

/// The picture that is shown at `WANTED_FROM`, in the way of Netpbm; empty if none is. ffmpeg has a
/// `look` at the stream before.
async fn decoded(job: &Job, look: &str, pictures: Bytes) -> Result<Bytes, ApiError> {
    let threads = job.threads();
    let arguments = format!(
        // What follows an open key picture is as good as any, which the decoder doubts.
        "-copyts {look} -flags +output_corrupt -threads {threads} -f mpegts -i pipe:0 -map 0:v:0 \
         -vf trim=start_pts={WANTED_FROM}:end_pts={} -fps_mode passthrough -frames:v 1 -pix_fmt rgb24 -c:v ppm \
         -f image2pipe pipe:1",
        WANTED_FROM + 1
    );
    let arguments = arguments.split_whitespace().map(OsString::from).collect();
    let run = job.run_for(
        Some(LIMIT),
        "frame",
        arguments,
        Input::Bytes(vec![pictures]),
    );
    let picture = run.enough(MAX_BYTES, |begun| Some(Netpbm::of(begun)?.end));
    Ok(picture.await.map_err(EncodeError::from)?)
}

/// What a picture in the way of Netpbm begins with (`P6 WIDTH HEIGHT 255`), three bytes for each of
/// its points after it.
#[derive(Debug)]
struct Netpbm {
    width: u32,
    height: u32,
    /// Where the points begin and end.
    begin: usize,
    end: usize,
}

impl Netpbm {
    /// `None` if it is no such picture, or more of it has to come.
    fn of(picture: &[u8]) -> Option<Netpbm> {
        let mut begin = 0;
        let mut words = std::iter::from_fn(|| {
            let rest = &picture[begin..];
            let end = rest.iter().position(u8::is_ascii_whitespace)?;
            begin += end + 1;
            std::str::from_utf8(&rest[..end]).ok()
        });
        let head = (words.next(), words.next(), words.next(), words.next());
        let (Some("P6"), Some(width), Some(height), Some("255")) = head else {
            return None;
        };
        let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
        let points = usize::try_from(u64::from(width) * u64::from(height)).ok()?;
        Some(Netpbm {
            width,
            height,
            begin,
            end: points.checked_mul(3)?.checked_add(begin)?,
        })
    }
}

/// A picture in the way of Netpbm as PNG, little compressed: ffmpeg's own encoder takes longer.
fn png_of(picture: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let wrong = || std::io::Error::other("ffmpeg gave no picture");
    let head = Netpbm::of(picture).ok_or_else(wrong)?;
    let points = picture.get(head.begin..head.end).ok_or_else(wrong)?;
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, head.width, head.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(points)?;
    writer.finish()?;
    Ok(png)
}

/// Which picture is shown: the last to appear at or before the instant. Where none is so early,
/// the first.
fn target(pictures: &[Picture], instant: i64) -> Option<usize> {
    let shown = |(_, picture): &(usize, &Picture)| picture.instant <= instant;
    let numbered = || pictures.iter().enumerate();
    let found = numbered()
        .filter(shown)
        .max_by_key(|(_, picture)| picture.pts);
    let found = found.or_else(|| numbered().min_by_key(|(_, picture)| picture.pts));
    found.map(|(number, _)| number)
}

/// The last key picture from which another can be decoded: it is not shown after it.
fn first(pictures: &[Picture], target: usize) -> Option<usize> {
    pictures[..=target]
        .iter()
        .rposition(|picture| match picture.access {
            Access::None => false,
            Access::Closed => true,
            Access::Open => picture.pts <= pictures[target].pts,
        })
}

/// The pictures of a segment from its last key picture on.
fn end(footage: Footage) -> Vec<Unit> {
    let pictures = footage.pictures();
    let key = pictures
        .iter()
        .rposition(|picture| picture.access != Access::None);
    let kept = pictures[key.unwrap_or(0)..].iter();
    kept.map(|picture| footage.media.units[picture.unit].clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `PTS ACCESS`, in the order of decoding.
    fn pictures(list: &[(i64, Access)]) -> Vec<Picture> {
        let all = list.iter().enumerate();
        let all = all.map(|(unit, &(pts, access))| Picture {
            unit,
            pts,
            dts: unit as i64,
            instant: pts * 10,
            access,
            is_disposable: false,
        });
        all.collect()
    }

    #[test]
    fn pictures_become_png() {
        let picture = [b"P6\n2 1\n255\n".as_slice(), &[1, 2, 3, 4, 5, 6]].concat();
        for end in 0..picture.len() {
            // The size is known when the head is there.
            let known = Netpbm::of(&picture[..end]).map(|head| head.end);
            assert_eq!(known, (end >= 11).then_some(picture.len()), "{end}");
        }
        let png = png_of(&picture).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut pixels = [0; 6];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2, 1));
        assert_eq!(pixels, [1, 2, 3, 4, 5, 6]);
        for wrong in [
            b"".as_slice(),
            b"P6 2",
            b"P5\n2 1\n255\n123456",
            b"P6\n2 1\n255\n1",
            b"P6\n4294967295 4294967295\n255\n1",
            b"P6\n99999999999 1\n255\n1",
        ] {
            assert!(png_of(wrong).is_err());
        }
    }

    #[test]
    fn the_picture_on_screen_and_what_it_needs() {
        use Access::{Closed, None as No, Open};
        let open = pictures(&[
            (3, Open),
            (1, No),
            (2, No),
            (6, No),
            (4, No),
            (5, No),
            (9, Open),
            (7, No),
            (8, No),
        ]);
        // (instant, picture, first needed)
        let table = [
            (0, 1, None),
            (10, 1, None),
            (29, 2, None),
            (30, 0, Some(0)),
            (45, 4, Some(0)),
            (69, 3, Some(0)),
            (70, 7, Some(0)),
            (90, 6, Some(6)),
            (1000, 6, Some(6)),
        ];
        for (instant, expected, needed) in table {
            assert_eq!(target(&open, instant), Some(expected), "{instant}");
            assert_eq!(first(&open, expected), needed, "{instant}");
        }
        let closed = pictures(&[(1, Closed), (3, No), (2, No)]);
        assert_eq!(first(&closed, 2), Some(0));
        assert_eq!(target(&[], 5), None);
    }
}
