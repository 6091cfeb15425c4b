//! YouTube: `yt-dlp` knows how to find a live video's media playlist, and is kept up to date by
//! people who do nothing else.

use std::process::Stdio;
use std::time::Duration;

use common::names::Quality;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use url::Url;

use super::{Found, ProviderError, SOURCE, Source, only_source};

/// `yt-dlp --dump-json` of a live video has some hundred kilobytes.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;

/// What it complains about is told up to this length.
const MAX_COMPLAINT: usize = 300;

/// What `yt-dlp` calls a video that is not live now, or not any more.
const NOT_LIVE: [&str; 4] = ["was_live", "post_live", "is_upcoming", "not_live"];

/// A live video of YouTube's.
#[derive(Debug, Clone)]
pub struct YoutubeProvider {
    /// The video, or the channel's `/live` page.
    pub url: Url,
    /// The program: a name to be looked up in PATH, or a path.
    pub program: String,
}

impl YoutubeProvider {
    pub(super) async fn find(
        &self,
        qualities: &[Quality],
        limit: Duration,
    ) -> Result<Found, ProviderError> {
        let quality = only_source(qualities)?;
        let output = match tokio::time::timeout(limit, self.dump()).await {
            Ok(output) => output?,
            Err(_) => return Err(self.problem(format!("no answer in {limit:?}"))),
        };
        let url = read_url(&output).map_err(|problem| self.problem(problem))?;
        let url = url.ok_or(ProviderError::Offline)?;
        Ok(Found {
            sources: vec![Source {
                quality,
                urls: vec![url],
            }],
            missing: Vec::new(),
            there: vec![SOURCE.to_owned()],
        })
    }

    fn problem(&self, problem: String) -> ProviderError {
        ProviderError::Program {
            program: self.program.clone(),
            problem,
        }
    }

    /// What the program writes about the video. Dropping the future ends the program.
    async fn dump(&self) -> Result<Vec<u8>, ProviderError> {
        let mut child = Command::new(&self.program)
            // The URL is no option, whatever it begins with.
            .args([
                "--dump-json",
                "--no-playlist",
                "--no-warnings",
                "--",
                self.url.as_str(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => self.problem(
                    "not found; channels of type youtube need yt-dlp (pip install yt-dlp)"
                        .to_owned(),
                ),
                _ => self.problem(format!("cannot be started: {error}")),
            })?;
        let (mut output, mut complaints) = (Vec::new(), Vec::new());
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let read_output = async {
            if let Some(pipe) = stdout {
                let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut output).await;
            }
        };
        let read_complaints = async {
            if let Some(pipe) = stderr {
                let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut complaints).await;
            }
        };
        let ((), (), status) = tokio::join!(read_output, read_complaints, child.wait());
        let status = status.map_err(|error| self.problem(error.to_string()))?;
        if status.success() {
            return Ok(output);
        }
        let complaints = String::from_utf8_lossy(&complaints);
        let last = complaints
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty());
        let last: String = last
            .unwrap_or("no reason given")
            .chars()
            .take(MAX_COMPLAINT)
            .collect();
        if last.contains("not currently live") || last.contains("will begin in") {
            return Err(ProviderError::Offline);
        }
        Err(self.problem(format!("{status}: {last}")))
    }
}

/// The media playlist in what the program wrote; none if the video is not live.
fn read_url(output: &[u8]) -> Result<Option<Url>, String> {
    let video: Value =
        serde_json::from_slice(output).map_err(|error| format!("it wrote no JSON: {error}"))?;
    let status = video["live_status"].as_str();
    if video["is_live"] == Value::Bool(false) || status.is_some_and(|it| NOT_LIVE.contains(&it)) {
        return Ok(None);
    }
    // Anything else may be a file of gigabytes.
    if let Some(protocol) = video["protocol"].as_str()
        && !protocol.starts_with("m3u8")
    {
        return Err(format!("its url is no playlist, but for {protocol:?}"));
    }
    let url = video["url"].as_str().ok_or("its JSON has no url")?;
    let url = Url::parse(url).map_err(|error| format!("its url cannot be read: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(Some(url)),
        other => Err(format!("its url has the scheme {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn find(program: &str) -> Result<Found, ProviderError> {
        let provider = YoutubeProvider {
            url: "https://youtube.example/live".parse().unwrap(),
            program: program.to_owned(),
        };
        let qualities = ["720p60", "source"].map(|name| Quality::new(name).unwrap());
        provider.find(&qualities, Duration::from_secs(20)).await
    }

    /// A program of this text, in a directory of its own.
    fn program(script: &str) -> (tempfile::TempDir, String) {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("yt-dlp");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = path.display().to_string();
        (directory, path)
    }

    #[tokio::test]
    async fn its_url_is_the_media_playlist() {
        let script =
            r#"[ "$1" = --dump-json ] && echo '{"id":"x","url":"https://m.example/a.m3u8"}'"#;
        let (_directory, path) = program(script);
        let found = find(&path).await.unwrap();
        assert_eq!(
            found.sources[0].urls[0].as_str(),
            "https://m.example/a.m3u8"
        );
        // What it never has is not missed: that would be looked for again and again.
        assert_eq!(found.missing, []);
    }

    #[tokio::test]
    async fn what_goes_wrong_is_one_clear_line() {
        let missing = find("/nonexistent/yt-dlp").await.unwrap_err().to_string();
        assert!(missing.contains("pip install yt-dlp"), "{missing}");
        for (script, part) in [
            (
                "echo 'ERROR: Video unavailable' >&2; exit 1",
                "Video unavailable",
            ),
            ("echo nonsense", "no JSON"),
            ("echo '{}'", "no url"),
            (r#"echo '{"url":"file:///etc/passwd"}'"#, "\"file\""),
            (
                r#"echo '{"url":"http://m/a.mp4","protocol":"https"}'"#,
                "\"https\"",
            ),
        ] {
            let (_directory, path) = program(script);
            let error = find(&path).await.unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
        let (_directory, path) =
            program("echo 'ERROR: The channel is not currently live' >&2; exit 1");
        assert!(find(&path).await.unwrap_err().is_offline());
    }

    #[test]
    fn what_was_live_or_will_be_is_not_live() {
        let table = [
            (r#""is_live":true,"live_status":"is_live""#, true),
            (r#""protocol":"m3u8_native""#, true),
            (
                r#""is_live":null,"live_status":null,"protocol":"m3u8""#,
                true,
            ),
            (r#""is_live":false,"protocol":"https""#, false),
            (r#""live_status":"was_live""#, false),
            (r#""live_status":"post_live""#, false),
            (r#""live_status":"is_upcoming""#, false),
            (r#""live_status":"not_live""#, false),
        ];
        for (fields, live) in table {
            let text = format!(r#"{{"url":"http://m/a.m3u8",{fields}}}"#);
            let url = read_url(text.as_bytes()).unwrap();
            assert_eq!(url.is_some(), live, "{fields}");
        }
        // A recording may have no URL of its own.
        let text = br#"{"is_live":false,"requested_formats":[]}"#;
        assert_eq!(read_url(text), Ok(None));
    }
}
