//! Each check on text that is wrong, and on text that only looks so.

use corecast::http::page::Page;

use crate::dependencies::{faulty_crates, glommio_versions};
use crate::readme::{
    broken_examples, flags, listed, statuses, subcommands, table, unfounded_figures,
    unlisted_pages, unserved_paths, wrong_bounds, wrong_defaults, wrong_metrics,
};
use crate::rust::{Source, masked};
use crate::style::{
    channel_places, opens_with_its_job, purity, refused_names, refused_words, size, strangers,
    tour, unsafe_places,
};

/// Findings of one check on a file of the server that opens as it should.
fn found(check: fn(&Source) -> Vec<String>, code: &str) -> usize {
    found_in("src/viewer/mod.rs", check, code)
}

fn found_in(path: &str, check: fn(&Source) -> Vec<String>, code: &str) -> usize {
    check(&Source::new(
        path,
        &format!("//! Says its job here.\n{code}"),
    ))
    .len()
}

fn pure(code: &str) -> usize {
    purity(&Source::new(
        "src/a.rs",
        &format!("//! Counts. (pure)\n{code}"),
    ))
    .len()
}

#[test]
fn comments_and_literals_are_blanked_and_lines_kept() {
    let text = "a/* x /* y */\nz */b // c\n\"d\\\"e\" f r#\"g\"h\"# i 'j' '\\'' &'k l b\"m\"";
    let code = masked(text);
    let left: Vec<String> = code
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(left, ["a", "b", "fi&'klb"]);
}

#[test]
fn a_file_without_its_job_is_found() {
    assert_eq!(
        opens_with_its_job(&Source::new("src/a.rs", "use std::fmt;\n")).len(),
        1
    );
    assert_eq!(
        opens_with_its_job(&Source::new("src/a.rs", "// A comment of some length.\n")).len(),
        1
    );
    assert_eq!(found(opens_with_its_job, "fn a() {}"), 0);
}

#[test]
fn a_long_file_is_found_unless_it_says_why() {
    let short = "const A: u8 = 0;\n".repeat(400);
    let long = format!("{short}const B: u8 = 0;\n");
    assert_eq!(found(size, &long), 1);
    assert_eq!(
        found(
            size,
            &format!("{short}\n\n// a comment\n/* and\nanother */")
        ),
        0
    );
    assert_eq!(
        found(
            size,
            &format!("{short}#[cfg(test)]\nmod tests {{\n{long}}}\n")
        ),
        0
    );
    assert_eq!(
        found(
            size,
            &format!("// Long: a table that is read as one.\n{long}")
        ),
        0
    );
    assert_eq!(found(size, &format!("// Long:\n{long}")), 1);
}

#[test]
fn a_long_function_is_found_unless_it_says_why() {
    let function = |lines: usize, first: &str| {
        format!(
            "fn a(b: [u8; 2]) -> u8 {{\n{first}{}0\n}}\n",
            "b();\n".repeat(lines - 1)
        )
    };
    assert_eq!(found(size, &function(70, "")), 0);
    assert_eq!(found(size, &function(71, "")), 1);
    assert_eq!(
        found(
            size,
            &function(71, "// Long: one match over every message.\n")
        ),
        0
    );
    assert_eq!(found(size, &function(70, "// why\n\n")), 0);
    assert_eq!(
        found(
            size,
            &format!("trait A {{ fn a(); }}\n{}", function(71, ""))
        ),
        1
    );
}

#[test]
fn unsafe_is_found_outside_its_two_files() {
    let code = "fn a() { unsafe { b() } }";
    assert_eq!(found(unsafe_places, code), 1);
    assert_eq!(found_in("tests/e2e/a.rs", unsafe_places, code), 1);
    assert_eq!(found_in("src/segment.rs", unsafe_places, code), 0);
    assert_eq!(found_in("src/shard/fd.rs", unsafe_places, code), 0);
    assert_eq!(
        found(
            unsafe_places,
            "#![deny(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";"
        ),
        0
    );
}

