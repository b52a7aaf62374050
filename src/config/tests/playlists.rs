//! What `[[playlist]]` accepts and refuses.

use super::*;

/// The only list of a configuration with these keys.
fn list(keys: &str) -> Playlist {
    let mut config = read(&format!("[[playlist]]\nname = \"a\"\n{keys}\n"));
    config.playlists.remove(0)
}

#[track_caller]
fn assert_list_error(keys: &str, expected: &str) {
    assert_error(&format!("[[playlist]]\nname = \"a\"\n{keys}\n"), expected);
}

#[test]
fn a_list_has_defaults_for_all_but_its_place() {
    let file = list("file = \"a.m3u\"");
    assert_eq!(file.place, Place::File("a.m3u".into()));
    assert_eq!(file.refresh, Duration::from_secs(10));
    assert_eq!(
        (file.id_from, file.channels_max, file.merge),
        (10_000, 20_000, false)
    );
    assert_eq!(file.filter, Filter::default());
    let url = list("url = \"http://h/a\"\nuser_agent = \"A\"\nheaders = { X-Key = \"v\" }");
    assert_eq!(url.refresh, Duration::from_secs(21_600));
    assert_eq!(url.user_agent.as_deref(), Some("A"));
    match url.place {
        Place::Url {
            user_agent,
            headers,
            ..
        } => {
            assert_eq!(user_agent.as_deref(), Some("A"));
            assert_eq!(headers, [("X-Key".to_owned(), "v".to_owned())]);
        }
        Place::File(_) => panic!("a URL is no file"),
    }
}

#[test]
fn a_file_lies_beside_the_configuration() {
    let text = "[[playlist]]\nname = \"a\"\nfile = \"a.m3u\"\n[[playlist]]\nname = \"b\"\nfile = \"/b.m3u\"\n";
    let path = Arc::from(Path::new("/etc/corecast/corecast.toml"));
    let (config, _) = Config::read(Some((text, &path)), &Inputs::default()).unwrap();
    let places: Vec<_> = config.playlists.into_iter().map(|it| it.place).collect();
    assert_eq!(
        places,
        [
            Place::File("/etc/corecast/a.m3u".into()),
            Place::File("/b.m3u".into())
        ]
    );
    assert_eq!(
        config.server.state_dir,
        Path::new("/etc/corecast/corecast-state")
    );
}

#[test]
fn what_a_list_may_not_say_is_refused_with_its_place() {
    for (keys, expected) in [
        (
            "",
            "f:1:1: playlist: has none, exactly one of file or url is allowed",
        ),
        (
            "file = \"a\"\nurl = \"http://h/\"",
            "playlist: has file and url, exactly one of file or url is allowed",
        ),
        (
            "url = \"ftp://h/\"",
            "f:3:7: playlist.url: is not a usable URL (another scheme)",
        ),
        (
            "file = \"a\"\nheaders = { A = \"b\" }",
            "playlist.headers: is not allowed beside file",
        ),
        (
            "file = \"a\"\nrefresh_ms = 999",
            "playlist.refresh_ms: 999 is not allowed, 0 (never) or 1000",
        ),
        (
            "file = \"a\"\nrefresh_ms = 604800001",
            "is 604800001, 0 to 604800000 is allowed",
        ),
        (
            "file = \"a\"\nid_from = 0",
            "playlist.id_from: is 0, 1 to 4000000000 is allowed",
        ),
        (
            "file = \"a\"\nchannels_max = 100001",
            "is 100001, 1 to 100000 is allowed",
        ),
        (
            "file = \"a\"\ngroups = [1]",
            "playlist.groups: is a number, a text is allowed",
        ),
        (
            "file = \"a\"\ngroups = \"UK\"",
            "playlist.groups: is a text, a list is allowed",
        ),
        (
            "file = \"a\"\nnames = [\"\"]",
            "playlist.names: has 0 characters, 1 to 200 are allowed",
        ),
        (
            "file = \"a\"\nmerge = 1",
            "playlist.merge: is a number, true or false is allowed",
        ),
        (
            "file = \"a\"\ngruop = \"x\"",
            "playlist.gruop: is not known, did you mean `group`?",
        ),
    ] {
        assert_list_error(keys, expected);
    }
    assert_error("[[playlist]]\nfile = \"a\"\n", "playlist.name: is missing");
    for name in ["", "a/b", ".a", "a b", "ü"] {
        let text = format!("[[playlist]]\nname = {name:?}\nfile = \"a\"\n");
        assert_error(&text, "f:2:8: playlist.name: has ");
    }
    assert_error(
        "[[playlist]]\nname = \"a\"\nfile = \"a\"\n[[playlist]]\nname = \"a\"\nfile = \"b\"\n",
        "f:5:8: playlist.name: \"a\" is given already at f:2:8, each may stand once",
    );
}

#[test]
fn accounts_may_name_what_a_list_may_bring() {
    let account = "[[account]]\nuser = \"anna\"\npassword = \"p\"\ngroups = [\"UK\"]\nchannels = [500, 1]\n\
        [[channel]]\nid = 1\nname = \"One\"\nupstream = [{demo = true}]\n";
    let with_list = format!("{account}[[playlist]]\nname = \"a\"\nfile = \"a\"\nid_from = 500\n");
    let config = read(&with_list);
    let named: Vec<u32> = config.accounts[0]
        .channels
        .iter()
        .flatten()
        .copied()
        .collect();
    assert_eq!(named, [1, 500]);
    let errors = errors(account);
    assert_eq!(errors.len(), 2, "{errors:?}");
    let below = with_list.replace("id_from = 500", "id_from = 501");
    assert_error(&below, "account.channels: 500 is not allowed");
}

#[test]
fn no_secret_of_a_list_is_shown() {
    let text = format!(
        "[[playlist]]\nname = \"a\"\nurl = \"http://u:{TELLTALE}@h/{TELLTALE}/get.php?password={TELLTALE}\"\n\
         headers = {{ Authorization = \"{TELLTALE}\" }}\n"
    );
    let (config, provenance) = read_with(&text, &[], Flags::default()).unwrap();
    let shown = show(&config, &provenance);
    assert!(
        shown.contains("url = \"http://***@h/***/get.php?***\""),
        "{shown}"
    );
    assert!(
        shown.contains("headers = { \"Authorization\" = \"***\" }"),
        "{shown}"
    );
    assert!(!shown.contains(TELLTALE), "{shown}");
    assert!(!format!("{config:?}").contains(TELLTALE), "{config:?}");
}
