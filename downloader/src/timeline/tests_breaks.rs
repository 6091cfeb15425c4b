//! Breaks of the stream, and dates that are not what they were: what each list must bring.

use super::tests::{at, follow, list, shown};
use super::*;
use crate::playlist::{Playlist, read};

/// Which of what is wanted has a break of the stream before it.
fn broken(news: &News) -> Vec<bool> {
    news.wanted.iter().map(|w| w.discontinuity).collect()
}

#[test]
fn a_discontinuity_before_what_is_not_recorded_stands_before_what_is() {
    // A gap, which stays; and an advertisement, behind which the list ends at first.
    let news = follow(&[
        (9.0, 0, "a@0 b@2", "a@0 b@2"),
        (13.0, 0, "a@0 b@2 c!-@4 d@6 e@8", "d@6 e@8"),
        (15.0, 1, "b@2 c!-@4 d@6 e@8 f@10", "f@10"),
        (17.0, 2, "c!-@4 d@6 e@8 f@10 g!$@12", ""),
        (19.0, 3, "d@6 e@8 f@10 g!$@12 h@14 i@16", "h@14 i@16"),
        (21.0, 4, "e@8 f@10 g!$@12 h@14 i@16 j!@18", "j@18"),
    ]);
    let broken: Vec<_> = news.iter().map(broken).collect();
    assert_eq!(
        broken,
        [
            vec![false, false],
            vec![true, false],
            vec![false],
            vec![],
            vec![true, false],
            vec![true]
        ]
    );
}

#[test]
fn a_restart_that_begins_with_an_advertisement_stands_before_what_follows_it() {
    let news = follow(&[
        (9.0, 50, "a@0 b@2", "a@0 b@2"),
        (30.0, 0, "x$@26", ""),
        (32.0, 0, "x$@26 y@28 z@30", "y@28 z@30"),
    ]);
    assert!(news[1].restarted);
    assert_eq!(broken(&news[2]), [true, false]);
}

#[test]
fn a_discontinuity_that_nobody_saw_stands_before_what_is_new() {
    // How many the list says have slid out, what it shows, and what of that is behind a break.
    let table = [
        (0, 1, "b@2 c@4", vec![false]),
        // The tag is not listed any more, or never was; it still is; some segments were missed.
        (1, 1, "b@2 c@4", vec![true]),
        (0, 1, "b@2 c!@4", vec![true]),
        (1, 2, "c@4 d@6", vec![true, false]),
        (0, 5, "f@10 g@12", vec![true, false]),
        // As many numbers as there were, or the next ones, and other segments.
        (0, 0, "a@30 b@32 c@34", vec![true, false, false]),
        (0, 2, "c@30 d@32", vec![true, false]),
        // It goes on where the one before ended.
        (0, 2, "c@4 d@6", vec![false, false]),
        (0, 2, "c!@4 d@6", vec![true, false]),
        // Under other names: with what was seen, it goes on.
        (0, 0, "A@0 B@2 C@4", vec![false, false, false]),
        (0, 1, "B@2 C@4", vec![false, false]),
        (1, 1, "B@2 C@4", vec![false, true]),
        (0, 1, "B@2 C!@4", vec![false, true]),
        (0, 1, "B@12 C@14", vec![true, false]),
    ];
    for (slid_out, sequence, segments, expected) in table {
        let lists = [(0, 0, "a@0 b@2"), (slid_out, sequence, segments)];
        let mut timeline = Timeline::default();
        let news = lists.map(|(slid_out, sequence, segments)| {
            let mut list = list(sequence, segments);
            list.discontinuities = Some(slid_out);
            timeline.update(&list, at(40.0))
        });
        assert_eq!(broken(&news[1]), expected, "{slid_out} {segments}");
    }
}

#[test]
fn where_the_list_goes_on_there_is_no_break_whatever_its_names_and_counts_are() {
    // What the lists show, whether their names change, they are dated, and their count of
    // discontinuities is that of their segments; and how many breaks there may be in them.
    let table = [
        (4, true, true, false, 0),
        (4, true, false, false, 0),
        (1, false, true, false, 0),
        (1, false, false, false, 0),
        (4, false, true, true, 6),
        (4, true, true, true, 6),
    ];
    for (shown, signed, has_dates, counts, most) in table {
        let mut timeline = Timeline::default();
        let mut breaks = 0;
        for first in 0..20 {
            let segment = |n: u64| {
                let token = if signed { first } else { 0 };
                let date = has_dates.then(|| format!("@{}", 2 * n));
                format!("s{n}t{token}{}", date.unwrap_or_default())
            };
            let segments: Vec<_> = (first..first + shown).map(segment).collect();
            let mut list = list(first, &segments.join(" "));
            list.discontinuities = Some(if counts { first } else { 3 });
            let now = at(2.0 * (first + shown) as f64);
            let news = timeline.update(&list, now);
            breaks += broken(&news).iter().filter(|broken| **broken).count();
            assert!(!news.restarted && news.missed == 0);
        }
        let row = (shown, signed, has_dates, counts);
        assert!(breaks <= most, "{row:?}: {breaks}");
    }
}

