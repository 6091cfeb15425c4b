//! The picture that is shown at an instant: the last one that appears at or before it. Only what
//! it needs is decoded.

mod png;

use std::ffi::OsString;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use self::png::{Netpbm, png_of};

use super::WANTED_FROM;
use super::behind::blocking;
use super::encode::EncodeError;
use super::load::{load, usable};
use super::stretch::{Source, Stretch};
use crate::error::ApiError;
use crate::ffmpeg::{FfmpegError, Input, Job};
use crate::footage::{self, Footage, Picture};
use crate::mpegts::demux::Unit;
use crate::mpegts::mux::Muxer;
use crate::mpegts::tables::{Codec, Program};
use crate::mpegts::video::{self, Access};

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
    stretch: Stretch,
    instant: DateTime<Utc>,
) -> Result<Bytes, ApiError> {
    let nothing = || ApiError::NotAcceptable("timestamp: there are no pictures".to_owned());
    let stretch = usable(job, stretch).await?.ok_or_else(nothing)?;
    let source = stretch.sources.first().ok_or_else(nothing)?;
    let mut footage = load(job, source).await?.footage;
    let mut earlier = stretch.before.iter().rev();
    // What was on the screen stays there while an encoder gives none.
    while footage.lacks_pictures()
        && let Some(source) = earlier.next()
    {
        footage = load(job, source).await?.footage;
    }
    let pictures = footage.pictures();
    let target = target(&pictures, instant.timestamp_micros()).ok_or_else(nothing)?;
    let (first, before) = match first(&pictures, target) {
        Some(first) => (first, Vec::new()),
        None => (0, before(job, &footage, earlier).await),
    };
    let picture = shown(job, &footage, before, &pictures[first..=target]).await;
    let picture = picture.map_err(EncodeError::from)?;
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

/// The pictures before a segment, back to a key picture, from segments of which the latest comes first.
async fn before(job: &Job, footage: &Footage, earlier: impl Iterator<Item = &Source>) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut next = footage.shown;
    for before in earlier {
        let Ok(mut before) = load(job, before).await.map(|loaded| loaded.footage) else {
            break;
        };
        if before.main.codec != footage.main.codec {
            break;
        }
        before.follow(next);
        next = before.shown;
        let (mut earlier, begins) = end(before);
        earlier.append(&mut units);
        units = earlier;
        if begins {
            break;
        }
    }
    units
}

/// The last of a segment's `pictures`, which need those `before` the segment and each other, in the way
/// of Netpbm; empty if nothing can be made of them.
async fn shown(
    job: &Job,
    footage: &Footage,
    before: Vec<Unit>,
    pictures: &[Picture],
) -> Result<Bytes, FfmpegError> {
    let Some(wanted) = pictures.last() else {
        return Ok(Bytes::new());
    };
    let needed = pictures
        .iter()
        .filter(|picture| !picture.is_disposable || picture.unit == wanted.unit);
    let mut units = before;
    let begun = units.len();
    units.extend(needed.map(|picture| footage.media.units[picture.unit].clone()));
    if begun == 0 {
        say_parameters(footage, &mut units);
    }
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
        unit.pid = footage.main.pid;
        unit.pts += shift;
        unit.dts += shift;
        muxer.add(unit);
    }
    let packets = Bytes::from(muxer.packets());
    let mut picture = Ok(Bytes::new());
    for look in looks {
        picture = decoded(job, look, packets.clone()).await;
        match &picture {
            Ok(picture) if picture.is_empty() => {}
            Err(FfmpegError::Failed { .. }) => {}
            _ => break,
        }
    }
    picture
}

/// The picture that is shown at `WANTED_FROM`, in the way of Netpbm; empty if none is. ffmpeg has a
/// `look` at the stream before.
async fn decoded(job: &Job, look: &str, pictures: Bytes) -> Result<Bytes, FfmpegError> {
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
    run.enough(MAX_BYTES, |begun| Some(Netpbm::of(begun)?.end))
        .await
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

/// The pictures of a segment from its last key picture on; without one, all, and false.
fn end(footage: Footage) -> (Vec<Unit>, bool) {
    let pictures = footage.pictures();
    let key = pictures
        .iter()
        .rposition(|picture| picture.access != Access::None);
    let kept = pictures[key.unwrap_or(0)..].iter();
    let mut kept = kept
        .map(|picture| footage.media.units[picture.unit].clone())
        .collect::<Vec<_>>();
    say_parameters(&footage, &mut kept);
    (kept, key.is_some())
}

/// Puts what a decoder has to know in front of the first of some of a segment's pictures, unless it
/// is there: it may have been said only once, where the segment begins.
fn say_parameters(footage: &Footage, pictures: &mut [Unit]) {
    let codec = footage.main.codec;
    let Some(begin) = pictures.first_mut() else {
        return;
    };
    if !matches!(codec, Codec::H264 | Codec::H265) || footage::has_parameters(begin) {
        return;
    }
    let all: Vec<&Unit> = footage.media.of(footage.main.pid).collect();
    let (before, after) = all.split_at(all.partition_point(|unit| unit.offset <= begin.offset));
    let parameters = footage::parameters(before.iter().rev().chain(after).copied());
    video::insert_parameters(codec, begin.payload_mut(), &parameters);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpegts::demux::Damage;
    use crate::mpegts::tables::Stream;

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

    #[test]
    fn what_was_said_once_is_said_to_the_decoder() {
        const DELIMITER: &[u8] = &[0, 0, 0, 1, 9, 0x10];
        const PARAMETERS: &[u8] = &[0, 0, 1, 0x67, 100, 0, 31, 5, 0, 0, 1, 0x68, 9];
        const KEY: &[u8] = &[0, 0, 1, 0x65, 0x88];
        const OTHER: &[u8] = &[0, 0, 1, 0x41, 0x9a];
        let stream = Stream {
            pid: 256,
            codec: Codec::H264,
        };
        let with = [DELIMITER, PARAMETERS, KEY].concat();
        let without = [DELIMITER, KEY].concat();
        let other = [DELIMITER, OTHER].concat();
        for kept in [0, 2] {
            let mut muxer = Muxer::new(Program::of(stream), 0);
            for (number, picture) in [&with, &other, &without, &other].into_iter().enumerate() {
                let pts = number as i64 * 3600;
                muxer.add(&Unit::new(
                    256,
                    Codec::H264,
                    0xe0,
                    pts,
                    pts,
                    picture.clone(),
                ));
            }
            let packets = muxer.packets();
            let footage = Footage::read(&packets, DateTime::UNIX_EPOCH, Damage::Fails).unwrap();
            let mut units = footage.media.units[kept..].to_vec();
            assert_eq!(units.len(), 4 - kept);
            say_parameters(&footage, &mut units);
            assert_eq!(units[0].payload(), with);
            assert!(
                units[1..]
                    .iter()
                    .all(|unit| unit.payload() == without || unit.payload() == other)
            );
        }
    }
}
