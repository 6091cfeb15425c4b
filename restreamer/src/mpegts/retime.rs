//! Gives packets counters that go on, and times that go on from 0, without looking at what they
//! carry.
//!
//! A stream comes in stretches, each with a clock of its own; where one ends the next goes on.

use super::packet::{self, NULL, PACKET, Packet};
use super::pes::{self, Head};
use super::time::{TICKS_A_SECOND, unwrap_near};
use super::{Problem, TsError};

/// Between two files of one stretch, times that are off by more than that are another clock's.
const MAX_JUMP: i64 = TICKS_A_SECOND / 2;

/// How long a picture is taken to be shown before two are known: 1/50 s.
const USUAL_FRAME: i64 = TICKS_A_SECOND / 50;

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

/// What is known of a stream.
#[derive(Debug, Clone, Copy, Default)]
struct Pid {
    /// The counter of the next packet.
    next: u8,
    /// The counter of the last packet as it was, unless it was in another file.
    was: Option<u8>,
    /// The last time of decoding that was written.
    dts: Option<i64>,
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
    /// The last time of decoding of the main stream, as read.
    dts: Option<i64>,
    /// The last clock that was written.
    pcr: Option<i64>,
    /// The latest picture's, as written.
    shown: Option<i64>,
    /// How long a picture is shown.
    frame: i64,
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
            dts: None,
            pcr: None,
            shown: None,
            frame: USUAL_FRAME,
        }
    }

    /// A stretch begins: what is first shown of it follows what was last shown before it.
    pub fn begin(&mut self, start: Start) {
        self.offset = match self.shown {
            Some(shown) => shown + self.frame - start.shown,
            None => -start.lowest,
        };
        self.lead = start.lead;
        self.reference = Some(start.shown);
        self.main = None;
        self.dts = None;
        self.other_file();
    }

    /// A file of the same stretch begins with `bytes`. If its clock is another, it goes on from
    /// where the one before it was.
    pub fn next_file(&mut self, bytes: &[u8]) {
        self.other_file();
        if self.keeps_times {
            return;
        }
        let (Some(main), Some(last)) = (self.main, self.dts) else {
            return;
        };
        let mut packets = packet::packets(bytes).filter_map(|(_, packet)| packet.ok());
        let found = packets.find(|packet| packet.pid() == main && packet.begins());
        let head = found.and_then(|packet| Head::read(packet.payload()).ok());
        if let Some(stamp) = head.and_then(|head| head.dts.or(head.pts)) {
            let dts = unwrap_near(stamp, last);
            let jump = dts - (last + self.frame);
            if jump.abs() > MAX_JUMP {
                self.offset -= jump;
                self.reference = Some(dts);
                self.dts = None;
            }
        }
    }

    fn other_file(&mut self) {
        for pid in &mut self.pids {
            pid.was = None;
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
        self.reference = Some(dts);
        let is_video = pes::is_video(head.stream_id);
        if is_video && self.main != Some(pid) || self.main.is_none() {
            self.main = Some(pid);
            self.dts = None;
        }
        let state = &mut self.pids[usize::from(pid)];
        let mut new_dts = dts + self.offset;
        // A later stretch may have to be decoded longer before it is shown: what is shown stays.
        if let Some(last) = state.dts
            && !is_repeated
        {
            new_dts = new_dts.max(last + 1);
        }
        state.dts = Some(new_dts);
        let new_pts = (pts + self.offset).max(new_dts);
        pes::set_times(bytes, new_pts, new_dts);
        if self.main == Some(pid) {
            if let Some(last) = self.dts
                && (1..TICKS_A_SECOND).contains(&(dts - last))
            {
                self.frame = dts - last;
            }
            self.dts = Some(dts);
            self.shown = Some(self.shown.map_or(new_pts, |shown| shown.max(new_pts)));
        }
        Ok(())
    }

    /// The clock to be written: never back, never later than what is decoded next.
    fn clock(&mut self, pcr: u64) -> i64 {
        let reference = self.reference.unwrap_or(pcr as i64);
        let mut clock = unwrap_near(pcr, reference) + self.offset + self.lead;
        let main = self.main.and_then(|main| self.pids[usize::from(main)].dts);
        clock = clock.min(main.unwrap_or(0));
        clock = clock.max(self.pcr.unwrap_or(0));
        self.pcr = Some(clock);
        clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpegts::demux::{Damage, Unit, demux};
    use crate::mpegts::mux::Muxer;
    use crate::mpegts::tables::{Codec, Program, Stream};

    const FRAME: i64 = 3600;

    /// So many pictures from a time on, each decoded `delay` before it is shown.
    fn stream(from: i64, count: i64, delay: i64, lead: i64) -> (Vec<u8>, Start) {
        let program = Program::of(Stream {
            pid: 0x100,
            codec: Codec::H264,
        });
        let mut muxer = Muxer::new(program, lead);
        for number in 0..count {
            let pts = from + number * FRAME;
            let bytes = vec![0, 0, 1, 0x65, number as u8, 7];
            muxer.add(&Unit::new(
                0x100,
                Codec::H264,
                0xe0,
                pts,
                pts - delay,
                bytes,
            ));
        }
        let start = Start {
            shown: from,
            lowest: from - delay,
            lead,
        };
        (muxer.packets(), start)
    }

    fn times(bytes: &[u8]) -> Vec<(i64, i64)> {
        let media = demux(bytes, Damage::Fails).unwrap();
        media
            .units
            .iter()
            .map(|unit| (unit.pts, unit.dts))
            .collect()
    }

    #[test]
    fn stretches_follow_one_another() {
        let wrap = 1_i64 << 33;
        let mut retimer = Retimer::from_zero();
        let mut all = Vec::new();
        // The second begins anew in the middle; the third needs its pictures earlier.
        for (from, delay) in [(500_000, 0), (wrap - 2 * FRAME, 0), (90_000, 2 * FRAME)] {
            let (mut bytes, start) = stream(from, 4, delay, 60_000);
            retimer.begin(start);
            retimer.rewrite(&mut bytes).unwrap();
            all.extend(bytes);
        }
        let found = times(&all);
        let shown: Vec<i64> = found.iter().map(|(pts, _)| *pts).collect();
        let expected: Vec<i64> = (0..12).map(|number| number * FRAME).collect();
        assert_eq!(shown, expected);
        assert!(
            found.windows(2).all(|pair| pair[0].1 < pair[1].1),
            "{found:?}"
        );
        let media = demux(&all, Damage::Fails).unwrap();
        assert_eq!(media.lead, 0);
        let counters = packet::packets(&all).filter_map(|(_, packet)| packet.ok());
        let counters = counters.filter(|packet| packet.pid() == 0x100 && packet.has_payload());
        let counters: Vec<u8> = counters.map(|packet| packet.counter()).collect();
        let expected: Vec<u8> = (0..counters.len())
            .map(|number| number as u8 % 16)
            .collect();
        assert_eq!(counters, expected);
    }

    #[test]
    fn another_clock_in_the_middle_of_a_stretch_goes_on() {
        let mut retimer = Retimer::from_zero();
        let mut all = Vec::new();
        for (number, from) in [90_000, 90_000 + 4 * FRAME, 7_000_000]
            .into_iter()
            .enumerate()
        {
            let (mut bytes, start) = stream(from, 4, FRAME, 0);
            if number == 0 {
                retimer.begin(start);
            }
            retimer.next_file(&bytes);
            retimer.rewrite(&mut bytes).unwrap();
            all.extend(bytes);
        }
        let expected: Vec<_> = (0..12).map(|n| ((n + 1) * FRAME, n * FRAME)).collect();
        assert_eq!(times(&all), expected);
    }

    #[test]
    fn what_is_there_twice_stays_so() {
        let (bytes, start) = stream(90_000, 2, 0, 0);
        let last = bytes.len() - PACKET;
        let mut bytes = [&bytes[..], &bytes[last..]].concat();
        let mut retimer = Retimer::from_zero();
        retimer.begin(start);
        retimer.rewrite(&mut bytes).unwrap();
        assert_eq!(bytes[last..last + PACKET], bytes[last + PACKET..]);
        assert_eq!(times(&bytes), [(0, 0), (FRAME, FRAME)]);
    }

    #[test]
    fn counters_alone_leave_times_as_they_are() {
        let (mut bytes, start) = stream(500_000, 4, FRAME, 100);
        let before = demux(&bytes, Damage::Fails).unwrap();
        let mut retimer = Retimer::of_counters();
        let mut again = bytes.clone();
        for bytes in [&mut bytes, &mut again] {
            retimer.begin(start);
            retimer.next_file(bytes);
            retimer.rewrite(bytes).unwrap();
        }
        let after = demux(&again, Damage::Fails).unwrap();
        assert_eq!((after.units, after.lead), (before.units, before.lead));
        assert_ne!(bytes, again);
    }

    #[test]
    fn damage_has_its_place() {
        let (mut bytes, start) = stream(0, 4, 0, 0);
        bytes[PACKET] = 0;
        let mut retimer = Retimer::from_zero();
        retimer.begin(start);
        let error = retimer.rewrite(&mut bytes).unwrap_err();
        assert_eq!((error.offset, error.problem), (PACKET, Problem::NoSync(0)));
    }
}
