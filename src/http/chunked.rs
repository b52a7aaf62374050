//! Takes the chunked coding off a body, in place and however it was cut. (pure)
//!
//! Serves the bodies of requests as well as of upstreams; who reads them and how long a body may be is the caller's
//! business. What the coding calls a chunk is a piece here, a chunk being something else in this program. The rule
//! kept: what one reader accepts no other may read differently, so the grammar of RFC 9112, section 7.1, is taken
//! literally, without the spaces and bare line feeds that some let pass.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

/// A decoder of one body.
///
/// Shape: a state machine over single bytes; only payload is taken in runs.
///
/// Bound: [`LINE_BYTES_MAX`] for a piece's size line, [`SIZE_DIGITS_MAX`] for its size, [`TRAILER_BYTES_MAX`] for the
/// trailers. Nothing is stored but the state.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    /// Payload bytes of this piece that are still to come.
    left_bytes: u64,
    /// Bytes of this size line, or of all trailers.
    line_bytes: usize,
    /// Bytes consumed since the body began.
    at: u64,
}

impl Chunked {
    /// A decoder at the beginning of a body.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Size { digits: 0 },
            left_bytes: 0,
            line_bytes: 0,
            at: 0,
        }
    }

    /// Decodes the next bytes of the body and moves their payload to the front of `bytes`.
    ///
    /// All bytes are consumed unless the body ends among them; what follows the end is left where it is, and once the
    /// body is done nothing more is consumed. Between payload and consumed end stands garbage afterwards.
    ///
    /// # Errors
    /// [`ChunkedError`] when the coding is broken. Payload that stood before the fault in the same `bytes` is lost, and
    /// each further call returns the same error.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, ChunkedError> {
        let mut consumed = 0;
        let mut body = 0;
        while let Some(byte) = bytes.get(consumed).copied() {
            match self.state {
                State::Done => break,
                State::Failed(error) => return Err(error),
                State::Payload => {
                    let run = self.take_payload(bytes.len() - consumed);
                    if body != consumed {
                        bytes.copy_within(consumed..consumed + run, body);
                    }
                    body += run;
                    consumed += run;
                }
                state => {
                    self.state = self.step(state, byte).map_err(|fault| self.fail(fault))?;
                    self.at += 1;
                    consumed += 1;
                }
            }
        }
        let done = matches!(self.state, State::Done);
        Ok(Decoded {
            body,
            consumed,
            done,
        })
    }

    /// Steps over the payload there is, at most `available` bytes, and says how much that was.
    fn take_payload(&mut self, available: usize) -> usize {
        let left = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        let run = left.min(available);
        let run_bytes = u64::try_from(run).unwrap_or(u64::MAX);
        self.left_bytes = self.left_bytes.saturating_sub(run_bytes);
        self.at = self.at.saturating_add(run_bytes);
        if self.left_bytes == 0 {
            self.state = State::PayloadCr;
        }
        run
    }

    /// Where one byte that is not payload leads.
    fn step(&mut self, state: State, byte: u8) -> Result<State, Fault> {
        self.line_bytes += 1;
        match state {
            State::Trailer(_) if self.line_bytes > TRAILER_BYTES_MAX => {
                Err(ChunkedError::TrailerTooLong)
            }
            State::Trailer(part) => part.step(byte),
            _ if self.line_bytes > LINE_BYTES_MAX => Err(ChunkedError::LineTooLong),
            State::Size { digits } => self.step_size(digits, byte),
            State::Extension(part) => part.step(byte),
            State::SizeLf if byte == b'\n' => {
                self.line_bytes = 0;
                Ok(match self.left_bytes {
                    0 => State::Trailer(Trailer::Start),
                    _ => State::Payload,
                })
            }
            State::SizeLf => Err(ChunkedError::Size),
            State::PayloadCr if byte == b'\r' => Ok(State::PayloadLf),
            State::PayloadLf if byte == b'\n' => {
                self.line_bytes = 0;
                Ok(State::Size { digits: 0 })
            }
            State::PayloadCr | State::PayloadLf => Err(ChunkedError::PayloadEnd),
            State::Done | State::Failed(_) | State::Payload => Ok(state),
        }
    }

    fn step_size(&mut self, digits: usize, byte: u8) -> Result<State, Fault> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits == SIZE_DIGITS_MAX {
                return Err(ChunkedError::SizeTooLong);
            }
            self.left_bytes = self.left_bytes << 4 | u64::from(digit);
            return Ok(State::Size { digits: digits + 1 });
        }
        match byte {
            b';' if digits > 0 => Ok(State::Extension(Extension::NameStart)),
            b'\r' if digits > 0 => Ok(State::SizeLf),
            _ => Err(ChunkedError::Size),
        }
    }

    fn fail(&mut self, fault: Fault) -> ChunkedError {
        let error = fault(self.at);
        self.state = State::Failed(error);
        error
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

/// What one call of [`Chunked::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Payload bytes that now stand at the front.
    pub body: usize,
    /// Bytes taken off the input, payload and framing.
    pub consumed: usize,
    /// The last piece and its trailers are over.
    pub done: bool,
}

