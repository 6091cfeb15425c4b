//! Puts units together into packets.

use std::collections::HashMap;

use super::demux::Unit;
use super::packet::{self, PACKET};
use super::pes;
use super::tables::Program;
use super::time;

/// The longest that tables and the clock may be away, in ticks: players that come in late need
/// them (RFC 8216 §3.2 wants tables at a segment's start; ISO/IEC 13818-1 §2.7.2: a clock every
/// 0.1 s).
const TABLES_EVERY: i64 = time::TICKS_A_SECOND / 2;
const CLOCK_EVERY: i64 = time::TICKS_A_SECOND / 25;

/// A packet's head, in bytes.
const HEAD: usize = 4;

/// The longest head of a PES packet that is written here, in bytes.
const LONGEST_HEAD: usize = 19;

/// Writes units as packets.
#[derive(Debug)]
pub struct Muxer {
    program: Program,
    /// How long before it is decoded a unit arrives, in ticks.
    lead: i64,
    counters: HashMap<u16, u8>,
    tables_at: Option<i64>,
    clock_at: Option<i64>,
    into: Vec<u8>,
}

impl Muxer {
    /// One that writes streams of a program.
    #[must_use]
    pub fn new(program: Program, lead: i64) -> Muxer {
        Muxer {
            program,
            lead,
            counters: HashMap::new(),
            tables_at: None,
            clock_at: None,
            into: Vec::new(),
        }
    }

    /// Adds a unit. They come in the order of decoding, of all streams together.
    pub fn add(&mut self, unit: &Unit) {
        let now = unit.dts;
        let is_due = |at: Option<i64>, every| at.is_none_or(|at| now - at >= every || now < at);
        let is_key = unit.is_entry && unit.codec.is_video();
        if is_key || is_due(self.tables_at, TABLES_EVERY) {
            self.tables_at = Some(now);
            self.tables();
        }
        let clock = (is_key || is_due(self.clock_at, CLOCK_EVERY)).then(|| now - self.lead);
        let mut own_clock = None;
        if let Some(clock) = clock {
            self.clock_at = Some(now);
            if unit.pid == self.program.pcr_pid {
                own_clock = Some(clock);
            } else {
                self.clock(clock);
            }
        }
        let payload = unit.payload();
        let mut bytes = Vec::with_capacity(payload.len() + LONGEST_HEAD);
        pes::write(
            &mut bytes,
            unit.stream_id,
            unit.pts,
            unit.dts,
            payload.len(),
        );
        bytes.extend_from_slice(payload);
        self.pes(unit.pid, &bytes, own_clock, unit.is_entry);
    }

    /// The packets since this was last asked.
    #[must_use]
    pub fn packets(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.into)
    }

    fn tables(&mut self) {
        for packet in &self.program.packets {
            let mut packet = *packet;
            if let Ok(read) = packet::Packet::read(&packet) {
                let counter = self.counters.entry(read.pid()).or_default();
                packet::set_counter(&mut packet, *counter);
                *counter = counter.wrapping_add(1);
                self.into.extend_from_slice(&packet);
            }
        }
    }

    /// A packet with nothing but the clock; it does not count.
    fn clock(&mut self, clock: i64) {
        let pid = self.program.pcr_pid;
        let counter = self
            .counters
            .get(&pid)
            .map_or(0x0f, |next| next.wrapping_sub(1));
        let mut packet = [0xff; PACKET];
        packet[..4].copy_from_slice(&head(pid, false, 0x20, counter));
        packet[4] = (PACKET - 5) as u8;
        packet[5] = 0x10;
        packet[6..12].copy_from_slice(&time::pcr(clock));
        self.into.extend_from_slice(&packet);
    }

    /// Packets with a PES packet. The first has the clock, if there is one, and says whether
    /// decoding may begin with it.
    fn pes(&mut self, pid: u16, mut pes: &[u8], clock: Option<i64>, is_entry: bool) {
        let counter = self.counters.entry(pid).or_default();
        let mut flags = u8::from(is_entry) << 6 | u8::from(clock.is_some()) << 4;
        let mut clock = clock.map(time::pcr);
        let mut begins = true;
        while !pes.is_empty() {
            // The adaptation field in bytes, its length included.
            let needed = match (flags, clock) {
                (0, _) => 0,
                (_, None) => 2,
                (_, Some(clock)) => 2 + clock.len(),
            };
            let field = needed.max((PACKET - HEAD).saturating_sub(pes.len()));
            let end = self.into.len() + HEAD + field;
            let control = if field > 0 { 0x30 } else { 0x10 };
            self.into.extend(head(pid, begins, control, *counter));
            *counter = counter.wrapping_add(1);
            if field > 0 {
                self.into.push((field - 1) as u8);
            }
            if field > 1 {
                self.into.push(flags);
                self.into.extend(clock.iter().flatten());
            }
            self.into.resize(end, 0xff);
            let (now, later) = pes.split_at((PACKET - HEAD - field).min(pes.len()));
            self.into.extend_from_slice(now);
            (pes, flags, clock, begins) = (later, 0, None, false);
        }
    }
}

