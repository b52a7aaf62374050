//! Reads a password or a token out of a file of its own.
//!
//! What a password or a token may look like belongs to whoever asks. The rule: no error shows what the file holds.

use std::fs::File;
use std::io::Read;
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
    read_text(&file, SECRET_BYTES_MAX)
        .map(|text| text.trim().to_owned())
        .map_err(|reason| Fault::Unreadable { file, reason })
}

/// Reads a whole text file of at most `bytes_max`.
///
/// # Errors
/// What the system says; `InvalidData` if the file is no UTF-8, `FileTooLarge` if it is longer.
pub(super) fn read_text(file: &Path, bytes_max: u64) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(file)?
        .take(bytes_max + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// No secret is longer than this.
const SECRET_BYTES_MAX: u64 = 65_536;
