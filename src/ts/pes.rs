//! When a PES packet is to be decoded and presented, and how such times compare. (pure)
//!
//! It reads the header that begins in one transport packet and remembers nothing; what follows from several of them is
//! the business of `seam.rs`. The rule it protects: a time is reported only when every bit that can be checked is
//! right, and no comparison is misled by the wrap of the 33 bits.

use super::packet::TsPacket;

/// The times in the header of one PES packet.
///
/// Unit: ticks of 90 kHz.
///
/// Bound: below 2^33, where they begin again at 0 after 26.5 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PesTimes {
    /// When it is presented.
    pub pts: Option<u64>,
    /// When it is decoded, if that is said and not when it is presented.
    pub dts: Option<u64>,
}

impl PesTimes {
    /// When it is decoded: what does not say so is decoded when it is presented.
    #[must_use]
    pub fn decoded(self) -> Option<u64> {
        self.dts.or(self.pts)
    }
}

/// Reads the header of the PES packet that begins in this packet.
///
/// `None` where none begins, where it cannot be read because the packet is scrambled or damaged, and for the ids whose
/// packets have no such header. Times that are absent, reach beyond the packet or have a wrong marker bit are `None`
/// each; when the time of decoding is announced and cannot be read, both are. The four bits in front of a time are not
/// looked at, because muxers confuse them.
///
/// Source: ISO/IEC 13818-1, 2.4.3.6.
#[must_use]
pub fn pes_times(packet: TsPacket<'_>) -> Option<PesTimes> {
    if !packet.payload_unit_start() || packet.is_scrambled() || packet.transport_error() {
        return None;
    }
    let (&[0, 0, 1, id], rest) = packet.payload()?.split_first_chunk()? else {
        return None;
    };
    if id < FIRST_ID || HEADERLESS_IDS.contains(&id) {
        return None;
    }
    let Some((&[_, _, marker, flags, length], fields)) = rest.split_first_chunk() else {
        return Some(PesTimes::default());
    };
    if marker & 0xC0 != 0x80 {
        return Some(PesTimes::default());
    }
    let fields = fields.get(..usize::from(length)).unwrap_or(fields);
    let (pts, dts) = match flags >> 6 {
        0b10 => (time(fields), None),
        0b11 => match time(fields).zip(fields.get(TIME_BYTES..).and_then(time)) {
            Some((pts, dts)) => (Some(pts), Some(dts)),
            None => (None, None),
        },
        _ => (None, None),
    };
    Some(PesTimes { pts, dts })
}

/// Whether `time` lies after `other`, on the shorter way round.
#[must_use]
pub const fn is_after(time: u64, other: u64) -> bool {
    ticks_between(other, time) > 0
}

/// How far it is from one time to another, on the shorter way round; negative if `to` lies before `from`.
///
/// Unit: ticks of 90 kHz.
///
/// Bound: -2^32 + 1 to 2^32; only the low 33 bits of either time count.
#[must_use]
pub const fn ticks_between(from: u64, to: u64) -> i64 {
    let ahead = (to.wrapping_sub(from) & (TIME_WRAP - 1)).cast_signed();
    if ahead > TIME_WRAP.cast_signed() / 2 {
        ahead - TIME_WRAP.cast_signed()
    } else {
        ahead
    }
}

/// The time written at the front of these bytes, if its marker bits are there.
fn time(bytes: &[u8]) -> Option<u64> {
    let &[high, b1, middle, b3, low] = bytes.first_chunk::<TIME_BYTES>()?;
    if high & middle & low & 1 == 0 {
        return None;
    }
    let parts = [high >> 1 & 0x07, b1, middle >> 1, b3, low >> 1];
    let [high, b1, middle, b3, low] = parts.map(u64::from);
    Some(high << 30 | b1 << 22 | middle << 15 | b3 << 7 | low)
}

/// The value at which times begin again from 0.
pub const TIME_WRAP: u64 = 1 << 33;

/// Ticks of a second.
pub const TICKS_PER_SECOND: u64 = 90_000;

const TIME_BYTES: usize = 5;

/// What is below is no PES packet but another part of a program stream.
const FIRST_ID: u8 = 0xBC;

