//! The routes, in-process: each test is a list of promises of SPEC §4.
#![allow(clippy::unwrap_used, reason = "a helper of tests reports by panicking")]

mod errors;
mod files;
mod health;
mod playlists;
mod segments;
mod support;
