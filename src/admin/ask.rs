//! What shard 0 asks the shards on the operator's behalf, and what they answer. (pure)
//!
//! Sent by `desk`, answered by `report`. The rule: a question changes nothing but what it orders, and an answer is as
//! small as what is shown of it.

use crate::admin::snapshot::Snapshot;
use crate::admin::viewers::{Rows, Wanted};
use crate::channel::id::ChannelId;

/// What a shard is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// To close a viewer of its own.
    Close {
        /// The viewer's number on the shard.
        number: u64,
    },
    /// To begin the graceful stop.
    Drain,
    /// To fetch a channel anew whose home it is.
    Restart {
        /// The channel.
        channel: ChannelId,
    },
    /// How it stands.
    Snapshot,
    /// Which of its viewers fit.
    Viewers(Wanted),
}

/// What a shard answers.
#[derive(Debug)]
pub enum Told {
    /// Whether the order could be carried out.
    Done(bool),
    /// How it stands.
    Snapshot(Snapshot),
    /// Viewers that fit.
    Viewers(Rows),
}
