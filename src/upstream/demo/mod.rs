//! The built-in test pattern as an endless MPEG-TS, made without an encoder (pure).
//!
//! Joins pictures (`picture`) and packets (`mux`) frame by frame at a constant rate. When a frame
//! is due belongs to the fetch loop of the channel, which paces the frames by [`Demo::FRAME`].
//!
//! Rule: each picture shows its frame number, and the clock advances by exactly [`Demo::FRAME`]
//! from frame to frame, so whoever sees a picture knows its media time.

mod mux;
mod picture;

use std::time::Duration;

use mux::Mux;
use picture::Picture;

pub use picture::bar_code_bits;

/// The built-in test pattern as an endless MPEG-TS.
///
/// Shape: 320x176 pixels, 25 frames a second, H.264 Constrained Baseline, no sound. Colour bars, a
/// marker that moves 16 pixels with each frame, and the frame number as a bar code
/// ([`bar_code_bits`]) in the lowest 16 lines. Each 25th frame is a key frame. PAT and PMT come
/// before each key frame and before every second frame in between, at most 80 ms apart. Each frame
/// carries a clock reference and is shown 200 ms after it.
///
/// Bound: the clock wraps after 26.5 h as in any transport stream, the bar code after 2^20 frames.
#[derive(Debug)]
pub struct Demo {
    bits_per_second: u64,
    /// The number of the next frame.
    next: u64,
    /// Clock reference of the next frame in 1/90000 s, 33 bits.
    clock: u64,
    /// What whole packets have left over of the rate, in units of 1/[`RATE_PER_PACKET`] packet.
    carry: u64,
    /// Packets sent beyond the constant rate so far.
    ahead_packets: u64,
    picture: Picture,
    mux: Mux,
    /// The access unit being sent; kept for its memory.
    unit: Vec<u8>,
}

impl Demo {
    /// Media time of one frame.
    pub const FRAME: Duration = Duration::from_millis(40);

    /// The lowest rate: a receiver that gets the bytes evenly at this rate has each frame before it
    /// is shown.
    ///
    /// Source: the worst case is a key frame (90 packets) and then a frame in which all 20 cells of
    /// the bar code change (47 packets), with 6 frames of time for both: 859 kbit/s. On average the
    /// frames need 497 kbit/s. Counted over the 2^20 frames after which the bar code starts again.
    pub const BITS_PER_SECOND_MIN: u64 = 1_000_000;

    /// The highest rate: 5 MB of null packets with each frame.
    pub const BITS_PER_SECOND_MAX: u64 = 1_000_000_000;

    /// Starts at frame 0.
    ///
    /// Unit: `bits_per_second` is the constant rate of everything, packet headers and null packets
    /// included.
    ///
    /// Bound: a rate below [`Demo::BITS_PER_SECOND_MIN`] or above [`Demo::BITS_PER_SECOND_MAX`] is
    /// replaced by that limit.
    pub fn new(bits_per_second: u64) -> Self {
        Self::starting_at(CLOCK_START, bits_per_second)
    }

    fn starting_at(clock: u64, bits_per_second: u64) -> Self {
        Self {
            bits_per_second: bits_per_second
                .clamp(Self::BITS_PER_SECOND_MIN, Self::BITS_PER_SECOND_MAX),
            next: 0,
            clock,
            // Half a packet, so that dividing rounds to the nearest.
            carry: RATE_PER_PACKET / 2,
            ahead_packets: 0,
            picture: Picture::new(),
            mux: Mux::new(),
            unit: Vec::new(),
        }
    }

    /// Appends the next frame's packets to `out` and returns its number, counted from 0.
    ///
    /// Shape: whole 188-byte packets: tables if due, video, null packets up to the constant rate.
    /// After n frames the total is `n * FRAME * bits_per_second / 8 / 188`, rounded. A frame larger
    /// than its share, such as a key frame at a low rate, is sent whole all the same; the frames
    /// after it get fewer null packets until the total fits again. That takes up to 6 frames at the
    /// lowest rate and never happens from 3.4 Mbit/s on.
    ///
    /// Bound: at most 16,920 bytes or the share of one frame, whichever is more.
    pub fn frame(&mut self, out: &mut Vec<u8>) -> u64 {
        let number = self.next;
        self.unit.clear();
        self.picture.draw(number, &mut self.unit);

        let mut packets = 0;
        if (number % picture::KEY_INTERVAL).is_multiple_of(TABLES_INTERVAL) {
            packets += self.mux.tables(out);
        }
        let pts = (self.clock + DECODER_DELAY) & CLOCK_MASK;
        let is_key = picture::is_key(number);
        packets += self
            .mux
            .access_unit(&self.unit, self.clock, pts, is_key, out);

        self.carry += self.bits_per_second;
        let share = self.carry / RATE_PER_PACKET;
        self.carry %= RATE_PER_PACKET;
        let used = self.ahead_packets + packets;
        mux::pad(share.saturating_sub(used), out);
        self.ahead_packets = used.saturating_sub(share);

        self.next += 1;
        self.clock = (self.clock + FRAME_TICKS) & CLOCK_MASK;
        number
    }
}

