//! The relay as a process, between an upstream and viewers that the tests hold in hand.
//!
//! Plain blocking sockets; each test leads the upstream step by step, so nothing depends on time but the deadlines.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests block on their own threads"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, socket, sockopt};

/// A relay that has said it is ready.
struct Relay {
    child: Child,
    errors: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Relay {
    fn start(upstreams: &[&Upstream]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corecast-reference"));
        for upstream in upstreams {
            command.args(["--upstream", &upstream.url]);
        }
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let address = line
            .split("listen=")
            .nth(1)
            .unwrap_or_else(|| panic!("{line}"));
        let address = address.split_whitespace().next().unwrap().to_owned();
        Self {
            child,
            errors,
            address,
        }
    }

    /// A viewer that has its response head, hence gets every byte from now on.
    fn viewer(&self, path: &str) -> TcpStream {
        let viewer = TcpStream::connect(&self.address).unwrap();
        ask(viewer, path)
    }

    /// A viewer whose kernel takes little for it.
    fn narrow_viewer(&self, path: &str) -> TcpStream {
        let viewer = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&viewer, 4096).unwrap();
        let address: std::net::SocketAddr = self.address.parse().unwrap();
        rustix::net::connect(&viewer, &address).unwrap();
        ask(viewer.into(), path)
    }

    /// Waits until it has ended by itself.
    fn ended(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.errors.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended by itself; a test that needs to know asks for it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ask(mut viewer: TcpStream, path: &str) -> TcpStream {
    viewer.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(viewer, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let head = head(&mut viewer);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("\r\nContent-Type: video/mp2t\r\n"), "{head}");
    viewer
}

/// Reads up to the empty line and not a byte further.
fn head(from: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// What is asked for the channel, before and after the relay has asked.
struct Upstream {
    listener: TcpListener,
    url: String,
}

impl Upstream {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a.ts", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Answers on a thread, since the relay starts only with an answer.
    fn answering(&self, head: &'static str) -> thread::JoinHandle<TcpStream> {
        let listener = self.listener.try_clone().unwrap();
        thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            connection.set_write_timeout(Some(DEADLINE)).unwrap();
            let request = self::head(&mut connection);
            assert!(request.starts_with("GET /a.ts HTTP/1.1\r\n"), "{request}");
            write!(connection, "{head}\r\n").unwrap();
            connection
        })
    }
}

/// A relay of one channel and the connection that feeds it.
fn started(head: &'static str) -> (Relay, TcpStream) {
    let upstream = Upstream::new();
    let feed = upstream.answering(head);
    let relay = Relay::start(&[&upstream]);
    (relay, feed.join().unwrap())
}

/// Packets numbered from `first` on.
fn packets(first: u64, count: u64) -> Vec<u8> {
    (first..first + count).flat_map(packet).collect()
}

fn packet(number: u64) -> [u8; 188] {
    let mut packet = [number.to_le_bytes()[0]; 188];
    packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10]);
    packet[4..12].copy_from_slice(&number.to_be_bytes());
    packet
}

/// Reads so many bytes and wants them to be these.
#[track_caller]
fn assert_gets(viewer: &mut TcpStream, expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    viewer.read_exact(&mut found).unwrap();
    assert!(found == expected, "other bytes than were sent");
}

#[track_caller]
fn assert_ends(viewer: &mut TcpStream) {
    assert_eq!(viewer.read(&mut [0]).unwrap(), 0, "more than was sent");
}

/// Feeds `rounds` of a MiB each, waiting after each until all of these viewers have it.
fn feed_in_step(feed: &mut TcpStream, viewers: &mut [TcpStream], rounds: u64) {
    for round in 0..rounds {
        let sent = packets(round * MIB_PACKETS, MIB_PACKETS);
        feed.write_all(&sent).unwrap();
        for viewer in &mut *viewers {
            assert_gets(viewer, &sent);
        }
    }
}

#[test]
fn a_hundred_viewers_get_what_the_upstream_sent() {
    let (relay, mut feed) = started("HTTP/1.1 200 OK\r\n");
    let mut viewers: Vec<TcpStream> = (0..100).map(|_| relay.viewer("/live/a/b/1.ts")).collect();
    feed_in_step(&mut feed, &mut viewers, 4);
    drop(feed);
    viewers.iter_mut().for_each(assert_ends);
    let (status, _) = relay.ended();
    assert!(status.success(), "{status}");
}

#[test]
fn a_chunked_upstream_comes_out_without_its_framing() {
    let (relay, mut feed) = started("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n");
    let mut viewer = relay.viewer("/1");
    let sent = packets(0, 5_000);
    let reader = thread::spawn(move || {
        let mut body = Vec::new();
        viewer.read_to_end(&mut body).unwrap();
        body
    });
    let mut rest = sent.as_slice();
    let mut length = 1;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(length.min(rest.len()));
        write!(feed, "{:x}\r\n", part.len()).unwrap();
        feed.write_all(part).unwrap();
        feed.write_all(b"\r\n").unwrap();
        (rest, length) = (after, length * 7 % 50_021);
    }
    feed.write_all(b"0\r\n\r\n").unwrap();
    assert!(reader.join().unwrap() == sent, "other bytes than were sent");
    assert!(relay.ended().0.success());
}

#[test]
fn a_length_ends_the_channel_although_the_upstream_stays_connected() {
    let (relay, mut feed) = started("HTTP/1.1 200 OK\r\nContent-Length: 18800\r\n");
    let mut viewer = relay.viewer("/1");
    let sent = packets(0, 100);
    feed.write_all(&sent).unwrap();
    assert_gets(&mut viewer, &sent);
    assert_ends(&mut viewer);
    assert!(relay.ended().0.success());
}

