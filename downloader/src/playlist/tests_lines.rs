//! Lines that make no sense, and what they cost.

use super::tests::{last_parts, media};
use super::*;

#[test]
fn a_bad_line_costs_its_segment_and_is_reported() {
    let list = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:x\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:nan,\na.ts\n\
         #EXTINF:2.0,\nfile:///etc/passwd\nb.ts\n#EXT-X-PROGRAM-DATE-TIME:yesterday\n\
         #EXTINF:2.0,\nc.ts\n#EXTINF:2.0,\n#EXT-X-BYTERANGE:0@5\nd.ts\n#EXTINF:1.5\ne.ts\n",
    );
    assert_eq!(last_parts(&list), ["c.ts", "e.ts"]);
    assert_eq!(list.segments[0].sequence, 10);
    assert_eq!(list.segments[0].date, None);
    let problems = list.problems.lines().join("\n");
    for part in [
        "EXT-X-TARGETDURATION",
        "segment 7: its duration is \"nan\"",
        "segment 8: its URI has the scheme \"file\"",
        "segment 9: no EXTINF",
        "\"yesterday\"",
        "segment 11: its range is \"0@5\"",
    ] {
        assert!(problems.contains(part), "{part} is not in\n{problems}");
    }
}

#[test]
fn segments_that_need_an_init_section_that_cannot_be_read_are_not_taken_without_it() {
    let list = media(
        "#EXTM3U\n#EXT-X-MAP:URI=\"data:x\"\n#EXTINF:2,\na.ts\n#EXT-X-MAP:URI=\"b.mp4\"\n\
         #EXTINF:2,\nb.ts\n",
    );
    assert_eq!(last_parts(&list), ["b.ts"]);
    let problems = list.problems.lines().join("\n");
    assert!(problems.contains("segment 0: its EXT-X-MAP"), "{problems}");
}

#[test]
fn a_range_begins_behind_the_one_before_whatever_became_of_that() {
    let map = "#EXT-X-MAP:URI=\"data:x\"\n";
    let no_map = "#EXT-X-MAP:URI=\"i.mp4\"\n";
    // The lines of the segment before, and where the next range of 10 bytes begins.
    let table = [
        (
            "#EXTINF:2,\n#EXT-X-BYTERANGE:20@5\nall.ts\n".to_owned(),
            Some(25),
        ),
        (
            "#EXTINF:nan,\n#EXT-X-BYTERANGE:20@5\nall.ts\n".to_owned(),
            Some(25),
        ),
        ("#EXT-X-BYTERANGE:20@5\nall.ts\n".to_owned(), Some(25)),
        (
            format!("{map}#EXTINF:2,\n#EXT-X-BYTERANGE:20@5\nall.ts\n{no_map}"),
            Some(25),
        ),
        // Where it ends nobody knows.
        (
            "#EXTINF:2,\n#EXT-X-BYTERANGE:x@5\nall.ts\n".to_owned(),
            None,
        ),
        (
            "#EXTINF:2,\n#EXT-X-BYTERANGE:20@5\nother.ts\n".to_owned(),
            None,
        ),
        (String::new(), None),
    ];
    for (before, expected) in table {
        let list = media(&format!(
            "#EXTM3U\n{before}#EXTINF:2,\n#EXT-X-BYTERANGE:10\nall.ts\n"
        ));
        let last = list
            .segments
            .last()
            .filter(|s| s.range.is_some_and(|r| r.length == 10));
        let offset = last.and_then(|last| Some(last.range?.offset));
        assert_eq!(offset, expected, "{before}: {:?}", list.problems);
    }
    // A map's range without an offset begins at 0 (RFC 8216 §4.3.2.5).
    let list = media(
        "#EXTM3U\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"700\"\n#EXTINF:2,\n\
         #EXT-X-BYTERANGE:20@700\nall.mp4\n",
    );
    let range = list.segments[0].init.as_ref().unwrap().range;
    let expected = ByteRange {
        offset: 0,
        length: 700,
    };
    assert_eq!(range, Some(expected));
}

