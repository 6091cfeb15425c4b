//! MPEG transport streams (ISO/IEC 13818-1, "TS" below), as far as exact cuts need them: no I/O.
//!
//! [`demux`](demux::demux) takes a segment apart into access units with their times; [`video`]
//! tells key pictures from others, [`order`] in which order they are shown ([`sequence`] and [`bits`] read
//! what it takes), [`audio`] finds the frames in a PES packet; [`mux`] puts units
//! together again; [`packed`] puts sound that is in none into one; [`retime`] gives packets other times, [`renumber`] other numbers, without looking at
//! what is in them.
//!
//! Not here: anything that decodes a picture. Streams other than H.264, H.265 and sound are
//! carried, not understood.

pub mod audio;
pub mod bits;
pub mod demux;
pub mod mux;
pub mod order;
pub mod packed;
pub mod packet;
pub mod pes;
pub mod renumber;
pub mod retime;
pub mod sequence;
pub mod tables;
pub mod time;
pub mod video;

/// What is wrong with a transport stream, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {problem}")]
pub struct TsError {
    /// In bytes from the start of what was read, of the packet that is wrong.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a transport stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file does not end with a whole packet.
    #[error("the last packet is cut short ({0} of 188 bytes)")]
    Truncated(usize),
    /// No packet begins where one must.
    #[error("no MPEG-TS packet begins here (0x{0:02x} instead of 0x47)")]
    NoSync(u8),
    /// The receiver of the broadcast said that it is damaged.
    #[error("the packet is marked as damaged")]
    Marked,
    /// The adaptation field is longer than the packet.
    #[error("the packet's adaptation field is longer than the packet")]
    Adaptation,
    /// A PES header that cannot be read.
    #[error("the header of a PES packet is damaged")]
    Pes,
    /// A table that cannot be read.
    #[error("the {0} is damaged")]
    Table(&'static str),
    /// Neither pictures nor sound.
    #[error("no program with pictures or sound is described")]
    NoProgram,
    /// A PES packet without a time, which nothing around it tells.
    #[error("a PES packet of stream 0x{0:04x} has no time (PTS)")]
    NoTime(u16),
    /// A PES packet that ends early.
    #[error("a PES packet of stream 0x{0:04x} ends early")]
    ShortPes(u16),
}
