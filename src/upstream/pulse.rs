//! Signs of life in the packets of a channel's fetch: how much media they carry, and whether it moves. (pure)
//!
//! Reads the clock references and time stamps that senders put into packets. What follows from them is decided by
//! `admission`, `read` and `probe`; media time as viewers see it is measured in `ts`. The rule it protects: bytes alone
//! are no sign of life, and a leap of a sender's clock is no media.

use crate::ts::PACKET_BYTES;
use crate::ts::packet::{PCR_WRAP, TsPacket};

/// What the packets of one fetch say about time.
///
/// Unit: `received_us` counts on over all fetches of the channel; everything else begins anew with each.
///
/// Received media follows the program clock of the first PID that carries one. While that stands still, it follows
/// the time stamps of whichever PID gets furthest. No step counts for more than [`STEP_MAX_US`].
#[derive(Debug, Default)]
pub struct Pulse {
    received_us: u64,
    /// The PID of the program clock and its last value.
    clock: Option<(u16, u64)>,
    tracks: Vec<Track>,
    now_us: Option<u64>,
    /// Arrival time since a clock or a stamp last moved.
    still_us: u64,
    video: Option<Video>,
}

/// The time stamps of one PID.
#[derive(Debug)]
struct Track {
    pid: u16,
    /// The furthest one. Unit: ticks of 90 kHz.
    stamp: u64,
    /// Media by it since the program clock last moved.
    ahead_us: u64,
}

/// The PID that carries the picture.
#[derive(Debug)]
struct Video {
    pid: u16,
    /// Arrival time since its last packet.
    missing_us: u64,
    /// Whether sound came since.
    has_sound: bool,
}

/// What has stopped although bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// Every clock and every time stamp stands still.
    Clock,
    /// There is sound and no picture any more.
    Video,
}

impl Pulse {
    /// Begins with nothing received.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a new fetch: what was received stays, what was known of the sender goes.
    pub fn restart(&mut self) {
        *self = Self {
            received_us: self.received_us + self.unclocked_us(),
            ..Self::default()
        };
    }

    /// Notes that packets arrive at `now_us`; to be called before the first packet of each arrival.
    ///
    /// A pause of [`PAUSE_US`] or more proves nothing and is not counted against the sender.
    pub fn arrive(&mut self, now_us: u64) {
        let before_us = self.now_us.replace(now_us).unwrap_or(now_us);
        let passed_us = now_us.saturating_sub(before_us);
        if passed_us < PAUSE_US {
            self.still_us += passed_us;
            if let Some(video) = &mut self.video {
                video.missing_us += passed_us;
            }
        }
    }

    /// Takes the next packet; `counts` says whether its media counts as received.
    #[inline]
    pub fn take(&mut self, packet: TsPacket<'_>, counts: bool) {
        let pid = packet.pid();
        if let Some(pcr) = packet.pcr() {
            self.refer(pid, pcr, counts);
        }
        if let Some(video) = &mut self.video
            && video.pid == pid
            && packet.has_payload()
        {
            video.missing_us = 0;
            video.has_sound = false;
        }
        if packet.payload_unit_start() && !packet.is_scrambled() {
            self.begin_unit(packet, pid, counts);
        }
    }

    /// Media received over all fetches.
    ///
    /// Unit: microseconds.
    #[must_use]
    pub fn received_us(&self) -> u64 {
        self.received_us + self.unclocked_us()
    }

    /// What has stood still for `time_us` while packets arrived.
    ///
    /// A sender that never told the time, or never sent a picture, is not expected to.
    #[must_use]
    pub fn frozen(&self, time_us: u64) -> Option<Frozen> {
        let has_time = self.clock.is_some() || !self.tracks.is_empty();
        if has_time && self.still_us >= time_us {
            return Some(Frozen::Clock);
        }
        let video = self.video.as_ref()?;
        (video.has_sound && video.missing_us >= time_us).then_some(Frozen::Video)
    }

    /// Media by time stamps since the program clock last moved.
    fn unclocked_us(&self) -> u64 {
        let ahead = self.tracks.iter().map(|track| track.ahead_us);
        ahead.max().unwrap_or(0)
    }

    fn refer(&mut self, pid: u16, pcr: u64, counts: bool) {
        let known = self
            .clock
            .filter(|(known, _)| *known == pid || self.unclocked_us() < STEP_MAX_US);
        let Some((known, last)) = known else {
            self.clock = Some((pid, pcr));
            return;
        };
        if known != pid {
            return;
        }
        self.clock = Some((pid, pcr));
        let step = (pcr % PCR_WRAP + PCR_WRAP - last % PCR_WRAP) % PCR_WRAP;
        if step == 0 {
            return;
        }
        self.still_us = 0;
        // A step back looks like a very long one ahead.
        if counts && step < PCR_WRAP / 2 {
            self.received_us += (step / PCR_TICKS_PER_US).min(STEP_MAX_US);
        }
        for track in &mut self.tracks {
            track.ahead_us = 0;
        }
    }

