//! Times for pictures whose packets say none, from those of the others.

use super::Unit;
use crate::mpegts::order::{Order, Place};

/// Gives them to those of a stream's `pictures` that have none. False if nothing tells them.
///
/// Pictures are decoded at a steady rate between two of which it is known when, and shown at one between
/// two that are known of those shown: in which order that is, they say themselves, else it is that of
/// decoding. At the edges it is as between the first two or the last two that are known.
pub(super) fn give(pictures: &mut [&mut Unit], is_timed: impl Fn(&Unit) -> bool) -> bool {
    let known = || (0..).zip(&*pictures).filter(|(_, unit)| is_timed(unit));
    let decoded: Vec<(i64, i64)> = known().map(|(at, unit)| (at, unit.dts)).collect();
    if decoded.len() < 2 {
        return false;
    }
    let as_decoded = known().all(|(_, unit)| unit.pts == unit.dts);
    let order = match order(pictures) {
        Some(order) => order,
        None if as_decoded => (0..pictures.len() as i64).collect(),
        None => return false,
    };
    let known = order.iter().zip(&*pictures);
    let known = known.filter(|(_, unit)| is_timed(unit));
    let mut shown: Vec<(i64, i64)> = known.map(|(at, unit)| (*at, unit.pts)).collect();
    shown.sort_unstable();
    let is_ordered = order.is_sorted();
    if !is_ordered && !shown.is_sorted_by(|one, next| one.1 < next.1) {
        return false;
    }
    // No time of decoding is said where it cannot be that of showing.
    let says_pts_alone = as_decoded && !is_ordered;
    for (at, (place, unit)) in (0..).zip(order.iter().zip(&mut *pictures)) {
        let is_timed = is_timed(unit);
        if !is_timed {
            unit.pts = between(&shown, *place);
        }
        if says_pts_alone {
            unit.dts = between(&shown, at);
        } else if !is_timed {
            unit.dts = between(&decoded, at);
        }
    }
    // None is shown before it is decoded.
    let late = pictures.iter().map(|unit| unit.dts - unit.pts).max();
    let late = late.filter(|_| says_pts_alone).unwrap_or(0);
    for unit in pictures {
        unit.dts = (unit.dts - late).min(unit.pts);
    }
    true
}

/// The how many-eth each picture is of those shown; `None` if one does not say.
fn order(pictures: &[&mut Unit]) -> Option<Vec<i64>> {
    let mut order = Order::new(pictures.first()?.codec);
    let places = pictures.iter().map(|unit| order.next(unit.payload()));
    let places: Vec<Place> = places.collect::<Option<_>>()?;
    let mut shown: Vec<usize> = (0..places.len()).collect();
    shown.sort_by_key(|at| places[*at]);
    let mut order = vec![0; places.len()];
    for (place, at) in (0..).zip(shown) {
        order[at] = place;
    }
    Some(order)
}

/// The time of one from those of at least two.
fn between(known: &[(i64, i64)], at: i64) -> i64 {
    let next = known.partition_point(|(known, _)| *known < at);
    let next = next.clamp(1, known.len() - 1);
    let ((from, time), (to, later)) = (known[next - 1], known[next]);
    time + (later - time) * (at - from) / (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpegts::order::tests::pictures;
    use crate::mpegts::tables::Codec;

    const FRAME: i64 = 3600;

    #[test]
    fn times_of_pictures_that_are_shown_in_another_order() {
        for codec in [Codec::H264, Codec::H265] {
            let (pictures, order) = pictures(codec);
            let key = if codec == Codec::H264 { 9 } else { 5 };
            // Which ones say a time, and whether also that of decoding.
            for (said, has_dts) in [(&[0, 3, 6, 9, 12][..], true), (&[0, key], false)] {
                let unit = |(at, picture): (usize, &Vec<u8>)| {
                    let pts = 90_000 + order[at] * FRAME;
                    let dts = 90_000 + (at as i64 - 2) * FRAME;
                    let (pts, dts) = match (said.contains(&at), has_dts) {
                        (true, true) => (pts, dts),
                        (true, false) => (pts, pts),
                        (false, _) => (0, 0),
                    };
                    Unit::new(0x100, codec, 0xe0, pts, dts, picture.clone())
                };
                let mut units: Vec<Unit> = pictures.iter().enumerate().map(unit).collect();
                let mut units: Vec<&mut Unit> = units.iter_mut().collect();
                assert!(give(&mut units, |unit| unit.pts > 0), "{codec:?}");
                for (at, unit) in units.iter().enumerate() {
                    assert_eq!(unit.pts, 90_000 + order[at] * FRAME, "{codec:?} {at}");
                    assert!(unit.dts <= unit.pts, "{codec:?} {at}");
                }
                let mut steps = units.windows(2).map(|pair| pair[1].dts - pair[0].dts);
                assert!(steps.all(|step| step > 0), "{codec:?} {has_dts}");
                // Two that are known, of which the later one is shown sooner.
                units[1].pts = 9_000_000;
                assert!(!give(&mut units, |unit| unit.pts > 0), "{codec:?}");
            }
        }
    }
}
