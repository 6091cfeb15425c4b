//! Exact cuts (`fast` and `smart` of SPEC §4) that code only a few pictures anew: from the start
//! to the next key picture, and at the end those that need pictures after it. All others are
//! copied, and so is all sound, to the nearest frame.
//!
//! `store` → [`plan`] → [`reel`] → [`encode`] → packets; [`retimed`] gives them times from 0.
//!
//! What is not MPEG-TS with H.264, H.265 or sound alone is [`ExactError::Unsupported`], and has to
//! be cut by ffmpeg.

mod assembly;
mod begin;
mod encode;
mod plan;
mod reel;
mod retimed;
mod sound;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::behind;
use super::encode::EncodeError;
use super::stretch::{Source, Stretch};
use crate::error::ApiError;
use crate::ffmpeg::{FfmpegError, Job};
use crate::mpegts::TsError;
use crate::mpegts::demux::Unit;
use crate::mpegts::mux::Muxer;
use crate::mpegts::retime::{Place, Start};

use self::assembly::{Assembly, Slot};
use self::begin::{Begun, begin, end};
use self::encode::Encoder;
pub(crate) use self::encode::{level_name, profile_name};
pub(crate) use self::retimed::retimed;
pub(super) use self::sound::clip;

/// So many pieces wait to be taken; then no more is made.
const CHUNKS: usize = 2;

/// A piece of a cut.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A stretch begins, whose times have nothing to do with what was before it.
    Begins(Start),
    /// The first packets that were made for an edge of the stretch, and what all of them begin with, if
    /// that is known.
    Edge(Vec<u8>, Option<Place>),
    /// More of them.
    Data(Vec<u8>),
    /// A segment of the stretch, all of it.
    Whole(Source),
}

/// Why there is no cut, or why it broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExactError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file is no whole MPEG-TS.
    #[error("{}: {error}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: TsError,
    },
    /// What was made, or a file that was taken for whole, is no MPEG-TS.
    #[error("cannot read what was cut: {0}")]
    Made(TsError),
    /// It takes ffmpeg to cut this.
    #[error("{} can only be cut by coding it anew: {why}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// What is not known how to do.
        why: &'static str,
    },
    /// The encoder gave another number of pictures than it was given.
    #[error("ffmpeg made {made} pictures of {wanted}")]
    Miscounted {
        /// How many were wanted.
        wanted: usize,
        /// How many came.
        made: usize,
    },
    /// ffmpeg did not do it.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
    /// A part that was coded anew.
    #[error(transparent)]
    Anew(#[from] EncodeError),
}

impl From<ExactError> for ApiError {
    fn from(error: ExactError) -> ApiError {
        match error {
            ExactError::Ffmpeg(error) => error.into(),
            ExactError::Anew(error) => error.into(),
            error => ApiError::internal("cut this", &error),
        }
    }
}

/// The pieces of stretches, one after the other. Dropping it ends all work on it.
pub(crate) fn pieces(
    job: Job,
    stretches: Vec<Stretch>,
) -> impl Stream<Item = Result<Piece, ExactError>> + Send + 'static {
    let (sender, mut receiver) = mpsc::channel(CHUNKS);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        for stretch in stretches {
            if let Err(error) = send(&job, stretch, &sender).await {
                // Whoever does not take it any more does not want to know.
                let _ = sender.send(Err(error)).await;
                return;
            }
        }
    }));
    futures::stream::poll_fn(move |context| {
        let _keeps_it_running = &task;
        receiver.poll_recv(context)
    })
}

type Sender = mpsc::Sender<Result<Piece, ExactError>>;

async fn send(job: &Job, stretch: Stretch, sender: &Sender) -> Result<(), ExactError> {
    let (begun, stretch) = blocking(move || begin(&stretch).map(|begun| (begun, stretch))).await?;
    let (next, last) = (begun.next, stretch.sources.len() - 1);
    let edge = Edge::new(job, begun).await?;
    // While the start and the middle are being sent, the end is made; but what a client waits for
    // first has all processors until its first picture is there.
    let (first_picture, is_there) = oneshot::channel();
    let ending = (next <= last).then(|| {
        let (job, stretch) = (job.clone(), stretch.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            // Where none has to be made, it is dropped.
            let _ = is_there.await;
            let begun = blocking(move || end(&stretch)).await?;
            Edge::new(&job, begun).await
        }))
    });
    edge.send(sender, Some(first_picture)).await?;
    for source in stretch.sources.get(next..last).unwrap_or_default() {
        give(sender, Piece::Whole(source.clone())).await;
    }
    if let Some(ending) = ending {
        match ending.await {
            Ok(edge) => edge?.send(sender, None).await?,
            Err(error) => return Err(ExactError::Ffmpeg(FfmpegError::Run(error.into()))),
        }
    }
    Ok(())
}