/// The rate in bits per second at which each frame is one packet.
const RATE_PER_PACKET: u64 = 188 * 8 * 25;
/// Frames from one PAT and PMT to the next, counted from a key frame.
const TABLES_INTERVAL: u64 = 2;

/// [`Demo::FRAME`] in 1/90000 s.
const FRAME_TICKS: u64 = 3_600;
/// From clock reference to presentation: 200 ms, in 1/90000 s.
const DECODER_DELAY: u64 = 18_000;
/// Clock reference of frame 0: one second, in 1/90000 s.
const CLOCK_START: u64 = 90_000;
/// Clock references and time stamps have 33 bits.
const CLOCK_MASK: u64 = (1 << 33) - 1;

#[cfg(test)]
mod tests {
    use super::mux::tests::{Seen, pts};
    use super::*;

    /// The bytes of the next frame.
    fn frame(demo: &mut Demo) -> Vec<u8> {
        let mut out = Vec::new();
        demo.frame(&mut out);
        out
    }

    fn packets(bytes: &[u8]) -> u64 {
        u64::try_from(bytes.len() / 188).unwrap()
    }

    fn rounded_packets(frames: u64, bits_per_second: u64) -> u64 {
        let micros = frames * u64::try_from(Demo::FRAME.as_micros()).unwrap();
        let micro_bits = u128::from(micros) * u128::from(bits_per_second);
        u64::try_from((micro_bits + 752_000_000) / 1_504_000_000).unwrap()
    }

    #[test]
    fn frames_are_numbered_from_0_and_appended() {
        let mut demo = Demo::new(2_000_000);
        let mut out = vec![1, 2, 3];
        let numbers: Vec<u64> = (0..60).map(|_| demo.frame(&mut out)).collect();
        assert!(numbers.into_iter().eq(0..60));
        assert_eq!(out[..4], [1, 2, 3, 0x47]);
    }

    #[test]
    fn key_frames_start_with_pat_and_pmt_and_a_flagged_clock() {
        let mut demo = Demo::new(4_000_000);
        for number in 0..100 {
            let bytes = frame(&mut demo);
            let seen = Seen::all(&bytes);
            let pids: Vec<u16> = seen[..3].iter().map(|packet| packet.pid).collect();
            if number % 25 == 0 {
                assert_eq!(pids, [0, 0x1000, 0x100]);
                assert!(seen[2].is_unit_start && seen[2].flags == 0x50);
            } else {
                assert!(seen.iter().all(|packet| packet.flags & 0x40 == 0));
            }
        }
    }

    #[test]
    fn tables_are_at_most_80_ms_apart_and_before_the_video() {
        let mut demo = Demo::new(4_000_000);
        let mut without = 0;
        for _ in 0..200 {
            let bytes = frame(&mut demo);
            let seen = Seen::all(&bytes);
            let tables = seen
                .iter()
                .filter(|packet| packet.pid == 0 || packet.pid == 0x1000);
            match tables.count() {
                0 => without += 1,
                2 => {
                    assert_eq!([seen[0].pid, seen[1].pid], [0, 0x1000]);
                    without = 0;
                }
                other => panic!("{other} tables in one frame"),
            }
            assert!(without < 2);
        }
    }

    #[test]
    fn continuity_counters_never_jump() {
        let mut demo = Demo::new(1_000_000);
        let mut next = [0; 0x2000];
        for _ in 0..300 {
            let bytes = frame(&mut demo);
            for packet in Seen::all(&bytes)
                .iter()
                .filter(|packet| packet.pid != 0x1FFF)
            {
                let expected = &mut next[usize::from(packet.pid)];
                assert_eq!(packet.counter, *expected, "on PID {:#x}", packet.pid);
                *expected = (*expected + 1) % 16;
            }
        }
    }

