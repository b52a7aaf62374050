//! How often one address may guess. (pure)
//!
//! Which logins are wrong is decided elsewhere. The rule kept here: an address that guesses too often is refused before
//! its guess is looked at.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Counts bad logins by address and refuses an address that had too many.
///
/// An address is refused while it has had [`BAD_LOGINS_MAX`] bad logins within the last minute, whatever it sends:
/// the right password too, or the answer would tell a guess that succeeded. A refused request is not a bad login, so
/// a player that keeps trying is let in again a minute after the oldest of its last five. A good login forgets nothing.
///
/// Shape: an IPv6 address counts as its /64, an IPv4-mapped one as the IPv4 address.
///
/// Unit: all times are microseconds on the caller's time line, which never goes back.
///
/// Bound: [`ADDRESSES_MAX`] addresses; a further one takes the place of the one whose last bad login is oldest.
#[derive(Debug, Default)]
pub struct Throttle {
    bad_logins: HashMap<Network, BadLogins>,
}

impl Throttle {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets an address offer credentials, or says how long it has to wait. Asked before the credentials are looked at.
    ///
    /// # Errors
    /// [`Throttled`] with the time after which the oldest of the counted bad logins is a minute old.
    pub fn admit(&self, address: IpAddr, now_us: u64) -> Result<(), Throttled> {
        let Some(oldest_us) = self
            .bad_logins
            .get(&Network::of(address))
            .and_then(|it| it.0.first().copied().flatten())
        else {
            return Ok(());
        };
        match oldest_us.saturating_add(WINDOW_US).saturating_sub(now_us) {
            0 => Ok(()),
            wait_us => Err(Throttled {
                retry_after: Duration::from_micros(wait_us),
            }),
        }
    }

    /// Notes that an address offered credentials that were wrong.
    pub fn note_bad_login(&mut self, address: IpAddr, now_us: u64) {
        let network = Network::of(address);
        if !self.bad_logins.contains_key(&network) && self.bad_logins.len() >= ADDRESSES_MAX {
            self.make_room(now_us);
        }
        self.bad_logins.entry(network).or_default().push(now_us);
    }

    /// Forgets what is over; where nothing is, the address that has been quiet for longest.
    fn make_room(&mut self, now_us: u64) {
        self.bad_logins
            .retain(|_, it| it.newest_us().saturating_add(WINDOW_US) > now_us);
        if self.bad_logins.len() < ADDRESSES_MAX {
            return;
        }
        let quietest = self
            .bad_logins
            .iter()
            .min_by_key(|(_, it)| it.newest_us())
            .map(|(network, _)| *network);
        if let Some(network) = quietest {
            self.bad_logins.remove(&network);
        }
    }
}

/// An address had too many bad logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many bad logins from this address: {BAD_LOGINS_MAX} a minute are allowed, the next try in {} s",
    retry_after.as_secs_f64().ceil()
)]
pub struct Throttled {
    /// Until the next try is looked at.
    pub retry_after: Duration,
}

/// When the last bad logins of an address were, oldest first; an empty place is older than all.
#[derive(Debug, Default)]
struct BadLogins([Option<u64>; BAD_LOGINS_MAX]);

impl BadLogins {
    fn push(&mut self, now_us: u64) {
        self.0.rotate_left(1);
        if let Some(newest) = self.0.last_mut() {
            *newest = Some(now_us);
        }
    }

    fn newest_us(&self) -> u64 {
        self.0.last().copied().flatten().unwrap_or(0)
    }
}

/// What counts as one address: an IPv6 customer owns a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 4]),
    V6([u16; 4]),
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// Bad logins an address may have within a minute before it has to wait.
pub const BAD_LOGINS_MAX: usize = 5;

/// Addresses whose bad logins are remembered; some 120 bytes each.
pub const ADDRESSES_MAX: usize = 4096;

