//! The binary under test, as a source that runs until it is dropped and as viewers whose result is read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running source.
pub(crate) struct Source {
    child: Child,
    said: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Source {
    /// Two Mbit/s for a minute, unless something else is asked for.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(TOOL)
            .args(["source", "--kbit-per-s", "2000", "--seconds", "60"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        said.read_line(&mut ready).unwrap();
        Self {
            address: listening(&ready),
            child,
            said,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The JSON at a path.
    pub(crate) fn get(&self, path: &str) -> Value {
        let mut socket = TcpStream::connect(self.address).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// Ends it by SIGTERM and returns what it says at the end.
    pub(crate) fn stop(mut self) -> Value {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").arg(&pid).status().unwrap();
        assert!(sent.success());
        let mut last = String::new();
        self.said.read_line(&mut last).unwrap();
        assert!(self.child.wait().unwrap().success());
        serde_json::from_str(&last).unwrap()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A run of viewers that has ended.
#[derive(Debug)]
pub(crate) struct Viewers {
    output: Output,
    result: Value,
}

impl Viewers {
    /// Watches channel 1, or those that the arguments say, for two seconds.
    pub(crate) fn run(server: SocketAddr, arguments: &[&str]) -> Self {
        Self::of(server, "/ch/{}.ts", arguments)
    }

    /// Watches `path`.
    pub(crate) fn of(server: SocketAddr, path: &str, arguments: &[&str]) -> Self {
        let folder = Folder::new();
        let file = folder.file("result.jsonl");
        let output = Command::new(TOOL)
            .args(["viewers", "--ramp-per-s", "100"])
            .args(["--settle-ms", "700", "--window-ms", "1500"])
            .args(["--url", &format!("http://{server}{path}"), "--json"])
            .arg(&file)
            .args(arguments)
            .output()
            .unwrap();
        let text = std::fs::read_to_string(&file);
        let text = text.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!(text.lines().count(), 1, "{text}");
        Self {
            output,
            result: serde_json::from_str(&text).unwrap(),
        }
    }

    /// Panics unless nothing was wrong.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.faults(), "", "{:?}", self.result);
        assert_eq!(self.output.status.code(), Some(0));
    }

    /// Panics unless the run failed, and said this both in its result and in what it printed.
    #[track_caller]
    pub(crate) fn assert_fault(&self, words: &str) {
        assert_eq!(self.output.status.code(), Some(1));
        assert!(self.faults().contains(words), "{:?}", self.faults());
        self.assert_printed(words);
    }

    /// Panics unless this was printed.
    #[track_caller]
    pub(crate) fn assert_printed(&self, words: &str) {
        let printed = String::from_utf8_lossy(&self.output.stdout);
        assert!(printed.contains(words), "{printed}");
    }

    /// Lost, repeated, reordered, torn.
    pub(crate) fn packets(&self) -> [u64; 4] {
        ["lost", "repeated", "reordered", "torn"]
            .map(|name| self.number(&format!("/packets/{name}")))
    }

    /// Appends the result to a file of results.
    pub(crate) fn append_to(&self, path: &str) {
        let mut lines = std::fs::read_to_string(path).unwrap_or_default();
        lines.push_str(&self.result.to_string());
        lines.push('\n');
        std::fs::write(path, lines).unwrap();
    }

    /// A count of the result.
    #[track_caller]
    pub(crate) fn number(&self, pointer: &str) -> u64 {
        self.result.pointer(pointer).unwrap().as_u64().unwrap()
    }

    /// A measure of the result.
    #[track_caller]
    pub(crate) fn figure(&self, pointer: &str) -> f64 {
        self.result.pointer(pointer).unwrap().as_f64().unwrap()
    }

    /// Whether the result says that something was not measured.
    #[track_caller]
    pub(crate) fn is_null(&self, pointer: &str) -> bool {
        self.result.pointer(pointer).unwrap().is_null()
    }

    fn faults(&self) -> String {
        let faults = self.result["faults"].as_array().unwrap();
        let texts = faults.iter().map(|fault| fault.as_str().unwrap());
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// A folder that goes away when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let folder = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("corecast-load-{}-{folder}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left lies where the system clears up.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The reference relay of channel 1, until it is dropped.
pub(crate) struct Reference {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Reference {
    /// Starts the one that was built beside the tool.
    pub(crate) fn start(source: SocketAddr) -> Self {
        let program = Path::new(TOOL).with_file_name("corecast-reference");
        let mut child = Command::new(&program)
            .args(["--upstream", &format!("http://{source}/ch/1.ts")])
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                let program = program.display();
                panic!("{program} cannot be started ({error}): cargo test --workspace builds it")
            });
        let mut ready = String::new();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        said.read_line(&mut ready).unwrap();
        Self {
            child,
            address: listening(&ready),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It may have ended with its upstream.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address in a line that says that something is ready.
#[track_caller]
fn listening(ready: &str) -> SocketAddr {
    let mut words = ready.split_whitespace();
    let address = words.find_map(|word| word.strip_prefix("listen="));
    let address = address.unwrap_or_else(|| panic!("not ready: {ready:?}"));
    address.parse().unwrap()
}

/// Runs the tool to its end.
pub(crate) fn call(arguments: &[&str]) -> Output {
    Command::new(TOOL).args(arguments).output().unwrap()
}

/// Starts a run of a minute and interrupts it as soon as `is_there`; panics if that does not come.
pub(crate) fn interrupted(
    server: SocketAddr,
    arguments: &[&str],
    is_there: impl Fn() -> bool,
) -> Output {
    let viewers = Command::new(TOOL)
        .args(["viewers", "--window-ms", "60000", "--url"])
        .arg(format!("http://{server}/ch/{{}}.ts"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !is_there() {
        assert!(Instant::now() < until, "not there within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = viewers.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    viewers.wait_with_output().unwrap()
}

const TOOL: &str = env!("CARGO_BIN_EXE_corecast-load");
