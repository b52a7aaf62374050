//! Who on this shard waits for an event: a table with one place per waiting task.
//!
//! A place is overwritten, never pushed, so that a task that is polled a million times holds one waker.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A table of waiting tasks.
#[derive(Clone, Default)]
pub struct Wakers(Rc<RefCell<Table>>);

#[derive(Default)]
struct Table {
    places: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Wakers {
    /// Takes a place in the table; it is given back when the [`Place`] is dropped.
    #[must_use]
    pub fn place(&self) -> Place {
        let mut table = self.0.borrow_mut();
        let index = table.free.pop().unwrap_or_else(|| {
            table.places.push(None);
            table.places.len() - 1
        });
        drop(table);
        Place {
            table: self.clone(),
            index,
        }
    }

    /// Waits for the next event.
    ///
    /// Cancel safety: dropping it forgets the wait; an event that came before it was first polled is not seen.
    pub async fn next_event(&self) {
        let place = self.place();
        let mut is_waiting = false;
        poll_fn(|cx| {
            if is_waiting && !place.is_waiting() {
                return Poll::Ready(());
            }
            is_waiting = true;
            place.wait(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Wakes every task that waits; each has to wait anew for the next event.
    pub fn wake_all(&self) {
        let mut index = 0;
        loop {
            let mut table = self.0.borrow_mut();
            let Some(place) = table.places.get_mut(index) else {
                return;
            };
            let waker = place.take();
            drop(table);
            if let Some(waker) = waker {
                waker.wake();
            }
            index += 1;
        }
    }
}

/// One task's place in a [`Wakers`] table.
pub struct Place {
    table: Wakers,
    index: usize,
}

impl Place {
    /// Waits for the next event on behalf of the task that `waker` wakes.
    pub fn wait(&self, waker: &Waker) {
        let mut table = self.table.0.borrow_mut();
        if let Some(place) = table.places.get_mut(self.index) {
            match place {
                Some(held) => held.clone_from(waker),
                None => *place = Some(waker.clone()),
            }
        }
    }

    /// Whether the event that this place waits for is still to come.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let table = self.table.0.borrow();
        table.places.get(self.index).is_some_and(Option::is_some)
    }

    /// Wakes the task that waits here, and no other.
    pub fn wake(&self) {
        let mut table = self.table.0.borrow_mut();
        let waker = table.places.get_mut(self.index).and_then(Option::take);
        drop(table);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Stops waiting.
    pub fn forget(&self) {
        let mut table = self.table.0.borrow_mut();
        if let Some(place) = table.places.get_mut(self.index) {
            *place = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.forget();
        self.table.0.borrow_mut().free.push(self.index);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    /// How often a waker was used.
    #[derive(Default)]
    pub(in crate::channel) struct Count(AtomicUsize);

    impl Count {
        pub(in crate::channel) fn value(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A waker, and how often it was used.
    pub(in crate::channel) fn counted() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn a_place_wakes_once_per_event_it_waited_for() {
        let wakers = Wakers::default();
        let (count, waker) = counted();
        let place = wakers.place();
        for _ in 0..100 {
            place.wait(&waker);
        }
        wakers.wake_all();
        wakers.wake_all();
        assert_eq!(count.value(), 1);
        place.wait(&waker);
        place.forget();
        wakers.wake_all();
        assert_eq!(count.value(), 1);
    }

    #[test]
    fn one_place_is_woken_without_the_others() {
        let wakers = Wakers::default();
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let places = counts.each_ref().map(|count| {
            let place = wakers.place();
            place.wait(&Waker::from(Arc::clone(count)));
            place
        });
        places[1].wake();
        places[1].wake();
        let woken = counts.each_ref().map(|it| it.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
        assert!(places[0].is_waiting());
    }

    #[test]
    fn places_are_used_again() {
        let wakers = Wakers::default();
        let first = wakers.place();
        drop(first);
        let _second = wakers.place();
        let _third = wakers.place();
        assert_eq!(wakers.0.borrow().places.len(), 2);
    }
}
