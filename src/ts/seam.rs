//! What was sent already, when a channel goes on from another upstream or from a new fetch of the same. (pure)
//!
//! It knows times and no chunks: where the stream can go on is decided by `chunker.rs`, what announces it is written
//! by `join.rs`. The rule it protects: no unit of video or sound whose beginning was sent is sent again while the clock
//! is the same, and no viewer waits longer for that than it was told to.

mod repeat;

use self::repeat::{Repeat, Stand};
use super::continuity::SEEN_MAX;
use super::packet::TsPacket;
use super::pes::{PesTimes, TICKS_PER_SECOND, pes_times, ticks_between};

/// How far the channel was sent, and what of the next upstream lies before that.
///
/// The clocks of both are the same if the new one stands between [`BACK`] before and [`AHEAD`] after the last PCR that
/// was sent; where either has no PCR, the times of video stand for it. Then all is held back until the clock has passed
/// what was sent and a unit of video does too, and from there on each other PID until a unit of it begins later than
/// the last one that was sent. Another clock, none, or one that did not catch up in time is taken as it comes, and so is
/// one of which it is plain before that it will not, such as a file that is sent again and again: `repeat.rs` tells.
///
/// A unit counts as sent when its beginning was: the rest of one that a cut has torn is lost.
///
/// Unit: ticks of 90 kHz; of a PCR, its base.
///
/// Bound: [`SEEN_MAX`] PIDs besides video; of further ones a unit may be sent twice. While the stream flows, a packet that
/// begins no unit and has no adaptation field costs three comparisons; one that begins a unit costs reading its header
/// and a look along those PIDs.
#[derive(Clone, Debug)]
pub struct Seam {
    patience_us: u64,
    phase: Phase,
    pcr_pid: Option<u16>,
    video_pid: Option<u16>,
    sent: Reach,
    /// Where the last unit of each other PID began that was sent.
    units: Vec<(u16, u64)>,
    /// How far the new upstream has come while all of it is held back.
    come: Reach,
    repeat: Repeat,
    /// Whether the new upstream goes by a clock of its own, or is taken for one.
    is_new_clock: bool,
    /// When what is held back is let go all the same; counts from the first packet that was.
    due_us: Option<u64>,
    late: Vec<Late>,
}

impl Seam {
    /// Begins with nothing sent; after a switch the same clock has `patience_us` to catch up.
    #[must_use]
    pub fn new(patience_us: u64) -> Self {
        Self {
            patience_us,
            phase: Phase::Flowing,
            pcr_pid: None,
            video_pid: None,
            sent: Reach::default(),
            units: Vec::new(),
            come: Reach::default(),
            repeat: Repeat::default(),
            is_new_clock: false,
            due_us: None,
            late: Vec::new(),
        }
    }

    /// Says which PIDs carry the clock and the video from now on.
    pub fn follow(&mut self, pcr_pid: Option<u16>, video_pid: Option<u16>) {
        self.pcr_pid = pcr_pid;
        self.video_pid = video_pid;
    }

    /// Says that the next packet comes from another upstream; which PIDs it uses is not known yet.
    ///
    /// The time to catch up goes on if the last upstream has not been let through either.
    pub fn switch(&mut self) {
        if self.phase == Phase::Waiting {
            self.repeat.end(self.stand());
        } else {
            self.due_us = None;
        }
        self.phase = Phase::Waiting;
        self.come = Reach::default();
        self.is_new_clock = false;
        self.late.clear();
        self.follow(None, None);
    }

    /// Forgets what was sent: whoever saw it is gone.
    pub fn forget(&mut self) {
        self.sent = Reach::default();
        self.units.clear();
        self.late.clear();
        if self.phase == Phase::Resuming {
            self.phase = Phase::Flowing;
        }
    }

