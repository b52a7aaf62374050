//! The live stream: a snapshot each second for every page, and no page in the way of another.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{call, get, two_channels};
use crate::http;
use crate::server::Server;
use crate::within;

/// An open page.
struct Page {
    reader: BufReader<TcpStream>,
}

/// One server-sent event.
struct Event {
    name: String,
    id: Option<u64>,
    value: Value,
}

impl Page {
    #[track_caller]
    fn open(server: &Server, query: &str) -> Self {
        let mut socket = server.connect(server.admin());
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let request = format!(
            "GET /api/v1/live{query} HTTP/1.1\r\nHost: {}\r\n\r\n",
            server.admin()
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut page = Self {
            reader: BufReader::new(socket),
        };
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(page.reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let (head, _) = http::Head::read(head.as_bytes()).unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("x-accel-buffering"), Some("no"));
        page
    }

    /// The next event; `None` at the end of the stream.
    #[track_caller]
    fn next(&mut self) -> Option<Event> {
        let mut event = Event {
            name: String::new(),
            id: None,
            value: Value::Null,
        };
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let line = line.trim_end();
            let (field, value) = line.split_once(": ").unwrap_or((line, ""));
            match field {
                "event" => event.name = value.to_owned(),
                "id" => event.id = Some(value.parse().unwrap()),
                "data" => event.value = serde_json::from_str(value).unwrap(),
                "retry" => assert!(value.parse::<u32>().unwrap() > 0),
                "" if event.name.is_empty() => {}
                "" => return Some(event),
                _ => panic!("unknown field in {line:?}"),
            }
        }
    }

    /// The next event of this name.
    #[track_caller]
    fn next_of(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().expect("the stream goes on");
            if event.name == name {
                return event;
            }
        }
    }
}

#[test]
fn a_page_is_told_at_once_and_then_each_second() {
    let (server, _upstream) = two_channels();
    let viewer = server.viewer(8);
    viewer.wait("media", |state| state.seen().packets > 20);
    let began = Instant::now();
    let mut page = Page::open(&server, "");
    let first = page.next_of("snapshot");
    assert!(began.elapsed() < Duration::from_millis(900));
    let time = |event: &Event| event.value["status"]["time_ms"].as_u64().unwrap();
    let mut before = time(&first);
    for _ in 0..3 {
        let next = time(&page.next_of("snapshot"));
        assert!(
            (900..1_600).contains(&(next - before)),
            "{} ms",
            next - before
        );
        before = next;
    }
    let snapshot = page.next_of("snapshot").value;
    assert_eq!(snapshot["status"]["viewers"], json!(1));
    let channels = snapshot["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 1, "only what is open: {snapshot}");
    assert_eq!(channels[0], {
        let mut shown = get(&server, "channels/8");
        for field in ["sent_bytes", "received_bytes", "ring_ms", "ring_bytes"] {
            shown[field] = channels[0][field].clone();
        }
        for field in ["in_bits_per_second", "out_bits_per_second"] {
            shown[field] = channels[0][field].clone();
        }
        shown["media"] = channels[0]["media"].clone();
        shown
    });
}

#[test]
fn events_are_told_with_the_number_to_go_on_from() {
    let (server, _upstream) = two_channels();
    let viewer = server.viewer(8);
    viewer.wait("media", |state| state.seen().packets > 20);
    let mut page = Page::open(&server, "");
    let told = page.next_of("events");
    let ids = |event: &Event| -> Vec<u64> {
        let events = event.value.as_array().unwrap().iter();
        events.map(|it| it["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(&told).last().copied(), told.id);
    drop(viewer);
    let later = page.next_of("events");
    assert_eq!(ids(&later)[0], told.id.unwrap() + 1);
    drop(page);
    let mut again = Page::open(&server, &format!("?after={}", told.id.unwrap()));
    let missed = again.next_of("events");
    assert_eq!(ids(&missed)[0], told.id.unwrap() + 1);
    let newest = later.id.unwrap();
    assert!(ids(&missed).contains(&newest));
}

#[test]
fn all_pages_are_told_the_same_and_one_too_many_is_told_to_come_back() {
    let (server, _upstream) = two_channels();
    let mut pages: Vec<Page> = (0..32).map(|_| Page::open(&server, "")).collect();
    for page in &mut pages {
        page.next_of("snapshot");
    }
    call(&server, "GET", "/api/v1/live", "").assert_told_to_come_back();
    let mut told: Vec<Vec<String>> = Vec::new();
    for page in &mut pages {
        let snapshots = (0..2).map(|_| page.next_of("snapshot").value.to_string());
        told.push(snapshots.collect());
    }
    let is_shared = told
        .iter()
        .all(|it| it.iter().any(|one| told[0].contains(one)));
    assert!(is_shared, "each page had a snapshot of its own");
    drop(pages);
    within(3_000, "there is room again", || {
        call(&server, "HEAD", "/api/v1/live", "").status() == 200
    });
}

#[test]
fn a_page_that_does_not_read_delays_no_other() {
    let (server, _upstream) = two_channels();
    let deaf = Page::open(&server, "");
    let mut page = Page::open(&server, "");
    for _ in 0..4 {
        let began = Instant::now();
        page.next_of("snapshot");
        assert!(began.elapsed() < Duration::from_millis(1_700));
    }
    drop(deaf);
}

#[test]
fn the_stream_ends_with_the_process() {
    let (server, _upstream) = two_channels();
    let mut page = Page::open(&server, "");
    page.next_of("snapshot");
    server.terminate();
    while page.next().is_some() {}
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
}