    /// Looks at the head of a PES packet: whose it is, and its time stamp.
    fn begin_unit(&mut self, packet: TsPacket<'_>, pid: u16, counts: bool) {
        let payload = packet.payload().unwrap_or_default();
        let Some(&[0, 0, 1, id]) = payload.first_chunk() else {
            return;
        };
        match id {
            0xE0..=0xEF if self.video.as_ref().is_none_or(|video| video.pid != pid) => {
                self.video = Some(Video {
                    pid,
                    missing_us: 0,
                    has_sound: false,
                });
            }
            0xBD | 0xC0..=0xDF => {
                if let Some(video) = &mut self.video {
                    video.has_sound = true;
                }
            }
            _ => {}
        }
        if let Some(stamp) = stamp(payload) {
            self.follow(pid, stamp, counts);
        }
    }

    fn follow(&mut self, pid: u16, stamp: u64, counts: bool) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.pid == pid) else {
            if self.tracks.len() < TRACKS_MAX {
                let ahead_us = 0;
                self.tracks.push(Track {
                    pid,
                    stamp,
                    ahead_us,
                });
            }
            return;
        };
        let step = (stamp + STAMP_WRAP - track.stamp) % STAMP_WRAP;
        let back = STAMP_WRAP - step;
        // Pictures are sent in the order of decoding, so small steps back are the rule.
        let is_reordered = back <= REORDER_TICKS;
        if step == 0 || is_reordered {
            return;
        }
        self.still_us = 0;
        track.stamp = stamp;
        if counts && step < STAMP_WRAP / 2 {
            track.ahead_us += (step * 1_000 / 90).min(STEP_MAX_US);
        }
    }
}

/// The presentation time stamp in the head of a PES packet.
///
/// Unit: ticks of 90 kHz. Source: ISO/IEC 13818-1, 2.4.3.6.
fn stamp(payload: &[u8]) -> Option<u64> {
    let head: &[u8; 14] = payload.first_chunk()?;
    let &[_, _, _, _, _, _, marker, flags, _, b0, b1, b2, b3, b4] = head;
    if marker & 0xC0 != 0x80 || flags & 0x80 == 0 {
        return None;
    }
    let [b0, b1, b2, b3, b4] = [b0, b1, b2, b3, b4].map(u64::from);
    Some((b0 >> 1 & 7) << 30 | b1 << 22 | b2 >> 1 << 15 | b3 << 7 | b4 >> 1)
}

/// What one step of a clock or of time stamps counts for at most; steps are a tenth of a second apart, and what is
/// longer was lost or is a leap.
pub const STEP_MAX_US: u64 = 1_000_000;

/// A pause between arrivals that proves nothing.
pub const PAUSE_US: u64 = 1_000_000;

/// How far back a time stamp may lie behind the furthest one and be of the same order.
const REORDER_TICKS: u64 = 10 * 90_000;

/// PIDs whose time stamps are followed.
const TRACKS_MAX: usize = 16;

const PCR_TICKS_PER_US: u64 = 27;
const STAMP_WRAP: u64 = 1 << 33;

