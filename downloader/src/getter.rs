//! Gets one segment to the disk (SPEC §5), by several attempts side by side if the first is
//! late. What an attempt got before it was cut off is kept as `partial`. When to try again is
//! the worker's to say.

mod attempt;
mod job;
mod outcome;
mod telling;

use std::sync::Mutex;

use common::hedge::{Attempts, Late};
use common::http::{HttpClient, HttpError};
use common::names::{Channel, Quality};
use common::segment::{self, FinalType};
use common::store::Store;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::attempt::{AttemptError, Got};
pub use self::job::Job;
pub use self::outcome::{Loss, Outcome};
use self::telling::Seldom;
use crate::losses::Losses;
use crate::metrics::{METRICS, labels};
use crate::playlist::Encryption;
use crate::recorded::{Recorded, Since};
use crate::timing::Timing;

/// When to stop.
#[derive(Debug, Clone)]
pub struct Stops {
    /// From now on no new attempt begins.
    pub shutdown: CancellationToken,
    /// What is running ends now; what it has is kept.
    pub cut: CancellationToken,
}

/// Gets the segments of one rendition.
#[derive(Debug)]
pub struct Getter {
    client: HttpClient,
    store: Store,
    channel: Channel,
    quality: Quality,
    timing: Timing,
    recorded: Recorded,
    /// What was told as lost.
    lost: Mutex<Losses>,
    /// A segment that is larger is none.
    max_bytes: u64,
    /// That the disk is full.
    complaint: Seldom,
    /// That dates come a second time.
    dates_told: Seldom,
    /// That what is listed as new is there.
    known_told: Seldom,
    /// That the origin wants to be asked for less.
    pause_told: Seldom,
}

impl Getter {
    /// For a rendition.
    #[must_use]
    pub fn new(
        client: HttpClient,
        store: Store,
        channel: Channel,
        quality: Quality,
        timing: Timing,
    ) -> Getter {
        let recorded = Recorded::new(&store, &channel, &quality);
        Getter {
            client,
            store,
            channel,
            quality,
            timing,
            recorded,
            lost: Mutex::default(),
            max_bytes: segment::MAX_BYTES,
            complaint: Seldom::default(),
            dates_told: Seldom::default(),
            known_told: Seldom::default(),
            pause_told: Seldom::default(),
        }
    }

    /// Tries to get a segment, once. Dropping the future leaves no file behind that has not its
    /// final name.
    pub async fn get(&self, job: &Job, stops: &Stops) -> Outcome {
        let labels = labels(&self.channel, &self.quality);
        let _running = common::http::InProgress::new(METRICS.running.with_label_values(&labels));
        let outcome = self.get_unmeasured(job, stops).await;
        let (channel, quality) = (&self.channel, &self.quality);
        let start = job.wanted.start.to_rfc3339();
        match &outcome {
            Outcome::Lost(loss) if !job.is_probe => self.lose(&job.wanted, loss),
            outcome => tracing::debug!(%channel, %quality, start, ?outcome, "a try at a segment"),
        }
        outcome
    }

    async fn get_unmeasured(&self, job: &Job, stops: &Stops) -> Outcome {
        let wanted = &job.wanted;
        let init = wanted
            .init
            .as_ref()
            .and_then(|init| init.encryption.as_ref());
        let mut encryptions = [wanted.encryption.as_ref(), init].into_iter().flatten();
        if let Some(foreign) = encryptions.find(|it| !is_supported(it)) {
            let method = format!("{} (key format {})", foreign.method, foreign.format);
            return Outcome::Lost(Loss::Encrypted(method));
        }
        // Several segments of no duration have one start: that tells nothing of which is there.
        let there = match wanted.duration.micros() {
            0 => None,
            _ => self.recorded.has(wanted.start, wanted.duration).await,
        };
        let is_other = |there: Since| wanted.again || there.is_before(job.listed_since);
        if let Some(there) = there.filter(|there| !is_other(*there)) {
            self.tell_known(wanted, there);
            return Outcome::Known;
        }
        if job.only_compares() && there.is_none() {
            return Outcome::Stopped;
        }
        match self.hedged(job, stops).await {
            Ok(Got::Compared(true)) => Outcome::Known,
            Ok(Got::Compared(false)) => Outcome::Other,
            Ok(Got::Committed(committed)) if there.is_some() && committed.segment.is_full() => {
                if committed.existed {
                    return Outcome::Known;
                }
                self.tell_date_again(wanted);
                Outcome::Beside
            }
            Ok(Got::Committed(committed)) => Outcome::Recorded(committed.segment.kind()),
            Err(AttemptError::Gone(status)) => Outcome::Lost(Loss::Gone(status)),
            Err(AttemptError::Missing(status)) => Outcome::Missing(status),
            // Of the segment itself: a key or an init section that is too large is no more than
            // a bad answer, and the next one may be right.
            Err(AttemptError::Http(error @ HttpError::TooLarge { .. })) => {
                Outcome::Lost(Loss::TooLarge(error.to_string()))
            }
            Err(AttemptError::Stopped) => Outcome::Stopped,
            Err(AttemptError::Store(error)) => {
                self.complain(&error);
                Outcome::NotStored
            }
            Err(error) => {
                let pause = error.retry_after();
                if let Some(asked) = pause.filter(|_| self.pause_told.is_due()) {
                    let (channel, quality) = (&self.channel, &self.quality);
                    tracing::warn!(%channel, %quality, %error, ?asked, "the origin of segments asks for a pause");
                }
                let why = error.to_string();
                Outcome::Failed { why, pause }
            }
        }
    }

