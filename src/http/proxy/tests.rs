//! Both versions, whole, cut anywhere and bent.

use super::*;

fn binary_header(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [BINARY, &[command, family], &length, addresses].concat()
}

/// 192.0.2.7 port 4660 to 198.51.100.1 port 80.
const FOUR: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0, 80];

fn six() -> Vec<u8> {
    let ip: Ipv6Addr = "2001:db8::7".parse().unwrap();
    [&ip.octets()[..], &[0; 16], &[0x12, 0x34, 0, 80]].concat()
}

/// Whom a header names that a request follows; "" is nobody.
#[track_caller]
fn viewer(bytes: &[u8]) -> String {
    let with_request = [bytes, b"GET / HTTP/1.1\r\n\r\n"].concat();
    let header = parse(&with_request).unwrap().unwrap();
    assert_eq!(header.bytes, bytes.len());
    header
        .viewer
        .map_or_else(String::new, |viewer| viewer.to_string())
}

#[test]
fn a_header_of_either_version_names_the_viewer() {
    for (bytes, expected) in [
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4660 80\r\n".to_vec(),
            "192.0.2.7:4660",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4660 80\r\n".to_vec(),
            "[2001:db8::7]:4660",
        ),
        (binary_header(PROXY, TCP4, FOUR), "192.0.2.7:4660"),
        (binary_header(PROXY, TCP6, &six()), "[2001:db8::7]:4660"),
        (
            binary_header(PROXY, TCP4, &[FOUR, &[4, 0, 3, 1, 2, 3]].concat()),
            "192.0.2.7:4660",
        ),
    ] {
        assert_eq!(viewer(&bytes), expected);
    }
}

#[test]
fn a_front_that_speaks_for_itself_names_nobody() {
    for bytes in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 whatever 65536 x y\r\n".to_vec(),
        binary_header(LOCAL, 0, &[]),
        binary_header(LOCAL, 0xff, &[1, 2, 3]),
        binary_header(LOCAL, TCP4, FOUR),
        binary_header(PROXY, 0, &[]),
        binary_header(PROXY, 0x31, &[0; 216]),
        binary_header(PROXY, 0x12, FOUR),
    ] {
        assert_eq!(viewer(&bytes), "");
    }
}

#[track_caller]
fn assert_refused(bytes: &[u8], expected: ProxyError) {
    let shown = String::from_utf8_lossy(bytes);
    assert_eq!(parse(bytes), Err(expected), "{shown}");
}

#[test]
fn what_is_no_header_is_missing_one() {
    for begin in [
        "GET / HTTP/1.1\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\n\r\n",
        "PROXYTCP4",
        "proxy UNKNOWN\r\n",
    ] {
        assert_refused(begin.as_bytes(), ProxyError::Missing);
    }
}

#[test]
fn a_line_is_a_family_two_addresses_and_two_ports() {
    for line in [
        "",
        "TCP4",
        "TCP4 192.0.2.7 ::1 1 2",
        "TCP6 192.0.2.7 1.1.1.1 1 2",
        "TCP4 192.0.2.7 1.1.1.1 1",
        "TCP4 192.0.2.7 1.1.1.1 1 2 3",
        "TCP4 192.0.2.7 1.1.1.1 01 2",
        "TCP4 192.0.2.7 1.1.1.1 +1 2",
        "TCP4 192.0.2.7 1.1.1.1 65536 2",
        "TCP4 192.0.2.7  1.1.1.1 1 2",
        "UDP4 1.1.1.1 1.1.1.1 1 2",
        "TCP4 \u{e9} 1.1.1.1 1 2",
    ] {
        assert_refused(format!("PROXY {line}\r\n").as_bytes(), ProxyError::Line);
    }
    assert_refused(b"PROXY TCP4 \xff 1.1.1.1 1 2\r\n", ProxyError::Line);
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100], b"\r\n"].concat();
    assert_refused(&long, ProxyError::TooLong(LINE_BYTES_MAX));
}

#[test]
fn version_2_is_refused_for_unknown_bytes_and_wrong_lengths() {
    for (command, family, byte) in [
        (0x11, TCP4, 0x11),
        (0x22, TCP4, 0x22),
        (PROXY, 0x41, 0x41),
        (PROXY, 0x13, 0x13),
    ] {
        let bytes = binary_header(command, family, FOUR);
        assert_refused(&bytes, ProxyError::Byte(byte));
    }
    for (family, addresses, needed) in [(TCP4, &FOUR[..11], 12), (TCP6, FOUR, 36)] {
        let seen = addresses.len();
        let bytes = binary_header(PROXY, family, addresses);
        assert_refused(&bytes, ProxyError::Addresses { seen, needed });
    }
    assert_refused(
        &binary_header(PROXY, TCP4, &[0; HEADER_BYTES_MAX]),
        ProxyError::TooLong(HEADER_BYTES_MAX),
    );
}

#[test]
fn the_longest_headers_are_read() {
    let line = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 91], b"\r\n"].concat();
    assert_eq!(line.len(), LINE_BYTES_MAX);
    assert_eq!(viewer(&line), "");
    let values = vec![0; HEADER_BYTES_MAX - BINARY_BYTES];
    assert_eq!(viewer(&binary_header(LOCAL, 0, &values)), "");
}

#[test]
fn no_cut_changes_a_verdict_and_no_bytes_make_it_panic() {
    let good = [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4660 80\r\nGET /".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        [&binary_header(PROXY, TCP6, &six())[..], b"GET /"].concat(),
        binary_header(PROXY, TCP4, &[FOUR, &[4, 0, 3, 1, 2, 3]].concat()),
        binary_header(LOCAL, 0, &[]),
    ];
    let mut verdicts = [0, 0];
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = good[random.usize(..good.len())].clone();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..bytes.len());
            match random.usize(..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.insert(at, *random.choice(b" \r\n0.:\0\xff").unwrap()),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let whole = parse(&bytes);
        let mut known = None;
        for end in 0..=bytes.len() {
            let cut = parse(&bytes[..end]);
            match known {
                Some(known) => assert_eq!(known, cut, "seed {seed}, cut after {end}"),
                None if cut != Ok(None) => known = Some(cut),
                None => {}
            }
        }
        assert_eq!(known.unwrap_or(Ok(None)), whole, "seed {seed}");
        match whole {
            Ok(Some(header)) => {
                assert!(header.bytes <= bytes.len(), "seed {seed}");
                verdicts[0] += 1;
            }
            Ok(None) => {}
            Err(_) => verdicts[1] += 1,
        }
    }
    assert!(
        verdicts.iter().all(|count| *count > 2_000),
        "both verdicts are met: {verdicts:?}"
    );
}

#[test]
fn bytes_beyond_the_bound_always_get_a_verdict() {
    for begin in [
        b"PROXY ".to_vec(),
        binary_header(PROXY, TCP4, &[0; 12])[..14].to_vec(),
    ] {
        let mut bytes = begin;
        bytes.resize(HEADER_BYTES_MAX, 0x0f);
        assert_ne!(parse(&bytes), Ok(None));
    }
}
