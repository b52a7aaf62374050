//! A recorded command without what differs from round to round. (pure)
//!
//! Recording it belongs in `viewers/options.rs`. The rule: of two runs that differ in nothing but their turn one command is
//! left, and no path of the machine stands in it.

use std::collections::BTreeSet;

use crate::result::Run;

/// Every command of the runs, each once.
pub(crate) fn commands(runs: &[Run]) -> BTreeSet<String> {
    let commands = runs.iter().map(|run| lasting(&run.command));
    commands.filter(|command| !command.is_empty()).collect()
}

/// A command without round, process, file and ports.
fn lasting(command: &str) -> String {
    let mut kept = Vec::new();
    let mut words = words(command).into_iter();
    if let Some(program) = words.next() {
        kept.push(program.rsplit('/').next().unwrap_or_default().to_owned());
    }
    while let Some(word) = words.next() {
        if PASSING.contains(&word) {
            words.next();
        } else if !word
            .split_once('=')
            .is_some_and(|(name, _)| PASSING.contains(&name))
        {
            kept.push(without_place(word));
        }
    }
    kept.join(" ")
}

/// What a shell would take as words, each as it is written: quotes keep blanks together.
fn words(command: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped, mut is_blank) = (false, false, true);
    let mut begins = Vec::new();
    let mut ends = Vec::new();
    for (at, letter) in command.char_indices() {
        let was_blank = is_blank;
        is_blank = letter == ' ' && !is_quoted && !is_escaped;
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if !is_quoted => is_escaped = true,
            '\'' => is_quoted = !is_quoted,
            _ => {}
        }
        match (was_blank, is_blank) {
            (true, false) => begins.push(at),
            (false, true) => ends.push(at),
            _ => {}
        }
    }
    ends.push(command.len());
    let words = begins.into_iter().zip(ends);
    words
        .filter_map(|(begin, end)| command.get(begin..end))
        .collect()
}

/// A word without the port of an address, and without a path of the machine.
fn without_place(word: &str) -> String {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (format!("{name}="), value),
        _ => (String::new(), word),
    };
    if value.trim_start_matches('\'').starts_with('/') {
        return format!("{name}...");
    }
    let (scheme, rest) = match value.strip_prefix("http://") {
        Some(rest) => ("http://", rest),
        None => ("", value),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once(':')
        .filter(|(host, port)| is_host(host) && is_number(port));
    match host {
        Some((host, _)) => format!("{name}{scheme}{host}:...{path}"),
        None => format!("{name}{value}"),
    }
}

/// Whether an address can begin so: 127.0.0.1 or [::1].
fn is_host(text: &str) -> bool {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    text.parse::<std::net::IpAddr>().is_ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit())
}

/// Options that differ from round to round, each followed by its value.
const PASSING: [&str; 4] = ["--json", "--round", "--server-cgroup", "--server-pid"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_round_to_round_is_left_out() {
        let told = lasting(
            "/a/b/corecast-load viewers --url http://127.0.0.1:4711/... --source 127.0.0.1:99 \
             --server-pid 12 --round=2 --json /tmp/a.jsonl --server-cgroup=/sys/a -n 100 --http 1.1",
        );
        assert_eq!(
            told,
            "corecast-load viewers --url http://127.0.0.1:.../... --source 127.0.0.1:... -n 100 --http 1.1"
        );
        assert_eq!(
            lasting("corecast-load viewers --metrics=http://[::1]:8/..."),
            "corecast-load viewers --metrics=http://[::1]:.../..."
        );
    }

    #[test]
    fn words_in_quotes_stay_together_and_keep_what_looks_like_an_option() {
        let command = r"corecast-load viewers --about '1 channel'\''s --round 1' --commit ''";
        assert_eq!(lasting(command), command);
        assert_eq!(words("  a  'b c'd "), ["a", "'b c'd"]);
        assert_eq!(lasting(""), "");
    }

    #[test]
    fn no_path_of_the_machine_is_left() {
        for word in ["/a/b", "'/a/b c'", "--about=/a", "--about='/a b'"] {
            let told = lasting(&format!("corecast-load {word}"));
            assert!(told.ends_with("..."), "{told}");
        }
    }

    #[test]
    fn runs_of_several_rounds_have_one_command() {
        let run = |round: u64| Run {
            command: format!("corecast-load viewers --round {round} --server-pid 1{round} -n 5"),
            ..Run::default()
        };
        let commands: Vec<_> = commands(&[run(1), run(2), Run::default()])
            .into_iter()
            .collect();
        assert_eq!(commands, ["corecast-load viewers -n 5"]);
    }
}
