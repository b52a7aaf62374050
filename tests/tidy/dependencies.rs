//! What the dependencies must not do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::root;

pub(crate) fn glommio_versions(lock: &str) -> Vec<String> {
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let versions: Vec<&str> = packages
        .iter()
        .filter(|package| package["name"].as_str() == Some("glommio"))
        .map(|package| package["version"].as_str().unwrap())
        .collect();
    let finding = format!("Cargo.lock has glommio {versions:?}, exactly one 0.9.0 is allowed");
    (versions != ["0.9.0"])
        .then_some(finding)
        .into_iter()
        .collect()
}

/// Crates that glommio 0.9.0 declares, that have known faults, and that .deny.toml excuses because nothing calls them.
pub(crate) fn faulty_crates(path: &str, text: &str) -> Vec<String> {
    let crates = ["bitmaps", "concurrent_queue", "lockfree", "owned_alloc"];
    let found = crates.iter().filter(|name| text.contains(**name));
    found
        .map(|name| format!("{path} uses {name}: take its excuse out of .deny.toml"))
        .collect()
}

/// Where cargo keeps the source of the glommio that is compiled in.
pub(crate) fn glommio_folder() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments = [
        "metadata",
        "--offline",
        "--locked",
        "--format-version=1",
        "--filter-platform",
    ];
    let asked = Command::new(cargo)
        .args(arguments)
        .arg(platform)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        asked.status.success(),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let glommio = packages
        .iter()
        .find(|package| package["name"] == "glommio")
        .unwrap();
    let manifest = Path::new(glommio["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().into()
}
