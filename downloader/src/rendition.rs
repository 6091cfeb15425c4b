//! What the workers of one rendition share: a successor goes on where the one before it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::http::HttpClient;
use common::names::{Channel, Quality};
use common::store::Store;
use tokio::time::Instant;

use crate::getter::Getter;
use crate::timing::Timing;

/// A quality of a channel, for as long as the process lives.
#[derive(Debug)]
pub struct Rendition {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// For playlists.
    pub client: HttpClient,
    /// Intervals and timeouts.
    pub timing: Timing,
    /// Where everything goes.
    pub store: Store,
    /// For segments.
    pub getter: Arc<Getter>,
    /// So many playlists are kept beside each segment that they led to.
    pub playlist_debug: usize,
    seen: Mutex<Seen>,
}

/// What the newest playlists showed.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    window: Option<Duration>,
    news: Option<Instant>,
}

impl Rendition {
    /// One of which nothing has been seen yet.
    #[must_use]
    pub fn new(
        client: HttpClient,
        store: &Store,
        channel: Channel,
        quality: Quality,
        timing: Timing,
        playlist_debug: usize,
    ) -> Rendition {
        let getter = Getter::new(
            client.clone(),
            store.clone(),
            channel.clone(),
            quality.clone(),
            timing,
        );
        Rendition {
            channel,
            quality,
            client,
            timing,
            store: store.clone(),
            getter: Arc::new(getter),
            playlist_debug,
            seen: Mutex::default(),
        }
    }

    /// How much time the newest playlist listed; `None`: there was none.
    #[must_use]
    pub fn window(&self) -> Option<Duration> {
        self.seen().window
    }

    /// When a playlist last listed something new.
    #[must_use]
    pub fn last_news(&self) -> Option<Instant> {
        self.seen().news
    }

    /// Notes what a playlist showed.
    pub(crate) fn note(&self, window: Duration, news: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.window = (!window.is_zero()).then_some(window);
        if news {
            seen.news = Some(Instant::now());
        }
    }

    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
