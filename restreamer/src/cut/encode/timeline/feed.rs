//! The packets of the segments of a line of time, with its times.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use super::Layout;
use crate::cut::behind::blocking;
use crate::cut::load::{Loaded, load};
use crate::cut::sound::Heard;
use crate::ffmpeg::Job;
use crate::footage::Footage;
use crate::mpegts::demux::Damage;
use crate::mpegts::packet::{self, PACKET, Packet};
use crate::mpegts::pes::{self, Head};
use crate::mpegts::renumber::Renumberer;
use crate::mpegts::retime::Retimer;
use crate::mpegts::time::unwrap_near;

impl Layout {
    /// The packets of all segments, one after the other, each read when ffmpeg has taken the one
    /// before it.
    pub(in crate::cut::encode) fn feed(self, job: Job) -> BoxStream<'static, io::Result<Bytes>> {
        let sound_only = self.sound_only;
        // Streams may have other numbers later on.
        let program = self.model.map(|model| Arc::new(model.program));
        let sources = self.sources.into_iter();
        let sources =
            sources.map(move |(placed, source)| (placed, source, sound_only, program.clone()));
        let heard = Heard::of(self.sound);
        let state = (job, sources, heard, Some(Retimer::of_counters()));
        let packets = stream::unfold(state, async |(job, mut sources, mut heard, retimer)| {
            // None after an error.
            let mut retimer = retimer?;
            let (placed, source, sound_only, program) = sources.next()?;
            let placed = async {
                let loaded = load(&job, &source).await.map_err(io::Error::other)?;
                let loaded = heard.next(&job, &source, loaded, program.as_deref()).await;
                let work = blocking(move || {
                    let Loaded { mut bytes, footage } = loaded;
                    bytes.truncate(bytes.len() - bytes.len() % PACKET);
                    if sound_only {
                        bytes = sound_of(&bytes, &footage);
                    }
                    let other = program.and_then(|to| Renumberer::new(&footage.media.program, &to));
                    if let Some(other) = other {
                        // What is damaged in it was an error before, unless it may be skipped.
                        let made = other.renumber(&bytes, true, Damage::IsSkipped);
                        bytes = made.unwrap_or(bytes);
                    }
                    place(&mut bytes, placed.shift(&footage), footage.shown);
                    retimer.next_file(&bytes);
                    // A packet of it may be damaged: then decoders see to it.
                    if let Err(error) = retimer.rewrite(&mut bytes) {
                        tracing::debug!(file = %source.path.display(), %error, "damaged");
                    }
                    (Bytes::from(bytes), retimer)
                });
                work.await
            };
            Some(match placed.await {
                Ok((bytes, retimer)) => (Ok(bytes), (job, sources, heard, Some(retimer))),
                Err(error) => (Err(error), (job, sources, heard, None)),
            })
        });
        packets.boxed()
    }
}

/// The packets without pictures: a small part of all.
fn sound_of(bytes: &[u8], footage: &Footage) -> Vec<u8> {
    let pictures = footage.media.program.streams.iter();
    let pictures: Vec<u16> = pictures
        .filter(|stream| stream.codec.is_video())
        .map(|stream| stream.pid)
        .collect();
    let packets = packet::packets(bytes).filter_map(|(_, packet)| packet.ok());
    let kept = packets.filter(|packet| !pictures.contains(&packet.pid()));
    kept.flat_map(|packet| *packet.bytes()).collect()
}

/// Moves all times of packets by so many ticks; as read, they are near `reference`.
fn place(bytes: &mut [u8], shift: i64, reference: i64) {
    for chunk in bytes.chunks_exact_mut(PACKET) {
        let Ok(chunk) = <&mut [u8; PACKET]>::try_from(chunk) else {
            continue;
        };
        let Ok(packet) = Packet::read(chunk) else {
            continue;
        };
        let (pcr, begins, at) = (packet.pcr(), packet.begins(), packet.payload_at());
        packet::clear_discontinuity(chunk);
        if let Some(pcr) = pcr {
            packet::set_pcr(chunk, unwrap_near(pcr, reference) + shift);
        }
        let payload = &mut chunk[at..];
        if begins
            && payload.starts_with(&[0, 0, 1])
            && let Ok(head) = Head::read(payload)
            && let Some(pts) = head.pts
        {
            let pts = unwrap_near(pts, reference);
            let dts = head.dts.map_or(pts, |dts| unwrap_near(dts, pts));
            pes::set_times(payload, pts + shift, dts + shift);
        }
    }
}
