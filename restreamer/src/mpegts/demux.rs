//! A segment, taken apart: its access units with their times.

#[cfg(test)]
mod tests;
mod times;

use std::collections::{BTreeSet, HashMap};

use super::mux::Muxer;
use super::packet::{self, Packet};
use super::pes::Head;
use super::tables::{Codec, Program, Tables};
use super::time::{self, unwrap_near};
use super::{Problem, TsError, video};

/// What becomes of what is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It is an error: the file is known to be whole.
    Fails,
    /// It is left out, as is what the file's end has cut short.
    IsSkipped,
}

/// What a PES packet carries: a picture, some frames of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its stream.
    pub pid: u16,
    /// How it is coded.
    pub codec: Codec,
    /// What its PES head said.
    pub stream_id: u8,
    /// When it is shown, in ticks; see [`unwrap_near`].
    pub pts: i64,
    /// When it is decoded.
    pub dts: i64,
    /// True iff its packet says that decoding may begin here.
    pub is_entry: bool,
    /// Where its first packet is, in bytes from the file's start.
    pub offset: usize,
    bytes: Vec<u8>,
    payload_at: usize,
}

impl Unit {
    /// One that was not read.
    #[must_use]
    pub fn new(pid: u16, codec: Codec, stream_id: u8, pts: i64, dts: i64, bytes: Vec<u8>) -> Unit {
        Unit {
            pid,
            codec,
            stream_id,
            pts,
            dts,
            is_entry: false,
            offset: 0,
            bytes,
            payload_at: 0,
        }
    }

    /// What it carries.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.payload_at..]
    }

    /// What it carries, to be changed.
    pub fn payload_mut(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.payload_at);
        self.payload_at = 0;
        &mut self.bytes
    }
}

/// A segment, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Which streams there are.
    pub program: Program,
    /// In the order in which they begin.
    pub units: Vec<Unit>,
    /// How long before a picture is decoded it has arrived at least, in ticks: its DTS less the
    /// clock where it begins. 0 where that is not known.
    pub lead: i64,
    /// True iff some of the units' times are not in the packets.
    pub has_given_times: bool,
}

impl Media {
    /// The units of a stream, in the order of decoding.
    pub fn of(&self, pid: u16) -> impl DoubleEndedIterator<Item = &Unit> {
        self.units.iter().filter(move |unit| unit.pid == pid)
    }

    /// Pictures, sound and data in PES packets, as packets with the times that the units have. What comes
    /// after a jump of the clock stays behind what was before.
    #[must_use]
    pub fn packets(&self) -> Vec<u8> {
        let mut last: HashMap<u16, (i64, usize)> = HashMap::new();
        let units = self.units.iter().map(|unit| {
            let (before, jumps) = last.entry(unit.pid).or_insert((unit.dts, 0));
            *jumps += usize::from(time::is_jump(unit.dts - *before));
            *before = unit.dts;
            (*jumps, unit)
        });
        let mut units: Vec<(usize, &Unit)> = units.collect();
        units.sort_by_key(|(jumps, unit)| (*jumps, unit.dts));
        let mut muxer = Muxer::new(self.program.clone(), self.lead);
        for (_, unit) in units {
            muxer.add(unit);
        }
        muxer.packets()
    }

    /// Moves all times by so much.
    pub fn shift(&mut self, ticks: i64) {
        for unit in &mut self.units {
            unit.pts += ticks;
            unit.dts += ticks;
        }
    }
}

/// Takes a segment apart.
///
/// Counters of packets that do not fit are no error: decoders cope, and what was lost cannot be
/// had. A packet that is there twice is taken once.
///
/// # Errors
/// [`TsError`] with the first packet that is damaged, unless `damage` is skipped; if there is no
/// program with pictures or sound.
pub fn demux(bytes: &[u8], damage: Damage) -> Result<Media, TsError> {
    let mut demuxer = Demuxer::new(damage);
    for (offset, packet) in packet::packets(bytes) {
        match packet.and_then(|packet| demuxer.take(offset, &packet)) {
            Err(error) if damage == Damage::Fails => return Err(error),
            _ => {}
        }
    }
    demuxer.finish(bytes.len())
}

