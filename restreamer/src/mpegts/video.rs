//! What a picture is to a decoder: H.264 (ITU-T H.264 §7.3.1, §7.4.1) and H.265 (ITU-T H.265
//! §7.3.1, §7.4.2), as byte streams (their annexes B).

#[cfg(test)]
mod tests;

use super::bits::Bits;
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
pub(super) struct Nal {
    /// Where its start code begins.
    pub(super) from: usize,
    /// Where its first byte is.
    pub(super) at: usize,
    pub(super) kind: u8,
}

/// What the types of units mean in one of the two codings.
pub(super) struct Rules {
    pub(super) codec: Codec,
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

    pub(super) fn is_slice(&self, kind: u8) -> bool {
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

    pub(super) fn is_sequence_parameters(&self, kind: u8) -> bool {
        kind == if self.codec == Codec::H264 { 7 } else { 33 }
    }
}

/// The units of a coded picture, in order.
pub(super) fn nals<'a>(bytes: &'a [u8], rules: &'a Rules) -> impl Iterator<Item = Nal> + 'a {
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

/// True iff a coded picture begins with these bytes, which are not more of the one before.
#[must_use]
pub fn begins(codec: Codec, bytes: &[u8]) -> bool {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let unit = bytes.get(zeros..).unwrap_or_default();
    let &[1, first, ref rest @ ..] = unit else {
        return false;
    };
    // A slice says at once whether it is its picture's first.
    let is_first = |at: usize| rest.get(at).is_some_and(|byte| byte & 0x80 != 0);
    let rules = Rules { codec };
    zeros >= 2
        && match (codec, rules.kind(first)) {
            (Codec::H264, 1..=5) => is_first(0),
            (Codec::H264, kind) => matches!(kind, 6..=9 | 14..=18),
            (Codec::H265, 0..=31) => is_first(1),
            (Codec::H265, kind) => matches!(kind, 32..=35 | 39 | 41..=44),
            // MPEG-2: a picture, or what stands before it.
            _ => matches!(first, 0x00 | 0xb3 | 0xb8),
        }
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
    let mut bits = Bits::new(bytes);
    let _first_macroblock = bits.unsigned();
    // 2 and 7: I; 4 and 9: SI.
    matches!(bits.unsigned(), Some(2 | 4 | 7 | 9))
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
    let &[_, profile, _, level] = sequence_parameters(Codec::H264, parameters)?.first_chunk()?;
    Some((profile, level))
}

/// The first unit of these that has sequence parameters, without its start code.
#[must_use]
pub fn sequence_parameters(codec: Codec, units: &[u8]) -> Option<&[u8]> {
    let rules = Rules { codec };
    let mut found = nals(units, &rules).skip_while(|nal| !rules.is_sequence_parameters(nal.kind));
    let at = found.next()?.at;
    let end = found.next().map_or(units.len(), |next| next.from);
    units.get(at..end)
}
