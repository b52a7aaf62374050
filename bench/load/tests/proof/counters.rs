//! The server's own counters: read at both ends of the measured time, or named as what could not be read.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use crate::relay;
use crate::tool::{Source, Viewers};

/// A server whose counters grow with every reading: `a_total` by 300 and by 600, `b_seconds_total` by a quarter.
fn start_counting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (reading, connection) in (1_u32..).zip(listener.incoming()) {
            let mut connection = connection.unwrap();
            let mut head = [0; 4096];
            let length = connection.read(&mut head).unwrap();
            let asked = String::from_utf8_lossy(&head[..length]).into_owned();
            assert!(asked.starts_with("GET /metrics HTTP/1.0\r\n"), "{asked}");
            let quarters = f64::from(reading) / 4.0;
            let page = format!(
                "# TYPE a_total counter\na_total{{shard=\"0\"}} {}\na_total{{shard=\"1\"}} {}\n\
                 a_total_of_others 7\n# TYPE b_seconds_total counter\nb_seconds_total {quarters}\n",
                reading * 300,
                reading * 600,
            );
            write!(connection, "HTTP/1.1 200 OK\r\n\r\n{page}").unwrap();
        }
    });
    address
}

/// Five viewers, and the metrics of another address.
fn measured(metrics: SocketAddr, arguments: &[&str]) -> Viewers {
    let source = Source::start(&[]);
    let url = format!("http://{metrics}/metrics");
    let crowd = ["-n", "5", "--metrics", &url];
    Viewers::run(source.address, &[&crowd, arguments].concat())
}

#[test]
fn counters_of_the_server_are_told_per_second_and_per_megabyte() {
    let names = ["--metric", "a_total", "--metric", "b_seconds_total"];
    let viewers = measured(start_counting(), &names);
    viewers.assert_sound();
    let window_s = viewers.figure("/window_s");
    let megabytes = viewers.figure("/bytes") / 1e6;
    for (place, grown) in [(0, 900.0), (1, 0.25)] {
        let of = |figure: &str| viewers.figure(&format!("/metrics/{place}/{figure}"));
        let in_window = of("per_s") * window_s;
        assert!((in_window / grown - 1.0).abs() < 0.1, "{viewers:?}");
        assert!((of("per_mb") * megabytes / in_window - 1.0).abs() < 1e-6);
    }
    viewers.assert_printed("a_total");
}

#[test]
fn counters_without_viewers_have_no_figure_per_megabyte() {
    let viewers = measured(start_counting(), &["--metric", "a_total", "-n", "0"]);
    viewers.assert_sound();
    assert!(viewers.figure("/metrics/0/per_s") > 0.0);
    assert!(viewers.is_null("/metrics/0/per_mb"));
}

#[test]
fn metric_that_the_page_has_not_is_named() {
    let names = ["--metric", "a_total", "--metric", "c_total"];
    let viewers = measured(start_counting(), &names);
    viewers.assert_fault("metrics of the server could not be read: c_total is not on the page");
    assert!(
        viewers.number("/bytes") > 5 * 200_000,
        "all else is measured: {viewers:?}"
    );
}

#[test]
fn page_that_cannot_be_read_is_told_with_its_cause() {
    let busy = relay::start_answering(b"HTTP/1.1 503 Busy\r\n\r\n");
    measured(busy, &["--metric", "a_total"])
        .assert_fault("could not be read: the server answered 503, wanted 200");
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(5 << 20));
    let long = relay::start_answering(long.leak().as_bytes());
    measured(long, &["--metric", "a_total"]).assert_fault("the page has more than the 4194304");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    measured(address, &["--metric", "a_total"]).assert_fault("could not be read: connect failed");
}

#[test]
fn page_that_never_comes_holds_nothing_else_up() {
    // Connections are taken by the kernel, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let viewers = measured(silent.local_addr().unwrap(), &["--metric", "a_total"]);
    viewers.assert_fault("could not be read: the page was not whole after 5s");
    let undisturbed = measured(start_counting(), &["--metric", "a_total"]);
    let [held, free] = [&viewers, &undisturbed].map(|it| it.figure("/machine_use/all_s"));
    assert!(
        (held / free - 1.0).abs() < 0.5,
        "{held} s, {free} s without"
    );
}
