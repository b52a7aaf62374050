//! What a viewer that checks every packet has seen: faults, delays, gaps, how it joined. (pure)
//!
//! Packets are checked by `corecast_load::verify`. The rule: delay is taken only from packets that were sent within the
//! measured time and after this viewer's first body byte; what a burst brings is older and told apart.

use std::ops::Range;
use std::time::Duration;

use corecast_load::packets::PACKET_BYTES;
use corecast_load::verify::{Kind, Seen, Verifier};
use hdrhistogram::Histogram;

use crate::spread::histogram;

/// One viewer's record.
pub(crate) struct Watch {
    verifier: Verifier,
    /// What came before the first whole packet is known; `None` after.
    opening: Option<Vec<u8>>,
    began_within_packet: bool,
    asked: Duration,
    joined: Joined,
    /// Microseconds from sending to arrival.
    pub(crate) delay: Histogram<u64>,
    /// Microseconds between arrivals within the measured time.
    pub(crate) gap: Histogram<u64>,
    last_arrival: Option<Duration>,
    run: Run,
}

impl Watch {
    /// A viewer that asked at `asked`.
    pub(crate) fn new(asked: Duration) -> Self {
        Self {
            verifier: Verifier::default(),
            opening: Some(Vec::new()),
            began_within_packet: false,
            asked,
            joined: Joined::default(),
            delay: histogram(),
            gap: histogram(),
            last_arrival: None,
            run: Run::default(),
        }
    }

    /// Takes body bytes that arrived at `arrived`; `window` is the measured time.
    pub(crate) fn push(&mut self, bytes: &[u8], arrived: Duration, window: &Range<Duration>) {
        if let Some(last) = self.last_arrival.replace(arrived)
            && window.contains(&last)
        {
            self.gap
                .saturating_record(micros(arrived.saturating_sub(last)));
        }
        let first_byte = *self.joined.first_byte.get_or_insert(arrived);
        if let Some(mut opening) = self.opening.take() {
            opening.extend_from_slice(bytes);
            let Some(start) = first_packet(&opening) else {
                self.opening = Some(opening);
                return;
            };
            self.began_within_packet = start > 0;
            let packets = opening.split_off(start);
            self.check(&packets, arrived, first_byte, window);
        } else {
            self.check(bytes, arrived, first_byte, window);
        }
    }

    /// Whether its first bytes were the end of a packet, which a decoder throws away.
    pub(crate) fn began_within_packet(&self) -> bool {
        self.began_within_packet
    }

    /// Checks bytes that begin with a packet, or go on with one.
    fn check(
        &mut self,
        bytes: &[u8],
        arrived: Duration,
        first_byte: Duration,
        window: &Range<Duration>,
    ) {
        let (joined, run, delay) = (&mut self.joined, &mut self.run, &mut self.delay);
        self.verifier.push_each(bytes, |label, kind| {
            if kind == Kind::Key {
                joined.first_key.get_or_insert(arrived);
            }
            let Some(sent) = label.sent else {
                return;
            };
            joined
                .first_age
                .get_or_insert_with(|| arrived.saturating_sub(sent));
            if sent > first_byte && window.contains(&sent) {
                run.note(sent, arrived, delay);
            }
        });
        if self.verifier.seen().packets > 0 {
            self.joined.first_packet.get_or_insert(arrived);
        }
        self.run.flush(&mut self.delay);
    }

    /// What its packets were.
    pub(crate) fn seen(&self) -> &Seen {
        self.verifier.seen()
    }

    /// How long it took from asking to the first body byte, the first whole packet and the first random-access packet, and
    /// how old the first packet was.
    pub(crate) fn join(&self) -> [Option<Duration>; 4] {
        let since = |time: Option<Duration>| time.map(|time| time.saturating_sub(self.asked));
        [
            since(self.joined.first_byte),
            since(self.joined.first_packet),
            since(self.joined.first_key),
            self.joined.first_age,
        ]
    }
}

/// When a viewer had what for the first time.
#[derive(Default)]
struct Joined {
    first_byte: Option<Duration>,
    first_packet: Option<Duration>,
    first_key: Option<Duration>,
    first_age: Option<Duration>,
}

/// Packets sent at one moment that arrived at one moment, recorded together.
#[derive(Default)]
struct Run {
    sent: Duration,
    arrived: Duration,
    count: u64,
}

impl Run {
    fn note(&mut self, sent: Duration, arrived: Duration, delay: &mut Histogram<u64>) {
        if self.sent != sent || self.arrived != arrived {
            self.flush(delay);
            (self.sent, self.arrived) = (sent, arrived);
        }
        self.count += 1;
    }

