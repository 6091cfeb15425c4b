//! Names and dates that come a second time: loops, and encoders without a clock.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tests::content::{sha256_base64, ts_bytes};
use tests::origin::{LiveOptions, Log, Published};

use super::{FAST, SOON, Scene, wait_for_metric};

const AGAIN: &str = "the origin uses dates again";

#[tokio::test]
async fn a_name_that_is_listed_twice_is_recorded_at_each_of_its_dates_once() {
    let scene = Scene::new(LiveOptions::default()).await;
    let names = ["a", "b"];
    let content = |name: usize| ts_bytes(50 + name as u64, 4000);
    for (n, name) in names.iter().enumerate() {
        scene
            .origin
            .put(&format!("/loop/{name}.ts"), content(n), "video/mp2t");
    }
    let show = |first: usize| {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
            #EXT-X-PROGRAM-DATE-TIME:2024-11-08T22:10:{:02}.000Z\n",
            first * 2
        );
        for n in first..first + 5 {
            text.push_str(&format!("#EXTINF:2.000,\n{}.ts\n", names[n % 2]));
        }
        scene.origin.put_playlist("/loop/index.m3u8", text);
    };
    let channel = format!("test:url:{}", scene.origin.url("/loop/index.m3u8"));
    show(0);
    let _downloader = scene.node.start_downloader(&channel, FAST).await;
    for first in 0..4 {
        show(first);
        let expected: BTreeMap<String, String> = (0..first + 5)
            .map(|n| {
                (
                    format!("2024-11-08T22/10:{:02}.000000-2.0-full-", n * 2),
                    n % 2,
                )
            })
            .map(|(name, n)| (name, sha256_base64(&content(n))))
            .map(|(name, hash)| (format!("{name}{hash}.ts"), hash))
            .collect();
        tests::eventually(SOON, "each at its date", async || {
            let files = scene.node.files("test", "source");
            (files == expected)
                .then_some(())
                .ok_or(format!("{files:?}"))
        })
        .await;
        let polls = scene.origin.count("/loop/index.m3u8");
        let more = |log: &Log| log.count("/loop/index.m3u8") > polls + 3;
        scene.origin.wait_for(SOON, more).await.unwrap();
    }
    // 8 segments at 8 dates: asked for once each, however often they were listed.
    let asked = names.map(|name| scene.origin.count(&format!("/loop/{name}.ts")));
    assert_eq!(asked, [4, 4]);
}

/// The encoder boots again, with the date of its first boot.
fn boot(scene: &mut Scene, first: &Published, reuse_names: bool) {
    scene.stream.restart(reuse_names);
    scene.stream.jump_to(first.start);
}

#[tokio::test]
async fn an_encoder_that_boots_at_the_same_date_each_time_is_recorded_each_time() {
    for reuse_names in [false, true] {
        let mut scene = Scene::new(LiveOptions::default()).await;
        let mut all = scene.push(5);
        let downloader = scene.record().await;
        scene.expect(&all).await;
        for _ in 0..2 {
            boot(&mut scene, &all[0], reuse_names);
            for _ in 0..3 {
                all.extend(scene.push(1));
                scene.expect(&all).await;
            }
        }
        // Said once a minute, counted each time.
        wait_for_metric(&downloader, "segments_date_again_total", &[], 6.0).await;
        assert_eq!(downloader.count_log(AGAIN), 1);
        let metrics = downloader.metrics().await;
        assert_eq!(metrics.sum("segments_lost_total", &[]), 0.0);
    }
}

#[tokio::test]
async fn an_encoder_that_boots_while_we_are_away_is_recorded_too() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let mut all = scene.push(3);
    let mut downloader = scene.record().await;
    scene.expect(&all).await;
    downloader.terminate();
    downloader.wait(SOON).await;
    // An hour passes: what was written before the list shows anything cannot be in it.
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for name in scene.full() {
        let path = scene.node.base_dir().join("test/source").join(name);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(an_hour_ago).unwrap();
    }
    boot(&mut scene, &all[0], true);
    all.extend(scene.push(2));
    let downloader = scene.record().await;
    scene.expect(&all).await;
    downloader.wait_for_log(AGAIN, SOON).await;
}
