//! A whole node: a base directory of its own and the real binaries, started with a clean
//! environment, on loopback, killed when their handles are dropped.

mod arguments;
mod binaries;

use std::collections::BTreeMap;
use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

pub use binaries::Binaries;

use crate::content::sha256_base64;
use crate::metrics::Metrics;
use crate::process::Process;
use crate::raw::{self, Answer};

/// A service that is not up by then, on a busy machine too, will not come up.
const START: Duration = Duration::from_secs(30);

/// What a service inherits. All else stays away: every option can come from the environment
/// (SPEC §7), and a proxy must not come between processes on loopback.
const INHERITED: [&str; 8] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// A running service. It is a [`Process`] and can do all that one can.
#[derive(Debug)]
pub struct Service(Process);

impl Service {
    /// Starts a program with these arguments, and these variables on top of a clean
    /// environment. Its log is at info level unless `RUST_LOG` is among them.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, program: &Path, arguments: &[String], envs: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        for variable in INHERITED {
            if let Some(value) = env::var_os(variable) {
                command.env(variable, value);
            }
        }
        command.env("NO_COLOR", "1").env("RUST_LOG", "info");
        command.envs(envs.iter().copied());
        Service(Process::spawn(name, command))
    }

    /// Waits until it has logged the address on which it listens (a line with `listening` and
    /// the field `field=127.0.0.1:PORT`).
    ///
    /// # Panics
    /// If it does not within 30 s.
    pub async fn wait_for_address(&self, field: &str) -> SocketAddr {
        let what = format!("its address (a line with `listening` and `{field}=`)");
        self.wait_for_line(&what, START, |line| {
            line.contains("listening")
                .then(|| field_value(line, field)?.parse().ok())?
        })
        .await
    }

    /// Its address by the field `address`: a restreamer's, or that of a page of metrics.
    ///
    /// # Panics
    /// If it does not say within 30 s.
    pub async fn address(&self) -> SocketAddr {
        self.wait_for_address("address").await
    }

    /// Its metrics now.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn metrics(&self) -> Metrics {
        metrics(self.address().await).await
    }
}

/// One that was started otherwise, e.g. as another user.
impl From<Process> for Service {
    fn from(process: Process) -> Service {
        Service(process)
    }
}

impl Deref for Service {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.0
    }
}

impl DerefMut for Service {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.0
    }
}

/// The value of `field=value` in a log line, without quotes.
fn field_value<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    line.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .find(|(name, _)| *name == field)
        .map(|(_, value)| value.trim_matches('"'))
}

/// The metrics that are served at an address.
///
/// # Panics
/// If they are not.
pub async fn metrics(address: SocketAddr) -> Metrics {
    let answer = raw::get(address, "/metrics").await;
    assert_eq!(answer.status, 200, "/metrics at {address}");
    Metrics::parse(&answer.text())
}

/// A port of 127.0.0.1 that was free a moment ago. Prefer port 0 and what the service logs:
/// somebody else may take this one before you do.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on 127.0.0.1");
    listener
        .local_addr()
        .expect("the listener's address")
        .port()
}

/// Where a node keeps its files.
#[derive(Debug)]
enum Base {
    /// A directory of its own, which goes with it.
    Own(TempDir),
    /// One that belongs to somebody else.
    Given(PathBuf),
}

/// A node: a base directory, and the services that a test starts on it.
#[derive(Debug)]
pub struct Node {
    name: String,
    base: Base,
    /// The restreamer, once it is started.
    pub restreamer: Option<Service>,
    address: Option<SocketAddr>,
}

impl Node {
    /// A node with an empty base directory, which goes when the node is dropped. `name` is how
    /// it calls itself and what its services are called in messages.
    ///
    /// # Panics
    /// If there is no room for temporary files.
    #[must_use]
    pub fn new(name: &str) -> Node {
        let base = TempDir::with_prefix(format!("node-{name}-")).expect("a temporary directory");
        Node::on(name, Base::Own(base))
    }

    /// A node on a directory that is there already and stays.
    #[must_use]
    pub fn at(name: &str, base: &Path) -> Node {
        Node::on(name, Base::Given(base.to_owned()))
    }

    fn on(name: &str, base: Base) -> Node {
        Node {
            name: name.to_owned(),
            base,
            restreamer: None,
            address: None,
        }
    }

    /// The base directory.
    #[must_use]
    pub fn base_dir(&self) -> &Path {
        match &self.base {
            Base::Own(directory) => directory.path(),
            Base::Given(directory) => directory,
        }
    }

    /// Starts a service of the workspace on nothing but these arguments. The first start of a
    /// test process builds the binaries; call [`Binaries::get`] before a live stream begins if
    /// the minutes that this may take matter.
    ///
    /// # Panics
    /// If it cannot be built or started.
    pub async fn start(
        &self,
        binary: &str,
        arguments: &[String],
        envs: &[(&str, &str)],
    ) -> Service {
        let built = tokio::task::spawn_blocking(Binaries::get).await;
        let program = built.expect("the build of the binaries").path(binary);
        let name = format!("{binary} of {}", self.name);
        Service::spawn(&name, &program, arguments, envs)
    }

    /// Starts the restreamer and waits until it listens.
    ///
    /// # Panics
    /// If it does not.
    pub async fn start_restreamer(&mut self) {
        self.start_restreamer_with(&[]).await;
    }

    /// As [`Node::start_restreamer`]; `extra` arguments come last.
    ///
    /// # Panics
    /// If it does not.
    pub async fn start_restreamer_with(&mut self, extra: &[&str]) {
        let arguments = with(arguments::restreamer(self.base_dir()), extra);
        let service = self.start("restreamer", &arguments, &[]).await;
        self.address = Some(service.address().await);
        self.restreamer = Some(service);
    }

