//! What the pictures of a stream are made of, by ffmpeg's names.

use crate::mpegts::sequence::Sequence;
use crate::mpegts::tables::Codec;

/// The pixel formats of a stream, from units that [`parameters`](crate::mpegts::video::parameters)
/// found. `None` if that cannot be read, or no encoder of these makes it.
///
/// Where two of them differ in nothing but the range of values, ffmpeg takes that of what it decodes.
pub(super) fn pixels(codec: Codec, parameters: &[u8]) -> Option<&'static str> {
    let Sequence { chroma, depth, .. } = Sequence::read(codec, parameters)?;
    Some(match (chroma, depth, codec) {
        (0, 8, _) => "gray",
        (1, 8, _) => "yuv420p|yuvj420p",
        (2, 8, _) => "yuv422p|yuvj422p",
        (3, 8, _) => "yuv444p|yuvj444p",
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
            (
                "6742c00bda050db011000003000100000300320f142aa0",
                "yuv420p|yuvj420p",
            ),
            ("6764000bf2d0286d80b640000003004000000c83c50aa8", "gray"),
            (
                "677a000bbcb40a1b6022000003000200000300641e2855",
                "yuv422p|yuvj422p",
            ),
            (
                "67f4000b919681436c0440000003004000000c83c50aa8",
                "yuv444p|yuvj444p",
            ),
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
                "yuv420p|yuvj420p",
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
