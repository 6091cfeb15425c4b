//! Media playlists as they were last sent: whoever asks for the same range while nothing in it has
//! changed gets the same bytes, and costs no more than the question whether it has.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use common::metrics;
use common::selection::TimeRange;
use prometheus::IntGauge;
use tokio::sync::OwnedSemaphorePermit;

use super::body::PiecesBody;
use crate::error::ApiError;
use crate::hls::{self, HourLines, MediaPlaylist};
use crate::index::Rendition;
use crate::limits::Room;
use crate::routes::conditions::{self, Validators};
use crate::routes::encoding::Encoding;
use crate::routes::{changing, tell_any_origin, without_content};
use crate::text::Text;

/// For how long what changes no more may be kept without asking again.
const LONG: &str = "public, max-age=3600";

/// What is kept of all answers together, in bytes: a hundred ranges of an hour.
const LIMIT: usize = 32 << 20;

/// Larger ones are asked for seldom, and would drive out all others.
const LIMIT_EACH: usize = 8 << 20;

/// What an answer takes beside its text, its head above all, in bytes: many are short.
const OVERHEAD: usize = 2048;

/// What shares less than this with nobody, in bytes, needs no room: ten thousand of them are no
/// more than what is unsent in the kernel.
const OWN_FROM: usize = 64 * 1024;

static BYTES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Memory for playlists as they were last sent";
    metrics::gauge("restreamer_answers_bytes", help, &[]).with_label_values(&[] as &[&str])
});

/// What is asked for.
pub(super) type Key = (Arc<Rendition>, TimeRange, Encoding);

/// For what an answer takes room while it is on its way, and where.
#[derive(Debug, Clone, Copy)]
pub(super) enum Takes<'a> {
    /// For what it shares with nobody.
    Own(&'a Room),
    /// For all of it: the hours that it is from may be in memory for its sake alone.
    All(&'a Room),
}

/// A playlist, ready to be sent.
#[derive(Debug)]
pub(super) struct Answer {
    validators: Validators,
    /// Of an answer with a body that may change.
    head: HeaderMap,
    body: Text,
    /// True iff backfill cannot add to it.
    has_no_hole: bool,
    /// True iff it is one of those in memory of their own.
    is_kept: bool,
    /// What it takes while it is being sent to anybody, where that is bounded.
    room: Mutex<Weak<OwnedSemaphorePermit>>,
}

impl Answer {
    /// Writes a playlist.
    pub(super) fn new(playlist: &MediaPlaylist, encoding: Encoding) -> Answer {
        let mut answer = Answer {
            validators: Validators::of_content(&(playlist, encoding)),
            head: changing(hls::CONTENT_TYPE),
            body: match encoding {
                Encoding::Identity => playlist.text(),
                Encoding::Gzip => playlist.gzipped(),
            },
            has_no_hole: playlist.has_no_hole(),
            is_kept: false,
            room: Mutex::default(),
        };
        answer.validators.tell(&mut answer.head);
        encoding.tell(&mut answer.head);
        tell_any_origin(&mut answer.head);
        let length = answer.body.bytes();
        answer.head.insert(header::CONTENT_LENGTH, length.into());
        answer
    }

    /// Sends it, without a body if the client has it already. `is_past`: whatever is missing in
    /// it, the stream will not bring any more.
    ///
    /// # Errors
    /// 503 if there is no room.
    pub(super) fn respond(
        &self,
        request: &HeaderMap,
        is_past: bool,
        takes: Takes<'_>,
    ) -> Result<Response, ApiError> {
        let mut response = Response::default();
        let head = response.headers_mut();
        head.clone_from(&self.head);
        if is_past && self.has_no_hole {
            head.insert(header::CACHE_CONTROL, HeaderValue::from_static(LONG));
        }
        if let Some(status) = conditions::evaluate(request, &self.validators).status() {
            head.remove(header::CONTENT_ENCODING);
            head.remove(header::CONTENT_LENGTH);
            return Ok(without_content(status, std::mem::take(head)));
        }
        let (room, bytes) = match takes {
            Takes::Own(room) => (room, self.body.own),
            Takes::All(room) => (room, self.body.bytes()),
        };
        let room = (bytes > OWN_FROM).then(|| self.room(room, bytes));
        let room = room.transpose()?;
        *response.body_mut() = Body::new(PiecesBody::new(self.body.pieces.clone(), room));
        Ok(response)
    }

    /// Room for it, taken once for all whom it is being sent to.
    fn room(&self, room: &Room, bytes: usize) -> Result<Arc<OwnedSemaphorePermit>, ApiError> {
        // Nothing can panic while it is held.
        let mut taken = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = taken.upgrade() {
            return Ok(taken);
        }
        let new = match self.is_kept {
            // Who refuses it has another that takes none.
            true => room.free(bytes).ok_or(ApiError::busy("no room"))?,
            false => room.take(bytes)?,
        };
        let new = Arc::new(new);
        *taken = Arc::downgrade(&new);
        Ok(new)
    }

    /// The same in memory of its own, since pieces keep the whole hours that they are of; and in one
    /// piece, which leaves at once: a last line by itself is a packet more.
    fn in_own_memory(&self) -> Answer {
        Answer {
            validators: self.validators.clone(),
            head: self.head.clone(),
            body: self.body.in_one(),
            has_no_hole: self.has_no_hole,
            is_kept: true,
            room: Mutex::default(),
        }
    }
}

/// The answers that were sent last, and those that are being made.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    held: Mutex<Held>,
    turns: Mutex<HashMap<Key, Weak<Turn>>>,
}

