//! Attribute lists: `NAME=VALUE,NAME="VALUE"` (RFC 8216 §4.2).

/// The attributes of a tag. Later ones of the same name are ignored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(&'a str);

impl<'a> Attributes<'a> {
    pub(super) fn new(text: &'a str) -> Attributes<'a> {
        Attributes(text)
    }

    /// An attribute's value, without its quotes.
    pub(super) fn get(self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// All of them. What has no `=` ends the list: nothing behind it can be trusted.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (value, after) = quoted.split_once('"')?;
                    // To the next comma: junk between quote and comma is passed over.
                    (value, after.split_once(',').map_or("", |(_, rest)| rest))
                }
                None => after.split_once(',').unwrap_or((after, "")),
            };
            rest = after;
            Some((name.trim().trim_start_matches(',').trim(), value.trim()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_be_quoted_and_hold_commas_and_equals() {
        let list = Attributes::new(r#"A=1, B="x,y=z",C=,D="",E=a b,A=2"#);
        let all: Vec<_> = list.iter().collect();
        assert_eq!(
            all,
            [
                ("A", "1"),
                ("B", "x,y=z"),
                ("C", ""),
                ("D", ""),
                ("E", "a b"),
                ("A", "2")
            ]
        );
        assert_eq!(list.get("A"), Some("1"));
        assert_eq!(list.get("F"), None);
        for broken in ["", "A", "A=\"x", ",,,", "=", "\"=\""] {
            // No end that loops, none that panics.
            assert!(Attributes::new(broken).iter().count() <= 1, "{broken}");
        }
    }
}