/// A body that is not in the chunked coding.
///
/// Unit: the number in each is the offset of the offending byte from the beginning of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkedError {
    /// An extension that is not `;name`, `;name=token` or `;name="quoted"`.
    #[error("malformed extension of a chunk at offset {0}: ;name or ;name=value is allowed")]
    Extension(u64),
    /// A size line longer than the bound.
    #[error("chunk size line goes on at offset {0}: {LINE_BYTES_MAX} bytes are allowed")]
    LineTooLong(u64),
    /// Payload not followed by carriage return and line feed.
    #[error("no line end after the payload of a chunk at offset {0}")]
    PayloadEnd(u64),
    /// A size that is not hexadecimal digits up to a line end or extension.
    #[error("malformed chunk size at offset {0}: hexadecimal digits and a line end are required")]
    Size(u64),
    /// A size of more digits than the bound.
    #[error("chunk size goes on at offset {0}: {SIZE_DIGITS_MAX} hexadecimal digits are allowed")]
    SizeTooLong(u64),
    /// A trailer that is not a header line.
    #[error("malformed trailer at offset {0}: name, colon and value are required")]
    Trailer(u64),
    /// Trailers longer than the bound.
    #[error("trailers go on at offset {0}: {TRAILER_BYTES_MAX} bytes are allowed")]
    TrailerTooLong(u64),
}

/// An error that still lacks its offset.
type Fault = fn(u64) -> ChunkedError;

#[derive(Clone, Copy, Debug)]
enum State {
    Done,
    Extension(Extension),
    Failed(ChunkedError),
    Payload,
    PayloadCr,
    PayloadLf,
    Size { digits: usize },
    SizeLf,
    Trailer(Trailer),
}

/// Where in the extensions of a size line.
#[derive(Clone, Copy, Debug)]
enum Extension {
    Escaped,
    Name,
    NameStart,
    Quoted,
    QuotedEnd,
    Value,
    ValueStart,
}

impl Extension {
    fn step(self, byte: u8) -> Result<State, Fault> {
        let next = match (self, byte) {
            (Self::Name | Self::Value | Self::QuotedEnd, b'\r') => return Ok(State::SizeLf),
            (Self::Name | Self::Value | Self::QuotedEnd, b';') => Self::NameStart,
            (Self::Name, b'=') => Self::ValueStart,
            (Self::NameStart | Self::Name, _) if is_token(byte) => Self::Name,
            (Self::ValueStart, b'"') => Self::Quoted,
            (Self::ValueStart | Self::Value, _) if is_token(byte) => Self::Value,
            (Self::Quoted, b'"') => Self::QuotedEnd,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if is_text(byte) => Self::Quoted,
            _ => return Err(ChunkedError::Extension),
        };
        Ok(State::Extension(next))
    }
}

/// Where in the lines after the last piece.
#[derive(Clone, Copy, Debug)]
enum Trailer {
    EndLf,
    Name,
    Start,
    Value,
    ValueLf,
}

impl Trailer {
    fn step(self, byte: u8) -> Result<State, Fault> {
        let next = match (self, byte) {
            (Self::EndLf, b'\n') => return Ok(State::Done),
            (Self::Start, b'\r') => Self::EndLf,
            (Self::Name, b':') => Self::Value,
            (Self::Start | Self::Name, _) if is_token(byte) => Self::Name,
            (Self::Value, b'\r') => Self::ValueLf,
            (Self::Value, _) if is_text(byte) => Self::Value,
            (Self::ValueLf, b'\n') => Self::Start,
            _ => return Err(ChunkedError::Trailer),
        };
        Ok(State::Trailer(next))
    }
}

/// What a name may hold. Source: RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a value or a quoted text may hold.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// The longest size line of a piece, with its extensions and line end.
///
/// Unit: bytes.
pub const LINE_BYTES_MAX: usize = 256;

/// The most hexadecimal digits of a piece's size, leading zeros included: what a `u64` holds.
pub const SIZE_DIGITS_MAX: usize = 16;

/// The longest trailers, with the empty line that ends them. They are skipped.
///
/// Unit: bytes.
pub const TRAILER_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests;
