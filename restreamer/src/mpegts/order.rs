//! In which order pictures are shown: their slices count them (ITU-T H.264 §7.3.3, §8.2.1; ITU-T
//! H.265 §7.3.6.1, §8.3.1).

use super::bits::Bits;
use super::sequence::{Count, Sequence};
use super::tables::Codec;
use super::video::{Rules, nals};

/// Where a picture is among those shown: which group of them it is of, and where in it.
pub type Place = (i64, i64);

/// Reads pictures in the order of decoding.
#[derive(Debug)]
pub struct Order {
    codec: Codec,
    count: Option<Count>,
    /// How many bits are before the type of H.265's slices, and whether one is after it.
    around_type: (u32, bool),
    group: i64,
    /// Where the last picture is that the count goes on from.
    last: Option<i64>,
    /// How many were read.
    decoded: i64,
}

/// What a slice says.
struct Slice {
    /// True iff the count begins anew with it.
    is_first: bool,
    /// The end of the count; `None` if it is not counted.
    count: Option<(u32, i64)>,
    /// True iff the count goes on from it.
    is_counted_from: bool,
}

impl Order {
    /// One that has read nothing.
    #[must_use]
    pub fn new(codec: Codec) -> Order {
        Order {
            codec,
            count: None,
            around_type: (0, false),
            group: 0,
            last: None,
            decoded: 0,
        }
    }

    /// Where the next picture is; `None` if that cannot be told.
    pub fn next(&mut self, picture: &[u8]) -> Option<Place> {
        let rules = Rules { codec: self.codec };
        self.decoded += 1;
        for nal in nals(picture, &rules) {
            let unit = &picture[nal.at..];
            if rules.is_sequence_parameters(nal.kind) {
                let sequence = Sequence::read(self.codec, &picture[nal.from..]);
                self.count = sequence.and_then(|sequence| sequence.count);
            } else if self.codec == Codec::H265 && nal.kind == 34 {
                self.around_type = around_type(unit)?;
            } else if rules.is_slice(nal.kind) {
                let count = self.count?;
                let slice = match self.codec {
                    Codec::H264 => h264(unit, nal.kind, count)?,
                    _ => h265(unit, nal.kind, count, self.around_type)?,
                };
                return Some(self.place(&slice));
            }
        }
        None
    }

    fn place(&mut self, slice: &Slice) -> Place {
        if slice.is_first {
            self.group += 1;
            self.last = Some(0);
        }
        let Some((bits, end)) = slice.count else {
            return (self.group, self.decoded);
        };
        // The nearest to the last one.
        let last = self.last.unwrap_or(end);
        let wrap = 1_i64 << bits;
        let after = (end - last).rem_euclid(wrap);
        let after = if after > wrap / 2 {
            after - wrap
        } else {
            after
        };
        if slice.is_counted_from || self.last.is_none() {
            self.last = Some(last + after);
        }
        (self.group, last + after)
    }
}

fn h264(unit: &[u8], kind: u8, count: Count) -> Option<Slice> {
    let is_first = kind == 5;
    let mut bits = Bits::new(unit);
    bits.skip(1)?;
    let is_counted_from = bits.number(2)? != 0;
    bits.skip(5)?;
    let (_macroblock, _type, _parameters) = (bits.unsigned()?, bits.unsigned()?, bits.unsigned()?);
    bits.skip(if count.has_planes { 2 } else { 0 })?;
    bits.skip(count.frame_bits)?;
    if count.has_fields && bits.flag()? {
        bits.skip(1)?;
    }
    if is_first {
        let _id = bits.unsigned()?;
    }
    Some(Slice {
        is_first,
        count: end_of_count(&mut bits, count)?,
        is_counted_from,
    })
}

fn h265(unit: &[u8], kind: u8, count: Count, around_type: (u32, bool)) -> Option<Slice> {
    let mut bits = Bits::new(unit);
    bits.skip(8 + 5)?;
    let is_of_lowest_layer = bits.number(3)? == 1;
    let is_first_slice = bits.flag()?;
    if !is_first_slice {
        return None;
    }
    if (16..=23).contains(&kind) {
        bits.skip(1)?;
    }
    let _parameters = bits.unsigned()?;
    bits.skip(around_type.0)?;
    let _type = bits.unsigned()?;
    bits.skip(u32::from(around_type.1))?;
    bits.skip(if count.has_planes { 2 } else { 0 })?;
    let is_idr = matches!(kind, 19 | 20);
    // Those that others of their layer do not need, and those that lead a key picture.
    let is_passed_over = kind < 16 && kind.is_multiple_of(2) || (6..=9).contains(&kind);
    Some(Slice {
        is_first: is_idr || (16..=18).contains(&kind),
        count: match is_idr {
            true => count.bits.map(|bits| (bits, 0)),
            false => end_of_count(&mut bits, count)?,
        },
        is_counted_from: is_of_lowest_layer && !is_passed_over,
    })
}

