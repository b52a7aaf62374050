//! Who may watch: the configured accounts, what each may, and whose password is right. (pure)
//!
//! How many viewers an account has is `roll`, how often an address may guess is `throttle`; asking for either on a shard
//! is `login` and `attendance`. The rules kept: without accounts everybody may watch; with accounts an unknown user costs
//! the same work and gets the same answer as a wrong password.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use self::hash::Hash;
use self::roll::Limit;
use self::secret::Secret;
pub use self::throttle::{Throttle, Throttled};
use crate::channel::id::ChannelId;
pub use crate::config::Account;

pub mod attendance;
pub mod hash;
pub mod login;
pub mod notice;
pub mod outcomes;
pub mod roll;
pub mod secret;
pub mod throttle;
pub mod until;

/// The accounts of one configuration.
pub struct Accounts {
    by_user: HashMap<String, Arc<Account>>,
    /// Compared when the user is unknown.
    nobody: Secret,
    /// The dearest of the accounts' hashes: what every wrong login costs, if there is one.
    decoy: Option<Hash>,
}

impl Accounts {
    /// Takes the configured accounts. Of two with the same user the later one counts.
    ///
    /// Bound: a password of more than [`secret::PASSWORD_BYTES_MAX`] bytes never matches one that is known in clear.
    #[must_use]
    pub fn new(accounts: &[Account]) -> Self {
        Self::of(accounts, |account| Arc::new(account.clone()))
    }

    /// Those of the configuration that comes after; one that stays as it is remains the very same.
    #[must_use]
    pub fn followed_by(&self, accounts: &[Account]) -> Self {
        Self::of(accounts, |account| {
            let known = self.by_user.get(&account.user);
            let known = known.filter(|known| ***known == *account);
            known.map_or_else(|| Arc::new(account.clone()), Arc::clone)
        })
    }

    fn of(accounts: &[Account], take: impl Fn(&Account) -> Arc<Account>) -> Self {
        let hashes = accounts.iter().filter_map(|account| match &account.login {
            Login::Hash(hash) => Some(hash),
            Login::Password(_) => None,
        });
        Self {
            decoy: hashes.max_by_key(|hash| hash.cost()).cloned(),
            by_user: accounts
                .iter()
                .map(|account| (account.user.clone(), take(account)))
                .collect(),
            nobody: Secret::new("nobody"),
        }
    }

    /// No account is configured, so any user and password pass.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.by_user.is_empty()
    }

    /// The account of a user, whoever asks.
    #[must_use]
    pub fn of_user(&self, user: &str) -> Option<&Arc<Account>> {
        self.by_user.get(user)
    }

    /// Says whether credentials are right as far as that is known without work, and what work is left.
    ///
    /// An unknown user and a wrong password leave the same work: as soon as one account has a hash, a check of one.
    #[must_use]
    pub fn examine(&self, offered: &Credentials) -> Examined {
        let account = self.by_user.get(&offered.user);
        let password = match account.map(|account| &account.login) {
            Some(Login::Hash(hash)) => {
                return Examined::Open {
                    hash: hash.clone(),
                    account: account.filter(|_| offered.fits_a_path()).cloned(),
                };
            }
            Some(Login::Password(password)) => password,
            None => &self.nobody,
        };
        let is_right = password.matches(offered.password.expose());
        match (account, &self.decoy) {
            (Some(account), _) if is_right => Examined::Right(Arc::clone(account)),
            (_, Some(decoy)) => Examined::Open {
                hash: decoy.clone(),
                account: None,
            },
            (_, None) => Examined::Wrong,
        }
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("users", &self.by_user.len())
            .finish_non_exhaustive()
    }
}

/// What a first look at credentials says.
#[derive(Debug)]
pub enum Examined {
    /// Somebody has to check the hash first; if it matches, the credentials are those of `account`, if there is one.
    Open {
        /// What the password has to match.
        hash: Hash,
        /// Without it the credentials are wrong whatever the check says.
        account: Option<Arc<Account>>,
    },
    /// They are those of this account.
    Right(Arc<Account>),
    /// They are no account's.
    Wrong,
}

/// What an account's password is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Its Argon2 hash.
    Hash(Hash),
    /// The password itself.
    Password(Secret),
}

impl Account {
    /// Says whether the account may be used at this time, in seconds since 1970, from this address.
    ///
    /// # Errors
    /// [`Denied::Expired`] or [`Denied::Network`].
    pub fn permits(&self, address: IpAddr, unix_seconds: u64) -> Result<(), Denied> {
        if self.is_expired(unix_seconds) {
            return Err(Denied::Expired);
        }
        match self.is_near(address) {
            true => Ok(()),
            false => Err(Denied::Network),
        }
    }

    /// Whether it may be used from this address.
    #[must_use]
    pub fn is_near(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|it| it.contains(address))
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, unix_seconds: u64) -> bool {
        self.valid_until
            .is_some_and(|until| unix_seconds >= until.unix_seconds())
    }

    /// Whether the account may watch a channel. One that names its channels has no content of the engine by id.
    #[must_use]
    pub fn may_watch(&self, channel: ChannelId) -> bool {
        match (&self.channels, channel) {
            (None, _) => true,
            (Some(channels), ChannelId::Configured(number)) => channels.contains(&number),
            (Some(_), ChannelId::Dynamic(_)) => false,
        }
    }

    /// How many viewers the account may have.
    #[must_use]
    pub fn limit(&self) -> Limit {
        Limit {
            viewers_max: self.viewers_max,
            at_limit: self.at_limit,
        }
    }
}

/// A user and a password as a viewer offered them; `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name, decoded.
    pub user: String,
    /// The password, decoded.
    pub password: Secret,
}

impl Credentials {
    /// Whether the password can stand in the URLs that playlists are made of; of those that are known in clear, each can.
    fn fits_a_path(&self) -> bool {
        let password = self.password.expose();
        let is_folder = matches!(password, "" | "." | "..");
        !is_folder && !password.contains(['/', '\\']) && !password.contains(char::is_control)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// Why somebody may not use an account. All but the first and the last are told to those who know its password only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Unknown user or wrong password; which of the two is not known outside.
    #[error("no account with this user and password")]
    BadLogin,
    /// As many checks of passwords wait as may wait.
    #[error("as many logins wait as may wait")]
    Busy,
    /// The account is over.
    #[error("the account is over")]
    Expired,
    /// The account may not be used from this address.
    #[error("the account may not be used from this address")]
    Network,
    /// The address guessed too often.
    #[error(transparent)]
    Throttled(#[from] Throttled),
}

#[cfg(test)]
mod tests;
