//! Gives packets counters that go on, and times that go on from 0, without looking at what they
//! carry.
//!
//! A stream comes in stretches, each with a clock of its own; where one ends the next goes on.

mod first;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use self::first::first_shown;
use super::demux::Media;
use super::packet::{self, NULL, PACKET, Packet};
use super::pes::{self, Head};
use super::tables::Stream;
use super::time::{MAX_GAP, MAX_JUMP, TICKS_A_SECOND, is_jump, ticks, unwrap_near, wrap};
use super::{Problem, TsError};

/// Pictures that are so far behind the sound have stopped for a while: nobody interleaves so badly.
const MAX_PAUSE: i64 = TICKS_A_SECOND;

/// How long a picture is taken to be shown before two are known: 1/50 s.
const USUAL_FRAME: i64 = TICKS_A_SECOND / 50;

/// Of so many of the last pictures it is known how long each is shown: more than are decoded before
/// they are shown.
const LAST_SHOWN: usize = 16;

/// Streams are numbered with 13 bits.
const PIDS: usize = 1 << 13;

/// Where a stretch begins, in ticks of its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// When its first picture (without pictures: its first sound) is shown.
    pub shown: i64,
    /// The earliest of all times in it.
    pub lowest: i64,
    /// How long before they are decoded units arrive.
    pub lead: i64,
}

/// What a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When its first picture (without pictures: its first sound) is shown, in ticks.
    pub shown: i64,
    /// The same, in microseconds since 1970.
    pub instant: i64,
}

/// What is known of a stream.
#[derive(Debug, Clone, Copy, Default)]
struct Pid {
    /// The counter of the next packet.
    next: u8,
    /// The counter of the last packet as it was, unless it was in another file.
    was: Option<u8>,
    /// The last time of decoding that was written.
    dts: Option<i64>,
    /// The last one that was read in this file, and what was added to it.
    here: Option<(i64, i64)>,
    /// How long after the one before it that was.
    step: i64,
}

/// Rewrites packets.
#[derive(Debug)]
pub struct Retimer {
    /// True iff times are left as they are.
    keeps_times: bool,
    pids: Vec<Pid>,
    /// What is added to times.
    offset: i64,
    lead: i64,
    /// A time as read near which the next one is.
    reference: Option<i64>,
    /// What the clock is taken from: pictures, or sound where there are none.
    main: Option<u16>,
    /// What the clock goes by: pictures, but sound while there are none.
    paced: Option<u16>,
    /// What the last file began with, as written.
    place: Option<Place>,
    /// The last clock that was written.
    pcr: Option<i64>,
    /// The latest picture's, as written.
    shown: Option<i64>,
    /// The last pictures', as written.
    last: VecDeque<i64>,
    /// How long a picture is shown, if these do not tell.
    usual: i64,
}

impl Retimer {
    /// One that gives packets times from 0 on.
    #[must_use]
    pub fn from_zero() -> Retimer {
        Retimer::new(false)
    }

    /// One that changes counters alone.
    #[must_use]
    pub fn of_counters() -> Retimer {
        Retimer::new(true)
    }

    fn new(keeps_times: bool) -> Retimer {
        Retimer {
            keeps_times,
            pids: vec![Pid::default(); PIDS],
            offset: 0,
            lead: 0,
            reference: None,
            main: None,
            paced: None,
            place: None,
            pcr: None,
            shown: None,
            last: VecDeque::new(),
            usual: USUAL_FRAME,
        }
    }

    /// A stretch begins: what is first shown of it follows what was last shown before it.
    pub fn begin(&mut self, start: Start) {
        self.offset = match self.follows() {
            Some(follows) => follows - start.shown,
            None => -start.lowest,
        };
        self.usual = self.frame();
        self.last.clear();
        self.lead = start.lead;
        self.reference = Some(start.shown);
        self.main = None;
        self.paced = None;
        self.place = None;
        self.other_file();
    }

    /// A file of the same stretch begins with `bytes`, of which it is not known when. If its clock is
    /// another, it goes on from where the one before it was.
    pub fn next_file(&mut self, bytes: &[u8]) {
        self.next(bytes, None);
    }

    /// A segment of the same stretch begins with `bytes`, at an instant in microseconds since 1970.
    pub fn next_segment(&mut self, bytes: &[u8], instant: i64) {
        self.next(bytes, Some(instant));
    }

