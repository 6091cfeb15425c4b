//! Cuts that are coded anew from end to end, exact to the picture.

use std::fs;

use chrono::{DateTime, TimeDelta};
use restreamer::footage::Footage;
use restreamer::mpegts::demux::Damage;
use restreamer::mpegts::video::Access;
use tests::numbered::{Codec, Options};

use crate::field::name;
use crate::support::{Site, before, bounds, holds, pictures, range};

#[tokio::test]
async fn exactly_the_pictures_asked_for() {
    let common = Options {
        seconds: 8.0,
        start: "2026-01-02T03:59:57Z".parse().expect("a time"),
        ..Options::default()
    };
    let table = [
        common.clone(),
        Options {
            fps: (30000, 1001),
            open_gop: true,
            clock: 95_440.0,
            ..common.clone()
        },
        Options {
            codec: Codec::H265,
            fps: (60, 1),
            open_gop: true,
            ..common
        },
    ];
    for options in table {
        let site = Site::start(&options, &[]).await;
        let frame = site.at(1) - site.at(0);
        for (first, end) in [(0, 200), (7, 8), (50, 100), (63, 187)] {
            // An instant is a picture's if it is the first one at or after it.
            let late = site.at(first) - frame / 2;
            for start in [site.at(first), late]
                .into_iter()
                .take(1 + usize::from(end < 100))
            {
                let query = bounds(start.max(site.at(0)), site.at(end));
                let reading = site.looked_at(&format!("{query}&type=mpegts")).await;
                let what = format!("{options:?} {first}..{end} mpegts");
                holds(&reading, first..end, &what);
                assert_eq!(reading.errors, "", "{what}");
            }
        }
        let query = bounds(site.at(63), before(site.at(65)));
        let reading = site.looked_at(&format!("{query}&type=webm")).await;
        holds(&reading, 63..65, "webm");
    }
}

#[tokio::test]
async fn ranges_in_any_order_joined_and_cross_faded() {
    let site = Site::start(
        &Options {
            seconds: 10.0,
            ..Options::default()
        },
        &[],
    )
    .await;
    let query = format!(
        "{}&{}&{}&type=mpegts",
        range(site.at(120), site.at(140)),
        range(site.at(10), site.at(30)),
        range(site.at(30), site.at(31)),
    );
    let reading = site.looked_at(&query).await;
    holds(&reading, pictures(&[120..140, 10..30, 30..31]), "joined");

    let query = format!(
        "{}&{}&{}&transition=fade,0.4&transition=&type=mpegts",
        range(site.at(120), site.at(150)),
        range(site.at(10), site.at(60)),
        range(site.at(200), site.at(220)),
    );
    let reading = site.looked_at(&query).await;
    // 10 pictures are two at once.
    assert_eq!(reading.numbers.len(), 30 + 50 - 10 + 20);
    let (known, mixed) = (&reading.numbers[..20], &reading.numbers[22..28]);
    assert!(known.iter().copied().eq((120..140).map(Some)), "{known:?}");
    assert!(mixed.iter().any(Option::is_none), "{mixed:?}");
    let rest: Vec<Option<u32>> = (20..60).chain(200..220).map(Some).collect();
    assert_eq!(reading.numbers[30..], rest);
    let steady = reading
        .times
        .windows(2)
        .all(|pair| ((pair[1] - pair[0]) - 0.04).abs() < 0.001);
    assert!(steady, "{:?}", reading.times);
    let (from, to) = reading.sound.expect("there is sound");
    assert!(((to - from) - 90.0 * 0.04).abs() < 0.1, "{from} {to}");
}

#[tokio::test]
async fn segments_that_begin_with_pictures_shown_before_their_start() {
    let options = Options {
        open_gop: true,
        keys: 1,
        segment_seconds: 2.08,
        seconds: 12.48,
        ..Options::default()
    };
    let site = Site::start(&options, &[]).await;
    // The playlist counts from key picture to key picture; some that come after it are shown before it.
    let segments = &site.video.segments;
    let mut starts = Vec::new();
    for segment in segments {
        let content = fs::read(&segment.path).expect("it is there");
        let footage = Footage::read(&content, segment.start, Damage::Fails).expect("MPEG-TS");
        let first = footage.pictures()[0];
        assert_ne!(first.access, Access::None);
        starts.push(DateTime::from_timestamp_micros(first.instant).expect("a time"));
    }
    let late = |number: u32| {
        let at = segments.partition_point(|segment| segment.numbers.start <= number) - 1;
        site.at(number) + (starts[at] - segments[at].start)
    };
    let all = segments.iter().enumerate();
    assert!(
        all.skip(1)
            .all(|(at, it)| starts[at] - it.start >= TimeDelta::milliseconds(40))
    );
    for (at, segment) in segments.iter().enumerate() {
        let next = starts.get(at + 1).copied();
        let ends = next.unwrap_or(starts[at] + TimeDelta::seconds(2));
        let content = fs::read(&segment.path).expect("it is there");
        fs::remove_file(&segment.path).expect("it was there");
        let name = name(
            starts[at],
            (ends - starts[at]).as_seconds_f64(),
            "full",
            &content,
        );
        fs::write(segment.path.with_file_name(name), content).expect("a file");
    }
    for (kind, first, end) in [("mpegts", 10, 230), ("mpegts", 101, 148), ("webm", 60, 140)] {
        let query = bounds(late(first), late(end));
        let reading = site.looked_at(&format!("{query}&type={kind}")).await;
        let what = format!("{kind} {first}..{end}");
        holds(&reading, first..end, &what);
        for pair in reading.times.windows(2) {
            let off = pair[1] - pair[0] - 0.04;
            assert!(off.abs() < 0.002, "{what}: {pair:?}");
        }
    }
}
