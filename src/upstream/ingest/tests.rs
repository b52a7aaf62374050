//! What is published of a fetch that is cut, and when what waits is due.

use std::rc::Rc;

use super::*;
use crate::channel::id::ChannelId;
use crate::config::Stream;
use crate::metrics::ChannelCounters;
use crate::shard::feed::Message;
use crate::ts::fixture::h264::{IDR, SLICE, SPS};
use crate::ts::fixture::{PacketMaker, pat, pes, pmt, units};

type Packet = [u8; PACKET_BYTES];

const VIDEO: u16 = 0x31;

fn tables() -> Vec<Packet> {
    let streams = [(0x1B, VIDEO), (0x0F, 0x32)];
    vec![pat(0, &[(1, 0x30)]), pmt(0x30, 0, 1, VIDEO, &streams)]
}

/// A picture over three packets of the video, with sound in between.
fn picture(counter: u8, slice: &[u8]) -> Vec<Packet> {
    let video = |counter, bytes: &[u8]| PacketMaker::new(VIDEO).counter(counter).exactly(bytes);
    vec![
        video(counter, &pes(&units(&[SPS]))).unit_start().build(),
        PacketMaker::new(0x32).counter(counter).build(),
        video(counter + 1, &units(&[slice])).build(),
    ]
}

fn take(ingest: &mut Ingest, home: &Home, packets: &[Packet], now_us: u64) {
    let bytes = packets.concat();
    ingest.room().unwrap()[..bytes.len()].copy_from_slice(&bytes);
    ingest.take(home, bytes.len(), now_us, |_| {}).unwrap();
}

/// All that was published, and at which byte each join point begins.
fn published(home: &Home) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut joins) = (Vec::new(), Vec::new());
    home.subscribe(0, home.id, 1);
    home.publish(|_, message| {
        if let Message::Chunks { chunks, .. } = message {
            for chunk in chunks {
                joins.extend(chunk.join.as_ref().map(|_| bytes.len()));
                bytes.extend_from_slice(chunk.extent.as_slice());
            }
        }
        Ok(())
    });
    (bytes, joins)
}

#[test]
fn what_was_held_for_a_start_that_is_none_is_never_published() {
    let id = ChannelId::Configured(7);
    let counters = Rc::new(ChannelCounters::default());
    let home = Home::new(id, "seven", Stream::default(), Vec::new(), counters);
    let mut ingest = Ingest::new(&home).unwrap();
    let first = [tables(), picture(0, IDR), picture(2, SLICE)].concat();
    take(&mut ingest, &home, &first, 0);
    ingest.cut(&home, 5).unwrap();
    take(&mut ingest, &home, &tables(), 100_000);
    take(&mut ingest, &home, &picture(0, SLICE), 100_000);
    take(&mut ingest, &home, &picture(2, IDR)[..2], 100_000);
    assert_eq!(ingest.due_us(), Some(140_000), "for the packet behind");
    assert!(!ingest.age(&home, 150_000).unwrap());
    assert_eq!(ingest.due_us(), None, "nobody waits for what is undecided");
    assert!(!ingest.has_joined());
    let rest = [&picture(2, IDR)[2..], &picture(4, SLICE)].concat();
    take(&mut ingest, &home, &rest, 150_000);
    ingest.cut(&home, 150_005).unwrap();
    take(&mut ingest, &home, &tables(), 200_000);
    take(&mut ingest, &home, &picture(0, IDR)[..2], 200_000);
    ingest.cut(&home, 200_005).unwrap();
    take(&mut ingest, &home, &tables(), 300_000);
    take(&mut ingest, &home, &picture(6, IDR), 300_000);
    ingest.cut(&home, 300_005).unwrap();

    let (bytes, joins) = published(&home);
    let second = [picture(2, IDR), picture(4, SLICE)].concat().concat();
    let (first, third) = (first.concat(), picture(6, IDR).concat());
    assert_eq!(joins[0], 2 * PACKET_BYTES);
    assert_eq!(bytes[..first.len()], first);
    assert_eq!(bytes[joins[1]..][..second.len()], second);
    assert_eq!(bytes[joins[2]..], third);
    let splices = [first.len()..joins[1], joins[1] + second.len()..joins[2]];
    for splice in splices {
        let packets = bytes[splice].as_chunks::<PACKET_BYTES>().0;
        let has_payload = packets.iter().map(|it| TsPacket::new(it).has_payload());
        assert_eq!(has_payload.filter(|it| *it).count(), 2, "PAT and PMT");
    }
}
