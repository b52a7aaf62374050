//! What `request.rs` promises, tried.

mod fields;

use super::*;

fn request(text: &str) -> Request {
    match parse(text.as_bytes()) {
        Ok(Some(head)) => head.request,
        other => panic!("{text:?} is {other:?}"),
    }
}

fn refusal(bytes: impl AsRef<[u8]>) -> RequestError {
    match parse(bytes.as_ref()) {
        Err(error) => error,
        other => panic!("{:?} is {other:?}", String::from_utf8_lossy(bytes.as_ref())),
    }
}

fn framing(headers: &str) -> Result<Framing, FramingError> {
    request(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).framing
}

fn target(target: &str) -> Result<Request, RequestError> {
    parse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        .map(|head| head.map(|it| it.request).unwrap())
}

/// Feeds one byte after the other; once a verdict is there it must be the verdict for good.
fn check_every_cut(bytes: &[u8]) {
    let whole = parse(bytes);
    let mut is_decided = false;
    for length in 0..=bytes.len() {
        let verdict = parse(&bytes[..length]);
        is_decided |= verdict != Ok(None);
        let expected = if is_decided { &whole } else { &Ok(None) };
        assert_eq!(
            &verdict,
            expected,
            "{length} bytes of {:?}",
            String::from_utf8_lossy(bytes)
        );
        if let Ok(Some(head)) = verdict {
            assert!(head.bytes <= length);
        }
    }
}

const ORDINARY: &str = "GET /live/u/p/7.ts?x=1 HTTP/1.1\r\nHost: tv.lan:8000\r\nUser-Agent: VLC/3.0.20 LibVLC/3.0.20\r\n\
         Range: bytes=0-\r\nIcy-MetaData: 1\r\nConnection: close\r\n\r\n";

#[test]
fn an_ordinary_request_is_taken_apart() {
    let head = parse(ORDINARY.as_bytes()).unwrap().unwrap();
    assert_eq!(head.bytes, ORDINARY.len());
    let request = head.request;
    assert_eq!(request.method, Method::Get);
    assert_eq!(request.path, "/live/u/p/7.ts");
    assert_eq!(request.query.as_deref(), Some("x=1"));
    assert_eq!(request.version, Version::Http11);
    assert_eq!(request.host.as_deref(), Some("tv.lan:8000"));
    assert_eq!(request.authorization, None);
    assert_eq!(
        request.user_agent.as_deref(),
        Some("VLC/3.0.20 LibVLC/3.0.20")
    );
    assert!(!request.keep_alive);
    assert!(!request.expect_continue);
    assert_eq!(request.framing, Ok(Framing::None));
}

#[test]
fn what_follows_the_head_is_not_looked_at() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    let parsed = parse(format!("{head}\0\n\r").as_bytes()).unwrap().unwrap();
    assert_eq!(parsed.bytes, head.len());
    assert_eq!(parsed.request.framing, Ok(Framing::Length(3)));
}

