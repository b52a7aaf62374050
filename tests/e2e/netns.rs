//! Network namespaces: hosts that can vanish, and addresses that exist nowhere else.
//!
//! Needs root and iproute2; without them a test fails and says so.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// One namespace with its loopback up, gone with its owner.
pub(crate) struct Netns(String);

impl Netns {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let namespace = Self(format!(
            "cc-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::SeqCst)
        ));
        ip(&["netns", "add", &namespace.0]);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Lays a cable to `other`; the ends get 10.77.0.1 here and 10.77.0.2 there.
    pub(crate) fn connect(&self, other: &Self) -> (IpAddr, IpAddr) {
        ip(&[
            "link", "add", "veth0", "netns", &self.0, "type", "veth", "peer", "name", "veth0",
            "netns", &other.0,
        ]);
        for (end, address) in [(self, "10.77.0.1/24"), (other, "10.77.0.2/24")] {
            end.ip(&["address", "add", address, "dev", "veth0"]);
            end.ip(&["link", "set", "veth0", "up"]);
        }
        (
            Ipv4Addr::new(10, 77, 0, 1).into(),
            Ipv4Addr::new(10, 77, 0, 2).into(),
        )
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", self.0.as_str()], arguments].concat());
    }

    /// Runs `work` in a thread inside; sockets made there stay inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                use std::os::fd::AsFd as _;
                let file = std::fs::File::open(format!("/run/netns/{}", self.0)).unwrap();
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            inside.join().unwrap()
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

/// Runs iproute2.
fn ip(arguments: &[&str]) {
    let ran = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("ip is missing (apt-get install iproute2): {error}"));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(
        ran.status.success() || std::thread::panicking(),
        "ip {arguments:?} failed, are we root? {said}"
    );
}
