//! Where a segment's init section ends and its media begins, in fragmented MP4 (ISO 14496-12
//! §4.2, §8.16): segments have their init section in front (SPEC §1), a file has it once.

use std::io;

/// More boxes than that before the first fragment are no segment.
const MAX_BOXES: usize = 64;

/// More boxes than that are no segment of some seconds.
const MAX_FRAGMENT_BOXES: usize = 100_000;

/// The longest init section that is compared with others, in bytes.
pub(crate) const MAX_INIT: u64 = 4 << 20;

/// Boxes that begin a fragment, or stand before one.
const MEDIA: [&[u8; 4]; 6] = [b"styp", b"moof", b"mdat", b"sidx", b"emsg", b"prft"];

/// How long the init section at a file's start is, in bytes; 0 if it has none. `read` fills a
/// buffer from an offset on and says how much there was.
///
/// # Errors
/// What `read` fails with; if boxes do not follow one another as they should, or the init section
/// is longer than [`MAX_INIT`].
pub(crate) fn init_length(
    length: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<u64> {
    let mut at = 0;
    let mut has_moov = false;
    for _ in 0..MAX_BOXES {
        if at == length {
            break;
        }
        let mut head = [0; 16];
        let filled = read(at, &mut head)?;
        if filled < 8 {
            return Err(damaged("it ends within the head of a box"));
        }
        let (size, kind) = (u32_at(&head, 0), [head[4], head[5], head[6], head[7]]);
        if MEDIA.contains(&&kind) {
            return Ok(if has_moov { at } else { 0 });
        }
        has_moov |= &kind == b"moov";
        let size = match size {
            0 => length - at,
            1 if filled == 16 => u64::from(u32_at(&head, 8)) << 32 | u64::from(u32_at(&head, 12)),
            size => u64::from(size),
        };
        if size < 8 {
            return Err(damaged("a box is shorter than its head"));
        }
        at = match at.checked_add(size) {
            Some(next) if next <= length && next <= MAX_INIT => next,
            Some(next) if next > length => return Err(damaged("it ends within a box")),
            _ => return Err(damaged("its init section is too long")),
        };
    }
    Ok(if has_moov { at } else { 0 })
}

/// Where the last whole fragment of a file that may be cut short ends, in bytes; what follows it would
/// take bytes of the next file for its own. `init` is where the init section ends.
///
/// # Errors
/// What `read` fails with.
pub(crate) fn whole_length(
    init: u64,
    length: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<u64> {
    let (mut at, mut whole, mut has_moof) = (init, init, false);
    for _ in 0..MAX_FRAGMENT_BOXES {
        let mut head = [0; 16];
        let filled = read(at, &mut head)?;
        if filled < 8 {
            break;
        }
        let size = match u32_at(&head, 0) {
            1 if filled == 16 => u64::from(u32_at(&head, 8)) << 32 | u64::from(u32_at(&head, 12)),
            size => u64::from(size),
        };
        // One up to the file's end may be cut short, too.
        match at.checked_add(size) {
            Some(next) if size >= 8 && next <= length => at = next,
            _ => break,
        }
        has_moof |= &head[4..8] == b"moof";
        if has_moof && &head[4..8] == b"mdat" {
            (whole, has_moof) = (at, false);
        }
    }
    Ok(whole)
}

/// Reads from memory as from a file.
pub(crate) fn reader(bytes: &[u8]) -> impl Fn(u64, &mut [u8]) -> io::Result<usize> {
    |at, buffer| {
        let rest = bytes.get(usize::try_from(at).unwrap_or(usize::MAX)..);
        let rest = rest.unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pictures {
    /// H.264 or H.265.
    Known,
    /// In a way that MPEG-TS has no place for, as ffmpeg writes it: AV1, VP9.
    Unknown,
}

/// What an init section's track of pictures is, if it has one (ISO 14496-12 §8.4.3: `hdlr` with
/// `vide`; the kind is a sample entry's, §8.5.2).
pub(crate) fn pictures(init: &[u8]) -> Option<Pictures> {
    // What stands before it names brands alike.
    let init = &init[memchr::memmem::find(init, b"moov")?..];
    let has = |kind: &[u8; 4]| memchr::memmem::find(init, kind).is_some();
    let mut handlers = memchr::memmem::find_iter(init, b"hdlr");
    let has_pictures = handlers.any(|at| init.get(at + 12..at + 16) == Some(b"vide"));
    let known: [&[u8; 4]; 8] = [
        b"avc1", b"avc3", b"hvc1", b"hev1", b"dva1", b"dvav", b"dvh1", b"dvhe",
    ];
    has_pictures.then(|| match known.into_iter().any(has) {
        true => Pictures::Known,
        false => Pictures::Unknown,
    })
}

fn u32_at(bytes: &[u8; 16], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged MP4: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<u64, String> {
        init_length(bytes.len() as u64, reader(bytes)).map_err(|error| error.to_string())
    }

    fn a_box(kind: &[u8; 4], content: usize) -> Vec<u8> {
        let size = (content as u32 + 8).to_be_bytes();
        [&size[..], kind, &vec![0; content]].concat()
    }

    #[test]
    fn the_init_section_ends_where_the_media_begins() {
        let boxes = |list: &[(&[u8; 4], usize)]| -> Vec<u8> {
            let boxes = list.iter().map(|(kind, content)| a_box(kind, *content));
            boxes.collect::<Vec<_>>().concat()
        };
        let init: [(&[u8; 4], usize); 2] = [(b"ftyp", 20), (b"moov", 300)];
        let whole = boxes(&[init[0], init[1], (b"styp", 4), (b"moof", 9), (b"mdat", 99)]);
        assert_eq!(of(&whole), Ok(28 + 308));
        assert_eq!(of(&boxes(&init)), Ok(28 + 308));
        assert_eq!(of(&boxes(&[(b"styp", 4), (b"moof", 9)])), Ok(0));
        assert_eq!(of(&boxes(&[(b"free", 4), (b"moof", 9)])), Ok(0));
        assert_eq!(of(b""), Ok(0));
        // A size of 64 bits, and one up to the end.
        let mut long = vec![0, 0, 0, 1, b'm', b'o', b'o', b'v', 0, 0, 0, 0, 0, 0, 0, 20];
        long.extend([0; 4]);
        long.extend(a_box(b"moof", 8));
        assert_eq!(of(&long), Ok(20));
        let mut open = a_box(b"moov", 50);
        open[..4].fill(0);
        assert_eq!(of(&open), Ok(58));
    }

    #[test]
    fn what_is_cut_short_ends_with_its_last_whole_fragment() {
        let whole = |init: u64, bytes: &[u8]| {
            whole_length(init, bytes.len() as u64, reader(bytes)).unwrap()
        };
        let fragment = [a_box(b"styp", 4), a_box(b"moof", 9), a_box(b"mdat", 99)].concat();
        let all = [a_box(b"moov", 30), fragment.clone(), fragment.clone()].concat();
        let (one, two) = (38 + fragment.len(), 38 + 2 * fragment.len());
        for (kept, expected) in [
            (two, two),
            (two - 1, one),
            (one + 20, one),
            (one, one),
            (one - 1, 38),
            (38, 38),
        ] {
            assert_eq!(whole(38, &all[..kept]), expected as u64, "{kept}");
        }
        // A fragment's end without its beginning, one up to the file's end, and nonsense.
        assert_eq!(whole(0, &a_box(b"mdat", 20)), 0);
        let mut open = [a_box(b"moof", 9), a_box(b"mdat", 50)].concat();
        open[17..21].fill(0);
        assert_eq!(whole(0, &open), 0);
        assert_eq!(whole(0, &[0xff; 50]), 0);
        assert_eq!(whole(0, &[]), 0);
    }

    #[test]
    fn an_init_section_tells_whether_there_are_pictures() {
        let handler =
            |kind: &[u8; 4]| [&[0, 0, 0, 33], &b"hdlr"[..], &[0; 8], kind, &[0; 13]].concat();
        let tracks = [&b"ftypavc1moov"[..], &handler(b"soun"), &handler(b"vide")].concat();
        assert_eq!(
            pictures(&[&tracks, &b"avc1"[..]].concat()),
            Some(Pictures::Known)
        );
        assert_eq!(
            pictures(&[&tracks, &b"av01"[..]].concat()),
            Some(Pictures::Unknown)
        );
        for nothing in [
            &[b"moov", &handler(b"soun")[..]].concat()[..],
            b"moovhdlr",
            b"",
            b"avc1",
        ] {
            assert_eq!(pictures(nothing), None);
        }
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        for bytes in [
            &b"\0\0\0"[..],
            &b"\0\0\0\x07ftypxxxx"[..],
            &b"\0\0\0\x20ftypxxxx"[..],
            &b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        ] {
            let error = of(bytes).unwrap_err();
            assert!(error.starts_with("damaged MP4"), "{error}");
        }
    }
}
