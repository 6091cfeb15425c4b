//! A peer's lists: JSON arrays of names, of bounded size.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::RemoteError;

/// The most names in a listing: an hour of segments of 0.1 s, of seven kinds each.
const MAX_NAMES: usize = 250_000;

/// How much of a reason is repeated, in characters: it may quote what the peer sent.
const MAX_REASON: usize = 200;

/// A listing as it came. Reading it takes a while if it is large: do so on a blocking thread.
#[derive(Debug, Clone)]
pub struct Listing {
    pub(super) body: Bytes,
    pub(super) url: Box<str>,
    pub(super) tag: Option<HeaderValue>,
}

impl Listing {
    /// The entity tag with which to ask whether it has changed; not every peer gives one.
    #[must_use]
    pub fn tag(&self) -> Option<&HeaderValue> {
        self.tag.as_ref()
    }

    /// The list as it came: two that are the same to the byte say the same.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The names in it, which may be anything.
    ///
    /// # Errors
    /// [`RemoteError::NotAList`].
    pub fn names(&self) -> Result<Vec<Cow<'_, str>>, RemoteError> {
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        let names = json.deserialize_seq(Names);
        let names = names.and_then(|names| json.end().map(|()| names));
        names.map_err(|error| RemoteError::NotAList {
            url: self.url.clone(),
            reason: error.to_string().chars().take(MAX_REASON).collect(),
        })
    }
}

/// Reads a bounded list of names, borrowing them where nothing in them is escaped.
struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(Name(name)) = items.next_element()? {
            if names.len() == MAX_NAMES {
                let message = format_args!("more than {MAX_NAMES} names");
                return Err(A::Error::custom(message));
            }
            names.push(name);
        }
        Ok(names)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(body: impl Into<Bytes>) -> Listing {
        Listing {
            body: body.into(),
            url: "http://a/files".into(),
            tag: None,
        }
    }

    #[test]
    fn names_are_read_and_nothing_else() {
        let good = listing(r#" ["a.ts", "b\/\u00e4", ""] "#);
        assert_eq!(good.names().unwrap(), ["a.ts", "b/ä", ""]);
        assert!(listing("[]").names().unwrap().is_empty());
        let table = [
            ("", "EOF"),
            ("<html>", "expected value"),
            (r#"{"a": "b"}"#, "expected a JSON array of strings"),
            (r#""a""#, "expected a JSON array of strings"),
            (r#"["a", 1]"#, "invalid type: integer"),
            (r#"["a", ["b"]]"#, "invalid type: sequence"),
            (r#"["a", null]"#, "invalid type: null"),
            (r#"["a""#, "EOF"),
            (r#"["a"] x"#, "trailing characters"),
            (r#"["\ud800"]"#, "hex escape"),
        ];
        for (body, reason) in table {
            let error = listing(body).names().unwrap_err().to_string();
            assert!(
                error.starts_with("http://a/files is not a list of names: "),
                "{error}"
            );
            assert!(error.contains(reason), "{body}: {error}");
        }
        assert!(listing(b"[\"\xff\"]".to_vec()).names().is_err());
    }

    #[test]
    fn the_number_of_names_and_the_length_of_an_error_are_bounded() {
        let many = |count: usize| {
            let names = vec!["\"\""; count];
            listing(format!("[{}]", names.join(",")))
        };
        assert_eq!(many(MAX_NAMES).names().unwrap().len(), MAX_NAMES);
        let error = many(MAX_NAMES + 1).names().unwrap_err().to_string();
        assert!(error.contains("more than 250000 names"), "{error}");
        let quoted = listing(format!("\"{}\"", "\\n".repeat(100_000)));
        let error = quoted.names().unwrap_err().to_string();
        assert!(error.len() < 300 && !error.contains('\n'), "{error}");
    }
}
