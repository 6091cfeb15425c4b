//! What a stream says of its program: PAT and PMT (ISO/IEC 13818-1 §2.4.4).

use super::packet::{PACKET, Packet};
use super::{Problem, TsError};

/// The stream of the table that names all others.
const PAT_PID: u16 = 0;

/// The stream of the table that names a program's streams, in what is written here.
const PMT_PID: u16 = 0x1000;

/// The longest table, head included, in bytes.
const MAX_SECTION: usize = 1024;

/// How a stream is coded, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264, ITU-T H.264.
    H264,
    /// H.265, ITU-T H.265.
    H265,
    /// Pictures that are coded in another way.
    OtherVideo,
    /// AAC in ADTS frames.
    Adts,
    /// MPEG-1 and MPEG-2 audio.
    MpegAudio,
    /// AC-3.
    Ac3,
    /// Sound that is coded in another way.
    OtherAudio,
    /// PES packets of something else: subtitles, metadata.
    Data,
    /// Tables, not PES packets: cue messages.
    Sections,
}

impl Codec {
    fn of(stream_type: u8, descriptors: &[u8]) -> Codec {
        match stream_type {
            0x1b => Codec::H264,
            0x24 => Codec::H265,
            0x01 | 0x02 | 0x10 | 0x20 | 0x21 | 0x33 | 0x42 | 0xd1 | 0xea => Codec::OtherVideo,
            0x0f => Codec::Adts,
            0x03 | 0x04 => Codec::MpegAudio,
            0x81 => Codec::Ac3,
            0x11 | 0x1c | 0x82..=0x85 | 0x87 => Codec::OtherAudio,
            0x06 => Codec::private(descriptors),
            0x05 | 0x0b | 0x0d | 0x14 | 0x86 => Codec::Sections,
            _ => Codec::Data,
        }
    }

    /// Of a private stream its descriptors tell (ETSI EN 300 468, ETSI TS 101 154).
    fn private(mut descriptors: &[u8]) -> Codec {
        while let &[tag, length, ref rest @ ..] = descriptors {
            let body = rest.get(..usize::from(length)).unwrap_or(rest);
            match (tag, body) {
                (0x6a, _) | (0x05, b"AC-3") => return Codec::Ac3,
                (0x7a..=0x7c, _) | (0x05, b"Opus" | b"EAC3") => return Codec::OtherAudio,
                (0x05, b"HEVC") => return Codec::H265,
                (0x05, b"AV01") => return Codec::OtherVideo,
                _ => {}
            }
            descriptors = rest.get(usize::from(length)..).unwrap_or_default();
        }
        Codec::Data
    }

    /// True iff it is pictures.
    #[must_use]
    pub fn is_video(self) -> bool {
        matches!(self, Codec::H264 | Codec::H265 | Codec::OtherVideo)
    }

    /// True iff it is sound.
    #[must_use]
    pub fn is_audio(self) -> bool {
        matches!(
            self,
            Codec::Adts | Codec::MpegAudio | Codec::Ac3 | Codec::OtherAudio
        )
    }
}

/// A stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Its number in packets.
    pub pid: u16,
    /// How it is coded.
    pub codec: Codec,
}

/// A program: the streams that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The stream whose packets have the clock.
    pub pcr_pid: u16,
    /// In the table's order.
    pub streams: Vec<Stream>,
    /// The packets of both tables, as they were.
    pub packets: Vec<[u8; PACKET]>,
}

impl Program {
    /// One with a single stream, of H.264, H.265 or sound whose frames are known here.
    #[must_use]
    pub fn of(stream: Stream) -> Program {
        let [high, low] = stream.pid.to_be_bytes();
        let stream_type = match stream.codec {
            Codec::H265 => 0x24,
            Codec::Adts => 0x0f,
            Codec::MpegAudio => 0x03,
            Codec::Ac3 => 0x81,
            _ => 0x1b,
        };
        // The PMT must not have the stream's own number.
        let pmt_pid = if stream.pid == PMT_PID {
            PMT_PID + 1
        } else {
            PMT_PID
        };
        let [pmt_high, pmt_low] = pmt_pid.to_be_bytes();
        let pat = [
            0,
            0xb0,
            13,
            0,
            1,
            0xc1,
            0,
            0,
            0,
            1,
            pmt_high | 0xe0,
            pmt_low,
        ];
        let pmt = [
            2,
            0xb0,
            18,
            0,
            1,
            0xc1,
            0,
            0,
            high | 0xe0,
            low,
            0xf0,
            0,
            stream_type,
            high | 0xe0,
            low,
            0xf0,
            0,
        ];
        Program {
            pcr_pid: stream.pid,
            streams: vec![stream],
            packets: vec![written(PAT_PID, &pat), written(pmt_pid, &pmt)],
        }
    }

    /// The first stream of pictures.
    #[must_use]
    pub fn video(&self) -> Option<Stream> {
        let mut streams = self.streams.iter();
        streams.find(|stream| stream.codec.is_video()).copied()
    }

    /// The first stream of sound, which is the one that counts.
    #[must_use]
    pub fn sound(&self) -> Option<Stream> {
        let mut streams = self.streams.iter();
        streams.find(|stream| stream.codec.is_audio()).copied()
    }

    /// A stream by its number.
    #[must_use]
    pub fn stream(&self, pid: u16) -> Option<Stream> {
        let mut streams = self.streams.iter();
        streams.find(|stream| stream.pid == pid).copied()
    }
}

