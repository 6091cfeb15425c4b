//! The live stream that ffmpeg makes is what the scenarios take it for.

use std::time::Duration;

use tests::ffmpeg::{Container, LiveHls, LiveHlsOptions, decode, probe};
use tests::origin::{Fault, Matching};
use tests::raw;

/// ffmpeg writes its first segment after as many seconds as it has; the machine may be busy.
const FIRST: Duration = Duration::from_secs(60);

fn short(options: LiveHlsOptions) -> LiveHlsOptions {
    LiveHlsOptions {
        segment_seconds: 1,
        max_seconds: 60,
        ..options
    }
}

#[tokio::test]
async fn segments_are_exact_dated_and_decodable() {
    let mut live = LiveHls::start(short(LiveHlsOptions::default())).await;
    let playlist = live.wait_first_playlist(FIRST).await;
    assert!(playlist.contains("#EXTINF:1.000000,\n"), "{playlist}");
    assert!(playlist.contains("+0000\n"), "{playlist}");
    assert!(!playlist.contains("ENDLIST"), "{playlist}");

    let segment = live.origin().url("/live/0.ts");
    let probed = probe(&segment).await;
    assert!(probed.readable && probed.errors.is_empty(), "{probed:?}");
    assert_eq!(probed.stream("video").unwrap().size, Some((320, 180)));
    assert_eq!(probed.stream("audio").unwrap().codec, "aac");
    assert!((probed.duration.unwrap() - 1.0).abs() < 0.2, "{probed:?}");
    let decoded = decode(&segment).await;
    assert!(decoded.success && decoded.errors.is_empty(), "{decoded:?}");
    assert_eq!(decoded.frames, 25, "{decoded:?}");

    let origin = live.origin();
    origin.always(Matching::suffix(".ts"), Fault::status(500));
    assert_eq!(raw::get(origin.address(), "/live/0.ts").await.status, 500);
    assert!(live.finish().await.code().is_some());
    assert_eq!(live.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn fragmented_mp4_has_an_init_section() {
    let mut live = LiveHls::start(short(LiveHlsOptions {
        container: Container::Fmp4,
        b_frames: 0,
        ..LiveHlsOptions::default()
    }))
    .await;
    let playlist = live.wait_first_playlist(FIRST).await;
    assert!(
        playlist.contains("#EXT-X-MAP:URI=\"init.mp4\""),
        "{playlist}"
    );
    let address = live.origin().address();
    let init = raw::get(address, "/live/init.mp4").await;
    let segment = raw::get(address, "/live/0.m4s").await;
    let joined = live.directory().join("joined.mp4");
    std::fs::write(&joined, [init.body, segment.body].concat()).unwrap();
    let decoded = decode(joined.to_str().unwrap()).await;
    assert!(decoded.success && decoded.frames == 25, "{decoded:?}");
}

#[tokio::test]
async fn encrypted_segments_play_by_the_playlist() {
    let mut live = LiveHls::start(short(LiveHlsOptions {
        key: Some(*b"0123456789abcdef"),
        ..LiveHlsOptions::default()
    }))
    .await;
    let playlist = live.wait_first_playlist(FIRST).await;
    assert!(
        playlist.contains("METHOD=AES-128,URI=\"key.bin\""),
        "{playlist}"
    );
    let key = raw::get(live.origin().address(), "/live/key.bin").await;
    assert_eq!(key.body.as_ref(), b"0123456789abcdef");
    assert!(!probe(&live.origin().url("/live/0.ts")).await.readable);
    assert!(probe(&live.master_url()).await.readable);
}

#[tokio::test]
async fn what_is_no_video_is_told_so() {
    let probed = probe("/dev/null").await;
    assert!(!probed.readable && !probed.errors.is_empty(), "{probed:?}");
    assert!(!decode("/dev/null").await.success);
}
