//! Lists as they follow one another, and what each must bring.

use super::dates::seconds;
use super::known::FORGOTTEN_AFTER;
use super::*;
use crate::playlist::{Playlist, read};

pub(super) fn at(seconds: f64) -> DateTime<Utc> {
    let origin = common::dateutil::parse("2026-01-02T03:00:00Z").unwrap();
    origin + TimeDelta::microseconds((seconds * 1e6).round() as i64)
}

/// A list that begins at this sequence number. Segments are separated by blanks: a name, then
/// `@SECONDS` for a date, `!` for a discontinuity, `-` for a gap, `$` for an advertisement, `(`
/// and `)` for SCTE-35 marks before it, `?` for a duration that makes no sense.
pub(super) fn list(sequence: u64, segments: &str) -> MediaPlaylist {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n");
    for segment in segments.split_whitespace() {
        let (name, date) = segment.split_once('@').unwrap_or((segment, ""));
        if !date.is_empty() {
            let date = at(date.parse().unwrap()).to_rfc3339();
            text.push_str(&format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n"));
        }
        let has = |mark| name.contains(mark);
        text.push_str(if has('!') {
            "#EXT-X-DISCONTINUITY\n"
        } else {
            ""
        });
        text.push_str(if has('-') { "#EXT-X-GAP\n" } else { "" });
        for (mark, tag) in [('(', "OUT"), (')', "IN")] {
            if has(mark) {
                text.push_str(&format!("#EXT-X-SCTE35-{tag}\n"));
            }
        }
        let title = if has('$') { "Amazon|1" } else { "live" };
        let duration = if has('?') { "x" } else { "2.000" };
        let name = name.trim_end_matches(['!', '-', '$', '(', ')', '?']);
        text.push_str(&format!("#EXTINF:{duration},{title}\n{name}.ts\n"));
    }
    let base = "http://h/index.m3u8".parse().unwrap();
    match read(text.as_bytes(), &base).unwrap() {
        Playlist::Media(media) => media,
        Playlist::Master(_) => panic!("a master playlist"),
    }
}

/// What is wanted, as `NAME@SECONDS`.
pub(super) fn shown(news: &News) -> String {
    let names = news.wanted.iter().map(|w| {
        let name = w.url.path().trim_start_matches('/').trim_end_matches(".ts");
        let seconds = (w.start - at(0.0)).num_milliseconds() as f64 / 1000.0;
        format!("{name}@{seconds}")
    });
    names.collect::<Vec<_>>().join(" ")
}

/// Feeds lists one after the other, each with the second at which it comes, and compares what
/// each brings.
pub(super) fn follow(rows: &[(f64, u64, &str, &str)]) -> Vec<News> {
    let mut timeline = Timeline::default();
    let mut all = Vec::new();
    for (now, sequence, segments, expected) in rows {
        let news = timeline.update(&list(*sequence, segments), at(*now));
        assert_eq!(shown(&news), *expected, "{sequence}: {segments}");
        all.push(news);
    }
    all
}

#[test]
fn a_segment_is_wanted_once_whatever_dates_the_lists_have() {
    // On every segment, on the first of each list, on one in the middle.
    follow(&[
        (9.0, 0, "a@0 b@2 c@4", "a@0 b@2 c@4"),
        (11.0, 1, "b@2 c@4 d@6", "d@6"),
        (11.0, 1, "b@2 c@4 d@6", ""),
        (13.0, 2, "c@4 d e", "e@8"),
        (15.0, 3, "d e f", "f@10"),
        (17.0, 4, "e f g@12.004", "g@12.004"),
    ]);
    // Only the first of the stream, or a later one of the first list.
    follow(&[
        (9.0, 0, "a@0 b c", "a@0 b@2 c@4"),
        (11.0, 1, "b c d", "d@6"),
        (17.0, 4, "e f", "e@8 f@10"),
    ]);
    follow(&[(9.0, 0, "a b@2 c", "a@0 b@2 c@4")]);
}

#[test]
fn without_any_date_our_clock_stands_in_and_says_so() {
    let news = follow(&[
        (10.0, 0, "a b c", "a@4 b@6 c@8"),
        (13.0, 1, "b c d", "d@10"),
    ]);
    assert!(news.iter().all(|news| news.by_our_clock));
    let news = follow(&[(10.0, 0, "a@0 b", "a@0 b@2"), (13.0, 1, "b c", "c@4")]);
    assert!(news.iter().all(|news| !news.by_our_clock));
}

#[test]
fn a_forward_jump_is_counted_and_dated() {
    let news = follow(&[
        (5.0, 0, "a@0 b@2", "a@0 b@2"),
        (15.0, 5, "f@10 g@12", "f@10 g@12"),
        // Without dates: two missed of 2 s each.
        (25.0, 9, "j k", "j@18 k@20"),
    ]);
    let missed: Vec<u64> = news.iter().map(|news| news.missed).collect();
    assert_eq!(missed, [0, 3, 2]);
}

#[test]
fn a_restarted_encoder_is_recorded_even_if_it_uses_names_again() {
    // With dates; without; and under new names.
    let news = follow(&[
        (9.0, 0, "0@0 1@2 2@4", "0@0 1@2 2@4"),
        (30.0, 0, "0@26 1@28", "0@26 1@28"),
        (32.0, 0, "0@26 1@28 2@30", "2@30"),
    ]);
    assert!(news[1].restarted && !news[2].restarted);
    assert_eq!(news[1].missed, 0);
    follow(&[
        (9.0, 50, "50 51 52", "50@3 51@5 52@7"),
        (30.0, 0, "0 1", "0@26 1@28"),
        (32.0, 0, "0 1 2", "2@30"),
    ]);
    follow(&[(9.0, 50, "a@0 b@2", "a@0 b@2"), (30.0, 0, "c@26", "c@26")]);
}

#[test]
fn dates_on_the_first_of_each_list_correct_themselves_and_double_nothing() {
    // The list says 2.0 s, the dates advance by 2.04 s: no second name, and no drift.
    let mut timeline = Timeline::default();
    let mut wanted = Vec::new();
    for first in 0..200 {
        let date = f64::from(first) * 2.04;
        let names: Vec<String> = (first + 1..first + 6).map(|n| format!("s{n}")).collect();
        let segments = format!("s{first}@{date} {}", names.join(" "));
        let news = timeline.update(&list(first as u64, &segments), at(date + 12.0));
        assert_eq!((news.missed, news.restarted), (0, false), "{segments}");
        wanted.extend(news.wanted);
    }
    assert_eq!(wanted.len(), 205);
    for (n, wanted) in wanted.iter().enumerate() {
        let off = seconds(wanted.start - at(n as f64 * 2.04)).abs();
        assert!(off <= 0.25, "{n}: {off}");
    }
}

#[test]
fn a_restart_with_dates_on_the_first_of_each_list_or_on_none_is_seen() {
    follow(&[
        (9.0, 0, "0@0 1 2 3 4", "0@0 1@2 2@4 3@6 4@8"),
        (70.0, 0, "0@60 1", "0@60 1@62"),
        (72.0, 0, "0@60 1 2", "2@64"),
    ]);
    // Without any date, once it has begun to move.
    let news = follow(&[
        (60.0, 20, "20 21 22", "20@54 21@56 22@58"),
        (62.0, 21, "21 22 23", "23@60"),
        (92.0, 0, "20 21", "20@88 21@90"),
    ]);
    assert!(news[2].restarted);
}

#[test]
fn numbers_that_jump_without_the_time_for_it_are_new_numbers() {
    let news = follow(&[
        (9.0, 0, "a b c", "a@3 b@5 c@7"),
        // ffmpeg numbers from the clock: a billion segments were not missed in 12 s.
        (21.0, 1_700_000_000, "x y", "x@17 y@19"),
        (23.0, 1_700_000_001, "y z", "z@21"),
    ]);
    assert!(news[1].restarted);
    assert!(news.iter().all(|news| news.missed == 0));
    let news = follow(&[
        (9.0, 0, "a@0 b@2", "a@0 b@2"),
        (11.0, 500, "b@2 c@4", "c@4"),
    ]);
    assert_eq!(news[1].missed, 0);
    let news = follow(&[(9.0, 0, "a@0 b@2", "a@0 b@2"), (15.0, 500, "d@6", "d@6")]);
    assert_eq!(news[1].missed, 0);
}

#[test]
fn a_successor_goes_on_where_the_worker_before_it_was() {
    // Without any date: nothing is dated again, and so nothing is recorded again.
    let mut timeline = Timeline::default();
    timeline.update(&list(0, "a b c"), at(10.0));
    let mut timeline = timeline.for_successor();
    let news = timeline.update(&list(1, "b c d"), at(40.0));
    assert_eq!(shown(&news), "d@10");
    // What left the list in between is counted.
    let mut timeline = timeline.for_successor();
    let news = timeline.update(&list(8, "i j"), at(60.0));
    assert_eq!((shown(&news).as_str(), news.missed), ("i@20 j@22", 4));
    // A jump of dates that its first list shows is long past.
    let mut timeline = Timeline::default();
    timeline.update(&list(0, "a@0 b@2"), at(5.0));
    let mut timeline = timeline.for_successor();
    let news = timeline.update(&list(100, "p@2 q@7"), at(9.0));
    assert_eq!(news.skew, None);
}

#[test]
fn short_segments_with_dates_to_the_whole_second_are_told_apart() {
    let mut text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n".to_owned();
    for n in 0..6 {
        let second = n / 2;
        text.push_str(&format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:00:0{second}Z\n#EXTINF:0.5,\n{n}.ts\n"
        ));
    }
    let base = "http://h/index.m3u8".parse().unwrap();
    let Playlist::Media(media) = read(text.as_bytes(), &base).unwrap() else {
        panic!("a master playlist");
    };
    let mut timeline = Timeline::default();
    let mut first = media.clone();
    first.segments.truncate(1);
    timeline.update(&first, at(9.0));
    let news = timeline.update(&media, at(9.0));
    assert_eq!(shown(&news), "1@0.5 2@1 3@1.5 4@2 5@2.5");
    assert_eq!(news.skew, None);
}

