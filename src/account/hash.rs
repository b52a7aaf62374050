//! A password that is known by its Argon2 hash alone. (pure)
//!
//! Checking takes milliseconds on purpose, so whoever calls [`Hash::matches`] does it off the executors; that is
//! `login.rs`. The rule: a hash that exists can be checked, within bounded memory and time.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier, Version};

/// An Argon2 hash with its salt and parameters, as a PHC string writes it.
///
/// `Debug` shows nothing of it: who has a hash can guess without being counted.
///
/// Ownership: clones share the one hash, so that a check takes it to another thread.
#[derive(Clone)]
pub struct Hash(Arc<Parts>);

struct Parts {
    phc: PasswordHash,
    params: Params,
}

impl Hash {
    /// Reads a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    ///
    /// Bound: [`MEMORY_KIB_MAX`], [`PASSES_MAX`] and [`LANES_MAX`], so that no hash of a configuration takes the host.
    ///
    /// # Errors
    /// [`NotAHash`]: which part is not as it has to be.
    pub fn parse(text: &str) -> Result<Self, NotAHash> {
        let phc = PasswordHash::new(text).map_err(|_holds_the_hash| NotAHash::Form)?;
        let is_argon2 = Algorithm::try_from(phc.algorithm.as_str()).is_ok();
        let is_version = phc.version.is_none_or(|it| Version::try_from(it).is_ok());
        if !is_argon2 || !is_version {
            return Err(NotAHash::Algorithm);
        }
        if phc.salt.is_none() || phc.hash.is_none() {
            return Err(NotAHash::Form);
        }
        let params = Params::try_from(&phc).map_err(|_holds_the_hash| NotAHash::Form)?;
        let is_bounded = params.m_cost() <= MEMORY_KIB_MAX
            && params.t_cost() <= PASSES_MAX
            && params.p_cost() <= LANES_MAX;
        if !is_bounded {
            return Err(NotAHash::TooCostly);
        }
        Ok(Self(Arc::new(Parts { phc, params })))
    }

    /// Says whether a viewer's guess is the password. Blocks for milliseconds and takes the hash's memory meanwhile.
    #[must_use]
    pub fn matches(&self, guess: &str) -> bool {
        Argon2::default()
            .verify_password(guess.as_bytes(), &self.0.phc)
            .is_ok()
    }

    /// The PHC string, which is as secret as the password.
    #[must_use]
    pub(super) fn text(&self) -> String {
        self.0.phc.to_string()
    }

    /// How much work a check is, for telling which of two takes longer.
    #[must_use]
    pub fn cost(&self) -> u64 {
        u64::from(self.0.params.m_cost()) * u64::from(self.0.params.t_cost())
    }
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.0.phc == other.0.phc
    }
}

impl Eq for Hash {}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(***)")
    }
}

/// Why a text is no hash that can be checked. The message never holds a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAHash {
    /// Another algorithm, or a version that does not exist.
    #[error("is not a hash of argon2id, argon2i or argon2d, version 16 or 19")]
    Algorithm,
    /// Not a PHC string with salt and hash.
    #[error("is not a PHC string, $argon2id$v=19$m=…,t=…,p=…$SALT$HASH")]
    Form,
    /// A check would take too much of the host.
    #[error("asks for more than m={MEMORY_KIB_MAX}, t={PASSES_MAX} or p={LANES_MAX}")]
    TooCostly,
}

/// Most memory that a check may take. Unit: KiB.
pub const MEMORY_KIB_MAX: u32 = 262_144;

/// Most passes over that memory.
pub const PASSES_MAX: u32 = 16;

/// Most lanes of that memory; they are worked on one after the other.
pub const LANES_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `correct.horse`, as the reference command line tool makes it with little memory.
    const CHEAP: &str = "$argon2id$v=19$m=256,t=1,p=1$Y29yZWNhc3Qtc2FsdC0xNg$A0VP5vAbqLcTc1IpeY8no+G7BdQpfrKds1/Mgcpgqr4";

    #[test]
    fn only_the_password_that_was_hashed_matches() {
        let hash = Hash::parse(CHEAP).unwrap();
        assert!(hash.matches("correct.horse"));
        for guess in ["", "correct.hors", "correct.horse ", "Correct.horse"] {
            assert!(!hash.matches(guess), "{guess:?}");
        }
    }

    #[test]
    fn nothing_that_is_printed_shows_a_part_of_the_hash() {
        let shown = format!("{:?}", Hash::parse(CHEAP).unwrap());
        assert_eq!(shown, "Hash(***)");
    }

    #[test]
    fn what_cannot_be_checked_is_refused_with_what_is_wrong() {
        let (before, hash) = CHEAP.rsplit_once('$').unwrap();
        for (text, why) in [
            ("", NotAHash::Form),
            ("correct.horse", NotAHash::Form),
            (before, NotAHash::Form),
            (&CHEAP.replace("argon2id", "scrypt"), NotAHash::Algorithm),
            (&CHEAP.replace("v=19", "v=7"), NotAHash::Algorithm),
            (&CHEAP.replace("m=256", "m=1"), NotAHash::Form),
            (&CHEAP.replace("m=256", "m=262145"), NotAHash::TooCostly),
            (&CHEAP.replace("t=1", "t=17"), NotAHash::TooCostly),
            (&CHEAP.replace("p=1", "p=17"), NotAHash::TooCostly),
        ] {
            let error = Hash::parse(text).unwrap_err();
            assert_eq!(error, why, "{text}");
            assert!(!error.to_string().contains(hash), "{error}");
        }
    }

    #[test]
    fn more_memory_and_more_passes_cost_more() {
        let cost = |text: &str| Hash::parse(text).unwrap().cost();
        let cheap = cost(CHEAP);
        assert!(cost(&CHEAP.replace("m=256", "m=512")) > cheap);
        assert!(cost(&CHEAP.replace("t=1", "t=2")) > cheap);
    }
}
