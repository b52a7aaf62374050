//! Where viewers reach this server, and the URLs that follow from it. (pure)
//!
//! Finding it out for one request belongs in `http/site.rs`. The rule: a base comes from the configuration or from the
//! very request that is answered, so that no viewer is ever given an address that another one sent.

use std::fmt;

use url::Url;

/// The beginning of every URL that one answer holds: a scheme and a host with an optional port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    is_tls: bool,
    host: String,
    port: Option<u16>,
}

impl Base {
    /// A base that was checked by who sent it: `authority` is a name or an address with an optional port.
    ///
    /// A port that is no number up to 65535 is left out.
    #[must_use]
    pub fn new(is_tls: bool, authority: &str) -> Self {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !authority.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, None),
        };
        Self {
            is_tls,
            host: host.to_owned(),
            port,
        }
    }

    /// The base that an operator wrote.
    ///
    /// Shape: http or https with a host, as the configuration takes it.
    #[must_use]
    pub fn of_url(url: &Url) -> Self {
        Self {
            is_tls: url.scheme() == "https",
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port(),
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// The name or address without port; an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that is meant, whether or not it is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { 443 } else { 80 })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_written_as_it_was_asked_for() {
        for (authority, shown, host, port) in [
            (
                "tv.example:8000",
                "http://tv.example:8000",
                "tv.example",
                8000,
            ),
            ("tv.example", "http://tv.example", "tv.example", 80),
            ("tv.example:", "http://tv.example", "tv.example", 80),
            ("tv.example:99999", "http://tv.example", "tv.example", 80),
            (
                "[2001:db8::1]:81",
                "http://[2001:db8::1]:81",
                "[2001:db8::1]",
                81,
            ),
            ("[2001:db8::1]", "http://[2001:db8::1]", "[2001:db8::1]", 80),
        ] {
            let base = Base::new(false, authority);
            assert_eq!(base.to_string(), shown);
            assert_eq!((base.host(), base.port()), (host, port), "{authority}");
        }
    }

    #[test]
    fn a_base_of_an_operator_has_his_scheme() {
        for (url, shown, port) in [
            ("https://tv.example/", "https://tv.example", 443),
            ("https://tv.example:8443", "https://tv.example:8443", 8443),
            ("http://[::1]:80", "http://[::1]", 80),
        ] {
            let base = Base::of_url(&Url::parse(url).unwrap());
            assert_eq!((base.to_string().as_str(), base.port()), (shown, port));
        }
    }
}
