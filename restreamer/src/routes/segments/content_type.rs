//! The content types of what a node stores.

/// MPEG-TS.
pub(crate) const TS: &str = "video/mp2t";

/// WebM.
pub(crate) const WEBM: &str = "video/webm";

/// The content type of a file, by its name; of a `.ts` file by its first bytes too, since a
/// segment of fragmented MP4 is stored under such a name as well (SPEC §1).
pub(crate) fn of(path: &str, first_bytes: &[u8; 12]) -> &'static str {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "ts" if is_mp4(first_bytes) => "video/mp4",
        "ts" => TS,
        "mp4" | "m4s" => "video/mp4",
        "webm" => WEBM,
        "json" => "application/json",
        "m3u8" => "application/vnd.apple.mpegurl",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "txt" | "log" => "text/plain; charset=utf-8",
        // HTML and SVG among them: what peers replicate must not run as a page of ours.
        _ => "application/octet-stream",
    }
}

/// True iff a file begins with a box of MP4's: its length, then its type (ISO 14496-12 §4.2).
pub(crate) fn is_mp4(first_bytes: &[u8; 12]) -> bool {
    matches!(
        &first_bytes[4..8],
        b"ftyp" | b"styp" | b"moof" | b"moov" | b"sidx" | b"emsg" | b"prft"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_content() {
        let ts = b"\x47\x40\x11\x10\0\x42\xf0\x25\0\x01\xc1\0";
        let table: [(&str, &[u8; 12], &str); 7] = [
            ("c/q/h/x.ts", ts, "video/mp2t"),
            ("c/q/h/x.ts", b"\0\0\0\x1cftypiso5", "video/mp4"),
            ("c/q/h/x.ts", b"\0\0\0\x18stypmsdh", "video/mp4"),
            ("c/q/h/x.ts", b"\0\0\x04\0moof\0\0\0\x10", "video/mp4"),
            ("c/chat/h/x.JSON", &[0; 12], "application/json"),
            ("c/q.ts/none", ts, "application/octet-stream"),
            ("x.html", ts, "application/octet-stream"),
        ];
        for (path, first_bytes, expected) in table {
            assert_eq!(of(path, first_bytes), expected, "{path}");
        }
    }
}
