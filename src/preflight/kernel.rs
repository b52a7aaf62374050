//! What the kernel must offer: its age, io_uring, and no filter in the way.
//!
//! The rule: a refusal is told by its cause. The same `EPERM` comes from a sysctl and from a container's filter, and they
//! have different cures.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode};
use rustix::io::Errno;
use rustix::system::uname;
use thiserror::Error;

use super::Requirement;

/// Whether the kernel is new enough for glommio.
pub(super) fn version() -> Requirement {
    judge_version(&uname().release().to_string_lossy())
}

/// Whether io_uring can be used, by using it. Where memory is known to be too little, waiting for more is in vain.
pub(super) fn io_uring(is_memory_enough: bool) -> Requirement {
    let probed = if is_memory_enough {
        probe_patiently()
    } else {
        probe()
    };
    match probed {
        Ok(()) => Requirement::ok(
            IO_URING,
            "rings can be made, and every operation in use exists",
        ),
        // Said once is enough: the line about locked memory is the one with the cure.
        Err(refusal) if !is_memory_enough && refusal.is_for_memory() => {
            Requirement::warn(IO_URING, refusal.to_string(), "see memlock")
        }
        Err(refusal) => {
            let cure = cure(&refusal, &Surroundings::look());
            Requirement::fail(IO_URING, refusal.to_string(), cure)
        }
    }
}

/// Which system call filter is in force. What it refuses is found by whoever needs it.
pub(super) fn seccomp() -> Requirement {
    let is_filtered = Surroundings::look().is_filtered;
    let detail = match is_filtered {
        true => "a filter is in force",
        false => "no filter",
    };
    Requirement::ok("seccomp", detail)
}

/// Why io_uring cannot be used.
#[derive(Debug, Error)]
enum Refusal {
    #[error("{call} was refused ({})", errno_name(.reason))]
    Call {
        call: &'static str,
        reason: io::Error,
    },
    #[error("the io_uring operation {name} is missing")]
    Operation { name: &'static str },
}

impl Refusal {
    fn is_for_memory(&self) -> bool {
        let Self::Call { reason, .. } = self else {
            return false;
        };
        Errno::from_io_error(reason) == Some(Errno::NOMEM)
    }
}

/// What tells the causes of a refusal apart.
struct Surroundings {
    is_disabled_by_sysctl: bool,
    is_filtered: bool,
    is_old: bool,
}

impl Surroundings {
    fn look() -> Self {
        let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mode = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            is_disabled_by_sysctl: disabled.is_ok_and(|mode| mode.trim() != "0"),
            is_filtered: mode.is_some_and(|mode| mode.trim() != "0"),
            is_old: version().is_failure(),
        }
    }
}

/// What to do about a refusal.
fn cure(refusal: &Refusal, surroundings: &Surroundings) -> String {
    let Refusal::Call { reason, .. } = refusal else {
        return NEWER_KERNEL.into();
    };
    let cure = match reason.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOMEM) => MORE_MEMLOCK,
        Some(Errno::MFILE | Errno::NFILE) => "allow more open files: ulimit -n 1048576",
        Some(Errno::NOSYS | Errno::INVAL) if surroundings.is_old => NEWER_KERNEL,
        Some(Errno::PERM | Errno::ACCESS) if surroundings.is_disabled_by_sysctl => {
            "set kernel.io_uring_disabled=0 (sysctl -w kernel.io_uring_disabled=0)"
        }
        Some(Errno::NOSYS | Errno::PERM | Errno::ACCESS) if surroundings.is_filtered => {
            "allow io_uring_setup, io_uring_enter and io_uring_register in seccomp \
             (docker run --security-opt seccomp=unconfined, systemd: SystemCallFilter=@system-service)"
        }
        Some(Errno::NOSYS) => "use a kernel built with CONFIG_IO_URING",
        _ => "set kernel.io_uring_disabled=0 or allow it in seccomp",
    };
    cure.into()
}

/// Probes again while memory is short: the rings of an instance that has just ended are given back late.
///
/// Source: glommio.md, trap 20: an immediate restart near the limit meets ENOMEM.
#[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
fn probe_patiently() -> Result<(), Refusal> {
    for _ in 0..MEMORY_TRIES {
        match probe() {
            Err(refusal) if refusal.is_for_memory() => thread::sleep(MEMORY_PAUSE),
            result => return result,
        }
    }
    probe()
}

/// Uses each of the three system calls once, and asks for the operations that glommio would end the process without.
fn probe() -> Result<(), Refusal> {
    let refused = |call| move |reason| Refusal::Call { call, reason };
    let ring = IoUring::new(RING_ENTRIES).map_err(refused("io_uring_setup"))?;
    let mut offered = Probe::new();
    let registered = ring.submitter().register_probe(&mut offered);
    registered.map_err(refused("io_uring_register"))?;
    ring.submit().map_err(refused("io_uring_enter"))?;
    match OPERATIONS
        .iter()
        .find(|(_, code)| !offered.is_supported(*code))
    {
        Some((name, _)) => Err(Refusal::Operation { name }),
        None => Ok(()),
    }
}