#[test]
fn channels_of_glommio_are_found_outside_the_feed() {
    for code in [
        "use glommio::channels::local_channel;",
        "use glommio::{Task, channels::{local_channel::new_bounded as queue}};",
        "use glommio::channels as queues;",
        "fn a() { glommio::channels::local_channel::new_bounded(1); }",
    ] {
        assert_eq!(found(channel_places, code), 1, "{code}");
        assert_eq!(
            found_in("src/shard/feed.rs", channel_places, code),
            0,
            "{code}"
        );
    }
    assert_eq!(
        found(channel_places, "use glommio::Task; // glommio::channels"),
        0
    );
}

#[test]
fn what_is_called_pure_must_not_reach_the_system() {
    for code in [
        "use glommio::Task;",
        "use std::net::TcpStream;",
        "use std::net::{IpAddr, TcpListener};",
        "use std::time::{Duration, Instant};",
        "use std::time::SystemTime;\nfn a() { SystemTime::now(); }",
        "use std::{fmt, fs};",
        "use socket2::Socket;",
        "fn a() { rustix::fs::open(); }",
    ] {
        assert_ne!(pure(code), 0, "{code}");
        assert_eq!(found(purity, code), 0, "{code}");
    }
    for code in [
        "use std::net::{IpAddr, Ipv4Addr, SocketAddr};",
        "use std::time::{Duration, SystemTime, UNIX_EPOCH};",
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
        "/// As `std::fs::read` does.\nfn a() {}",
    ] {
        assert_eq!(pure(code), 0, "{code}");
    }
}

#[test]
fn refused_names_are_found() {
    for code in [
        "struct ViewerManager;",
        "enum UtilKind { A }",
        "trait RingHelper {}",
        "type CommonRing = Ring;",
        "mod util;",
        "fn get_ring() {}",
        "fn a() { dbg!(1); }",
    ] {
        assert_eq!(found(refused_names, code), 1, "{code}");
    }
    for path in ["src/util.rs", "src/common/ring.rs", "src/ring_helpers.rs"] {
        assert_eq!(found_in(path, refused_names, ""), 1, "{path}");
    }
    assert_eq!(
        found(
            refused_names,
            "struct Utility;\nfn get() {}\nfn budget_of() {}"
        ),
        0
    );
}

#[test]
fn what_is_left_to_do_is_found() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    for word in words {
        assert_eq!(found(refused_words, &format!("// {word}: later")), 1);
        assert_eq!(found(refused_words, &format!("// {word}S")), 0);
    }
}

#[test]
fn files_declared_for_tests_are_known() {
    let of = |path: &str, code: &str| Source::new(path, code).test_files();
    let code =
        "mod a;\n#[cfg(test)]\npub(crate) mod b;\nmod c;\n#[cfg(test)]\nmod d {\n    use e;\n}\n";
    assert_eq!(of("src/ts/mod.rs", code), ["src/ts/b.rs"]);
    assert_eq!(of("src/ts.rs", code), ["src/ts/b.rs"]);
}

#[test]
fn a_tour_in_another_order_is_found() {
    let lib = |text: &str| tour(&Source::new("src/lib.rs", text)).len();
    let modules = "pub mod a;\npub mod b;\n";
    assert_eq!(
        lib(&format!(
            "//! [`a`] and\n//! [`b`], then [`a`] again.\n{modules}"
        )),
        0
    );
    assert_eq!(lib(&format!("//! [`b`], [`a`].\n{modules}")), 1);
    assert_eq!(lib(&format!("//! [`a`].\n{modules}")), 1);
    assert_eq!(lib(&format!("//! [`a`], [`b`], [`c`].\n{modules}")), 1);
}

#[test]
fn strangers_at_the_top_are_found() {
    let of = |name: &str| strangers(&[name.to_owned()], "/target\n/notes/x\n").len();
    assert_eq!(of("notes"), 1);
    assert_eq!(of("build.rs"), 1);
    for known in ["src", "target", ".github", "LICENSE-MIT", "Cargo.lock"] {
        assert_eq!(of(known), 0, "{known}");
    }
}

