//! What a supervisor is told: ready, alive only while every shard lives, stopping.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::config::Config;
use crate::launch::{Folder, Launch};
use crate::server::Server;
use crate::within;

/// Where the server is heard.
struct Ear {
    socket: UnixDatagram,
    folder: Folder,
}

impl Ear {
    fn new() -> Self {
        let folder = Folder::new();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self { socket, folder }
    }

    /// A server that tells what happens here, and has to give signs of life.
    #[track_caller]
    fn start(&self, config: &Config, watchdog_us: &str) -> Server {
        Launch::new(config)
            .environment("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .environment("WATCHDOG_USEC", watchdog_us)
            .start()
    }

    /// The next message.
    #[track_caller]
    fn next(&self) -> String {
        let mut message = [0; 512];
        let bytes = self.socket.recv(&mut message).unwrap();
        String::from_utf8(message[..bytes].to_vec()).unwrap()
    }

    /// The next message that begins so; those before it must be signs of life.
    #[track_caller]
    fn next_of(&self, begin: &str) -> String {
        loop {
            let message = self.next();
            if message.starts_with(begin) {
                return message;
            }
            assert!(message.starts_with("WATCHDOG=1\n"), "{message}");
        }
    }

    /// What has come and was not heard yet.
    fn waiting(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 512];
        let messages = std::iter::from_fn(|| {
            self.socket
                .recv(&mut message)
                .ok()
                .map(|bytes| String::from_utf8(message[..bytes].to_vec()).unwrap())
        });
        let messages = messages.collect();
        self.socket.set_nonblocking(false).unwrap();
        messages
    }
}

/// A shard whose threads do not run until this is gone.
struct Frozen(Child);

impl Frozen {
    #[track_caller]
    fn new(server: &Server, shard: usize) -> Self {
        let tasks = format!("/proc/{}/task", server.pid().as_raw_nonzero());
        let entries = std::fs::read_dir(&tasks).unwrap();
        let entries = entries.map(|entry| entry.unwrap().path());
        let name = |task: &Path| std::fs::read_to_string(task.join("comm")).unwrap();
        let threads: Vec<PathBuf> = entries
            .filter(|task| name(task).starts_with(&format!("shard-{shard}")))
            .collect();
        assert!(!threads.is_empty(), "no thread of shard {shard} in {tasks}");
        let mut child = Command::new("python3")
            .args(["-c", FREEZE])
            .args(threads.iter().filter_map(|task| task.file_name()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(said, "frozen\n", "may this test trace other processes?");
        Self(child)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let mut rest = Vec::new();
        drop(
            self.0
                .stdout
                .take()
                .map(|mut out| out.read_to_end(&mut rest)),
        );
        drop(self.0.wait());
    }
}

#[test]
fn supervisor_hears_of_each_state() {
    let ear = Ear::new();
    let server = ear.start(
        &Config::new().set("server", "drain_ms", 1_000).demo(7),
        "1200000",
    );
    assert_eq!(ear.next(), "READY=1\nSTATUS=viewers=0");
    assert_eq!(ear.next(), "WATCHDOG=1\nSTATUS=viewers=0");
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 10);
    ear.next_of("WATCHDOG=1\nSTATUS=viewers=1");
    server.terminate();
    // The drain, what may follow it, and something to spare.
    let stopping = ear.next_of("STOPPING=1\n");
    assert!(
        stopping.contains("EXTEND_TIMEOUT_USEC=12000000\n"),
        "{stopping}"
    );
    ear.next_of("WATCHDOG=1\n");
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn without_a_watchdog_nobody_is_told_of_life() {
    let ear = Ear::new();
    let server = ear.start(&Config::new().demo(7), "0");
    assert_eq!(ear.next(), "READY=1\nSTATUS=viewers=0");
    server.terminate();
    assert!(ear.next().starts_with("STOPPING=1\n"));
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
    assert_eq!(ear.waiting(), Vec::<String>::new());
}

#[test]
fn shard_that_hangs_is_named_and_keeps_the_supervisor_from_hearing_of_life() {
    let ear = Ear::new();
    let server = ear.start(&Config::new().demo(7), "1000000");
    ear.next_of("READY=1");
    ear.next_of("WATCHDOG=1");
    assert_eq!(server.ask_admin("/healthz").status(), 200);
    let frozen = Frozen::new(&server, 1);
    server.wait_log(1, "WARN shard hangs shard=1 silent_ms=1");
    ear.waiting();
    within(8_000, "the process is unhealthy", || {
        server.ask_admin("/healthz").status() == 503
    });
    assert_eq!(server.ask_admin("/healthz").text(), "shard 1 hangs\n");
    assert_eq!(
        ear.waiting(),
        Vec::<String>::new(),
        "told of life although a shard hangs"
    );
    drop(frozen);
    server.wait_log(1, "INFO shard runs again shard=1 silent_ms=");
    ear.next_of("WATCHDOG=1");
    assert_eq!(server.ask_admin("/healthz").status(), 200);
    let hangs = server
        .log()
        .iter()
        .filter(|line| line.contains("shard hangs"))
        .count();
    assert_eq!(hangs, 1, "said once, and of no other shard");
}

/// Stops the threads of the given numbers until its input ends.
const FREEZE: &str = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT = 0x4206, 0x4207
for thread in map(int, sys.argv[1:]):
    for request in SEIZE, INTERRUPT:
        if libc.ptrace(request, thread, None, None):
            sys.exit('ptrace failed: ' + os.strerror(ctypes.get_errno()))
print('frozen', flush=True)
sys.stdin.read()
";
