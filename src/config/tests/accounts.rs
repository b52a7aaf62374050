//! Who may watch: users and their passwords, as the file may give them.

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
        "f:1:1: account: has none, exactly one of password or password_file",
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
