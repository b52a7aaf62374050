//! Sends a listing in pieces, plain or packed.
//!
//! What stands in it is written in `catalog`. The rules: an answer is written twice, once to count its bytes and once to send
//! them, so that a slow app holds one piece of it and not all; what is there already is sent without being copied, in pieces
//! that hold up nobody.

use std::rc::Rc;

use bytes::Bytes;

use crate::catalog::{Asker, Listing};
use crate::guide::pack::{self, Gzip};
use crate::http::connection::{Connection, NoRequest};
use crate::http::request::Method;
use crate::http::response::Answer;
use crate::shard::Shard;

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Plain,
}

/// Sends an answer whose body is a listing.
///
/// # Errors
/// [`NoRequest::Gone`] if the peer does not take it.
pub(super) async fn send(
    shard: &Rc<Shard>,
    connection: &mut Connection,
    method: Method,
    answer: &Answer,
    listing: &Listing<'_>,
    asker: &Asker,
    coding: Coding,
) -> Result<(), NoRequest> {
    let mut unsent = answer
        .head(length(listing, asker, coding).await)
        .into_bytes();
    if method != Method::Head {
        let mut gzip = Gzip::default();
        if coding == Coding::Gzip {
            unsent.extend_from_slice(&pack::HEAD);
        }
        for index in 0..listing.pieces() {
            let piece = listing.piece(index, asker);
            match coding {
                Coding::Gzip => {
                    let is_last = listing.shelves().is_empty() && index + 1 == listing.pieces();
                    unsent.extend(gzip.store(piece.as_bytes(), is_last));
                }
                Coding::Plain => unsent.extend_from_slice(piece.as_bytes()),
            }
            let piece = Bytes::from(std::mem::take(&mut unsent));
            connection.write(&shard.clock, &piece).await?;
            glommio::yield_if_needed().await;
        }
        for shelf in listing.shelves() {
            let whole = match coding {
                Coding::Gzip => {
                    gzip.join(shelf.packed());
                    shelf.packed().bytes()
                }
                Coding::Plain => shelf.text(),
            };
            send_slices(shard, connection, whole).await?;
        }
        if !listing.shelves().is_empty() {
            match coding {
                Coding::Gzip => unsent.extend(gzip.store(listing.closing().as_bytes(), true)),
                Coding::Plain => unsent.extend_from_slice(listing.closing().as_bytes()),
            }
        }
        if coding == Coding::Gzip {
            unsent.extend_from_slice(&gzip.tail());
        }
    }
    if unsent.is_empty() {
        return Ok(());
    }
    connection.write(&shard.clock, &Bytes::from(unsent)).await
}

/// How long the body is as it is sent.
async fn length(listing: &Listing<'_>, asker: &Asker, coding: Coding) -> usize {
    let framed = |plain_bytes| match coding {
        Coding::Gzip => pack::stored_bytes(plain_bytes),
        Coding::Plain => plain_bytes,
    };
    let mut bytes = 0;
    for index in 0..listing.pieces() {
        bytes += framed(listing.piece(index, asker).len());
        glommio::yield_if_needed().await;
    }
    for shelf in listing.shelves() {
        bytes += match coding {
            Coding::Gzip => shelf.packed().bytes().len(),
            Coding::Plain => shelf.text().len(),
        };
    }
    if !listing.shelves().is_empty() {
        bytes += framed(listing.closing().len());
    }
    match coding {
        Coding::Gzip => bytes + pack::HEAD.len() + pack::TAIL_BYTES,
        Coding::Plain => bytes,
    }
}

async fn send_slices(
    shard: &Rc<Shard>,
    connection: &mut Connection,
    whole: &Bytes,
) -> Result<(), NoRequest> {
    let mut rest = whole.clone();
    while !rest.is_empty() {
        let slice = rest.split_to(rest.len().min(SLICE_BYTES));
        connection.write(&shard.clock, &slice).await?;
        glommio::yield_if_needed().await;
    }
    Ok(())
}

/// How much is written at once: an app that takes it in the time it has takes 50 kbit/s.
const SLICE_BYTES: usize = 32 * 1_024;
