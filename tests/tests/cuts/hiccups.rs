//! Encoders that falter: pictures are missing for a while, the clock jumps, times are left out.

use std::fs;

use chrono::TimeDelta;
use tests::numbered::look;
use tests::raw;

use crate::field::{EACH, replace, site_at};
use crate::support::{Site, bounds, holds, time};

/// The stream of pictures, as ffmpeg numbers it.
const PICTURES: u16 = 0x100;

/// The packets of a segment, and the number of each one's stream.
fn packets(site: &Site, number: usize) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let content = fs::read(&site.video.segments[number].path).expect("it is there");
    let packets: Vec<Vec<u8>> = content.chunks(188).map(<[u8]>::to_vec).collect();
    packets.into_iter().map(|packet| {
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        (pid, packet)
    })
}

/// Takes all pictures out of a segment; what announces them stays.
fn without_pictures(site: &Site, number: usize) {
    let kept = packets(site, number).filter(|(pid, _)| *pid != PICTURES);
    let content: Vec<u8> = kept.flat_map(|(_, packet)| packet).collect();
    replace(site, number, TimeDelta::zero(), "full", &content);
}

#[tokio::test]
async fn segments_with_sound_alone_cost_their_pictures() {
    let site = site_at(0.0).await;
    for number in [1, 4] {
        without_pictures(&site, number);
    }
    let is_there = |number: &u32| number / EACH != 1 && number / EACH != 4;
    for (from, until) in [(30, 270), (70, 270), (30, 70), (170, 230)] {
        let query = bounds(site.at(from), site.at(until));
        for kind in ["fast", "mpegts"] {
            let what = format!("{kind} {from}..{until}");
            let reading = site.looked_at(&format!("{query}&type={kind}")).await;
            holds(&reading, (from..until).filter(is_there), &what);
            if kind == "mpegts" {
                continue;
            }
            // The sound is all there.
            let length = f64::from(until - from) / 25.0;
            let (begins, ends) = reading.sound.expect("there is sound");
            assert!(
                (ends - begins - length).abs() < 0.1,
                "{what}: sound from {begins} to {ends}"
            );
        }
        let waveform = format!("/waveform/test/source.png?{query}");
        assert_eq!(site.node.get(&waveform).await.status, 200);
    }
    for (instant, number) in [(60, 49), (99, 49), (100, 100), (230, 199)] {
        let target = format!(
            "/frame/test/source.png?timestamp={}",
            time(site.at(instant))
        );
        let answer = raw::get(site.node.restreamer_address(), &target).await;
        assert_eq!(answer.status, 200, "{instant}: {}", answer.text());
        assert_eq!(look(&answer.body).await.numbers, [Some(number)]);
    }
}
