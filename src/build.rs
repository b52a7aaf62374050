//! Finds the player that the operator's page shows channels with, and its licences, for building them in.
//!
//! `scripts/player.sh` fetches it; nothing is fetched here. Without it the build is whole, and the page says what is
//! missing. The rule: what is built in comes with the licence of each package that it was made of.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(PLAYER);
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed={PLAYER}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let packages = folder.join("node_modules");
    let code = packages.join("mpegts.js/dist/mpegts.js");
    let (code, licences) = match code.exists() {
        true => (fs::read(code)?, licences(&packages)?),
        false => (Vec::new(), Vec::new()),
    };
    fs::write(out.join("mpegts.js"), code)?;
    fs::write(out.join("licences.txt"), licences)?;
    Ok(())
}

/// The licence of every package below a folder, each under its name.
fn licences(packages: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(packages)? {
        let path = entry?.path();
        if path.join("package.json").exists() {
            folders.push(path);
        }
    }
    folders.sort();
    let mut text = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let licence = fs::read(folder.join("LICENSE"))?;
        text.extend_from_slice(format!("==== {name} ====\n\n").as_bytes());
        text.extend_from_slice(&licence);
        text.extend_from_slice(b"\n\n");
    }
    Ok(text)
}

/// Where the player's packages are listed, and lie once they have been fetched.
const PLAYER: &str = "src/admin/page/player";
