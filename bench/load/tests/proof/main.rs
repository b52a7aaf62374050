//! The tool proves itself: relays that do one thing wrong are caught each time, and the fault is named.
//!
//! Every run ends by itself within seconds and stays on the loopback.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "the relays are plain blocking sockets on threads of their own"
)]

mod counters;
mod crowd;
mod relay;
mod tool;

use std::time::Duration;

use crate::relay::Fault;
use crate::tool::{Source, Viewers};

/// Twenty viewers, all of whom check every packet, on a relay that wrongs the fourth.
fn all_checked(fault: Fault) -> Viewers {
    let source = Source::start(&[]);
    Viewers::run(relay::start(source.address, fault, 3), &["-n", "20"])
}

/// Forty viewers, half of whom look at the first and last packet alone, on a relay that wrongs one of those.
fn counted_alone(fault: Fault) -> Viewers {
    let source = Source::start(&[]);
    Viewers::run(relay::start(source.address, fault, 20), &["-n", "40"])
}

#[test]
fn honest_relay_has_no_fault() {
    let viewers = counted_alone(Fault::Nothing);
    viewers.assert_sound();
    assert_eq!(viewers.number("/crowd/verified"), 20);
    assert_eq!(viewers.number("/bytes_checked/viewers"), 20);
    assert_eq!(viewers.number("/bytes_checked/wrong"), 0);
    assert!(viewers.number("/delay_us/count") > 20_000, "{viewers:?}");
    assert!(viewers.number("/bytes") > 40 * 200_000, "{viewers:?}");
}

#[test]
fn one_dropped_packet_is_caught_and_named() {
    let viewers = all_checked(Fault::Drop);
    viewers.assert_fault("1 packets lost by 20 verified viewers");
    assert_eq!(viewers.packets(), [1, 0, 0, 0]);
}

#[test]
fn one_duplicated_packet_is_caught_and_named() {
    let viewers = all_checked(Fault::Duplicate);
    viewers.assert_fault("1 packets repeated");
    assert_eq!(viewers.packets(), [0, 1, 0, 0]);
}

#[test]
fn two_swapped_packets_are_caught_and_named() {
    let viewers = all_checked(Fault::Swap);
    viewers.assert_fault("1 packets reordered");
    assert_eq!(viewers.packets(), [1, 0, 1, 0]);
}

#[test]
fn one_changed_byte_is_caught_and_named() {
    let viewers = all_checked(Fault::Tear);
    viewers.assert_fault("1 packets torn");
    assert_eq!(viewers.packets(), [1, 0, 0, 1]);
}

#[test]
fn one_missing_byte_is_caught_and_named() {
    let viewers = all_checked(Fault::TearOff);
    viewers.assert_fault("packets torn");
    assert!(viewers.number("/packets/torn") >= 1);
}

#[test]
fn delay_of_one_viewer_by_50_ms_is_caught_and_named() {
    let source = Source::start(&[]);
    let relay = relay::start(source.address, Fault::Delay(Duration::from_millis(50)), 3);
    let viewers = Viewers::run(relay, &["-n", "20", "--delay-p99-max-ms", "49"]);
    viewers.assert_fault("delay p99 of one viewer is");
    assert!(viewers.number("/delay_p99_worst_viewer_us") >= 49_500);
    assert!(
        viewers.number("/delay_us/p50") < 49_000,
        "the others are not late: {viewers:?}"
    );
}

#[test]
fn packet_missing_from_a_viewer_that_discards_shows_in_its_count() {
    let viewers = counted_alone(Fault::Drop);
    viewers.assert_fault("1 of 20 viewers got other bytes than the source sent: -188 at worst");
    assert_eq!(viewers.packets(), [0; 4]);
}

#[test]
fn packet_sent_twice_to_a_viewer_that_discards_shows_in_its_count() {
    let viewers = counted_alone(Fault::Duplicate);
    viewers.assert_fault("+188 at most");
    assert_eq!(viewers.packets(), [0; 4]);
}

#[test]
fn viewer_that_is_ended_is_caught_and_named() {
    let viewers = all_checked(Fault::End);
    viewers.assert_fault("1 of 20 viewers were over before their time");
    viewers.assert_fault("the server closed the connection (1)");
}

