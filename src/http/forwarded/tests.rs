//! What fronts say, and what viewers would like them to have said.

use super::*;
use crate::http::request;

/// Fronts are 10.0.0.0/8 and loopback.
fn told(fields: &[(&str, &str)]) -> Told {
    try_told(fields).unwrap()
}

fn try_told(fields: &[(&str, &str)]) -> Result<Told, TwoViewers> {
    let mut forwarded = Forwarded::default();
    for (name, value) in fields {
        forwarded.take(name, value.as_bytes());
    }
    forwarded.told(|address| match address {
        IpAddr::V4(ip) => ip.octets()[0] == 10 || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    })
}

#[track_caller]
fn assert_viewer(fields: &[(&str, &str)], expected: Option<&str>) {
    let expected = expected.map(|text| text.parse().unwrap());
    assert_eq!(told(fields).address, expected, "{fields:?}");
}

#[test]
fn the_rightmost_address_that_is_no_front_is_the_viewer() {
    for (list, expected) in [
        ("192.0.2.7", Some("192.0.2.7")),
        ("203.0.113.1, 192.0.2.7", Some("192.0.2.7")),
        (
            "203.0.113.1, 192.0.2.7, 10.0.0.1,127.0.0.1",
            Some("192.0.2.7"),
        ),
        ("10.0.0.2, 10.0.0.1", Some("10.0.0.2")),
        ("192.0.2.7:4660", Some("192.0.2.7")),
        ("[2001:db8::7]:4660, 10.0.0.1", Some("2001:db8::7")),
        ("[2001:db8::7]", Some("2001:db8::7")),
        ("2001:db8::7", Some("2001:db8::7")),
        ("::ffff:192.0.2.7", Some("192.0.2.7")),
        (",192.0.2.7, ,", Some("192.0.2.7")),
        ("192.0.2.7, unknown, 10.0.0.1", Some("10.0.0.1")),
        ("192.0.2.7, unknown", None),
        ("192.0.2.7, 300.1.1.1", None),
        ("", None),
    ] {
        assert_viewer(&[("X-Forwarded-For", list)], expected);
    }
}

#[test]
fn several_fields_are_one_list() {
    assert_viewer(
        &[
            ("x-forwarded-for", "203.0.113.1"),
            ("X-FORWARDED-FOR", "192.0.2.7, 10.0.0.1"),
        ],
        Some("192.0.2.7"),
    );
    assert_viewer(
        &[
            ("Forwarded", "for=192.0.2.7"),
            ("forwarded", "for=10.0.0.1, for=10.0.0.2"),
        ],
        Some("192.0.2.7"),
    );
}

#[test]
fn the_standard_field_is_read_with_its_quotes() {
    for (field, expected) in [
        ("for=192.0.2.7", Some("192.0.2.7")),
        ("For=\"192.0.2.7:4660\";proto=https", Some("192.0.2.7")),
        (
            "for=203.0.113.1, by=x;for=\"[2001:db8::7]:80\" , for=10.0.0.1",
            Some("2001:db8::7"),
        ),
        (
            "for=\"[2001:db8::7]\";by=\"a,b;for=1.1.1.1\"",
            Some("2001:db8::7"),
        ),
        ("for=_hidden, for=10.0.0.1", Some("10.0.0.1")),
        ("for=unknown", None),
        ("for=192.0.2.7;for=192.0.2.8", None),
        ("for", None),
        ("for=\"192.0.2.7", None),
        ("for=\"192.0.2.7\\\"\"", None),
    ] {
        assert_viewer(&[("Forwarded", field)], expected);
    }
}

#[test]
fn an_open_quote_of_a_viewer_swallows_nothing_that_a_front_adds() {
    assert_viewer(&[("Forwarded", "for=\"1.1.1.1, for=192.0.2.7")], None);
    assert_viewer(
        &[("Forwarded", "for=\"1.1.1.1, for=\"[2001:db8::7]\"")],
        None,
    );
    assert_viewer(
        &[
            ("Forwarded", "for=\"1.1.1.1"),
            ("Forwarded", "for=192.0.2.7"),
        ],
        Some("192.0.2.7"),
    );
    assert_viewer(
        &[
            ("Forwarded", "for=\"1.1.1.1"),
            ("Forwarded", "for=10.0.0.1"),
        ],
        Some("10.0.0.1"),
    );
}

#[test]
fn two_headers_that_name_different_viewers_are_refused() {
    let fields = [
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=203.0.113.1;host=evil.example"),
    ];
    assert_eq!(try_told(&fields), Err(TwoViewers));
    assert_viewer(
        &[
            ("X-Forwarded-For", "1.1.1.1, 192.0.2.7"),
            ("Forwarded", "for=192.0.2.7"),
        ],
        Some("192.0.2.7"),
    );
}

