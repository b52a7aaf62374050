//! What is told of two configurations that differ.

use super::super::difference::{AccountChange, Changes, ChannelChange, Difference, Exposed, Fixed};
use super::*;

const FILE: &str = "\
    [server]\nopen = true\n\
    [[channel]]\nid = 1\nname = \"One\"\ngroup = \"News\"\n[[channel.upstream]]\ndemo = true\n\
    [[channel]]\nid = 2\nname = \"Two\"\n[[channel.upstream]]\nurl = \"http://a/2.ts\"\n\
    [[account]]\nuser = \"anna\"\npassword = \"apple\"\n\
    [[account]]\nuser = \"ben\"\npassword = \"berry\"\n";

/// What is different when `from` stands as `to` in the file.
fn changed(from: &str, to: &str) -> Difference {
    assert_eq!(FILE.matches(from).count(), 1, "{from}");
    Difference::between(&read(FILE), &read(&FILE.replace(from, to)))
}

fn channel_change(from: &str, to: &str) -> (u32, ChannelChange) {
    let Difference { channels, accounts } = changed(from, to);
    assert_eq!(accounts, Changes::default());
    assert_eq!((&channels.added, &channels.removed), (&vec![], &vec![]));
    assert_eq!(channels.changed.len(), 1);
    channels.changed[0]
}

fn account_change(from: &str, to: &str) -> AccountChange {
    let Difference { channels, accounts } = changed(from, to);
    assert_eq!(channels, Changes::default());
    assert_eq!((&accounts.added, &accounts.removed), (&vec![], &vec![]));
    assert_eq!(accounts.changed.len(), 1);
    assert_eq!(accounts.changed[0].0, "anna");
    accounts.changed[0].1
}

#[test]
fn a_file_that_is_read_again_is_no_different() {
    let difference = Difference::between(&read(FILE), &read(FILE));
    assert_eq!(difference, Difference::default());
}

#[test]
fn an_order_or_a_default_that_is_written_out_is_no_change() {
    let written = FILE.replace("id = 2", "number = 2\nlinger_ms = 5000\nid = 2");
    let difference = Difference::between(&read(FILE), &read(&written));
    assert_eq!(difference, Difference::default());
}

#[test]
fn channels_come_and_go_by_their_id() {
    let Difference { channels, .. } = changed("id = 2", "id = 3");
    let expected = Changes {
        added: vec![3],
        removed: vec![2],
        changed: vec![],
    };
    assert_eq!(channels, expected);
}

#[test]
fn a_change_of_a_channel_says_what_it_concerns() {
    let none = ChannelChange {
        listing: false,
        limits: false,
        upstreams: false,
    };
    let listing = ChannelChange {
        listing: true,
        ..none
    };
    for (from, to) in [
        ("\"One\"", "\"First\""),
        ("\"News\"", "\"Sport\""),
        ("id = 1", "number = 9\nid = 1"),
        ("id = 1", "logo = \"http://a/1.png\"\nid = 1"),
        ("id = 1", "epg_id = \"one\"\nid = 1"),
    ] {
        assert_eq!(channel_change(from, to), (1, listing), "{to}");
    }
    let limits = ChannelChange {
        limits: true,
        ..none
    };
    assert_eq!(
        channel_change("id = 1", "slow = \"drop\"\nid = 1"),
        (1, limits)
    );
    let upstreams = ChannelChange {
        upstreams: true,
        ..none
    };
    let other = "demo = true\n[[channel.upstream]]\nurl = \"http://b/1.ts\"";
    assert_eq!(channel_change("demo = true", other), (1, upstreams));
    let agent = "2.ts\"\nuser_agent = \"x\"";
    assert_eq!(channel_change("2.ts\"", agent), (2, upstreams));
}

#[test]
fn limits_of_all_channels_are_a_change_of_each() {
    let Difference { channels, .. } = changed("[server]", "[stream]\nburst_ms = 0\n[server]");
    let ids: Vec<_> = channels
        .changed
        .iter()
        .map(|(id, it)| (*id, it.limits))
        .collect();
    assert_eq!(ids, [(1, true), (2, true)]);
}

