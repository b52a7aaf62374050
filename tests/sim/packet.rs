//! The simulated upstream's packets, written from the standard and not with the code under test. (pure)
//!
//! It lays out bytes; what is sent when is `upstream.rs`. Two rules: each packet ends with its number, so that it is
//! known wherever it turns up; and no byte but the first is a sync byte, so that what is lost with a torn packet is
//! not a matter of luck.

pub(crate) type Packet = [u8; PACKET_BYTES];

/// What kind of packet to lay out.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) pid: u16,
    pub(crate) counter: u8,
    pub(crate) begins_unit: bool,
    pub(crate) is_random_access: bool,
    pub(crate) pcr: Option<u64>,
    /// What the payload begins with; `None` is a packet without payload.
    pub(crate) payload: Option<Vec<u8>>,
}

impl Layout {
    pub(crate) fn build(&self, number: usize) -> Packet {
        let [high, low] = self.pid.to_be_bytes();
        let mut bytes = vec![SYNC, high | u8::from(self.begins_unit) << 6, low];
        let mut field = Vec::new();
        if self.is_random_access || self.pcr.is_some() || self.payload.is_none() {
            field.push(u8::from(self.is_random_access) << 6 | u8::from(self.pcr.is_some()) << 4);
        }
        if let Some(pcr) = self.pcr {
            let word = ((pcr / 300) << 15) | (0x3F << 9) | (pcr % 300);
            field.extend_from_slice(&word.to_be_bytes()[2..]);
        }
        let has_field = u8::from(!field.is_empty()) << 5;
        let has_payload = u8::from(self.payload.is_some()) << 4;
        bytes.push(has_field | has_payload | self.counter);
        if self.payload.is_none() {
            field.resize(183, 0xFF);
        }
        if !field.is_empty() {
            bytes.push(u8::try_from(field.len()).unwrap());
            bytes.extend_from_slice(&field);
        }
        bytes.extend_from_slice(self.payload.as_deref().unwrap_or_default());
        bytes.resize(PACKET_BYTES, 0xFF);
        bytes[NUMBER_AT..].copy_from_slice(&code(number));
        bytes.try_into().unwrap()
    }
}

/// The number in a packet, if it carries one.
pub(crate) fn number_in(packet: &Packet) -> Option<usize> {
    let mut number = 0;
    for byte in &packet[NUMBER_AT..] {
        if *byte >> 4 != 8 {
            return None;
        }
        number = number << 4 | u64::from(byte & 0x0F);
    }
    usize::try_from(number).ok()
}

/// The base of the clock reference in a packet, if it carries one.
pub(crate) fn clock_in(packet: &Packet) -> Option<u64> {
    let has_clock = packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
    let word = packet[6..10]
        .iter()
        .fold(0, |word, byte| word << 8 | u64::from(*byte));
    has_clock.then_some(word << 1 | u64::from(packet[10] >> 7))
}

pub(crate) fn pid_of(packet: &Packet) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1F, packet[2]])
}

/// The counter that a packet announces, if all it does is to announce a jump of the counter.
pub(crate) fn announced(packet: &Packet) -> Option<u8> {
    let is_announcement = packet[3] >> 4 == 2
        && packet[4..6] == [183, 0x80]
        && packet[6..].iter().all(|byte| *byte == 0xFF);
    is_announcement.then_some(packet[3] & 0x0F)
}

/// The payload of a PAT with one program.
pub(crate) fn pat(pmt_pid: u16) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend_from_slice(&(pmt_pid | 0xE000).to_be_bytes());
    (1..)
        .map(|stream_id| [&[0], section(0x00, stream_id, &body).as_slice()].concat())
        .find(|payload| !payload.contains(&SYNC))
        .unwrap()
}

/// The payloads of a PMT: one packet, or two if it `is_long`, the first of which will carry `number`.
pub(crate) fn pmt(
    pcr_pid: u16,
    streams: &[(u8, u16)],
    is_long: bool,
    number: usize,
) -> Vec<Vec<u8>> {
    let mut spare = vec![0xFF; if is_long { 200 } else { 3 }];
    if is_long {
        // The section begins behind the packet's header and the pointer.
        let at = NUMBER_AT - HEADER_BYTES - 1 - PMT_HEAD_BYTES;
        spare[at..at + 16].copy_from_slice(&code(number));
    }
    let payload = (0..=u8::MAX)
        .filter(|byte| *byte != SYNC)
        .map(|byte| {
            spare[0] = byte;
            let mut body = (pcr_pid | 0xE000).to_be_bytes().to_vec();
            body.extend_from_slice(&(u16::try_from(spare.len()).unwrap() | 0xF000).to_be_bytes());
            body.extend_from_slice(&spare);
            for (kind, pid) in streams {
                body.push(*kind);
                body.extend_from_slice(&(pid | 0xE000).to_be_bytes());
                body.extend_from_slice(&[0xF0, 0]);
            }
            [&[0], section(0x02, 1, &body).as_slice()].concat()
        })
        .find(|payload| !payload.contains(&SYNC))
        .unwrap();
    payload
        .chunks(PACKET_BYTES - HEADER_BYTES)
        .map(<[u8]>::to_vec)
        .collect()
}

/// Sixteen bytes for a number, none of which can be a sync byte or stuffing.
fn code(number: usize) -> [u8; 16] {
    let number = u64::try_from(number).unwrap();
    std::array::from_fn(|index| 0x80 | u8::try_from(number >> (60 - 4 * index) & 0x0F).unwrap())
}

fn section(table_id: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![table_id];
    bytes.extend_from_slice(&(u16::try_from(body.len() + 9).unwrap() | 0xB000).to_be_bytes());
    bytes.extend_from_slice(&extension.to_be_bytes());
    bytes.extend_from_slice(&[0xC1, 0, 0]);
    bytes.extend_from_slice(body);
    let mut crc = u32::MAX;
    for byte in &bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
        }
    }
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

pub(crate) const PACKET_BYTES: usize = 188;
pub(crate) const SYNC: u8 = 0x47;
pub(crate) const PAT_PID: u16 = 0;
pub(crate) const NULL_PID: u16 = 0x1FFF;

const HEADER_BYTES: usize = 4;
const NUMBER_AT: usize = PACKET_BYTES - 16;

/// What stands in a PMT section before its program descriptors.
const PMT_HEAD_BYTES: usize = 12;
