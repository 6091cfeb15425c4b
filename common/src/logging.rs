//! The process's log: one line an event to standard error, and which events those are. That can
//! be changed while the process runs.

use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::filter::{Directive, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use crate::metrics::CountLogLines;

/// One line per event that an operator acts on.
const DEFAULT: &str = "info";

/// The filter in use, if it is ours.
static FILTER: OnceLock<Filter> = OnceLock::new();

#[derive(Debug)]
struct Filter {
    handle: Handle<EnvFilter, Registry>,
    text: Mutex<String>,
}

/// Why a log filter is not put in place.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// A part of it makes no sense.
    #[error("'{part}' is neither a level (off, error, warn, info, debug, trace) nor TARGET=LEVEL")]
    Part {
        /// Which.
        part: String,
    },
    /// All of it, for another reason.
    #[error("{0}")]
    Whole(String),
    /// The process logs otherwise than [`to_stderr`] has it.
    #[error("the log of this process cannot be changed")]
    NotOurs,
}

/// Logs to standard error, and counts what is logged. Without a filter `RUST_LOG` decides.
///
/// # Errors
/// If the filter makes no sense.
pub(crate) fn to_stderr(filter: Option<&str>) -> Result<(), String> {
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let from_environment = from_environment.filter(|filter| !filter.is_empty());
    let text = filter.or(from_environment.as_deref()).unwrap_or(DEFAULT);
    let filter = parse(text).map_err(|error| error.to_string())?;
    let (filter, handle) = reload::Layer::new(filter);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(crate::terminal::LogLines)
        .with_ansi(colours);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(CountLogLines)
        .try_init()
        .map_err(|error| error.to_string())?;
    let text = Mutex::new(text.to_owned());
    // Set once: a second subscriber was refused above.
    let _ = FILTER.set(Filter { handle, text });
    Ok(())
}

/// The filter in use, as it was given.
///
/// # Errors
/// If the process logs in another way.
pub fn level() -> Result<String, FilterError> {
    let filter = FILTER.get().ok_or(FilterError::NotOurs)?;
    let text = filter.text.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(text.clone())
}

/// Puts another filter in place, at once.
///
/// # Errors
/// [`FilterError`], which names the part that makes no sense; the filter stays then.
pub fn set_level(text: &str) -> Result<(), FilterError> {
    let new = parse(text)?;
    let filter = FILTER.get().ok_or(FilterError::NotOurs)?;
    let replaced = filter.handle.reload(new);
    replaced.map_err(|error| FilterError::Whole(error.to_string()))?;
    let mut known = filter.text.lock().unwrap_or_else(PoisonError::into_inner);
    text.clone_into(&mut known);
    Ok(())
}

/// Reads a filter. A word that is no level would be taken for a target, of which everything is
/// logged, and nothing of all others: that is a typing error, not a wish.
fn parse(text: &str) -> Result<EnvFilter, FilterError> {
    let bad = |part: &str| FilterError::Part {
        part: part.to_owned(),
    };
    if text.trim().is_empty() {
        return Err(bad(text));
    }
    let parts: Vec<String> = text.split(',').map(canonical).collect();
    for part in &parts {
        let (_, level) = target_and_level(part);
        let is_level = !level.is_empty() && LevelFilter::from_str(level).is_ok();
        if !is_level || Directive::from_str(part).is_err() {
            return Err(bad(part));
        }
    }
    EnvFilter::try_new(parts.join(",")).map_err(|error| FilterError::Whole(error.to_string()))
}

/// A part of a filter: its target with the `=`, if it has one, and its level.
fn target_and_level(part: &str) -> (&str, &str) {
    part.split_at(part.rfind('=').map_or(0, |equals| equals + 1))
}

/// A part of a filter without blanks around it, and with the level under the name that is read.
fn canonical(part: &str) -> String {
    let (target, level) = target_and_level(part.trim());
    let is_long = level.eq_ignore_ascii_case("warning");
    format!("{target}{}", if is_long { "warn" } else { level })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_by_either_name_is_one() {
        for text in ["warning", "WARN", " warning "] {
            let filter = parse(text).unwrap();
            assert_eq!(filter.max_level_hint(), Some(LevelFilter::WARN), "{text}");
        }
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_named() {
        let good = [
            "info",
            "OFF",
            "common::store=trace,info",
            "info, downloader=debug",
            "warn,downloader[worker{peer=a}]=debug",
            "warning",
            "Warning, downloader=WARNING",
        ];
        for text in good {
            assert!(parse(text).is_ok(), "{text}");
        }
        let bad = [
            ("", ""),
            ("verbose", "verbose"),
            ("inof", "inof"),
            ("warnings", "warnings"),
            ("downloader", "downloader"),
            ("debug,downloader", "downloader"),
            ("info,common::store=loud", "common::store=loud"),
            ("debug,,info", ""),
            ("info,x=", "x="),
        ];
        for (text, part) in bad {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{part}' ")), "{text}: {error}");
        }
    }
}
