//! Packed audio (RFC 8216 §3.4): frames of sound one after the other in no container, with a tag of ID3
//! in front of them that says when they are heard.

use super::audio::{Frame, frames, length};
use super::demux::Unit;
use super::mux::Muxer;
use super::tables::{Codec, Program, Stream};

/// A tag's head in bytes, and that of a frame of it.
const TAG: usize = 10;

/// What owns the time of a segment's first frame.
const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";

/// The stream that is made of it.
const PID: u16 = 0x101;

/// So many frames, or so many bytes, go into one packet: it can say its length.
const MOST_FRAMES: usize = 8;
const MOST_BYTES: usize = 16 << 10;

/// How sound is packed that begins like this; `None` if it is something else.
#[must_use]
pub fn codec(bytes: &[u8]) -> Option<Codec> {
    let (_, at) = tags(bytes);
    let rest = bytes.get(at..).unwrap_or_default();
    let mut codecs = [Codec::Adts, Codec::Ac3, Codec::MpegAudio].into_iter();
    codecs.find(|codec| begins(*codec, rest))
}

/// True iff a frame begins here: by chance one does anywhere, but not two.
fn begins(codec: Codec, bytes: &[u8]) -> bool {
    let after = length(codec, bytes).and_then(|length| bytes.get(length..));
    after.is_some_and(|after| goes_on(codec, after))
}

/// True iff what follows a frame is another, maybe after tags, or nothing.
fn goes_on(codec: Codec, after: &[u8]) -> bool {
    let next = &after[tags(after).1..];
    next.is_empty() || length(codec, next).is_some()
}

/// Packed audio as a stream of packets; `None` if it is something else.
#[must_use]
pub fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let codec = codec(bytes)?;
    let mut begins = tags(bytes).0.unwrap_or(0);
    let stream = Stream { pid: PID, codec };
    let mut muxer = Muxer::new(Program::of(stream), 0);
    for run in runs(codec, bytes) {
        let frames = frames(codec, &run.sound)?;
        begins += frames.first().map_or(0, |frame| frame.ticks) * run.missing;
        add(&mut muxer, codec, &run.sound, &frames, begins);
        begins += frames.last().map_or(0, |last| last.after + last.ticks);
    }
    Some(muxer.packets())
}

/// Frames one after the other.
#[derive(Debug, Default)]
struct Run {
    sound: Vec<u8>,
    /// How many are missing before them, about.
    missing: i64,
}

/// The frames of all that is packed, which is damaged between any two runs of them.
fn runs(codec: Codec, bytes: &[u8]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut run = Run::default();
    // How many were found, and how long they are.
    let (mut count, mut length_of_all) = (0, 0);
    let mut rest = bytes;
    while !rest.is_empty() {
        // More tags may stand between frames.
        rest = &rest[tags(rest).1..];
        let frame = length(codec, rest).and_then(|length| rest.get(..length));
        let is_whole = frame.is_some_and(|frame| goes_on(codec, &rest[frame.len()..]));
        // Either it or what follows it is damaged: which one, tells where the next one is. What follows
        // the last one is cut short, or none.
        let next = match frame {
            Some(frame) if is_whole => frame.len(),
            _ => {
                let mut later = 1..rest.len();
                let next = later.find(|at| begins(codec, &rest[*at..]));
                next.unwrap_or(rest.len())
            }
        };
        let kept = frame.filter(|frame| frame.len() <= next);
        // There was a head.
        let least = i64::from(frame.is_some() && kept.is_none());
        let frame = kept.unwrap_or(&[]);
        run.sound.extend_from_slice(frame);
        count += usize::from(!frame.is_empty());
        length_of_all += frame.len();
        if !is_whole {
            let lost = &rest[frame.len()..next];
            let missing = (lost.len() - tags(lost).1) * count;
            let missing = (missing + length_of_all / 2).checked_div(length_of_all);
            runs.push(std::mem::take(&mut run));
            run.missing = least.max(missing.unwrap_or(0) as i64);
        }
        rest = &rest[next..];
    }
    runs.push(run);
    runs
}

