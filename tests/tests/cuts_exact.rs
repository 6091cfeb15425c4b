//! Random cuts of numbered video, from a running restreamer: `fast` and `smart` hold exactly the
//! pictures that SPEC §4 asks for, once each and in order, with their sound.
//!
//! `CUTS_SEED=N` repeats a run, `CUTS=N` makes so many cuts (200).
#![allow(clippy::unwrap_used, reason = "a helper of tests reports by panicking")]

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use restreamer::mpegts::demux::{Damage, Unit, demux};
use restreamer::mpegts::packet::{NULL, packets};
use restreamer::mpegts::time::{TICKS_A_SECOND, unwrap_near};
use tests::node::Node;
use tests::numbered::{self, Codec, Numbered, Options, look};
use tests::raw;

/// How far sound may be from its picture, in seconds (issue 6), of which what the codec adds to
/// the clicks is a part.
const MAX_OFF: f64 = 0.04;

/// One of these for each way of coding that matters.
fn table() -> Vec<Options> {
    let at = |start: &str| start.parse().unwrap();
    let common = Options {
        seconds: 14.0,
        ..Options::default()
    };
    let h265 = Options {
        codec: Codec::H265,
        ..common.clone()
    };
    vec![
        Options {
            start: at("2026-01-02T03:59:53Z"),
            ..common.clone()
        },
        Options {
            fps: (60, 1),
            keys: 1,
            start: at("2026-01-02T23:59:54.5Z"),
            ..common.clone()
        },
        Options {
            fps: (30_000, 1001),
            clock: 95_437.0,
            start: at("2026-01-02T05:10:00Z"),
            ..common.clone()
        },
        Options {
            fps: (30, 1),
            b_frames: false,
            start: at("2026-01-02T06:00:00.123456Z"),
            ..common.clone()
        },
        Options {
            fps: (30_000, 1001),
            b_frames: false,
            keys: 1,
            start: at("2026-01-02T07:59:59.9Z"),
            ..common.clone()
        },
        Options {
            open_gop: true,
            start: at("2026-01-02T08:00:00Z"),
            ..common
        },
        Options {
            open_gop: true,
            start: at("2026-01-02T09:00:00Z"),
            ..h265.clone()
        },
        Options {
            fps: (60, 1),
            start: at("2026-01-02T10:59:55Z"),
            ..h265.clone()
        },
        Options {
            fps: (30, 1),
            b_frames: false,
            clock: 95_440.0,
            start: at("2026-01-02T11:00:00Z"),
            ..h265.clone()
        },
        Options {
            fps: (30_000, 1001),
            open_gop: true,
            keys: 1,
            start: at("2026-01-02T12:00:00Z"),
            ..h265
        },
    ]
}

