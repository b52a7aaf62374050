//! The last lines of the log, for the operator's page. (pure)
//!
//! Kept by the thread that writes them, so that no shard waits for another's line. The rule: a line is kept as it was
//! written, secrets hidden, and no more of it than is read on a page.

use std::collections::VecDeque;

/// The last lines.
///
/// Shape: lines have numbers that grow by one from 1.
///
/// Bound: [`LINES_MAX`], each of [`LINE_BYTES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Kept {
    last_id: u64,
    lines: VecDeque<String>,
}

impl Kept {
    /// Takes a line as it was written.
    pub(super) fn push(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line.trim_ascii_end());
        let end = line.floor_char_boundary(LINE_BYTES_MAX);
        if self.lines.len() >= LINES_MAX {
            self.lines.pop_front();
        }
        self.lines
            .push_back(line.get(..end).unwrap_or_default().into());
        self.last_id += 1;
    }

    /// The lines after a number: of many, the newest `most`.
    pub(super) fn after(&self, after: u64, most: usize) -> Tail {
        let first_id = self.last_id + 1 - self.lines.len() as u64;
        let numbered = (first_id..).zip(&self.lines);
        let mut lines: Vec<_> = numbered
            .filter(|(id, _)| *id > after)
            .map(|(id, line)| (id, line.clone()))
            .collect();
        Tail {
            lines: lines.split_off(lines.len().saturating_sub(most)),
            last_id: self.last_id,
        }
    }
}

/// Some of the last lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Each with its number, oldest first, without its end.
    pub lines: Vec<(u64, String)>,
    /// Number of the newest line there is; 0 before the first.
    pub last_id: u64,
}

/// How many lines are kept.
pub const LINES_MAX: usize = 500;

/// How much of a line is kept.
const LINE_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_one_and_told_from_where_one_left_off() {
        let mut kept = Kept::default();
        assert_eq!(kept.after(0, 9), Tail::default());
        for line in ["INFO a\n", "WARN b\n", "INFO c\n"] {
            kept.push(line.as_bytes());
        }
        let tail = kept.after(1, 9);
        assert_eq!(tail.lines, [(2, "WARN b".into()), (3, "INFO c".into())]);
        assert_eq!(tail.last_id, 3);
        assert_eq!(kept.after(0, 1).lines, [(3, "INFO c".into())]);
        assert_eq!(kept.after(3, 9).lines, []);
    }

    #[test]
    fn no_more_is_kept_than_the_bounds_allow() {
        let mut kept = Kept::default();
        (0..LINES_MAX + 2).for_each(|_| kept.push(&[0xFF; 2 * LINE_BYTES_MAX]));
        let tail = kept.after(0, usize::MAX);
        assert_eq!(tail.lines.len(), LINES_MAX);
        assert_eq!(tail.lines.first().map(|(id, _)| *id), Some(3));
        assert!(
            tail.lines
                .iter()
                .all(|(_, line)| line.len() <= LINE_BYTES_MAX)
        );
    }
}