/// Where those meet who ask for the same at the same time.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Option<Made>>);

/// An answer, with the digests of the hours that it was made from.
#[derive(Debug, Clone)]
pub(super) struct Made {
    digests: Arc<[u64]>,
    answer: Arc<Answer>,
}

impl Made {
    fn new(hours: &[Arc<HourLines>], answer: Arc<Answer>) -> Made {
        Made {
            digests: hours.iter().map(|hour| hour.digest()).collect(),
            answer,
        }
    }

    /// The answer, if it was made from the same hours.
    pub(super) fn of(&self, hours: &[Arc<HourLines>]) -> Option<Arc<Answer>> {
        let now = hours.iter().map(|hour| hour.digest());
        now.eq(self.digests.iter().copied())
            .then(|| Arc::clone(&self.answer))
    }
}

impl Turn {
    /// The answer from these hours. The first to come makes it, whether its client waits for it or has
    /// hung up, and the others have the same.
    pub(super) fn answer(
        &self,
        hours: &[Arc<HourLines>],
        make: impl FnOnce() -> Arc<Answer>,
    ) -> Arc<Answer> {
        // One that panicked left none, or the one before it.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = made.as_ref().and_then(|made| made.of(hours)) {
            return answer;
        }
        let answer = make();
        *made = Some(Made::new(hours, Arc::clone(&answer)));
        answer
    }
}

#[derive(Debug, Default)]
struct Held {
    answers: HashMap<Key, Kept>,
    /// Those of `answers`, the oldest first.
    order: VecDeque<Key>,
    /// The sum over `answers`.
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    made: Made,
    /// What it takes, all in all.
    bytes: usize,
}

impl Answers {
    /// The answer to this that was made last; it may be out of date.
    pub(super) fn get(&self, key: &Key) -> Option<Made> {
        Some(self.held().answers.get(key)?.made.clone())
    }