#[test]
fn an_iv_that_cannot_be_read_is_not_replaced_by_another() {
    let key = |iv: &str| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"{iv}\n#EXTINF:2,\n");
    let text = format!(
        "#EXTM3U\n{}a.ts\n{}b.ts\n#EXTINF:2,\nc.ts\n{}d.ts\n{}e.ts\n\
         #EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\nf.ts\n\
         #EXT-X-MAP:URI=\"j.mp4\"\n#EXTINF:2,\ng.ts\n",
        key(""),
        key(",IV=0xXYZ"),
        key(",IV=0x7"),
        key(",IV=7"),
    );
    let list = media(&text);
    // f needs an init section that is encrypted with such an IV.
    assert_eq!(last_parts(&list), ["a.ts", "d.ts", "g.ts"]);
    assert_eq!(list.unreadable, [1, 2, 4, 5]);
    let problems = list.problems.lines().join("\n");
    assert!(
        problems.contains("segment 1: the IV of its EXT-X-KEY is \"0xXYZ\""),
        "{problems}"
    );
}

#[test]
fn a_key_in_several_formats_is_the_one_that_anybody_may_fetch() {
    let ours = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n";
    let drm = "#EXT-X-KEY:METHOD=AES-128,URI=\"data:x\",KEYFORMAT=\"com.example.drm\"\n";
    let none = "#EXT-X-KEY:METHOD=NONE\n";
    let map = "#EXT-X-MAP:URI=\"i.mp4\"\n";
    let segment = "#EXTINF:2,\ns.ts\n";
    // What applies to the last segment, and to its init section.
    let table = [
        (vec![ours, drm, segment], Some("identity"), None),
        (vec![drm, ours, segment], Some("identity"), None),
        (
            vec![ours, drm, drm, segment, segment],
            Some("identity"),
            None,
        ),
        (
            vec![ours, drm, map, segment],
            Some("identity"),
            Some("identity"),
        ),
        (
            vec![ours, map, drm, segment],
            Some("identity"),
            Some("identity"),
        ),
        // From the second segment on there is no other than that of a DRM.
        (
            vec![ours, segment, drm, segment],
            Some("com.example.drm"),
            None,
        ),
        (vec![drm, segment, ours, segment], Some("identity"), None),
        (vec![ours, drm, none, segment], None, None),
        (
            vec![ours, none, drm, segment],
            Some("com.example.drm"),
            None,
        ),
    ];
    for (lines, expected, expected_init) in table {
        let list = media(&format!("#EXTM3U\n{}", lines.concat()));
        let last = list.segments.last().unwrap();
        let format = |it: &Option<std::sync::Arc<Encryption>>| {
            it.as_ref().map(|encryption| encryption.format.clone())
        };
        let init = last.init.as_ref().and_then(|init| format(&init.encryption));
        assert_eq!(format(&last.encryption).as_deref(), expected, "{lines:?}");
        assert_eq!(init.as_deref(), expected_init, "{lines:?}");
    }
    // One whose IV cannot be read is not saved by another format.
    let list = media(
        "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=7\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"d\",KEYFORMAT=\"drm\"\n#EXTINF:2,\na.ts\n",
    );
    assert_eq!(list.unreadable, [0]);
}

#[test]
fn a_duration_that_no_name_can_hold_costs_its_segment() {
    let long = format!("1{}", "0".repeat(250));
    // Zeros at the end are no part of the name.
    let zeros = format!("2.{}", "0".repeat(250));
    let list = media(&format!(
        "#EXTM3U\n#EXTINF:{long},\na.ts\n#EXTINF:{zeros},\nb.ts\n#EXTINF:2,\nc.ts\n"
    ));
    assert_eq!(last_parts(&list), ["b.ts", "c.ts"]);
    assert_eq!(list.unreadable, [0]);
}