#[test]
fn a_break_stands_before_what_follows_it_whatever_is_listed_again_under_other_names() {
    let news = follow(&[
        (9.0, 0, "a@0 b@2 c!$@4", "a@0 b@2"),
        (11.0, 1, "B@2 C!$@4 D@6", "B@2 D@6"),
        (13.0, 2, "cc!$@4 dd@6 ee@8", "dd@6 ee@8"),
    ]);
    let broken: Vec<_> = news.iter().map(broken).collect();
    assert_eq!(broken[1..], [vec![false, true], vec![false, false]]);
}

#[test]
fn a_clock_that_is_set_back_is_no_rounding() {
    let mut text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n".to_owned();
    for (n, date) in ["00.123", "01.123", "01.423", "02.423"].iter().enumerate() {
        text.push_str(&format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:00:{date}Z\n#EXTINF:1,\n{n}.ts\n"
        ));
    }
    let base = "http://h/index.m3u8".parse().unwrap();
    let Playlist::Media(media) = read(text.as_bytes(), &base).unwrap() else {
        panic!("a master playlist");
    };
    let news = Timeline::default().update(&media, at(9.0));
    assert_eq!(shown(&news), "0@0.123 1@1.123 2@1.423 3@2.423");
}

#[test]
fn dates_that_are_corrected_under_the_same_names_bring_nothing_twice() {
    // All of them, 0.6 s later or 0.7 s earlier; what follows goes by the new dates.
    follow(&[
        (9.0, 10, "a@0 b@2 c@4", "a@0 b@2 c@4"),
        (11.0, 10, "a@0.6 b@2.6 c@4.6", ""),
        (13.0, 11, "b@2.6 c@4.6 d@6.6", "d@6.6"),
        (15.0, 12, "c@3.9 d@5.9 e@7.9", "e@7.9"),
    ]);
    // Only the first of each list has a date, to the whole second.
    follow(&[
        (9.0, 10, "a@0 b c d", "a@0 b@2 c@4 d@6"),
        (11.0, 11, "b@1 c d e", "e@7"),
        (13.0, 12, "c@4 d e f", "f@10"),
    ]);
}

#[test]
fn where_numbers_never_move_other_dates_are_other_segments() {
    follow(&[
        (9.0, 0, "a@0 a@2 a@4 a@6", "a@0 a@2 a@4 a@6"),
        (11.0, 0, "a@2 a@4 a@6 a@8", "a@8"),
        (11.1, 0, "a@4 a@6 a@8 a@10", "a@10"),
    ]);
}

#[test]
fn an_encoder_that_resumes_one_number_back_after_a_long_run_loses_nothing() {
    let mut timeline = Timeline::default();
    for n in 0..26_u32 {
        let segments: Vec<_> = (n..n + 5).map(|n| format!("s{n}@{}", n * 2)).collect();
        let listed = list(u64::from(n), &segments.join(" "));
        timeline.update(&listed, at(10.0 + f64::from(n) * 2.0));
        timeline.update_unchanged(&listed, at(11.0 + f64::from(n) * 2.0));
        if n == 25 {
            // It stands still for 10 s.
            timeline.update_unchanged(&listed, at(71.0));
        }
    }
    // The same names under the same numbers, but its clock went on.
    let news = timeline.update(&list(29, "s29@70 s30@72 s31@74"), at(72.0));
    assert_eq!(shown(&news), "s29@70 s30@72 s31@74");
}

#[test]
fn an_encoder_that_begins_again_under_the_same_names_corrects_no_dates() {
    // Later than what was seen; with fewer segments; from an earlier number; long before; with
    // as many in a burst.
    follow(&[
        (5.0, 0, "0@0 1@2", "0@0 1@2"),
        (8.0, 0, "0@4.5 1@6.5", "0@4.5 1@6.5"),
    ]);
    follow(&[
        (5.0, 0, "0@0 1@2 2@4", "0@0 1@2 2@4"),
        (8.0, 0, "0@5 1@7", "0@5 1@7"),
    ]);
    follow(&[
        (5.0, 1, "1@2 2@4", "1@2 2@4"),
        (8.0, 0, "0@1 1@3 2@5", "0@1 1@3 2@5"),
    ]);
    follow(&[
        (5.0, 0, "0@100 1@102", "0@100 1@102"),
        (8.0, 0, "0@0 1@2", "0@0 1@2"),
    ]);
    follow(&[
        (5.0, 0, "0@0 1@2 2@4", "0@0 1@2 2@4"),
        (8.0, 0, "0@1.5 1@3.5 2@5.5", "0@1.5 1@3.5 2@5.5"),
    ]);
}
