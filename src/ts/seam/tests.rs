//! What `seam.rs` promises, tried.

mod line;
mod random;

use self::line::*;
use super::*;
use crate::ts::PACKET_BYTES;
use crate::ts::continuity::Continuity;
use crate::ts::fixture::{Dice, PacketMaker, pat};
use crate::ts::join::{announcement, counter_before};
use crate::ts::packet::PID_PAT;
use crate::ts::pes::tests::pes;
use crate::ts::pes::{TIME_WRAP, is_after};

#[test]
fn a_restart_some_time_back_goes_on_at_the_first_key_frame_not_yet_sent() {
    for back_ms in [40, 3_000, 30_000, 300_000, 599_900] {
        let tv = Broadcast::new();
        let mut line = switched(&tv, &tv);
        let all = tv.between(MINUTE_MS - back_ms, MINUTE_MS + 5_000);
        let (old, new) = all.split_at(tv.between(MINUTE_MS - back_ms, MINUTE_MS).len());
        line.take(old);
        assert!(line.seam.is_catching_up() && line.is_waiting, "{back_ms}");
        line.take(new);
        line.assert_once(&format!("{back_ms} ms back"));
        let units = line.units(VIDEO, line.switches[0]);
        // 60,000 ms is frame 1,500, and every twelfth is a key frame.
        assert_eq!(units[0], tv.ticks(1_500 * 40 + 500), "{back_ms} ms back");
        assert!(!line.seam.is_catching_up());
    }
}

#[test]
fn a_restart_further_back_is_a_new_clock_and_stays_one() {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    let from_ms = MINUTE_MS - 601_000;
    line.take(&tv.between(from_ms, from_ms + 5_000));
    let units = line.units(VIDEO, line.switches[0]);
    assert!((0..480).contains(&(ticks_between(tv.ticks(from_ms + 500), units[0]) / 90)));
    assert!(!line.is_waiting && !line.seam.is_catching_up());
    // The key frame comes when the clock stands less than 600 s before.
    let slow = Broadcast {
        group: Some(100),
        ..tv
    };
    let mut line = switched(&tv, &slow);
    line.take(&slow.between(from_ms, from_ms + 5_000));
    assert!(!line.is_waiting);
}

#[test]
fn a_clock_a_little_ahead_is_the_same_and_one_further_ahead_is_new() {
    for (ahead_ms, is_same) in [(0, true), (5_000, true), (9_900, true), (11_000, false)] {
        let tv = Broadcast {
            group: Some(1),
            ..Broadcast::new()
        };
        let mut line = switched(&tv, &tv);
        let before = line.sent.len();
        let ahead = tv.between(MINUTE_MS + ahead_ms, MINUTE_MS + ahead_ms + 40);
        line.take(&only(VIDEO, ahead));
        assert_eq!(line.units(VIDEO, before).len(), 1, "at once");
        // Sound of the same broadcast that was sent long ago.
        let sound = only(AUDIO, tv.between(30_000, 30_100));
        let before = line.sent.len();
        line.take(&sound);
        assert_eq!(line.units(AUDIO, before).is_empty(), is_same, "{ahead_ms}");
    }
}

#[test]
fn the_wrap_of_the_clock_is_no_seam_of_its_own() {
    for wrap_ms in [100, MINUTE_MS - 1_500, MINUTE_MS, MINUTE_MS + 700] {
        let tv = Broadcast {
            base: TIME_WRAP - u64::try_from(wrap_ms).unwrap() * 90,
            ..Broadcast::new()
        };
        let mut line = switched(&tv, &tv);
        line.take(&tv.between(MINUTE_MS - 3_000, MINUTE_MS + 5_000));
        line.assert_once(&format!("wrap at {wrap_ms}"));
        let units = line.units(VIDEO, line.switches[0]);
        assert_eq!(units[0], tv.ticks(MINUTE_MS + 500));
    }
}

