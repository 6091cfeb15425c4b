//! A playlist of the past: complete, or with a hole.

use std::fs;

use chrono::{DateTime, Utc};
use m3u8_rs::Playlist;
use tests::ffmpeg::{decode, probe};
use tests::node::Node;

use crate::support::{Browser, footage, mpv};

const SECONDS: u32 = 10;

/// A node with ten seconds of footage over the edge of an hour, and the playlist of it.
async fn node() -> (Node, Vec<std::path::PathBuf>, String) {
    let mut node = Node::new("a");
    let start: DateTime<Utc> = "2026-01-02T03:59:56Z".parse().unwrap();
    let files = footage(node.base_dir(), start, SECONDS).await;
    assert_eq!(files.len(), SECONDS as usize);
    node.start_restreamer().await;
    let range = "start=2026-01-02T03:59:56&end=2026-01-02T04:00:06";
    let path = format!("/playlist/test/source.m3u8?{range}");
    (node, files, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_range_plays_to_its_end_in_every_player() {
    let (node, _, path) = node().await;
    let url = format!("{}{path}", node.restreamer_url());
    let browser = Browser::play(&url);
    let master = url.replace("/source.m3u8", ".m3u8");

    let text = node.get(&path).await;
    let Ok(Playlist::MediaPlaylist(list)) = m3u8_rs::parse_playlist_res(&text.body) else {
        panic!("no media playlist: {}", text.text());
    };
    assert!(list.end_list);
    assert_eq!(list.segments.len(), SECONDS as usize);
    for url in [&url, &master] {
        let probed = probe(url).await;
        assert!(
            probed.readable && probed.errors.is_empty(),
            "{}",
            probed.errors
        );
        let duration = probed.duration.unwrap();
        assert!((duration - 10.0).abs() < 0.2, "{duration}");
        let decoded = decode(url).await;
        assert!(
            decoded.success && decoded.errors.is_empty(),
            "{}",
            decoded.errors
        );
        assert_eq!(decoded.frames, 250);
        let (code, complaints) = mpv(url, &["--untimed"]).await;
        assert_eq!(
            (code, complaints.as_slice()),
            (Some(0), &[][..] as &[String])
        );
    }
    let time = browser
        .wait("the end", |message| {
            (message["event"] == "ended").then(|| message["time"].as_f64())?
        })
        .await;
    assert!((time - 10.0).abs() < 0.3, "{time}");
    assert_eq!(browser.assert_content().len(), SECONDS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_got_over() {
    let (node, files, path) = node().await;
    for missing in &files[4..7] {
        fs::remove_file(missing).unwrap();
    }
    let url = format!("{}{path}", node.restreamer_url());
    let browser = Browser::play(&url);
    let decoded = decode(&url).await;
    assert!(decoded.success, "{}", decoded.errors);
    assert_eq!(decoded.frames, 175);
    let (code, _) = mpv(&url, &["--untimed"]).await;
    assert_eq!(code, Some(0));
    browser
        .wait("the end", |message| {
            (message["event"] == "ended").then_some(())
        })
        .await;
    assert_eq!(browser.assert_content().len(), 7);
}
