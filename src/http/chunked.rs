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
mod tests {
    use super::*;

    /// What a whole body comes to: its payload and whether it was done, after so many bytes.
    type Outcome = Result<(Vec<u8>, bool, usize), ChunkedError>;

    /// Decodes in cuts of the given lengths, the last of which repeats.
    fn decode_cut(body: &[u8], cuts: &[usize]) -> Outcome {
        let mut decoder = Chunked::new();
        let mut payload = Vec::new();
        let mut at = 0;
        let mut number = 0;
        while at < body.len() {
            let cut = cuts[number.min(cuts.len() - 1)].clamp(1, body.len() - at);
            let mut bytes = body[at..at + cut].to_vec();
            let decoded = decoder.decode(&mut bytes)?;
            payload.extend_from_slice(&bytes[..decoded.body]);
            at += decoded.consumed;
            number += 1;
            if decoded.done {
                return Ok((payload, true, at));
            }
            assert_eq!(decoded.consumed, cut);
        }
        Ok((payload, false, at))
    }

    fn lengths_of_lines(body: &[u8]) -> Vec<usize> {
        body.split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::len)
            .collect()
    }

    /// Decodes whole, byte by byte, line by line; all three must agree.
    fn decode(body: impl AsRef<[u8]>) -> Outcome {
        let body = body.as_ref();
        let whole = decode_cut(body, &[body.len().max(1)]);
        assert_eq!(decode_cut(body, &[1]), whole, "byte by byte");
        assert_eq!(
            decode_cut(body, &lengths_of_lines(body)),
            whole,
            "line by line"
        );
        whole
    }

    /// Decodes all at once, by searching and splitting. Knows neither bounds nor offsets.
    fn naive(mut rest: &[u8]) -> Option<Vec<u8>> {
        let mut payload = Vec::new();
        loop {
            let end = rest.windows(2).position(|it| it == b"\r\n")?;
            let size = str::from_utf8(rest[..end].split(|byte| *byte == b';').next()?).ok()?;
            let size = usize::from_str_radix(size, 16).ok()?;
            rest = &rest[end + 2..];
            if size == 0 {
                return Some(payload);
            }
            payload.extend_from_slice(rest.get(..size)?);
            rest = rest[size..].strip_prefix(b"\r\n")?;
        }
    }

    #[test]
    fn payload_is_joined_at_the_front() {
        let mut bytes = *b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nnext";
        let decoded = Chunked::new().decode(&mut bytes).unwrap();
        assert_eq!(
            decoded,
            Decoded {
                body: 11,
                consumed: 26,
                done: true
            }
        );
        assert_eq!(&bytes[..11], b"hello world");
        assert_eq!(&bytes[26..], b"next");
    }

    #[test]
    fn a_finished_body_consumes_nothing_more() {
        let mut decoder = Chunked::new();
        decoder.decode(&mut b"0\r\n\r\n".to_vec()).unwrap();
        let mut next = *b"GET / HTTP/1.1\r\n";
        let nothing = Decoded {
            body: 0,
            consumed: 0,
            done: true,
        };
        assert_eq!(decoder.decode(&mut next), Ok(nothing));
        assert_eq!(&next, b"GET / HTTP/1.1\r\n");
    }

    #[test]
    fn an_empty_read_changes_nothing() {
        let mut decoder = Chunked::new();
        let nothing = Decoded {
            body: 0,
            consumed: 0,
            done: false,
        };
        assert_eq!(decoder.decode(&mut []), Ok(nothing));
        assert_eq!(decoder.decode(&mut b"1\r\nA".to_vec()).unwrap().body, 1);
        assert_eq!(decoder.decode(&mut []), Ok(nothing));
        assert!(decoder.decode(&mut b"\r\n0\r\n\r\n".to_vec()).unwrap().done);
    }

    #[test]
    fn well_formed_bodies_are_decoded() {
        for (body, payload) in [
            ("0\r\n\r\n", ""),
            ("000\r\n\r\n", ""),
            ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
            ("0000000000000001\r\nA\r\n0\r\n\r\n", "A"),
            ("1;a\r\nA\r\n1;a;b=c\r\nB\r\n0;z\r\n\r\n", "AB"),
            (
                "1;a=\"\"\r\nA\r\n1;a=\"; \\\" \té\";b\r\nB\r\n0\r\n\r\n",
                "AB",
            ),
            (
                "1\r\nA\r\n0\r\nVary: *\r\nEmpty:\r\nName:\ta b \r\n\r\n",
                "A",
            ),
        ] {
            let expected = (payload.as_bytes().to_vec(), true, body.len());
            assert_eq!(decode(body), Ok(expected), "{body:?}");
        }
    }

    #[test]
    fn an_unfinished_body_is_not_done() {
        let body = b"5;a=\"b\"\r\nhello\r\n0\r\nVary: *\r\n\r\n";
        for length in 0..body.len() {
            let payload = b"hello"[..length.saturating_sub(9).min(5)].to_vec();
            assert_eq!(decode(&body[..length]), Ok((payload, false, length)));
        }
    }

    #[test]
    fn a_size_is_hexadecimal_digits_and_nothing_else() {
        for (body, at) in [
            ("\r\n", 0),
            (";a\r\n", 0),
            ("g\r\n", 0),
            ("-1\r\n", 0),
            ("+1\r\n", 0),
            (" 1\r\n", 0),
            ("0x1\r\n", 1),
            ("1 \r\n", 1),
            ("2 word\r\n", 1),
            ("3 \n  \r\nfoo\r\n", 1),
            ("1\nA", 1),
            ("1\r\r\nA", 2),
            ("5\r\r;ABCD\r\n", 2),
            ("3\r\nfoo\r\n\r\n", 8),
        ] {
            assert_eq!(decode(body), Err(ChunkedError::Size(at)), "{body:?}");
        }
    }

    #[test]
    fn a_size_that_does_not_fit_is_refused_and_not_wrapped() {
        assert_eq!(
            decode("10000000000000000\r\n"),
            Err(ChunkedError::SizeTooLong(16))
        );
        assert_eq!(
            decode("00000000000000001\r\n"),
            Err(ChunkedError::SizeTooLong(16))
        );
        assert_eq!(
            decode("ffffffffffffffff\r\nAB"),
            Ok((b"AB".to_vec(), false, 20))
        );
    }

    #[test]
    fn payload_ends_with_a_whole_line_end() {
        for (body, at) in [
            ("5\r\nABCDE0\r\n\r\n", 8),
            ("1\r\nA\n0\r\n", 4),
            ("1\r\nA\r0", 5),
            ("1\r\nAB\r\n", 4),
        ] {
            assert_eq!(decode(body), Err(ChunkedError::PayloadEnd(at)), "{body:?}");
        }
    }

    #[test]
    fn extensions_are_names_with_balanced_values() {
        for (body, at) in [
            ("2;\r\n", 2),
            ("2;;a\r\n", 2),
            ("2;a=\r\n", 4),
            ("2;=b\r\n", 2),
            ("2; a\r\n", 2),
            ("2;a b\r\n", 3),
            ("2;a\n", 3),
            ("2;a=\"b\r\n", 6),
            ("2;a=\"b\\\r\n", 7),
            ("2;a=\"b\"c\r\n", 7),
            ("2;a=b\"c\"\r\n", 5),
            ("5;x=\"abc\";y=\"def; ghi\r\nhello\r\n0\r\n\r\n", 21),
        ] {
            assert_eq!(decode(body), Err(ChunkedError::Extension(at)), "{body:?}");
        }
    }

    #[test]
    fn a_size_line_may_be_just_as_long_as_the_bound() {
        let line = |length: usize| format!("1;{}\r\n", "a".repeat(length - 4));
        let rest = "A\r\n0\r\n\r\n";
        assert!(decode(line(LINE_BYTES_MAX) + rest).unwrap().1);
        assert_eq!(
            decode(line(LINE_BYTES_MAX + 1) + rest),
            Err(ChunkedError::LineTooLong(256))
        );
        let many = line(LINE_BYTES_MAX) + "A\r\n" + &line(LINE_BYTES_MAX) + rest;
        assert_eq!(decode(many).unwrap().0, b"AA");
    }

    #[test]
    fn trailers_may_be_just_as_long_as_the_bound() {
        let trailers = |length: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(length - 7));
        assert!(decode(trailers(TRAILER_BYTES_MAX)).unwrap().1);
        let error = ChunkedError::TrailerTooLong(3 + 4096);
        assert_eq!(decode(trailers(TRAILER_BYTES_MAX + 1)), Err(error));
        assert_eq!(
            decode("0\r\n".to_owned() + &"X: y\r\n".repeat(2_000)),
            Err(error)
        );
    }

    #[test]
    fn trailers_are_header_lines() {
        for (body, at) in [
            ("0\r\n\n", 3),
            ("0\r\n: b\r\n", 3),
            ("0\r\n a: b\r\n", 3),
            ("0\r\na : b\r\n", 4),
            ("0\r\na\r\n", 4),
            ("0\r\na: b\n", 7),
            ("0\r\na: b\rc", 8),
            ("0\r\na: \0\r\n", 6),
            ("0\r\n\rX", 4),
        ] {
            assert_eq!(decode(body), Err(ChunkedError::Trailer(at)), "{body:?}");
        }
    }

    #[test]
    fn a_broken_body_stays_broken() {
        let mut decoder = Chunked::new();
        let error = decoder.decode(&mut b"1\r\nAB".to_vec()).unwrap_err();
        assert_eq!(error, ChunkedError::PayloadEnd(4));
        assert_eq!(decoder.decode(&mut b"\r\n0\r\n\r\n".to_vec()), Err(error));
    }

    /// A random body, well formed, and some bytes that follow it.
    fn random_body(random: &mut fastrand::Rng) -> Vec<u8> {
        let mut body = Vec::new();
        for _ in 0..random.usize(..6) {
            let payload: Vec<u8> = (0..random.usize(1..40)).map(|_| random.u8(..)).collect();
            let extension = random
                .choice(["", ";a", ";a=b", ";a=\"b;\\\"\"", ";a;b"])
                .unwrap();
            body.extend_from_slice(format!("{:x}{extension}\r\n", payload.len()).as_bytes());
            body.extend_from_slice(&payload);
            body.extend_from_slice(b"\r\n");
        }
        let trailer = random.choice(["", "A: b\r\n", "A: b\r\nC:\r\n"]).unwrap();
        body.extend_from_slice(format!("0\r\n{trailer}\r\nnext").as_bytes());
        body
    }

    fn random_cuts(random: &mut fastrand::Rng) -> Vec<usize> {
        (0..40).map(|_| random.usize(1..20)).collect()
    }

    #[test]
    fn random_bodies_in_random_cuts_decode_as_the_naive_decoder_says() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..3_000 {
            let body = random_body(&mut random);
            let expected = Ok((naive(&body).unwrap(), true, body.len() - "next".len()));
            assert_eq!(
                decode_cut(&body, &random_cuts(&mut random)),
                expected,
                "{body:?}"
            );
            assert_eq!(decode(&body), expected, "{body:?}");
        }
    }

    #[test]
    fn damaged_bodies_have_one_verdict_and_no_second_reading() {
        let mut random = fastrand::Rng::with_seed(12);
        let mut refused = 0;
        for _ in 0..5_000 {
            let mut body = random_body(&mut random);
            for _ in 0..random.usize(1..3) {
                let at = random.usize(..body.len());
                match random.u8(..3) {
                    0 => drop(body.remove(at)),
                    1 => body.insert(at, *random.choice(b"\r\n;=\"0a ").unwrap()),
                    _ => body[at] = random.u8(..),
                }
            }
            let verdict = decode(&body);
            assert_eq!(
                decode_cut(&body, &random_cuts(&mut random)),
                verdict,
                "{body:?}"
            );
            match verdict {
                Ok((payload, true, _)) => assert_eq!(naive(&body), Some(payload), "{body:?}"),
                Ok((_, false, _)) => {}
                Err(_) => refused += 1,
            }
        }
        assert!(
            (1_000..4_900).contains(&refused),
            "{refused} of 5000 were refused"
        );
    }
}
