//! The server, its listeners, and the files beside the configuration.

use super::*;

#[test]
fn listening_to_all_needs_an_account_or_the_word_open() {
    let all = "[server]\nlisten = [\"127.0.0.1:80\", \"0.0.0.0:8000\"]\n";
    assert_error(
        all,
        "f:2:27: server.listen: 0.0.0.0:8000 is not loopback and there is no [[account]]: ",
    );
    read(&format!("{all}open = true\n"));
    read(&format!(
        "{all}[[account]]\nuser = \"a\"\npassword = \"b\"\n"
    ));
    let flags = Flags {
        listen: vec!["[::]:80".into()],
        shards: None,
    };
    let errors = errors_with("", &[], flags);
    assert!(
        errors[0].starts_with("--listen: server.listen: [::]:80 is not loopback"),
        "{errors:?}"
    );
}

#[test]
fn a_proxy_header_is_believed_from_everybody_on_this_host_only() {
    let all = "[server]\nopen = true\nproxy_protocol = true\nlisten = [\"unix:/run/a\", \"0.0.0.0:8000\"]\n";
    assert_error(
        all,
        "f:4:26: server.listen: 0.0.0.0:8000 is not loopback and with proxy_protocol everybody who connects",
    );
    read(&format!("{all}trusted_proxies = [\"10.0.0.1\"]\n"));
    read("[server]\nproxy_protocol = true\nlisten = [\"unix:/run/a\", \"127.0.0.1:8000\"]\n");
}

#[test]
fn a_public_url_is_a_scheme_and_a_host() {
    let read_url = |url: &str| {
        read(&format!("[server]\npublic_url = {url:?}\n"))
            .server
            .public_url
    };
    assert_eq!(read_url(""), None);
    for url in ["https://tv.example", "http://[2001:db8::1]:8080/"] {
        assert_eq!(read_url(url), Some(Url::parse(url).unwrap()));
    }
    for (url, reason) in [
        ("tv.example", "no http:// before the host"),
        ("ftp://tv.example", "another scheme"),
        ("https://tv.example/tv", "apps add the path themselves"),
        ("https://tv.example/?a", "apps add the path themselves"),
        ("https://tv.example/#a", "apps add the path themselves"),
        ("https://anna@tv.example", "every viewer would see its user"),
    ] {
        assert_error(
            &format!("[server]\npublic_url = {url:?}\n"),
            &format!("f:2:14: server.public_url: is not a usable URL ({reason}"),
        );
    }
}

#[test]
fn addresses_are_literals_and_do_not_overlap() {
    assert_eq!(
        read("[server]\nlisten = [\"localhost:0\", \"127.0.0.1:0\", \"[::1]:8000\"]\n")
            .server
            .listen
            .len(),
        3
    );
    for (listen, expected) in [
        ("[]", "has 0 addresses, 1 to 16 are allowed"),
        ("[\"example.org:80\"]", "is not an address"),
        ("[\"127.0.0.1\"]", "is not an address"),
        ("[\"127.0.0.1:65536\"]", "is not an address"),
        ("[80]", "is a number, a text is allowed"),
        (
            "[\"127.0.0.1:7\", \"localhost:7\"]",
            "127.0.0.1:7 is taken already by 127.0.0.1:7 at f:2:11",
        ),
        (
            "[\"127.0.0.1:8001\"]",
            "admin.listen: 127.0.0.1:8001 is taken already by server.listen",
        ),
    ] {
        let admin = "[admin]\nlisten = \"127.0.0.1:8001\"\n";
        assert_error(&format!("[server]\nlisten = {listen}\n{admin}"), expected);
    }
}

#[test]
fn a_unix_socket_is_an_absolute_path_and_local() {
    let config = read("[server]\nlisten = [\"127.0.0.1:0\", \"unix:/run/a.sock\"]\n");
    assert_eq!(
        config.server.listen[1],
        Listen::Unix(Path::new("/run/a.sock").into())
    );
    assert_eq!(config.server.listen[1].to_string(), "unix:/run/a.sock");
    let longest = format!("/{}", "x".repeat(PATH_BYTES_MAX - 1));
    read(&format!("[server]\nlisten = [\"unix:{longest}\"]\n"));
    for path in [
        "",
        "/",
        "run/a.sock",
        "/run/",
        "/run/a b",
        "/run/a,b",
        "/run/a\\u000Ab",
        "@abstract",
        &format!("{longest}x"),
    ] {
        assert_error(
            &format!("[server]\nlisten = [\"unix:{path}\"]\n"),
            "or unix:/path (absolute, no spaces or commas, at most 107 bytes) is allowed",
        );
    }
    assert_error(
        "[server]\nlisten = [\"unix:/run/a\", \"unix:/run/a\"]\n",
        "unix:/run/a is taken already by unix:/run/a at f:2:11",
    );
}

