//! Where a segment's own times are on the line of time of what is coded anew.

use crate::footage::Footage;
use crate::mpegts::demux::Unit;
use crate::mpegts::time::{TICKS_A_SECOND, ticks, unwrap_near, wrap};
use crate::mpegts::video::{self, Access};

/// Segments whose times are further from where their starts are by more than that are on another clock.
const MAX_DRIFT: i64 = TICKS_A_SECOND / 2;

/// Where a segment's stretch is on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// In microseconds since 1970.
    pub(super) from: i64,
    /// The time of that instant, in ticks.
    pub(super) base: i64,
    /// What is added to the times of its first segment, and how much of that comes before its key picture.
    pub(super) first: Option<(i64, i64)>,
}

impl Placed {
    /// What is to be added to a segment's times, in ticks.
    pub(super) fn shift(self, footage: &Footage) -> i64 {
        let shift = self.base + ticks(footage.start() - self.from) - footage.shown;
        let Some((clock, lead)) = self.first else {
            return shift;
        };
        // Playlists count from key picture to key picture, or from what is shown first. Which it is says
        // the clock, as long as it goes on; it begins anew after 26.5 hours.
        let by_key = shift + lead - lead_of(footage);
        let drift = |shift| unwrap_near(wrap(shift - clock), 0).abs();
        match drift(by_key) < drift(shift).min(MAX_DRIFT) {
            true => by_key,
            false => shift,
        }
    }
}

/// For how long pictures are shown that come after the key picture with which a segment begins, but are
/// shown before it, in ticks.
pub(super) fn lead_of(footage: &Footage) -> i64 {
    let first = footage.media.of(footage.main.pid).next();
    let is_key = |unit: &&Unit| {
        unit.codec.is_video()
            && video::look(unit.codec, unit.payload(), unit.is_entry).access != Access::None
    };
    first
        .filter(is_key)
        .map_or(0, |key| key.pts - footage.shown)
}
