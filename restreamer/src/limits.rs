//! How much work of a kind is done at once, waits and begins in a second. What is too much is
//! refused at once: those who ask for something cheap never wait for those who do not.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use common::metrics;
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::error::ApiError;

/// Who has waited for so long is turned away: a player asks again before that.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Saved up while nobody asks: the work of so many seconds may begin at once.
const BURST_SECONDS: f64 = 4.0;

static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests that were turned away because of others of their kind";
    metrics::counter("restreamer_refused", help, &["family", "reason"])
});

/// A kind of work, e.g. long playlists.
#[derive(Debug)]
pub(crate) struct Family {
    /// One permit for each that may run now.
    running: Arc<Semaphore>,
    /// One permit for each that may wait.
    waiting: Semaphore,
    /// `None` where any number may begin.
    rate: Option<Mutex<Bucket>>,
    too_many: IntCounter,
    busy: IntCounter,
}

impl Family {
    /// `running` at once, `waiting` more that wait for them, and at most `rate` units of work a
    /// second; what a unit is, the caller knows.
    pub(crate) fn new(name: &str, running: usize, waiting: usize, rate: Option<f64>) -> Family {
        Family {
            running: Arc::new(Semaphore::new(running)),
            waiting: Semaphore::new(waiting),
            rate: rate.map(|rate| Mutex::new(Bucket::new(rate, Instant::now()))),
            too_many: REFUSED.with_label_values(&[name, "rate"]),
            busy: REFUSED.with_label_values(&[name, "busy"]),
        }
    }

    /// Waits until work of so many units may begin. It may go on until the permit is dropped.
    ///
    /// # Errors
    /// 429 if too much of it began lately, 503 if too many wait or it waited too long.
    pub(crate) async fn admit(&self, units: f64) -> Result<OwnedSemaphorePermit, ApiError> {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            self.busy.inc();
            return Err(ApiError::busy("too many requests of this kind wait"));
        };
        let taken = self.rate.as_ref().map_or(Ok(()), |rate| {
            let mut rate = rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.take(units, Instant::now())
        });
        if let Err(wait) = taken {
            self.too_many.inc();
            let retry_after = wait.as_secs_f64().ceil().clamp(1.0, 3600.0) as u64;
            return Err(ApiError::TooMany { retry_after });
        }
        match timeout(MAX_WAIT, Arc::clone(&self.running).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                self.busy.inc();
                Err(ApiError::busy("others of this kind take too long"))
            }
        }
    }
}

/// Memory for what is on its way to clients, who may be slow.
#[derive(Debug)]
pub(crate) struct Room {
    /// One permit for each KiB.
    free: Arc<Semaphore>,
    all: u32,
    refused: IntCounter,
}

impl Room {
    /// Room for so many bytes of what a family makes.
    pub(crate) fn new(family: &str, bytes: usize) -> Room {
        let all = kibibytes(bytes);
        Room {
            free: Arc::new(Semaphore::new(all as usize)),
            all,
            refused: REFUSED.with_label_values(&[family, "memory"]),
        }
    }

    /// Takes room until the permit is dropped. What is larger than all of it takes all.
    ///
    /// # Errors
    /// 503 if others have it.
    pub(crate) fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        self.free(bytes).ok_or_else(|| {
            self.refused.inc();
            ApiError::busy("what others are being sent takes too much memory")
        })
    }

    /// The same for who can do without.
    pub(crate) fn free(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = kibibytes(bytes).min(self.all);
        let free = Arc::clone(&self.free);
        free.try_acquire_many_owned(wanted).ok()
    }
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// Units of work that may begin: they come at a rate, and are saved up for a while.
#[derive(Debug)]
struct Bucket {
    /// A second.
    rate: f64,
    /// There now; below zero after something larger than the bucket was let through.
    units: f64,
    /// When `units` was right.
    at: Instant,
}

impl Bucket {
    fn new(rate: f64, now: Instant) -> Bucket {
        Bucket {
            rate,
            units: rate * BURST_SECONDS,
            at: now,
        }
    }

    /// Takes units, or says how long it takes until there are enough. What is larger than the
    /// whole bucket has to wait for a full one, and leaves a debt.
    fn take(&mut self, units: f64, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let full = self.rate * BURST_SECONDS;
        self.units = (self.units + passed * self.rate).min(full);
        self.at = now;
        let needed = units.min(full);
        if self.units < needed {
            let seconds = (needed - self.units) / self.rate;
            return Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        }
        self.units -= units;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_at_their_rate_and_are_saved_up() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut bucket = Bucket::new(10.0, start);
        // (milliseconds, units, how long to wait)
        let table = [
            (0, 30.0, None),
            (0, 10.0, None),
            (0, 1.0, Some(100)),
            (100, 1.0, None),
            (100, 5.0, Some(500)),
            (600, 5.0, None),
            // Never more than four seconds' worth is saved up; the largest leave a debt.
            (100_000, 100.0, None),
            (100_000, 1.0, Some(6100)),
            (106_100, 1.0, None),
            // The clock is never taken to go back.
            (100_000, 1.0, Some(100)),
        ];
        for (millis, units, wait) in table {
            let taken = bucket.take(units, at(millis));
            let waited = taken
                .err()
                .map(|wait| (wait.as_secs_f64() * 1e3).round() as u64);
            assert_eq!(waited, wait, "{units} at {millis}");
        }
    }

    #[test]
    fn room_is_taken_until_it_is_given_back() {
        let room = Room::new("test", 4096);
        let (small, large) = (room.take(1).unwrap(), room.take(3072).unwrap());
        assert_eq!(room.take(1).unwrap_err().status().as_u16(), 503);
        assert!(room.take(0).is_ok());
        drop(small);
        assert!(room.take(1025).is_err());
        drop((large, room.take(1024).unwrap()));
        let all = room.take(1 << 20).unwrap();
        assert!(room.take(1).is_err());
        drop(all);
        assert!(room.take(4096).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_are_refused_at_once_and_too_long_a_wait_ends() {
        let family = Family::new("test", 1, 1, Some(10.0));
        let first = family.admit(1.0).await.unwrap();
        let begun = Instant::now();
        let refused = async || {
            let status = family.admit(1.0).await.unwrap_err().status().as_u16();
            (status, begun.elapsed())
        };
        let (second, third) = tokio::join!(refused(), refused());
        assert_eq!((second, third), ((503, MAX_WAIT), (503, Duration::ZERO)));
        drop(first);
        drop(family.admit(30.0).await.unwrap());
        let refused = family.admit(30.0).await.unwrap_err();
        assert!(
            matches!(refused, ApiError::TooMany { retry_after: 2 }),
            "{refused}"
        );
    }
}
