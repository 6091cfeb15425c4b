//! Taking a list that has come: what is new in it is queued.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::{Event, Run};
use crate::getter::Job;
use crate::metrics::{METRICS, labels};
use crate::playlist::{MediaPlaylist, Reading};
use crate::rendition::{Shown, lock};
use crate::timeline::{Newest, News, earlier_by};

/// A segment is in the list for as long as the list shows, and for so much longer at most: a
/// list from a content network or one that stood still for a while.
const LINGERS: Duration = Duration::from_secs(10 * 60);

/// A list whose end is so many target durations behind what was seen elsewhere is an old one.
const STALE_TARGETS: u32 = 3;

impl Run {
    /// Takes a list: what is new in it is queued.
    pub(super) fn take(&mut self, reading: Reading) {
        let list = &*Arc::clone(&reading.list);
        let rendition = Arc::clone(&self.worker.rendition);
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        let first = self.note_answer(list);
        let now = Utc::now();
        let (news, newest) = self.compare(&reading, now);
        self.last = Some(reading);
        let before = rendition.newest();
        rendition.note(&Shown {
            window: list.total(),
            wanted: &news.wanted,
            newest,
            first,
            works: self.works,
        });
        rendition.remember(Some(Arc::clone(&self.timeline)));
        self.tell(&news);
        if let Some(newest) = newest {
            let behind = (now - newest.end).num_milliseconds() as f64 / 1000.0;
            let labels = labels(channel, quality);
            METRICS.behind.with_label_values(&labels).set(behind);
        }
        // A list from a while ago relieves nobody. Its own end counts, not the newest segment of
        // all lists: a successor knows that one from the worker before it.
        let slack = TimeDelta::from_std(list.target_duration * STALE_TARGETS).unwrap_or_default();
        let is_current = |end| before.is_none_or(|b: Newest| end >= earlier_by(b.end, slack));
        if news.has_show && news.end.is_some_and(is_current) && !self.works {
            self.works = true;
            self.report(Event::Works);
        }
        self.enqueue(news, list);
        if list.ended && self.polling {
            if rendition.tells_end() {
                tracing::info!(%channel, %quality, "the stream has ended");
            }
            self.report(Event::WantsAnotherPlace);
            self.end();
        } else {
            self.look_for_stall(list);
        }
    }

    /// Notes that a list has come, and tells what is wrong with it; whether it is the first.
    fn note_answer(&mut self, list: &MediaPlaylist) -> bool {
        let rendition = &self.worker.rendition;
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        if !std::mem::take(&mut self.failing).is_empty() {
            tracing::info!(%channel, %quality, "the media playlist answers again");
            self.report(Event::AnswersAgain);
        }
        if list.problems != self.problems {
            for problem in list.problems.since(&self.problems) {
                tracing::warn!(%channel, %quality, "the media playlist has a bad line: {problem}");
            }
            self.problems = list.problems.clone();
        }
        !std::mem::replace(&mut self.worked, true)
    }

    /// What a list brings, and the newest segment of all lists; when to poll next.
    fn compare(&mut self, reading: &Reading, now: DateTime<Utc>) -> (News, Option<Newest>) {
        let list = &*reading.list;
        let is_same = |last: &Reading| Arc::ptr_eq(&last.list, &reading.list);
        let unchanged = self.last.as_ref().is_some_and(is_same);
        let mut timeline = lock(&self.timeline);
        let newest_before = timeline.newest();
        let news = match unchanged {
            true => timeline.update_unchanged(list, now),
            false => timeline.update(list, now),
        };
        let newest = timeline.newest();
        drop(timeline);
        // Its URLs may change with every poll, and nothing else.
        self.in_vain = match newest == newest_before {
            true => self.in_vain.saturating_add(1),
            false => 0,
        };
        self.pace = list.pace(self.in_vain);
        // Counted from when the poll began (RFC 8216 §6.3.4).
        let rendition = &self.worker.rendition;
        self.next_poll = self.poll_began + rendition.timing.poll_interval(self.pace);
        if !unchanged {
            self.playlists.keep(rendition.playlist_debug, &reading.text);
        }
        (news, newest)
    }

    /// Queues what is to be recorded, but for what others have in hand.
    fn enqueue(&mut self, news: News, list: &MediaPlaylist) {
        let playlists = self.playlists.all();
        // An ended list may be looked at again and again, for ever.
        let shown = list.total().saturating_add(LINGERS);
        let listed_since = SystemTime::now().checked_sub(shown).filter(|_| !list.ended);
        for wanted in news.wanted {
            if wanted.discontinuity {
                self.shared = Arc::default();
            }
            let doubtful = self.doubtful_from.is_some_and(|from| wanted.start >= from);
            let mut job = Job::new(wanted, doubtful, Arc::clone(&self.shared));
            job.listed_since = listed_since;
            job.window = list.total();
            self.downloads.take_in_hand(job, &playlists, Instant::now());
        }
        if let Some(doubted) = news.doubted {
            let mut job = Job::new(doubted, false, Arc::default());
            job.is_probe = true;
            self.downloads
                .take_in_hand(job, &Arc::default(), Instant::now());
        }
        self.downloads.take_postponed();
    }
}
