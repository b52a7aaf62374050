//! The repository's test of itself: what the README promises, what the style asks for, what the dependencies must not do.
//!
//! Each check is a function from text to findings, tried on text that is wrong before it is believed about text that is
//! right (`bad.rs`). What the server does belongs in `e2e`.
#![cfg(test)]

#[path = "tidy/bad.rs"]
mod bad;
#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/readme.rs"]
mod readme;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/style.rs"]
mod style;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use corecast::cli::Exit;
use corecast::config::KEYS;
use corecast::metrics::families::ALL;
use corecast::metrics::{Connect, GuideLook, Refresh, Reject, Reload, ViewerEnd};

use crate::dependencies::{faulty_crates, glommio_folder, glommio_versions};
use crate::readme::{
    broken_examples, flags, labels, listed, statuses, subcommands, unfounded_figures,
    unlisted_pages, unserved_paths, wrong_bounds, wrong_defaults, wrong_metrics,
};
use crate::rust::Source;
use crate::style::{strangers, style, tour};

#[test]
fn readme_lists_every_flag_and_subcommand_and_no_other() {
    let help = help();
    let readme = read("README.md");
    assert_none(&listed(
        &readme,
        "flag",
        flags(&help).iter().map(|it| &**it),
    ));
    assert_none(&listed(&readme, "subcommand", subcommands(&help)));
}

#[test]
fn readme_lists_every_key_with_its_default_and_bounds_and_no_other() {
    let readme = read("README.md");
    let keys: Vec<String> = KEYS
        .iter()
        .flat_map(|(section, names)| names.iter().map(move |name| format!("{section}.{name}")))
        .collect();
    assert_none(&listed(&readme, "key", keys.iter().map(|it| &**it)));
    assert_none(&wrong_defaults(&readme));
    assert_none(&wrong_bounds(&readme));
}

#[test]
fn readme_lists_every_metric_as_it_is_and_no_other() {
    let readme = read("README.md");
    let names: Vec<String> = ALL
        .iter()
        .map(|it| format!("corecast_{}", it.name))
        .collect();
    assert_none(&listed(&readme, "metric", names.iter().map(|it| &**it)));
    assert_none(&wrong_metrics(&readme));
    assert_none(&listed(&readme, "end of a session", labels::<ViewerEnd>()));
    assert_none(&listed(&readme, "reject", labels::<Reject>()));
    assert_none(&listed(&readme, "connect", labels::<Connect>()));
    assert_none(&listed(&readme, "reload", labels::<Reload>()));
    assert_none(&listed(&readme, "refresh", labels::<Refresh>()));
    assert_none(&listed(&readme, "look", labels::<GuideLook>()));
}

#[test]
fn readme_lists_every_status_and_exit_code_and_no_other() {
    let readme = read("README.md");
    let answers = Source::new("src/http/response.rs", &read("src/http/response.rs"));
    let statuses = statuses(&answers);
    assert_none(&listed(&readme, "status", statuses.iter().map(|it| &**it)));
    let exits = [
        Exit::Done,
        Exit::Usage,
        Exit::Environment,
        Exit::Internal,
        Exit::Config,
    ];
    let exits = exits.map(|exit| (exit as u8).to_string());
    assert_none(&listed(&readme, "exit code", exits.iter().map(|it| &**it)));
}

#[test]
fn readme_lists_every_page_and_no_path_that_is_not_served() {
    assert_none(&unserved_paths(&read("README.md")));
    assert_none(&unlisted_pages(&read("README.md")));
}

#[test]
fn readme_shows_configurations_that_are_valid() {
    assert_none(&broken_examples(&read("README.md")));
}

#[test]
fn readme_shows_no_figure_that_was_not_measured() {
    let (readme, report) = (read("README.md"), read("bench/report.md"));
    assert_none(&unfounded_figures(
        &readme,
        "\n## How fast it is\n",
        &report,
    ));
}

#[test]
fn sources_keep_the_style() {
    let sources = sources();
    assert!(sources.len() > 50, "only {} sources found", sources.len());
    let findings: Vec<String> = sources.iter().flat_map(style).collect();
    assert_none(&findings);
}

#[test]
fn the_tour_names_the_modules_in_their_order() {
    assert_none(&tour(&Source::new("src/lib.rs", &read("src/lib.rs"))));
}

#[test]
fn nothing_else_lies_at_the_top() {
    let entries = fs::read_dir(root()).unwrap();
    let names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_none(&strangers(&names, &read(".gitignore")));
}

#[test]
fn glommio_is_the_one_that_was_read() {
    assert_none(&glommio_versions(&read("Cargo.lock")));
}

#[test]
fn glommio_leaves_the_crates_with_known_faults_unused() {
    let folder = glommio_folder().join("src");
    let mut findings = Vec::new();
    let files = files(&folder, "rs");
    assert!(files.len() > 20, "glommio has only {} files", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        findings.extend(faulty_crates(&file.display().to_string(), &text));
    }
    assert_none(&findings);
}

fn help() -> String {
    let asked = Command::new(env!("CARGO_BIN_EXE_corecast"))
        .arg("-h")
        .output()
        .unwrap();
    assert!(asked.status.success(), "{asked:?}");
    String::from_utf8(asked.stdout).unwrap()
}

/// Every Rust file of ours; those declared for tests alone have no product.
fn sources() -> Vec<Source> {
    let folders = ["bench", "src", "tests"].map(|folder| files(&root().join(folder), "rs"));
    let mut sources: Vec<Source> = folders
        .iter()
        .flatten()
        .map(|file| {
            let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
            Source::new(path, &fs::read_to_string(file).unwrap())
        })
        .collect();
    let test_files: Vec<String> = sources.iter().flat_map(Source::test_files).collect();
    for source in sources
        .iter_mut()
        .filter(|source| test_files.contains(&source.path))
    {
        source.product.clear();
    }
    sources
}

/// Every file below a folder that ends so, build output left out; none if there is no such folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}