#[test]
fn another_or_a_second_glommio_is_found() {
    let lock = |versions: &[&str]| {
        let package =
            |version: &&str| format!("[[package]]\nname = \"glommio\"\nversion = \"{version}\"\n");
        glommio_versions(&versions.iter().map(package).collect::<String>()).len()
    };
    assert_eq!(lock(&["0.9.0"]), 0);
    assert_eq!(lock(&["0.9.1"]), 1);
    assert_eq!(lock(&["0.8.0", "0.9.0"]), 1);
}

#[test]
fn a_use_of_a_crate_with_known_faults_is_found() {
    assert_eq!(faulty_crates("a.rs", "use lockfree::map::Map;").len(), 1);
    assert_eq!(
        faulty_crates(
            "a.rs",
            "use bitmaps::Bitmap;\nuse concurrent_queue::ConcurrentQueue;"
        )
        .len(),
        2
    );
    assert_eq!(faulty_crates("a.rs", "use flume::Sender;"), [""; 0]);
}

#[test]
fn rows_that_are_missing_or_too_many_are_found() {
    let readme =
        "| flag | does |\n|---|---|\n| `-a` | x \\| y |\n| `-b` | z |\n\n| key |\n|---|\n| `c` |\n";
    assert_eq!(listed(readme, "flag", ["-a", "-b"]), [""; 0]);
    assert_eq!(listed(readme, "flag", ["-a"]).len(), 1);
    assert_eq!(listed(readme, "flag", ["-a", "-b", "-c"]).len(), 1);
    assert_eq!(listed(readme, "metric", ["m"]).len(), 1);
    assert_eq!(
        listed("| flag |\n|---|\n| `-a` |\n| `-a` |\n", "flag", ["-a"]).len(),
        1
    );
    assert_eq!(table(readme, "flag").unwrap()["-a"], ["x | y"]);
}

#[test]
fn wrong_defaults_and_bounds_are_found() {
    let keys = |default: &str, bounds: &str| {
        format!(
            "| key | default | meaning | bounds |\n|---|---|---|---|\n| `server.drain_ms` | `{default}` | x | {bounds} |\n"
        )
    };
    let right = keys("5000", "0 to 600000");
    assert_eq!(
        (wrong_defaults(&right).len(), wrong_bounds(&right).len()),
        (0, 0)
    );
    assert_eq!(wrong_defaults(&keys("5001", "0 to 600000")).len(), 1);
    assert_eq!(wrong_defaults(&keys("\"5000\"", "0 to 600000")).len(), 1);
    assert_eq!(wrong_bounds(&keys("5000", "1 to 600000")).len(), 1);
}

#[test]
fn metrics_described_as_what_they_are_not_are_found() {
    let row = |kind: &str, labels: &str, help: &str| {
        let head = "| metric | type | labels | meaning |\n|---|---|---|---|";
        format!("{head}\n| `corecast_viewer_ends_total` | {kind} | {labels} | {help} |\n")
    };
    let help = "Viewer sessions that ended.";
    assert_eq!(
        wrong_metrics(&row("counter", "channel, reason", help)),
        [""; 0]
    );
    assert_eq!(
        wrong_metrics(&row("gauge", "channel, reason", help)).len(),
        1
    );
    assert_eq!(wrong_metrics(&row("counter", "channel", help)).len(), 1);
    assert_eq!(
        wrong_metrics(&row("counter", "channel, reason", "Viewers.")).len(),
        1
    );
}

#[test]
fn paths_that_are_not_served_are_found() {
    let readme = |request: &str, admin: &str| {
        format!("| request |\n|---|\n| `{request}` |\n\n| admin request |\n|---|\n| `{admin}` |\n")
    };
    assert_eq!(
        unserved_paths(&readme(
            "GET /live/{user}/{password}/{id}.ts",
            "GET /metrics"
        )),
        [""; 0]
    );
    assert_eq!(
        unserved_paths(&readme("GET /playlist.m3u", "GET /metrics")),
        [""; 0]
    );
    assert_eq!(
        unserved_paths(&readme("GET /playlist.m3u8", "GET /metrics")).len(),
        1
    );
    assert_eq!(
        unserved_paths(&readme("GET /ace/getstream?id={hash}", "GET /dashboard")).len(),
        1
    );
    assert_eq!(unserved_paths("").len(), 1);
}

