//! What is handed out around the binary: the unit, the Debian package, the container's filter of system calls.
//!
//! The package is put together here by what `Cargo.toml` says of it, as `cargo deb` does it for a release.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::launch::{Folder, Launch};
use crate::server::path;
use crate::tools;
use crate::viewer::Viewer;

#[test]
fn unit_is_hardened() {
    let unit = source("scripts/dist/corecast.service");
    // In tenths of systemd's own measure: 2.0, and at most that.
    let arguments = ["security", "--offline=true", "--threshold=20", "--no-pager"];
    let judged = tools::run("systemd-analyze", &[&arguments[..], &[&unit]].concat());
    assert!(judged.status.success(), "{}", said(&judged));
    assert!(said(&judged).contains("Overall exposure level"));
}

#[test]
fn package_installs_what_it_promises_into_a_root_of_its_own() {
    let folder = Folder::new();
    let package = build(folder.path());
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    dpkg(&root, &["--install", package.to_str().unwrap()]);
    let mode = |file: &str| fs::metadata(root.join(file)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("usr/bin/corecast"), 0o755);
    assert_eq!(mode("etc/corecast"), 0o750);
    assert_eq!(mode("etc/corecast/corecast.toml"), 0o640);
    let groups = fs::read_to_string(root.join("etc/group")).unwrap();
    let group = groups
        .lines()
        .find_map(|line| line.strip_prefix("corecast:"));
    let id = group.and_then(|rest| rest.split(':').nth(1)).unwrap();
    let owner = fs::metadata(root.join("etc/corecast/corecast.toml")).unwrap();
    assert_eq!((owner.uid(), owner.gid().to_string()), (0, id.to_owned()));
    installed_files_are_whole(&root);
    // What the operator has written stays.
    fs::write(root.join("etc/corecast/corecast.toml"), "# mine\n").unwrap();
    dpkg(&root, &["--remove", "corecast"]);
    assert!(!root.join("usr/bin/corecast").exists());
    assert_eq!(
        fs::read_to_string(root.join("etc/corecast/corecast.toml")).unwrap(),
        "# mine\n"
    );
    dpkg(&root, &["--purge", "corecast"]);
    assert!(!root.join("etc/corecast/corecast.toml").exists());
}

/// The installed binary runs on the installed file, and systemd has no complaint about the units.
#[track_caller]
fn installed_files_are_whole(root: &Path) {
    let file = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let checked = tools::run(
        &file("usr/bin/corecast"),
        &["check", &file("etc/corecast/corecast.toml")],
    );
    assert!(checked.status.success(), "{}", said(&checked));
    let page = fs::read_to_string(root.join("usr/share/man/man1/corecast.1")).unwrap();
    assert!(page.contains(".TH corecast 1"), "{page}");
    let completions = file("usr/share/bash-completion/completions/corecast");
    assert!(tools::run("bash", &["-n", &completions]).status.success());
    // A unit's commands are looked for outside of the root, where they are not.
    for name in ["corecast.service", "corecast.socket"] {
        let unit = file(&format!("usr/lib/systemd/system/{name}"));
        let text = fs::read_to_string(&unit).unwrap();
        fs::write(
            &unit,
            text.replace("/usr/bin/corecast", &file("usr/bin/corecast")),
        )
        .unwrap();
        let verified = tools::run("systemd-analyze", &["verify", "--man=no", &unit]);
        assert!(
            verified.status.success() && said(&verified).is_empty(),
            "{}",
            said(&verified)
        );
    }
}

#[test]
fn image_is_built_with_the_rust_that_is_asked_for() {
    let manifest = manifest();
    let version = manifest["package"]["rust-version"].as_str().unwrap();
    let image = fs::read_to_string(source("scripts/dist/Dockerfile")).unwrap();
    assert!(image.contains(&format!("FROM rust:{version}-")), "{image}");
}

#[test]
fn release_has_its_changes_told() {
    let manifest = manifest();
    let version = manifest["package"]["version"].as_str().unwrap();
    let readme = fs::read_to_string(source("README.md")).unwrap();
    let heading = format!("\n### {version}\n");
    assert!(
        readme.contains(&heading),
        "README.md does not say what is new in {version}"
    );
}

/// Runs the binary behind a filter that is built of a profile.
fn filtered(config: &Config, profile: &Path) -> Launch {
    Launch::new(config).through(&["python3", "-c", FILTER, profile.to_str().unwrap()])
}

#[test]
fn container_profile_lets_corecast_run_only_once_it_allows_io_uring() {
    let folder = Folder::new();
    let (engine, ours) = (
        folder.path().join("default.json"),
        folder.path().join("ours.json"),
    );
    let made = tools::run("python3", &["-c", PROFILE]);
    assert!(made.status.success(), "{}", said(&made));
    fs::write(&engine, &made.stdout).unwrap();
    let refused = filtered(&Config::new().demo(7), &engine).run();
    assert_eq!(refused.code, Some(69), "{refused:?}");
    let cure = "allow io_uring_setup, io_uring_enter and io_uring_register in seccomp";
    assert!(
        refused
            .errors
            .contains("io_uring_setup was refused (EPERM)"),
        "{refused:?}"
    );
    assert!(refused.errors.contains(cure), "{refused:?}");
    let told = filtered(&Config::new().demo(7), &engine)
        .argument("doctor")
        .run();
    assert_eq!(told.code, Some(69), "{told:?}");
    assert!(
        told.output.contains("fail io_uring: ") && told.output.contains(cure),
        "{told:?}"
    );
    assert!(
        told.output.contains("seccomp: a filter is in force"),
        "{told:?}"
    );
    let allowed = tools::run(
        &source("scripts/dist/seccomp.sh"),
        &[engine.to_str().unwrap()],
    );
    assert!(allowed.status.success(), "{}", said(&allowed));
    fs::write(&ours, &allowed.stdout).unwrap();
    let server = filtered(&Config::new().demo(7), &ours).start();
    let viewer = Viewer::of(server.address(), &path(7));
    viewer.wait("media", |state| state.seen().packets > 100);
}

