//! Values as an operator reads them: short ones in a line, long lists with a line for each
//! element. Never more than a bound, and nothing that could steer a terminal.

use std::fmt::Write as _;

use rhai::{Array, Dynamic, Map};

use super::registry::{Kind, Kinds};

/// Longer ones are shown in several lines.
const LINE: usize = 96;

/// The most that is shown of a value, in bytes.
const MOST: usize = 256 * 1024;

/// Deeper values are not looked into.
const DEEPEST: usize = 12;

/// What stands in the place of the rest.
const CUT: &str = "…";

/// A value as the outcome of a line: text as it is, nothing for nothing.
pub(super) fn outcome(value: &Dynamic, kinds: &Kinds) -> String {
    if value.is_unit() {
        return String::new();
    }
    if let Ok(text) = value.clone().into_immutable_string() {
        return bounded(&text);
    }
    let mut shower = Shower {
        text: String::new(),
        kinds,
    };
    shower.lines(value, 0);
    shower.text
}

/// A value in one line.
pub(super) fn inline(value: &Dynamic, kinds: &Kinds) -> String {
    let mut shower = Shower {
        text: String::new(),
        kinds,
    };
    shower.value(value, 0);
    shower.text
}

/// No more of a text than a value may have.
fn bounded(text: &str) -> String {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match end == text.len() {
        true => text.to_owned(),
        false => format!("{}{CUT}", &text[..end]),
    }
}

/// A text without what steers terminals: names come from peers, and may hold anything.
pub(super) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => harmless.push(character),
            // Also those that turn the direction of writing around.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                harmless.extend(character.escape_unicode());
            }
            character if character.is_control() => harmless.extend(character.escape_default()),
            character => harmless.push(character),
        }
    }
    harmless
}

struct Shower<'a> {
    text: String,
    kinds: &'a Kinds,
}

impl Shower<'_> {
    /// In as many lines as it takes, the first one already indented.
    fn lines(&mut self, value: &Dynamic, indent: usize) {
        let start = self.text.len();
        let is_list = value.is_array() && !is_plain(value);
        if !is_list {
            self.value(value, indent);
            if self.text.len() - start + indent <= LINE || indent >= DEEPEST {
                return;
            }
            if !value.is_array() && !value.is_map() {
                return;
            }
            self.text.truncate(start);
        }
        if let Some(array) = value.read_lock::<Array>() {
            if array.is_empty() {
                self.text.push_str("[]");
                return;
            }
            self.text.push_str("[\n");
            for element in array.iter() {
                self.indent(indent + 2);
                // Each element is a line: they can be counted, and searched with grep.
                self.value(element, indent + 2);
                if self.is_last_line() {
                    break;
                }
            }
            self.indent(indent);
            self.text.push(']');
        } else if let Some(map) = value.read_lock::<Map>() {
            self.text.push_str("{\n");
            for (key, value) in map.iter() {
                self.indent(indent + 2);
                self.key(key);
                self.lines(value, indent + 2);
                if self.is_last_line() {
                    break;
                }
            }
            self.indent(indent);
            self.text.push('}');
        }
    }

    /// Ends a line of many. True iff no more fit; that is said, too.
    fn is_last_line(&mut self) -> bool {
        self.text.push('\n');
        let is_last = self.is_full();
        if is_last {
            self.text.push_str(CUT);
            self.text.push('\n');
        }
        is_last
    }

    fn value(&mut self, value: &Dynamic, depth: usize) {
        if self.is_full() || depth > 4 * DEEPEST {
            self.text.push_str(CUT);
            return;
        }
        if let Some(kind) = self.kinds.get(&value.type_id()) {
            self.kind(kind, value, depth);
        } else if let Some(array) = value.read_lock::<Array>() {
            self.text.push('[');
            for (index, element) in array.iter().enumerate() {
                self.separate(index);
                self.value(element, depth + 1);
                if self.is_full() {
                    break;
                }
            }
            self.text.push(']');
        } else if let Some(map) = value.read_lock::<Map>() {
            self.text.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                self.separate(index);
                self.key(key);
                self.value(value, depth + 1);
                if self.is_full() {
                    break;
                }
            }
            self.text.push('}');
        } else if value.is_unit() {
            self.text.push_str("()");
        } else if value.is_string() {
            let text = value.clone().into_immutable_string().unwrap_or_default();
            let _ = write!(self.text, "{:?}", bounded(&text));
        } else if let Ok(number) = value.as_float() {
            // As short as it can be: 5, 0.25.
            let _ = write!(self.text, "{number}");
        } else {
            let text = value.to_string();
            self.text.push_str(&bounded(&text));
        }
    }

    fn kind(&mut self, kind: &Kind, value: &Dynamic, depth: usize) {
        self.text.push_str(kind.name);
        self.text.push_str(" {");
        for (index, (name, look)) in kind.fields.iter().enumerate() {
            self.separate(index);
            self.key(name);
            self.value(&look(value), depth + 1);
        }
        self.text.push('}');
    }

    fn key(&mut self, key: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match !key.is_empty() && key.chars().all(plain) {
            true => self.text.push_str(key),
            false => {
                let _ = write!(self.text, "{key:?}");
            }
        }
        self.text.push_str(": ");
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.text.push_str(", ");
        }
    }

    fn indent(&mut self, columns: usize) {
        self.text.extend(std::iter::repeat_n(' ', columns));
    }

    fn is_full(&self) -> bool {
        self.text.len() >= MOST
    }
}

/// True iff all elements are numbers, texts and the like: a list of those may be one line.
fn is_plain(array: &Dynamic) -> bool {
    let is_plain = |value: &Dynamic| {
        value.is_int() || value.is_float() || value.is_string() || value.is_bool()
    };
    array
        .read_lock::<Array>()
        .is_some_and(|array| array.iter().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(script: &str) -> String {
        let value: Dynamic = rhai::Engine::new().eval(script).unwrap();
        outcome(&value, &Kinds::new())
    }

    #[test]
    fn values_are_shown_as_they_are_read_best() {
        let table = [
            ("()", ""),
            ("42", "42"),
            ("2.50", "2.5"),
            ("true", "true"),
            ("\"a\\nb\"", "a\nb"),
            ("[]", "[]"),
            ("[1, 2.0, \"x\\n\"]", "[1, 2, \"x\\n\"]"),
            ("#{b: 1, a: [(), 'c']}", "{a: [(), c], b: 1}"),
            ("[#{a: 1}, #{\"b c\": 2}]", "[\n  {a: 1}\n  {\"b c\": 2}\n]"),
        ];
        for (script, expected) in table {
            assert_eq!(shown(script), expected, "{script}");
        }
        let long = "let x = #{}; x.b = 1; x.a = \"x\"; x.a.pad(100, 'x'); x";
        let expected = format!("{{\n  a: \"{}\"\n  b: 1\n}}", "x".repeat(100));
        assert_eq!(shown(long), expected);
    }

    #[test]
    fn nothing_is_shown_without_an_end() {
        let big = "let x = []; for i in 0..30000 { x.push(\"0123456789\") } x";
        let text = shown(big);
        assert!(
            text.len() < MOST + 1000 && text.contains(CUT),
            "{}",
            text.len()
        );
        let deep = "let x = [1]; for i in 0..200 { x = [x] } x";
        assert!(shown(deep).contains(CUT));
        let text = bounded(&"ä".repeat(MOST));
        assert!(text.len() < MOST + 10 && text.ends_with(CUT));
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(
            harmless("a\x1b[2J\tb\nc\r\u{202e}ä"),
            "a\\u{1b}[2J\tb\nc\\r\\u{202e}ä"
        );
    }
}