    #[test]
    fn clock_advances_40_ms_a_frame_through_the_wrap() {
        let start = (1 << 33) - 10 * 3_600 + 1;
        let mut demo = Demo::starting_at(start, 2_000_000);
        let mut wrapped = 0;
        let mut last = None;
        for number in 0..30 {
            let bytes = frame(&mut demo);
            let seen = Seen::all(&bytes);
            let clocks: Vec<u64> = seen.iter().filter_map(|packet| packet.clock).collect();
            let expected = (start + number * 3_600) % (1 << 33);
            assert_eq!(clocks, [expected]);
            let unit = seen.iter().find(|packet| packet.pid == 0x100).unwrap();
            assert_eq!(pts(unit.payload), (expected + 18_000) % (1 << 33));
            wrapped += u64::from(last.is_some_and(|last| last > expected));
            last = Some(expected);
        }
        assert_eq!(wrapped, 1);
    }

    #[test]
    fn clock_of_a_new_demo_is_monotone() {
        let mut demo = Demo::new(2_000_000);
        let mut bytes = Vec::new();
        for _ in 0..100 {
            demo.frame(&mut bytes);
        }
        let seen = Seen::all(&bytes);
        let clocks: Vec<u64> = seen.iter().filter_map(|packet| packet.clock).collect();
        assert_eq!(clocks.len(), 100);
        assert!(clocks.windows(2).all(|pair| pair[0] + 3_600 == pair[1]));
    }

    #[test]
    fn total_is_the_rounded_rate_after_each_frame() {
        for rate in [3_400_000, 4_000_000, 7_654_321, 20_000_000] {
            let mut demo = Demo::new(rate);
            let mut total = 0;
            for number in 0..200 {
                total += packets(&frame(&mut demo));
                assert_eq!(total, rounded_packets(number + 1, rate), "frame {number}");
            }
        }
    }

    #[test]
    fn low_rate_catches_up_after_a_key_frame() {
        let rate = Demo::BITS_PER_SECOND_MIN;
        let mut demo = Demo::new(rate);
        let mut total = 0;
        for number in 0..500 {
            total += packets(&frame(&mut demo));
            let due = rounded_packets(number + 1, rate);
            if number % 25 == 0 {
                assert!(total > due, "a key frame is larger than its share");
            }
            if number % 25 >= 6 {
                assert_eq!(total, due, "frame {number}");
            }
        }
    }

    #[test]
    fn lowest_rate_brings_each_frame_before_it_is_shown() {
        let rate = Demo::BITS_PER_SECOND_MIN;
        // Frame 1048576 changes all cells of the bar code.
        for start in [0, 524_275, 1_048_575] {
            let mut demo = Demo::new(rate);
            demo.next = start;
            let mut total = 0;
            for number in 0..50 {
                let bytes = frame(&mut demo);
                let seen = Seen::all(&bytes);
                let video_end = seen.iter().rposition(|packet| packet.pid == 0x100).unwrap();
                let needed = total + u64::try_from(video_end + 1).unwrap();
                let frames_until_shown = number + DECODER_DELAY / FRAME_TICKS;
                assert!(
                    needed <= rounded_packets(frames_until_shown, rate),
                    "{start} {number}"
                );
                total += packets(&bytes);
            }
        }
    }

    #[test]
    fn null_packets_come_last_in_a_frame() {
        let mut demo = Demo::new(4_000_000);
        for _ in 0..100 {
            let bytes = frame(&mut demo);
            let seen = Seen::all(&bytes);
            assert_ne!(seen[0].pid, 0x1FFF);
            assert!(seen.is_sorted_by_key(|packet| packet.pid == 0x1FFF));
        }
    }

    #[test]
    fn rate_outside_its_limits_is_replaced_by_the_limit() {
        for (asked, used) in [
            (0, Demo::BITS_PER_SECOND_MIN),
            (999_999, Demo::BITS_PER_SECOND_MIN),
            (1_000_001, 1_000_001),
            (u64::MAX, Demo::BITS_PER_SECOND_MAX),
        ] {
            assert_eq!(Demo::new(asked).bits_per_second, used);
        }
    }

    #[test]
    fn video_packets_carry_the_picture_of_their_frame() {
        let mut demo = Demo::new(1_000_000);
        let mut picture = Picture::new();
        for number in 0..60 {
            let bytes = frame(&mut demo);
            let seen = Seen::all(&bytes);
            let video = seen.iter().filter(|packet| packet.pid == 0x100);
            let pes: Vec<u8> = video.flat_map(|packet| packet.payload).copied().collect();
            let mut unit = Vec::new();
            picture.draw(number, &mut unit);
            assert_eq!(pes[14..], unit);
        }
    }
}