const WINDOW_US: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND_US: u64 = 1_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn throttled_at(address: IpAddr, times_us: &[u64]) -> Throttle {
        let mut throttle = Throttle::new();
        for time_us in times_us {
            throttle.note_bad_login(address, *time_us);
        }
        throttle
    }

    #[test]
    fn the_sixth_try_within_a_minute_is_refused() {
        let viewer = address("192.0.2.7");
        let mut throttle = Throttle::new();
        for second in 0..5 {
            assert_eq!(
                throttle.admit(viewer, second * SECOND_US),
                Ok(()),
                "try {second}"
            );
            throttle.note_bad_login(viewer, second * SECOND_US);
        }
        assert_eq!(
            throttle.admit(viewer, 5 * SECOND_US),
            Err(Throttled {
                retry_after: Duration::from_secs(55)
            })
        );
        assert_eq!(throttle.admit(address("192.0.2.8"), 5 * SECOND_US), Ok(()));
    }

    #[test]
    fn an_address_may_try_again_when_its_oldest_bad_login_is_a_minute_old() {
        let viewer = address("192.0.2.7");
        let mut throttle = throttled_at(viewer, &[0, 1, 2, 3, 4].map(|second| second * SECOND_US));
        assert!(throttle.admit(viewer, 60 * SECOND_US - 1).is_err());
        assert_eq!(throttle.admit(viewer, 60 * SECOND_US), Ok(()));
        throttle.note_bad_login(viewer, 60 * SECOND_US);
        assert_eq!(
            throttle.admit(viewer, 60 * SECOND_US),
            Err(Throttled {
                retry_after: Duration::from_secs(1)
            })
        );
    }

    #[test]
    fn refused_tries_do_not_make_the_wait_longer() {
        let viewer = address("192.0.2.7");
        let throttle = throttled_at(viewer, &[0; 5]);
        for second in 1..60 {
            let retry_after = Duration::from_secs(60 - second);
            assert_eq!(
                throttle.admit(viewer, second * SECOND_US),
                Err(Throttled { retry_after })
            );
        }
        assert_eq!(throttle.admit(viewer, 60 * SECOND_US), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let throttle = throttled_at(address("2001:db8:0:1::1"), &[0; 5]);
        assert!(throttle.admit(address("2001:db8:0:1:ffff::2"), 1).is_err());
        assert_eq!(throttle.admit(address("2001:db8:0:2::1"), 1), Ok(()));
    }

    #[test]
    fn a_mapped_ipv4_address_is_the_ipv4_address() {
        let throttle = throttled_at(address("::ffff:192.0.2.7"), &[0; 5]);
        assert!(throttle.admit(address("192.0.2.7"), 1).is_err());
        assert_eq!(throttle.admit(address("::ffff:192.0.2.8"), 1), Ok(()));
    }

    #[test]
    fn a_full_table_gives_up_the_address_that_was_quiet_for_longest() {
        let mut throttle = Throttle::new();
        let numbered =
            |number: usize| IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap()));
        for number in 0..ADDRESSES_MAX {
            for _ in 0..BAD_LOGINS_MAX {
                throttle.note_bad_login(numbered(number), u64::try_from(number).unwrap());
            }
        }
        let now_us = u64::try_from(ADDRESSES_MAX).unwrap();
        assert!(throttle.admit(numbered(0), now_us).is_err());
        throttle.note_bad_login(numbered(ADDRESSES_MAX), now_us);
        assert_eq!(throttle.bad_logins.len(), ADDRESSES_MAX);
        assert_eq!(throttle.admit(numbered(0), now_us), Ok(()));
        assert!(throttle.admit(numbered(1), now_us).is_err());
    }

    #[test]
    fn a_full_table_first_forgets_what_is_over() {
        let mut throttle = Throttle::new();
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
            throttle.note_bad_login(IpAddr::V4(Ipv4Addr::from_bits(number)), 0);
        }
        throttle.note_bad_login(address("192.0.2.7"), 60 * SECOND_US);
        assert_eq!(throttle.bad_logins.len(), 1);
    }

    #[test]
    fn a_refusal_says_how_long_to_wait_in_whole_seconds() {
        let refusal = Throttled {
            retry_after: Duration::from_millis(1_200),
        };
        assert_eq!(
            refusal.to_string(),
            "too many bad logins from this address: 5 a minute are allowed, the next try in 2 s"
        );
    }
}
