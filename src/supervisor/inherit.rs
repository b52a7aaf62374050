//! Listening sockets that the supervisor has opened for this process.
//!
//! They stay open there while one process ends and the next begins, so that no connection is refused in between. Accepting
//! belongs to `http::accept`. The rule: what is inherited takes the place of what is configured, under the same conditions.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::SocketType;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use socket2::SockRef;
use thiserror::Error;

use crate::config::{Config, Listen};
use crate::shard::fd;

/// The sockets that were inherited.
///
/// Ownership: open for as long as the process runs; the supervisor has its own copies.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Where viewers connect.
    pub viewers: Vec<(Listen, OwnedFd)>,
    /// Where the operator connects.
    pub admin: Option<(SocketAddr, OwnedFd)>,
}

/// Why the inherited sockets cannot be used.
#[derive(Debug, Error)]
pub enum InheritError {
    /// The operator's socket can be reached from elsewhere, and asks for nothing.
    #[error(
        "the inherited socket {address} is not loopback and is named {ADMIN}: set admin.token_file"
    )]
    AdminWithoutToken {
        /// Its address.
        address: SocketAddr,
    },
    /// The viewers' socket can be reached from elsewhere, and everybody may watch.
    #[error(
        "the inherited socket {listen} is not loopback and there is no [[account]]: add one, or set server.open = true"
    )]
    Open {
        /// Its address.
        listen: Listen,
    },
    /// More were announced than are allowed.
    #[error(
        "{count} inherited sockets were announced (LISTEN_FDS), at most {SOCKETS_MAX} are allowed"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
    /// There are two for the operator.
    #[error("two inherited sockets are named {ADMIN}: give that name (FileDescriptorName=) to one")]
    TwoForAdmin,
    /// A descriptor that was announced is not there.
    #[error("taking over {count} inherited sockets (LISTEN_FDS) failed")]
    Unusable {
        /// How many were announced.
        count: usize,
        /// What the system says.
        source: io::Error,
    },
    /// A descriptor is no socket to accept connections from.
    #[error(
        "the inherited descriptor {number} does not listen for connections: use ListenStream= and Accept=no"
    )]
    WrongKind {
        /// Its number.
        number: usize,
    },
}

impl InheritError {
    /// Whether the configuration is to be changed, and not what passes the sockets on.
    #[must_use]
    pub fn is_of_config(&self) -> bool {
        matches!(self, Self::AdminWithoutToken { .. } | Self::Open { .. })
    }
}