/// Adds frames, the first of which is heard at `begins`.
fn add(muxer: &mut Muxer, codec: Codec, sound: &[u8], frames: &[Frame], begins: i64) {
    let stream_id = if codec == Codec::Ac3 { 0xbd } else { 0xc0 };
    let mut first = 0;
    while let Some(begin) = frames.get(first) {
        let some = frames[first..].iter().take(MOST_FRAMES);
        let fits = |end: usize| end - begin.range.start <= MOST_BYTES;
        let count = some
            .take_while(|frame| fits(frame.range.end))
            .count()
            .max(1);
        let end = frames[first + count - 1].range.end;
        let (pts, bytes) = (begins + begin.after, sound[begin.range.start..end].to_vec());
        muxer.add(&Unit::new(PID, codec, stream_id, pts, pts, bytes));
        first += count;
    }
}

/// The time that the tags say with which something begins, in ticks, and where they end.
fn tags(bytes: &[u8]) -> (Option<i64>, usize) {
    let (mut time, mut at) = (None, 0);
    while let Some(&[b'I', b'D', b'3', version, _, flags, a, b, c, d]) =
        bytes.get(at..).and_then(<[u8]>::first_chunk::<TAG>)
    {
        let end = at + TAG + seven_bits([a, b, c, d]);
        let tag = bytes.get(at + TAG..end).unwrap_or_default();
        let more = if flags & 0x40 == 0 {
            0
        } else {
            extended(tag, version)
        };
        let tag = tag.get(more..).unwrap_or_default();
        time = time.or_else(|| time_of(tag, version));
        let footer = if flags & 0x10 == 0 { 0 } else { TAG };
        at = (end + footer).min(bytes.len());
    }
    (time, at)
}

/// How long an extended head is that stands in front of a tag's frames. From version 4 on it says its
/// whole length, before that what follows the length.
fn extended(tag: &[u8], version: u8) -> usize {
    match (tag.first_chunk(), version) {
        (None, _) => 0,
        (Some(length), 4..) => seven_bits(*length),
        (Some(length), _) => (u32::from_be_bytes(*length) as usize).saturating_add(4),
    }
}

/// Four bytes of seven bits.
fn seven_bits(bytes: [u8; 4]) -> usize {
    let bits = bytes.iter().map(|byte| usize::from(byte & 0x7f));
    bits.fold(0, |all, bits| all << 7 | bits)
}

