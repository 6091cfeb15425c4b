//! Directories that the service may not read: `lost+found` at the root of a file system, or one
//! that an operator copied as root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::{TimeDelta, Utc};
use tests::content::sha256_base64;
use tests::node::{Binaries, Service, metrics};
use tests::process::Process;
use tests::raw;
use tokio::process::Command;

use super::SOON;

/// Nobody, who may read what all may.
const NOBODY: u32 = 65_534;

/// A service that does not run as root, whoever runs the tests; `None` if nobody else can reach
/// the program.
fn spawn(program: &Path, base: &Path) -> Option<Service> {
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", "0", "--base-dir"]);
    command.arg(base).env("NO_COLOR", "1");
    if rustix::process::geteuid().is_root() {
        let is_open = |directory: &Path| {
            fs::metadata(directory).is_ok_and(|found| found.permissions().mode() & 1 == 1)
        };
        if !program.ancestors().chain(base.ancestors()).all(is_open) {
            return None;
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let process = Process::spawn("restreamer of nobody", command);
    Some(Service::from(process))
}

#[tokio::test]
async fn what_may_not_be_read_hides_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path();
    let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o755));
    open(base).unwrap();
    // Two seconds are missing, two hours ago.
    let hour = (Utc::now() - TimeDelta::hours(2))
        .format("%Y-%m-%dT%H")
        .to_string();
    for quality in ["480p", "source"] {
        let hour = base.join("test").join(quality).join(&hour);
        fs::create_dir_all(&hour).unwrap();
        for start in ["00:00", "00:03"] {
            let name = format!("{start}.0-1.0-full-{}.ts", sha256_base64(b""));
            fs::write(hour.join(name), "").unwrap();
        }
    }
    let closed = ["lost+found", "test/closed", &format!("test/broken/{hour}")];
    for closed in closed.map(|closed: &str| base.join(closed)) {
        fs::create_dir_all(&closed).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o0)).unwrap();
    }
    let circle = base.join("test/circle");
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    let program = tokio::task::spawn_blocking(Binaries::get).await.unwrap();
    let Some(service) = spawn(&program.path("restreamer"), base) else {
        eprintln!("skipped: only root can reach the program");
        return;
    };
    let address = service.address().await;
    for _ in 0..3 {
        let health = raw::get(address, "/health").await;
        assert_eq!(health.status, 200, "{}", health.text());
        let newest = &health.json()["newest_segments"];
        let qualities = newest.as_array().unwrap().iter().map(|newest| {
            let text = |key: &str| newest[key].as_str().unwrap().to_owned();
            (text("channel"), text("quality"))
        });
        let expected = ["480p", "source"].map(|quality| ("test".to_owned(), quality.to_owned()));
        assert!(qualities.eq(expected), "{newest}");
    }
    tests::eventually(SOON, "the holes to be found", async || {
        let metrics = metrics(address).await;
        let source = [("channel", "test"), ("quality", "source")];
        match metrics.get("recording_hole_seconds", &source) {
            Some(2.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // (target, status)
    let table = [
        ("/files", 200),
        ("/files/test", 200),
        ("/files/lost%2bfound", 403),
        ("/files/test/closed", 403),
        (&format!("/files/test/broken/{hour}"), 403),
        ("/playlist/test.m3u8", 200),
        ("/playlist/lost%2bfound.m3u8", 403),
        ("/playlist/test/closed.m3u8", 403),
        (
            &format!("/playlist/test/broken.m3u8?start={hour}:00&end={hour}:01"),
            403,
        ),
        ("/extras/lost%2bfound", 403),
        ("/segments/lost%2bfound/x.png", 403),
        ("/segments/test/circle", 404),
        ("/segments/test/circle/x.ts", 404),
    ];
    for (target, status) in table {
        let answer = raw::get(address, target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }
    let master = raw::get(address, "/playlist/test.m3u8").await.text();
    assert_eq!(master.matches("STREAM-INF").count(), 2, "{master}");
    for closed in ["lost+found", "test/closed"] {
        assert_eq!(service.count_log(&format!("{closed}:")), 1, "{closed}");
    }
    assert_eq!(service.count_log("ERROR"), 0);
    for closed in closed {
        open(&base.join(closed)).unwrap();
    }
}
