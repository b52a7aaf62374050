//! The view of one transport packet: the header and adaptation fields a relay looks at. (pure)
//!
//! It reads one packet and remembers nothing; what follows from several packets belongs to the other files of this
//! module. The rule it protects: a length field is believed only as far as the packet goes, so that no bytes,
//! however broken, make a reader of this view panic or see what lies beyond the packet.

use super::PACKET_BYTES;

/// One whole packet, borrowed.
///
/// Shape: 188 bytes; nothing is checked on construction, each reader checks what it reads. The sync byte is the
/// business of [`super::resync`].
#[derive(Clone, Copy, Debug)]
pub struct TsPacket<'a>(&'a [u8; PACKET_BYTES]);

impl<'a> TsPacket<'a> {
    /// Views these bytes as a packet.
    #[must_use]
    pub const fn new(bytes: &'a [u8; PACKET_BYTES]) -> Self {
        Self(bytes)
    }

    /// Views the first 188 bytes as a packet; `None` when there are fewer.
    #[must_use]
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        bytes.first_chunk().map(Self)
    }

    /// The packet's bytes.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8; PACKET_BYTES] {
        self.0
    }

    /// The packet identifier, 0 to 0x1FFF.
    #[must_use]
    #[inline]
    pub const fn pid(self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1F, self.0[2]])
    }

    /// Whether a PES packet or a section begins in this packet.
    #[must_use]
    #[inline]
    pub const fn payload_unit_start(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    /// Whether a receiver before us marked the packet as damaged.
    #[must_use]
    pub const fn transport_error(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    /// Whether the payload is scrambled; header and adaptation field never are.
    #[must_use]
    #[inline]
    pub const fn is_scrambled(self) -> bool {
        self.0[3] & 0xC0 != 0
    }

    /// Whether the header announces a payload, which is what makes the continuity counter advance.
    #[must_use]
    #[inline]
    pub const fn has_payload(self) -> bool {
        self.0[3] & 0x10 != 0
    }

    /// The continuity counter, 0 to 15.
    #[must_use]
    #[inline]
    pub const fn continuity_counter(self) -> u8 {
        self.0[3] & 0x0F
    }

    /// Whether decoding can begin here, as far as the sender says.
    #[must_use]
    pub fn random_access(self) -> bool {
        self.adaptation_flags() & RANDOM_ACCESS != 0
    }

    /// Whether the sender announces a break of the continuity counter or, on the PCR PID, of the clock.
    #[must_use]
    pub fn discontinuity(self) -> bool {
        self.adaptation_flags() & DISCONTINUITY != 0
    }

    /// The program clock reference, if the packet carries one.
    ///
    /// Unit: ticks of 27 MHz.
    ///
    /// Bound: less than [`PCR_WRAP`]; an extension beyond 299 is not legal and counts as 299.
    #[must_use]
    pub fn pcr(self) -> Option<u64> {
        let field = self.adaptation_field()?;
        let (&[flags, b0, b1, b2, b3, b4, b5], _) = field.split_first_chunk()?;
        if flags & PCR_PRESENT == 0 {
            return None;
        }
        let base = u64::from(u32::from_be_bytes([b0, b1, b2, b3])) << 1 | u64::from(b4 >> 7);
        let extension = u64::from(u16::from_be_bytes([b4 & 1, b5])).min(299);
        Some(base * 300 + extension)
    }

    /// The payload; `None` when there is none or the adaptation field leaves no room for it.
    #[must_use]
    pub fn payload(self) -> Option<&'a [u8]> {
        if !self.has_payload() {
            return None;
        }
        if !self.announces_adaptation() {
            return self.0.get(HEADER_BYTES..);
        }
        let field = self.adaptation_field()?;
        self.0.get(HEADER_BYTES + 1 + field.len()..)
    }

    /// What follows the adaptation field's length byte, if the length is possible.
    ///
    /// Shape: flags first. Beside a payload at most 182 bytes, alone at most 183.
    fn adaptation_field(self) -> Option<&'a [u8]> {
        if !self.announces_adaptation() {
            return None;
        }
        let length = usize::from(self.0[4]);
        if self.has_payload() && length > 182 {
            return None;
        }
        self.0.get(HEADER_BYTES + 1..HEADER_BYTES + 1 + length)
    }

    fn adaptation_flags(self) -> u8 {
        self.adaptation_field()
            .and_then(<[u8]>::first)
            .copied()
            .unwrap_or(0)
    }

    const fn announces_adaptation(self) -> bool {
        self.0[3] & 0x20 != 0
    }
}

/// First byte of every packet.
pub const SYNC: u8 = 0x47;

