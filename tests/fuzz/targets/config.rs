//! Any text as a configuration file, any variables beside it: no panic, and either a configuration that can be shown or
//! errors that can be told.
//!
//! Shape: what stands before the first NUL is the file; then come variables, NUL after each, as `NAME=value`.
#![no_main]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use corecast::config::{self, Config, Inputs};
use libfuzzer_sys::fuzz_target;

/// A folder of this process, because names of secret files are relative to that of the configuration.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("corecast-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the configuration");
    fs::write(folder.join("secret"), "0123456789abcdef").expect("a secret file");
    folder.join("corecast.toml")
});

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|byte| *byte == 0);
    fs::write(&*FILE, parts.next().unwrap_or_default()).expect("the configuration is written");
    let variables = parts.filter_map(|part| {
        let at = part.iter().position(|byte| *byte == b'=')?;
        let name = [b"CORECAST_", &part[..at]].concat();
        Some((
            OsString::from_vec(name),
            OsString::from_vec(part[at + 1..].to_vec()),
        ))
    });
    let inputs = Inputs {
        file: Some(FILE.clone()),
        variables: variables.collect(),
        ..Inputs::default()
    };
    match Config::load(&inputs) {
        Ok((config, provenance)) => {
            assert!(!config::show(&config, &provenance).is_empty());
            check(&config);
        }
        Err(errors) => {
            assert!(!errors.errors().is_empty());
            assert!(!errors.to_string().is_empty());
        }
    }
});

/// A configuration that exists is valid.
fn check(config: &Config) {
    let mut ids: Vec<u32> = config.channels.iter().map(|channel| channel.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == config.channels.len() && ids.first() != Some(&0));
    assert!(!config.server.listen.is_empty());
    for channel in &config.channels {
        let stream = &channel.stream;
        assert!(!channel.upstreams.is_empty() && !channel.name.is_empty());
        assert!(stream.chunk_bytes_max % 188 == 0);
        assert!((188..=131_036).contains(&stream.chunk_bytes_max));
        assert!(stream.burst <= stream.ring);
    }
}
