//! Transitions between ranges that do not fit together by themselves.

use std::fs;

use chrono::TimeDelta;
use tests::numbered::{self, Options, Reading};
use tokio::process::Command;

use crate::field::{made, name, site_at};
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
async fn with_edges_between_two_pictures() {
    let options = Options {
        seconds: 8.0,
        ..Options::default()
    };
    let site = Site::start(&options, &[]).await;
    // The transition begins while the last picture of a segment is shown, just after and long after it
    // came; one side has a picture less than the transition is long, if that is all there is of it.
    for (last, first, late, length, mixed) in [
        (55, 98, 1, "0.24", [6, 6]),
        (55, 98, 39_999, "0.26", [6, 7]),
        (52, 45, 1, "0.26", [6, 7]),
    ] {
        let late = TimeDelta::microseconds(late);
        let one = range(site.at(last - 20), site.at(last) + late);
        let two = range(site.at(first) + late, site.at(first + 20));
        for (kind, mixed) in ["smart", "mpegts"].into_iter().zip(mixed) {
            let query = format!("{one}&{two}&transition=fade,{length}&type={kind}");
            let reading = site.looked_at(&query).await;
            let what = format!(
                "{kind} {last} {first} {late} {length}: {:?}",
                reading.numbers
            );
            assert_eq!(reading.numbers.len(), 21 + 19 - mixed, "{what}");
            let pairs = reading.numbers.windows(2);
            let mut twice = pairs.filter(|pair| pair[0].is_some() && pair[0] == pair[1]);
            assert_eq!(twice.next(), None, "{what}");
            is_steady(&reading.times, 0.04, &what);
        }
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

/// What a file's pictures are made of and how their colours are meant, by ffmpeg's names.
async fn pixels(content: &[u8]) -> Vec<String> {
    let work = tempfile::TempDir::new().expect("a directory");
    let file = work.path().join("in");
    fs::write(&file, content).expect("a file");
    let line = "-v error -select_streams v:0 -of csv=p=0 \
                -show_entries frame=pix_fmt,color_range,color_space,color_primaries,color_transfer";
    let mut command = Command::new("ffprobe");
    let output = command
        .args(line.split_whitespace())
        .arg(file)
        .output()
        .await;
    let said = String::from_utf8(output.expect("ffprobe").stdout).expect("text");
    let lines = said.lines().map(|line| line.trim_matches(','));
    let lines = lines.filter(|line| !line.is_empty());
    let mut found: Vec<String> = lines.map(str::to_owned).collect();
    found.dedup();
    found
}

#[tokio::test]
async fn are_coded_as_what_is_around_them() {
    let site = site_at(0.0).await;
    let h264 = "-c:v libx264 -preset ultrafast -bf 0";
    let h265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=0";
    for (number, (video, expected, sound)) in [
        (h264, "yuv420p10le", "libmp3lame"),
        (h264, "yuv422p", "ac3"),
        (h264, "yuvj420p", "aac"),
        (h265, "yuvj420p", "eac3"),
        (h265, "yuv420p10le", "libopus"),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = format!("test/q{number}/2026-01-02T03");
        let directory = site.node.base_dir().join(directory);
        fs::create_dir_all(&directory).expect("a directory");
        let how = format!(
            "{video} -pix_fmt {expected} -colorspace bt709 -color_primaries bt709 -color_trc bt709 -c:a {sound}"
        );
        for segment in [&site.video.segments[1], &site.video.segments[3]] {
            let content = made(&segment.path, &how, "mpegts").await;
            let name = name(segment.start, 2.0, "full", &content);
            fs::write(directory.join(name), content).expect("a file");
        }
        let target = format!(
            "/cut/test/q{number}.ts?{}&{}&transition=fade,0.4&type=smart",
            range(site.at(50), site.at(70)),
            range(site.at(160), site.at(200)),
        );
        let answer = site.node.get(&target).await;
        assert!(
            answer.status == 200 && answer.complete,
            "{how}: {}",
            answer.text()
        );
        let range = if expected.starts_with("yuvj") {
            "pc"
        } else {
            "tv"
        };
        let expected = format!("{expected},{range},bt709,bt709,bt709");
        assert_eq!(pixels(&answer.body).await, [expected], "{how}");
        let reading = numbered::look(&answer.body).await;
        assert_eq!(reading.numbers.len(), 20 + 40 - 10, "{how}");
        let mut errors = reading.errors.lines();
        // To the sample, sound of one part may reach into the next one's. Of full range is what reads it
        // surprised.
        let is_harmless = |line: &str| {
            let harmless = ["non monotonically", "deprecated pixel format"];
            harmless.iter().any(|words| line.contains(words))
        };
        assert!(errors.all(is_harmless), "{how}: {}", reading.errors);
        let off = reading.sound_off().expect("there are clicks");
        assert!(off.abs() < 0.04, "{how}: {off}");
        let (from, to) = reading.sound.expect("there is sound");
        assert!((to - from - 2.0).abs() < 0.1, "{how}: {from} {to}");
    }
}
