//! Rough cuts: files as they are.

use std::fs;

use tests::ffmpeg::{Container, LiveHls, LiveHlsOptions, decode, probe};
use tests::numbered::Options;

use crate::support::{Site, bounds, range};

fn options() -> Options {
    Options {
        seconds: 8.0,
        sound: false,
        // Across midnight.
        start: "2026-01-01T23:59:56Z".parse().expect("a time"),
        ..Options::default()
    }
}

#[tokio::test]
async fn whole_segments_in_the_order_asked_for_to_the_byte() {
    let site = Site::start(&options(), &[]).await;
    let files: Vec<Vec<u8>> = site
        .video
        .segments
        .iter()
        .map(|segment| fs::read(&segment.path).expect("the file"))
        .collect();
    let cut = site
        .cut(&format!("{}&type=rough", bounds(site.at(75), site.at(125))))
        .await;
    assert_eq!(cut.status, 200, "{}", cut.text());
    assert!(cut.complete && cut.body == files[1..3].concat());
    assert_eq!(cut.header("content-type"), Some("video/mp2t"));
    assert_eq!(
        cut.header("content-disposition"),
        Some("attachment; filename=\"test_source_2026-01-01T23-59-59_2026-01-02T00-00-01.ts\"")
    );
    assert_eq!(cut.header("access-control-allow-origin"), Some("*"));
    let query = format!(
        "{}&{}&type=rough",
        range(site.at(100), site.at(101)),
        range(site.at(0), site.at(101))
    );
    let cut = site.cut(&query).await;
    assert!(cut.body == [&files[2..3], &files[..3]].concat().concat());
    // Part of a packet would spoil the next one.
    let shorter = &files[1][..files[1].len() - 100];
    fs::write(&site.video.segments[1].path, shorter).expect("the file");
    let cut = site
        .cut(&format!("{}&type=rough", bounds(site.at(75), site.at(125))))
        .await;
    let whole = shorter.len() - shorter.len() % 188;
    assert!(cut.body == [&shorter[..whole], &files[2]].concat());
}

#[tokio::test]
async fn fragmented_mp4_has_its_init_section_once() {
    let mut live = LiveHls::start(LiveHlsOptions {
        container: Container::Fmp4,
        segment_seconds: 1,
        max_seconds: 4,
        ..LiveHlsOptions::default()
    })
    .await;
    live.wait_first_playlist(std::time::Duration::from_secs(60))
        .await;
    tests::eventually(
        std::time::Duration::from_secs(60),
        "three segments",
        async || {
            let there = live.directory().join("2.m4s").is_file();
            there.then_some(()).ok_or("not yet".to_owned())
        },
    )
    .await;
    let read = |name: &str| fs::read(live.directory().join(name)).expect("the file");
    let init = read("init.mp4");
    let site = Site::start(&options(), &[]).await;
    let directory = site.node.base_dir().join("test/mp4/2026-01-02T03");
    fs::create_dir_all(&directory).expect("a directory");
    let mut expected = init.clone();
    for number in 0..3 {
        let media = read(&format!("{number}.m4s"));
        expected.extend(&media);
        let content = [init.clone(), media].concat();
        let hash = tests::content::sha256_base64(&content);
        let name = format!("00:{number:02}.000000-1.0-full-{hash}.ts");
        fs::write(directory.join(name), content).expect("a file");
    }
    let target = "/cut/test/mp4.ts?start=2026-01-02T03:00:00&end=2026-01-02T03:00:03&type=rough";
    let cut = site.node.get(target).await;
    assert_eq!(cut.status, 200, "{}", cut.text());
    assert_eq!(cut.header("content-type"), Some("video/mp4"));
    assert!(cut.body == expected);
    let file = site.node.base_dir().join("cut.mp4");
    fs::write(&file, &cut.body).expect("a file");
    let file = file.to_str().expect("a path");
    let probed = probe(file).await;
    assert!(probed.readable && probed.errors.is_empty(), "{probed:?}");
    let decoded = decode(file).await;
    assert!(decoded.success && decoded.errors.is_empty(), "{decoded:?}");
    assert_eq!(decoded.frames, 75);
    // And what has to be coded anew can be.
    for kind in ["mpegts", "fast"] {
        let target = format!(
            "/cut/test/mp4.ts?start=2026-01-02T03:00:00.4&end=2026-01-02T03:00:02.2&type={kind}"
        );
        let cut = site.node.get(&target).await;
        assert_eq!(cut.status, 200, "{kind}: {}", cut.text());
        assert_eq!(cut.header("content-type"), Some("video/mp2t"));
        let file = site.node.base_dir().join("cut.ts");
        fs::write(&file, &cut.body).expect("a file");
        let decoded = decode(file.to_str().expect("a path")).await;
        assert_eq!(decoded.frames, 45, "{kind}: {decoded:?}");
    }
}
