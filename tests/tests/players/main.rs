//! What players make of our playlists: hls.js in Chromium, mpv, and ffmpeg, on real video.
#![allow(clippy::unwrap_used, reason = "a helper of tests reports by panicking")]

mod live;
mod past;
mod support;
