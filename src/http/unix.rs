//! The file of a Unix socket: who has it, how it is made, how it goes away.
//!
//! Accepting is `accept`'s. The rule: a file that a process is still listening behind, or that is no socket, is never
//! removed; one whose process is gone is in nobody's way.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, lstat};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::http::accept::ListenError;

/// Who has a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// A socket that nobody listens behind: its process is gone.
    Left,
    /// Somebody listens there.
    Listener(Option<Holder>),
    /// There is no such file.
    Nobody,
    /// Something that is no socket.
    Other,
}

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: i32,
    /// Its name without control characters.
    pub name: String,
}

/// Finds out who has a path.
///
/// Blocks for up to 2 s while the socket of a process that has ended is still being given up: the kernel does that after
/// the process where io_uring was used.
///
/// # Errors
/// What the system says to looking or connecting.
#[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
pub fn occupant(path: &Path) -> io::Result<Occupant> {
    for _ in 0..TRIES {
        match look(path)? {
            Found::Orphan => thread::sleep(PAUSE),
            Found::Settled(occupant) => return Ok(occupant),
        }
    }
    Ok(Occupant::Listener(None))
}

/// A socket that listens at `path`, in place of one that was left there, for its owner and its group.
///
/// Blocks like [`occupant`], and for half a second while somebody else locks the folder.
///
/// # Errors
/// [`ListenError`] names the path; what is there is left alone.
pub fn listen(path: &Path, backlog: i32) -> Result<(OwnedFd, SocketFile), ListenError> {
    let failed = |source: io::Error| ListenError::PathRefused {
        path: path.to_owned(),
        source,
    };
    // Of two that find the same left socket, one would remove what the other has just made.
    let alone = lock_folder(path).map_err(failed)?;
    if alone.is_none() {
        // Whoever may read the folder may lock it, for ever: it must not keep this process from starting.
        let path = path.display();
        log::warn!(
            "the folder of a socket is locked by another program: listening all the same path={path}"
        );
    }
    match occupant(path).map_err(failed)? {
        Occupant::Left => fs::remove_file(path).map_err(failed)?,
        Occupant::Nobody => {}
        Occupant::Listener(_) => return Err(ListenError::PathInUse { path: path.into() }),
        Occupant::Other => return Err(ListenError::NoSocket { path: path.into() }),
    }
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::of(path)?;
        // Before it listens, so that nobody connects who may not.
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        socket.listen(backlog)?;
        Ok((socket.into(), file))
    };
    listen().map_err(failed)
}

/// The file of a socket that this process listens behind; removed when dropped, unless it is another's by then.
///
/// Ownership: keeps the file itself open, or its number could be that of a later one.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    file: OwnedFd,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self {
            path: path.to_owned(),
            file: rustix::fs::open(path, flags, Mode::empty())?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let own = fstat(&self.file).map(|own| (own.st_dev, own.st_ino));
        let there = lstat(&self.path).map(|there| (there.st_dev, there.st_ino));
        if own.is_err() || own != there {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            log::warn!("the file of a socket could not be removed path={path} error=\"{error}\"");
        }
    }
}

/// Held until dropped; `None` if somebody else holds it for longer than making a socket takes.
#[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
fn lock_folder(path: &Path) -> io::Result<Option<OwnedFd>> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    for _ in 0..LOCK_TRIES {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
            settled => return settled.map(|()| Some(folder)).map_err(Into::into),
        }
    }
    Ok(None)
}

/// What one look shows.
enum Found {
    /// A socket that still listens although its process is gone.
    Orphan,
    Settled(Occupant),
}

