//! SIGKILL, at any instant: what is on disk is as it should be, and the next start fetches what the
//! playlist still lists, and nothing that is there.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tests::content::ts_bytes;
use tests::node::Service;
use tests::origin::{Fault, Hold, LiveOptions, Log, Matching};

use super::{SOON, Scene};

impl Scene {
    /// Kills the downloader, checks that nothing on disk is wrong, and starts it again when the
    /// stream has gone on by a segment.
    async fn kill_and_go_on(&mut self, mut downloader: Service) -> Service {
        downloader.kill_hard();
        downloader.wait(SOON).await;
        assert_eq!(self.node.wrong_hashes("test", "source"), [""; 0]);
        self.origin.clear_rules();
        self.record().await
    }
}

#[tokio::test]
async fn before_the_head_of_a_segment() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(3);
    let stalls = Fault::stall_head(Hold::Forever);
    scene.origin.always(all[2].path.as_str(), stalls);
    let downloader = scene.record().await;
    scene.expect(&all[..2]).await;
    let asked = |log: &Log| log.count(&all[2].path) > 0;
    scene.origin.wait_for(SOON, asked).await.unwrap();
    all.extend(scene.push(1));
    let _downloader = scene.kill_and_go_on(downloader).await;
    scene.expect(&all).await;
    assert_eq!(scene.origin.count(&all[0].path), 1);
}

#[tokio::test]
async fn between_a_segment_and_the_next_poll() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(2);
    let mut downloader = scene.record().await;
    for _ in 0..3 {
        // Everything has its name, and nothing is under way.
        scene.expect(&all).await;
        all.extend(scene.push(1));
        downloader = scene.kill_and_go_on(downloader).await;
    }
    scene.expect(&all).await;
    assert_eq!(scene.origin.count(&all[0].path), 1);
}

#[tokio::test]
async fn while_an_init_section_or_a_playlist_is_fetched() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    scene.stream.set_init(ts_bytes(1, 1000));
    let mut all = scene.push(2);
    let stalls = || Fault::stall_after(100, Hold::Forever);
    scene.origin.always("/live/init0.mp4", stalls());
    let mut downloader = scene.record().await;
    let asked = |log: &Log| log.last("/live/init0.mp4").is_some_and(|e| e.sent == 100);
    scene.origin.wait_for(SOON, asked).await.unwrap();
    assert_eq!(scene.full().len(), 0);
    downloader = scene.kill_and_go_on(downloader).await;
    scene.expect(&all).await;
    scene.origin.always(scene.stream.path(), stalls());
    all.extend(scene.push(1));
    let path = scene.stream.path();
    let asked = |log: &Log| log.last(&path).is_some_and(|e| e.sent == 100);
    scene.origin.wait_for(SOON, asked).await.unwrap();
    let _downloader = scene.kill_and_go_on(downloader).await;
    scene.expect(&all).await;
}

#[tokio::test]
async fn again_and_again_whatever_is_under_way() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random());
    eprintln!("SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut scene = Scene::new(LiveOptions {
        window: 60,
        ..LiveOptions::default()
    })
    .await;
    let slowly = || Fault::none().dripping(4000, Duration::from_millis(5));
    let mut all = Vec::new();
    let mut downloader = scene.record().await;
    for _ in 0..8 {
        scene.origin.always(Matching::suffix(".ts"), slowly());
        let large = |_| scene.stream.push(40_000);
        all.extend((0..5).map(large));
        // Some requests later.
        let later = scene.origin.log().len() + rng.random_range(1..9);
        let is_later = |log: &Log| log.len() >= later;
        scene.origin.wait_for(SOON, is_later).await.unwrap();
        downloader = scene.kill_and_go_on(downloader).await;
    }
    // With what the dead left gone, too.
    scene.expect(&all).await;
}
