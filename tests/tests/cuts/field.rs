//! What encoders and links do to a recording, and what cuts make of it: starts that jitter, streams
//! under other numbers, pictures and sound of another form from some segment on, segments cut short.

use std::fs;
use std::ops::Range;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use tests::content::sha256_base64;
use tests::numbered::{Options, Reading, look};
use tests::raw;
use tokio::process::Command;

use crate::support::{Site, bounds, holds, pictures, range, time};

/// Pictures in a segment.
pub(crate) const EACH: u32 = 50;

/// Six segments of 2 s. Without B-frames any of them can be coded again by itself.
async fn site() -> Site {
    site_at(0.0).await
}

/// The same, with a clock of its own that is there when it begins.
pub(crate) async fn site_at(clock: f64) -> Site {
    let options = Options {
        seconds: 12.0,
        b_frames: false,
        clock,
        ..Options::default()
    };
    Site::start(&options, &[]).await
}

/// The name of a segment that begins then.
pub(crate) fn name(start: DateTime<Utc>, duration: f64, kind: &str, content: &[u8]) -> String {
    format!(
        "{:02}:{:02}.{:06}-{duration:?}-{kind}-{}.ts",
        start.minute(),
        start.second(),
        start.timestamp_subsec_micros(),
        sha256_base64(content)
    )
}

/// Puts another segment in the place of one.
pub(crate) fn replace(site: &Site, number: usize, late: TimeDelta, kind: &str, content: &[u8]) {
    let segment = &site.video.segments[number];
    fs::remove_file(&segment.path).expect("it was there");
    let name = name(segment.start + late, 2.0, kind, content);
    fs::write(segment.path.with_file_name(name), content).expect("a file");
}

/// What ffmpeg makes of a segment with these arguments.
pub(crate) async fn made(path: &Path, arguments: &str, format: &str) -> Vec<u8> {
    let line = format!(
        "-loglevel error -copyts -i INPUT {arguments} -muxdelay 0 -muxpreload 0 -f {format} pipe:1"
    );
    let arguments = line.split(' ').map(|part| match part {
        "INPUT" => path.as_os_str(),
        part => part.as_ref(),
    });
    let output = Command::new("ffmpeg").args(arguments).output().await;
    let output = output.expect("ffmpeg");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !output.stdout.is_empty(),
        "{said}"
    );
    output.stdout
}

/// The first segment in pieces of 2 s, which begin with any picture; it is gone.
pub(crate) async fn divided(site: &Site) -> Vec<(DateTime<Utc>, Vec<u8>)> {
    let all = site.video.segments[0].clone();
    let pieces = pieces(site, &all.path, all.numbers.len() as u32 / EACH).await;
    fs::remove_file(&all.path).expect("it was there");
    let starts = (0..).map(|number| all.start + TimeDelta::seconds(2 * number));
    starts.zip(pieces).collect()
}

/// So many pieces of 2 s of a file, which begin with any picture.
pub(crate) async fn pieces(site: &Site, file: &Path, count: u32) -> Vec<Vec<u8>> {
    let parts = site.node.base_dir().join("parts");
    fs::create_dir_all(&parts).expect("a directory");
    let pattern = parts.join("%d.ts");
    let edges: Vec<String> = (1..count).map(|edge| (edge * EACH).to_string()).collect();
    let line = format!(
        "-loglevel error -copyts -i {} -map 0 -c copy -f segment -segment_frames {} \
         -break_non_keyframes 1 -segment_format mpegts {}",
        file.display(),
        edges.join(","),
        pattern.display()
    );
    let status = Command::new("ffmpeg")
        .args(line.split_whitespace())
        .status()
        .await;
    assert!(status.expect("ffmpeg").success());
    let pieces = (0..count).map(|number| fs::read(parts.join(format!("{number}.ts"))));
    pieces.map(|piece| piece.expect("a part")).collect()
}

/// Has ffmpeg make others of the segments from one on.
async fn change_from(site: &Site, first: usize, arguments: &str) {
    for number in first..site.video.segments.len() {
        let content = made(&site.video.segments[number].path, arguments, "mpegts").await;
        replace(site, number, TimeDelta::zero(), "full", &content);
    }
}

/// Two ranges, from before and after what changes in the middle.
pub(crate) const TWO: [Range<u32>; 2] = [40..80, 170..220];

/// The same as parameters.
pub(crate) fn two(site: &Site) -> String {
    let ranges = TWO.map(|numbers| range(site.at(numbers.start), site.at(numbers.end)));
    ranges.join("&")
}