fn look(path: &Path) -> io::Result<Found> {
    let settled = |occupant| Ok(Found::Settled(occupant));
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => return settled(Occupant::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return settled(Occupant::Nobody);
        }
        Err(error) => return Err(error),
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener that accepts nothing must not be waited for.
    probe.set_nonblocking(true)?;
    let Err(refusal) = probe.connect(&SockAddr::unix(path)?) else {
        let Some(pid) = rustix::net::sockopt::socket_peercred(&probe)
            .ok()
            .map(|peer| peer.pid.as_raw_pid())
            .filter(|pid| *pid > 0)
        else {
            return settled(Occupant::Listener(None));
        };
        return Ok(match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) => Found::Settled(Occupant::Listener(Some(Holder {
                pid,
                name: name.trim().escape_default().to_string(),
            }))),
            Err(_) if !Path::new("/proc/self").exists() => Found::Settled(Occupant::Listener(None)),
            Err(_) => Found::Orphan,
        });
    };
    match Errno::from_io_error(&refusal) {
        Some(Errno::CONNREFUSED) => settled(Occupant::Left),
        Some(Errno::NOENT) => settled(Occupant::Nobody),
        Some(Errno::AGAIN) => settled(Occupant::Listener(None)),
        _ => Err(refusal),
    }
}

/// Owner and group may connect; a front is put into the group.
const MODE: u32 = 0o660;

/// How often what is about to change is looked at again.
const TRIES: u32 = 40;

/// How often the lock of a folder is tried.
const LOCK_TRIES: u32 = 10;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    /// A path in a folder of its own.
    fn place(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("corecast-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        folder.join("a.sock")
    }

    #[test]
    fn a_socket_is_for_owner_and_group_and_goes_with_its_owner() {
        let path = place("made");
        let (socket, file) = listen(&path, 8).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        UnixStream::connect(&path).unwrap();
        let Occupant::Listener(Some(holder)) = occupant(&path).unwrap() else {
            panic!("nobody listens");
        };
        assert_eq!(holder.pid, i32::try_from(std::process::id()).unwrap());
        drop(socket);
        assert_eq!(occupant(&path).unwrap(), Occupant::Left);
        drop(file);
        assert_eq!(occupant(&path).unwrap(), Occupant::Nobody);
    }

    #[test]
    fn a_socket_that_was_left_is_replaced_and_the_later_file_stays() {
        let path = place("left");
        drop(UnixListener::bind(&path).unwrap());
        let (first, first_file) = listen(&path, 8).unwrap();
        drop(first);
        let (_second, second_file) = listen(&path, 8).unwrap();
        drop(first_file);
        UnixStream::connect(&path).unwrap();
        drop(second_file);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_somebody_locks_for_ever_is_listened_in_all_the_same() {
        let path = place("locked");
        let folder = fs::File::open(path.parent().unwrap()).unwrap();
        flock(&folder, FlockOperation::NonBlockingLockExclusive).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        let (_socket, _file) = listen(&path, 8).unwrap();
        UnixStream::connect(&path).unwrap();
        assert!(matches!(
            listen(&path, 8),
            Err(ListenError::PathInUse { .. })
        ));
    }

    #[test]
    fn a_socket_in_use_is_refused_and_left_alone() {
        let path = place("used");
        let theirs = UnixListener::bind(&path).unwrap();
        assert!(matches!(
            listen(&path, 8),
            Err(ListenError::PathInUse { .. })
        ));
        UnixStream::connect(&path).unwrap();
        drop(theirs);
        listen(&path, 8).unwrap();
    }

    #[test]
    fn a_listener_that_accepts_nothing_is_not_waited_for() {
        let path = place("full");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let _queued = UnixStream::connect(&path).unwrap();
        assert_eq!(occupant(&path).unwrap(), Occupant::Listener(None));
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let path = place("other");
        fs::write(&path, "kept").unwrap();
        assert!(matches!(
            listen(&path, 8),
            Err(ListenError::NoSocket { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert_eq!(occupant(&path).unwrap(), Occupant::Other);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = listen(Path::new("/no/such/folder/a.sock"), 8).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("listen on unix:/no/such/folder/a.sock failed"),
            "{error}"
        );
    }
}
