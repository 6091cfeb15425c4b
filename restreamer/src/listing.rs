//! Lists of names as JSON (SPEC §4): as text, and compressed once somebody asks for that. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use bytes::Bytes;
use common::store::HourNames;

use crate::gzip::gzip;

/// A JSON array of names.
#[derive(Debug)]
pub struct Names {
    json: Bytes,
    /// Of `json`: the same iff the text is the same, as good as certainly.
    digest: u64,
    gzipped: OnceLock<Bytes>,
}

impl Names {
    /// Writes these names.
    #[must_use]
    pub fn new<S: AsRef<str>>(names: &[S]) -> Names {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        // Texts are always JSON; were they not, the list is better empty than the service down.
        let json = serde_json::to_vec(&names).unwrap_or_else(|_| b"[]".to_vec());
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        Names {
            json: json.into(),
            digest: hasher.finish(),
            gzipped: OnceLock::new(),
        }
    }

    /// The text.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// What tells this text from any other.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The text as gzip; compressed the first time.
    #[must_use]
    pub fn gzipped(&self) -> &Bytes {
        self.gzipped.get_or_init(|| gzip(&self.json))
    }

    /// True iff somebody has asked for that.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.gzipped.get().is_some()
    }

    fn bytes(&self) -> usize {
        self.json.len() + self.gzipped.get().map_or(0, Bytes::len)
    }
}

/// The names of one hour's files.
#[derive(Debug)]
pub struct Listing {
    files: Names,
    /// `Some` iff there is a tombstone.
    with_tombstones: Option<Names>,
}

impl Listing {
    /// Writes both lists.
    #[must_use]
    pub fn of(HourNames { files, tombstones }: HourNames) -> Listing {
        let with_tombstones = (!tombstones.is_empty()).then(|| {
            let mut all: Vec<&String> = files.iter().chain(&tombstones).collect();
            all.sort_unstable();
            Names::new(&all)
        });
        Listing {
            files: Names::new(&files),
            with_tombstones,
        }
    }

    /// The files, and the tombstones too if they are asked for.
    #[must_use]
    pub fn names(&self, tombstones: bool) -> &Names {
        match &self.with_tombstones {
            Some(all) if tombstones => all,
            _ => &self.files,
        }
    }

    /// The memory that it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.files.bytes() + self.with_tombstones.as_ref().map_or(0, Names::bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[&str], tombstones: &[&str]) -> Listing {
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Listing::of(HourNames {
            files: strings(files),
            tombstones: strings(tombstones),
        })
    }

    #[test]
    fn tombstones_only_where_they_are_asked_for() {
        let both = listing(&["a.ts", "c.ts"], &["b.tombstone"]);
        assert_eq!(both.names(false).json(), &r#"["a.ts","c.ts"]"#);
        let all = both.names(true);
        assert_eq!(all.json(), &r#"["a.ts","b.tombstone","c.ts"]"#);
        assert_ne!(all.digest(), both.names(false).digest());
        let none = listing(&["\"\n"], &[]);
        assert_eq!(none.names(true).json(), &r#"["\"\n"]"#);
        assert_eq!(listing(&[], &[]).names(true).json(), "[]");
    }

    #[test]
    fn what_was_compressed_counts() {
        let name = "x".repeat(100_000);
        let listing = listing(&[&name], &[]);
        let before = listing.bytes();
        let gzipped = listing.names(true).gzipped().len();
        assert_eq!(listing.bytes(), before + gzipped);
    }
}
