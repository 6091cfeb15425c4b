//! Some segments of a stretch that follow one another on one clock, taken apart.

use crate::footage::{self, Footage, Picture};
use crate::mpegts::demux::Unit;
use crate::mpegts::mux::Muxer;
use crate::mpegts::tables::{Codec, Program, Stream};
use crate::mpegts::time::{TICKS_A_SECOND, ticks};
use crate::mpegts::video;

use super::super::WANTED_FROM;
use super::plan;

/// Segments whose times are further apart than their starts by more than that are of two clocks,
/// in ticks.
const MAX_JUMP: i64 = TICKS_A_SECOND / 2;

/// How long a picture is shown if there is only one, in ticks.
const USUAL_FRAME: i64 = TICKS_A_SECOND / 50;

/// An instant before all others.
const NEVER: i64 = i64::MIN;

/// Segments taken apart, of which pictures and sound are taken.
#[derive(Debug)]
pub(super) struct Reel {
    /// In order of time.
    pub(super) footages: Vec<Footage>,
    /// Of all of them, in the order of decoding.
    pub(super) pictures: Vec<Picture>,
    /// Which of `footages` each picture is in.
    pub(super) places: Vec<usize>,
    /// How many of `footages` are there only since pictures of others need theirs, and how many
    /// pictures these have.
    pub(super) context: (usize, usize),
}

/// Why a segment is not put to the others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// It has another clock.
    Clock,
    /// It has other streams.
    Streams,
}

/// Pictures to be coded anew.
#[derive(Debug)]
pub(super) struct Order {
    /// How they are coded.
    pub(super) codec: Codec,
    /// A stream of nothing but them, the first at [`WANTED_FROM`], and those that they need.
    pub(super) stream: Vec<u8>,
    /// When the last of them is shown in it, in ticks.
    pub(super) last: i64,
    /// How many they are.
    pub(super) count: usize,
    /// The profile and level of H.264.
    pub(super) profile: Option<(u8, u8)>,
}

/// What becomes of the pictures of a reel.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// To be coded anew and shown first.
    pub(super) head: Vec<usize>,
    /// Copied, in the order of decoding.
    pub(super) copy: Vec<usize>,
    /// To be coded anew and shown last.
    pub(super) tail: Vec<usize>,
}

impl Choice {
    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        let parts = [&self.head, &self.copy, &self.tail];
        parts.into_iter().flatten().copied()
    }
}

impl Reel {
    pub(super) fn new(first: Footage) -> Reel {
        let pictures = first.pictures();
        Reel {
            places: vec![0; pictures.len()],
            pictures,
            footages: vec![first],
            context: (0, 0),
        }
    }

    /// The stream of pictures; without any, that of sound.
    pub(super) fn main(&self) -> Stream {
        let mut streams = self.footages.iter().map(|footage| footage.main);
        let pictures = streams.find(|main| main.codec.is_video());
        pictures.unwrap_or(self.footages[0].main)
    }

    /// How it is coded.
    pub(super) fn codec(&self) -> Codec {
        self.main().codec
    }

    pub(super) fn program(&self) -> &Program {
        &self.footages[0].media.program
    }

    /// All pictures, in the order of decoding.
    pub(super) fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// How many segments there are.
    pub(super) fn len(&self) -> usize {
        self.footages.len()
    }

    /// Which segment a picture is in.
    pub(super) fn place(&self, picture: usize) -> usize {
        self.places[picture]
    }

    /// Adds the segment that follows.
    pub(super) fn push(&mut self, mut next: Footage) -> Result<(), Other> {
        joins_after(self.last(), &mut next)?;
        let pictures = next.pictures();
        let places = std::iter::repeat_n(self.footages.len(), pictures.len());
        self.places.extend(places);
        self.pictures.extend(pictures);
        self.footages.push(next);
        Ok(())
    }

    /// Adds the segment before, of which only what others need is used.
    pub(super) fn push_before(&mut self, mut before: Footage) -> Result<(), Other> {
        let first = &self.footages[0];
        let apart = first.instant(first.shown) - before.instant(before.shown);
        let expected = first.shown - ticks(apart);
        let program = &first.media.program;
        joins(program, &mut before, expected)?;
        let mut pictures = before.pictures();
        for picture in &mut pictures {
            picture.instant = NEVER;
        }
        self.context.0 += 1;
        self.context.1 += pictures.len();
        for place in &mut self.places {
            *place += 1;
        }
        let places = std::iter::repeat_n(0, pictures.len());
        self.places.splice(..0, places);
        self.pictures.splice(..0, pictures);
        self.footages.insert(0, before);
        Ok(())
    }

    /// Adds the segment after the last one, of which only sound is used.
    pub(super) fn push_after(&mut self, mut after: Footage) -> Result<(), Other> {
        joins_after(self.last(), &mut after)?;
        self.footages.push(after);
        Ok(())
    }

    /// The first segment that is more than what others need.
    pub(super) fn first(&self) -> &Footage {
        &self.footages[self.context.0]
    }

    pub(super) fn last(&self) -> &Footage {
        &self.footages[self.footages.len() - 1]
    }

    /// How long a picture is shown, in ticks.
    fn frame(&self) -> i64 {
        let mut shown: Vec<i64> = self.pictures.iter().map(|picture| picture.pts).collect();
        shown.sort_unstable();
        let mut steps: Vec<i64> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.retain(|step| *step > 0);
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(USUAL_FRAME)
    }

