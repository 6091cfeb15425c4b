//! A media playlist: runs of segments, and what stands above and below them (RFC 8216 §4.3).

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use common::segment::Segment;
use common::selection::{Piece, Step, TimeRange, Walk};

use super::lines::{HourLines, millis};
use super::pieces::Pieces;
use super::through::Through;
use crate::gzip::Gzip;
use crate::text::Text;

/// The target duration of a list without segments, in seconds: how often a player looks for
/// the first one.
const EMPTY_TARGET_SECONDS: u64 = 2;

/// Players of a live list start so many target durations before its end: closer, RFC 8216
/// §6.3.3 has them run dry.
const START_TARGETS: u64 = 3;

/// Segments of one hour that follow each other without a hole.
#[derive(Debug, Clone)]
pub struct Run {
    /// The hour.
    pub(crate) lines: Arc<HourLines>,
    /// The first one's index in the hour.
    pub(crate) from: usize,
    /// The index after the last one's; more than `from`.
    pub(crate) to: usize,
    /// True iff a hole lies before it.
    pub(crate) after_hole: bool,
}

impl Run {
    /// The segments.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.lines.segments()[self.from..self.to]
    }

    /// The same lines from those of the hour at another time, as far as they are there, with others
    /// before, between or after them; of what is not, a copy. So no old hour is kept as a whole.
    pub(crate) fn renewed(self, new: &Arc<HourLines>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let Run {
            lines, from, to, ..
        } = &self;
        let mut at = *from;
        while at < *to {
            let (found, end) = new.find(lines, at, *to);
            let (lines, begins) = match found {
                Some(found) => (Arc::clone(new), found),
                // All of it already.
                None if end - at == lines.segments().len() => (Arc::clone(lines), 0),
                None => (Arc::new(lines.part(at, end)), 0),
            };
            runs.push(Run {
                lines,
                from: begins,
                to: begins + (end - at),
                after_hole: self.after_hole && at == *from,
            });
            at = end;
        }
        runs
    }
}

/// Finds the segments of `pieces`, which are taken from `hours` in order of time, in them.
pub(crate) fn runs<'a>(
    hours: &'a [Arc<HourLines>],
    pieces: impl IntoIterator<Item = Piece<'a>>,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut hours = hours.iter();
    let mut hour = hours.next();
    let (mut at, mut after_hole) = (0, false);
    for piece in pieces {
        let segment = match piece {
            Piece::Hole(_) => {
                after_hole = true;
                continue;
            }
            Piece::Segment(segment) => segment,
        };
        while let Some(lines) = hour {
            match lines.segments().get(at) {
                // The pieces refer to the very segments of the hours.
                Some(here) if std::ptr::eq(here, segment) => break,
                Some(_) => at += 1,
                None => {
                    hour = hours.next();
                    at = 0;
                }
            }
        }
        let Some(lines) = hour else { break };
        add(&mut runs, lines, at, after_hole);
        at += 1;
        after_hole = false;
    }
    runs
}

/// What a walk takes of a whole hour.
fn whole_hour(
    lines: &Arc<HourLines>,
    through: &Through,
    after_hole: bool,
) -> impl Iterator<Item = Run> {
    through.stretches().iter().map(move |stretch| Run {
        lines: Arc::clone(lines),
        from: stretch.from,
        to: stretch.to,
        after_hole: stretch.after_hole || (stretch.from == 0 && after_hole),
    })
}

/// Adds the next segment to the last run, or begins one with it.
fn add(runs: &mut Vec<Run>, lines: &Arc<HourLines>, at: usize, after_hole: bool) {
    match runs.last_mut() {
        Some(run) if !after_hole && run.to == at && Arc::ptr_eq(&run.lines, lines) => {
            run.to += 1;
        }
        _ => runs.push(Run {
            lines: Arc::clone(lines),
            from: at,
            to: at + 1,
            after_hole,
        }),
    }
}

/// The longest of some segments, in milliseconds; 0 if there are none.
pub(crate) fn longest_millis<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> u64 {
    segments.into_iter().map(millis).max().unwrap_or(0)
}

/// The target duration of segments of which the longest has so many milliseconds: in seconds,
/// at least as long as any segment, and no segment rounds to more (RFC 8216 §4.3.3.1).
pub(crate) fn target_seconds(longest_millis: u64) -> u64 {
    match longest_millis {
        0 => EMPTY_TARGET_SECONDS,
        millis => millis.div_ceil(1000),
    }
}

/// A media playlist.
#[derive(Debug, Clone)]
pub struct MediaPlaylist {
    /// In order of time; what lies before the first is not told.
    pub(crate) runs: Vec<Run>,
    /// In seconds.
    pub(crate) target: u64,
    /// The number of the first segment.
    pub(crate) media_sequence: u64,
    /// How many discontinuities are no longer in the list.
    pub(crate) discontinuity_sequence: u64,
    /// True iff players should start near its end, and come again.
    pub(crate) is_live: bool,
    /// True iff all there ever is of its range is in it.
    pub(crate) is_complete: bool,
}

