//! Whether the certificates are there that `https` upstreams are judged by.
//!
//! They are read again, and for good, when the first such upstream is fetched. The rule: who needs none is not asked.

use rustls_native_certs::load_native_certs;

use super::Requirement;
use crate::config::{Config, Upstream};

/// Whether any certificate is found; nothing where no upstream asks for one.
pub(super) fn are_there(config: &Config) -> Option<Requirement> {
    let mut upstreams = config
        .channels
        .iter()
        .flat_map(|channel| &channel.upstreams);
    let is_https = |upstream: &Upstream| match upstream {
        Upstream::Ace { .. } => config.engine.url.scheme() == HTTPS,
        Upstream::Demo { .. } => false,
        Upstream::Http { url, .. } => url.scheme() == HTTPS,
    };
    let is_dynamic = config.engine.dynamic && config.engine.url.scheme() == HTTPS;
    let is_needed = is_dynamic || upstreams.any(is_https);
    is_needed.then(|| judge(load_native_certs().certs.len()))
}

fn judge(count: usize) -> Requirement {
    match count {
        0 => Requirement::warn(
            CERTIFICATES,
            "none was found, https upstreams will fail",
            "apt-get install ca-certificates, or name a file with SSL_CERT_FILE",
        ),
        _ => Requirement::ok(CERTIFICATES, format!("authorities known: {count}")),
    }
}

const CERTIFICATES: &str = "certificates";

const HTTPS: &str = "https";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_asks_for_certificates() {
        let mut config = Config::default();
        assert_eq!(are_there(&config), None);
        config.engine.url = "https://engine.example:6878".parse().unwrap();
        assert!(
            are_there(&config).is_some(),
            "the engine is asked for any content"
        );
        config.engine.dynamic = false;
        assert_eq!(are_there(&config), None, "no channel needs the engine");
    }

    #[test]
    fn none_is_warned_about_with_its_cure() {
        let none = judge(0);
        assert!(
            none.is_warning() && none.to_string().contains("ca-certificates"),
            "{none}"
        );
        assert!(!judge(140).is_warning());
    }
}