    /// Attempts side by side: another one starts when the newest stands still or is late with
    /// its end ([`Attempts::another`]); the first to finish wins, and the others leave nothing. A
    /// try without a byte of the body ends with the hard timeout of the head, every other with
    /// that of the body: others wait for its place. At an end like this or a stop all attempts end
    /// in their own way, so that what each has is kept.
    async fn hedged(&self, job: &Job, stops: &Stops) -> Result<Got, AttemptError> {
        let begun = Instant::now();
        let tried = Stops {
            shutdown: stops.shutdown.clone(),
            cut: stops.cut.child_token(),
        };
        let head_end = begun + self.timing.head_hard;
        let body_end = begun + self.timing.body_hard;
        let mut attempts = FuturesUnordered::new();
        let mut so_far = Attempts::default();
        let mut failure = None;
        loop {
            let number = so_far.count();
            let progress = so_far.begin();
            let attempt = self.attempt(job, &tried, number, progress.clone());
            attempts.push(progress.follow(attempt));
            let late = so_far.another(Late {
                still: self.timing.segment_soft(job.window),
                whole: self.timing.body_soft,
                end: body_end,
            });
            tokio::pin!(late);
            let mut is_late = false;
            // Asked again when a timer has fired: what was true when the wait began may have
            // changed since, without an attempt having ended.
            let may_go_on = || {
                !tried.cut.is_cancelled()
                    && !stops.shutdown.is_cancelled()
                    && Instant::now() < head_end
            };
            let nothing = || !so_far.have_any();
            while !is_late {
                let another = attempts.len() < self.timing.head_hedge().most && may_go_on();
                tokio::select! {
                    biased;
                    Some(outcome) = attempts.next() => match outcome {
                        Ok(got) => return Ok(got),
                        Err(error) => {
                            job.fetching().failed(&error);
                            // That it was cut says less than why others failed before.
                            if !matches!(error, AttemptError::Stopped) || failure.is_none() {
                                failure = Some(error);
                            }
                            if attempts.is_empty() && let Some(failure) = failure.take() {
                                return Err(self.why(failure, job, stops));
                            }
                        }
                    },
                    // Once it may not, it never may again: `late` is not waited for any more.
                    () = &mut late, if another => is_late = may_go_on(),
                    () = sleep_until(head_end), if nothing() && !tried.cut.is_cancelled() => {
                        if nothing() {
                            tried.cut.cancel();
                        }
                    }
                    () = sleep_until(body_end), if !tried.cut.is_cancelled() => tried.cut.cancel(),
                }
            }
        }
    }

    /// Why a try failed: if it was cut without a stop, its time was over.
    fn why(&self, failure: AttemptError, job: &Job, stops: &Stops) -> AttemptError {
        if stops.cut.is_cancelled() {
            AttemptError::Stopped
        } else if matches!(failure, AttemptError::Stopped) {
            self.timed_out("end", job, self.timing.body_hard)
        } else {
            failure
        }
    }

    /// The type of a segment whose body came to its end.
    fn kind(&self, job: &Job, begun: Instant) -> FinalType {
        if job.doubtful || begun.elapsed() >= self.timing.suspect_after {
            FinalType::Suspect
        } else {
            FinalType::Full
        }
    }
}

/// Whole segments of AES-128 with a key that anybody may fetch; all else is made to keep
/// recorders out.
fn is_supported(encryption: &Encryption) -> bool {
    encryption.method == "AES-128" && encryption.format == "identity" && encryption.key.is_some()
}