    /// Keeps an answer, in the place of others.
    pub(super) fn keep(&self, key: &Key, hours: &[Arc<HourLines>], answer: &Arc<Answer>) {
        // That there is nothing may also mean that the whole quality is gone.
        let bytes = answer.body.bytes();
        if hours.is_empty() || bytes > LIMIT_EACH {
            return;
        }
        let new = Kept {
            bytes: bytes + size_of::<Bytes>() + OVERHEAD,
            made: Made::new(hours, Arc::new(answer.in_own_memory())),
        };
        let mut held = self.held();
        held.bytes += new.bytes;
        match held.answers.insert(key.clone(), new) {
            Some(old) => held.bytes -= old.bytes,
            None => held.order.push_back(key.clone()),
        }
        while held.bytes > LIMIT
            && let Some(oldest) = held.order.pop_front()
        {
            if let Some(old) = held.answers.remove(&oldest) {
                held.bytes -= old.bytes;
            }
        }
        BYTES.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
    }

    /// Where to meet others who ask for this now.
    pub(super) fn turn(&self, key: &Key) -> Arc<Turn> {
        // Every change of it is complete before anything can panic.
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        // No more are there than run at once.
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Whatever a panic leaves in it is still an answer; at worst its size is counted wrong.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::names::{Channel, Quality};
    use common::segment::{Hour, Segment};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    fn hour(segments: &[&str]) -> Arc<HourLines> {
        let hour: Hour = "2026-01-02T03".parse().unwrap();
        let parse = |segment: &&str| {
            let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
            Segment::parse(hour, &format!("{segment}-2.0-full-{hash}.ts")).unwrap()
        };
        let segments = segments.iter().map(parse).collect();
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("q").unwrap());
        Arc::new(HourLines::new(&channel, &quality, hour, segments, None))
    }

    fn key(second: i64) -> Key {
        let start = "2026-01-02T03".parse::<Hour>().unwrap().start();
        let rendition = Rendition {
            channel: Channel::new("c").unwrap(),
            quality: Quality::new("q").unwrap(),
        };
        let range = TimeRange {
            start,
            end: start + chrono::TimeDelta::seconds(second),
        };
        (Arc::new(rendition), range, Encoding::Identity)
    }

    #[test]
    fn an_answer_is_as_good_as_its_hours() {
        let answers = Answers::default();
        let (one, other) = ([hour(&["00:00"])], [hour(&["00:00", "00:02"])]);
        let playlist = MediaPlaylist::of_range(key(9).1, &one);
        let answer = Arc::new(Answer::new(&playlist, Encoding::Identity));
        answers.keep(&key(9), &one, &answer);
        assert!(answers.get(&key(9)).is_some() && answers.get(&key(8)).is_none());
        assert!(
            answers
                .get(&key(9))
                .unwrap()
                .of(&[hour(&["00:00"])])
                .is_some()
        );
        assert!(answers.get(&key(9)).unwrap().of(&other).is_none());
        assert!(answers.get(&key(9)).unwrap().of(&[]).is_none());
        answers.keep(&key(9), &other, &answer);
        assert!(answers.get(&key(9)).unwrap().of(&other).is_some());
        let held = answers.held();
        let bytes = answer.body.bytes();
        assert_eq!(held.bytes, bytes + size_of::<Bytes>() + OVERHEAD);
        // It keeps nothing of the hour alive.
        let kept = &held.answers[&key(9)].made.answer.body.pieces;
        assert_eq!(kept.len(), 1);
        assert_eq!(kept.concat(), answer.body.pieces.concat());
        assert_ne!(kept[0].as_ptr(), answer.body.pieces[0].as_ptr());
    }

