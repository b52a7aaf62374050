//! Bits and Exp-Golomb codes of a parameter set. (pure)
//!
//! It reads one after the other and knows nothing of what they mean. The rule it protects: every answer takes at least
//! one bit and no answer comes after the last one, so that no loop over answers outlives the bytes.
//!
//! Source: ITU-T H.264 7.2, 7.4.1 (the byte 3 after two zeros is not part of the content), 9.1 (Exp-Golomb codes).

use std::slice::Iter;

/// What is left to read.
#[derive(Debug)]
pub struct Bits<'a> {
    bytes: Iter<'a, u8>,
    is_escaped: bool,
    /// How many zero bytes came last.
    zeros: u8,
    byte: u8,
    /// Bits of `byte` not read yet.
    left: u8,
}

impl<'a> Bits<'a> {
    /// Reads these bytes as they are.
    #[must_use]
    pub fn plain(bytes: &'a [u8]) -> Self {
        Self {
            bytes: bytes.iter(),
            is_escaped: false,
            zeros: 0,
            byte: 0,
            left: 0,
        }
    }

    /// Reads the content of a NAL unit.
    #[must_use]
    pub fn escaped(bytes: &'a [u8]) -> Self {
        Self {
            is_escaped: true,
            ..Self::plain(bytes)
        }
    }

    /// Reads one bit; `None` behind the last one, as do all others.
    pub fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.byte = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.byte >> self.left & 1 == 1)
    }

    /// Reads a number of `count` bits.
    ///
    /// Bound: of more than 32 bits the last 32 are told.
    pub fn number(&mut self, count: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..count {
            number = number << 1 | u32::from(self.flag()?);
        }
        Some(number)
    }

    /// Reads over `count` bits.
    pub fn skip(&mut self, count: u32) -> Option<()> {
        self.number(count).map(drop)
    }

    /// Reads an unsigned Exp-Golomb code.
    ///
    /// Bound: a code of more than 31 leading zeros is no parameter and ends the reading.
    pub fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.number(zeros)?;
        Some((1 << zeros) - 1 + rest)
    }

    /// Reads a signed Exp-Golomb code.
    pub fn signed_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.golomb()?);
        Some(if code % 2 == 1 {
            code / 2 + 1
        } else {
            -(code / 2)
        })
    }

    /// Reads over `count` Exp-Golomb codes, signed or not.
    pub fn skip_golombs(&mut self, count: u32) -> Option<()> {
        for _ in 0..count {
            self.golomb()?;
        }
        Some(())
    }

    fn next_byte(&mut self) -> Option<u8> {
        let mut byte = *self.bytes.next()?;
        if self.is_escaped && self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            byte = *self.bytes.next()?;
        }
        self.zeros = if byte == 0 {
            self.zeros.saturating_add(1)
        } else {
            0
        };
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::fixture::{BitMaker, escaped};

    #[test]
    fn numbers_are_read_from_the_highest_bit() {
        let mut bits = Bits::plain(&[0b1010_0110, 0xFF, 0x00]);
        assert_eq!(bits.flag(), Some(true));
        assert_eq!(bits.number(3), Some(0b010));
        assert_eq!(bits.number(8), Some(0b0110_1111));
        assert_eq!(bits.skip(12), Some(()));
        assert_eq!(bits.flag(), None);
    }

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        let numbers = [0, 1, 2, 3, 7, 8, 254, 65_535, u32::MAX - 1];
        let bytes = BitMaker::default().golombs(&numbers).end();
        let mut bits = Bits::plain(&bytes);
        for number in numbers {
            assert_eq!(bits.golomb(), Some(number));
        }
        let bytes = BitMaker::default().golombs(&[0, 1, 2, 3, 4]).end();
        let mut bits = Bits::plain(&bytes);
        let signed: Vec<_> = (0..5).map_while(|_| bits.signed_golomb()).collect();
        assert_eq!(signed, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn a_code_of_too_many_zeros_is_none() {
        let bytes = BitMaker::default().bits(32, 0).bits(33, 1).end();
        assert_eq!(Bits::plain(&bytes).golomb(), None);
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        let mut bits = Bits::plain(&[0x80]);
        assert_eq!(bits.number(9), None);
        assert_eq!(bits.flag(), None);
        assert_eq!(Bits::plain(&[]).golomb(), None);
        assert_eq!(Bits::plain(&[0xFF; 4]).skip_golombs(u32::MAX), None);
    }

    #[test]
    fn what_keeps_start_codes_out_is_no_content() {
        let content = [0, 0, 0, 0, 0, 1, 0, 0, 3, 3, 0, 3, 0, 0, 2];
        let unit = escaped(&content);
        assert_eq!(unit.len(), content.len() + 4);
        let mut bits = Bits::escaped(&unit);
        let read: Vec<_> = std::iter::from_fn(|| bits.number(8)).collect();
        assert_eq!(read, content.map(u32::from));
        assert_eq!(Bits::plain(&unit).skip(8 * 19), Some(()));
    }
}
