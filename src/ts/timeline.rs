//! Media time of a channel over all its upstreams. (pure)
//!
//! What a sender's clock makes of one upstream's packets is measured by `media_clock.rs`; which packets go to viewers is
//! decided by `chunker.rs`. The rule it protects: what viewers were not sent takes no media time.

use super::media_clock::MediaClock;
use super::packet::TsPacket;

/// The media time that viewers have received.
///
/// Unit: microseconds. It never goes back, and it stands while nothing is sent.
#[derive(Debug, Default)]
pub struct Timeline {
    clock: MediaClock,
    pcr_pid: Option<u16>,
    now_us: Option<u64>,
    /// Media time that was discarded: nobody received it.
    skipped_us: u64,
    /// Media time of the channel when the last upstream was lost, while nothing is sent.
    cut_us: Option<u64>,
}

impl Timeline {
    /// Notes that a packet arrives; answers the upstream's media time if it is the first one of its arrival.
    #[inline]
    pub fn arrive(&mut self, now_us: u64) -> Option<u64> {
        if self.now_us == Some(now_us) {
            return None;
        }
        self.now_us = Some(now_us);
        self.clock.arrive(now_us);
        Some(self.clock.media_us())
    }

    /// When the packets came that are being taken, as the caller said.
    #[must_use]
    #[inline]
    pub fn now_us(&self) -> u64 {
        self.now_us.unwrap_or(0)
    }

    /// Takes the clock reference of a packet, `packets` being how many came so far.
    #[inline]
    pub fn refer(&mut self, packet: TsPacket<'_>, pid: u16, packets: u64) {
        if Some(pid) != self.pcr_pid {
            return;
        }
        if packet.discontinuity() {
            self.clock.rebase();
        }
        if let Some(pcr) = packet.pcr() {
            self.clock.refer(pcr, packets);
        }
    }

    /// Says which PID carries the clock from now on.
    pub fn follow(&mut self, pcr_pid: Option<u16>) {
        if pcr_pid != self.pcr_pid {
            self.clock.rebase();
            self.pcr_pid = pcr_pid;
        }
    }

    /// Says that the next packet comes from another upstream.
    pub fn switch(&mut self) {
        self.clock.switch();
        self.now_us = None;
    }

    /// Stands from now on: nothing is sent.
    pub fn stand(&mut self) {
        let media_us = self.media_us();
        self.cut_us.get_or_insert(media_us);
    }

    /// Says that this is where the channel may go on: what came since it stands was skipped.
    pub fn skip_here(&mut self) {
        if let Some(cut_us) = self.cut_us {
            self.skipped_us = self.clock.media_us() - cut_us;
        }
    }

    /// Goes on from where it last was to be skipped to.
    pub fn go_on(&mut self) {
        self.cut_us = None;
    }

    /// Media time since the channel's first packet.
    #[must_use]
    #[inline]
    pub fn media_us(&self) -> u64 {
        let running_us = self.clock.media_us() - self.skipped_us;
        self.cut_us.unwrap_or(running_us)
    }

    /// The same, with what was skipped: it runs while nothing is sent.
    #[must_use]
    pub fn upstream_us(&self) -> u64 {
        self.clock.media_us()
    }

    /// As [`MediaClock::bits_per_second`].
    #[must_use]
    pub fn bits_per_second(&self) -> Option<u64> {
        self.clock.bits_per_second()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of packets without a clock, which take the time of their arrival.
    fn pass(timeline: &mut Timeline, from_us: u64) {
        for step in 0..=20 {
            timeline.arrive(from_us + step * 100_000);
        }
    }

    #[test]
    fn what_is_skipped_takes_no_media_time() {
        let mut timeline = Timeline::default();
        pass(&mut timeline, 0);
        assert_eq!(timeline.media_us(), 2_000_000);
        timeline.stand();
        timeline.stand();
        pass(&mut timeline, 2_000_000);
        assert_eq!(
            (timeline.media_us(), timeline.upstream_us()),
            (2_000_000, 4_000_000)
        );
        timeline.skip_here();
        timeline.go_on();
        assert_eq!(timeline.media_us(), 2_000_000);
        pass(&mut timeline, 4_000_000);
        assert_eq!(timeline.media_us(), 4_000_000);
        timeline.skip_here();
        assert_eq!(
            timeline.media_us(),
            4_000_000,
            "nothing is skipped while it runs"
        );
    }

    #[test]
    fn only_the_first_packet_of_an_arrival_is_news() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.arrive(5), Some(0));
        assert_eq!(timeline.arrive(5), None);
        timeline.switch();
        assert_eq!(timeline.arrive(5), Some(0));
    }
}
