//! Packed audio (RFC 8216 §3.4): frames of sound one after the other in no container, with a tag of ID3
//! in front of them that says when they are heard.

use super::audio::{frames, length};
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
    // By chance a frame begins anywhere; not two.
    codecs.find(|codec| {
        let next = length(*codec, rest).and_then(|length| rest.get(length..));
        let next = next.map(|next| &next[tags(next).1..]);
        next.is_some_and(|next| next.is_empty() || length(*codec, next).is_some())
    })
}

/// Packed audio as a stream of packets; `None` if it is something else.
#[must_use]
pub fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let codec = codec(bytes)?;
    let (time, at) = tags(bytes);
    let begins = time.unwrap_or(0);
    let mut sound = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[at..];
    while !rest.is_empty() {
        // More tags may stand between frames. What follows the last whole frame is cut short, or none.
        rest = &rest[tags(rest).1..];
        let Some(frame) = length(codec, rest).and_then(|length| rest.get(..length)) else {
            break;
        };
        sound.extend_from_slice(frame);
        rest = &rest[frame.len()..];
    }
    let frames = frames(codec, &sound)?;
    let stream = Stream { pid: PID, codec };
    let mut muxer = Muxer::new(Program::of(stream), 0);
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
    Some(muxer.packets())
}

/// The time that the tags say with which something begins, in ticks, and where they end.
fn tags(bytes: &[u8]) -> (Option<i64>, usize) {
    let (mut time, mut at) = (None, 0);
    while let Some(&[b'I', b'D', b'3', version, _, flags, a, b, c, d]) =
        bytes.get(at..).and_then(<[u8]>::first_chunk::<TAG>)
    {
        let end = at + TAG + seven_bits([a, b, c, d]);
        let tag = bytes.get(at + TAG..end).unwrap_or_default();
        time = time.or_else(|| time_of(tag, version));
        let footer = if flags & 0x10 == 0 { 0 } else { TAG };
        at = (end + footer).min(bytes.len());
    }
    (time, at)
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