#[test]
fn a_viewer_that_takes_nothing_is_reset_and_delays_nobody() {
    let (mut relay, mut feed) = started("HTTP/1.1 200 OK\r\n");
    let mut stalled = relay.narrow_viewer("/1");
    let mut viewers: Vec<TcpStream> = (0..10).map(|_| relay.viewer("/1")).collect();
    feed_in_step(&mut feed, &mut viewers, 24);
    let mut warning = String::new();
    relay.errors.read_line(&mut warning).unwrap();
    assert_eq!(
        warning,
        "WARN viewer reset: more than 8388608 bytes behind\n"
    );
    let mut found = Vec::new();
    let error = stalled.read_to_end(&mut found).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_viewer_that_pauses_within_the_bound_loses_nothing() {
    let (relay, mut feed) = started("HTTP/1.1 200 OK\r\n");
    let mut paused = relay.narrow_viewer("/1");
    let mut viewers = [relay.viewer("/1")];
    feed_in_step(&mut feed, &mut viewers, 8);
    drop(feed);
    assert_gets(&mut paused, &packets(0, 8 * MIB_PACKETS));
    assert_ends(&mut paused);
    assert!(relay.ended().0.success());
}

#[test]
fn a_late_viewer_begins_with_a_whole_packet() {
    let (relay, mut feed) = started("HTTP/1.1 200 OK\r\n");
    let mut first = relay.viewer("/1");
    let sent = packets(0, 2_000);
    // The first viewer having 99 packets shows that the relay holds the begin of the hundredth.
    let (before, after) = sent.split_at(100 * 188 - 1);
    feed.write_all(before).unwrap();
    assert_gets(&mut first, &sent[..99 * 188]);
    let mut late = relay.viewer("/1");
    feed.write_all(after).unwrap();
    assert_gets(&mut late, &sent[99 * 188..]);
    assert_gets(&mut first, &sent[99 * 188..]);
}

#[test]
fn packets_do_not_wait_for_the_buffer_to_fill() {
    let (relay, mut feed) = started("HTTP/1.1 200 OK\r\n");
    let mut viewer = relay.viewer("/1");
    for number in 0..5 {
        let sent = packet(number);
        feed.write_all(&sent).unwrap();
        assert_gets(&mut viewer, &sent);
    }
}

#[test]
fn channels_do_not_mix_and_end_alone() {
    let upstreams = [Upstream::new(), Upstream::new()];
    let feeds = upstreams
        .each_ref()
        .map(|it| it.answering("HTTP/1.1 200 OK\r\n"));
    let relay = Relay::start(&[&upstreams[0], &upstreams[1]]);
    let [mut one, mut two] = feeds.map(|it| it.join().unwrap());
    let mut viewers = [relay.viewer("/1"), relay.viewer("/2")];
    one.write_all(&packets(0, 300)).unwrap();
    two.write_all(&packets(5_000, 300)).unwrap();
    assert_gets(&mut viewers[0], &packets(0, 300));
    assert_gets(&mut viewers[1], &packets(5_000, 300));
    drop(one);
    assert_ends(&mut viewers[0]);
    two.write_all(&packets(5_300, 300)).unwrap();
    assert_gets(&mut viewers[1], &packets(5_300, 300));
    assert!(refusal(&relay, "GET /1.ts HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
}

/// All that a request is answered.
fn refusal(relay: &Relay, request: &str) -> String {
    let mut viewer = TcpStream::connect(&relay.address).unwrap();
    viewer.set_read_timeout(Some(DEADLINE)).unwrap();
    viewer.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    viewer.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn requests_for_something_else_are_refused() {
    let (relay, _feed) = started("HTTP/1.1 200 OK\r\n");
    for (request, status) in [
        ("GET /2.ts HTTP/1.1\r\n\r\n", "404"),
        ("GET /x HTTP/1.1\r\n\r\n", "404"),
        ("HEAD /1.ts HTTP/1.1\r\n\r\n", "405"),
        ("hello\r\n\r\n", "400"),
    ] {
        let answer = refusal(&relay, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let mut endless = TcpStream::connect(&relay.address).unwrap();
    endless.set_read_timeout(Some(DEADLINE)).unwrap();
    endless.write_all(&[b'a'; 9_000]).unwrap();
    let is_over = match endless.read(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    assert!(is_over, "a head without end is read on");
}

#[test]
fn what_cannot_be_started_is_named() {
    let fails = |upstream: &str, listen: &str| {
        let outcome = Command::new(env!("CARGO_BIN_EXE_corecast-reference"))
            .args(["--upstream", upstream, "--listen", listen])
            .output()
            .unwrap();
        let said = String::from_utf8(outcome.stderr).unwrap();
        (outcome.status.code().unwrap(), said)
    };
    let upstream = Upstream::new();
    let answer = upstream.answering("HTTP/1.1 503 Busy\r\n");
    let (code, said) = fails(&upstream.url, "127.0.0.1:0");
    assert_eq!(code, 69);
    assert!(said.contains("answered \"HTTP/1.1 503 Busy\""), "{said}");
    drop(answer.join().unwrap());
    let (code, said) = fails("rtp://1", "127.0.0.1:0");
    assert!(
        code == 69 && said.contains("rtp://1 is no upstream"),
        "{said}"
    );
    let (code, said) = fails("http://127.0.0.1:1/", "nowhere");
    assert!(code == 64 && said.contains("usage: "), "{said}");
}

const DEADLINE: Duration = Duration::from_secs(30);

/// Packets of about a MiB.
const MIB_PACKETS: u64 = 5_577;
