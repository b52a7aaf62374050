//! One TV channel on this shard: its history, who waits for it, how it ends.
//!
//! A shard that has viewers of a channel holds a [`relay::Relay`] of it; the channel's home shard also holds a
//! [`home::Home`], the one place where the channel can start. How a viewer is sent its bytes is the business of
//! `viewer`; where the bytes come from, of `upstream`.

pub mod batch;
pub mod chunk;
pub mod cursor;
pub mod home;
pub mod id;
pub mod media;
pub mod relay;
pub mod ring;
pub mod standing;
pub mod table;
pub mod terms;
pub mod wakers;

use thiserror::Error;

/// Why a channel has no more chunks for those who follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// corecast drains and its deadline came.
    Drained,
    /// The channel never started.
    NotStarted(NotStarted),
    /// It is not offered any more.
    Removed,
    /// Accounts are asked for since a new configuration, and its viewers have none.
    Revoked,
    /// Every upstream was lost for as long as a start may take.
    UpstreamLost,
}

/// Why a channel could not be started; what its viewers are told.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotStarted {
    /// The provider of its upstream allows no more connections.
    #[error("every connection that the provider allows is in use")]
    AtLimit,
    /// As many dynamic channels are open as are allowed.
    #[error("as many channels are open as are allowed")]
    Busy,
    /// The upstream answered with a playlist.
    #[error("the upstream answered with a playlist: HLS is not supported yet")]
    Playlist,
    /// Every upstream refused, could not be reached, or sent something else than MPEG-TS.
    #[error("the upstream refused")]
    Refused,
    /// No upstream delivered media in time.
    #[error("no media came in time")]
    Timeout,
}

/// What a channel is doing, as its home shard sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No media has come yet.
    Opening,
    /// Media comes.
    Live,
    /// Media came and has stopped; a new fetch is tried.
    Stalled,
}
