//! Names and dates that come a second time: what each list must bring.

use super::tests::{at, follow, list, shown};
use super::*;

#[test]
fn a_loop_that_repeats_a_name_within_a_list_is_recorded_each_time_once() {
    follow(&[
        (9.0, 0, "a@0 b@2 a@4 b@6", "a@0 b@2 a@4 b@6"),
        (9.0, 0, "a@0 b@2 a@4 b@6", ""),
        (11.0, 1, "b@2 a@4 b@6 a@8", "a@8"),
        (13.0, 2, "a@4 b@6 a@8 b@10", "b@10"),
        // Under other numbers, with the same dates.
        (15.0, 102, "a@4 b@6 a@8 b@10", ""),
    ]);
    // Without dates, by the number.
    follow(&[
        (9.0, 0, "a b a b", "a@1 b@3 a@5 b@7"),
        (11.0, 1, "b a b a", "a@9"),
        (13.0, 2, "a b a b", "b@11"),
    ]);
    // One name all the time.
    follow(&[
        (9.0, 0, "a@0 a@2 a@4", "a@0 a@2 a@4"),
        (11.0, 1, "a@2 a@4 a@6", "a@6"),
    ]);
}

fn again(news: &News) -> Vec<bool> {
    news.wanted.iter().map(|wanted| wanted.again).collect()
}

#[test]
fn dates_that_begin_again_are_marked_until_they_are_past() {
    // An encoder without a clock, under names of its own.
    let news = follow(&[
        (100.0, 0, "a@0 b@2", "a@0 b@2"),
        (120.0, 9, "j@18 k@20", "j@18 k@20"),
        (140.0, 0, "p@0 q@2", "p@0 q@2"),
        (150.0, 1, "q@2 r@4", "r@4"),
        (170.0, 10, "y@20 z@22", "y@20 z@22"),
    ]);
    let marks: Vec<_> = news.iter().map(again).collect();
    assert_eq!(
        marks,
        [
            vec![false; 2],
            vec![false; 2],
            vec![true; 2],
            vec![true],
            vec![true, false]
        ]
    );
    // In the middle of a list; dates that are only rounded do not count.
    let news = follow(&[(
        9.0,
        0,
        "a@0 b@2 c@3.5 d!@0 e@2 f@9",
        "a@0 b@2 c@3.5 d@0 e@2 f@9",
    )]);
    assert_eq!(again(&news[0]), [false, false, false, true, true, false]);
    // A successor's list of what is going on is no beginning.
    let mut timeline = Timeline::default();
    timeline.update(&list(50, "a@0 b@2 c@4"), at(9.0));
    let news = timeline
        .for_successor()
        .update(&list(0, "x@0 y@2"), at(9.0));
    assert_eq!(again(&news), [false, false]);
}

#[test]
fn names_and_dates_that_begin_again_are_doubted_and_recorded_if_they_are_others() {
    let mut timeline = Timeline::default();
    timeline.update(&list(0, "0@0 1@2 2@4 3@6 4@8"), at(10.0));
    // It may be an old list of a content network: one segment is looked at, now and then.
    let short = list(0, "0@0 1@2");
    let news = timeline.update(&short, at(20.0));
    assert_eq!(shown(&news), "");
    let doubted = news.doubted.unwrap();
    assert_eq!((doubted.url.path(), doubted.again), ("/1.ts", true));
    assert_eq!(timeline.update(&short, at(21.0)).doubted, None);
    let looked: Vec<bool> = (0..14)
        .map(|_| {
            timeline
                .update_unchanged(&short, at(21.0))
                .doubted
                .is_some()
        })
        .collect();
    // Ever more seldom, as long as it is in vain.
    assert_eq!(
        (0..14).filter(|&n| looked[n]).collect::<Vec<_>>(),
        [0, 4, 12]
    );
    // It is another one.
    timeline.begin_again();
    let news = timeline.update_unchanged(&short, at(22.0));
    assert_eq!((shown(&news).as_str(), news.restarted), ("0@0 1@2", true));
    assert_eq!(again(&news), [true, true]);
    let news = timeline.update(&list(0, "0@0 1@2 2@4 3@6 4@8 5@10"), at(26.0));
    assert_eq!(shown(&news), "2@4 3@6 4@8 5@10");
    assert_eq!(again(&news), [true, true, true, false]);
    // One that lags by a segment is not worth a look.
    let news = timeline.update(&list(0, "0@0 1@2 2@4 3@6 4@8"), at(26.0));
    assert_eq!(news.doubted, None);
}