impl MediaPlaylist {
    /// The media playlist of a range, as it is now.
    ///
    /// `hours` are those from the hour before the range's start through the hour of its end, in
    /// order of time; those that do not exist may be left out.
    ///
    /// There is no `EXT-X-PLAYLIST-TYPE`: replication may still add to the past, so neither
    /// `EVENT` nor `VOD` would be true.
    #[must_use]
    pub fn of_range(range: TimeRange, hours: &[Arc<HourLines>]) -> MediaPlaylist {
        let mut walk = Walk::new(range);
        let mut runs: Vec<Run> = Vec::new();
        let mut longest = 0;
        'walk: for lines in hours {
            for (at, segment) in lines.segments().iter().enumerate() {
                let after_hole = match walk.step(segment) {
                    Step::Pass => continue,
                    Step::Stop => break 'walk,
                    Step::Take(hole) => hole.is_some(),
                };
                // From its first segment on, a walk is the same whatever came before.
                if at == 0
                    && let Some(through) = lines.through()
                    && through.ends_before(range)
                {
                    runs.extend(whole_hour(lines, through, after_hole));
                    walk.resume(through.last_of(lines.segments()));
                    longest = longest.max(through.longest_millis());
                    break;
                }
                add(&mut runs, lines, at, after_hole);
                longest = longest.max(millis(segment));
            }
        }
        MediaPlaylist {
            target: target_seconds(longest),
            runs,
            media_sequence: 0,
            discontinuity_sequence: 0,
            is_live: false,
            is_complete: walk.finish().is_none(),
        }
    }

    /// True iff it says that all of its range is there, and nothing can be missing inside or at
    /// its start: there, no tag tells of a hole.
    #[must_use]
    pub fn has_no_hole(&self) -> bool {
        self.is_complete && !self.runs.iter().any(|run| run.after_hole)
    }

    /// The lines above the first segment's.
    fn head(&self) -> String {
        let target = self.target;
        let mut head = format!(
            "#EXTM3U\n\
             #EXT-X-VERSION:3\n\
             #EXT-X-TARGETDURATION:{target}\n\
             #EXT-X-MEDIA-SEQUENCE:{}\n",
            self.media_sequence
        );
        if self.discontinuity_sequence > 0 {
            // Writing to a string cannot fail.
            let _ = writeln!(
                head,
                "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
                self.discontinuity_sequence
            );
        }
        if self.is_live {
            let _ = writeln!(head, "#EXT-X-START:TIME-OFFSET=-{}", START_TARGETS * target);
        }
        head
    }

    /// What stands above a run, if it is not the first.
    fn above(&self, index: usize) -> &'static str {
        if index > 0 && self.runs[index].after_hole {
            "#EXT-X-DISCONTINUITY\n"
        } else {
            ""
        }
    }

    /// What stands below the last segment.
    fn foot(&self) -> &'static str {
        if self.is_complete {
            "#EXT-X-ENDLIST\n"
        } else {
            ""
        }
    }

    /// Its text, in pieces to be sent one after the other.
    #[must_use]
    pub fn text(&self) -> Text {
        let mut pieces = Pieces::default();
        pieces.push_text(&self.head());
        for (index, run) in self.runs.iter().enumerate() {
            pieces.push_text(self.above(index));
            pieces.push(run.lines.lines(run.from, run.to));
        }
        pieces.push_text(self.foot());
        pieces.finish()
    }

    /// Its text as gzip, in pieces to be sent one after the other. What was compressed for
    /// another playlist is not compressed again.
    #[must_use]
    pub fn gzipped(&self) -> Text {
        let mut gzip = Gzip::default();
        gzip.push_text(self.head().as_bytes());
        for (
            index,
            Run {
                lines, from, to, ..
            },
        ) in self.runs.iter().enumerate()
        {
            gzip.push_text(self.above(index).as_bytes());
            let mut at = *from;
            while at < *to {
                if let Some((block, end)) = lines.block(at, *to) {
                    gzip.push(block);
                    at = end;
                } else {
                    let end = HourLines::next_block(at).min(*to);
                    gzip.push_text(&lines.lines(at, end));
                    at = end;
                }
            }
        }
        gzip.push_text(self.foot().as_bytes());
        gzip.finish()
    }
}

/// Two playlists with the same hash have the same text, also compressed, as good as certainly. Of
/// a range it says nothing else, so that what comes in the same hour later does not change it. A
/// live list changes with whatever comes, and is hashed for every poll: there, what tells the
/// hours is enough.
impl Hash for MediaPlaylist {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.head().hash(state);
        self.is_complete.hash(state);
        for (index, run) in self.runs.iter().enumerate() {
            let (lines, from, to) = (&run.lines, run.from, run.to);
            self.above(index).hash(state);
            if self.is_live {
                (lines.digest(), from, to).hash(state);
            } else {
                (lines.digest_of(from, to), lines.layout(from, to)).hash(state);
            }
        }
    }
}
