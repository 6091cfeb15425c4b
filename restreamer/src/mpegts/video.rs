//! What a picture is to a decoder: H.264 (ITU-T H.264 §7.3.1, §7.4.1) and H.265 (ITU-T H.265
//! §7.3.1, §7.4.2), as byte streams (their annexes B).

use super::tables::Codec;

/// Where decoding may begin, and what is lost if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// It needs other pictures.
    None,
    /// A key picture: decoding may begin here, but pictures shown before it which come after it
    /// may need those before it ("open GOP").
    Open,
    /// A key picture; nothing after it needs anything before it.
    Closed,
}

/// What is known of a picture without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// Whether decoding may begin with it.
    pub access: Access,
    /// True iff no other picture needs it.
    pub is_disposable: bool,
    /// True iff it brings what decoders have to know of the whole stream (SPS and PPS).
    pub has_parameters: bool,
    /// True iff there is no slice in it.
    pub is_damaged: bool,
}

/// A unit of a coded picture: where it is without its start code, and its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Nal {
    /// Where its start code begins.
    from: usize,
    /// Where its first byte is.
    at: usize,
    kind: u8,
}

/// What the types of units mean in one of the two codings.
struct Rules {
    codec: Codec,
}

const H264_IDR: u8 = 5;
const H264_SEI: u8 = 6;
const H265_BLA_N_LP: u8 = 18;
const H265_CRA: u8 = 21;

/// The payload of an SEI message that says that decoding may begin here.
const SEI_RECOVERY_POINT: u8 = 6;

impl Rules {
    fn kind(&self, byte: u8) -> u8 {
        match self.codec {
            Codec::H264 => byte & 0x1f,
            _ => byte >> 1 & 0x3f,
        }
    }

    fn is_slice(&self, kind: u8) -> bool {
        match self.codec {
            Codec::H264 => (1..=5).contains(&kind),
            _ => kind < 32,
        }
    }

    fn is_delimiter(&self, kind: u8) -> bool {
        kind == if self.codec == Codec::H264 { 9 } else { 35 }
    }

    fn is_parameters(&self, kind: u8) -> bool {
        match self.codec {
            Codec::H264 => matches!(kind, 7 | 8 | 13 | 15),
            _ => (32..=34).contains(&kind),
        }
    }

    fn is_sequence_parameters(&self, kind: u8) -> bool {
        kind == if self.codec == Codec::H264 { 7 } else { 33 }
    }
}

/// The units of a coded picture, in order.
fn nals<'a>(bytes: &'a [u8], rules: &'a Rules) -> impl Iterator<Item = Nal> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        let found = at + memchr::memmem::find(&bytes[at..], &[0, 0, 1])?;
        at = found + 3;
        let kind = rules.kind(*bytes.get(at)?);
        // A start code may have one more zero in front.
        let has_zero = found > 0 && bytes[found - 1] == 0;
        Some(Nal {
            from: found - usize::from(has_zero),
            at,
            kind,
        })
    })
}

/// Looks at a coded picture. `is_entry` is what its packet said: decoding may begin here.
///
/// Only its beginning is read, up to its first slice.
#[must_use]
pub fn look(codec: Codec, bytes: &[u8], is_entry: bool) -> Picture {
    let rules = Rules { codec };
    let mut picture = Picture {
        access: Access::None,
        is_disposable: false,
        has_parameters: false,
        is_damaged: true,
    };
    let mut recovers = false;
    for nal in nals(bytes, &rules) {
        let first = bytes[nal.at];
        if rules.is_sequence_parameters(nal.kind) {
            picture.has_parameters = true;
        } else if codec == Codec::H264 && nal.kind == H264_SEI {
            recovers |= bytes.get(nal.at + 1) == Some(&SEI_RECOVERY_POINT);
        } else if rules.is_slice(nal.kind) {
            picture.is_damaged = false;
            let is_intra = || is_intra_slice(&bytes[nal.at + 1..]);
            (picture.access, picture.is_disposable) = match codec {
                Codec::H264 if nal.kind == H264_IDR => (Access::Closed, false),
                Codec::H264 if (recovers || is_entry) && is_intra() => (Access::Open, false),
                Codec::H264 => (Access::None, first & 0x60 == 0),
                _ => (h265_access(nal.kind), false),
            };
            break;
        }
    }
    picture
}

fn h265_access(kind: u8) -> Access {
    match kind {
        19 | 20 => Access::Closed,
        16..=18 | 21 => Access::Open,
        _ => Access::None,
    }
}

/// True iff an H.264 slice, which stands after its first byte, needs no other picture.
fn is_intra_slice(bytes: &[u8]) -> bool {
    let mut bits = Bits { bytes, at: 0 };
    let _first_macroblock = bits.unsigned();
    // 2 and 7: I; 4 and 9: SI.
    matches!(bits.unsigned(), Some(2 | 4 | 7 | 9))
}

/// Bits of a slice's head, which is too short for the bytes that keep start codes away to matter.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit.into())
    }

    /// A number as Exp-Golomb code.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let mut value = 1_u32;
        for _ in 0..zeros {
            value = value << 1 | self.bit()?;
        }
        Some(value - 1)
    }
}

/// The units that decoders have to know before anything else, each with its start code.
#[must_use]
pub fn parameters(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let rules = Rules { codec };
    let mut found = Vec::new();
    let mut units = nals(bytes, &rules).peekable();
    while let Some(nal) = units.next() {
        if rules.is_slice(nal.kind) {
            break;
        }
        if rules.is_parameters(nal.kind) {
            let end = units.peek().map_or(bytes.len(), |next| next.from);
            found.extend_from_slice(&bytes[nal.from..end]);
        }
    }
    found
}

