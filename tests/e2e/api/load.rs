//! Questions without end beside hundreds of viewers: nobody loses a packet, and nobody waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use corecast_load::packets::Source;

use super::{call, get, viewers};
use crate::config::Config;
use crate::scaled;
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::Viewer;

#[test]
fn hundreds_of_viewers_lose_nothing_while_everything_is_asked_all_the_time() {
    let upstream = Upstream::live(Source::new(1, 500));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let count = scaled(200, 1_000);
    let watching: Vec<Viewer> = (0..count).map(|_| server.viewer(7)).collect();
    for viewer in &watching {
        viewer.wait("media", |state| state.seen().packets > 20);
    }
    let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for turn in 0..3 {
            let (server, is_over, asked) = (&server, &is_over, &asked);
            scope.spawn(move || {
                let paths = [
                    "/api/v1/viewers?limit=500&sort=behind",
                    "/api/v1/status",
                    "/api/v1/channels",
                    "/metrics",
                    "/api/v1/events",
                ];
                for path in paths.iter().cycle().skip(turn) {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    assert_eq!(call(server, "GET", path, "").status(), 200, "{path}");
                    asked.fetch_add(1, Ordering::Relaxed);
                    // A hundred questions a second in all.
                    thread::sleep(Duration::from_millis(30));
                }
            });
        }
        let before: Vec<u64> = watching.iter().map(|it| it.seen().packets).collect();
        for (viewer, before) in watching.iter().zip(before) {
            viewer.wait("more media", |state| state.seen().packets > before + 1_500);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 20);
    for viewer in &watching {
        assert_eq!(viewer.ended(), None);
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
    }
    let shown = viewers(&server, "?limit=500");
    assert_eq!(shown.len() as u64, count.min(500));
    let total = get(&server, "viewers?limit=1")["total"].as_u64();
    assert_eq!(total, Some(count));
}
