//! Two broadcasts, and the line on which a seam lets them through.

use super::*;

pub(super) type Packet = [u8; PACKET_BYTES];

/// A broadcast whose every packet follows from its place in it; two windows on it overlap packet for packet.
#[derive(Clone, Copy)]
pub(super) struct Broadcast {
    /// What its clock shows at 0 ms.
    pub(super) base: u64,
    /// Frames of 40 ms from one key frame to the next; no video without.
    pub(super) group: Option<i64>,
    /// How much later than video of the same time sound comes.
    pub(super) sound_late_ms: i64,
    pub(super) sound_pid: u16,
    pub(super) has_pcr: bool,
    pub(super) has_dts: bool,
    /// Packets of a unit.
    pub(super) unit: usize,
}

impl Broadcast {
    pub(super) fn new() -> Self {
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

    pub(super) fn ticks(&self, ms: i64) -> u64 {
        self.base.wrapping_add_signed(ms * 90) % TIME_WRAP
    }

    /// Everything on air from one time to another, counters beginning at 0.
    pub(super) fn between(&self, from_ms: i64, to_ms: i64) -> Vec<Packet> {
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

    pub(super) fn picture(&self, ms: i64, frame: i64, is_key: bool) -> Vec<PacketMaker> {
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

    pub(super) fn unit(&self, start: PacketMaker, pid: u16) -> Vec<PacketMaker> {
        let rest = (1..self.unit).map(|_| PacketMaker::new(pid));
        std::iter::once(start).chain(rest).collect()
    }
}

/// A channel that cuts nothing into chunks: what its viewers receive, announcements included.
pub(super) struct Line {
    pub(super) seam: Seam,
    pub(super) continuity: Continuity,
    pub(super) pids: (Option<u16>, Option<u16>),
    pub(super) is_waiting: bool,
    pub(super) is_published: bool,
    pub(super) now_us: u64,
    pub(super) sent: Vec<Packet>,
    /// How many packets were sent before each switch.
    pub(super) switches: Vec<usize>,
}

impl Line {
    pub(super) fn new(broadcast: &Broadcast) -> Self {
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

    pub(super) fn tune(&mut self, broadcast: &Broadcast) {
        let video = broadcast.group.map(|_| VIDEO);
        let pcr = broadcast.has_pcr.then_some(video.unwrap_or(CLOCK));
        self.pids = (pcr, video);
        self.seam.follow(pcr, video);
    }

    pub(super) fn switch(&mut self, broadcast: &Broadcast) {
        self.seam.switch();
        self.continuity.reset();
        self.is_waiting = self.is_published;
        self.switches.push(self.sent.len());
        self.tune(broadcast);
    }

    pub(super) fn is_join_point(&self, packet: TsPacket<'_>) -> bool {
        let begins = packet.payload_unit_start();
        match self.pids.1 {
            Some(video) => begins && packet.pid() == video && packet.random_access(),
            None => begins && packet.pid() == PID_PAT,
        }
    }

    pub(super) fn push(&mut self, packet: &Packet) {
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

    pub(super) fn take(&mut self, packets: &[Packet]) {
        packets.iter().for_each(|packet| self.push(packet));
    }

    /// The same at the pace of the broadcast, `us` for each packet.
    pub(super) fn take_slowly(&mut self, packets: &[Packet], us: u64) {
        for packet in packets {
            self.now_us += us;
            self.push(packet);
        }
    }

    /// When the units of a PID are decoded that were sent, from a packet on.
    pub(super) fn units(&self, pid: u16, from: usize) -> Vec<u64> {
        let packets = self.sent[from..].iter().map(TsPacket::new);
        packets
            .filter(|packet| packet.pid() == pid)
            .filter_map(|packet| pes_times(packet)?.decoded())
            .collect()
    }

    /// Asserts that nothing comes twice or goes back, and that no counter jumps unannounced.
    pub(super) fn assert_once(&self, case: &str) {
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

pub(super) fn only(pid: u16, mut packets: Vec<Packet>) -> Vec<Packet> {
    packets.retain(|packet| TsPacket::new(packet).pid() == pid);
    packets
}

/// A line that has gone on with video while its sound still repeats what was sent.
pub(super) fn resuming() -> Line {
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
pub(super) fn switched(first: &Broadcast, next: &Broadcast) -> Line {
    let mut line = Line::new(first);
    let mut minute = first.between(0, MINUTE_MS);
    minute.pop();
    line.take(&minute);
    line.switch(next);
    line
}

pub(super) const VIDEO: u16 = 0x31;

pub(super) const AUDIO: u16 = 0x32;

pub(super) const OTHER: u16 = 0x33;

pub(super) const CLOCK: u16 = 0x34;

pub(super) const MINUTE_MS: i64 = 60_000;

pub(super) const PATIENCE_US: u64 = 30_000_000;
