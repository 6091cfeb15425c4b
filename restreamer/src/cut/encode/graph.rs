//! The filters that cut scenes out of one line of time, join and cross-fade them. Pure: numbers
//! and names of transitions become text, nothing else.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use chrono::TimeDelta;

use crate::ffmpeg::Transition;
use crate::mpegts::time::{TICKS_A_SECOND, micros, ticks};

/// Some of what comes in: pictures shown from `start` on, up to `last`, in ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scene {
    /// When the first picture is shown.
    pub(super) start: i64,
    /// When the last one is.
    pub(super) last: i64,
    /// When that is not shown any more.
    pub(super) end: i64,
    /// How long a picture is shown where it begins, and where it ends.
    pub(super) frames: [Frame; 2],
    /// What comes between it and the next one.
    pub(super) join: Join,
}

impl Scene {
    fn length(&self) -> i64 {
        self.end - self.start
    }
}

/// How long a picture is shown, in thousandths of a tick: 59.94 a second are no whole ticks each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Frame(i64);

impl Frame {
    /// More pictures a second than anybody shows come of times that make no sense.
    const SHORTEST: i64 = TICKS_A_SECOND * 1000 / 240;

    /// So many ticks for so many pictures; none and none are 1/25 s.
    pub(super) fn of(ticks: i64, pictures: i64) -> Frame {
        let thousandths = (ticks * 1000).checked_div(pictures);
        let thousandths = thousandths.unwrap_or(TICKS_A_SECOND * 1000 / 25);
        Frame(thousandths.clamp(Frame::SHORTEST, TICKS_A_SECOND * 1000))
    }

    /// How long so many are shown, in ticks.
    pub(super) fn times(self, count: i64) -> i64 {
        (self.0 * count + 500) / 1000
    }

    /// How many are shown in so many ticks, to the nearest; at least one.
    fn count(self, ticks: i64) -> i64 {
        ((ticks * 1000 + self.0 / 2) / self.0).max(1)
    }

    fn half(self) -> i64 {
        self.0 / 2000
    }
}

/// What comes between two scenes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Join {
    /// Nothing.
    Hard,
    /// Both are shown for a while.
    Fade {
        /// How the one becomes the other.
        transition: Transition,
        /// For how long.
        length: TimeDelta,
    },
}

/// A time in seconds, exact to the microsecond.
fn seconds(ticks: i64) -> String {
    let micros = micros(ticks);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// What two scenes have in common: so many pictures of each, at one rate, which is the higher.
#[derive(Debug, Clone, Copy)]
struct Overlap {
    frame: Frame,
    count: i64,
    /// In ticks.
    length: i64,
}

impl Overlap {
    /// Of the first one a transition before it has taken so many ticks.
    fn between(one: &Scene, next: &Scene, taken: i64, has_video: bool) -> Option<Overlap> {
        let Join::Fade { length, .. } = &one.join else {
            return None;
        };
        let frame = one.frames[1].min(next.frames[0]);
        let length = ticks_of(*length);
        // Where an edge is between two pictures, there may be one less than it takes: none is shown twice.
        let least = (one.length() - taken).min(next.length());
        let count = frame.count(length.min(least));
        Some(Overlap {
            frame,
            count,
            length: if has_video {
                frame.times(count)
            } else {
                length
            },
        })
    }

    /// What makes a side of it: xfade takes a picture of each side in turn, waits for ever for one that
    /// does not come, and knows nothing of times. So both sides have as many, at a steady rate.
    fn steady(self) -> String {
        format!(
            "fps={}/{}:start_time=0,tpad=stop_mode=clone:stop=-1,trim=end_frame={}",
            TICKS_A_SECOND * 1000,
            self.frame.0,
            self.count
        )
    }
}

/// Where the transitions of a scene are in it, in ticks after its start.
struct Parts<'a> {
    scene: &'a Scene,
    before: Option<Overlap>,
    after: Option<Overlap>,
    /// When the first one is over.
    from: i64,
    /// When the second one begins.
    until: i64,
}

