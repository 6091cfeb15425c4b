//! What requests for a media playlist ask for, read once however often they are asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{NaiveDate, TimeDelta, Utc};
use common::names::{PathPart, Quality};
use common::segment::Hour;
use common::selection::TimeRange;

use super::answers::{Answer, Key};
use super::{no_such_playlist, range, stem};
use crate::App;
use crate::error::ApiError;
use crate::hls::HourLines;
use crate::index::Rendition;
use crate::params::{Bounds, Params};
use crate::routes::encoding::Encoding;

/// What is complete and so old changes no more, but for the rare segment that is taken back or
/// found in a better copy.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(10);

/// What the targets of playlists begin with; no other takes time here.
const PLAYLISTS: &str = "/playlist/";

/// How many targets are remembered: more than there are answers of an hour to keep.
const MOST: usize = 512;

/// The longest target that is, in bytes; one with two times has about 100.
const LONGEST: usize = 512;

/// What a request for a media playlist asks for.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) rendition: Arc<Rendition>,
    pub(super) bounds: Bounds,
    /// Of one whose answer is worth keeping: its range, and every hour that it may need.
    kept: Option<(TimeRange, Vec<Hour>)>,
    /// On which day it was read: `10:30` is today's, whatever the day is.
    day: NaiveDate,
}

impl Question {
    /// Reads a request: the parts of its path after the route's name, and its query.
    ///
    /// # Errors
    /// 404 if no playlist has such a name, 400 if the range cannot be read.
    pub(super) fn read(parts: &[PathPart], query: Option<&str>) -> Result<Question, ApiError> {
        let [channel, name] = parts else {
            return Err(no_such_playlist());
        };
        let rendition = Rendition {
            channel: channel.clone().into(),
            quality: Quality::new(stem(name.as_str())?)?,
        };
        // First: at worst it is read again, should midnight lie between.
        let day = today();
        let bounds = Params::parse(query).bounds()?;
        Ok(Question {
            rendition: Arc::new(rendition),
            bounds,
            kept: range::asked_again(bounds),
            day,
        })
    }

    /// Where its answer is kept, if it is worth keeping.
    pub(super) fn key(&self, encoding: Encoding) -> Option<Key> {
        let (range, _) = self.kept.as_ref()?;
        Some((Arc::clone(&self.rendition), *range, encoding))
    }

    /// What was answered before to the same question, if nothing has changed since. Asks the system
    /// when directories changed, which it has in memory: it was asked before.
    pub(super) fn known(&self, app: &App, encoding: Encoding) -> Option<Arc<Answer>> {
        let (_, hours) = self.kept.as_ref()?;
        let made = app.answers.get(&self.key(encoding)?)?;
        made.of(&app.index.known(&self.rendition, hours)?)
    }

    /// The same once its hours have been looked at.
    pub(super) fn kept(
        &self,
        app: &App,
        encoding: Encoding,
        hours: &[Arc<HourLines>],
    ) -> Option<Arc<Answer>> {
        app.answers.get(&self.key(encoding)?)?.of(hours)
    }

    /// True iff its range is over, and so long that the stream brings nothing more of it. Without a
    /// start it begins with the first hour there is, and replication may bring an earlier one.
    pub(super) fn is_past(&self) -> bool {
        let Bounds { start, end } = self.bounds;
        start.is_some() && end.is_some_and(|end| Utc::now() - end > SETTLED_AFTER)
    }

    /// True iff its range is longer than any that is answered without both bounds.
    pub(super) fn is_long(&self) -> bool {
        let longest = range::MAX_UNBOUNDED.num_hours();
        self.bounds.hours().is_some_and(|hours| hours > longest)
    }
}

/// Times without a date are of this day.
pub(super) fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// The targets (path and query, as they were sent) that were asked again lately, and what they mean.
/// That stays the same for as long as the day does.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<Read>);

#[derive(Debug, Default)]
struct Read {
    questions: HashMap<Arc<str>, Arc<Question>>,
    /// Those of `questions`, the oldest first.
    order: VecDeque<Arc<str>>,
}

impl Questions {
    /// What a target asks for, if it was noted on this day.
    pub(super) fn get(&self, target: &str, day: NaiveDate) -> Option<Arc<Question>> {
        if target.len() > LONGEST || !target.starts_with(PLAYLISTS) {
            return None;
        }
        let question = self.read().questions.get(target).cloned();
        question.filter(|question| question.day == day)
    }

    /// Notes what a target asks for, in the place of others.
    pub(super) fn note(&self, target: &str, question: &Arc<Question>) {
        if target.len() > LONGEST {
            return;
        }
        let target: Arc<str> = target.into();
        let mut read = self.read();
        let new = (Arc::clone(&target), Arc::clone(question));
        if read.questions.insert(new.0, new.1).is_none() {
            read.order.push_back(target);
        }
        while read.order.len() > MOST
            && let Some(oldest) = read.order.pop_front()
        {
            read.questions.remove(&oldest);
        }
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        // What a panic leaves in it is right; at worst one is kept for longer than others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(second: usize) -> Arc<Question> {
        let parts = ["c", "q.m3u8"].map(|part| PathPart::new(part).unwrap());
        let query = format!("start=2026-01-02T03:00:00&end=2026-01-02T03:00:0{second}");
        Arc::new(Question::read(&parts, Some(&query)).unwrap())
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let questions = Questions::default();
        let (one, other) = (question(1), question(2));
        let note =
            |target: &str, question| questions.note(&format!("{PLAYLISTS}{target}"), question);
        let get = |target: &str| questions.get(&format!("{PLAYLISTS}{target}"), one.day);
        note("0", &other);
        for n in 0..MOST {
            note(&n.to_string(), &one);
        }
        // All are there, and the last word counts.
        for n in 0..MOST {
            assert!(Arc::ptr_eq(&get(&n.to_string()).unwrap(), &one));
        }
        note("new", &other);
        assert!(get("0").is_none());
        assert!(Arc::ptr_eq(&get("new").unwrap(), &other));
        let read = questions.read();
        assert_eq!((read.questions.len(), read.order.len()), (MOST, MOST));
        drop(read);
        let long = "x".repeat(LONGEST - PLAYLISTS.len());
        note(&long, &one);
        assert!(get(&long).is_some());
        note(&format!("{long}x"), &one);
        assert!(get(&format!("{long}x")).is_none());
        assert_eq!(questions.read().order.len(), MOST);
    }

    #[test]
    fn another_day_a_time_may_be_another() {
        let questions = Questions::default();
        let (yesterday, today) = (question(1), question(2));
        let day = today.day;
        let yesterday = Arc::new(Question {
            day: day.pred_opt().unwrap(),
            ..Arc::into_inner(yesterday).unwrap()
        });
        let target = "/playlist/c/q.m3u8?start=10:30&end=11:30";
        questions.note(target, &yesterday);
        assert!(questions.get(target, day).is_none());
        assert!(questions.get(target, yesterday.day).is_some());
        questions.note(target, &today);
        assert!(Arc::ptr_eq(&questions.get(target, day).unwrap(), &today));
        assert_eq!(questions.read().order.len(), 1);
    }
}