    /// Judges a packet that arrived at `now_us`, before it is [noted](Self::note).
    ///
    /// After a [switch](Self::switch) it is [`Passage::Pass`] where the stream may [go on](Self::go_on), and every
    /// packet is held back until it has.
    #[inline]
    pub fn judge(&mut self, packet: TsPacket<'_>, pid: u16, now_us: u64) -> Passage {
        if self.phase == Phase::Flowing {
            return Passage::Pass;
        }
        self.hold(packet, pid, now_us)
    }

    /// Says that the stream goes on with a packet of `pid`, for which [`Self::judge`] said that it may.
    pub fn go_on(&mut self, pid: u16) {
        let is_same_clock = !self.is_new_clock && self.stand().is_some();
        if !is_same_clock {
            self.forget();
        }
        self.repeat.pass(is_same_clock);
        let video = self.video_pid.zip(self.sent.video);
        let others = self.units.iter().copied();
        let others = others.filter(|(other, _)| Some(*other) != self.video_pid);
        self.late = others
            .chain(video)
            .filter(|(late, _)| *late != pid)
            .map(|(pid, last)| Late {
                pid,
                last,
                is_cut: false,
            })
            .collect();
        self.resumed();
    }

    /// Notes a packet that is sent.
    #[inline]
    pub fn note(&mut self, packet: TsPacket<'_>, pid: u16) {
        // Neither a unit nor a clock reference is in any other packet.
        if packet.payload_unit_start() || packet.bytes()[3] & ADAPTATION != 0 {
            self.record(packet, pid);
        }
    }

    /// Whether an upstream with the same clock is held back because it still sends what was sent.
    ///
    /// It delivers, then, although nothing of it is published.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        let is_behind = self.stand().is_some_and(|stand| stand.gap() <= 0);
        self.phase == Phase::Waiting && !self.is_new_clock && is_behind
    }

    /// Judges a packet while something is held back, which is rare.
    #[cold]
    fn hold(&mut self, packet: TsPacket<'_>, pid: u16, now_us: u64) -> Passage {
        if self.phase == Phase::Waiting {
            self.wait(packet, pid, now_us)
        } else {
            self.resume(packet, pid, now_us)
        }
    }

    fn record(&mut self, packet: TsPacket<'_>, pid: u16) {
        if Some(pid) == self.pcr_pid
            && let Some(base) = pcr_base(packet)
        {
            self.sent.pcr = Some(base);
        }
        let Some(time) = pes_times(packet).and_then(PesTimes::decoded) else {
            return;
        };
        if Some(pid) == self.video_pid {
            self.sent.video = Some(time);
        } else if let Some((_, last)) = self.units.iter_mut().find(|(known, _)| *known == pid) {
            *last = time;
        } else if self.units.len() < SEEN_MAX {
            self.units.push((pid, time));
        }
    }

    /// Judges a packet of an upstream that has not been let through yet.
    fn wait(&mut self, packet: TsPacket<'_>, pid: u16, now_us: u64) -> Passage {
        let due_us = now_us.saturating_add(self.patience_us);
        let due_us = *self.due_us.get_or_insert(due_us);
        self.is_new_clock |= now_us >= due_us;
        if Some(pid) == self.pcr_pid {
            self.come.pcr = pcr_base(packet).or(self.come.pcr);
        }
        let begins_video = packet.payload_unit_start() && Some(pid) == self.video_pid;
        let times = begins_video.then(|| pes_times(packet)).flatten();
        let time = times.and_then(PesTimes::decoded);
        self.come.video = time.or(self.come.video);
        let stand = self.stand();
        let gap = stand.map(Stand::gap);
        self.is_new_clock |= gap.is_some_and(|gap| !(BACK..=AHEAD).contains(&gap));
        if let Some(stand) = stand.filter(|_| !self.is_new_clock) {
            let left_us = due_us.saturating_sub(now_us);
            self.is_new_clock = self.repeat.is_vain(stand, now_us, left_us);
        }
        let is_beyond = match gap {
            Some(gap) => gap > 0,
            // The clock has to come before anything can be said; without one, all is new.
            None => self.sent.pcr.is_none() || self.pcr_pid.is_none(),
        };
        let is_shown = self.sent.video.is_some_and(|last| {
            begins_video && gap.is_some() && time.is_none_or(|time| is_repeat(time, last))
        });
        if self.is_new_clock || is_beyond && !is_shown {
            Passage::Pass
        } else {
            Passage::Discard
        }
    }

    /// Judges a packet of an upstream that was let through, while some PIDs are held back.
    fn resume(&mut self, packet: TsPacket<'_>, pid: u16, now_us: u64) -> Passage {
        let is_due = self.due_us.is_some_and(|due_us| now_us >= due_us);
        if is_due {
            self.late.retain(|late| late.is_cut);
            self.resumed();
        }
        let Some(index) = self.late.iter().position(|late| late.pid == pid) else {
            return Passage::Pass;
        };
        let Some(late) = self.late.get_mut(index) else {
            return Passage::Pass;
        };
        let begins = packet.payload_unit_start() && !packet.transport_error();
        if !begins || !is_due && late.is_repeated(packet) {
            late.is_cut = true;
            return Passage::Discard;
        }
        let Late { is_cut, .. } = self.late.swap_remove(index);
        self.resumed();
        if is_cut {
            Passage::Announce
        } else {
            Passage::Pass
        }
    }

    fn resumed(&mut self) {
        self.phase = if self.late.is_empty() {
            Phase::Flowing
        } else {
            Phase::Resuming
        };
    }

    /// Where the new upstream stands, once it can be compared.
    fn stand(&self) -> Option<Stand> {
        let by_clock = self.sent.pcr.zip(self.come.pcr);
        let (sent, come) = by_clock.or_else(|| self.sent.video.zip(self.come.video))?;
        Some(Stand {
            has_pcr: by_clock.is_some(),
            sent,
            come,
        })
    }
}

