//! Frames of sound: the least that can be kept or left out.
//!
//! ADTS (ISO/IEC 13818-7 §6.2), MPEG-1 and MPEG-2 audio (ISO/IEC 11172-3 §2.4.2.3) and AC-3
//! (ETSI TS 102 366 §4.3) say how long each is.

use std::ops::Range;

use super::tables::Codec;
use super::time::TICKS_A_SECOND;

/// A frame of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where it is.
    pub range: Range<usize>,
    /// When it is heard, in ticks after the first one.
    pub after: i64,
    /// For how long, in ticks.
    pub ticks: i64,
}

/// What the head of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    bytes: usize,
    samples: i64,
    /// In Hz.
    rate: i64,
}

/// The frames in `bytes`; `None` if that cannot be told, because it is coded in a way that is not
/// known here, or a frame does not begin where the one before it ends.
///
/// A frame that is cut short at the end is not among them.
#[must_use]
pub fn frames(codec: Codec, bytes: &[u8]) -> Option<Vec<Frame>> {
    let head = head_of(codec)?;
    let mut frames = Vec::new();
    let (mut at, mut samples) = (0, 0);
    while at < bytes.len() {
        let Some(found) = head(&bytes[at..]) else {
            // What is too short for a head is one cut short.
            return (bytes.len() - at < LONGEST_HEAD).then_some(frames);
        };
        let end = at + found.bytes;
        if end > bytes.len() {
            break;
        }
        // In samples, so that nothing is lost by rounding.
        let when = |samples: i64| samples * TICKS_A_SECOND / found.rate;
        frames.push(Frame {
            range: at..end,
            after: when(samples),
            ticks: when(samples + found.samples) - when(samples),
        });
        samples += found.samples;
        at = end;
    }
    Some(frames)
}

/// How many bytes the frame has that begins here, if one does.
#[must_use]
pub fn length(codec: Codec, bytes: &[u8]) -> Option<usize> {
    Some(head_of(codec)?(bytes)?.bytes)
}

type ReadHead = fn(&[u8]) -> Option<Head>;

fn head_of(codec: Codec) -> Option<ReadHead> {
    match codec {
        Codec::Adts => Some(adts),
        Codec::MpegAudio => Some(mpeg),
        Codec::Ac3 => Some(ac3),
        _ => None,
    }
}

/// What a decoder of sound is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// How it is coded.
    pub codec: Codec,
    /// The layer of MPEG audio, else 0.
    pub layer: u8,
    /// In Hz.
    pub rate: i64,
    /// How many channels.
    pub channels: u8,
}

impl Form {
    /// What a decoder has to be set up for to read these frames; `None` if the first one does not say.
    #[must_use]
    pub fn of(codec: Codec, bytes: &[u8]) -> Option<Form> {
        let (head, layer, channels) = match (codec, bytes) {
            (Codec::Adts, [_, _, c, d, ..]) => (adts(bytes)?, 0, adts_channels(*c, *d)?),
            (Codec::MpegAudio, [_, b, _, d, ..]) => {
                let channels = if d >> 6 == 3 { 1 } else { 2 };
                (mpeg(bytes)?, 4 - (b >> 1 & 0x03), channels)
            }
            (Codec::Ac3, [_, _, _, _, _, _, mode, ..]) => (ac3(bytes)?, 0, ac3_channels(*mode)),
            _ => return None,
        };
        Some(Form {
            codec,
            layer,
            rate: head.rate,
            channels,
        })
    }
}

fn adts_channels(c: u8, d: u8) -> Option<u8> {
    match (c & 0x01) << 2 | d >> 6 {
        0 => None,
        7 => Some(8),
        channels => Some(channels),
    }
}

/// From the byte that begins with `acmod`: how many channels, and one more for low tones.
fn ac3_channels(mode: u8) -> u8 {
    let (channels, levels) = match mode >> 5 {
        0 => (2, 0),
        1 => (1, 0),
        2 => (2, 2),
        3 => (3, 2),
        4 => (3, 2),
        5 => (4, 4),
        6 => (4, 2),
        _ => (5, 4),
    };
    channels + (mode >> (4 - levels) & 1)
}

/// What is needed to read any head, in bytes.
const LONGEST_HEAD: usize = 7;

fn adts(bytes: &[u8]) -> Option<Head> {
    const RATES: [i64; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
        8_000, 7_350,
    ];
    let &[0xff, b, c, d, e, f, g, ..] = bytes else {
        return None;
    };
    let length = usize::from(d & 0x03) << 11 | usize::from(e) << 3 | usize::from(f >> 5);
    if b & 0xf6 != 0xf0 || length < LONGEST_HEAD {
        return None;
    }
    Some(Head {
        bytes: length,
        samples: 1024 * (i64::from(g & 0x03) + 1),
        rate: *RATES.get(usize::from(c >> 2 & 0x0f))?,
    })
}

