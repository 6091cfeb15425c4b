//! Pieces as packets whose counters go on, and with times from 0 on where that is asked for
//! (`smart` of SPEC §4).

use futures::{Stream, StreamExt};

use crate::mpegts::retime::Retimer;

use super::{ExactError, Piece, blocking};

/// The packets of pieces, with counters that go on through all of them, as `retimer` makes them.
pub(crate) fn retimed(
    retimer: Retimer,
    pieces: impl Stream<Item = Result<Piece, ExactError>> + Send + 'static,
) -> impl Stream<Item = Result<Vec<u8>, ExactError>> + Send + 'static {
    let pieces = Box::pin(pieces);
    futures::stream::unfold((pieces, Some(retimer)), async |(mut pieces, retimer)| {
        // None after an error.
        let mut retimer = retimer?;
        loop {
            let (mut bytes, is_file) = match pieces.next().await? {
                Ok(Piece::Begins(start)) => {
                    retimer.begin(start);
                    continue;
                }
                Ok(Piece::File(bytes)) => (bytes, true),
                Ok(Piece::Data(bytes)) => (bytes, false),
                Err(error) => return Some((Err(error), (pieces, None))),
            };
            let rewritten = blocking(move || {
                if is_file {
                    retimer.next_file(&bytes);
                }
                retimer.rewrite(&mut bytes).map_err(ExactError::Made)?;
                Ok((bytes, retimer))
            });
            return Some(match rewritten.await {
                Ok((bytes, retimer)) => (Ok(bytes), (pieces, Some(retimer))),
                Err(error) => (Err(error), (pieces, None)),
            });
        }
    })
}
