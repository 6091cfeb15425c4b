//! Gets one segment to the disk, whatever it takes (SPEC §5): attempt after attempt until it is
//! there in full, the origin does not have it any more, or it is hopelessly late. What an
//! attempt got before it was cut off is kept as `partial`.

mod attempt;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::http::HttpClient;
use common::names::{Channel, Quality};
use common::segment::{FinalType, SegmentType};
use common::store::{Committed, Store, StoreError};
use common::timing::jitter;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::attempt::AttemptError;
use crate::metrics::{METRICS, labels};
use crate::playlist::Encryption;
use crate::recorded::Recorded;
use crate::shared::SharedParts;
use crate::timeline::Wanted;
use crate::timing::Timing;

/// A full disk fails every segment: one line a minute says it.
const DISK_COMPLAINT: std::time::Duration = std::time::Duration::from_secs(60);

/// How a segment ended.
#[derive(Debug)]
pub enum Outcome {
    /// It got its final name; the type is `full` or `suspect`.
    Recorded(SegmentType),
    /// It was there in full already.
    Known,
    /// It cannot be had.
    Lost(Loss),
    /// The process is stopping.
    Stopped,
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
}

impl Loss {
    /// A word for metrics.
    fn reason(&self) -> &str {
        match self {
            Loss::Gone(status) => status.as_str(),
            Loss::Late(_) => "late",
            Loss::Encrypted(_) => "encrypted",
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

/// How far an attempt has come.
#[derive(Debug)]
struct Progress {
    begun: Instant,
    /// When the head or the latest piece of the body came, in microseconds since it began.
    latest: AtomicU64,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            begun: Instant::now(),
            latest: AtomicU64::new(0),
        }
    }

    fn note(&self) {
        let now = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latest.store(now, Ordering::Relaxed);
    }

    /// Ends when the attempt has stood still for the soft timeout of its head, or has not come to
    /// its end in that of its body.
    async fn is_late(&self, timing: &Timing) {
        let end = self.begun + timing.body_soft;
        loop {
            let latest = std::time::Duration::from_micros(self.latest.load(Ordering::Relaxed));
            let still = self.begun + latest + timing.head_soft;
            if Instant::now() >= still.min(end) {
                return;
            }
            sleep_until(still.min(end)).await;
        }
    }
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
    shared: SharedParts,
    /// When a full disk was last complained about.
    complained: std::sync::Mutex<Option<Instant>>,
}

/// What the attempts at one segment share.
struct Segment<'a> {
    wanted: &'a Wanted,
    /// True iff the worker has reason to doubt it.
    doubtful: bool,
    stops: &'a Stops,
    /// Bytes of the longest piece that was kept: a shorter one is not worth a file.
    kept: AtomicU64,
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
            shared: SharedParts::default(),
            complained: std::sync::Mutex::new(None),
        }
    }

    /// Gets a segment; `doubtful` makes it `suspect`. Dropping the future leaves no file behind
    /// that has not its final name.
    pub async fn get(&self, wanted: &Wanted, doubtful: bool, stops: &Stops) -> Outcome {
        let labels = labels(&self.channel, &self.quality);
        let _running = common::http::InProgress::new(METRICS.running.with_label_values(&labels));
        let outcome = self.get_unmeasured(wanted, doubtful, stops).await;
        let (channel, quality) = (&self.channel, &self.quality);
        let url = common::http::shown(&wanted.url);
        let start = wanted.start.to_rfc3339();
        match &outcome {
            Outcome::Lost(loss) => {
                let labels = [loss.reason(), labels[0], labels[1]];
                METRICS.lost.with_label_values(&labels).inc();
                tracing::warn!(%channel, %quality, start, %url, "lost a segment: {loss}");
            }
            outcome => tracing::debug!(%channel, %quality, start, ?outcome, "segment done"),
        }
        outcome
    }

    async fn get_unmeasured(&self, wanted: &Wanted, doubtful: bool, stops: &Stops) -> Outcome {
        let init = wanted
            .init
            .as_ref()
            .and_then(|init| init.encryption.as_ref());
        let mut encryptions = [wanted.encryption.as_ref(), init].into_iter().flatten();
        if let Some(foreign) = encryptions.find(|it| !is_supported(it)) {
            let method = format!("{} (key format {})", foreign.method, foreign.format);
            return Outcome::Lost(Loss::Encrypted(method));
        }
        let give_up = Instant::now() + self.timing.segment_give_up;
        let segment = Segment {
            wanted,
            doubtful,
            stops,
            kept: AtomicU64::new(0),
        };
        loop {
            if self.recorded.has(wanted.start, wanted.duration).await {
                return Outcome::Known;
            }
            let error = match self.hedged(&segment).await {
                Ok(committed) => return Outcome::Recorded(committed.segment.kind()),
                Err(error) => error,
            };
            match &error {
                AttemptError::Gone(status) => return Outcome::Lost(Loss::Gone(*status)),
                AttemptError::Stopped => return Outcome::Stopped,
                AttemptError::Store(error) => self.complain(error),
                error => {
                    tracing::debug!(channel = %self.channel, quality = %self.quality, %error, "an attempt at a segment failed");
                }
            }
            let retry = Instant::now() + jitter(self.timing.segment_retry);
            if retry >= give_up {
                return Outcome::Lost(Loss::Late(error.to_string()));
            }
            tokio::select! {
                () = sleep_until(retry) => {}
                () = stops.shutdown.cancelled() => return Outcome::Stopped,
            }
        }
    }

    /// Attempts side by side: another one starts when the newest stands still or is late with
    /// its end; the first to finish wins, and the others leave nothing.
    async fn hedged(&self, segment: &Segment<'_>) -> Result<Committed, AttemptError> {
        let shutdown = &segment.stops.shutdown;
        let mut attempts = FuturesUnordered::new();
        let mut number = 0;
        loop {
            let progress = Arc::new(Progress::new());
            attempts.push(self.attempt(segment, number, Arc::clone(&progress)));
            number += 1;
            let late = progress.is_late(&self.timing);
            tokio::pin!(late);
            let mut is_late = false;
            while !is_late {
                let another =
                    attempts.len() < self.timing.head_hedge().most && !shutdown.is_cancelled();
                tokio::select! {
                    biased;
                    Some(outcome) = attempts.next() => match outcome {
                        Ok(committed) => return Ok(committed),
                        Err(AttemptError::Stopped) => return Err(AttemptError::Stopped),
                        Err(error) if attempts.is_empty() => return Err(error),
                        Err(_) => {}
                    },
                    () = &mut late, if another => is_late = true,
                }
            }
        }
    }

    /// Counts a segment that has got its final name.
    fn count(&self, committed: &Committed) {
        self.recorded.add(&committed.segment);
        let [channel, quality] = labels(&self.channel, &self.quality);
        let latest = METRICS.latest.with_label_values(&[channel, quality]);
        let start = committed.segment.start_micros() as f64 / 1e6;
        latest.set(latest.get().max(start));
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
        let mut complained = match self.complained.lock() {
            Ok(complained) => complained,
            Err(poisoned) => poisoned.into_inner(),
        };
        if complained.is_none_or(|at| at.elapsed() >= DISK_COMPLAINT) {
            *complained = Some(Instant::now());
            tracing::error!(channel = %self.channel, quality = %self.quality, %error, "cannot store segments; trying again");
        }
    }

    /// The type of a segment whose body came to its end.
    fn kind(&self, segment: &Segment<'_>, begun: Instant) -> FinalType {
        if segment.doubtful || begun.elapsed() >= self.timing.suspect_after {
            FinalType::Suspect
        } else {
            FinalType::Full
        }
    }
}

/// Whole segments of AES-128 with a key that anybody may fetch; all else is made to keep
/// recorders out.
fn is_supported(encryption: &Encryption) -> bool {
    encryption.method == "AES-128" && encryption.format == "identity"
}
