//! Programmes as they were read to shelves: sorted, without overlaps, written out and compressed. (pure)
//!
//! Blocks for as long as it takes: not for a shard. The rule: of two programmes that begin at the same time the first of the
//! document counts, and one that runs into the next ends where that begins, because apps show no two at once.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::hash::Hasher;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::cut::Cut;
use super::pack::Packer;
use super::stamp::Stamp;
use super::{Place, Shelf, Shelves};

/// A programme as it was read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The channel, by its index in the cut.
    pub(super) channel: usize,
    pub(super) start_s: u64,
    pub(super) stop_s: Option<u64>,
    /// Where its elements stand in the text that was read.
    pub(super) content: Range<usize>,
    /// These are within the content.
    pub(super) title: Range<usize>,
    pub(super) description: Range<usize>,
    pub(super) language: Range<usize>,
}

/// Puts programmes on shelves; `number` is that of their guide.
pub(super) fn shelve(mut programmes: Vec<Read>, text: &str, cut: &Cut, number: usize) -> Shelves {
    programmes.sort_by_key(|it| (it.channel, it.start_s));
    programmes.dedup_by_key(|it| (it.channel, it.start_s));
    let mut written = String::new();
    let mut rows = Vec::new();
    for of_channel in programmes.chunk_by(|one, next| one.channel == next.channel) {
        let Some(key) = of_channel.first().and_then(|it| cut.keys().get(it.channel)) else {
            continue;
        };
        let begin = written.len();
        let places = write(&mut written, of_channel, text, key);
        rows.push((key, begin..written.len(), places));
    }
    written.shrink_to_fit();
    let written = Bytes::from(written);
    let mut packer = Packer::new();
    let shelves = rows.into_iter().map(|(key, range, programmes)| {
        let text = written.slice(range);
        let mut hasher = DefaultHasher::new();
        hasher.write(&text);
        let shelf = Shelf {
            packed: packer.pack(&text),
            digest: hasher.finish(),
            text,
            programmes,
            number,
        };
        (key.clone(), Arc::new(shelf))
    });
    shelves.collect()
}

/// Writes the programmes of one channel; their places are counted from where the first begins.
fn write(out: &mut String, programmes: &[Read], text: &str, key: &str) -> Vec<Place> {
    let key = quick_xml::escape::escape(key);
    let begin = out.len();
    let nexts = programmes.iter().skip(1).map(|it| it.start_s);
    let nexts = nexts.chain(std::iter::once(u64::MAX));
    let mut places = Vec::with_capacity(programmes.len());
    for (programme, next_s) in programmes.iter().zip(nexts) {
        let start_s = programme.start_s;
        let stop_s = programme.stop_s.filter(|stop_s| *stop_s > start_s);
        let stop_s = stop_s.unwrap_or(start_s + UNKNOWN_S).min(next_s);
        let (start, stop) = (Stamp(start_s), Stamp(stop_s));
        let tag = format_args!("<programme start=\"{start}\" stop=\"{stop}\" channel=\"{key}\">");
        // Writing to a String cannot fail; were it to, the programme would be missing and nothing worse.
        if out.write_fmt(tag).is_err() {
            continue;
        }
        let at = out.len() - begin;
        let place = |range: &Range<usize>| at + range.start..at + range.end;
        places.push(Place {
            start_s,
            stop_s,
            title: place(&programme.title),
            description: place(&programme.description),
            language: place(&programme.language),
        });
        out.push_str(text.get(programme.content.clone()).unwrap_or_default());
        out.push_str("</programme>\n");
    }
    places
}

/// How long a programme lasts at most whose end is not told.
pub(super) const UNKNOWN_S: u64 = 4 * 3_600;