/// What becomes of a packet, as far as what was sent matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may be sent, and because packets of its PID before it were not, its counter has to be announced.
    Announce,
    /// It was sent already, or cannot be told from what was.
    Discard,
    /// It may be sent.
    Pass,
}

/// Whether packets are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Flowing,
    /// Some PIDs are, one by one.
    Resuming,
    /// All are, since a switch.
    Waiting,
}

/// Where a stream has come to by its own clock.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    pcr: Option<u64>,
    /// Where its last unit of video began, in the order of decoding.
    video: Option<u64>,
}

/// A PID that may still bring what was sent.
#[derive(Clone, Copy, Debug)]
struct Late {
    pid: u16,
    /// Where its last unit began that was sent.
    last: u64,
    /// Whether packets of it were held back since the stream went on.
    is_cut: bool,
}

impl Late {
    /// Whether the unit that begins in this packet was sent, or does not say when it is decoded.
    ///
    /// What is no readable PES cannot be compared and is none: a table, or scrambled.
    fn is_repeated(&self, packet: TsPacket<'_>) -> bool {
        pes_times(packet).is_some_and(|times| {
            let time = times.decoded();
            time.is_none_or(|time| is_repeat(time, self.last))
        })
    }
}

/// Whether a unit that begins at `time` was sent when the one at `last` was; what lies further back is another clock's.
fn is_repeat(time: u64, last: u64) -> bool {
    (BACK..=0).contains(&ticks_between(last, time))
}

fn pcr_base(packet: TsPacket<'_>) -> Option<u64> {
    packet.pcr().map(|pcr| pcr / 300)
}

/// How far a clock may stand before what was sent and still be the same.
///
/// Unit: ticks of 90 kHz.
pub const BACK: i64 = -600 * TICKS_PER_SECOND.cast_signed();

/// How far it may stand after it.
///
/// Unit: ticks of 90 kHz.
pub const AHEAD: i64 = 10 * TICKS_PER_SECOND.cast_signed();

/// The header's flag for an adaptation field.
const ADAPTATION: u8 = 0x20;

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests;
