//! A number as a picture, and back.

/// In pixels.
pub(super) const WIDTH: usize = 192;
/// In pixels.
pub(super) const HEIGHT: usize = 112;

/// A bit is a square of so many pixels: one block of most codings.
const BLOCK: usize = 16;
/// Bits of a number.
const BITS: usize = 24;
/// Bits in a row of blocks.
const IN_ROW: usize = WIDTH / BLOCK;
/// The rows of a number; as many more hold it inverted.
const ROWS: usize = BITS / IN_ROW;

const BLACK: u8 = 32;
const WHITE: u8 = 220;

/// The top left pixel of a block.
fn corner(block: usize) -> (usize, usize) {
    (block % IN_ROW * BLOCK, block / IN_ROW * BLOCK)
}

/// A picture of this number, one byte a pixel. Below the number something moves, so that pictures
/// are worth being coded by reference to one another.
pub(super) fn draw(number: u32) -> Vec<u8> {
    let mut picture = vec![0; WIDTH * HEIGHT];
    for block in 0..2 * BITS {
        let bit = number >> (block % BITS) & 1;
        let is_white = (bit == 1) != (block >= BITS);
        let (left, top) = corner(block);
        for row in picture.chunks_exact_mut(WIDTH).skip(top).take(BLOCK) {
            row[left..left + BLOCK].fill(if is_white { WHITE } else { BLACK });
        }
    }
    let bottom = 2 * ROWS * BLOCK;
    for (y, row) in picture.chunks_exact_mut(WIDTH).enumerate().skip(bottom) {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = 64 + ((x + y + 3 * number as usize) % 128) as u8;
        }
    }
    picture
}

/// The number of a picture; `None` if it is not one picture in good order.
pub(super) fn number(picture: &[u8]) -> Option<u32> {
    let mut number = 0;
    for block in 0..2 * BITS {
        let (left, top) = corner(block);
        let quarter = BLOCK / 4;
        let rows = picture
            .chunks_exact(WIDTH)
            .skip(top + quarter)
            .take(2 * quarter);
        let pixels = rows.flat_map(|row| &row[left + quarter..left + 3 * quarter]);
        let sum: usize = pixels.map(|&pixel| usize::from(pixel)).sum();
        let mean = sum / (4 * quarter * quarter);
        let bit = match mean {
            0..80 => 0,
            170.. => 1,
            _ => return None,
        };
        let shift = block % BITS;
        if block < BITS {
            number |= bit << shift;
        } else if number >> shift & 1 == bit {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back_and_mixtures_are_not() {
        for of in [0, 1, 0x123456, 0xffffff] {
            assert_eq!(number(&draw(of)), Some(of));
        }
        let (one, other) = (draw(5), draw(6));
        let mixed = one.iter().zip(&other).map(|(a, b)| a / 2 + b / 2);
        assert_eq!(number(&mixed.collect::<Vec<u8>>()), None);
    }
}
