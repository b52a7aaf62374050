//! The listening side of every double: a free port, a thread per connection, what was asked kept for the test.
//!
//! What is answered is decided by `upstream.rs` and `engine.rs`. The rule: when a [`Double`] is dropped, all its
//! connections are cut and all its threads have ended, so that no test reaches into the next.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// An HTTP server that answers by a script.
pub(crate) struct Double {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Double {
    /// Listens on a free port of 127.0.0.1; `answer` gets each request and the connection it came on.
    pub(crate) fn start(
        answer: impl Fn(&Asked, &mut Peer) -> Result<(), Gone> + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), None, answer)
    }

    /// Serves `listener`, in TLS if a configuration is given.
    pub(crate) fn on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Asked, &mut Peer) -> Result<(), Gone> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared::default());
        let (mine, answer) = (Arc::clone(&shared), Arc::new(answer));
        let acceptor = std::thread::spawn(move || {
            let mut threads = Vec::new();
            while let Some(socket) = accept(&listener, &mine) {
                let id = mine.connections.fetch_add(1, Ordering::SeqCst);
                let mut open = mine.open.lock().unwrap();
                open.insert(id, socket.try_clone().unwrap());
                // What this thread has not noticed yet counts for nothing: the other end has said that it leaves.
                let beside = open.values().filter(|socket| !has_left(socket)).count();
                drop(open);
                let (shared, answer, tls) = (Arc::clone(&mine), Arc::clone(&answer), tls.clone());
                threads.push(std::thread::spawn(move || {
                    serve(&shared, id, beside, socket, tls, &*answer)
                }));
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open now, as far as the double has noticed.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.lock().unwrap().len()
    }

    /// Every request seen so far, in order of arrival.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Stops listening and cuts what is open, as a host that goes down does.
    pub(crate) fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for socket in self.shared.open.lock().unwrap().values() {
            drop(socket.shutdown(Shutdown::Both));
        }
        if let Some(acceptor) = self.acceptor.take() {
            let ended = acceptor.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "a thread of a double panicked"
            );
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            assert!(
                self.asked().iter().all(|asked| asked.method == "GET"),
                "a double was asked something else than GET: {:?}",
                self.asked()
            );
        }
    }
}

/// One request as a double saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// How many requests this double had seen before.
    pub(crate) nth: u64,
    /// How many connections the other end had open when it made this one, with this one.
    pub(crate) beside: usize,
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Headers,
}

impl Asked {
    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// A parameter of the query, not decoded.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    /// The first header of that name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The other end left, or the double is being stopped.
#[derive(Debug)]
pub(crate) struct Gone;

/// One accepted connection.
pub(crate) struct Peer {
    socket: Socket,
    shared: Arc<Shared>,
}

impl Peer {
    /// Writes all of `bytes`.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let written = match &mut self.socket {
            Socket::Plain(socket) => socket.write_all(bytes),
            Socket::Tls(socket) => socket.write_all(bytes).and_then(|()| socket.flush()),
        };
        written.or(Err(Gone))
    }

    /// Lets time pass; ends early if the other end leaves.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<(), Gone> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.shared.stopping.load(Ordering::SeqCst) {
                return Err(Gone);
            }
            let slice = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(left.min(SLICE).subsec_nanos()),
            };
            let socket = self.socket.tcp();
            let mut wanted = [PollFd::new(socket, PollFlags::IN | PollFlags::RDHUP)];
            let ready = poll(&mut wanted, Some(&slice)).unwrap_or(0);
            if ready > 0 && is_at_end(socket) {
                return Err(Gone);
            }
            if left.is_zero() {
                return Ok(());
            }
            if ready > 0 {
                std::thread::sleep(left.min(SLICE));
            }
        }
    }

    /// Says nothing until the other end leaves.
    pub(crate) fn hang(&mut self) -> Gone {
        loop {
            if let Err(gone) = self.pause(Duration::from_secs(3600)) {
                return gone;
            }
        }
    }

    /// Makes the end of this connection a reset.
    pub(crate) fn reset(&mut self) -> Gone {
        let socket = socket2::SockRef::from(self.socket.tcp());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        Gone
    }

    /// Reads a request head; `None` if the other end leaves first.
    fn head(&mut self) -> Option<(String, String, Headers)> {
        self.socket
            .tcp()
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut head = Vec::new();
        let mut byte = [0u8];
        while !head.ends_with(b"\r\n\r\n") {
            let read = match &mut self.socket {
                Socket::Plain(socket) => socket.read(&mut byte),
                Socket::Tls(socket) => socket.read(&mut byte),
            };
            if !matches!(read, Ok(1)) || head.len() > 65_536 {
                return None;
            }
            head.push(byte[0]);
        }
        let text = String::from_utf8(head).ok()?;
        let mut lines = text.lines();
        let mut words = lines.next()?.split(' ');
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Some((words.next()?.to_owned(), words.next()?.to_owned(), headers))
    }
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(socket) => &socket.sock,
        }
    }
}

/// Names and values as they were sent.
type Headers = Vec<(String, String)>;

/// Answers one request.
type Script = dyn Fn(&Asked, &mut Peer) -> Result<(), Gone> + Send + Sync;

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    connections: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
    asked: Mutex<Vec<Asked>>,
}

/// The next connection; `None` when the double is being stopped.
fn accept(listener: &TcpListener, shared: &Shared) -> Option<TcpStream> {
    let slice = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(SLICE.subsec_nanos()),
    };
    while !shared.stopping.load(Ordering::SeqCst) {
        let mut wanted = [PollFd::new(listener, PollFlags::IN)];
        if poll(&mut wanted, Some(&slice)).is_ok_and(|ready| ready > 0)
            && let Ok((socket, _)) = listener.accept()
        {
            return Some(socket);
        }
    }
    None
}

/// Reads one request of a connection, has it answered, and ends the connection.
fn serve(
    shared: &Arc<Shared>,
    id: u64,
    beside: usize,
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    answer: &Script,
) {
    drop(socket.set_nodelay(true));
    let socket = match tls {
        None => Socket::Plain(socket),
        Some(config) => Socket::Tls(Box::new(StreamOwned::new(
            ServerConnection::new(config).unwrap(),
            socket,
        ))),
    };
    let mut peer = Peer {
        socket,
        shared: Arc::clone(shared),
    };
    let mut ended = Err(Gone);
    if let Some((method, target, headers)) = peer.head() {
        let asked = {
            let mut all = shared.asked.lock().unwrap();
            let nth = all.len() as u64;
            all.push(Asked {
                nth,
                beside,
                at: Instant::now(),
                method,
                target,
                headers,
            });
            all.last().unwrap().clone()
        };
        ended = answer(&asked, &mut peer);
    }
    if let (Ok(()), Socket::Tls(socket)) = (&ended, &mut peer.socket) {
        socket.conn.send_close_notify();
        drop(socket.flush());
    }
    // The clone goes first: a socket ends only when its last descriptor is closed.
    shared.open.lock().unwrap().remove(&id);
}

/// Whether the other end has closed or reset; input that is only unread is not an end.
fn is_at_end(socket: &TcpStream) -> bool {
    let mut byte = [0u8];
    drop(socket.set_read_timeout(Some(Duration::from_millis(1))));
    match socket.peek(&mut byte) {
        Ok(read) => read == 0,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    }
}

/// Whether the other end has closed or reset, whatever is still unread; without a wait and without a change to the socket.
fn has_left(socket: &TcpStream) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut wanted = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut wanted, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// How long a double may take to notice that it is being stopped.
const SLICE: Duration = Duration::from_millis(20);