/// Holds that cuts of these kinds have all pictures from 30 up to 270, with their sound.
pub(crate) async fn is_whole(site: &Site, query: &str, kinds: &[&str]) {
    for kind in kinds {
        let reading = site.looked_at(&format!("{query}&type={kind}")).await;
        holds(&reading, 30..270, kind);
        has_sound_of(&reading, 240, kind);
    }
}

/// Holds that it has all the sound of so many pictures, and nothing else.
fn has_sound_of(reading: &Reading, count: usize, what: &str) {
    let (from, to) = reading.sound.expect("there is sound");
    let length = count as f64 / 25.0;
    assert!(
        (to - from - length).abs() < 0.15,
        "{what}: sound from {from} to {to}"
    );
    assert!(reading.clicks.len() >= count / 8 - 1, "{what}: {reading:?}");
}

#[tokio::test]
async fn starts_that_jitter_by_milliseconds() {
    let site = site().await;
    for (number, millis) in [0, 3, -2, 1, 3, -1].into_iter().enumerate() {
        let content = fs::read(&site.video.segments[number].path).expect("it is there");
        replace(
            &site,
            number,
            TimeDelta::milliseconds(millis),
            "full",
            &content,
        );
    }
    let query = bounds(site.at(30), site.at(270) - TimeDelta::milliseconds(10));
    is_whole(&site, &query, &["fast", "smart", "mpegts"]).await;
    let ranges = two(&site);
    let query = format!("{ranges}&transition=fade,0.4&type=mpegts");
    let reading = site.looked_at(&query).await;
    assert_eq!(reading.numbers.len(), 40 + 50 - 10);
    has_sound_of(&reading, 80, "cross-faded");
}

#[tokio::test]
async fn streams_under_other_numbers() {
    let site = site().await;
    change_from(
        &site,
        3,
        "-c copy -map 0:a -map 0:v -mpegts_start_pid 0x1c0",
    )
    .await;
    let query = bounds(site.at(30), site.at(270));
    is_whole(&site, &query, &["fast", "smart", "mpegts"]).await;
    let ranges = two(&site);
    for kind in ["smart", "mpegts"] {
        let query = format!("{ranges}&type={kind}");
        let reading = site.looked_at(&query).await;
        holds(&reading, pictures(&TWO), kind);
        let query = format!("{ranges}&transition=fade,0.4&type={kind}");
        let reading = site.looked_at(&query).await;
        assert_eq!(reading.numbers.len(), 40 + 50 - 10, "{kind}");
        assert_eq!(reading.numbers[79], Some(219), "{kind}");
    }
}

#[tokio::test]
async fn pictures_of_another_size() {
    let site = site().await;
    change_from(
        &site,
        3,
        "-c:a copy -vf scale=384:224:flags=neighbor -c:v libx264 -preset ultrafast -bf 0",
    )
    .await;
    let query = bounds(site.at(30), site.at(270));
    is_whole(&site, &query, &["mpegts"]).await;
    let ranges = two(&site);
    for kind in ["mpegts", "webm"] {
        let reading = site.looked_at(&format!("{ranges}&type={kind}")).await;
        holds(&reading, pictures(&TWO), kind);
    }
}

#[tokio::test]
async fn segments_cut_short_cost_what_is_not_in_them() {
    let whole = (3 * EACH) as usize;
    // So many of 400 parts of it are there.
    for (kind, parts, before, cuts) in [
        (
            "suspect",
            0,
            &["smart", "mpegts"][..],
            &["fast", "mpegts"][..],
        ),
        ("partial", 1, &[], &["smart", "webm"]),
        ("partial", 200, &[], &["fast", "smart", "mpegts", "webm"]),
    ] {
        let site = site().await;
        let content = fs::read(&site.video.segments[3].path).expect("it is there");
        let kept = content.len() * parts / 400;
        replace(&site, 3, TimeDelta::zero(), kind, &content[..kept]);
        // What lies behind a cut is no matter to it.
        let query = bounds(site.at(30), site.at(140));
        for cut in before {
            let reading = site.looked_at(&format!("{query}&type={cut}")).await;
            holds(&reading, 30..140, cut);
        }
        let query = bounds(site.at(30), site.at(270));
        let refused = site.cut(&format!("{query}&type=smart")).await;
        assert_eq!(refused.status, 406, "{}", refused.text());
        for cut in cuts {
            let query = format!("{query}&type={cut}&allow_holes=true");
            let reading = site.looked_at(&query).await;
            let numbers: Vec<u32> = reading
                .numbers
                .iter()
                .copied()
                .map(Option::unwrap)
                .collect();
            let before = numbers.partition_point(|&number| number < 200);
            assert!(
                numbers[..before].iter().copied().eq((30..).take(before)),
                "{numbers:?}"
            );
            assert!(
                numbers[before..].iter().copied().eq(200..270),
                "{numbers:?}"
            );
            // Something of what is there, if that is more than nothing.
            let some = before > whole - 30;
            assert_eq!(some, parts > 1, "{cut} {kept}: {numbers:?}");
            assert!(before < whole + EACH as usize - 30);
        }
        let frame = site
            .node
            .get(&format!(
                "/frame/test/source.png?timestamp={}",
                time(site.at(160))
            ))
            .await;
        let expected = if parts > 1 { 200 } else { 406 };
        assert_eq!(frame.status, expected, "{}", frame.text());
    }
}

