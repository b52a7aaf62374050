//! The header fields that decide how a request is taken. (pure)
//!
//! Lines are found in `lines.rs`. The rule kept here: a field that must stand once and stands twice is no field.

use super::{Framing, FramingError, Version};

/// The headers that decide something.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) authorization: Option<&'a [u8]>,
    pub(super) coding: Option<&'a [u8]>,
    pub(super) expect: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
    pub(super) if_none_match: Option<&'a [u8]>,
    pub(super) is_close: bool,
    pub(super) is_keep_alive: bool,
    pub(super) length: Option<&'a [u8]>,
    pub(super) origin: Option<&'a [u8]>,
    pub(super) repeated: Option<&'static str>,
    pub(super) user_agent: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, name: &str, value: &'a [u8]) {
        if name.eq_ignore_ascii_case("connection") {
            for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.is_close |= token.eq_ignore_ascii_case(b"close");
                self.is_keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
            return;
        }
        if name.eq_ignore_ascii_case("if-none-match") {
            self.if_none_match.get_or_insert(value);
            return;
        }
        if name.eq_ignore_ascii_case("user-agent") {
            self.user_agent.get_or_insert(value);
            return;
        }
        let single = [
            ("Authorization", &mut self.authorization),
            ("Content-Length", &mut self.length),
            ("Expect", &mut self.expect),
            ("Host", &mut self.host),
            ("Origin", &mut self.origin),
            ("Transfer-Encoding", &mut self.coding),
        ];
        for (known, place) in single {
            if name.eq_ignore_ascii_case(known) && place.replace(value).is_some() {
                self.repeated.get_or_insert(known);
            }
        }
    }

    /// Source: RFC 9112, sections 3.2 and 6.3.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, FramingError> {
        if let Some(name) = self.repeated {
            return Err(FramingError::Repeated(name));
        }
        match self.host {
            None if version == Version::Http11 => return Err(FramingError::HostMissing),
            Some(host) if authority(host).is_none() => return Err(FramingError::Host),
            _ => {}
        }
        let framing = match (self.coding, self.length) {
            (None, None) => Framing::None,
            (None, Some(digits)) => Framing::Length(number(digits).ok_or(FramingError::Length)?),
            (Some(_), Some(_)) => return Err(FramingError::CodingWithLength),
            (Some(_), None) if version == Version::Http10 => {
                return Err(FramingError::CodingInHttp10);
            }
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (Some(_), None) => return Err(FramingError::Coding),
        };
        // An HTTP/1.0 expectation is ignored (RFC 9110, section 10.1.1).
        if version == Version::Http11 && self.expect.is_some() && !self.is_continue_expected() {
            return Err(FramingError::Expectation);
        }
        Ok(framing)
    }

    pub(super) fn is_continue_expected(&self) -> bool {
        self.expect
            .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.is_close && (self.is_keep_alive || version == Version::Http11)
    }
}

/// A name or address with an optional port, and nothing else. Source: RFC 3986, section 3.2, without user.
pub(in crate::http) fn authority(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => text.split_at_checked(colon)?,
        _ => (text, ""),
    };
    let address = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address
            .bytes()
            .all(|it| it.is_ascii_hexdigit() || b":.".contains(&it)),
        None => host
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || NAME_MARKS.contains(&it)),
    };
    let is_port = port.len() <= 6 && port.bytes().skip(1).all(|it| it.is_ascii_digit());
    (is_host && is_port && !address.unwrap_or(host).is_empty()).then_some(text)
}

/// Decimal digits and nothing else.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let is_plain = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits)
        .ok()
        .filter(|_| is_plain)?
        .parse()
        .ok()
}

/// What a host name may hold beside letters and digits (RFC 3986: unreserved, sub-delims, escapes).
pub(super) const NAME_MARKS: &[u8] = b"-._~%!$&'()*+,;=";