#[test]
fn a_list_from_a_minute_ago_brings_nothing_and_breaks_nothing() {
    let news = follow(&[
        (9.0, 0, "a@0 b@2 c@4", "a@0 b@2 c@4"),
        (11.0, 1, "b@2 c@4 d@6", "d@6"),
        (12.0, 0, "a@0 b@2 c@4", ""),
        // From before our first list, too.
        (12.5, 0, "z@-2 a@0", "z@-2"),
        (13.0, 2, "c@4 d@6 e@8", "e@8"),
    ]);
    assert!(news.iter().all(|news| !news.restarted && news.missed == 0));
}

#[test]
fn sequence_numbers_that_change_while_names_and_dates_stay_bring_nothing_twice() {
    follow(&[(9.0, 10, "a@0 b@2", "a@0 b@2"), (11.0, 0, "b@2 c@4", "c@4")]);
}

#[test]
fn gaps_are_told_once_and_fetched_when_they_are_filled() {
    let news = follow(&[
        (9.0, 0, "a@0 b-@2 c@4", "a@0 c@4"),
        (11.0, 0, "a@0 b-@2 c@4", ""),
        (13.0, 0, "a@0 b@2 c@4", "b@2"),
    ]);
    assert_eq!(news[0].gaps, [1]);
    assert!(news[1].gaps.is_empty() && news[2].gaps.is_empty());
}

