//! Any bytes as a guide: no panic, no more kept than is allowed, and what is served is a guide that can be read again.
#![no_main]

use std::io::BufReader;
use std::sync::LazyLock;

use corecast::config::{Channel, Config, Inputs};
use corecast::guide::cut::Cut;
use corecast::guide::pack::{Gzip, HEAD};
use corecast::guide::read::{Part, Terms, read};
use libfuzzer_sys::fuzz_target;

/// Three channels: `a` and `b` are found by their ids, one by the name `c`.
static CUT: LazyLock<Cut> = LazyLock::new(|| {
    let (config, _) = Config::load(&Inputs::default()).expect("the defaults are valid");
    let channel = |id: u32, epg_id: Option<&str>| Channel {
        id,
        name: "c".into(),
        epg_id: epg_id.map(str::to_owned),
        number: id,
        ..config.channels[0].clone()
    };
    Cut::to(&[channel(1, Some("a")), channel(2, Some("b")), channel(3, None)])
});

const BYTES_MAX: usize = 4_096;

fuzz_target!(|bytes: &[u8]| {
    let whole = part(bytes);
    // The verdict does not depend on how the bytes come.
    let cut = read(BufReader::with_capacity(1, bytes), &terms(&CUT)).ok();
    let served = CUT.as_served();
    match (whole, cut) {
        (Some(part), Some(cut)) => {
            assert_eq!(texts(&part), texts(&cut));
            check(&part, &served);
        }
        (None, None) => {}
        (part, cut) => panic!("{part:?} is not {cut:?}"),
    }
});

fn terms(cut: &Cut) -> Terms<'_> {
    Terms {
        cut,
        from_s: 0,
        until_s: u64::MAX,
        shift_s: 0,
        bytes_max: BYTES_MAX,
        number: 1,
    }
}

fn part(bytes: &[u8]) -> Option<Part> {
    read(bytes, &terms(&CUT)).ok()
}

fn texts(part: &Part) -> Vec<(&str, &[u8])> {
    let mut texts: Vec<_> = part
        .shelves
        .iter()
        .map(|(key, shelf)| (&**key, &**shelf.text()))
        .collect();
    texts.sort_unstable();
    texts
}

fn check(part: &Part, served: &Cut) {
    let all: usize = part.shelves.values().map(|shelf| shelf.text().len()).sum();
    assert!(all <= BYTES_MAX);
    let mut gzip = Gzip::default();
    let mut body = HEAD.to_vec();
    body.extend(gzip.store(b"<tv>", false));
    for shelf in part.shelves.values() {
        let mut before_s = 0;
        for index in 0..shelf.len() {
            let it = shelf.programme(index).expect("it is there");
            assert!(before_s <= it.start_s && it.start_s < it.stop_s && !it.title.is_empty());
            before_s = it.stop_s;
        }
        gzip.join(shelf.packed());
        body.extend_from_slice(shelf.packed().bytes());
    }
    body.extend(gzip.store(b"</tv>", true));
    body.extend(gzip.tail());
    let terms = Terms {
        bytes_max: usize::MAX / 2,
        ..terms(served)
    };
    let again = read(&*body, &terms).expect("what is served is a guide");
    assert_eq!(texts(&again), texts(part));
}
