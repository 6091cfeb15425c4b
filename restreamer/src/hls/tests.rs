use std::io::Read as _;
use std::sync::Arc;

use super::*;
use crate::text::Text;
use common::dateutil::parse;
use common::segment::{Hour, Segment};
use common::selection::{Piece, TimeRange, select};
use flate2::read::GzDecoder;
use m3u8_rs::{AlternativeMediaType, MasterPlaylist, Playlist};
use proptest::prelude::*;

const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

fn channel() -> Channel {
    Channel::new("a b").unwrap()
}

fn quality() -> Quality {
    Quality::new("720p60").unwrap()
}

/// The lines of one hour from `START-DURATION-TYPE`, in order of time.
fn hour(hour: &str, segments: &[&str]) -> Arc<HourLines> {
    let hour = hour.parse().unwrap();
    let segments = segments.iter().map(|segment| {
        let name = format!("{segment}-{HASH}.ts");
        Segment::parse(hour, &name).unwrap()
    });
    let segments = segments.collect();
    Arc::new(HourLines::new(&channel(), &quality(), hour, segments, None))
}

fn range(start: &str, end: &str) -> TimeRange {
    TimeRange {
        start: parse(start).unwrap(),
        end: parse(end).unwrap(),
    }
}

fn text(text: &Text) -> String {
    String::from_utf8(text.pieces.concat()).unwrap()
}

fn media(text: &str) -> m3u8_rs::MediaPlaylist {
    match m3u8_rs::parse_playlist_res(text.as_bytes()) {
        Ok(Playlist::MediaPlaylist(playlist)) => playlist,
        other => panic!("no media playlist: {other:?}\n{text}"),
    }
}

fn master(text: &str) -> MasterPlaylist {
    match m3u8_rs::parse_playlist_res(text.as_bytes()) {
        Ok(Playlist::MasterPlaylist(playlist)) => playlist,
        other => panic!("no master playlist: {other:?}\n{text}"),
    }
}

#[test]
fn every_line_as_the_specification_has_it() {
    let hours = [
        hour("2026-01-02T03", &["59:58.5-2.0-full"]),
        hour(
            "2026-01-02T04",
            &["00:00.500000-1.9674-full", "00:07.123456-2.0005-full"],
        ),
    ];
    let span = range("2026-01-02T03:59:59", "2026-01-02T04:00:09");
    let pieces = MediaPlaylist::of_range(span, &hours).text();
    let path = "/segments/a%20b/720p60";
    let expected = format!(
        "#EXTM3U\n\
         #EXT-X-VERSION:3\n\
         #EXT-X-TARGETDURATION:3\n\
         #EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:59:58.500000Z\n\
         #EXTINF:2.000,live\n\
         {path}/2026-01-02T03/59%3A58.5-2.0-full-{HASH}.ts\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-01-02T04:00:00.500000Z\n\
         #EXTINF:1.967,live\n\
         {path}/2026-01-02T04/00%3A00.500000-1.9674-full-{HASH}.ts\n\
         #EXT-X-DISCONTINUITY\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-01-02T04:00:07.123456Z\n\
         #EXTINF:2.001,live\n\
         {path}/2026-01-02T04/00%3A07.123456-2.0005-full-{HASH}.ts\n\
         #EXT-X-ENDLIST\n"
    );
    assert_eq!(text(&pieces), expected);
}

/// What a playlist says, in short: seconds into the hour, `|` for a discontinuity, `.` at its
/// end.
fn short(text: &str) -> String {
    let playlist = media(text);
    let mut short = String::new();
    for segment in &playlist.segments {
        if segment.discontinuity {
            short.push('|');
        }
        let time = segment.program_date_time.unwrap();
        short.push_str(&time.format("%-S ").to_string());
    }
    if playlist.end_list {
        short.push('.');
    }
    short
}

