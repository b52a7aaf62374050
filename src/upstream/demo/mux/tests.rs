//! What `mux.rs` promises, tried; its packets taken apart for the tests of the demo.

use super::*;

/// One packet, taken apart.
#[derive(Debug)]
pub(in super::super) struct Seen<'a> {
    pub(in super::super) pid: u16,
    pub(in super::super) is_unit_start: bool,
    pub(in super::super) counter: u8,
    /// Flags of the adaptation field; 0 without one.
    pub(in super::super) flags: u8,
    /// Base of the clock reference.
    pub(in super::super) clock: Option<u64>,
    pub(in super::super) payload: &'a [u8],
}

impl<'a> Seen<'a> {
    fn new(packet: &'a [u8]) -> Self {
        assert_eq!(packet.len(), 188);
        assert_eq!(packet[0], 0x47);
        assert_eq!(packet[1] & 0xA0, 0, "error or priority flag");
        assert_eq!(packet[3] & 0xD0, 0x10, "scrambled or without payload");
        let (mut flags, mut clock, mut field) = (0, None, 0);
        if packet[3] & 0x20 != 0 {
            field = 1 + usize::from(packet[4]);
        }
        if field > 1 {
            flags = packet[5];
            let mut used = 6;
            if flags & 0x10 != 0 {
                let bytes = [&[0, 0], &packet[6..12]].concat();
                let coded = u64::from_be_bytes(bytes.try_into().unwrap());
                assert_eq!(coded & 0x7FFF, 0x7E00, "reserved bits and extension");
                clock = Some(coded >> 15);
                used = 12;
            }
            assert!(packet[used..4 + field].iter().all(|&byte| byte == 0xFF));
        }
        Self {
            pid: u16::from_be_bytes([packet[1] & 0x1F, packet[2]]),
            is_unit_start: packet[1] & 0x40 != 0,
            counter: packet[3] & 0x0F,
            flags,
            clock,
            payload: &packet[4 + field..],
        }
    }

    pub(in super::super) fn all(bytes: &'a [u8]) -> Vec<Self> {
        let packets = bytes.chunks_exact(188);
        assert!(packets.remainder().is_empty());
        packets.map(Self::new).collect()
    }
}

/// The PTS in the head of a PES packet.
pub(in super::super) fn pts(pes: &[u8]) -> u64 {
    assert_eq!(pes[..4], [0, 0, 1, 0xE0]);
    assert_eq!(pes[6..9], [0x84, 0x80, 5]);
    let part = |at: usize| u64::from(pes[at]);
    assert_eq!([part(9) & 0xF1, part(11) & 1, part(13) & 1], [0x21, 1, 1]);
    (part(9) >> 1 & 7) << 30
        | part(10) << 22
        | (part(11) >> 1) << 15
        | part(12) << 7
        | part(13) >> 1
}

#[test]
fn unit_of_any_length_comes_out_whole() {
    let bytes: Vec<u8> = (0..=250).cycle().take(800).collect();
    let mut mux = Mux::new();
    let mut counter = 0;
    for length in 0..=bytes.len() {
        let unit = &bytes[..length];
        let mut out = Vec::new();
        let packets = mux.access_unit(unit, 5, 7, false, &mut out);
        let seen = Seen::all(&out);
        assert_eq!(u64::try_from(seen.len()).unwrap(), packets);
        let starts: Vec<bool> = seen.iter().map(|packet| packet.is_unit_start).collect();
        assert!(starts[0] && !starts[1..].contains(&true));
        for packet in &seen {
            assert_eq!((packet.pid, packet.counter), (VIDEO_PID, counter));
            counter = (counter + 1) % 16;
        }
        let pes: Vec<u8> = seen
            .iter()
            .flat_map(|packet| packet.payload)
            .copied()
            .collect();
        assert_eq!(
            usize::from(u16::from_be_bytes([pes[4], pes[5]])),
            length + 8
        );
        assert_eq!(pts(&pes), 7);
        assert_eq!(pes[14..], *unit);
    }
}

#[test]
fn only_the_first_packet_has_the_clock_and_only_a_key_frame_is_flagged() {
    let unit = [1; 1_000];
    for (is_key, flags) in [(true, 0x50), (false, 0x10)] {
        let mut out = Vec::new();
        Mux::new().access_unit(&unit, CLOCK_MAX, 7, is_key, &mut out);
        let seen = Seen::all(&out);
        assert_eq!((seen[0].flags, seen[0].clock), (flags, Some(CLOCK_MAX)));
        assert!(seen[1..].iter().all(|packet| packet.flags == 0));
    }
}

#[test]
fn time_stamps_use_all_33_bits() {
    assert_eq!(pes_head(0, CLOCK_MAX)[9..], [0x2F, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(pes_head(0, 0)[9..], [0x21, 0, 1, 0, 1]);
    assert_eq!(pts(&pes_head(0, 0x1_2345_6789)), 0x1_2345_6789);
    assert_eq!(
        clock_flags(false, CLOCK_MAX)[1..],
        [0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0]
    );
    assert_eq!(clock_flags(true, 1), [0x50, 0, 0, 0, 0, 0xFE, 0]);
}

#[test]
fn pes_length_is_left_open_where_it_does_not_fit() {
    assert_eq!(pes_head(65_527, 0)[4..6], [0xFF, 0xFF]);
    assert_eq!(pes_head(65_528, 0)[4..6], [0, 0]);
}

#[test]
fn tables_lead_to_the_video_and_end_with_their_crc() {
    let mut out = Vec::new();
    let mut mux = Mux::new();
    assert_eq!(mux.tables(&mut out), 2);
    let seen = Seen::all(&out);
    // The PAT is the well-known one that most muxers write for program 1 at PID 0x1000.
    let pat = [
        0, 0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 0x2A, 0xB1, 0x04, 0xB2,
    ];
    assert_eq!((seen[0].pid, seen[0].is_unit_start), (0, true));
    assert_eq!(seen[0].payload[..17], pat);
    assert!(seen[0].payload[17..].iter().all(|&byte| byte == 0xFF));
    let pmt = [
        0, 2, 0xB0, 18, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 0,
    ];
    assert_eq!((seen[1].pid, seen[1].is_unit_start), (0x1000, true));
    assert_eq!(seen[1].payload[..18], pmt);
    assert_eq!(
        crc32(&seen[1].payload[1..22]),
        0,
        "a section with its CRC leaves none"
    );
    assert!(seen[1].payload[22..].iter().all(|&byte| byte == 0xFF));
}

#[test]
fn crc_has_the_published_check_value() {
    assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
}

#[test]
fn padding_is_null_packets_and_nothing_else() {
    let mut out = Vec::new();
    pad(3, &mut out);
    let seen = Seen::all(&out);
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter()
            .all(|packet| packet.pid == 0x1FFF && !packet.is_unit_start)
    );
    pad(0, &mut out);
    assert_eq!(out.len(), 3 * 188);
}

const CLOCK_MAX: u64 = (1 << 33) - 1;
