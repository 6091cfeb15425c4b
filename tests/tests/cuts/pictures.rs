//! Frames and waveforms.

use chrono::TimeDelta;
use tests::numbered::{Codec, Options, look};

use crate::field::{replace, site_at};
use crate::support::{Site, bounds, time};

#[tokio::test]
async fn the_frame_that_is_on_screen() {
    let common = Options {
        seconds: 6.0,
        open_gop: true,
        ..Options::default()
    };
    let h265 = Options {
        codec: Codec::H265,
        fps: (30000, 1001),
        ..common.clone()
    };
    for options in [common, h265] {
        let site = Site::start(&options, &[]).await;
        let short = TimeDelta::microseconds(1);
        // The first and last of a segment, some that need the segment before, some in between.
        for number in [0, 49, 50, 58, 90, 148] {
            for instant in [site.at(number), site.at(number + 1) - short] {
                let target = format!("/frame/test/source.png?timestamp={}", time(instant));
                let answer = site.node.get(&target).await;
                assert_eq!(answer.status, 200, "{number}: {}", answer.text());
                assert_eq!(answer.header("content-type"), Some("image/png"));
                let disposition = answer.header("content-disposition").expect("a name");
                assert!(
                    disposition.starts_with("inline; filename=\"test_source_2026-01-02T03-00-")
                );
                let seen = look(&answer.body).await;
                assert_eq!(seen.numbers, [Some(number)], "{options:?} at {instant}");
            }
        }
    }
}

#[tokio::test]
async fn of_segments_that_overlap_the_later_one_is_on_screen() {
    let site = site_at(0.0).await;
    let content = std::fs::read(&site.video.segments[1].path).expect("it is there");
    replace(&site, 1, TimeDelta::milliseconds(-50), "full", &content);
    // In milliseconds from the first one's end.
    for (after, number) in [(-55, 48), (1, 51), (5, 51)] {
        let instant = site.at(50) + TimeDelta::milliseconds(after);
        let target = format!("/frame/test/source.png?timestamp={}", time(instant));
        let answer = site.node.get(&target).await;
        assert_eq!(answer.status, 200, "{after}: {}", answer.text());
        assert_eq!(look(&answer.body).await.numbers, [Some(number)], "{after}");
    }
}

#[tokio::test]
async fn a_waveform_is_loud_where_it_clicks() {
    let site = Site::start(
        &Options {
            seconds: 6.0,
            ..Options::default()
        },
        &[],
    )
    .await;
    // Clicks are 8 pictures apart, 0.32 s; a column is 0.04 s.
    let query = format!("{}&size=80x20", bounds(site.at(16), site.at(96)));
    let answer = site
        .node
        .get(&format!("/waveform/test/source.png?{query}"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("image/png"));
    std::fs::write(site.node.base_dir().join("wave.png"), &answer.body).expect("a file");
    let output = tokio::process::Command::new("ffmpeg")
        .args(
            "-loglevel error -i wave.png -vf format=rgba,alphaextract -f rawvideo -pix_fmt gray -"
                .split(' '),
        )
        .current_dir(site.node.base_dir())
        .output()
        .await
        .expect("ffmpeg");
    let pixels = output.stdout;
    assert_eq!(
        pixels.len(),
        80 * 20,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let height = |column: usize| (0..20).filter(|row| pixels[row * 80 + column] > 0).count();
    let all: Vec<usize> = (0..80).map(height).collect();
    for column in 0..80 {
        // A click may reach into the next column, or a little into the one before.
        match column % 8 {
            0 => assert!(height(column) > 5, "{column}: {all:?}"),
            2..=6 => assert!(height(column) <= 4, "{column}: {all:?}"),
            _ => {}
        }
    }
    let default = site
        .node
        .get(&format!(
            "/waveform/test/source.png?{}",
            bounds(site.at(0), site.at(9))
        ))
        .await;
    assert_eq!(default.status, 200);
    assert_eq!(default.body[16..24], [0, 0, 4, 0, 0, 0, 0, 64]);
}
