//! Which pictures of a stretch are copied and which have to be coded anew. Pure.
//!
//! Pictures come in the order of decoding. A stretch begins where decoding cannot begin, in
//! general: what is shown up to the next key picture is coded anew, from there on all is copied.
//! It ends where pictures that are to be left out may be needed by some that are shown before
//! them: these are coded anew too.

use crate::footage::Picture;
use crate::mpegts::tables::Codec;
use crate::mpegts::video::Access;

/// How a stretch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The pictures to code anew, in the order shown.
    pub(super) encode: Vec<usize>,
    /// The key picture from which on all are copied.
    pub(super) copy_from: usize,
    /// Those after it which are left out of the copy: they are coded anew, or not wanted.
    pub(super) left_out: Vec<usize>,
}

/// How a stretch ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tail {
    /// The first picture that is not copied.
    pub(super) copy_until: usize,
    /// The pictures to code anew, in the order shown.
    pub(super) encode: Vec<usize>,
}

/// Finds the first key picture from which on all can be copied. `is_wanted` tells whether a
/// picture is in the stretch, whose end does not matter here: there must be none after it.
///
/// `None` if there is no such picture: more have to be looked at, or all have to be coded anew.
pub(super) fn head(
    codec: Codec,
    pictures: &[Picture],
    is_wanted: impl Fn(&Picture) -> bool,
) -> Option<Head> {
    let keys = pictures.iter().enumerate();
    let mut keys = keys.filter(|(_, key)| key.access != Access::None && is_wanted(key));
    keys.find_map(|(number, key)| {
        let is_leading = |picture: &Picture| picture.pts < key.pts;
        let after = number + 1..pictures.len();
        let before = 0..number;
        let (leading, others): (Vec<usize>, Vec<usize>) =
            after.partition(|at| is_leading(&pictures[*at]));
        if !others.iter().all(|at| is_wanted(&pictures[*at])) {
            return None;
        }
        let left_out = match (key.access, codec) {
            // All that is shown before it can be decoded from it; it is copied, or none of it.
            (Access::Closed, _) if leading.iter().all(|at| is_wanted(&pictures[*at])) => Vec::new(),
            // What is shown before it can be taken away, since nothing else needs it.
            (_, Codec::H265) => leading,
            _ => return None,
        };
        let before = before.chain(left_out.iter().copied());
        let mut encode: Vec<usize> = before.filter(|at| is_wanted(&pictures[*at])).collect();
        in_order_shown(pictures, &mut encode);
        let copied = (number..pictures.len()).filter(|at| !left_out.contains(at));
        let first_copied = copied.map(|at| pictures[at].pts).min();
        let last_encoded = encode.last().map(|at| pictures[*at].pts);
        // What is copied is shown after all of what is not.
        if last_encoded >= first_copied {
            return None;
        }
        Some(Head {
            encode,
            copy_from: number,
            left_out,
        })
    })
}

/// Finds how far can be copied, from the picture `first` on, if those that are not wanted are left
/// out. None before the end of the stretch may be unwanted.
pub(super) fn tail(
    pictures: &[Picture],
    first: usize,
    is_wanted: impl Fn(&Picture) -> bool,
) -> Tail {
    let rest = pictures.get(first..).unwrap_or_default();
    let unwanted = rest.iter().position(|picture| !is_wanted(picture));
    let mut copy_until = unwanted.map_or(pictures.len(), |at| first + at);
    let later = copy_until..pictures.len();
    let mut encode: Vec<usize> = later.filter(|at| is_wanted(&pictures[*at])).collect();
    // What is coded anew is shown after all of what is copied.
    while let Some(earliest) = encode.iter().map(|at| pictures[*at].pts).min()
        && pictures[first..copy_until]
            .iter()
            .any(|copied| copied.pts > earliest)
    {
        copy_until -= 1;
        encode.push(copy_until);
    }
    in_order_shown(pictures, &mut encode);
    Tail { copy_until, encode }
}

/// Where decoding has to begin so that all of `encode` can be shown; `None` if the picture with
/// which it would have to begin is not there.
pub(super) fn decode_from(pictures: &[Picture], encode: &[usize]) -> Option<usize> {
    let first = encode.iter().min()?;
    let shown = encode.iter().map(|at| pictures[*at].pts).min()?;
    (0..=*first).rev().find(|at| {
        let key = &pictures[*at];
        match key.access {
            Access::None => false,
            Access::Open => key.pts <= shown,
            Access::Closed => true,
        }
    })
}

