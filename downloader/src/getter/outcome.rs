//! How a try at a segment ends.

use std::time::Duration;

use common::segment::SegmentType;
use reqwest::StatusCode;

/// How a try ended.
#[derive(Debug)]
pub enum Outcome {
    /// It got its final name; the type is `full` or `suspect`.
    Recorded(SegmentType),
    /// It was there in full already.
    Known,
    /// It got its final name, and there is another one of its start and duration.
    Beside,
    /// It is not what there is of its start and duration; it was only compared.
    Other,
    /// It cannot be had from there, not now and not later.
    Lost(Loss),
    /// It did not come this time.
    Failed {
        /// Why not.
        why: String,
        /// The pause that the server asks for (`Retry-After`).
        pause: Option<Duration>,
    },
    /// Something that it needs is not there, or not there yet.
    Missing(StatusCode),
    /// We could not store it: not the origin's fault.
    NotStored,
    /// The process is stopping.
    Stopped,
    /// A fault in this program.
    Crashed,
}

/// Why a segment cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// The origin does not have it any more.
    #[error("the origin answered {0}")]
    Gone(StatusCode),
    /// It never came.
    #[error("it did not come in time; at last: {0}")]
    Late(String),
    /// We cannot decrypt it, and do not store what nobody can play.
    #[error("it is encrypted with {0}, which is not supported")]
    Encrypted(String),
    /// It is larger than any segment that we would believe.
    #[error("{0}")]
    TooLarge(String),
    /// Every try ended by a fault in this program.
    #[error("getting it crashed")]
    Crashed,
}

impl Loss {
    /// A word for metrics.
    pub(super) fn reason(&self) -> &str {
        match self {
            Loss::Gone(status) => status.as_str(),
            Loss::Late(_) => "late",
            Loss::Encrypted(_) => "encrypted",
            Loss::TooLarge(_) => "too_large",
            Loss::Crashed => "crashed",
        }
    }
}
