//! Everything that was published, on a link that never fails. (pure)
//!
//! It is told of each chunk as it is published and asserts that its descriptor goes on from the last one; what others
//! are sent is compared with it.

use corecast::channel::chunk::Chunk;

#[derive(Debug, Default)]
pub(crate) struct Published {
    bytes: Vec<u8>,
    /// Shape: chunk 1 is the first.
    chunks: Vec<Record>,
}

/// What is remembered of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Bytes of the channel before it.
    pub(crate) at: u64,
    pub(crate) media_us: u64,
    pub(crate) is_join: bool,
}

impl Published {
    pub(crate) fn take(&mut self, chunk: &Chunk) {
        assert_eq!(
            chunk.seq,
            self.chunks.len() as u64 + 1,
            "chunks are numbered from 1 without a hole"
        );
        assert_eq!(chunk.bytes_before, self.bytes.len() as u64);
        let media_us = chunk.media_us;
        let last_us = self.chunks.last().map_or(0, |last| last.media_us);
        assert!(media_us >= last_us, "media time does not go back");
        self.bytes.extend_from_slice(chunk.extent.as_slice());
        self.chunks.push(Record {
            at: chunk.bytes_before,
            media_us,
            is_join: chunk.join.is_some(),
        });
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// So many bytes after the first `at`.
    pub(crate) fn slice(&self, at: u64, bytes: usize) -> &[u8] {
        &self.bytes[usize::try_from(at).unwrap()..][..bytes]
    }

    pub(crate) fn chunks(&self) -> &[Record] {
        &self.chunks
    }

    pub(crate) fn chunk(&self, seq: u64) -> Record {
        self.chunks[usize::try_from(seq).unwrap() - 1]
    }

    /// The chunk that the byte after the first `at` belongs to, or will belong to.
    pub(crate) fn seq_at(&self, at: u64) -> u64 {
        let begun = self.chunks.partition_point(|chunk| chunk.at <= at);
        let is_to_come = at == self.bytes.len() as u64;
        begun as u64 + u64::from(is_to_come)
    }

    /// Media time from a chunk to the last one before `head_seq`.
    pub(crate) fn lag_us(&self, seq: u64, head_seq: u64) -> u64 {
        self.chunk(head_seq - 1).media_us - self.chunk(seq).media_us
    }
}
