//! Exact cuts of which most is copied, and their transitions.

use tests::numbered::{Codec, Options};

use crate::support::{Site, bounds, holds, pictures, range};

#[tokio::test]
async fn the_pictures_asked_for_and_transitions_between_them() {
    let common = Options {
        seconds: 8.0,
        start: "2026-01-02T03:59:57Z".parse().expect("a time"),
        ..Options::default()
    };
    let h265 = Options {
        codec: Codec::H265,
        fps: (30, 1),
        ..common.clone()
    };
    for options in [common, h265] {
        let site = Site::start(&options, &["--ffmpeg-processes", "1"]).await;
        for kind in ["fast", "smart"] {
            let what = format!("{kind} {:?}", options.codec);
            for (first, end) in [(49, 51), (7, 8), (63, 187)] {
                let query = format!("{}&type={kind}", bounds(site.at(first), site.at(end)));
                let reading = site.looked_at(&query).await;
                holds(&reading, first..end, &what);
            }
            let query = format!(
                "{}&{}&{}&transition=&transition=fade,0.4&type={kind}",
                range(site.at(150), site.at(170)),
                range(site.at(10), site.at(90)),
                range(site.at(100), site.at(180)),
            );
            let reading = site.looked_at(&query).await;
            let faded = (options.fps.0 * 2 / 5) as usize;
            assert_eq!(reading.numbers.len(), 20 + 80 + 80 - faded, "{what}");
            let (before, after) = (100 - faded, 100);
            let known = pictures(&[150..170, 10..90]).take(before).map(Some);
            assert_eq!(
                reading.numbers[..before],
                known.collect::<Vec<_>>(),
                "{what}"
            );
            let known = (100 + faded as u32..180).map(Some);
            assert_eq!(
                reading.numbers[after..],
                known.collect::<Vec<_>>(),
                "{what}"
            );
            assert!(reading.numbers[before..after].contains(&None), "{what}");
            if kind == "smart" {
                let frame = 1.0 / f64::from(options.fps.0);
                for pair in reading.times.windows(2) {
                    assert!(
                        (pair[1] - pair[0] - frame).abs() < frame / 2.0,
                        "{what}: {pair:?}"
                    );
                }
            }
        }
    }
}
