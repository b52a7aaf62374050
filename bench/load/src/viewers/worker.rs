//! One thread of viewers: connects them when the plan says, reads what is checked at once, sweeps what is discarded.
//!
//! What a viewer is belongs in `viewer.rs`, what all have seen in `tally.rs`. The rule: the server is not charged for the
//! tool's ways. A viewer that discards is not waited for but swept often enough that its window never closes, so the
//! server's sends wake nobody; a burst of readable sockets is read first and checked after, so checking delays no arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::plan::{Role, Schedule};
use super::sweep::Sweep;
use super::tally::Tally;
use super::viewer::{End, Phase, Reading, Viewer};
use super::watch::micros;
use crate::clock;
use crate::measure::tool::ThreadUse;

/// What every worker must know.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) server: SocketAddr,
    /// The request for each channel.
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) schedule: Schedule,
    /// What can be sent to a viewer between two reads of its own.
    pub(crate) window_bytes: usize,
    pub(crate) slow_bytes_per_s: u64,
    /// How long a churning viewer stays, on average.
    pub(crate) churn: Duration,
    /// How long a zapping viewer stays.
    pub(crate) zap: Duration,
}

/// How far all workers are, for the progress bar.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) joined: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// One thread's viewers.
pub(crate) struct Worker {
    task: Task,
    viewers: Vec<Viewer>,
    /// How many of them have been told to ask.
    started: usize,
    epoll: OwnedFd,
    timers: BinaryHeap<Reverse<(Duration, usize)>>,
    sweep: Sweep,
    arena: Vec<u8>,
    random: fastrand::Rng,
    progress: Arc<Progress>,
    tally: Tally,
}

impl Worker {
    /// A worker whose viewers come in the order given.
    ///
    /// # Errors
    /// If there is no epoll to be had.
    pub(crate) fn new(
        task: Task,
        viewers: Vec<Viewer>,
        progress: Arc<Progress>,
    ) -> Result<Self, Errno> {
        let seed = viewers.first().map_or(0, |it| it.assignment.id as u64);
        Ok(Self {
            sweep: Sweep::new(task.schedule.began),
            task,
            viewers,
            started: 0,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            timers: BinaryHeap::new(),
            arena: vec![0; SLOTS * SLOT_BYTES],
            random: fastrand::Rng::with_seed(seed),
            progress,
            tally: Tally::default(),
        })
    }

    /// Runs the schedule to its end and says what was seen.
    ///
    /// # Errors
    /// If epoll fails.
    pub(crate) fn run(mut self) -> Result<(Vec<Viewer>, Tally), Errno> {
        let schedule = self.task.schedule;
        self.until(schedule.from)?;
        self.mark(0);
        let before = ThreadUse::read();
        self.tally.is_measuring = true;
        self.until(schedule.to)?;
        self.tally.is_measuring = false;
        // Taking what came within the measured time is part of its cost.
        self.mark(1);
        self.tally.threads.push(before.until_now());
        self.until_tails()?;
        for viewer in &mut self.viewers {
            self.tally.note_end(viewer);
        }
        Ok((self.viewers, self.tally))
    }

    /// Turns until `end`.
    fn until(&mut self, end: Duration) -> Result<(), Errno> {
        while clock::now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// Turns until the schedule's end, reading on for the last packet of those who discard.
    fn until_tails(&mut self) -> Result<(), Errno> {
        while clock::now() < self.task.schedule.ends {
            self.turn(self.task.schedule.ends)?;
            for at in 0..self.viewers.len() {
                let is_tail = self.viewers.get(at).is_some_and(|it| {
                    it.assignment.role == Role::Discarding
                        && matches!(it.phase, Phase::Body | Phase::Tail)
                });
                if is_tail {
                    self.tail(at);
                }
            }
        }
        Ok(())
    }

    /// One turn: who is to come comes, who is to leave leaves, who has bytes is read.
    fn turn(&mut self, end: Duration) -> Result<(), Errno> {
        let now = clock::now();
        self.start_due(now);
        self.timers_due(now);
        if now < self.task.schedule.to {
            self.sweep_due(now);
        }
        let next_start = self.viewers.get(self.started);
        let next_start = next_start.map(|it| self.task.schedule.began + it.assignment.asks_after);
        let next_timer = self.timers.peek().map(|Reverse((time, _))| *time);
        let next_sweep = (!self.viewers.is_empty()).then(|| now + self.sweep.pause());
        let wakes = [next_start, next_timer, next_sweep, Some(end)];
        let wake = wakes.into_iter().flatten().min().unwrap_or(end);
        let mut events: Vec<Event> = Vec::with_capacity(SLOTS);
        let done = clock::now();
        self.tally.note_turn(done.saturating_sub(now));
        let pause = clock::timespec(wake.saturating_sub(done));
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&pause)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let woken = clock::now();
        self.ready(&events);
        self.tally.note_turn(clock::now().saturating_sub(woken));
        Ok(())
    }

