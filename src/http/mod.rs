//! The HTTP front: from an accepted connection to a viewer, or to a clear refusal.
//!
//! In the order of a request: `accept` takes connections, `connection` reads one request head and writes one answer,
//! `request`, `route` and `page` say what is asked for, `live` makes a viewer of it, `site` answers apps, `response` words
//! everything else.

pub mod accept;
pub mod chunked;
pub mod connection;
pub mod live;
pub mod page;
pub mod request;
pub mod response;
pub mod route;
pub mod site;
