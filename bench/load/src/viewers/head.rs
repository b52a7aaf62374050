//! The head of a server's answer. (pure)
//!
//! The rule: only a body whose bytes are the media can be counted in the kernel, so any other framing is refused by name.

/// An answer whose head is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where the body begins.
    pub(crate) body_at: usize,
}

impl Head {
    /// Reads the head; `None` while it is not whole.
    ///
    /// # Errors
    /// [`Refusal`] if it is no answer that can be watched.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Refusal> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX {
                Err(Refusal::NotHttp)
            } else {
                Ok(None)
            };
        };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        // Icecast of old answers ICY.
        let is_http = words
            .next()
            .is_some_and(|word| word.starts_with("HTTP/1.") || word == "ICY");
        let status = words.next().and_then(|word| word.parse().ok());
        let Some(status) = status.filter(|_| is_http) else {
            return Err(Refusal::NotHttp);
        };
        if status != 200 {
            return Err(Refusal::Status(status));
        }
        let is_chunked = lines
            .filter_map(|line| line.split_once(':'))
            .any(|(name, value)| {
                name.eq_ignore_ascii_case("transfer-encoding")
                    && !value.trim().eq_ignore_ascii_case("identity")
            });
        if is_chunked {
            return Err(Refusal::Chunked);
        }
        Ok(Some(Self { body_at: end + 4 }))
    }
}

/// Why an answer cannot be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "answered with a chunked body, whose bytes are not the media alone: ask with --http 1.0"
    )]
    Chunked,
    #[error("answered with something else than HTTP/1, or with a head over {HEAD_BYTES_MAX} bytes")]
    NotHttp,
    #[error("answered {0}, wanted 200")]
    Status(u16),
}

const HEAD_BYTES_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_read_when_it_is_whole_and_tells_where_the_body_begins() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\nG...";
        assert_eq!(Head::read(&bytes[..20]), Ok(None));
        let head = Head::read(bytes).unwrap().unwrap();
        assert_eq!(&bytes[head.body_at..], b"G...");
        assert!(Head::read(b"ICY 200 OK\r\n\r\n").unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_watched_is_refused_by_name() {
        let cases = [
            (
                "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n\r\n",
                Refusal::Status(503),
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                Refusal::Chunked,
            ),
            ("SSH-2.0-x\r\n\r\n", Refusal::NotHttp),
        ];
        for (text, refusal) in cases {
            assert_eq!(Head::read(text.as_bytes()), Err(refusal), "{text}");
        }
        assert_eq!(Head::read(&[b'a'; 20_000]), Err(Refusal::NotHttp));
    }
}
