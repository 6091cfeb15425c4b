//! Times for pictures whose packets say none, from those of the others.

use super::Unit;
use crate::mpegts::order::{Order, Place};

/// Gives them to those of a stream's `pictures` that have none. False if nothing tells them.
///
/// Pictures are decoded at a steady rate between two of which it is known when, and shown at one between
/// two that are known of those shown: in which order that is, they say themselves unless it is that of
/// decoding. At the edges it is as between the first two or the last two that are known.
pub(super) fn give(pictures: &mut [&mut Unit], is_timed: impl Fn(&Unit) -> bool) -> bool {
    let known = || (0..).zip(&*pictures).filter(|(_, unit)| is_timed(unit));
    let decoded: Vec<(i64, i64)> = known().map(|(at, unit)| (at, unit.dts)).collect();
    if decoded.len() < 2 {
        return false;
    }
    let (order, shown) = if known().all(|(_, unit)| unit.pts == unit.dts) {
        ((0..pictures.len() as i64).collect(), decoded.clone())
    } else {
        let Some(order) = order(pictures) else {
            return false;
        };
        let known = order.iter().zip(&*pictures);
        let known = known.filter(|(_, unit)| is_timed(unit));
        let mut shown: Vec<(i64, i64)> = known.map(|(at, unit)| (*at, unit.pts)).collect();
        shown.sort_unstable();
        if !shown.is_sorted_by(|one, next| one.1 < next.1) {
            return false;
        }
        (order, shown)
    };
    for (at, (place, unit)) in (0..).zip(order.iter().zip(pictures)) {
        if !is_timed(unit) {
            unit.pts = between(&shown, *place);
            unit.dts = between(&decoded, at).min(unit.pts);
        }
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
