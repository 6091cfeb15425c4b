//! The peers of `--node-file`: `NAME URL` or `URL` a line, `#` comments (SPEC §6).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};

use futures::future::{BoxFuture, FutureExt};
use rustix::fs::{Mode, OFlags};
use tokio::time::timeout;

use super::{Peer, Source, SourceError, TIMEOUT, Unreadable, told_apart};

/// The longest file that is read, in bytes: a thousand nodes of a kilobyte each.
const MAX_BYTES: u64 = 1 << 20;

/// A file that names peers.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    /// Held while it is read: a mount that hangs costs one thread, not one every 30 s.
    reading: Arc<Mutex<()>>,
}

impl FileSource {
    /// The peers in this file, which need not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> FileSource {
        FileSource {
            path: path.to_owned(),
            reading: Arc::default(),
        }
    }
}

impl Source for FileSource {
    fn name(&self) -> &'static str {
        "--node-file"
    }

    fn read(&self) -> BoxFuture<'_, Result<Vec<Peer>, SourceError>> {
        async {
            let (path, reading) = (self.path.clone(), Arc::clone(&self.reading));
            let read = tokio::task::spawn_blocking(move || match reading.try_lock() {
                Err(TryLockError::WouldBlock) => Err(io::Error::other("it is being read still")),
                // A reader that panicked left nothing behind.
                Ok(_) | Err(TryLockError::Poisoned(_)) => read_text(&path),
            });
            let text = match timeout(TIMEOUT, read).await {
                Ok(Ok(read)) => read.map_err(|error| error.to_string()),
                Ok(Err(lost)) => Err(lost.to_string()),
                Err(_) => Err(format!("no answer in {TIMEOUT:?}")),
            };
            let named = |reason: String| format!("{}: {reason}", self.path.display());
            let text = text.map_err(|reason| SourceError::new(named(reason)))?;
            parse(&text).map_err(|error| SourceError {
                reason: named(error.reason),
                ..error
            })
        }
        .boxed()
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    // Nobody may ever write into a pipe.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    // A directory would give an odd error later, and a device may have no end.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    if file.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_BYTES {
        let error = format!("it is longer than {MAX_BYTES} bytes");
        return Err(io::Error::other(error));
    }
    Ok(text)
}

/// The peers of a text. A bad line does not hide the others; the first one is named.
fn parse(text: &str) -> Result<Vec<Peer>, SourceError> {
    let mut peers = Vec::new();
    let mut bad = None;
    let mut unreadable = Unreadable::default();
    for (number, line) in (1..).zip(text.lines()) {
        // A `#` inside a word belongs to it.
        let words = line.split_whitespace();
        let words: Vec<&str> = words.take_while(|word| !word.starts_with('#')).collect();
        let peer = match words[..] {
            [] => continue,
            [url] => Peer::unnamed(url).map_err(|error| error.to_string()),
            [name, url] => Peer::named(name, url).map_err(|error| error.to_string()),
            _ => Err("it is neither URL nor NAME URL".to_owned()),
        };
        match peer {
            Ok(peer) => peers.push(peer),
            Err(error) => {
                // Of a line without a name there is no telling whose it is.
                unreadable.note(words.first().copied().filter(|_| words.len() == 2));
                bad.get_or_insert(format!("line {number}: {error}"));
            }
        }
    }
    let peers = told_apart(peers);
    match bad {
        None => Ok(peers),
        Some(reason) => Err(SourceError::in_part(reason, peers, unreadable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::FileType;

    fn shown(peers: &[Peer]) -> Vec<String> {
        let shown = peers.iter();
        shown
            .map(|peer| format!("{} {}", peer.name(), peer.url()))
            .collect()
    }

    #[test]
    fn lines_name_peers_and_bad_ones_do_not_hide_the_others() {
        let text = "# ours\n\nhttp://a:1/x\n  b\thttps://u:secret@h  # a comment\r\nhttp://c:1\nhttp://c:2";
        let peers = parse(text).unwrap();
        let expected = [
            "a http://a:1/x",
            "b https://u:secret@h/",
            "c:1 http://c:1/",
            "c:2 http://c:2/",
        ];
        assert_eq!(shown(&peers), expected);
        let table = [
            ("a\nhttp://b", "line 1: "),
            ("http://b\nx ftp://y", "line 2: "),
            ("http://b\n\nx y z", "line 3: it is neither"),
            ("http://u:secret@\nhttp://b", "line 1: "),
            ("x http://u:secret@h?token=secret\nhttp://b", "line 1: "),
        ];
        for (text, reason) in table {
            let error = parse(text).unwrap_err();
            assert!(error.reason.starts_with(reason), "{error}");
            assert!(!error.reason.contains("secret"), "{error}");
            assert_eq!(shown(&error.readable), ["b http://b/"]);
            let name = text.lines().find_map(|line| line.strip_prefix("x "));
            let is_named = name.is_some_and(|rest| !rest.contains(' '));
            assert_eq!(error.unreadable.may_be("y"), !is_named, "{text}");
            assert!(error.unreadable.may_be("x"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_an_error_that_names_it() {
        let base = tempfile::TempDir::new().unwrap();
        let path = base.path().join("nodes");
        let read = async || FileSource::new(&path).read().await;
        let error = read().await.unwrap_err().reason;
        assert!(error.contains("nodes: No such file"), "{error}");
        std::fs::write(&path, "http://a\n").unwrap();
        assert_eq!(shown(&read().await.unwrap()), ["a http://a/"]);
        std::fs::write(&path, "#".repeat(1 << 21)).unwrap();
        assert!(read().await.unwrap_err().reason.contains("longer than"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read().await.is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read().await.unwrap_err().reason.contains("not a file"));
        std::fs::remove_dir(&path).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        assert!(read().await.unwrap_err().reason.contains("not a file"));
    }

    #[tokio::test]
    #[allow(clippy::await_holding_lock, reason = "it is what hangs")]
    async fn while_a_reading_hangs_no_other_is_begun() {
        let base = tempfile::TempDir::new().unwrap();
        let path = base.path().join("nodes");
        std::fs::write(&path, "http://a\n").unwrap();
        let source = FileSource::new(&path);
        let hanging = source.reading.lock().unwrap();
        let error = source.read().await.unwrap_err();
        assert!(error.reason.ends_with("it is being read still"), "{error}");
        assert_eq!(error.unreadable, Unreadable::Any);
        drop(hanging);
        assert_eq!(shown(&source.read().await.unwrap()), ["a http://a/"]);
    }
}
