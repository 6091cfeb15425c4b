//! Playlists as the field serves them: the samples of the project, and what a line can be.

use std::path::Path;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::*;

fn base() -> Url {
    "https://example.com/live/index.m3u8".parse().unwrap()
}

pub(super) fn media(text: &str) -> MediaPlaylist {
    match read(text.as_bytes(), &base()).unwrap() {
        Playlist::Media(media) => media,
        Playlist::Master(master) => panic!("a master playlist: {master:?}"),
    }
}

fn master(text: &str) -> MasterPlaylist {
    match read(text.as_bytes(), &base()).unwrap() {
        Playlist::Master(master) => master,
        Playlist::Media(media) => panic!("a media playlist: {media:?}"),
    }
}

/// A sample that was handed to us with the contract.
fn sample(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/playlist/samples");
    std::fs::read_to_string(directory.join(name)).unwrap()
}

fn date(text: &str) -> Option<DateTime<Utc>> {
    Some(common::dateutil::parse(text).unwrap())
}

pub(super) fn last_parts(media: &MediaPlaylist) -> Vec<&str> {
    let last = |s: &Listed| {
        s.url
            .as_str()
            .rsplit_once('/')
            .map_or(0, |(head, _)| head.len() + 1)
    };
    media
        .segments
        .iter()
        .map(|s| &s.url.as_str()[last(s)..])
        .collect()
}

#[test]
fn ffmpeg_dates_without_a_colon_and_all_digits_of_a_duration() {
    let list = media(&sample("ffmpeg-live.m3u8"));
    assert_eq!(list.segments[0].sequence, 17);
    assert_eq!(list.segments[0].date, date("2026-01-02T02:59:58.135Z"));
    assert_eq!(list.segments[2].duration.to_string(), "2.021234567");
    assert_eq!(list.target_duration.as_secs(), 2);
    assert_eq!(list.total().as_micros(), 6_025_235);
    assert!(!list.ended && list.problems.lines().is_empty());
}

#[test]
fn a_map_with_a_range_lasts_to_the_next_map() {
    let list = media(&sample("fmp4-map-change.m3u8"));
    let inits: Vec<_> = list
        .segments
        .iter()
        .map(|s| s.init.as_deref().unwrap())
        .collect();
    assert_eq!(inits[0].url.as_str(), "https://example.com/live/init-a.mp4");
    assert_eq!(
        inits[0].range,
        Some(ByteRange {
            offset: 0,
            length: 812
        })
    );
    assert_eq!(inits[1], inits[0]);
    assert_eq!(inits[2].range, None);
    let discontinuities: Vec<_> = list.segments.iter().map(|s| s.discontinuity).collect();
    assert_eq!(discontinuities, [false, false, true]);
}

#[test]
fn keys_rotate_and_end() {
    let list = media(&sample("aes-rotation.m3u8"));
    let shown: Vec<_> = list
        .segments
        .iter()
        .map(|s| {
            s.encryption
                .as_ref()
                .map(|e| (e.key.as_ref().unwrap().path().to_owned(), e.iv))
        })
        .collect();
    assert_eq!(
        shown,
        [
            Some(("/live/key-52.bin".into(), Some(0x1E72))),
            Some(("/live/key-53.bin".into(), None)),
            Some(("/live/key-53.bin".into(), None)),
            None
        ]
    );
}

#[test]
fn ranges_follow_on_and_gaps_are_told() {
    let list = media(&sample("byteranges-gap.m3u8"));
    let shown: Vec<_> = list
        .segments
        .iter()
        .map(|s| (s.range.map(|r| (r.offset, r.length)), s.gap))
        .collect();
    assert_eq!(
        shown,
        [
            (Some((0, 376_000)), false),
            (Some((376_000, 188_000)), false),
            (None, true),
            (Some((752_000, 94_000)), false)
        ]
    );
}

#[test]
fn parts_hints_and_prefetches_are_left_alone() {
    assert_eq!(
        last_parts(&media(&sample("llhls.m3u8"))),
        ["seg266.mp4", "seg267.mp4"]
    );
    let list = media(&sample("twitch-preroll.m3u8"));
    assert_eq!(list.segments.len(), 5);
}

#[test]
fn the_three_kinds_of_advertisement() {
    let shown = |list: &MediaPlaylist| -> String {
        list.segments
            .iter()
            .map(|s| if s.advertisement { 'a' } else { '.' })
            .collect()
    };
    let twitch = sample("twitch-preroll.m3u8");
    assert_eq!(shown(&media(&twitch)), "aaa..");
    // By title alone, and by date range alone.
    assert_eq!(
        shown(&media(&twitch.replace("twitch-stitched-ad", "x"))),
        "aaa.."
    );
    let by_date = twitch.replace(",Amazon|5000000000", ",");
    assert_eq!(shown(&media(&by_date)), "aaa..");
    // A range without an end lasts to the discontinuity.
    assert_eq!(
        shown(&media(&by_date.replace("DURATION=5.003,", ""))),
        "aaa.."
    );
    assert_eq!(shown(&media(&sample("scte35.m3u8"))), ".aa.");
}

#[test]
fn a_twitch_master_playlist_has_names() {
    let list = master(&sample("twitch-master.m3u8"));
    let names: Vec<_> = list
        .variants
        .iter()
        .map(|v| v.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["1080p60 (source)", "720p60", "480p", "audio_only"]);
    assert_eq!(list.variants[1].bandwidth, 3_422_999);
    assert_eq!(list.variants[0].url.host_str(), Some("weaver.example"));
}

