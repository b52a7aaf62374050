//! How the binary is started: with a file or without, in which folder, environment and network.
//!
//! What is asked of a server that runs is in `server.rs`. The rule: the child is always ended, and a log line that speaks
//! of a panic, shows the tests' password or its hash, or holds a control character fails the test whatever else it asserts.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::config::Config;
use crate::netns::Netns;
use crate::server::Server;

/// How the binary is started.
pub(crate) struct Launch {
    program: Vec<OsString>,
    folder: Folder,
    environment: Vec<(OsString, OsString)>,
    namespace: Option<Arc<Netns>>,
    inherited: Vec<OwnedFd>,
}

impl Launch {
    /// On a configuration file of this content.
    pub(crate) fn new(config: &Config) -> Self {
        let launch = Self::bare();
        let file = launch.folder.0.join("corecast.toml");
        std::fs::write(&file, config.toml()).unwrap();
        launch.argument("-c").argument(file)
    }

    /// In an empty folder, without a configuration file.
    pub(crate) fn bare() -> Self {
        Self {
            program: vec![env!("CARGO_BIN_EXE_corecast").into()],
            folder: Folder::new(),
            environment: Vec::new(),
            namespace: None,
            inherited: Vec::new(),
        }
    }

    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.program.push(argument.into());
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Inside a network namespace.
    pub(crate) fn inside(mut self, namespace: &Arc<Netns>) -> Self {
        self.program.splice(
            0..0,
            ["ip", "netns", "exec", namespace.name()].map(OsString::from),
        );
        self.namespace = Some(Arc::clone(namespace));
        self
    }

    /// With descriptors as systemd passes them on: one without a name, or two of these names.
    ///
    /// They reach the shell as its standard streams, and it gives them the numbers that the protocol wants; its own number
    /// is that of the binary which takes its place.
    pub(crate) fn inheriting(mut self, inherited: Vec<OwnedFd>, names: &str) -> Self {
        let moves = match inherited.len() {
            1 => "3<&0 0</dev/null",
            2 => "3<&0 4<&1 0</dev/null 1>/dev/null",
            other => panic!("{other} descriptors cannot be passed on"),
        };
        let count = inherited.len();
        let script = format!(
            "export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}; exec \"$@\" {moves}"
        );
        self.program
            .splice(0..0, ["sh", "-c", &script, "sh"].map(OsString::from));
        self.inherited = inherited;
        self
    }

    /// By another program, which is given the binary and its arguments after its own.
    pub(crate) fn through(mut self, program: &[&str]) -> Self {
        self.program
            .splice(0..0, program.iter().map(OsString::from));
        self
    }

    /// Starts the binary and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        let namespace = self.namespace.clone();
        let running = self.start_silently();
        let ready = running.wait_line(|line| line.contains("INFO ready "));
        Server::new(running, &ready, namespace)
    }

    /// Starts the binary and waits for nothing.
    pub(crate) fn start_silently(self) -> Running {
        let mut child = self
            .command()
            .stdout(self.inherited(1))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, errors) = (Arc::clone(&log), child.stderr.take().unwrap());
        let log_reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
                lines
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Running {
            child: Mutex::new(child),
            log,
            log_reader: Some(log_reader),
            folder: self.folder,
        }
    }

    /// Starts the binary with a log that takes no byte.
    pub(crate) fn start_with_full_log(self) -> Running {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let child = self
            .command()
            .stdout(Stdio::null())
            .stderr(full)
            .spawn()
            .unwrap();
        Running {
            child: Mutex::new(child),
            log: Arc::default(),
            log_reader: None,
            folder: self.folder,
        }
    }

    /// Runs the binary to its end.
    #[track_caller]
    pub(crate) fn run(self) -> Ran {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut output, mut errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let read = |from: &mut dyn Read| {
            let mut text = Vec::new();
            from.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        };
        std::thread::scope(|scope| {
            let output = scope.spawn(move || read(&mut output));
            let errors = scope.spawn(move || read(&mut errors));
            let until = Instant::now() + READY_TIME;
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if Instant::now() > until {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            let (output, errors) = (output.join().unwrap(), errors.join().unwrap());
            let status = status
                .unwrap_or_else(|| panic!("still running after {READY_TIME:?}: {output}{errors}"));
            Ran {
                code: status.code(),
                output,
                errors,
            }
        })
    }

    /// The folder it is started in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .current_dir(&self.folder.0)
            .stdin(self.inherited(0));
        // The tests' own variables are none of the server's, which refuses those it does not know.
        let of_tests =
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CORECAST_"));
        for (name, _) in of_tests {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn inherited(&self, index: usize) -> Stdio {
        match self.inherited.get(index) {
            Some(descriptor) => descriptor.try_clone().unwrap().into(),
            None => Stdio::null(),
        }
    }
}

/// A process of the binary and its log.
pub(crate) struct Running {
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
    log_reader: Option<JoinHandle<()>>,
    folder: Folder,
}

impl Running {
    /// Waits for a line of the log.
    #[track_caller]
    pub(crate) fn wait_line(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + READY_TIME;
        loop {
            let line = self
                .log
                .lock()
                .unwrap()
                .iter()
                .find(|line| is_wanted(line))
                .cloned();
            if let Some(line) = line {
                return line;
            }
            let status = self.exit_status();
            assert!(
                status.is_none() && Instant::now() < until,
                "the line does not come, ended: {status:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a line of a process that may have ended already.
    #[track_caller]
    pub(crate) fn wait_ended_line(&self, text: &str) -> String {
        let mut found = None;
        crate::within(15_000, &format!("a log line with {text:?}"), || {
            found = self.log().into_iter().find(|line| line.contains(text));
            found.is_some()
        });
        found.unwrap()
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The folder it was started in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child.lock().unwrap())
    }

    /// How the process ended, if it has.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        drop(child.kill());
        drop(child.wait());
        if let Some(reader) = self.log_reader.take() {
            drop(reader.join());
        }
        let log = self.log.lock().unwrap();
        if std::thread::panicking() {
            show(&log);
            return;
        }
        for line in log.iter() {
            assert!(!line.contains("panicked"), "the server panicked: {line}");
            assert!(!line.contains(PASSWORD), "the log shows a password: {line}");
            assert!(!line.contains("argon2"), "the log shows a hash: {line}");
            assert!(
                !line
                    .chars()
                    .any(|character| character.is_control() && character != '\t'),
                "the log shows a control character: {line:?}"
            );
        }
    }
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// A folder of its own, gone with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = std::env::temp_dir().join(format!(
            "corecast-e2e-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::SeqCst)
        ));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the harness shows it with a failed test only"
)]
fn show(log: &[String]) {
    let first = log.len().saturating_sub(LINES_SHOWN);
    for line in &log[first..] {
        eprintln!("server: {line}");
    }
}

/// The password of every account of every test: it must never be seen in a log.
pub(crate) const PASSWORD: &str = "canary-Pw4711";
/// Its hash, as the argon2 command makes it of it.
pub(crate) const PASSWORD_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$Y29yZWNhc3Qtc2FsdC0xNg$ggHBO4PaFxc3O4Vj/g/PKR/mIGM3cWXBoVMMWWS2Hm4";
/// Longer than a start takes on a busy machine.
const READY_TIME: Duration = Duration::from_secs(15);
const LINES_SHOWN: usize = 60;
