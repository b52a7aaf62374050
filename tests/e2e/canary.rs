//! A stage for trouble: one channel that works, and viewers who would notice if somebody else's trouble were theirs.

use std::net::{SocketAddr, TcpStream};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::Viewer;

/// A server with channel 7, and its upstream.
pub(crate) fn started() -> (Server, Upstream) {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    (server, upstream)
}

/// A viewer that watches from before the trouble to after it.
pub(crate) struct Canary(pub(crate) Viewer);

impl Canary {
    pub(crate) fn new(server: &Server) -> Self {
        let viewer = server.viewer(7);
        viewer.wait("media", |state| state.seen().packets > 50);
        Self(viewer)
    }

    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        self.0.wait_more(100);
        self.0.seen().assert_unbroken();
        self.0.assert_steady();
    }
}

/// A connection that says nothing yet.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).unwrap()
}