/// A packet's first four bytes.
fn head(pid: u16, begins: bool, control: u8, counter: u8) -> [u8; 4] {
    let [high, low] = pid.to_be_bytes();
    let high = high & 0x1f | u8::from(begins) << 6;
    [0x47, high, low, control | counter & 0x0f]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpegts::demux::{Damage, demux};
    use crate::mpegts::tables::{Codec, Stream, written};
    use proptest::prelude::*;

    /// Pictures in 0x100, sound in 0x101, as ffmpeg writes them.
    fn program(pcr_pid: u16) -> Program {
        let [high, low] = pcr_pid.to_be_bytes();
        let pat = [0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0];
        let pmt = [
            2,
            0xb0,
            23,
            0,
            1,
            0xc1,
            0,
            0,
            high | 0xe0,
            low,
            0xf0,
            0,
            0x1b,
            0xe1,
            0,
            0xf0,
            0,
            0x0f,
            0xe1,
            1,
            0xf0,
            0,
        ];
        Program {
            pcr_pid,
            streams: vec![
                Stream {
                    pid: 0x100,
                    codec: Codec::H264,
                },
                Stream {
                    pid: 0x101,
                    codec: Codec::Adts,
                },
            ],
            packets: vec![written(0, &pat), written(0x1000, &pmt)],
        }
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_taken_apart(
            units in proptest::collection::vec((any::<bool>(), 0..1000_usize, any::<bool>(), 0..5000_i64), 1..40),
            apart in any::<bool>(),
            lead in 0..90_000_i64,
        ) {
            let program = program(if apart { 0x1ff } else { 0x100 });
            let mut muxer = Muxer::new(program.clone(), lead);
            let mut expected = Vec::new();
            let mut now = 1_000_000;
            for (is_video, length, is_entry, step) in units {
                now += step;
                let bytes: Vec<u8> = (0..=length).map(|at| at as u8).collect();
                let (pid, codec, id) = if is_video { (0x100, Codec::H264, 0xe0) } else { (0x101, Codec::Adts, 0xc0) };
                let pts = if is_video { now + 3000 } else { now };
                let mut unit = Unit::new(pid, codec, id, pts, now, bytes);
                unit.is_entry = is_entry;
                muxer.add(&unit);
                expected.push(unit);
            }
            let bytes = muxer.packets();
            let found = demux(&bytes, Damage::Fails).unwrap();
            prop_assert_eq!(&found.program, &program);
            let clocked = expected.iter().any(|unit| unit.codec.is_video() && unit.is_entry);
            prop_assert!(!clocked || found.lead == lead);
            prop_assert_eq!(found.units.len(), expected.len());
            for (found, expected) in found.units.iter().zip(&expected) {
                prop_assert_eq!(found.payload(), expected.payload());
                prop_assert_eq!((found.pid, found.pts, found.dts, found.is_entry),
                    (expected.pid, expected.pts, expected.dts, expected.is_entry));
            }
        }
    }
}
