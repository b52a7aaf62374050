//! Now and sleep on a shard.
//!
//! Time is microseconds since the process began, one number line for all shards. A shard has one driver that sleeps
//! until the earliest alarm and wakes whoever is due; alarms are rounded up to a 10 ms grid, so that a thousand
//! deadlines cost one wake-up and no viewer owns a timer. Pure code takes the time as a parameter instead.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use glommio::timer::Timer;

/// The time line that all shards of a process share.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(Instant);

impl Epoch {
    /// Begins the time line now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since the time line began.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    pub fn now_us(self) -> u64 {
        micros(Instant::now().duration_since(self.0))
    }
}

/// A shard's clock: what time it is, and a place to wait.
#[derive(Clone)]
pub struct Clock {
    epoch: Epoch,
    alarms: Rc<Alarms>,
}

impl Clock {
    /// A clock on the given time line. Nothing wakes up until [`Clock::drive`] runs as a task of the shard.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            alarms: Rc::new(Alarms::default()),
        }
    }

    /// Microseconds since the process began.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.epoch.now_us()
    }

    /// An alarm `after` from now.
    #[must_use]
    pub fn after(&self, after: Duration) -> Alarm {
        self.at(self.now_us().saturating_add(micros(after)))
    }

    /// An alarm at `at_us`, late by at most the 10 ms grid.
    #[must_use]
    pub fn at(&self, at_us: u64) -> Alarm {
        Alarm {
            clock: self.clone(),
            at_us: grid(at_us),
            id: self.alarms.next_id.replace(self.alarms.next_id.get() + 1),
            armed: false,
        }
    }

    /// Awaits `future` for at most `limit`; `None` means the time ran out and the future was dropped.
    pub async fn limit<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let alarm = self.after(limit);
        futures_lite::future::or(async { Some(future.await) }, async {
            alarm.await;
            None
        })
        .await
    }

    /// Wakes alarms when they are due, for ever. One task per shard runs this.
    pub async fn drive(self) {
        let mut timer: Option<(u64, Timer)> = None;
        poll_fn(|cx| {
            self.alarms.driver.replace(Some(cx.waker().clone()));
            self.turn(&mut timer, cx)
        })
        .await
    }

    /// Wakes what is due and sleeps towards the next; never finishes.
    fn turn(&self, timer: &mut Option<(u64, Timer)>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now_us = self.now_us();
            self.alarms.wake_due(now_us);
            let Some(next_us) = self.alarms.earliest() else {
                *timer = None;
                return Poll::Pending;
            };
            if timer.as_ref().is_none_or(|(at_us, _)| *at_us != next_us) {
                let rest = Duration::from_micros(next_us.saturating_sub(now_us));
                *timer = Some((next_us, Timer::new(rest)));
            }
            let Some((_, sleeping)) = timer else {
                return Poll::Pending;
            };
            if Pin::new(sleeping).poll(cx).is_pending() {
                return Poll::Pending;
            }
            *timer = None;
        }
    }
}

/// A point in time to wait for.
///
/// Cancel safety: dropping it forgets the wait; polling it again after it fired answers at once.
pub struct Alarm {
    clock: Clock,
    at_us: u64,
    id: u64,
    armed: bool,
}

impl Alarm {
    /// Moves the alarm; the task that polls it next is the one that is woken.
    pub fn reset(&mut self, at_us: u64) {
        let at_us = grid(at_us);
        if at_us != self.at_us {
            self.disarm();
            self.at_us = at_us;
        }
    }