#[test]
fn sound_that_comes_later_than_before_is_held_back_until_it_is_new() {
    let tv = Broadcast::new();
    let late = Broadcast {
        sound_late_ms: 700,
        ..tv
    };
    let mut line = switched(&tv, &late);
    line.take(&late.between(MINUTE_MS - 3_000, MINUTE_MS + 5_000));
    line.assert_once("late sound");
    let spliced = line.sent[line.switches[0]..].iter().map(TsPacket::new);
    let announced: Vec<u16> = spliced
        .filter(|packet| packet.discontinuity())
        .map(TsPacket::pid)
        .collect();
    assert_eq!(
        announced,
        [AUDIO, VIDEO, AUDIO],
        "at the seam and at its own"
    );
    assert_eq!(line.seam.phase, Phase::Flowing);
    let (sound, all) = (line.units(AUDIO, line.switches[0]), 5_000 / 24);
    assert!((all - 32..=all).contains(&sound.len()), "{}", sound.len());
}

#[test]
fn sound_that_comes_sooner_than_before_is_not_held_back() {
    let late = Broadcast {
        sound_late_ms: 700,
        ..Broadcast::new()
    };
    let tv = Broadcast::new();
    let mut line = switched(&late, &tv);
    line.take(&tv.between(MINUTE_MS - 3_000, MINUTE_MS + 5_000));
    line.assert_once("early sound");
    let sound = line.units(AUDIO, line.switches[0]);
    assert_eq!(sound.len(), 5_000_usize.div_ceil(24));
}

#[test]
fn a_pid_that_nobody_has_seen_is_not_held_back() {
    let tv = Broadcast::new();
    let other = Broadcast {
        sound_late_ms: 700,
        sound_pid: OTHER,
        ..tv
    };
    let mut line = switched(&tv, &other);
    line.take(&other.between(MINUTE_MS - 3_000, MINUTE_MS + 2_000));
    let first = line.units(OTHER, 0)[0];
    assert!(is_after(tv.ticks(MINUTE_MS), first));
    line.assert_once("other sound");
}

#[test]
fn a_pid_that_carries_tables_now_is_let_through() {
    let mut line = resuming();
    let mut table = pat(0, &[(1, 0x30)]);
    table[2] = AUDIO.to_be_bytes()[1];
    let table = TsPacket::new(&table);
    assert_eq!(line.seam.judge(table, AUDIO, 0), Passage::Announce);
}

/// What is sent of the last seconds of a minute that was sent before, at the pace of the broadcast.
fn repeated(back_ms: i64) -> (Broadcast, Line) {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    let all = tv.between(MINUTE_MS - back_ms, MINUTE_MS + 2_000);
    let us = u64::try_from(back_ms + 2_000).unwrap() * 1_000 / u64::try_from(all.len()).unwrap();
    line.now_us = 500_000_000;
    line.take_slowly(&all, us);
    (tv, line)
}

#[test]
fn what_cannot_catch_up_in_time_is_taken_as_soon_as_that_is_plain() {
    let (tv, line) = repeated(100_000);
    let units = line.units(VIDEO, line.switches[0]);
    let waited_ms = ticks_between(tv.ticks(MINUTE_MS - 100_000 + 500), units[0]) / 90;
    assert!((2_000..2_600).contains(&waited_ms), "{waited_ms} ms");
    let sound = line.units(AUDIO, line.switches[0]);
    assert!(ticks_between(units[0], sound[0]).abs() < 90 * 100);
}

#[test]
fn what_can_just_catch_up_in_time_is_waited_for() {
    let (tv, line) = repeated(29_000);
    assert_eq!(
        line.units(VIDEO, line.switches[0])[0],
        tv.ticks(MINUTE_MS + 500)
    );
    line.assert_once("29 s back");
}

#[test]
fn a_file_that_is_sent_again_is_held_back_once() {
    let tv = Broadcast::new();
    let file = tv.between(0, MINUTE_MS);
    let mut line = Line::new(&tv);
    line.take(&file);
    let mut shown = Vec::new();
    for _ in 0..4 {
        line.switch(&tv);
        let before = line.units(VIDEO, 0).len();
        line.take(&file);
        shown.push(line.units(VIDEO, 0).len() - before);
    }
    assert_eq!(shown, [0, 1_500, 1_500, 1_500], "frames");
    // The network breaks, and the server sends from the beginning again.
    let half = file.len() / 2;
    line.switch(&tv);
    line.take(&file[..half]);
    line.switch(&tv);
    assert!(!line.seam.is_catching_up());
    line.push(&file[0]);
    assert!(!line.is_waiting);
}