#[test]
fn advertisements_are_counted_once_and_are_no_show() {
    let news = follow(&[
        (9.0, 0, "x$@0 y$@2", ""),
        (11.0, 1, "y$@2 z$@4", ""),
        (13.0, 2, "z$@4 a!@6", "a@6"),
    ]);
    let counted: Vec<_> = news
        .iter()
        .map(|n| (n.advertisements, n.has_show))
        .collect();
    assert_eq!(counted, [(2, false), (1, false), (0, true)]);
}

#[test]
fn skew_is_an_unannounced_jump_of_more_than_10_ms() {
    let table = [
        ("a@0 b@2.010", None),
        ("a@0 b@2.011", Some(11)),
        ("a@0 b@1.989", Some(-11)),
        ("a@0 b!@5", None),
        ("a@0 b c@4.5", Some(500)),
        ("a$@0 b@7", None),
        // Cut to the second.
        ("a@0 b@1", Some(-1000)),
        ("a@0 b@2 c@4 d@5 e@8", Some(-1000)),
        ("a@0 b@2 c@3.5 d@5.5", Some(-500)),
    ];
    for (segments, expected) in table {
        let mut timeline = Timeline::default();
        let first = segments.split(' ').next().unwrap();
        timeline.update(&list(0, first), at(7.0));
        let news = timeline.update(&list(0, segments), at(9.0));
        let skew = news.skew.map(|skew| skew.difference.num_milliseconds());
        assert_eq!(skew, expected, "{segments}");
    }
    // It is told when it is new, and not in a first list, which shows what is long past.
    let news = follow(&[
        (9.0, 0, "a@0 b@3", "a@0 b@3"),
        (11.0, 0, "a@0 b@3 c@7", "c@7"),
        (11.0, 0, "a@0 b@3 c@7", ""),
    ]);
    let told: Vec<bool> = news.iter().map(|news| news.skew.is_some()).collect();
    assert_eq!(told, [false, true, false]);
}