#[test]
fn holes_and_ends() {
    let row = |segments: &[&str]| {
        let hours = [hour("2026-01-02T03", segments)];
        let span = range("2026-01-02T03:00:00", "2026-01-02T03:00:08");
        short(&text(&MediaPlaylist::of_range(span, &hours).text()))
    };
    let full = |start| format!("00:{start:02}-2.0-full");
    let all: Vec<String> = (0..16).step_by(2).map(full).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    // (segments, playlist)
    let table: [(&[&str], &str); 9] = [
        (&all, "0 2 4 6 ."),
        // Nothing, and nothing in the range.
        (&[], ""),
        (&all[4..], ""),
        // A leading hole is dropped.
        (&all[2..], "4 6 ."),
        // A hole inside.
        (&[all[0], all[3], all[4]], "0 |6 ."),
        // A trailing hole is dropped, and the list is not complete.
        (&all[..3], "0 2 4 "),
        // Two holes, one of them trailing.
        (&[all[0], all[2]], "0 |4 "),
        // Cut short: what follows is after a hole; at the end the list is not complete.
        (
            &["00:00-2.0-partial", "00:02-2.0-suspect", all[2], all[3]],
            "0 |2 |4 6 .",
        ),
        (&[all[0], all[1], all[2], "00:06-2.0-suspect"], "0 2 4 6 "),
    ];
    for (segments, expected) in table {
        assert_eq!(row(segments), expected, "{segments:?}");
    }
}

#[test]
fn target_durations() {
    // (durations, target)
    let table: [(&[&str], u64); 8] = [
        (&[], 2),
        (&["0.0"], 2),
        (&["2.0"], 2),
        // Shown as 2.000.
        (&["2.0004"], 2),
        (&["2.0005"], 3),
        (&["1.0", "4.2", "3.0"], 5),
        (&["123456789012345678901234567890.0"], 9_223_372_036_855),
        // What begins in it is not taken.
        (
            &["1.0", "123456789012345678901234567890.0", "3.0"],
            9_223_372_036_855,
        ),
    ];
    for (durations, target) in table {
        let segments: Vec<String> = durations
            .iter()
            .enumerate()
            .map(|(n, duration)| format!("{:02}:00.0-{duration}-full", n + 1))
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let hours = [hour("2026-01-02T03", &segments)];
        let span = range("2026-01-02T03", "2026-01-02T04");
        let pieces = MediaPlaylist::of_range(span, &hours).text();
        assert_eq!(
            media(&text(&pieces)).target_duration,
            target,
            "{durations:?}"
        );
    }
}

#[test]
fn long_runs_are_shared_and_short_ones_copied() {
    let segments: Vec<String> = (0..1800)
        .map(|n| format!("{:02}:{:02}.000000-2.0-full", n / 30, n % 30 * 2))
        .collect();
    let mut segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let span = range("2026-01-02T03:00:01", "2026-01-02T05:00:00");
    let two_hours = |segments: &[&str]| {
        [
            hour("2026-01-02T03", segments),
            hour("2026-01-02T04", segments),
        ]
    };
    let hours = two_hours(&segments);
    let pieces = MediaPlaylist::of_range(span, &hours).text();
    // The head, two hours, the end.
    assert_eq!(pieces.pieces.len(), 4);
    assert_eq!(pieces.pieces[1].as_ptr(), hours[0].lines(0, 1).as_ptr());
    assert_eq!(pieces.pieces[2].as_ptr(), hours[1].lines(0, 1).as_ptr());
    // With a hole after every segment nothing is worth sharing.
    segments.retain(|segment| !segment.contains("4.000000"));
    let holes = MediaPlaylist::of_range(span, &two_hours(&segments)).text();
    assert!(holes.pieces.len() <= 3, "{}", holes.pieces.len());
    // What is shared is no memory of its own, what was copied together is.
    let shared = hours.iter().map(|hour| hour.lines(0, 1800).len());
    assert_eq!(pieces.own, pieces.bytes() - shared.sum::<usize>());
    assert_eq!(holes.own, holes.bytes());
    assert!(media(&text(&holes)).segments.len() > 2000);
}

