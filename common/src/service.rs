//! The life of a service's process: options from arguments or the environment, logging, the
//! page of metrics, one cancellation for SIGTERM and SIGINT, and the exit code.
//!
//! Exit codes: 0 after a clean end, 1 when the service could not do its work, 2 for bad options.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::disk;
use crate::logging;
use crate::serve::{self, BindError, Limits};

/// Where the page of metrics may be asked for: Prometheus usually runs on another host or in
/// another container.
const METRICS_HOST: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A page of metrics is out in no time.
const METRICS_GRACE: Duration = Duration::from_secs(1);

/// What still blocks a thread at the end (a file that is being synced, a disk that hangs) has so
/// long; then the process ends without it. With the 25 s that a service may take before, it is
/// less than the 30 s after which the units and the compose file kill.
const LAST_WORK: Duration = Duration::from_secs(3);

/// So many tasks run before the system is asked who else has something to do. A task that sends a
/// piece of a segment takes a tenth of a millisecond, to ask takes a thousandth; after 61 of them,
/// tokio's default, a small request has waited for long.
const TASKS_BETWEEN_EVENTS: u32 = 1;

/// Threads of a service on one processor. It looks at the disk from them, and never from the last one.
const LEAST_THREADS: usize = 2;

/// Signals that come so soon after the first are the same wish: wrappers such as `timeout` signal
/// their child and then its group, and pass on a Ctrl-C that the terminal has sent to all.
const SAME_WISH: Duration = Duration::from_secs(1);

/// The exit code for bad options, as `clap` and most programs have it.
const USAGE: u8 = 2;

/// What every service can be told.
#[derive(Debug, Clone, Args)]
pub struct CommonOptions {
    /// The directory in which all recordings are
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub base_dir: PathBuf,

    /// What to log: a level (error, warn, info, debug, trace), or a list of TARGET=LEVEL; without
    /// it RUST_LOG decides, or else it is info
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,

    /// The port of the backdoor, a shell inside the running process for `telnet 127.0.0.1 PORT`;
    /// on this machine alone (0: off)
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub backdoor_port: u16,
}

/// The options in use, by name, without passwords; for operators.
static CONFIG: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// The options of this process, by name, as they were given or by default. What could be a
/// password is left out.
#[must_use]
pub fn config() -> BTreeMap<String, String> {
    CONFIG.get().cloned().unwrap_or_default()
}

/// Reads the options of a service from its arguments, and from variables of the environment
/// named after it: `--base-dir` of `downloader` is `DOWNLOADER_BASE_DIR`. (Bare names such as
/// `HOST` and `PORT` mean other things in many environments.)
///
/// # Errors
/// The exit code, after help or one line of error was printed.
pub fn options<O: CommandFactory + FromArgMatches>(service: &str) -> Result<O, ExitCode> {
    let command = with_environment(O::command(), service);
    let matches = command.clone().try_get_matches();
    matches
        .and_then(|mut matches| {
            let known = shown_options(&command, &matches);
            let options = O::from_arg_matches_mut(&mut matches)?;
            // Read once in the life of a process.
            let _ = CONFIG.set(known);
            Ok(options)
        })
        .map_err(|error| {
            if error.use_stderr() {
                bad_options(service, &one_line(&error))
            } else {
                // Help or version; nobody is there to hear that they could not be printed.
                let _ = error.print();
                ExitCode::SUCCESS
            }
        })
}

/// Says in one line what is wrong with the options, and gives the exit code for it.
pub fn bad_options(service: &str, problem: &str) -> ExitCode {
    eprintln!("{service}: {problem}");
    ExitCode::from(USAGE)
}

/// Lets every option come from the environment too. A variable that is empty is not there: a
/// compose file cannot leave one out.
fn with_environment(command: clap::Command, service: &str) -> clap::Command {
    command.mut_args(|argument| {
        if matches!(argument.get_id().as_str(), "help" | "version") {
            return argument;
        }
        // `--port -1` is a bad value of --port, not an option of the name -1.
        let has_value = argument.get_long().is_some() && argument.get_action().takes_values();
        let argument = argument.allow_negative_numbers(has_value);
        let name = format!("{service}_{}", argument.get_id()).to_uppercase();
        match std::env::var_os(&name) {
            Some(value) if value.is_empty() => argument,
            _ => argument.env(clap::builder::OsStr::from(name)),
        }
    })
}

