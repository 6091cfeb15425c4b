//! Gets one segment to the disk (SPEC §5), by several attempts side by side if the first is
//! late. What an attempt got before it was cut off is kept as `partial`. When to try again is
//! the worker's to say.

mod attempt;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use common::hedge::Attempts;
use common::http::{HttpClient, HttpError};
use common::names::{Channel, Quality};
use common::segment::{FinalType, SegmentType};
use common::store::{Committed, Store, StoreError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::attempt::{AttemptError, Got};
use crate::losses::Losses;
use crate::metrics::{METRICS, labels};
use crate::playlist::Encryption;
use crate::recorded::{Recorded, Since};
use crate::shared::SharedParts;
use crate::timeline::Wanted;
use crate::timing::Timing;
use crate::watch::Fetching;

/// A full disk fails every segment: one line a minute says it.
const SELDOM: Duration = Duration::from_secs(60);

/// No clock is ahead of ours by more seconds, unless one of the two is wrong.
const AHEAD: f64 = 60.0;

/// How a try ended.
#[derive(Debug)]
pub enum Outcome {
    /// It got its final name; the type is `full` or `suspect`.
    Recorded(SegmentType),
    /// It was there in full already.
    Known,
    /// It got its final name, and there is another one of its start and duration.
    Beside,
    /// It is not what there is of its start and duration; it was only compared.
    Other,
    /// It cannot be had from there, not now and not later.
    Lost(Loss),
    /// It did not come this time.
    Failed {
        /// Why not.
        why: String,
        /// The pause that the server asks for (`Retry-After`).
        pause: Option<Duration>,
    },
    /// Something that it needs is not there, or not there yet.
    Missing(StatusCode),
    /// We could not store it: not the origin's fault.
    NotStored,
    /// The process is stopping.
    Stopped,
    /// A fault in this program.
    Crashed,
}

/// Why a segment cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// The origin does not have it any more.
    #[error("the origin answered {0}")]
    Gone(StatusCode),
    /// It never came.
    #[error("it did not come in time; at last: {0}")]
    Late(String),
    /// We cannot decrypt it, and do not store what nobody can play.
    #[error("it is encrypted with {0}, which is not supported")]
    Encrypted(String),
    /// It is larger than any segment that we would believe.
    #[error("{0}")]
    TooLarge(String),
    /// Every try ended by a fault in this program.
    #[error("getting it crashed")]
    Crashed,
}

impl Loss {
    /// A word for metrics.
    fn reason(&self) -> &str {
        match self {
            Loss::Gone(status) => status.as_str(),
            Loss::Late(_) => "late",
            Loss::Encrypted(_) => "encrypted",
            Loss::TooLarge(_) => "too_large",
            Loss::Crashed => "crashed",
        }
    }
}

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

/// Something that is said once a minute at most.
#[derive(Debug, Default)]
struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// True iff it is to be said now.
    fn is_due(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = said.is_none_or(|at| at.elapsed() >= SELDOM);
        if due {
            *said = Some(Instant::now());
        }
        due
    }
}

/// A segment to get.
#[derive(Debug)]
pub struct Job {
    /// What and where.
    pub wanted: Wanted,
    /// True iff there is reason to doubt it.
    pub doubtful: bool,
    /// What it needs and shares with others.
    pub(crate) shared: Arc<SharedParts>,
    /// When the oldest segment of its list came into it: what was written before that under its
    /// date is another segment, of an encoder that has no clock. `None`: nothing can be said.
    pub(crate) listed_since: Option<SystemTime>,
    /// How much of the stream its list showed; zero if that is not known.
    pub(crate) window: Duration,
    /// True iff it is recorded, and only to be compared with what is.
    pub(crate) is_probe: bool,
    /// Bytes of the longest piece that was kept: a shorter one is not worth a file.
    kept: AtomicU64,
    /// What operators see of it; there only if it was tried, since very many may be queued.
    fetching: OnceLock<Arc<Fetching>>,
}

impl Job {
    pub(crate) fn new(wanted: Wanted, doubtful: bool, shared: Arc<SharedParts>) -> Job {
        Job {
            wanted,
            fetching: OnceLock::new(),
            doubtful,
            shared,
            listed_since: None,
            window: Duration::ZERO,
            is_probe: false,
            kept: AtomicU64::new(0),
        }
    }

    /// True iff nothing of it is kept: what is compared with a date that only we gave it would be
    /// at a wrong one if it is something else.
    fn only_compares(&self) -> bool {
        self.is_probe && !self.wanted.dated
    }

    /// True iff a piece of it is on the disk.
    pub(crate) fn is_kept_in_part(&self) -> bool {
        self.kept.load(Ordering::Relaxed) > 0
    }

    /// What operators see of it.
    pub(crate) fn fetching(&self) -> &Arc<Fetching> {
        let new = || Arc::new(Fetching::new(&self.wanted));
        self.fetching.get_or_init(new)
    }
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
            max_bytes: attempt::MAX_BYTES,
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

