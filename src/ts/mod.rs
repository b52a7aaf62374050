//! MPEG-TS as a relay needs it: from bytes in any cut to chunks that a viewer can be started at. (pure)
//!
//! In the order a byte travels: [`resync`] finds where packets begin in what the upstream sent and gives away what
//! is no part of the stream; [`packet`] is the view of one packet that everything else reads; [`chunker`] decides
//! where chunks end and which of them are join points. The chunker asks others: [`psi`] keeps the latest PAT
//! and PMT, [`timeline`] and [`media_clock`] measure media time and bitrate, [`continuity`] counts what was lost on the
//! way, [`former`] keeps the PIDs of upstreams that are gone, [`starts`] says which packets are join points, [`seam`] knows by the times that [`pes`] reads what another upstream
//! repeats, and [`join`] builds the few packets that let a decoder begin, or go on, at a join point. What is not closed
//! yet is counted by [`open`]; where it may turn out later that a join point begins, [`mark`] remembers the moment.
//!
//! Where a sender does not flag its join points, [`starts`] has [`picture`] read the elementary stream. The parameter
//! sets found on the way are read by [`sequence`] with [`bits`], and what they and the tables tell an operator is
//! gathered by [`facts`].
//!
//! Nothing here reads a clock, owns a socket or holds the stream's bytes: time is passed in, bytes are borrowed, and
//! the answer is always "so many packets". Nothing is allocated per packet, and no input can make it panic.
//!
//! Source: ISO/IEC 13818-1 for every field named here.

#![warn(clippy::indexing_slicing)]

pub mod bits;
pub mod chunker;
pub mod continuity;
pub mod facts;
#[cfg(test)]
pub(crate) mod fixture;
pub mod former;
pub mod join;
pub mod mark;
pub mod media_clock;
pub mod open;
pub mod packet;
pub mod pes;
pub mod picture;
pub mod psi;
#[cfg(test)]
pub(crate) mod relay;
pub mod resync;
pub mod seam;
#[cfg(test)]
mod second_opinion;
pub mod sequence;
pub mod starts;
pub mod timeline;

/// Length of one transport packet.
///
/// Unit: bytes.
pub const PACKET_BYTES: usize = 188;

/// Packets of a chunk if nobody asks for another size: 32 KiB cut down to whole packets.
pub const CHUNK_PACKETS: usize = 174;

/// Length of such a chunk.
///
/// Unit: bytes.
pub const CHUNK_BYTES: usize = CHUNK_PACKETS * PACKET_BYTES;

/// Most packets one chunk may be asked to hold: 128 KiB cut down to whole packets.
pub const CHUNK_PACKETS_MAX: usize = 697;
