//! `openapi.json` and the server say the same: schemathesis asks everything that it allows, and what it does not.

use std::process::Command;

use serde_json::{Value, json};

use super::{get, two_channels};
use crate::clients;

#[test]
fn what_is_answered_is_what_the_description_says() {
    let (server, _upstream) = two_channels();
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 20);
    let admin = server.admin();
    let schema = format!("http://{admin}/api/v1/openapi.json");
    let mut command: Command = clients::schemathesis();
    let output = command
        .arg("run")
        .arg(&schema)
        .args(["--url", &format!("http://{admin}")])
        // The one never ends, the other ends the server.
        .args(["--exclude-path", "/api/v1/live"])
        .args(["--exclude-path", "/api/v1/drain"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "20"])
        .args(["--seed", "4711"])
        .args(["--checks", "all"])
        .args(["--request-timeout", "10"])
        .current_dir(server.folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    // It closes the viewers that it has read of, as the description says that one may.
    assert!(viewer.seen().packets > 20);
    assert_eq!(get(&server, "status")["state"], json!("ready"));
}

#[test]
fn every_field_is_described_and_every_described_field_is_there() {
    let (server, _upstream) = two_channels();
    let viewer = server.viewer(8);
    viewer.wait("media", |state| state.seen().packets > 20);
    let document = get(&server, "openapi.json");
    let schemas = &document["components"]["schemas"];
    let names = |value: &Value| -> Vec<String> {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names
    };
    let status = get(&server, "status");
    let channels = get(&server, "channels");
    let channel = get(&server, "channels/8");
    let viewers = get(&server, "viewers");
    let events = get(&server, "events");
    let log = get(&server, "log");
    for (schema, shown) in [
        ("Status", &status),
        ("Shard", &status["shards"][0]),
        ("Channels", &channels),
        ("Channel", &channel),
        ("Media", &channel["media"]),
        ("Viewers", &viewers),
        ("Viewer", &viewers["viewers"][0]),
        ("Events", &events),
        ("Event", &events["events"][0]),
        ("Log", &log),
        ("LogLine", &log["lines"][0]),
    ] {
        assert_eq!(
            names(shown),
            names(&schemas[schema]["properties"]),
            "{schema}"
        );
    }
    assert_eq!(document["openapi"], json!("3.1.0"));
}
