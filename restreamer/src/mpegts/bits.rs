//! The bits of a unit of a coded picture (ITU-T H.264 §7.2, §7.3.1, §9.1; ITU-T H.265 has the same).

/// Bits, without the bytes that keep start codes away.
#[derive(Debug, Clone)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// Which bit of the first of these is next.
    bit: u32,
    /// How many zeros were before it.
    zeros: u32,
}

impl<'a> Bits<'a> {
    /// Those of a unit, from its first byte on; all methods give `None` where it ends.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits {
            bytes,
            bit: 0,
            zeros: 0,
        }
    }

    /// The next one.
    pub fn bit(&mut self) -> Option<u32> {
        let (&byte, rest) = self.bytes.split_first()?;
        if self.bit == 0 && self.zeros >= 2 && byte == 3 {
            (self.bytes, self.zeros) = (rest, 0);
            return self.bit();
        }
        let bit = byte >> (7 - self.bit) & 1;
        self.bit += 1;
        if self.bit == 8 {
            let zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            (self.bytes, self.bit, self.zeros) = (rest, 0, zeros);
        }
        Some(bit.into())
    }

    /// True iff the next one is 1.
    pub fn flag(&mut self) -> Option<bool> {
        Some(self.bit()? == 1)
    }

    /// Passes so many over.
    pub fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(drop))
    }

    /// A number of so many bits, at most 32.
    pub fn number(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | self.bit()?))
    }

    /// A number as Exp-Golomb code.
    pub fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            // The greatest that there is has 32 bits.
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// The same with a sign.
    pub fn signed(&mut self) -> Option<i64> {
        let code = i64::from(self.unsigned()?);
        Some(if code % 2 == 1 {
            code / 2 + 1
        } else {
            -(code / 2)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        // 1; 010; 011; 00100; then a number of three bits.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_1010]);
        let found = [(); 4].map(|()| bits.unsigned());
        assert_eq!(found, [0, 1, 2, 3].map(Some));
        assert_eq!(bits.number(3), Some(5));
        assert_eq!((bits.flag(), bits.flag()), (Some(false), None));
        let mut bits = Bits::new(&[0b0100_1100, 0b1000_0101]);
        let found = [(); 3].map(|()| bits.signed());
        assert_eq!(found, [1, -1, 2].map(Some));
        assert_eq!(bits.signed(), Some(-2));
    }

    #[test]
    fn bytes_that_keep_start_codes_away_are_none_of_them() {
        let mut bits = Bits::new(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 2]);
        assert_eq!(bits.number(24), Some(1));
        assert_eq!(bits.number(32), Some(0));
        assert_eq!(bits.number(8), Some(2));
    }

    #[test]
    fn what_is_too_long_is_none() {
        // The greatest number, and one more zero in front.
        let greatest = [0, 0, 3, 0, 1, 0xff, 0xff, 0xff, 0xfe];
        assert_eq!(Bits::new(&greatest).unsigned(), Some(u32::MAX - 1));
        let more = [0, 0, 3, 0, 0, 3, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Bits::new(&more).unsigned(), None);
        assert_eq!(Bits::new(&[0, 0]).unsigned(), None);
    }
}
