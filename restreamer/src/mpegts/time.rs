//! Times of 33 bits: PTS, DTS and PCR (ISO/IEC 13818-1 §2.4.3.5 and §2.4.3.7).
//!
//! They count 1/90,000 s and begin anew after 26.5 hours. Here they are `i64`s that never do:
//! [`unwrap_near`] finds the one that is meant.

/// Ticks of a PTS or DTS in a second.
pub const TICKS_A_SECOND: i64 = 90_000;

/// Between two files of one stretch, times that are off by more than that are another clock's, if
/// neither their starts nor what was shown last explains it; within a file, times further back.
pub(super) const MAX_JUMP: i64 = TICKS_A_SECOND / 2;

/// Within a file, times of a stream that are further ahead than that, and far from those of all others,
/// are another clock's: nobody makes longer segments, and one may hold two pictures alone.
pub(super) const MAX_GAP: i64 = 60 * TICKS_A_SECOND;

/// Where a time begins anew.
const WRAP: i64 = 1 << 33;

/// The time nearest to `reference` which is written as `stamp`.
///
/// ```
/// use restreamer::mpegts::time::unwrap_near;
/// let wrap = 1_i64 << 33;
/// assert_eq!(unwrap_near(5, wrap - 10), wrap + 5);
/// assert_eq!(unwrap_near((wrap - 10) as u64, 5), -10);
/// ```
#[must_use]
pub fn unwrap_near(stamp: u64, reference: i64) -> i64 {
    let difference = (stamp as i64).wrapping_sub(reference).rem_euclid(WRAP);
    let difference = if difference >= WRAP / 2 {
        difference - WRAP
    } else {
        difference
    };
    reference.wrapping_add(difference)
}

/// True iff a step from one time to the next of a stream, in a file, is one to another clock.
pub(super) fn is_jump(step: i64) -> bool {
    !(-MAX_JUMP..=MAX_GAP).contains(&step)
}

/// How a time is written: modulo 2^33.
#[must_use]
pub fn wrap(time: i64) -> u64 {
    time.rem_euclid(WRAP) as u64
}

/// Ticks as microseconds, to the nearest one.
#[must_use]
pub fn micros(ticks: i64) -> i64 {
    (ticks * 100 + 4).div_euclid(9)
}

/// Microseconds as ticks, to the nearest one.
#[must_use]
pub fn ticks(micros: i64) -> i64 {
    (micros * 9 + 50).div_euclid(100)
}

/// Reads a PTS or DTS.
#[must_use]
pub fn read_stamp(bytes: [u8; 5]) -> u64 {
    let [a, b, c, d, e] = bytes.map(u64::from);
    (a >> 1 & 0x07) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

/// Writes a PTS or DTS; `mark` is what stands in the four bits before it.
#[must_use]
pub fn stamp(mark: u8, time: i64) -> [u8; 5] {
    let time = wrap(time);
    [
        mark << 4 | (time >> 29) as u8 & 0x0e | 1,
        (time >> 22) as u8,
        (time >> 14) as u8 | 1,
        (time >> 7) as u8,
        (time << 1) as u8 | 1,
    ]
}

/// Reads a PCR, in ticks; what it counts finer than that is passed over.
#[must_use]
pub fn read_pcr(bytes: [u8; 6]) -> u64 {
    let [a, b, c, d, e, _] = bytes.map(u64::from);
    a << 25 | b << 17 | c << 9 | d << 1 | e >> 7
}

/// Replaces a PCR's base; what it counts finer than ticks stays.
pub fn set_pcr(bytes: &mut [u8; 6], time: i64) {
    let base = wrap(time);
    let extension = bytes[4] & 0x01;
    bytes[0] = (base >> 25) as u8;
    bytes[1] = (base >> 17) as u8;
    bytes[2] = (base >> 9) as u8;
    bytes[3] = (base >> 1) as u8;
    bytes[4] = (base << 7) as u8 | 0x7e | extension;
}

/// A PCR as it is written, of a time in ticks.
#[must_use]
pub fn pcr(time: i64) -> [u8; 6] {
    let mut bytes = [0; 6];
    set_pcr(&mut bytes, time);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(time in 0..WRAP, mark in 0..16_u8) {
            let stamp = stamp(mark, time);
            prop_assert_eq!(read_stamp(stamp), time as u64);
            prop_assert_eq!(stamp[0] >> 4, mark);
            prop_assert!([stamp[0], stamp[2], stamp[4]].iter().all(|byte| byte & 1 == 1));
            prop_assert_eq!(read_pcr(pcr(time)), time as u64);
        }

        #[test]
        fn the_nearest_is_meant(time in -(WRAP * 3)..WRAP * 3, off in -(WRAP / 2) + 1..WRAP / 2) {
            prop_assert_eq!(unwrap_near(wrap(time), time + off), time);
        }

        #[test]
        fn microseconds_and_ticks(ticks_ in -TICKS_A_SECOND * 400_000..TICKS_A_SECOND * 400_000) {
            prop_assert_eq!(ticks(micros(ticks_)), ticks_);
        }
    }

    #[test]
    fn microseconds_are_rounded() {
        // 29.97 pictures a second: 3,003 ticks are 33,366.67 µs.
        for (ticks, expected) in [(3003, 33_367), (6006, 66_733), (-3003, -33_367), (9, 100)] {
            assert_eq!(micros(ticks), expected, "{ticks}");
        }
    }
}