    fn start_due(&mut self, now: Duration) {
        while let Some(viewer) = self.viewers.get(self.started) {
            let asks = self.task.schedule.began + viewer.assignment.asks_after;
            if asks > now {
                break;
            }
            let at = self.started;
            self.started += 1;
            self.connect(at, asks);
        }
    }

    /// Connects a viewer that was to ask at `asks`, and sets the time at which it leaves, if it does.
    fn connect(&mut self, at: usize, asks: Duration) {
        let Some(viewer) = self.viewers.get_mut(at) else {
            return;
        };
        let stays = match viewer.assignment.role {
            Role::Churning => Some(self.task.churn.mul_f64(0.5 + self.random.f64())),
            Role::Zapping => Some(self.task.zap),
            _ => None,
        };
        if let Some(stays) = stays {
            self.timers.push(Reverse((asks + stays, at)));
        }
        let connected = viewer
            .connect(self.task.server, self.task.window_bytes, asks)
            .and_then(|()| {
                let Some(socket) = viewer.socket() else {
                    return Ok(());
                };
                let data = EventData::new_u64(at as u64);
                epoll::add(&self.epoll, socket, data, EventFlags::OUT)
            });
        if let Err(errno) = connected {
            self.over(at, End::Connect(errno));
        }
    }

    fn timers_due(&mut self, now: Duration) {
        while let Some(Reverse((time, at))) = self.timers.peek().copied() {
            if time > now {
                break;
            }
            self.timers.pop();
            let Some(viewer) = self.viewers.get_mut(at) else {
                continue;
            };
            match viewer.assignment.role {
                Role::Churning | Role::Zapping => {
                    self.tally.note_stay(viewer);
                    if viewer.assignment.role == Role::Zapping {
                        viewer.channel = (viewer.channel + 1) % self.task.requests.len();
                    }
                    viewer.leave();
                    self.connect(at, time);
                }
                Role::Slow if viewer.phase != Phase::Over => {
                    self.timers.push(Reverse((time + SLOW_PERIOD, at)));
                    self.read_slowly(at, now);
                }
                _ => {}
            }
        }
    }

