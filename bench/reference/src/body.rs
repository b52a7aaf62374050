//! Which of the bytes behind a response head are its body, in place. (pure)
//!
//! Knows the three ways in which HTTP/1.1 delimits a body and nothing of sockets. The rule: the body comes out byte for
//! byte, whatever cuts the bytes arrived in.
//!
//! Source: RFC 9112, sections 6 and 7.

use thiserror::Error;

/// A body being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// In the chunked coding.
    Chunked(Place),
    /// Everything until the connection closes.
    Close,
    /// So many more bytes.
    Length(u64),
}

impl Body {
    /// A body in the chunked coding, at its start.
    pub(crate) const CHUNKED: Self = Self::Chunked(Place::Size(None));

    /// Moves the body's part of `bytes` to their front and returns how long it is.
    ///
    /// # Errors
    /// [`BodyError`] for a chunked coding that is none; the connection is of no further use.
    pub(crate) fn strip(&mut self, bytes: &mut [u8]) -> Result<usize, BodyError> {
        match self {
            Self::Chunked(place) => place.strip(bytes),
            Self::Close => Ok(bytes.len()),
            Self::Length(left) => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                Ok(taken)
            }
        }
    }

    /// Whether nothing of the body is to come.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Place::Over))
    }
}

/// Where in the chunked coding the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a chunk's data, so many bytes before its end.
    Data(u64),
    /// In the line end behind a chunk's data.
    DataEnd,
    /// Behind the last chunk: trailers are not read.
    Over,
    /// In a size of this value so far.
    Size(Option<u64>),
    /// Behind a size of this value, before the line's end.
    SizeEnd(u64),
}

impl Place {
    fn strip(&mut self, bytes: &mut [u8]) -> Result<usize, BodyError> {
        let (mut at, mut kept) = (0, 0);
        while let Some(byte) = bytes.get(at).copied() {
            match *self {
                Self::Data(left) => {
                    let rest = bytes.len() - at;
                    let taken = rest.min(usize::try_from(left).unwrap_or(usize::MAX));
                    bytes.copy_within(at..at + taken, kept);
                    at += taken;
                    kept += taken;
                    *self = match left - taken as u64 {
                        0 => Self::DataEnd,
                        left => Self::Data(left),
                    };
                }
                Self::Over => break,
                framing => {
                    *self = framing.step(byte)?;
                    at += 1;
                }
            }
        }
        Ok(kept)
    }

    /// The place behind a byte that is no data.
    fn step(self, byte: u8) -> Result<Self, BodyError> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        match (self, byte, digit) {
            (Self::Size(size), _, Some(digit)) => size
                .unwrap_or(0)
                .checked_mul(16)
                .map(|size| Self::Size(Some(size + digit)))
                .ok_or(BodyError::Size),
            (Self::Size(Some(size)), b'\r' | b';' | b' ' | b'\t', _) => Ok(Self::SizeEnd(size)),
            (Self::SizeEnd(0), b'\n', _) => Ok(Self::Over),
            (Self::SizeEnd(size), b'\n', _) => Ok(Self::Data(size)),
            (Self::SizeEnd(size), _, _) => Ok(Self::SizeEnd(size)),
            (Self::DataEnd, b'\r', _) => Ok(Self::DataEnd),
            (Self::DataEnd, b'\n', _) => Ok(Self::Size(None)),
            _ => Err(BodyError::Byte(byte)),
        }
    }
}

/// Bytes that are no chunked coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BodyError {
    /// A byte that cannot stand where it stands.
    #[error("byte {0:#04x} where a chunk's size or line end is required")]
    Byte(u8),
    /// A size of more than 64 bits.
    #[error("chunk size of more than 64 bits")]
    Size,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `bytes` that arrive in cuts of `cut`.
    fn stripped(mut body: Body, bytes: &[u8], cut: usize) -> Result<(Vec<u8>, bool), BodyError> {
        let mut kept = Vec::new();
        for part in bytes.chunks(cut) {
            let mut part = part.to_vec();
            let length = body.strip(&mut part)?;
            kept.extend_from_slice(&part[..length]);
        }
        Ok((kept, body.is_over()))
    }

    const CODED: &[u8] =
        b"3\r\nabc\r\nA;name=\"v\"\r\n0123456789\r\n01\r\nG\r\n0\r\nTrailer: 5\r\n\r\n";

    #[test]
    fn a_chunked_body_is_the_same_in_every_cut() {
        for cut in 1..=CODED.len() {
            let found = stripped(Body::CHUNKED, CODED, cut).unwrap();
            assert_eq!(found, (b"abc0123456789G".to_vec(), true), "cut {cut}");
        }
    }

    #[test]
    fn a_body_is_not_over_before_its_last_chunk() {
        assert!(!stripped(Body::CHUNKED, &CODED[..30], 7).unwrap().1);
        assert!(!stripped(Body::Close, CODED, 7).unwrap().1);
    }

    #[test]
    fn a_length_takes_no_byte_more() {
        let found = stripped(Body::Length(5), b"abcdefgh", 3).unwrap();
        assert_eq!(found, (b"abcde".to_vec(), true));
        assert!(!stripped(Body::Length(9), b"abcdefgh", 3).unwrap().1);
    }

    #[test]
    fn what_is_no_chunked_coding_is_refused() {
        let refused = |bytes: &[u8]| stripped(Body::CHUNKED, bytes, 4).unwrap_err();
        assert_eq!(refused(b"GET /"), BodyError::Byte(b'G'));
        assert_eq!(refused(b"\r\nabc"), BodyError::Byte(b'\r'));
        assert_eq!(refused(b"1\r\nabc"), BodyError::Byte(b'b'));
        assert_eq!(refused(b"10000000000000000\r\n"), BodyError::Size);
    }
}
