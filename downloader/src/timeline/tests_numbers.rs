//! What sequence numbers tell: where a list without dates goes on, what is in a break, what was
//! never seen.

use super::tests::{at, follow, list, shown};
use super::*;

#[test]
fn without_dates_other_names_go_on_where_the_numbers_do() {
    // The numbers of the list before, those of the list under other names, when it comes, and
    // what it brings.
    let table = [
        // It overlaps, wholly or in part, or follows without a break.
        (5, "A B C", 11.0, "A@4 B@6 C@8"),
        (6, "B C D", 11.0, "B@6 C@8 D@10"),
        (4, "Z A B C D", 11.0, "Z@2 A@4 B@6 C@8 D@10"),
        (8, "D E", 11.0, "D@10 E@12"),
        // In that time a restarted encoder may have made them.
        (5, "A B C", 60.0, "A@10 B@12 C@14"),
    ];
    for (sequence, names, now, expected) in table {
        for successor in [true, false] {
            let mut timeline = Timeline::default();
            timeline.update(&list(5, "a b c"), at(10.0));
            if successor {
                timeline = timeline.for_successor();
            }
            let news = timeline.update(&list(sequence, names), at(now));
            assert_eq!(shown(&news), expected, "{sequence} at {now}");
            assert!(!news.restarted && news.missed == 0);
        }
    }
    // The date of the stream's first segment alone, which is not listed any more; and signed URLs.
    follow(&[
        (9.0, 0, "a@0 b c", "a@0 b@2 c@4"),
        (11.0, 1, "B C D", "B@2 C@4 D@6"),
        (13.0, 2, "cc dd ee", "cc@4 dd@6 ee@8"),
    ]);
    // The last number that there can be.
    follow(&[(9.0, u64::MAX, "a", "a@7"), (9.0, u64::MAX, "a", "")]);
}

#[test]
fn a_list_of_gaps_holds_no_show_and_every_list_has_an_end_of_its_own() {
    let mut timeline = Timeline::default();
    let news = timeline.update(&list(0, "a-@0 b-@2"), at(5.0));
    assert!(!news.has_show);
    let news = timeline.update(&list(0, "a-@0 b-@2 c@4"), at(7.0));
    assert_eq!((news.has_show, news.end), (true, Some(at(6.0))));
    // A successor's list that is behind.
    let mut timeline = timeline.for_successor();
    let frozen = list(1, "b-@2 c@4");
    timeline.update(&list(1, "b-@2 c@4 d@6"), at(9.0));
    assert_eq!(timeline.update(&frozen, at(9.0)).end, Some(at(6.0)));
    let news = timeline.update_unchanged(&frozen, at(9.0));
    assert_eq!(
        (news.end, timeline.newest().unwrap().end),
        (Some(at(6.0)), at(8.0))
    );
}

#[test]
fn a_break_goes_on_when_the_mark_of_its_beginning_has_slid_out() {
    let news = follow(&[
        (9.0, 0, "a@0 b(@2 c@4", "a@0"),
        (11.0, 2, "c@4 d@6", ""),
        (13.0, 4, "e@8 f@10", ""),
        // From another server, which is behind.
        (13.5, 3, "d@6 e@8", ""),
        (14.0, 4, "e@8 f@10", ""),
        (15.0, 5, "f@10 g)@12 h@14", "g@12 h@14"),
        (17.0, 7, "h@14 i@16", "i@16"),
        // Another begins and ends, and what is before the marks is the show.
        (19.0, 8, "i@16 j(@18 k)@20 l@22", "k@20 l@22"),
        (21.0, 11, "l@22 m@24", "m@24"),
        // The end may be among what nobody saw.
        (23.0, 13, "n(@26 o@28", ""),
        (29.0, 16, "q@32 r@34", "q@32 r@34"),
    ]);
    let counted: Vec<_> = news.iter().map(|news| news.advertisements).collect();
    assert_eq!(counted, [2, 1, 2, 0, 0, 0, 0, 1, 0, 2, 0]);
    // At another place the same numbers may be of what comes after it.
    follow(&[
        (9.0, 0, "a@0 b(@2 c@4", "a@0"),
        (19.0, 2, "g@12 h@14", "g@12 h@14"),
    ]);
    // A successor knows too; a break without an end ends some time.
    let mut timeline = Timeline::default();
    timeline.update(&list(0, "a@0 b(@2"), at(5.0));
    let mut timeline = timeline.for_successor();
    let mut recorded_from = None;
    for n in 2..400_u32 {
        let start = f64::from(n) * 2.0;
        let segments = format!("s{}@{} s{n}@{start}", n - 1, start - 2.0);
        let news = timeline.update(&list(u64::from(n) - 1, &segments), at(start + 3.0));
        if !news.wanted.is_empty() {
            recorded_from.get_or_insert(start);
        }
    }
    assert_eq!(recorded_from, Some(602.0));
}

