//! Sockets that a supervisor has opened: taken over, served by every shard, and never refusing while one process follows another.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::http;
use crate::launch::{Launch, PASSWORD};
use crate::names::metric;
use crate::server::{Server, path};
use crate::tools;
use crate::upstream::Upstream;
use crate::viewer::{End, Reading, Viewer};
use crate::within;

/// The socket that is passed on, and its address.
fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn copy(socket: &TcpListener) -> OwnedFd {
    socket.try_clone().unwrap().into()
}

/// A process that inherits the socket; what its file says about listening does not count.
#[track_caller]
fn start(config: &Config, socket: &TcpListener) -> Server {
    let server = Launch::new(config)
        .inheriting(vec![copy(socket)], "")
        .start();
    assert_eq!(server.address(), socket.local_addr().unwrap());
    server
}

#[test]
fn inherited_socket_is_served_by_every_shard() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let (socket, _) = socket();
    let server = start(&Config::new().channel(7, &[upstream.url("/a.ts")]), &socket);
    let mut viewers = Vec::new();
    let has_viewers = |shard: &str| server.metric(metric::SESSIONS, &[("shard", shard)]) > 0;
    // Whichever shard is quicker gets a connection: each is the quicker one now and then.
    within(10_000, "every shard has viewers", || {
        viewers.extend((0..4).map(|_| server.viewer(7)));
        viewers.iter().for_each(|viewer| viewer.wait_more(1));
        has_viewers("0") && has_viewers("1")
    });
    for viewer in &viewers {
        viewer.wait_more(200);
        viewer.seen().assert_unbroken();
    }
    assert_eq!(server.metric(metric::ACCEPT_ERRORS, &[]), 0);
}

#[test]
fn socket_of_both_versions_of_ip_tells_the_address_that_was_used() {
    let socket: TcpListener = {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        socket.set_only_v6(false).unwrap();
        let any: SocketAddr = "[::]:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(8).unwrap();
        socket.into()
    };
    let port = socket.local_addr().unwrap().port();
    let account = format!("password = {PASSWORD:?}\nnetworks = [\"127.0.0.0/8\"]");
    let _server = start(&Config::new().demo(7).account_of("anna", &account), &socket);
    let target = format!("/live/anna/{PASSWORD}/7.ts");
    let viewer = |address: &str| Viewer::of(format!("{address}:{port}").parse().unwrap(), &target);
    assert_eq!(viewer("127.0.0.1").wait_status(), 200);
    assert_eq!(viewer("[::1]").wait_status(), 403);
}

#[test]
fn operator_and_a_unix_socket_can_be_inherited_too() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let launch = Launch::new(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let file = launch.folder().join("viewers.sock");
    let viewers = UnixListener::bind(&file).unwrap();
    let (admin, address) = socket();
    let inherited = vec![viewers.try_clone().unwrap().into(), copy(&admin)];
    let server = launch.inheriting(inherited, "viewers:admin").start();
    assert_eq!(server.admin(), address);
    assert_eq!(server.listeners(), [format!("unix:{}", file.display())]);
    let socket = TcpStream::from(OwnedFd::from(UnixStream::connect(&file).unwrap()));
    let request = format!("GET {} HTTP/1.1\r\nHost: tv\r\n\r\n", path(7));
    let viewer = Viewer::on(socket, &request, Reading::Full);
    viewer.wait("media", |state| state.seen().packets > 200);
    viewer.seen().assert_unbroken();
    server.terminate();
    within(1_000, "readyz says 503", || {
        server.ask_admin("/readyz").status() == 503
    });
    assert_eq!(viewer.wait_end(), End::Closed);
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
    assert!(file.exists(), "the file belongs to who made it");
}

/// What became of requests that were made one after the other by several at once.
#[derive(Debug, Default)]
struct Knocks {
    answered: AtomicU64,
    refused: AtomicU64,
    sent_away: AtomicU64,
    unanswered: AtomicU64,
    is_over: AtomicBool,
}

