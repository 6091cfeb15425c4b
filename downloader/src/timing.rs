//! Every interval and timeout of the downloader, with its reason, in one value: a test runs the
//! same code on shorter times.

use std::time::Duration;

use common::hedge::Hedge;
use common::timing::jitter;

/// Attempts at one thing at once: each may have met a server that never answers. One that stands
/// still costs next to nothing, and one that does not stand still is not joined by others so soon.
const MOST_ATTEMPTS: usize = 6;

/// Requests for a list begin at the latest after this part of what it shows, so that many can
/// fail before anything slides out unseen. (SPEC §5 asks for a third.)
const WINDOW_PART: u32 = 6;

/// The same for a segment. Less would ask twice for what is only slow.
const SEGMENT_PART: u32 = 3;

/// What comes in drop by drop is asked for again after so many soft timeouts …
const DRIPPING: u32 = 6;

/// … or after this part of what the list shows (SPEC §5).
const DRIPPING_PART: u32 = 3;

/// What a list is taken to show before it was seen: as little as the shortest that are met.
const UNKNOWN_WINDOW: Duration = Duration::from_secs(6);

/// A server that asks for a pause gets no longer one than this part of what is left of what the
/// list showed, so that it is asked again before anything is gone; once all is, of what it showed.
const PAUSE_PART: u32 = 3;

/// What is polled is polled no oftener, whatever target duration an origin claims.
const SHORTEST: Duration = Duration::from_millis(200);

/// See [`Timing::patience`].
const PATIENT_TARGETS: f64 = 3.0;
const PATIENT_DOUBLINGS: u32 = 5;

/// What becomes at most the whole by 10 % of jitter.
const SHORTENED: f64 = 1.0 / 1.1;

/// What becomes at least the whole by 10 % of jitter.
const LENGTHENED: f64 = 1.0 / 0.9;

/// How much of the stream a list showed, and how long ago that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What it showed.
    pub shown: Duration,
    /// So much of it is gone since.
    pub since: Duration,
}

/// The intervals and timeouts (SPEC §5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// How long a second of the stream takes: 1, but in tests.
    pub scale: f64,
    /// Between two polls of a media playlist at most; half a target duration if that is less.
    pub poll: Duration,
    /// Between a failed poll and the next.
    pub poll_retry: Duration,
    /// A media playlist's answer.
    pub poll_hedge: Hedge,
    /// The answer that leads to media playlists.
    pub find_hedge: Hedge,
    /// Between two looks for a channel that is not live.
    pub find: Duration,
    /// The same for an important channel.
    pub find_important: Duration,
    /// The same while a channel has brought something new within [`Timing::lately`]: whatever
    /// it lists now may be gone in seconds.
    pub find_lately: Duration,
    /// See [`Timing::find_lately`].
    pub lately: Duration,
    /// After so long without a segment's head, or a byte of its body, another attempt starts …
    pub head_soft: Duration,
    /// … and after so long an attempt is given up.
    pub head_hard: Duration,
    /// The same for the end of the segment.
    pub body_soft: Duration,
    /// See [`Timing::body_soft`].
    pub body_hard: Duration,
    /// Between two attempts at a segment.
    pub segment_retry: Duration,
    /// A segment that is not there by then never comes.
    pub segment_give_up: Duration,
    /// Servers end a body early, without an error, after a minute: what took so long is doubtful.
    pub suspect_after: Duration,
    /// What is running at a stop may go on for so long. `docker stop` kills after 10 s.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        let hedge = |soft, hard| Hedge {
            soft: Duration::from_secs(soft),
            whole: Duration::from_secs(soft) * DRIPPING,
            hard: Duration::from_secs(hard),
            most: MOST_ATTEMPTS,
        };
        Timing {
            scale: 1.0,
            poll: Duration::from_secs(2),
            poll_retry: Duration::from_secs(1),
            poll_hedge: hedge(5, 90),
            find_hedge: hedge(5, 30),
            find: Duration::from_secs(20),
            find_important: Duration::from_secs(5),
            find_lately: Duration::from_secs(1),
            lately: Duration::from_secs(60),
            head_soft: Duration::from_secs(5),
            head_hard: Duration::from_secs(60),
            body_soft: Duration::from_secs(15),
            body_hard: Duration::from_secs(240),
            segment_retry: Duration::from_secs(2),
            segment_give_up: Duration::from_secs(20 * 60),
            suspect_after: Duration::from_secs(59),
            grace: Duration::from_secs(6),
        }
    }
}