fn mpeg(bytes: &[u8]) -> Option<Head> {
    const RATES: [i64; 3] = [44_100, 48_000, 32_000];
    const KBITS: [[usize; 14]; 5] = [
        [
            32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
        ],
        [
            32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
        ],
        [
            32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
        ],
        [
            32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
        ],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let &[0xff, b, c, ..] = bytes else {
        return None;
    };
    if b & 0xe0 != 0xe0 {
        return None;
    }
    let is_first = b >> 3 & 0x03 == 3;
    let divided = match b >> 3 & 0x03 {
        3 => 1,
        2 => 2,
        0 => 4,
        _ => return None,
    };
    let rate = RATES.get(usize::from(c >> 2 & 0x03))? / divided;
    let layer = 4 - (b >> 1 & 0x03);
    let row = match (is_first, layer) {
        (true, 1..=3) => usize::from(layer) - 1,
        (false, 1) => 3,
        (false, 2 | 3) => 4,
        _ => return None,
    };
    let bits = KBITS[row].get(usize::from(c >> 4).checked_sub(1)?)? * 1000;
    let padding = usize::from(c >> 1 & 1);
    let per_second = rate as usize;
    let (samples, bytes) = match layer {
        1 => (384, (12 * bits / per_second + padding) * 4),
        3 if !is_first => (576, 72 * bits / per_second + padding),
        _ => (1152, 144 * bits / per_second + padding),
    };
    Some(Head {
        bytes,
        samples,
        rate,
    })
}

fn ac3(bytes: &[u8]) -> Option<Head> {
    const KBITS: [usize; 19] = [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
    ];
    let &[0x0b, 0x77, _, _, code, id, ..] = bytes else {
        return None;
    };
    if id >> 3 > 8 {
        return None;
    }
    let bits = KBITS.get(usize::from(code & 0x3f) / 2)? * 1000;
    let odd = usize::from(code & 1);
    let (rate, words) = match code >> 6 {
        0 => (48_000, bits * 96 / 48_000),
        1 => (44_100, bits * 96 / 44_100 + odd),
        2 => (32_000, bits * 96 / 32_000),
        _ => return None,
    };
    Some(Head {
        bytes: words * 2,
        samples: 1536,
        rate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An ADTS frame of 48 kHz.
    fn adts_frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0; length];
        let (high, middle, low) = (length >> 11, length >> 3, length << 5);
        let head = [
            0xff,
            0xf1,
            0x4c,
            0x80 | high as u8,
            middle as u8,
            low as u8 | 0x1f,
            0xfc,
        ];
        frame[..7].copy_from_slice(&head);
        frame
    }

    #[test]
    fn adts_frames() {
        let bytes = [adts_frame(300), adts_frame(7), adts_frame(900)].concat();
        let found = frames(Codec::Adts, &bytes[..bytes.len() - 1]).unwrap();
        let short: Vec<_> = found
            .iter()
            .map(|frame| (frame.range.clone(), frame.after))
            .collect();
        assert_eq!(short, [(0..300, 0), (300..307, 1920)]);
        assert_eq!(frames(Codec::Adts, &bytes).unwrap().len(), 3);
        assert_eq!(frames(Codec::Adts, &bytes[1..]), None);
        assert_eq!(frames(Codec::OtherAudio, &bytes), None);
        assert_eq!(frames(Codec::Adts, &bytes[..303]).unwrap().len(), 1);
    }

    #[test]
    fn lengths_of_others() {
        // MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 or 418 bytes; MPEG-2 layer III, 64 kbit/s,
        // 22.05 kHz: 208; layer II, 192 kbit/s, 48 kHz: 576.
        for (head, bytes, samples) in [
            ([0xff, 0xfb, 0x90], 417, 1152),
            ([0xff, 0xfb, 0x92], 418, 1152),
            ([0xff, 0xf3, 0x80], 208, 576),
            ([0xff, 0xfd, 0xa4], 576, 1152),
        ] {
            let found = mpeg(&head).unwrap();
            assert_eq!((found.bytes, found.samples), (bytes, samples), "{head:x?}");
        }
        // AC-3, 192 kbit/s, 48 kHz: 768 bytes; 44.1 kHz: 834 and 836.
        for (code, bytes) in [(0x14, 768), (0x54, 834), (0x55, 836)] {
            let found = ac3(&[0x0b, 0x77, 0, 0, code, 0x40]).unwrap();
            assert_eq!(found.bytes, bytes);
        }
    }

    #[test]
    fn forms() {
        type Row<'a> = (Codec, &'a [u8], (u8, i64, u8));
        let table: [Row<'_>; 6] = [
            (Codec::Adts, &adts_frame(7), (0, 48_000, 2)),
            (Codec::MpegAudio, &[0xff, 0xfb, 0x90, 0x00], (3, 44_100, 2)),
            (Codec::MpegAudio, &[0xff, 0xfd, 0xa4, 0xc0], (2, 48_000, 1)),
            // Two channels; three and two, and one for low tones; one.
            (
                Codec::Ac3,
                &[0x0b, 0x77, 0, 0, 0x14, 0x40, 0x40],
                (0, 48_000, 2),
            ),
            (
                Codec::Ac3,
                &[0x0b, 0x77, 0, 0, 0x54, 0x40, 0xe1],
                (0, 44_100, 6),
            ),
            (
                Codec::Ac3,
                &[0x0b, 0x77, 0, 0, 0x14, 0x40, 0x20],
                (0, 48_000, 1),
            ),
        ];
        for (codec, bytes, (layer, rate, channels)) in table {
            let expected = Form {
                codec,
                layer,
                rate,
                channels,
            };
            assert_eq!(Form::of(codec, bytes), Some(expected), "{bytes:x?}");
            assert_eq!(Form::of(codec, &bytes[..3]), None);
        }
        assert_eq!(Form::of(Codec::OtherAudio, &adts_frame(7)), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(prop_oneof![Just(0xff_u8), Just(0x0b), Just(0x77), any::<u8>()], 0..300)) {
            for codec in [Codec::Adts, Codec::MpegAudio, Codec::Ac3] {
                let _ = Form::of(codec, &bytes);
                if let Some(frames) = frames(codec, &bytes) {
                    assert!(frames.iter().all(|frame| frame.range.end <= bytes.len()));
                }
            }
        }
    }
}
