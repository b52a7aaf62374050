//! Files that outlive the process: what was fetched last, which number belongs to whom.
//!
//! What stands in them is the business of who writes them. The rule: a file is replaced whole or not at all, and only its
//! owner may read it, for URLs hold passwords. Everything here blocks: for start-up, or aside.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes a file anew, its folder too if there is none.
///
/// Shape: the parts one after the other. A reader sees the old file or the new one, also after a crash.
///
/// # Errors
/// What the system says; the old file is still there.
pub fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = write(&new, parts).and_then(|()| fs::rename(&new, path));
    if written.is_err()
        && let Err(error) = fs::remove_file(&new)
    {
        log::debug!("an unfinished file is left behind error=\"{error}\"");
    }
    written
}

fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

/// Reads a whole file; none if there is no such file.
///
/// # Errors
/// What the system says; `FileTooLarge` beyond `bytes_max`.
pub fn read(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(file) => read_open(file, bytes_max).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads what is left of an open file.
///
/// # Errors
/// As [`read`].
pub fn read_open(file: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Only its owner may look into the folder.
const FOLDER_MODE: u32 = 0o700;

/// Only its owner may read the file.
const FILE_MODE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let name = format!("corecast-kept-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        folder
    }

    #[test]
    fn a_file_is_replaced_and_only_its_owner_may_read_it() {
        let folder = folder("replaced");
        let path = folder.join("inner").join("a");
        assert_eq!(read(&path, 9).unwrap(), None);
        replace(&path, &[b"old"]).unwrap();
        replace(&path, &[b"ne", b"w"]).unwrap();
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"new");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
        assert_eq!(fs::read_dir(folder.join("inner")).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_is_too_long_is_refused() {
        let folder = folder("long");
        let path = folder.join("a");
        replace(&path, &[b"four"]).unwrap();
        let refused = read(&path, 3).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_replaced_stays() {
        let folder = folder("stays");
        let path = folder.join("a");
        fs::create_dir_all(&path).unwrap();
        assert!(replace(&path, &[b"new"]).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
