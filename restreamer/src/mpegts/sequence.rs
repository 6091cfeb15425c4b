//! What a stream's sequence parameters say of its pictures (ITU-T H.264 §7.3.2.1, ITU-T H.265
//! §7.3.2.2), as far as anything here needs it.

use super::bits::Bits;
use super::tables::Codec;
use super::video::sequence_parameters;

/// What the pictures of a stream are made of, and how they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// How many samples of colour there are (`chroma_format_idc`).
    pub chroma: u32,
    /// The bits of a sample.
    pub depth: u32,
    /// How slices say when their picture is shown; `None` if that is not known here.
    pub count: Option<Count>,
}

/// What stands in slices up to the count of their picture, and how long that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The bits of the count; `None` where pictures are shown in the order of decoding.
    pub bits: Option<u32>,
    /// The bits of the number of H.264's frames, else 0.
    pub frame_bits: u32,
    /// True iff H.264's slices say whether they are of a field.
    pub has_fields: bool,
    /// True iff slices say which colour they are of.
    pub has_planes: bool,
}

impl Sequence {
    /// From units of which one has sequence parameters; `None` if that cannot be read.
    #[must_use]
    pub fn read(codec: Codec, units: &[u8]) -> Option<Sequence> {
        let mut bits = Bits::new(sequence_parameters(codec, units)?);
        match codec {
            Codec::H264 => h264(&mut bits),
            Codec::H265 => h265(&mut bits),
            _ => None,
        }
    }
}

fn h264(bits: &mut Bits<'_>) -> Option<Sequence> {
    bits.skip(8)?;
    let profile = bits.number(8)?;
    bits.skip(16)?;
    let _id = bits.unsigned()?;
    // All others have samples of 8 bits, and colours for every fourth.
    if ![100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        return Some(Sequence {
            chroma: 1,
            depth: 8,
            count: h264_count(bits, false),
        });
    }
    let (chroma, has_planes) = colours(bits)?;
    let depth = bits.unsigned()?.checked_add(8)?;
    let lists = if chroma == 3 { 12 } else { 8 };
    let count = h264_scaling(bits, lists).and_then(|()| h264_count(bits, has_planes));
    Some(Sequence {
        chroma,
        depth,
        count,
    })
}

/// Passes over what stands between the bits of samples and the count of pictures where that is not all.
fn h264_scaling(bits: &mut Bits<'_>, lists: u32) -> Option<()> {
    let _depth_of_colours = bits.unsigned()?;
    bits.skip(1)?;
    if !bits.flag()? {
        return Some(());
    }
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.signed()?) & 0xff;
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

fn h264_count(bits: &mut Bits<'_>, has_planes: bool) -> Option<Count> {
    let frame_bits = bits_of_count(bits)?;
    let count = match bits.unsigned()? {
        0 => Some(bits_of_count(bits)?),
        2 => None,
        // A cycle of its own.
        _ => return None,
    };
    let _references = bits.unsigned()?;
    bits.skip(1)?;
    let (_width, _height) = (bits.unsigned()?, bits.unsigned()?);
    Some(Count {
        bits: count,
        frame_bits,
        has_fields: !bits.flag()?,
        has_planes,
    })
}

fn h265(bits: &mut Bits<'_>) -> Option<Sequence> {
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
    let _id = bits.unsigned()?;
    let (chroma, has_planes) = colours(bits)?;
    let (_width, _height) = (bits.unsigned()?, bits.unsigned()?);
    if bits.flag()? {
        for _ in 0..4 {
            bits.unsigned()?;
        }
    }
    let depth = bits.unsigned()?.checked_add(8)?;
    let _depth_of_colours = bits.unsigned();
    let count = bits_of_count(bits).map(|count| Count {
        bits: Some(count),
        frame_bits: 0,
        has_fields: false,
        has_planes,
    });
    Some(Sequence {
        chroma,
        depth,
        count,
    })
}

/// How many bits a count has that begins anew.
fn bits_of_count(bits: &mut Bits<'_>) -> Option<u32> {
    let more = bits.unsigned()?;
    (more <= 12).then_some(more + 4)
}

/// How many samples of colour there are, and whether each colour is a picture of its own.
fn colours(bits: &mut Bits<'_>) -> Option<(u32, bool)> {
    let chroma = bits.unsigned()?;
    let has_planes = chroma == 3 && bits.flag()?;
    Some((chroma, has_planes))
}
