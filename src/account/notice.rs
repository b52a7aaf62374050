//! What shards tell each other about viewers of accounts. (pure)
//!
//! Sent and taken in `attendance`, carried by the feed. The rule: of what a full feed holds back, a newer notice about the
//! same replaces the older, and lists go first.

use std::sync::Arc;

use super::roll::Visit;
use crate::metrics::ViewerEnd;

/// What shards tell each other about viewers of accounts.
#[derive(Debug)]
pub enum Notice {
    /// The viewer may watch (home shard to the viewer's).
    Admitted {
        /// Its number.
        number: u64,
        /// Whether another viewer has to end for it.
        made_room: bool,
    },
    /// A viewer wants to watch (viewer's shard to home shard).
    Arrived(Visit),
    /// The viewer has to end (home shard to the viewer's).
    Close {
        /// Its number.
        number: u64,
        /// Why.
        why: ViewerEnd,
    },
    /// All viewers of the home's accounts up to a number (viewers' shard to home shard).
    Confirmed {
        /// The last number that was given out.
        up_to: u64,
        /// Those that are there.
        visits: Vec<Visit>,
    },
    /// Asks how many viewers an account has.
    Count {
        /// Number of the question.
        request: u64,
        /// The account's user.
        user: Arc<str>,
    },
    /// How many viewers an account has.
    Counted {
        /// Number of the question.
        request: u64,
        /// The answer.
        viewers: usize,
    },
    /// A viewer is gone (viewer's shard to home shard).
    Left {
        /// Its number.
        number: u64,
        /// The account's user.
        user: Arc<str>,
    },
}

/// What a notice is about: a newer one about the same replaces an older that still waits.
///
/// Shape: ordered so that a whole list goes before what was said after it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// The whole list.
    List,
    /// One viewer's coming and going.
    Visit(u64),
    /// The answer to a viewer.
    Answer(u64),
    /// The end of a viewer.
    End(u64),
    /// A question.
    Count(u64),
    /// An answer to a question.
    Counted(u64),
}

impl Notice {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> About {
        match self {
            Self::Admitted { number, .. } => About::Answer(*number),
            Self::Arrived(visit) => About::Visit(visit.number),
            Self::Close { number, .. } => About::End(*number),
            Self::Confirmed { .. } => About::List,
            Self::Count { request, .. } => About::Count(*request),
            Self::Counted { request, .. } => About::Counted(*request),
            Self::Left { number, .. } => About::Visit(*number),
        }
    }
}
