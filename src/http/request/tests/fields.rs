//! What header fields mean for a request.

use super::*;

#[test]
fn http_1_1_needs_exactly_one_host() {
    assert_eq!(framing(""), Err(FramingError::HostMissing));
    assert_eq!(
        framing("Host: a\r\nhost: a\r\n"),
        Err(FramingError::Repeated("Host"))
    );
    for host in [
        "",
        "a b",
        "a/b",
        "u@h",
        "h:",
        "h:1",
        "[::1]",
        "0.0.0.0=5000",
        "[x]",
        "h:y",
        "a,b",
        "\u{e9}",
    ] {
        let is_fine = ["h:", "h:1", "[::1]", "0.0.0.0=5000", "a,b"].contains(&host);
        let expected = if is_fine {
            Ok(Framing::None)
        } else {
            Err(FramingError::Host)
        };
        assert_eq!(framing(&format!("Host: {host}\r\n")), expected, "{host:?}");
    }
}

#[test]
fn http_1_0_needs_no_host() {
    let bare = request("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((bare.host, bare.framing), (None, Ok(Framing::None)));
    let twice = request("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(twice.framing, Err(FramingError::Repeated("Host")));
}

#[test]
fn a_whole_url_does_not_replace_the_host_header() {
    let request = request("GET http://h/ HTTP/1.1\r\n\r\n");
    assert_eq!(request.framing, Err(FramingError::HostMissing));
    assert_eq!(request.host.as_deref(), Some("h"));
}

#[test]
fn a_content_length_is_one_number() {
    for (value, length) in [
        ("0", 0),
        ("5", 5),
        ("003", 3),
        ("18446744073709551615", u64::MAX),
    ] {
        let header = format!("Host: a\r\nContent-Length: {value}\r\n");
        assert_eq!(framing(&header), Ok(Framing::Length(length)), "{value}");
    }
    for value in [
        "",
        "-1",
        "+1",
        "4 2",
        "4, 4",
        "0x10",
        "1e3",
        "abc",
        "18446744073709551616",
        "\u{664}",
    ] {
        let header = format!("Host: a\r\nContent-Length: {value}\r\n");
        assert_eq!(framing(&header), Err(FramingError::Length), "{value}");
    }
    for second in ["5", "6"] {
        let headers = format!("Host: a\r\nContent-Length: 5\r\ncontent-length: {second}\r\n");
        assert_eq!(
            framing(&headers),
            Err(FramingError::Repeated("Content-Length"))
        );
    }
}

#[test]
fn the_only_transfer_coding_is_one_chunked() {
    assert_eq!(
        framing("Host: a\r\ntransfer-encoding: Chunked \r\n"),
        Ok(Framing::Chunked)
    );
    for value in [
        "",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunkedchunked",
        "\"chunked\"",
    ] {
        let header = format!("Host: a\r\nTransfer-Encoding: {value}\r\n");
        assert_eq!(framing(&header), Err(FramingError::Coding), "{value}");
    }
    assert_eq!(
        framing("Host: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        Err(FramingError::Repeated("Transfer-Encoding"))
    );
    assert_eq!(
        framing("Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        Err(FramingError::CodingWithLength)
    );
    assert_eq!(
        request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").framing,
        Err(FramingError::CodingInHttp10)
    );
}

#[test]
fn a_get_is_framed_like_any_other_request() {
    let request = request(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(request.framing, Err(FramingError::CodingWithLength));
    assert!(!request.keep_alive);
}

#[test]
fn the_only_expectation_is_100_continue() {
    let expecting = |version: &str, value: &str| {
        let request = request(&format!(
            "POST / HTTP/{version}\r\nHost: a\r\nExpect: {value}\r\n\r\n"
        ));
        (request.expect_continue, request.framing)
    };
    assert_eq!(expecting("1.1", "100-Continue"), (true, Ok(Framing::None)));
    assert_eq!(
        expecting("1.1", "200-ok"),
        (false, Err(FramingError::Expectation))
    );
    assert_eq!(expecting("1.0", "100-continue"), (false, Ok(Framing::None)));
    assert_eq!(expecting("1.0", "200-ok"), (false, Ok(Framing::None)));
}

#[test]
fn a_second_set_of_credentials_is_refused() {
    assert_eq!(
        framing("Host: a\r\nAuthorization: Basic YTpi\r\nAuthorization: Basic YzpkCg==\r\n"),
        Err(FramingError::Repeated("Authorization"))
    );
}

#[test]
fn the_connection_header_decides_whether_the_connection_goes_on() {
    for (version, headers, keep_alive) in [
        ("1.1", "", true),
        ("1.0", "", false),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Keep-Alive, CLOSE\r\n", false),
        (
            "1.1",
            "Connection: upgrade\r\nConnection: close\t\r\n",
            false,
        ),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let request = request(&format!("GET / HTTP/{version}\r\nHost: a\r\n{headers}\r\n"));
        assert_eq!(request.keep_alive, keep_alive, "{version} {headers}");
    }
}

#[test]
fn a_user_agent_is_cut_at_its_bound_and_cannot_steer_a_terminal() {
    let shown = |value: &str| {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {value}\r\nUser-Agent: second\r\n\r\n"
        );
        request(&head).user_agent.unwrap()
    };
    assert_eq!(
        shown("TiviMate/5.1 (Android 14)"),
        "TiviMate/5.1 (Android 14)"
    );
    assert_eq!(shown(&"x".repeat(300)).len(), USER_AGENT_BYTES_MAX);
    assert_eq!(shown(&"\u{e9}".repeat(200)).len(), USER_AGENT_BYTES_MAX);
    assert_eq!(
        shown(&format!("x{}", "\u{e9}".repeat(200))).len(),
        USER_AGENT_BYTES_MAX - 1
    );
    assert_eq!(shown("a\tb\u{9b}31mc"), "ab31mc");
}
