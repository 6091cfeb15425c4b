//! Every rule of SPEC §3 as a row; what must always hold as a property.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::segment::{FinalType, Hour, SegmentDuration, SegmentHash};

/// The instant that all tables count milliseconds from.
fn origin() -> DateTime<Utc> {
    "2026-01-02T03".parse::<Hour>().unwrap().start()
}

fn at(ms: i64) -> DateTime<Utc> {
    origin() + TimeDelta::milliseconds(ms)
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange {
        start: at(start),
        end: at(end),
    }
}

fn segment(start: i64, end: i64, kind: FinalType, hash: u8) -> Segment {
    let duration = SegmentDuration::from_secs((end - start) as f64 / 1000.0).unwrap();
    Segment::new(
        at(start),
        duration,
        kind,
        SegmentHash::from_bytes([hash; 32]),
    )
}

/// Reads `0-2000 full | 2000-4000 partial`: segments by their ends in ms.
fn segments(text: &str) -> Vec<Segment> {
    text.split('|')
        .map(str::trim)
        .filter(|row| !row.is_empty())
        .map(|row| {
            let (times, kind) = row.split_once(' ').unwrap_or((row, "full"));
            // A leading minus belongs to the start.
            let dash = times[1..].find('-').unwrap() + 1;
            let kind = match kind {
                "full" => FinalType::Full,
                "suspect" => FinalType::Suspect,
                "partial" => FinalType::Partial,
                other => panic!("no type {other}"),
            };
            segment(
                times[..dash].parse().unwrap(),
                times[dash + 1..].parse().unwrap(),
                kind,
                0,
            )
        })
        .collect()
}

/// Writes a selection as starts of segments and `(start end)` of holes, in ms.
fn shown(selection: &Selection<'_>) -> String {
    let ms = |instant: DateTime<Utc>| (instant - origin()).num_milliseconds();
    let piece = |piece: &Piece<'_>| match piece {
        Piece::Segment(segment) => ms(segment.start()).to_string(),
        Piece::Hole(hole) => format!("({} {})", ms(hole.start), ms(hole.end)),
    };
    selection
        .pieces()
        .iter()
        .map(piece)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn walks_a_range_by_the_rules() {
    let table = [
        // (best segments, range, what is selected)
        ("", (0, 10), "(0 10)"),
        ("0-2000 | 2000-4000", (0, 4000), "0 2000"),
        ("0-2000 | 2000-4000 | 4000-6000", (500, 3500), "0 2000"),
        // The first covers the start: up to, not including, its end.
        ("0-2000 | 2000-4000", (1999, 4000), "0 2000"),
        ("0-2000 | 2000-4000", (2000, 4000), "2000"),
        // It lies before the range, or after it.
        ("0-2000", (2000, 4000), "(2000 4000)"),
        ("4000-6000", (2000, 4000), "(2000 4000)"),
        // Nothing covers the start: a hole leads, even one within the tolerance.
        ("1000-4000", (0, 4000), "(0 1000) 1000"),
        ("5-4000", (0, 4000), "(0 5) 5"),
        // 10 ms on both sides of an end.
        ("0-2000 | 2010-4000", (0, 4000), "0 2010"),
        ("0-2000 | 2011-4000", (0, 4000), "0 (2000 2011) 2011"),
        ("0-2000 | 1990-4000", (0, 4000), "0 1990"),
        ("0-2000 | 1989-4000", (0, 4000), "0 (2000 4000)"),
        // An overlap is skipped, and the walk goes on behind it.
        ("0-2000 | 500-9000 | 2000-4000", (0, 4000), "0 2000"),
        (
            "0-2000 | 1000-2500 | 2500-4000",
            (0, 4000),
            "0 (2000 2500) 2500",
        ),
        // Whatever follows a segment that is not full is preceded by a hole.
        (
            "0-2000 partial | 2000-4000",
            (0, 4000),
            "0 (2000 2000) 2000",
        ),
        (
            "0-2000 suspect | 2000-4000",
            (0, 4000),
            "0 (2000 2000) 2000",
        ),
        (
            "0-2000 partial | 1995-4000",
            (0, 4000),
            "0 (1995 1995) 1995",
        ),
        (
            "0-1000 partial | 2000-4000",
            (0, 4000),
            "0 (1000 2000) 2000",
        ),
        // Only partials: each is used, each leaves a hole.
        (
            "0-2000 partial | 2000-4000 partial",
            (0, 4000),
            "0 (2000 2000) 2000 (4000 4000)",
        ),
        // It ends with a hole if the last ends early or is not full.
        ("0-2000", (0, 2001), "0 (2000 2001)"),
        ("0-2000", (0, 2000), "0"),
        ("0-2000 suspect", (0, 2000), "0 (2000 2000)"),
        ("0-3000 partial", (0, 2000), "0 (2000 2000)"),
        // It stops at the first end at or past the range's end.
        ("0-2000 | 2000-4000", (0, 2000), "0"),
        ("0-2500 | 2500-4000", (0, 2000), "0"),
        // Past the end only what joins on, not what lies across a hole.
        ("0-1995 | 2000-4000", (0, 2000), "0 2000"),
        ("0-1000 | 2000-4000", (0, 2000), "0 (1000 2000)"),
        ("0-1000 | 5000-7000", (0, 2000), "0 (1000 2000)"),
        ("0-2000 partial | 2000-4000", (0, 2000), "0 (2000 2000)"),
        // A segment spans the hour.
        ("-1000-1000 | 1000-3000", (0, 3000), "-1000 1000"),
        (
            "3599000-3601000 | 3601000-3603000",
            (3600000, 3602000),
            "3599000 3601000",
        ),
        // No length at all.
        ("0-0 | 0-2000", (0, 2000), "0"),
        ("0-2000 | 2000-2000 | 2000-4000", (0, 4000), "0 2000 2000"),
        ("0-2000", (0, 0), "(0 0)"),
        ("0-2000", (500, 0), "(0 0)"),
    ];
    for (best, (start, end), expected) in table {
        let best = segments(best);
        assert_eq!(
            shown(&select(range(start, end), &best)),
            expected,
            "{best:?} {start}..{end}"
        );
    }
}