/// What every option was given, or has by default. One whose value `--help` does not show either
/// may be a password, but for web addresses, which are shown without one.
fn shown_options(command: &clap::Command, matches: &clap::ArgMatches) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for argument in command.get_arguments() {
        let name = argument.get_id().as_str();
        if matches!(name, "help" | "version") {
            continue;
        }
        let given = matches.get_raw(name).into_iter().flatten();
        // One value each: `clap` has split them where this option's are to be split. A comma that
        // is left belongs to a URL, or to a list of them that the option takes as one value.
        let values = given.map(|value| {
            let value = value.to_string_lossy();
            match argument.is_hide_env_values_set() {
                true => shown_secret(&value),
                false => crate::http::shown_text(&value),
            }
        });
        let values: Vec<String> = values.collect();
        shown.insert(name.to_owned(), values.join(","));
    }
    shown
}

/// What may be seen of a value that may be a password, or a list of them: web addresses.
fn shown_secret(value: &str) -> String {
    let is_web = |part: &&str| part.starts_with("http://") || part.starts_with("https://");
    let parts = value.split(',').map(|part| match part.trim() {
        "" => String::new(),
        part if !is_web(&part) => "***".to_owned(),
        part => crate::http::shown_text(part),
    });
    parts.collect::<Vec<String>>().join(",")
}

/// `clap`'s message without its hints: one line that names what was wrong. It repeats the value,
/// with all that is good about it: what its URLs hide is left out.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let message = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = message.split_whitespace().collect();
    let line = words.join(" ");
    crate::http::shown_text(line.strip_prefix("error: ").unwrap_or(&line))
}

/// Runs a service: sets up logging, calls `service` with the cancellation that SIGTERM and
/// SIGINT set off, and turns its outcome into the exit code. A signal that comes a second or more
/// after the first ends the process at once.
pub fn run<F, E>(
    name: &str,
    options: &CommonOptions,
    service: impl FnOnce(CancellationToken) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    run_on(None, name, options, service)
}

/// The same on so many threads, those for blocking work left aside; `None`: one for each core, two
/// at least, so that one that the system keeps waiting does not keep all waiting.
pub fn run_on<F, E>(
    threads: Option<NonZeroUsize>,
    name: &str,
    options: &CommonOptions,
    service: impl FnOnce(CancellationToken) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    if let Err(error) = logging::to_stderr(options.log.as_deref()) {
        let whose = if options.log.is_some() {
            "--log"
        } else {
            EnvFilter::DEFAULT_ENV
        };
        return bad_options(name, &format!("bad value for {whose}: {error}"));
    }
    raise_open_files();
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = threads.map_or_else(|| cores().max(LEAST_THREADS), NonZeroUsize::get);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .event_interval(TASKS_BETWEEN_EVENTS)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = live(runtime, LAST_WORK, async {
        let shutdown = CancellationToken::new();
        let signals = on_signals(&shutdown);
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(service = name, version, base_dir = %options.base_dir.display(), "started");
        let room = tokio::spawn(disk::watch(options.base_dir.clone(), shutdown.clone()));
        let outcome = match signals {
            Ok(()) => service(shutdown).await.map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot listen to signals: {error}")),
        };
        match &outcome {
            Ok(()) => tracing::info!("stopped"),
            Err(error) => tracing::error!("{error}"),
        }
        room.abort();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Runs a future to its end. Work that blocks a thread then has `last_work` to end: to drop a
/// runtime waits for it for ever.
fn live<T>(runtime: Runtime, last_work: Duration, life: impl Future<Output = T>) -> T {
    let outcome = runtime.block_on(life);
    runtime.shutdown_timeout(last_work);
    outcome
}

/// Lets the process have as many files and connections open as it may: the limit that it starts
/// with is low for the sake of programs that could not handle more.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// How many files and connections the process may have open at once.
#[must_use]
pub fn max_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Sets off `shutdown` at the first SIGTERM or SIGINT, and ends the process at one that says again
/// what the first has said.
fn on_signals(shutdown: &CancellationToken) -> std::io::Result<()> {
    let shutdown = shutdown.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Lives as long as the process: there is nothing to wait for.
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => ("SIGTERM", 143),
                _ = interrupt.recv() => ("SIGINT", 130),
            }
        };
        let (name, _) = next().await;
        tracing::info!(signal = name, "stopping");
        shutdown.cancel();
        let heard = Instant::now();
        let (name, code) = loop {
            let signal = next().await;
            if heard.elapsed() >= SAME_WISH {
                break signal;
            }
        };
        tracing::warn!(signal = name, "stopping at once");
        std::process::exit(code);
    });
    Ok(())
}

