//! restreamer.
