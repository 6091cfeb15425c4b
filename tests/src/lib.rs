//! What the scenarios under `tests/tests/` stand on: an HLS origin that misbehaves on demand,
//! real video from ffmpeg, and whole nodes made of the real binaries.
//!
//! Nothing here speaks to anything but loopback, every wait has an end, and every process is
//! ended by its own handle. A helper that cannot do its work panics with one clear line: that
//! is how a test learns of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests reports by panicking; a poisoned lock means the test has failed already"
)]

pub mod content;
pub mod eventually;
pub mod ffmpeg;
pub mod metrics;
pub mod node;
pub mod numbered;
pub mod operator;
pub mod origin;
pub mod playlist;
pub mod postgres;
pub mod process;
pub mod raw;

pub use eventually::eventually;