#[test]
fn an_upstream_that_goes_back_by_itself_is_not_waited_for() {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    line.take(&tv.between(MINUTE_MS - 20_000, MINUTE_MS - 10_000));
    assert!(line.is_waiting && line.seam.is_catching_up());
    line.take(&tv.between(MINUTE_MS - 20_000, MINUTE_MS - 18_000));
    assert!(!line.is_waiting && !line.seam.is_catching_up());
}

#[test]
fn cuts_do_not_make_the_time_to_catch_up_longer() {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    let second = tv.between(0, 1_000);
    let us = 1_000_000 / u64::try_from(second.len()).unwrap();
    for turn in 0..40 {
        line.take_slowly(&second, us);
        assert_eq!(line.is_waiting, turn < 30, "turn {turn}");
        if turn < 30 {
            line.switch(&tv);
        }
    }
}

#[test]
fn a_switch_after_the_stream_went_on_gives_the_whole_time_again() {
    let (tv, mut line) = (Broadcast::new(), resuming());
    line.now_us += PATIENCE_US + 1;
    line.switch(&tv);
    line.take(&tv.between(MINUTE_MS - 2_000, MINUTE_MS));
    assert!(line.is_waiting && line.seam.is_catching_up());
    line.take(&tv.between(MINUTE_MS, MINUTE_MS + 2_000));
    line.assert_once("two switches");
}

#[test]
fn a_pid_held_back_beyond_the_time_goes_on_with_a_unit() {
    let mut line = resuming();
    let sound = only(AUDIO, Broadcast::new().between(0, 1_000));
    let mut judge = |packet: &Packet, now_us| line.seam.judge(TsPacket::new(packet), AUDIO, now_us);
    assert_eq!(judge(&sound[0], 0), Passage::Discard);
    assert_eq!(judge(&sound[1], PATIENCE_US), Passage::Discard);
    assert_eq!(judge(&sound[3], PATIENCE_US), Passage::Announce);
    assert_eq!(judge(&sound[4], PATIENCE_US), Passage::Pass);
    assert_eq!(line.seam.phase, Phase::Flowing);
}

#[test]
fn without_dts_the_time_of_presentation_counts() {
    let tv = Broadcast {
        has_dts: false,
        ..Broadcast::new()
    };
    let mut line = switched(&tv, &tv);
    line.take(&tv.between(MINUTE_MS - 3_000, MINUTE_MS + 3_000));
    line.assert_once("no DTS");
    assert!(!line.is_waiting);
}

#[test]
fn a_key_frame_is_compared_by_when_it_is_decoded() {
    // Presented after everything that was sent, decoded before.
    let tv = Broadcast {
        group: Some(1),
        ..Broadcast::new()
    };
    let mut line = switched(&tv, &tv);
    let last = line.units(VIDEO, 0).pop().unwrap();
    let mut key = |dts: u64| {
        let maker = PacketMaker::new(VIDEO).unit_start().random_access();
        let times = pes(0xE0, Some(last + 9_000), Some(dts));
        let pcr = tv.ticks(MINUTE_MS + 100) * 300;
        let packet = maker.pcr(pcr).payload(&times).build();
        line.seam.judge(TsPacket::new(&packet), VIDEO, 0)
    };
    assert_eq!(key(last - 1), Passage::Discard);
    assert_eq!(key(last), Passage::Discard);
    assert_eq!(key(last + 1), Passage::Pass);
}

#[test]
fn the_clock_has_to_pass_too() {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    let last = line.units(VIDEO, 0).pop().unwrap();
    let mut key = |clock_ms: i64| {
        let maker = PacketMaker::new(VIDEO).unit_start().random_access();
        let maker = maker.payload(&pes(0xE0, Some(last + 9_000), None));
        let packet = maker.pcr(tv.ticks(clock_ms) * 300).build();
        line.seam.judge(TsPacket::new(&packet), VIDEO, 0)
    };
    // The last PCR that was sent is that of the frame at 59,960 ms.
    assert_eq!(key(59_950), Passage::Discard);
    assert_eq!(key(59_960), Passage::Discard);
    assert_eq!(key(59_961), Passage::Pass);
}

