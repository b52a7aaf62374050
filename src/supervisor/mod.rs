//! What the process that started this one is told: ready, alive, reloading, stopping.
//!
//! The protocol is systemd's, and others speak it too. Sockets that it passes on are `inherit`'s, whether the shards live is
//! `heartbeat`'s. The rule: telling never waits and never fails the server; with nobody to tell, nothing is done.

pub mod heartbeat;
pub mod inherit;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::clock::micros;

/// The supervisor of this process, if it has one.
///
/// Source: sd_notify(3) and sd_watchdog_enabled(3): lines of `KEY=value` in one datagram to `NOTIFY_SOCKET`.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The supervisor that these variables name. One that cannot be reached is logged and forgotten.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Self::default();
        };
        match connect(&name) {
            Ok(socket) => Self {
                socket: Some(socket),
                watchdog: watchdog(variable, std::process::id()),
            },
            Err(error) => {
                log::warn!("the supervisor's socket cannot be reached error=\"{error}\"");
                Self::default()
            }
        }
    }

    /// How long the supervisor waits for a sign of life before it ends the process; `None` if it does not.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells that every shard listens, or that a reload is over.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Tells that the configuration is being read again; [`Supervisor::ready`] ends it, however it went.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let now_us = seconds * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000;
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reloading"
        ));
    }

    /// Tells that the process ends, and how long that may take.
    pub fn stopping(&self, limit: Duration) {
        let limit_us = micros(limit);
        self.tell(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={limit_us}\nSTATUS=draining"
        ));
    }

    /// Tells that every shard lives.
    pub fn alive(&self, status: &str) {
        self.tell(&format!("WATCHDOG=1\nSTATUS={status}"));
    }

    fn tell(&self, what: &str) {
        let Some(socket) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send(what.as_bytes()) {
            log::debug!("the supervisor took no message error=\"{error}\"");
        }
    }
}

/// A socket to the supervisor; a name that begins with `@` is one without a file.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// How long the supervisor waits for the process `pid`.
fn watchdog(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> Option<Duration> {
    let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
    if variable("WATCHDOG_PID").is_some() && number("WATCHDOG_PID") != Some(pid.into()) {
        return None;
    }
    let limit_us = number("WATCHDOG_USEC").filter(|limit_us| *limit_us > 0)?;
    Some(Duration::from_micros(limit_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor at a socket without a file, and its end of it.
    fn supervised(name: &str) -> (Supervisor, UnixDatagram) {
        let name = format!("corecast-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let ear = UnixDatagram::bind_addr(&address).unwrap();
        ear.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let supervisor = Supervisor::of(|variable| match variable {
            "NOTIFY_SOCKET" => Some(format!("@{name}").into()),
            "WATCHDOG_USEC" => Some("3000000".into()),
            _ => None,
        });
        (supervisor, ear)
    }

    fn heard(ear: &UnixDatagram) -> String {
        let mut message = [0; 256];
        let bytes = ear.recv(&mut message).unwrap();
        String::from_utf8(message[..bytes].to_vec()).unwrap()
    }

    #[test]
    fn each_state_is_one_message() {
        let (supervisor, ear) = supervised("states");
        supervisor.ready("viewers=0");
        assert_eq!(heard(&ear), "READY=1\nSTATUS=viewers=0");
        supervisor.alive("viewers=812");
        assert_eq!(heard(&ear), "WATCHDOG=1\nSTATUS=viewers=812");
        supervisor.stopping(Duration::from_millis(5_500));
        let expected = "STOPPING=1\nEXTEND_TIMEOUT_USEC=5500000\nSTATUS=draining";
        assert_eq!(heard(&ear), expected);
        supervisor.reloading();
        let said = heard(&ear);
        let since = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        let (since, _) = since.split_once('\n').unwrap();
        assert!(since.parse::<u64>().unwrap() > 0, "{said}");
    }

    #[test]
    fn a_supervisor_that_does_not_listen_is_not_waited_for() {
        let (supervisor, ear) = supervised("deaf");
        // More than its queue holds.
        (0..10_000).for_each(|_| supervisor.alive("viewers=0"));
        assert_eq!(heard(&ear), "WATCHDOG=1\nSTATUS=viewers=0");
        drop(ear);
        supervisor.ready("viewers=0");
    }

    #[test]
    fn without_a_supervisor_nothing_is_told() {
        let nobody = Supervisor::of(|_| None);
        nobody.ready("viewers=0");
        assert_eq!(nobody.watchdog(), None);
        let gone = Supervisor::of(|variable| match variable {
            "NOTIFY_SOCKET" => Some("/no/such/socket".into()),
            _ => Some("3000000".into()),
        });
        gone.ready("viewers=0");
        assert_eq!(gone.watchdog(), None, "who is not heard is not waited for");
    }

    #[test]
    fn the_watchdog_is_that_of_this_process() {
        let limit = |limit_us: &'static str, of: Option<&'static str>| {
            let variable = move |name: &str| match name {
                "WATCHDOG_USEC" => Some(limit_us.into()),
                _ => of.map(Into::into),
            };
            watchdog(variable, 7)
        };
        assert_eq!(limit("3000000", None), Some(Duration::from_secs(3)));
        assert_eq!(limit("3000000", Some("7")), Some(Duration::from_secs(3)));
        assert_eq!(limit("3000000", Some("8")), None);
        assert_eq!(limit("0", None), None);
        assert_eq!(limit("soon", None), None);
    }
}