impl Inherited {
    /// Takes over what these variables announce to this process; nothing if they announce nothing to it.
    ///
    /// To be called once, before the process opens descriptors that stay open.
    ///
    /// # Errors
    /// [`InheritError`]; nothing is to be started then.
    pub fn take(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, InheritError> {
        let Some((count, names)) = announced(variable, std::process::id()) else {
            return Ok(Self::default());
        };
        if count > SOCKETS_MAX {
            return Err(InheritError::TooMany { count });
        }
        let unusable = |source| InheritError::Unusable { count, source };
        let sockets = fd::inherited(count).map_err(unusable)?;
        let mut inherited = Self::default();
        for (index, socket) in sockets.into_iter().enumerate() {
            let number = index + fd::INHERITED_FIRST;
            let listen = listen_of(&socket).ok_or(InheritError::WrongKind { number })?;
            // All shards accept from it, and of those that are woken only one finds a connection.
            rustix::io::ioctl_fionbio(&socket, true).map_err(|error| unusable(error.into()))?;
            let is_admin = names.get(index).is_some_and(|name| name == ADMIN);
            match listen {
                Listen::Tcp(_) if is_admin && inherited.admin.is_some() => {
                    return Err(InheritError::TwoForAdmin);
                }
                Listen::Tcp(address) if is_admin => inherited.admin = Some((address, socket)),
                Listen::Unix(_) if is_admin => return Err(InheritError::WrongKind { number }),
                listen => inherited.viewers.push((listen, socket)),
            }
        }
        Ok(inherited)
    }

    /// Puts the addresses of the sockets into the configuration, in place of those that it names.
    ///
    /// # Errors
    /// [`InheritError`] if they can be reached by more people than the configuration is made for; it is unchanged then.
    pub fn apply(&self, config: &mut Config) -> Result<(), InheritError> {
        let is_guarded = config.server.open || !config.accounts.is_empty();
        let mut viewers = self.viewers.iter().map(|(listen, _)| listen);
        if let Some(listen) = viewers.find(|listen| !listen.is_local() && !is_guarded) {
            let listen = listen.clone();
            return Err(InheritError::Open { listen });
        }
        if let Some((address, _)) = &self.admin {
            if !address.ip().is_loopback() && config.admin.token.is_none() {
                return Err(InheritError::AdminWithoutToken { address: *address });
            }
            config.admin.listen = *address;
        }
        if !self.viewers.is_empty() {
            let listen = self.viewers.iter().map(|(listen, _)| listen.clone());
            config.server.listen = listen.collect();
        }
        Ok(())
    }
}

/// How many sockets are announced to the process `pid`, and the names of those that have one.
///
/// Source: sd_listen_fds(3): `LISTEN_PID`, `LISTEN_FDS`, and `LISTEN_FDNAMES` with colons between.
fn announced(
    variable: impl Fn(&str) -> Option<OsString>,
    pid: u32,
) -> Option<(usize, Vec<String>)> {
    let text = |name: &str| variable(name)?.into_string().ok();
    let is_ours = text("LISTEN_PID")?.parse() == Ok(pid);
    let count = text("LISTEN_FDS")?
        .parse()
        .ok()
        .filter(|count| *count > 0)?;
    let names = text("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).collect();
    is_ours.then_some((count, names))
}

/// Where a socket listens for stream connections; `None` if it does not.
fn listen_of(socket: &OwnedFd) -> Option<Listen> {
    let is_listening = socket_acceptconn(socket) == Ok(true);
    let is_stream = socket_type(socket) == Ok(SocketType::STREAM);
    if !is_listening || !is_stream {
        return None;
    }
    let address = SockRef::from(socket).local_addr().ok()?;
    let tcp = address.as_socket().map(Listen::Tcp);
    tcp.or_else(|| address.as_pathname().map(|path| Listen::Unix(path.into())))
}

/// The name of the socket that is the operator's.
const ADMIN: &str = "admin";

/// More sockets than anybody listens on.
const SOCKETS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn said(pid: &str, fds: &str, names: Option<&str>) -> Option<(usize, Vec<String>)> {
        let variable = |name: &str| match name {
            "LISTEN_PID" => Some(pid.into()),
            "LISTEN_FDS" => Some(fds.into()),
            "LISTEN_FDNAMES" => names.map(Into::into),
            _ => None,
        };
        announced(variable, 7)
    }

    #[test]
    fn only_what_is_announced_to_this_process_is_taken() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(said("7", "2", None), Some((2, names(&[""]))));
        let expected = Some((2, names(&["admin", "tv"])));
        assert_eq!(said("7", "2", Some("admin:tv")), expected);
        for (pid, fds) in [("8", "2"), ("7", "0"), ("7", "-1"), ("", "2"), ("7", "")] {
            assert_eq!(said(pid, fds, None), None, "{pid} {fds}");
        }
        assert_eq!(announced(|_| None, 7), None);
    }

    #[test]
    fn sockets_are_known_by_where_they_listen() {
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let address = tcp.local_addr().unwrap();
        assert_eq!(listen_of(&tcp.into()), Some(Listen::Tcp(address)));
        let path = std::env::temp_dir().join(format!("corecast-inherit-{}", std::process::id()));
        let unix = UnixListener::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let expected = Listen::Unix(path.as_path().into());
        assert_eq!(listen_of(&unix.into()), Some(expected));
    }

    #[test]
    fn what_does_not_listen_for_connections_is_refused() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(listen_of(&udp.into()), None);
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(listen_of(&one.into()), None);
        assert_eq!(
            listen_of(&std::fs::File::open("/dev/null").unwrap().into()),
            None
        );
    }

    /// A listening socket that claims to be at `address`.
    fn inherited(viewers: &str, admin: &str) -> Inherited {
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap().into();
        Inherited {
            viewers: vec![(Listen::Tcp(viewers.parse().unwrap()), socket())],
            admin: Some((admin.parse().unwrap(), socket())),
        }
    }

    #[test]
    fn inherited_addresses_take_the_place_of_the_configured_ones() {
        let mut config = Config::default();
        inherited("127.0.0.1:9000", "[::1]:9001")
            .apply(&mut config)
            .unwrap();
        let expected: SocketAddr = "127.0.0.1:9000".parse().unwrap();
        assert_eq!(config.server.listen, [expected.into()]);
        assert_eq!(config.admin.listen, "[::1]:9001".parse().unwrap());
        let before = config.server.listen.clone();
        Inherited::default().apply(&mut config).unwrap();
        assert_eq!(config.server.listen, before);
    }

    #[test]
    fn a_socket_that_others_can_reach_needs_what_a_configured_one_needs() {
        let mut config = Config::default();
        let error = inherited("0.0.0.0:80", "127.0.0.1:81").apply(&mut config);
        assert!(
            error.as_ref().is_err_and(InheritError::is_of_config),
            "{error:?}"
        );
        config.server.open = true;
        inherited("0.0.0.0:80", "127.0.0.1:81")
            .apply(&mut config)
            .unwrap();
        let error = inherited("127.0.0.1:80", "0.0.0.0:81").apply(&mut config);
        assert!(error.is_err_and(|error| error.is_of_config()));
    }
}
