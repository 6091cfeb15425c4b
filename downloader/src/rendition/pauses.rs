//! The places whose servers want to be left alone (`Retry-After`).

use std::collections::HashMap;

use tokio::time::Instant;
use url::Url;

use super::{Rendition, lock};

/// Until when, by the playlist's URL.
#[derive(Debug, Default)]
pub(super) struct Pauses(HashMap<Url, Instant>);

impl Rendition {
    /// Notes that a playlist's server wants to be left alone until then.
    pub(crate) fn leave_alone(&self, url: &Url, until: Instant) {
        let mut pauses = lock(&self.pauses);
        let now = Instant::now();
        pauses.0.retain(|_, until| *until > now);
        pauses.0.insert(url.clone(), until);
    }

    /// The first of these places, from number `place` on and round, whose server need not be left
    /// alone now; counted on and on.
    pub(crate) fn place(&self, urls: &[Url], place: usize) -> Option<usize> {
        let pauses = lock(&self.pauses);
        let now = Instant::now();
        let may_be_asked = |place: &usize| {
            let url = urls.get(place % urls.len());
            url.is_some_and(|url| pauses.0.get(url).is_none_or(|until| *until <= now))
        };
        let mut places = (0..urls.len()).map(|n| place.wrapping_add(n));
        places.find(may_be_asked)
    }
}
