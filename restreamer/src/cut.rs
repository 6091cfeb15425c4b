//! Cuts (SPEC §4): from a request to a plan, and from a plan to bytes.
//!
//! [`request`] → [`plan`] → parts, one after the other → client. What can be copied is copied;
//! the rest goes through [`ffmpeg`](crate::ffmpeg).

pub(crate) mod exact;
pub(crate) mod plan;
pub(crate) mod request;
mod stretch;