/// What a tag says of the time, in ticks.
fn time_of(mut tag: &[u8], version: u8) -> Option<i64> {
    while let Some(&[a, b, c, d, e, f, g, h, _, _]) = tag.first_chunk::<TAG>() {
        let size = match version {
            4.. => seven_bits([e, f, g, h]),
            _ => u32::from_be_bytes([e, f, g, h]) as usize,
        };
        let body = tag.get(TAG..TAG + size)?;
        if [a, b, c, d] == *b"PRIV"
            && let Some(time) = body.strip_prefix(OWNER)
        {
            let time = u64::from_be_bytes(time.try_into().ok()?);
            return Some((time & 0x1_ffff_ffff) as i64);
        }
        tag = &tag[TAG + size..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpegts::demux::{Damage, demux};
    use proptest::prelude::*;

    /// A frame of 48 kHz: ADTS of 100 bytes, layer III of 384.
    fn frame(codec: Codec) -> Vec<u8> {
        let (head, length): (&[u8], usize) = match codec {
            Codec::Adts => (&[0xff, 0xf1, 0x4c, 0x80, 12, 0x9f, 0xfc], 100),
            _ => (&[0xff, 0xfb, 0x94], 384),
        };
        let mut frame = vec![0; length];
        frame[..head.len()].copy_from_slice(head);
        frame
    }

    fn tag(time: u64) -> Vec<u8> {
        let body = [OWNER, &time.to_be_bytes()].concat();
        let frames = [
            &b"TXXX\0\0\0\x02\0\0ab"[..],
            b"PRIV\0\0\0",
            &[body.len() as u8],
            b"\0\0",
            &body,
        ]
        .concat();
        [b"ID3\x04\0\0\0\0\0", &[frames.len() as u8][..], &frames].concat()
    }

    #[test]
    fn frames_become_packets_with_their_times() {
        for (codec, ticks) in [(Codec::Adts, 1920), (Codec::MpegAudio, 2160)] {
            let frames = frame(codec).repeat(20);
            // (bytes, when the first is heard)
            let table = [
                (frames.clone(), 0),
                ([tag(900_000), frames.clone()].concat(), 900_000),
                (
                    [tag((1 << 33) - 1), frames.clone(), vec![0xff]].concat(),
                    (1 << 33) - 1,
                ),
                (
                    [tag(7), frame(codec), tag(8), frame(codec).repeat(19)].concat(),
                    7,
                ),
            ];
            for (bytes, begins) in table {
                let media = demux(&unpacked(&bytes).unwrap(), Damage::Fails).unwrap();
                assert_eq!(media.program.sound().unwrap().codec, codec);
                let sound: Vec<u8> = media
                    .units
                    .iter()
                    .flat_map(|it| it.payload().to_vec())
                    .collect();
                assert_eq!(sound, frames);
                let first = [0, 1, 2].map(|number| media.units[number].pts - begins);
                assert_eq!(first, [0, 8 * ticks, 16 * ticks]);
            }
        }
    }

    #[test]
    fn damage_costs_the_frames_that_it_is_in() {
        for (codec, ticks) in [(Codec::Adts, 1920), (Codec::MpegAudio, 2160)] {
            let (one, each) = (frame(codec), frame(codec).len());
            // A frame's head; its length, which then is too long or too short; some bytes are missing, or
            // are too many; a tag before what is damaged.
            let length_at = if codec == Codec::Adts { 4 } else { 2 };
            let all = one.repeat(20);
            let with = |at: usize, byte: u8| {
                let mut bytes = all.clone();
                bytes[at] = byte;
                bytes
            };
            let table = [
                with(8 * each, 0),
                with(8 * each + length_at, all[length_at] + 0x10),
                with(8 * each + length_at, all[length_at] - 4),
                [&all[..8 * each + 50], &all[9 * each..]].concat(),
                [&all[..8 * each], &tag(3), &vec![0; each], &all[9 * each..]].concat(),
            ];
            for (number, bytes) in table.into_iter().enumerate() {
                let media = demux(&unpacked(&bytes).unwrap(), Damage::Fails).unwrap();
                let whole = media.units.iter().flat_map(|unit| {
                    let frames = frames(codec, unit.payload()).unwrap();
                    let pts = unit.pts;
                    let whole = frames.into_iter().filter(|frame| frame.range.len() == each);
                    whole.map(move |frame| pts + frame.after)
                });
                let times: Vec<i64> = whole.collect();
                let expected = (0..20).filter(|number| *number != 8);
                let expected: Vec<i64> = expected.map(|number| number * ticks).collect();
                assert_eq!(times, expected, "{codec:?} {number}");
            }
        }
    }

    #[test]
    fn tags_with_more_in_front_and_behind() {
        let frames = frame(Codec::Adts).repeat(3);
        let plain = tag(900_000);
        let body = &plain[TAG..];
        // (version, flags, extended head, footer)
        let table: [(u8, u8, &[u8], &[u8]); 3] = [
            (4, 0x50, &[0, 0, 0, 6, 1, 0], b"3DI\x04\0\x50\0\0\0\0"),
            (3, 0x40, &[0, 0, 0, 6, 0, 0, 0, 0, 0, 0], b""),
            (4, 0x10, b"", b"3DI\x04\0\x10\0\0\0\0"),
        ];
        for (version, flags, extended, footer) in table {
            let length = (extended.len() + body.len()) as u8;
            let head = [b'I', b'D', b'3', version, 0, flags, 0, 0, 0, length];
            let bytes = [&head, extended, body, footer, &frames].concat();
            let media = demux(&unpacked(&bytes).unwrap(), Damage::Fails).unwrap();
            assert_eq!(media.units[0].pts, 900_000, "{version} {flags:x}");
            assert_eq!(media.units[0].payload(), frames, "{version} {flags:x}");
        }
    }

    #[test]
    fn what_is_something_else() {
        let table: [&[u8]; 5] = [
            b"",
            &[0x47; 188],
            b"ID3",
            &tag(5),
            &[frame(Codec::Adts), vec![0; 50]].concat(),
        ];
        for bytes in table {
            assert_eq!(unpacked(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), is_tagged: bool) {
            let mut bytes = bytes;
            if is_tagged {
                bytes.splice(..0, *b"ID3\x04\0\0\0\0\0\x20PRIV");
            }
            let _ = unpacked(&bytes);
            let _ = unpacked(&[frame(Codec::Adts), bytes].concat());
        }
    }
}
