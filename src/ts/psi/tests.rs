//! What `psi.rs` promises, tried.

use super::section::crc;
use super::*;
use crate::ts::PACKET_BYTES;
use crate::ts::fixture::{
    Dice, PacketMaker, pat, pat_section, pmt, pmt_section, section, section_packets,
};

fn feed(psi: &mut Psi, packets: &[[u8; PACKET_BYTES]]) -> bool {
    let mut changed = false;
    for packet in packets.iter().map(TsPacket::new) {
        changed |= psi.is_psi(packet.pid()) && psi.push(packet);
    }
    changed
}

fn tables(psi: &Psi) -> Vec<(u16, Vec<u8>)> {
    psi.tables()
        .map(|(pid, packets)| (pid, packets.to_vec()))
        .collect()
}

#[test]
fn a_pat_and_its_pmt_tell_clock_and_video() {
    let mut psi = Psi::new();
    assert!(feed(&mut psi, &[pat(0, &[(0, 0x10), (7, 0x1000)])]));
    assert!(!psi.is_complete(), "no PMT yet");
    assert!(psi.is_psi(0x1000) && !psi.is_psi(0x10) && !psi.is_psi(0x1001));
    assert!(feed(
        &mut psi,
        &[pmt(
            0x1000,
            0,
            7,
            0x101,
            &[(0x0F, 0x102), (0x1B, 0x101), (0x24, 0x103)]
        )]
    ));
    assert!(psi.is_complete());
    assert_eq!(psi.pcr_pid(), Some(0x101));
    assert_eq!(
        psi.video(),
        Some(Video {
            pid: 0x101,
            stream_type: 0x1B
        })
    );
    assert_eq!(psi.es_pids().collect::<Vec<_>>(), [0x102, 0x101, 0x103]);
    assert_eq!(psi.pmt_pids().collect::<Vec<_>>(), [0x1000]);
}

#[test]
fn every_video_stream_type_is_known_and_audio_is_none() {
    for kind in 0..=255 {
        let mut psi = Psi::new();
        feed(
            &mut psi,
            &[
                pat(0, &[(1, 0x30)]),
                pmt(0x30, 0, 1, 0x1FFF, &[(kind, 0x40)]),
            ],
        );
        let is_video = [0x01, 0x02, 0x10, 0x1B, 0x24, 0x33, 0x42, 0xD1].contains(&kind);
        assert_eq!(psi.video().is_some(), is_video, "stream type {kind:#04x}");
        assert_eq!(psi.pcr_pid(), None, "0x1FFF is no clock");
    }
}

#[test]
fn the_copy_seen_last_is_kept_although_nothing_changed() {
    let mut psi = Psi::new();
    let first = [pat(3, &[(1, 0x30)]), pmt(0x30, 9, 1, 0x31, &[(0x1B, 0x31)])];
    let again = [
        pat(4, &[(1, 0x30)]),
        pmt(0x30, 10, 1, 0x31, &[(0x1B, 0x31)]),
    ];
    assert!(feed(&mut psi, &first));
    assert!(!feed(&mut psi, &again));
    assert_eq!(
        tables(&psi),
        [(0, again[0].to_vec()), (0x30, again[1].to_vec())]
    );
}

#[test]
fn a_section_over_several_packets_is_kept_with_all_of_them() {
    let mut psi = Psi::new();
    let packets = section_packets(0x30, 14, &pmt_section(1, 0, 0x31, &[(0x02, 0x31)], 700));
    assert_eq!(packets.len(), 4);
    feed(&mut psi, &[pat(0, &[(1, 0x30)])]);
    assert!(!feed(&mut psi, &packets[..3]));
    assert!(feed(&mut psi, &packets[3..]));
    assert_eq!(tables(&psi)[1], (0x30, packets.concat()));
    assert_eq!(
        psi.video(),
        Some(Video {
            pid: 0x31,
            stream_type: 0x02
        })
    );
}

#[test]
fn a_section_with_a_packet_missing_or_out_of_order_is_not_believed() {
    let packets = section_packets(0x30, 0, &pmt_section(1, 0, 0x31, &[(0x02, 0x31)], 700));
    for order in [vec![0, 1, 3], vec![0, 2, 1, 3], vec![1, 2, 3]] {
        let mut psi = Psi::new();
        feed(&mut psi, &[pat(0, &[(1, 0x30)])]);
        let broken: Vec<_> = order.iter().map(|index| packets[*index]).collect();
        assert!(!feed(&mut psi, &broken), "{order:?}");
        assert!(!psi.is_complete());
    }
}

