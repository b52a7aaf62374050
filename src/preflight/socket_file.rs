//! Whether a Unix socket can be listened at, and who has it if not.
//!
//! The socket itself is made elsewhere, and so is the look at who has a path. The rule: nothing is changed by asking.

use std::path::Path;

use rustix::fs::{Access, access};

use super::Requirement;
use crate::http::unix::{Occupant, occupant};

/// Whether nobody else listens at the path and a socket may be made there; `key` is where the operator would choose another.
pub(super) fn is_free(path: &Path, key: &str) -> Requirement {
    let shown = format!("unix:{}", path.display());
    let another = format!("choose another path with {key}");
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    if !folder.is_dir() {
        let cure = format!("mkdir -p {}, or {another}", folder.display());
        return Requirement::fail(SOCKET, format!("{shown} has no folder"), cure);
    }
    let refusal = match access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        Err(refusal) => refusal.into(),
        Ok(()) => match occupant(path) {
            Ok(Occupant::Nobody) => return Requirement::ok(SOCKET, format!("{shown} is free")),
            Ok(Occupant::Left) => {
                let detail = format!("{shown} is left from a process that is gone, it is replaced");
                return Requirement::ok(SOCKET, detail);
            }
            Ok(Occupant::Other) => {
                return Requirement::fail(
                    SOCKET,
                    format!("{shown} is no socket, it is left alone"),
                    format!("rm {}, or {another}", path.display()),
                );
            }
            Ok(Occupant::Listener(Some(holder))) => {
                return Requirement::fail(
                    SOCKET,
                    format!("{shown} is in use by {} (pid {})", holder.name, holder.pid),
                    format!("stop it with kill {}, or {another}", holder.pid),
                );
            }
            Ok(Occupant::Listener(None)) => {
                return Requirement::fail(
                    SOCKET,
                    format!("{shown} is in use"),
                    format!("see by whom with ss -lxp, or {another}"),
                );
            }
            Err(refusal) => refusal,
        },
    };
    let detail = format!("listening at {shown} was refused ({refusal})");
    let cure = format!(
        "let this user read and write {}, or {another}",
        folder.display()
    );
    Requirement::fail(SOCKET, detail, cure)
}

const SOCKET: &str = "socket";

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::preflight::State;

    fn told(path: &Path) -> (bool, String) {
        match is_free(path, "--listen").state {
            State::Ok { detail } => (true, detail),
            State::Fail { detail, cure } => (false, format!("{detail}: {cure}")),
            State::Warn { .. } => panic!("nothing is half free"),
        }
    }

    #[test]
    fn each_state_of_a_path_is_told_with_its_cure_and_nothing_is_changed() {
        let folder = std::env::temp_dir().join(format!("corecast-path-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        let path = folder.join("a.sock");
        let (is_free, said) = told(&path);
        assert!(
            !is_free && said.contains("has no folder: mkdir -p "),
            "{said}"
        );
        std::fs::create_dir_all(&folder).unwrap();
        let (is_free, said) = told(&path);
        assert!(is_free && said.ends_with("a.sock is free"), "{said}");
        let listener = UnixListener::bind(&path).unwrap();
        let (is_free, said) = told(&path);
        let pid = std::process::id();
        let cure = format!("(pid {pid}): stop it with kill {pid}, or choose another path");
        assert!(!is_free && said.contains(&cure), "{said}");
        drop(listener);
        let (is_free, said) = told(&path);
        assert!(is_free && said.contains("is replaced"), "{said}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "kept").unwrap();
        let (is_free, said) = told(&path);
        assert!(!is_free && said.contains("is no socket"), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