fn in_order_shown(pictures: &[Picture], numbers: &mut [usize]) {
    numbers.sort_by_key(|at| pictures[*at].pts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pictures from a text: for each, in the order of decoding, when it is shown and what it is
    /// (I: closed key, C: open key, P: needed by others, b: needed by none).
    fn pictures(text: &str) -> Vec<Picture> {
        let words = text.split_whitespace().enumerate();
        let pictures = words.map(|(unit, word)| {
            let shown: i64 = word[1..].parse().unwrap();
            Picture {
                unit,
                pts: shown,
                dts: unit as i64,
                instant: shown,
                access: match &word[..1] {
                    "I" => Access::Closed,
                    "C" => Access::Open,
                    _ => Access::None,
                },
                is_disposable: word.starts_with('b'),
            }
        });
        pictures.collect()
    }

    fn shown(pictures: &[Picture], numbers: &[usize]) -> Vec<i64> {
        numbers.iter().map(|at| pictures[*at].pts).collect()
    }

    #[test]
    fn beginnings() {
        let simple = "I0 P1 P2 I3 P4 P5";
        let with_b = "I0 P3 b1 b2 P4 I5 P8 b6 b7";
        let open = "I0 P3 b1 b2 C6 b4 b5 P9 b7 b8";
        let radl = "I0 P3 b1 b2 I6 b4 b5 P7";
        // (pictures, codec, from, shown anew, copied from)
        type Row = (&'static str, Codec, i64, Option<(&'static [i64], usize)>);
        let table: [Row; 12] = [
            (simple, Codec::H264, 0, Some((&[], 0))),
            (simple, Codec::H264, -5, Some((&[], 0))),
            (simple, Codec::H264, 1, Some((&[1, 2], 3))),
            (simple, Codec::H264, 3, Some((&[], 3))),
            (simple, Codec::H264, 4, None),
            (with_b, Codec::H264, 2, Some((&[2, 3, 4], 5))),
            (with_b, Codec::H264, 5, Some((&[], 5))),
            // What leads an open key needs what is not there any more.
            (open, Codec::H264, 2, None),
            (open, Codec::H265, 2, Some((&[2, 3, 4, 5], 4))),
            (open, Codec::H265, 5, Some((&[5], 4))),
            // What leads a closed one is copied with it, unless some of it is unwanted.
            (radl, Codec::H264, 4, Some((&[], 4))),
            (radl, Codec::H264, 5, None),
        ];
        for (text, codec, from, expected) in table {
            let pictures = pictures(text);
            let found = head(codec, &pictures, |picture| picture.instant >= from);
            let found = found.map(|head| (shown(&pictures, &head.encode), head.copy_from));
            let expected = expected.map(|(shown, at)| (shown.to_vec(), at));
            assert_eq!(found, expected, "{text} from {from}");
        }
    }

    #[test]
    fn endings() {
        // (pictures, until, copied, shown anew)
        let table: [(&str, i64, usize, &[i64]); 8] = [
            ("I0 P1 P2 P3", 2, 2, &[]),
            ("I0 P1 P2 P3", 9, 4, &[]),
            ("I0 P1 P2 P3", 0, 0, &[]),
            ("I0 P4 P2 b1 b3 P8 P6 b5 b7", 9, 9, &[]),
            ("I0 P4 P2 b1 b3 P8 P6 b5 b7", 7, 5, &[5, 6]),
            ("I0 P4 P2 b1 b3 P8 P6 b5 b7", 5, 5, &[]),
            ("I0 P4 P2 b1 b3 P8 P6 b5 b7", 3, 1, &[1, 2]),
            // A picture may be shown after some that are decoded much later.
            ("I0 P3 P5 b1 b4 b2", 3, 1, &[1, 2]),
        ];
        for (text, until, copied, anew) in table {
            let pictures = pictures(text);
            let found = tail(&pictures, 0, |picture| picture.instant < until);
            assert_eq!(found.copy_until, copied, "{text} until {until}");
            assert_eq!(
                shown(&pictures, &found.encode),
                anew,
                "{text} until {until}"
            );
        }
    }

    #[test]
    fn decoding_begins_early_enough() {
        let pictures = pictures("P9 I10 P13 b11 b12 C16 b14 b15 P17");
        for (encode, expected) in [
            (&[2, 3][..], Some(1)),
            (&[8], Some(5)),
            (&[6, 8], Some(1)),
            (&[0, 1], None),
            (&[1], Some(1)),
            (&[], None),
        ] {
            assert_eq!(decode_from(&pictures, encode), expected, "{encode:?}");
        }
    }

    /// Groups of pictures as encoders make them: keys, references and up to three pictures
    /// between them.
    fn any_pictures() -> impl Strategy<Value = Vec<Picture>> {
        let group = (any::<bool>(), proptest::collection::vec(0..4_i64, 0..6));
        proptest::collection::vec(group, 1..6).prop_map(|groups| {
            let mut text = String::from("I0 ");
            let mut at = 0;
            for (is_open, groups) in groups {
                for between in groups {
                    let reference = at + between + 1;
                    text += &format!("P{reference} ");
                    for shown in at + 1..reference {
                        text += &format!("b{shown} ");
                    }
                    at = reference;
                }
                at += 1;
                if is_open {
                    text += &format!("C{} b{at} ", at + 1);
                    at += 1;
                } else {
                    text += &format!("I{at} ");
                }
            }
            pictures(&text)
        })
    }

    proptest! {
        #[test]
        fn all_wanted_pictures_are_there_once_and_in_order(
            pictures in any_pictures(), from in -1..40_i64, length in 1..40_i64, h265: bool,
        ) {
            let codec = if h265 { Codec::H265 } else { Codec::H264 };
            let until = from + length;
            let mut expected: Vec<i64> = pictures.iter().map(|picture| picture.pts).collect();
            expected.sort_unstable();
            expected.retain(|pts| (from..until).contains(pts));
            let cut: Vec<Picture> = pictures.clone();
            if let Some(head) = head(codec, &cut, |picture| picture.instant >= from) {
                let tail = tail(&cut, head.copy_from, |picture| {
                    picture.instant < until
                });
                let copied = head.copy_from..tail.copy_until.max(head.copy_from);
                let copied = copied.filter(|at| !head.left_out.contains(at));
                let mut copied: Vec<i64> = copied.map(|at| cut[at].pts).collect();
                copied.sort_unstable();
                let mut found: Vec<i64> = shown(&cut, &head.encode);
                found.retain(|pts| *pts < until);
                found.extend(copied);
                let tail: Vec<usize> = tail.encode.into_iter().filter(|at| !head.left_out.contains(at)).collect();
                found.extend(shown(&cut, &tail));
                prop_assert_eq!(found, expected);
            }
        }
    }
}
