//! What `mod.rs` promises, tried.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

fn config_on(listener: &TcpListener) -> Config {
    let mut config = Config::default();
    config.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.admin.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let port = listener.local_addr().unwrap().port();
    config.engine.url = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    config
}

#[test]
fn a_start_is_granted_where_the_tests_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let granted = check_start(&config_on(&listener), 1, &Inherited::default()).unwrap();
    assert!(granted.connections > 0);
    assert!(granted.open_files.now >= granted.open_files.before);
}

#[test]
fn a_port_in_use_stops_the_start_and_is_named_with_a_cure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config_on(&listener);
    let taken = listener.local_addr().unwrap();
    config.server.listen.push(taken.into());
    let error = check_start(&config, 1, &Inherited::default()).unwrap_err();
    let message = error.to_string();
    assert_eq!(error.failures().len(), 1, "{message}");
    assert!(
        message.starts_with(&format!("{taken} is in use")),
        "{message}"
    );
    assert!(message.contains("--listen ADDRESS"), "{message}");
}

#[test]
fn the_doctor_names_every_requirement_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config_on(&listener);
    config.engine.dynamic = false;
    let names: Vec<_> = doctor(&config, 1).iter().map(|one| one.name).collect();
    assert_eq!(
        names,
        [
            "kernel",
            "io_uring",
            "memlock",
            "pinning",
            "open files",
            "seccomp",
            "port",
            "port",
            "engine",
            "clock"
        ]
    );
}

#[test]
fn an_engine_that_answers_is_told_from_one_that_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = config_on(&listener);
    let answering = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = [0; 512];
        let taken = socket.read(&mut head).unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        String::from_utf8_lossy(&head[..taken]).into_owned()
    });
    let state = engine(&config).state;
    let head = answering.join().unwrap();
    assert!(
        matches!(&state, State::Ok { detail } if detail.ends_with("answers with status 200")),
        "{state:?}"
    );
    assert!(
        head.starts_with("GET /webui/api/service?method=get_version"),
        "{head}"
    );
    assert!(engine(&config).is_warning(), "nobody listens any more");
}

#[test]
fn an_engine_that_nobody_needs_is_not_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut config = config_on(&listener);
    config.engine.dynamic = false;
    assert!(matches!(engine(&config).state, State::Ok { .. }));
    assert!(listener.accept().is_err());
}

#[test]
fn a_clock_from_before_this_program_is_warned_about() {
    assert!(clock(UNIX_EPOCH).is_warning());
    assert!(clock(UNIX_EPOCH - Duration::from_secs(1)).is_warning());
    assert!(!clock(UNIX_EPOCH + Duration::from_secs(CLOCK_LEAST_S)).is_warning());
}

#[test]
fn usable_cpus_are_those_of_the_mask_and_no_more_than_the_quota_pays() {
    let cpus = usable_cpus();
    let mask = sched_getaffinity(None).unwrap();
    assert!(!cpus.is_empty());
    assert!(cpus.iter().all(|cpu| mask.is_set(*cpu)));
    assert!(cpus.is_sorted());
    assert!(cpus.len() <= thread::available_parallelism().unwrap().get());
}

#[test]
fn what_hangs_is_left_behind() {
    let (keep, forever) = std::sync::mpsc::channel::<()>();
    assert_eq!(
        within(Duration::from_millis(10), move || forever.recv().is_ok()),
        None
    );
    drop(keep);
    assert_eq!(within(Duration::from_secs(5), || 7), Some(7));
}