/// An edge of a stretch, with the encoders at work for it.
struct Edge {
    assembly: Assembly,
    encoders: VecDeque<Encoder>,
}

impl Edge {
    async fn new(job: &Job, begun: Begun) -> Result<Edge, ExactError> {
        let prepared = blocking(move || Ok((begun.orders(), begun.assemble())));
        let (orders, assembly) = prepared.await?;
        let orders = orders.into_iter().flatten();
        Ok(Edge {
            encoders: orders.map(|order| Encoder::start(job, order)).collect(),
            assembly,
        })
    }

    /// Sends it as far as it is there, and waits for pictures that are being coded. With
    /// `first_picture` it begins a stretch, and tells when its first picture is there.
    async fn send(
        mut self,
        sender: &Sender,
        mut first_picture: Option<oneshot::Sender<()>>,
    ) -> Result<(), ExactError> {
        let Some(start) = self.assembly.start else {
            return Ok(());
        };
        let mut edge = Sending {
            muxer: Some(self.assembly.muxer),
            begins: first_picture.is_some().then_some(start),
            place: self.assembly.place,
            is_first: true,
            sender,
        };
        if self.encoders.is_empty() {
            first_picture = None;
        }
        let mut units = Vec::new();
        for slot in self.assembly.slots {
            let mut unit = match slot {
                Slot::Copied(unit) => {
                    units.push(unit);
                    continue;
                }
                Slot::Anew(unit) => unit,
            };
            *unit.payload_mut() = loop {
                let Some(encoder) = self.encoders.front_mut() else {
                    return Err(ExactError::Miscounted { wanted: 1, made: 0 });
                };
                if encoder.is_done() {
                    if let Some(done) = self.encoders.pop_front() {
                        done.finish().await?;
                    }
                    continue;
                }
                if let Some(picture) = encoder.ready() {
                    break picture?;
                }
                edge.send(std::mem::take(&mut units)).await?;
                break encoder.next().await?;
            };
            if let Some(waits) = first_picture.take() {
                // Where the stretch has no other end, nobody does.
                let _ = waits.send(());
            }
            units.push(unit);
        }
        for encoder in self.encoders {
            encoder.finish().await?;
        }
        edge.send(units).await
    }
}

/// An edge that is being sent.
struct Sending<'a> {
    /// Always there, but while it is at work.
    muxer: Option<Muxer>,
    /// What a stretch begins with, until it is sent.
    begins: Option<Start>,
    place: Option<Place>,
    /// True iff nothing of it was sent.
    is_first: bool,
    sender: &'a Sender,
}

impl Sending<'_> {
    /// Puts units into packets, which are megabytes, where that may take its time.
    async fn send(&mut self, units: Vec<Unit>) -> Result<(), ExactError> {
        if units.is_empty() {
            return Ok(());
        }
        let Some(mut muxer) = self.muxer.take() else {
            // Only after an error, after which nothing more is sent.
            return Ok(());
        };
        let made = blocking(move || {
            for unit in &units {
                muxer.add(unit);
            }
            let packets = muxer.packets();
            Ok((muxer, packets))
        });
        let (muxer, packets) = made.await?;
        self.muxer = Some(muxer);
        if packets.is_empty() {
            return Ok(());
        }
        if let Some(start) = self.begins.take() {
            give(self.sender, Piece::Begins(start)).await;
        }
        let piece = match std::mem::take(&mut self.is_first) {
            true => Piece::Edge(packets, self.place),
            false => Piece::Data(packets),
        };
        give(self.sender, piece).await;
        Ok(())
    }
}

/// Waits until it is taken. If nobody takes it, the whole task is about to end.
async fn give(sender: &Sender, piece: Piece) {
    let _ = sender.send(Ok(piece)).await;
}

/// Does what takes long or reads files where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExactError> + Send + 'static,
) -> Result<T, ExactError> {
    let done = behind::blocking(work).await;
    done.map_err(FfmpegError::Run)?
}
