//! Who downloads what: no two workers of this process fetch the same file at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The files in hand, by final path. Clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<HashMap<PathBuf, CancellationToken>>>);

impl Claims {
    /// Takes a file in hand until the claim is dropped.
    ///
    /// # Errors
    /// [`Held`] if somebody else has it.
    pub fn claim(&self, file: &Path) -> Result<Claim, Held> {
        let mut held = self.lock();
        if let Some(released) = held.get(file) {
            return Err(Held(released.clone()));
        }
        let released = CancellationToken::new();
        held.insert(file.to_owned(), released.clone());
        Ok(Claim {
            claims: self.clone(),
            file: file.to_owned(),
            released,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, CancellationToken>> {
        // A poisoned map is still a map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file in our hand.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    file: PathBuf,
    released: CancellationToken,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.file);
        self.released.cancel();
    }
}

/// Somebody else has the file in hand.
#[derive(Debug, Clone)]
pub struct Held(CancellationToken);

impl Held {
    /// Waits until it is in nobody's hand, be it downloaded or not.
    pub async fn released(&self) {
        self.0.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn one_at_a_time_and_the_next_after_it() {
        let claims = Claims::default();
        let (a, b) = (Path::new("a"), Path::new("b"));
        let first = claims.claim(a).unwrap();
        let held = claims.clone().claim(a).unwrap_err();
        let _other = claims.claim(b).unwrap();
        assert!(held.released().now_or_never().is_none());
        drop(first);
        held.released().await;
        drop(claims.claim(a).unwrap());
    }
}