impl Timing {
    /// All times multiplied: 0.1 is ten times as fast.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Timing {
        let scale = |time: Duration| time.mul_f64(factor);
        let hedge = |hedge: Hedge| Hedge {
            soft: scale(hedge.soft),
            whole: scale(hedge.whole),
            hard: scale(hedge.hard),
            most: hedge.most,
        };
        Timing {
            scale: self.scale * factor,
            poll: scale(self.poll),
            poll_retry: scale(self.poll_retry),
            poll_hedge: hedge(self.poll_hedge),
            find_hedge: hedge(self.find_hedge),
            find: scale(self.find),
            find_important: scale(self.find_important),
            find_lately: scale(self.find_lately),
            lately: scale(self.lately),
            head_soft: scale(self.head_soft),
            head_hard: scale(self.head_hard),
            body_soft: scale(self.body_soft),
            body_hard: scale(self.body_hard),
            segment_retry: scale(self.segment_retry),
            segment_give_up: scale(self.segment_give_up),
            suspect_after: scale(self.suspect_after),
            grace: scale(self.grace),
        }
    }

    /// How long to wait from one poll to the next of a list at this pace (its target duration, or
    /// what it shows): at most half of it (RFC 8216 §6.3.4), so that a failed poll does not cost a
    /// segment. Jitter only shortens it.
    #[must_use]
    pub fn poll_interval(&self, pace: Duration) -> Duration {
        jitter(self.at_most(self.poll, pace, 2).mul_f64(SHORTENED))
    }

    /// How long to wait after a failed poll.
    #[must_use]
    pub fn poll_retry(&self, pace: Duration) -> Duration {
        jitter(self.at_most(self.poll_retry, pace, 4).mul_f64(SHORTENED))
    }

    /// How long to leave a server alone that asked for such a pause (`Retry-After`), where the list
    /// showed so much of the stream: what is live cannot wait for an hour. Pauses that follow each
    /// other become shorter (the usual retries are the least), since what was listed goes on sliding
    /// out; when all of it has, haste saves nothing any more.
    #[must_use]
    pub fn pause(&self, asked: Duration, window: Option<Window>) -> Duration {
        let window = window.filter(|window| !window.shown.is_zero());
        let most = self.longest_pause(window.unwrap_or(Window {
            shown: UNKNOWN_WINDOW,
            since: Duration::ZERO,
        }));
        let asked = asked.mul_f64(self.scale);
        // All that were refused at once need not come back at once.
        jitter(asked.mul_f64(LENGTHENED)).min(jitter(most.mul_f64(SHORTENED)))
    }

    /// How long a pause may be at most.
    #[must_use]
    pub fn longest_pause(&self, window: Window) -> Duration {
        let shown = window.shown.mul_f64(self.scale);
        let worth = match shown.saturating_sub(window.since) {
            Duration::ZERO => shown,
            left => left,
        };
        self.lately.min(worth / PAUSE_PART)
    }

    /// The same for a look for a channel's playlists: where nothing is recorded there is no list
    /// to hurry for, but it may begin any time.
    #[must_use]
    pub fn find_pause(&self, important: bool, asked: Duration, window: Option<Window>) -> Duration {
        let most = match important {
            true => self.find_important,
            false => self.find,
        };
        match window {
            Some(_) => self.pause(asked, window).min(jitter(most)),
            None => jitter(most.min(asked.mul_f64(self.scale * LENGTHENED))),
        }
    }

    /// How long to wait from one look for a channel's playlists to the next. `lately`: it brought
    /// something new within [`Timing::lately`], and true iff nothing else keeps it alive;
    /// `failures`: so many looks or workers in a row have failed.
    #[must_use]
    pub fn find_interval(&self, important: bool, lately: Option<bool>, failures: u32) -> Duration {
        let longest = match lately {
            Some(true) => self.find_lately,
            Some(false) => self.find_important,
            None if important => self.find_important,
            None => self.find,
        };
        // A failure is not the same as not being live: the next answer may well be a good one.
        match failures {
            0 => longest,
            failures => {
                let doubled = 2_u32.saturating_pow(failures - 1);
                longest.min(self.find_lately.saturating_mul(doubled))
            }
        }
    }

    /// How long a list may go without anything new before another look at where the stream is:
    /// three target durations, doubled with each look in vain.
    #[must_use]
    pub fn patience(&self, target_duration: Duration, looks: u32) -> Duration {
        let first = target_duration
            .mul_f64(self.scale * PATIENT_TARGETS)
            .max(self.poll * 3);
        first * 2_u32.pow(looks.min(PATIENT_DOUBLINGS))
    }

    /// The hedge for a list that shows so much of the stream; until that is known, a little.
    #[must_use]
    pub fn hedge_for(&self, hedge: Hedge, window: Option<Duration>) -> Hedge {
        let unknown = window.is_none();
        let window = window.unwrap_or(UNKNOWN_WINDOW);
        let soft = self.at_most(hedge.soft, window, WINDOW_PART);
        // A list of which nothing is known may be one of a day, and so large.
        let whole = match unknown {
            true => soft * DRIPPING,
            false => self.at_most(hedge.whole, window, DRIPPING_PART),
        };
        Hedge {
            soft,
            whole,
            ..hedge
        }
    }

    /// Attempts at a segment's head, and at what has to be there before its body can be.
    #[must_use]
    pub fn head_hedge(&self) -> Hedge {
        Hedge {
            soft: self.head_soft,
            whole: self.head_soft * DRIPPING,
            hard: self.head_hard,
            most: MOST_ATTEMPTS,
        }
    }

    /// How long an attempt at a segment may stand still before another one starts, where the list
    /// that has it shows so much of the stream: what is listed for 8 s only has to be asked for
    /// more than once in them.
    #[must_use]
    pub fn segment_soft(&self, window: Duration) -> Duration {
        self.at_most(self.head_soft, window, SEGMENT_PART)
    }

    /// How long to wait after a failed attempt at such a segment.
    #[must_use]
    pub fn segment_retry(&self, window: Duration) -> Duration {
        jitter(self.at_most(self.segment_retry, window, WINDOW_PART))
    }

    /// A time, or a part of so much of the stream if that is less and known.
    fn at_most(&self, time: Duration, of_stream: Duration, part: u32) -> Duration {
        match of_stream {
            Duration::ZERO => time,
            known => time.min((known.mul_f64(self.scale) / part).max(SHORTEST.mul_f64(self.scale))),
        }
    }
}

#[cfg(test)]
mod tests;
