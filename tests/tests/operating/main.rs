//! What docker-compose, nginx, Postgres, Prometheus, Grafana and systemd are told under `deploy/`
//! is true: each file is read by the program that it is for, and the services do what it says
//! (issue 7). In containers, all of it runs in `make compose-test`.
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod alerts;
mod compose;
mod dashboard;
mod front;
mod node;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Enough for anything that takes no time, on a busy machine too.
const SOON: Duration = Duration::from_secs(60);

/// The top of the repository.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// A file of the repository.
fn read(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a program at the top of the repository.
fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command.stdin(Stdio::null()).env("NO_COLOR", "1");
    let output = command.output();
    output.unwrap_or_else(|error| panic!("{program}: {error} (make test installs it)"))
}

/// Runs a program that has to succeed, and returns what it said.
fn succeed(program: &str, arguments: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = run(program, arguments);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    assert!(
        status.success(),
        "{program} {arguments:?}: {status}\n{said}"
    );
    said
}

/// Replaces what has to be in a text.
fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    text.replace(from, to)
}
