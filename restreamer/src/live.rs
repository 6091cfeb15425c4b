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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

pub(crate) use self::view::View;

use crate::index::Rendition;

/// A list that nobody has polled for so long has no players: the slowest, a browser's tab in the
/// background, asks once a minute.
const IDLE: Duration = Duration::from_secs(300);

/// The most lists that are polled at once. Of more, the longest unused are forgotten: what that
/// can do to their players is what a new start can.
const MAX_VIEWS: usize = 1024;

/// A list's name: what is in it, and the `start` that it was asked for with.
type Key = (Arc<Rendition>, Option<DateTime<Utc>>);

/// A list, locked while it is brought up to date; `None` until somebody knows where it begins.
pub(crate) type Slot = Arc<Mutex<Option<View>>>;

/// The lists that are polled now.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<HashMap<Key, Entry>>);

#[derive(Debug)]
struct Entry {
    view: Slot,
    used: Instant,
}

impl Views {
    /// The list of that name, a new one if nobody has polled it lately.
    pub(crate) fn view(&self, rendition: &Arc<Rendition>, start: Option<DateTime<Utc>>) -> Slot {
        let now = Instant::now();
        let is_alive = |entry: &Entry| now.saturating_duration_since(entry.used) < IDLE;
        let key = (Arc::clone(rendition), start);
        let mut views = self.views();
        if let Some(entry) = views.get_mut(&key)
            && is_alive(entry)
        {
            entry.used = now;
            return Arc::clone(&entry.view);
        }
        views.retain(|_, entry| is_alive(entry));
        if views.len() >= MAX_VIEWS {
            let longest_unused = views.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(key) = longest_unused.map(|(key, _)| key.clone()) {
                views.remove(&key);
            }
        }
        let view = Slot::default();
        let entry = Entry {
            view: Arc::clone(&view),
            used: now,
        };
        views.insert(key, entry);
        view
    }

    fn views(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        // Every change of it is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    #[tokio::test(start_paused = true)]
    async fn players_of_one_list_share_it_until_all_are_gone() {
        let views = Views::default();
        let first = views.view(&rendition("a"), None);
        for _ in 0..20 {
            advance(IDLE - Duration::from_secs(1)).await;
            assert!(Arc::ptr_eq(&first, &views.view(&rendition("a"), None)));
        }
        let others = [
            views.view(&rendition("b"), None),
            views.view(&rendition("a"), Some(Utc::now())),
        ];
        assert!(others.iter().all(|other| !Arc::ptr_eq(&first, other)));
        advance(IDLE).await;
        assert!(!Arc::ptr_eq(&first, &views.view(&rendition("a"), None)));
        assert_eq!(views.views().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_unused_go_when_there_are_too_many() {
        let views = Views::default();
        let first = views.view(&rendition("first"), None);
        let second = views.view(&rendition("second"), None);
        for n in 2..=MAX_VIEWS {
            advance(Duration::from_millis(10)).await;
            let _ = views.view(&rendition("first"), None);
            let _ = views.view(&rendition(&n.to_string()), None);
        }
        assert_eq!(views.views().len(), MAX_VIEWS);
        assert!(Arc::ptr_eq(&first, &views.view(&rendition("first"), None)));
        assert!(!Arc::ptr_eq(
            &second,
            &views.view(&rendition("second"), None)
        ));
    }
}
