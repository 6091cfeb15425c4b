//! What the pictures of a stream are made of, as its sequence parameters say (ITU-T H.264 §7.3.2.1,
//! ITU-T H.265 §7.3.2.2), by ffmpeg's names.

use crate::mpegts::tables::Codec;

/// The pixel format of a stream, from units that [`parameters`](crate::mpegts::video::parameters)
/// found. `None` if that cannot be read, or no encoder of these makes it.
pub(super) fn pixels(codec: Codec, parameters: &[u8]) -> Option<&'static str> {
    let (chroma, depth) = match codec {
        Codec::H264 => h264(&mut sequence(parameters, |head| head & 0x1f == 7)?)?,
        Codec::H265 => h265(&mut sequence(parameters, |head| head >> 1 & 0x3f == 33)?)?,
        _ => return None,
    };
    Some(match (chroma, depth, codec) {
        (0, 8, _) => "gray",
        (1, 8, _) => "yuv420p",
        (2, 8, _) => "yuv422p",
        (3, 8, _) => "yuv444p",
        (0, 10, _) => "gray10le",
        (1, 10, _) => "yuv420p10le",
        (2, 10, _) => "yuv422p10le",
        (3, 10, _) => "yuv444p10le",
        (0, 12, Codec::H265) => "gray12le",
        (1, 12, Codec::H265) => "yuv420p12le",
        (2, 12, Codec::H265) => "yuv422p12le",
        (3, 12, Codec::H265) => "yuv444p12le",
        _ => return None,
    })
}

/// The unit whose first byte is that of sequence parameters.
fn sequence(parameters: &[u8], is_it: impl Fn(u8) -> bool) -> Option<Bits<'_>> {
    let mut starts = memchr::memmem::find_iter(parameters, &[0, 0, 1]).map(|at| at + 3);
    let at = starts.find(|at| parameters.get(*at).is_some_and(|head| is_it(*head)))?;
    Some(Bits {
        bytes: &parameters[at..],
        bit: 0,
        zeros: 0,
    })
}

/// `chroma_format_idc`, and the bits of a sample.
type Made = (u32, u32);

fn h264(bits: &mut Bits<'_>) -> Option<Made> {
    bits.skip(8)?;
    let profile = bits.number(8)?;
    bits.skip(16)?;
    let _id = bits.exp_golomb()?;
    // All others have samples of 8 bits, and colours for every fourth.
    if ![100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        return Some((1, 8));
    }
    let chroma = chroma(bits)?;
    Some((chroma, 8 + bits.exp_golomb()?))
}

fn h265(bits: &mut Bits<'_>) -> Option<Made> {
    // The profile and level of the whole stream.
    const GENERAL: u32 = 88;
    bits.skip(16 + 4)?;
    let layers = bits.number(3)?;
    bits.skip(1 + GENERAL + 8)?;
    let mut more = 0;
    for _ in 0..layers {
        more += bits.number(1)? * GENERAL + bits.number(1)? * 8;
    }
    if layers > 0 {
        bits.skip((8 - layers) * 2 + more)?;
    }
    let _id = bits.exp_golomb()?;
    let chroma = chroma(bits)?;
    let (_width, _height) = (bits.exp_golomb()?, bits.exp_golomb()?);
    if bits.number(1)? == 1 {
        for _ in 0..4 {
            bits.exp_golomb()?;
        }
    }
    Some((chroma, 8 + bits.exp_golomb()?))
}

fn chroma(bits: &mut Bits<'_>) -> Option<u32> {
    let chroma = bits.exp_golomb()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    Some(chroma)
}

/// The bits of a unit, without the bytes that keep start codes away.
struct Bits<'a> {
    bytes: &'a [u8],
    /// Which bit of the first of these is next.
    bit: u32,
    /// How many zeros were before it.
    zeros: u32,
}

impl Bits<'_> {
    fn next(&mut self) -> Option<u32> {
        let (&byte, rest) = self.bytes.split_first()?;
        if self.bit == 0 && self.zeros >= 2 && byte == 3 {
            (self.bytes, self.zeros) = (rest, 0);
            return self.next();
        }
        let bit = byte >> (7 - self.bit) & 1;
        self.bit += 1;
        if self.bit == 8 {
            let zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            (self.bytes, self.bit, self.zeros) = (rest, 0, zeros);
        }
        Some(bit.into())
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.next().map(drop))
    }

    fn number(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | self.next()?))
    }

    /// A number as Exp-Golomb code.
    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.next()? == 0 {
            zeros += 1;
            if zeros > 16 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits = hexadecimal.as_bytes().chunks(2);
        let bytes = digits.map(|pair| {
            let text = std::str::from_utf8(pair).unwrap();
            u8::from_str_radix(text, 16).unwrap()
        });
        bytes.collect()
    }

    /// As x264 and x265 write them.
    #[test]
    fn what_pictures_are_made_of() {
        let h264 = [
            ("6742c00bda050db011000003000100000300320f142aa0", "yuv420p"),
            ("6764000bf2d0286d80b640000003004000000c83c50aa8", "gray"),
            ("677a000bbcb40a1b6022000003000200000300641e2855", "yuv422p"),
            ("67f4000b919681436c0440000003004000000c83c50aa8", "yuv444p"),
            (
                "676e000ba6cb40a1b60220000003002000000641e2855",
                "yuv420p10le",
            ),
            (
                "677a000bb6cb40a1b60220000003002000000641e2855",
                "yuv422p10le",
            ),
        ];
        let h265 = [
            (
                "42010101600000030090000003000003003ca00a08185965654a4c2f0168",
                "yuv420p",
            ),
            (
                "42010102200000030090000003000003003ca00a08184d965654a4c2f016",
                "yuv420p10le",
            ),
            (
                "4201010408000003009d0800000300003cb00a08184d965654a4c2f01680",
                "yuv422p10le",
            ),
            (
                "420101040800000300980800000300003c9001410308a52caca94985e02d",
                "yuv444p12le",
            ),
        ];
        let h264 = h264.map(|row| (Codec::H264, row));
        let h265 = h265.map(|row| (Codec::H265, row));
        for (codec, (written, expected)) in h264.into_iter().chain(h265) {
            // Another unit is before it.
            let all = [&[0, 0, 1, 0x40, 1, 0, 0, 1][..], &bytes(written)].concat();
            assert_eq!(pixels(codec, &all), Some(expected), "{written}");
            assert_eq!(pixels(codec, &all[..12]), None);
        }
        assert_eq!(pixels(Codec::OtherVideo, &[]), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(3), any::<u8>()], 0..60)) {
            for (codec, head) in [(Codec::H264, 0x67), (Codec::H265, 0x42)] {
                let all = [&[0, 0, 1, head][..], &bytes].concat();
                let _ = pixels(codec, &all);
            }
        }
    }
}