impl Parts<'_> {
    /// The parts of each scene.
    fn of(scenes: &[Scene], has_video: bool) -> Vec<Parts<'_>> {
        let mut taken = 0;
        let overlaps = scenes.windows(2).map(|pair| {
            let overlap = Overlap::between(&pair[0], &pair[1], taken, has_video);
            taken = overlap.map_or(0, |overlap| overlap.length);
            overlap
        });
        let after: Vec<Option<Overlap>> = overlaps.chain([None]).collect();
        let before = std::iter::once(None).chain(after.iter().copied());
        let scenes = scenes.iter().zip(before).zip(&after);
        let parts = scenes.map(|((scene, before), after)| {
            let from = before.map_or(0, |overlap| overlap.length);
            let until = scene.length() - after.map_or(0, |overlap| overlap.length);
            Parts {
                scene,
                before,
                after: *after,
                from,
                until: until.max(from),
            }
        });
        parts.collect()
    }

    /// With the transitions, for which there may be some pictures too few.
    fn length(&self) -> i64 {
        self.until + self.after.map_or(0, |overlap| overlap.length)
    }

    /// From when on pictures are shown so long after its start. None is just there: none is taken for
    /// another by a rounding.
    fn at(&self, after: i64, frame: Frame) -> i64 {
        match after {
            0 => self.scene.start,
            after => self.scene.start + after - frame.half(),
        }
    }

    /// Its pictures from then on and before then, with times from `zero` on.
    fn pictures(&self, from: i64, until: i64, zero: i64) -> String {
        format!(
            "trim=start_pts={from}:end_pts={until},setpts=PTS-{},settb=AVTB",
            self.scene.start + zero
        )
    }

    /// Those that the transition before it takes; at least one.
    fn first(&self, overlap: Overlap) -> String {
        let Scene { start, last, .. } = *self.scene;
        let until = self.at(self.from, self.scene.frames[0]);
        let until = until.max(start + 1).min(last + 1);
        format!("{},{}", self.pictures(start, until, 0), overlap.steady())
    }

    /// Those between its transitions; `None` if there are none.
    fn middle(&self) -> Option<String> {
        let from = self.at(self.from, self.scene.frames[0]);
        let until = match self.after {
            Some(_) => self.at(self.until, self.scene.frames[1]),
            None => self.scene.last + 1,
        };
        (self.from < self.until && from < until).then(|| self.pictures(from, until, self.from))
    }

    /// Those that the transition after it takes; at least one.
    fn last(&self, overlap: Overlap) -> String {
        let last = self.scene.last;
        let from = self.at(self.until, self.scene.frames[1]).min(last);
        let pictures = self.pictures(from, last + 1, self.until);
        format!("{pictures},{}", overlap.steady())
    }
}

/// The graph: from `[0:v:0]` and `[0:a:0]` to `[v]` and `[a]`. Pictures, if there are any, are made of
/// one of `pixels`; sound goes through a filter in the end.
pub(super) fn graph(scenes: &[Scene], pixels: Option<&str>, sound: Option<&str>) -> String {
    let parts = Parts::of(scenes, pixels.is_some());
    let mut chains = Vec::new();
    if let Some(pixels) = pixels {
        chains.push(Video::default().of(&parts, pixels));
    }
    if let Some(filter) = sound {
        chains.push(audio(&parts, filter));
    }
    chains.join(";")
}

/// A time that none has, in microseconds: later than anything that is cut.
const LATER: i64 = 1_000_000_000_000;

/// The filters for pictures, as far as they are written.
#[derive(Default)]
struct Video {
    text: String,
    /// How many streams come out of the first filter.
    sources: usize,
    /// How many pieces were joined.
    pieces: usize,
}

