//! Where the lines of a head end, and whether they may be lines. (pure)
//!
//! What they say is read in `request.rs`. The rule kept here: an error has one place, and whatever is right before it is
//! found to be right however the bytes were cut.

use super::{HEAD_BYTES_MAX, RequestError, TARGET_BYTES_MAX};

/// The whole lines at the front of a head, and what comes after them.
pub(super) struct Lines<'a> {
    /// Lines that end with CRLF and hold no forbidden byte, from the request line on.
    pub(super) whole: &'a [u8],
    /// The length of the head if the lines are all of it, or why the next line is none.
    pub(super) head_bytes: Result<Option<usize>, RequestError>,
}

impl<'a> Lines<'a> {
    pub(super) fn find(bytes: &'a [u8]) -> Self {
        let head = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
        let start = head.strip_prefix(CRLF).map_or(0, |_| CRLF.len());
        let mut end = start;
        let head_bytes = loop {
            match Line::find(head, end, end == start) {
                Ok(Line::Empty) => {
                    end += CRLF.len();
                    break Ok(Some(end));
                }
                Ok(Line::Full(length)) => end += length,
                Ok(Line::Partial) if head.len() < HEAD_BYTES_MAX => break Ok(None),
                Ok(Line::Partial) => break Err(RequestError::HeadTooLong),
                Err(error) => break Err(error),
            }
        };
        let whole = head.get(start..end).unwrap_or_default();
        Self { whole, head_bytes }
    }
}

/// What begins at a line's place.
pub(super) enum Line {
    Empty,
    /// A line of so many bytes with its end.
    Full(usize),
    Partial,
}

impl Line {
    /// Looks at the line that begins at `start`; the first is the request line.
    pub(super) fn find(head: &[u8], start: usize, is_first: bool) -> Result<Self, RequestError> {
        let rest = head.get(start..).unwrap_or_default();
        match rest.first() {
            None => return Ok(Self::Partial),
            Some(b'\r') => {}
            Some(b' ' | b'\t') if !is_first => return Err(RequestError::Folded(start)),
            Some(_) => {}
        }
        let length = rest.iter().position(|byte| !is_text(*byte, is_first));
        let text = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        if is_first && target_length(text) > TARGET_BYTES_MAX {
            return Err(RequestError::TargetTooLong);
        }
        let Some(length) = length else {
            return Ok(Self::Partial);
        };
        let at = start + length;
        match (rest.get(length), rest.get(length + 1)) {
            (Some(b'\r'), None) => Ok(Self::Partial),
            (Some(b'\r'), Some(b'\n')) if length > 0 => Ok(Self::Full(length + CRLF.len())),
            (Some(b'\r'), Some(b'\n')) if is_first => Err(RequestError::RequestLine),
            (Some(b'\r'), Some(b'\n')) => Ok(Self::Empty),
            (Some(b'\r'), Some(_)) => Err(RequestError::BareCr(at)),
            (Some(b'\n'), _) => Err(RequestError::BareLf(at)),
            (byte, _) => Err(RequestError::Byte(at, byte.copied().unwrap_or_default())),
        }
    }
}

/// What a line may hold before its end: ASCII in the request line, also tabs and other bytes in a header.
pub(super) fn is_text(byte: u8, is_first: bool) -> bool {
    match byte {
        b' '..=b'~' => true,
        b'\t' | 0x80.. => !is_first,
        _ => false,
    }
}

/// Bytes of the target in the front of a request line.
pub(super) fn target_length(line: &[u8]) -> usize {
    line.split(|byte| *byte == b' ')
        .nth(1)
        .map_or(0, <[u8]>::len)
}

pub(super) const CRLF: &[u8] = b"\r\n";
