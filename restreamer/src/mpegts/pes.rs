//! Heads of PES packets (ISO/IEC 13818-1 §2.4.3.6): which times a picture or sound has.

use super::Problem;
use super::time;

/// Bytes of a head with a PTS alone, and with a DTS too.
const SHORT: usize = 14;
const LONG: usize = 19;

/// Marks before a PTS that stands alone, before one with a DTS, and before that DTS.
const PTS_ALONE: u8 = 2;
const PTS_FIRST: u8 = 3;
const DTS: u8 = 1;

/// A PES packet's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What kind of stream, and which.
    pub stream_id: u8,
    /// When it is shown, in ticks modulo 2^33.
    pub pts: Option<u64>,
    /// When it is decoded, if not when it is shown.
    pub dts: Option<u64>,
    /// Where what it carries begins, in bytes from the head's start.
    pub payload_at: usize,
    /// How many bytes it carries; `None` if it does not say.
    pub length: Option<usize>,
}

impl Head {
    /// Reads a head, all of which must be there.
    ///
    /// # Errors
    /// If it is none, or cut short.
    pub fn read(bytes: &[u8]) -> Result<Head, Problem> {
        let &[0, 0, 1, stream_id, high, low, ..] = bytes else {
            return Err(Problem::Pes);
        };
        let length = usize::from(high) << 8 | usize::from(low);
        if !has_times(stream_id) {
            return Ok(Head {
                stream_id,
                pts: None,
                dts: None,
                payload_at: 6,
                length: Some(length),
            });
        }
        let &[flags, times, rest, ..] = bytes.get(6..).ok_or(Problem::Pes)? else {
            return Err(Problem::Pes);
        };
        let payload_at = 9 + usize::from(rest);
        if flags >> 6 != 2 || bytes.len() < payload_at || (length > 0 && length + 6 < payload_at) {
            return Err(Problem::Pes);
        }
        let stamp = |at: usize| -> Result<u64, Problem> {
            let bytes = bytes.get(at..at + 5).filter(|_| at + 5 <= payload_at);
            let bytes = bytes.and_then(|bytes| <[u8; 5]>::try_from(bytes).ok());
            bytes.map(time::read_stamp).ok_or(Problem::Pes)
        };
        let (pts, dts) = match times >> 6 {
            0 => (None, None),
            2 => (Some(stamp(9)?), None),
            3 => (Some(stamp(9)?), Some(stamp(14)?)),
            _ => return Err(Problem::Pes),
        };
        Ok(Head {
            stream_id,
            pts,
            dts,
            payload_at,
            length: (length > 0).then(|| length + 6 - payload_at),
        })
    }
}

/// Some kinds of streams have heads of six bytes.
fn has_times(stream_id: u8) -> bool {
    !matches!(
        stream_id,
        0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff
    )
}

/// Writes a head. The length of what follows is given where it can be.
pub fn write(into: &mut Vec<u8>, stream_id: u8, pts: i64, dts: i64, payload: usize) {
    let head = if pts == dts { SHORT } else { LONG };
    // Pictures may be longer than 16 bits can say, and need not say it.
    let length = match u16::try_from(head - 6 + payload) {
        Ok(length) if !is_video(stream_id) => length,
        _ => 0,
    };
    into.extend_from_slice(&[0, 0, 1, stream_id]);
    into.extend_from_slice(&length.to_be_bytes());
    // 0x84: what follows begins with an access unit.
    let times = if head == SHORT { 0x80 } else { 0xc0 };
    into.extend_from_slice(&[0x84, times, (head - 9) as u8]);
    if head == SHORT {
        into.extend_from_slice(&time::stamp(PTS_ALONE, pts));
    } else {
        into.extend_from_slice(&time::stamp(PTS_FIRST, pts));
        into.extend_from_slice(&time::stamp(DTS, dts));
    }
}

/// True iff the stream is one of pictures.
#[must_use]
pub fn is_video(stream_id: u8) -> bool {
    stream_id & 0xf0 == 0xe0
}

/// Gives a head other times, where it has any. `bytes` begins with a head that was read.
pub fn set_times(bytes: &mut [u8], pts: i64, dts: i64) {
    match bytes.get(7).map_or(0, |times| times >> 6) {
        2 => set(bytes, 9, PTS_ALONE, pts),
        3 => {
            set(bytes, 9, PTS_FIRST, pts);
            set(bytes, 14, DTS, dts);
        }
        _ => {}
    }
}

fn set(bytes: &mut [u8], at: usize, mark: u8, time: i64) {
    if let Some(place) = bytes.get_mut(at..at + 5) {
        place.copy_from_slice(&time::stamp(mark, time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(pts in 0..1_i64 << 33, dts in 0..1_i64 << 33, video: bool) {
            let mut bytes = Vec::new();
            let stream_id = if video { 0xe0 } else { 0xc0 };
            write(&mut bytes, stream_id, pts, dts, 100);
            bytes.extend_from_slice(&[7; 100]);
            let head = Head::read(&bytes).unwrap();
            prop_assert_eq!(head.pts, Some(pts as u64));
            prop_assert_eq!(head.dts.unwrap_or(pts as u64), dts as u64);
            prop_assert_eq!(bytes.len() - head.payload_at, 100);
            prop_assert_eq!(head.length, (!video).then_some(100));
            set_times(&mut bytes, pts + 5, dts + 6);
            let again = Head::read(&bytes).unwrap();
            prop_assert_eq!(again.pts, Some(time::wrap(pts + 5)));
            prop_assert_eq!(again.dts, head.dts.map(|_| time::wrap(dts + 6)));
        }

        #[test]
        fn nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Head::read(&bytes);
            set_times(&mut bytes, 1, 2);
            bytes.splice(..0, [0, 0, 1, 0xe0, 0, 0, 0x80, 0xc0]);
            let _ = Head::read(&bytes);
            set_times(&mut bytes, 1, 2);
        }
    }
}
