//! The samples of a `/metrics` page (Prometheus text format), by name and labels.

use std::collections::BTreeMap;

/// The labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// A page of metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    samples: BTreeMap<(String, Labels), f64>,
}

impl Metrics {
    /// Reads a page.
    ///
    /// # Panics
    /// If a line is neither a comment nor a sample: a page that Prometheus could not read is a
    /// failure of the test.
    #[must_use]
    pub fn parse(page: &str) -> Metrics {
        let samples = page
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line:?}")))
            .collect();
        Metrics { samples }
    }

    /// The value of the one sample with this name and at least these labels; `None` if there is
    /// none.
    ///
    /// # Panics
    /// If there are several.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut matching = self.matching(name, labels);
        let value = matching.next()?;
        assert!(
            matching.next().is_none(),
            "several samples are {name} with {labels:?}"
        );
        Some(value)
    }

    /// The sum of all samples with this name and at least these labels; 0 if there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).sum()
    }

    /// All samples of a name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Labels, f64)> {
        let samples = self.samples.iter();
        samples
            .filter(move |((it, _), _)| it == name)
            .map(|((_, labels), value)| (labels, *value))
    }

    /// The names there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(|(name, _)| name.as_str())
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = f64> + 'a {
        self.of(name)
            .filter(|(have, _)| {
                let has = |(key, value): &(&str, &str)| have.get(*key).is_some_and(|v| v == value);
                labels.iter().all(has)
            })
            .map(|(_, value)| value)
    }
}

fn sample(line: &str) -> Option<((String, Labels), f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Labels::new(), rest),
    };
    let value = rest.split_whitespace().next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().ok()?,
    };
    Some(((name.to_owned(), labels), value))
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut text: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        text = loop {
            match characters.next()? {
                (at, '"') => break &rest[at + 1..],
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page() {
        let page = Metrics::parse(
            "# HELP x y\n# TYPE a_total counter\n\
             a_total{channel=\"c\",type=\"full\"} 3\na_total{type=\"partial\",channel=\"c\"} 1\n\
             b 2.5e3\nc_bucket{le=\"+Inf\",p=\"a\\\"b,}\\\\\"} 7\nd +Inf\n\n",
        );
        assert_eq!(page.get("a_total", &[("type", "full")]), Some(3.0));
        assert_eq!(page.get("a_total", &[("type", "suspect")]), None);
        assert_eq!(page.sum("a_total", &[("channel", "c")]), 4.0);
        assert_eq!(page.get("b", &[]), Some(2500.0));
        assert_eq!(page.get("c_bucket", &[("p", "a\"b,}\\")]), Some(7.0));
        assert_eq!(page.get("d", &[]), Some(f64::INFINITY));
    }

    #[test]
    #[should_panic(expected = "not a sample")]
    fn what_prometheus_cannot_read() {
        let _ = Metrics::parse("a{b=\"c} 1");
    }
}
