//! Reading the body of a request, however it is delimited.
//!
//! What stands in it is read in `page.rs`. The rule: a body is taken off the connection to its last byte and within its
//! bounds, or the connection carries no further request.

use std::time::Duration;

use bytes::Bytes;

use super::{Connection, NoRequest};
use crate::clock::Clock;
use crate::http::chunked::Chunked;
use crate::http::request::{Framing, Request};
use crate::http::response::Refusal;

impl Connection {
    /// Reads the body that belongs to a head which was just read, within `limit`.
    ///
    /// Bound: [`BODY_BYTES_MAX`].
    ///
    /// # Errors
    /// [`NoRequest`]: too long, broken, too slow, or nobody there any more.
    pub async fn read_body(
        &mut self,
        clock: &Clock,
        request: &Request,
        limit: Duration,
    ) -> Result<Vec<u8>, NoRequest> {
        let framing = request.framing.map_err(Refusal::from)?;
        if request.expect_continue && framing != Framing::None && !self.has_input() {
            self.write(clock, &Bytes::from_static(CONTINUE)).await?;
        }
        match clock.limit(limit, self.take_body(framing)).await {
            Some(body) => body,
            None => Err(Refusal::TooSlow.into()),
        }
    }

    async fn take_body(&mut self, framing: Framing) -> Result<Vec<u8>, NoRequest> {
        match framing {
            Framing::None => Ok(Vec::new()),
            Framing::Length(bytes) => {
                let length = usize::try_from(bytes).unwrap_or(usize::MAX);
                if length > BODY_BYTES_MAX {
                    return Err(Refusal::BodyTooLong.into());
                }
                while self.input.len() < length {
                    self.read_more(BODY_BYTES_MAX).await?;
                }
                Ok(self.input.drain(..length).collect())
            }
            Framing::Chunked => self.take_chunked().await,
        }
    }

    async fn take_chunked(&mut self) -> Result<Vec<u8>, NoRequest> {
        let mut decoder = Chunked::new();
        let mut body = Vec::new();
        loop {
            let decoded = decoder.decode(&mut self.input).map_err(Refusal::from)?;
            body.extend(self.input.iter().take(decoded.body));
            let consumed = decoded.consumed.min(self.input.len());
            self.input.drain(..consumed);
            if body.len() > BODY_BYTES_MAX {
                return Err(Refusal::BodyTooLong.into());
            }
            if decoded.done {
                return Ok(body);
            }
            self.read_more(BODY_BYTES_MAX).await?;
        }
    }
}

impl From<Refusal> for NoRequest {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The longest body that a request may have.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
