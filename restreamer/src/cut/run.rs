//! A plan's parts as one stream of bytes.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::encode::{EncodeError, Target, cross_fade, encode};
use super::exact::{ExactError, Piece, pieces, retimed};
use super::load::{self, LoadError, from_first_pictures};
use super::plan::{Clip, Part};
use super::request::CutType;
use super::stretch::Stretch;
use crate::error::ApiError;
use crate::ffmpeg::{FfmpegError, Job, Running};
use crate::footage::Footage;
use crate::mpegts::demux::Damage;
use crate::mpegts::packet::PACKET;
use crate::mpegts::retime::{Retimer, Start};

/// What a cut is sent from.
pub(crate) type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// In so many bytes, ffmpeg has shown the first picture of what it makes.
const MAX_BEFORE_START: usize = 64 << 20;

/// Makes all parts that are not mere copies, as soon as their first bytes are there. Dropping what
/// it gives ends all work on it.
///
/// # Errors
/// If there are no first bytes.
pub(crate) async fn run(job: Job, kind: CutType, parts: Vec<Part>) -> Result<ByteStream, ApiError> {
    let mut parts = usable_parts(&job, parts).await?;
    let made = if let Some(Part::Encode(clips)) = parts.front_mut() {
        let clips = std::mem::take(clips);
        let running = encode(&job, Target::from(kind), clips).await;
        let running = running.map_err(EncodeError::from)?;
        running.map(|chunk| chunk.map_err(ExactError::from)).boxed()
    } else {
        let retimer = match kind {
            CutType::Smart => Retimer::from_zero(),
            _ => Retimer::of_counters(),
        };
        retimed(retimer, joined(job, parts)).boxed()
    };
    begun(made).await
}

/// The parts without segments of which nothing can be used.
async fn usable_parts(job: &Job, parts: Vec<Part>) -> Result<VecDeque<Part>, LoadError> {
    let usable = async |stretches: Vec<Stretch>| {
        let mut left = Vec::new();
        for stretch in stretches {
            left.extend(load::usable(job, stretch).await?);
        }
        Ok::<_, LoadError>(left)
    };
    let mut left = VecDeque::new();
    for part in parts {
        left.push_back(match part {
            Part::Copy(sources) => Part::Copy(sources),
            Part::Exact(stretches) => Part::Exact(usable(stretches).await?),
            Part::Encode(clips) => {
                let mut kept = Vec::new();
                for Clip { stretches, fade } in clips {
                    let stretches = from_first_pictures(usable(stretches).await?).await;
                    kept.push(Clip { stretches, fade });
                }
                Part::Encode(kept)
            }
            Part::CrossFade { from, to, fade } => Part::CrossFade {
                from: from_first_pictures(usable(from).await?).await,
                to: from_first_pictures(usable(to).await?).await,
                fade,
            },
        });
    }
    Ok(left)
}

/// Waits for the first bytes.
async fn begun(
    mut made: BoxStream<'static, Result<Bytes, ExactError>>,
) -> Result<ByteStream, ApiError> {
    let Some(first) = made.next().await else {
        return Err(ApiError::NotAcceptable(
            "there is nothing between the start and the end".to_owned(),
        ));
    };
    let first = first?;
    let rest = made.map(|chunk| chunk.map_err(io::Error::other));
    Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
}

type Pieces = BoxStream<'static, Result<Piece, ExactError>>;

/// The pieces of all parts, one after the other. Each is begun while the one before it is being
/// sent.
fn joined(job: Job, parts: VecDeque<Part>) -> Pieces {
    let mut stretches = parts.into_iter().flat_map(|part| match part {
        Part::Exact(stretches) => stretches.into_iter().map(Step::Exact).collect(),
        part => vec![Step::Other(part)],
    });
    let mut begin = move || stretches.next().map(|step| begun_step(&job, step));
    let current = begin();
    let state = (begin, current, None::<Pieces>);
    let joined = stream::unfold(state, async |(mut begin, mut current, mut next)| {
        loop {
            let piece = current.as_mut()?.next().await;
            // What is being sent has all it takes: the next one may begin.
            if next.is_none() {
                next = begin();
            }
            match piece {
                Some(piece) => return Some((piece, (begin, current, next))),
                None => current = next.take(),
            }
        }
    });
    joined.boxed()
}

/// What is begun at once.
enum Step {
    Exact(Stretch),
    Other(Part),
}

