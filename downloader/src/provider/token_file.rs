//! A file with an OAuth token. It helps, but nothing depends on it: without it there are
//! advertisements, which is better than no recording.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use common::names::Channel;
use reqwest::header::HeaderValue;

/// Where the token is, if anywhere. Read again for every look, so that it can be replaced.
#[derive(Debug, Clone, Default)]
pub struct TokenFile {
    path: Option<PathBuf>,
    /// What was wrong with it, as it was told last.
    told: Arc<Mutex<Option<String>>>,
}

impl TokenFile {
    /// With the file, if one is given.
    #[must_use]
    pub fn new(path: Option<PathBuf>) -> TokenFile {
        TokenFile {
            path,
            told: Arc::default(),
        }
    }

    /// The header `Authorization` with the token, if there is one that can be read.
    pub(super) async fn header(&self, channel: &Channel) -> Option<HeaderValue> {
        let read = read(self.path.as_deref()?).await;
        read.unwrap_or_else(|problem| {
            self.complain(channel, problem);
            None
        })
    }

    /// Says what is wrong with it, once.
    pub(super) fn complain(&self, channel: &Channel, problem: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() == Some(&problem) {
            return;
        }
        let file = self.path.as_deref().unwrap_or(Path::new(""));
        let file = file.display();
        tracing::error!(%channel, %file, problem, "the OAuth token is of no use: going on without it, with advertisements; replace the file");
        *told = Some(problem);
    }

    /// Notes that it is good: the next problem is told again.
    pub(super) fn is_good(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The header with the token in a file. An empty file has none: a compose file cannot leave a
/// mount out.
async fn read(file: &Path) -> Result<Option<HeaderValue>, String> {
    let read = tokio::fs::read_to_string(file).await;
    let token = read.map_err(|error| error.to_string())?;
    let token = token.trim();
    if token.is_empty() {
        return Ok(None);
    }
    let value = HeaderValue::from_str(&format!("OAuth {token}"));
    let mut value = value.map_err(|_| "it is no token".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_file_with_a_token_has_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let (channel, token) = (
            Channel::new("c").unwrap(),
            TokenFile::new(Some(file.clone())),
        );
        let header = async |content: &[u8]| {
            std::fs::write(&file, content).unwrap();
            let header = token.header(&channel).await;
            header.map(|header| header.to_str().unwrap().to_owned())
        };
        assert_eq!(header(b"\n").await, None);
        assert_eq!(header(b" t0k3n\n").await.as_deref(), Some("OAuth t0k3n"));
        assert_eq!(header(b"two\nlines").await, None);
        assert_eq!(header(b"\xff").await, None);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(token.header(&channel).await, None);
        assert_eq!(TokenFile::default().header(&channel).await, None);
    }
}
