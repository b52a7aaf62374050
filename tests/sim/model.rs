//! What must come out, worked out naively from what was sent. (pure)
//!
//! No code under test is used here, nothing is fast, and everything stands in one plain list. What of it is still
//! held at a time is `ring.rs`.

use std::collections::BTreeSet;

use crate::packet::{self, NULL_PID};
use crate::upstream::{Kind, Upstream};

/// One packet that must be delivered.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) number: usize,
    /// For a join point: the numbers of the PAT and PMT packets seen last before it.
    pub(crate) tables: Option<Vec<usize>>,
    /// It is the first that comes from a new fetch, after others were delivered.
    pub(crate) is_splice: bool,
    /// It is the first of its PID in its fetch.
    pub(crate) is_first_of_pid: bool,
}

/// All packets that must be delivered, in order.
///
/// All that arrived whole, but after a cut only from the first join point on that may follow by its clock. Join points
/// are key packets, or PATs where there is no video, once a PAT and after it a whole PMT were seen.
pub(crate) fn due(upstream: &Upstream) -> Vec<Due> {
    let mut all: Vec<Due> = Vec::new();
    let mut shown = None;
    for (index, fetch) in upstream.fetches.iter().enumerate() {
        let mut is_passing = all.is_empty();
        let (mut pat, mut pmt, mut part) = (None, None, None);
        let (mut come, mut is_new_clock) = (None, false);
        let mut seen = BTreeSet::new();
        let arrived = upstream.packets.iter().enumerate();
        for (number, sent) in arrived.filter(|(_, sent)| sent.fetch == index && sent.arrives) {
            let is_start = match fetch.is_radio {
                true => sent.kind == Kind::Pat,
                false => sent.kind == Kind::Key,
            };
            let tables = pat
                .zip(pmt.clone())
                .filter(|_| is_start)
                .map(|(pat, pmt): (usize, Vec<usize>)| [vec![pat], pmt].concat());
            let clock = packet::clock_in(&sent.bytes).filter(|_| pmt.is_some());
            come = clock.or(come);
            let gap_ms = shown.zip(come).map(|(shown, come)| gap_ms(shown, come));
            is_new_clock |= gap_ms.is_some_and(|gap_ms| !(-600_000.0..=10_000.0).contains(&gap_ms));
            let is_beyond = gap_ms.map_or_else(|| shown.is_none(), |gap_ms| gap_ms > 0.0);
            let is_splice = !is_passing && tables.is_some() && (is_new_clock || is_beyond);
            is_passing |= is_splice;
            if is_passing {
                shown = clock.or_else(|| shown.filter(|_| !(is_splice && is_new_clock)));
            }
            if is_passing {
                let is_first_of_pid = sent.pid != NULL_PID && !seen.contains(&sent.pid);
                all.push(Due {
                    number,
                    tables,
                    is_splice,
                    is_first_of_pid,
                });
            }
            seen.insert(sent.pid);
            match sent.kind {
                Kind::Pat => pat = Some(number),
                Kind::Pmt {
                    is_first: true,
                    is_last: true,
                } if pat.is_some() => {
                    pmt = Some(vec![number]);
                }
                Kind::Pmt {
                    is_first: true,
                    is_last: false,
                } if pat.is_some() => {
                    part = Some((number, sent.ordinal));
                }
                Kind::Pmt {
                    is_first: false, ..
                } => {
                    let begun = part
                        .take()
                        .filter(|(_, ordinal)| ordinal + 1 == sent.ordinal);
                    pmt = begun.map(|(first, _)| vec![first, number]).or(pmt);
                }
                _ => {}
            }
        }
    }
    all
}

/// How far one clock stands after another.
fn gap_ms(shown: u64, come: u64) -> f64 {
    let wrap = i128::from(1_u64 << 33);
    let ahead = (i128::from(come) - i128::from(shown)).rem_euclid(wrap);
    let gap = if ahead > wrap / 2 {
        ahead - wrap
    } else {
        ahead
    };
    gap as f64 / 90.0
}

/// Where each packet of the upstream stands in the list of those that are due, if it does.
pub(crate) fn index(upstream: &Upstream, due: &[Due]) -> Vec<Option<usize>> {
    let mut index = vec![None; upstream.packets.len()];
    for (place, due) in due.iter().enumerate() {
        index[due.number] = Some(place);
    }
    index
}
