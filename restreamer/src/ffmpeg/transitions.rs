//! The transitions that the ffmpeg of this machine knows: the names of its xfade filter.

use std::sync::Arc;
use std::time::Duration;

use super::{Ffmpeg, FfmpegError};

/// ffmpeg describes a filter in no time, also where the machine is busy.
const LIMIT: Duration = Duration::from_secs(20);

/// Descriptions of filters have a few KiB.
const MAX_BYTES: usize = 1 << 20;

/// This one takes an expression, which nobody may give.
const CUSTOM: &str = "custom";

/// A name of a transition that this ffmpeg knows: lower-case letters and digits, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Transition(Arc<str>);

impl Transition {
    /// One that needs not be asked for, as tests do.
    #[cfg(test)]
    pub(crate) fn of(name: &str) -> Transition {
        Transition(name.into())
    }

    /// The name, fit for a filter's text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// All transitions that an ffmpeg knows.
#[derive(Debug)]
pub(crate) struct Transitions(Vec<Transition>);

impl Transitions {
    /// These, without asking.
    #[cfg(test)]
    pub(crate) fn of(names: &[&str]) -> Transitions {
        Transitions(names.iter().map(|name| Transition::of(name)).collect())
    }

    /// The one of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Transition> {
        let found = self.0.iter().find(|known| known.as_str() == name);
        found.cloned()
    }

    /// All names, for a person to read.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(Transition::as_str).collect();
        names.join(", ")
    }

    /// Reads them from ffmpeg's description of the filter: the constants of its option
    /// `transition`.
    fn parse(help: &str) -> Transitions {
        let lines = help.lines().map(|line| {
            let indent = line.len() - line.trim_start().len();
            (indent, line.split_whitespace().collect::<Vec<&str>>())
        });
        let mut option = None;
        let mut found = Vec::new();
        for (indent, words) in lines {
            match (option, words.as_slice()) {
                (None, ["transition", kind, ..]) if kind.starts_with('<') => option = Some(indent),
                (Some(at), [name, number, ..]) if indent > at && number.parse::<i32>().is_ok() => {
                    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
                    if *name != CUSTOM && name.bytes().all(is_plain) {
                        found.push(Transition((*name).into()));
                    }
                }
                (Some(_), _) => break,
                (None, _) => {}
            }
        }
        Transitions(found)
    }
}

impl Ffmpeg {
    /// The transitions that it knows; asked once, and again as long as it fails.
    ///
    /// # Errors
    /// If there is no ffmpeg, or it cannot say.
    pub(crate) async fn transitions(self: &Arc<Self>) -> Result<&Transitions, FfmpegError> {
        let ask = async || {
            let arguments = ["-h", "filter=xfade"].map(Into::into).to_vec();
            let run = self.ask(LIMIT, "transitions", arguments);
            let help = run.whole(MAX_BYTES).await?;
            Ok(Transitions::parse(&String::from_utf8_lossy(&help)))
        };
        self.transitions.get_or_try_init(ask).await
    }

    /// Says so if there is no ffmpeg, or one without transitions.
    pub(crate) async fn check(self: Arc<Self>) {
        match self.transitions().await {
            Ok(known) if known.0.is_empty() => {
                tracing::warn!("this ffmpeg has no transitions: its filter xfade is missing");
            }
            Ok(known) => tracing::debug!(transitions = known.0.len(), "ffmpeg is there"),
            // The pool says what else went wrong.
            Err(FfmpegError::Missing(program)) => tracing::warn!(
                program = %program.display(),
                "there is no ffmpeg: cuts that need it, frames and waveforms are refused"
            ),
            Err(error) => tracing::warn!(%error, "ffmpeg does not say which transitions it has"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_names_of_the_real_ffmpeg() {
        let ffmpeg = Arc::new(Ffmpeg::new("ffmpeg".into(), 1, 0, 0));
        let known = ffmpeg.transitions().await.unwrap();
        for name in ["fade", "wipeleft", "circleopen", "hblur", "zoomin"] {
            assert_eq!(known.get(name).unwrap().as_str(), name);
        }
        for name in [
            "custom",
            "Fade",
            "",
            "fade:expr=1",
            "duration",
            "transition",
        ] {
            assert_eq!(known.get(name), None, "{name}");
        }
        assert!(known.names().starts_with("fade, wipeleft, "));
    }

    #[test]
    fn what_is_no_plain_name_is_no_transition() {
        let help = "Filter xfade\nxfade AVOptions:\n   transition <int> ..FV set (default fade)\n     \
                    fade   0   ..FV\n     a:b    1  ..FV\n     a2   2  ..FV\n   duration <duration> ..\n     \
                    other 3 ..FV\n";
        assert_eq!(Transitions::parse(help).names(), "fade, a2");
        assert_eq!(Transitions::parse("Unknown filter 'xfade'.\n").names(), "");
    }
}
