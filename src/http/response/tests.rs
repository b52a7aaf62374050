//! What `response.rs` promises, tried.

use super::*;
use crate::channel::id::NotAHash;

fn text(bytes: &Bytes) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Checks the whole answer to a refusal; `headers` are those that only this one has.
fn check(refusal: Refusal, status: &str, headers: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: corecast\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n{headers}\
             Connection: close\r\n\r\n",
        body.len() + 1
    );
    let answer = refusal.answer();
    assert_eq!(
        text(&answer.to_bytes(Method::Get)),
        format!("{head}{body}\n")
    );
    assert_eq!(text(&answer.to_bytes(Method::Head)), head);
    assert!(status.starts_with(&answer.status().code.to_string()));
}

#[test]
fn a_bad_request_is_told_what_is_wrong_with_it() {
    check(
        RequestError::BareLf(17).into(),
        "400 Bad Request",
        "",
        "line feed without carriage return at offset 17: lines end with both",
    );
    check(
        RequestError::Byte(3, 0x16).into(),
        "400 Bad Request",
        "",
        "forbidden byte 0x16 at offset 3: tabs and non-ASCII only in header values",
    );
    check(
        FramingError::CodingWithLength.into(),
        "400 Bad Request",
        "",
        "Content-Length together with Transfer-Encoding: one of them is allowed",
    );
    check(
        FramingError::Repeated("Host").into(),
        "400 Bad Request",
        "",
        "Host stands more than once: one is allowed",
    );
    check(
        BadContent::Malformed(NotAHash).into(),
        "400 Bad Request",
        "",
        "not an AceStream identifier: 40 hexadecimal digits are allowed",
    );
    check(
        ChunkedError::Size(2).into(),
        "400 Bad Request",
        "",
        "malformed chunk size at offset 2: hexadecimal digits and a line end are required",
    );
    check(
        BadContent::Missing.into(),
        "400 Bad Request",
        "",
        "no AceStream content named: one of id, content_id and infohash is required",
    );
}

#[test]
fn a_bad_login_is_asked_for_basic_credentials() {
    check(
        Denied::BadLogin.into(),
        "401 Unauthorized",
        "WWW-Authenticate: Basic realm=\"corecast\", charset=\"UTF-8\"\r\n",
        "wrong user or password",
    );
}

#[test]
fn an_account_that_may_not_is_told_why_and_not_asked_again() {
    for (refusal, why) in [
        (Denied::Expired.into(), "this account is not valid any more"),
        (
            Denied::Network.into(),
            "this account may not be used from this address",
        ),
        (
            Refusal::ChannelForbidden,
            "this account may not watch this channel",
        ),
        (
            Full.into(),
            "this account has as many viewers as it may have",
        ),
    ] {
        check(refusal, "403 Forbidden", "", why);
    }
}

#[test]
fn a_wrong_host_is_misdirected() {
    check(
        Refusal::Misdirected,
        "421 Misdirected Request",
        "",
        "this server does not answer to this host name",
    );
}

#[test]
fn a_request_without_the_token_is_asked_for_it() {
    check(
        Refusal::BadToken,
        "401 Unauthorized",
        "WWW-Authenticate: Bearer realm=\"corecast\"\r\n",
        "wrong or missing token: send it as Authorization: Bearer",
    );
}

#[test]
fn what_does_not_exist_is_not_found() {
    check(Refusal::UnknownPath, "404 Not Found", "", "no such path");
    check(
        Refusal::UnknownChannel,
        "404 Not Found",
        "",
        "no such channel",
    );
    check(
        Refusal::HlsUnavailable,
        "404 Not Found",
        "",
        "there is no HLS output: ask for .ts instead of .m3u8",
    );
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    check(
        Refusal::MethodNotAllowed {
            allow: "GET, HEAD, OPTIONS",
        },
        "405 Method Not Allowed",
        "Allow: GET, HEAD, OPTIONS\r\n",
        "this path does not have this method: GET, HEAD, OPTIONS are allowed",
    );
}

#[test]
fn what_is_too_slow_or_too_long_is_told_which() {
    check(
        Refusal::TooSlow,
        "408 Request Timeout",
        "",
        "the request took too long to arrive",
    );
    check(
        Refusal::BodyTooLong,
        "413 Content Too Large",
        "",
        "the body of the request is too long",
    );
    check(
        RequestError::TargetTooLong.into(),
        "414 URI Too Long",
        "",
        "the target of the request is too long",
    );
    for error in [RequestError::HeadTooLong, RequestError::TooManyHeaders] {
        check(
            error.into(),
            "431 Request Header Fields Too Large",
            "",
            "the head of the request is too long",
        );
    }
}

