//! What one viewer got, and the line that says so at its end. (pure)
//!
//! Counted by the viewer; whether the line is written is decided in `farewell`. The rule: the line names what happened and
//! never who it happened to.

use std::fmt;

use crate::channel::id::ChannelId;
use crate::metrics::ViewerEnd;

/// What one viewer got so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Bytes that the kernel took.
    pub sent_bytes: u64,
    /// Time from its request to its first media.
    pub first_byte_us: Option<u64>,
    /// Furthest behind live that it was, in media time.
    pub lag_max_us: u64,
    /// Times that it was moved ahead.
    pub skips: u64,
    /// What it was not sent because of that.
    pub skipped_bytes: u64,
}

/// The end of a viewer as a line of the log.
pub struct Farewell<'t> {
    /// What it watched.
    pub channel: ChannelId,
    /// Why it ended.
    pub end: ViewerEnd,
    /// Time since its request.
    pub lasted_us: u64,
    /// What it got.
    pub tally: &'t Tally,
}

impl fmt::Display for Farewell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            end,
            lasted_us,
            tally,
        } = self;
        let lasted_ms = lasted_us / 1_000;
        let (seconds, millis) = (lasted_ms / 1_000, lasted_ms % 1_000);
        write!(
            f,
            "viewer end channel={channel} reason={end} seconds={seconds}.{millis:03} bytes={}",
            tally.sent_bytes
        )?;
        if let Some(first_byte_us) = tally.first_byte_us {
            write!(f, " first_byte_ms={}", first_byte_us / 1_000)?;
        }
        write!(
            f,
            " lag_max_ms={} skips={} skipped_bytes={}",
            tally.lag_max_us / 1_000,
            tally.skips,
            tally.skipped_bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tally: &Tally) -> String {
        let farewell = Farewell {
            channel: ChannelId::Configured(7),
            end: ViewerEnd::Stalled,
            lasted_us: 61_005_999,
            tally,
        };
        farewell.to_string()
    }

    #[test]
    fn the_line_says_how_it_was() {
        let mut tally = Tally {
            sent_bytes: 1_234,
            first_byte_us: Some(17_900),
            lag_max_us: 2_500_000,
            ..Tally::default()
        };
        (tally.skips, tally.skipped_bytes) = (2, 564);
        assert_eq!(
            line(&tally),
            "viewer end channel=7 reason=stalled seconds=61.005 bytes=1234 first_byte_ms=17 \
             lag_max_ms=2500 skips=2 skipped_bytes=564"
        );
    }

    #[test]
    fn a_viewer_that_got_nothing_had_no_first_byte() {
        let said = line(&Tally::default());
        assert!(
            !said.contains("first_byte") && said.contains(" bytes=0 lag_max_ms=0 "),
            "{said}"
        );
    }
}