#[test]
fn without_a_pcr_on_either_side_video_is_the_clock() {
    let with = Broadcast::new();
    let without = Broadcast {
        has_pcr: false,
        ..with
    };
    for (first, next) in [(without, without), (with, without), (without, with)] {
        let mut line = switched(&first, &next);
        line.take(&next.between(MINUTE_MS - 3_000, MINUTE_MS + 3_000));
        line.assert_once("no PCR");
        assert!(!line.is_waiting);
        let mut line = switched(&first, &next);
        line.take(&next.between(MINUTE_MS - 700_000, MINUTE_MS - 699_000));
        assert!(!line.is_waiting, "a new clock");
    }
}

#[test]
fn without_any_time_the_first_join_point_is_as_good_as_any() {
    let tv = Broadcast::new();
    let mut line = Line::new(&tv);
    let bare = |maker: PacketMaker| maker.unit_start().random_access().build();
    line.push(&bare(PacketMaker::new(VIDEO)));
    line.switch(&tv);
    line.push(&bare(PacketMaker::new(VIDEO)));
    assert!(!line.is_waiting);
    line.take(&tv.between(0, 1_000));
    line.switch(&Broadcast {
        has_pcr: false,
        ..tv
    });
    line.push(&bare(PacketMaker::new(VIDEO)));
    assert!(!line.is_waiting, "nor can the next be compared");
}

#[test]
fn a_join_point_before_the_first_pcr_waits_for_it() {
    let radio = Broadcast {
        group: None,
        ..Broadcast::new()
    };
    let mut line = switched(&radio, &radio);
    let table = pat(0, &[(1, 0x30)]);
    line.push(&table);
    assert!(line.is_waiting && !line.seam.is_catching_up());
    line.now_us += PATIENCE_US;
    line.push(&table);
    assert!(
        !line.is_waiting,
        "a clock that never comes is not waited for"
    );
}

#[test]
fn radio_goes_on_at_a_table_once_the_clock_has_passed() {
    for sound_late_ms in [-700, 0, 700] {
        let radio = Broadcast {
            group: None,
            ..Broadcast::new()
        };
        let next = Broadcast {
            sound_late_ms,
            ..radio
        };
        let mut line = switched(&radio, &next);
        line.take(&next.between(MINUTE_MS - 3_000, MINUTE_MS + 3_000));
        line.assert_once(&format!("{sound_late_ms}"));
        assert!(line.units(AUDIO, line.switches[0]).len() > 90);
    }
}

#[test]
fn video_behind_a_table_is_held_back_like_sound() {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    let maker = PacketMaker::new(VIDEO).pcr(tv.ticks(MINUTE_MS) * 300);
    let (clock, table) = (maker.build(), pat(0, &[(1, 0x30)]));
    let judge = |line: &mut Line, packet: &Packet| {
        let packet = TsPacket::new(packet);
        line.seam.judge(packet, packet.pid(), 0)
    };
    assert_eq!(judge(&mut line, &table), Passage::Discard);
    judge(&mut line, &clock);
    assert_eq!(judge(&mut line, &table), Passage::Pass);
    line.seam.go_on(PID_PAT);
    let frame = |ms| only(VIDEO, tv.between(ms, ms + 40))[0];
    let (shown, fresh) = (frame(MINUTE_MS - 40), frame(MINUTE_MS));
    assert_eq!(judge(&mut line, &shown), Passage::Discard);
    assert_eq!(judge(&mut line, &fresh), Passage::Announce);
}

#[test]
fn video_on_another_pid_is_video_all_the_same() {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    line.seam.follow(Some(OTHER), Some(OTHER));
    line.pids = (Some(OTHER), Some(OTHER));
    let [high, low] = OTHER.to_be_bytes();
    for mut packet in tv.between(MINUTE_MS - 3_000, MINUTE_MS + 1_000) {
        if TsPacket::new(&packet).pid() == VIDEO {
            packet[1] = packet[1] & 0xE0 | high;
            packet[2] = low;
        }
        line.push(&packet);
    }
    assert_eq!(line.units(OTHER, 0)[0], tv.ticks(MINUTE_MS + 500));
    line.assert_once("other PID");
}

#[test]
fn what_was_sent_can_be_forgotten() {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    line.seam.forget();
    line.take(&tv.between(MINUTE_MS - 3_000, MINUTE_MS - 2_000));
    assert!(!line.is_waiting);
    let mut line = resuming();
    line.seam.forget();
    assert_eq!(line.seam.phase, Phase::Flowing);
}
