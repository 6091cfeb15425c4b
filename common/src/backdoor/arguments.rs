//! What operators give to functions, read as the types that cannot be wrong.

use rhai::EvalAltResult;

use super::registry::failure;
use crate::names::{Channel, Quality};
use crate::segment::Hour;

/// An hour of a channel's quality.
///
/// # Errors
/// A line that names the word that is none.
pub fn hour_of(
    channel: &str,
    quality: &str,
    hour: &str,
) -> Result<(Channel, Quality, Hour), Box<EvalAltResult>> {
    let channel = Channel::new(channel)
        .map_err(|error| failure(format!("bad channel '{channel}': {error}")))?;
    let quality = Quality::new(quality)
        .map_err(|error| failure(format!("bad quality '{quality}': {error}")))?;
    let hour = hour
        .parse()
        .map_err(|error| failure(format!("bad hour '{hour}': {error}")))?;
    Ok((channel, quality, hour))
}
