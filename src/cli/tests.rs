//! What `cli.rs` promises, tried.

use super::*;

fn parsed(arguments: &[&str]) -> Cli {
    Cli::try_parse_from(std::iter::once("corecast").chain(arguments.iter().copied())).unwrap()
}

fn refused(arguments: &[&str]) -> ErrorKind {
    let all = std::iter::once("corecast").chain(arguments.iter().copied());
    Cli::try_parse_from(all).unwrap_err().kind()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn nothing_and_run_both_serve() {
    assert_eq!(run_subcommand(&parsed(&[])), None);
    assert_eq!(run_subcommand(&parsed(&["run"])), None);
    assert_eq!(run_subcommand(&parsed(&["-l", "127.0.0.1:0", "run"])), None);
}

#[test]
fn flags_stand_before_or_after_the_subcommand() {
    for arguments in [
        &[
            "-c", "f", "-l", "a:1", "--listen", "b:2", "--shards", "2", "run",
        ][..],
        &[
            "run",
            "--config",
            "f",
            "--listen=a:1",
            "-lb:2",
            "--shards=2",
        ],
    ] {
        let inputs = parsed(arguments).inputs();
        assert_eq!(inputs.file, Some("f".into()));
        assert_eq!(inputs.flags.listen, ["a:1", "b:2"]);
        assert_eq!(inputs.flags.shards.as_deref(), Some("2"));
    }
}

#[test]
fn check_reads_the_file_that_it_names() {
    assert_eq!(parsed(&["check", "a"]).inputs().file, Some("a".into()));
    assert_eq!(
        parsed(&["check", "a", "-c", "b"]).inputs().file,
        Some("a".into())
    );
    assert_eq!(
        parsed(&["check", "-c", "b"]).inputs().file,
        Some("b".into())
    );
    assert_eq!(parsed(&["check"]).inputs().file, None);
}

#[test]
fn log_flags_reach_the_log() {
    let options = parsed(&["--log-level", "debug", "--log-format", "json"]).log_options();
    assert_eq!(options.level, Some(LevelFilter::Debug));
    assert_eq!(options.format, Format::Json);
    assert_eq!(parsed(&[]).log_options().level, None);
    assert_eq!(parsed(&[]).log_options().format, Format::Text);
}

#[test]
fn what_is_not_known_is_refused() {
    assert_eq!(refused(&["serve"]), ErrorKind::InvalidSubcommand);
    assert_eq!(refused(&["--nonsense"]), ErrorKind::UnknownArgument);
    assert_eq!(refused(&["--log-level", "loud"]), ErrorKind::InvalidValue);
    assert_eq!(refused(&["top"]), ErrorKind::InvalidSubcommand);
    assert_eq!(refused(&["--help"]), ErrorKind::DisplayHelp);
    assert_eq!(refused(&["-V"]), ErrorKind::DisplayVersion);
}

#[test]
fn a_listener_that_listens_everywhere_is_asked_on_loopback() {
    let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
    assert_eq!(asked("0.0.0.0:8001"), "127.0.0.1:8001");
    assert_eq!(asked("[::]:8001"), "[::1]:8001");
    assert_eq!(asked("192.0.2.1:8001"), "192.0.2.1:8001");
}

#[test]
fn a_reader_that_goes_away_is_no_fault_and_a_full_disk_is() {
    assert_eq!(
        written(Exit::Done, &io::ErrorKind::BrokenPipe.into()),
        Exit::Done
    );
    assert_eq!(
        written(Exit::Done, &io::ErrorKind::StorageFull.into()),
        Exit::Environment
    );
    assert_eq!(
        written(Exit::Usage, &io::ErrorKind::StorageFull.into()),
        Exit::Usage
    );
}

#[test]
fn exit_codes_are_those_of_the_readme() {
    let codes = [
        Exit::Done,
        Exit::Usage,
        Exit::Environment,
        Exit::Internal,
        Exit::Config,
    ]
    .map(|exit| exit as u8);
    assert_eq!(codes, [0, 64, 69, 70, 78]);
}
