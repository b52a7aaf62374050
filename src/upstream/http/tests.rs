//! What `http.rs` promises, tried.

use super::*;

fn request_text(url: &str, is_first: bool) -> String {
    let url = Url::parse(url).unwrap();
    let headers = [("Referer".to_owned(), "http://page/".to_owned())];
    let get = Get {
        url: &url,
        user_agent: None,
        headers: &headers,
        limit: Duration::ZERO,
    };
    request(&get, &url, is_first)
}

#[test]
fn a_request_names_host_player_and_what_the_operator_added() {
    assert_eq!(
        request_text("http://user:p%40ss@[::1]:8080/a%20b?c=d", true),
        "GET /a%20b?c=d HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: VLC/3.0.21 LibVLC/3.0.21\r\nAccept: */*\r\n\
             Connection: close\r\nReferer: http://page/\r\nAuthorization: Basic dXNlcjpwQHNz\r\n\r\n"
    );
}

#[test]
fn what_the_operator_added_does_not_follow_a_redirect() {
    assert!(!request_text("http://other/", false).contains("Referer"));
}

#[test]
fn a_redirect_leads_only_to_http() {
    let base = Url::parse("http://host/a/b.ts").unwrap();
    let place = |location| target(&base, location).map(|url| url.to_string());
    assert_eq!(place("c.ts").unwrap(), "http://host/a/c.ts");
    assert_eq!(place("//other/x").unwrap(), "http://other/x");
    for refused in [
        "file:///etc/passwd",
        "ftp://host/",
        "http://host:0/",
        "gopher://x",
    ] {
        assert_eq!(place(refused), None, "{refused}");
    }
}

fn facts(head: &str) -> Option<Facts> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parts = httparse::Response::new(&mut headers);
    assert!(parts.parse(head.as_bytes()).unwrap().is_complete());
    Facts::of(&parts)
}

#[test]
fn the_head_says_how_the_body_ends() {
    let framing = |fields: &str| {
        facts(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).map(|facts| facts.framing)
    };
    assert!(matches!(framing(""), Some(Framing::Close)));
    assert!(matches!(
        framing("Content-Length: 7\r\n"),
        Some(Framing::Length(7))
    ));
    assert!(matches!(
        framing("Transfer-Encoding: Chunked\r\n"),
        Some(Framing::Chunked(_))
    ));
    assert!(framing("Transfer-Encoding: gzip\r\n").is_none());
    assert!(framing("Content-Length: 7\r\nContent-Length: 8\r\n").is_none());
    assert!(framing("Content-Length: -1\r\n").is_none());
    let old = facts("HTTP/1.0 200 OK\r\nContent-Type: Video/MP2T; x=y\r\n\r\n").unwrap();
    assert_eq!(old.content_type, "video/mp2t");
}

#[test]
fn the_head_says_what_tells_this_answer_from_a_later_one() {
    let head =
        "HTTP/1.1 200 OK\r\nETag: W/\"7\" \r\nLast-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\n\r\n";
    let validators = facts(head).unwrap().validators;
    assert_eq!(validators.etag.unwrap(), "W/\"7\"");
    assert_eq!(
        validators.last_modified.unwrap(),
        "Mon, 02 Nov 2026 10:00:00 GMT"
    );
    let bare = facts("HTTP/1.1 200 OK\r\n\r\n").unwrap().validators;
    assert_eq!(bare, Validators::default());
}
