//! What stands between viewers and the listeners, and how much of what it says is believed. (pure)
//!
//! What a front says is read in `http`: the PROXY header in `proxy.rs`, header fields in `forwarded.rs`. The rule: nobody is
//! believed who is not named in the configuration.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What is expected of and believed from whoever connects to a viewers' listener.
///
/// The default expects and believes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// Each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Who may say for whom a connection or a request is. Bound: 64.
    pub trusted: Vec<Network>,
}

impl Front {
    /// Whether header fields of a request from this address are believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether the PROXY header of a connection from this address is believed: who may connect at all is often settled
    /// by a firewall or a file's mode, so without a list of proxies every one is.
    #[must_use]
    pub fn trusts_header(&self, address: IpAddr) -> bool {
        self.trusted.is_empty() || self.trusts(address)
    }
}

/// A range of IP addresses.
///
/// Shape: the bits behind the prefix are zero; IPv4-mapped addresses are those of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// Not an address, or one with a prefix that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network: an IP address, or one with /prefix, is allowed")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address for itself alone.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        let network: IpNet = text.parse().or_else(|_| alone()).or(Err(NotANetwork))?;
        let mapped = |network: Ipv6Net| {
            let prefix = network.prefix_len().checked_sub(MAPPED_BITS)?;
            Ipv4Net::new(network.addr().to_ipv4_mapped()?, prefix).ok()
        };
        let network = match network {
            IpNet::V6(network) => mapped(network).map_or(IpNet::V6(network), IpNet::V4),
            IpNet::V4(_) => network,
        };
        Ok(Self(network.trunc()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What stands before the IPv4 address in an IPv4-mapped one.
const MAPPED_BITS: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn contains(network_text: &str, address: &str) -> bool {
        network(network_text).contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_the_addresses_that_share_its_prefix() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("::/0", "2001:db8::1", "127.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("::1", "::1", "::2"),
        ] {
            assert!(contains(range, inside), "{inside} in {range}");
            assert!(!contains(range, outside), "{outside} in {range}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_on_either_side() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert_eq!(network("::ffff:192.0.2.1").to_string(), "192.0.2.1/32");
    }

    #[test]
    fn what_stands_behind_the_prefix_is_dropped() {
        assert_eq!(network("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(network("10.1.2.3/0").to_string(), "0.0.0.0/0");
        assert_eq!(network("2001:db8:ffff::/32").to_string(), "2001:db8::/32");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/256",
            "::/129",
            "10.0.0/8",
            "localhost",
            "10.0.0.0/8/8",
            " 10.0.0.1",
            "unix:",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text:?}");
        }
    }

    #[test]
    fn a_default_front_believes_no_field_and_no_address_outside_its_list_is_believed() {
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        let none = Front::default();
        assert!(!none.trusts(address) && none.trusts_header(address));
        let listed = Front {
            proxy_protocol: true,
            trusted: vec![network("10.0.0.0/8")],
        };
        assert!(!listed.trusts(address) && !listed.trusts_header(address));
        let proxy = "10.0.0.1".parse().unwrap();
        assert!(listed.trusts(proxy) && listed.trusts_header(proxy));
    }
}
