//! What the style asks of one Rust file, of the tour and of the top folder.
//!
//! Reading Rust belongs in `rust.rs`. A line `// Long: reason` at the margin of a file excuses its length, inside a function
//! that function's.

use crate::rust::{Source, functions, lines, paths, tokens, words};

pub(crate) fn style(source: &Source) -> Vec<String> {
    let checks: [fn(&Source) -> Vec<String>; 7] = [
        opens_with_its_job,
        size,
        unsafe_places,
        channel_places,
        purity,
        refused_names,
        refused_words,
    ];
    let findings = checks.iter().flat_map(|check| check(source));
    findings
        .map(|it| format!("{}: {it}", source.path))
        .collect()
}

pub(crate) fn opens_with_its_job(source: &Source) -> Vec<String> {
    let is_said = source.job().len() > 10;
    (!is_said)
        .then(|| "does not open with //! and its job".into())
        .into_iter()
        .collect()
}

pub(crate) fn size(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let is_excused = |lines: &[&str]| {
        lines.iter().any(|line| {
            let reason = line.trim_start().strip_prefix(EXCUSE);
            reason.is_some_and(|reason| reason.trim().len() > 10)
        })
    };
    let text: Vec<&str> = source.text.lines().collect();
    let at_margin: Vec<&str> = text
        .iter()
        .copied()
        .filter(|line| line.starts_with(EXCUSE))
        .collect();
    let code_lines = lines(&source.product);
    if code_lines > FILE_LINES_MAX && !is_excused(&at_margin) {
        findings.push(format!(
            "{code_lines} lines of code, {FILE_LINES_MAX} are allowed"
        ));
    }
    let code: Vec<&str> = source.product.lines().collect();
    for function in functions(&source.product) {
        let body = |of: &[&str]| {
            of.get(function.body.start - 1..function.body.end - 1)
                .unwrap_or_default()
                .join("\n")
        };
        let code_lines = lines(&body(&code));
        if code_lines > FUNCTION_LINES_MAX && !is_excused(&body(&text).lines().collect::<Vec<_>>())
        {
            findings.push(format!(
                "line {}: {} has {code_lines} lines of code, {FUNCTION_LINES_MAX} are allowed",
                function.line, function.name
            ));
        }
    }
    findings
}

pub(crate) fn unsafe_places(source: &Source) -> Vec<String> {
    let is_allowed = ["src/segment.rs", "src/shard/fd.rs"].contains(&source.path.as_str());
    let tokens = tokens(&source.code);
    let found = tokens
        .iter()
        .filter(|token| token.text == "unsafe" && !is_allowed);
    found
        .map(|token| format!("line {}: unsafe", token.line))
        .collect()
}

pub(crate) fn channel_places(source: &Source) -> Vec<String> {
    let is_allowed = source.path == "src/shard/feed.rs";
    let paths = paths(&source.code);
    let found = paths
        .iter()
        .filter(|path| path.starts_with("glommio::channels") && !is_allowed);
    found
        .map(|path| format!("uses {path}, which is for src/shard/feed.rs"))
        .collect()
}

/// A type that only holds a time or an address may be passed in; what asks the system for one may not be called.
pub(crate) fn purity(source: &Source) -> Vec<String> {
    if !source.job().contains("(pure)") {
        return Vec::new();
    }
    let paths = paths(&source.product);
    let is_impure = |path: &&String| {
        let is_value = PURE.iter().any(|pure| path.starts_with(pure));
        !is_value && IMPURE.iter().any(|impure| path.starts_with(impure))
    };
    let found = paths.iter().filter(is_impure);
    found
        .map(|path| format!("is (pure) and uses {path}"))
        .collect()
}

pub(crate) fn refused_names(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let is_refused = |name: &str| {
        words(name)
            .iter()
            .any(|word| REFUSED_WORDS.contains(&word.as_str()))
    };
    let path = source.path.trim_end_matches(".rs");
    if path.split('/').any(is_refused) {
        findings.push("is a file with a refused name".into());
    }
    for pair in tokens(&source.code).windows(2) {
        let (keyword, name) = (pair[0].text, pair[1].text);
        let line = pair[0].line;
        match keyword {
            "enum" | "mod" | "struct" | "trait" | "type" | "union" if is_refused(name) => {
                findings.push(format!("line {line}: {keyword} {name} has a refused name"));
            }
            "fn" if name.starts_with("get_") => {
                findings.push(format!("line {line}: fn {name} says get"));
            }
            "dbg" if name == "!" => findings.push(format!("line {line}: dbg!")),
            _ => {}
        }
    }
    findings
}

pub(crate) fn refused_words(source: &Source) -> Vec<String> {
    let refused = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let lines = source.text.lines().enumerate();
    let found = lines.filter(|(_, line)| {
        let mut words = line.split(|letter: char| !letter.is_alphanumeric());
        words.any(|word| refused.contains(&word))
    });
    found
        .map(|(index, line)| format!("line {}: {}", index + 1, line.trim()))
        .collect()
}

/// The modules that the tour links to, by first mention, must be those declared, in order.
pub(crate) fn tour(lib: &Source) -> Vec<String> {
    let tokens = tokens(&lib.product);
    let declared: Vec<&str> = tokens
        .windows(2)
        .filter(|pair| pair[0].text == "mod")
        .map(|pair| pair[1].text)
        .collect();
    let job = lib.job();
    let mut told: Vec<&str> = Vec::new();
    for piece in job.split("[`").skip(1) {
        let name = piece.split('`').next().unwrap_or_default();
        if !told.contains(&name) {
            told.push(name);
        }
    }
    let is_same = told == declared;
    let finding = format!("the tour goes {told:?}, the modules are declared {declared:?}");
    (!is_same).then_some(finding).into_iter().collect()
}

/// Entries at the top that are no part of the plan and not ignored.
pub(crate) fn strangers(names: &[String], ignored: &str) -> Vec<String> {
    let is_ignored = |name: &str| ignored.lines().any(|line| line.trim_matches('/') == name);
    let is_known =
        |name: &str| TOP.contains(&name) || name.starts_with('.') || name.starts_with("LICENSE-");
    let found = names
        .iter()
        .filter(|name| !is_known(name) && !is_ignored(name));
    found
        .map(|name| format!("{name} lies at the top"))
        .collect()
}

/// What excuses a length, followed by the reason.
const EXCUSE: &str = "// Long: ";

const FILE_LINES_MAX: usize = 400;

const FUNCTION_LINES_MAX: usize = 70;

/// Paths that reach the system, in whole or in part.
const IMPURE: &[&str] = &[
    "glommio",
    "io_uring",
    "rustix",
    "signal_hook",
    "socket2",
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime::",
];

/// What of them is a plain value.
const PURE: &[&str] = &[
    "std::net::AddrParseError",
    "std::net::Ip",
    "std::net::SocketAddr",
    "std::time::SystemTime::UNIX_EPOCH",
];

const REFUSED_WORDS: &[&str] = &[
    "common", "helper", "helpers", "manager", "managers", "util", "utils",
];

const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "bench",
    "scripts",
    "src",
    "tests",
];