fn judge_version(release: &str) -> Requirement {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut number = || numbers.next().and_then(|digits| digits.parse::<u32>().ok());
    match (number(), number()) {
        (Some(major), Some(minor)) if (major, minor) >= KERNEL_LEAST => {
            Requirement::ok("kernel", format!("{release}, 5.8 or newer is needed"))
        }
        (Some(_), Some(_)) => Requirement::fail(
            "kernel",
            format!("kernel {release} is too old, 5.8 or newer is needed"),
            NEWER_KERNEL,
        ),
        _ => Requirement::warn(
            "kernel",
            format!("kernel {release:?} has no version that can be read"),
            "check that it is 5.8 or newer: uname -r",
        ),
    }
}

fn errno_name(error: &io::Error) -> String {
    let name = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ACCESS) => "EACCES",
        Some(Errno::INVAL) => "EINVAL",
        Some(Errno::MFILE) => "EMFILE",
        Some(Errno::NFILE) => "ENFILE",
        Some(Errno::NOMEM) => "ENOMEM",
        Some(Errno::NOSYS) => "ENOSYS",
        Some(Errno::PERM) => "EPERM",
        _ => return error.to_string(),
    };
    name.into()
}

const IO_URING: &str = "io_uring";

const NEWER_KERNEL: &str = "boot a kernel of 5.8 or newer";

/// How a process gets more locked memory, from a shell, from systemd, in a container.
pub(super) const MORE_MEMLOCK: &str = "raise the locked-memory limit: ulimit -l unlimited (systemd: LimitMEMLOCK=infinity, docker: --ulimit memlock=-1)";

/// The oldest kernel that glommio runs on.
const KERNEL_LEAST: (u32, u32) = (5, 8);

/// As deep as glommio's rings.
const RING_ENTRIES: u32 = 128;

/// Two seconds in all.
const MEMORY_TRIES: u32 = 20;
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// What glommio 0.9.0 asks for when its first executor starts, and ends the process without.
const OPERATIONS: [(&str, u8); 23] = [
    ("NOP", opcode::Nop::CODE),
    ("READV", opcode::Readv::CODE),
    ("WRITEV", opcode::Writev::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("READ_FIXED", opcode::ReadFixed::CODE),
    ("WRITE_FIXED", opcode::WriteFixed::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("POLL_REMOVE", opcode::PollRemove::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("RECVMSG", opcode::RecvMsg::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("TIMEOUT_REMOVE", opcode::TimeoutRemove::CODE),
    ("ACCEPT", opcode::Accept::CODE),
    ("LINK_TIMEOUT", opcode::LinkTimeout::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE),
    ("OPENAT", opcode::OpenAt::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("STATX", opcode::Statx::CODE),
    ("READ", opcode::Read::CODE),
    ("WRITE", opcode::Write::CODE),
    ("SEND", opcode::Send::CODE),
    ("RECV", opcode::Recv::CODE),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::State;

    fn refusal(errno: Errno) -> Refusal {
        Refusal::Call {
            call: "io_uring_setup",
            reason: errno.into(),
        }
    }

    fn surroundings(is_disabled_by_sysctl: bool, is_filtered: bool, is_old: bool) -> Surroundings {
        Surroundings {
            is_disabled_by_sysctl,
            is_filtered,
            is_old,
        }
    }

    #[test]
    fn io_uring_works_where_the_tests_run() {
        assert!(
            matches!(io_uring(true).state, State::Ok { .. }),
            "{}",
            io_uring(true)
        );
    }

    #[test]
    fn a_refusal_names_the_call_and_the_error() {
        assert_eq!(
            refusal(Errno::PERM).to_string(),
            "io_uring_setup was refused (EPERM)"
        );
        assert_eq!(
            refusal(Errno::NOMEM).to_string(),
            "io_uring_setup was refused (ENOMEM)"
        );
    }

    #[test]
    fn the_same_error_has_the_cure_of_its_cause() {
        let cure_of = |errno, surroundings| cure(&refusal(errno), &surroundings);
        assert_eq!(
            cure_of(Errno::PERM, surroundings(false, false, false)),
            "set kernel.io_uring_disabled=0 or allow it in seccomp"
        );
        assert!(cure_of(Errno::PERM, surroundings(true, true, false)).contains("sysctl -w"));
        assert!(
            cure_of(Errno::PERM, surroundings(false, true, false))
                .contains(" in seccomp (docker run")
        );
        assert!(
            cure_of(Errno::NOSYS, surroundings(false, true, false))
                .contains(" in seccomp (docker run")
        );
        assert_eq!(
            cure_of(Errno::NOSYS, surroundings(false, false, true)),
            NEWER_KERNEL
        );
        assert!(
            cure_of(Errno::NOSYS, surroundings(false, false, false)).contains("CONFIG_IO_URING")
        );
        assert_eq!(
            cure_of(Errno::NOMEM, surroundings(false, true, false)),
            MORE_MEMLOCK
        );
        let missing = Refusal::Operation { name: "ACCEPT" };
        assert_eq!(
            cure(&missing, &surroundings(false, false, false)),
            NEWER_KERNEL
        );
    }

    #[test]
    fn kernels_before_5_8_are_refused() {
        for (release, is_failure) in [
            ("5.7.19", true),
            ("4.19.0-6-amd64", true),
            ("5.8", false),
            ("5.10.0-28", false),
            ("6.18.44-x", false),
        ] {
            assert_eq!(judge_version(release).is_failure(), is_failure, "{release}");
        }
        assert!(judge_version("unknown").is_warning());
    }
}