fn end_of_count(bits: &mut Bits<'_>, count: Count) -> Option<Option<(u32, i64)>> {
    let Some(length) = count.bits else {
        return Some(None);
    };
    let end = bits.number(length)?;
    Some(Some((length, end.into())))
}

/// From H.265's picture parameters (§7.3.2.3).
fn around_type(unit: &[u8]) -> Option<(u32, bool)> {
    let mut bits = Bits::new(unit);
    bits.skip(16)?;
    let (_id, _sequence) = (bits.unsigned()?, bits.unsigned()?);
    bits.skip(1)?;
    let is_after = bits.flag()?;
    Some((bits.number(3)?, is_after))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits = hexadecimal.as_bytes().chunks(2);
        let digits = digits.map(|pair| std::str::from_utf8(pair).unwrap());
        digits
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    }

    /// What x264 and x265 write of some pictures, as far as the beginning of each slice, and in which
    /// order they are shown.
    pub(in crate::mpegts) fn pictures(codec: Codec) -> (Vec<Vec<u8>>, [i64; 14]) {
        let (parameters, slices, order) = match codec {
            Codec::H264 => (
                "67f4000a919b2884d808800000030080000019078912cb 68ebe3c44844",
                // With two groups, whose counts begin anew.
                "6588840067b65965e0 419a246c421f463f7a 419e427885bfb6e7f1 019e6174435fbb8f90 019e636a435f72c1 \
                 419a6849a84168994c 419e8645112c2dff69 019ea574435f72c1 019ea76a435f72c0 6588820015ffd3a4b4 \
                 419a246c435f2aa2c3 419e427886bf95d990 019e6174435f95d990 019e636a435f97057d",
                [0, 4, 2, 1, 3, 8, 6, 5, 7, 9, 13, 11, 10, 12],
            ),
            _ => (
                "4201010408000003009e0800000300001e90041020b2cacb24995e02dc080800100000030010000003019080 \
                 4401c172860c4224",
                // The second one is open.
                "2801af1d80313ffe9f 0201d02149e10c63b0 0201e04495786124fb 0001e024fd7e8b0a60 0001e066b5fd461440 \
                 2a01ac2049089c6231 1201e0c225555f7184 1001e0a6f5d7d22c28 1001e0e22d57f71851 0201d06149e10c6390 \
                 0201e14495786124fb 0001e124fd7e8b0a60 0001e166b5fd4614c0 0201d0689d57dc4301",
                [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11, 13],
            ),
        };
        let unit = |text: &str| [&[0, 0, 1][..], &bytes(text)].concat();
        let mut pictures: Vec<Vec<u8>> = slices.split_whitespace().map(unit).collect();
        let said: Vec<u8> = parameters.split_whitespace().flat_map(unit).collect();
        pictures[0].splice(..0, said);
        (pictures, order)
    }

    #[test]
    fn order_of_pictures() {
        for codec in [Codec::H264, Codec::H265] {
            let (pictures, expected) = pictures(codec);
            let mut order = Order::new(codec);
            assert_eq!(order.next(&pictures[1]), None, "not known yet");
            let places = pictures.iter().map(|picture| order.next(picture).unwrap());
            let places: Vec<Place> = places.collect();
            let shown = places.iter().map(|place| {
                let before = places.iter().filter(|other| *other < place);
                before.count() as i64
            });
            assert_eq!(shown.collect::<Vec<_>>(), expected, "{codec:?}");
        }
    }

    #[test]
    fn a_count_that_begins_anew_goes_on() {
        let mut order = Order::new(Codec::H264);
        let ends = [14, 2, 0, 6, 10, 14, 12];
        let places = ends.map(|end| {
            let (is_first, is_counted_from) = (false, true);
            let count = Some((4, end));
            order
                .place(&Slice {
                    is_first,
                    count,
                    is_counted_from,
                })
                .1
        });
        assert_eq!(places, [14, 18, 16, 22, 26, 30, 28]);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0x67), Just(0x42), any::<u8>()], 0..80)) {
            for codec in [Codec::H264, Codec::H265] {
                let _ = Order::new(codec).next(&bytes);
            }
        }
    }
}
