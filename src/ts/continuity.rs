//! The continuity counter of every PID: what was lost on the way, and where each PID stands. (pure)
//!
//! It counts and remembers; whether a jump was ours to announce is said by whoever calls [`Continuity::reset`]. The
//! rule it protects: an error is counted once, where the stream itself did not announce it, and every counter that a
//! join record has to continue is known.

use super::packet::{PID_NULL, PIDS, TsPacket};

/// The counters of one upstream's PIDs.
///
/// Bound: 8 KiB, taken once. [`SEEN_MAX`] PIDs are listed by [`Self::seen`]; the errors of all are counted.
#[derive(Debug)]
pub struct Continuity {
    /// Per PID: the last counter, [`SEEN`], [`REPEATED`]; 0 for a PID not yet seen.
    states: Box<[u8; PIDS]>,
    seen: Vec<u16>,
    errors: u64,
}

impl Continuity {
    /// Begins without having seen any PID.
    #[must_use]
    pub fn new() -> Self {
        Self {
            states: Box::new([0; PIDS]),
            seen: Vec::with_capacity(SEEN_MAX),
            errors: 0,
        }
    }

    /// Takes the next packet of the stream.
    ///
    /// A payload packet has to carry the counter after its predecessor's, or the same one a single time, which is how
    /// the standard lets a packet be sent twice. That the two are equal byte for byte is not checked.
    #[inline]
    pub fn push(&mut self, packet: TsPacket<'_>) {
        let counter = packet.continuity_counter();
        let Some(state) = self.states.get_mut(usize::from(packet.pid())) else {
            return;
        };
        let last = *state;
        if packet.has_payload() && last & !REPEATED == SEEN | counter.wrapping_sub(1) & COUNTER {
            *state = SEEN | counter;
        } else {
            self.judge(packet, last);
        }
    }

    /// How many jumps of a counter were not announced.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The counter that this PID's last packet carried; `None` for a PID not seen since the last [`Self::reset`].
    #[must_use]
    #[inline]
    pub fn last(&self, pid: u16) -> Option<u8> {
        let state = self.states.get(usize::from(pid)).copied().unwrap_or(0);
        (state & SEEN != 0).then_some(state & COUNTER)
    }

    /// The PIDs seen since the last [`Self::reset`] and their last counters, in the order they appeared.
    pub fn seen(&self) -> impl Iterator<Item = (u16, u8)> {
        self.seen
            .iter()
            .filter_map(|pid| Some((*pid, self.last(*pid)?)))
    }

    /// Forgets all counters: what follows is another stream. The errors counted so far stay.
    pub fn reset(&mut self) {
        self.states.fill(0);
        self.seen.clear();
    }

    /// Takes a packet that is not simply the next one of its PID.
    fn judge(&mut self, packet: TsPacket<'_>, last: u8) {
        let pid = packet.pid();
        if pid == PID_NULL {
            return;
        }
        let counter = packet.continuity_counter();
        let next = if last & SEEN == 0 {
            if self.seen.len() < SEEN_MAX {
                self.seen.push(pid);
            }
            SEEN | counter
        } else if packet.discontinuity() {
            SEEN | counter
        } else if !packet.has_payload() {
            return;
        } else if last & COUNTER == counter {
            self.errors += u64::from(last & REPEATED != 0);
            SEEN | REPEATED | counter
        } else {
            self.errors += 1;
            SEEN | counter
        };
        if let Some(state) = self.states.get_mut(usize::from(pid)) {
            *state = next;
        }
    }
}

impl Default for Continuity {
    fn default() -> Self {
        Self::new()
    }
}

/// Most PIDs whose counters go into join records; a stream with more loses continuity of the rest at a skip.
pub const SEEN_MAX: usize = 64;