impl Knocks {
    fn knock(&self, address: SocketAddr) {
        let request = format!("HEAD {} HTTP/1.1\r\nHost: tv\r\n\r\n", path(7));
        while !self.is_over.load(Ordering::SeqCst) {
            let count = match TcpStream::connect(address) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => &self.refused,
                Err(error) => panic!("connecting failed: {error}"),
                Ok(socket) => match http::exchange(socket, &[request.as_bytes()]).status() {
                    Some(200) => &self.answered,
                    Some(503) => &self.sent_away,
                    _ => &self.unanswered,
                },
            };
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until this many more were answered.
    #[track_caller]
    fn wait_more(&self, answers: u64) {
        let before = self.answered.load(Ordering::SeqCst);
        within(15_000, "knocks are answered", || {
            self.answered.load(Ordering::SeqCst) >= before + answers
        });
    }

    /// Knocks from several threads while `act` runs; the server that it leaves behind answers the last of them.
    #[track_caller]
    fn during(address: SocketAddr, act: impl FnOnce(&Self) -> Server) -> Self {
        let knocks = Self::default();
        let last = std::thread::scope(|scope| {
            let _over = Over(&knocks.is_over);
            for _ in 0..KNOCKERS {
                scope.spawn(|| knocks.knock(address));
            }
            act(&knocks)
        });
        drop(last);
        knocks
    }

    /// Nobody was refused or left without an answer. Those that a shard had let in before it heard of the drain, at most one
    /// of each knocker, were told to come back.
    #[track_caller]
    fn assert_none_lost(&self) {
        let count = |count: &AtomicU64| count.load(Ordering::SeqCst);
        assert_eq!(count(&self.refused), 0, "{self:?}");
        assert_eq!(count(&self.unanswered), 0, "{self:?}");
        assert!(count(&self.sent_away) <= KNOCKERS * SHARDS, "{self:?}");
    }
}

/// Ends the knocking however the test ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn no_connect_is_refused_while_another_process_takes_over() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new()
        .set("server", "drain_ms", 2_000)
        .channel(7, &[upstream.url("/a.ts")]);
    let (socket, address) = socket();
    let old = start(&config, &socket);
    let viewers: Vec<Viewer> = (0..20).map(|_| old.viewer(7)).collect();
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 100));
    let knocks = Knocks::during(address, |knocks| {
        knocks.wait_more(100);
        let new = start(&config, &socket);
        old.terminate();
        within(1_000, "readyz says 503", || {
            old.ask_admin("/readyz").status() == 503
        });
        knocks.wait_more(100);
        let newcomer = Viewer::of(address, &path(7));
        newcomer.wait("media", |state| state.seen().packets > 100);
        viewers.iter().for_each(|viewer| viewer.wait_more(50));
        for viewer in &viewers {
            assert_eq!(viewer.wait_end(), End::Closed);
            assert_eq!(viewer.seen().tail_bytes, 0);
            viewer.seen().assert_unbroken();
        }
        assert_eq!(old.wait_exit(Duration::from_secs(6)).code(), Some(0));
        knocks.wait_more(100);
        newcomer.wait_more(100);
        newcomer.seen().assert_unbroken();
        assert_eq!(new.metric(metric::SESSIONS, &[]), 1);
        new
    });
    knocks.assert_none_lost();
}

#[test]
fn connections_wait_between_one_process_and_the_next() {
    let config = Config::new().set("server", "drain_ms", 500).demo(7);
    let (socket, address) = socket();
    let old = start(&config, &socket);
    let viewer = old.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 10);
    let knocks = Knocks::during(address, |knocks| {
        knocks.wait_more(50);
        old.terminate();
        assert_eq!(old.wait_exit(Duration::from_secs(5)).code(), Some(0));
        let early = Viewer::of(address, &path(7));
        let new = start(&config, &socket);
        early.wait("media", |state| state.seen().packets > 10);
        knocks.wait_more(50);
        assert_eq!(new.metric(metric::SESSIONS, &[]), 1);
        new
    });
    knocks.assert_none_lost();
}

#[test]
fn sockets_that_cannot_be_served_stop_the_start_and_say_why() {
    let config = Config::new().demo(7);
    let refused = |inherited: Vec<OwnedFd>, names: &str| {
        let running = Launch::new(&config)
            .inheriting(inherited, names)
            .start_silently();
        let line = running.wait_ended_line("ERROR ");
        let mut code = None;
        within(5_000, "the process ends", || {
            code = running.exit_status().map(|status| status.code());
            code.is_some()
        });
        (code.flatten(), line)
    };
    let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
    let (code, line) = refused(vec![copy(&everywhere)], "");
    assert_eq!(code, Some(78), "{line}");
    assert!(
        line.contains("is not loopback") && line.contains("server.open"),
        "{line}"
    );
    let (viewers, _) = socket();
    let (code, line) = refused(vec![copy(&viewers), copy(&everywhere)], "tv:admin");
    assert_eq!(code, Some(78), "{line}");
    assert!(line.contains("set admin.token_file"), "{line}");
    let file = std::fs::File::open("/dev/null").unwrap();
    let (code, line) = refused(vec![file.into()], "");
    assert_eq!(code, Some(69), "{line}");
    assert!(line.contains("descriptor 3 does not listen"), "{line}");
    let (code, line) = refused(vec![copy(&viewers), copy(&viewers)], "admin:admin");
    assert_eq!(code, Some(69), "{line}");
    assert!(
        line.contains("two inherited sockets are named admin"),
        "{line}"
    );
}

#[test]
fn systemd_passes_its_socket_on() {
    tools::run("systemd-socket-activate", &["--version"]);
    let address = socket().1;
    let running = Launch::new(&Config::new().demo(7))
        .through(&["systemd-socket-activate", "--listen", &address.to_string()])
        .start_silently();
    running.wait_line(|line| line.contains("Listening on"));
    // The first connection is what starts it.
    let viewer = Viewer::of(address, &path(7));
    viewer.wait("media", |state| state.seen().packets > 100);
    let ready = running.wait_line(|line| line.contains("INFO ready "));
    assert!(ready.contains(&format!("listen={address} ")), "{ready}");
    assert_eq!(Viewer::of(address, &path(7)).wait_status(), 200);
}

/// Threads that knock at once.
const KNOCKERS: u64 = 4;

/// As the configuration of the tests has it.
const SHARDS: u64 = 2;