    /// Whether its time has come.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.clock.now_us() >= self.at_us
    }

    fn disarm(&mut self) {
        if std::mem::take(&mut self.armed) {
            self.clock.alarms.forget((self.at_us, self.id));
        }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due() {
            self.disarm();
            return Poll::Ready(());
        }
        let key = (self.at_us, self.id);
        self.clock.alarms.arm(key, cx.waker());
        self.armed = true;
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// Everybody on this shard who waits for a time.
#[derive(Default)]
struct Alarms {
    due: RefCell<BTreeMap<(u64, u64), Waker>>,
    next_id: Cell<u64>,
    driver: RefCell<Option<Waker>>,
}

impl Alarms {
    fn arm(&self, key: (u64, u64), waker: &Waker) {
        let mut due = self.due.borrow_mut();
        if let Some(slot) = due.get_mut(&key) {
            slot.clone_from(waker);
            return;
        }
        due.insert(key, waker.clone());
        let is_first = is_first(&due, key);
        drop(due);
        if is_first {
            self.wake_driver();
        }
    }

    /// Takes an alarm out; the driver must not wake up for it, which costs more than to tell it.
    fn forget(&self, key: (u64, u64)) {
        let mut due = self.due.borrow_mut();
        let was_first = is_first(&due, key);
        due.remove(&key);
        drop(due);
        if was_first {
            self.wake_driver();
        }
    }

    fn wake_driver(&self) {
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.wake_by_ref();
        }
    }

    fn earliest(&self) -> Option<u64> {
        let due = self.due.borrow();
        due.first_key_value().map(|((at_us, _), _)| *at_us)
    }

    fn wake_due(&self, now_us: u64) {
        loop {
            let mut due = self.due.borrow_mut();
            let Some(first) = due.first_entry() else {
                return;
            };
            if first.key().0 > now_us {
                return;
            }
            let waker = first.remove();
            drop(due);
            waker.wake();
        }
    }
}

fn is_first(due: &BTreeMap<(u64, u64), Waker>, key: (u64, u64)) -> bool {
    due.first_key_value()
        .is_some_and(|(first, _)| *first == key)
}

/// Microseconds of a duration, saturating.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn grid(at_us: u64) -> u64 {
    at_us.div_ceil(GRID_US).saturating_mul(GRID_US)
}

/// Alarms fire on multiples of this.
const GRID_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::LocalExecutor;

    fn on_a_shard<T>(test: impl AsyncFnOnce(Clock) -> T) -> T {
        LocalExecutor::default().run(async {
            let clock = Clock::new(Epoch::begin());
            let driver = glommio::spawn_local(clock.clone().drive());
            let result = test(clock).await;
            driver.cancel().await;
            result
        })
    }

    #[test]
    fn alarms_fire_in_order_and_not_early() {
        on_a_shard(async |clock| {
            let order = Rc::new(RefCell::new(Vec::new()));
            let begun_us = clock.now_us();
            let tasks: Vec<_> = [30, 10, 20]
                .map(|after_ms| {
                    let (clock, order) = (clock.clone(), Rc::clone(&order));
                    glommio::spawn_local(async move {
                        clock.after(Duration::from_millis(after_ms)).await;
                        assert!(clock.now_us() - begun_us >= after_ms * 1000);
                        order.borrow_mut().push(after_ms);
                    })
                })
                .into();
            for task in tasks {
                task.await;
            }
            assert_eq!(*order.borrow(), [10, 20, 30]);
        });
    }

    #[test]
    fn a_dropped_alarm_leaves_nothing_behind() {
        on_a_shard(async |clock| {
            let limited = clock
                .limit(
                    Duration::from_millis(10),
                    clock.after(Duration::from_secs(60)),
                )
                .await;
            assert!(limited.is_none());
            assert_eq!(clock.alarms.earliest(), None);
        });
    }

    #[test]
    fn a_reset_alarm_fires_at_its_new_time() {
        on_a_shard(async |clock| {
            let mut alarm = clock.after(Duration::from_secs(60));
            assert!(futures_lite::future::poll_once(&mut alarm).await.is_none());
            alarm.reset(clock.now_us() + 20_000);
            alarm.await;
            assert_eq!(clock.alarms.earliest(), None);
        });
    }
}
