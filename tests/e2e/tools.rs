//! Real programs around the server, from curl to prometheus. A missing one fails the test and names its package.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use corecast_load::verify::{Seen, Verifier};

/// Runs a tool to its end.
#[track_caller]
pub(crate) fn run(tool: &str, arguments: &[&str]) -> Output {
    let ran = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    ran.unwrap_or_else(|error| {
        panic!(
            "{tool} is missing (apt-get install {}): {error}",
            package(tool)
        )
    })
}

/// Starts a tool whose output is read when it has ended.
#[track_caller]
pub(crate) fn spawn(tool: &str, arguments: &[&str]) -> Child {
    spawn_with(tool, arguments, Stdio::null())
}

/// The same with something to read.
#[track_caller]
pub(crate) fn spawn_fed(tool: &str, arguments: &[&str]) -> Child {
    spawn_with(tool, arguments, Stdio::piped())
}

#[track_caller]
fn spawn_with(tool: &str, arguments: &[&str], input: Stdio) -> Child {
    let spawned = Command::new(tool)
        .args(arguments)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    spawned.unwrap_or_else(|error| {
        panic!(
            "{tool} is missing (apt-get install {}): {error}",
            package(tool)
        )
    })
}

/// What a whole file counts to.
pub(crate) fn verify(file: &Path) -> Seen {
    let mut verifier = Verifier::default();
    verifier.push(&std::fs::read(file).unwrap());
    verifier.seen().clone()
}

/// What a decoder that forgives nothing says to a file, and how it ends; nothing if it can show all of it.
#[track_caller]
pub(crate) fn complaints(file: &Path) -> Option<String> {
    let file = file.to_str().unwrap();
    let strict = [
        "-v",
        "error",
        "-xerror",
        "-err_detect",
        "explode",
        "-threads",
        "1",
    ];
    let decoded = run(
        "ffmpeg",
        &[&strict[..], &["-i", file, "-f", "null", "-"]].concat(),
    );
    let said = String::from_utf8_lossy(&decoded.stderr).into_owned();
    let is_content = decoded.status.success() && said.is_empty();
    (!is_content).then(|| format!("{}: {said}", decoded.status))
}

fn package(tool: &str) -> &str {
    match tool {
        "ffprobe" => "ffmpeg",
        "nginx" => "nginx-light",
        "promtool" => "prometheus",
        "systemd-analyze" | "systemd-socket-activate" => "systemd",
        _ => tool,
    }
}
