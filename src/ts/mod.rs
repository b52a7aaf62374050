//! MPEG-TS as a relay needs it: from bytes in any cut to chunks that a viewer can be started at. (pure)
//!
//! In the order a byte travels: [`resync`] finds where packets begin in what the upstream sent and gives away what
//! is no part of the stream; [`packet`] is the view of one packet that everything else reads; [`chunker`] decides
//! where chunks end and which of them are join points. The chunker asks five others: [`psi`] keeps the latest PAT
//! and PMT, [`media_clock`] measures media time and bitrate, [`continuity`] counts what was lost on the way,
//! [`seam`] knows by the times that [`pes`] reads what another upstream repeats, and [`join`] builds the few packets
//! that let a decoder begin, or go on, at a join point.
//!
//! Nothing here reads a clock, owns a socket or holds the stream's bytes: time is passed in, bytes are borrowed, and
//! the answer is always "so many packets". Nothing is allocated per packet, and no input can make it panic.
//!
//! Source: ISO/IEC 13818-1 for every field named here.

#![warn(clippy::indexing_slicing)]

pub mod chunker;
pub mod continuity;
#[cfg(test)]
pub(crate) mod fixture;
pub mod join;
pub mod media_clock;
pub mod packet;
pub mod pes;
pub mod psi;
pub mod resync;
pub mod seam;

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
