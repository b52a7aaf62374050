//! Any bytes as a chunked body: the cuts do not matter, a plainly written decoder agrees, and what is encoded comes
//! back.
#![no_main]

use corecast::http::chunked::{Chunked, ChunkedError};
use libfuzzer_sys::fuzz_target;

/// Payload, bytes consumed, and whether the body was over.
type Outcome = Result<(Vec<u8>, usize, bool), ChunkedError>;

fuzz_target!(|parts: (&[u8], &[u8])| {
    let (cuts, body) = parts;
    let whole = decode(body, &[]);
    assert_eq!(decode(body, &[0]), whole, "byte by byte");
    assert_eq!(decode(body, cuts), whole);
    match (&whole, naive(body)) {
        (Ok((payload, consumed, true)), plain) => {
            assert_eq!(plain.as_ref(), Some(&(payload.clone(), *consumed)));
        }
        (Ok((_, consumed, false)), plain) => assert!(*consumed == body.len() && plain.is_none()),
        // The plain decoder knows neither bounds nor which bytes are allowed where.
        (Err(_), _) => {}
    }
    let encoded = encode(cuts, body);
    assert_eq!(
        decode(&encoded, cuts),
        Ok((body.to_vec(), encoded.len() - REST.len(), true))
    );
});

/// Decodes in cuts of these lengths, again and again, or at once.
fn decode(body: &[u8], cuts: &[u8]) -> Outcome {
    let mut decoder = Chunked::new();
    let (mut payload, mut at, mut is_over) = (Vec::new(), 0, false);
    let mut cuts = cuts.iter().cycle();
    while at < body.len() && !is_over {
        let left = body.len() - at;
        let cut = cuts
            .next()
            .map_or(left, |cut| usize::from(*cut) + 1)
            .min(left);
        let mut bytes = body[at..at + cut].to_vec();
        let decoded = match decoder.decode(&mut bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                assert_eq!(decoder.decode(&mut bytes), Err(error), "an error stays");
                return Err(error);
            }
        };
        assert!(decoded.body <= decoded.consumed && decoded.consumed <= cut);
        assert!(decoded.done || decoded.consumed == cut);
        payload.extend_from_slice(&bytes[..decoded.body]);
        at += decoded.consumed;
        is_over = decoded.done;
    }
    Ok((payload, at, is_over))
}

/// Reads a whole body by splitting it; `None` if it is not all there or malformed.
fn naive(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut rest, mut payload) = (body, Vec::new());
    loop {
        let (line, after) = split_line(rest)?;
        let digits = line.split(|byte| *byte == b';').next()?;
        let text = std::str::from_utf8(digits).ok()?;
        let is_size = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = is_size.then(|| u64::from_str_radix(text, 16).ok())??;
        rest = after;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok()?;
        let (piece, after) = rest.split_at_checked(size)?;
        payload.extend_from_slice(piece);
        rest = after.strip_prefix(b"\r\n")?;
    }
    loop {
        let (line, after) = split_line(rest)?;
        rest = after;
        if line.is_empty() {
            return Some((payload, body.len() - rest.len()));
        }
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

/// Writes a payload in pieces of these lengths, with extensions and a trailer now and then, and something behind it.
fn encode(cuts: &[u8], payload: &[u8]) -> Vec<u8> {
    let (mut body, mut rest) = (Vec::new(), payload);
    let mut cuts = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let cut = cuts.next().unwrap_or(u8::MAX);
        let (piece, after) = rest.split_at((usize::from(cut) + 1).min(rest.len()));
        let extension = if cut % 3 == 0 {
            ";a=\"b\\\";c\";d=e;f"
        } else {
            ""
        };
        body.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
        rest = after;
    }
    body.extend_from_slice(b"00;end\r\nX-Trailer: kept from nobody\r\n\r\n");
    body.extend_from_slice(REST);
    body
}

/// What follows a body on its connection.
const REST: &[u8] = b"GET / HTTP/1.1\r\n";
