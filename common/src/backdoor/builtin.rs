//! What is in reach in every service.

use std::fs;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rhai::{Array, Dynamic, Map, NativeCallContext};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::control::Caller;
use super::registry::{Outcome, Registry, failure};
use crate::{logging, metrics, service, tasks};

/// So many metrics, or tasks, are given at once.
const MOST_LISTED: usize = 5000;

/// A day is longer than any line may take.
const LONGEST_SLEEP: f64 = 86_400.0;

/// Registers everything.
pub(super) fn register(registry: &mut Registry, shutdown: &CancellationToken) {
    registry.section("everywhere");
    let service = registry.service();
    registry.function("version()", "this program and its version", move || {
        Ok(format!("{service} {}", env!("CARGO_PKG_VERSION")).into())
    });
    let begun = Instant::now();
    registry.function("uptime()", "seconds since the process began", move || {
        Ok(seconds(begun.elapsed()))
    });
    registry.function("now()", "the time, UTC", || Ok(time(Utc::now())));
    registry.function(
        "sleep(seconds)",
        "does nothing for so long; Ctrl-C ends it",
        |context: NativeCallContext<'_>, seconds: f64| sleep(&context, seconds),
    );
    registry.overload("sleep", |context: NativeCallContext<'_>, seconds: i64| {
        sleep(&context, seconds as f64)
    });
    registry.function(
        "memory()",
        "memory in bytes, threads and open files of the process",
        memory,
    );
    registry.function("config()", "the options in use, without passwords", || {
        let options = service::config().into_iter();
        let map: Map = options
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Ok(map.into())
    });
    registry.function("log_level()", "the filter of the log", || {
        logging::level().map(Dynamic::from).map_err(failure)
    });
    registry.function(
        "log_level(filter)",
        "another one, at once: \"debug\", or \"common::store=trace,info\"",
        |filter: &str| {
            let before = logging::level().map_err(failure)?;
            logging::set_level(filter).map_err(failure)?;
            tracing::info!(before, filter, "the log's filter is another one");
            Ok(filter.into())
        },
    );
    registry.function("metrics()", "all metrics and their values", || values(""));
    registry.function(
        "metrics(prefix)",
        "those whose names begin so, such as \"segments_\"",
        values,
    );
    registry
        .kind::<tasks::Running>("task")
        .field("id", "tells it from all others", |task| {
            i64::try_from(task.id).unwrap_or(i64::MAX).into()
        })
        .field("kind", "what it is: a worker, a request …", |task| {
            task.kind.into()
        })
        .field("name", "which one", |task| task.name.clone().into())
        .field("age", "seconds since it began", |task| seconds(task.age))
        .field("state", "what it does, or waits for", |task| {
            task.state.into()
        })
        .field("state_age", "for how many seconds", |task| {
            seconds(task.state_age)
        })
        .field("bytes", "what it has received or sent", |task| {
            count(task.bytes)
        })
        .done();
    registry.function(
        "tasks()",
        "what runs, for how long, waiting for what; the oldest first",
        || Ok(list(tasks::running(MOST_LISTED))),
    );
    registry.function("tasks(kind)", "those of a kind", |kind: &str| {
        let mut tasks = tasks::running(usize::MAX);
        tasks.retain(|task| task.kind == kind);
        tasks.truncate(MOST_LISTED);
        Ok(list(tasks))
    });
    let shutdown = shutdown.clone();
    registry.function(
        "shutdown()",
        "ends the service in good order, as SIGTERM does",
        move || {
            tracing::info!(signal = "backdoor", "stopping");
            shutdown.cancel();
            Ok("stopping".into())
        },
    );
}

fn sleep(context: &NativeCallContext<'_>, seconds: f64) -> Outcome {
    if !(0.0..=LONGEST_SLEEP).contains(&seconds) {
        return Err(failure("sleep takes a number of seconds, a day at most"));
    }
    Caller::of(context)?.sleep(Duration::from_secs_f64(seconds))?;
    Ok(Dynamic::UNIT)
}

fn values(prefix: &str) -> Outcome {
    let values = metrics::values(prefix);
    if values.len() > MOST_LISTED {
        return Err(failure(format!(
            "there are {} of them, and {MOST_LISTED} at most can be shown: give a longer prefix",
            values.len()
        )));
    }
    let map: Map = values
        .into_iter()
        .map(|(name, value)| (name.into(), number(value)))
        .collect();
    Ok(map.into())
}

/// As the kernel counts them.
fn memory() -> Outcome {
    let status = fs::read_to_string("/proc/self/status").map_err(failure)?;
    let of = |name: &str| {
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = value.and_then(|value| value.split_whitespace().next());
        value.and_then(|value| value.parse::<i64>().ok())
    };
    let mut map = Map::new();
    for (name, line, unit) in [
        ("resident", "VmRSS", 1024),
        ("resident_peak", "VmHWM", 1024),
        ("virtual", "VmSize", 1024),
        ("swapped", "VmSwap", 1024),
        ("threads", "Threads", 1),
    ] {
        let value = of(line).map_or(Dynamic::UNIT, |value| Dynamic::from(value * unit));
        map.insert(name.into(), value);
    }
    let files = fs::read_dir("/proc/self/fd").map_err(failure)?.count();
    map.insert("open_files".into(), count(files));
    Ok(map.into())
}

/// A list of values.
pub fn list<T: std::any::Any + Clone + Send + Sync>(
    values: impl IntoIterator<Item = T>,
) -> Dynamic {
    let array: Array = values.into_iter().map(Dynamic::from).collect();
    array.into()
}

/// A time as a value: seconds, to the millisecond.
pub fn seconds(time: Duration) -> Dynamic {
    ((time.as_secs_f64() * 1000.0).round() / 1000.0).into()
}

/// An instant as a value: ISO 8601.
pub fn time(instant: DateTime<Utc>) -> Dynamic {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true).into()
}

/// How many, as a value.
pub fn count(number: impl TryInto<i64>) -> Dynamic {
    number.try_into().unwrap_or(i64::MAX).into()
}

/// What may not be there, as a value.
pub fn maybe<T: Into<Dynamic>>(value: Option<T>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Into::into)
}

/// A number of a metric: whole, if it is one.
fn number(value: f64) -> Dynamic {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => (value as i64).into(),
        false => value.into(),
    }
}
