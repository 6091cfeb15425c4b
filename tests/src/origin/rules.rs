//! Which request meets which fault: rules in the order in which they were added; the first that
//! matches, has uses left and yields a fault decides.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::fault::Fault;
use super::request::Request;

/// Which requests are meant. A `&str` or `String` is the exact path, the query left aside.
#[derive(Clone)]
pub enum Matching {
    /// All of them.
    Any,
    /// Those of this path.
    Path(String),
    /// Those whose path begins so.
    Prefix(String),
    /// Those whose path ends so.
    Suffix(String),
    /// Those that the closure picks. It runs while the rules are locked: it must not call the
    /// origin.
    By(Arc<dyn Fn(&Request) -> bool + Send + Sync>),
}

impl Matching {
    /// Those that `pick` picks, by path, query, headers …
    pub fn by(pick: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Matching {
        Matching::By(Arc::new(pick))
    }

    /// Those whose path begins so.
    #[must_use]
    pub fn prefix(text: &str) -> Matching {
        Matching::Prefix(text.to_owned())
    }

    /// Those whose path ends so, e.g. `.ts`.
    #[must_use]
    pub fn suffix(text: &str) -> Matching {
        Matching::Suffix(text.to_owned())
    }

    /// True if the request is meant.
    #[must_use]
    pub fn matches(&self, request: &Request) -> bool {
        match self {
            Matching::Any => true,
            Matching::Path(path) => request.path == *path,
            Matching::Prefix(text) => request.path.starts_with(text),
            Matching::Suffix(text) => request.path.ends_with(text),
            Matching::By(pick) => pick(request),
        }
    }
}

impl From<&str> for Matching {
    fn from(path: &str) -> Matching {
        Matching::Path(path.to_owned())
    }
}

impl From<String> for Matching {
    fn from(path: String) -> Matching {
        Matching::Path(path)
    }
}

impl fmt::Debug for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Matching::Any => f.write_str("Any"),
            Matching::Path(text) => write!(f, "Path({text})"),
            Matching::Prefix(text) => write!(f, "Prefix({text})"),
            Matching::Suffix(text) => write!(f, "Suffix({text})"),
            Matching::By(_) => f.write_str("By(closure)"),
        }
    }
}

type Effect = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

/// A fault for the requests that match, as often as wanted.
pub struct Rule {
    matching: Matching,
    effect: Effect,
    /// So many matching requests pass before the rule begins to work.
    skip: u64,
    /// `None`: without end.
    left: Option<u64>,
}

impl Rule {
    /// A rule that always works.
    pub fn new(matching: impl Into<Matching>, fault: Fault) -> Rule {
        Rule::choosing(matching, move |_| Some(fault.clone()))
    }

    /// A rule whose fault is chosen at each request, e.g. by a random generator with a seed;
    /// `None` leaves the request to the rules that follow. `choose` runs while the rules are
    /// locked: it must not call the origin.
    pub fn choosing(
        matching: impl Into<Matching>,
        choose: impl FnMut(&Request) -> Option<Fault> + Send + 'static,
    ) -> Rule {
        Rule {
            matching: matching.into(),
            effect: Box::new(choose),
            skip: 0,
            left: None,
        }
    }

    /// Works for `count` requests, then no more.
    #[must_use]
    pub fn times(mut self, count: u64) -> Rule {
        self.left = Some(count);
        self
    }

    /// Lets the first `count` matching requests pass.
    #[must_use]
    pub fn after(mut self, count: u64) -> Rule {
        self.skip = count;
        self
    }

    fn pick(&mut self, request: &Request) -> Option<Fault> {
        if self.left == Some(0) || !self.matching.matches(request) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let fault = (self.effect)(request)?;
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Some(fault)
    }
}

/// Names a rule of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(u64);

/// The rules of an origin.
#[derive(Default)]
pub(super) struct Rules(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    rules: Vec<(RuleId, u64, Rule)>,
}

impl Rules {
    pub(super) fn add(&self, rule: Rule) -> RuleId {
        let mut inner = self.0.lock().unwrap();
        let id = RuleId(inner.next);
        inner.next += 1;
        inner.rules.push((id, 0, rule));
        id
    }

    pub(super) fn remove(&self, id: RuleId) {
        self.0.lock().unwrap().rules.retain(|(it, ..)| *it != id);
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().rules.clear();
    }

    pub(super) fn uses(&self, id: RuleId) -> u64 {
        let inner = self.0.lock().unwrap();
        let rule = inner.rules.iter().find(|(it, ..)| *it == id);
        rule.map_or(0, |(_, uses, _)| *uses)
    }

    pub(super) fn pick(&self, request: &Request) -> Option<Fault> {
        let mut inner = self.0.lock().unwrap();
        inner.rules.iter_mut().find_map(|(_, uses, rule)| {
            let fault = rule.pick(request)?;
            *uses += 1;
            Some(fault)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> Request {
        Request {
            path: path.to_owned(),
            ..Request::default()
        }
    }

    fn picked(rules: &Rules, path: &str) -> String {
        rules
            .pick(&request(path))
            .map_or_else(String::new, |fault| fault.label)
    }

    #[test]
    fn the_first_rule_that_matches_and_has_uses_left_decides() {
        let rules = Rules::default();
        let first = rules.add(Rule::new("/a", Fault::status(500)).after(1).times(2));
        rules.add(Rule::new(Matching::prefix("/a"), Fault::expired()));
        rules.add(Rule::new(Matching::suffix(".ts"), Fault::reset()));
        let got: Vec<_> = (0..4).map(|_| picked(&rules, "/a")).collect();
        assert_eq!(got, ["expired", "status 500", "status 500", "expired"]);
        assert_eq!(rules.uses(first), 2);
        assert_eq!(picked(&rules, "/b.ts"), "reset");
        assert_eq!(picked(&rules, "/b"), "");
    }

    #[test]
    fn a_choice_that_declines_uses_nothing_up() {
        let rules = Rules::default();
        let mut turn = 0;
        rules.add(
            Rule::choosing(Matching::Any, move |_| {
                turn += 1;
                (turn % 2 == 0).then(Fault::reset)
            })
            .times(2),
        );
        let got: Vec<_> = (0..6).map(|_| picked(&rules, "/")).collect();
        assert_eq!(got, ["", "reset", "", "reset", "", ""]);
    }
}