    #[test]
    fn those_who_ask_at_the_same_time_share_one_answer() {
        const CLIENTS: usize = 8;
        let answers = Answers::default();
        let (one, other) = ([hour(&["00:00"])], [hour(&["00:00", "00:02"])]);
        let made = AtomicUsize::new(0);
        let make = |hours: &[Arc<HourLines>]| {
            made.fetch_add(1, Ordering::Relaxed);
            let playlist = MediaPlaylist::of_range(key(9).1, hours);
            Arc::new(Answer::new(&playlist, Encoding::Identity))
        };
        let all_ask = Barrier::new(CLIENTS);
        let ask = || {
            let turn = answers.turn(&key(9));
            all_ask.wait();
            turn.answer(&one, || make(&one))
        };
        let shared = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            let answers = clients.into_iter().map(|client| client.join().unwrap());
            answers.collect::<Vec<_>>()
        });
        assert!(shared.iter().all(|answer| Arc::ptr_eq(answer, &shared[0])));
        assert_eq!(made.load(Ordering::Relaxed), 1);
        // What has changed since is made anew, and nobody else's question has this answer.
        let turn = answers.turn(&key(9));
        let before = turn.answer(&one, || make(&one));
        assert!(!Arc::ptr_eq(&before, &turn.answer(&other, || make(&other))));
        assert!(!Arc::ptr_eq(&turn, &answers.turn(&key(8))));
        assert!(Arc::ptr_eq(&turn, &answers.turn(&key(9))));
        drop(turn);
        // When nobody asks any more, nothing is left of it.
        answers.turn(&key(1));
        assert_eq!(answers.turns.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_is_on_its_way_takes_room_until_it_is_sent() {
        let hours = [hour(&["00:00", "00:02"])];
        let playlist = MediaPlaylist::of_range(key(4).1, &hours);
        let room = Room::new("test", 128 * 1024);
        let answer = |bytes, own| {
            let mut answer = Answer::new(&playlist, Encoding::Identity);
            let pieces = vec![Bytes::from_static(&[0; 128 * 1024]).slice(..bytes)];
            answer.body = Text { pieces, own };
            answer
        };
        let (first, other) = (answer(128 * 1024, 0), answer(100 * 1024, 0));
        let head = HeaderMap::new();
        let long = |answer: &Answer, request: &HeaderMap| {
            answer.respond(request, false, Takes::All(&room))
        };
        let sent = [long(&first, &head).unwrap(), long(&first, &head).unwrap()];
        assert_eq!(long(&other, &head).unwrap_err().status().as_u16(), 503);
        // Without a body there is nothing to take room for.
        let tag = sent[0].headers()[header::ETAG].clone();
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(long(&other, &known).unwrap().status().as_u16(), 304);
        // Of one that is not long what it shares with others takes none, and next to nothing neither.
        let short = |answer: &Answer| answer.respond(&head, false, Takes::Own(&room));
        let [shared, small, large] = [0, OWN_FROM, OWN_FROM + 1].map(|own| answer(100_000, own));
        assert!(short(&shared).is_ok() && short(&small).is_ok() && short(&large).is_err());
        let [one, another] = sent;
        drop(one);
        assert!(short(&large).is_err());
        // What is kept is refused, too, but that is no refusal to a client.
        let kept = large.in_own_memory();
        assert!(short(&kept).is_err());
        drop(another);
        assert!(short(&large).is_ok() && short(&kept).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let answers = Answers::default();
        let answer = |bytes| {
            let playlist = MediaPlaylist::of_range(key(9).1, &[]);
            let mut answer = Answer::new(&playlist, Encoding::Identity);
            answer.body.pieces = vec![Bytes::from_static(&[0; LIMIT_EACH + 1]).slice(..bytes)];
            Arc::new(answer)
        };
        let hours = [hour(&["00:00"])];
        answers.keep(&key(1), &hours, &answer(LIMIT_EACH + 1));
        answers.keep(&key(1), &[], &answer(1));
        assert!(answers.get(&key(1)).is_none());
        for second in 1..=20 {
            answers.keep(&key(second), &hours, &answer(LIMIT_EACH));
            assert!(answers.held().bytes <= LIMIT);
        }
        assert!(answers.get(&key(17)).is_none() && answers.get(&key(18)).is_some());
        assert_eq!(answers.held().order.len(), 3);
        // What is short is not for nothing.
        let short = answer(1);
        for second in 1..=40_000 {
            answers.keep(&key(second), &hours, &short);
        }
        assert!(answers.held().order.len() <= LIMIT / OVERHEAD);
    }
}
