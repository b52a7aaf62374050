//! How long this machine keeps a thread from its work, against which a viewer's silence is judged.
//!
//! The tests share their processors with the server and with each other. A thread that does a little work again and
//! again notices when there is none to be had; what it has to wait, viewers and doubles have to wait too.

use std::hint::black_box;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

/// Begins to watch, if that has not begun.
pub(crate) fn watch() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        std::thread::spawn(|| -> ! {
            let mut nominal = Duration::MAX;
            loop {
                let began = Instant::now();
                std::thread::sleep(PAUSE);
                black_box((0..ROUNDS).fold(1u64, |sum, round| black_box(sum ^ round)));
                let took = began.elapsed();
                nominal = nominal.min(took);
                let late = took - nominal;
                if late > PAUSE {
                    LATE.lock().unwrap().push((Instant::now(), late));
                }
            }
        });
    });
}

/// The longest silence that is not the server's fault for somebody who has been there since `began`.
pub(crate) fn silence_max(began: Instant) -> Duration {
    let late = LATE.lock().unwrap();
    let since = late.iter().filter(|(at, _)| *at >= began);
    let worst = since.map(|(_, late)| *late).max().unwrap_or_default();
    SILENCE + worst * THREADS_IN_A_ROW
}

/// When work was late, and by how much.
static LATE: Mutex<Vec<(Instant, Duration)>> = Mutex::new(Vec::new());
/// A dozen frames of 40 ms: below every time-out a test sets, so a viewer that waited for another's is noticed.
const SILENCE: Duration = Duration::from_millis(500);
/// Double, shard, feed, shard, viewer: each may have to wait.
const THREADS_IN_A_ROW: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);
const ROUNDS: u64 = 20_000;
