//! Who may ask: names, origins, tokens, methods; and that a refusal says which it is.

use std::fs;

use super::{call, two_channels};
use crate::config::Config;
use crate::http;
use crate::launch::{Folder, PASSWORD};
use crate::server::Server;

/// Every path of the API that names nothing, with its method.
const PATHS: &[(&str, &str)] = &[
    ("GET", "/api/v1/status"),
    ("GET", "/api/v1/channels"),
    ("GET", "/api/v1/channels/7"),
    ("GET", "/api/v1/viewers"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/log"),
    ("GET", "/api/v1/live"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/metrics"),
    ("DELETE", "/api/v1/viewers/0-1"),
    ("POST", "/api/v1/channels/7/restart"),
    ("POST", "/api/v1/reload"),
    ("POST", "/api/v1/drain"),
];

#[track_caller]
fn status(server: &Server, method: &str, path: &str, headers: &str) -> u16 {
    call(server, method, path, headers).status()
}

#[test]
fn with_a_token_every_request_wants_it_and_only_health_does_not() {
    let folder = Folder::new();
    let file = folder.path().join("token");
    fs::write(&file, PASSWORD.repeat(2)).unwrap();
    let config = Config::new()
        .set("admin", "token_file", format!("{file:?}"))
        .demo(7);
    let server = Server::start(&config);
    let wrong = [
        String::new(),
        "Authorization: Bearer 0123456789abcdef\r\n".to_owned(),
        format!("Authorization: Basic {}\r\n", PASSWORD.repeat(2)),
        format!("Authorization: Bearer {}\r\n", PASSWORD),
    ];
    for (method, path) in PATHS {
        for headers in &wrong {
            let reply = call(&server, method, path, headers);
            assert_eq!(reply.status(), 401, "{method} {path} {headers}");
            let asked = reply.header("www-authenticate").unwrap();
            assert!(asked.starts_with("Bearer"), "{asked}");
        }
    }
    assert!(server.is_running());
    let right = format!("Authorization: Bearer {}\r\n", PASSWORD.repeat(2));
    let live = "GET /api/v1/live";
    for (method, path) in PATHS.iter().take(9) {
        if format!("{method} {path}") != live {
            assert_eq!(status(&server, method, path, &right), 200, "{path}");
        }
    }
    assert_eq!(status(&server, "HEAD", "/api/v1/live", &right), 200);
    assert_eq!(
        status(&server, "DELETE", "/api/v1/viewers/0-1", &right),
        404
    );
    assert_eq!(status(&server, "GET", "/healthz", ""), 200);
    assert_eq!(status(&server, "GET", "/readyz", ""), 200);
    // With a token the name does not matter: a front may have its own.
    let admin = server.admin();
    let request = format!(
        "GET /api/v1/status HTTP/1.1\r\nHost: tv.example.org\r\n{right}Connection: close\r\n\r\n"
    );
    assert_eq!(http::ask(admin, &request).status(), 200);
}

#[test]
fn a_page_of_another_origin_is_refused_even_what_it_could_only_read() {
    let (server, _upstream) = two_channels();
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        for (method, path) in PATHS.iter().chain(&[("GET", "/healthz")]) {
            let headers = format!("Origin: {origin}\r\n");
            let reply = call(&server, method, path, &headers);
            assert_eq!(reply.status(), 403, "{method} {path} {origin}");
            assert!(reply.header("access-control-allow-origin").is_none());
        }
    }
    let own = format!("Origin: http://{}\r\n", server.admin());
    assert_eq!(status(&server, "GET", "/api/v1/status", &own), 200);
    assert_eq!(status(&server, "DELETE", "/api/v1/viewers/0-1", &own), 404);
    assert!(server.is_running(), "nothing was ordered");
}

#[test]
fn another_name_is_misdirected_without_a_token() {
    let (server, _upstream) = two_channels();
    for (method, path) in PATHS {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        let reply = http::ask(server.admin(), &request);
        assert_eq!(reply.status(), 421, "{method} {path}");
    }
}

#[test]
fn what_a_path_does_not_have_is_refused_with_what_it_has() {
    let (server, _upstream) = two_channels();
    for (method, path, allow) in [
        ("POST", "/api/v1/status", "GET, HEAD, OPTIONS"),
        ("DELETE", "/api/v1/channels/7", "GET, HEAD, OPTIONS"),
        ("PUT", "/api/v1/viewers", "GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/viewers/0-1", "DELETE, OPTIONS"),
        ("GET", "/api/v1/drain", "OPTIONS, POST"),
        ("HEAD", "/api/v1/channels/7/restart", "OPTIONS, POST"),
    ] {
        let reply = call(&server, method, path, "");
        assert_eq!(reply.status(), 405, "{method} {path}");
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
        let options = call(&server, "OPTIONS", path, "");
        assert_eq!(options.status(), 204, "{path}");
        assert_eq!(options.header("allow"), Some(allow), "{path}");
        assert!(options.body.is_empty() && options.header("content-length").is_none());
    }
}

#[test]
fn a_refusal_is_json_that_says_which() {
    let (server, _upstream) = two_channels();
    for (path, expected) in [
        ("channels/9", 404),
        ("channels/x", 404),
        (
            "channels/infohash:00112233445566778899aabbccddeeff00112233",
            404,
        ),
        ("nothing", 404),
        ("viewers?limit=0", 400),
        ("viewers?sort=age", 400),
        ("channels?after=x", 400),
        ("events?after=-1", 400),
        ("log?limit=501", 400),
        ("live?after=x", 400),
    ] {
        let reply = call(&server, "GET", &format!("/api/v1/{path}"), "");
        assert_eq!(reply.status(), expected, "{path}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let error = body["error"].as_str().unwrap();
        assert!(
            !error.is_empty() && body.as_object().unwrap().len() == 1,
            "{body}"
        );
    }
}

#[test]
fn a_head_is_that_of_the_answer_without_its_body() {
    let (server, _upstream) = two_channels();
    for path in [
        "status",
        "channels",
        "viewers",
        "events",
        "log",
        "openapi.json",
    ] {
        let reply = call(&server, "HEAD", &format!("/api/v1/{path}"), "");
        assert_eq!(reply.status(), 200, "{path}");
        let bytes: u64 = reply.header("content-length").unwrap().parse().unwrap();
        assert!(bytes > 0 && reply.body.is_empty(), "{path}");
    }
    let live = call(&server, "HEAD", "/api/v1/live", "");
    assert_eq!(live.header("content-type"), Some("text/event-stream"));
    assert!(live.body.is_empty());
}
