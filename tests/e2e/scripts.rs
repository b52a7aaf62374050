//! `scripts/load.sh`: what it says of many curls on a running server is what they got.

use std::process::{Command, Stdio};

use corecast_load::packets::Source;
use rustix::process::{Pid, Signal};

use crate::config::Config;
use crate::server::{Server, path};
use crate::tools;
use crate::upstream::Upstream;

/// Two seconds of the script, and what it said.
#[track_caller]
fn load(server: &Server, viewers: &str, target: &str) -> (Option<i32>, String) {
    let url = format!("http://{}{target}", server.address());
    let metrics = format!("LOAD_METRICS=http://{}/metrics", server.admin());
    let words = ["LOAD_SECONDS=2", &metrics, "scripts/load.sh", viewers, &url];
    let ran = tools::run("env", &words);
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn load_of_curls_is_told_with_what_the_server_counted() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let (code, said) = load(&server, "5", &path(7));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("5 of 5 connected, 5 received media within 2 s"),
        "{said}"
    );
    assert_eq!(said.matches("status 200 ").count(), 5, "{said}");
    let counted = said.lines().last().unwrap();
    assert!(
        counted.ends_with("skips 0, skipped 0 bytes") && !counted.starts_with("chunks 0"),
        "{said}"
    );
    // The last bytes may be counted after the script has looked.
    let sent_mb = server.metric("viewer_sent_bytes_total", &[]) / 1_000_000;
    let is_told = |sent_mb: u64| counted.contains(&format!("sent {sent_mb} MB in "));
    assert!(
        is_told(sent_mb) || is_told(sent_mb - 1),
        "{sent_mb} in {said}"
    );
}

#[test]
fn load_of_curls_that_are_refused_is_a_failure() {
    let server = Server::start(&Config::new().demo(7));
    let (code, said) = load(&server, "3", &path(8));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("0 of 3 connected"), "{said}");
    assert!(said.contains("3 status 404"), "{said}");
    let (code, said) = load(&server, "none", &path(7));
    assert_eq!(code, Some(1));
    assert!(said.contains("none is no number of viewers"), "{said}");
}

#[test]
fn interrupted_load_leaves_no_curl_behind() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let url = format!("http://{}{}", server.address(), path(7));
    let mut script = Command::new("scripts/load.sh")
        .args(["4", &url])
        .envs([("LOAD_SECONDS", "60"), ("LOAD_METRICS", "")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    server.wait_metric("viewers", &[], 4);
    rustix::process::kill_process(Pid::from_child(&script), Signal::TERM).unwrap();
    assert_eq!(script.wait().unwrap().code(), Some(130));
    server.wait_metric("viewers", &[], 0);
}