#[test]
fn debug_shows_no_path_query_or_credentials() {
    let request = request(
        "GET /live/anna/apple/7.ts?token=plum HTTP/1.1\r\nHost: a\r\nAuthorization: Basic cGVhcg==\r\n\r\n",
    );
    let shown = format!("{request:?} {request:#?}");
    for hidden in ["anna", "apple", "7.ts", "plum", "cGVhcg"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert_eq!(request.authorization.unwrap().expose(), "Basic cGVhcg==");
}

#[test]
fn methods_are_case_sensitive_tokens() {
    for (token, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("OPTIONS", Method::Options),
        ("POST", Method::Post),
        ("DELETE", Method::Delete),
        ("get", Method::Other),
        ("PUT", Method::Other),
        ("M-SEARCH", Method::Other),
    ] {
        let request = request(&format!("{token} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(request.method, method, "{token}");
    }
    for line in [
        "G@T / HTTP/1.1",
        " / HTTP/1.1",
        "(GET) / HTTP/1.1",
        "GET",
        "",
    ] {
        assert_eq!(
            refusal(format!("{line}\r\n\r\n")),
            RequestError::RequestLine,
            "{line:?}"
        );
    }
}

#[test]
fn only_two_versions_are_known() {
    assert_eq!(request("GET / HTTP/1.0\r\n\r\n").version, Version::Http10);
    for version in [
        "HTTP/9.9",
        "HTTP/2.0",
        "HTTP/1.10",
        "http/1.1",
        "HTTP/1.",
        "IHTTP/1.0",
        "ICE/1.0",
        "HTTP/1.1 ",
    ] {
        let error = refusal(format!("GET / {version}\r\nHost: a\r\n\r\n"));
        assert!(
            matches!(error, RequestError::Version | RequestError::RequestLine),
            "{version:?} is {error}"
        );
    }
}

#[test]
fn a_request_line_has_two_single_spaces() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /",
        "GET / ",
        " GET / HTTP/1.1",
    ] {
        let error = refusal(format!("{line}\r\nHost: a\r\n\r\n"));
        assert!(
            matches!(error, RequestError::Version | RequestError::RequestLine),
            "{line:?} is {error}"
        );
    }
}

#[test]
fn lines_end_with_carriage_return_and_line_feed_only() {
    assert_eq!(
        refusal("GET / HTTP/1.1\nHost: a\r\n\r\n"),
        RequestError::BareLf(14)
    );
    assert_eq!(
        refusal("GET / HTTP/1.1\rHost: a\r\n\r\n"),
        RequestError::BareCr(14)
    );
    assert_eq!(
        refusal("GET / HTTP/1.1\r\nA: b\nHost: a\r\n\r\n"),
        RequestError::BareLf(20)
    );
    assert_eq!(
        refusal("GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n"),
        RequestError::BareCr(20)
    );
    assert_eq!(
        refusal("GET / HTTP/1.1\r\nHost: a\r\n\rX"),
        RequestError::BareCr(25)
    );
    assert_eq!(
        refusal("GET / HTTP/1.1\r\nHost: a\r\n\n"),
        RequestError::BareLf(25)
    );
    assert_eq!(refusal("GET / HTTP/1.1\r\r\n"), RequestError::BareCr(14));
}

#[test]
fn control_bytes_are_refused_where_they_stand() {
    for byte in (0..=0x1F)
        .chain([0x7F])
        .filter(|byte| !b"\t\r\n".contains(byte))
    {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: yz".to_vec();
        bytes.push(byte);
        assert_eq!(refusal(&bytes), RequestError::Byte(30, byte));
        assert_eq!(refusal([b'G', byte]), RequestError::Byte(1, byte));
    }
    assert_eq!(
        refusal(b"\x16\x03\x01\x02\x00"),
        RequestError::Byte(0, 0x16)
    );
    assert_eq!(refusal("GET\t/"), RequestError::Byte(3, b'\t'));
    assert_eq!(refusal(b"GET /\xC3\xA9"), RequestError::Byte(5, 0xC3));
}

#[test]
fn header_values_may_hold_tabs_and_other_alphabets() {
    let bytes = b"GET / HTTP/1.1\r\nHost:\ta\t\r\nX: D\xFCsseldorf\r\nEmpty:\r\nBlank: \t \r\n\r\n";
    let request = parse(bytes).unwrap().unwrap().request;
    assert_eq!(request.host.as_deref(), Some("a"));
    assert_eq!(request.framing, Ok(Framing::None));
}

#[test]
fn header_names_are_tokens_right_before_the_colon() {
    for line in [
        "Na me: x",
        "Name : x",
        "Name\t: x",
        ": x",
        "Name",
        "X[]: x",
        "N@me: x",
        "N\u{e9}: x",
    ] {
        let error = refusal(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
        assert_eq!(error, RequestError::Header, "{line:?}");
    }
}

#[test]
fn a_header_is_one_line() {
    assert_eq!(
        refusal("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),
        RequestError::Folded(22)
    );
    assert_eq!(
        refusal("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
        RequestError::Folded(16)
    );
}

#[test]
fn one_empty_line_before_the_request_is_skipped() {
    assert_eq!(parse(b"\r\n"), Ok(None));
    let head = parse(b"\r\nGET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
    assert_eq!((head.bytes, head.request.path.as_str()), (20, "/"));
    assert_eq!(
        refusal("\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
        RequestError::RequestLine
    );
    assert_eq!(refusal("\nGET / HTTP/1.0\r\n\r\n"), RequestError::BareLf(0));
}

#[test]
fn a_wrong_line_is_refused_before_the_head_is_over() {
    assert_eq!(refusal("hello world\r\n"), RequestError::RequestLine);
    assert_eq!(refusal("GET / HTTP/3.0\r\n"), RequestError::Version);
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost\r\n"), RequestError::Header);
}

#[test]
fn a_head_may_be_just_as_long_as_the_bound() {
    let front = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let filled = |length: usize| format!("{front}{}\r\n\r\n", "x".repeat(length - front.len() - 4));
    let longest = filled(HEAD_BYTES_MAX);
    assert_eq!(
        parse(longest.as_bytes()).unwrap().unwrap().bytes,
        HEAD_BYTES_MAX
    );
    assert_eq!(parse(&longest.as_bytes()[..HEAD_BYTES_MAX - 1]), Ok(None));
    let longer = filled(HEAD_BYTES_MAX + 1);
    assert_eq!(refusal(&longer), RequestError::HeadTooLong);
    assert_eq!(
        refusal(&longer.as_bytes()[..HEAD_BYTES_MAX]),
        RequestError::HeadTooLong
    );
}

#[test]
fn a_target_may_be_just_as_long_as_the_bound() {
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(
        target(&path(TARGET_BYTES_MAX)).unwrap().path.len(),
        TARGET_BYTES_MAX
    );
    assert_eq!(
        target(&path(TARGET_BYTES_MAX + 1)),
        Err(RequestError::TargetTooLong)
    );
    let unfinished = format!("GET {}", path(TARGET_BYTES_MAX + 1));
    assert_eq!(refusal(unfinished), RequestError::TargetTooLong);
    assert_eq!(
        refusal(format!("GET {}", path(100_000))),
        RequestError::TargetTooLong
    );
}

#[test]
fn there_may_be_just_as_many_headers_as_the_bound() {
    let filled = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    assert_eq!(request(&filled(HEADERS_MAX)).host.as_deref(), Some("a"));
    assert_eq!(
        refusal(filled(HEADERS_MAX + 1)),
        RequestError::TooManyHeaders
    );
    assert_eq!(refusal(filled(1000)), RequestError::TooManyHeaders);
}

#[test]
fn a_target_is_a_path_or_a_whole_url() {
    for (text, host, path, query) in [
        ("/", "a", "/", None),
        ("/a?", "a", "/a", Some("")),
        ("/a?b?c=/d", "a", "/a", Some("b?c=/d")),
        ("//a//b", "a", "//a//b", None),
        ("http://h/p?q", "h", "/p", Some("q")),
        ("HTTPS://h:80", "h:80", "/", None),
        ("http://h?q", "h", "/", Some("q")),
        ("http://[::1]:80/p", "[::1]:80", "/p", None),
        ("/p?u=http://x/", "a", "/p", Some("u=http://x/")),
    ] {
        let request = target(text).unwrap();
        assert_eq!(request.host.as_deref(), Some(host), "{text}");
        assert_eq!(
            (request.path.as_str(), request.query.as_deref()),
            (path, query),
            "{text}"
        );
    }
    for text in [
        "*",
        "a",
        "h:80",
        "a/b",
        "?q",
        "ftp://h/p",
        "http:///p",
        "http://",
        "http://u@h/p",
        "http://u:p@h/p",
        "http://h:x/p",
        "http://h:123456/p",
        "http://[::1/p",
        "http://[]/p",
        "http:/p",
        "/a#b",
        "/a?b#c",
        "http://h#",
    ] {
        assert_eq!(target(text), Err(RequestError::Target), "{text}");
    }
}

#[test]
fn a_star_is_a_target_of_options_only() {
    assert_eq!(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
    for line in ["M-SEARCH *", "GET *", "OPTIONS *?q", "OPTIONS **"] {
        let error = refusal(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(error, RequestError::Target, "{line}");
    }
}

#[test]
fn the_verdict_does_not_depend_on_the_cuts() {
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(TARGET_BYTES_MAX));
    let long_head = format!(
        "GET / HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(HEAD_BYTES_MAX)
    );
    let many = format!(
        "GET / HTTP/1.1\r\n{}\r\n",
        "X: y\r\n".repeat(HEADERS_MAX + 1)
    );
    let wrong_then_long = format!("GET / HTTP/1.1\r\nX y\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
    for text in [
        ORDINARY,
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nbody",
        "GET # HTTP/1.1\r\nHost: a\r\nX y\r\n\r\n",
        "GET # HTTP/1.1\r\nHost: a\r\n\n",
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        &long_path,
        &long_head,
        &many,
        &wrong_then_long,
    ] {
        check_every_cut(text.as_bytes());
    }
}

#[test]
fn the_verdict_on_damaged_requests_does_not_depend_on_the_cuts() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut bytes = ORDINARY.as_bytes().to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = 0x80 | random.u8(..),
                2 => bytes.insert(at, *random.choice(b"\r\n\t :\0?#*/H\xFF").unwrap()),
                _ => bytes[at] = random.u8(..),
            }
        }
        check_every_cut(&bytes);
        refused += u32::from(parse(&bytes).is_err());
    }
    assert!(
        (500..1_900).contains(&refused),
        "{refused} of 2000 were refused"
    );
}