#[test]
fn pages_that_are_not_listed_are_found() {
    let row = |(_, name): &(Page, &str)| format!("| `GET /{name}?username={{user}}` |\n");
    let all: String = Page::ALL.iter().map(row).collect();
    let readme = |rows: &str| format!("| request |\n|---|\n{rows}");
    assert_eq!(unlisted_pages(&readme(&all)), [""; 0]);
    let without = all.replacen("/get.php", "/get.php5", 1);
    assert_eq!(unlisted_pages(&readme(&without)).len(), 1);
    assert_eq!(unlisted_pages("").len(), Page::ALL.len());
}

#[test]
fn examples_that_are_refused_are_found() {
    let readme = |example: &str| format!("Text.\n\n```toml\n{example}```\n\nText.\n");
    assert_eq!(
        broken_examples(&readme("[server]\ndrain_ms = 0\n")),
        [""; 0]
    );
    assert_eq!(broken_examples(&readme("[server]\ndrain = 0\n")).len(), 1);
    assert_eq!(broken_examples("Text.").len(), 1);
}

#[test]
fn flags_and_subcommands_are_read_from_the_help() {
    let help = "About.\n\nCommands:\n  run    Serve\n  check  Validate\n\nOptions:\n  -c, --config <FILE>  A file, --not this\n      --shards <COUNT>\n  -h, --help           Print help\n";
    assert_eq!(subcommands(help), ["run", "check"]);
    let flags: Vec<String> = flags(help).into_iter().collect();
    assert_eq!(flags, ["--config", "--help", "--shards", "-c", "-h"]);
}

#[test]
fn statuses_are_read_from_the_heads() {
    let answers = Source::new(
        "src/http/response.rs",
        "const A: S = Self::new(404, x); \"HTTP/1.1 204 No\"; Self::new(code)",
    );
    let statuses: Vec<String> = statuses(&answers).into_iter().collect();
    assert_eq!(statuses, ["204", "404"]);
}

#[test]
fn figures_that_were_not_measured_are_found() {
    let report = "of 0123456789ab\n\n| server | CPU | delay |\n|---|---|---|\n| x | 0.278 | 33 ms |\n\n\
        | server | CPU | delay |\n|---|---|---|\n| x | 0.5 | 9 ms |\n| y | 1.5 | 8 ms |\n";
    let found = |rows: &str| {
        let readme = format!(
            "a\n## Fast\n\nAt commit 0123456789ab, here.\n\n{rows}\n## Next\n\n| a | b |\n|---|---|\n| x | 9 |\n"
        );
        unfounded_figures(&readme, "\n## Fast\n", report).len()
    };
    let servers = "| server | CPU | delay |\n|---|---|---|\n";
    assert_eq!(
        found(&format!(
            "{servers}| x (slow) | 0.278 | 33 ms |\n| y | 1.5 | - |\n"
        )),
        0
    );
    assert_eq!(found(&format!("{servers}| x | 0.279 | 33 ms |\n")), 1);
    assert_eq!(
        found(&format!("{servers}| x | 0.278 | 9 ms |\n")),
        1,
        "two loads"
    );
    assert_eq!(
        found(&format!("{servers}| y | 0.5 | 9 ms |\n")),
        1,
        "another server's"
    );
    assert_eq!(found(&format!("{servers}| x | - | no |\n")), 1, "no figure");
    assert_eq!(
        found(&format!("{servers}| x | 0.278 | 33 ms | 7 |\n")),
        1,
        "a cell too many"
    );
    let across = "| | expected | x | y |\n|---|---|---|---|\n";
    assert_eq!(found(&format!("{across}| CPU | 7 | 0.278 | 1.5 |\n")), 0);
    assert_eq!(
        found(&format!("{across}| CPU | 7 | 1.5 | 0.278 |\n")),
        1,
        "swapped"
    );
    assert_eq!(found(""), 1);
    let other = format!("\n## Fast\n\nAt commit ba9876543210\n\n{servers}| x | 0.5 | - |\n");
    assert_eq!(unfounded_figures(&other, "\n## Fast\n", report).len(), 1);
}
