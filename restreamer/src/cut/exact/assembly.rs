//! The pictures and the sound of a reel that are taken, in the order in which they are sent.

use std::ops::Range;

use crate::mpegts::demux::Unit;
use crate::mpegts::mux::Muxer;
use crate::mpegts::retime::{Place, Start};
use crate::mpegts::video;

use super::reel::{Choice, Reel};
use super::sound::clip;

/// Which ends of a stretch are in a reel, and its instants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edges {
    pub(super) begins: bool,
    pub(super) ends: bool,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// A unit of a cut, in its place.
#[derive(Debug)]
pub(super) enum Slot {
    /// As it was.
    Copied(Unit),
    /// The next picture that is coded anew is to be put into it.
    Anew(Unit),
}

impl Slot {
    fn unit(&self) -> &Unit {
        match self {
            Slot::Copied(unit) | Slot::Anew(unit) => unit,
        }
    }
}

/// Segments' edges, as they are to be put together.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Where they begin; `None` if there is nothing in them.
    pub(super) start: Option<Start>,
    /// The same, and when that is.
    pub(super) place: Option<Place>,
    /// In the order of decoding. Pictures that are coded anew come in the order in which they are
    /// shown.
    pub(super) slots: Vec<Slot>,
    /// Puts them together.
    pub(super) muxer: Muxer,
}

impl Reel {
    /// Puts the chosen pictures of some segments and the sound that goes with them in order.
    pub(super) fn assemble(
        &self,
        choice: &Choice,
        edges: Edges,
        footages: Range<usize>,
    ) -> Assembly {
        let (from, until) = self.sound_span(choice, edges);
        let units = self.copied(choice, edges.begins);
        let delay = units.first().map_or(0, |first| first.pts - first.dts);
        let places = choice.copy.iter().map(|at| self.places[*at]);
        let units = places
            .zip(units)
            .filter(|(place, _)| footages.contains(place));
        let mut slots: Vec<Slot> = units.map(|(_, unit)| Slot::Copied(unit)).collect();
        let last_copied = slots.iter().map(|slot| slot.unit().dts).max();
        slots.extend(self.coded_anew(&choice.head, delay, None));
        slots.extend(self.coded_anew(&choice.tail, delay, last_copied));
        let shown = slots.iter().map(|slot| slot.unit().pts).min();
        let main = self.main();
        // What is there for its pictures only was heard before, if the stretch began before.
        let others = footages
            .clone()
            .filter(|place| edges.begins || *place >= self.context.0);
        let others = others.flat_map(|place| &self.footages[place].media.units);
        let others = others.filter(|unit| unit.pid != main.pid || !main.codec.is_video());
        let others = others.filter_map(|unit| clip(unit, from, until));
        slots.extend(others.map(Slot::Copied));
        let streams = self.program().streams.iter().filter(|stream| {
            let mut units = slots.iter().map(Slot::unit);
            stream.codec.is_audio() && units.all(|unit| unit.pid != stream.pid)
        });
        let nearest = streams.filter_map(|stream| self.nearest_sound(stream.pid, from, until));
        let nearest: Vec<Slot> = nearest.map(Slot::Copied).collect();
        slots.extend(nearest);
        slots.sort_by_key(|slot| slot.unit().dts);
        let lead = self.footages.iter().map(|footage| footage.media.lead).min();
        let lead = lead.unwrap_or(0);
        let first = slots.first().map(Slot::unit);
        let heard = first.map(|unit| unit.pts);
        let shown = match self.first().lacks_pictures() {
            true => heard,
            false => shown.or(heard),
        };
        let lowest = first.map(|unit| unit.dts);
        let place = |shown| Place {
            shown,
            instant: self.first().instant(shown),
        };
        Assembly {
            place: shown.map(place),
            start: shown.zip(lowest).map(|(shown, lowest)| Start {
                shown,
                lowest,
                lead,
            }),
            slots,
            muxer: Muxer::new(self.program().clone(), lead),
        }
    }

    /// The pictures to copy. If the stretch begins here, the first has to be one with which decoders
    /// can begin.
    fn copied(&self, choice: &Choice, begins: bool) -> Vec<Unit> {
        let is_after_anew = !choice.head.is_empty();
        let copy = choice.copy.iter().enumerate();
        let units = copy.map(|(number, at)| {
            let mut unit = self.unit(*at).clone();
            unit.is_entry = self.pictures[*at].access != video::Access::None;
            if begins && number == 0 && unit.is_entry {
                if !self.has_parameters(*at) {
                    let parameters = self.parameters(*at);
                    video::insert_parameters(self.codec(), unit.payload_mut(), &parameters);
                }
                if is_after_anew || self.pictures[*at].access == video::Access::Open {
                    video::begin_anew(self.codec(), unit.payload_mut());
                }
            }
            unit
        });
        units.collect()
    }

    /// Places of pictures that are coded anew, decoded in the order shown, `delay` before they are
    /// shown and after `last`.
    fn coded_anew<'a>(
        &'a self,
        numbers: &'a [usize],
        delay: i64,
        mut last: Option<i64>,
    ) -> impl Iterator<Item = Slot> + 'a {
        let main = self.main();
        numbers.iter().enumerate().map(move |(number, at)| {
            let like = self.unit(*at);
            let after = last.map_or(i64::MIN, |last| last + 1);
            let dts = (like.pts - delay).max(after).min(like.pts);
            last = last.map(|_| dts);
            let (id, nothing) = (like.stream_id, Vec::new());
            let mut unit = Unit::new(main.pid, main.codec, id, like.pts, dts, nothing);
            unit.is_entry = number == 0;
            Slot::Anew(unit)
        })
    }
}