/// The PID of the program association table.
pub const PID_PAT: u16 = 0;

/// The PID of packets that only fill the line.
pub const PID_NULL: u16 = 0x1FFF;

/// How many PIDs there are.
pub const PIDS: usize = 0x2000;

/// The value at which the PCR starts again from 0, after 26.5 hours.
///
/// Unit: ticks of 27 MHz.
pub const PCR_WRAP: u64 = (1 << 33) * 300;

const HEADER_BYTES: usize = 4;
const DISCONTINUITY: u8 = 0x80;
const RANDOM_ACCESS: u8 = 0x40;
const PCR_PRESENT: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::fixture::{Dice, PacketMaker};

    #[test]
    fn header_fields_are_read_from_their_bits() {
        let bytes = PacketMaker::new(0x1ABC).counter(9).unit_start().build();
        let packet = TsPacket::new(&bytes);
        assert_eq!(packet.pid(), 0x1ABC);
        assert_eq!(packet.continuity_counter(), 9);
        assert!(packet.payload_unit_start() && packet.has_payload());
        assert!(!packet.transport_error() && !packet.is_scrambled());
        assert!(!packet.random_access() && !packet.discontinuity());
        assert_eq!(packet.payload().map(<[u8]>::len), Some(184));
    }

    #[test]
    fn a_pcr_is_base_times_300_plus_extension() {
        for ticks in [0, 299, 300, 123_456_789_012, PCR_WRAP - 1] {
            let bytes = PacketMaker::new(0x100).pcr(ticks).random_access().build();
            let packet = TsPacket::new(&bytes);
            assert_eq!(packet.pcr(), Some(ticks));
            assert!(packet.random_access());
        }
    }

    #[test]
    fn an_illegal_pcr_extension_stays_below_the_wrap() {
        let mut bytes = PacketMaker::new(0x100).pcr(0).build();
        bytes[6..12].fill(0xFF);
        assert_eq!(TsPacket::new(&bytes).pcr(), Some(PCR_WRAP - 1));
    }

    #[test]
    fn an_adaptation_field_longer_than_the_packet_is_no_field_at_all() {
        for (control, length) in [(0x30, 183), (0x30, 255), (0x20, 184), (0x20, 255)] {
            let mut bytes = PacketMaker::new(0x100)
                .pcr(77)
                .random_access()
                .discontinuity()
                .build();
            bytes[3] = control;
            bytes[4] = length;
            let packet = TsPacket::new(&bytes);
            assert_eq!(packet.pcr(), None);
            assert!(!packet.random_access() && !packet.discontinuity());
            assert_eq!(packet.payload(), None);
        }
    }

    #[test]
    fn the_longest_fields_leave_one_byte_of_payload_or_none() {
        let mut bytes = PacketMaker::new(0x100).pcr(77).build();
        bytes[4] = 182;
        assert_eq!(TsPacket::new(&bytes).payload().map(<[u8]>::len), Some(1));
        bytes[3] = 0x20;
        bytes[4] = 183;
        assert_eq!(TsPacket::new(&bytes).payload(), None);
        assert_eq!(TsPacket::new(&bytes).pcr(), Some(77));
    }

    #[test]
    fn a_pcr_flag_without_room_for_a_pcr_is_no_pcr() {
        let mut bytes = PacketMaker::new(0x100).pcr(77).build();
        bytes[4] = 6;
        assert_eq!(TsPacket::new(&bytes).pcr(), None);
    }

    #[test]
    fn an_empty_adaptation_field_has_no_flags() {
        let mut bytes = PacketMaker::new(0x100).pcr(77).random_access().build();
        bytes[4] = 0;
        let packet = TsPacket::new(&bytes);
        assert!(!packet.random_access());
        assert_eq!(packet.payload().map(<[u8]>::len), Some(183));
    }

    #[test]
    fn fewer_than_188_bytes_are_no_packet() {
        assert!(TsPacket::first(&[SYNC; 187]).is_none());
        assert!(TsPacket::first(&[SYNC; 189]).is_some());
    }

    #[test]
    fn random_bytes_never_lead_outside_the_packet() {
        let mut dice = Dice::new(1);
        for _ in 0..20_000 {
            let mut bytes = [0; PACKET_BYTES];
            dice.fill(&mut bytes);
            let packet = TsPacket::new(&bytes);
            assert!(packet.pcr().is_none_or(|pcr| pcr < PCR_WRAP));
            assert!(
                packet
                    .payload()
                    .is_none_or(|payload| (1..=184).contains(&payload.len()))
            );
            assert!(usize::from(packet.pid()) < PIDS);
        }
    }
}