#[test]
fn what_was_compressed_once_is_taken_again() {
    let segments: Vec<String> = (0..1800)
        .map(|n| format!("{:02}:{:02}.000000-2.0-full", n / 30, n % 30 * 2))
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let lines = hour("2026-01-02T03", &segments);
    let hours = [Arc::clone(&lines)];
    let packed = |from: &str, to: &str| {
        let span = range(
            &format!("2026-01-02T03:{from}"),
            &format!("2026-01-02T0{to}"),
        );
        let playlist = MediaPlaylist::of_range(span, &hours);
        let (plain, packed) = (playlist.text(), playlist.gzipped());
        let (plain, packed) = (plain.pieces.concat(), packed.pieces.concat());
        let mut unpacked = Vec::new();
        GzDecoder::new(&*packed).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain, "{from} {to}");
        assert!(packed.len() * 5 < plain.len() * 3, "{}", packed.len());
    };
    let before = lines.bytes();
    assert!(!lines.has_grown());
    packed("10:00", "3:20:00");
    let after = lines.bytes();
    assert!(before < after && lines.has_grown());
    packed("10:01", "3:20:01");
    packed("09:00", "3:20:00");
    assert_eq!(lines.bytes(), after);
    assert!(!lines.has_grown());
    packed("00:00", "4:00:00");
    assert!(lines.bytes() > after && lines.has_grown());

    // Listed again with some more: whole blocks and lines are taken over.
    let again = |count: usize, with: &[Segment]| {
        let segments = [&lines.segments()[..count], with].concat();
        let hour = lines.hour();
        HourLines::new(&channel(), &quality(), hour, segments, Some(&lines))
    };
    let same = again(1800, &[]);
    assert_eq!(same.digest(), lines.digest());
    assert_eq!(same.lines(0, 1800), lines.lines(0, 1800));
    // Nothing was left to compress but the last block, which is not whole.
    let (compressed, whole) = (lines.bytes() - before, same.bytes());
    let shorter = again(1000, &lines.segments()[1001..]);
    assert_eq!(shorter.segments().len(), 1799);
    assert_ne!(shorter.digest(), lines.digest());
    assert!(shorter.bytes() < whole - compressed / 3);
    let from_nothing = hour(
        "2026-01-02T03",
        &[&segments[..1000], &segments[1001..]].concat(),
    );
    assert_eq!(shorter.lines(0, 1799), from_nothing.lines(0, 1799));
    assert_eq!(shorter.digest(), from_nothing.digest());
}

#[test]
fn a_master_playlist_names_every_quality() {
    let variants = [("source", 8_000_001), ("4\"80 p", 1)].map(|(name, bandwidth)| Variant {
        quality: Quality::new(name).unwrap(),
        bandwidth,
    });
    let query = "start=2026-01-02T03:04:05&end=x";
    let text = master_playlist(&channel(), &variants, Some(query));
    let playlist = master(&text);
    let uris: Vec<&str> = playlist.variants.iter().map(|v| v.uri.as_str()).collect();
    assert_eq!(
        uris,
        [
            format!("/playlist/a%20b/source.m3u8?{query}"),
            format!("/playlist/a%20b/4%2280%20p.m3u8?{query}"),
        ]
    );
    let names = ["source", "4'80 p"];
    for (n, name) in names.into_iter().enumerate() {
        let variant = &playlist.variants[n];
        assert_eq!(variant.video.as_deref(), Some(name));
        assert_eq!(variant.bandwidth, [8_000_001, 1][n]);
        let media = &playlist.alternatives[n];
        assert_eq!(media.media_type, AlternativeMediaType::Video);
        assert_eq!(media.name, name);
        assert_eq!(media.group_id, name);
    }
    let plain = master_playlist(&channel(), &variants, None);
    assert!(plain.contains("source.m3u8\n"), "{plain}");
}