#[test]
fn parts_of_one_file_are_segments_of_their_own() {
    let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:00:00Z\n\
        #EXTINF:2,\n#EXT-X-BYTERANGE:10@0\nall.ts\n#EXTINF:2,\n#EXT-X-BYTERANGE:20\nall.ts\n";
    let base = "http://h/index.m3u8".parse().unwrap();
    let Playlist::Media(media) = read(text.as_bytes(), &base).unwrap() else {
        panic!("a master playlist");
    };
    let mut timeline = Timeline::default();
    assert_eq!(timeline.update(&media, at(9.0)).wanted.len(), 2);
    assert_eq!(timeline.update(&media, at(9.0)).wanted.len(), 0);
}

#[test]
fn memory_is_bounded_by_the_lists_of_the_last_minutes() {
    let mut timeline = Timeline::default();
    for n in 0..1000 {
        let segments = format!("s{n} s{} s{}", n + 1, n + 2);
        timeline.update(&list(n, &segments), at(n as f64));
    }
    assert!(timeline.known.len() <= 3 + FORGOTTEN_AFTER as usize + 1);
}

#[test]
fn a_url_is_in_memory_once_however_long_it_is() {
    let list = list(0, "a@0 b@2");
    let news = Timeline::default().update(&list, at(5.0));
    for (wanted, listed) in news.wanted.iter().zip(&list.segments) {
        assert!(Arc::ptr_eq(&wanted.url, &listed.url));
        assert_eq!(wanted.place, listed.place);
    }
    assert_eq!(news.wanted.len(), 2);
}

#[test]
fn a_successors_empty_list_holds_no_show_however_often_it_comes() {
    let mut timeline = Timeline::default();
    assert!(timeline.update(&list(0, "a@0 b@2"), at(5.0)).has_show);
    let mut timeline = timeline.for_successor();
    let empty = list(0, "");
    assert!(!timeline.update(&empty, at(6.0)).has_show);
    assert!(!timeline.update_unchanged(&empty, at(7.0)).has_show);
}