/// Puts the tables of a program together from packets.
#[derive(Debug, Default)]
pub struct Tables {
    pat: Section,
    pmt: Section,
    pmt_pid: Option<u16>,
    program: Option<Program>,
}

impl Tables {
    /// Takes a packet, if it is one of a table that is still looked for.
    ///
    /// # Errors
    /// If the table is not one. A table whose check sum is wrong is waited for again, since they
    /// are repeated.
    pub fn take(&mut self, offset: usize, packet: &Packet<'_>) -> Result<(), TsError> {
        let at = |problem| TsError { offset, problem };
        if self.program.is_some() {
            return Ok(());
        }
        match self.pmt_pid {
            None if packet.pid() == PAT_PID => {
                if let Some(table) = self.pat.take(packet) {
                    self.pmt_pid = Some(read_pat(table).map_err(at)?);
                }
            }
            Some(pid) if packet.pid() == pid => {
                if let Some(table) = self.pmt.take(packet) {
                    let (pcr_pid, streams) = read_pmt(table).map_err(at)?;
                    let packets = self.pat.packets.iter().chain(&self.pmt.packets);
                    self.program = Some(Program {
                        pcr_pid,
                        streams,
                        packets: packets.copied().collect(),
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The program, once both tables were seen.
    #[must_use]
    pub fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// The program.
    #[must_use]
    pub fn into_program(self) -> Option<Program> {
        self.program
    }
}

/// A table under way.
#[derive(Debug, Default)]
struct Section {
    bytes: Vec<u8>,
    packets: Vec<[u8; PACKET]>,
}

impl Section {
    /// The table's body after its eight bytes of head, without its check sum, once it is whole.
    fn take(&mut self, packet: &Packet<'_>) -> Option<&[u8]> {
        let payload = packet.payload();
        if packet.begins() {
            let (&pointer, rest) = payload.split_first()?;
            self.bytes.clear();
            self.packets.clear();
            self.bytes
                .extend_from_slice(rest.get(usize::from(pointer)..)?);
        } else if self.bytes.is_empty() {
            return None;
        } else {
            self.bytes.extend_from_slice(payload);
        }
        self.packets.push(*packet.bytes());
        let &[_, high, low, ..] = self.bytes.as_slice() else {
            return None;
        };
        let length = 3 + (usize::from(high & 0x0f) << 8 | usize::from(low));
        if length > MAX_SECTION {
            self.bytes.clear();
            return None;
        }
        let table = self.bytes.get(..length)?;
        if length < 12 || crc(table) != 0 {
            self.bytes.clear();
            return None;
        }
        Some(&self.bytes[8..length - 4])
    }
}

/// The stream with the first program's table.
fn read_pat(body: &[u8]) -> Result<u16, Problem> {
    let programs = body.chunks_exact(4);
    let mut programs = programs.filter(|entry| entry[0] != 0 || entry[1] != 0);
    let entry = programs.next().ok_or(Problem::NoProgram)?;
    Ok(pid(entry[2], entry[3]))
}

fn read_pmt(body: &[u8]) -> Result<(u16, Vec<Stream>), Problem> {
    let damaged = || Problem::Table("program map table");
    let &[a, b, c, d, ref rest @ ..] = body else {
        return Err(damaged());
    };
    let mut rest = rest.get(length(c, d)..).ok_or_else(damaged)?;
    let mut streams = Vec::new();
    while let &[stream_type, a, b, c, d, ref after @ ..] = rest {
        let descriptors = after.get(..length(c, d)).ok_or_else(damaged)?;
        streams.push(Stream {
            pid: pid(a, b),
            codec: Codec::of(stream_type, descriptors),
        });
        rest = &after[descriptors.len()..];
    }
    Ok((pid(a, b), streams))
}

fn pid(high: u8, low: u8) -> u16 {
    u16::from(high & 0x1f) << 8 | u16::from(low)
}

fn length(high: u8, low: u8) -> usize {
    usize::from(high & 0x0f) << 8 | usize::from(low)
}

/// The check sum of tables; of a whole one, its own included, it is 0.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            let carried = if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            crc << 1 ^ carried
        })
    })
}

/// A packet with a table, to which its check sum is added.
pub(super) fn written(pid: u16, table: &[u8]) -> [u8; PACKET] {
    let [high, low] = pid.to_be_bytes();
    let mut packet = [0xff; PACKET];
    let check_sum = crc(table).to_be_bytes();
    let head = [0x47, 0x40 | high, low, 0x10, 0];
    let bytes = head.iter().chain(table).chain(&check_sum);
    for (place, byte) in packet.iter_mut().zip(bytes) {
        *place = *byte;
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_sums() {
        // CRC-32/MPEG-2 of the usual test text.
        assert_eq!(crc(b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn private_streams() {
        let table: [(&[u8], Codec); 6] = [
            (&[], Codec::Data),
            (&[0x6a, 0], Codec::Ac3),
            (
                &[0x0a, 4, 0, 0, 0, 0, 0x05, 4, b'O', b'p', b'u', b's'],
                Codec::OtherAudio,
            ),
            (&[0x05, 4, b'H', b'E', b'V', b'C'], Codec::H265),
            (&[0x05, 200, b'H'], Codec::Data),
            (&[0x05], Codec::Data),
        ];
        for (descriptors, expected) in table {
            assert_eq!(Codec::of(6, descriptors), expected, "{descriptors:x?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_pat(&body);
            let _ = read_pmt(&body);
        }
    }
}
