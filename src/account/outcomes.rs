//! How checks of hashes ended, for players that come back. (pure)
//!
//! What is remembered is a keyed digest of user, password and hash with the outcome, never any of them. The rule: wrong
//! guesses, of which there is no end, never push out what is known of right ones.

use std::collections::HashMap;

use ring::hmac;
use ring::rand::SystemRandom;

use crate::account::Credentials;
use crate::account::hash::Hash;

/// The outcomes of late.
///
/// Unit: all times are microseconds on the caller's time line, which never goes back.
///
/// Bound: [`OUTCOMES_MAX`] right ones for [`RIGHT_US`] and as many wrong ones for [`WRONG_US`]; a further one takes the
/// place of the one that ends first.
pub struct Outcomes {
    /// Without the system's randomness there is none, and nothing is remembered.
    key: Option<hmac::Key>,
    right: Kept,
    wrong: Kept,
}

/// Stands for a user, a password and what it was checked against; made with a key that only this process has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Outcomes {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let random = SystemRandom::new();
        Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random).ok(),
            right: Kept::default(),
            wrong: Kept::default(),
        }
    }

    /// What a check of these credentials against a hash is remembered by, with an account or without.
    ///
    /// Shape: another for each hash, so that what was checked against an account's old one says nothing of its new one.
    #[must_use]
    pub fn digest(&self, offered: &Credentials, hash: &Hash, has_account: bool) -> Option<Digest> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        // The lengths in front tell "ab" with "c" from "a" with "bc".
        for part in [&offered.user, &hash.text()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.update(&[u8::from(has_account)]);
        context.update(offered.password.expose().as_bytes());
        context.sign().as_ref().try_into().ok().map(Digest)
    }

    /// Whether these credentials were right, if that is still known.
    #[must_use]
    pub fn recall(&self, digest: Option<Digest>, now_us: u64) -> Option<bool> {
        let digest = digest?;
        let was_right = self.right.has(digest, now_us);
        (was_right || self.wrong.has(digest, now_us)).then_some(was_right)
    }

    /// Remembers how a check ended.
    pub fn remember(&mut self, digest: Option<Digest>, is_right: bool, now_us: u64) {
        let Some(digest) = digest else {
            return;
        };
        if is_right {
            self.right.keep(digest, now_us, RIGHT_US);
        } else {
            self.wrong.keep(digest, now_us, WRONG_US);
        }
    }
}

impl Default for Outcomes {
    fn default() -> Self {
        Self::new()
    }
}

/// Digests, each with its end.
#[derive(Default)]
struct Kept(HashMap<Digest, u64>);

impl Kept {
    fn has(&self, digest: Digest, now_us: u64) -> bool {
        self.0
            .get(&digest)
            .is_some_and(|until_us| *until_us > now_us)
    }

    fn keep(&mut self, digest: Digest, now_us: u64, for_us: u64) {
        if self.0.len() >= OUTCOMES_MAX && !self.0.contains_key(&digest) {
            self.make_room(now_us);
        }
        self.0.insert(digest, now_us.saturating_add(for_us));
    }

    fn make_room(&mut self, now_us: u64) {
        self.0.retain(|_, until_us| *until_us > now_us);
        if self.0.len() < OUTCOMES_MAX {
            return;
        }
        let first = self.0.iter().min_by_key(|(_, until_us)| **until_us);
        if let Some(digest) = first.map(|(digest, _)| *digest) {
            self.0.remove(&digest);
        }
    }
}

/// How many right and how many wrong outcomes a shard remembers; some 50 bytes each.
pub const OUTCOMES_MAX: usize = 4096;

/// How long a right password is not checked again.
pub const RIGHT_US: u64 = 600_000_000;

/// How long a wrong password is not checked again.
pub const WRONG_US: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::secret::Secret;

    fn hash() -> Hash {
        let salted = "$argon2id$v=19$m=256,t=1,p=1$Y29yZWNhc3Qtc2FsdC0xNg";
        Hash::parse(&format!(
            "{salted}$A0VP5vAbqLcTc1IpeY8no+G7BdQpfrKds1/Mgcpgqr4"
        ))
        .unwrap()
    }

    fn offer(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: Secret::new(password),
        }
    }

    #[test]
    fn an_outcome_is_known_until_its_time_is_over() {
        let mut outcomes = Outcomes::new();
        let (right, wrong) = (
            outcomes.digest(&offer("a", "1"), &hash(), true),
            outcomes.digest(&offer("a", "2"), &hash(), true),
        );
        assert_eq!(outcomes.recall(right, 0), None);
        outcomes.remember(right, true, 0);
        outcomes.remember(wrong, false, 0);
        assert_eq!(outcomes.recall(right, RIGHT_US - 1), Some(true));
        assert_eq!(outcomes.recall(right, RIGHT_US), None);
        assert_eq!(outcomes.recall(wrong, WRONG_US - 1), Some(false));
        assert_eq!(outcomes.recall(wrong, WRONG_US), None);
    }

    #[test]
    fn no_two_pairs_share_a_digest_and_no_two_processes_a_key() {
        let outcomes = Outcomes::new();
        let digest = |user, password| {
            outcomes
                .digest(&offer(user, password), &hash(), true)
                .unwrap()
        };
        assert!(digest("ab", "c") == digest("ab", "c"));
        assert!(digest("ab", "c") != digest("a", "bc"));
        let of_another = Outcomes::new().digest(&offer("ab", "c"), &hash(), true);
        assert!(of_another.unwrap() != digest("ab", "c"));
    }

    #[test]
    fn an_outcome_says_nothing_of_another_hash_or_of_an_account_that_came_later() {
        let outcomes = Outcomes::new();
        let other = "$argon2id$v=19$m=256,t=1,p=1$Y29yZWNhc3Qtc2FsdC0xNg$A0VP5vAbqLcTc1IpeY8no+G7BdQpfrKds1/Mgcpgqr8";
        let other = Hash::parse(other).unwrap();
        let offered = offer("a", "1");
        let known = outcomes.digest(&offered, &hash(), true).unwrap();
        assert!(outcomes.digest(&offered, &hash(), false).unwrap() != known);
        assert!(outcomes.digest(&offered, &other, true).unwrap() != known);
    }

    #[test]
    fn without_a_key_nothing_is_remembered() {
        let mut outcomes = Outcomes::new();
        outcomes.key = None;
        let digest = outcomes.digest(&offer("a", "1"), &hash(), true);
        outcomes.remember(digest, true, 0);
        assert_eq!(outcomes.recall(digest, 1), None);
    }

    #[test]
    fn any_number_of_wrong_guesses_leaves_the_right_ones_known() {
        let mut outcomes = Outcomes::new();
        let right = outcomes.digest(&offer("a", "right"), &hash(), true);
        outcomes.remember(right, true, 0);
        for guess in 0..OUTCOMES_MAX + 50 {
            let digest = outcomes.digest(&offer("a", &guess.to_string()), &hash(), true);
            outcomes.remember(digest, false, guess as u64);
        }
        assert_eq!(outcomes.wrong.0.len(), OUTCOMES_MAX);
        assert_eq!(outcomes.recall(right, 5_000), Some(true));
        let oldest = outcomes.digest(&offer("a", "0"), &hash(), true);
        assert_eq!(outcomes.recall(oldest, 5_000), None);
    }
}
