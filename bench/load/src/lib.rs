//! Numbered MPEG-TS: what `corecast-load source` sends and its viewers check, for any test that needs the same.
//!
//! [`packets`] makes packets that follow from their index; [`verify`] counts what became of them on the way. Sockets,
//! pacing and measuring belong to the binary. The rule: both ends agree on one format, and it is defined here alone.

pub mod packets;
pub mod verify;
