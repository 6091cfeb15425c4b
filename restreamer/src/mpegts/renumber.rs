//! Packets of a program under the numbers of another one with the same kinds of streams: an encoder
//! that starts again may number its streams in another way, which players and decoders take for the
//! end of what they show.

use super::TsError;
use super::demux::Damage;
use super::packet::{self, PACKET};
use super::tables::{Program, Stream, Tables};

/// So many packets at a file's start are looked at for its tables.
const LOOKED_AT: usize = 512;

/// The program that a file's first packets describe, if they do.
#[must_use]
pub fn program_of(bytes: &[u8]) -> Option<Program> {
    let mut tables = Tables::default();
    for (offset, packet) in packet::packets(bytes).take(LOOKED_AT) {
        // What is damaged here is found out elsewhere.
        let _ = packet.and_then(|packet| tables.take(offset, &packet));
        if tables.program().is_some() {
            break;
        }
    }
    tables.into_program()
}

/// Gives packets other numbers.
#[derive(Debug, Clone)]
pub struct Renumberer {
    /// The number of a stream, and what it becomes.
    pids: Vec<(u16, u16)>,
    /// The clock's stream, where that has nothing else.
    clock: Option<(u16, u16)>,
    /// The tables to be written in the place of its own.
    tables: Vec<[u8; PACKET]>,
}

impl Renumberer {
    /// From one program to another; `None` if nothing has to be done, or the first pictures or the
    /// first sound are coded in another way. Streams that the other one has not are left out.
    #[must_use]
    pub fn new(from: &Program, to: &Program) -> Option<Renumberer> {
        if from.streams == to.streams && from.pcr_pid == to.pcr_pid {
            return None;
        }
        let first = |program: &Program, is_it: fn(&Stream) -> bool| {
            program.streams.iter().copied().find(is_it)
        };
        let mut pids = Vec::new();
        for is_it in [
            (|stream| stream.codec.is_video()) as fn(&Stream) -> bool,
            |stream| stream.codec.is_audio(),
        ] {
            if let Some(was) = first(from, is_it) {
                let becomes = first(to, is_it)?;
                if was.codec != becomes.codec {
                    return None;
                }
                pids.push((was.pid, becomes.pid));
            }
        }
        // All as it is, but for streams of data.
        if pids.iter().all(|(was, becomes)| was == becomes) && from.pcr_pid == to.pcr_pid {
            return None;
        }
        let is_alone = !pids.iter().any(|(was, _)| *was == from.pcr_pid);
        Some(Renumberer {
            pids,
            clock: is_alone.then_some((from.pcr_pid, to.pcr_pid)),
            tables: to.packets.clone(),
        })
    }

    /// Packets under their new numbers, without those that have none. A file begins with the new
    /// tables.
    ///
    /// # Errors
    /// [`TsError`] with the first packet that is damaged, unless `damage` is skipped.
    pub fn renumber(&self, bytes: &[u8], begins: bool, damage: Damage) -> Result<Vec<u8>, TsError> {
        let mut into = Vec::with_capacity(bytes.len() + self.tables.len() * PACKET);
        if begins {
            into.extend(self.tables.iter().flatten());
        }
        for (_, packet) in packet::packets(bytes) {
            let packet = match packet {
                Ok(packet) => packet,
                Err(error) if damage == Damage::Fails => return Err(error),
                Err(_) => continue,
            };
            let known = self.pids.iter().find(|(was, _)| *was == packet.pid());
            let clock = || {
                self.clock
                    .filter(|(was, _)| *was == packet.pid() && !packet.has_payload())
            };
            if let Some((_, becomes)) = known.copied().or_else(clock) {
                let mut packet = *packet.bytes();
                packet::set_pid(&mut packet, becomes);
                into.extend_from_slice(&packet);
            }
        }
        Ok(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpegts::demux::{Unit, demux};
    use crate::mpegts::mux::Muxer;
    use crate::mpegts::tables::Codec;

    fn program(pid: u16, codec: Codec) -> Program {
        Program::of(Stream { pid, codec })
    }

    fn packets(pid: u16) -> Vec<u8> {
        let mut muxer = Muxer::new(program(pid, Codec::H264), 0);
        for number in 0..9 {
            let dts = i64::from(number) * 3600;
            let bytes = [&[0, 0, 1, 0x65, number][..], &[7; 300]].concat();
            muxer.add(&Unit::new(pid, Codec::H264, 0xe0, dts, dts, bytes));
        }
        muxer.packets()
    }

    #[test]
    fn the_same_pictures_under_another_number() {
        let (one, other) = (packets(0x100), packets(0x120));
        let to = program_of(&one).unwrap();
        let from = program_of(&other).unwrap();
        let renumberer = Renumberer::new(&from, &to).unwrap();
        let renumber = |bytes: &[u8], begins| renumberer.renumber(bytes, begins, Damage::Fails);
        let made = renumber(&other, true).unwrap();
        let (was, is) = (
            demux(&one, Damage::Fails).unwrap(),
            demux(&made, Damage::Fails).unwrap(),
        );
        assert_eq!(is.program.streams, was.program.streams);
        let payloads = |units: &[Unit]| -> Vec<(u16, i64, Vec<u8>)> {
            let units = units.iter();
            units
                .map(|unit| (unit.pid, unit.dts, unit.payload().to_vec()))
                .collect()
        };
        assert_eq!(payloads(&is.units), payloads(&was.units));
        // Later pieces of a file have no tables of their own.
        let half = other.len() / 2 / PACKET * PACKET;
        let pieces = [
            renumber(&other[..half], true),
            renumber(&other[half..], false),
        ];
        assert_eq!(pieces.map(Result::unwrap).concat(), made);
        let damaged = [&other[..PACKET], &[0; PACKET]].concat();
        assert_eq!(renumber(&damaged, false).unwrap_err().offset, PACKET);
        let skipped = renumberer.renumber(&damaged, false, Damage::IsSkipped);
        assert!(skipped.unwrap().is_empty());
    }

    #[test]
    fn what_cannot_or_need_not_be_done() {
        let h264 = program(0x100, Codec::H264);
        assert!(Renumberer::new(&h264, &h264).is_none());
        assert!(Renumberer::new(&program(0x120, Codec::H265), &h264).is_none());
        assert!(program_of(&[0x47; 50]).is_none());
        let mut with_data = h264.clone();
        with_data.streams.push(Stream {
            pid: 0x1f0,
            codec: Codec::Data,
        });
        assert!(Renumberer::new(&with_data, &h264).is_none());
    }

    #[test]
    fn a_clock_of_its_own_comes_along() {
        let mut from = program(0x120, Codec::H264);
        from.pcr_pid = 0x1ff;
        let to = program(0x100, Codec::H264);
        let renumberer = Renumberer::new(&from, &to).unwrap();
        let mut clock = [0xff; PACKET];
        clock[..6].copy_from_slice(&[0x47, 0x01, 0xff, 0x20, 183, 0x10]);
        let made = renumberer.renumber(&clock, false, Damage::Fails).unwrap();
        assert_eq!(made.len(), PACKET);
        assert_eq!(made[1..3], [0x01, 0x00]);
        assert_eq!(made[3..], clock[3..]);
    }
}