/// Serves the page of metrics on a port until `shutdown` (0: any free port).
///
/// # Errors
/// If the port is taken.
pub async fn serve_metrics(
    port: u16,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, BindError> {
    let listener = serve::bind(METRICS_HOST, port).await?;
    let router = serve::with_metrics(serve::metrics_router());
    Ok(tokio::spawn(serve::serve(
        listener,
        router,
        Limits::default(),
        shutdown,
        METRICS_GRACE,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Options {
        #[command(flatten)]
        common: CommonOptions,
        #[arg(required = true, value_delimiter = ' ')]
        channels: Vec<String>,
        #[arg(long, default_value_t = 8001)]
        metrics_port: u16,
    }

    fn command() -> clap::Command {
        with_environment(Options::command(), "downloader")
    }

    #[test]
    fn every_option_has_a_variable_named_after_the_service() {
        let command = command();
        let names: Vec<_> = command
            .get_arguments()
            .filter_map(|argument| argument.get_env()?.to_str())
            .collect();
        assert_eq!(
            names,
            [
                "DOWNLOADER_BASE_DIR",
                "DOWNLOADER_LOG",
                "DOWNLOADER_BACKDOOR_PORT",
                "DOWNLOADER_CHANNELS",
                "DOWNLOADER_METRICS_PORT"
            ]
        );
    }

    #[test]
    fn options_are_shown_without_passwords() {
        let command = command().mut_arg("log", |argument| argument.hide_env_values(true));
        const LOG: &str = "http://u:secret@h?secret,host=x password=a://secret";
        let channel = "a:url:http://u:secret@h/x?token=sec,secret";
        let matches = command
            .clone()
            .try_get_matches_from(["x", "b", channel, "--log", LOG]);
        let shown = shown_options(&command, &matches.unwrap());
        let expected = [
            ("backdoor_port", "0"),
            ("base_dir", "."),
            ("channels", "b,a:url:http://***@h/x?…"),
            ("log", "http://***@h?…,***"),
            ("metrics_port", "8001"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(shown, BTreeMap::from(expected));
    }

    #[test]
    fn work_that_never_ends_does_not_keep_the_process() {
        let (ended, end) = std::sync::mpsc::channel();
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().build();
            let outcome = live(runtime.unwrap(), Duration::from_millis(100), async {
                let (begun, has_begun) = tokio::sync::oneshot::channel();
                tokio::task::spawn_blocking(move || {
                    let _ = begun.send(());
                    finished.recv()
                });
                has_begun.await
            });
            let _ = ended.send(outcome);
        });
        let outcome = end.recv_timeout(Duration::from_secs(20));
        assert_eq!(outcome, Ok(Ok(())));
        drop(finish);
    }

    #[test]
    fn a_bad_option_is_one_line_that_names_it() {
        let table: [(&[&str], &[&str]); 5] = [
            (
                &["x", "c", "--metrics-port", "x"],
                &["'x'", "--metrics-port"],
            ),
            (
                &["x", "c", "--metrics-port", "70000"],
                &["70000", "--metrics-port"],
            ),
            (
                &["x", "c", "--metrics-port", "-1"],
                &["'-1'", "--metrics-port"],
            ),
            (&["x", "c", "--nonsense"], &["--nonsense"]),
            (&["x"], &["<CHANNELS>"]),
        ];
        for (arguments, named) in table {
            let error = command().try_get_matches_from(arguments).unwrap_err();
            let line = one_line(&error);
            assert!(!line.contains('\n'), "{line}");
            assert!(named.iter().all(|name| line.contains(name)), "{line}");
        }
    }

    #[test]
    fn a_bad_option_is_named_without_what_its_urls_hide() {
        let command = clap::Command::new("x")
            .arg(clap::Arg::new("channel").value_parser(|_: &str| Err::<(), _>("bad")));
        let table = [
            (
                "a:url:http://h/x?token=SECRET b:nonsense",
                "a:url:http://h/x?… b:nonsense",
            ),
            ("a:url:ftp://user:SECRET@h", "a:url:ftp://***@h"),
            ("a:url:http://h/x?t=SECRET\n\nb:x", "a:url:http://h/x?…"),
        ];
        for (value, shown) in table {
            let error = command.clone().try_get_matches_from(["x", value]);
            let line = one_line(&error.unwrap_err());
            assert!(line.contains(shown) && !line.contains("SECRET"), "{line}");
        }
    }
}
