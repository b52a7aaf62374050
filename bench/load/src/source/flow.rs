//! What one connection is sent next: a window on its channel's broadcast, with the faults asked for. (pure)
//!
//! Sockets belong in `connection.rs`. The rule: packets that many connections get at the same moment are made once, with
//! the time of that moment; what a connection gets later than the others still bears the time it was due.

use std::time::Duration;

use corecast_load::packets::{PACKET_BYTES, Source};

use super::fault::Fault;

/// One channel: its packets as they go on air, piece by piece.
pub(crate) struct Broadcast {
    source: Source,
    /// How long packet 0 had been on air when the clock began: a source that is started again goes on with the same
    /// broadcast.
    past: Duration,
    piece_packets: u64,
    /// The newest pieces, so that connections share them.
    recent: Vec<u8>,
    /// The first packet that is not on air yet.
    head: u64,
    /// How many connections it has had.
    openings: u64,
    /// How many it has; with none, nothing is made.
    readers: u64,
}

impl Broadcast {
    /// A broadcast that has been on air for a while at `now`, its pieces `shift` later than those of others.
    pub(crate) fn new(source: Source, piece_bytes: usize, now: Duration, shift: Duration) -> Self {
        let packets = u64::try_from(piece_bytes / PACKET_BYTES).unwrap_or(1);
        let packets_in_time = source.index_at(PIECE_TIME_MAX);
        let piece_packets = packets.min(packets_in_time).max(1);
        let mut broadcast = Self {
            source,
            past: PAST.saturating_sub(shift),
            piece_packets,
            recent: Vec::new(),
            head: 0,
            openings: 0,
            readers: 0,
        };
        broadcast.head = broadcast.on_air(now);
        broadcast
    }

    /// Puts on air what is due; says how late the newest piece is.
    pub(crate) fn air(&mut self, now: Duration) -> Option<Duration> {
        let due = self.on_air(now);
        if due <= self.head {
            return None;
        }
        // After a long sleep the oldest of what is due would not be kept anyway.
        let kept = if self.readers == 0 {
            0
        } else {
            u64::try_from(RECENT_BYTES_MAX / PACKET_BYTES).unwrap_or(0)
        };
        if due - self.head > kept {
            self.recent.clear();
            self.head = due - kept;
        }
        for index in self.head..due {
            let packet = self.source.packet_sent(index, now);
            self.recent.extend_from_slice(&packet);
        }
        self.head = due;
        let excess = self.recent.len().saturating_sub(RECENT_BYTES_MAX);
        self.recent.drain(..excess.next_multiple_of(PACKET_BYTES));
        Some(now.saturating_sub(self.due(due)))
    }

    /// When the next piece goes on air.
    pub(crate) fn next_due(&self) -> Duration {
        self.due(self.head + self.piece_packets)
    }

    /// Notes that a connection left.
    pub(crate) fn leave(&mut self) {
        self.readers = self.readers.saturating_sub(1);
    }

    /// The source that it sends.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// The first packet that is not on air at `now`; whole pieces go on air at once.
    fn on_air(&self, now: Duration) -> u64 {
        let index = self.source.index_at(now + self.past);
        index - index % self.piece_packets
    }

    /// When the packets before `index` are all on air.
    fn due(&self, index: u64) -> Duration {
        self.source.due(index).saturating_sub(self.past)
    }

    /// Appends packet `index` as it was sent, or as it would have been.
    fn put(&self, index: u64, now: Duration, bytes: &mut Vec<u8>) {
        let back = usize::try_from(self.head.saturating_sub(index)).unwrap_or(usize::MAX);
        let place = back
            .checked_mul(PACKET_BYTES)
            .and_then(|back| self.recent.len().checked_sub(back));
        let made = place.and_then(|place| self.recent.get(place..place + PACKET_BYTES));
        match made {
            Some(packet) => bytes.extend_from_slice(packet),
            None => bytes.extend(self.source.packet_sent(index, now.min(self.due(index)))),
        }
    }
}

/// What one connection has had and gets next.
pub(crate) struct Flow {
    /// Which broadcast, from 0.
    pub(crate) channel: usize,
    framing: Framing,
    pace: Pace,
    faults: Vec<Fault>,
    opened: Duration,
    next: u64,
    random: fastrand::Rng,
    is_over: bool,
}

