//! What to record: `NAME[!][:TYPE:URL]` (SPEC §5).

use std::str::FromStr;

use common::names::{Channel, NameError};
use url::Url;

/// Channels separated by blanks: one as an argument, all of them in a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSpecs(pub Vec<ChannelSpec>);

impl FromStr for ChannelSpecs {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<ChannelSpecs, ChannelError> {
        let specs = text.split_whitespace().map(str::parse);
        specs.collect::<Result<_, _>>().map(ChannelSpecs)
    }
}

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
    /// Twitch, where it has the same name.
    Twitch,
    /// A live video of YouTube's.
    Youtube(Url),
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
    #[error("there is no type {0:?}, only twitch, youtube and url")]
    Type(String),
    /// The type needs a URL.
    #[error("type {0} needs a URL: NAME:{0}:URL")]
    NoUrl(String),
    /// It is no web address.
    #[error("{0:?} is no http or https URL")]
    Url(String),
    /// The type has no URL: the channel's name says it all.
    #[error("type twitch takes no URL: NAME or NAME:twitch")]
    NeedlessUrl,
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
        let (kind, url) = match rest {
            Some(rest) => rest.split_once(':').unwrap_or((rest, "")),
            None => ("twitch", ""),
        };
        let kind = match kind {
            "twitch" if url.is_empty() => ChannelKind::Twitch,
            "twitch" => return Err(ChannelError::NeedlessUrl),
            "youtube" => ChannelKind::Youtube(web_address(kind, url)?),
            "url" => ChannelKind::Url(web_address(kind, url)?),
            other => return Err(ChannelError::Type(other.to_owned())),
        };
        Ok(ChannelSpec {
            name,
            important,
            kind,
        })
    }
}

fn web_address(kind: &str, text: &str) -> Result<Url, ChannelError> {
    if text.is_empty() {
        return Err(ChannelError::NoUrl(kind.to_owned()));
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err(ChannelError::Url(text.to_owned())),
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
        let url = "https://h:8080/a.m3u8?b=c:d".parse().unwrap();
        assert_eq!(spec.kind, ChannelKind::Url(url));
        for text in ["desertbus", "desertbus:twitch"] {
            assert_eq!(
                text.parse::<ChannelSpec>().unwrap().kind,
                ChannelKind::Twitch
            );
        }
        let spec: ChannelSpec = "a:youtube:https://y/live".parse().unwrap();
        assert!(matches!(spec.kind, ChannelKind::Youtube(_)));
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
            ("a:twitch:http://h/", "no URL"),
            ("a:youtube", "NAME:youtube:URL"),
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
