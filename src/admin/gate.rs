//! Who may ask on the operator's listener. (pure)
//!
//! Three questions, in this order: is this host meant, does the request come from a page of this server or from no page at
//! all, and does it carry the token if one is set. The rule: without a token the listener answers to this host's own names
//! alone, because a page from elsewhere could reach it through a name that it makes point here.

use std::net::{IpAddr, SocketAddr};

use crate::account::secret::Secret;
use crate::http::request::Request;
use crate::http::response::Refusal;

/// Lets a request in, or says why not.
///
/// # Errors
/// [`Refusal::Misdirected`], [`Refusal::ForeignOrigin`] or [`Refusal::BadToken`].
pub fn admit(request: &Request, token: Option<&Secret>) -> Result<(), Refusal> {
    admit_name(request, token)?;
    match token {
        Some(token) => authorize(request, token),
        None => Ok(()),
    }
}

/// Lets in what everybody may ask: whether the server lives, and is ready.
///
/// # Errors
/// [`Refusal::Misdirected`] or [`Refusal::ForeignOrigin`].
pub fn admit_name(request: &Request, token: Option<&Secret>) -> Result<(), Refusal> {
    if token.is_none() && !is_this_host(request.host.as_deref()) {
        return Err(Refusal::Misdirected);
    }
    match &request.origin {
        Some(origin) if !is_same(origin, request.host.as_deref()) => Err(Refusal::ForeignOrigin),
        _ => Ok(()),
    }
}

/// Whether the name by which this host was asked is its own.
fn is_this_host(host: Option<&str>) -> bool {
    let Some(host) = host else {
        return true;
    };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_loopback = |text: &str| text.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    name.eq_ignore_ascii_case("localhost")
        || is_loopback(host.trim_matches(['[', ']']))
        || is_loopback(name)
}

/// Whether an origin is where the request was sent to. How the page came there, by http or https, a front may know and
/// this server does not.
fn is_same(origin: &str, host: Option<&str>) -> bool {
    let authority = ["http://", "https://"]
        .iter()
        .find_map(|scheme| origin.strip_prefix(scheme));
    authority
        .zip(host)
        .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

fn authorize(request: &Request, token: &Secret) -> Result<(), Refusal> {
    let offered = request.authorization.as_ref().map(Secret::expose);
    let (scheme, offered) = offered
        .and_then(|header| header.split_once(' '))
        .unwrap_or_default();
    let is_right = token.matches(offered.trim()) & scheme.eq_ignore_ascii_case("bearer");
    is_right.then_some(()).ok_or(Refusal::BadToken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request;

    fn asked(headers: &str) -> Request {
        let bytes = format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n");
        request::parse(bytes.as_bytes()).unwrap().unwrap().request
    }

    #[test]
    fn without_a_token_only_names_of_this_host_are_answered_to() {
        for host in [
            "localhost:8001",
            "LOCALHOST",
            "127.0.0.1:8001",
            "[::1]:8001",
            "[::1]",
        ] {
            let request = asked(&format!("Host: {host}"));
            assert_eq!(admit(&request, None), Ok(()), "{host}");
        }
        for host in ["example.org", "192.0.2.1:8001", "localhost.example.org"] {
            let request = asked(&format!("Host: {host}"));
            assert_eq!(admit(&request, None), Err(Refusal::Misdirected), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_refused_whatever_it_carries() {
        let token = Secret::new("0123456789abcdef");
        let (host, bearer) = (
            "Host: localhost:8001",
            "Authorization: Bearer 0123456789abcdef",
        );
        for origin in ["http://localhost:8001", "https://LOCALHOST:8001"] {
            let request = asked(&format!("{host}\r\nOrigin: {origin}\r\n{bearer}"));
            assert_eq!(admit(&request, Some(&token)), Ok(()), "{origin}");
            assert_eq!(admit(&request, None), Ok(()), "{origin}");
        }
        let foreign = [
            "http://localhost:8002",
            "http://localhost",
            "null",
            "",
            "localhost:8001",
        ];
        for origin in foreign {
            let request = asked(&format!("{host}\r\nOrigin: {origin}\r\n{bearer}"));
            let refused = Err(Refusal::ForeignOrigin);
            assert_eq!(admit(&request, Some(&token)), refused, "{origin}");
            assert_eq!(admit(&request, None), refused, "{origin}");
            assert_eq!(admit_name(&request, None), refused, "{origin}");
        }
    }

    #[test]
    fn with_a_token_any_name_will_do_and_only_the_right_token() {
        let token = Secret::new("0123456789abcdef");
        let host = "Host: corecast.example.org";
        for header in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            let request = asked(&format!("{host}\r\nAuthorization: {header}"));
            assert_eq!(admit(&request, Some(&token)), Ok(()), "{header}");
        }
        let wrong = [
            "Bearer 0123456789abcdeF",
            "Basic 0123456789abcdef",
            "Bearer",
            "Bearer ",
        ];
        for header in wrong {
            let request = asked(&format!("{host}\r\nAuthorization: {header}"));
            assert_eq!(
                admit(&request, Some(&token)),
                Err(Refusal::BadToken),
                "{header}"
            );
        }
        let request = asked(host);
        assert_eq!(admit(&request, Some(&token)), Err(Refusal::BadToken));
        assert_eq!(admit_name(&request, Some(&token)), Ok(()));
    }
}
