//! Encoders that falter: pictures are missing for a while, the clock jumps, times are left out.

use std::fs;

use chrono::TimeDelta;
use restreamer::mpegts::packet::{self, PACKET, Packet};
use restreamer::mpegts::pes::{self, Head};
use restreamer::mpegts::time::TICKS_A_SECOND;
use tests::numbered::{Codec, Options, Reading, look};
use tests::raw;

use crate::field::{EACH, made, replace, site_at};
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
    put(site, number, kept);
}

/// Takes the last pictures out of a segment.
fn without_last_pictures(site: &Site, number: usize, count: u32) {
    let mut seen = 0;
    let kept = packets(site, number).filter(|(pid, packet)| {
        seen += u32::from(*pid == PICTURES && packet[1] & 0x40 != 0);
        *pid != PICTURES || seen <= EACH - count
    });
    put(site, number, kept);
}

/// The packets of a segment whose clock is another from the middle on, by so many seconds.
fn jumped(
    packets: impl Iterator<Item = (u16, Vec<u8>)>,
    seconds: i64,
) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let jump = seconds * TICKS_A_SECOND;
    let mut seen = 0;
    packets.map(move |(pid, packet)| {
        let mut packet: [u8; PACKET] = packet.try_into().expect("a packet");
        let read = Packet::read(&packet).expect("a packet");
        let (begins, at, pcr) = (read.begins(), read.payload_at(), read.pcr());
        seen += u32::from(pid == PICTURES && begins);
        if seen <= EACH / 2 {
            return (pid, packet.to_vec());
        }
        if let Some(pcr) = pcr {
            packet::set_pcr(&mut packet, pcr as i64 + jump);
        }
        if begins
            && let Ok(head) = Head::read(&packet[at..])
            && let Some(pts) = head.pts
        {
            let (pts, dts) = (pts as i64, head.dts.unwrap_or(pts) as i64);
            pes::set_times(&mut packet[at..], pts + jump, dts + jump);
        }
        (pid, packet.to_vec())
    })
}

/// The packets of a segment without the time of two pictures of three.
fn with_few_times(
    packets: impl Iterator<Item = (u16, Vec<u8>)>,
) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let mut seen = 0;
    packets.map(move |(pid, mut packet)| {
        let read = Packet::read(packet.first_chunk().expect("a packet")).expect("a packet");
        let at = read.payload_at();
        if pid == PICTURES && read.begins() {
            if seen % 3 > 0 {
                let length = usize::from(packet[at + 8]);
                packet[at + 7] &= 0x3f;
                packet[at + 9..at + 9 + length].fill(0xff);
            }
            seen += 1;
        }
        (pid, packet)
    })
}

/// Puts packets in the place of a segment's.
fn put(site: &Site, number: usize, packets: impl Iterator<Item = (u16, Vec<u8>)>) {
    let content: Vec<u8> = packets.flat_map(|(_, packet)| packet).collect();
    replace(site, number, TimeDelta::zero(), "full", &content);
}

/// Holds that each picture is shown when it was, in seconds from the first one on.
fn at_their_times(reading: &Reading, what: &str) {
    let all = || reading.numbers.iter().flatten().zip(&reading.times);
    let (first, from) = all().next().expect("pictures");
    for (number, time) in all() {
        let expected = f64::from(number - first) / 25.0;
        assert!(
            (time - from - expected).abs() < 0.001,
            "{what}: {number} at {time}"
        );
    }
}

