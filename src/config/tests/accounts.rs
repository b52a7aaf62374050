//! Who may watch: users, their passwords and their limits, as the file may give them.

use super::*;

#[test]
fn a_user_is_a_plain_word_and_no_path_of_ours() {
    let with = |user: &str| format!("[[account]]\nuser = \"{user}\"\npassword = \"x\"\n");
    read(&with("Anna.B_7@example-1"));
    assert_error(&with(RESERVED_ONE), "f:2:8: account.user: ");
    for user in ["", "a/b", "a b", "é", "a?b", "a%20", "..", "."] {
        assert_error(&with(user), "f:2:8: account.user: ");
    }
    assert_error(
        &format!("{}{}", with("a"), with("a")),
        "f:5:8: account.user: \"a\" is given already at f:2:8",
    );
}

#[test]
fn a_password_stands_in_a_url_unchanged() {
    let with = |password: &str| format!("[[account]]\nuser = \"a\"\npassword = \"{password}\"\n");
    read(&with("!\\\"$&'()*+,-.:;<=>@[]^_`{|}~"));
    for password in [
        "",
        "a/b",
        "a?b",
        "a#b",
        "a%b",
        "a b",
        "é",
        "a\\r\\nb",
        "..",
        &"x".repeat(129),
    ] {
        assert_error(&with(password), "f:3:12: account.password: ");
    }
    let errors = errors(&with(&format!("{TELLTALE} ?")));
    assert!(!errors[0].contains(TELLTALE), "{errors:?}");
}

#[test]
fn an_account_has_one_password() {
    assert_error(
        "[[account]]\nuser = \"a\"\n",
        "f:1:1: account: has none, exactly one of password, password_file or password_hash is allowed",
    );
    assert_error(
        "[[account]]\nuser = \"a\"\npassword = \"x\"\npassword_file = \"y\"\n",
        "account: has password and password_file, exactly one of",
    );
    assert_error(
        "[[account]]\npassword = \"x\"\n",
        "f:1:1: account.user: is missing, a text is needed",
    );
}

#[test]
fn a_hash_stands_in_the_place_of_a_password() {
    let with = |hash: &str| format!("[[account]]\nuser = \"a\"\npassword_hash = \"{hash}\"\n");
    let config = read(&with(HASH));
    assert!(matches!(config.accounts[0].login, Login::Hash(_)));
    assert_error(
        &with(&HASH.replace("m=256", "m=999999999")),
        "f:3:17: account.password_hash: asks for more than m=262144, t=16 or p=16, the output of",
    );
    for text in [
        "",
        "plain",
        &format!("{HASH} {TELLTALE}"),
        &HASH.replace("2id", "3"),
    ] {
        let errors = errors(&with(text));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].starts_with("f:3:17: account.password_hash: is not a "),
            "{errors:?}"
        );
        assert!(
            !errors[0].contains(TELLTALE) && !errors[0].contains("Y29yZW"),
            "{errors:?}"
        );
    }
    assert_error(
        &format!("{}password = \"x\"\n", with(HASH)),
        "f:1:1: account: has password and password_hash, exactly one of",
    );
}

#[test]
fn an_account_ends_with_a_day_or_at_a_moment() {
    let with = |value: &str| {
        format!("[[account]]\nuser = \"a\"\npassword = \"x\"\nvalid_until = {value}\n")
    };
    let until = |value: &str| {
        let config = read(&with(value));
        config.accounts[0].valid_until.unwrap().unix_seconds()
    };
    assert_eq!(until("2026-11-22"), 1_795_392_000);
    assert_eq!(until("\"2026-11-22\""), 1_795_392_000);
    assert_eq!(until("2026-11-23T01:00:00+01:00"), 1_795_392_000);
    for value in [
        "2026-11-22T12:00:00",
        "12:00:00",
        "\"soon\"",
        "\"\"",
        "1950-01-01",
    ] {
        assert_error(&with(value), "f:4:15: account.valid_until: ");
        assert_error(
            &with(value),
            "a date from 1970 on is allowed, 2026-12-31 or ",
        );
    }
    assert_error(
        &with("1795392000"),
        "f:4:15: account.valid_until: is a number, a date, or",
    );
}

