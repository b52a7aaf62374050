//! Log lines on stderr: one event, one line, and never a wait for whoever writes it.
//!
//! What a line looks like is in `line.rs`; what is worth one belongs to the code that saw it. The rule: a full disk, a closed pipe or a slow reader costs lines,
//! which are counted, and nothing else; no text from outside can begin a line of its own.
//!
//! ```text
//! shard -> env_logger -> queue of 8192 lines -> writer thread -> stderr
//!                        full: dropped_lines + 1               failed: dropped_lines + 1
//! ```

mod fields;
mod line;
mod suppress;
mod tail;

use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use ::log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};
use env_logger::{Builder, Logger, Target};
use thiserror::Error;

use tail::Kept;

pub use line::{Format, Quoted};
pub use suppress::{Suppress, Verdict};
pub use tail::{LINES_MAX as TAIL_LINES_MAX, Tail};

/// What is logged, and how it looks.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The level that was asked for; it wins over `filters`.
    pub level: Option<LevelFilter>,
    /// How a line looks.
    pub format: Format,
    /// The content of `RUST_LOG`: levels by module.
    pub filters: Option<String>,
    /// Whether stderr is systemd's journal, which takes a line's priority from its begin.
    pub is_journal: bool,
}

/// Whether stderr is the journal that `JOURNAL_STREAM` with this content tells of: the journal's own socket, and not what a
/// script has put in its place.
///
/// Source: systemd.exec(5): device and inode with a colon between.
#[must_use]
pub fn is_journal(stream: Option<&str>) -> bool {
    let Ok(stderr) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    stream == Some(&format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// Why nothing can be logged.
#[derive(Debug, Error)]
pub enum LogError {
    /// Logging was set up before.
    #[error("logging is set up already")]
    SetUpAlready(#[from] SetLoggerError),
    /// The thread that writes the lines did not start.
    #[error("starting the thread that writes the log failed")]
    Thread(#[source] io::Error),
}

/// Sets up logging for the rest of the process.
///
/// Without a level and without filters, events from `info` up are logged. glommio's own are logged from `warn` up unless
/// the filters name it.
///
/// # Errors
/// [`LogError`]; nothing is logged then.
pub fn install(options: &Options) -> Result<(), LogError> {
    let style = Style::of(options);
    let (queue, lines) = sync_channel(QUEUE_LINES_MAX);
    thread::Builder::new()
        .name("log".into())
        .spawn(move || write_lines(&lines, &mut io::stderr(), &DROPPED, style))
        .map_err(LogError::Thread)?;
    let gate = Gate::new(options, Box::new(LineQueue(queue.clone())));
    let most = gate.lines.filter();
    ::log::set_boxed_logger(Box::new(gate))?;
    ::log::set_max_level(most);
    // Logging is set up once, so the place is free.
    QUEUE.get_or_init(|| queue);
    Ok(())
}

/// Waits until the writer thread is done with what was logged so far, but no longer than about a second; says whether it is.
///
/// Blocks: for the end of the process, not for a shard.
pub fn flush() -> bool {
    QUEUE.get().is_none_or(flush_queue)
}

fn flush_queue(queue: &SyncSender<Entry>) -> bool {
    let (mark, passed) = sync_channel(0);
    let mut entry = Entry::Mark(mark);
    for _ in 0..FLUSH_TRIES {
        match queue.try_send(entry) {
            Ok(()) => {
                return passed.recv_timeout(FLUSH_WAIT) == Err(RecvTimeoutError::Disconnected);
            }
            Err(TrySendError::Full(full)) => entry = full,
            Err(TrySendError::Disconnected(_)) => return false,
        }
        // The mark is still in our hands, so this is but the pause between two tries.
        if passed.recv_timeout(FLUSH_PAUSE) == Err(RecvTimeoutError::Disconnected) {
            return false;
        }
    }
    false
}

/// Asks the writer thread for the lines after a number: of many, the newest `most`. `None` if it takes no questions now.
#[must_use]
pub fn tail(after: u64, most: usize) -> Option<AskedTail> {
    let (into, answer) = sync_channel(1);
    let question = Entry::Tail { after, most, into };
    QUEUE.get()?.try_send(question).ok()?;
    Some(AskedTail(answer))
}

/// A question to the writer thread.
#[derive(Debug)]
pub struct AskedTail(Receiver<Tail>);

impl AskedTail {
    /// The answer, if it is there; at once either way.
    #[must_use]
    pub fn take(&self) -> Option<Tail> {
        self.0.try_recv().ok()
    }
}

/// Lines that were lost since the process began, because the queue was full or the write failed.
#[must_use]
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The logger: `env_logger` behind the cap on glommio.
struct Gate {
    lines: Logger,
    is_glommio_capped: bool,
}

impl Gate {
    fn new(options: &Options, out: Box<dyn Write + Send>) -> Self {
        let style = Style::of(options);
        let filters = options
            .filters
            .as_deref()
            .filter(|filters| !filters.trim().is_empty());
        let mut builder = Builder::new();
        match (options.level, filters) {
            (Some(level), _) => builder.filter_level(level),
            (None, Some(filters)) => builder.parse_filters(filters),
            (None, None) => builder.filter_level(LevelFilter::Info),
        };
        let is_glommio_named =
            options.level.is_none() && filters.is_some_and(|filters| filters.contains("glommio"));
        builder.target(Target::Pipe(out));
        builder.format(move |line, record| {
            let text = style.line(record.level(), record.target(), record.args());
            line.write_all(text.as_bytes())
        });
        Self {
            lines: builder.build(),
            is_glommio_capped: !is_glommio_named,
        }
    }
}

impl Log for Gate {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let is_glommio = target == "glommio" || target.starts_with("glommio::");
        let is_capped = self.is_glommio_capped && is_glommio && metadata.level() > Level::Warn;
        !is_capped && self.lines.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.lines.log(record);
        }
    }

    fn flush(&self) {
        // A line that comes late is no reason to stop.
        flush();
    }
}

/// How lines look here: their format, and what stands before it.
#[derive(Clone, Copy)]
struct Style {
    format: Format,
    has_priority: bool,
}

impl Style {
    fn of(options: &Options) -> Self {
        Self {
            format: options.format,
            has_priority: options.is_journal,
        }
    }

    /// One event of now as one line, with its line break.
    fn line(self, level: Level, target: &str, message: &dyn Display) -> String {
        let line = self.format.line(SystemTime::now(), level, target, message);
        match self.has_priority {
            true => format!("<{}>{line}", priority(level)),
            false => line,
        }
    }
}

/// Source: sd-daemon(3): the levels of syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// What waits for the writer thread.
enum Entry {
    Line(Vec<u8>),
    /// Dropped when everything before it is written, which whoever holds the other end sees.
    Mark(SyncSender<Infallible>),
    /// Answered with the last lines.
    Tail {
        after: u64,
        most: usize,
        into: SyncSender<Tail>,
    },
}

/// The shards' end of the queue: takes each line whole or not at all, and at once.
struct LineQueue(SyncSender<Entry>);

impl Write for LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Entry::Line(line.into())).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until nobody can log any more. A line that cannot be written is counted and forgotten; the next one that
/// can is followed by a line that says how many are missing.
fn write_lines(queue: &Receiver<Entry>, out: &mut dyn Write, dropped: &AtomicU64, style: Style) {
    let mut told = 0;
    let mut is_torn = false;
    let mut kept = Kept::default();
    for entry in queue {
        let line = match entry {
            Entry::Line(line) => line,
            Entry::Mark(mark) => {
                drop(mark);
                continue;
            }
            Entry::Tail { after, most, into } => {
                // Who asked may have gone meanwhile.
                drop(into.try_send(kept.after(after, most)));
                continue;
            }
        };
        kept.push(&line);
        if put(out, &line, &mut is_torn).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let lost = dropped.load(Ordering::Relaxed);
        if lost > told {
            let message = format_args!("log lines dropped lines={}", lost - told);
            let line = style.line(Level::Warn, module_path!(), &message);
            if put(out, line.as_bytes(), &mut is_torn).is_ok() {
                told = lost;
            }
        }
    }
}

/// Writes a line, ending first what a failed write left of another.
fn put(out: &mut dyn Write, line: &[u8], is_torn: &mut bool) -> io::Result<()> {
    if *is_torn {
        out.write_all(b"\n")?;
        *is_torn = false;
    }
    let mut rest = line;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => {
                rest = rest.get(taken..).unwrap_or_default();
                *is_torn = !rest.is_empty();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines that may wait for the writer thread; further ones are dropped.
const QUEUE_LINES_MAX: usize = 8_192;

/// How long an orderly end waits for the writer thread, once the queue had room for the question.
const FLUSH_WAIT: Duration = Duration::from_millis(500);

/// How often, and how far apart, room in the queue is looked for.
const FLUSH_TRIES: u32 = 50;
const FLUSH_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[test]
    fn a_full_queue_drops_the_line_and_counts_it() {
        let (queue, lines) = sync_channel(1);
        let mut queue = LineQueue(queue);
        let before = dropped_lines();
        assert_eq!(queue.write(b"one\n").unwrap(), 4);
        assert_eq!(queue.write(b"two\n").unwrap(), 4);
        assert_eq!(dropped_lines() - before, 1);
        assert!(matches!(lines.try_recv(), Ok(Entry::Line(line)) if line == b"one\n"));
        assert!(lines.try_recv().is_err());
    }

    const TEXT: Style = Style {
        format: Format::Text,
        has_priority: false,
    };

    #[test]
    fn the_journal_is_told_how_grave_a_line_is() {
        let style = |format| Style {
            format,
            has_priority: true,
        };
        let text = style(Format::Text);
        for (level, expected) in [
            (Level::Error, "<3>ERROR x\n"),
            (Level::Warn, "<4>WARN x\n"),
            (Level::Info, "<6>INFO x\n"),
            (Level::Debug, "<7>DEBUG x\n"),
            (Level::Trace, "<7>TRACE x\n"),
        ] {
            assert_eq!(text.line(level, "corecast", &"x"), expected);
        }
        let json = style(Format::Json).line(Level::Warn, "corecast", &"x");
        assert!(json.starts_with("<4>{"), "{json}");
    }

    #[test]
    fn stderr_is_the_journal_only_if_it_is_that_very_socket() {
        let stderr = rustix::fs::fstat(io::stderr()).unwrap();
        let (device, inode) = (stderr.st_dev, stderr.st_ino);
        assert!(is_journal(Some(&format!("{device}:{inode}"))));
        assert!(!is_journal(Some(&format!("{device}:{}", inode + 1))));
        assert!(!is_journal(Some("")));
        assert!(!is_journal(None));
    }

    /// Takes and refuses bytes as it was told.
    struct Scripted {
        answers: std::vec::IntoIter<Result<usize, io::ErrorKind>>,
        taken: Vec<u8>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = match self.answers.next() {
                Some(Ok(most)) => bytes.len().min(most),
                Some(Err(kind)) => return Err(kind.into()),
                None => bytes.len(),
            };
            self.taken.extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(lines: &[&str], answers: Vec<Result<usize, io::ErrorKind>>) -> (String, u64) {
        let (queue, receiver) = sync_channel(lines.len());
        for line in lines {
            queue.try_send(Entry::Line(line.as_bytes().into())).unwrap();
        }
        drop(queue);
        let dropped = AtomicU64::new(0);
        let mut out = Scripted {
            answers: answers.into_iter(),
            taken: Vec::new(),
        };
        write_lines(&receiver, &mut out, &dropped, TEXT);
        (String::from_utf8(out.taken).unwrap(), dropped.into_inner())
    }

    #[test]
    fn whoever_asks_is_given_the_last_lines() {
        let (queue, receiver) = sync_channel(8);
        let (into, answer) = sync_channel(1);
        let ask = || Entry::Tail {
            after: 1,
            most: 9,
            into: into.clone(),
        };
        for line in ["INFO a\n", "INFO b\n"] {
            queue.try_send(Entry::Line(line.into())).unwrap();
        }
        queue.try_send(ask()).unwrap();
        drop(queue);
        let mut out = Vec::new();
        write_lines(&receiver, &mut out, &AtomicU64::new(0), TEXT);
        let tail = AskedTail(answer).take().unwrap();
        assert_eq!(tail.lines, [(2, "INFO b".to_owned())]);
        assert_eq!(out, b"INFO a\nINFO b\n");
    }

    #[test]
    fn short_and_interrupted_writes_lose_nothing() {
        let answers = vec![Ok(1), Err(io::ErrorKind::Interrupted), Ok(2)];
        assert_eq!(
            written(&["one\n", "two\n"], answers),
            ("one\ntwo\n".into(), 0)
        );
    }

    #[test]
    fn a_full_disk_costs_lines_and_the_next_good_line_tells_how_many() {
        let full = || Err(io::ErrorKind::StorageFull);
        let (text, dropped) = written(&["one\n", "two\n", "three\n"], vec![full(), full()]);
        assert_eq!(text, "three\nWARN log lines dropped lines=2\n");
        assert_eq!(dropped, 2);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let answers = vec![Ok(2), Err(io::ErrorKind::BrokenPipe)];
        let (text, dropped) = written(&["one\n", "two\n"], answers);
        assert_eq!(text, "on\ntwo\nWARN log lines dropped lines=1\n");
        assert_eq!(dropped, 1);
    }

    #[test]
    fn a_flush_ends_when_the_lines_before_it_are_written() {
        let (queue, receiver) = sync_channel(2);
        queue.try_send(Entry::Line(b"one\n".into())).unwrap();
        let writer = thread::spawn(move || {
            let mut out = Vec::new();
            write_lines(&receiver, &mut out, &AtomicU64::new(0), TEXT);
            out
        });
        assert!(flush_queue(&queue));
        drop(queue);
        assert_eq!(writer.join().unwrap(), b"one\n");
    }

    #[test]
    fn a_flush_gives_up_on_a_writer_that_hangs() {
        let (queue, receiver) = sync_channel(1);
        queue.try_send(Entry::Line(b"one\n".into())).unwrap();
        assert!(!flush_queue(&queue), "the queue stays full");
        receiver.recv().unwrap();
        assert!(!flush_queue(&queue), "the mark stays in the queue");
        drop(receiver);
        assert!(!flush_queue(&queue), "nobody writes");
    }

    fn is_logged(
        level: Option<LevelFilter>,
        filters: Option<&str>,
        target: &str,
        of: Level,
    ) -> bool {
        let options = Options {
            level,
            format: Format::Text,
            filters: filters.map(Into::into),
            is_journal: false,
        };
        let gate = Gate::new(&options, Box::new(io::sink()));
        gate.enabled(&Metadata::builder().level(of).target(target).build())
    }

    #[test]
    fn the_flag_wins_over_the_variable_and_info_is_the_default() {
        assert!(is_logged(None, None, "corecast", Level::Info));
        assert!(!is_logged(None, None, "corecast", Level::Debug));
        assert!(!is_logged(None, Some(" "), "corecast", Level::Debug));
        assert!(is_logged(
            None,
            Some("corecast::http=debug"),
            "corecast::http",
            Level::Debug
        ));
        assert!(!is_logged(
            None,
            Some("corecast::http=debug"),
            "corecast::ts",
            Level::Debug
        ));
        assert!(!is_logged(
            Some(LevelFilter::Warn),
            Some("debug"),
            "corecast",
            Level::Info
        ));
    }

    #[test]
    fn glommio_is_heard_from_warn_up_unless_it_is_asked_for() {
        assert!(!is_logged(
            Some(LevelFilter::Trace),
            None,
            "glommio::sys",
            Level::Info
        ));
        assert!(is_logged(None, None, "glommio::sys", Level::Warn));
        assert!(!is_logged(
            Some(LevelFilter::Error),
            None,
            "glommio",
            Level::Warn
        ));
        assert!(is_logged(
            None,
            Some("glommio=debug"),
            "glommio::sys",
            Level::Debug
        ));
        assert!(is_logged(None, Some("trace"), "glommiox", Level::Trace));
    }

    #[test]
    fn a_logged_event_goes_through_in_one_piece() {
        let (queue, receiver) = sync_channel(4);
        let gate = Gate::new(&Options::default(), Box::new(LineQueue(queue)));
        let log = |message: fmt::Arguments<'_>| {
            gate.log(
                &Record::builder()
                    .level(Level::Warn)
                    .target("corecast")
                    .args(message)
                    .build(),
            );
        };
        log(format_args!("upstream stalled channel={} a\nb", 7));
        log(format_args!("x"));
        let lines: Vec<_> = receiver.try_iter().collect();
        let [Entry::Line(first), Entry::Line(second)] = &lines[..] else {
            panic!("{} lines", lines.len());
        };
        assert_eq!(first, b"WARN upstream stalled channel=7 a\\nb\n");
        assert_eq!(second, b"WARN x\n");
    }
}