#[tokio::test]
async fn a_frame_whose_key_picture_is_two_segments_back() {
    // One key picture in 6 s, divided anew.
    let options = Options {
        seconds: 6.0,
        segment_seconds: 6.0,
        keys: 1,
        b_frames: false,
        ..Options::default()
    };
    let site = Site::start(&options, &[]).await;
    let all = site.video.segments[0].clone();
    for (start, content) in divided(&site).await {
        // Ends some milliseconds before the next one begins, which is no hole.
        let name = name(start, 1.992, "full", &content);
        fs::write(all.path.with_file_name(name), content).expect("a file");
    }
    let between = all.start + TimeDelta::milliseconds(3996);
    for (instant, number) in [
        (site.at(0), 0),
        (site.at(75), 75),
        (site.at(125), 125),
        (between, 99),
    ] {
        let target = format!("/frame/test/source.png?timestamp={}", time(instant));
        let answer = site.node.get(&target).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
        assert_eq!(look(&answer.body).await.numbers, [Some(number)]);
    }
}

#[tokio::test]
async fn fragmented_mp4_of_what_mpeg_ts_cannot_hold_and_cut_short() {
    let site = site().await;
    let fragmented = "-movflags frag_keyframe+delay_moov+default_base_moof";
    let coded = "-map 0:v -map 0:a -c:v libaom-av1 -cpu-used 8 -crf 20 -g 25 -c:a copy -bsf:a aac_adtstoasc";
    let directory = site.node.base_dir().join("test/av1/2026-01-02T03");
    fs::create_dir_all(&directory).expect("a directory");
    let mut lengths = Vec::new();
    for (number, segment) in site.video.segments[..4].iter().enumerate() {
        let content = made(&segment.path, &format!("{coded} {fragmented}"), "mp4").await;
        // The third of them lacks its end.
        let (kept, kind) = match number {
            2 => (content.len() * 2 / 3, "partial"),
            _ => (content.len(), "full"),
        };
        let content = &content[..kept];
        lengths.push(content.len());
        fs::write(
            directory.join(name(segment.start, 2.0, kind, content)),
            content,
        )
        .expect("a file");
    }
    let cut = async |query: String| {
        let target = format!("/cut/test/av1.ts?{query}");
        let answer = raw::get(site.node.restreamer_address(), &target).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert!(answer.complete, "{query}: {:?}", site.log());
        answer
    };
    let query = bounds(site.at(10), site.at(90));
    for kind in ["smart", "mpegts"] {
        let reading = look(&cut(format!("{query}&type={kind}")).await.body).await;
        holds(&reading, 10..90, kind);
    }
    let frame = site
        .node
        .get(&format!(
            "/frame/test/av1.png?timestamp={}",
            time(site.at(60))
        ))
        .await;
    assert_eq!(frame.status, 200, "{}", frame.text());
    assert_eq!(look(&frame.body).await.numbers, [Some(60)]);
    // What is cut short takes nothing of what follows with it.
    let query = format!(
        "{}&allow_holes=true&type=rough",
        bounds(site.at(10), site.at(190))
    );
    let rough = cut(query).await.body;
    assert!(rough.len() < lengths.iter().sum::<usize>());
    let mut at = 0;
    while at < rough.len() {
        let size = u32::from_be_bytes(rough[at..at + 4].try_into().expect("four bytes"));
        assert!(size >= 8, "a box of {size} bytes at {at}");
        at += size as usize;
    }
    assert_eq!(at, rough.len(), "whole boxes alone");
}

#[tokio::test]
async fn head_does_not_say_that_there_is_nothing() {
    let site = site().await;
    let bounds = bounds(site.at(10), site.at(20));
    for target in [
        format!("/cut/test/source.ts?{bounds}&type=smart"),
        format!("/waveform/test/source.png?{bounds}"),
        format!("/frame/test/source.png?timestamp={}", time(site.at(10))),
    ] {
        let address = site.node.restreamer_address();
        let answer = raw::request(address, "HEAD", &target, &[]).await;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.header("content-length"), None, "{target}");
    }
}