    /// Reads what a slow viewer may have in one period.
    fn read_slowly(&mut self, at: usize, now: Duration) {
        let window = self.task.schedule.from..self.task.schedule.to;
        let per_period = self.task.slow_bytes_per_s * micros(SLOW_PERIOD) / 1_000_000;
        let length = usize::try_from(per_period).unwrap_or(usize::MAX);
        let length = length.clamp(1, SLOT_BYTES);
        let (Some(viewer), Some(buffer)) = (self.viewers.get_mut(at), self.arena.get_mut(..length))
        else {
            return;
        };
        match viewer.read(buffer, Reading::Keep) {
            Ok(None) => {}
            Ok(Some(length)) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                if let Err(refusal) = viewer.take(bytes, now, &window) {
                    viewer.over(End::Refused(refusal));
                }
            }
            Err(end) => viewer.over(end),
        }
    }

    /// Throws away what lies in the sockets of those whose turn it is.
    fn sweep_due(&mut self, now: Duration) {
        let mut count = self.sweep.due(self.viewers.len(), now);
        while count > 0 {
            count -= 1;
            let at = self.sweep.next(self.viewers.len());
            self.discard(at);
        }
    }

    fn discard(&mut self, at: usize) {
        let Some(viewer) = self.viewers.get_mut(at) else {
            return;
        };
        let is_swept = matches!(
            viewer.assignment.role,
            Role::Churning | Role::Discarding | Role::Zapping
        );
        if !is_swept || viewer.phase != Phase::Body {
            return;
        }
        match viewer.read(&mut self.arena, Reading::Discard) {
            Ok(None) => {}
            Ok(Some(length)) => {
                viewer.discarded(length);
                self.sweep.took(length);
                self.progress
                    .bytes
                    .fetch_add(length as u64, Ordering::Relaxed);
            }
            Err(end) => self.over(at, end),
        }
    }

    /// Reads and keeps until the last packet is found.
    fn tail(&mut self, at: usize) {
        let (Some(viewer), Some(buffer)) =
            (self.viewers.get_mut(at), self.arena.get_mut(..SLOT_BYTES))
        else {
            return;
        };
        match viewer.read(buffer, Reading::Keep) {
            Ok(None) => {}
            Ok(Some(length)) => {
                if viewer.take_tail(buffer.get(..length).unwrap_or_default()) {
                    viewer.leave();
                }
            }
            Err(end) => self.over(at, end),
        }
    }

    /// Reads every socket that has something, then looks at what was read.
    fn ready(&mut self, events: &[Event]) {
        let mut read = Vec::with_capacity(events.len());
        let slots = self.arena.chunks_exact_mut(SLOT_BYTES).enumerate();
        for (event, (place, slot)) in events.iter().zip(slots) {
            let Ok(at) = usize::try_from(event.data.u64()) else {
                continue;
            };
            let Some(viewer) = self.viewers.get_mut(at) else {
                continue;
            };
            if viewer.phase == Phase::Connecting {
                let asked = self
                    .task
                    .requests
                    .get(viewer.channel)
                    .map_or(Err(Errno::INVAL), |request| viewer.ask(request))
                    .and_then(|()| match viewer.socket() {
                        Some(socket) => {
                            epoll::modify(&self.epoll, socket, event.data, EventFlags::IN)
                        }
                        None => Ok(()),
                    });
                if let Err(errno) = asked {
                    viewer.over(End::Connect(errno));
                }
                continue;
            }
            match viewer.read(slot, Reading::Keep) {
                Ok(None) => {}
                Ok(Some(length)) => read.push((at, place, length, clock::now())),
                Err(end) => viewer.over(end),
            }
        }
        for (at, place, length, arrived) in read {
            self.taken(at, place, length, arrived);
        }
    }

    /// Gives a viewer what was read for it, and takes it off epoll once it needs no attention.
    fn taken(&mut self, at: usize, place: usize, length: usize, arrived: Duration) {
        let window = self.task.schedule.from..self.task.schedule.to;
        let from = place * SLOT_BYTES;
        let (Some(viewer), Some(bytes)) = (
            self.viewers.get_mut(at),
            self.arena.get(from..from + length),
        ) else {
            return;
        };
        self.progress
            .bytes
            .fetch_add(length as u64, Ordering::Relaxed);
        let was_waiting = viewer.first_byte.is_none();
        if let Err(refusal) = viewer.take(bytes, arrived, &window) {
            viewer.over(End::Refused(refusal));
            return;
        }
        if was_waiting && viewer.first_byte.is_some() {
            self.progress.joined.fetch_add(1, Ordering::Relaxed);
            self.tally.note_join(viewer);
        }
        if viewer.phase != Phase::Body || viewer.assignment.role == Role::Verified {
            return;
        }
        if let Some(socket) = viewer.socket()
            && let Err(errno) = epoll::delete(&self.epoll, socket)
        {
            viewer.over(End::Failed(errno));
        }
        if viewer.assignment.role == Role::Slow {
            self.timers.push(Reverse((arrived + SLOW_PERIOD, at)));
        }
    }

    /// Takes everything that has come, so that the count of every viewer is that of this moment.
    fn mark(&mut self, edge: usize) {
        for at in 0..self.viewers.len() {
            self.discard(at);
            if let Some(viewer) = self.viewers.get_mut(at)
                && let Some(count) = viewer.bytes_at.get_mut(edge)
            {
                *count = viewer.body_bytes;
            }
        }
    }

    fn over(&mut self, at: usize, end: End) {
        if let Some(viewer) = self.viewers.get_mut(at) {
            viewer.over(end);
        }
    }
}

/// Sockets that are read before what was read is looked at.
const SLOTS: usize = 64;
const SLOT_BYTES: usize = 65_536;
const SLOW_PERIOD: Duration = Duration::from_millis(50);