/// Puts `parameters` in front of a coded picture, after its delimiter.
pub fn insert_parameters(codec: Codec, picture: &mut Vec<u8>, parameters: &[u8]) {
    let rules = Rules { codec };
    let at = {
        let mut units = nals(picture, &rules);
        match units.next() {
            Some(nal) if rules.is_delimiter(nal.kind) => {
                units.next().map_or(picture.len(), |next| next.from)
            }
            _ => 0,
        }
    };
    picture.splice(at..at, parameters.iter().copied());
}

/// Makes a key picture one before which nothing was: what comes before it here is not what came
/// before it there. Pictures that are shown before it have to be taken away.
///
/// In H.265 such a picture has a type of its own (CRA becomes BLA_N_LP, §3.15); in H.264 nothing
/// has to change in those that are closed.
pub fn begin_anew(codec: Codec, picture: &mut [u8]) {
    if codec != Codec::H265 {
        return;
    }
    let rules = Rules { codec };
    let slices: Vec<usize> = nals(picture, &rules)
        .filter(|nal| matches!(nal.kind, 16 | 17 | H265_CRA))
        .map(|nal| nal.at)
        .collect();
    for at in slices {
        picture[at] = picture[at] & 0x81 | H265_BLA_N_LP << 1;
    }
}

/// The profile and level of an H.264 stream (`profile_idc`, `level_idc`), from units that
/// [`parameters`] found.
#[must_use]
pub fn h264_profile(parameters: &[u8]) -> Option<(u8, u8)> {
    let rules = Rules { codec: Codec::H264 };
    let mut units = nals(parameters, &rules);
    let nal = units.find(|nal| rules.is_sequence_parameters(nal.kind))?;
    let &[profile, _, level] = parameters.get(nal.at + 1..nal.at + 4)? else {
        return None;
    };
    Some((profile, level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pictures() {
        use Access::{Closed, None, Open};
        // (codec, bytes, entry, access, disposable, parameters)
        type Row = (Codec, &'static [u8], bool, Access, bool, bool);
        let table: [Row; 9] = [
            (
                Codec::H264,
                &[0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88],
                false,
                Closed,
                false,
                true,
            ),
            // A slice of I macroblocks (first 0, type 7) after a recovery point, and without.
            (
                Codec::H264,
                &[0, 0, 1, 6, 6, 1, 0xc4, 0, 0, 1, 0x61, 0x88],
                false,
                Open,
                false,
                false,
            ),
            (
                Codec::H264,
                &[0, 0, 1, 0x61, 0x88],
                true,
                Open,
                false,
                false,
            ),
            (
                Codec::H264,
                &[0, 0, 1, 0x61, 0x88],
                false,
                None,
                false,
                false,
            ),
            // A P slice (type 5) is no entry, whatever the packet said.
            (
                Codec::H264,
                &[0, 0, 1, 0x61, 0x98],
                true,
                None,
                false,
                false,
            ),
            (
                Codec::H264,
                &[0, 0, 1, 0x01, 0x9c],
                false,
                None,
                true,
                false,
            ),
            (
                Codec::H265,
                &[0, 0, 1, 0x42, 1, 0, 0, 1, 0x28, 1],
                false,
                Closed,
                false,
                true,
            ),
            (Codec::H265, &[0, 0, 1, 0x2a, 1], false, Open, false, false),
            (Codec::H265, &[0, 0, 1, 0x02, 1], true, None, false, false),
        ];
        for (codec, bytes, entry, access, is_disposable, has_parameters) in table {
            let found = look(codec, bytes, entry);
            let expected = Picture {
                access,
                is_disposable,
                has_parameters,
                is_damaged: false,
            };
            assert_eq!(found, expected, "{bytes:x?}");
        }
        assert!(look(Codec::H264, &[0, 0, 1], true).is_damaged);
    }

    #[test]
    fn parameters_go_after_the_delimiter() {
        let with = [
            0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 100, 0, 31, 5, 0, 0, 1, 0x68, 9, 0, 0, 1, 0x65,
            0x88,
        ];
        let found = parameters(Codec::H264, &with);
        assert_eq!(found, with[6..20]);
        assert_eq!(h264_profile(&found), Some((100, 31)));
        let mut without = [&with[..6], &with[20..]].concat();
        insert_parameters(Codec::H264, &mut without, &found);
        assert_eq!(without, with);
    }

    #[test]
    fn a_picture_begins_anew() {
        let mut picture = vec![0, 0, 1, 0x46, 1, 0, 0, 1, 0x2a, 1, 7, 0, 0, 1, 0x2a, 1, 8];
        begin_anew(Codec::H265, &mut picture);
        assert_eq!(
            picture,
            [0, 0, 1, 0x46, 1, 0, 0, 1, 0x24, 1, 7, 0, 0, 1, 0x24, 1, 8]
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(units in proptest::collection::vec(proptest::collection::vec(0..=9_u8, 0..8), 0..6), entry: bool) {
            let mut bytes: Vec<u8> = units.join(&[0, 0, 1][..]);
            for codec in [Codec::H264, Codec::H265] {
                let _ = look(codec, &bytes, entry);
                let found = parameters(codec, &bytes);
                let _ = h264_profile(&found);
                insert_parameters(codec, &mut bytes, &found);
                begin_anew(codec, &mut bytes);
            }
        }
    }
}