#[test]
fn repeated_packets_of_a_section_are_taken_once() {
    let packets = section_packets(0x30, 0, &pmt_section(1, 0, 0x31, &[(0x02, 0x31)], 300));
    let mut psi = Psi::new();
    feed(
        &mut psi,
        &[
            pat(0, &[(1, 0x30)]),
            packets[0],
            packets[0],
            packets[1],
            packets[1],
        ],
    );
    assert_eq!(tables(&psi)[1].1, packets.concat());
}

#[test]
fn a_wrong_checksum_leaves_the_old_table_in_force() {
    let mut psi = Psi::new();
    let good = pat(0, &[(1, 0x30)]);
    let mut bad = pat(1, &[(2, 0x50)]);
    bad[14] ^= 1;
    assert!(feed(&mut psi, &[good]));
    assert!(!feed(&mut psi, &[bad]));
    assert_eq!(psi.pmt_pids().collect::<Vec<_>>(), [0x30]);
    assert_eq!(tables(&psi), [(0, good.to_vec())]);
}

#[test]
fn a_table_not_yet_in_force_is_not_read() {
    let mut bytes = pat_section(0, &[(1, 0x30)]);
    bytes.truncate(bytes.len() - 4);
    bytes[5] &= 0xFE;
    let crc = crc(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    let mut psi = Psi::new();
    assert!(!feed(&mut psi, &section_packets(0, 0, &bytes)));
}

#[test]
fn a_section_may_begin_behind_the_end_of_another() {
    let long = pmt_section(1, 0, 0x31, &[(0x1B, 0x31)], 180);
    let (head, tail) = long.split_at(183);
    let mut second = vec![u8::try_from(tail.len()).unwrap()];
    second.extend_from_slice(tail);
    second.extend(pmt_section(1, 1, 0x41, &[(0x24, 0x41)], 0));
    second.resize(184, 0xFF);
    let first = [&[0], head].concat();
    let packets = [
        PacketMaker::new(0x30)
            .counter(0)
            .unit_start()
            .payload(&first)
            .build(),
        PacketMaker::new(0x30)
            .counter(1)
            .unit_start()
            .payload(&second)
            .build(),
    ];
    let mut psi = Psi::new();
    feed(&mut psi, &[pat(0, &[(1, 0x30)]), packets[0]]);
    assert!(!psi.is_complete());
    assert!(feed(&mut psi, &packets[1..]));
    assert_eq!(
        psi.video(),
        Some(Video {
            pid: 0x41,
            stream_type: 0x24
        }),
        "the later section is in force"
    );
    assert_eq!(tables(&psi)[1].1, packets[1], "and it came in one packet");
}

#[test]
fn a_header_cut_between_packets_is_put_together() {
    let filler = section(0xC0, 1, 0, &[0; 168]);
    assert_eq!(filler.len(), 180);
    let mut both = filler;
    both.extend(pmt_section(1, 0, 0x31, &[(0x1B, 0x31)], 30));
    let mut psi = Psi::new();
    feed(&mut psi, &[pat(0, &[(1, 0x30)])]);
    assert!(feed(&mut psi, &section_packets(0x30, 5, &both)));
    assert!(psi.is_complete());
}

#[test]
fn foreign_sections_on_a_table_pid_are_passed_over() {
    let mut psi = Psi::new();
    feed(&mut psi, &[pat(0, &[(1, 0x30)])]);
    assert!(!feed(
        &mut psi,
        &section_packets(0x30, 0, &section(0xC0, 1, 0, &[0; 20]))
    ));
    assert!(
        !feed(&mut psi, &[pmt(0x30, 1, 2, 0x31, &[(0x1B, 0x31)])]),
        "another program's"
    );
    assert!(feed(&mut psi, &[pmt(0x30, 2, 1, 0x31, &[(0x1B, 0x31)])]));
}

#[test]
fn the_first_program_with_a_pmt_decides() {
    let mut psi = Psi::new();
    feed(
        &mut psi,
        &[
            pat(0, &[(1, 0x30), (2, 0x40)]),
            pmt(0x40, 0, 2, 0x41, &[(0x1B, 0x41)]),
        ],
    );
    assert_eq!(psi.pcr_pid(), Some(0x41));
    feed(&mut psi, &[pmt(0x30, 0, 1, 0x31, &[(0x1B, 0x31)])]);
    assert_eq!(psi.pcr_pid(), Some(0x31));
    assert_eq!(
        tables(&psi).iter().map(|(pid, _)| *pid).collect::<Vec<_>>(),
        [0, 0x30, 0x40]
    );
}

#[test]
fn a_new_pat_forgets_programs_that_are_gone_and_keeps_the_others() {
    let mut psi = Psi::new();
    feed(
        &mut psi,
        &[
            pat(0, &[(1, 0x30), (2, 0x40)]),
            pmt(0x30, 0, 1, 0x31, &[(0x1B, 0x31)]),
            pmt(0x40, 0, 2, 0x41, &[(0x1B, 0x41)]),
        ],
    );
    assert!(feed(&mut psi, &[pat(1, &[(2, 0x40)])]));
    assert!(psi.is_complete() && !psi.is_psi(0x30));
    assert_eq!(psi.pcr_pid(), Some(0x41));
    assert!(feed(&mut psi, &[pat(2, &[(3, 0x40)])]));
    assert!(
        !psi.is_complete(),
        "the same PID with another program on it is another table"
    );
}

#[test]
fn programs_beyond_the_bound_are_ignored() {
    let programs: Vec<_> = (1..=30).map(|number| (number, 0x30 + number)).collect();
    let mut psi = Psi::new();
    feed(&mut psi, &[pat(0, &programs)]);
    assert_eq!(psi.pmt_pids().count(), PROGRAMS_MAX);
    assert!(psi.is_psi(0x40) && !psi.is_psi(0x41));
}

#[test]
fn a_section_longer_than_the_standard_allows_is_dropped() {
    let mut bytes = section(TABLE_PMT, 1, 0, &[0; 1100]);
    bytes.extend([0; 400]);
    let mut psi = Psi::new();
    feed(&mut psi, &[pat(0, &[(1, 0x30)])]);
    feed(&mut psi, &section_packets(0x30, 0, &bytes));
    assert!(!psi.is_complete());
    assert!(
        feed(&mut psi, &[pmt(0x30, 5, 1, 0x31, &[])]),
        "and the next one is read"
    );
}

#[test]
fn a_section_dribbled_over_too_many_packets_is_dropped() {
    let bytes = pmt_section(1, 0, 0x31, &[(0x1B, 0x31)], 0);
    let mut psi = Psi::new();
    feed(&mut psi, &[pat(0, &[(1, 0x30)])]);
    for (counter, byte) in (0..).zip(bytes) {
        let mut packet = PacketMaker::new(0x30)
            .counter(counter)
            .payload(&[byte])
            .build();
        if counter == 0 {
            packet = PacketMaker::new(0x30)
                .unit_start()
                .payload(&[0, byte])
                .build();
        }
        let length = if counter == 0 { 2 } else { 1 };
        let payload = packet[4..4 + usize::from(length)].to_vec();
        packet[3] |= 0x20;
        packet[4] = 183 - length;
        packet[5] = 0;
        packet[188 - usize::from(length)..].copy_from_slice(&payload);
        feed(&mut psi, &[packet]);
    }
    assert!(!psi.is_complete());
}

#[test]
fn random_packets_on_table_pids_do_no_harm() {
    let mut dice = Dice::new(5);
    let mut psi = Psi::new();
    let real = [pat(0, &[(1, 0x30)]), pmt(0x30, 0, 1, 0x31, &[(0x1B, 0x31)])];
    for _ in 0..50_000 {
        let mut packet = real[dice.below(2)];
        packet[3] = packet[3] & 0xF0 | u8::try_from(dice.below(16)).unwrap();
        for _ in 0..dice.below(4) {
            packet[3 + dice.below(40)] = dice.byte();
        }
        let packet = TsPacket::new(&packet);
        if psi.is_psi(packet.pid()) {
            psi.push(packet);
        }
        assert!(
            psi.tables()
                .all(|(_, packets)| packets.len() % PACKET_BYTES == 0)
        );
    }
    assert_eq!(
        psi.pmt_pids().collect::<Vec<_>>(),
        [0x30],
        "no damaged table passed the checksum"
    );
}
