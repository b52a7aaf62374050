//! What `seam.rs` promises, tried.

use super::*;
use crate::ts::PACKET_BYTES;
use crate::ts::continuity::Continuity;
use crate::ts::fixture::{Dice, PacketMaker, pat};
use crate::ts::join::{announcement, counter_before};
use crate::ts::packet::PID_PAT;
use crate::ts::pes::tests::pes;
use crate::ts::pes::{TIME_WRAP, is_after};

type Packet = [u8; PACKET_BYTES];

/// A broadcast whose every packet follows from its place in it; two windows on it overlap packet for packet.
#[derive(Clone, Copy)]
struct Broadcast {
    /// What its clock shows at 0 ms.
    base: u64,
    /// Frames of 40 ms from one key frame to the next; no video without.
    group: Option<i64>,
    /// How much later than video of the same time sound comes.
    sound_late_ms: i64,
    sound_pid: u16,
    has_pcr: bool,
    has_dts: bool,
    /// Packets of a unit.
    unit: usize,
}

impl Broadcast {
    fn new() -> Self {
        Self {
            base: 5_000_000_000,
            group: Some(12),
            sound_late_ms: 0,
            sound_pid: AUDIO,
            has_pcr: true,
            has_dts: true,
            unit: 3,
        }
    }

    fn ticks(&self, ms: i64) -> u64 {
        self.base.wrapping_add_signed(ms * 90) % TIME_WRAP
    }

    /// Everything on air from one time to another, counters beginning at 0.
    fn between(&self, from_ms: i64, to_ms: i64) -> Vec<Packet> {
        let mut units: Vec<(i64, Vec<PacketMaker>)> = Vec::new();
        let frames = |each_ms: i64, late_ms: i64| {
            let first = (from_ms - late_ms).div_euclid(each_ms);
            let last = (to_ms - late_ms).div_euclid(each_ms);
            (first..=last)
                .map(move |frame| (frame, frame * each_ms, frame * each_ms + late_ms))
                .filter(move |(_, _, air_ms)| (from_ms..to_ms).contains(air_ms))
        };
        for (frame, ms, air_ms) in frames(40, 0).filter(|_| self.group.is_some()) {
            let is_key = frame.rem_euclid(self.group.unwrap()) == 0;
            units.push((air_ms, self.picture(ms, frame, is_key)));
        }
        for (_, ms, air_ms) in frames(24, self.sound_late_ms) {
            let time = Some(self.ticks(ms + 500));
            let start = PacketMaker::new(self.sound_pid)
                .unit_start()
                .payload(&pes(0xC0, time, None));
            units.push((air_ms, self.unit(start, self.sound_pid)));
        }
        for (_, ms, air_ms) in frames(100, 0).filter(|_| self.group.is_none()) {
            let mut clock = PacketMaker::new(CLOCK).adaptation_only();
            if self.has_pcr {
                clock = clock.pcr(self.ticks(ms) * 300);
            }
            units.push((air_ms, vec![clock, PacketMaker::new(PID_PAT).unit_start()]));
        }
        units.sort_by_key(|(air_ms, _)| *air_ms);
        let mut counters = [15_u8; 0x2000];
        let makers = units.into_iter().flat_map(|(_, unit)| unit);
        makers
            .map(|maker| {
                let bare = maker.build();
                let packet = TsPacket::new(&bare);
                let pid = usize::from(packet.pid());
                let counter = (counters[pid] + u8::from(packet.has_payload())) % 16;
                counters[pid] = counter;
                let mut packet = bare;
                packet[3] = packet[3] & 0xF0 | counter;
                packet
            })
            .collect()
    }

    fn picture(&self, ms: i64, frame: i64, is_key: bool) -> Vec<PacketMaker> {
        // Pictures that others refer to are presented later than those between them.
        let reorder_ms = [120, 0, 40][usize::try_from(frame.rem_euclid(3)).unwrap()];
        let decoded = self.ticks(ms + 500);
        let header = if self.has_dts {
            pes(0xE0, Some(self.ticks(ms + 500 + reorder_ms)), Some(decoded))
        } else {
            pes(0xE0, Some(decoded), None)
        };
        let mut start = PacketMaker::new(VIDEO).unit_start().payload(&header);
        if self.has_pcr {
            start = start.pcr(self.ticks(ms) * 300);
        }
        if is_key {
            start = start.random_access();
        }
        self.unit(start, VIDEO)
    }

    fn unit(&self, start: PacketMaker, pid: u16) -> Vec<PacketMaker> {
        let rest = (1..self.unit).map(|_| PacketMaker::new(pid));
        std::iter::once(start).chain(rest).collect()
    }
}

/// A channel that cuts nothing into chunks: what its viewers receive, announcements included.
struct Line {
    seam: Seam,
    continuity: Continuity,
    pids: (Option<u16>, Option<u16>),
    is_waiting: bool,
    is_published: bool,
    now_us: u64,
    sent: Vec<Packet>,
    /// How many packets were sent before each switch.
    switches: Vec<usize>,
}

impl Line {
    fn new(broadcast: &Broadcast) -> Self {
        let mut line = Self {
            seam: Seam::new(PATIENCE_US),
            continuity: Continuity::new(),
            pids: (None, None),
            is_waiting: false,
            is_published: false,
            now_us: 0,
            sent: Vec::new(),
            switches: Vec::new(),
        };
        line.tune(broadcast);
        line
    }