struct Cut {
    quality: usize,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    is_smart: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn random_cuts_hold_exactly_their_pictures() {
    let seed =
        std::env::var("CUTS_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("CUTS_SEED={seed}");
    let count: usize = std::env::var("CUTS").map_or(200, |count| count.parse().unwrap());
    let mut random = StdRng::seed_from_u64(seed);
    let mut node = Node::new("a");
    let table = table();
    let made = table.iter().enumerate().map(|(number, options)| {
        let quality = node.base_dir().join("test").join(format!("q{number}"));
        async move { numbered::make(&quality, options).await }
    });
    let made: Vec<Numbered> = stream::iter(made).buffered(2).collect().await;
    node.start_restreamer().await;
    let address = node.restreamer_address();
    let cuts: Vec<Cut> = (0..count)
        .map(|number| {
            let quality = number % made.len();
            let options = &table[quality];
            let all = (options.seconds * 1e6) as i64;
            // From single pictures to all of it.
            let longest = [80_000, 2_500_000, all][random.random_range(0..3)];
            let length = random.random_range(20_000..longest);
            let start = random.random_range(0..all - length);
            let start = options.start + TimeDelta::microseconds(start);
            Cut {
                quality,
                start,
                end: start + TimeDelta::microseconds(length),
                is_smart: random.random(),
            }
        })
        .collect();
    let table = &table;
    let checks = cuts.iter().map(|cut| {
        let made = &made[cut.quality];
        async move {
            let time = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
            let target = format!(
                "/cut/test/q{}.ts?start={}&end={}&type={}",
                cut.quality,
                time(cut.start),
                time(cut.end),
                if cut.is_smart { "smart" } else { "fast" }
            );
            let wanted: Vec<u32> = made.between(cut.start, cut.end).collect();
            if wanted.is_empty() {
                return;
            }
            let answer = raw::get(address, &target).await;
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            check(
                &target,
                &wanted,
                &answer.body,
                cut.is_smart,
                &table[cut.quality],
            )
            .await;
        }
    });
    stream::iter(checks)
        .buffer_unordered(3)
        .collect::<Vec<()>>()
        .await;
}

async fn check(target: &str, wanted: &[u32], content: &[u8], is_smart: bool, options: &Options) {
    let found = look(content).await;
    let numbers: Vec<u32> = found.numbers.iter().flatten().copied().collect();
    assert_eq!(numbers, wanted, "{target}");
    assert_eq!(found.numbers.len(), wanted.len(), "{target}");
    let errors: Vec<&str> = found
        .errors
        .lines()
        .filter(|line| !is_harmless(line))
        .collect();
    assert_eq!(errors, [""; 0], "{target}");
    if wanted.len() > 25 {
        let off = found
            .sound_off()
            .unwrap_or_else(|| panic!("{target}: no sound"));
        assert!(off.abs() < MAX_OFF, "{target}: sound is off by {off} s");
    }
    let frame = f64::from(options.fps.1) / f64::from(options.fps.0);
    if let Some((from, to)) = found.sound {
        // To the nearest of its frames of 21 ms, of which the codec takes one to begin.
        let (first, last) = (found.times[0], found.times[found.times.len() - 1] + frame);
        assert!(
            (from - first).abs() < 0.025 && (to - last).abs() < 0.035,
            "{target}: sound {from}..{to}, pictures {first}..{last}"
        );
    }
    counters_go_on(target, content);
    if is_smart {
        times_go_on_from_zero(target, content, wanted.len() as f64 * frame, frame);
    }
}

/// What is coded anew in H.265 needs no pictures in advance, what follows does: ffmpeg's demuxer
/// finds that worth a word.
fn is_harmless(line: &str) -> bool {
    let words = [
        "video_delay is larger",
        "upload a sample",
        "Last message repeated",
    ];
    words.iter().any(|harmless| line.contains(harmless))
}

/// No packet is missing from any stream.
fn counters_go_on(target: &str, content: &[u8]) {
    let mut last = BTreeMap::new();
    for (offset, packet) in packets(content) {
        let packet = packet.unwrap();
        if packet.pid() == NULL || !packet.has_payload() {
            continue;
        }
        let before = last.insert(packet.pid(), packet.counter());
        if let Some(before) = before {
            assert_eq!(packet.counter(), (before + 1) % 16, "{target}: at {offset}");
        }
    }
}

/// Times of decoding, and the clock, start at 0 and go on; nothing is missing in between.
fn times_go_on_from_zero(target: &str, content: &[u8], seconds: f64, frame: f64) {
    let media = demux(content, Damage::Fails).unwrap();
    let mut last: BTreeMap<u16, &Unit> = BTreeMap::new();
    for unit in &media.units {
        assert!(unit.pts >= unit.dts, "{target}");
        if let Some(before) = last.insert(unit.pid, unit) {
            assert!(
                unit.dts > before.dts,
                "{target}: {} after {}",
                unit.dts,
                before.dts
            );
        }
    }
    let lowest = media.units.iter().map(|unit| unit.dts).min();
    assert_eq!(lowest, Some(0), "{target}");
    let video = media.program.video().unwrap();
    let mut shown: Vec<i64> = media.of(video.pid).map(|unit| unit.pts).collect();
    shown.sort_unstable();
    for pair in shown.windows(2) {
        let step = (pair[1] - pair[0]) as f64 / TICKS_A_SECOND as f64;
        assert!(
            (step - frame).abs() < frame / 4.0,
            "{target}: a step of {step} s"
        );
    }
    let length = (shown[shown.len() - 1] - shown[0]) as f64 / TICKS_A_SECOND as f64 + frame;
    assert!(
        (length - seconds).abs() < frame,
        "{target}: {length} s instead of {seconds}"
    );
    let mut clock = None;
    for (_, packet) in packets(content) {
        let Some(now) = packet.unwrap().pcr() else {
            continue;
        };
        let now = unwrap_near(now, clock.unwrap_or(0));
        match clock {
            None => assert_eq!(now, 0, "{target}"),
            Some(before) => assert!(
                (before..before + TICKS_A_SECOND / 4).contains(&now),
                "{target}: {now} after {before}"
            ),
        }
        clock = Some(now);
    }
}