#[test]
fn scheme_and_host_are_those_that_the_viewer_used() {
    let seen = told(&[
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "http, HTTPS"),
        ("X-Forwarded-Host", "forged.example, tv.example:8443"),
    ]);
    assert_eq!(seen.scheme, Some(Scheme::Https));
    assert_eq!(seen.host.as_deref(), Some("tv.example:8443"));
    let seen = told(&[(
        "Forwarded",
        "for=1.1.1.1;host=forged.example, for=192.0.2.7;proto=https;host=\"tv.example:8443\", \
         for=10.0.0.1;proto=http;host=inner",
    )]);
    assert_eq!(seen.scheme, Some(Scheme::Https));
    assert_eq!(seen.host.as_deref(), Some("tv.example:8443"));
    let seen = told(&[("Forwarded", "proto=https;host=tv.example")]);
    assert_eq!(seen.scheme.unwrap().to_string(), "https");
    assert_eq!(
        (seen.address, seen.host.as_deref()),
        (None, Some("tv.example"))
    );
}

#[test]
fn what_is_no_scheme_or_host_is_not_told() {
    for (proto, host) in [
        ("ftp", "a b"),
        ("", ""),
        ("https://", "tv.example/x"),
        ("x", "u@h"),
    ] {
        let seen = told(&[("X-Forwarded-Proto", proto), ("X-Forwarded-Host", host)]);
        assert_eq!(seen, Told::default(), "{proto:?} {host:?}");
    }
}

#[test]
fn other_fields_say_nothing() {
    let fields = [
        ("X-Real-IP", "192.0.2.7"),
        ("Forwarded-For", "192.0.2.7"),
        ("Via", "1.1 x"),
    ];
    assert_eq!(told(&fields), Told::default());
}

#[test]
fn only_a_request_over_a_believed_connection_is_attributed() {
    let head = "GET / HTTP/1.1\r\nHost: inner:8000\r\nX-Forwarded-For: 192.0.2.7\r\n\
                X-Forwarded-Proto: https\r\nX-Forwarded-Host: tv.example\r\n\r\n";
    let request = request::parse(head.as_bytes()).unwrap().unwrap().request;
    let front = Front {
        proxy_protocol: false,
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
    };
    let asked = |opened_for: &str| {
        let mut request = request.clone();
        let peer = attribute(&mut request, opened_for.parse().unwrap(), &front);
        let url = format!("{}://{}", request.scheme, request.host.unwrap());
        (peer.unwrap().to_string(), url)
    };
    let (peer, url) = asked("10.0.0.1:5");
    assert_eq!(
        (peer.as_str(), url.as_str()),
        ("192.0.2.7:0", "https://tv.example")
    );
    let (peer, url) = asked("203.0.113.9:5");
    assert_eq!(
        (peer.as_str(), url.as_str()),
        ("203.0.113.9:5", "http://inner:8000")
    );
}

#[test]
fn a_believed_front_that_says_nothing_changes_nothing() {
    let head = b"GET / HTTP/1.1\r\nHost: tv.example\r\n\r\n";
    let mut request = request::parse(head).unwrap().unwrap().request;
    let before = request.clone();
    let front = Front {
        proxy_protocol: false,
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
    };
    let opened_for = "10.0.0.1:5".parse().unwrap();
    assert_eq!(attribute(&mut request, opened_for, &front), Ok(opened_for));
    assert_eq!(request, before);
}

#[test]
fn what_a_viewer_sends_never_changes_what_a_front_adds() {
    let pieces = [
        "for=", "1.1.1.1", "\"", "\\", ",", ";", "=", "[", "]", "::1", "host=", "proto=", "x", " ",
        "10.0.0.9", "\u{e9}",
    ];
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let forged: String = (0..random.usize(..12))
            .map(|_| *random.choice(&pieces).unwrap())
            .collect();
        let is_one_field = random.bool();
        let (list, standard) = match is_one_field {
            true => (
                vec![("X-Forwarded-For", format!("{forged}, 192.0.2.7"))],
                vec![(
                    "Forwarded",
                    format!("{forged}, for=\"192.0.2.7\";by=10.0.0.1"),
                )],
            ),
            false => (
                vec![
                    ("X-Forwarded-For", forged.clone()),
                    ("X-Forwarded-For", "192.0.2.7".to_owned()),
                ],
                vec![
                    ("Forwarded", forged.clone()),
                    ("Forwarded", "for=192.0.2.7".to_owned()),
                ],
            ),
        };
        let seen = |fields: &[(&'static str, String)]| {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, it)| (*name, it.as_str()))
                .collect();
            told(&fields).address.map(|address| address.to_string())
        };
        assert_eq!(seen(&list).as_deref(), Some("192.0.2.7"), "{forged:?}");
        let standard = seen(&standard);
        let is_lost = is_one_field && standard.is_none();
        assert!(
            is_lost || standard.as_deref() == Some("192.0.2.7"),
            "{forged:?}: {standard:?}"
        );
    }
}
