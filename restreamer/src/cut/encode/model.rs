//! How a segment is coded, and encoders that make what decoders of it take without being set up anew.

use super::pixels::pixels;
use crate::cut::exact::{level_name, profile_name};
use crate::footage::Footage;
use crate::mpegts::tables::{Codec, Program, Stream};
use crate::mpegts::video;

/// What nearly all pictures are made of.
const USUAL_PIXELS: &str = "yuv420p|yuvj420p";

/// How a segment is coded, as far as what is made anew should be like it.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(super) program: Program,
    codec: Codec,
    /// Profile and level, of H.264.
    profile: Option<(u8, u8)>,
    /// By ffmpeg's names, of which it takes one.
    pixels: Option<&'static str>,
    /// Arguments for sound like its own, if there are any.
    sound: Option<&'static str>,
}

impl Model {
    pub(super) fn of(footage: &Footage) -> Model {
        let codec = footage.main.codec;
        let mut units = footage.media.of(footage.main.pid);
        let parameters = units
            .by_ref()
            .map(|unit| video::parameters(codec, unit.payload()))
            .find(|parameters| !parameters.is_empty());
        let parameters = parameters.unwrap_or_default();
        let profile = (codec == Codec::H264).then(|| video::h264_profile(&parameters));
        Model {
            program: footage.media.program.clone(),
            codec,
            profile: profile.flatten(),
            pixels: pixels(codec, &parameters),
            sound: sound(footage),
        }
    }

    /// Its first stream of sound.
    pub(super) fn sound(&self) -> Option<Stream> {
        self.program.sound()
    }

    /// True iff its sound, if it has any, can be made.
    pub(super) fn knows_sound(&self) -> bool {
        self.sound.is_some()
    }

    /// Takes the streams of another for its own, and its sound.
    pub(super) fn sounds_like(&mut self, other: Model) {
        self.program = other.program;
        self.sound = other.sound;
    }
}

/// What pictures like a model's are made of.
pub(super) fn pixels_alike(model: Option<&Model>) -> &'static str {
    model.and_then(|model| model.pixels).unwrap_or(USUAL_PIXELS)
}

/// Encoders for what is like a model, and made of its pixels already. Pictures come in the order in which
/// they are decoded, and sound keeps its rate and channels.
pub(super) fn alike(model: Option<&Model>) -> (String, &'static str) {
    let video = match model.map(|model| model.codec) {
        Some(Codec::H265) => "-c:v libx265 -preset ultrafast -crf 18 -x265-params \
             log-level=error:bframes=0:open-gop=0:repeat-headers=1"
            .to_owned(),
        _ => {
            let profile = model.and_then(|model| model.profile);
            let profile = profile.map_or_else(String::new, h264_arguments);
            format!("-c:v libx264 -preset veryfast -crf 18 -bf 0 {profile}")
        }
    };
    let audio = model.and_then(|model| model.sound);
    (video, audio.unwrap_or(AAC))
}

/// Options of libx264 for a profile and a level.
fn h264_arguments((profile, level): (u8, u8)) -> String {
    let mut text = String::new();
    if let Some(name) = profile_name(profile) {
        text.push_str(&format!("-profile:v {name} "));
    }
    if let Some(name) = level_name(level) {
        text.push_str(&format!("-level:v {name} "));
    }
    text
}

const AAC: &str = "-c:a aac -b:a 160k";

/// Arguments for sound like a segment's. Of what the table of streams does not tell, its first bytes do.
fn sound(footage: &Footage) -> Option<&'static str> {
    let stream = footage.media.program.sound()?;
    let first = footage.media.of(stream.pid).next();
    let first = first.map_or(&[][..], |unit| unit.payload());
    match (stream.codec, first) {
        (Codec::Adts, _) => Some(AAC),
        (Codec::Ac3, _) => Some("-c:a ac3 -b:a 192k"),
        // Layer III.
        (Codec::MpegAudio, [0xff, head, ..]) if head & 0x06 == 0x02 => {
            Some("-c:a libmp3lame -b:a 192k")
        }
        (Codec::MpegAudio, _) => Some("-c:a mp2 -b:a 192k"),
        // ETSI TS 102 366 annex E.
        (Codec::OtherAudio, [0x0b, 0x77, ..]) => Some("-c:a eac3 -b:a 192k"),
        // A control header of Opus in MPEG-TS.
        (Codec::OtherAudio, [0x7f, second, ..]) if second & 0xe0 == 0xe0 => {
            Some("-c:a libopus -b:a 128k")
        }
        _ => None,
    }
}
