//! What the README says, as tables; beside it, what is built.
//!
//! Which table is compared with what belongs in `tidy.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use corecast::config::{Config, EXAMPLE, Inputs};
use corecast::http::page::Page;
use corecast::http::request::Method;
use corecast::http::route::{AdminRoute, Route, admin_route, route};
use corecast::metrics::Reason;
use corecast::metrics::families::{ALL, Kind};

use crate::root;
use crate::rust::Source;

/// The rows of every table whose first heading is `heading`, by the code in their first cell; each row with its other
/// cells.
///
/// # Errors
/// Names the cell that two rows begin with, or the heading that no table has.
pub(crate) fn table(readme: &str, heading: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut rows = BTreeMap::new();
    let mut is_wanted = None;
    for line in readme.lines() {
        let Some(cells) = cells(line) else {
            is_wanted = None;
            continue;
        };
        match is_wanted {
            None => is_wanted = Some(cells[0] == heading),
            Some(true) if !cells[0].starts_with("---") => {
                let first = code(&cells[0]).unwrap_or(&cells[0]).to_owned();
                if rows.insert(first.clone(), cells[1..].to_vec()).is_some() {
                    return Err(format!("the table of {heading} has {first} twice"));
                }
            }
            Some(_) => {}
        }
    }
    match rows.is_empty() {
        true => Err(format!("there is no table of {heading}")),
        false => Ok(rows),
    }
}

/// The first piece of code in a cell.
pub(crate) fn code(cell: &str) -> Option<&str> {
    cell.split('`').nth(1)
}

/// What two lists do not have in common, as findings.
fn differences<'l, 'b>(
    what: &str,
    listed: impl IntoIterator<Item = &'l str>,
    built: impl IntoIterator<Item = &'b str>,
) -> Vec<String> {
    let listed: Vec<&str> = listed.into_iter().collect();
    let built: Vec<&str> = built.into_iter().collect();
    let unlisted = built.iter().filter(|name| !listed.contains(name));
    let unbuilt = listed.iter().filter(|name| !built.contains(name));
    unlisted
        .map(|name| format!("README does not list the {what} {name}"))
        .chain(unbuilt.map(|name| format!("README lists the {what} {name}, which does not exist")))
        .collect()
}

/// What the table of `what` in the README and what is built do not have in common.
pub(crate) fn listed<'n>(
    readme: &str,
    what: &str,
    built: impl IntoIterator<Item = &'n str>,
) -> Vec<String> {
    match table(readme, what) {
        Ok(rows) => differences(what, rows.keys().map(|it| &**it), built),
        Err(finding) => vec![finding],
    }
}

/// Keys whose default in the README is not that of the commented file.
pub(crate) fn wrong_defaults(readme: &str) -> Vec<String> {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    let rows = table(readme, "key").unwrap_or_default();
    let mut findings = Vec::new();
    for (key, cells) in rows {
        let default = code(&cells[0]).unwrap_or_default();
        let Some((section, name)) = key.split_once('.') else {
            continue;
        };
        let Some(built) = example.get(section).and_then(|section| section.get(name)) else {
            // What stands in the file as a comment has no default.
            continue;
        };
        let said = format!("it = {default}").parse::<toml::Table>();
        if said.ok().as_ref().and_then(|table| table.get("it")) != Some(built) {
            findings.push(format!(
                "README gives {key} the default {default:?}, it is {built}"
            ));
        }
    }
    findings
}

/// Keys whose bounds in the README are not those of the refusal of a number that is too large.
pub(crate) fn wrong_bounds(readme: &str) -> Vec<String> {
    let rows = table(readme, "key").unwrap_or_default();
    let mut findings = Vec::new();
    for (key, cells) in rows {
        let Some((section, name)) = key.split_once('.') else {
            continue;
        };
        let bounds = cells.last().map(String::as_str).unwrap_or_default();
        let refusal = refusal(section, name);
        let built = refusal
            .split_once("is 99999999999, ")
            .and_then(|(_, rest)| rest.split_once(" is allowed"));
        match built {
            Some((built, _)) if !bounds.starts_with(built) => {
                findings.push(format!(
                    "README gives {key} the bounds {bounds:?}, they are {built}"
                ));
            }
            _ => {}
        }
    }
    findings
}

/// What is said to a number that no key takes.
pub(crate) fn refusal(section: &str, name: &str) -> String {
    let variable = format!("CORECAST_{section}__{name}").to_ascii_uppercase();
    let inputs = Inputs {
        file: Some(root().join("src/config/example.toml")),
        variables: vec![(variable.into(), "99999999999".into())],
        ..Inputs::default()
    };
    Config::load(&inputs)
        .err()
        .map(|errors| errors.to_string())
        .unwrap_or_default()
}

/// Metrics whose type, labels or meaning in the README are not theirs.
pub(crate) fn wrong_metrics(readme: &str) -> Vec<String> {
    let rows = table(readme, "metric").unwrap_or_default();
    let mut findings = Vec::new();
    for family in ALL {
        let name = format!("corecast_{}", family.name);
        let Some(cells) = rows.get(&name) else {
            continue;
        };
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let [said_kind, labels, meaning] = cells.as_slice() else {
            findings.push(format!(
                "README gives {name} {} cells, three are needed",
                cells.len()
            ));
            continue;
        };
        let is_labelled = family.cause.is_empty() || labels.contains(family.cause);
        if said_kind != kind || meaning != family.help || !is_labelled {
            findings.push(format!(
                "README says {name} | {said_kind} | {labels} | {meaning}, it is a {kind} by {:?}: {}",
                family.cause, family.help
            ));
        }
    }
    findings
}

pub(crate) fn labels<R: Reason>() -> Vec<&'static str> {
    R::ALL.iter().map(|reason| reason.label()).collect()
}

