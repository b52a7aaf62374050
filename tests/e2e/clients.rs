//! Client libraries that nobody here wrote, asked by small programs that lie in the folder beside this file.
//!
//! `scripts/clients.sh` installs them; without them a test fails and says so.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Reads a playlist with m3u-ipytv.
#[track_caller]
pub(crate) fn ipytv(playlist: &str) -> Value {
    python(include_str!("clients/playlist.py"), &[], playlist)
}

/// Reads a playlist with iptv-playlist-parser.
#[track_caller]
pub(crate) fn playlist_parser(playlist: &str) -> Value {
    node(include_str!("clients/playlist.mjs"), &[], playlist)
}

/// Asks a server everything that pyxtream asks; `cache` is a folder of its own.
#[track_caller]
pub(crate) fn pyxtream(server: &str, user: &str, password: &str, cache: &str) -> Value {
    let arguments = [server, user, password, cache];
    python(include_str!("clients/xtream.py"), &arguments, "")
}

/// Asks a server everything that @iptv/xtream-api asks.
#[track_caller]
pub(crate) fn xtream_api(server: &str, user: &str, password: &str) -> Value {
    let arguments = [server, user, password];
    node(include_str!("clients/xtream.mjs"), &arguments, "")
}

/// Reads XML with Python's own parser: every element as its name, its attributes, its text.
#[track_caller]
pub(crate) fn xml(document: &str) -> Value {
    let program = "import json, sys, xml.etree.ElementTree as tree\n\
        root = tree.fromstring(sys.stdin.buffer.read())\n\
        print(json.dumps([[it.tag, it.attrib, (it.text or '').strip()] for it in root.iter()]))";
    python(program, &[], document)
}

/// The command line of schemathesis.
#[track_caller]
pub(crate) fn schemathesis() -> Command {
    assert!(folder().join("requirements.txt").exists(), "{MISSING}");
    python_of("from schemathesis.cli import schemathesis\nschemathesis()")
}

#[track_caller]
fn python(program: &str, arguments: &[&str], input: &str) -> Value {
    said(python_of(program).args(arguments), input)
}

fn python_of(program: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-c", program])
        .env("PYTHONPATH", folder().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUTF8", "1");
    command
}

#[track_caller]
fn node(program: &str, arguments: &[&str], input: &str) -> Value {
    let mut command = Command::new("node");
    // A program without a file finds its libraries from the folder it is started in.
    command
        .args(["--input-type=module", "-e", program, "-"])
        .current_dir(folder());
    said(command.args(arguments), input)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../clients")
}

/// Runs a program to its end; its last line is JSON.
#[track_caller]
fn said(command: &mut Command, input: &str) -> Value {
    assert!(folder().join("requirements.txt").exists(), "{MISSING}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{MISSING}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let ran = child.wait_with_output().unwrap();
    // A program that reads nothing may have ended before.
    drop(writer.join().unwrap());
    let output = String::from_utf8(ran.stdout).unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}: {output}{errors}", ran.status);
    let last = output.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {output}{errors}"))
}

/// What is said without them.
const MISSING: &str = "the client libraries are missing: run scripts/clients.sh";