#[test]
fn proxies_are_networks_and_nobody_is_one_by_default() {
    let default = read("").server.front;
    assert!(!default.proxy_protocol && default.trusted.is_empty());
    let text = "[server]\nproxy_protocol = true\ntrusted_proxies = [\"10.1.2.3/8\", \"::1\"]\n";
    let (config, provenance) = read_with(text, &[], Flags::default()).unwrap();
    assert!(config.server.front.proxy_protocol);
    let shown = show(&config, &provenance);
    assert!(
        shown.contains("trusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]"),
        "{shown}"
    );
    assert_eq!(read(&shown).server.front, config.server.front);
    for (value, expected) in [
        (
            "[\"10.0.0.0/33\"]",
            "f:2:20: server.trusted_proxies: \"10.0.0.0/33\" is not a network, an IP address or",
        ),
        ("[\"proxy.example\"]", "is not a network"),
        ("[7]", "is a number, a text is allowed"),
        ("\"10.0.0.1\"", "is a text, a list is allowed"),
    ] {
        assert_error(&format!("[server]\ntrusted_proxies = {value}\n"), expected);
    }
    let many = vec!["\"::1\""; 65].join(", ");
    assert_error(
        &format!("[server]\ntrusted_proxies = [{many}]\n"),
        "has 65 networks, 0 to 64 are allowed",
    );
}

#[test]
fn the_admin_listener_needs_a_token_beyond_loopback() {
    assert_error(
        "[admin]\nlisten = \"0.0.0.0:8001\"\n",
        "f:2:10: admin.listen: 0.0.0.0:8001 is not loopback, set admin.token_file or listen on 127.0.0.1",
    );
    let file = std::env::temp_dir().join(format!("corecast-token-{}", std::process::id()));
    let text = format!(
        "[admin]\nlisten = \"0.0.0.0:8001\"\ntoken_file = {:?}\n",
        file.display().to_string()
    );
    assert_error(&text, "cannot be read: No such file");
    std::fs::write(&file, " too-short \n").unwrap();
    assert_error(
        &text,
        "admin.token_file: has 9 characters in the file, 16 to 256 are allowed",
    );
    std::fs::write(&file, "0123456789 abcdef\n").unwrap();
    assert_error(&text, "has a character that is not allowed");
    std::fs::write(&file, "\n0123456789abcdef\n").unwrap();
    let token = read(&text).admin.token.unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(token.expose(), "0123456789abcdef");
}

#[test]
fn a_secret_beside_the_file_is_found_from_anywhere() {
    let folder = std::env::temp_dir().join(format!("corecast-folder-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("secret"), "pass\n").unwrap();
    let file = folder.join("c.toml");
    std::fs::write(
        &file,
        "[[account]]\nuser = \"a\"\npassword_file = \"secret\"\n",
    )
    .unwrap();
    let inputs = Inputs {
        file: Some(file),
        ..Inputs::default()
    };
    let loaded = Config::load(&inputs);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(password_of(&loaded.unwrap().0.accounts[0]), "pass");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_the_defaults() {
    let inputs = Inputs {
        file: Some("/no/such/corecast.toml".into()),
        ..Inputs::default()
    };
    let message = Config::load(&inputs).unwrap_err().to_string();
    assert!(
        message.starts_with("/no/such/corecast.toml: file: "),
        "{message}"
    );
    let inputs = Inputs {
        file: Some("/".into()),
        ..Inputs::default()
    };
    assert!(Config::load(&inputs).is_err(), "a folder is no file");
}

#[test]
fn a_file_that_is_no_text_is_an_error_with_a_place() {
    let path = Arc::from(Path::new("f"));
    let error = load::text_of(b"a = 1\nb = \"\xc3\xa9\xff\"", &path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "f:2:7: syntax: has a character that is not allowed, UTF-8 is allowed"
    );
    assert_eq!(load::text_of("é".as_bytes(), &path).unwrap(), "é");
}

#[test]
fn a_secret_file_is_not_read_past_its_bound_and_never_shown() {
    let file = std::env::temp_dir().join(format!("corecast-secret-{}", std::process::id()));
    let read = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        secret_file::read_secret(&file.display().to_string(), Path::new(""))
    };
    assert_eq!(read(b" p \n").unwrap(), "p");
    let long = read(&[b'x'; 70_000]).unwrap_err().to_string();
    let mut bytes = TELLTALE.as_bytes().to_vec();
    bytes.push(0xff);
    let no_text = read(&bytes).unwrap_err();
    std::fs::remove_file(&file).unwrap();
    assert!(long.contains("cannot be read: file too large"), "{long}");
    assert!(no_text.to_string().ends_with("cannot be read: no UTF-8"));
    assert!(
        !format!("{no_text:?}").contains("115, 51, 99"),
        "{no_text:?}"
    );
}

#[test]
fn the_first_file_that_exists_is_the_one_that_is_read() {
    assert_eq!(find(None, &["/no/such", "/no/other"]), None);
    assert_eq!(
        find(None, &["/no/such", "/"]).as_deref(),
        Some(Path::new("/"))
    );
    assert_eq!(
        find(Some(Path::new("/no/such")), &["/"]).as_deref(),
        Some(Path::new("/no/such"))
    );
}
