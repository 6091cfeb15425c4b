//! Init sections (`EXT-X-MAP`): each is fetched once and put in front of every segment that it
//! applies to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use common::hedge::{Hedge, HedgeError};
use common::http::{self, HttpClient, HttpError};
use tokio::sync::OnceCell;

use crate::fetch::Part;
use crate::playlist::InitSection;

/// Some hundred bytes as a rule; a few streams carry fonts and pictures in it.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A list may change its init section at every discontinuity; older ones are fetched again if
/// they are listed again.
const MAX_CACHED: usize = 16;

/// An init section and its content, once it is there.
type Cached = (Arc<InitSection>, Arc<OnceCell<Bytes>>);

/// The init sections of a rendition.
#[derive(Debug, Default)]
pub(crate) struct InitSections {
    /// Oldest first.
    cached: Mutex<VecDeque<Cached>>,
}

impl InitSections {
    /// The content of an init section. Whoever asks first fetches it, the others wait; if it
    /// fails, the next one tries.
    pub(crate) async fn get(
        &self,
        client: &HttpClient,
        section: &Arc<InitSection>,
        hedge: Hedge,
    ) -> Result<Bytes, HttpError> {
        let cell = self.cell(section);
        let content = cell.get_or_try_init(|| fetch(client, section, hedge)).await;
        content.cloned()
    }

    fn cell(&self, section: &Arc<InitSection>) -> Arc<OnceCell<Bytes>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = cached.iter().find(|(known, _)| known == section) {
            return Arc::clone(cell);
        }
        if cached.len() == MAX_CACHED {
            cached.pop_front();
        }
        let cell = Arc::new(OnceCell::new());
        cached.push_back((Arc::clone(section), Arc::clone(&cell)));
        cell
    }
}

async fn fetch(
    client: &HttpClient,
    section: &InitSection,
    hedge: Hedge,
) -> Result<Bytes, HttpError> {
    let InitSection { url, range } = section;
    let attempt = async |n: usize| {
        let mut part = Part::open(client, "init_section", url, *range, n > 0).await?;
        let mut content = BytesMut::new();
        while let Some(chunk) = part.next().await? {
            if (content.len() + chunk.len()) as u64 > MAX_BYTES {
                return Err(HttpError::TooLarge {
                    url: http::shown(url),
                    kind: "init section",
                    limit: MAX_BYTES,
                });
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    };
    hedge.run(attempt).await.map_err(|error| match error {
        HedgeError::Failed(error) => error,
        HedgeError::TimedOut(time) => HttpError::NoResponse {
            url: http::shown(url),
            reason: format!("no answer in {time:?}"),
        },
    })
}
