//! What to record: `NAME[!][:TYPE:URL]` (SPEC §5).

use std::str::FromStr;

use common::names::{Channel, NameError};
use url::Url;

/// A channel as it is given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSpec {
    /// What it is recorded as.
    pub name: Channel,
    /// Expected to be up.
    pub important: bool,
    /// Where it comes from.
    pub kind: ChannelKind,
}

/// Where a channel comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelKind {
    /// An HLS playlist.
    Url(Url),
}

/// Why a text names no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The name cannot be a directory's.
    #[error("{0}")]
    Name(#[from] NameError),
    /// No such type.
    #[error("there is no type {0:?}, only url")]
    Type(String),
    /// The type needs a URL.
    #[error("type {0} needs a URL: NAME:{0}:URL")]
    NoUrl(String),
    /// It is no web address.
    #[error("{0:?} is no http or https URL")]
    Url(String),
    /// Not yet there.
    #[error("type {0} is not supported yet; use NAME:url:URL")]
    Unsupported(&'static str),
}

impl FromStr for ChannelSpec {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<ChannelSpec, ChannelError> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        let (name, important) = match name.strip_suffix('!') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let name = Channel::new(name)?;
        let Some(rest) = rest else {
            return Err(ChannelError::Unsupported("twitch"));
        };
        let (kind, url) = rest.split_once(':').unwrap_or((rest, ""));
        match kind {
            "twitch" => return Err(ChannelError::Unsupported("twitch")),
            "youtube" => return Err(ChannelError::Unsupported("youtube")),
            "url" => {}
            other => return Err(ChannelError::Type(other.to_owned())),
        }
        if url.is_empty() {
            return Err(ChannelError::NoUrl(kind.to_owned()));
        }
        let parsed = Url::parse(url).ok();
        let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https"));
        let parsed = parsed.ok_or_else(|| ChannelError::Url(url.to_owned()))?;
        Ok(ChannelSpec {
            name,
            important,
            kind: ChannelKind::Url(parsed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_marks_and_urls() {
        let spec: ChannelSpec = "desertbus!:url:https://h:8080/a.m3u8?b=c:d"
            .parse()
            .unwrap();
        assert_eq!(spec.name.as_str(), "desertbus");
        assert!(spec.important);
        let ChannelKind::Url(url) = spec.kind;
        assert_eq!(url.as_str(), "https://h:8080/a.m3u8?b=c:d");
        assert!(!"a:url:http://h/".parse::<ChannelSpec>().unwrap().important);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "empty"),
            ("!:url:http://h/", "empty"),
            ("a/b:url:http://h/", "slash"),
            ("..:url:http://h/", "dot"),
            ("a:ftp:x", "\"ftp\""),
            ("a:url", "NAME:url:URL"),
            ("a:url:", "NAME:url:URL"),
            ("a:url:h/x.m3u8", "\"h/x.m3u8\""),
            ("a:url:file:///etc/passwd", "file:///etc/passwd"),
        ] {
            let error = text.parse::<ChannelSpec>().unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
