//! Cuts (SPEC §4): from a request to a plan, and from a plan to bytes.
//!
//! [`request`] → [`plan`] → [`run`] → client. What can be copied is copied ([`rough`], [`exact`]); the rest
//! goes through [`ffmpeg`](crate::ffmpeg) ([`encode`]).
//! Beside them, what editors look at first: a [`frame`], a [`waveform`].

mod behind;
pub(crate) mod covered;
mod encode;
pub(crate) mod exact;
mod fmp4;
pub(crate) mod frame;
mod load;
pub(crate) mod plan;
pub(crate) mod request;
pub(crate) mod rough;
mod run;
pub(crate) mod running;
mod sound;
mod stretch;
pub(crate) mod waveform;

pub(crate) use self::run::run;

/// When the first picture that is wanted is shown in what is given to ffmpeg to cut an edge or find
/// a frame, in ticks: always the same, so that the next process has the same arguments and can be
/// started before it is needed, and late enough that nothing before it is below 0.
const WANTED_FROM: i64 = 3600 * crate::mpegts::time::TICKS_A_SECOND;
