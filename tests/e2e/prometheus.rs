//! Metrics as Prometheus sees them: clean to its linter, and every expression of the dashboard and the alerts run by it on a
//! server that it scraped.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use corecast_load::packets::Source;
use serde_json::Value;

use crate::config::Config;
use crate::engine::Engine;
use crate::launch::Folder;
use crate::server::{Server, path};
use crate::tools;
use crate::upstream::Upstream;
use crate::viewer::Viewer;
use crate::{http, within};

/// A Prometheus that scrapes a server each second, gone with its owner.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Prometheus {
    #[track_caller]
    fn of(server: &Server) -> Self {
        let folder = Folder::new();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let file = folder.path().join("prometheus.yml");
        let scraped = server.admin();
        let rules = format!("{}/scripts/dist/alerts.yml", env!("CARGO_MANIFEST_DIR"));
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules:?}]\nscrape_configs:\n\
             - job_name: corecast\n  static_configs: [{{targets: [\"{scraped}\"]}}]\n"
        );
        std::fs::write(&file, config).unwrap();
        tools::run("prometheus", &["--version"]);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self {
            child,
            address,
            _folder: folder,
        };
        within(20_000, "prometheus is ready", || {
            let listens = std::net::TcpStream::connect(address).is_ok();
            listens && http::get(address, "/-/ready").status() == 200
        });
        prometheus
    }

    /// What it says to a question of its API.
    #[track_caller]
    fn ask(&self, target: &str) -> Value {
        // HTTP/1.0, so that the answer has a length or ends with the connection.
        let request = format!(
            "GET /api/v1/{target} HTTP/1.0\r\nHost: {}\r\n\r\n",
            self.address
        );
        let reply = http::ask(self.address, &request);
        let answer: Value = serde_json::from_str(reply.text()).unwrap();
        assert_eq!(answer["status"], "success", "{target}: {answer}");
        answer["data"].clone()
    }

    /// The values of an expression now.
    #[track_caller]
    fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let answer = self.ask(&format!("query?query={encoded}"));
        answer["result"].as_array().unwrap().clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A server with viewers of an HTTP channel and of engine content, and one that left.
fn busy() -> (Server, Vec<Viewer>, Upstream, Engine) {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let engine = Engine::live(Source::new(2, 1_000));
    let config = Config::new().engine(&engine.url());
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let content = "/ace/getstream?infohash=00112233445566778899aabbccddeeff00112233";
    let mut viewers: Vec<Viewer> = (0..4).map(|_| server.viewer(7)).collect();
    viewers.push(server.viewer_of(content));
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 100));
    drop(viewers.remove(0));
    assert_eq!(server.get(&path(8)).status(), 404);
    (server, viewers, upstream, engine)
}

/// The expressions of the dashboard, each with the title of its panel.
fn panels() -> Vec<(String, String)> {
    let file = format!("{}/scripts/dist/grafana.json", env!("CARGO_MANIFEST_DIR"));
    let board: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let expressions = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().unwrap().iter();
        targets.map(|target| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&panel["title"]), text(&target["expr"]))
        })
    });
    expressions.collect()
}

/// An expression as Grafana sends it when everything is chosen.
fn filled_in(expression: &str) -> String {
    let all = expression
        .replace("$instance", ".*")
        .replace("$channel", ".*")
        .replace("$__rate_interval", "10s");
    assert!(!all.contains('$'), "{all}");
    all
}

#[test]
fn metrics_have_no_complaint_from_promtool() {
    let (server, _viewers, _upstream, _engine) = busy();
    let metrics = server.ask_admin("/metrics").body;
    let mut promtool = tools::spawn_fed("promtool", &["check", "metrics"]);
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), &metrics).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    // The contract names the rate of media in bits, as everybody does.
    let complaints = said.lines().filter(|line| !line.is_empty());
    let unexpected: Vec<&str> = complaints.filter(|line| *line != IN_BITS).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    assert!(
        matches!(checked.status.code(), Some(0 | 3)),
        "{:?}",
        checked.status
    );
}

#[test]
fn each_expression_of_the_dashboard_and_the_alerts_is_answered_by_a_real_prometheus() {
    let (server, _viewers, _upstream, _engine) = busy();
    let prometheus = Prometheus::of(&server);
    let asked: Vec<(String, String)> = panels()
        .into_iter()
        .map(|(title, expression)| (title, filled_in(&expression)))
        .collect();
    assert!(asked.len() > 20, "{asked:?}");
    // A rate takes two scrapes, and a quantile some viewers that come between them.
    for (title, expression) in &asked {
        within(20_000, &format!("{title}: {expression}"), || {
            server
                .viewer(7)
                .wait("media", |state| state.seen().packets > 1);
            let values = prometheus.query(expression);
            values.iter().any(|value| value["value"][1] != "NaN")
        });
    }
    assert_rules_are_sound(&prometheus);
    // The other way round: what an alert asks for can be there.
    drop(server);
    within(20_000, "the loss of the server is seen", || {
        !prometheus
            .query("ALERTS{alertname=\"CorecastDown\"}")
            .is_empty()
    });
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let file = |path: &str| format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let cases = file("tests/e2e/prometheus/alerts.yml");
    let tested = tools::run("promtool", &["test", "rules", &cases]);
    let said = [tested.stdout, tested.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(tested.status.success(), "{said}");
    let cases = std::fs::read_to_string(cases).unwrap();
    let rules = std::fs::read_to_string(file("scripts/dist/alerts.yml")).unwrap();
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let expected = format!("alertname=\"{name}\"");
        assert!(cases.contains(&expected), "nothing makes {name} fire");
    }
}

/// What promtool 2.42 says of a name that is kept.
const IN_BITS: &str =
    "corecast_ts_bitrate_bits_per_second use base unit \"bytes\" instead of \"bits\"";

/// Every rule was evaluated, none of them found anything in a server that is well, and each metric they name is there.
#[track_caller]
fn assert_rules_are_sound(prometheus: &Prometheus) {
    let mut rules = Vec::new();
    within(10_000, "every rule is evaluated", || {
        let groups = prometheus.ask("rules")["groups"].clone();
        rules = groups[0]["rules"].as_array().unwrap().clone();
        rules.iter().all(|rule| rule["health"] != "unknown")
    });
    assert!(rules.len() > 10, "{rules:?}");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_eq!(rule["state"], "inactive", "{rule}");
        let query = rule["query"].as_str().unwrap();
        let names = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for name in names.filter(|name| name.starts_with("corecast_")) {
            assert!(
                !prometheus.query(name).is_empty(),
                "{name} of {rule} is not there"
            );
        }
    }
}