    /// What an encoder needs to code pictures anew; `None` if what they need is not there.
    pub(super) fn order(&self, encode: &[usize]) -> Option<Order> {
        let begin = plan::decode_from(&self.pictures, encode)?;
        let end = *encode.iter().max()?;
        let pts = encode.iter().map(|at| self.pictures[*at].pts);
        let (first, last) = (pts.clone().min()?, pts.max()?);
        let shift = WANTED_FROM - first;
        let program = Program::of(self.main());
        let mut muxer = Muxer::new(program, 0);
        let parameters = self.parameters(begin);
        for at in begin..=end {
            let picture = &self.pictures[at];
            if picture.is_disposable && picture.pts < first && picture.access == video::Access::None
            {
                continue;
            }
            let mut unit = self.unit(at).clone();
            unit.pts += shift;
            unit.dts += shift;
            if at == begin && !self.has_parameters(at) {
                video::insert_parameters(self.codec(), unit.payload_mut(), &parameters);
            }
            unit.is_entry = picture.access != video::Access::None;
            muxer.add(&unit);
        }
        Some(Order {
            codec: self.codec(),
            stream: muxer.packets(),
            last: last + shift,
            count: encode.len(),
            profile: video::h264_profile(&parameters),
        })
    }

    pub(super) fn unit(&self, picture: usize) -> &Unit {
        &self.footages[self.places[picture]].media.units[self.pictures[picture].unit]
    }

    pub(super) fn has_parameters(&self, picture: usize) -> bool {
        footage::has_parameters(self.unit(picture))
    }

    /// What decoders have to know at a picture: what was last said up to it, or first after it.
    pub(super) fn parameters(&self, picture: usize) -> Vec<u8> {
        let before = (0..=picture).rev();
        let numbers = before.chain(picture + 1..self.pictures.len());
        footage::parameters(numbers.map(|at| self.unit(at)))
    }

    /// Chooses pictures: those that `is_wanted`, of which all from the first on are copied if
    /// `begins` is false (the stretch began before).
    ///
    /// `None` if more segments may tell more: no key picture was found to begin with.
    pub(super) fn choose(&self, begins: Option<i64>, until: i64, is_all: bool) -> Option<Choice> {
        let from = begins.unwrap_or(NEVER + 1);
        let is_in = |picture: &Picture| picture.instant >= from && picture.instant < until;
        let mut choice = Choice::default();
        let mut left_out = Vec::new();
        let first = if begins.is_some() {
            let head = plan::head(self.codec(), &self.pictures, |picture| {
                picture.instant >= from
            });
            match head {
                Some(head) => {
                    choice.head = head.encode;
                    left_out = head.left_out;
                    head.copy_from
                }
                None if is_all => {
                    let mut encode: Vec<usize> = (0..self.pictures.len()).collect();
                    encode.retain(|at| self.pictures[*at].instant >= from);
                    encode.sort_by_key(|at| self.pictures[*at].pts);
                    choice.head = encode;
                    self.pictures.len()
                }
                None => return None,
            }
        } else {
            self.context.1
        };
        choice.head.retain(|at| is_in(&self.pictures[*at]));
        let tail = plan::tail(&self.pictures, first, |picture| picture.instant < until);
        choice.copy = (first..tail.copy_until.max(first))
            .filter(|at| !left_out.contains(at))
            .collect();
        choice.tail = tail.encode;
        choice.tail.retain(|at| !left_out.contains(at));
        // What leads a key picture may be shown before the end, and the key not.
        if choice.copy.is_empty() && !choice.tail.is_empty() {
            choice.head.append(&mut choice.tail);
            choice.head.sort_by_key(|at| self.pictures[*at].pts);
        }
        Some(choice)
    }

    /// True iff all that a choice needs to be coded anew is there.
    pub(super) fn can_decode(&self, choice: &Choice) -> bool {
        let parts = [&choice.head, &choice.tail];
        let mut parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.all(|part| plan::decode_from(&self.pictures, part).is_some())
    }

    /// Takes pictures out of a choice that need others which are not there: nobody could show them.
    pub(super) fn leave_out_what_cannot_be_decoded(&self, choice: &mut Choice) {
        for part in [&mut choice.head, &mut choice.tail] {
            if part.is_empty() || plan::decode_from(&self.pictures, part).is_some() {
                continue;
            }
            let mut pictures = self.pictures.iter();
            let key = pictures.position(|picture| picture.access != video::Access::None);
            let can_decode = |at: &usize| {
                key.is_some_and(|key| {
                    *at >= key && self.pictures[*at].pts >= self.pictures[key].pts
                })
            };
            part.retain(can_decode);
        }
    }

    /// When the first picture of a choice is shown, and when the last one is shown no more. The
    /// end is none where the stretch goes on after this reel.
    pub(super) fn span(&self, choice: &Choice) -> Option<(i64, i64)> {
        let shown = choice.all().map(|at| self.pictures[at].pts);
        let shown: Vec<i64> = shown.collect();
        let (first, last) = (*shown.iter().min()?, *shown.iter().max()?);
        let later = self.pictures.iter().map(|picture| picture.pts);
        let next = later.filter(|pts| *pts > last).min();
        let usual = last + self.frame();
        Some((
            first,
            next.map_or(usual, |next| next.min(usual + self.frame())),
        ))
    }
}

/// Puts `next` on the clock of the segment before it, if it is of the same.
fn joins_after(last: &Footage, next: &mut Footage) -> Result<(), Other> {
    let apart = next.instant(next.shown) - last.instant(last.shown);
    joins(&last.media.program, next, last.shown + ticks(apart))
}

/// Puts a segment on a clock on which it begins at about `expected`, if it is of that clock.
fn joins(program: &Program, other: &mut Footage, expected: i64) -> Result<(), Other> {
    let theirs = &other.media.program;
    if theirs.streams != program.streams || theirs.pcr_pid != program.pcr_pid {
        return Err(Other::Streams);
    }
    other.follow(expected);
    if (other.shown - expected).abs() > MAX_JUMP {
        return Err(Other::Clock);
    }
    Ok(())
}
