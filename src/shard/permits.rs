//! How many connections and viewers the whole process may have at once.
//!
//! Shards share nothing but messages and a few counts of the process: these, touched once when a connection or a viewer
//! begins and once when it ends, how many shards have drained, and when each was last seen to live.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bounded count of things that exist now.
#[derive(Debug)]
pub struct Permits {
    taken: AtomicUsize,
    max: AtomicUsize,
}

impl Permits {
    /// At most `max` at once.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
        })
    }

    /// Takes one; `None` when all are taken.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        let max = self.max.load(Ordering::Relaxed);
        let grant = |taken| (taken < max).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grant)
            .ok()
            .map(|_| Permit(Arc::clone(self)))
    }

    /// Allows another number from now on. Those that exist beyond it stay.
    pub fn allow(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// How many are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// The right to be one of the counted; given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_maximum_exist_at_once() {
        let permits = Permits::new(2);
        let first = permits.take();
        let second = permits.take();
        assert!(first.is_some() && second.is_some());
        assert!(permits.take().is_none());
        drop(first);
        assert_eq!(permits.taken(), 1);
        assert!(permits.take().is_some());
        drop(second);
        assert_eq!(permits.taken(), 0);
    }

    #[test]
    fn a_maximum_that_is_lowered_takes_nothing_back_and_gives_nothing_more() {
        let permits = Permits::new(2);
        let (first, second) = (permits.take(), permits.take());
        permits.allow(1);
        assert_eq!(permits.taken(), 2);
        drop(first);
        assert!(permits.take().is_none());
        drop(second);
        assert!(permits.take().is_some());
        permits.allow(3);
        let more = (permits.take(), permits.take());
        assert!(more.0.is_some() && more.1.is_some());
    }
}
