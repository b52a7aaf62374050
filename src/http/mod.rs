//! The HTTP front: from an accepted connection to a viewer, or to a clear refusal.
//!
//! In the order of a request: `accept` takes connections (`unix` keeps the file of a socket), `connection` reads one request
//! head and writes one answer, `proxy` and `forwarded` say for whom a front asks, `request`, `route` and `page` what is asked
//! for, `condition` what the asker has already; `live` makes a viewer of it, `site` answers apps and `send` sends it,
//! `response` words everything else.

pub mod accept;
pub mod chunked;
pub mod condition;
pub mod connection;
pub mod forwarded;
pub mod hand;
pub mod live;
pub mod page;
pub mod proxy;
pub mod request;
pub mod response;
pub mod route;
mod send;
pub mod site;
pub mod unix;
