//! What viewers cost in memory, and that it is given back.

use corecast_load::packets::Source;

use crate::config::Config;
use crate::names::metric;
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::Viewer;

#[test]
fn a_viewer_costs_a_few_kibibytes_and_gives_them_back() {
    let upstream = Upstream::live(Source::new(1, 200));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let first = server.viewer(7);
    first.wait("media", |state| state.seen().packets > 0);
    let before = server.anonymous_bytes();
    let watched = || {
        let viewers: Vec<Viewer> = (0..VIEWERS).map(|_| server.viewer(7)).collect();
        for viewer in &viewers {
            viewer.wait("media", |state| state.seen().packets > 0);
        }
        server.wait_metric(metric::VIEWERS, &[], VIEWERS + 1);
        let bytes = server.anonymous_bytes();
        drop(viewers);
        server.wait_metric(metric::VIEWERS, &[], 1);
        bytes
    };
    let once = watched();
    let each = once.saturating_sub(before) / VIEWERS;
    assert!(each <= BYTES_MAX, "a viewer costs {each} bytes");
    let twice = watched();
    let left = twice.saturating_sub(once) / VIEWERS;
    assert!(left <= BYTES_MAX / 8, "a viewer leaves {left} bytes behind");
}

const VIEWERS: u64 = 600;

/// A task, a place, a socket as glommio keeps it; with what joining takes for a moment. 3.7 KiB at two thousand.
const BYTES_MAX: u64 = 8 * 1024;