    /// A file of the same stretch begins.
    pub fn next_at(&mut self, Place { shown, instant }: Place) {
        self.other_file();
        if !self.keeps_times {
            self.goes_on(shown, Some(instant));
        }
    }

    fn next(&mut self, bytes: &[u8], instant: Option<i64>) {
        self.other_file();
        if !self.keeps_times
            && let Some(shown) = first_shown(bytes)
        {
            self.goes_on(shown, instant);
        }
    }

    /// What is first shown of a file comes so long after that of the file before as it did, unless its
    /// clock is another: then it follows what was last shown, or comes when it should if nothing was shown
    /// for a while.
    fn goes_on(&mut self, shown: i64, instant: Option<i64>) {
        let shown = unwrap_near(wrap(shown), self.reference.unwrap_or(shown));
        let written = shown + self.offset;
        let expected = self.place.zip(instant);
        let expected = expected.map(|(last, now)| last.shown + ticks(now - last.instant));
        if let Some(follows) = self.follows() {
            let is_near = |time: i64| (written - time).abs() <= MAX_JUMP;
            if !is_near(follows) && !expected.is_some_and(is_near) {
                let late = expected.filter(|expected| *expected > follows + self.frame());
                self.offset += late.unwrap_or(follows) - written;
                self.reference = Some(shown);
            }
        }
        self.place = instant.map(|instant| Place {
            shown: shown + self.offset,
            instant,
        });
    }

    /// When the next picture would be shown, as written.
    fn follows(&self) -> Option<i64> {
        self.shown.map(|shown| shown + self.frame())
    }

    /// How long a picture is shown: as most of the last ones were.
    fn frame(&self) -> i64 {
        let mut shown: Vec<i64> = self.last.iter().copied().collect();
        shown.sort_unstable();
        let steps = shown.windows(2).map(|pair| pair[1] - pair[0]);
        let mut steps: Vec<i64> = steps.filter(|step| *step > 0).collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(self.usual)
    }

    fn other_file(&mut self) {
        for pid in &mut self.pids {
            pid.was = None;
            pid.here = None;
        }
    }

    /// Rewrites whole packets in place.
    ///
    /// # Errors
    /// [`TsError`] if one is damaged; its offset counts from the start of `bytes`.
    pub fn rewrite(&mut self, bytes: &mut [u8]) -> Result<(), TsError> {
        let mut offset = 0;
        for chunk in bytes.chunks_mut(PACKET) {
            let length = chunk.len();
            let rewritten = match <&mut [u8; PACKET]>::try_from(chunk) {
                Ok(packet) => self.packet(packet),
                Err(_) => Err(Problem::Truncated(length)),
            };
            rewritten.map_err(|problem| TsError { offset, problem })?;
            offset += PACKET;
        }
        Ok(())
    }

    fn packet(&mut self, bytes: &mut [u8; PACKET]) -> Result<(), Problem> {
        let packet = Packet::read(bytes)?;
        let pid = packet.pid();
        if pid == NULL {
            return Ok(());
        }
        let (begins, pcr, payload_at) = (packet.begins(), packet.pcr(), packet.payload_at());
        let (counter, has_payload) = (packet.counter(), packet.has_payload());
        let state = &mut self.pids[usize::from(pid)];
        let is_repeated = state.was == Some(counter);
        if has_payload && !is_repeated {
            state.was = Some(counter);
            packet::set_counter(bytes, state.next);
            state.next = state.next.wrapping_add(1);
        } else {
            packet::set_counter(bytes, state.next.wrapping_sub(1));
        }
        if self.keeps_times {
            return Ok(());
        }
        packet::clear_discontinuity(bytes);
        if begins && bytes[payload_at..].starts_with(&[0, 0, 1]) {
            self.times(pid, &mut bytes[payload_at..], is_repeated)?;
        }
        if let Some(pcr) = pcr {
            let pcr = self.clock(pcr);
            packet::set_pcr(bytes, pcr);
        }
        Ok(())
    }