#[tokio::test]
async fn segments_with_sound_alone_cost_their_pictures() {
    let site = site_at(0.0).await;
    for number in [1, 4] {
        without_pictures(&site, number);
    }
    let is_there = |number: &u32| number / EACH != 1 && number / EACH != 4;
    let all: &[&str] = &["fast", "smart", "mpegts"];
    for (from, until, kinds) in [
        (30, 270, all),
        (70, 270, &all[1..2]),
        (30, 70, &all[1..]),
        (170, 230, &all[..1]),
    ] {
        let query = bounds(site.at(from), site.at(until));
        for &kind in kinds {
            let what = format!("{kind} {from}..{until}");
            let reading = site.looked_at(&format!("{query}&type={kind}")).await;
            holds(&reading, (from..until).filter(is_there), &what);
            if kind == "smart" {
                at_their_times(&reading, &what);
            }
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

#[tokio::test]
async fn times_from_zero_where_pictures_are_missing_or_an_encoder_begins_again() {
    let options = Options {
        seconds: 12.0,
        ..Options::default()
    };
    let site = Site::start(&options, &[]).await;
    // It begins again with another clock, first as it was, then without B-frames.
    let again = "-c copy -output_ts_offset 5000";
    let plain = "-c:a copy -c:v libx264 -preset ultrafast -bf 0 -output_ts_offset 100";
    for (number, arguments) in [(1, again), (2, again), (3, again), (4, plain), (5, plain)] {
        let content = made(&site.video.segments[number].path, arguments, "mpegts").await;
        replace(&site, number, TimeDelta::zero(), "full", &content);
    }
    let query = bounds(site.at(30), site.at(270));
    let reading = site.looked_at(&format!("{query}&type=smart")).await;
    holds(&reading, 30..270, "begun again");
    at_their_times(&reading, "begun again");

    let site = site_at(0.0).await;
    for number in [1, 3] {
        without_last_pictures(&site, number, 20);
    }
    let is_there = |number: &u32| ![80..100, 180..200].iter().any(|gone| gone.contains(number));
    let reading = site.looked_at(&format!("{query}&type=smart")).await;
    holds(&reading, (30..270).filter(is_there), "a gap");
    at_their_times(&reading, "a gap");
}

#[tokio::test]
async fn a_clock_that_jumps_in_the_middle_of_a_segment() {
    let site = site_at(0.0).await;
    put(&site, 2, jumped(packets(&site, 2), 500));
    // Back, and of some pictures it is not said when.
    let back = site_at(1000.0).await;
    let packets_of_two = with_few_times(packets(&back, 2));
    put(&back, 2, jumped(packets_of_two, -900));
    for (site, from, until, kinds) in [
        (&site, 30, 270, ["smart", "mpegts"]),
        (&site, 110, 270, ["smart", "mpegts"]),
        (&site, 30, 140, ["smart", "mpegts"]),
        (&back, 110, 270, ["fast", "mpegts"]),
        (&back, 30, 140, ["fast", "smart"]),
    ] {
        let query = bounds(site.at(from), site.at(until));
        for kind in kinds {
            let what = format!("{kind} {from}..{until}");
            let reading = site.looked_at(&format!("{query}&type={kind}")).await;
            holds(&reading, from..until, &what);
            at_their_times(&reading, &what);
        }
    }
}

#[tokio::test]
async fn pictures_that_say_no_time_of_their_own() {
    let site = site_at(0.0).await;
    for number in 0..6 {
        put(&site, number, with_few_times(packets(&site, number)));
    }
    let query = bounds(site.at(31), site.at(269));
    for kind in ["fast", "smart", "mpegts"] {
        let reading = site.looked_at(&format!("{query}&type={kind}")).await;
        holds(&reading, 31..269, kind);
        at_their_times(&reading, kind);
    }
    for target in [
        format!("/waveform/test/source.png?{query}"),
        format!("/frame/test/source.png?timestamp={}", time(site.at(101))),
    ] {
        let answer = site.node.get(&target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    }

    // Shown in another order than decoded, which they say themselves.
    for (codec, kinds) in [
        (Codec::H264, &["fast", "mpegts"][..]),
        (Codec::H265, &["smart"]),
    ] {
        let options = Options {
            codec,
            seconds: 4.0,
            ..Options::default()
        };
        let site = Site::start(&options, &[]).await;
        for number in 0..2 {
            put(&site, number, with_few_times(packets(&site, number)));
        }
        let query = bounds(site.at(31), site.at(90));
        for kind in kinds {
            let what = format!("{codec:?} {kind}");
            let reading = site.looked_at(&format!("{query}&type={kind}")).await;
            holds(&reading, 31..90, &what);
            at_their_times(&reading, &what);
        }
        let target = format!("/frame/test/source.png?timestamp={}", time(site.at(63)));
        let answer = raw::get(site.node.restreamer_address(), &target).await;
        assert_eq!(answer.status, 200, "{codec:?}: {}", answer.text());
        assert_eq!(look(&answer.body).await.numbers, [Some(63)], "{codec:?}");
    }
}
