//! What the routes for editors have in common: a quality named in the path, and a name for what
//! is downloaded.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};
use chrono::{DateTime, Timelike, Utc};
use common::names::{PathPart, Quality};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::ApiError;
use crate::index::Rendition;

/// The quality that `CHANNEL/QUALITY` with this end names.
///
/// # Errors
/// 404 if the path ends in another way.
pub(super) fn rendition(parts: &[PathPart], suffix: &str) -> Result<Rendition, ApiError> {
    let named = match parts {
        [channel, name] => name.as_str().strip_suffix(suffix).zip(Some(channel)),
        _ => None,
    };
    let Some((quality, channel)) = named else {
        let text = format!("there is only CHANNEL/QUALITY{suffix}");
        return Err(ApiError::NotFound(text));
    };
    Ok(Rendition {
        channel: channel.clone().into(),
        quality: Quality::new(quality)?,
    })
}

/// Says under which name to keep what is sent (RFC 6266): the channel, the quality and the times,
/// without characters that some file systems do not take.
pub(super) fn tell_name(
    head: &mut HeaderMap,
    disposition: &str,
    rendition: &Rendition,
    times: &[DateTime<Utc>],
    extension: &str,
) {
    let mut name = format!("{}_{}", rendition.channel, rendition.quality);
    for time in times {
        // Writing to a string cannot fail.
        let _ = write!(name, "_{}", time.format("%Y-%m-%dT%H-%M-%S"));
        if time.nanosecond() != 0 {
            let micros = format!("{:06}", time.timestamp_subsec_micros());
            let _ = write!(name, ".{}", micros.trim_end_matches('0'));
        }
    }
    let _ = write!(name, ".{extension}");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain = name.chars().map(|c| if is_plain(c) { c } else { '-' });
    let plain: String = plain.collect();
    let encoded = utf8_percent_encode(&name, NON_ALPHANUMERIC);
    let value = if plain == name {
        format!("{disposition}; filename=\"{plain}\"")
    } else {
        format!("{disposition}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
    };
    if let Ok(value) = HeaderValue::try_from(value) {
        head.insert(header::CONTENT_DISPOSITION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::names::Channel;

    #[test]
    fn names_of_downloads() {
        let named = |channel: &str, times: &[&str]| {
            let rendition = Rendition {
                channel: Channel::new(channel).unwrap(),
                quality: Quality::new("source").unwrap(),
            };
            let times = times
                .iter()
                .map(|time| common::dateutil::parse(time).unwrap());
            let mut head = HeaderMap::new();
            tell_name(
                &mut head,
                "attachment",
                &rendition,
                &times.collect::<Vec<_>>(),
                "ts",
            );
            head[header::CONTENT_DISPOSITION]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            named("c", &["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.25Z"]),
            "attachment; filename=\"c_source_2026-01-02T03-04-05_2026-01-02T03-04-05.25.ts\""
        );
        assert_eq!(
            named("ä\"\\x", &[]),
            "attachment; filename=\"---x_source.ts\"; filename*=UTF-8''%C3%A4%22%5Cx%5Fsource%2Ets"
        );
    }

    #[test]
    fn other_paths_name_nothing() {
        let part = |text: &str| PathPart::new(text).unwrap();
        assert!(rendition(&[part("c"), part("source.ts")], ".ts").is_ok());
        assert!(rendition(&[part("c"), part("source")], ".ts").is_err());
        // Nothing is left of its name.
        assert!(rendition(&[part("c"), part("x.png")], ".ts").is_err());
    }
}