    /// Logs and counts a segment that cannot be had; once, by how many URLs ever it was asked for.
    pub(crate) fn lose(&self, wanted: &Wanted, loss: &Loss) {
        let (channel, quality) = (&self.channel, &self.quality);
        let which = (wanted.start, wanted.duration, wanted.sequence);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = lost.add(&which);
        drop(lost);
        if !is_new && !wanted.again {
            tracing::debug!(%channel, %quality, start = %wanted.start, "lost once more: {loss}");
            return;
        }
        let [c, q] = labels(channel, quality);
        METRICS.lost.with_label_values(&[loss.reason(), c, q]).inc();
        let start = wanted.start.to_rfc3339();
        let url = common::http::shown(&wanted.url);
        tracing::warn!(%channel, %quality, start, %url, "lost a segment: {loss}");
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
    /// its end ([`Attempts::another`]); the first to finish wins, and the others leave nothing. A try without a byte of
    /// the body ends with the hard timeout of the head, every other with that of the body: others
    /// wait for its place. At an end like this or a stop all attempts end in their own way, so
    /// that what each has is kept.
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
            attempts.push(self.attempt(job, &tried, number, so_far.begin()));
            let still = self.timing.segment_soft(job.window);
            let late = so_far.another(still, self.timing.body_soft);
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

    /// Counts a segment that has got its final name.
    fn count(&self, committed: &Committed) {
        self.recorded.add(&committed.segment);
        let [channel, quality] = labels(&self.channel, &self.quality);
        let latest = METRICS.latest.with_label_values(&[channel, quality]);
        let start = committed.segment.start_micros() as f64 / 1e6;
        let now = chrono::Utc::now().timestamp_micros() as f64 / 1e6;
        latest.set(latest.get().max(believable(start, now)));
        if committed.existed {
            return;
        }
        let labels = [committed.segment.kind().as_str(), channel, quality];
        METRICS.segments.with_label_values(&labels).inc();
        let seconds = committed.segment.duration().as_secs();
        METRICS.seconds.with_label_values(&labels).inc_by(seconds);
        METRICS
            .sizes
            .with_label_values(&labels)
            .observe(committed.bytes as f64);
    }

    /// Says once a minute that the disk does not take what we have.
    fn complain(&self, error: &StoreError) {
        if self.complaint.is_due() {
            tracing::error!(channel = %self.channel, quality = %self.quality, %error, "cannot store segments; trying again");
        }
    }

    /// Counts a segment that was recorded beside another of its date, and says so once a minute.
    fn tell_date_again(&self, wanted: &Wanted) {
        let (channel, quality) = (&self.channel, &self.quality);
        METRICS
            .dates_again
            .with_label_values(&labels(channel, quality))
            .inc();
        if self.dates_told.is_due() {
            let start = wanted.start.to_rfc3339();
            tracing::warn!(%channel, %quality, start, "the origin uses dates again (an encoder without a clock?): what is recorded of them stays, and the new segments are kept beside it");
        }
    }

    /// Counts a segment that was listed as new and is there. After a restart of ours, and at a
    /// hand-over, that is as it should be; where only our clock dates segments, it may be that we took
    /// new ones for old ones. With signed URLs it is all that is listed, at every poll: no news.
    fn tell_known(&self, wanted: &Wanted, there: Since) {
        let (channel, quality) = (&self.channel, &self.quality);
        METRICS
            .known
            .with_label_values(&labels(channel, quality))
            .inc();
        if there == Since::Now && !wanted.dated && self.known_told.is_due() {
            let start = wanted.start.to_rfc3339();
            let url = common::http::shown(&wanted.url);
            tracing::debug!(%channel, %quality, start, %url, "a playlist without dates lists under another name what is recorded; not fetched");
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

/// A start for `latest_segment`, in seconds since 1970: one wrong date would hide for years that
/// nothing is recorded any more, so that one from the future is now.
fn believable(start: f64, now: f64) -> f64 {
    if start > now + AHEAD { now } else { start }
}

/// Whole segments of AES-128 with a key that anybody may fetch; all else is made to keep
/// recorders out.
fn is_supported(encryption: &Encryption) -> bool {
    encryption.method == "AES-128" && encryption.format == "identity" && encryption.key.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_from_the_future_hides_no_silence() {
        for (start, shown) in [(900.0, 900.0), (1059.0, 1059.0), (1e9, 1000.0)] {
            assert!((believable(start, 1000.0) - shown).abs() < 1e-9, "{start}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_seldom_is_said_again_after_a_minute() {
        let seldom = Seldom::default();
        let second = Duration::from_secs(1);
        assert!(seldom.is_due());
        for _ in 0..59 {
            tokio::time::advance(second).await;
            assert!(!seldom.is_due());
        }
        tokio::time::advance(second).await;
        assert!(seldom.is_due() && !seldom.is_due());
    }
}
