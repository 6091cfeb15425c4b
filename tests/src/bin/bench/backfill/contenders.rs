//! Who downloads the hour, each with the options that its manual suggests for many small files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tests::node::Binaries;
use tokio::process::Command;

use super::hour::{CHANNEL, HOUR, Hour};

/// A downloader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    /// Ours, from our restreamer.
    Ours,
    /// Ours, from nginx.
    OursFromNginx,
    /// `rclone copy`, which looks at every file before it copies it.
    Rclone,
    /// The same, told not to look.
    RcloneNoHead,
    /// `rclone copy`, and after it what ours has done by then: every byte hashed and on the disk.
    RcloneChecked,
    /// `curl --parallel`.
    Curl,
    /// `aria2c`.
    Aria2,
    /// `cp -r` from the same memory, without any network.
    Copy,
}

impl Contender {
    pub(super) fn all() -> Vec<Contender> {
        use Contender::{
            Aria2, Copy, Curl, Ours, OursFromNginx, Rclone, RcloneChecked, RcloneNoHead,
        };
        vec![
            Ours,
            OursFromNginx,
            Rclone,
            RcloneNoHead,
            RcloneChecked,
            Curl,
            Aria2,
            Copy,
        ]
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Contender::Ours => "ours, from our restreamer",
            Contender::OursFromNginx => "ours, from nginx",
            Contender::Rclone => "rclone copy",
            Contender::RcloneNoHead => "rclone copy --http-no-head",
            Contender::RcloneChecked => "rclone copy, openssl, sync",
            Contender::Curl => "curl --parallel",
            Contender::Aria2 => "aria2c",
            Contender::Copy => "cp -r, no network",
        }
    }

    /// The words of its command line; `into` is an empty directory.
    fn command(self, hour: &Hour, into: &Path, at_once: usize) -> Vec<String> {
        let target = into.display().to_string();
        let count = at_once.to_string();
        let url = format!("{}/segments/{CHANNEL}/source/{HOUR}/", hour.nginx());
        let rclone = |more: &[&'static str]| {
            let mut all = vec!["rclone", "copy", "--config", "/dev/null"];
            all.extend(["--transfers", &count, "--http-url", &url]);
            all.extend(more);
            all.extend([":http:", &target]);
            words(&all)
        };
        match self {
            Contender::Ours | Contender::OursFromNginx => {
                let peer = match self {
                    Contender::Ours => hour.restreamer(),
                    _ => hour.nginx(),
                };
                let program = Binaries::get().path("backfiller").display().to_string();
                let options = format!(
                    "{program} {CHANNEL} --base-dir {target} --static-nodes {peer} --localhost bench-target \
                     --run-once --recent-cutoff 0 --metrics-port 0 --download-concurrency {count}"
                );
                options.split_whitespace().map(str::to_owned).collect()
            }
            Contender::Rclone => rclone(&[]),
            Contender::RcloneNoHead => rclone(&["--http-no-head"]),
            Contender::RcloneChecked => {
                let script = "rclone copy --config /dev/null --transfers $1 --http-url $2 :http: $3 && \
                    find $3 -type f -print0 | xargs -0 -n 100 -P $(nproc) openssl dgst -sha256 > /dev/null && sync -f $3";
                words(&["bash", "-c", script, "bash", &count, &url, &target])
            }
            Contender::Curl => {
                let list = into.join(".list");
                let mut text = String::new();
                for name in hour.names() {
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "url = \"{url}{name}\"\noutput = \"{target}/{name}\"");
                }
                fs::write(&list, text).expect("a file");
                words(&[
                    "curl",
                    "--silent",
                    "--fail",
                    "--parallel",
                    "--parallel-max",
                    &count,
                    "--config",
                    &list.display().to_string(),
                ])
            }
            Contender::Aria2 => {
                let list = into.join(".list");
                let mut text = String::new();
                for name in hour.names() {
                    let _ = writeln!(text, "{url}{name}\n  out={name}");
                }
                fs::write(&list, text).expect("a file");
                words(&[
                    "aria2c",
                    "--quiet",
                    "--no-conf",
                    "--file-allocation=none",
                    "-x1",
                    "-j",
                    &count,
                    "-d",
                    &target,
                    "-i",
                    &list.display().to_string(),
                ])
            }
            Contender::Copy => {
                words(&["cp", "-r", &hour.directory().display().to_string(), &target])
            }
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Runs one contender into an empty directory below `place`: the time it took, and its CPU time.
pub(super) async fn run_timed(
    contender: Contender,
    hour: &Hour,
    place: &Path,
    at_once: usize,
) -> Result<(Duration, Duration), String> {
    let into = TempDir::with_prefix_in("bench-into-", place).map_err(|error| error.to_string())?;
    let words = contender.command(hour, into.path(), at_once);
    // What earlier contenders left for the disk is not this one's business.
    rustix::fs::sync();
    let output = Command::new("bash")
        .args(["-c", "TIMEFORMAT='TIME %3R %3U %3S'; time \"$@\"", "bash"])
        .args(&words)
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| error.to_string())?;
    let times = times(&output).ok_or_else(|| {
        let text = String::from_utf8_lossy(&output.stderr);
        text.lines().last().unwrap_or("no output").to_owned()
    })?;
    let arrived = arrived(into.path());
    if arrived != hour.count() {
        return Err(format!("{arrived} files of {}", hour.count()));
    }
    Ok(times)
}

/// What bash said at the end: wall, user and system time.
fn times(output: &Output) -> Option<(Duration, Duration)> {
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("TIME "))?;
    let mut seconds = line.split(' ').map(str::parse::<f64>);
    let mut next = || seconds.next()?.ok();
    let (wall, user, system) = (next()?, next()?, next()?);
    Some((
        Duration::from_secs_f64(wall),
        Duration::from_secs_f64(user + system),
    ))
}

/// How many segments are below a directory.
fn arrived(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let count = entries.flatten().map(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => arrived(&path),
            false => usize::from(path.extension().is_some_and(|ending| ending == "ts")),
        }
    });
    count.sum()
}