#[test]
fn what_is_no_profile_is_refused() {
    let folder = Folder::new();
    let file = folder.path().join("other.json");
    fs::write(&file, "{\"syscalls\": []}").unwrap();
    let ran = tools::run(
        &source("scripts/dist/seccomp.sh"),
        &[file.to_str().unwrap()],
    );
    assert!(!ran.status.success());
    assert!(
        said(&ran).contains("this is no seccomp profile"),
        "{}",
        said(&ran)
    );
}

/// Builds the package of `Cargo.toml` with the binary under test.
#[track_caller]
fn build(folder: &Path) -> PathBuf {
    let manifest = manifest();
    let (package, deb) = (
        &manifest["package"],
        &manifest["package"]["metadata"]["deb"],
    );
    let (tree, texts) = (folder.join("tree"), folder.join("texts"));
    let made = tools::run(
        &source("scripts/dist/texts.sh"),
        &[env!("CARGO_BIN_EXE_corecast"), texts.to_str().unwrap()],
    );
    assert!(made.status.success(), "{}", said(&made));
    for asset in deb["assets"].as_array().unwrap() {
        let part = |index: usize| asset[index].as_str().unwrap();
        let from = match part(0).strip_prefix("target/release/") {
            Some("corecast") => env!("CARGO_BIN_EXE_corecast").into(),
            Some(text) => texts.join(text.strip_prefix("dist/").unwrap()),
            None => source(part(0)).into(),
        };
        let mut to = tree.join(part(1));
        if part(1).ends_with('/') {
            to = to.join(from.file_name().unwrap());
        }
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        let mode = u32::from_str_radix(part(2), 8).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
    }
    let control = tree.join("DEBIAN");
    fs::create_dir_all(&control).unwrap();
    let text = |table: &toml::Value, key: &str| table[key].as_str().unwrap().to_owned();
    let fields = format!(
        "Package: {}\nVersion: {}-1\nArchitecture: all\nMaintainer: {}\nSection: {}\nDepends: {}\nDescription: {}\n",
        text(package, "name"),
        text(package, "version"),
        text(deb, "maintainer"),
        text(deb, "section"),
        text(deb, "depends"),
        text(package, "description"),
    );
    fs::write(control.join("control"), fields).unwrap();
    let kept = deb["conf-files"].as_array().unwrap().iter();
    let kept: String = kept
        .map(|file| format!("{}\n", file.as_str().unwrap()))
        .collect();
    fs::write(control.join("conffiles"), kept).unwrap();
    for script in fs::read_dir(source(deb["maintainer-scripts"].as_str().unwrap())).unwrap() {
        let script = script.unwrap();
        fs::copy(script.path(), control.join(script.file_name())).unwrap();
    }
    let file = folder.join("corecast.deb");
    let arguments = [
        "--root-owner-group",
        "-Znone",
        "--build",
        tree.to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    let built = tools::run("dpkg-deb", &arguments);
    assert!(built.status.success(), "{}", said(&built));
    file
}

/// Runs dpkg on another root; the scripts of packages run outside of it and are told where it is.
#[track_caller]
fn dpkg(root: &Path, arguments: &[&str]) {
    let log = format!("--log={}", root.join("dpkg.log").display());
    let root = format!("--root={}", root.display());
    // Nothing else is installed there, systemd neither.
    let always = ["--force-depends", "--force-script-chrootless", &root, &log];
    let ran = tools::run("dpkg", &[&always[..], arguments].concat());
    assert!(ran.status.success(), "{}", said(&ran));
}

fn manifest() -> toml::Table {
    fs::read_to_string(source("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

/// A file of the repository.
fn source(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn said(ran: &std::process::Output) -> String {
    let both = [&ran.stdout[..], &ran.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

/// Prints a profile in the form of a container engine's: everything that libseccomp knows, and no io_uring.
const PROFILE: &str = "
import ctypes, json
lib = ctypes.CDLL('libseccomp.so.2')
lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
names = [lib.seccomp_syscall_resolve_num_arch(lib.seccomp_arch_native(), number) for number in range(600)]
names = [name.decode() for name in names if name and not name.startswith(b'io_uring')]
rule = {'names': names, 'action': 'SCMP_ACT_ALLOW', 'args': [], 'comment': '', 'includes': {}, 'excludes': {}}
print(json.dumps({'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 1, 'syscalls': [rule]}))
";

/// Loads the filter that a profile asks for and becomes the program that is named after it.
const FILTER: &str = "
import ctypes, json, os, sys
lib = ctypes.CDLL('libseccomp.so.2')
lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
lib.seccomp_load.argtypes = [ctypes.c_void_p]
with open(sys.argv[1]) as file:
    profile = json.load(file)
assert profile['defaultAction'] == 'SCMP_ACT_ERRNO'
context = lib.seccomp_init(0x00050000 | profile['defaultErrnoRet'])
for rule in profile['syscalls']:
    assert rule['action'] == 'SCMP_ACT_ALLOW'
    for name in rule['names']:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and lib.seccomp_rule_add_array(context, 0x7fff0000, number, 0, None):
            sys.exit('no rule for ' + name)
if lib.seccomp_load(context):
    sys.exit('the filter cannot be loaded')
os.execv(sys.argv[2], sys.argv[2:])
";
