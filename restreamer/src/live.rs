//! Live playlists: those without an `end`, which players poll on and on.
//!
//! A player knows a segment by its number alone, and takes the list's word that what it has seen
//! of it has not changed (RFC 8216 §6.2.2). So what a list has said once stays as it is: it grows
//! at its end and shrinks at its beginning. What backfill adds to the past later is in every
//! other playlist at once, and in this one for those who begin to poll it when nobody has for a
//! while: by then there is no player left that could be confused.
//!
//! Each list that is polled is a [`View`]; all players of the same list share one. A node that is
//! started again has forgotten its views, and numbers segments anew from the same start: players
//! notice only if the past has changed since.

mod view;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::metrics;
use prometheus::IntGaugeVec;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::view::View;

use crate::error::ApiError;
use crate::index::Rendition;

/// A list that nobody has polled for so long has no players: the slowest, a browser's tab in the
/// background, asks once a minute.
const IDLE: Duration = Duration::from_secs(300);

/// Lists that nobody polls any more are let go of so often: each keeps hours in memory.
const SWEEP: Duration = Duration::from_secs(60);

/// The most lists that are polled at once. One more takes the place of the longest unused; what
/// that can do to its players is what a new start can.
const MAX_VIEWS: usize = 1024;

/// A list that was polled since then has players, and is not given up for a new one.
const IN_USE: Duration = Duration::from_secs(30);

static POLLED: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Live playlists that are kept for those who poll them";
    metrics::gauge("restreamer_live_playlists", help, &[])
});

/// A list's name: what is in it, and the `start` that it was asked for with.
type Key = (Arc<Rendition>, Option<DateTime<Utc>>);

/// A list, locked while it is brought up to date.
pub(crate) type Slot = Arc<Mutex<View>>;

/// The lists that are polled now.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<HashMap<Key, Entry>>);

#[derive(Debug)]
struct Entry {
    view: Slot,
    used: Instant,
}

impl Entry {
    fn unused(&self) -> Duration {
        Instant::now().saturating_duration_since(self.used)
    }
}

impl Views {
    /// The list of that name; if nobody has polled it lately, the one that `begin` makes. None
    /// takes a place before that.
    ///
    /// # Errors
    /// 503 if there are too many, and what `begin` fails with.
    pub(crate) fn view(
        &self,
        rendition: &Arc<Rendition>,
        start: Option<DateTime<Utc>>,
        begin: impl FnOnce() -> Result<View, ApiError>,
    ) -> Result<Slot, ApiError> {
        if let Some(view) = self.polled(rendition, start) {
            return Ok(view);
        }
        let new = begin()?;
        let key = (Arc::clone(rendition), start);
        self.sweep();
        // Another request may have begun the same in the meantime.
        if let Some(view) = self.existing(&key) {
            return Ok(view);
        }
        let mut views = self.views();
        if views.len() >= MAX_VIEWS {
            let longest_unused = views.iter().max_by_key(|(_, entry)| entry.unused());
            match longest_unused {
                Some((key, entry)) if entry.unused() >= IN_USE => {
                    let key = key.clone();
                    views.remove(&key);
                }
                _ => return Err(ApiError::busy("too many live playlists are polled")),
            }
        }
        let entry = Entry {
            view: Arc::new(Mutex::new(new)),
            used: Instant::now(),
        };
        let view = Arc::clone(&views.entry(key).or_insert(entry).view);
        count(&views);
        Ok(view)
    }

    /// The list of that name, if somebody has polled it lately.
    pub(crate) fn polled(
        &self,
        rendition: &Arc<Rendition>,
        start: Option<DateTime<Utc>>,
    ) -> Option<Slot> {
        self.existing(&(Arc::clone(rendition), start))
    }

    fn existing(&self, key: &Key) -> Option<Slot> {
        let mut views = self.views();
        let entry = views.get_mut(key).filter(|entry| entry.unused() < IDLE)?;
        entry.used = Instant::now();
        Some(Arc::clone(&entry.view))
    }

    /// Lets go of those that nobody polls any more, now and then until `shutdown`.
    pub(crate) async fn keep_few(&self, shutdown: CancellationToken) {
        while timeout(SWEEP, shutdown.cancelled()).await.is_err() {
            self.sweep();
        }
    }

    fn sweep(&self) {
        let mut views = self.views();
        views.retain(|_, entry| entry.unused() < IDLE);
        count(&views);
    }

    fn views(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        // Every change of it is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(views: &HashMap<Key, Entry>) {
    let polled = POLLED.with_label_values(&[] as &[&str]);
    polled.set(i64::try_from(views.len()).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::names::{Channel, Quality};
    use tokio::time::advance;

    fn rendition(quality: &str) -> Arc<Rendition> {
        Arc::new(Rendition {
            channel: Channel::new("c").unwrap(),
            quality: Quality::new(quality).unwrap(),
        })
    }

    /// Polls a list that may begin.
    fn poll(views: &Views, quality: &str, start: Option<DateTime<Utc>>) -> Result<Slot, ApiError> {
        views.view(&rendition(quality), start, || Ok(View::new(Utc::now())))
    }

    #[tokio::test(start_paused = true)]
    async fn players_of_one_list_share_it_until_all_are_gone() {
        let views = Views::default();
        let first = poll(&views, "a", None).unwrap();
        for _ in 0..20 {
            advance(IDLE - Duration::from_secs(1)).await;
            assert!(Arc::ptr_eq(&first, &poll(&views, "a", None).unwrap()));
        }
        let others = [("b", None), ("a", Some(Utc::now()))];
        let others = others.map(|(quality, start)| poll(&views, quality, start).unwrap());
        assert!(others.iter().all(|other| !Arc::ptr_eq(&first, other)));
        advance(IDLE).await;
        assert!(!Arc::ptr_eq(&first, &poll(&views, "a", None).unwrap()));
        assert_eq!(views.views().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_nobody_polls_go_though_nobody_asks_for_another() {
        let views = Arc::new(Views::default());
        let first = poll(&views, "a", None).unwrap();
        let shutdown = CancellationToken::new();
        let (of_sweep, stop) = (Arc::clone(&views), shutdown.clone());
        let sweep = tokio::spawn(async move { of_sweep.keep_few(stop).await });
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&first), 2);
        tokio::time::sleep(SWEEP + Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&first), 1);
        shutdown.cancel();
        sweep.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_begin_takes_no_place() {
        let views = Views::default();
        let refused = views.view(&rendition("a"), None, || Err(ApiError::Hidden));
        assert!(matches!(refused, Err(ApiError::Hidden)));
        assert_eq!(views.views().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_one_takes_the_place_of_one_that_is_not_in_use() {
        let views = Views::default();
        let first = poll(&views, "first", None).unwrap();
        let second = poll(&views, "second", None).unwrap();
        for n in 2..MAX_VIEWS {
            poll(&views, &n.to_string(), None).unwrap();
        }
        advance(IN_USE - Duration::from_secs(1)).await;
        let refused = poll(&views, "new", None).unwrap_err();
        assert_eq!(refused.status().as_u16(), 503);
        assert!(Arc::ptr_eq(&first, &poll(&views, "first", None).unwrap()));
        for n in 2..MAX_VIEWS {
            poll(&views, &n.to_string(), None).unwrap();
        }
        advance(Duration::from_secs(1)).await;
        poll(&views, "new", None).unwrap();
        assert!(poll(&views, "newer", None).is_err());
        assert!(Arc::ptr_eq(&first, &poll(&views, "first", None).unwrap()));
        assert_eq!(Arc::strong_count(&second), 1);
        assert_eq!(views.views().len(), MAX_VIEWS);
    }
}
