//! Instructions per request: reading its head, and finding out what it asks for.
//!
//! The heads are as players send them. What is answered is not counted.
#![expect(
    clippy::exit,
    missing_docs,
    unused_qualifications,
    reason = "the benchmark macros write items without documentation, and exit"
)]

use std::hint::black_box;

use corecast::http::request::{HEAD_BYTES_MAX, Head, Method, RequestError, parse};
use corecast::http::route::{Route, route};
use gungraun::prelude::*;

/// What a head was read as, and its bytes.
type Parsed = (Vec<u8>, Result<Option<Head>, RequestError>);

/// Wants a whole head, all of the bytes, exactly where there is one.
fn check((bytes, head): Parsed) {
    let is_over = bytes.ends_with(b"\r\n\r\n");
    let found = head.map(|head| head.map(|head| head.bytes));
    assert!(found == Ok(is_over.then_some(bytes.len())));
}

#[library_benchmark(teardown = check)]
#[bench::curl(head("/live/admin/admin/123.ts", &["Host: 127.0.0.1:8000", "User-Agent: curl/7.88.1", "Accept: */*"]))]
#[bench::player(head("/live/family/4f1c0a7e/1402.ts", PLAYER))]
#[bench::ace(head(
    "/ace/getstream?content_id=0123456789abcdef0123456789abcdef01234567",
    PLAYER
))]
#[bench::longest(longest())]
#[bench::not_over(unfinished())]
fn parse_head(bytes: Vec<u8>) -> Parsed {
    let head = parse(black_box(&bytes));
    (bytes, head)
}

/// A request with these headers.
fn head(target: &str, headers: &[&str]) -> Vec<u8> {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET {target} HTTP/1.1\r\n{headers}\r\n").into_bytes()
}

/// A request of the greatest length with the most headers.
fn longest() -> Vec<u8> {
    let headers: Vec<String> = (0..63)
        .map(|number| format!("X-{number:02}: {}", "v".repeat(110)))
        .collect();
    let mut headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    headers.push("Host: tv.example");
    let spare = HEAD_BYTES_MAX - head("/", &headers).len();
    let target = format!("/{}", "p".repeat(spare));
    head(&target, &headers)
}

/// A player's request without the empty line.
fn unfinished() -> Vec<u8> {
    let mut bytes = head("/live/family/4f1c0a7e/1402.ts", PLAYER);
    bytes.truncate(bytes.len() - 2);
    bytes
}

#[library_benchmark]
#[bench::live("/live/family/4f1c0a7e/1402.ts", None)]
#[bench::short("/family/4f1c0a7e/1402", None)]
#[bench::escaped("/live/f%C3%A4mily/p%40ss/1402.ts", None)]
#[bench::ace(
    "/ace/getstream",
    Some("content_id=0123456789abcdef0123456789abcdef01234567")
)]
#[bench::unknown("/wp-login.php", None)]
fn find_route(path: &str, query: Option<&str>) -> Route {
    route(Method::Get, black_box(path), black_box(query), None)
}

library_benchmark_group!(name = request, benchmarks = [parse_head, find_route]);

main!(library_benchmark_groups = request);

/// What a common player sends besides its request line.
const PLAYER: &[&str] = &[
    "Host: tv.example:8000",
    "Accept: */*",
    "Accept-Language: en_US",
    "User-Agent: VLC/3.0.18 LibVLC/3.0.18",
    "Range: bytes=0-",
    "Icy-MetaData: 1",
    "Connection: close",
];
