//! Cuts of what has other sound from some segment on, or none at first.

use std::fs;

use chrono::TimeDelta;
use tests::ffmpeg::decode;
use tests::numbered::{Options, Reading};
use tests::raw;

use crate::field::{EACH, TWO, divided, is_whole, made, name, pieces, replace, site_at, two};
use crate::support::{Site, bounds, holds, pictures};

/// What ffmpeg makes sound of another form by, and none.
const OTHER: &str = "-c:v copy -copyinkf -c:a aac -ar 44100 -ac 2";
const NONE: &str = "-c:v copy -an";

/// The pictures from a number on: from there on there are clicks.
fn heard(reading: &Reading, first: u32) -> Reading {
    let pairs = reading
        .numbers
        .iter()
        .copied()
        .zip(reading.times.iter().copied());
    let pairs = pairs.filter(|(number, _)| number.is_none_or(|number| number >= first));
    let (numbers, times) = pairs.unzip();
    Reading {
        numbers,
        times,
        ..reading.clone()
    }
}

/// What ffmpeg makes of three segments, from one on, in one piece: as encoders do it.
async fn joined(site: &Site, from: usize, arguments: &str) -> Vec<u8> {
    let segments = &site.video.segments[from..from + 3];
    let pieces = segments.iter().map(|segment| fs::read(&segment.path));
    let pieces: Vec<Vec<u8>> = pieces.map(|piece| piece.expect("it is there")).collect();
    let joined = site.node.base_dir().join("joined.ts");
    fs::write(&joined, pieces.concat()).expect("a file");
    made(&joined, arguments, "mpegts").await
}

/// Has ffmpeg make one segment of three, from one on: at the edges of each there is sound that is not
/// its own.
async fn in_one(site: &Site, from: usize, arguments: &str) {
    let content = joined(site, from, arguments).await;
    let segments = &site.video.segments[from..from + 3];
    for segment in segments {
        fs::remove_file(&segment.path).expect("it was there");
    }
    let name = name(segments[0].start, 6.0, "full", &content);
    fs::write(segments[0].path.with_file_name(name), content).expect("a file");
}

#[tokio::test]
async fn mp3_and_ac3_of_another_form() {
    for (one, other) in [
        ("libmp3lame -ar 44100", "libmp3lame -ar 48000 -ac 2"),
        ("ac3 -ar 44100", "ac3 -ac 2"),
        ("aac", "libmp3lame"),
    ] {
        let site = site_at(0.0).await;
        for (from, sound) in [(0, one), (3, other)] {
            in_one(&site, from, &format!("-c:v copy -copyinkf -c:a {sound}")).await;
        }
        let query = bounds(site.at(30), site.at(270));
        let reading = site.looked_at(&format!("{query}&type=mpegts")).await;
        assert_eq!(reading.numbers.len(), 240, "{other}");
        // There is too much of it where the two meet, which a second later is no matter.
        let first = 3 * EACH + 25;
        holds(&heard(&reading, first), first..270, other);
        assert!(reading.clicks.len() >= 240 / 8 - 1, "{other}: {reading:?}");
    }
}

#[tokio::test]
async fn mp3_that_goes_on_from_segment_to_segment() {
    let site = site_at(0.0).await;
    // A tone that never stops, of so few bits that frames begin in those before them.
    let tone = "-itsoffset 6 -f lavfi -i sine=frequency=500:sample_rate=48000:duration=6 -map 0:v -map 1:a \
                -c:v copy -copyinkf -c:a libmp3lame -b:a 128k";
    let content = joined(&site, 3, tone).await;
    let file = site.node.base_dir().join("mp3.ts");
    fs::write(&file, content).expect("a file");
    for (number, content) in (3..).zip(pieces(&site, &file, 3).await) {
        replace(&site, number, TimeDelta::zero(), "full", &content);
    }
    let query = bounds(site.at(30), site.at(300));
    let answer = site.cut(&format!("{query}&type=mpegts")).await;
    fs::write(&file, answer.body).expect("a file");
    let sound = made(&file, "-map 0:a:0 -ac 1 -ar 48000", "s16le").await;
    let samples = sound.chunks_exact(2);
    let samples = samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs());
    // While there is the tone; in it two segments begin.
    let (skipped, taken) = (5 * 48_000, 4 * 48_000);
    let samples: Vec<u16> = samples.skip(skipped).take(taken).collect();
    let loud = samples
        .iter()
        .enumerate()
        .filter(|(_, sample)| **sample > 500);
    let loud: Vec<usize> = loud.map(|(at, _)| at).collect();
    let quiet = loud.windows(2).map(|pair| pair[1] - pair[0]).max();
    // Where two segments meet each is cut to the nearest frame, of 1024 samples.
    assert!(quiet.is_some_and(|quiet| quiet < 600), "{quiet:?}");
    let ends = samples.len() - loud[loud.len() - 1];
    assert!(loud[0] < 50 && ends < 50, "{} {ends}", loud[0]);
}

