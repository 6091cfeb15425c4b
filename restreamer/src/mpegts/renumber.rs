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
    /// Where the clock is, and where it has to be, if its stream does not become that one.
    clock: Option<(u16, u16)>,
    /// The tables to be written in the place of its own.
    tables: Vec<[u8; PACKET]>,
}

impl Renumberer {
    /// From one program to another: the first stream of pictures becomes the first one there, and so
    /// on. Streams that have no counterpart are left out. `None` if nothing has to be done, or the
    /// first pictures or the first sound have none of their kind.
    #[must_use]
    pub fn new(from: &Program, to: &Program) -> Option<Renumberer> {
        let kinds: [fn(&Stream) -> bool; 3] = [
            |stream| stream.codec.is_video(),
            |stream| stream.codec.is_audio(),
            |stream| !stream.codec.is_video() && !stream.codec.is_audio(),
        ];
        let mut pids = Vec::new();
        for is_it in kinds {
            let mut others = to.streams.iter().filter(|stream| is_it(stream));
            for (number, stream) in from.streams.iter().filter(|it| is_it(it)).enumerate() {
                match others.next().filter(|other| other.codec == stream.codec) {
                    Some(other) => pids.push((stream.pid, other.pid)),
                    None if number == 0 && (stream.codec.is_video() || stream.codec.is_audio()) => {
                        return None;
                    }
                    None => {}
                }
            }
        }
        let becomes = |pid| pids.iter().find(|(was, _)| *was == pid).map(|(_, is)| *is);
        let follows = becomes(from.pcr_pid) == Some(to.pcr_pid);
        if pids.iter().all(|(was, is)| was == is) && from.pcr_pid == to.pcr_pid {
            return None;
        }
        Some(Renumberer {
            clock: (!follows).then_some((from.pcr_pid, to.pcr_pid)),
            pids,
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
            if let Some((was, is)) = self.clock
                && packet.pid() == was
                && packet.pcr().is_some()
            {
                into.extend_from_slice(&clock_of(packet.bytes(), is));
            }
            let known = self.pids.iter().find(|(was, _)| *was == packet.pid());
            if let Some(&(_, becomes)) = known {
                let mut packet = *packet.bytes();
                packet::set_pid(&mut packet, becomes);
                into.extend_from_slice(&packet);
            }
        }
        Ok(into)
    }
}

/// A packet with nothing but another one's clock, for the stream that has to have it.
fn clock_of(packet: &[u8; PACKET], pid: u16) -> [u8; PACKET] {
    let mut clock = [0xff; PACKET];
    clock[..6].copy_from_slice(&[0x47, 0, 0, 0x20, (PACKET - 5) as u8, 0x10]);
    packet::set_pid(&mut clock, pid);
    clock[6..12].copy_from_slice(&packet[6..12]);
    clock
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
        let data = Codec::Data;
        with_data.streams.push(Stream {
            pid: 0x1f0,
            codec: data,
        });
        assert!(Renumberer::new(&with_data, &h264).is_none());
        // Sound where there was none has no counterpart.
        let mut with_sound = h264.clone();
        let sound = Codec::Adts;
        with_sound.streams.push(Stream {
            pid: 0x101,
            codec: sound,
        });
        assert!(Renumberer::new(&with_sound, &h264).is_none());
    }

    #[test]
    fn each_stream_has_its_counterpart() {
        let of = |numbers: [u16; 4]| {
            let codecs = [Codec::H264, Codec::Adts, Codec::Adts, Codec::Data];
            let streams = numbers.into_iter().zip(codecs);
            Program {
                pcr_pid: numbers[0],
                streams: streams.map(|(pid, codec)| Stream { pid, codec }).collect(),
                packets: Vec::new(),
            }
        };
        let (from, mut to) = (
            of([0x21, 0x22, 0x23, 0x24]),
            of([0x100, 0x101, 0x102, 0x103]),
        );
        let pids = [(0x21, 0x100), (0x22, 0x101), (0x23, 0x102), (0x24, 0x103)];
        let renumberer = Renumberer::new(&from, &to).unwrap();
        assert_eq!((renumberer.pids, renumberer.clock), (pids.to_vec(), None));
        to.streams.truncate(2);
        to.pcr_pid = 0x101;
        let renumberer = Renumberer::new(&from, &to).unwrap();
        assert_eq!(renumberer.pids, pids[..2]);
        assert_eq!(renumberer.clock, Some((0x21, 0x101)));
    }

    #[test]
    fn a_clock_of_its_own_comes_along() {
        let mut from = program(0x120, Codec::H264);
        from.pcr_pid = 0x1ff;
        let to = program(0x100, Codec::H264);
        let renumberer = Renumberer::new(&from, &to).unwrap();
        let mut clock = [0xff; PACKET];
        clock[..6].copy_from_slice(&[0x47, 0x01, 0xff, 0x20, 183, 0x10]);
        clock[6..12].copy_from_slice(&[1, 2, 3, 4, 0x7e, 0]);
        let made = renumberer.renumber(&clock, false, Damage::Fails).unwrap();
        assert_eq!(made.len(), PACKET);
        assert_eq!(made[1..3], [0x01, 0x00]);
        assert_eq!(made[3..], clock[3..]);
    }
}