    fn times(&mut self, pid: u16, bytes: &mut [u8], is_repeated: bool) -> Result<(), Problem> {
        let head = Head::read(bytes)?;
        let Some(pts) = head.pts else {
            return Ok(());
        };
        let reference = self.reference.unwrap_or(pts as i64);
        let pts = unwrap_near(pts, reference);
        let dts = head.dts.map_or(pts, |dts| unwrap_near(dts, pts));
        let offset = self.offset_here(pid, head.stream_id, dts);
        self.reference = Some(dts);
        let is_video = pes::is_video(head.stream_id);
        if is_video && self.main != Some(pid) || self.main.is_none() {
            self.main = Some(pid);
            self.last.clear();
        }
        let state = &mut self.pids[usize::from(pid)];
        let mut new_dts = dts + offset;
        // A later stretch may have to be decoded longer before it is shown: what is shown stays.
        if let Some(last) = state.dts
            && !is_repeated
        {
            new_dts = new_dts.max(last + 1);
        }
        state.dts = Some(new_dts);
        let paced = self.paced.and_then(|pid| self.pids[usize::from(pid)].dts);
        if self.main == Some(pid) || paced.is_none_or(|last| new_dts > last + MAX_PAUSE) {
            self.paced = Some(pid);
        }
        let new_pts = (pts + offset).max(new_dts);
        pes::set_times(bytes, new_pts, new_dts);
        if self.main == Some(pid) {
            if self.last.len() == LAST_SHOWN {
                self.last.pop_front();
            }
            self.last.push_back(new_pts);
            self.shown = Some(self.shown.map_or(new_pts, |shown| shown.max(new_pts)));
        }
        Ok(())
    }

    /// What is to be added to a stream's time, which may be the first of another clock in the middle of a
    /// file. Each stream comes to it at a time of its own.
    fn offset_here(&mut self, pid: u16, stream_id: u8, dts: i64) -> i64 {
        let state = self.pids[usize::from(pid)];
        let mut offset = self.offset;
        if let (Some((last, added)), Some(written)) = (state.here, state.dts) {
            let is_near = |time: i64| !is_jump(time - written);
            let is_far = self.reference.is_none_or(|it| (dts - it).abs() > MAX_GAP);
            if is_near(dts + added) {
                offset = added;
            } else if added != offset && is_near(dts + offset) {
                // Another stream has come to it before.
            } else if is_media(stream_id) && (dts < last || is_far) {
                let step = if state.step > 0 {
                    state.step
                } else {
                    USUAL_FRAME
                };
                offset = written + step - dts;
                self.offset = offset;
            } else {
                offset = added;
            }
        }
        let state = &mut self.pids[usize::from(pid)];
        if let Some((last, _)) = state.here
            && (1..=TICKS_A_SECOND).contains(&(dts - last))
        {
            state.step = dts - last;
        }
        state.here = Some((dts, offset));
        offset
    }

    /// The clock to be written: never back, never later than what is decoded next. Before anything is known
    /// of that it stands still.
    fn clock(&mut self, pcr: u64) -> i64 {
        let reference = self.reference.unwrap_or(pcr as i64);
        let clock = unwrap_near(pcr, reference) + self.offset + self.lead;
        let last = self.pcr.unwrap_or(0);
        let decoded = self.paced.and_then(|pid| self.pids[usize::from(pid)].dts);
        let clock = decoded.map_or(last, |decoded| clock.min(decoded).max(last));
        self.pcr = Some(clock);
        clock
    }
}

/// A segment as though its clock did not jump in the middle; `None` if it does not.
#[must_use]
pub fn mended(bytes: &[u8], media: &Media) -> Option<Vec<u8>> {
    let jumps = |stream: &Stream| {
        let times: Vec<i64> = media.of(stream.pid).map(|unit| unit.dts).collect();
        let mut steps = times.windows(2).map(|pair| pair[1] - pair[0]);
        steps.any(is_jump)
    };
    let mut streams = media.program.streams.iter();
    let jumps = streams.any(|it| (it.codec.is_video() || it.codec.is_audio()) && jumps(it));
    let first = media.units.first().filter(|_| jumps)?;
    let mut retimer = Retimer::from_zero();
    // The times before it stay.
    retimer.begin(Start {
        shown: first.pts,
        lowest: 0,
        lead: 0,
    });
    let mut bytes = bytes.to_vec();
    bytes.truncate(bytes.len() - bytes.len() % PACKET);
    retimer.rewrite(&mut bytes).ok()?;
    Some(bytes)
}

/// True iff a stream is one of pictures or sound, which comes all the time.
fn is_media(stream_id: u8) -> bool {
    (0xc0..=0xef).contains(&stream_id)
}