#[test]
fn an_unknown_expectation_fails() {
    check(
        FramingError::Expectation.into(),
        "417 Expectation Failed",
        "",
        "the only expectation that is met is 100-continue",
    );
}

#[test]
fn an_address_that_guesses_is_told_when_to_come_back() {
    for (wait_ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_000, 59)] {
        let throttled = Throttled {
            retry_after: Duration::from_millis(wait_ms),
        };
        check(
            throttled.into(),
            "429 Too Many Requests",
            &format!("Retry-After: {seconds}\r\n"),
            "too many wrong logins from this address: try again later",
        );
    }
}

#[test]
fn a_failing_upstream_is_a_bad_gateway() {
    check(
        Refusal::UpstreamRefused,
        "502 Bad Gateway",
        "",
        "upstream refused the channel or sent no transport stream",
    );
    check(
        Refusal::UpstreamPlaylist,
        "502 Bad Gateway",
        "",
        "HLS is not supported yet: the upstream answered with a playlist",
    );
}

#[test]
fn whoever_finds_no_room_is_told_when_to_come_back() {
    for (refusal, body) in [
        (
            Refusal::Busy,
            "there are as many viewers as there may be: try again later",
        ),
        (Refusal::Draining, "the server is stopping: try again later"),
        (
            Refusal::DynamicFull,
            "there are as many channels open by content id as there may be: try again later",
        ),
    ] {
        check(
            refusal,
            "503 Service Unavailable",
            "Retry-After: 5\r\n",
            body,
        );
    }
}

#[test]
fn a_silent_upstream_is_a_gateway_timeout() {
    check(
        Refusal::NoMedia,
        "504 Gateway Timeout",
        "",
        "no media came from upstream in time",
    );
}

#[test]
fn a_stream_head_promises_no_length() {
    assert_eq!(
        text(&stream_head()),
        "HTTP/1.1 200 OK\r\nServer: corecast\r\nContent-Type: video/mp2t\r\nCache-Control: no-store\r\n\
             Accept-Ranges: none\r\nAccess-Control-Allow-Origin: *\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn options_names_the_methods_and_lets_any_page_play() {
    for (keep_alive, connection) in [(true, "keep-alive"), (false, "close")] {
        assert_eq!(
            text(&options_head("GET, HEAD, OPTIONS", keep_alive)),
            format!(
                "HTTP/1.1 204 No Content\r\nServer: corecast\r\nAllow: GET, HEAD, OPTIONS\r\n\
                     Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n\
                     Access-Control-Allow-Headers: Authorization, Content-Type, Range\r\nConnection: {connection}\r\n\r\n"
            )
        );
    }
}

#[test]
fn an_ordinary_answer_carries_its_length_and_may_go_on() {
    let answer = Answer::new(Status::OK, "text/plain; version=0.0.4", "a 1\n").keep_alive(true);
    let head = "HTTP/1.1 200 OK\r\nServer: corecast\r\nContent-Type: text/plain; version=0.0.4\r\n\
                    Content-Length: 4\r\nX-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(text(&answer.to_bytes(Method::Get)), format!("{head}a 1\n"));
    assert_eq!(text(&answer.to_bytes(Method::Head)), head);
    let empty = Answer::new(Status::OK, "text/plain", "");
    assert!(text(&empty.to_bytes(Method::Get)).contains("\r\nContent-Length: 0\r\n"));
    assert!(text(&empty.to_bytes(Method::Get)).ends_with("\r\nConnection: close\r\n\r\n"));
}

#[test]
fn a_head_may_announce_a_body_that_comes_in_pieces() {
    let answer = Answer::new(Status::OK, "text/plain", "").with("X-Name", "a");
    assert_eq!(
        answer.head(70_000),
        "HTTP/1.1 200 OK\r\nServer: corecast\r\nContent-Type: text/plain\r\nContent-Length: 70000\r\n\
         X-Content-Type-Options: nosniff\r\nX-Name: a\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn no_header_value_ends_its_line() {
    let answer = Answer::new(Status::OK, "text/plain", "")
        .with("X-Name", "a\r\nSet-Cookie: b\u{85}\0".to_owned());
    assert!(text(&answer.to_bytes(Method::Get)).contains("\r\nX-Name: aSet-Cookie: b\r\n"));
}
