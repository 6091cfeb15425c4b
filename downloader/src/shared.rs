//! What several segments need and is fetched once: init sections (`EXT-X-MAP`) and keys
//! (`EXT-X-KEY`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use common::hedge::{Hedge, HedgeError, Progress};
use common::http::{self, HttpClient, HttpError};
use tokio::sync::OnceCell;
use url::Url;

use crate::decrypt::{DecryptError, Decryptor, KEY_BYTES};
use crate::fetch::Part;
use crate::playlist::{ByteRange, Encryption, InitSection};

/// Some hundred bytes as a rule; a few streams carry fonts and pictures in it.
const MAX_INIT_SECTION: u64 = 16 * 1024 * 1024;

/// A list may change its init section and its key at every discontinuity; older ones are
/// fetched again if they are listed again.
const MAX_CACHED: usize = 16;

/// Why something that a segment needs is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharedError {
    /// The origin.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It is encrypted, and not as it should be.
    #[error("{url}: {source}")]
    Decrypt {
        /// What was asked.
        url: Box<str>,
        /// What is wrong.
        source: DecryptError,
    },
    /// An answer with nothing in it.
    #[error("{0} is empty")]
    Empty(Box<str>),
}

/// Keeps the newest few of what was fetched. Whoever asks first for something fetches it, the
/// others wait; if it fails, the next one tries. Whatever is in here is used for as long as the
/// stream goes on without a break: `fetch` has to refuse what cannot be right.
#[derive(Debug)]
struct Cache<K> {
    /// Oldest first.
    cells: Mutex<VecDeque<(K, Arc<OnceCell<Bytes>>)>>,
}

impl<K> Default for Cache<K> {
    fn default() -> Cache<K> {
        Cache {
            cells: Mutex::default(),
        }
    }
}

impl<K: PartialEq + Clone> Cache<K> {
    async fn get<F: Future<Output = Result<Bytes, SharedError>>>(
        &self,
        key: &K,
        fetch: impl FnOnce() -> F,
    ) -> Result<Bytes, SharedError> {
        self.cell(key).get_or_try_init(fetch).await.cloned()
    }

    fn clear(&self) {
        self.cells
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn cell(&self, key: &K) -> Arc<OnceCell<Bytes>> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = cells.iter().find(|(known, _)| known == key) {
            return Arc::clone(cell);
        }
        if cells.len() == MAX_CACHED {
            cells.pop_front();
        }
        let cell = Arc::new(OnceCell::new());
        cells.push_back((key.clone(), Arc::clone(&cell)));
        cell
    }
}

/// What segments share, from one discontinuity to the next: behind it there may be something
/// else under the same name.
#[derive(Debug, Default)]
pub(crate) struct SharedParts {
    inits: Cache<Arc<InitSection>>,
    keys: Cache<Url>,
}

impl SharedParts {
    /// The content of an init section, decrypted.
    pub(crate) async fn init(
        &self,
        client: &HttpClient,
        section: &Arc<InitSection>,
        hedge: Hedge,
    ) -> Result<Bytes, SharedError> {
        let fetch = async || {
            let (url, range) = (&section.url, section.range);
            let content =
                whole(client, "init section", url, range, MAX_INIT_SECTION, hedge).await?;
            if content.is_empty() {
                return Err(SharedError::Empty(http::shown(url)));
            }
            let Some(encryption) = &section.encryption else {
                return Ok(content);
            };
            let broken = |source| SharedError::Decrypt {
                url: http::shown(url),
                source,
            };
            // An implied IV would be some segment's; the list must give one (RFC 8216 §4.3.2.5).
            let iv = encryption.iv.ok_or_else(|| broken(DecryptError::NoIv))?;
            let mut decryptor = self.decryptor(client, encryption, iv, hedge).await?;
            let mut plain = BytesMut::from(decryptor.update(content).as_ref());
            let rest = decryptor.finish().map_err(|source| {
                // The key may have changed under its URL.
                self.forget_keys();
                broken(source)
            })?;
            plain.extend_from_slice(&rest);
            Ok(plain.freeze())
        };
        self.inits.get(section, fetch).await
    }

    /// Has keys fetched again: one did not fit.
    pub(crate) fn forget_keys(&self) {
        self.keys.clear();
    }

    /// Decrypts what is encrypted so, with this initialization vector.
    pub(crate) async fn decryptor(
        &self,
        client: &HttpClient,
        encryption: &Encryption,
        iv: u128,
        hedge: Hedge,
    ) -> Result<Decryptor, SharedError> {
        let no_key = |source| SharedError::Decrypt {
            url: encryption
                .key
                .as_ref()
                .map_or_else(|| "EXT-X-KEY".into(), http::shown),
            source,
        };
        let url = encryption.key.as_ref();
        let url = url.ok_or_else(|| no_key(DecryptError::NoKey))?;
        let fetch = async || {
            let key = whole(client, "key", url, None, KEY_BYTES as u64, hedge).await?;
            match key.len() {
                KEY_BYTES => Ok(key),
                size => Err(no_key(DecryptError::KeySize(size))),
            }
        };
        let key = self.keys.get(url, fetch).await?;
        Decryptor::new(&key, iv).map_err(no_key)
    }
}

/// All of a small resource. More than `limit` bytes are an error like any other: a server may
/// well answer with a page that says what is wrong with it.
async fn whole(
    client: &HttpClient,
    kind: &'static str,
    url: &Url,
    range: Option<ByteRange>,
    limit: u64,
    hedge: Hedge,
) -> Result<Bytes, SharedError> {
    let purpose = kind.replace(' ', "_");
    let attempt = async |n: usize, progress: Progress| {
        let mut part = Part::open(client, &purpose, url, range, n > 0).await?;
        let too_large = || {
            let url = http::shown(url);
            HttpError::TooLarge { url, kind, limit }
        };
        if part.announced().is_some_and(|bytes| bytes > limit) {
            return Err(too_large());
        }
        progress.announce(part.announced().unwrap_or(0));
        let mut content = BytesMut::new();
        while let Some(chunk) = part.next().await? {
            progress.note(chunk.len());
            if (content.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    };
    hedge.run(attempt).await.map_err(|error| match error {
        HedgeError::Failed(error) => error.into(),
        HedgeError::TimedOut(time) => SharedError::Http(HttpError::NoResponse {
            url: http::shown(url),
            reason: format!("no answer in {time:?}"),
        }),
    })
}