/// Maps, padding, private data of the second kind, ECM, EMM, DSM-CC, H.222.1 type E and directories.
const HEADERLESS_IDS: [u8; 8] = [0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF];

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
pub(super) mod tests {
    use super::*;
    use crate::ts::PACKET_BYTES;
    use crate::ts::fixture::{Dice, PacketMaker, pat, pmt};

    /// Builds a PES header with these times, whatever the id.
    pub(in crate::ts) fn pes(id: u8, pts: Option<u64>, dts: Option<u64>) -> Vec<u8> {
        let (flags, mark) = match (pts, dts) {
            (Some(_), Some(_)) => (0xC0, 0x30),
            (Some(_), None) => (0x80, 0x20),
            _ => (0x00, 0x00),
        };
        let times = [(pts, mark), (dts, 0x10)];
        let fields: Vec<u8> = times
            .into_iter()
            .filter_map(|(time, mark)| Some((time?, mark)))
            .flat_map(|(time, mark)| {
                let bits = |from: u32, count: u32| {
                    u8::try_from(time >> from & ((1 << count) - 1)).unwrap()
                };
                [
                    mark | bits(30, 3) << 1 | 1,
                    bits(22, 8),
                    bits(15, 7) << 1 | 1,
                    bits(7, 8),
                    bits(0, 7) << 1 | 1,
                ]
            })
            .collect();
        let length = u8::try_from(fields.len()).unwrap();
        [&[0, 0, 1, id, 0, 0, 0x80, flags, length], &fields[..]].concat()
    }

    fn read(payload: &[u8]) -> Option<PesTimes> {
        let maker = PacketMaker::new(0x100).unit_start().payload(payload);
        pes_times(TsPacket::new(&maker.build()))
    }

    const NONE: PesTimes = PesTimes {
        pts: None,
        dts: None,
    };

    #[test]
    fn both_times_are_read_to_the_last_bit() {
        for bit in 0..33 {
            let (pts, dts) = (1 << bit, (TIME_WRAP - 1) ^ 1 << bit);
            let times = read(&pes(0xE0, Some(pts), Some(dts))).unwrap();
            assert_eq!((times.pts, times.dts), (Some(pts), Some(dts)), "bit {bit}");
            assert_eq!(times.decoded(), Some(dts));
        }
    }

    #[test]
    fn what_has_no_dts_is_decoded_when_it_is_presented() {
        let times = read(&pes(0xC0, Some(90_000), None)).unwrap();
        assert_eq!((times.pts, times.dts), (Some(90_000), None));
        assert_eq!(times.decoded(), Some(90_000));
        assert_eq!(read(&pes(0xC0, None, None)), Some(NONE));
        assert_eq!(NONE.decoded(), None);
    }

    #[test]
    fn audio_video_and_private_streams_have_times_and_padding_has_none() {
        for id in 0..=u8::MAX {
            let has_header = id >= 0xBC && !HEADERLESS_IDS.contains(&id);
            let times = read(&pes(id, Some(5), None));
            assert_eq!(times.is_some(), has_header, "id {id:#x}");
        }
        for id in [0xBD, 0xC0, 0xDF, 0xE0, 0xEF, 0xFD] {
            assert_eq!(read(&pes(id, Some(5), None)).unwrap().pts, Some(5));
        }
    }

    #[test]
    fn only_the_start_of_a_clear_and_sound_packet_is_read() {
        let header = pes(0xE0, Some(5), None);
        let maker = || PacketMaker::new(0x100).payload(&header);
        assert_eq!(pes_times(TsPacket::new(&maker().build())), None);
        let scrambled = maker().unit_start().scrambled().build();
        assert_eq!(pes_times(TsPacket::new(&scrambled)), None);
        let mut damaged = maker().unit_start().build();
        damaged[1] |= 0x80;
        assert_eq!(pes_times(TsPacket::new(&damaged)), None);
        let empty = maker().unit_start().adaptation_only().build();
        assert_eq!(pes_times(TsPacket::new(&empty)), None);
    }

    #[test]
    fn tables_and_foreign_payload_are_no_pes() {
        let tables = [
            pat(0, &[(1, 0x30)]),
            pmt(0x30, 0, 1, 0x31, &[(0x1B, 0x31)]),
            PacketMaker::new(0x31).unit_start().build(),
        ];
        for packet in &tables {
            assert_eq!(pes_times(TsPacket::new(packet)), None);
        }
    }

