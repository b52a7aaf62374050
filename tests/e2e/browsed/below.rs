//! The page below a path of a front: nothing in it names where it stands.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;

use super::{LIVE, player, relaying};
use crate::browser::Browser;
use crate::launch::Folder;
use crate::viewer::End;
use crate::{tools, within};

/// nginx that has the operator's listener below a path; ended with its owner.
struct Front {
    address: SocketAddr,
    child: Child,
    /// Where it keeps what it must keep.
    _folder: Folder,
}

impl Front {
    fn start(path: &str, admin: SocketAddr) -> Self {
        let free = TcpListener::bind(("127.0.0.71", 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let folder = Folder::new();
        let place = folder.path().display();
        let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {place}/{name};\n"))
            .collect();
        let text = format!(
            "daemon off;\nmaster_process off;\nuser root;\npid {place}/nginx.pid;\n\
             error_log stderr;\nevents {{}}\nhttp {{\n{scratch}access_log off;\nserver {{\n\
             listen {address};\nlocation {path} {{\nproxy_pass http://{admin}/;\n\
             proxy_set_header Host $http_host;\n}}\n}}\n}}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let (prefix, file) = (folder.path().to_str().unwrap(), file.to_str().unwrap());
        let mut child = tools::spawn("nginx", &["-p", prefix, "-c", file]);
        within(10_000, "nginx listens", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        Self {
            address,
            child,
            _folder: folder,
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn page_works_below_a_path_of_a_front() {
    let (_upstream, server) = relaying();
    let viewer = player(&server, "goes/2.0");
    viewer.wait("media", |state| state.seen().packets > 100);
    let front = Front::start("/tv/operator/", server.admin());
    let page = format!("http://{}/tv/operator/", front.address);
    let browser = Browser::start(1280, 900);
    browser.go(&page);
    browser.wait(5_000, "a live page", LIVE);
    browser.wait(3_000, "a row", "return rows('viewers') === 1");
    browser.click("#viewers tbody button");
    assert_eq!(viewer.wait_end(), End::Closed);
    browser.wait(3_000, "no row", "return rows('viewers') === 0");
    for url in browser.fetched() {
        assert!(url.starts_with(&page), "{url} is not below {page}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
