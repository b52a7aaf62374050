//! Any bytes as a request head: no panic, bounds kept, and a verdict that does not depend on how they were cut.
#![no_main]

use corecast::http::request::{self, HEAD_BYTES_MAX, Head, RequestError, TARGET_BYTES_MAX};
use libfuzzer_sys::fuzz_target;

type Verdict = Result<Option<Head>, RequestError>;

fuzz_target!(|bytes: &[u8]| {
    let verdict = request::parse(bytes);
    check(bytes, &verdict);
    // From the first place where there is a verdict on, it stays the same.
    let mut known: Option<Verdict> = None;
    let step = bytes.len() / CUTS_MAX + 1;
    for end in (0..=bytes.len()).step_by(step).chain([bytes.len()]) {
        let cut = request::parse(&bytes[..end]);
        match &known {
            Some(known) => assert_eq!(*known, cut, "cut after {end} bytes"),
            None if cut != Ok(None) => known = Some(cut),
            None => {}
        }
    }
    if verdict != Ok(None) {
        let longer = [bytes, b"\r\nX: y\r\n\r\n"].concat();
        assert_eq!(
            request::parse(&longer),
            verdict,
            "what follows a verdict does not change it"
        );
    }
});

fn check(bytes: &[u8], verdict: &Verdict) {
    match verdict {
        Ok(None) => assert!(bytes.len() < HEAD_BYTES_MAX),
        Ok(Some(Head {
            request,
            bytes: head_bytes,
        })) => {
            assert!(*head_bytes <= bytes.len().min(HEAD_BYTES_MAX));
            assert!(bytes[..*head_bytes].ends_with(b"\r\n\r\n"));
            assert!(request.path == "*" || request.path.starts_with('/'));
            let query_bytes = request.query.as_ref().map_or(0, String::len);
            assert!(request.path.len() + query_bytes <= TARGET_BYTES_MAX);
            assert!(!request.path.contains(['?', '#', ' ']));
            let is_plain = |text: &String| !text.contains(char::is_control);
            assert!(request.user_agent.iter().chain(&request.host).all(is_plain));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Of longer inputs not every cut is tried.
const CUTS_MAX: usize = 300;