#[tokio::test]
async fn sound_of_another_form_and_none_at_first() {
    let all = 30..270;
    for (arguments, from, clock) in [
        (OTHER, 3, 0.0),
        (NONE, 0, 0.0),
        // About the end of the clock.
        (OTHER, 3, 95_434.0),
        (NONE, 0, 95_440.0),
    ] {
        let site = site_at(clock).await;
        let first_sound = if from == 0 { 3 * EACH } else { 0 };
        in_one(&site, from, arguments).await;
        let query = bounds(site.at(all.start), site.at(all.end));
        let reading = site.looked_at(&format!("{query}&type=mpegts")).await;
        holds(
            &heard(&reading, first_sound),
            all.start.max(first_sound)..all.end,
            arguments,
        );
        assert_eq!(reading.numbers.len(), all.len(), "{arguments}");
        let (_, to) = reading.sound.expect("there is sound");
        let ends = reading.times.last().expect("pictures");
        assert!((to - ends).abs() < 0.15, "{arguments}: {to} {ends}");
        let clicks = (all.end - all.start.max(first_sound)) / 8;
        assert!(
            reading.clicks.len() as u32 + 1 >= clicks,
            "{arguments}: {reading:?}"
        );
        let waveform = format!("/waveform/test/source.png?{query}");
        assert_eq!(site.node.get(&waveform).await.status, 200, "{arguments}");
        if clock > 0.0 {
            continue;
        }
        let ranges = two(&site);
        for kind in ["mpegts", "webm"] {
            let reading = site.looked_at(&format!("{ranges}&type={kind}")).await;
            let all = pictures(&TWO);
            let all = all.filter(|&number| number >= first_sound);
            holds(&heard(&reading, first_sound), all, kind);
            assert_eq!(reading.numbers.len(), 40 + 50, "{kind}");
        }
    }
}

#[tokio::test]
async fn of_two_tracks_the_first_counts() {
    let site = site_at(0.0).await;
    let two = "-map 0:v -map 0:a -map 0:a -c:v copy -c:a:0 copy -c:a:1 aac -ar:a:1 44100 -ac:a:1 2";
    for number in 0..6 {
        let content = made(&site.video.segments[number].path, two, "mpegts").await;
        replace(&site, number, TimeDelta::zero(), "full", &content);
    }
    let query = bounds(site.at(30), site.at(270));
    is_whole(&site, &query, &["mpegts", "smart"]).await;
}

#[tokio::test]
async fn pictures_before_a_key_picture_stay_whatever_the_sound_is() {
    // A key picture every 3 s, in segments of 2 s.
    let options = Options {
        seconds: 12.0,
        segment_seconds: 12.0,
        keys: 4,
        b_frames: false,
        ..Options::default()
    };
    let site = Site::start(&options, &[]).await;
    let all = site.video.segments[0].clone();
    for (number, (start, content)) in divided(&site).await.into_iter().enumerate() {
        let mut content = content;
        if number % 2 == 1 {
            let piece = site.node.base_dir().join("piece.ts");
            fs::write(&piece, &content).expect("a file");
            content = made(&piece, OTHER, "mpegts").await;
        }
        fs::write(
            all.path.with_file_name(name(start, 2.0, "full", &content)),
            content,
        )
        .expect("a file");
    }
    for wanted in [12..88, 60..240] {
        let query = bounds(site.at(wanted.start), site.at(wanted.end));
        let reading = site.looked_at(&format!("{query}&type=mpegts")).await;
        let numbers: Vec<u32> = reading
            .numbers
            .iter()
            .copied()
            .map(Option::unwrap)
            .collect();
        assert!(
            numbers.iter().copied().eq(wanted.clone()),
            "{wanted:?}: {numbers:?}"
        );
        let (from, to) = reading.sound.expect("there is sound");
        let length = wanted.len() as f64 / 25.0;
        assert!(
            (to - from - length).abs() < 0.15,
            "{wanted:?}: sound from {from} to {to}"
        );
    }
}

/// The tag in front of packed audio that says when it is heard, in ticks.
fn tag(time: u64) -> Vec<u8> {
    let owner = b"com.apple.streaming.transportStreamTimestamp\0";
    let size = (owner.len() + 8) as u8;
    let frame = [
        &b"PRIV\0\0\0"[..],
        &[size, 0, 0],
        owner,
        &time.to_be_bytes(),
    ];
    let frame = frame.concat();
    [b"ID3\x04\0\0\0\0\0", &[frame.len() as u8][..], &frame].concat()
}

#[tokio::test]
async fn sound_that_is_packed_in_no_container() {
    let site = site_at(0.0).await;
    for (format, kinds) in [
        ("adts", &["fast", "smart", "webm"][..]),
        ("mp3", &["mpegts"]),
    ] {
        let directory = site.node.base_dir().join(format!("test/{format}"));
        let mut all = Vec::new();
        for segment in &site.video.segments[..3] {
            let codec = if format == "adts" {
                "copy"
            } else {
                "libmp3lame"
            };
            let arguments = format!("-vn -c:a {codec}");
            let sound = made(&segment.path, &arguments, format).await;
            // ffmpeg has a tag of its own in front of MP3.
            let time = u64::from(segment.numbers.start) * 3600 + 900_000;
            let content = [tag(time), sound].concat();
            all.extend_from_slice(&content);
            let hour = directory.join(segment.start.format("%Y-%m-%dT%H").to_string());
            fs::create_dir_all(&hour).expect("a directory");
            let name = name(segment.start, 2.0, "full", &content);
            fs::write(hour.join(name), content).expect("a file");
        }
        let query = bounds(site.at(30), site.at(140));
        let rough = format!("/cut/test/{format}.ts?{query}&type=rough");
        assert!(site.node.get(&rough).await.body == all, "{rough}");
        for kind in kinds {
            let target = format!("/cut/test/{format}.ts?{query}&type={kind}");
            let answer = raw::get(site.node.restreamer_address(), &target).await;
            assert!(
                answer.status == 200 && answer.complete,
                "{target}: {}",
                answer.text()
            );
            let file = site.node.base_dir().join("made");
            fs::write(&file, &answer.body).expect("a file");
            let heard = decode(file.to_str().expect("a path")).await.seconds;
            assert!((heard - 4.4).abs() < 0.15, "{target}: {heard} s");
        }
        let waveform = format!("/waveform/test/{format}.png?{query}");
        assert_eq!(site.node.get(&waveform).await.status, 200, "{format}");
    }
}
