//! The verdict on a request is a function of its bytes and never of how they were cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;

use crate::canary::{connect, started};
use crate::http::{self, RawEnd};

/// One request of the corpus.
struct Case {
    name: String,
    bytes: Vec<u8>,
    expect: String,
}

/// The requests of two public test suites that lie beside the repository.
fn corpus() -> Vec<Case> {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/corpus/requests.json"
    );
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let field = |case: &serde_json::Value, name: &str| case[name].as_str().unwrap().to_owned();
    cases
        .iter()
        .map(|case| Case {
            name: field(case, "id"),
            bytes: base64::engine::general_purpose::STANDARD
                .decode(field(case, "b64"))
                .unwrap(),
            expect: field(case, "expect"),
        })
        .collect()
}

#[test]
fn verdict_on_a_request_does_not_depend_on_how_it_was_cut() {
    let (server, _upstream) = started();
    let cases = corpus();
    assert_eq!(cases.len(), 129);
    let address = server.address();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    judge(address, case);
                }
            });
        }
    });
    assert!(
        server.viewer(7).wait_status() == 200,
        "after all that a viewer is served"
    );
}

/// Sends one case whole, byte by byte and line by line.
#[track_caller]
fn judge(address: SocketAddr, case: &Case) {
    let bytes: Vec<&[u8]> = case.bytes.chunks(1).collect();
    let lines: Vec<&[u8]> = case.bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let verdicts = [vec![case.bytes.as_slice()], bytes, lines].map(|pieces| {
        let raw = http::exchange(connect(address), &pieces);
        assert!(
            raw.end.is_some(),
            "{}: the connection stays open",
            case.name
        );
        assert!(
            raw.end == Some(RawEnd::Closed) || raw.status().is_some(),
            "{}: reset without an answer",
            case.name
        );
        raw.status()
    });
    let name = format!("{} ({})", case.name, case.expect);
    assert!(
        verdicts.iter().all(|verdict| *verdict == verdicts[0]),
        "{name}: {verdicts:?} whole, byte by byte, line by line"
    );
    match case.expect.as_str() {
        "reject" => assert!(
            verdicts[0].is_some_and(|status| status >= 400),
            "{name}: {verdicts:?}"
        ),
        "accept" => assert!(
            verdicts[0].is_some_and(|status| status != 400),
            "{name}: {verdicts:?}"
        ),
        "wait" => assert!(
            matches!(verdicts[0], None | Some(408)),
            "{name}: {verdicts:?}"
        ),
        _ => {}
    }
}
