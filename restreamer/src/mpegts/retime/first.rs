//! What a file shows first.

use crate::mpegts::packet;
use crate::mpegts::pes::{self, Head};
use crate::mpegts::time::{is_jump, unwrap_near};

/// Of so many of a file's first pictures one is shown first.
const FIRST_DECODED: usize = 64;

/// When the first picture of a file is shown, without pictures its first sound. `bytes` are as much of
/// it as is there.
pub(super) fn first_shown(bytes: &[u8]) -> Option<i64> {
    let packets = packet::packets(bytes).filter_map(|(_, packet)| packet.ok());
    let begun = packets.filter(|packet| packet.begins() && packet.has_payload());
    let heads = begun.filter_map(|packet| Head::read(packet.payload()).ok());
    let mut heads = heads.filter(|head| head.pts.is_some()).peekable();
    let first = heads.peek()?.pts? as i64;
    let pictures = heads.filter(|head| pes::is_video(head.stream_id));
    let times = pictures.filter_map(|head| {
        let shown = unwrap_near(head.pts?, first);
        Some((shown, head.dts.map_or(shown, |dts| unwrap_near(dts, shown))))
    });
    // Another clock in the middle of it is no matter here.
    let mut last = None::<i64>;
    let times = times.take_while(|(_, dts)| {
        let last = last.replace(*dts).unwrap_or(*dts);
        !is_jump(dts - last)
    });
    let shown = times.map(|(shown, _)| shown).take(FIRST_DECODED);
    Some(shown.min().unwrap_or(first))
}
