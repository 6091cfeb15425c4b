//! Packets of 188 bytes (ISO/IEC 13818-1 §2.4.3.2).

use super::{Problem, TsError, time};

/// What every packet begins with.
pub const SYNC: u8 = 0x47;

/// A packet's length in bytes.
pub const PACKET: usize = 188;

/// Where a PCR stands, if there is one.
const PCR_AT: std::ops::Range<usize> = 6..12;

/// The stream that only fills up.
pub const NULL: u16 = 0x1fff;

/// One packet, checked: its parts are where they say.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    bytes: &'a [u8; PACKET],
    payload_at: usize,
}

impl<'a> Packet<'a> {
    /// Reads the packet's head.
    ///
    /// # Errors
    /// If it does not begin with 0x47, is marked as damaged, or its parts do not fit into it.
    pub fn read(bytes: &'a [u8; PACKET]) -> Result<Packet<'a>, Problem> {
        if bytes[0] != SYNC {
            return Err(Problem::NoSync(bytes[0]));
        }
        if bytes[1] & 0x80 != 0 {
            return Err(Problem::Marked);
        }
        let payload_at = match bytes[3] >> 4 & 0x03 {
            0 | 1 => 4,
            _ => 5 + usize::from(bytes[4]),
        };
        if payload_at > PACKET {
            return Err(Problem::Adaptation);
        }
        let has_payload = bytes[3] & 0x10 != 0;
        let packet = Packet {
            bytes,
            payload_at: if has_payload { payload_at } else { PACKET },
        };
        if packet.has_pcr() && usize::from(bytes[4]) < PCR_AT.end - 5 {
            return Err(Problem::Adaptation);
        }
        Ok(packet)
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8; PACKET] {
        self.bytes
    }

    /// Which stream it belongs to.
    #[must_use]
    pub fn pid(&self) -> u16 {
        u16::from(self.bytes[1] & 0x1f) << 8 | u16::from(self.bytes[2])
    }

    /// True iff a PES packet or a table begins in it.
    #[must_use]
    pub fn begins(&self) -> bool {
        self.bytes[1] & 0x40 != 0
    }

    /// Its number modulo 16 among those of its stream that have a payload.
    #[must_use]
    pub fn counter(&self) -> u8 {
        self.bytes[3] & 0x0f
    }

    /// True iff there is a payload, which may be empty.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        self.bytes[3] & 0x10 != 0
    }

    /// What it carries.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.payload_at..]
    }

    /// Where its payload begins, in bytes from its start.
    #[must_use]
    pub fn payload_at(&self) -> usize {
        self.payload_at
    }

    /// The adaptation field's flags; 0 if there is none.
    fn flags(&self) -> u8 {
        let has_field = self.bytes[3] & 0x20 != 0 && self.bytes[4] > 0;
        if has_field { self.bytes[5] } else { 0 }
    }

    /// True iff decoders may begin here.
    #[must_use]
    pub fn is_random_access(&self) -> bool {
        self.flags() & 0x40 != 0
    }

    fn has_pcr(&self) -> bool {
        self.flags() & 0x10 != 0
    }

    /// The program's clock as the packet arrives, in ticks modulo 2^33.
    #[must_use]
    pub fn pcr(&self) -> Option<u64> {
        let bytes = self.bytes[PCR_AT].try_into().ok()?;
        self.has_pcr().then(|| time::read_pcr(bytes))
    }
}

/// Gives a packet to another stream.
pub fn set_pid(bytes: &mut [u8; PACKET], pid: u16) {
    let [high, low] = pid.to_be_bytes();
    bytes[1] = bytes[1] & 0xe0 | high & 0x1f;
    bytes[2] = low;
}

/// Changes the counter.
pub fn set_counter(packet: &mut [u8; PACKET], counter: u8) {
    packet[3] = packet[3] & 0xf0 | counter & 0x0f;
}

/// Changes the clock of a packet that has one.
pub fn set_pcr(packet: &mut [u8; PACKET], ticks: i64) {
    if let Ok(bytes) = (&mut packet[PCR_AT]).try_into() {
        time::set_pcr(bytes, ticks);
    }
}

/// Says that what is said about time goes on as before, if it said otherwise.
pub fn clear_discontinuity(packet: &mut [u8; PACKET]) {
    if packet[3] & 0x20 != 0 && packet[4] > 0 {
        packet[5] &= 0x7f;
    }
}

/// The packets of a file, each with its offset in bytes.
pub fn packets(bytes: &[u8]) -> impl Iterator<Item = (usize, Result<Packet<'_>, TsError>)> {
    let chunks = bytes.chunks(PACKET).enumerate();
    chunks.map(|(number, chunk)| {
        let offset = number * PACKET;
        let packet = match chunk.try_into() {
            Ok(packet) => Packet::read(packet),
            Err(_) => Err(Problem::Truncated(chunk.len())),
        };
        (
            offset,
            packet.map_err(|problem| TsError { offset, problem }),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(head: &[u8]) -> [u8; PACKET] {
        let mut bytes = [0xff; PACKET];
        bytes[..head.len()].copy_from_slice(head);
        bytes
    }

    #[test]
    fn heads() {
        let table: [(&[u8], Result<usize, Problem>); 8] = [
            (&[0x47, 0x01, 0x00, 0x10], Ok(184)),
            (&[0x47, 0x01, 0x00, 0x30, 7, 0x50], Ok(176)),
            (&[0x47, 0x01, 0x00, 0x30, 183, 0x00], Ok(0)),
            (&[0x47, 0x01, 0x00, 0x20, 183, 0x00], Ok(0)),
            (&[0x46], Err(Problem::NoSync(0x46))),
            (&[0x47, 0x81], Err(Problem::Marked)),
            (&[0x47, 0x01, 0x00, 0x30, 184], Err(Problem::Adaptation)),
            (&[0x47, 0x01, 0x00, 0x30, 3, 0x10], Err(Problem::Adaptation)),
        ];
        for (head, expected) in table {
            let bytes = packet(head);
            let found = Packet::read(&bytes).map(|packet| packet.payload().len());
            assert_eq!(found, expected, "{head:x?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for (_, packet) in packets(&bytes) {
                if let Ok(packet) = packet {
                    let _ = (packet.payload(), packet.pcr(), packet.is_random_access());
                }
            }
        }
    }
}
