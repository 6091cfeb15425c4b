//! Variables of a playlist: `EXT-X-DEFINE`, and `{$NAME}` in what follows (RFC 8216bis §4.3).

use std::borrow::Cow;

use url::Url;

use super::attributes::Attributes;

/// What is put in may make a line no longer than this.
const MAX_LINE: usize = 64 * 1024;

/// What is defined so far.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<(String, String)>);

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
        let value = value.ok_or_else(|| format!("there is no value for {name:?}"))?;
        self.0.push((name.to_owned(), value));
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
            let Some((name, rest)) = part.split_once('}') else {
                return Err(format!("no name ends at {{${part:?}"));
            };
            let defined = self.0.iter().find(|(key, _)| key == name);
            let (_, value) = defined
                .ok_or_else(|| format!("no EXT-X-DEFINE that we can follow has {name:?}"))?;
            whole.push_str(value);
            whole.push_str(rest);
            if whole.len() > MAX_LINE {
                return Err("its URI is too long".to_owned());
            }
        }
        Ok(Cow::Owned(whole))
    }
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
    }
}
