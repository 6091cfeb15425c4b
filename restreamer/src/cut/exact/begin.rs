//! Reads the segments at a stretch's edges until it is known what to copy from where.

use std::ops::Range;

use crate::footage::Footage;
use crate::mpegts::tables::Codec;
use crate::mpegts::video::Access;
use crate::mpegts::{Problem, packed};
use crate::routes::segments::content_type;

use super::super::stretch::{Source, Stretch};
use super::ExactError;
use super::assembly::{Assembly, Edges};
use super::reel::{Choice, Order, Reel};

/// So many segments, and so many bytes of them, are looked at for a key picture to begin with.
/// Where there is none, all has to be coded anew, which ffmpeg does better from one end to the
/// other.
const MAX_SEGMENTS: usize = 12;
const MAX_BYTES: u64 = 128 << 20;

/// The segments at an edge, and what becomes of their pictures.
pub(super) struct Begun {
    reel: Reel,
    choice: Choice,
    edges: Edges,
    /// Those of the reel's segments that are put together.
    footages: Range<usize>,
    /// The first segment of the stretch that is not among them.
    pub(super) next: usize,
}

impl Begun {
    /// What encoders need for the pictures at the start and at the end that are to be coded anew.
    pub(super) fn orders(&self) -> [Option<Order>; 2] {
        [&self.choice.head, &self.choice.tail].map(|encode| self.reel.order(encode))
    }

    /// Puts all in order.
    pub(super) fn assemble(&self) -> Assembly {
        let footages = self.footages.clone();
        self.reel.assemble(&self.choice, self.edges, footages)
    }
}

/// Reads from the start on until a key picture to copy from is found, or all is read.
pub(super) fn begin(stretch: &Stretch) -> Result<Begun, ExactError> {
    let sources = &stretch.sources;
    let mut bytes = 0;
    let mut load = |source| load(source, &mut bytes);
    let mut reel = Reel::new(load(&sources[0])?);
    let mut edges = Edges {
        begins: true,
        ends: false,
        from: stretch.from.timestamp_micros(),
        until: stretch.until.timestamp_micros(),
    };
    let mut next = 1;
    let mut is_all = sources.len() == 1;
    let choose = |reel: &Reel, is_all| reel.choose(Some(edges.from), edges.until, is_all);
    let mut choice = loop {
        supported(&reel, &sources[0])?;
        // Of sound alone there is nothing to choose; nor where pictures are announced that do not come.
        let is_sound = reel.program().video().is_none();
        if is_sound || reel.pictures().is_empty() && next == MAX_SEGMENTS {
            break Choice::default();
        }
        if let Some(choice) = choose(&reel, is_all) {
            break choice;
        }
        if next == MAX_SEGMENTS {
            return Err(unsupported(
                &sources[0],
                "no closed group of pictures begins for long",
            ));
        }
        match reel.push(load(&sources[next])?) {
            Ok(()) => next += 1,
            // What comes after it cannot need anything of it.
            Err(_) => is_all = true,
        }
        is_all |= next == sources.len();
    };
    for source in stretch.before.iter().rev() {
        if reel.can_decode(&choice) {
            break;
        }
        if reel.push_before(load(source)?).is_err() {
            break;
        }
        if let Some(again) = choose(&reel, is_all) {
            choice = again;
        }
    }
    let count = choice.head.len() + choice.tail.len();
    reel.leave_out_what_cannot_be_decoded(&mut choice);
    let lost = count - choice.head.len() - choice.tail.len();
    if lost > 0 {
        tracing::warn!(file = %sources[0].path.display(), pictures = lost,
            "left out of a cut: the pictures that they need are not there");
    }
    // A segment that begins with what is copied first is copied as it is.
    let before = reel.len() - next;
    let mut footages = 0..reel.len();
    let last = reel.len() - 1;
    let is_whole = || reel.is_whole(&choice, last) && !reel.has_sound_before(&choice, last);
    if next < sources.len() && next > 1 && is_whole() {
        footages.end -= 1;
        next -= 1;
    }
    edges.ends = next == sources.len();
    let (lacks_first, lacks_last) = reel.lacks_sound(&choice, edges);
    if lacks_first
        && before == 0
        && let Some(source) = stretch.before.last()
        && let Ok(footage) = load(source)
        && reel.push_before(footage).is_ok()
    {
        footages.end += 1;
        if let Some(again) = choose(&reel, is_all) {
            choice = again;
        }
        reel.leave_out_what_cannot_be_decoded(&mut choice);
    }
    if lacks_last && let Some(source) = &stretch.after {
        add_sound(&mut reel, &mut footages, load(source));
    }
    Ok(Begun {
        reel,
        choice,
        edges,
        footages,
        next,
    })
}

