//! Exact cuts of which most is copied, and their transitions.

use restreamer::footage::Footage;
use restreamer::mpegts::demux::Damage;
use tests::numbered::{Codec, Options};

use crate::support::{Site, bounds, holds, pictures, range};

#[tokio::test]
async fn the_pictures_asked_for_and_transitions_between_them() {
    let common = Options {
        seconds: 8.0,
        start: "2026-01-02T03:59:57Z".parse().expect("a time"),
        ..Options::default()
    };
    let h265 = Options {
        codec: Codec::H265,
        fps: (30, 1),
        ..common.clone()
    };
    for options in [common, h265] {
        let site = Site::start(&options, &["--ffmpeg-processes", "1"]).await;
        for kind in ["fast", "smart"] {
            let what = format!("{kind} {:?}", options.codec);
            for (first, end) in [(49, 51), (7, 8), (63, 187)] {
                let query = format!("{}&type={kind}", bounds(site.at(first), site.at(end)));
                let reading = site.looked_at(&query).await;
                holds(&reading, first..end, &what);
            }
            let query = format!(
                "{}&{}&{}&transition=&transition=fade,0.4&type={kind}",
                range(site.at(150), site.at(170)),
                range(site.at(10), site.at(90)),
                range(site.at(100), site.at(180)),
            );
            let reading = site.looked_at(&query).await;
            let faded = (options.fps.0 * 2 / 5) as usize;
            assert_eq!(reading.numbers.len(), 20 + 80 + 80 - faded, "{what}");
            let (before, after) = (100 - faded, 100);
            let known = pictures(&[150..170, 10..90]).take(before).map(Some);
            assert_eq!(
                reading.numbers[..before],
                known.collect::<Vec<_>>(),
                "{what}"
            );
            let known = (100 + faded as u32..180).map(Some);
            assert_eq!(
                reading.numbers[after..],
                known.collect::<Vec<_>>(),
                "{what}"
            );
            assert!(reading.numbers[before..after].contains(&None), "{what}");
            if kind == "smart" {
                let frame = 1.0 / f64::from(options.fps.0);
                for pair in reading.times.windows(2) {
                    assert!(
                        (pair[1] - pair[0] - frame).abs() < frame / 2.0,
                        "{what}: {pair:?}"
                    );
                }
            }
        }
    }
}

/// Whoever sets up a decoder by the first pictures has what the others need.
#[tokio::test]
async fn pictures_coded_anew_have_the_profile_of_those_around_them() {
    // (x264's name, `profile_idc`)
    for (profile, number) in [("baseline", 66), ("main", 77), ("high", 100)] {
        let options = Options {
            profile: Some(profile),
            b_frames: profile != "baseline",
            seconds: 6.0,
            ..Options::default()
        };
        let site = Site::start(&options, &[]).await;
        for kind in ["fast", "smart"] {
            let query = format!("{}&type={kind}", bounds(site.at(7), site.at(142)));
            let answer = site.cut(&query).await;
            assert!(answer.status == 200 && answer.complete, "{profile} {kind}");
            let start = options.start;
            let footage = Footage::read(&answer.body, start, Damage::Fails).expect("MPEG-TS");
            let units = footage.media.of(footage.main.pid);
            let profiles: Vec<u8> = units.flat_map(|unit| profiles(unit.payload())).collect();
            assert!(profiles.len() > 4, "{profile} {kind}: {profiles:?}");
            assert!(
                profiles.iter().all(|profile| *profile == number),
                "{profile} {kind}: {profiles:?}"
            );
            // Some were coded anew.
            let runs = site.log().join("\n").matches("libx264").count();
            assert!(runs > 0, "{profile} {kind}");
        }
    }
}

/// `profile_idc` of each sequence parameter set of H.264 in an access unit.
fn profiles(unit: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let sets = unit
        .windows(5)
        .filter(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1f == 7);
    sets.map(|bytes| bytes[4])
}