    /// Where the restreamer listens.
    ///
    /// # Panics
    /// If it was not started.
    #[must_use]
    pub fn restreamer_address(&self) -> SocketAddr {
        self.address
            .unwrap_or_else(|| panic!("the restreamer of {} was not started", self.name))
    }

    /// The restreamer's URL, without a slash at the end.
    ///
    /// # Panics
    /// If it was not started.
    #[must_use]
    pub fn restreamer_url(&self) -> String {
        format!("http://{}", self.restreamer_address())
    }

    /// Starts a downloader of a channel, e.g. `test!:url:http://…`; `extra` arguments come last.
    ///
    /// # Panics
    /// If it cannot be built or started.
    pub async fn start_downloader(&self, channel: &str, extra: &[&str]) -> Service {
        let arguments = arguments::downloader(self.base_dir(), channel);
        self.start("downloader", &with(arguments, extra), &[]).await
    }

    /// Starts a backfiller of a channel from these peers' URLs; `extra` arguments come last.
    ///
    /// # Panics
    /// If it cannot be built or started.
    pub async fn start_backfiller(
        &self,
        channel: &str,
        peers: &[String],
        extra: &[&str],
    ) -> Service {
        let arguments = arguments::backfiller(self.base_dir(), channel, &self.name, peers);
        self.start("backfiller", &with(arguments, extra), &[]).await
    }

    /// GETs a target from the restreamer, to the byte as it is given.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn get(&self, target: &str) -> Answer {
        raw::get(self.restreamer_address(), target).await
    }

    /// The restreamer's metrics.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn metrics(&self) -> Metrics {
        metrics(self.restreamer_address()).await
    }

    /// All files of a channel's quality (temporary ones too): `HOUR/NAME` and the SHA-256 of
    /// the content as SPEC §2 writes it. A file that vanishes while it is looked at is left out.
    ///
    /// # Panics
    /// If a file cannot be read for another reason.
    #[must_use]
    pub fn files(&self, channel: &str, quality: &str) -> BTreeMap<String, String> {
        let root = self.base_dir().join(channel).join(quality);
        let mut files = BTreeMap::new();
        for file in all_files(&root) {
            match std::fs::read(&file) {
                Ok(bytes) => files.insert(relative(&root, &file), sha256_base64(&bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => panic!("cannot read {}: {error}", file.display()),
            };
        }
        files
    }

    /// The names of the same, `HOUR/NAME`, in order: costs nothing, however large the files are.
    #[must_use]
    pub fn file_names(&self, channel: &str, quality: &str) -> Vec<String> {
        let root = self.base_dir().join(channel).join(quality);
        let files = all_files(&root);
        let mut names: Vec<String> = files.iter().map(|file| relative(&root, file)).collect();
        names.sort_unstable();
        names
    }

    /// The files of a channel's quality whose name does not say the hash of their content,
    /// temporary ones left aside. There should never be any.
    #[must_use]
    pub fn wrong_hashes(&self, channel: &str, quality: &str) -> Vec<String> {
        let files = self.files(channel, quality);
        files
            .into_iter()
            .filter(|(name, _)| !is_temporary(name))
            .filter(|(name, hash)| !name.ends_with(&format!("-{hash}.ts")))
            .map(|(name, _)| name)
            .collect()
    }

    /// All temporary files below the base directory.
    #[must_use]
    pub fn temp_files(&self) -> Vec<String> {
        let root = self.base_dir();
        let names = all_files(root)
            .into_iter()
            .map(|file| relative(root, &file));
        names.filter(|name| is_temporary(name)).collect()
    }
}

fn with(mut arguments: Vec<String>, extra: &[&str]) -> Vec<String> {
    arguments.extend(extra.iter().map(|&word| word.to_owned()));
    arguments
}

/// A segment being written, or a chat batch (SPEC §2), or anything else called so.
fn is_temporary(name: &str) -> bool {
    name.contains("-temp-") || name.ends_with(".temp") || name.ends_with(".tmp")
}

fn relative(root: &Path, file: &Path) -> String {
    let file = file.strip_prefix(root).unwrap_or(file);
    file.display().to_string()
}

/// All files below a directory that may not be there, in no order.
fn all_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(_) => files.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_log_line() {
        let line = "INFO x: listening metrics_address=127.0.0.1:1 address=\"127.0.0.1:80\"";
        assert_eq!(field_value(line, "address"), Some("127.0.0.1:80"));
        assert_eq!(field_value(line, "port"), None);
    }

    #[test]
    fn files_wrong_hashes_and_temporary_files() {
        let node = Node::new("a");
        let hour = node.base_dir().join("c/source/2024-11-08T22");
        std::fs::create_dir_all(&hour).unwrap();
        let right = format!("00:00.000000-2.0-full-{}.ts", sha256_base64(b"x"));
        let wrong = format!("00:02.000000-2.0-full-{}.ts", sha256_base64(b"y"));
        let temporary = "00:04.000000-2.0-temp-1b4e28ba-2fa1-11d2-883f-0016d3cca427.ts";
        for name in [right.as_str(), wrong.as_str(), temporary] {
            std::fs::write(hour.join(name), "x").unwrap();
        }
        assert_eq!(node.files("c", "source").len(), 3);
        assert_eq!(
            node.wrong_hashes("c", "source"),
            [format!("2024-11-08T22/{wrong}")]
        );
        assert_eq!(
            node.temp_files(),
            [format!("c/source/2024-11-08T22/{temporary}")]
        );
        assert!(node.files("c", "none").is_empty());
    }
}
