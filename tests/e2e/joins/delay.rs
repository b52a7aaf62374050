//! What a viewer that cannot keep up costs the others: nothing, as the time from upstream to viewer tells.
//!
//! The rule: with and without it are measured in turn within one run, so that a busy machine is busy for both.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use corecast_load::packets::Source;
use corecast_load::verify::{Seen, Verifier};

use super::tell;
use super::watch::watch;
use crate::config::Config;
use crate::names::{ends, metric};
use crate::scaled;
use crate::server::{Server, path};
use crate::wire::Double;

#[test]
fn throttled_viewer_delays_nobody() {
    let upstream = stamped();
    // One shard: whatever the throttled viewer holds up is what the others wait for.
    let config = Config::new()
        .set("server", "shards", 1)
        .set("stream", "ring_ms", 1_000)
        .set("stream", "burst_ms", 500);
    let url = format!("http://{}/a.ts", upstream.address());
    let server = Server::start(&config.channel(7, &[url]));
    let address = server.address();
    let run = Run::default();
    let (healthy, skips) = std::thread::scope(|scope| {
        let healthy = [(); HEALTHY].map(|()| scope.spawn(|| run.watch(address)));
        let mut skips = 0;
        run.let_pass(Duration::from_secs(1));
        for pair in 0..PAIRS {
            run.measure(2 * pair);
            let slow = scope.spawn(|| run.watch_slowly(address));
            crate::within(10_000, "the throttled viewer is served", || {
                run.slow_bytes.load(Ordering::SeqCst) > 0
            });
            run.measure(2 * pair + 1);
            run.is_slow_over.store(true, Ordering::SeqCst);
            skips += slow.join().unwrap();
        }
        run.is_over.store(true, Ordering::SeqCst);
        (healthy.map(|viewer| viewer.join().unwrap()), skips)
    });
    for bound in BOUNDS {
        let in_window = |window: usize| {
            let delays = healthy.iter().flat_map(|watched| &watched.delays[window]);
            at_percent(bound.percent, delays.copied().collect())
        };
        let without: Vec<Duration> = (0..PAIRS).map(|pair| in_window(2 * pair)).collect();
        let with: Vec<Duration> = (0..PAIRS).map(|pair| in_window(2 * pair + 1)).collect();
        let figures = format!(
            "{} of 100 packets came within {without:?} without a throttled viewer, within {with:?} with one",
            bound.percent
        );
        tell(&figures);
        let (alone, beside) = (at_percent(50, without), at_percent(50, with));
        let allowed = (bound.times * alone).max(alone + bound.noise);
        assert!(beside <= allowed, "{figures}; {allowed:?} is allowed");
    }
    tell(&format!("{skips} skips"));
    for watched in &healthy {
        watched.seen.assert_unbroken();
    }
    assert!(skips > 0, "nobody was slow");
    assert!(server.metric(metric::SKIPS, &[]) >= skips);
    assert_eq!(server.metric(metric::ENDS, &[("reason", ends::STALLED)]), 0);
}

/// An upstream that sends each packet when it is due and writes the time into it.
fn stamped() -> Double {
    Double::start(|_, peer| {
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")?;
        let source = source();
        let mut sent = source.index_at(now());
        loop {
            let (now, due) = (now(), source.index_at(now()));
            let piece: Vec<u8> = (sent..due)
                .flat_map(|index| source.packet_sent(index, now))
                .collect();
            peer.send(&piece)?;
            sent = due;
            peer.pause(Duration::from_millis(5))?;
        }
    })
}

/// What is measured now, and how far the broadcast has come.
#[derive(Default)]
struct Run {
    /// The window in which delays are noted, from 1; 0 is none.
    window: AtomicUsize,
    /// Media that one of the healthy viewers has.
    media_ms: AtomicU64,
    slow_bytes: AtomicU64,
    is_slow_over: AtomicBool,
    is_over: AtomicBool,
}

impl Run {
    /// Notes delays for as long as a window lasts.
    fn measure(&self, window: usize) {
        self.window.store(window + 1, Ordering::SeqCst);
        self.let_pass(Duration::from_secs(scaled(2, 60)));
        self.window.store(0, Ordering::SeqCst);
    }

    /// Waits until so much media more has come.
    fn let_pass(&self, media: Duration) {
        let media_ms = u64::try_from(media.as_millis()).unwrap();
        let until = self.media_ms.load(Ordering::SeqCst) + media_ms;
        crate::within(20_000 + media_ms, "more media", || {
            self.media_ms.load(Ordering::SeqCst) >= until
        });
    }

    /// A healthy viewer.
    fn watch(&self, address: SocketAddr) -> Watched {
        let mut delays = vec![Vec::new(); 2 * PAIRS];
        let mut verifier = Verifier::default();
        watch(address, &path(7), None, |_, bytes| {
            let (window, now) = (self.window.load(Ordering::SeqCst), now());
            let noted = window.checked_sub(1).map(|window| &mut delays[window]);
            let mut unnoted = Vec::new();
            let noted = noted.unwrap_or(&mut unnoted);
            verifier.push_each(bytes, |label, _| {
                noted.push(now.saturating_sub(label.sent.unwrap()));
            });
            if let (Some(first), Some(last)) = (verifier.seen().first, verifier.seen().last) {
                let media = source().media_between(first.number, last.number);
                let media_ms = u64::try_from(media.as_millis()).unwrap();
                self.media_ms.fetch_max(media_ms, Ordering::SeqCst);
            }
            !self.is_over.load(Ordering::SeqCst)
        });
        Watched {
            delays,
            seen: verifier.seen().clone(),
        }
    }

    /// A viewer that takes half of what is sent; tells how often it was brought forward.
    fn watch_slowly(&self, address: SocketAddr) -> u64 {
        self.slow_bytes.store(0, Ordering::SeqCst);
        self.is_slow_over.store(false, Ordering::SeqCst);
        let half = usize::try_from(source().bit_per_s() / 16).unwrap();
        let mut verifier = Verifier::default();
        watch(address, &path(7), Some(half), |_, bytes| {
            verifier.push(bytes);
            self.slow_bytes
                .store(verifier.seen().bytes, Ordering::SeqCst);
            !self.is_slow_over.load(Ordering::SeqCst)
        });
        verifier.seen().assert_spliced();
        verifier.seen().gaps.len() as u64
    }
}

/// What a healthy viewer has seen.
struct Watched {
    /// From upstream to viewer, packet by packet, for each window.
    delays: Vec<Vec<Duration>>,
    seen: Seen,
}

/// 8 Mbit/s, so that what the kernel holds for a viewer is a fraction of a second.
fn source() -> Source {
    Source::new(1, 8_000)
}

/// The clock by which packets are stamped and their delay is told; never zero.
fn now() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    Duration::from_secs(1) + BEGAN.get_or_init(Instant::now).elapsed()
}

/// The time within which so many of a hundred are.
fn at_percent(percent: usize, mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * percent / 100]
}

/// How far the delays of so many of a hundred packets may differ, for all that a busy machine adds.
struct Bound {
    percent: usize,
    times: u32,
    noise: Duration,
}

const BOUNDS: [Bound; 2] = [
    Bound {
        percent: 50,
        times: 2,
        noise: Duration::from_millis(20),
    },
    Bound {
        percent: 90,
        times: 3,
        noise: Duration::from_millis(50),
    },
];
const HEALTHY: usize = 3;
/// Windows without a throttled viewer, and as many with one.
const PAIRS: usize = 3;
