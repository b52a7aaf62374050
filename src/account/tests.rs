//! What the accounts of a configuration let in.

use super::*;
use crate::account::until::Until;
use crate::config::AtLimit;

/// Of `correct.horse`.
const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$Y29yZWNhc3Qtc2FsdC0xNg$A0VP5vAbqLcTc1IpeY8no+G7BdQpfrKds1/Mgcpgqr4";

fn account(user: &str, login: Login) -> Account {
    Account {
        user: user.to_owned(),
        login,
        valid_until: None,
        networks: Vec::new(),
        channels: None,
        groups: [].into(),
        viewers_max: 0,
        at_limit: AtLimit::Replace,
        bits_per_second_max: 0,
    }
}

fn in_clear(user: &str, password: &str) -> Account {
    account(user, Login::Password(Secret::new(password)))
}

fn hashed(user: &str, hash: &str) -> Account {
    account(user, Login::Hash(Hash::parse(hash).unwrap()))
}

fn offer(user: &str, password: &str) -> Credentials {
    Credentials {
        user: user.to_owned(),
        password: Secret::new(password),
    }
}

/// The user whose account these credentials open, after all the work there is.
fn opened(accounts: &Accounts, user: &str, password: &str) -> Option<String> {
    let account = match accounts.examine(&offer(user, password)) {
        Examined::Open { hash, account } => account.filter(|_| hash.matches(password)),
        Examined::Right(account) => Some(account),
        Examined::Wrong => None,
    };
    account.map(|account| account.user.clone())
}

#[test]
fn without_accounts_everybody_may_watch() {
    assert!(Accounts::new(&[]).is_open());
    assert!(!Accounts::new(&[in_clear("anna", "apple")]).is_open());
}

#[test]
fn a_password_opens_only_the_account_of_its_own_user() {
    let accounts = Accounts::new(&[in_clear("anna", "apple"), in_clear("ben", "berry")]);
    assert_eq!(opened(&accounts, "anna", "apple").as_deref(), Some("anna"));
    assert_eq!(opened(&accounts, "ben", "berry").as_deref(), Some("ben"));
    for (user, password) in [("anna", "berry"), ("Anna", "apple"), ("anna", "")] {
        assert_eq!(opened(&accounts, user, password), None, "{user}");
    }
}

#[test]
fn an_unknown_user_opens_nothing_whatever_the_password() {
    let in_clear = [in_clear("anna", "apple")];
    let hashed = [hashed("anna", HASH)];
    for accounts in [&in_clear, &hashed] {
        let accounts = Accounts::new(accounts);
        for password in ["", "apple", "nobody", "correct.horse"] {
            assert_eq!(opened(&accounts, "carl", password), None, "{password}");
            assert_eq!(opened(&accounts, "", password), None, "{password}");
        }
    }
}

#[test]
fn a_hash_opens_to_the_password_that_it_was_made_of() {
    let accounts = Accounts::new(&[hashed("anna", HASH), in_clear("ben", "berry")]);
    assert_eq!(
        opened(&accounts, "anna", "correct.horse").as_deref(),
        Some("anna")
    );
    assert_eq!(opened(&accounts, "anna", HASH), None);
    assert_eq!(opened(&accounts, "ben", "correct.horse"), None);
}

#[test]
fn beside_a_hash_every_wrong_login_costs_a_check_of_the_dearest() {
    let dear = HASH.replace("t=1", "t=3");
    let accounts = Accounts::new(&[
        hashed("anna", HASH),
        hashed("dora", &dear),
        in_clear("ben", "berry"),
    ]);
    let cost = Hash::parse(&dear).unwrap().cost();
    for user in ["ben", "carl", "dora"] {
        let examined = accounts.examine(&offer(user, "wrong"));
        assert!(
            matches!(&examined, Examined::Open { hash, .. } if hash.cost() == cost),
            "{user}: {examined:?}"
        );
    }
    assert!(matches!(
        accounts.examine(&offer("ben", "berry")),
        Examined::Right(_)
    ));
}

#[test]
fn neither_accounts_nor_credentials_print_passwords_or_hashes() {
    let accounts = [in_clear("anna", "apple"), hashed("ben", HASH)];
    let examined = Accounts::new(&accounts).examine(&offer("ben", "apple"));
    let shown = format!("{accounts:?} {examined:?} {:?}", offer("anna", "apple"));
    for hidden in ["apple", "argon2", "A0VP5vAb"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn an_account_is_over_when_its_time_is() {
    let mut account = in_clear("anna", "apple");
    let home = IpAddr::from([192, 0, 2, 7]);
    assert_eq!(account.permits(home, u64::MAX), Ok(()));
    account.valid_until = Until::new("2026-11-22".parse().unwrap());
    assert_eq!(account.permits(home, 1_795_391_999), Ok(()));
    assert_eq!(account.permits(home, 1_795_392_000), Err(Denied::Expired));
}

#[test]
fn an_account_is_used_from_its_networks_only() {
    let mut account = in_clear("anna", "apple");
    account.networks = ["192.0.2.0/24", "2001:db8::/32"]
        .map(|it| it.parse().unwrap())
        .to_vec();
    for (address, expected) in [
        ("192.0.2.255", Ok(())),
        ("::ffff:192.0.2.7", Ok(())),
        ("2001:db8:1::1", Ok(())),
        ("192.0.3.1", Err(Denied::Network)),
        ("2001:db9::1", Err(Denied::Network)),
    ] {
        assert_eq!(account.permits(address.parse().unwrap(), 0), expected);
    }
}

#[test]
fn an_account_that_names_its_channels_has_no_others() {
    let mut account = in_clear("anna", "apple");
    let content = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let dynamic = ChannelId::Dynamic(crate::channel::id::Content::Infohash(content));
    let configured = ChannelId::Configured;
    assert!(account.may_watch(configured(7)) && account.may_watch(dynamic));
    account.channels = Some([7].into());
    assert!(account.may_watch(configured(7)));
    assert!(!account.may_watch(configured(8)) && !account.may_watch(dynamic));
}

#[test]
fn an_account_that_stays_as_it_is_remains_the_very_same() {
    let before = Accounts::new(&[in_clear("anna", "apple"), hashed("ben", HASH)]);
    let after = before.followed_by(&[hashed("ben", HASH), in_clear("anna", "Apple")]);
    let same = |user| Arc::ptr_eq(before.of_user(user).unwrap(), after.of_user(user).unwrap());
    assert!(same("ben"));
    assert!(!same("anna"));
    assert_eq!(opened(&after, "anna", "apple"), None);
    assert_eq!(opened(&after, "anna", "Apple").as_deref(), Some("anna"));
}

#[test]
fn a_hashed_password_that_no_url_can_carry_opens_nothing_and_costs_the_same() {
    let accounts = Accounts::new(&[hashed("carla", HASH)]);
    for (password, is_open) in [
        ("correct.horse", true),
        ("a b#?%", true),
        ("a/b", false),
        ("a\\b", false),
        ("..", false),
        ("", false),
        ("a\nb", false),
    ] {
        let Examined::Open { account, .. } = accounts.examine(&offer("carla", password)) else {
            panic!("{password:?} is told without work");
        };
        assert_eq!(account.is_some(), is_open, "{password:?}");
    }
}