/// Reads the last segment, and those before it that its last pictures need.
pub(super) fn end(stretch: &Stretch) -> Result<Begun, ExactError> {
    let mut bytes = 0;
    let mut load = |source| load(source, &mut bytes);
    let (last, before) = match stretch.sources.split_last() {
        Some(parts) => parts,
        None => unreachable!("a stretch has at least one segment"),
    };
    let mut reel = Reel::new(load(last)?);
    supported(&reel, last)?;
    let edges = Edges {
        begins: false,
        ends: true,
        from: stretch.from.timestamp_micros(),
        until: stretch.until.timestamp_micros(),
    };
    let choose = |reel: &Reel| {
        let choice = reel.choose(None, edges.until, true);
        choice.unwrap_or_default()
    };
    let mut choice = choose(&reel);
    let mut first = 0;
    for source in before.iter().rev().take(MAX_SEGMENTS) {
        if reel.can_decode(&choice) {
            break;
        }
        if reel.push_before(load(source)?).is_err() {
            break;
        }
        first += 1;
        choice = choose(&reel);
    }
    reel.leave_out_what_cannot_be_decoded(&mut choice);
    let mut footages = first..reel.len();
    if reel.lacks_sound(&choice, edges).1
        && let Some(source) = &stretch.after
    {
        add_sound(&mut reel, &mut footages, load(source));
    }
    Ok(Begun {
        reel,
        choice,
        edges,
        footages,
        next: stretch.sources.len(),
    })
}

/// Adds a segment for its sound. If it cannot be read, its sound is all that is missing.
fn add_sound(reel: &mut Reel, footages: &mut Range<usize>, after: Result<Footage, ExactError>) {
    if let Ok(after) = after
        && reel.push_after(after).is_ok()
    {
        footages.end += 1;
    }
}

fn load(source: &Source, bytes: &mut u64) -> Result<Footage, ExactError> {
    let read = |error| ExactError::Read {
        file: source.path.clone(),
        error,
    };
    *bytes += std::fs::metadata(&source.path).map_err(read)?.len();
    if *bytes > MAX_BYTES {
        return Err(unsupported(
            source,
            "the segments at its edge are too large",
        ));
    }
    let content = std::fs::read(&source.path).map_err(read)?;
    let is_mp4 = content.first_chunk().is_some_and(content_type::is_mp4);
    if is_mp4 || packed::codec(&content).is_some() {
        return Err(unsupported(source, "it is not MPEG-TS"));
    }
    let apart = source.take_apart(content).map(|(_, footage)| footage);
    apart.map_err(|error| match error.problem {
        Problem::NoTime(_) => unsupported(source, "a picture has no time of its own"),
        _ => ExactError::Damaged {
            file: source.path.clone(),
            error,
        },
    })
}

fn supported(reel: &Reel, source: &Source) -> Result<(), ExactError> {
    match reel.codec() {
        Codec::OtherVideo => Err(unsupported(
            source,
            "its pictures are neither H.264 nor H.265",
        )),
        _ => Ok(()),
    }
}

fn unsupported(source: &Source, why: &'static str) -> ExactError {
    ExactError::Unsupported {
        file: source.path.clone(),
        why,
    }
}

impl Reel {
    /// True iff a segment is copied as it is: with its first picture, a closed key, and all others.
    fn is_whole(&self, choice: &Choice, footage: usize) -> bool {
        let pictures = self.pictures().iter().enumerate();
        let mut pictures = pictures.filter(|(at, _)| self.place(*at) == footage);
        let mut copied = choice.copy.iter().filter(|at| self.place(**at) == footage);
        let mut firsts = choice.copy.iter();
        let is_first = firsts
            .next()
            .is_some_and(|first| self.place(*first) == footage);
        let begins = pictures.next().is_some_and(|(at, first)| {
            first.access == Access::Closed && copied.next() == Some(&at)
        });
        let is_complete = copied.count() == pictures.count();
        // Something has to be before it, or the stretch would begin without its clock.
        is_first && begins && is_complete && !choice.head.is_empty() && choice.tail.is_empty()
    }
}