#[test]
fn accounts_come_and_go_by_their_user() {
    let Difference { accounts, .. } = changed("\"ben\"", "\"carl\"");
    assert_eq!(accounts.added, ["carl"]);
    assert_eq!(accounts.removed, ["ben"]);
    assert_eq!(accounts.changed, []);
}

#[test]
fn a_change_of_an_account_says_what_it_concerns() {
    let none = AccountChange {
        login: false,
        rights: false,
        limit: false,
    };
    let login = AccountChange {
        login: true,
        ..none
    };
    assert_eq!(account_change("\"apple\"", "\"Apple\""), login);
    let rights = AccountChange {
        rights: true,
        ..none
    };
    for key in [
        "valid_until = 2030-01-01",
        "networks = [\"10.0.0.0/8\"]",
        "channels = [1]",
        "groups = [\"News\"]",
    ] {
        let to = format!("\"apple\"\n{key}");
        assert_eq!(account_change("\"apple\"", &to), rights, "{key}");
    }
    let limit = AccountChange {
        limit: true,
        ..none
    };
    for key in ["viewers_max = 3", "at_limit = \"refuse\""] {
        let to = format!("\"apple\"\n{key}");
        assert_eq!(account_change("\"apple\"", &to), limit, "{key}");
    }
}

#[test]
fn a_channel_that_joins_a_group_changes_the_accounts_of_the_group() {
    let file = FILE.replace("\"apple\"", "\"apple\"\ngroups = [\"News\"]");
    let joined = file.replace("\"Two\"", "\"Two\"\ngroup = \"News\"");
    let Difference { accounts, .. } = Difference::between(&read(&file), &read(&joined));
    assert_eq!(accounts.changed.len(), 1);
    assert!(accounts.changed[0].1.rights);
}

#[test]
fn what_cannot_change_while_running_is_kept_and_named_with_both_values() {
    let in_use = read("[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nshards = 2\n");
    let mut wanted = read(
        "[server]\nlisten = [\"127.0.0.1:3\"]\npin = false\ndrain_ms = 1\n\
         [admin]\nlisten = \"127.0.0.1:4\"\n",
    );
    let fixed = |key, in_use: &str, wanted: &str| Fixed {
        key,
        in_use: in_use.into(),
        wanted: wanted.into(),
    };
    let expected = [
        fixed("server.listen", "127.0.0.1:1,127.0.0.1:2", "127.0.0.1:3"),
        fixed("server.shards", "2", "auto"),
        fixed("server.pin", "true", "false"),
        fixed("admin.listen", "127.0.0.1:8001", "127.0.0.1:4"),
    ];
    assert_eq!(wanted.keep_fixed(&in_use), expected);
    assert_eq!(wanted.server.listen, in_use.server.listen);
    assert_eq!(wanted.server.shards, in_use.server.shards);
    assert!(wanted.server.pin);
    assert_eq!(wanted.admin.listen, in_use.admin.listen);
    assert_eq!(wanted.server.drain, Duration::from_millis(1));
    assert_eq!(wanted.keep_fixed(&in_use), []);
}

#[test]
fn listeners_that_were_kept_must_not_be_open_to_more_than_before() {
    let mut in_use = read("[server]\nopen = true\n");
    in_use.server.listen = vec!["0.0.0.0:1".parse::<SocketAddr>().unwrap().into()];
    let mut wanted = read("");
    wanted.keep_fixed(&in_use);
    let address = in_use.server.listen[0].clone();
    assert_eq!(wanted.admit_kept(), Err(Exposed::Viewers { address }));
    wanted.server.open = true;
    assert_eq!(wanted.admit_kept(), Ok(()));
    let mut guarded = read("[[account]]\nuser = \"anna\"\npassword = \"apple\"\n");
    guarded.keep_fixed(&in_use);
    assert_eq!(guarded.admit_kept(), Ok(()));
    let address = "0.0.0.0:2".parse().unwrap();
    in_use.admin.listen = address;
    guarded.keep_fixed(&in_use);
    assert_eq!(guarded.admit_kept(), Err(Exposed::Admin { address }));
    guarded.admin.token = Some(Secret::new("0123456789abcdef"));
    assert_eq!(guarded.admit_kept(), Ok(()));
}
