//! Subcommands: each answers and ends, with the exit code of the contract.

use std::net::TcpListener;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::Engine;
use crate::launch::{Launch, PASSWORD};
use crate::server::Server;
use crate::tls::Authority;

#[test]
fn bad_command_line_is_64() {
    for arguments in [
        vec!["--no-such-flag"],
        vec!["no-such-command"],
        vec!["--shards"],
        vec!["run", "too", "many"],
        vec!["--log-format", "xml"],
    ] {
        let ran = arguments
            .iter()
            .fold(Launch::bare(), |launch, argument| {
                launch.argument(*argument)
            })
            .run();
        assert_eq!(ran.code, Some(64), "{arguments:?}: {ran:?}");
        assert!(
            !ran.errors.is_empty() && ran.output.is_empty(),
            "{arguments:?}: {ran:?}"
        );
    }
}

#[test]
fn help_and_version_are_answers() {
    for flag in ["-h", "--help", "-V", "--version"] {
        let ran = Launch::bare().argument(flag).run();
        assert_eq!(ran.code, Some(0), "{flag}: {ran:?}");
        assert!(ran.output.contains("corecast"), "{flag}: {ran:?}");
    }
}

#[test]
fn check_says_whether_a_file_is_valid() {
    let launch = |text: &str| {
        let launch = Launch::bare();
        std::fs::write(launch.folder().join("a.toml"), text).unwrap();
        launch.argument("check").argument("a.toml").run()
    };
    assert_eq!(launch(&Config::new().demo(7).toml()).code, Some(0));
    let wrong = launch("[server]\nshard = 2\n");
    assert_eq!(wrong.code, Some(78), "{wrong:?}");
    assert!(
        format!("{}{}", wrong.output, wrong.errors).contains("a.toml:2:1: server.shard: "),
        "{wrong:?}"
    );
}

#[test]
fn default_configuration_is_valid_and_equals_the_built_in_one() {
    let default = Launch::bare().argument("config").argument("default").run();
    assert_eq!(default.code, Some(0), "{default:?}");
    let shown = |text: Option<&str>| {
        let launch = Launch::bare();
        let launch = match text {
            None => launch,
            Some(text) => {
                std::fs::write(launch.folder().join("default.toml"), text).unwrap();
                launch.argument("-c").argument("default.toml")
            }
        };
        let ran = launch.argument("config").argument("show").run();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        // What follows a value is where it came from.
        ran.output
            .lines()
            .map(|line| line.split('#').next().unwrap().trim_end().to_owned())
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
    };
    let (built_in, of_file) = (shown(None), shown(Some(&default.output)));
    let sections = |lines: &[String]| {
        lines
            .iter()
            .take_while(|line| !line.starts_with("[["))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(sections(&of_file), sections(&built_in));
    assert!(sections(&built_in).len() > 15, "{built_in:?}");
}

#[test]
fn shown_configuration_hides_secrets() {
    let url = format!("http://me:{PASSWORD}@192.0.2.1/live/me/{PASSWORD}/1.ts?t={PASSWORD}");
    let config = Config::new().account("anna", PASSWORD).channel(7, &[url]);
    let ran = Launch::new(&config)
        .argument("config")
        .argument("show")
        .run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.output.contains("anna") && ran.output.contains("192.0.2.1"),
        "{ran:?}"
    );
    assert!(
        !ran.output.contains(PASSWORD) && !ran.errors.contains(PASSWORD),
        "{ran:?}"
    );
}

#[test]
fn doctor_names_each_requirement_and_its_cure() {
    let engine = Engine::live(Source::new(1, 500));
    let well = Launch::new(&Config::new().engine(&engine.url()).demo(7))
        .argument("doctor")
        .run();
    assert_eq!(well.code, Some(0), "{well:?}");
    for about in ["kernel", "io_uring", "memlock", "open files", "engine"] {
        assert!(
            well.output.lines().any(|line| line.contains(about)),
            "{about} is missing in {}",
            well.output
        );
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ill = Launch::new(
        &Config::new()
            .set(
                "server",
                "listen",
                format!("[\"{}\"]", taken.local_addr().unwrap()),
            )
            .engine(&engine.url())
            .demo(7),
    )
    .argument("doctor")
    .run();
    assert_eq!(ill.code, Some(69), "{ill:?}");
    assert!(
        ill.output
            .lines()
            .any(|line| line.contains(&taken.local_addr().unwrap().port().to_string())),
        "{ill:?}"
    );
}

#[test]
fn doctor_looks_for_certificates_where_an_upstream_needs_them() {
    let told = |url: &str, file: &str| {
        let launch = Launch::new(&Config::new().channel(7, &[url.to_owned()]));
        let launch = launch
            .environment("SSL_CERT_FILE", file)
            .environment("SSL_CERT_DIR", "");
        launch.argument("doctor").run().output
    };
    let missing = told("https://192.0.2.1/a.ts", "/dev/null");
    let cure = "https upstreams will fail: apt-get install ca-certificates";
    assert!(
        missing.contains("warn certificates: ") && missing.contains(cure),
        "{missing}"
    );
    let unneeded = told("http://192.0.2.1/a.ts", "/dev/null");
    assert!(!unneeded.contains("certificates"), "{unneeded}");
    let authority = Authority::new();
    let there = told(
        "https://192.0.2.1/a.ts",
        authority.certificate().to_str().unwrap(),
    );
    assert!(
        there.contains("ok   certificates: authorities known: 1"),
        "{there}"
    );
}

#[test]
fn generated_texts_are_generated() {
    for arguments in [
        vec!["completions", "bash"],
        vec!["completions", "zsh"],
        vec!["man"],
    ] {
        let ran = arguments
            .iter()
            .fold(Launch::bare(), |launch, argument| {
                launch.argument(*argument)
            })
            .run();
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        assert!(
            ran.output.contains("corecast") && ran.output.len() > 500,
            "{arguments:?}: {ran:?}"
        );
    }
}

#[test]
fn healthcheck_tells_by_its_exit_code() {
    let server = Server::start(&Config::new().demo(7));
    let check = |address: String| {
        let launch = Launch::new(
            &Config::new()
                .set("admin", "listen", format!("\"{address}\""))
                .demo(7),
        );
        launch.argument("healthcheck").run().code
    };
    assert_eq!(check(server.admin().to_string()), Some(0));
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert!(!matches!(check(nobody.to_string()), Some(0) | None));
}
