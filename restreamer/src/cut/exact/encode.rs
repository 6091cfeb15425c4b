//! Has ffmpeg code some pictures anew, like those around them.

use std::ffi::OsString;

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::ffmpeg::{Input, Job, Running};
use crate::mpegts::demux::{Damage, Demuxer, Unit};
use crate::mpegts::packet::{self, PACKET};
use crate::mpegts::tables::Codec;

use super::super::WANTED_FROM;
use super::ExactError;
use super::reel::Order;

/// Pictures as they come from an encoder: each as its access unit, in the order shown. None of them
/// is shown before one that is decoded earlier, and the first needs no other.
///
/// What comes is kept until it is taken, so that no ffmpeg waits for a slow client: these are some
/// seconds of video at most.
pub(super) struct Encoder {
    pictures: mpsc::Receiver<Result<Vec<u8>, ExactError>>,
    /// Reads what ffmpeg writes.
    _task: AbortOnDropHandle<()>,
    wanted: usize,
    taken: usize,
}

impl Encoder {
    /// Starts to code pictures anew.
    pub(super) fn start(job: &Job, order: Order) -> Encoder {
        let arguments = arguments(&order, job.threads());
        let input = Input::Bytes(vec![Bytes::from(order.stream)]);
        let running = job.run("cut", arguments, input);
        let (sender, pictures) = mpsc::channel(order.count + 2);
        let task = tokio::spawn(async move {
            if let Err(error) = read(running, order.last, &sender).await {
                let _ = sender.send(Err(error)).await;
            }
        });
        Encoder {
            pictures,
            _task: AbortOnDropHandle::new(task),
            wanted: order.count,
            taken: 0,
        }
    }

    /// True iff all pictures were taken.
    pub(super) fn is_done(&self) -> bool {
        self.taken == self.wanted
    }

    /// A picture that has come already; `None` if one has to be waited for.
    pub(super) fn ready(&mut self) -> Option<Result<Vec<u8>, ExactError>> {
        let picture = self.pictures.try_recv().ok()?;
        self.taken += 1;
        Some(picture)
    }

    /// The next picture.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, ExactError> {
        let picture = self.pictures.recv().await;
        let (wanted, made) = (self.wanted, self.taken);
        self.taken += 1;
        picture.unwrap_or(Err(ExactError::Miscounted { wanted, made }))
    }

    /// Waits for the end, before which no other picture may come.
    pub(super) async fn finish(mut self) -> Result<(), ExactError> {
        match self.pictures.recv().await {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => Err(ExactError::Miscounted {
                wanted: self.wanted,
                made: self.wanted + 1,
            }),
        }
    }
}

/// Sends the pictures that ffmpeg writes, up to the one that is shown at `last`. What it makes of
/// pictures after it, which some before it needed, nobody wants.
async fn read(
    mut running: Running,
    last: i64,
    pictures: &mpsc::Sender<Result<Vec<u8>, ExactError>>,
) -> Result<(), ExactError> {
    let mut demuxer = Demuxer::new(Damage::Fails);
    // Bytes that are no whole packet yet, and how many came before them.
    let (mut rest, mut before) = (Vec::new(), 0);
    while let Some(chunk) = running.next().await {
        rest.extend_from_slice(&chunk?);
        let whole = rest.len() - rest.len() % PACKET;
        for (offset, packet) in packet::packets(&rest[..whole]) {
            let offset = before + offset;
            let taken = packet.and_then(|packet| demuxer.take(offset, &packet));
            taken.map_err(ExactError::Made)?;
        }
        rest.drain(..whole);
        before += whole;
        if !give(demuxer.units(), last, pictures).await {
            return Ok(());
        }
    }
    let media = demuxer.finish(before).map_err(ExactError::Made)?;
    give(media.units.into_iter(), last, pictures).await;
    Ok(())
}

/// Sends pictures; false if one came that is shown after `last`.
async fn give(
    units: impl Iterator<Item = Unit>,
    last: i64,
    pictures: &mpsc::Sender<Result<Vec<u8>, ExactError>>,
) -> bool {
    for mut unit in units.filter(|unit| unit.codec.is_video()) {
        if unit.pts > last {
            return false;
        }
        let picture = std::mem::take(unit.payload_mut());
        let _ = pictures.send(Ok(picture)).await;
    }
    true
}

fn arguments(order: &Order, threads: usize) -> Vec<OsString> {
    let threads = threads.to_string();
    // Nothing here depends on the place of the cut: the next one finds a process that waits.
    let filter = format!("trim=start_pts={WANTED_FROM}");
    let mut arguments = vec![
        "-copyts",
        // Decoding may begin with an open group of pictures: what follows its key picture is as
        // good as any, which the decoder doubts.
        "-flags",
        "+output_corrupt",
        "-threads",
        &threads,
        "-f",
        "mpegts",
        "-i",
        "pipe:0",
        "-map",
        "0:v:0",
        "-vf",
        &filter,
        // As many as come, with the times that they have.
        "-fps_mode",
        "passthrough",
        "-enc_time_base:v",
        "-1",
        "-threads",
        &threads,
    ];
    let (profile, level);
    match order.codec {
        Codec::H265 => arguments.extend([
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-crf",
            "18",
            "-x265-params",
            "log-level=error:bframes=0:keyint=600:open-gop=0:repeat-headers=1",
        ]),
        _ => {
            arguments.extend([
                "-c:v",
                "libx264",
                // As near to the original as `veryfast` at 18, in two thirds of the time, and a third
                // larger: these are pictures of a second or two.
                "-preset",
                "ultrafast",
                "-crf",
                "20",
                "-bf",
                "0",
                "-g",
                "600",
                "-tune",
                "zerolatency",
            ]);
            profile = order.profile.and_then(|(profile, _)| profile_name(profile));
            level = order.profile.and_then(|(_, level)| level_name(level));
            if let Some(profile) = profile {
                arguments.extend(["-profile:v", profile]);
            }
            arguments.extend(
                order
                    .profile
                    .map_or(&[][..], |(profile, _)| held_to(profile)),
            );
            if let Some(level) = &level {
                arguments.extend(["-level:v", level]);
            }
        }
    }
    arguments.extend([
        "-flush_packets",
        "1",
        "-f",
        "mpegts",
        "-muxdelay",
        "0",
        "-muxpreload",
        "0",
        "pipe:1",
    ]);
    arguments.into_iter().map(OsString::from).collect()
}

/// Options that keep x264's quickest preset to a profile of H.264. It uses nothing that a lesser one has
/// not, and then says that one: whoever sets up a decoder by the first pictures would not take those
/// that are copied.
fn held_to(profile: u8) -> &'static [&'static str] {
    match profile {
        77 => &["-weightp", "1"],
        100 => &["-8x8dct", "1"],
        _ => &[],
    }
}

/// What x264 calls a profile of H.264 (ITU-T H.264 annex A).
pub(crate) fn profile_name(profile: u8) -> Option<&'static str> {
    Some(match profile {
        66 => "baseline",
        77 => "main",
        100 => "high",
        110 => "high10",
        122 => "high422",
        244 => "high444",
        _ => return None,
    })
}

/// A level of H.264 as a decimal number.
pub(crate) fn level_name(level: u8) -> Option<String> {
    (10..=62)
        .contains(&level)
        .then(|| format!("{}.{}", level / 10, level % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_profiles() {
        for (level, name) in [(9, None), (31, Some("3.1")), (42, Some("4.2")), (255, None)] {
            assert_eq!(level_name(level).as_deref(), name);
        }
        assert_eq!(profile_name(100), Some("high"));
        assert_eq!(profile_name(88), None);
    }
}
