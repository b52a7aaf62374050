//! What must come out, worked out naively from what was sent. (pure)
//!
//! No code under test is used here, nothing is fast, and everything stands in one plain list. What of it is still
//! held at a time is `ring.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::packet::NULL_PID;
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
/// All that arrived whole, but after a cut only from the first join point on. Join points are key packets, or PATs
/// where there is no video, once a PAT and after it a whole PMT were seen.
pub(crate) fn due(upstream: &Upstream) -> Vec<Due> {
    let mut all: Vec<Due> = Vec::new();
    for (index, fetch) in upstream.fetches.iter().enumerate() {
        let mut is_passing = all.is_empty();
        let (mut pat, mut pmt, mut part) = (None, None, None);
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
            let is_splice = !is_passing && tables.is_some();
            is_passing |= is_splice;
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

/// Where each due packet's number stands in the list.
pub(crate) fn index(due: &[Due]) -> BTreeMap<usize, usize> {
    let numbered = due.iter().enumerate();
    numbered.map(|(index, due)| (due.number, index)).collect()
}