#[test]
fn what_cannot_be_read_is_counted_once_and_not_missed() {
    let news = follow(&[
        (9.0, 0, "a@0 b? c@4 d?", "a@0 c@4"),
        (11.0, 1, "b? c@4 d?", ""),
        (11.0, 3, "d? e?", ""),
        // Both have left; nobody missed them, but the one after them.
        (17.0, 6, "g@12 h?", "g@12"),
        (19.0, 6, "g@12 h? i@16 j?", "i@16"),
        // A restart counts again.
        (60.0, 0, "a@50 b?", "a@50"),
    ]);
    let counted: Vec<_> = news.iter().map(|n| (n.unreadable, n.missed)).collect();
    assert_eq!(counted, [(2, 0), (0, 0), (1, 0), (1, 1), (1, 0), (1, 0)]);
}

#[test]
fn without_dates_numbers_that_stand_still_lose_nothing() {
    // It grows, slides, is an old list for once, has slid out in whole, slides on; the encoder
    // begins again under other names, and once more with the first ones.
    let news = follow(&[
        (9.0, 0, "a b", "a@5 b@7"),
        (11.0, 0, "a b c", "c@9"),
        (13.0, 0, "b c d", "d@11"),
        (17.0, 0, "d e f", "e@13 f@15"),
        (17.0, 0, "b c d", ""),
        (17.5, 0, "a b c", ""),
        (19.0, 0, "e f g", "g@17"),
        (29.0, 0, "k l m", "k@19 l@21 m@23"),
        (31.0, 0, "l m n", "n@25"),
        (33.0, 0, "x", "x@27"),
        (35.0, 0, "x y", "y@29"),
        (36.0, 0, "x y", ""),
    ]);
    assert!(news.iter().all(|news| news.missed == 0));
    // As the list has them: segments may be encrypted with them.
    let numbers: Vec<u64> = news[3].wanted.iter().map(|w| w.sequence).collect();
    assert_eq!(numbers, [1, 2]);
    // Signed URLs; loops.
    follow(&[
        (9.0, 5, "1/a 1/b 1/c", "1/a@3 1/b@5 1/c@7"),
        (11.0, 5, "2/b 2/c 2/d", "2/b@5 2/c@7 2/d@9"),
        (11.0, 5, "3/b 3/c 3/d", "3/b@5 3/c@7 3/d@9"),
        (13.0, 5, "4/c 4/d 4/e", "4/c@7 4/d@9 4/e@11"),
    ]);
    follow(&[
        (9.0, 0, "a b a b", "a@1 b@3 a@5 b@7"),
        (11.0, 0, "b a b a", "a@9"),
        (13.0, 0, "a b a b", "b@11"),
    ]);
    // At a hand-over, too.
    let mut timeline = Timeline::default();
    timeline.update(&list(0, "a b c"), at(10.0));
    let mut timeline = timeline.for_successor();
    let news = timeline.update(&list(0, "s/b s/c s/d"), at(11.0));
    assert_eq!(shown(&news), "s/b@6 s/c@8 s/d@10");
    // A wheel of names under numbers that move is what the numbers say.
    follow(&[
        (9.0, 0, "a b c", "a@3 b@5 c@7"),
        (17.0, 4, "a b c", "a@11 b@13 c@15"),
    ]);
}

