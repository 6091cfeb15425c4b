//! Who has what, and for how long.

use super::*;
use crate::item::ExtraPath;
use common::names::{Channel, Quality};
use common::segment::{Segment, SegmentPath};
use futures::FutureExt;
use tokio::time::advance;

/// A file of extras of this name.
fn file(name: &str) -> Item {
    let directory = "x".parse().unwrap();
    Item::Extra(ExtraPath::parse(&directory, name).unwrap())
}

/// A segment of an hour, of which there are twins.
fn segment(hour: &str, time: &str, rest: &str) -> Item {
    const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    let name = format!("{time}-{rest}-{HASH}.ts");
    Item::Segment(SegmentPath {
        channel: Channel::new("c").unwrap(),
        quality: Quality::new("source").unwrap(),
        segment: Segment::parse(hour.parse().unwrap(), &name).unwrap(),
    })
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_and_the_next_after_it() {
    let claims = Claims::default();
    let (a, b) = (&file("a"), &file("b"));
    let first = claims.claim(a, "one").unwrap();
    let held = claims.clone().claim(a, "two").unwrap_err();
    let _other = claims.claim(b, "two").unwrap();
    assert!(held.released().now_or_never().is_none());
    assert!(held.free().now_or_never().is_none());
    drop(first);
    held.released().await;
    held.free().await;
    drop(claims.claim(a, "two").unwrap());
}

/// Has a peer fetch another file so fast.
async fn fetched(claims: &Claims, peer: &str, seconds: u64) {
    let claim = claims.claim(&file("another"), peer).unwrap();
    advance(Duration::from_secs(seconds)).await;
    claim.received(100_000, Duration::ZERO);
    claim.has_all();
}

#[tokio::test(start_paused = true)]
async fn only_who_was_quick_takes_anything() {
    let (claims, another) = (Claims::default(), &file("another"));
    let file = &file("f");
    let slow = claims.claim(file, "slow").unwrap();
    advance(PATIENCE).await;
    assert!(claims.claim(file, "unknown").is_err());
    fetched(&claims, "slow too", 9).await;
    assert!(claims.claim(file, "slow too").is_err());
    fetched(&claims, "failing", 1).await;
    claims.claim(another, "failing").unwrap().failed();
    assert!(claims.claim(file, "failing").is_err());
    assert!(slow.lost().now_or_never().is_none());
    let waiting = claims.claim(file, "quick").unwrap_err();
    assert!(waiting.free().now_or_never().is_none());
    fetched(&claims, "quick", 1).await;
    waiting.free().await;
    // What is there already, and only has to be put in its place, is nobody else's.
    slow.has_all();
    advance(PATIENCE * 9).await;
    assert!(claims.claim(file, "quick").is_err());
    drop(slow);
    let slow = claims.claim(file, "slow").unwrap();
    advance(PATIENCE).await;
    let _quick = claims.claim(file, "quick").unwrap();
    slow.lost().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_loses_the_file_when_another_comes_and_does_not_take_it_back() {
    let (claims, file) = (Claims::default(), &file("f"));
    for peer in ["slow", "quick", "third"] {
        fetched(&claims, peer, 1).await;
    }
    let first = claims.claim(file, "slow").unwrap();
    let waiting = claims.claim(file, "quick").unwrap_err();
    let begun = Instant::now();
    waiting.free().await;
    assert_eq!(begun.elapsed(), PATIENCE);
    // Nobody takes it from itself, and without anybody else it keeps it.
    assert!(claims.claim(file, "slow").is_err());
    assert!(first.lost().now_or_never().is_none());
    let second = claims.claim(file, "quick").unwrap();
    first.lost().await;
    let lost = first.given_up();
    lost.free().await;
    // The first one's end has not set the file free.
    let again = claims.claim(file, "slow").unwrap_err();
    advance(PATIENCE * 2).await;
    assert!(again.free().now_or_never().is_none());
    assert!(claims.claim(file, "slow").is_err());
    assert!(second.lost().now_or_never().is_none());
    let third = claims.claim(file, "third").unwrap();
    drop(second);
    assert!(claims.claim(file, "slow").is_err());
    drop(third);
    drop(claims.claim(file, "slow").unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_sensible_pace_and_our_own_delays_give_more_time() {
    let (claims, file) = (Claims::default(), &file("f"));
    fetched(&claims, "two", 1).await;
    let first = claims.claim(file, "one").unwrap();
    for _ in 0..100 {
        advance(Duration::from_secs(1)).await;
        first.received(100_000, Duration::ZERO);
        assert!(claims.claim(file, "two").is_err());
    }
    first.received(0, Duration::from_secs(5));
    let waiting = claims.claim(file, "two").unwrap_err();
    let begun = Instant::now();
    waiting.free().await;
    assert_eq!(begun.elapsed(), PATIENCE + Duration::from_secs(5));
    drop(claims.claim(file, "two").unwrap());
}

#[tokio::test(start_paused = true)]
async fn twins_are_in_one_hand_and_one_of_them_is_enough() {
    const HOUR: &str = "2026-01-02T03";
    // (hour, time, the rest of the name, is it a twin of 00:10.000500)
    let table = [
        (HOUR, "00:10.000500", "2.0-full", true),
        (HOUR, "00:10.0005", "2-full", true),
        (HOUR, "00:10.001500", "2.0-full", true),
        (HOUR, "00:09.999500", "2.0-full", true),
        (HOUR, "00:10.001501", "2.0-full", false),
        (HOUR, "00:09.999499", "2.0-full", false),
        (HOUR, "00:10.000500", "2.0-suspect", false),
        (HOUR, "00:10.000500", "2.1-full", false),
        ("2026-01-02T04", "00:10.000500", "2.0-full", false),
    ];
    let first = segment(HOUR, "00:10.000500", "2.0-full");
    for (hour, time, rest, is_twin) in table {
        let claims = Claims::default();
        let other = segment(hour, time, rest);
        let claim = claims.claim(&first, "one").unwrap();
        assert_eq!(claims.claim(&other, "two").is_err(), is_twin, "{time}");
        assert!(claims.twins(&other).is_empty());
        claim.came(Path::new("it"));
        drop(claim);
        drop(claims.claim(&other, "two").unwrap());
        assert_eq!(!claims.twins(&other).is_empty(), is_twin, "{time}");
    }
    // Over the edge of the hour.
    let claims = Claims::default();
    let claim = claims.claim(&segment(HOUR, "59:59.9995", "2.0-full"), "one");
    let beyond = segment("2026-01-02T04", "00:00.0005", "2.0-full");
    assert!(claims.claim(&beyond, "two").is_err());
    drop(claim);
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_twin_takes_the_file_from_whoever_has_it_or_another_twin() {
    const HOUR: &str = "2026-01-02T03";
    let claims = Claims::default();
    fetched(&claims, "quick", 1).await;
    // The outer two are no twins of one another.
    let [first, middle, last] =
        ["00:10.0000", "00:10.0009", "00:10.0018"].map(|time| segment(HOUR, time, "2.0-full"));
    let outer = [&first, &last].map(|item| claims.claim(item, "slow").unwrap());
    advance(PATIENCE).await;
    let taken = claims.claim(&middle, "quick").unwrap();
    for lost in outer {
        lost.lost().await;
    }
    assert!(claims.claim(&first, "other").is_err() && claims.claim(&last, "slow").is_err());
    drop(taken);
    drop(claims.claim(&first, "slow").unwrap());
}