#[test]
fn a_caller_that_cannot_use_holes_gets_the_first() {
    let best = segments("0-2000 | 3000-4000 | 6000-7000");
    let hole = Hole {
        start: at(2000),
        end: at(3000),
    };
    let selection = select(range(0, 7000), &best);
    assert_eq!(selection.without_holes(), Err(HasHole(hole)));
    assert_eq!(
        HasHole(hole).to_string(),
        "nothing usable covers 2026-01-02T03:00:02+00:00 to 2026-01-02T03:00:03+00:00"
    );
    assert_eq!(
        select(range(0, 2000), &best).without_holes().unwrap().len(),
        1
    );
}

#[test]
fn ranks_the_candidates_of_one_start() {
    use FinalType::{Full, Partial, Suspect};
    // Each row: candidates from the best to the worst, as (ms long, type, size, hash).
    let table: [&[(i64, FinalType, u64, u8)]; 4] = [
        // full: the longest, then the largest file, then the greatest hash.
        &[
            (3000, Full, 1, 0),
            (2000, Full, 9, 0),
            (2000, Full, 8, 9),
            (2000, Full, 8, 7),
        ],
        // A short full one beats everything that is not full.
        &[
            (1, Full, 1, 0),
            (2000, Suspect, 9, 9),
            (2000, Partial, 99, 9),
        ],
        // Else suspect before partial, then the largest file; duration does not count.
        &[
            (1000, Suspect, 9, 0),
            (2000, Suspect, 8, 9),
            (3000, Partial, 10, 9),
        ],
        &[
            (1000, Partial, 9, 1),
            (2000, Partial, 8, 9),
            (2000, Partial, 8, 3),
        ],
    ];
    for row in table {
        let ranked: Vec<(Segment, u64)> = row
            .iter()
            .map(|&(ms, kind, size, hash)| (segment(0, ms, kind, hash), size))
            .collect();
        for worst_kept in 1..=ranked.len() {
            let mut candidates: Vec<Segment> = ranked[..worst_kept]
                .iter()
                .map(|(segment, _)| segment.clone())
                .collect();
            for _ in 0..worst_kept {
                candidates.rotate_left(1);
                let size = |asked: &Segment| {
                    ranked
                        .iter()
                        .find(|(segment, _)| segment == asked)
                        .unwrap()
                        .1
                };
                let best = best_of_hour(candidates.clone(), size);
                assert_eq!(best, vec![ranked[0].0.clone()], "{row:?}");
            }
        }
    }
}