impl Video {
    fn of(mut self, scenes: &[Parts<'_>], pixels: &str) -> String {
        // Where the scene begins in what is made.
        let mut at = 0;
        for (number, parts) in scenes.iter().enumerate() {
            if let (Some(overlap), Some(before)) = (parts.before, number.checked_sub(1))
                && let Join::Fade { transition, .. } = &scenes[before].scene.join
            {
                self.source(&parts.first(overlap), &format!("i{number}"));
                // It knows but few kinds of pixels, and would make these of all.
                let _ = write!(
                    self.text,
                    "[o{before}][i{number}]xfade=transition={}:duration={}:offset=0,format={pixels},\
                     settb=AVTB[x{number}];",
                    transition.as_str(),
                    seconds(overlap.length),
                );
                self.join(&format!("x{number}"), at);
            }
            if let Some(middle) = parts.middle() {
                self.source(&middle, &format!("v{number}"));
                self.join(&format!("v{number}"), at + parts.from);
            }
            if let Some(overlap) = parts.after {
                self.source(&parts.last(overlap), &format!("o{number}"));
            }
            at += parts.until;
        }
        // Pictures of another size later on are made as large as the first.
        let all = format!("[0:v:0]scale,format={pixels},");
        let split = split(&all, "split", "s", self.sources);
        format!("{split}{}[j{}]null[v]", self.text, self.pieces)
    }

    /// One more stream of all pictures, of which some are taken.
    fn source(&mut self, filters: &str, name: &str) {
        let _ = write!(self.text, "[s{}]{filters}[{name}];", self.sources);
        self.sources += 1;
    }

    /// One more piece, which is shown from then on. The filter concat guesses when the piece before it
    /// ends, wrongly of one picture or of an unsteady rate: what comes later is made known by its times,
    /// and begins when it should.
    fn join(&mut self, name: &str, at: i64) {
        let (joined, next) = (self.pieces, self.pieces + 1);
        self.pieces = next;
        let _ = match joined {
            0 => write!(self.text, "[{name}]null[j1];"),
            _ => write!(
                self.text,
                "[{name}]setpts=PTS+{LATER}[l{next}];[j{joined}][l{next}]concat=n=2,settb=AVTB,\
                 setpts='if(lt(PTS,{LATER}),PTS,PTS-if(ld(0),ld(0),st(0,PTS))+{})'[j{next}];",
                micros(at)
            ),
        };
    }
}

/// acrossfade takes so much less than there is: of one sample too few it would make nothing, in ticks.
const SPARED: i64 = 4;

fn audio(scenes: &[Parts<'_>], filter: &str) -> String {
    let mut text = split("[0:a:0]", "asplit", "t", scenes.len());
    for (number, parts) in scenes.iter().enumerate() {
        let (start, length) = (parts.scene.start, parts.length());
        let (from, until) = (seconds(start), seconds(start + length));
        let length = seconds(length);
        // What is missing is silence: each scene's sound is as long as its pictures.
        let _ = write!(
            text,
            "[t{number}]atrim=start={from}:end={until},asetpts=PTS-{from}/TB,\
             aresample=async=1000:first_pts=0:flags=+res,apad=whole_dur={length},atrim=end={length}[a{number}];",
        );
    }
    let mut last = "[a0]".to_owned();
    for (number, parts) in scenes.iter().enumerate().skip(1) {
        let _ = match parts.before {
            None => write!(text, "{last}[a{number}]concat=n=2:v=0:a=1[k{number}];"),
            Some(overlap) => write!(
                text,
                "{last}[a{number}]acrossfade=duration={}[k{number}];",
                seconds(overlap.length - SPARED)
            ),
        };
        last = format!("[k{number}]");
    }
    format!("{text}{last}{filter}[a]")
}

/// One stream for each scene.
fn split(from: &str, filter: &str, name: &str, count: usize) -> String {
    let mut text = format!("{from}{filter}={count}");
    for number in 0..count {
        let _ = write!(text, "[{name}{number}]");
    }
    text + ";"
}

fn ticks_of(length: TimeDelta) -> i64 {
    // At most a minute: it fits.
    ticks(length.num_microseconds().unwrap_or(0))
}
