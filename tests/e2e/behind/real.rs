//! Real fronts, set up as the README says: HAProxy with both versions of its header, nginx with header fields.
//!
//! The rule: what stands in the README is what is run, with ports and paths of the test in place of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;

use corecast_load::packets::Source;
use socket2::{Domain, Socket, Type};

use super::{assert_throttled, guarded, guess, request};
use crate::config::Config;
use crate::launch::{Folder, PASSWORD};
use crate::limits::connect_from;
use crate::names::{ends, metric, rejects};
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};
use crate::{http, tools, within};

/// A front that runs; ended with its owner.
struct Front {
    address: SocketAddr,
    child: Child,
}

impl Front {
    /// HAProxy in front of `server`, which is an address as HAProxy writes it, and how it says for whom it connects.
    fn haproxy(folder: &Folder, server: &str) -> Self {
        let address = free_address();
        let text = snippet("haproxy")
            .replace("bind :8080", &format!("bind {address}"))
            .replace("unix@/run/corecast.sock send-proxy-v2", server);
        assert!(
            text.contains(server),
            "the README has another server: {text}"
        );
        let file = folder.path().join(format!("{}.cfg", address.port()));
        std::fs::write(&file, text).unwrap();
        Self::start(address, "haproxy", &["-db", "-f", file.to_str().unwrap()])
    }

    /// nginx in front of `server`, which is an address as nginx writes it.
    fn nginx(folder: &Folder, server: &str) -> Self {
        let address = free_address();
        let site = snippet("nginx")
            // A small buffer shows sooner that nginx holds nothing back.
            .replace("listen 8080;", &format!("listen {address} sndbuf=16k;"))
            .replace("unix:/run/corecast.sock", server);
        assert!(
            site.contains(server),
            "the README has another server: {site}"
        );
        let folder = folder.path();
        let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {}/{name};\n", folder.display()))
            .collect();
        let text = format!(
            "daemon off;\nmaster_process off;\nuser root;\npid {0}/nginx.pid;\nerror_log stderr;\n\
             events {{}}\nhttp {{\n{scratch}{site}}}\n",
            folder.display()
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let (folder, file) = (folder.to_str().unwrap(), file.to_str().unwrap());
        Self::start(address, "nginx", &["-p", folder, "-c", file])
    }

    fn start(address: SocketAddr, tool: &str, arguments: &[&str]) -> Self {
        let mut child = tools::spawn(tool, arguments);
        within(10_000, &format!("{tool} listens"), || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{tool} ended: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        Self { address, child }
    }

    /// A connection of a viewer from a loopback address of its own.
    fn connect_from(&self, last: u8) -> TcpStream {
        connect_from(last, self.address)
    }

    fn watch(&self, last: u8, password: &str) -> Viewer {
        Viewer::on(
            self.connect_from(last),
            &request(password, ""),
            Reading::Full,
        )
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The only block of the README in this language.
#[track_caller]
fn snippet(language: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let fence = format!("```{language}\n");
    let mut blocks = readme.split(&fence).skip(1);
    let block = blocks
        .next()
        .unwrap_or_else(|| panic!("no {language} in the README"));
    assert!(blocks.next().is_none(), "{language} twice in the README");
    block.split("```").next().unwrap().to_owned()
}

/// An address that nobody else in the tests listens on.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 70), 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Streams through a front, and guesses through it: each viewer is who it is.
#[track_caller]
fn assert_transparent(front: &Front, server: &Server, first: u8) {
    let viewers = [first, first + 1].map(|last| front.watch(last, PASSWORD));
    for viewer in &viewers {
        viewer.wait("media", |state| state.seen().packets > 2_000);
        assert_eq!(viewer.wait_status(), 200);
        viewer.seen().assert_unbroken();
        viewer.seen().assert_starts_at_join_point();
    }
    assert_throttled(|| guess(front.connect_from(first), b"", ""));
    let forged = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n";
    assert_eq!(guess(front.connect_from(first), b"", forged), 429);
    assert_eq!(guess(front.connect_from(first + 1), b"", ""), 401);
    let before = server.metric(metric::VIEWERS, &[]);
    drop(viewers);
    server.wait_metric(metric::VIEWERS, &[], before - 2);
}

#[test]
fn haproxy_names_viewers_by_either_header_over_tcp_and_unix() {
    let (folder, (config, upstream)) = (Folder::new(), guarded());
    let file = folder.path().join("c.sock");
    let listen = format!(r#"["127.0.0.1:0", "unix:{}"]"#, file.display());
    let server = Server::start(&config.set("server", "listen", listen).set(
        "server",
        "proxy_protocol",
        true,
    ));
    let unix = format!("unix@{}", file.display());
    let tcp = server.address().to_string();
    let mut first = 100;
    for place in [unix, tcp] {
        for header in ["send-proxy", "send-proxy-v2"] {
            let front = Front::haproxy(&folder, &format!("{place} {header}"));
            assert_transparent(&front, &server, first);
            first += 2;
        }
    }
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::PROXY_HEADER)]),
        0
    );
    assert!(upstream.double().connections() >= 1);
}

#[test]
fn haproxy_that_sends_no_header_is_refused() {
    let (folder, (config, _upstream)) = (Folder::new(), guarded());
    let server = Server::start(&config.set("server", "proxy_protocol", true));
    let front = Front::haproxy(&folder, &server.address().to_string());
    assert_eq!(front.watch(120, PASSWORD).wait_status(), 400);
    let refused = [("reason", rejects::PROXY_HEADER)];
    assert_eq!(server.metric(metric::REJECTS, &refused), 1);
}

#[test]
fn nginx_names_viewers_in_header_fields_over_tcp_and_unix() {
    let (folder, (config, _upstream)) = (Folder::new(), guarded());
    let file = folder.path().join("c.sock");
    let listen = format!(r#"["127.0.0.1:0", "unix:{}"]"#, file.display());
    let server = Server::start(&config.set("server", "listen", listen).set(
        "server",
        "trusted_proxies",
        r#"["127.0.0.1"]"#,
    ));
    let unix = format!("unix:{}", file.display());
    let tcp = server.address().to_string();
    for (place, first) in [(unix, 130), (tcp, 132)] {
        let front = Front::nginx(&folder, &place);
        assert_transparent(&front, &server, first);
    }
}

#[test]
fn nginx_that_is_not_trusted_is_itself_who_guesses() {
    let (folder, (config, _upstream)) = (Folder::new(), guarded());
    let server = Server::start(&config);
    let front = Front::nginx(&folder, &server.address().to_string());
    let mut last = 140;
    assert_throttled(|| {
        last += 1;
        guess(front.connect_from(last), b"", "")
    });
}

#[test]
fn nginx_holds_nothing_back_so_that_a_stalled_viewer_is_seen() {
    let (upstream, folder) = (Upstream::live(Source::new(1, 20_000)), Folder::new());
    let file = folder.path().join("c.sock");
    let listen = format!(r#"["unix:{}"]"#, file.display());
    let server = Server::start(
        &Config::new()
            .set("server", "listen", listen)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let front = Front::nginx(&folder, &format!("unix:{}", file.display()));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&front.address.into()).unwrap();
    let asked = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(7));
    let _stalled = Viewer::on(socket.into(), &asked, Reading::Stopped);
    server.wait_metric(metric::ENDS, &[("reason", ends::STALLED)], 1);
    let refused = http::get(front.address, "/live/any/any/8.ts");
    assert_eq!(refused.status(), 404, "nginx passes refusals on");
}
