//! Whether the bytes somebody received are what was due to him. (pure)
//!
//! It reads packets with their numbers and knows nothing of chunks, rings and cursors. The rule it protects: what a
//! viewer has is whole packets in order, it misses nothing but what was counted as skipped, and its decoder is told
//! of each jump of a continuity counter that is not the upstream's own loss.

use std::collections::BTreeMap;

use crate::model::{self, Due};
use crate::packet::{self, NULL_PID, PACKET_BYTES, Packet, SYNC};
use crate::upstream::{Kind, Sent, Upstream};

/// What was sent and what of it is due.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) upstream: Upstream,
    pub(crate) due: Vec<Due>,
    /// Shape: by number of the packet.
    index: Vec<Option<usize>>,
    /// Bytes of the channel before each due packet, once they were published.
    pub(crate) positions: Vec<u64>,
}

impl Course {
    pub(crate) fn new(upstream: Upstream) -> Self {
        let due = model::due(&upstream);
        Self {
            index: model::index(&upstream, &due),
            positions: Vec::new(),
            upstream,
            due,
        }
    }

    /// Asserts that the published bytes are all that is due and what announces it, and notes where each packet is.
    pub(crate) fn publish(&mut self, bytes: &[u8]) {
        let mut reader = Reader::new(self);
        bytes
            .as_chunks()
            .0
            .iter()
            .for_each(|packet| reader.take(packet));
        let positions = reader.positions;
        assert_eq!(
            bytes.len() % PACKET_BYTES,
            0,
            "published bytes are whole packets"
        );
        assert_eq!(
            positions.len(),
            self.due.len(),
            "everything that is due is published"
        );
        self.positions = positions;
    }

    /// Asserts that a viewer received what was due to it; its bytes may end after any packet.
    pub(crate) fn judge(&self, bytes: &[u8], marks: &[Mark]) {
        assert_eq!(
            bytes.len() % PACKET_BYTES,
            0,
            "a viewer's bytes end with a packet"
        );
        let mut reader = Reader::new(self);
        let mut marks = marks.iter().peekable();
        for (index, packet) in bytes.as_chunks().0.iter().enumerate() {
            while let Some(mark) = marks.next_if(|mark| mark.at <= index * PACKET_BYTES) {
                assert_eq!(
                    mark.at,
                    index * PACKET_BYTES,
                    "a record begins between packets"
                );
                reader.mark(mark);
            }
            reader.take(packet);
        }
    }
}

/// Where in a viewer's bytes a join record begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) at: usize,
    /// Bytes of the channel before the join point.
    pub(crate) to: u64,
    /// What was counted as skipped, unless the viewer begins here.
    pub(crate) skipped: Option<u64>,
}

/// Reads a viewer's packets one by one, as its decoder does.
struct Reader<'a> {
    course: &'a Course,
    demux: Demux,
    /// Index of the packet that is due next; unknown until the first.
    next: Option<usize>,
    /// Bytes of the channel before what comes next.
    at: u64,
    lead: Option<Lead>,
    positions: Vec<u64>,
}

/// Packets in front of a join point, or of a PID that was last seen from elsewhere.
struct Lead {
    /// It is a join record and not part of the channel.
    is_record: bool,
    tables: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(course: &'a Course) -> Self {
        Self {
            course,
            demux: Demux::default(),
            next: Some(0),
            at: 0,
            lead: None,
            positions: Vec::new(),
        }
    }

    fn mark(&mut self, mark: &Mark) {
        match mark.skipped {
            Some(skipped) => assert_eq!(mark.to - self.at, skipped, "the gap is what was counted"),
            None => self.next = None,
        }
        self.at = mark.to;
        let (is_record, tables) = (true, Vec::new());
        self.lead = Some(Lead { is_record, tables });
    }

