//! Lays flags and environment variables over the file's values. (pure)
//!
//! Which type a value must have is known to its reader (`read.rs`), so text is laid in as it came. The rule: a flag wins
//! over a variable, a variable over the file, and a `CORECAST_` name that means nothing is an error, not a surprise.

use std::collections::btree_map::Entry;
use std::ffi::OsString;

use super::KEYS;
use super::error::{ConfigError, Fault, Origin, nearest};
use super::tree::{Entries, Node, Value};

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Values of `--listen`; none leaves the addresses alone.
    pub listen: Vec<String>,
    /// Value of `--shards`.
    pub shards: Option<String>,
}

/// Lays the flags over the values.
pub(super) fn lay_flags(flags: &Flags, root: &mut Entries) {
    if !flags.listen.is_empty() {
        let origin = Origin::Flag("--listen");
        let items = flags.listen.iter().map(|address| Node {
            origin: origin.clone(),
            value: Value::Text(address.clone()),
        });
        let value = Value::List(items.collect());
        lay(root, "server", "listen", Node { origin, value });
    }
    if let Some(shards) = &flags.shards {
        let origin = Origin::Flag("--shards");
        let value = Value::Bare(shards.clone());
        lay(root, "server", "shards", Node { origin, value });
    }
}

/// Lays the `CORECAST_SECTION__KEY` variables over the values; those that name nothing are added to `errors`.
pub(super) fn lay_variables(
    variables: &[(OsString, OsString)],
    root: &mut Entries,
    errors: &mut Vec<ConfigError>,
) {
    let known = variable_names();
    for (name, text) in variables {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) || is_kubernetes_link(&name) {
            continue;
        }
        let origin = Origin::Variable(name.escape_debug().to_string());
        let Some((_, section, key)) = known.iter().find(|(known, ..)| *known == name) else {
            let near = nearest(&name, known.iter().map(|(known, ..)| known.as_str()));
            let suggestion = near.map(Into::into);
            errors.push(ConfigError {
                origin,
                key: "environment".into(),
                fault: Fault::Unknown { suggestion },
            });
            continue;
        };
        let Some(text) = text.to_str() else {
            errors.push(ConfigError {
                origin,
                key: format!("{section}.{key}"),
                fault: Fault::Character {
                    allowed: "UTF-8 is allowed",
                },
            });
            continue;
        };
        let value = Value::Bare(text.into());
        lay(root, section, key, Node { origin, value });
    }
}

/// Every variable that means something, with its section and key.
fn variable_names() -> Vec<(String, &'static str, &'static str)> {
    KEYS.iter()
        .filter(|(section, _)| SECTIONS.contains(section))
        .flat_map(|(section, names)| names.iter().map(move |name| (*section, *name)))
        .map(|(section, name)| {
            let variable = format!("{PREFIX}{section}__{name}").to_ascii_uppercase();
            (variable, section, name)
        })
        .collect()
}

/// Whether a cluster set the variable because a service is called corecast.
///
/// Source: Kubernetes, service environment variables: `{NAME}_SERVICE_HOST`, `{NAME}_SERVICE_PORT[_{PORT NAME}]`,
/// `{NAME}_PORT` and `{NAME}_PORT_{NUMBER}_{PROTOCOL}[_ADDR|_PORT|_PROTO]`.
fn is_kubernetes_link(name: &str) -> bool {
    let numbered = |(_, rest): (&str, &str)| rest.starts_with(|first: char| first.is_ascii_digit());
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || name.ends_with("_PORT")
            || name.split_once("_PORT_").is_some_and(numbered))
}

fn lay(root: &mut Entries, section: &str, key: &str, node: Node) {
    let origin = node.origin.clone();
    let table = root.entry(section.into()).or_insert_with(|| {
        let value = Value::Table(Entries::new());
        let node = Node {
            origin: origin.clone(),
            value,
        };
        (origin.clone(), node)
    });
    if let Value::Table(entries) = &mut table.1.value {
        match entries.entry(key.into()) {
            Entry::Occupied(mut place) => place.get_mut().1 = node,
            Entry::Vacant(place) => {
                place.insert((origin, node));
            }
        }
    }
}

/// The sections that flags and variables reach; channels and accounts stand in the file alone.
const SECTIONS: [&str; 4] = ["admin", "engine", "server", "stream"];

/// What the name of each of our variables begins with.
const PREFIX: &str = "CORECAST_";

#[cfg(test)]
mod tests {
    use super::*;

    fn lay_one(name: &str, text: &str) -> (Entries, Vec<String>) {
        let mut root = Entries::new();
        let mut errors = Vec::new();
        lay_variables(&[(name.into(), text.into())], &mut root, &mut errors);
        let errors = errors.iter().map(ToString::to_string).collect();
        (root, errors)
    }

    fn bare<'r>(root: &'r Entries, section: &str, key: &str) -> Option<&'r str> {
        let Value::Table(entries) = &root.get(section)?.1.value else {
            return None;
        };
        match &entries.get(key)?.1.value {
            Value::Bare(text) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn a_variable_reaches_its_key() {
        let (root, errors) = lay_one("CORECAST_SERVER__VIEWERS_MAX", "50");
        assert_eq!(bare(&root, "server", "viewers_max"), Some("50"));
        assert!(errors.is_empty());
    }

    #[test]
    fn a_flag_wins_over_a_variable() {
        let (mut root, _) = lay_one("CORECAST_SERVER__SHARDS", "3");
        let flags = Flags {
            shards: Some("2".into()),
            ..Flags::default()
        };
        lay_flags(&flags, &mut root);
        assert_eq!(bare(&root, "server", "shards"), Some("2"));
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest_name() {
        let (root, errors) = lay_one("CORECAST_SERVER_VIEWERS_MAX", "50");
        assert!(root.is_empty());
        assert_eq!(
            errors,
            [
                "CORECAST_SERVER_VIEWERS_MAX: environment: is not known, did you mean `CORECAST_SERVER__VIEWERS_MAX`?"
            ]
        );
        let (_, errors) = lay_one("CORECAST_CHANNEL__ID", "50");
        assert_eq!(errors.len(), 1, "channels stand in the file alone");
    }

    #[test]
    fn variables_of_others_and_of_a_cluster_are_left_alone() {
        for name in [
            "PATH",
            "CORECASTX",
            "CORECAST_SERVICE_HOST",
            "CORECAST_SERVICE_PORT_HTTP",
            "CORECAST_PORT",
            "CORECAST_PORT_8000_TCP_ADDR",
        ] {
            let (root, errors) = lay_one(name, "x");
            assert!(root.is_empty() && errors.is_empty(), "{name}: {errors:?}");
        }
        let (_, errors) = lay_one("CORECAST_PORT_MAX", "x");
        assert_eq!(errors.len(), 1, "not one of a cluster's");
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf8_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let text = OsString::from_vec(vec![0xff]);
        let mut errors = Vec::new();
        let variables = [("CORECAST_STREAM__SLOW".into(), text)];
        lay_variables(&variables, &mut Entries::new(), &mut errors);
        assert_eq!(errors.len(), 1);
    }
}
