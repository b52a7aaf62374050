//! How fast a new viewer may be brought to live, worked out naively from what was published. (pure)
//!
//! The rule it protects: the first group of pictures waits for nothing, everything else of a burst for its time and no
//! longer, and who has been at the head, or falls behind, is never held back again.

use crate::published::Published;

/// The pace of one viewer's burst.
#[derive(Debug)]
pub(crate) struct NaivePace {
    /// Where the second group begins: bytes of the channel before it, and its media time.
    rest: Option<(u64, u64)>,
    began_us: u64,
    /// Media between the start and the head when it began.
    lag_us: u64,
}

impl NaivePace {
    /// A pace that begins at chunk `start_seq` of a ring whose next chunk is `head_seq`.
    pub(crate) fn new(published: &Published, start_seq: u64, head_seq: u64, now_us: u64) -> Self {
        let group_end = (start_seq + 1..head_seq).find(|seq| published.chunk(*seq).is_join);
        let rest = group_end.map(|seq| published.chunk(seq));
        Self {
            rest: rest.map(|chunk| (chunk.at, chunk.media_us)),
            began_us: now_us,
            lag_us: published.lag_us(start_seq, head_seq),
        }
    }

    /// Ends for good.
    pub(crate) fn end(&mut self) {
        self.rest = None;
    }

    /// Ends where it must: at the newest chunk, and where the head has moved away.
    pub(crate) fn look(&mut self, published: &Published, at: u64, head_seq: u64) {
        let Some((rest_at, _)) = self.rest else {
            return;
        };
        let seq = published.seq_at(at);
        let is_at_head = seq + 1 >= head_seq;
        if is_at_head || (at >= rest_at && published.lag_us(seq, head_seq) > self.lag_us) {
            self.end();
        }
    }

    /// Asserts that the bytes of the channel from `at` on may leave now.
    pub(crate) fn assert_due(&self, published: &Published, at: u64, bytes: usize, now_us: u64) {
        let last = published.seq_at(at + bytes as u64 - 1);
        for seq in published.seq_at(at)..=last {
            assert!(
                self.due_us(published, seq) <= now_us,
                "chunk {seq} of a burst is sent before its time"
            );
        }
    }

    /// Asserts that what comes at `at` has to wait, and that it is told when to come.
    pub(crate) fn assert_early(&self, published: &Published, at: u64, now_us: u64, told_us: u64) {
        let due_us = self.due_us(published, published.seq_at(at));
        assert!(due_us > now_us, "held back until {due_us} at {now_us}");
        assert_eq!(told_us, due_us, "told to come when it is due");
    }

    /// When a chunk may leave: with the first step that four times its time covers.
    fn due_us(&self, published: &Published, seq: u64) -> u64 {
        let chunk = published.chunk(seq);
        match self.rest {
            Some((rest_at, rest_us)) if chunk.at >= rest_at => {
                let media_us = chunk.media_us - rest_us;
                let steps = (1..).find(|step| step * STEP_US * 4 > media_us);
                self.began_us + steps.unwrap() * STEP_US
            }
            _ => 0,
        }
    }
}

/// What is held back leaves this often.
const STEP_US: u64 = 40_000;