    fn take(&mut self, packet: &Packet) {
        assert_eq!(packet[0], SYNC, "a packet begins where one has to");
        if let Some(counter) = packet::announced(packet) {
            self.demux.announce(packet::pid_of(packet), counter);
            let lead = self.lead.get_or_insert(Lead {
                is_record: false,
                tables: Vec::new(),
            });
            self.at += if lead.is_record {
                0
            } else {
                PACKET_BYTES as u64
            };
            return;
        }
        let number = packet::number_in(packet).unwrap();
        let sent = &self.course.upstream.packets[number];
        assert!(*packet == sent.bytes, "packet {number} is as it was sent");
        let index = self.course.index[number];
        let index = index.filter(|index| self.is_reached(*index));
        self.demux.take(sent);
        match (index, &mut self.lead) {
            (Some(index), _) => self.deliver(index),
            (None, Some(lead)) => {
                let is_table = matches!(sent.kind, Kind::Pat | Kind::Pmt { .. });
                assert!(is_table, "packet {number} is no table and not due");
                lead.tables.push(number);
                self.at += if lead.is_record {
                    0
                } else {
                    PACKET_BYTES as u64
                };
            }
            (None, None) => panic!("packet {number} is not due, but {:?} is", self.next),
        }
    }

    /// Whether the packet is the one to come, after what led to it.
    fn is_reached(&self, index: usize) -> bool {
        let Some(due) = self.course.due.get(index) else {
            return false;
        };
        let is_next = self.next == Some(index);
        match &self.lead {
            None => is_next && !due.is_splice,
            Some(lead) if lead.is_record => due.tables.as_ref() == Some(&lead.tables),
            Some(lead) if due.is_splice => is_next && due.tables.as_ref() == Some(&lead.tables),
            Some(lead) => is_next && due.is_first_of_pid && lead.tables.is_empty(),
        }
    }

    fn deliver(&mut self, index: usize) {
        assert!(
            self.next.is_none_or(|next| index >= next),
            "{index} is not repeated"
        );
        match self.course.positions.get(index) {
            Some(position) => assert_eq!(*position, self.at, "{index} is where the viewer is"),
            None => self.positions.push(self.at),
        }
        self.next = Some(index + 1);
        self.at += PACKET_BYTES as u64;
        self.lead = None;
    }
}

/// The continuity counters as a decoder sees them.
#[derive(Default)]
struct Demux(BTreeMap<u16, Seen>);

#[derive(Clone, Copy)]
enum Seen {
    Announced(u8),
    Packet {
        fetch: usize,
        ordinal: usize,
        counter: u8,
    },
}

impl Demux {
    fn announce(&mut self, pid: u16, counter: u8) {
        self.0.insert(pid, Seen::Announced(counter));
    }

    fn take(&mut self, sent: &Sent) {
        if sent.pid == NULL_PID {
            return;
        }
        let has_payload = sent.kind != Kind::Clock;
        let counter = sent.bytes[3] & 0x0F;
        let before = self.0.get(&sent.pid).copied();
        let last = match before {
            None => None,
            Some(Seen::Announced(counter)) => Some(counter),
            Some(Seen::Packet {
                fetch,
                ordinal,
                counter,
            }) => {
                assert_eq!(fetch, sent.fetch, "PID {} changes unannounced", sent.pid);
                let missing = sent.ordinal - ordinal - usize::from(has_payload);
                assert!(
                    missing <= sent.torn_before,
                    "{missing} packets of PID {} are missing unannounced",
                    sent.pid
                );
                Some(counter)
            }
        };
        if let Some(last) = last {
            let jump = counter
                .wrapping_sub(last)
                .wrapping_sub(u8::from(has_payload))
                & 0x0F;
            assert!(
                usize::from(jump) <= sent.torn_before,
                "the counter of PID {} jumps by {jump} although announced",
                sent.pid
            );
        }
        if has_payload {
            let (fetch, ordinal) = (sent.fetch, sent.ordinal);
            self.0.insert(
                sent.pid,
                Seen::Packet {
                    fetch,
                    ordinal,
                    counter,
                },
            );
        }
    }
}