    fn tune(&mut self, broadcast: &Broadcast) {
        let video = broadcast.group.map(|_| VIDEO);
        let pcr = broadcast.has_pcr.then_some(video.unwrap_or(CLOCK));
        self.pids = (pcr, video);
        self.seam.follow(pcr, video);
    }

    fn switch(&mut self, broadcast: &Broadcast) {
        self.seam.switch();
        self.continuity.reset();
        self.is_waiting = self.is_published;
        self.switches.push(self.sent.len());
        self.tune(broadcast);
    }

    fn is_join_point(&self, packet: TsPacket<'_>) -> bool {
        let begins = packet.payload_unit_start();
        match self.pids.1 {
            Some(video) => begins && packet.pid() == video && packet.random_access(),
            None => begins && packet.pid() == PID_PAT,
        }
    }

    fn push(&mut self, packet: &Packet) {
        let packet = TsPacket::new(packet);
        let pid = packet.pid();
        let mut passage = self.seam.judge(packet, pid, self.now_us);
        if self.is_waiting {
            if passage == Passage::Pass && self.is_join_point(packet) {
                self.seam.go_on(pid);
                self.is_waiting = false;
                let seen: Vec<_> = self.continuity.seen().collect();
                let seen = seen.into_iter().filter(|(other, _)| *other != pid);
                self.sent
                    .extend(seen.map(|(pid, counter)| announcement(pid, counter)));
                self.sent.push(announcement(pid, counter_before(packet)));
            } else {
                passage = Passage::Discard;
            }
        } else if passage == Passage::Announce
            || passage == Passage::Pass && self.continuity.last(pid).is_none()
        {
            self.sent.push(announcement(pid, counter_before(packet)));
        }
        self.continuity.push(packet);
        if passage != Passage::Discard {
            self.seam.note(packet, pid);
            self.sent.push(*packet.bytes());
            self.is_published = true;
        }
    }

    fn take(&mut self, packets: &[Packet]) {
        packets.iter().for_each(|packet| self.push(packet));
    }

    /// The same at the pace of the broadcast, `us` for each packet.
    fn take_slowly(&mut self, packets: &[Packet], us: u64) {
        for packet in packets {
            self.now_us += us;
            self.push(packet);
        }
    }

    /// When the units of a PID are decoded that were sent, from a packet on.
    fn units(&self, pid: u16, from: usize) -> Vec<u64> {
        let packets = self.sent[from..].iter().map(TsPacket::new);
        packets
            .filter(|packet| packet.pid() == pid)
            .filter_map(|packet| pes_times(packet)?.decoded())
            .collect()
    }

    /// Asserts that nothing comes twice or goes back, and that no counter jumps unannounced.
    fn assert_once(&self, case: &str) {
        for pid in [VIDEO, AUDIO, OTHER] {
            let units = self.units(pid, 0);
            assert!(
                units.is_sorted_by(|before, after| is_after(*after, *before)),
                "{case}: {pid:#x}"
            );
        }
        let mut continuity = Continuity::new();
        self.sent
            .iter()
            .for_each(|packet| continuity.push(TsPacket::new(packet)));
        assert_eq!(continuity.errors(), 0, "{case}");
    }
}

fn only(pid: u16, mut packets: Vec<Packet>) -> Vec<Packet> {
    packets.retain(|packet| TsPacket::new(packet).pid() == pid);
    packets
}

/// A line that has gone on with video while its sound still repeats what was sent.
fn resuming() -> Line {
    let tv = Broadcast::new();
    let late = Broadcast {
        sound_late_ms: 700,
        ..tv
    };
    let mut line = switched(&tv, &late);
    line.take(&late.between(MINUTE_MS, MINUTE_MS + 20));
    assert_eq!(line.seam.phase, Phase::Resuming);
    line
}

/// A line that has sent a minute and an incomplete unit, and was switched to `next`.
fn switched(first: &Broadcast, next: &Broadcast) -> Line {
    let mut line = Line::new(first);
    let mut minute = first.between(0, MINUTE_MS);
    minute.pop();
    line.take(&minute);
    line.switch(next);
    line
}

const VIDEO: u16 = 0x31;
const AUDIO: u16 = 0x32;
const OTHER: u16 = 0x33;
const CLOCK: u16 = 0x34;
const MINUTE_MS: i64 = 60_000;
const PATIENCE_US: u64 = 30_000_000;

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

#[test]
fn what_does_not_catch_up_in_time_is_taken_as_it_comes() {
    let tv = Broadcast::new();
    let mut line = switched(&tv, &tv);
    let all = tv.between(MINUTE_MS - 100_000, MINUTE_MS);
    let us = 100_000_000 / u64::try_from(all.len()).unwrap();
    line.now_us = 500_000_000;
    line.take_slowly(&all, us);
    let units = line.units(VIDEO, line.switches[0]);
    let waited_ms = ticks_between(tv.ticks(MINUTE_MS - 100_000 + 500), units[0]) / 90;
    assert!((29_900..30_600).contains(&waited_ms), "{waited_ms} ms");
    let sound = line.units(AUDIO, line.switches[0]);
    assert!(ticks_between(units[0], sound[0]).abs() < 90 * 100);
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