const SEEN: u8 = 0x80;
const REPEATED: u8 = 0x40;
const COUNTER: u8 = 0x0F;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::fixture::PacketMaker;

    fn push(continuity: &mut Continuity, maker: PacketMaker) -> u64 {
        let before = continuity.errors();
        continuity.push(TsPacket::new(&maker.build()));
        continuity.errors() - before
    }

    #[test]
    fn counters_that_go_round_are_no_error() {
        let mut continuity = Continuity::new();
        for counter in 0..40 {
            assert_eq!(
                push(&mut continuity, PacketMaker::new(0x100).counter(counter)),
                0
            );
        }
        assert_eq!(continuity.last(0x100), Some(7));
    }

    #[test]
    fn a_jump_is_one_error_and_the_stream_goes_on_from_there() {
        let mut continuity = Continuity::new();
        push(&mut continuity, PacketMaker::new(0x100).counter(0));
        assert_eq!(push(&mut continuity, PacketMaker::new(0x100).counter(2)), 1);
        assert_eq!(push(&mut continuity, PacketMaker::new(0x100).counter(3)), 0);
    }

    #[test]
    fn one_repetition_is_allowed_a_second_is_not() {
        let mut continuity = Continuity::new();
        let errors: Vec<_> = [4, 4, 5, 5, 5, 5, 6]
            .map(|counter| push(&mut continuity, PacketMaker::new(0x100).counter(counter)))
            .into();
        assert_eq!(errors, [0, 0, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn an_announced_jump_is_no_error_with_or_without_payload() {
        let mut continuity = Continuity::new();
        push(&mut continuity, PacketMaker::new(0x100).counter(0));
        assert_eq!(
            push(
                &mut continuity,
                PacketMaker::new(0x100).counter(7).discontinuity()
            ),
            0
        );
        assert_eq!(
            push(
                &mut continuity,
                PacketMaker::new(0x100)
                    .counter(3)
                    .discontinuity()
                    .adaptation_only()
            ),
            0
        );
        assert_eq!(push(&mut continuity, PacketMaker::new(0x100).counter(4)), 0);
    }

    #[test]
    fn packets_without_payload_and_null_packets_do_not_count() {
        let mut continuity = Continuity::new();
        push(&mut continuity, PacketMaker::new(0x100).counter(5));
        assert_eq!(
            push(
                &mut continuity,
                PacketMaker::new(0x100).counter(0).adaptation_only()
            ),
            0
        );
        assert_eq!(push(&mut continuity, PacketMaker::new(0x100).counter(6)), 0);
        for counter in [0, 9, 3] {
            assert_eq!(
                push(&mut continuity, PacketMaker::new(PID_NULL).counter(counter)),
                0
            );
        }
        assert_eq!(continuity.seen().collect::<Vec<_>>(), [(0x100, 6)]);
    }

    #[test]
    fn a_pid_that_never_carries_payload_is_seen_all_the_same() {
        let mut continuity = Continuity::new();
        push(
            &mut continuity,
            PacketMaker::new(0x200).counter(9).adaptation_only().pcr(1),
        );
        assert_eq!(continuity.last(0x200), Some(9));
    }

    #[test]
    fn pids_are_counted_apart() {
        let mut continuity = Continuity::new();
        push(&mut continuity, PacketMaker::new(0x100).counter(0));
        push(&mut continuity, PacketMaker::new(0x101).counter(8));
        assert_eq!(push(&mut continuity, PacketMaker::new(0x100).counter(1)), 0);
        assert_eq!(push(&mut continuity, PacketMaker::new(0x101).counter(9)), 0);
    }

    #[test]
    fn a_reset_forgets_counters_and_keeps_the_count() {
        let mut continuity = Continuity::new();
        push(&mut continuity, PacketMaker::new(0x100).counter(0));
        push(&mut continuity, PacketMaker::new(0x100).counter(5));
        continuity.reset();
        assert_eq!(
            (
                continuity.last(0x100),
                continuity.seen().count(),
                continuity.errors()
            ),
            (None, 0, 1)
        );
        assert_eq!(push(&mut continuity, PacketMaker::new(0x100).counter(9)), 0);
    }

    #[test]
    fn only_so_many_pids_are_listed_but_all_are_judged() {
        let mut continuity = Continuity::new();
        for pid in 0x100..0x200 {
            push(&mut continuity, PacketMaker::new(pid).counter(1));
        }
        assert_eq!(continuity.seen().count(), SEEN_MAX);
        assert_eq!(push(&mut continuity, PacketMaker::new(0x1F0).counter(3)), 1);
    }
}