#[test]
fn refusals_are_caught_and_named() {
    let busy = relay::start_answering(b"HTTP/1.1 503 Busy\r\n\r\n");
    let viewers = Viewers::run(busy, &["-n", "3"]);
    viewers.assert_fault("3 of 3 viewers had no media");
    viewers.assert_fault("the server answered 503, wanted 200 (3)");
    let chunked = Source::start(&["--framing", "chunked"]);
    Viewers::run(chunked.address, &["-n", "3"]).assert_fault("--http 1.0");
    // A port that nobody listens on any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    Viewers::run(address, &["-n", "3"]).assert_fault("connect failed");
}

#[test]
fn media_without_numbers_is_said_to_be() {
    let opaque = b"HTTP/1.1 200 OK\r\n\r\nGGGG nothing that bears a number";
    let viewers = Viewers::run(relay::start_answering(opaque), &["-n", "3"]);
    viewers.assert_fault("no numbered packet came");
}

#[test]
fn opaque_media_is_counted_and_not_judged() {
    let source = Source::start(&["--fault", "omit:every_packets=500"]);
    let viewers = Viewers::run(source.address, &["-n", "20", "--opaque"]);
    viewers.assert_sound();
    assert!(viewers.number("/bytes") > 20 * 200_000, "{viewers:?}");
    assert_eq!(viewers.number("/join_byte_us/count"), 20);
}

#[test]
fn fault_that_a_request_asks_for_is_that_of_its_connection_alone() {
    let source = Source::start(&[]);
    let cut = "/ch/1.ts?fault=cut:after_ms=1000";
    let viewers = Viewers::of(source.address, cut, &["-n", "2"]);
    viewers.assert_fault("the server closed the connection (2)");
    let reset = "/ch/1.ts?fault=reset:after_ms=1000";
    let viewers = Viewers::of(source.address, reset, &["-n", "2"]);
    viewers.assert_fault("the server reset the connection (2)");
    let stall = "/ch/1.ts?fault=stall:after_ms=200";
    let viewers = Viewers::of(source.address, stall, &["-n", "2"]);
    viewers.assert_fault("1 channels fell silent");
    let stall = "/ch/1.ts?fault=stall:after_ms=1200";
    let viewers = Viewers::of(source.address, stall, &["-n", "2"]);
    viewers.assert_fault("2 viewers fell behind the source");
    Viewers::run(source.address, &["-n", "2"]).assert_sound();
}

#[test]
fn loss_that_is_asked_for_is_reported_and_no_failure() {
    let source = Source::start(&["--fault", "omit:every_packets=500"]);
    let viewers = Viewers::run(source.address, &["-n", "20"]);
    viewers.assert_fault("packets lost");
    let viewers = Viewers::run(source.address, &["-n", "20", "--allow-loss"]);
    viewers.assert_sound();
    assert!(viewers.number("/packets/lost") > 20);
}

#[test]
fn those_that_misbehave_are_there_and_counted_apart() {
    let source = Source::start(&["--channels", "3"]);
    let crowd = [
        "--threads",
        "2",
        "-n",
        "20",
        "--channels",
        "1..3",
        "--slow",
        "2",
        "--stalled",
        "2",
        "--churning",
        "2",
        "--zapping",
        "2",
        "--churn-ms",
        "200",
        "--zap-ms",
        "200",
    ];
    let viewers = Viewers::run(source.address, &crowd);
    viewers.assert_sound();
    assert_eq!(viewers.number("/crowd/channels"), 3);
    assert!(viewers.number("/beside/stays") > 20, "{viewers:?}");
    assert_eq!(viewers.number("/beside/slow_torn"), 0);
    assert!(viewers.number("/beside/join_byte_us/count") > 20);
    assert_eq!(viewers.number("/packets/switches"), 0);
}

