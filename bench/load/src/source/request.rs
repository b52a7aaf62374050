//! Bytes to a request, and a request to what it asks for. (pure)
//!
//! Answers belong in `connection.rs` and `engine.rs`. The rule: a request is judged when its head is whole, never before.

use super::fault::{Fault, NotAFault};

/// A request whose head is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    target: String,
}

impl Request {
    /// Reads a head; `None` while it is not whole.
    ///
    /// # Errors
    /// [`BadHead`] if it is too long or no HTTP.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, BadHead> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX {
                Err(BadHead)
            } else {
                Ok(None)
            };
        };
        let head = bytes.get(..end).unwrap_or_default();
        let head = std::str::from_utf8(head).or(Err(BadHead))?;
        let line = head.lines().next().unwrap_or_default();
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(BadHead);
        };
        let is_known = version.starts_with("HTTP/1.") && target.starts_with('/');
        if !is_known {
            return Err(BadHead);
        }
        Ok(Some(Self {
            method: method.to_owned(),
            target: target.to_owned(),
        }))
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, not decoded.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.pairs()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Every fault that the query asks for.
    ///
    /// # Errors
    /// The first that is none.
    pub(crate) fn faults(&self) -> Result<Vec<Fault>, NotAFault> {
        self.pairs()
            .filter(|(key, _)| *key == "fault")
            .map(|(_, value)| value.parse())
            .collect()
    }

    /// Which channel is asked for, from 0; `None` if the last part of the path is none of `channels`.
    pub(crate) fn channel(&self, channels: usize) -> Option<usize> {
        let name = self.path().rsplit('/').next()?;
        let number: usize = name.strip_suffix(".ts").unwrap_or(name).parse().ok()?;
        (1..=channels).contains(&number).then(|| number - 1)
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let (_, query) = self.target.split_once('?').unwrap_or_default();
        query.split('&').filter_map(|pair| pair.split_once('='))
    }
}

/// Not the head of an HTTP/1 request, or longer than 8 KiB.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read a request head failed: not HTTP/1, or longer than {HEAD_BYTES_MAX} bytes")]
pub(crate) struct BadHead;

const HEAD_BYTES_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        Request::read(head.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn request_is_read_when_its_head_is_whole_and_not_before() {
        let head = b"GET /ch/3.ts?a=b&fault=cut:after_ms=1 HTTP/1.1\r\nHost: x\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(Request::read(&head[..length]), Ok(None));
        }
        let request = Request::read(head).unwrap().unwrap();
        assert_eq!(
            (request.method.as_str(), request.path()),
            ("GET", "/ch/3.ts")
        );
        assert_eq!((request.query("a"), request.query("c")), (Some("b"), None));
        assert_eq!(request.channel(3), Some(2));
        assert_eq!(request.faults().unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = [b'a'; HEAD_BYTES_MAX + 1];
        for head in [
            b"GET\r\n\r\n".as_slice(),
            b"GET / FTP/1.1\r\n\r\n",
            b"GET a HTTP/1.1\r\n\r\n",
            b"\xFF /a HTTP/1.1\r\n\r\n",
            &long,
        ] {
            assert_eq!(Request::read(head), Err(BadHead));
        }
    }

    #[test]
    fn channels_that_do_not_exist_are_none() {
        for target in ["/ch/0.ts", "/ch/4.ts", "/ch/x.ts", "/", "/ch/-1"] {
            assert_eq!(request(target).channel(3), None, "{target}");
        }
        assert_eq!(request("/1").channel(3), Some(0));
    }

    #[test]
    fn fault_that_is_none_is_an_error() {
        assert!(request("/1?fault=cut").faults().is_err());
    }
}
