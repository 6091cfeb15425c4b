//! Numbered video is what the scenarios of cuts take it for.

use tempfile::TempDir;
use tests::numbered::{Codec, Options, look, make};

#[tokio::test]
async fn every_picture_has_its_number_and_every_segment_its_time() {
    let common = Options {
        seconds: 4.0,
        ..Options::default()
    };
    let table = [
        common.clone(),
        Options {
            fps: (30000, 1001),
            open_gop: true,
            first: 1000,
            clock: 95_441.0, // begins anew within
            ..common.clone()
        },
        Options {
            codec: Codec::H265,
            open_gop: true,
            ..common.clone()
        },
        Options {
            codec: Codec::H265,
            b_frames: false,
            fps: (60, 1),
            keys: 1,
            sound: false,
            start: "2026-01-02T03:59:58Z".parse().expect("a time"),
            ..common
        },
    ];
    for options in table {
        let base = TempDir::new().expect("a directory");
        let made = make(base.path(), &options).await;
        assert_eq!(made.segments.len(), 2, "{options:?}");
        let mut expected = options.first;
        for segment in &made.segments {
            assert_eq!(segment.numbers.start, expected);
            expected = segment.numbers.end;
            assert_eq!(segment.start, made.instant(segment.numbers.start));
            let reading = look(&std::fs::read(&segment.path).expect("the file")).await;
            let numbers: Vec<u32> = reading.numbers.iter().flatten().copied().collect();
            // With an open GOP, the first ones need the segment before.
            let whole: Vec<u32> = segment.numbers.clone().collect();
            if options.open_gop && options.b_frames && segment.numbers.start != options.first {
                assert!(
                    whole.ends_with(&numbers) && numbers.len() + 3 >= whole.len(),
                    "{reading:?}"
                );
            } else {
                assert_eq!(numbers, whole, "{options:?}");
            }
            assert_eq!(reading.sound.is_some(), options.sound);
            if options.sound {
                let off = reading.sound_off().expect("it clicks");
                assert!(off.abs() < 0.02, "{off}");
            }
        }
    }
}