#[test]
fn sound_of_its_own_goes_with_its_variant() {
    let list = master(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",URI=\"en.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"muxed\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2\nw.m3u8\n",
    );
    assert_eq!(list.variants[0].audio.len(), 1);
    assert_eq!(list.variants[0].audio[0].url.path(), "/live/en.m3u8");
    assert!(list.variants[1].audio.is_empty());
}

#[test]
fn line_ends_marks_and_every_form_of_uri() {
    let text = "\u{feff}#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n\r\n#EXTINF:2,\r\nrel.ts\r\n\
        #EXTINF:2,\r\n/abs.ts\r\n#EXTINF:2,\r\n//other/x.ts\r\n#EXTINF:2,\r\nhttp://h/y.ts?q=1\r\n\
        #EXT-X-ENDLIST\r\n";
    let list = media(text);
    let urls: Vec<_> = list.segments.iter().map(|s| s.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://example.com/live/rel.ts",
            "https://example.com/abs.ts",
            "https://other/x.ts",
            "http://h/y.ts?q=1"
        ]
    );
    assert!(list.ended);
}

#[test]
fn the_pace_is_the_target_duration_or_what_is_shown_if_that_is_less() {
    for (target, segments, in_vain, pace) in [
        (0, 20, 0, 5000),
        (2, 20, 0, 2000),
        (10, 3, 0, 750),
        (10, 3, 9, 750),
        // It stands still.
        (10, 3, 10, 10_000),
        (2, 20, u32::MAX, 2000),
        (0, 3, 10, 0),
        (0, 3, 0, 750),
        (4, 0, 0, 4000),
        (0, 0, 0, 0),
    ] {
        let listed = "#EXTINF:0.25,\na.ts\n".repeat(segments);
        let list = media(&format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n{listed}"
        ));
        let got = list.pace(in_vain).as_millis();
        assert_eq!(got, pace, "{target} {segments} {in_vain}");
    }
}

#[test]
fn the_number_of_discontinuities_is_no_discontinuity_and_a_dropped_segment_hides_none() {
    let list = media(
        "#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXTINF:2,\na.ts\n\
         #EXTINF:2,\nb.ts\n\
         #EXT-X-DISCONTINUITY\n#EXTINF:x,\nc.ts\n#EXTINF:2,\nd.ts\n#EXTINF:2,\ne.ts\n",
    );
    let shown: Vec<_> = list.segments.iter().map(|s| s.discontinuity).collect();
    assert_eq!(shown, [false, false, true, false]);
    assert_eq!(list.discontinuities, Some(3));
    assert!(
        list.segments
            .iter()
            .all(|s| s.init == list.segments[0].init)
    );
    assert!(list.segments[0].init.is_some());
}

#[test]
fn variables_stand_in_uris_of_all_kinds() {
    let list = media(
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"v\",VALUE=\"x/y\"\n#EXT-X-MAP:URI=\"{$v}/i.mp4\"\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"{$v}/k\"\n#EXTINF:2,\n{$v}/a.ts\n\
         #EXTINF:2,\n{$none}/b.ts\n",
    );
    let first = &list.segments[0];
    let key = first.encryption.as_ref().unwrap().key.as_ref().unwrap();
    let init = &first.init.as_ref().unwrap().url;
    let paths = [&*first.url, init, key].map(|url| url.path().to_owned());
    for (path, end) in paths.iter().zip(["/x/y/a.ts", "/x/y/i.mp4", "/x/y/k"]) {
        assert!(path.ends_with(end), "{path}");
    }
    assert_eq!(list.unreadable, [1]);
}

#[test]
fn what_is_no_playlist_is_an_error_that_says_so() {
    let error = read(b"<html>no</html>", &base()).unwrap_err();
    assert!(error.to_string().contains("<html>no</html>"), "{error}");
    assert!(read(b"", &base()).is_err());
    let skip = b"#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n";
    assert_eq!(read(skip, &base()), Err(PlaylistError::Delta));
}

/// What m3u8-rs reads, we read too: two opinions on lists of every shape it can write.
#[test]
fn agrees_with_m3u8_rs_on_a_day_of_segments() {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:5\n".to_owned();
    for n in 0..43_200 {
        let millis = 1_900 + n % 250;
        text.push_str(&format!(
            "#EXTINF:{}.{:03},t{n}\ns{n}.ts\n",
            millis / 1000,
            millis % 1000
        ));
    }
    let ours = media(&text);
    let (_, theirs) = m3u8_rs::parse_media_playlist(text.as_bytes()).unwrap();
    assert_eq!(ours.segments.len(), theirs.segments.len());
    for (our, their) in ours.segments.iter().zip(&theirs.segments) {
        assert!(our.url.as_str().ends_with(&format!("/{}", their.uri)));
        assert!((our.duration.as_secs() - f64::from(their.duration)).abs() < 1e-6);
    }
    assert_eq!(ours.segments[0].sequence, theirs.media_sequence);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("#EXTINF:2.0,".to_owned()),
                Just("a.ts".to_owned()),
                "#EXT-X-(MAP|KEY|BYTERANGE|DATERANGE|MEDIA|STREAM-INF|PROGRAM-DATE-TIME|MEDIA-SEQUENCE|TARGETDURATION):[A-Z\"=,@:0-9.a-z/-]{0,40}",
                any::<String>(),
            ],
            0..30,
        ),
    ) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        let _ = read(text.as_bytes(), &base());
    }
}