#[test]
fn temp_segments_are_never_candidates_and_sizes_are_asked_only_in_a_tie() {
    let duration = SegmentDuration::from_secs(2.0).unwrap();
    let temp = Segment::temp(at(0), duration, uuid::Uuid::nil());
    assert_eq!(best_of_hour(vec![temp.clone()], |_| unreachable!()), vec![]);
    let partial = segment(0, 2000, FinalType::Partial, 0);
    let full = segment(0, 2000, FinalType::Full, 0);
    let next = segment(2000, 4000, FinalType::Full, 0);
    let best = best_of_hour(
        vec![next.clone(), temp, full.clone(), partial],
        |_| unreachable!(),
    );
    assert_eq!(best, vec![full, next]);
}

prop_compose! {
    fn any_segment()(
        start in 0..20_000_i64,
        length in 0..4_000_i64,
        kind in prop_oneof![
            4 => Just(FinalType::Full),
            1 => Just(FinalType::Suspect),
            1 => Just(FinalType::Partial)],
        hash: u8,
    ) -> Segment {
        // Starts on a grid, so that duplicates, joints and near misses are common.
        let start = start / 5 * 5;
        segment(start, start + length / 5 * 5, kind, hash)
    }
}

proptest! {
    #[test]
    fn what_must_always_hold(
        candidates in proptest::collection::vec(any_segment(), 0..40),
        start in 0..20_000_i64,
        length in 1..10_000_i64,
    ) {
        let best = best_of_hour(candidates.clone(), |_| 0);
        prop_assert!(best.windows(2).all(|pair| pair[0].start() < pair[1].start()));
        prop_assert!(candidates.iter()
            .all(|c| best.iter().filter(|b| b.start() == c.start()).count() == 1));

        let range = range(start, start + length);
        let selection = select(range, &best);
        let pieces = selection.pieces();
        prop_assert!(!pieces.is_empty());
        let tolerance = TimeDelta::microseconds(TOLERANCE_MICROS);
        for pair in pieces.iter().zip(&pieces[1..]) {
            match pair {
                // Next to each other: joined within the tolerance, and nothing doubtful before.
                (Piece::Segment(one), Piece::Segment(two)) => {
                    prop_assert!(one.is_full());
                    prop_assert!((two.start() - one.end()).abs() <= tolerance);
                }
                (Piece::Segment(one), Piece::Hole(hole)) => {
                    prop_assert!(!one.is_full() || hole.end > one.end());
                    prop_assert!(hole.start <= hole.end);
                }
                (Piece::Hole(hole), Piece::Segment(two)) => {
                    prop_assert_eq!(hole.end, two.start());
                }
                (Piece::Hole(_), Piece::Hole(_)) => prop_assert!(false, "two holes in a row"),
            }
        }
        // A walk that is taken up again anywhere goes the same way.
        for (index, piece) in pieces.iter().enumerate() {
            if let Piece::Segment(last) = piece && last.end() < range.end {
                let after = select_after(last, range.end, &best);
                prop_assert_eq!(after.pieces(), &pieces[index + 1..]);
            }
        }
        let chosen: Vec<&Segment> = selection.segments().collect();
        for pair in chosen.windows(2) {
            prop_assert!(pair[0].start() < pair[1].start());
            prop_assert!(pair[1].start() >= pair[0].end() - tolerance);
            // Whatever is not the last ends before the range does.
            prop_assert!(pair[0].end() < range.end);
        }
        match pieces[0] {
            Piece::Segment(first) =>
                prop_assert!(first.start() <= range.start && range.start < first.end()),
            Piece::Hole(hole) => {
                prop_assert_eq!(hole.start, range.start);
                // A hole leads only where no best segment covers the start.
                prop_assert!(!best.iter()
                    .any(|s| s.start() <= range.start && range.start < s.end()));
            }
        }
        let complete = chosen.last().is_some_and(|s| s.is_full() && s.end() >= range.end);
        prop_assert_eq!(selection.ends_with_hole(), !complete);
        prop_assert_eq!(selection.without_holes().is_ok(), selection.holes().next().is_none());
    }

    #[test]
    fn segments_far_from_the_range_change_nothing(
        candidates in proptest::collection::vec(any_segment(), 0..40),
        start in 6_000..12_000_i64,
    ) {
        let best = best_of_hour(candidates, |_| 0);
        let range = range(start, start + 2_000);
        // No segment is longer than 4 s, so these cannot matter.
        let near: Vec<Segment> = best.iter()
            .filter(|s| s.end() > range.start - TimeDelta::seconds(4)
                && s.start() < range.end + TimeDelta::seconds(4))
            .cloned().collect();
        prop_assert_eq!(shown(&select(range, &best)), shown(&select(range, &near)));
    }
}