const _: () = assert!(PACKET_BYTES > 14 + 4, "a PES head fits a packet");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::fixture::PacketMaker;

    type Packet = [u8; PACKET_BYTES];

    const VIDEO: u16 = 0x100;
    const SOUND: u16 = 0x101;
    const MS: u64 = 1_000;

    fn clocked(time_ms: u64) -> Packet {
        PacketMaker::new(VIDEO).pcr(time_ms * 27_000).build()
    }

    fn stamped(pid: u16, id: u8, time_ms: u64) -> Packet {
        let stamp = time_ms * 90 % STAMP_WRAP;
        let byte = |value: u64| u8::try_from(value & 0xFF).unwrap();
        let head = [
            0,
            0,
            1,
            id,
            0,
            0,
            0x80,
            0x80,
            5,
            0x21 | byte(stamp >> 30 << 1),
            byte(stamp >> 22),
            byte(stamp >> 14) | 1,
            byte(stamp >> 7),
            byte(stamp << 1) | 1,
        ];
        PacketMaker::new(pid).unit_start().payload(&head).build()
    }

    fn picture(time_ms: u64) -> Packet {
        stamped(VIDEO, 0xE0, time_ms)
    }

    fn sound(time_ms: u64) -> Packet {
        stamped(SOUND, 0xC0, time_ms)
    }

    /// Packets that arrive a tenth of a second apart.
    fn fed(packets: impl IntoIterator<Item = Packet>) -> Pulse {
        let mut pulse = Pulse::new();
        feed(&mut pulse, packets);
        pulse
    }

    fn feed(pulse: &mut Pulse, packets: impl IntoIterator<Item = Packet>) {
        let begin_us = pulse.now_us.unwrap_or(0);
        for (packet, turn) in packets.into_iter().zip(1..) {
            pulse.arrive(begin_us + turn * 100 * MS);
            pulse.take(TsPacket::new(&packet), true);
        }
    }

    #[test]
    fn received_media_follows_the_program_clock() {
        let pulse = fed((0..=100).map(|turn| clocked(turn * 400)));
        assert_eq!(pulse.received_us(), 40_000 * MS);
    }

    #[test]
    fn a_leap_of_the_clock_counts_for_a_second_and_a_step_back_for_nothing() {
        let pulse = fed([0, 40, 9_040, 100].map(clocked));
        assert_eq!(pulse.received_us(), 1_040 * MS);
    }

    #[test]
    fn without_a_program_clock_time_stamps_are_followed_in_any_order() {
        let order = [0, 160, 80, 40, 120, 320, 240, 200, 280, 480];
        let pulse = fed(order.map(picture));
        assert_eq!(pulse.received_us(), 480 * MS);
        let both = (0..50).flat_map(|turn| [picture(turn * 40), sound(turn * 40)]);
        assert_eq!(fed(both).received_us(), 49 * 40 * MS);
    }

    #[test]
    fn time_stamps_beside_a_program_clock_are_not_counted_twice() {
        let both = (0..=100).flat_map(|turn| [picture(turn * 40), clocked(turn * 40)]);
        assert_eq!(fed(both).received_us(), 4_000 * MS);
    }

    #[test]
    fn time_stamps_carry_on_when_the_program_clock_ends() {
        let mut pulse = fed((0..=10).flat_map(|turn| [clocked(turn * 40), picture(turn * 40)]));
        feed(&mut pulse, (11..=100).map(|turn| picture(turn * 40)));
        // The stamp behind the last clock counts on from the stamp before it.
        assert_eq!(pulse.received_us(), 4_040 * MS);
    }

    #[test]
    fn time_stamps_wrap_as_the_clock_does() {
        let wrap_ms = STAMP_WRAP / 90;
        let pulse = fed((0..10).map(|turn| picture(wrap_ms - 200 + turn * 40)));
        assert!(
            pulse.received_us().abs_diff(360 * MS) < 10,
            "{}",
            pulse.received_us()
        );
    }

    #[test]
    fn a_new_fetch_counts_on_and_what_does_not_count_is_not_counted() {
        let mut pulse = fed([0, 40, 80].map(clocked));
        pulse.restart();
        for packet in [7_000, 7_040].map(clocked) {
            pulse.take(TsPacket::new(&packet), false);
        }
        feed(&mut pulse, [clocked(7_080)]);
        assert_eq!(pulse.received_us(), 120 * MS);
    }

    #[test]
    fn clocks_and_stamps_that_stand_still_are_frozen() {
        let mut pulse = fed([clocked(40), picture(80), clocked(80), picture(120)]);
        let still = (0..20).flat_map(|_| [clocked(80), picture(120), sound(7)]);
        feed(&mut pulse, still.clone().take(19));
        assert_eq!(pulse.frozen(2_000 * MS), None);
        feed(&mut pulse, still.take(4));
        assert_eq!(pulse.frozen(2_000 * MS), Some(Frozen::Clock));
        feed(&mut pulse, [clocked(81)]);
        assert_eq!(pulse.frozen(2_000 * MS), None);
    }

    #[test]
    fn a_sender_that_never_told_the_time_is_not_expected_to() {
        let pulse = fed((0..100).map(|_| PacketMaker::new(VIDEO).build()));
        assert_eq!(pulse.frozen(2_000 * MS), None);
    }

    #[test]
    fn a_pause_is_not_held_against_the_sender() {
        let mut pulse = fed([clocked(0), clocked(40)]);
        pulse.arrive(60_000 * MS);
        pulse.take(TsPacket::new(&clocked(40)), true);
        assert_eq!(pulse.frozen(2_000 * MS), None);
    }

    #[test]
    fn a_picture_that_stays_away_while_sound_comes_is_frozen() {
        let mut pulse = fed((0..10).flat_map(|turn| [picture(turn * 40), sound(turn * 40)]));
        feed(&mut pulse, (10..40).map(|turn| sound(turn * 40)));
        assert_eq!(pulse.frozen(2_000 * MS), Some(Frozen::Video));
        feed(&mut pulse, [PacketMaker::new(VIDEO).build()]);
        assert_eq!(pulse.frozen(2_000 * MS), None);
    }

    #[test]
    fn sound_alone_is_no_fault() {
        let pulse = fed((0..100).map(|turn| sound(turn * 40)));
        assert_eq!(pulse.frozen(2_000 * MS), None);
    }

    #[test]
    fn bytes_of_any_kind_are_read_without_harm() {
        let mut dice = crate::ts::fixture::Dice::new(7);
        let mut pulse = Pulse::new();
        for turn in 0..20_000 {
            let mut packet = [0; PACKET_BYTES];
            dice.fill(&mut packet);
            pulse.arrive(turn * MS);
            pulse.take(TsPacket::new(&packet), true);
        }
        assert!(pulse.tracks.len() <= TRACKS_MAX);
    }
}