/// A PES packet under way.
#[derive(Debug)]
struct Pending {
    codec: Codec,
    is_entry: bool,
    offset: usize,
    /// The clock where it begins.
    pcr: Option<u64>,
    bytes: Vec<u8>,
    /// The packet before, to know one that is there twice.
    last: [u8; packet::PACKET],
}

/// Takes a stream apart as it comes.
#[derive(Debug)]
pub struct Demuxer {
    damage: Damage,
    tables: Tables,
    pending: HashMap<u16, Pending>,
    units: Vec<Unit>,
    /// A time to which others are near.
    reference: Option<i64>,
    pcr: Option<u64>,
    /// The shortest lead of each stream.
    leads: HashMap<u16, i64>,
    /// Where pictures begin whose packets say no time, and in which stream.
    untimed: Vec<(usize, u16)>,
}

impl Demuxer {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(damage: Damage) -> Demuxer {
        Demuxer {
            damage,
            tables: Tables::default(),
            pending: HashMap::new(),
            units: Vec::new(),
            reference: None,
            pcr: None,
            leads: HashMap::new(),
            untimed: Vec::new(),
        }
    }

    /// The units that are whole since this was last asked.
    pub fn units(&mut self) -> std::vec::Drain<'_, Unit> {
        self.units.drain(..)
    }

    /// Takes the packet at an offset in bytes. The last unit of each stream is whole when another
    /// begins, or with [`Demuxer::finish`].
    ///
    /// # Errors
    /// As [`demux`].
    pub fn take(&mut self, offset: usize, packet: &Packet<'_>) -> Result<(), TsError> {
        self.tables.take(offset, packet)?;
        let Some(program) = self.tables.program() else {
            return Ok(());
        };
        let pid = packet.pid();
        if pid == program.pcr_pid {
            self.pcr = packet.pcr().or(self.pcr);
        }
        let Some(stream) = program.stream(pid) else {
            return Ok(());
        };
        if !packet.has_payload() || stream.codec == Codec::Sections {
            return Ok(());
        }
        if !packet.begins() {
            if let Some(pending) = self.pending.get_mut(&pid)
                && pending.last != *packet.bytes()
            {
                pending.bytes.extend_from_slice(packet.payload());
                pending.last = *packet.bytes();
            }
            return Ok(());
        }
        let next = Pending {
            codec: stream.codec,
            is_entry: packet.is_random_access(),
            offset,
            pcr: self.pcr,
            bytes: packet.payload().to_vec(),
            last: *packet.bytes(),
        };
        match self.pending.insert(pid, next) {
            Some(whole) if whole.last != *packet.bytes() => self.complete(pid, whole, false),
            Some(twice) => {
                self.pending.insert(pid, twice);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A PES packet is whole: another begins, or the file ends.
    fn complete(&mut self, pid: u16, pending: Pending, is_last: bool) -> Result<(), TsError> {
        let at = |problem| TsError {
            offset: pending.offset,
            problem,
        };
        let head = Head::read(&pending.bytes).map_err(at)?;
        let mut bytes = pending.bytes;
        if let Some(length) = head.length {
            if bytes.len() < head.payload_at + length {
                return Err(at(Problem::ShortPes(pid)));
            }
            bytes.truncate(head.payload_at + length);
        } else if is_last && self.damage == Damage::IsSkipped {
            // Nobody knows whether this is all of it.
            return Ok(());
        }
        let Some(pts) = head.pts else {
            self.without_time(Unit {
                pid,
                codec: pending.codec,
                stream_id: head.stream_id,
                pts: 0,
                dts: 0,
                is_entry: pending.is_entry,
                offset: pending.offset,
                bytes,
                payload_at: head.payload_at,
            });
            return Ok(());
        };
        let reference = self.reference.unwrap_or(pts as i64);
        let pts = unwrap_near(pts, reference);
        let dts = head.dts.map_or(pts, |dts| unwrap_near(dts, pts));
        self.reference = Some(dts);
        if let Some(pcr) = pending.pcr {
            let lead = dts - unwrap_near(pcr, dts);
            let least = self.leads.entry(pid).or_insert(lead);
            *least = lead.min(*least);
        }
        self.units.push(Unit {
            pid,
            codec: pending.codec,
            stream_id: head.stream_id,
            pts,
            dts,
            is_entry: pending.is_entry,
            offset: pending.offset,
            bytes,
            payload_at: head.payload_at,
        });
        Ok(())
    }

    /// Sound may go on in a packet that says no time, and so may a picture. A picture that begins in one
    /// gets its time when those around it are known.
    fn without_time(&mut self, unit: Unit) {
        if unit.codec.is_video() && video::begins(unit.codec, unit.payload()) {
            self.untimed.push((unit.offset, unit.pid));
            self.units.push(unit);
            return;
        }
        let has_more = unit.codec.is_video() || unit.codec.is_audio();
        let mut before = self.units.iter_mut().rev();
        if let Some(whole) = before.find(|whole| whole.pid == unit.pid && has_more) {
            whole.bytes.extend_from_slice(unit.payload());
        }
    }

    /// Gives pictures of a stream that have no time one that others tell. If none does they are left out,
    /// and the first of them is the error.
    fn give_times(&mut self, pid: u16, untimed: &[usize]) -> Result<(), TsError> {
        let is_timed = |unit: &Unit| untimed.binary_search(&unit.offset).is_err();
        let units = self.units.iter_mut();
        let mut pictures: Vec<&mut Unit> = units.filter(|unit| unit.pid == pid).collect();
        if times::give(&mut pictures, is_timed) {
            return Ok(());
        }
        let first = pictures.iter().find(|unit| !is_timed(unit));
        let offset = first.map_or(0, |unit| unit.offset);
        self.units.retain(|unit| unit.pid != pid || is_timed(unit));
        let problem = Problem::NoTime(pid);
        Err(TsError { offset, problem })
    }

    /// What is left after `length` bytes.
    ///
    /// # Errors
    /// As [`demux`].
    pub fn finish(mut self, length: usize) -> Result<Media, TsError> {
        let mut pending: Vec<(u16, Pending)> = self.pending.drain().collect();
        pending.sort_by_key(|(_, pending)| pending.offset);
        for (pid, pending) in pending {
            match self.complete(pid, pending, true) {
                Err(error) if self.damage == Damage::Fails => return Err(error),
                _ => {}
            }
        }
        self.units.sort_by_key(|unit| unit.offset);
        let mut untimed = std::mem::take(&mut self.untimed);
        untimed.sort_unstable_by_key(|(offset, _)| *offset);
        let pids: BTreeSet<u16> = untimed.iter().map(|(_, pid)| *pid).collect();
        let untimed: Vec<usize> = untimed.into_iter().map(|(offset, _)| offset).collect();
        let mut has_given_times = false;
        for pid in pids {
            match self.give_times(pid, &untimed) {
                Err(error) if self.damage == Damage::Fails => return Err(error),
                given => has_given_times |= given.is_ok(),
            }
        }
        let has_media = |program: &Program| {
            let mut streams = program.streams.iter();
            streams.any(|stream| stream.codec.is_video() || stream.codec.is_audio())
        };
        let program = self.tables.into_program().filter(has_media);
        let program = program.ok_or(TsError {
            offset: length,
            problem: Problem::NoProgram,
        })?;
        let pictures = program.video().and_then(|it| self.leads.get(&it.pid));
        let lead = pictures.or(self.leads.values().min());
        Ok(Media {
            lead: lead.map_or(0, |lead| (*lead).clamp(0, MAX_LEAD)),
            program,
            units: self.units,
            has_given_times,
        })
    }
}

/// More than that is no lead but two clocks (ISO/IEC 13818-1 §2.4.2.6: at most 10 s), in ticks.
const MAX_LEAD: i64 = 10 * super::time::TICKS_A_SECOND;