#[test]
fn an_account_is_used_from_networks_and_addresses() {
    let with =
        |list: &str| format!("[[account]]\nuser = \"a\"\npassword = \"x\"\nnetworks = {list}\n");
    let config = read(&with(r#"["192.0.2.7/24", "2001:db8::/32", "192.0.2.7"]"#));
    let networks = config.accounts[0].networks.iter().map(ToString::to_string);
    assert_eq!(
        networks.collect::<Vec<_>>(),
        ["192.0.2.0/24", "2001:db8::/32", "192.0.2.7/32"]
    );
    for network in ["192.0.2.0/33", "example.org", "", "192.0.2"] {
        let text = with(&format!("[\"192.0.2.1\", \"{network}\"]"));
        assert_error(&text, "f:4:26: account.networks: ");
    }
    assert_error(
        &with("[]"),
        "account.networks: has 0 entries, 1 to 64 are allowed",
    );
    assert_error(
        &with("[7]"),
        "account.networks: is a number, a text is allowed",
    );
}

#[test]
fn an_account_names_channels_that_exist() {
    let channel = "[[channel]]\nid = 7\nname = \"c\"\n[[channel.upstream]]\ndemo = true\n";
    let with = |list: &str| {
        format!("{channel}[[account]]\nuser = \"a\"\npassword = \"x\"\nchannels = {list}\n")
    };
    assert_eq!(read(&with("[7, 7]")).accounts[0].channels, Some([7].into()));
    assert_error(
        &with("[7, 8]"),
        "f:9:16: account.channels: 8 is not allowed, the id of a [[channel]] is allowed",
    );
    assert_error(
        &with("[]"),
        "account.channels: has 0 entries, 1 to 100000 are allowed",
    );
    assert_error(
        &with("[\"7\"]"),
        "account.channels: is a text, a whole number is allowed",
    );
}

#[test]
fn an_account_has_the_channels_that_it_names_and_those_of_its_groups() {
    let channel = |id: u32, group: &str| {
        format!(
            "[[channel]]\nid = {id}\nname = \"c\"\ngroup = \"{group}\"\n\
             [[channel.upstream]]\ndemo = true\n"
        )
    };
    let with = |lines: &str| {
        let channels = channel(7, "News") + &channel(8, "Sport") + &channel(9, "News");
        format!("{channels}[[account]]\nuser = \"a\"\npassword = \"x\"\n{lines}\n")
    };
    let channels = |lines: &str| read(&with(lines)).accounts[0].channels.clone();
    assert_eq!(channels(""), None);
    assert_eq!(channels("groups = [\"News\"]"), Some([7, 9].into()));
    assert_eq!(
        channels("groups = [\"Sport\"]\nchannels = [7]"),
        Some([7, 8].into())
    );
    assert_error(
        &with("groups = [\"News\", \"Films\"]"),
        "f:22:19: account.groups: \"Films\" is not allowed, the group of a [[channel]] is allowed",
    );
    assert_error(
        &with("groups = []"),
        "account.groups: has 0 entries, 1 to 100000",
    );
}

#[test]
fn a_limit_is_a_number_and_what_happens_at_it() {
    let with = |line: &str| format!("[[account]]\nuser = \"a\"\npassword = \"x\"\n{line}\n");
    let account = |line: &str| read(&with(line)).accounts[0].clone();
    assert_eq!(account("").viewers_max, 0);
    assert_eq!(account("").at_limit, AtLimit::Replace);
    assert_eq!(account("viewers_max = 3").viewers_max, 3);
    assert_eq!(account("at_limit = \"refuse\"").at_limit, AtLimit::Refuse);
    assert_error(
        &with("viewers_max = -1"),
        "f:4:15: account.viewers_max: is -1, 0 to 1000000",
    );
    assert_error(
        &with("at_limit = \"close\""),
        "f:4:12: account.at_limit: \"close\" is not allowed, \"replace\" or \"refuse\" is allowed",
    );
    assert_error(&with("viewer_max = 3"), "did you mean `viewers_max`?");
}

#[test]
fn what_is_shown_of_an_account_hides_password_and_hash() {
    let text = format!(
        "[[account]]\nuser = \"a\"\npassword_hash = \"{HASH}\"\nvalid_until = 2026-11-22\n\
         networks = [\"192.0.2.0/24\"]\nviewers_max = 2\nat_limit = \"refuse\"\n"
    );
    let (config, provenance) = read_with(&text, &[], Flags::default()).unwrap();
    let shown = show(&config, &provenance);
    for line in [
        "password_hash = \"***\"",
        "valid_until = 2026-11-22",
        "networks = [\"192.0.2.0/24\"]",
        "viewers_max = 2",
        "at_limit = \"refuse\"",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains("argon2"), "{shown}");
}

/// Of `correct.horse`.
const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$Y29yZWNhc3Qtc2FsdC0xNg$A0VP5vAbqLcTc1IpeY8no+G7BdQpfrKds1/Mgcpgqr4";
