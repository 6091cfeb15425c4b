//! Transitions between ranges that do not fit together by themselves.

use chrono::TimeDelta;
use tests::numbered::{self, Options, Reading};

use crate::support::{Site, bounds, holds, pictures, range};

/// The pictures that are not mixed of two.
fn plain(reading: &Reading) -> Vec<u32> {
    reading.numbers.iter().flatten().copied().collect()
}

/// Holds that one picture follows another after so many seconds.
fn is_steady(times: &[f64], frame: f64, what: &str) {
    for pair in times.windows(2) {
        let off = pair[1] - pair[0] - frame;
        assert!(off.abs() < 0.002, "{what}: {pair:?}");
    }
}

#[tokio::test]
async fn with_more_pictures_on_one_side_than_on_the_other() {
    let options = Options {
        seconds: 8.0,
        ..Options::default()
    };
    let site = Site::start(&options, &[]).await;
    let millis = TimeDelta::milliseconds;
    // Of seven pictures and six, and of six and seven, six are mixed; all others stay.
    for (first_late, second_late, wanted) in [(8, -20, 34 + 30 - 6), (-20, 0, 33 + 30 - 6)] {
        for kind in ["smart", "mpegts"] {
            let first = range(site.at(116), site.at(149) + millis(first_late));
            let second = range(site.at(10) + millis(second_late), site.at(40));
            let query = format!("{first}&{second}&transition=fade,0.25&type={kind}");
            let reading = site.looked_at(&query).await;
            let what = format!("{kind} {first_late} {second_late}");
            assert_eq!(reading.numbers.len(), wanted, "{what}");
            is_steady(&reading.times, 0.04, &what);
            let known = plain(&reading);
            assert_eq!(known.first(), Some(&116), "{what}");
            assert!(known.ends_with(&[37, 38, 39]), "{what}: {known:?}");
        }
    }
    for kind in ["fast", "webm"] {
        let first = range(site.at(143), site.at(149) + millis(8));
        let second = range(site.at(10), site.at(16));
        let query = format!("{first}&{second}&transition=fade,0.24&type={kind}");
        assert_eq!(site.looked_at(&query).await.numbers.len(), 6 + 1, "{kind}");
    }
}

#[tokio::test]
async fn between_ranges_of_different_rates() {
    let slow = Options {
        fps: (20, 1),
        seconds: 4.0,
        ..Options::default()
    };
    let site = Site::start(&slow, &[]).await;
    let quick = Options {
        fps: (50, 1),
        start: slow.start + TimeDelta::seconds(4),
        first: 1000,
        ..slow
    };
    let quick = numbered::make(&site.node.base_dir().join("test/source"), &quick).await;
    let first = range(site.at(30), site.at(70));
    let second = range(quick.instant(1050), quick.instant(1150));
    for kind in ["smart", "mpegts"] {
        for (ranges, before, after, end) in [
            (format!("{first}&{second}"), 32, 80, 1149),
            (format!("{second}&{first}"), 80, 32, 69),
        ] {
            let query = format!("{ranges}&transition=fade,0.4&type={kind}");
            let reading = site.looked_at(&query).await;
            let what = format!("{kind} until {end}");
            // As many are mixed as the quick one has.
            let wanted = before + 20 + after;
            assert_eq!(reading.numbers.len(), wanted, "{what}");
            assert_eq!(reading.numbers.last(), Some(&Some(end)), "{what}");
            let length = reading.times[wanted - 1] - reading.times[0];
            assert!((length - 3.6).abs() < 0.06, "{what}: {length}");
            let known = (0..before).chain(before + 20..wanted);
            let (numbers, times) = known
                .map(|at| (reading.numbers[at], reading.times[at]))
                .unzip();
            let known = Reading {
                numbers,
                times,
                ..reading
            };
            holds(&known, plain(&known).into_iter(), &what);
        }
    }
    // One range, in which the rate changes, ends with the last one wanted.
    let query = bounds(site.at(60), quick.instant(1010));
    let reading = site.looked_at(&format!("{query}&type=mpegts")).await;
    holds(&reading, pictures(&[60..80, 1000..1010]), "both rates");
}
