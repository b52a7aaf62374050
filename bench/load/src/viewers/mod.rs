//! `corecast-load viewers`: many viewers at once, some of which check every packet, and what they found.
//!
//! The plan is made first, threads carry it out, and the figures are made of what every viewer has seen. The rule: the
//! load does not depend on how the server does, and a run in which anything was lost that should not be is no success.

mod anchor;
mod cost;
mod counters;
mod head;
mod options;
mod plan;
mod samples;
mod summary;
mod sweep;
mod tally;
mod verdict;
mod viewer;
mod watch;
mod worker;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::io::Errno;

use self::cost::Meter;
pub(crate) use self::options::Options;
use self::plan::{Assignment, Schedule};
use self::tally::Tally;
use self::viewer::Viewer;
use self::worker::{Progress, Task, Worker};
use crate::clock;

/// Runs a load and writes what was found; true if nothing was wrong.
///
/// # Errors
/// If it cannot be run: a control group that does not count, a thread or file refused.
pub(crate) fn run(options: &Options, out: &mut impl Write) -> Result<bool, ViewersError> {
    raise_open_files();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(ViewersError::Signal)?;
    }
    let crowd = options.crowd();
    let assignments = crowd.assignments();
    let ramp = assignments
        .last()
        .map_or(Duration::ZERO, |it| it.asks_after);
    let began = clock::now() + START_AFTER;
    let from = began + ramp + options.settle();
    let to = from + options.window();
    let schedule = Schedule {
        began,
        from,
        to,
        ends: to + TAIL,
    };
    let mut meter = Meter::new(options.server()?, options.counters());
    let task = Task {
        server: options.address(),
        requests: options.requests(),
        schedule,
        window_bytes: options.socket_window_bytes(),
        slow_bytes_per_s: options.slow_bytes_per_s,
        churn: Duration::from_millis(options.churn_ms),
        zap: Duration::from_millis(options.zap_ms),
    };
    let progress = Arc::new(Progress::default());
    let finished = start(&task, assignments, options.threads, &progress)?;
    let (mut viewers, tally) = attend(&finished, schedule, &mut meter, &progress, &stop)?;
    viewers.sort_by_key(|it| it.assignment.id);
    let mut run = summary::summarise(&viewers, &tally, schedule);
    let is_alive = meter.is_alive();
    let counted = meter.put(&mut run);
    options.label(&mut run);
    run.source = options.source_stats();
    run.faults = verdict::faults(&run, &viewers, options.allowed());
    if !is_alive {
        run.faults.push("the server ended under the load".into());
    }
    if let Err(error) = counted {
        let told = crate::told(error);
        run.faults
            .push(format!("metrics of the server could not be read: {told}"));
    }
    run.tool_limits = verdict::tool_limits(&run);
    options.keep(&run)?;
    writeln!(out, "{}", crate::report::one(&run)).map_err(ViewersError::Print)?;
    Ok(run.faults.is_empty())
}

/// Starts the threads, the viewers shared out to them in turn; each sends what it has seen when it is done.
fn start(
    task: &Task,
    assignments: Vec<Assignment>,
    threads: u8,
    progress: &Arc<Progress>,
) -> Result<Receiver<Worked>, ViewersError> {
    let mut crews: Vec<Vec<Viewer>> = (0..threads).map(|_| Vec::new()).collect();
    for assignment in assignments {
        if let Some(crew) = crews.get_mut(assignment.id % usize::from(threads)) {
            crew.push(Viewer::new(assignment));
        }
    }
    let (done, finished) = channel();
    for crew in crews {
        let worker = Worker::new(task.clone(), crew, Arc::clone(progress));
        let worker = worker.map_err(ViewersError::Epoll)?;
        let done = done.clone();
        std::thread::Builder::new()
            .name("viewers".into())
            // The receiver waits for every worker, so a result always finds it.
            .spawn(move || done.send(worker.run()).is_ok())
            .map_err(ViewersError::Thread)?;
    }
    Ok(finished)
}

/// Waits for all threads, shows how far they are, and has the meter read when measuring begins and when it ends.
///
/// # Errors
/// If a thread failed, or a signal ends everything early.
fn attend(
    finished: &Receiver<Worked>,
    schedule: Schedule,
    meter: &mut Meter,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<(Vec<Viewer>, Tally), ViewersError> {
    let bar = bar(schedule);
    let (mut viewers, mut tally) = (Vec::new(), Tally::default());
    let mut edges = [schedule.from, schedule.to].into_iter().peekable();
    loop {
        // Returning puts the server back where it was.
        if stop.load(Ordering::Relaxed) {
            return Err(ViewersError::Interrupted);
        }
        let now = clock::now();
        if edges.next_if(|edge| *edge <= now).is_some() {
            if edges.peek().is_none() {
                meter.end();
            } else {
                meter.begin();
            }
        }
        let next = edges
            .peek()
            .map_or(BAR_PERIOD, |edge| edge.saturating_sub(now));
        match finished.recv_timeout(next.min(BAR_PERIOD)) {
            Ok(worked) => {
                let (crew, counts) = worked.map_err(ViewersError::Epoll)?;
                viewers.extend(crew);
                tally.add(&counts);
            }
            Err(RecvTimeoutError::Timeout) => show(&bar, progress, schedule),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    bar.finish_and_clear();
    Ok((viewers, tally))
}

/// What a thread comes back with.
type Worked = Result<(Vec<Viewer>, Tally), Errno>;

/// A bar on a terminal, nothing anywhere else.
fn bar(schedule: Schedule) -> ProgressBar {
    let length = millis(schedule.ends.saturating_sub(schedule.began));
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress, schedule: Schedule) {
    let now = clock::now();
    bar.set_position(millis(now.saturating_sub(schedule.began)));
    let joined = progress.joined.load(Ordering::Relaxed);
    let megabytes = progress.bytes.load(Ordering::Relaxed) / 1_000_000;
    let part = if now < schedule.from {
        "joining"
    } else if now < schedule.to {
        "measuring"
    } else {
        "leaving"
    };
    bar.set_message(format!("{part}  {joined} joined  {megabytes} MB"));
}

/// As many open files as this process may have.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where it is refused, a connection that is one too many says so.
    setrlimit(Resource::Nofile, raised).unwrap_or_default();
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Why a load could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewersError {
    #[error("epoll of the viewers failed")]
    Epoll(#[source] Errno),
    #[error("read the server's CPU time failed")]
    Group(#[source] crate::measure::cgroup::CgroupError),
    #[error("interrupted before the end: there is no result")]
    Interrupted,
    #[error("write the result to {path} failed")]
    Keep {
        path: std::path::PathBuf,
        #[source]
        error: std::io::Error,
    },
    #[error("write to standard output failed")]
    Print(#[source] std::io::Error),
    #[error("wait for SIGINT and SIGTERM was refused")]
    Signal(#[source] std::io::Error),
    #[error("start a thread failed")]
    Thread(#[source] std::io::Error),
}

/// From the plan to the first connection.
const START_AFTER: Duration = Duration::from_millis(50);
/// How long after the measured time last packets may come.
const TAIL: Duration = Duration::from_secs(1);
const BAR_PERIOD: Duration = Duration::from_millis(100);