/// Begins a step. What it makes is either little and kept, or made as it is taken: it never keeps
/// a process of another step waiting.
fn begun_step(job: &Job, step: Step) -> Pieces {
    match step {
        Step::Exact(stretch) => exact(job.clone(), stretch),
        Step::Other(Part::CrossFade { from, to, fade }) => {
            let job = job.clone();
            let made = tokio::spawn(async move { cross_fade(&job, from, to, fade).await });
            let made = AbortOnDropHandle::new(made);
            let pieces = stream::once(async {
                let made = made
                    .await
                    .map_err(|error| EncodeError::from(io::Error::from(error)))??;
                let pieces =
                    made.map(|(start, bytes)| [Piece::Begins(start), Piece::Edge(bytes, None)]);
                Ok::<_, ExactError>(pieces)
            });
            flattened(pieces)
        }
        // These are never mixed with others.
        Step::Other(Part::Copy(_) | Part::Encode(_) | Part::Exact(_)) => stream::empty().boxed(),
    }
}

fn flattened(
    pieces: impl stream::Stream<Item = Result<Option<[Piece; 2]>, ExactError>> + Send + 'static,
) -> Pieces {
    let pieces = pieces.flat_map(|pieces| {
        let pieces: Vec<Result<Piece, ExactError>> = match pieces {
            Ok(pieces) => pieces.into_iter().flatten().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(pieces)
    });
    pieces.boxed()
}

/// A stretch, cut exactly; by coding all of it anew where that is not possible otherwise.
fn exact(job: Job, stretch: Stretch) -> Pieces {
    let made = pieces(job.clone(), vec![stretch.clone()]);
    let state = (made.boxed(), Some((job, stretch)));
    let pieces = stream::unfold(state, async |(mut made, otherwise)| {
        let piece = made.next().await?;
        match (piece, otherwise) {
            (Err(ExactError::Unsupported { file, why }), Some((job, stretch))) => {
                tracing::info!(file = %file.display(), why, "coded anew from end to end");
                let mut anew = anew(job, stretch);
                let piece = anew.next().await?;
                Some((piece, (anew, None)))
            }
            (piece, _) => Some((piece, (made, None))),
        }
    });
    pieces.boxed()
}

/// A stretch, all of it coded anew, as pieces.
fn anew(job: Job, stretch: Stretch) -> Pieces {
    let begun = stream::once(async move {
        let clip = Clip {
            stretches: from_first_pictures(vec![stretch]).await,
            fade: None,
        };
        let running = encode(&job, Target::Alike, vec![clip]).await;
        first_of(running.map_err(EncodeError::from)?).await
    });
    let pieces = begun.flat_map(|begun| match begun {
        Err(error) => stream::iter([Err(error)]).boxed(),
        Ok((start, first, running)) => {
            let first = [Ok(Piece::Begins(start)), Ok(Piece::Edge(first, None))];
            let state = (running, Vec::new());
            let rest = stream::unfold(state, async |(mut running, mut rest)| {
                // Whole packets alone.
                loop {
                    match running.next().await? {
                        Err(error) => return Some((Err(error.into()), (running, rest))),
                        Ok(chunk) => rest.extend_from_slice(&chunk),
                    }
                    let whole = rest.len() - rest.len() % PACKET;
                    if whole > 0 {
                        let left = rest.split_off(whole);
                        return Some((Ok(Piece::Data(rest)), (running, left)));
                    }
                }
            });
            stream::iter(first).chain(rest).boxed()
        }
    });
    pieces.boxed()
}

/// Waits until it is known where the times of what is made begin.
async fn first_of(mut running: Running) -> Result<(Start, Vec<u8>, ByteStreamRest), ExactError> {
    let mut first = Vec::new();
    loop {
        let chunk = running.next().await.transpose()?;
        let is_all = chunk.is_none();
        first.extend_from_slice(&chunk.unwrap_or_default());
        let whole = first.len() - first.len() % PACKET;
        let footage = Footage::read(
            &first[..whole],
            chrono::DateTime::UNIX_EPOCH,
            Damage::IsSkipped,
        );
        let is_enough = is_all || first.len() > MAX_BEFORE_START;
        match footage {
            // What has come may be the sound before the first picture.
            Ok(footage) if is_enough || !footage.lacks_pictures() => {
                let units = footage.media.units.iter();
                let start = Start {
                    shown: footage.shown,
                    lowest: units.map(|unit| unit.dts).min().unwrap_or(footage.shown),
                    lead: footage.media.lead,
                };
                let rest = stream::once({
                    let left = Bytes::from(first.split_off(whole));
                    async move { Ok(left) }
                });
                return Ok((start, first, rest.chain(running).boxed()));
            }
            Err(error) if is_enough => return Err(ExactError::Made(error)),
            _ => {}
        }
    }
}

/// What a run of ffmpeg has yet to give.
type ByteStreamRest = BoxStream<'static, Result<Bytes, FfmpegError>>;
