//! Records live HLS as content-hashed segment files.
pub mod playlist;
