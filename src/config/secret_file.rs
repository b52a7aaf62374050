//! Reads a password or a token out of a file of its own.
//!
//! What a password or a token may look like belongs to whoever asks. The rule: no error shows what the file holds.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::error::Fault;

/// Reads the secret in a file, without the white space around it. A relative name is relative to `folder`.
///
/// Bound: 64 KiB; a longer file is refused as unreadable.
///
/// # Errors
/// [`Fault::Unreadable`] if the file cannot be read or is no UTF-8.
pub(super) fn read_secret(name: &str, folder: &Path) -> Result<String, Fault> {
    let file: Arc<Path> = folder.join(name).into();
    read_bytes(&file, SECRET_BYTES_MAX)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_holds_the_secret| no_utf8()))
        .map(|text| text.trim().to_owned())
        .map_err(|reason| Fault::Unreadable { file, reason })
}

/// Reads a whole file of at most `bytes_max`.
///
/// # Errors
/// What the system says; `FileTooLarge` if the file is longer.
pub(super) fn read_bytes(file: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn no_utf8() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no UTF-8")
}

/// No secret is longer than this.
const SECRET_BYTES_MAX: u64 = 65_536;