#[test]
fn cpu_and_memory_of_the_server_are_read_and_it_is_put_back() {
    let source = Source::start(&[]);
    let pid = source.pid().to_string();
    let groups = || std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let before = groups();
    let address = source.address.to_string();
    let crowd = ["-n", "20", "--server-pid", &pid, "--source", &address];
    let viewers = Viewers::run(source.address, &crowd);
    viewers.assert_sound();
    assert!(viewers.figure("/cpu/server_s") > 0.001, "{viewers:?}");
    assert!(viewers.figure("/cpu/server_s_per_gb") > 0.01);
    // How busy it was is sampled in ticks, of which so small a load may have none.
    assert!(viewers.figure("/machine_use/all_s") > 1.0);
    assert!(viewers.number("/memory/before_bytes") > 100_000);
    assert_eq!(viewers.number("/source/bodies"), 20);
    assert_eq!(groups(), before);
}

#[test]
fn idle_server_is_measured_without_viewers() {
    let source = Source::start(&[]);
    let pid = source.pid().to_string();
    let idle = ["-n", "0", "--load", "idle", "--server-pid", &pid];
    let viewers = Viewers::run(source.address, &idle);
    viewers.assert_sound();
    assert_eq!(viewers.number("/bytes"), 0);
    assert!(viewers.figure("/cpu/server_s") > 0.0, "{viewers:?}");
    assert!(viewers.number("/memory/loaded_bytes") > 100_000);
    assert!(viewers.is_null("/cpu/server_s_per_gb"));
    assert!(viewers.is_null("/memory/per_viewer_bytes"));
    let folder = tool::Folder::new();
    let (results, page) = (folder.file("results.jsonl"), folder.file("report.html"));
    viewers.append_to(&results);
    let output = tool::call(&["report", &results, "--html", &page]);
    assert_eq!(output.status.code(), Some(0));
    let table = String::from_utf8(output.stdout).unwrap();
    let page = std::fs::read_to_string(page).unwrap();
    for text in [table, page] {
        assert!(text.contains("0 viewers, 1 channels"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
    let alone = ["-n", "0", "--churning", "5", "--churn-ms", "200"];
    let viewers = Viewers::run(source.address, &alone);
    viewers.assert_sound();
    assert!(viewers.number("/bytes") > 0);
}

#[test]
fn option_that_is_given_twice_counts_as_it_was_given_last() {
    let source = Source::start(&["--kbit-per-s", "3000"]);
    let viewers = Viewers::run(
        source.address,
        &["-n", "20", "--window-ms", "500", "-n", "3"],
    );
    viewers.assert_sound();
    assert_eq!(viewers.number("/crowd/steady"), 3);
    assert!((viewers.figure("/window_s") - 0.5).abs() < 1e-9);
}

#[test]
fn source_ends_at_a_signal_and_says_what_it_did() {
    let source = Source::start(&[]);
    Viewers::run(source.address, &["-n", "5"]).assert_sound();
    let told = source.stop();
    assert_eq!(told["bodies"], 5);
    assert!(told["media_bytes"].as_u64().unwrap() > 5 * 200_000);
}

#[test]
fn engine_double_is_an_engine_to_its_caller_and_counts_sessions() {
    let source = Source::start(&[]);
    let answer = source.get("/ace/getstream?infohash=ab1&format=json&pid=9");
    let url = |name: &str| {
        let url = answer["response"][name].as_str().unwrap();
        let path = url.strip_prefix(&format!("http://{}", source.address));
        path.unwrap().to_owned()
    };
    let viewers = Viewers::of(
        source.address,
        &url("playback_url"),
        &["-n", "1", "--http", "1.1"],
    );
    viewers.assert_sound();
    assert_eq!(source.get(&url("stat_url"))["response"]["status"], "dl");
    let stop = format!("{}?method=stop", url("command_url"));
    assert_eq!(source.get(&stop)["response"], "ok");
    let engine = &source.get("/stats")["engine"];
    assert_eq!(engine["starts"], 1);
    assert_eq!(engine["stops"], 1);
    assert_eq!(engine["sessions_open"], 0);
    assert_eq!(engine["playbacks"], 1);
}

#[test]
fn report_shows_every_run_with_its_figures_and_faults() {
    let source = Source::start(&["--fault", "omit:every_packets=500"]);
    let folder = tool::Folder::new();
    let results = folder.file("results.jsonl");
    let named = |server| ["-n", "20", "--load", "A20", "--server", server];
    let good = [&named("good")[..], &["--allow-loss"]].concat();
    Viewers::run(source.address, &good).append_to(&results);
    Viewers::run(source.address, &named("bad")).append_to(&results);
    let (page, rows) = (folder.file("report.html"), folder.file("rows.jsonl"));
    let asked = [
        "report",
        results.as_str(),
        "--html",
        &page,
        "--json",
        &rows,
        "--reference",
        "good",
    ];
    let output = tool::call(&asked);
    assert_eq!(output.status.code(), Some(1), "one run had faults");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("A20: 20 viewers") && table.contains("good"),
        "{table}"
    );
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("packets lost by 20"));
    assert!(
        !page.contains("/ch/"),
        "paths of URLs are nobody's business"
    );
    let rows = std::fs::read_to_string(rows).unwrap();
    let rows: Vec<serde_json::Value> = rows
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let faulty: Vec<_> = rows
        .iter()
        .map(|row| row["faulty_rounds"].as_u64())
        .collect();
    assert_eq!(faulty, [Some(0), Some(1)]);
    std::fs::write(&results, "no result\n").unwrap();
    let refused = tool::call(&["report", &results]);
    assert_eq!(refused.status.code(), Some(69));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("line 1 of") && said.contains("is no result"),
        "{said}"
    );
}

