//! Whether an address can be listened on, and who has it if not.
//!
//! The listeners themselves are made elsewhere. The rule: shards share a port by SO_REUSEPORT, and so would a second corecast
//! without a word, so the address is tried without it first.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::Requirement;

/// Whether nobody else listens on the address; `key` is where the operator would choose another.
pub(super) fn is_free(address: SocketAddr, key: &str) -> Requirement {
    let refusal = match bind_patiently(address) {
        Ok(()) => return Requirement::ok(PORT, format!("{address} is free")),
        Err(refusal) => refusal,
    };
    let port = address.port();
    let (detail, cure) = match Errno::from_io_error(&refusal) {
        Some(Errno::ADDRINUSE) => match holder(port) {
            Some((pid, name)) => (
                format!("{address} is in use by {name} (pid {pid})"),
                format!("stop it with kill {pid}, or choose another with {key}"),
            ),
            None => (
                format!("{address} is in use"),
                format!(
                    "see by whom with ss -ltnp 'sport = :{port}', or choose another with {key}"
                ),
            ),
        },
        Some(Errno::ACCESS | Errno::PERM) => (
            format!("{address} was refused (EACCES), ports below 1024 need CAP_NET_BIND_SERVICE"),
            format!(
                "setcap cap_net_bind_service=+ep \"$(command -v corecast)\", or choose another with {key}"
            ),
        ),
        Some(Errno::ADDRNOTAVAIL) => (
            format!("{address} is no address of this host"),
            format!("see them with ip address, and choose one with {key}"),
        ),
        _ => (
            format!("listening on {address} was refused ({refusal})"),
            format!("choose another with {key}"),
        ),
    };
    Requirement::fail(PORT, detail, cure)
}

/// Takes the address and gives it back. An instance that has just ended may still be listening for a moment, since the
/// kernel gives up the sockets of io_uring after the process: what nobody holds is waited for.
#[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
fn bind_patiently(address: SocketAddr) -> io::Result<()> {
    for _ in 0..ORPHAN_TRIES {
        match bind(address) {
            Err(refusal)
                if refusal.kind() == io::ErrorKind::AddrInUse
                    && holder(address.port()).is_none() =>
            {
                thread::sleep(ORPHAN_PAUSE);
            }
            settled => return settled,
        }
    }
    bind(address)
}

/// Takes the address and gives it back.
fn bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of an instance that has ended linger for a minute and are no obstacle; a listener is.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

/// Who listens on a port, as far as this process may see.
fn holder(port: u16) -> Option<(u32, String)> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| has_one_of(Path::new(&format!("/proc/{pid}/fd")), &sockets))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim().escape_default().to_string()))
}

fn has_one_of(descriptors: &Path, sockets: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(descriptors) else {
        return false;
    };
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter_map(|target| target.into_os_string().into_string().ok())
        .any(|target| sockets.contains(&target))
}

/// The inodes of the sockets that listen on a port.
///
/// Source: proc(5): column 2 is address:port in hexadecimal, column 4 the state (0A listens), column 10 the inode.
fn listening(table: &str, port: u16) -> Vec<String> {
    let local = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let columns: Vec<_> = line.split_ascii_whitespace().collect();
            let is_ours = columns.get(1)?.ends_with(&local) && *columns.get(3)? == "0A";
            let inode = columns.get(9)?;
            is_ours.then(|| (*inode).to_owned())
        })
        .collect()
}

const PORT: &str = "port";

/// How often a port that nobody holds is tried again.
const ORPHAN_TRIES: u32 = 40;

/// The pause between two tries.
const ORPHAN_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::preflight::State;

    fn failure(address: SocketAddr) -> String {
        match is_free(address, "--listen").state {
            State::Fail { detail, cure } => format!("{detail}: {cure}"),
            state => panic!("{state:?}"),
        }
    }

    #[test]
    fn a_listener_is_found_with_its_process() {
        for bound in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let address = listener.local_addr().unwrap();
            let message = failure(address);
            let pid = std::process::id();
            assert!(
                message.starts_with(&format!("{address} is in use by ")),
                "{message}"
            );
            assert!(message.contains(&format!(
                "(pid {pid}): stop it with kill {pid}, or choose another with --listen"
            )));
        }
    }

    #[test]
    fn a_listener_that_would_share_its_port_is_found_too() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        socket.listen(1).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        assert!(failure(address).contains("is in use"));
    }

    #[test]
    fn connections_left_over_from_an_ended_listener_are_no_obstacle() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let viewer = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        drop(accepted);
        drop(listener);
        drop(viewer);
        assert!(matches!(
            is_free(address, "--listen").state,
            State::Ok { .. }
        ));
    }

    #[test]
    fn any_free_port_is_free_and_a_foreign_address_is_not() {
        assert!(matches!(
            is_free(SocketAddr::from(([127, 0, 0, 1], 0)), "x").state,
            State::Ok { .. }
        ));
        assert!(
            failure(SocketAddr::from(([192, 0, 2, 1], 80)))
                .starts_with("192.0.2.1:80 is no address of this host")
        );
    }

    #[test]
    fn only_listening_sockets_of_the_port_are_listed() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 111 1\n\
             1: 0100007F:1F40 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0 0 222 1\n\
             2: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 333 1\n";
        assert_eq!(listening(table, 8000), ["111"]);
        assert_eq!(listening(table, 1), Vec::<String>::new());
    }
}
