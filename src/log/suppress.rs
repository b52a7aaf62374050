//! At most so many lines a second for one cause, then how many were left out. (pure)
//!
//! Writing the lines belongs to the caller, who also tells the time. The rule: a flood of one cause hides no other cause, and
//! what is left out is told as a number.

use std::collections::BTreeMap;

/// Decides which events of a frequent kind get a line.
///
/// Shape: `C` says what the lines have in common, a closed set such as reason and channel. Each cause has windows of one
/// second, begun by its first event.
///
/// Bound: one entry for each cause seen since the last call of [`Suppress::ended`].
#[derive(Debug)]
pub struct Suppress<C> {
    lines_max: u32,
    windows: BTreeMap<C, Window>,
}

/// Whether an event gets a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Count it, say nothing.
    Withhold,
    /// Write its line.
    Write,
    /// Write its line, after one that says how many of the cause were withheld in the window before.
    WriteAfter {
        /// How many.
        suppressed: u64,
    },
}

#[derive(Debug)]
struct Window {
    begun_us: u64,
    written: u32,
    withheld: u64,
}

impl<C: Ord> Suppress<C> {
    /// Lets `lines_max` lines a second pass for each cause.
    #[must_use]
    pub fn new(lines_max: u32) -> Self {
        Self {
            lines_max,
            windows: BTreeMap::new(),
        }
    }

    /// Counts an event and says whether it gets a line.
    ///
    /// Unit: `now_us` in microseconds; a time before the window's begin counts as within it.
    pub fn admit(&mut self, cause: C, now_us: u64) -> Verdict {
        let window = self.windows.entry(cause).or_insert(Window {
            begun_us: now_us,
            written: 0,
            withheld: 0,
        });
        let mut suppressed = 0;
        if window.is_over(now_us) {
            suppressed = std::mem::take(&mut window.withheld);
            window.begun_us = now_us;
            window.written = 0;
        }
        if window.written >= self.lines_max {
            // With no lines at all there is none to carry the count, so it goes on.
            window.withheld += 1 + suppressed;
            return Verdict::Withhold;
        }
        window.written += 1;
        match suppressed {
            0 => Verdict::Write,
            _ => Verdict::WriteAfter { suppressed },
        }
    }

    /// Whether events were withheld of which nobody has been told yet.
    #[must_use]
    pub fn is_withholding(&self) -> bool {
        self.windows.values().any(|window| window.withheld > 0)
    }

    /// Forgets the windows that are over; the answer is the causes that withheld events in them, each with how many.
    ///
    /// To be called about once a second, so that the count is told although the cause has gone quiet.
    pub fn ended(&mut self, now_us: u64) -> Vec<(C, u64)> {
        self.windows
            .extract_if(.., |_, window| window.is_over(now_us))
            .filter(|(_, window)| window.withheld > 0)
            .map(|(cause, window)| (cause, window.withheld))
            .collect()
    }
}

impl Window {
    fn is_over(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.begun_us) >= WINDOW_US
    }
}

/// How long a window is.
const WINDOW_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_pass_and_the_rest_is_counted() {
        let mut suppress = Suppress::new(2);
        let verdicts: Vec<_> = (0..5)
            .map(|now_us| suppress.admit("reset", now_us))
            .collect();
        assert_eq!(verdicts[..2], [Verdict::Write; 2]);
        assert_eq!(verdicts[2..], [Verdict::Withhold; 3]);
        assert_eq!(suppress.ended(999_999), []);
        assert!(suppress.is_withholding());
        assert_eq!(suppress.ended(1_000_000), [("reset", 3)]);
        assert!(!suppress.is_withholding());
        assert_eq!(suppress.ended(2_000_000), [], "told once");
    }

    #[test]
    fn a_cause_does_not_hide_another() {
        let mut suppress = Suppress::new(1);
        assert_eq!(suppress.admit(1, 0), Verdict::Write);
        assert_eq!(suppress.admit(1, 0), Verdict::Withhold);
        assert_eq!(suppress.admit(2, 0), Verdict::Write);
    }

    #[test]
    fn the_next_window_tells_what_the_last_one_withheld() {
        let mut suppress = Suppress::new(1);
        suppress.admit((), 0);
        suppress.admit((), 1);
        suppress.admit((), 2);
        assert_eq!(
            suppress.admit((), 1_000_000),
            Verdict::WriteAfter { suppressed: 2 }
        );
        assert_eq!(suppress.admit((), 1_000_001), Verdict::Withhold);
        assert_eq!(
            suppress.admit((), 2_000_000),
            Verdict::WriteAfter { suppressed: 1 }
        );
        assert_eq!(suppress.ended(9_000_000), []);
    }

    #[test]
    fn quiet_causes_leave_nothing_behind() {
        let mut suppress = Suppress::new(1);
        for cause in 0..100 {
            suppress.admit(cause, 0);
        }
        assert_eq!(suppress.ended(1_000_000), []);
        assert!(suppress.windows.is_empty());
    }

    #[test]
    fn without_lines_the_count_is_not_lost() {
        let mut suppress = Suppress::new(0);
        suppress.admit((), 0);
        assert_eq!(suppress.admit((), 5_000_000), Verdict::Withhold);
        assert_eq!(suppress.ended(6_000_000), [((), 2)]);
    }
}
