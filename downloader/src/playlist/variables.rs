//! Variables of a playlist: `EXT-X-DEFINE`, and `{$NAME}` in what follows (RFC 8216bis §4.3).

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use url::Url;

use super::attributes::Attributes;

/// What is put in may make a line no longer than this, in bytes.
const MAX_LINE: usize = 8 * 1024;

/// What is put in may make a whole list no longer than this, in bytes: a token of 300 in each line
/// of a day. A few lines could ask for gigabytes.
const MAX_PUT_IN: usize = 16 << 20;

/// A name costs so much beside its value: an empty one is not for nothing.
const COST: usize = 32;

/// More definitions than any list has.
const MAX_DEFINED: usize = 100;

/// So much of a name is told, in characters.
const MAX_SHOWN: usize = 100;

/// What is defined so far.
#[derive(Debug, Default)]
pub(super) struct Variables {
    values: HashMap<String, String>,
    /// What was put in so far, with what it cost.
    put_in: Cell<usize>,
}

impl Variables {
    /// Takes a definition. `playlist` is where the playlist came from.
    pub(super) fn define(
        &mut self,
        definition: Attributes<'_>,
        playlist: &Url,
    ) -> Result<(), String> {
        let (name, value) = match (definition.get("NAME"), definition.get("QUERYPARAM")) {
            (Some(name), _) => (name, definition.get("VALUE").map(str::to_owned)),
            (None, Some(name)) => {
                let mut query = playlist.query_pairs();
                let pair = query.find(|(key, _)| key == name);
                (name, pair.map(|(_, value)| value.into_owned()))
            }
            // What a master playlist defines is not known here.
            (None, None) => return Err("it has neither a NAME nor a QUERYPARAM".to_owned()),
        };
        let value = value.ok_or_else(|| format!("there is no value for {}", shown(name)))?;
        if self.values.len() >= MAX_DEFINED {
            return Err(format!("more than {MAX_DEFINED} names are defined"));
        }
        self.values.entry(name.to_owned()).or_insert(value);
        Ok(())
    }

    /// A text with the values for the names in it.
    pub(super) fn apply<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, String> {
        if !text.contains("{$") {
            return Ok(Cow::Borrowed(text));
        }
        let mut parts = text.split("{$");
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // Not a word of it: it may hold a token.
            let Some((name, rest)) = part.split_once('}') else {
                return Err("a {$ has no } after its name".to_owned());
            };
            let value = self.values.get(name).ok_or_else(|| {
                let name = shown(name);
                format!("no EXT-X-DEFINE that we can follow has {name}")
            })?;
            self.put_in.set(self.put_in.get() + value.len() + COST);
            if self.put_in.get() > MAX_PUT_IN {
                return Err("more is put in by EXT-X-DEFINE than a list may hold".to_owned());
            }
            whole.push_str(value);
            whole.push_str(rest);
            if whole.len() > MAX_LINE {
                return Err("its URI is too long".to_owned());
            }
        }
        Ok(Cow::Owned(whole))
    }
}

/// A name for a message.
fn shown(name: &str) -> String {
    format!("{:?}", name.chars().take(MAX_SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_by_what_was_defined() {
        let playlist = "http://h/a.m3u8?token=a%2Fb".parse().unwrap();
        let mut variables = Variables::default();
        for (definition, good) in [
            (r#"NAME="v",VALUE="abc""#, true),
            (r#"NAME="empty",VALUE="""#, true),
            (r#"QUERYPARAM="token""#, true),
            (r#"QUERYPARAM="other""#, false),
            (r#"IMPORT="v""#, false),
            (r#"NAME="w""#, false),
        ] {
            let defined = variables.define(Attributes::new(definition), &playlist);
            assert_eq!(defined.is_ok(), good, "{definition}");
        }
        for (text, expected) in [
            ("1.ts", Some("1.ts")),
            ("{$v}/{$v}{$empty}-1.ts", Some("abc/abc-1.ts")),
            ("1.ts?t={$token}", Some("1.ts?t=a/b")),
            ("{v}", Some("{v}")),
            ("{$w}.ts", None),
            ("{$v.ts", None),
        ] {
            assert_eq!(variables.apply(text).ok().as_deref(), expected, "{text}");
        }
        let message = variables.apply("{$v/1.ts?token=SECRET").unwrap_err();
        assert!(!message.contains("SECRET"), "{message}");
    }

    #[test]
    fn what_a_list_can_ask_for_is_bounded() {
        let playlist = "http://h/a.m3u8".parse().unwrap();
        let mut variables = Variables::default();
        let long = "x".repeat(7000);
        let mut define = |name: &str, value: &str| {
            let definition = format!("NAME=\"{name}\",VALUE=\"{value}\"");
            variables.define(Attributes::new(&definition), &playlist)
        };
        define("long", &long).unwrap();
        define("empty", "").unwrap();
        for n in 2..MAX_DEFINED {
            define(&n.to_string(), "").unwrap();
        }
        define("more", "").unwrap_err();
        // One line, all lines, and what is put in without being longer for it.
        assert!(variables.apply("{$long}").is_ok());
        assert!(variables.apply("{$long}{$long}").is_err());
        assert!((0..3000).any(|_| variables.apply("{$long}").is_err()));
        variables.put_in.set(0);
        assert!(
            variables
                .apply(&"{$empty}".repeat(MAX_PUT_IN / COST))
                .is_ok()
        );
        assert!(variables.apply("{$empty}").is_err());
    }
}
