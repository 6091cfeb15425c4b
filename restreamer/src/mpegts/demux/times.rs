//! Times for pictures whose packets say none, from those of the others.

use super::Unit;
use crate::mpegts::order::{Order, Place};
use crate::mpegts::time;

/// Gives them to those of a stream's `pictures` that have none. False if nothing tells them.
///
/// Pictures are decoded at a steady rate between two of which it is known when, and shown at one between
/// two that are known of those shown: in which order that is, they say themselves, else it is that of
/// decoding. At the edges, and where the clock jumps, it is as between the first two or the last two
/// that are known.
pub(super) fn give(pictures: &mut [&mut Unit], is_timed: impl Fn(&Unit) -> bool) -> bool {
    let places = places(pictures);
    let mut known = pictures.iter().enumerate().filter(|(_, it)| is_timed(it));
    let mut last = known.next().map(|(_, unit)| unit.dts);
    let mut jumps = Vec::new();
    for (at, unit) in known {
        let before = last.replace(unit.dts).unwrap_or(unit.dts);
        if time::is_jump(unit.dts - before) {
            jumps.push(at);
        }
    }
    let ends = jumps.into_iter().chain([pictures.len()]);
    let mut begin = 0;
    ends.into_iter().all(|end| {
        let places = places.as_ref().map(|places| &places[begin..end]);
        let given = give_between_jumps(&mut pictures[begin..end], places, &is_timed);
        begin = end;
        given
    })
}

fn give_between_jumps(
    pictures: &mut [&mut Unit],
    places: Option<&[Place]>,
    is_timed: impl Fn(&Unit) -> bool,
) -> bool {
    let known = || (0..).zip(&*pictures).filter(|(_, unit)| is_timed(unit));
    let decoded: Vec<(i64, i64)> = known().map(|(at, unit)| (at, unit.dts)).collect();
    if decoded.len() < 2 {
        return false;
    }
    let as_decoded = known().all(|(_, unit)| unit.pts == unit.dts);
    let shown = |order: &[i64]| {
        let known = known().map(|(at, unit)| (order[at as usize], unit.pts));
        let mut shown: Vec<(i64, i64)> = known.collect();
        shown.sort_unstable();
        shown
    };
    let is_true = |order: &Vec<i64>| shown(order).is_sorted_by(|one, next| one.1 < next.1);
    let order = match places.map(order).filter(is_true) {
        Some(order) => order,
        None if as_decoded => (0..pictures.len() as i64).collect(),
        None => return false,
    };
    let shown = shown(&order);
    // No time of decoding is said where it cannot be that of showing.
    let says_pts_alone = as_decoded && !order.is_sorted();
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

/// Where each picture is among those shown; `None` if one does not say.
fn places(pictures: &[&mut Unit]) -> Option<Vec<Place>> {
    let mut order = Order::new(pictures.first()?.codec);
    let places = pictures.iter().map(|unit| order.next(unit.payload()));
    places.collect()
}

/// The how many-eth each is of those shown.
fn order(places: &[Place]) -> Vec<i64> {
    let mut shown: Vec<usize> = (0..places.len()).collect();
    shown.sort_by_key(|at| places[*at]);
    let mut order = vec![0; places.len()];
    for (place, at) in (0..).zip(shown) {
        order[at] = place;
    }
    order
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
