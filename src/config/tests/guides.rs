//! `[[guide]]`.

use std::path::PathBuf;
use std::time::Duration;

use super::*;

fn with(lines: &str) -> String {
    format!("[[guide]]\n{lines}\n")
}

#[test]
fn a_guide_has_defaults_for_all_but_its_place() {
    let config = read(&(with("file = \"a.xml\"") + &with("url = \"http://h/b.xml\"")));
    let [file, url] = &config.guides[..] else {
        panic!("{:?}", config.guides);
    };
    assert_eq!(file.place, GuidePlace::File(PathBuf::from("a.xml")));
    assert!(matches!(&url.place, GuidePlace::Http { url, .. } if url.path() == "/b.xml"));
    let hours = Duration::from_hours;
    assert_eq!(
        (file.refresh, file.past, file.future),
        (hours(12), hours(24), hours(168))
    );
    assert_eq!((file.shift_ms, file.bytes_max), (0, 64 << 20));
}

#[test]
fn every_key_of_a_guide_is_read() {
    let config = read(&with(
        "url = \"https://u:p@h/g.xml.gz\"\nuser_agent = \"x\"\nheaders = { Cookie = \"c\" }\n\
         refresh_ms = 1000\npast_ms = 0\nfuture_ms = 3600000\nshift_ms = -7200000\nbytes_max = 1048576",
    ));
    let guide = &config.guides[0];
    let GuidePlace::Http {
        user_agent,
        headers,
        ..
    } = &guide.place
    else {
        panic!("{guide:?}");
    };
    assert_eq!(user_agent.as_deref(), Some("x"));
    assert_eq!(headers[..], [("Cookie".into(), "c".into())]);
    assert_eq!(guide.refresh, Duration::from_secs(1));
    assert_eq!((guide.shift_ms, guide.bytes_max), (-7_200_000, 1 << 20));
    assert_eq!(
        (guide.past, guide.future.as_secs()),
        (Duration::ZERO, 3_600)
    );
}

#[test]
fn what_a_guide_may_not_be_is_refused_with_its_key() {
    for (lines, error) in [
        ("", "guide: has none, exactly one of file or url is allowed"),
        (
            "file = \"a\"\nurl = \"http://h/\"",
            "guide: has file and url, exactly one of file or url is allowed",
        ),
        (
            "file = \"a\"\nheaders = { A = \"b\" }",
            "guide.headers: is not allowed beside file",
        ),
        (
            "file = \"a\"\nuser_agent = \"x\"",
            "guide.user_agent: is not allowed beside file",
        ),
        ("file = \"\"", "guide.file: has 0 characters"),
        ("url = \"ftp://h/\"", "guide.url: "),
        (
            "file = \"a\"\nrefresh_ms = 999",
            "guide.refresh_ms: is 999, 1000 to 604800000 is allowed",
        ),
        (
            "file = \"a\"\nshift_ms = -86400001",
            "guide.shift_ms: -86400001 is not allowed, -86400000 to 86400000 is allowed",
        ),
        (
            "file = \"a\"\nshift_ms = \"1\"",
            "guide.shift_ms: is a text, a whole number is allowed",
        ),
        (
            "file = \"a\"\nrefresh_m = 1",
            "guide.refresh_m: is not known, did you mean `refresh_ms`?",
        ),
    ] {
        assert_error(&with(lines), error);
    }
    let many = with("file = \"a\"").repeat(17);
    assert_error(&many, "guide: has 17 entries, 0 to 16 are allowed");
}

#[test]
fn a_guide_is_shown_without_its_secrets() {
    let text = with(&format!(
        "url = \"http://u:{TELLTALE}@h/{TELLTALE}/g.xml?{TELLTALE}\"\nheaders = {{ Cookie = \"{TELLTALE}\" }}\nshift_ms = -1000"
    ));
    let (config, provenance) =
        read_with(&(text + &with("file = \"a b.xml\"")), &[], Flags::default()).unwrap();
    let shown = show(&config, &provenance) + &format!("{config:?}");
    assert!(!shown.contains(TELLTALE), "{shown}");
    let again = read(&show(&config, &provenance));
    assert_eq!(again.guides.len(), 2);
    assert_eq!(again.guides[1], config.guides[1]);
    assert_eq!(again.guides[0].shift_ms, -1_000);
}
