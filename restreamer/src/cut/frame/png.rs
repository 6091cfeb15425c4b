//! Pictures as ffmpeg gives them quickest, and as PNG.

/// What a picture in the way of Netpbm begins with (`P6 WIDTH HEIGHT 255`), three bytes for each of
/// its points after it.
#[derive(Debug)]
pub(super) struct Netpbm {
    width: u32,
    height: u32,
    /// Where the points begin and end.
    begin: usize,
    pub(super) end: usize,
}

impl Netpbm {
    /// `None` if it is no such picture, or more of it has to come.
    pub(super) fn of(picture: &[u8]) -> Option<Netpbm> {
        let mut begin = 0;
        let mut words = std::iter::from_fn(|| {
            let rest = &picture[begin..];
            let end = rest.iter().position(u8::is_ascii_whitespace)?;
            begin += end + 1;
            std::str::from_utf8(&rest[..end]).ok()
        });
        let head = (words.next(), words.next(), words.next(), words.next());
        let (Some("P6"), Some(width), Some(height), Some("255")) = head else {
            return None;
        };
        let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
        let points = usize::try_from(u64::from(width) * u64::from(height)).ok()?;
        Some(Netpbm {
            width,
            height,
            begin,
            end: points.checked_mul(3)?.checked_add(begin)?,
        })
    }
}

/// A picture in the way of Netpbm as PNG, little compressed: ffmpeg's own encoder takes longer.
pub(super) fn png_of(picture: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let wrong = || std::io::Error::other("ffmpeg gave no picture");
    let head = Netpbm::of(picture).ok_or_else(wrong)?;
    let points = picture.get(head.begin..head.end).ok_or_else(wrong)?;
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, head.width, head.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(points)?;
    writer.finish()?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_become_png() {
        let picture = [b"P6\n2 1\n255\n".as_slice(), &[1, 2, 3, 4, 5, 6]].concat();
        for end in 0..picture.len() {
            // The size is known when the head is there.
            let known = Netpbm::of(&picture[..end]).map(|head| head.end);
            assert_eq!(known, (end >= 11).then_some(picture.len()), "{end}");
        }
        let png = png_of(&picture).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut pixels = [0; 6];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2, 1));
        assert_eq!(pixels, [1, 2, 3, 4, 5, 6]);
        for wrong in [
            b"".as_slice(),
            b"P6 2",
            b"P5\n2 1\n255\n123456",
            b"P6\n2 1\n255\n1",
            b"P6\n4294967295 4294967295\n255\n1",
            b"P6\n99999999999 1\n255\n1",
        ] {
            assert!(png_of(wrong).is_err());
        }
    }
}