impl Flow {
    /// Opens a window on `broadcast` at `now`.
    pub(crate) fn new(
        channel: usize,
        broadcast: &mut Broadcast,
        framing: Framing,
        pace: Pace,
        faults: Vec<Fault>,
        now: Duration,
    ) -> Self {
        let is_first = broadcast.openings == 0;
        broadcast.openings += 1;
        broadcast.readers += 1;
        let behind = faults.iter().find_map(|fault| match fault {
            Fault::Overlap { behind } if !is_first => Some(*behind),
            _ => None,
        });
        let back = broadcast.source.index_at(behind.unwrap_or_default());
        let next = broadcast.head.saturating_sub(back);
        Self {
            channel,
            framing,
            pace,
            faults,
            opened: now,
            next,
            random: fastrand::Rng::with_seed(broadcast.openings),
            is_over: false,
        }
    }

    /// Appends what is to be sent at `now`, at most some 64 KiB; says how the connection goes on.
    pub(crate) fn fill(&mut self, from: &Broadcast, now: Duration, bytes: &mut Vec<u8>) -> Next {
        if self.is_over {
            return Next::Close;
        }
        let (age, filled) = (now.saturating_sub(self.opened), bytes.len());
        let mut end = None;
        let mut limit = match self.pace {
            Pace::Broadcast => from.head,
            Pace::Taken => u64::MAX,
        };
        for fault in &self.faults {
            match *fault {
                Fault::Stall { after, length }
                    if age >= after && length.is_none_or(|length| age < after + length) =>
                {
                    return Next::Wait;
                }
                Fault::Cut { after } if age >= after => end = Some(Next::Close),
                Fault::Reset { after } if age >= after => end = Some(Next::Reset),
                Fault::Burst { ahead } => limit = limit.max(from.on_air(self.opened + ahead)),
                _ => {}
            }
        }
        let mut media = Vec::with_capacity(FILL_BYTES + 2 * PACKET_BYTES);
        while self.next < limit && media.len() < FILL_BYTES {
            self.packet(from, now, &mut media);
        }
        if let Some(end) = end {
            // Half a packet more, as when a wire is cut.
            from.put(self.next, now, &mut media);
            media.truncate(media.len() - PACKET_BYTES / 2);
            self.is_over = true;
            self.frame(&media, bytes);
            return end;
        }
        self.frame(&media, bytes);
        if self.is_over {
            Next::Close
        } else if bytes.len() == filled {
            Next::Wait
        } else {
            Next::Send
        }
    }

    /// Appends the next packet, or what takes its place.
    fn packet(&mut self, from: &Broadcast, now: Duration, media: &mut Vec<u8>) {
        let index = self.next;
        self.next += 1;
        for fault in &self.faults {
            match *fault {
                Fault::Junk { every } if index.is_multiple_of(every) => {
                    let length = self.random.usize(1..300);
                    media.extend((0..length).map(|_| self.random.u8(0x80..)));
                }
                Fault::Omit { every } if index % every == every / 2 => return,
                _ => {}
            }
        }
        match self.pace {
            Pace::Broadcast => from.put(index, now, media),
            Pace::Taken => media.extend(from.source.packet_sent(index, now)),
        }
    }

    /// Appends media in the framing of this body, and its end where there is one.
    fn frame(&mut self, media: &[u8], bytes: &mut Vec<u8>) {
        match &mut self.framing {
            Framing::Chunked if !media.is_empty() => {
                bytes.extend(format!("{:x}\r\n", media.len()).bytes());
                bytes.extend_from_slice(media);
                bytes.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => {}
            Framing::Close => bytes.extend_from_slice(media),
            Framing::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX);
                let media = media.get(..length).unwrap_or(media);
                bytes.extend_from_slice(media);
                *left -= media.len() as u64;
                self.is_over |= *left == 0;
            }
        }
    }
}

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send what there is, then close.
    Close,
    /// Send what there is, then reset.
    Reset,
    /// Send, then ask again.
    Send,
    /// Nothing now.
    Wait,
}

/// How fast media comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As it goes on air.
    Broadcast,
    /// As fast as it is taken.
    Taken,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    Close,
    /// A length, of which this much is left.
    Length(u64),
}

/// How long every broadcast has been on air when the machine starts, so that there is a past to begin in.
const PAST: Duration = Duration::from_secs(2000);
/// Pieces of a low bitrate are no longer than this.
const PIECE_TIME_MAX: Duration = Duration::from_millis(40);
const RECENT_BYTES_MAX: usize = 1393 * PACKET_BYTES;
/// One fill ends when it has this much.
const FILL_BYTES: usize = 65_536;

#[cfg(test)]
mod tests;