    #[test]
    fn a_time_with_a_wrong_marker_bit_is_none() {
        let whole = pes(0xE0, Some(77), Some(66));
        for marker in [9, 11, 13, 14, 16, 18] {
            let mut header = whole.clone();
            header[marker] ^= 1;
            assert_eq!(read(&header), Some(NONE), "byte {marker}");
        }
        let mut header = whole;
        header[6] = 0x00;
        assert_eq!(read(&header), Some(NONE), "as MPEG-1 has it");
    }

    #[test]
    fn the_forbidden_flags_and_a_header_too_short_for_them_give_no_time() {
        let whole = pes(0xE0, Some(77), Some(66));
        let with = |place: usize, value: u8| {
            let mut header = whole.clone();
            header[place] = value;
            read(&header)
        };
        assert_eq!(with(7, 0x40), Some(NONE));
        for length in 0..10 {
            assert_eq!(with(8, length), Some(NONE), "{length} bytes");
        }
        let pts = Some(77);
        assert_eq!(with(7, 0x80), Some(PesTimes { pts, dts: None }));
        assert_eq!(with(8, 255).unwrap().decoded(), Some(66));
    }

    #[test]
    fn a_header_that_reaches_beyond_the_packet_is_believed_as_far_as_it_goes() {
        let header = pes(0xE0, Some(77), Some(66));
        let mut seen = Vec::new();
        for left in 1..=header.len() {
            // An adaptation field leaves this much of the packet.
            let mut bytes = [0xFF; PACKET_BYTES];
            let field = u8::try_from(PACKET_BYTES - 5 - left).unwrap();
            bytes[..6].copy_from_slice(&[0x47, 0x41, 0x00, 0x30, field, 0]);
            bytes[PACKET_BYTES - left..].copy_from_slice(&header[..left]);
            seen.push(pes_times(TsPacket::new(&bytes)));
        }
        assert_eq!(seen[..3], [None; 3]);
        assert_eq!(seen[3..18], [Some(NONE); 15]);
        assert_eq!(seen[18].unwrap().decoded(), Some(66));
    }

    #[test]
    fn comparison_goes_the_shorter_way_round() {
        assert!(is_after(1, 0) && !is_after(0, 1) && !is_after(7, 7));
        assert!(is_after(5, TIME_WRAP - 5) && !is_after(TIME_WRAP - 5, 5));
        assert_eq!(ticks_between(TIME_WRAP - 5, 5), 10);
        assert_eq!(ticks_between(5, TIME_WRAP - 5), -10);
        let half = TIME_WRAP / 2;
        assert_eq!(ticks_between(9, 9 + half), 1 << 32);
        assert_eq!(ticks_between(9, 10 + half), 1 - (1 << 32));
    }

    #[test]
    fn differences_undo_each_other_and_never_leave_their_bounds() {
        let mut dice = Dice::new(3);
        let mut roll = || (0..8).fold(0, |all: u64, _| all << 8 | u64::from(dice.byte()));
        for _ in 0..20_000 {
            let (a, b) = (roll(), roll());
            let ticks = ticks_between(a, b);
            assert!((1 - (1 << 32)..=1 << 32).contains(&ticks));
            assert_eq!(a.wrapping_add_signed(ticks) % TIME_WRAP, b % TIME_WRAP);
            assert_eq!(is_after(b, a), ticks > 0);
        }
    }

    #[test]
    fn random_packets_give_times_within_33_bits_or_none() {
        let mut dice = Dice::new(4);
        let mut found = 0;
        for _ in 0..40_000 {
            let mut bytes = [0; PACKET_BYTES];
            dice.fill(&mut bytes);
            bytes[1] = bytes[1] & 0x1F | 0x40;
            bytes[3] &= 0x3F;
            let begin = if bytes[3] & 0x20 == 0 {
                4
            } else {
                5 + usize::from(bytes[4])
            };
            if let Some(begin) = bytes.get_mut(begin..begin + 3) {
                begin.copy_from_slice(&[0, 0, 1]);
            }
            let times = pes_times(TsPacket::new(&bytes)).unwrap_or_default();
            for time in [times.pts, times.dts].into_iter().flatten() {
                assert!(time < TIME_WRAP);
                found += 1;
            }
        }
        assert!(found > 20, "{found} times were read");
    }
}
