//! One chunk as every shard sees it: a descriptor of published bytes. (pure)

use std::sync::Arc;

use crate::segment::Extent;
use crate::ts::join::JoinRecord;

/// An immutable run of whole packets, the unit of storing and sending.
///
/// Shape: numbered from 1 per channel in arrival order; a number is never used twice. At most 174 packets.
/// Ownership: shared by the rings of all shards; its bytes live as long as any of them.
#[derive(Debug)]
pub struct Chunk {
    /// The chunk's number in its channel.
    pub seq: u64,
    /// Bytes of the channel before this chunk.
    pub bytes_before: u64,
    /// The packets.
    pub extent: Extent,
    /// Media time of its first packet, in microseconds since the channel's first.
    pub media_us: u64,
    /// When its oldest packet may have arrived, at the earliest, in microseconds of the process's clock.
    pub arrived_us: u64,
    /// When it was closed and could be sent, in microseconds of the process's clock.
    pub closed_us: u64,
    /// Present when a decoder can start at this chunk.
    pub join: Option<Arc<JoinRecord>>,
}

#[cfg(test)]
impl Chunk {
    /// A chunk of `packets` packets that say nothing, for tests of what only looks at descriptors.
    pub(crate) fn blank(seq: u64, media_us: u64, packets: usize, joins: bool) -> Arc<Self> {
        Arc::new(Self {
            seq,
            bytes_before: (seq - 1) * (packets * crate::ts::PACKET_BYTES) as u64,
            extent: Extent::copy_of(&vec![0x47; packets * crate::ts::PACKET_BYTES]).unwrap(),
            media_us,
            arrived_us: media_us,
            closed_us: media_us,
            join: joins.then(|| {
                let psi = bytes::Bytes::from_static(b"psi");
                let skip = bytes::Bytes::from_static(b"skip psi");
                Arc::new(JoinRecord { psi, skip })
            }),
        })
    }
}