/// Requests of the README that get no route.
pub(crate) fn unserved_paths(readme: &str) -> Vec<String> {
    let (viewers, operators) = (table(readme, "request"), table(readme, "admin request"));
    let (Ok(viewers), Ok(operators)) = (viewers, operators) else {
        return vec!["README lists no requests".into()];
    };
    let target = |request: &str| {
        let target = request.split_once(' ').map_or(request, |(_, it)| it);
        let target = target
            .replace("{user}", "anna")
            .replace("{password}", "secret")
            .replace("{id}", "123");
        target.replace("{hash}", "0123456789abcdef0123456789abcdef01234567")
    };
    let is_watched = |request: &&String| {
        let target = target(request);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        matches!(
            route(Method::Get, path, Some(query), None),
            Route::Page(_) | Route::Watch(_)
        )
    };
    let is_answered =
        |request: &&String| admin_route(Method::Get, &target(request)) != AdminRoute::NotFound;
    let unwatched = viewers.keys().filter(|request| !is_watched(request));
    let unanswered = operators.keys().filter(|request| !is_answered(request));
    unwatched
        .chain(unanswered)
        .map(|request| format!("README lists {request}, which is not served"))
        .collect()
}

/// Pages for apps that no request of the README names.
pub(crate) fn unlisted_pages(readme: &str) -> Vec<String> {
    let requests = table(readme, "request").unwrap_or_default();
    let is_listed = |name: &str| {
        let begin = format!("GET /{name}");
        let mut listed = requests.keys().filter_map(|it| it.strip_prefix(&begin));
        listed.any(|rest| rest.is_empty() || rest.starts_with('?'))
    };
    let unlisted = Page::ALL.iter().filter(|(_, name)| !is_listed(name));
    unlisted
        .map(|(_, name)| format!("README does not list the page {name}"))
        .collect()
}

/// What is wrong with the configurations that the README shows.
pub(crate) fn broken_examples(readme: &str) -> Vec<String> {
    let blocks = readme.split("```toml\n").skip(1);
    let examples: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    if examples.is_empty() {
        return vec!["README shows no configuration".into()];
    }
    let mut findings = Vec::new();
    for (index, example) in examples.into_iter().enumerate() {
        let name = format!("readme-{}-{index}.toml", example.len());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, example).unwrap();
        let inputs = Inputs {
            file: Some(file),
            ..Inputs::default()
        };
        findings.extend(Config::load(&inputs).err().map(|errors| errors.to_string()));
    }
    findings
}

/// The flags in a help text.
pub(crate) fn flags(help: &str) -> BTreeSet<String> {
    let lines = help
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'));
    lines
        .flat_map(|line| {
            line.split([' ', ','])
                .take_while(|word| word.is_empty() || word.starts_with('-'))
        })
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The subcommands in a help text.
pub(crate) fn subcommands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| line.starts_with(' '));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

/// The statuses that the code has a head for.
pub(crate) fn statuses(answers: &Source) -> BTreeSet<String> {
    let numbered = ["Self::new(", "HTTP/1.1 "].map(|before| answers.text.split(before).skip(1));
    let codes = numbered
        .into_iter()
        .flatten()
        .filter_map(|after| after.get(..3));
    codes
        .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// Figures in the README's tables under `section` that the report does not have of that server, and another commit.
///
/// In a table of servers all figures of a row must stand in one row of the report that is of the same server; in any
/// other table the headings name the servers. What is headed `expected` was not measured.
pub(crate) fn unfounded_figures(readme: &str, section: &str, report: &str) -> Vec<String> {
    let measured: Vec<Vec<String>> = report.lines().filter_map(cells).collect();
    let has = |server: &str, figures: &[&String]| {
        let server = server.split(" (").next().unwrap_or(server);
        let of_server = measured.iter().filter(|row| row[0] == server);
        figures.is_empty()
            || of_server
                .clone()
                .any(|row| figures.iter().all(|it| row.contains(it)))
    };
    let body = readme.split_once(section).map_or("", |(_, rest)| rest);
    let body = body.split_once("\n## ").map_or(body, |(body, _)| body);
    let (mut headings, mut findings, mut figures) = (Vec::new(), Vec::new(), 0);
    for line in body.lines() {
        let Some(row) = cells(line) else {
            headings.clear();
            continue;
        };
        if headings.is_empty() {
            headings = row;
            continue;
        }
        if row.len() != headings.len() {
            findings.push(format!("another number of cells than of headings: {line}"));
        }
        let columns = headings.iter().zip(&row).skip(1);
        let columns: Vec<_> = columns
            .filter(|(heading, cell)| {
                *heading != "expected" && cell.contains(|it: char| it.is_ascii_digit())
            })
            .collect();
        figures += columns.len();
        let is_founded = if headings[0] == "server" {
            has(
                &row[0],
                &columns.iter().map(|(_, cell)| *cell).collect::<Vec<_>>(),
            )
        } else {
            columns.iter().all(|(server, cell)| has(server, &[*cell]))
        };
        if !is_founded {
            findings.push(format!("the report does not have all of {line}"));
        }
    }
    if figures == 0 {
        findings.push(format!("no figure stands under {section}"));
    }
    let commit = body
        .split_once("commit ")
        .and_then(|(_, rest)| rest.split([',', ' ', '\n']).next());
    if commit.is_none_or(|commit| commit.len() < 7 || !report.contains(commit)) {
        findings.push(format!("the report is not of commit {commit:?}"));
    }
    findings
}

fn cells(line: &str) -> Option<Vec<String>> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    // A bar inside a cell is written \|.
    let row = row.replace("\\|", "\u{0}");
    let cells = row.split('|').map(|cell| cell.trim().replace('\u{0}', "|"));
    Some(cells.collect())
}