    fn flush(&mut self, delay: &mut Histogram<u64>) {
        if self.count > 0 {
            let late = micros(self.arrived.saturating_sub(self.sent));
            delay.saturating_record_n(late, self.count);
            self.count = 0;
        }
    }
}

/// Where the first packet begins that is followed by another; `None` if there are too few bytes to say.
///
/// Where nothing looks like a packet, it is the beginning: then every byte counts as torn.
fn first_packet(bytes: &[u8]) -> Option<usize> {
    let is_sync = |at: usize| bytes.get(at) == Some(&0x47);
    let first = (0..PACKET_BYTES).find(|at| is_sync(*at) && is_sync(at + PACKET_BYTES));
    let is_enough = bytes.len() >= 2 * PACKET_BYTES;
    first.or_else(|| is_enough.then_some(0))
}

/// A time in microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use corecast_load::packets::Source;

    use super::*;
    use crate::spread::Spread;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn packets(indexes: Range<u64>, sent: Duration) -> Vec<u8> {
        let source = Source::new(1, 2_000);
        indexes
            .flat_map(|index| source.packet_sent(index, sent))
            .collect()
    }

    #[test]
    fn delay_is_taken_from_packets_sent_after_the_first_byte_only() {
        let mut watch = Watch::new(ms(1000));
        let window = ms(0)..ms(10_000);
        // The burst: three seconds old when it comes.
        watch.push(&packets(0..50, ms(100)), ms(3100), &window);
        watch.push(&packets(50..100, ms(3090)), ms(3110), &window);
        watch.push(&packets(100..150, ms(3200)), ms(3205), &window);
        let delay = Spread::of(&watch.delay);
        assert_eq!(delay.count, 50);
        assert!(delay.p50.abs_diff(5_000) <= 50, "{delay:?}");
        let [byte, packet, key, age] = watch.join();
        assert_eq!([byte, packet, key], [Some(ms(2100)); 3]);
        assert_eq!(age, Some(ms(3000)));
    }

    #[test]
    fn packets_sent_outside_the_measured_time_are_not_its_delay() {
        let mut watch = Watch::new(ms(0));
        let window = ms(100)..ms(200);
        watch.push(&packets(0..10, ms(1)), ms(2), &window);
        watch.push(&packets(10..20, ms(50)), ms(51), &window);
        watch.push(&packets(20..30, ms(150)), ms(700), &window);
        watch.push(&packets(30..40, ms(200)), ms(701), &window);
        let delay = Spread::of(&watch.delay);
        assert_eq!(delay.count, 10);
        assert!(delay.p50.abs_diff(550_000) <= 5_500, "{delay:?}");
    }

    #[test]
    fn join_times_wait_for_what_they_name() {
        let mut watch = Watch::new(ms(0));
        let window = ms(0)..ms(1);
        let group = Source::new(1, 2_000).group();
        let bytes = packets(5..group + 5, ms(1));
        watch.push(&bytes[..150], ms(10), &window);
        watch.push(&bytes[150..1000], ms(20), &window);
        watch.push(&bytes[1000..], ms(30), &window);
        let [byte, packet, key, _] = watch.join();
        assert_eq!(
            [byte, packet, key],
            [Some(ms(10)), Some(ms(20)), Some(ms(30))]
        );
    }

    #[test]
    fn bytes_before_the_first_whole_packet_are_no_damage_but_known() {
        let (bytes, window) = (packets(2..20, ms(1)), ms(0)..ms(1));
        for (cut, size) in [(0, 5000), (100, 5000), (100, 50), (187, 188)] {
            let mut watch = Watch::new(ms(0));
            for piece in bytes[cut..].chunks(size) {
                watch.push(piece, ms(2), &window);
            }
            let whole = if cut == 0 { 18 } else { 17 };
            let seen = watch.seen();
            assert_eq!((seen.packets, seen.torn), (whole, 0), "{cut} {size}");
            assert_eq!(watch.began_within_packet(), cut > 0);
        }
        let mut watch = Watch::new(ms(0));
        watch.push(&[b'x'; 5000], ms(2), &window);
        assert!(watch.seen().torn > 0);
    }

    #[test]
    fn silence_within_the_measured_time_is_a_gap() {
        let mut watch = Watch::new(ms(0));
        let window = ms(100)..ms(1000);
        for at in [50, 110, 120, 620] {
            watch.push(&packets(at..at + 1, ms(at)), ms(at), &window);
        }
        let gap = Spread::of(&watch.gap);
        assert_eq!(gap.count, 2);
        assert!(gap.max.abs_diff(500_000) <= 5_000, "{gap:?}");
    }
}