#[test]
fn report_as_markdown_names_nothing_of_the_machine_but_what_it_is() {
    let source = Source::start(&[]);
    let folder = tool::Folder::new();
    let (results, report) = (folder.file("results.jsonl"), folder.file("report.md"));
    for round in ["1", "2"] {
        let pid = source.pid().to_string();
        let called = [
            "--load",
            "A5",
            "--server",
            "x",
            "--about",
            "five | 2 Mbit/s",
        ];
        let turn = ["-n", "5", "--round", round, "--server-pid", &pid];
        let viewers = Viewers::run(source.address, &[called, turn].concat());
        viewers.assert_sound();
        viewers.append_to(&results);
    }
    let output = tool::call(&["report", &results, "--markdown", &report]);
    assert_eq!(output.status.code(), Some(0));
    let report = std::fs::read_to_string(report).unwrap();
    assert!(
        report.starts_with("# Load report\n\nMeasured on "),
        "{report}"
    );
    assert!(report.contains("\n## A5\n\nfive \\| 2 Mbit/s\n\n| server | rounds |"));
    assert!(report.contains("\n| x | 2 | "), "{report}");
    let commands: Vec<_> = report
        .lines()
        .filter(|line| line.starts_with("- `"))
        .collect();
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert!(commands[0].starts_with("- `corecast-load viewers --ramp-per-s 100 "));
    let temporary = std::env::temp_dir();
    let port = source.address.port().to_string();
    for secret in ["/ch/", "/target/", temporary.to_str().unwrap(), &port] {
        assert!(!report.contains(secret), "{secret} in {report}");
    }
}

#[test]
fn interrupted_run_puts_the_server_back_and_has_no_result() {
    let source = Source::start(&[]);
    let pid = source.pid().to_string();
    let groups = || std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let before = groups();
    let output = tool::interrupted(source.address, &["-n", "5", "--server-pid", &pid], || {
        source.get("/stats")["bodies_open"] == 5
    });
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("interrupted before the end"), "{said}");
    assert_eq!(groups(), before);
}

#[test]
fn wrong_command_lines_are_refused_with_their_own_exit_code() {
    for (words, said) in [
        (vec!["source", "--fault", "bang"], "allowed are burst cut"),
        (vec!["viewers", "--url", "ftp://a"], "wanted http://"),
        (vec!["viewers"], "--url"),
        (vec!["viewers", "-n", "50001"], "50000"),
        (vec!["viewers", "--metric", "a_total"], "--metrics"),
        (vec!["viewers", "--metric", "a{b}"], "letters, digits"),
        (vec!["report"], "<FILES>"),
    ] {
        let output = tool::call(&words);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{words:?}: {error}");
        assert!(error.contains(said), "{words:?}: {error}");
    }
    assert_eq!(tool::call(&["--version"]).status.code(), Some(0));
}
