//! Several places for one rendition: one stands in for another.

use tests::origin::{Fault, LiveOptions, LiveStream, Log, MasterPlaylist, NewSegment, Uris};

use super::handover::{lead_to, record_master};
use super::{SOON, Scene};

#[tokio::test]
async fn equal_variants_stand_in_for_one_another() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let dead = LiveStream::new(&scene.origin, "dead", LiveOptions::default());
    scene.origin.always(dead.path(), Fault::status(500));
    let master = MasterPlaylist::new()
        .unnamed(&dead.path(), 1000)
        .unnamed(&scene.stream.path(), 1000);
    scene.origin.put_playlist("/master.m3u8", master.render());
    let all = scene.push(3);
    let _downloader = record_master(&scene).await;
    scene.expect(&all).await;
}

/// The first of two equal places answers for ever with a list that never changes. Whatever
/// happens at the second one, it is not left for the first for good.
#[tokio::test]
async fn a_place_that_stands_still_is_left_for_its_equal() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut other = LiveStream::new(&scene.origin, "other", LiveOptions::default());
    let master = MasterPlaylist::new()
        .unnamed(&scene.stream.path(), 1000)
        .unnamed(&other.path(), 1000);
    scene.origin.put_playlist("/master.m3u8", master.render());
    let mut all = scene.push(3);
    for segment in &all {
        let same = NewSegment::new(&segment.duration, segment.content.clone());
        other.push_segment(same);
    }
    let downloader = record_master(&scene).await;
    scene.expect(&all).await;
    for n in 0..5 {
        all.push(other.push(4000 + n));
    }
    scene.expect(&all).await;
    downloader.wait_for_log("stands still", SOON).await;
    // A failure by the way, then one that lasts until the frozen place was tried again.
    for failures in [1, 1, 2] {
        let failing = Fault::status(500);
        let asked = scene.origin.count(&other.path()) + failures;
        scene.origin.next(failures as u64, other.path(), failing);
        let met = |log: &Log| log.count("/other/playlist.m3u8") >= asked;
        scene.origin.wait_for(SOON, met).await.unwrap();
        all.push(other.push(5000));
        scene.expect(&all).await;
    }
    let asked = scene.origin.count(&scene.stream.path());
    let again = |log: &Log| log.count("/live/playlist.m3u8") > asked;
    scene.origin.wait_for(SOON, again).await.unwrap();
    // Now there is nobody left at the second place.
    scene.origin.next(1, other.path(), Fault::expired());
    for _ in 0..3 {
        all.push(other.push(6000));
        scene.expect(&all).await;
    }
}

/// A successor finds nothing but an old list, though a worker before it has told it what is
/// newest: the old one goes on.
#[tokio::test]
async fn a_list_from_long_ago_relieves_nobody() {
    let mut scene = Scene::new(LiveOptions {
        uris: Uris::Path,
        ..LiveOptions::default()
    })
    .await;
    let mut all = scene.push(3);
    // A list as it was a while ago, of the very same segments.
    let frozen = LiveStream::new(&scene.origin, "frozen", LiveOptions::default());
    let text = scene.stream.render();
    scene.origin.put_playlist(&frozen.path(), text);
    lead_to(&scene, &scene.stream);
    let _downloader = record_master(&scene).await;
    for _ in 0..3 {
        scene.expect(&all).await;
        all.extend(scene.push(2));
    }
    lead_to(&scene, &frozen);
    let failing = Fault::status(500);
    scene.origin.next(1, scene.stream.path(), failing);
    let polled = |log: &Log| log.count("/frozen/playlist.m3u8") >= 3;
    scene.origin.wait_for(SOON, polled).await.unwrap();
    for _ in 0..3 {
        all.extend(scene.push(1));
        scene.expect(&all).await;
    }
}
