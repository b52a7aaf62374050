//! What holds for every cut, and for senders that mean harm.

use super::*;

#[test]
fn only_so_many_pids_are_remembered() {
    let mut seam = Seam::new(PATIENCE_US);
    for pid in 0..200 {
        let maker = PacketMaker::new(0x100 + pid).unit_start();
        let packet = maker.payload(&pes(0xC0, Some(5), None)).build();
        seam.note(TsPacket::new(&packet), 0x100 + pid);
    }
    assert_eq!(seam.units.len(), SEEN_MAX);
}

#[test]
fn random_cuts_and_restarts_show_nothing_twice() {
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let mut ms = |below: usize| i64::try_from(dice.below(below)).unwrap();
        let sound_late_ms = [-700, -100, 0, 300, 700, 1_500];
        let mut tv = Broadcast {
            base: [0, TIME_WRAP - 900_000, 1 << 32][usize::try_from(ms(3)).unwrap()],
            group: (ms(4) > 0).then_some(1 + ms(60)),
            unit: usize::try_from(1 + ms(4)).unwrap(),
            has_dts: ms(3) > 0,
            ..Broadcast::new()
        };
        tv.has_pcr = tv.group.is_none() || ms(4) > 0;
        let mut line = Line::new(&tv);
        let mut at_ms = 0;
        for _ in 0..6 {
            tv.sound_late_ms = sound_late_ms[usize::try_from(ms(6)).unwrap()];
            let length_ms = 1 + ms(8_000);
            let mut packets = tv.between(at_ms, at_ms + length_ms);
            packets.truncate(
                packets
                    .len()
                    .saturating_sub(usize::try_from(ms(3)).unwrap()),
            );
            line.take(&packets);
            line.now_us += 1_000_000;
            line.switch(&tv);
            at_ms += length_ms + 9_000 - ms(20_000);
        }
        let before = line.sent.len();
        line.take(&tv.between(at_ms - 1_000, at_ms + 90_000));
        line.assert_once(&format!("seed {seed}"));
        assert!(line.sent.len() > before + 100, "seed {seed} goes on");
    }
}

#[test]
fn nothing_hostile_is_held_back_for_longer_than_the_time() {
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let mut line = Line::new(&Broadcast::new());
        let mut waited_us = 0;
        for _ in 0..2_000 {
            let mut packet = [0; PACKET_BYTES];
            dice.fill(&mut packet);
            packet[1] &= 0xE0;
            packet[2] = [0x31, 0x32, 0x33, 0x34][dice.below(4)];
            let begin = 4 + usize::from(packet[3] & 0x20 != 0) * (1 + dice.below(20));
            packet[4] = u8::try_from(begin - 5.min(begin)).unwrap();
            let id = [0xC0, 0xE0, 0xBD][dice.below(3)];
            let time =
                |dice: &mut Dice| (dice.below(3) > 0).then(|| 5_000 * dice.below(300) as u64);
            let times = pes(id, time(&mut dice), time(&mut dice));
            packet[begin..begin + times.len()].copy_from_slice(&times);
            line.push(&packet);
            if dice.below(60) == 0 {
                line.switch(&Broadcast::new());
            }
            let step_us = u64::try_from(dice.below(400_000)).unwrap();
            line.now_us += step_us;
            waited_us = if line.is_waiting {
                waited_us + step_us
            } else {
                0
            };
            // A join point comes about once in 30 packets.
            assert!(waited_us < 4 * PATIENCE_US, "seed {seed}");
        }
        let key = PacketMaker::new(VIDEO).unit_start().random_access().build();
        line.push(&key);
        line.now_us += PATIENCE_US;
        line.push(&key);
        assert!(!line.is_waiting, "seed {seed}");
    }
}
