//! What `chunked.rs` promises, tried.

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
