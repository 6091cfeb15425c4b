//! Pieces as packets whose counters go on, and with times from 0 on where that is asked for
//! (`smart` of SPEC §4). Here whole segments are read.

use std::fs::File;
use std::io::Read;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::mpegts::TsError;
use crate::mpegts::demux::Damage;
use crate::mpegts::packet::PACKET;
use crate::mpegts::renumber::{Renumberer, program_of};
use crate::mpegts::retime::{Place, Retimer};
use crate::mpegts::tables::Program;

use super::super::stretch::Source;
use super::{ExactError, Piece, blocking};

/// So much is read of a file at once, in bytes: whole packets, and little enough to be still in
/// the processor's cache when it is sent.
const CHUNK: usize = 4096 * PACKET;

/// So many chunks wait to be taken; then no more is read.
const CHUNKS: usize = 2;

/// So many bytes it takes until ffmpeg knows a stream of packets as one, whatever its length says.
const KNOWN_FROM: usize = 12 * PACKET;

type Chunk = Result<Bytes, ExactError>;

/// The packets of pieces, with counters that go on through all of them, as `retimer` makes them.
/// Dropping it ends all work on it.
pub(crate) fn retimed(
    retimer: Retimer,
    pieces: impl Stream<Item = Result<Piece, ExactError>> + Send + 'static,
) -> impl Stream<Item = Chunk> + Send + 'static {
    let (sender, mut receiver) = mpsc::channel(CHUNKS);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = send(retimer, pieces, &sender).await {
            // Whoever does not take it any more does not want to know.
            let _ = sender.send(Err(error)).await;
        }
    }));
    futures::stream::poll_fn(move |context| {
        let _keeps_it_running = &task;
        receiver.poll_recv(context)
    })
}

async fn send(
    mut retimer: Retimer,
    pieces: impl Stream<Item = Result<Piece, ExactError>>,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<(), ExactError> {
    let mut pieces = std::pin::pin!(pieces);
    // Of what was made for edges. Who sends whole segments sends enough.
    let mut sent = 0;
    let mut numbers = Numbers::default();
    while let Some(piece) = pieces.next().await {
        let (bytes, begins) = match piece? {
            Piece::Begins(start) => {
                retimer.begin(start);
                continue;
            }
            Piece::Whole(source) => {
                (retimer, numbers) = whole(retimer, numbers, source, chunks).await?;
                sent += KNOWN_FROM;
                continue;
            }
            Piece::Edge(bytes, Some(place)) => (bytes, Some(Begins::At(place))),
            Piece::Edge(bytes, None) => (bytes, Some(Begins::Somewhere)),
            Piece::Data(bytes) => (bytes, None),
        };
        let made = move || {
            let bytes = rewrite(&mut retimer, &mut numbers, bytes, begins)?;
            Ok((retimer, numbers, bytes))
        };
        let bytes;
        (retimer, numbers, bytes) = blocking(move || made().map_err(ExactError::Made)).await?;
        sent += bytes.len();
        let _ = chunks.send(Ok(bytes)).await;
    }
    if (1..KNOWN_FROM).contains(&sent) {
        let mut filling = [0xff; PACKET];
        filling[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
        let filling = filling.repeat((KNOWN_FROM - sent) / PACKET);
        let _ = chunks.send(Ok(filling.into())).await;
    }
    Ok(())
}

/// Reads a segment and sends it.
async fn whole(
    mut retimer: Retimer,
    mut numbers: Numbers,
    source: Source,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<(Retimer, Numbers), ExactError> {
    let starts = Begins::Segment(source.segment.start().timestamp_micros());
    let mut open = None;
    let mut offset = 0;
    loop {
        let path = source.path.clone();
        let read = move || {
            let wrong = |error| ExactError::Read {
                file: path.clone(),
                error,
            };
            let mut input = match open {
                None => File::open(&path).map_err(wrong)?,
                Some(input) => input,
            };
            let mut bytes = Vec::with_capacity(CHUNK);
            let mut part = (&mut input).take(CHUNK as u64);
            part.read_to_end(&mut bytes).map_err(wrong)?;
            let length = bytes.len();
            let begins = (offset == 0).then_some(starts);
            let bytes = rewrite(&mut retimer, &mut numbers, bytes, begins);
            let bytes = bytes.map_err(|mut error| {
                error.offset += offset;
                ExactError::Damaged { file: path, error }
            })?;
            Ok((retimer, numbers, input, length, bytes))
        };
        let (input, length, bytes);
        (retimer, numbers, input, length, bytes) = blocking(read).await?;
        if length == 0 {
            return Ok((retimer, numbers));
        }
        open = Some(input);
        offset += length;
        let _ = chunks.send(Ok(bytes)).await;
    }
}

/// What numbers streams have: those of what was sent first.
#[derive(Debug, Default)]
struct Numbers {
    /// That which was sent first.
    program: Option<Program>,
    /// Of the file that is being sent, if it has others.
    others: Option<Renumberer>,
}

impl Numbers {
    /// A file begins.
    fn begin(&mut self, bytes: &[u8]) {
        let Some(found) = program_of(bytes) else {
            return;
        };
        let program = self.program.get_or_insert_with(|| found.clone());
        self.others = Renumberer::new(&found, program);
    }
}

/// How a file begins, as far as that is known.
#[derive(Debug, Clone, Copy)]
enum Begins {
    /// With this.
    At(Place),
    /// As a segment does: what it shows first is shown at its start, in microseconds since 1970.
    Segment(i64),
    /// Nobody has said when.
    Somewhere,
}

fn rewrite(
    retimer: &mut Retimer,
    numbers: &mut Numbers,
    mut bytes: Vec<u8>,
    begins: Option<Begins>,
) -> Result<Bytes, TsError> {
    if begins.is_some() {
        numbers.begin(&bytes);
    }
    if let Some(others) = &numbers.others {
        bytes = others.renumber(&bytes, begins.is_some(), Damage::Fails)?;
    }
    match begins {
        Some(Begins::At(place)) => retimer.next_at(place),
        Some(Begins::Segment(start)) => retimer.next_segment(&bytes, start),
        // A stretch has just begun, or the file goes on.
        Some(Begins::Somewhere) | None => {}
    }
    retimer.rewrite(&mut bytes)?;
    Ok(bytes.into())
}
