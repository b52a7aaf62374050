//! What the operator sees before the first viewer: the ready line, refusals with their cure, exit codes.
//!
//! Subcommands that end by themselves are in `commands.rs`.

use std::net::TcpListener;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::launch::{Launch, PASSWORD};
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::Viewer;
use crate::{http, within};

/// Starts on a file of exactly this text and says how that ended.
#[track_caller]
fn refusal_of(text: &str) -> crate::launch::Ran {
    let launch = Launch::bare();
    let file = launch.folder().join("wrong.toml");
    std::fs::write(&file, text).unwrap();
    launch.argument("-c").argument("wrong.toml").run()
}

#[test]
fn ready_line_names_real_ports_shards_and_channels() {
    let server = Server::start(&Config::new().demo(7).demo(8));
    let ready: Vec<String> = server
        .log()
        .into_iter()
        .filter(|line| line.contains("INFO ready "))
        .collect();
    assert_eq!(ready.len(), 1, "{ready:?}");
    let expected = format!(
        "INFO ready listen={} admin={} shards=2 channels=2",
        server.address(),
        server.admin()
    );
    assert!(ready[0].ends_with(&expected), "{ready:?}");
    assert!(server.address().port() != 0 && server.admin().port() != 0);
    assert_eq!(
        server.viewer(8).wait_status(),
        200,
        "a server that says it is ready is"
    );
}

#[test]
fn every_listener_serves() {
    let server = Server::start(
        &Config::new()
            .set(
                "server",
                "listen",
                r#"["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"]"#,
            )
            .demo(7),
    );
    assert_eq!(server.listeners().len(), 3, "{:?}", server.listeners());
    for listener in server.listeners() {
        assert_eq!(
            Viewer::of(listener.parse().unwrap(), &path(7)).wait_status(),
            200,
            "{listener}"
        );
    }
}

#[test]
fn without_a_file_the_demo_is_channel_123() {
    let server = Launch::bare()
        .argument("-l")
        .argument("127.0.0.1:0")
        .environment("CORECAST_ADMIN__LISTEN", "127.0.0.1:0")
        .start();
    let viewer = server.viewer_of("/live/admin/admin/123.ts");
    assert_eq!(viewer.wait_status(), 200);
    assert_eq!(server.get(&path(7)).status(), 404);
}

#[test]
fn flag_wins_over_variable_and_variable_over_file() {
    let launch = || Launch::new(&Config::new().demo(7)).environment("CORECAST_SERVER__SHARDS", "1");
    assert_eq!(launch().start().shards(), 1);
    assert_eq!(
        launch().argument("--shards").argument("2").start().shards(),
        2
    );
}

#[test]
fn port_in_use_is_69_and_the_first_server_is_left_alone() {
    let first = Server::start(&Config::new().demo(7));
    let viewer = first.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 20);
    for (section, address) in [("server", first.address()), ("admin", first.admin())] {
        let value = if section == "server" {
            format!("[\"{address}\"]")
        } else {
            format!("\"{address}\"")
        };
        let second = Launch::new(&Config::new().set(section, "listen", value).demo(7)).run();
        assert_eq!(second.code, Some(69), "{second:?}");
        assert!(
            second.errors.contains(&address.to_string())
                || second.errors.contains(&address.port().to_string()),
            "{second:?}"
        );
    }
    viewer.wait_more(50);
    assert_eq!(viewer.ended(), None);
    assert_eq!(viewer.seen().torn, 0);
}

#[test]
fn port_of_another_program_is_69() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let ran = Launch::new(
        &Config::new()
            .set("server", "listen", format!("[\"{address}\"]"))
            .demo(7),
    )
    .run();
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.errors.contains(&address.port().to_string()), "{ran:?}");
}

#[test]
fn every_fault_of_the_configuration_is_told_with_its_place() {
    let ran = refusal_of(
        "[stream]\nlinger_msx = 5\nburst_ms = -1\n[server]\nlisten = [\"0.0.0.0:0\"]\n[[channel]]\nid = 0\nname = \"x\"\n[[channel.upstream]]\nurl = \"file:///etc/passwd\"\n",
    );
    assert_eq!(ran.code, Some(78), "{ran:?}");
    let places = [
        "wrong.toml:2:1: stream.linger_msx: ",
        "wrong.toml:3:",
        "wrong.toml:5:",
        "wrong.toml:7:",
        "wrong.toml:10:",
    ];
    for place in places {
        assert!(
            ran.errors.lines().any(|line| line.contains(place)),
            "{place} is missing in {}",
            ran.errors
        );
    }
    assert!(
        ran.errors.contains("linger_ms"),
        "a slip is told what was meant: {}",
        ran.errors
    );
    assert!(!ran.errors.contains("panicked"), "{}", ran.errors);
    let broken = refusal_of("[server\nlisten = 5");
    assert_eq!(broken.code, Some(78), "{broken:?}");
    assert!(broken.errors.contains("wrong.toml:1:"), "{broken:?}");
}

#[test]
fn missing_file_and_reserved_names_are_78() {
    let missing = Launch::bare().argument("-c").argument("nothing.toml").run();
    assert_eq!(missing.code, Some(78), "{missing:?}");
    assert!(missing.errors.contains("nothing.toml"), "{missing:?}");
    for user in ["live", "api", "metrics", "a:b", "a/b"] {
        let ran = refusal_of(&format!(
            "[[account]]\nuser = \"{user}\"\npassword = \"{PASSWORD}\"\n"
        ));
        assert_eq!(ran.code, Some(78), "{user}: {ran:?}");
        assert!(
            ran.errors.contains("wrong.toml:2:") && !ran.errors.contains(PASSWORD),
            "{user}: {ran:?}"
        );
    }
}

#[test]
fn address_that_others_can_reach_needs_accounts_or_open() {
    let config = || {
        Config::new()
            .set("server", "listen", r#"["0.0.0.0:0"]"#)
            .demo(7)
    };
    let ran = Launch::new(&config()).run();
    assert_eq!(ran.code, Some(78), "{ran:?}");
    let port = |server: &Server| server.address().port();
    let open = Server::start(&config().set("server", "open", true));
    assert_eq!(
        http::get(([127, 0, 0, 1], port(&open)).into(), "/nothing").status(),
        404
    );
    let guarded = Server::start(&config().account("anna", PASSWORD));
    assert_eq!(
        http::get(([127, 0, 0, 1], port(&guarded)).into(), &path(7)).status(),
        401
    );
    let admin = Launch::new(
        &Config::new()
            .set("admin", "listen", r#""0.0.0.0:0""#)
            .demo(7),
    )
    .run();
    assert_eq!(admin.code, Some(78), "{admin:?}");
}

#[test]
fn log_can_be_json() {
    let server = Launch::new(&Config::new().demo(7))
        .argument("--log-format")
        .argument("json")
        .start_silently();
    let line = server.wait_line(|line| line.contains("ready"));
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(parsed.is_object() && line.contains("listen"), "{line}");
}

#[test]
fn log_that_cannot_be_written_stops_nothing() {
    // The port has to be known beforehand, for there is no ready line to read it from.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = ([127, 0, 0, 1], port).into();
    let upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new()
        .set("server", "listen", format!("[\"127.0.0.1:{port}\"]"))
        .channel(7, &[upstream.url("/a.ts")]);
    let _server = Launch::new(&config).start_with_full_log();
    within(10_000, "it listens", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    let viewer = Viewer::of(address, &path(7));
    viewer.wait("media", |state| state.seen().packets > 300);
    viewer.seen().assert_unbroken();
    viewer.assert_steady();
}
