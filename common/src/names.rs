//! Names that become parts of a path: a part that came from a request, a peer or an option
//! is a type here, so that nothing can leave the base directory.

use std::fmt;
use std::str::FromStr;

/// The longest file name that Linux file systems take, in bytes.
const MAX_BYTES: usize = 255;

/// Why a text cannot be a part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name may not be empty")]
    Empty,
    /// It begins with a dot: hidden files, `.` and `..` (SPEC §2, §4).
    #[error("a name may not begin with a dot")]
    Hidden,
    /// It holds a slash or a control character.
    #[error("a name may not hold a slash or a control character")]
    Character,
    /// It is longer than a file name may be.
    #[error("a name may not be longer than {MAX_BYTES} bytes")]
    TooLong,
}

/// One part of a path below the base directory: never empty, never hidden, never `..`, no `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPart(Box<str>);

impl PathPart {
    /// Checks a text and makes it a part of a path.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    ///
    /// ```
    /// use common::names::{NameError, PathPart};
    /// assert_eq!(PathPart::new("source").unwrap().as_str(), "source");
    /// assert_eq!(PathPart::new("..").unwrap_err(), NameError::Hidden);
    /// assert_eq!(PathPart::new("a/b").unwrap_err(), NameError::Character);
    /// ```
    pub fn new(text: &str) -> Result<PathPart, NameError> {
        if text.is_empty() {
            Err(NameError::Empty)
        } else if text.starts_with('.') {
            Err(NameError::Hidden)
        } else if text.chars().any(|c| c == '/' || c.is_control()) {
            Err(NameError::Character)
        } else if text.len() > MAX_BYTES {
            Err(NameError::TooLong)
        } else {
            Ok(PathPart(text.into()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::path::Path> for PathPart {
    fn as_ref(&self) -> &std::path::Path {
        self.as_str().as_ref()
    }
}

impl FromStr for PathPart {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        PathPart::new(text)
    }
}

impl fmt::Display for PathPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PathPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Makes a kind of [`PathPart`] a type of its own, so that a channel is never taken for a quality.
macro_rules! path_part {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(PathPart);

        impl $name {
            /// Checks a text and gives it this meaning.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                PathPart::new(text).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl From<PathPart> for $name {
            fn from(part: PathPart) -> Self {
                Self(part)
            }
        }

        impl AsRef<std::path::Path> for $name {
            fn as_ref(&self) -> &std::path::Path {
                self.0.as_ref()
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

path_part! {
    /// A stream's name, e.g. `desertbus` (SPEC §1).
    Channel
}

path_part! {
    /// A rendition of a channel, e.g. `source` or `720p60` (SPEC §1).
    Quality
}

impl Quality {
    /// True for `chat`: batches of messages, never offered as video (SPEC §2).
    #[must_use]
    pub fn is_chat(&self) -> bool {
        self.as_str() == "chat"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_leave_the_base_or_is_hidden_is_no_part() {
        let table = [
            ("source", None),
            ("720p60", None),
            ("with space", None),
            ("a..b", None),
            ("", Some(NameError::Empty)),
            (".", Some(NameError::Hidden)),
            ("..", Some(NameError::Hidden)),
            (".hidden", Some(NameError::Hidden)),
            ("a/b", Some(NameError::Character)),
            ("/", Some(NameError::Character)),
            ("a\0b", Some(NameError::Character)),
            ("a\nb", Some(NameError::Character)),
        ];
        for (text, error) in table {
            assert_eq!(PathPart::new(text).err(), error, "{text:?}");
        }
        assert_eq!(
            PathPart::new(&"x".repeat(256)).err(),
            Some(NameError::TooLong)
        );
        assert!(PathPart::new(&"x".repeat(255)).is_ok());
    }
}
