//! `help()`: a line for everything that is registered.

use std::fmt::Write as _;

use super::registry::{Entry, Outcome, failure};

/// The column of what a line says.
const COLUMN: usize = 34;

/// How to begin.
const LANGUAGE: &str = "\
The language is Rhai: let x = 1; if, for, while, fn, arrays and maps, for example
  for t in tasks() { if t.age > 60 { print(t) } }
Ctrl-C ends what runs or drops the line; exit or Ctrl-D leaves.
";

/// Everything, by section.
pub(super) fn all(entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut section = "";
    for entry in entries {
        if entry.section != section {
            section = entry.section;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{section}:");
        }
        line(&mut text, entry);
    }
    text.push_str(LANGUAGE);
    text
}

/// What has this name: functions, a kind of values with its fields, or one field.
pub(super) fn of(entries: &[Entry], name: &str) -> Outcome {
    let mut text = String::new();
    let is_meant = |entry: &&Entry| {
        let kind = entry.name().split_once('.');
        entry.name() == name || kind.is_some_and(|(kind, field)| kind == name || field == name)
    };
    for entry in entries.iter().filter(is_meant) {
        line(&mut text, entry);
    }
    match text.is_empty() {
        true => Err(failure(format!(
            "there is no '{name}': help() lists what there is"
        ))),
        false => Ok(text.into()),
    }
}

fn line(text: &mut String, entry: &Entry) {
    let Entry {
        signature, help, ..
    } = entry;
    let _ = writeln!(text, "  {signature:COLUMN$}{help}");
}