/// Segments of four hours: for each a gap before it (an overlap, if it is negative) and a
/// duration, in 10 ms, and whether it is full.
fn four_hours() -> impl Strategy<Value = Vec<(i64, i64, bool)>> {
    let gap = prop_oneof![
        80 => Just(0_i64), 2 => 1_i64..3, 2 => 3_i64..3000, 1 => -2_i64..0, 1 => -3000_i64..-1,
    ];
    let duration = prop_oneof![30 => 1_i64..2000, 1 => 0_i64..30_000];
    let segment = (gap, duration, prop::bool::weighted(0.95));
    prop::collection::vec(segment, 0..1500)
}

proptest! {
    #[test]
    fn a_playlist_says_what_was_selected(
        segments in four_hours(),
        from in 0_i64..1_440_000,
        length in 1_i64..1_440_000,
    ) {
        let first: Hour = "2026-01-02T03".parse().unwrap();
        let mut lists = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        let (mut at, mut before) = (0, -1);
        for (gap, duration, is_full) in segments {
            // Of each start there is one.
            let start = (at + gap).max(before + 1);
            before = start;
            at = start + duration;
            let Some(list) = lists.get_mut(usize::try_from(start / 360_000).unwrap()) else {
                break;
            };
            let in_hour = start % 360_000;
            let kind = if is_full { "full" } else { "suspect" };
            list.push(format!(
                "{:02}:{:02}.{:02}-{}.{:02}-{kind}",
                in_hour / 6000, in_hour / 100 % 60, in_hour % 100, duration / 100, duration % 100,
            ));
        }
        let lists = lists.map(|list| list.join(" "));
        let mut name = first;
        let hours = lists.map(|list| {
            let list: Vec<&str> = list.split_whitespace().collect();
            let hour = hour(&name.to_string(), &list);
            name = name.next();
            hour
        });
        let start = first.start() + chrono::TimeDelta::milliseconds(from * 10);
        let span = TimeRange { start, end: start + chrono::TimeDelta::milliseconds(length * 10) };

        let playlist = MediaPlaylist::of_range(span, &hours);
        for Run { lines, from, to, .. } in &playlist.runs {
            for to in [*to, from + 1] {
                let expected = lines::digest(&lines.lines(*from, to));
                prop_assert_eq!(lines.digest_of(*from, to), expected);
            }
        }
        let has_no_hole = playlist.has_no_hole();
        let plain = text(&playlist.text());
        let packed = playlist.gzipped().pieces.concat();
        let mut unpacked = String::new();
        GzDecoder::new(&*packed).read_to_string(&mut unpacked).unwrap();
        prop_assert_eq!(&unpacked, &plain);
        let playlist = media(&plain);
        let all = hours.iter().flat_map(|hour| hour.segments());
        let selection = select(span, all);
        prop_assert_eq!(playlist.end_list, !selection.ends_with_hole());
        prop_assert_eq!(has_no_hole, selection.without_holes().is_ok());
        let longest = longest_millis(selection.segments());
        prop_assert_eq!(playlist.target_duration, target_seconds(longest));
        let mut listed = playlist.segments.iter();
        let mut after_hole = false;
        let mut is_first = true;
        for piece in selection.pieces() {
            let Piece::Segment(segment) = piece else {
                after_hole = true;
                continue;
            };
            let line = listed.next().unwrap();
            let name = utf8_percent_encode(&segment.to_string(), IN_PATH).to_string();
            let name = format!("/{}/{name}", segment.hour());
            prop_assert!(line.uri.ends_with(&name), "{} for {}", line.uri, name);
            prop_assert_eq!(line.program_date_time.unwrap().to_utc(), segment.start());
            prop_assert_eq!(line.discontinuity, after_hole && !is_first);
            prop_assert!((f64::from(line.duration) - segment.duration().as_secs()).abs() < 0.001);
            prop_assert!(f64::from(line.duration) <= playlist.target_duration as f64);
            after_hole = false;
            is_first = false;
        }
        prop_assert!(listed.next().is_none());
    }
}