#[test]
fn without_dates_a_playout_that_begins_again_is_recorded_again_whatever_is_known_of_it() {
    // From its first segment, or from ones before the first that was seen, under the same names.
    for joined in [0, 3] {
        let mut timeline = Timeline::default();
        let names = |last: u64| {
            let first = last.saturating_sub(4);
            let names: Vec<_> = (first..=last).map(|n| format!("s{n}")).collect();
            list(first, &names.join(" "))
        };
        for last in joined + 4..40 {
            timeline.update(&names(last), at(2.0 * last as f64));
        }
        let mut wanted = Vec::new();
        for last in 1..30 {
            let news = timeline.update(&names(last), at(80.0 + 2.0 * last as f64));
            let starts = news.wanted.iter().map(|wanted| wanted.start);
            assert!(
                starts.min().is_none_or(|start| start >= at(78.0)),
                "{joined}"
            );
            wanted.extend(news.wanted.into_iter().map(|wanted| wanted.sequence));
        }
        let all: Vec<u64> = (0..30).collect();
        assert_eq!(wanted, all, "{joined}");
    }
}

#[test]
fn numbers_that_move_and_once_stood_still_bring_nothing_again_and_again() {
    // Every list has names of its own. After a stall as long as a list and a segment it may be
    // a restarted encoder's, for once.
    let news = follow(&[
        (10.0, 4, "4a 5a 6a", "4a@4 5a@6 6a@8"),
        (12.0, 5, "5b 6b 7b", "5b@6 6b@8 7b@10"),
        (30.0, 5, "5c 6c 7c", "5c@12 6c@14 7c@16"),
        (31.0, 5, "5d 6d 7d", "5d@12 6d@14 7d@16"),
        (32.0, 6, "6e 7e 8e", "6e@14 7e@16 8e@18"),
        (33.0, 6, "6f 7f 8f", "6f@14 7f@16 8f@18"),
        (34.0, 7, "7g 8g 9g", "7g@16 8g@18 9g@20"),
        (35.0, 7, "7h 8h 9h", "7h@16 8h@18 9h@20"),
    ]);
    assert!(news.iter().all(|n| n.missed == 0 && !n.restarted));
    // The stall comes first, and the numbers move only then.
    follow(&[
        (10.0, 5, "5a 6a", "5a@6 6a@8"),
        (30.0, 5, "5b 6b", "5b@10 6b@12"),
        (32.0, 6, "6c 7c", "6c@12 7c@14"),
        (33.0, 6, "6d 7d", "6d@12 7d@14"),
    ]);
}

#[test]
fn a_list_that_repeats_a_name_for_ever_is_compared_so_often_and_no_more() {
    use super::numbering::Slide;
    for (repeated, slid, expected) in [(900, 300, Slide::Numbered), (3000, 900, Slide::Unknown)] {
        let mut numbering = Numbering::default();
        let mut follow =
            |repeated| numbering.follow(&list(0, &format!("{}b", "a ".repeat(repeated))));
        follow(repeated);
        assert_eq!(follow(repeated - slid), expected, "{repeated} {slid}");
    }
}

#[test]
fn with_dates_numbers_that_stand_still_tell_no_old_end() {
    let mut timeline = Timeline::default();
    for n in 0..3 {
        let start = 2.0 * f64::from(n);
        let segments = format!("s{n}@{start} s{}@{}", n + 1, start + 2.0);
        timeline.update(&list(0, &segments), at(start + 5.0));
    }
    assert_eq!(timeline.newest().unwrap().end, at(8.0));
}
