//! What the list of a live stream says, line by line.

use chrono::TimeDelta;

use super::*;

/// The lines behind the head of a list.
fn body(stream: &LiveStream) -> Vec<String> {
    let text = stream.render();
    let lines = text.lines().skip_while(|l| !l.contains("MEDIA-SEQUENCE"));
    lines.skip(1).map(str::to_owned).collect()
}

async fn stream(options: LiveOptions) -> (Origin, LiveStream) {
    let origin = Origin::start().await;
    let stream = LiveStream::new(&origin, "/live", options);
    (origin, stream)
}

#[tokio::test]
async fn the_window_moves_by_hand() {
    let (_origin, mut stream) = stream(LiveOptions {
        window: 2,
        ..LiveOptions::default()
    })
    .await;
    for _ in 0..3 {
        stream.push(100);
    }
    stream.end();
    assert_eq!(
        stream.render(),
        "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n\
         #EXT-X-PROGRAM-DATE-TIME:2024-11-08T22:59:52.000Z\n#EXTINF:2.000,\n1.ts\n\
         #EXT-X-PROGRAM-DATE-TIME:2024-11-08T22:59:54.000Z\n#EXTINF:2.000,\n2.ts\n\
         #EXT-X-ENDLIST\n"
    );
    let (_, read) = m3u8_rs::parse_media_playlist(stream.render().as_bytes()).unwrap();
    assert_eq!((read.media_sequence, read.segments.len()), (1, 2));
}

#[tokio::test]
async fn dates_and_zones() {
    let dated = |dates, zone| LiveOptions {
        window: 2,
        dates,
        zone,
        ..LiveOptions::default()
    };
    let table = [
        (
            Dates::Every,
            Zone::PlusZero,
            vec!["22:59:52.000+0000", "22:59:54.000+0000"],
        ),
        (
            Dates::FirstInList,
            Zone::PlusColonZero,
            vec!["22:59:52.000+00:00"],
        ),
        (
            Dates::FirstInList,
            Zone::Minutes(-90),
            vec!["21:29:52.000-01:30"],
        ),
        (Dates::FirstOnly, Zone::Z, vec![]),
        (Dates::Never, Zone::Z, vec![]),
    ];
    for (dates, zone, expected) in table {
        let (_origin, mut stream) = stream(dated(dates, zone)).await;
        for _ in 0..3 {
            stream.push(1);
        }
        let got: Vec<_> = body(&stream)
            .iter()
            .filter_map(|l| {
                Some(
                    l.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:2024-11-08T")?
                        .to_owned(),
                )
            })
            .collect();
        assert_eq!(got, expected, "{dates:?} {zone:?}");
    }
}

#[tokio::test]
async fn byte_ranges_of_one_file() {
    for (ranges, second) in [
        (ByteRanges::WithOffset, "#EXT-X-BYTERANGE:200@100"),
        (ByteRanges::Implied, "#EXT-X-BYTERANGE:200"),
    ] {
        let (_origin, mut stream) = stream(LiveOptions {
            byte_ranges: ranges,
            dates: Dates::Never,
            ..LiveOptions::default()
        })
        .await;
        stream.push(100);
        let published = stream.push(200);
        assert_eq!(
            body(&stream),
            [
                "#EXTINF:2.000,",
                "#EXT-X-BYTERANGE:100@0",
                "all.ts",
                "#EXTINF:2.000,",
                second,
                "all.ts"
            ]
        );
        assert_eq!(published.byte_range, Some((200, 100)));
    }
}

#[tokio::test]
async fn tags_init_sections_discontinuities_and_names() {
    let (origin, mut stream) = stream(LiveOptions {
        window: 2,
        dates: Dates::Never,
        uris: Uris::SchemeLess,
        query: "?t=1".to_owned(),
        crlf: true,
        byte_order_mark: true,
        ..LiveOptions::default()
    })
    .await;
    stream.push(1);
    stream.set_init("init");
    let first = stream.push_segment(NewSegment::new("1.5", "x").title("live").discontinuity());
    stream.set_init_at("URI=\"other\"", "other");
    stream.push_segment(
        NewSegment::new("3.1", "y")
            .named("y.m4s")
            .tag("#EXT-X-GAP")
            .missing(),
    );
    let host = origin.address();
    assert!(stream.render().starts_with("\u{FEFF}#EXTM3U\r\n"));
    assert!(stream.render().contains("#EXT-X-TARGETDURATION:4\r\n"));
    assert_eq!(
        body(&stream),
        [
            &format!("#EXT-X-MAP:URI=\"//{host}/live/init0.mp4\""),
            "#EXT-X-DISCONTINUITY",
            "#EXTINF:1.5,live",
            &format!("//{host}/live/1.ts?t=1"),
            "#EXT-X-MAP:URI=\"other\"",
            "#EXT-X-GAP",
            "#EXTINF:3.1,",
            &format!("//{host}/live/y.m4s?t=1"),
        ]
    );
    assert_eq!(first.stored().as_ref(), b"initx");
    stream.push(1);
    assert!(!stream.render().contains("DISCONTINUITY-SEQUENCE:2"));
    assert!(
        stream
            .render()
            .contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\r\n")
    );
}

#[tokio::test]
async fn restart_jump_and_renumber() {
    let (_origin, mut stream) = stream(LiveOptions::default()).await;
    let first = stream.push(10);
    stream.restart(true);
    assert!(stream.listed().next().is_none());
    let second = stream.push(10);
    assert_eq!((second.sequence, &second.path), (0, &first.path));
    assert_ne!(second.content, first.content);
    stream.restart(false);
    assert_eq!(stream.push(10).path, "/live/r2-0.ts");
    stream.renumber(70);
    let start = first.start + TimeDelta::hours(1);
    stream.jump_to(start);
    let published = stream.push(10);
    assert_eq!((published.sequence, published.start), (70, start));
    assert_eq!(
        first.file(),
        format!(
            "2024-11-08T22/59:50.000000-2.0-full-{}.ts",
            content::sha256_base64(&first.content)
        )
    );
}
