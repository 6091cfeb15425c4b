//! A segment taken apart, with the instants at which its pictures appear (SPEC §4): its first
//! picture, in the order shown, appears at the segment's start.

use chrono::{DateTime, Utc};

use crate::mpegts::TsError;
use crate::mpegts::demux::{Damage, Media, Unit, demux};
use crate::mpegts::tables::Stream;
use crate::mpegts::time::{micros, ticks, unwrap_near, wrap};
use crate::mpegts::video::{self, Access};

/// A segment, taken apart.
#[derive(Debug, Clone)]
pub struct Footage {
    /// What is in it.
    pub media: Media,
    /// The stream of pictures; without any, that of sound.
    pub main: Stream,
    /// When its first picture is shown, in ticks; without pictures, when its first sound is heard.
    pub shown: i64,
    /// The same, in microseconds since 1970.
    start: i64,
}

/// A picture of a segment, as it is needed to choose among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// Which of the segment's units it is.
    pub unit: usize,
    /// When it is shown, in ticks.
    pub pts: i64,
    /// When it is decoded, in ticks.
    pub dts: i64,
    /// When it is shown, in microseconds since 1970.
    pub instant: i64,
    /// Whether decoding may begin with it.
    pub access: Access,
    /// True iff no other needs it.
    pub is_disposable: bool,
}

/// True iff a coded picture says what decoders have to know before anything else.
#[must_use]
pub fn has_parameters(picture: &Unit) -> bool {
    video::look(picture.codec, picture.payload(), picture.is_entry).has_parameters
}

/// What the first of these pictures says of it that says anything.
#[must_use]
pub fn parameters<'a>(pictures: impl IntoIterator<Item = &'a Unit>) -> Vec<u8> {
    let found = pictures.into_iter().find(|picture| has_parameters(picture));
    found.map_or_else(Vec::new, |picture| {
        video::parameters(picture.codec, picture.payload())
    })
}

impl Footage {
    /// Takes a segment apart that begins at `start`.
    ///
    /// # Errors
    /// As [`demux`].
    pub fn read(bytes: &[u8], start: DateTime<Utc>, damage: Damage) -> Result<Footage, TsError> {
        let media = demux(bytes, damage)?;
        // An encoder that falters may announce pictures and have sound alone for a while.
        let announced = [media.program.video(), media.program.sound()];
        let mut found = announced.into_iter().flatten().filter_map(|main| {
            let shown = media.of(main.pid).map(|unit| unit.pts).min()?;
            Some((main, shown))
        });
        let (main, shown) = found.next().ok_or(TsError {
            offset: bytes.len(),
            problem: crate::mpegts::Problem::NoProgram,
        })?;
        Ok(Footage {
            main,
            shown,
            media,
            start: start.timestamp_micros(),
        })
    }

    /// True iff pictures are announced and none is there.
    #[must_use]
    pub fn lacks_pictures(&self) -> bool {
        self.media.program.video().is_some() && !self.main.codec.is_video()
    }

    /// When its first picture is shown, in microseconds since 1970.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start
    }

    /// When what has this time is shown, in microseconds since 1970.
    #[must_use]
    pub fn instant(&self, pts: i64) -> i64 {
        self.start + micros(pts - self.shown)
    }

    /// The time that what is shown at this instant would have, to the nearest tick.
    #[must_use]
    pub fn pts(&self, instant: i64) -> i64 {
        self.shown + ticks(instant - self.start)
    }

    /// Its pictures, in the order of decoding; none if it has only sound.
    #[must_use]
    pub fn pictures(&self) -> Vec<Picture> {
        if !self.main.codec.is_video() {
            return Vec::new();
        }
        let units = self.media.units.iter().enumerate();
        let units = units.filter(|(_, unit)| unit.pid == self.main.pid);
        let pictures = units.map(|(number, unit)| {
            let seen = video::look(self.main.codec, unit.payload(), unit.is_entry);
            Picture {
                unit: number,
                pts: unit.pts,
                dts: unit.dts,
                instant: self.instant(unit.pts),
                access: seen.access,
                is_disposable: seen.is_disposable,
            }
        });
        pictures.collect()
    }

    /// Puts its times on the clock of what was shown at `pts` before, if they are of one clock:
    /// the difference modulo 2^33 is taken for the smallest that it can be.
    pub fn follow(&mut self, pts: i64) {
        let shift = unwrap_near(wrap(self.shown), pts) - self.shown;
        self.media.shift(shift);
        self.shown += shift;
    }
}
