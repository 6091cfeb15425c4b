use super::*;
use proptest::prelude::*;

#[test]
fn pictures() {
    use Access::{Closed, None, Open};
    // (codec, bytes, entry, access, disposable, parameters)
    type Row = (Codec, &'static [u8], bool, Access, bool, bool);
    let table: [Row; 9] = [
        (
            Codec::H264,
            &[0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88],
            false,
            Closed,
            false,
            true,
        ),
        // A slice of I macroblocks (first 0, type 7) after a recovery point, and without.
        (
            Codec::H264,
            &[0, 0, 1, 6, 6, 1, 0xc4, 0, 0, 1, 0x61, 0x88],
            false,
            Open,
            false,
            false,
        ),
        (
            Codec::H264,
            &[0, 0, 1, 0x61, 0x88],
            true,
            Open,
            false,
            false,
        ),
        (
            Codec::H264,
            &[0, 0, 1, 0x61, 0x88],
            false,
            None,
            false,
            false,
        ),
        // A P slice (type 5) is no entry, whatever the packet said.
        (
            Codec::H264,
            &[0, 0, 1, 0x61, 0x98],
            true,
            None,
            false,
            false,
        ),
        (
            Codec::H264,
            &[0, 0, 1, 0x01, 0x9c],
            false,
            None,
            true,
            false,
        ),
        (
            Codec::H265,
            &[0, 0, 1, 0x42, 1, 0, 0, 1, 0x28, 1],
            false,
            Closed,
            false,
            true,
        ),
        (Codec::H265, &[0, 0, 1, 0x2a, 1], false, Open, false, false),
        (Codec::H265, &[0, 0, 1, 0x02, 1], true, None, false, false),
    ];
    for (codec, bytes, entry, access, is_disposable, has_parameters) in table {
        let found = look(codec, bytes, entry);
        let expected = Picture {
            access,
            is_disposable,
            has_parameters,
            is_damaged: false,
        };
        assert_eq!(found, expected, "{bytes:x?}");
    }
    assert!(look(Codec::H264, &[0, 0, 1], true).is_damaged);
}

#[test]
fn a_picture_and_more_of_it() {
    // (codec, bytes, begins)
    let table: [(Codec, &[u8], bool); 9] = [
        (Codec::H264, &[0, 0, 0, 1, 9, 0x10], true),
        (Codec::H264, &[0, 0, 1, 0x41, 0x9a], true),
        (Codec::H264, &[0, 0, 1, 0x41, 0x3a], false),
        (Codec::H264, &[7, 0, 0, 1, 9], false),
        (Codec::H265, &[0, 0, 1, 0x02, 1, 0x80], true),
        (Codec::H265, &[0, 0, 1, 0x02, 1, 0x40], false),
        (Codec::H265, &[0, 0, 0, 1, 0x46, 1], true),
        (Codec::OtherVideo, &[0, 0, 1, 0, 0], true),
        (Codec::OtherVideo, &[0, 0, 1, 5, 0], false),
    ];
    for (codec, bytes, expected) in table {
        assert_eq!(begins(codec, bytes), expected, "{bytes:x?}");
    }
}

#[test]
fn parameters_go_after_the_delimiter() {
    let with = [
        0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 100, 0, 31, 5, 0, 0, 1, 0x68, 9, 0, 0, 1, 0x65, 0x88,
    ];
    let found = parameters(Codec::H264, &with);
    assert_eq!(found, with[6..20]);
    assert_eq!(h264_profile(&found), Some((100, 31)));
    let mut without = [&with[..6], &with[20..]].concat();
    insert_parameters(Codec::H264, &mut without, &found);
    assert_eq!(without, with);
}

#[test]
fn a_picture_begins_anew() {
    let mut picture = vec![0, 0, 1, 0x46, 1, 0, 0, 1, 0x2a, 1, 7, 0, 0, 1, 0x2a, 1, 8];
    begin_anew(Codec::H265, &mut picture);
    assert_eq!(
        picture,
        [0, 0, 1, 0x46, 1, 0, 0, 1, 0x24, 1, 7, 0, 0, 1, 0x24, 1, 8]
    );
}

proptest! {
    #[test]
    fn nothing_panics(units in proptest::collection::vec(proptest::collection::vec(0..=9_u8, 0..8), 0..6), entry: bool) {
        let mut bytes: Vec<u8> = units.join(&[0, 0, 1][..]);
        for codec in [Codec::H264, Codec::H265] {
            let _ = look(codec, &bytes, entry);
            let found = parameters(codec, &bytes);
            let _ = (h264_profile(&found), begins(codec, &bytes));
            insert_parameters(codec, &mut bytes, &found);
            begin_anew(codec, &mut bytes);
        }
    }
}
