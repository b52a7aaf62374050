//! What the configuration says of an open channel, which may change while it is open. (pure)
//!
//! What a new configuration means for the fetch is decided in `upstream`. The rule: whoever works through a list of
//! upstreams holds that list, so that a change never moves it under him.

use std::cell::RefCell;
use std::rc::Rc;

use crate::channel::wakers::Wakers;
use crate::config::{Stream, Upstream};

/// The name, the limits and the upstreams of one channel.
pub struct Terms {
    /// Signalled when the upstreams change.
    pub changed: Wakers,
    name: RefCell<Rc<str>>,
    limits: RefCell<Rc<Stream>>,
    upstreams: RefCell<Rc<[Upstream]>>,
}

impl Terms {
    /// The terms on which a channel is opened.
    #[must_use]
    pub fn new(name: &str, limits: Stream, upstreams: Vec<Upstream>) -> Self {
        Self {
            changed: Wakers::default(),
            name: RefCell::new(name.into()),
            limits: RefCell::new(Rc::new(limits)),
            upstreams: RefCell::new(upstreams.into()),
        }
    }

    /// What operators call the channel.
    #[must_use]
    pub fn name(&self) -> Rc<str> {
        Rc::clone(&self.name.borrow())
    }

    /// Its limits now.
    #[must_use]
    pub fn limits(&self) -> Rc<Stream> {
        Rc::clone(&self.limits.borrow())
    }

    /// Where its bytes come from, in order of preference. Shape: another list after each change, even to an equal one.
    #[must_use]
    pub fn upstreams(&self) -> Rc<[Upstream]> {
        Rc::clone(&self.upstreams.borrow())
    }

    /// Takes another name, and of other limits what an open channel can take.
    pub fn take(&self, name: &str, limits: &Stream) {
        if **self.name.borrow() != *name {
            self.name.replace(name.into());
        }
        let taken = limits.taken_over(&self.limits());
        if *self.limits() != taken {
            self.limits.replace(Rc::new(taken));
        }
    }

    /// Takes another list of upstreams.
    pub fn change_upstreams(&self, upstreams: Vec<Upstream>) {
        self.upstreams.replace(upstreams.into());
        self.changed.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn demo(bits_per_second: u64) -> Vec<Upstream> {
        vec![Upstream::Demo { bits_per_second }]
    }

    #[test]
    fn a_list_that_is_held_outlives_its_change() {
        let terms = Terms::new("a", Stream::default(), demo(1));
        let held = terms.upstreams();
        terms.change_upstreams(demo(1));
        assert_eq!(*held, *terms.upstreams());
        assert!(!Rc::ptr_eq(&held, &terms.upstreams()));
    }

    #[test]
    fn limits_are_taken_as_far_as_an_open_channel_can() {
        let terms = Terms::new("a", Stream::default(), demo(1));
        let other = Stream {
            burst: Duration::from_secs(1),
            ring: Duration::from_secs(60),
            chunk_bytes_max: 188,
            ..Stream::default()
        };
        terms.take("b", &other);
        let expected = Stream {
            burst: Duration::from_secs(1),
            ..Stream::default()
        };
        assert_eq!((&*terms.name(), &*terms.limits()), ("b", &expected));
    }
}
