//! What `picture.rs` promises, tried.

use super::*;
use crate::ts::fixture::h264::{DELIMITER, IDR, PPS, RECOVERY, SLICE, SPS};
use crate::ts::fixture::{Dice, escaped, pes, pes_with_options, units as stream};

fn scan(syntax: Syntax, payloads: &[&[u8]]) -> (Picture, Option<Vec<u8>>) {
    let mut scan = PictureScan::new();
    scan.begin(syntax);
    let mut picture = Picture::Unknown;
    for payload in payloads {
        picture = scan.take(payload);
    }
    (picture, scan.sequence().map(<[u8]>::to_vec))
}

fn picture(syntax: Syntax, units: &[&[u8]]) -> Picture {
    scan(syntax, &[&pes(&stream(units))]).0
}

#[test]
fn h264_tells_at_its_first_slice() {
    let h264 = |units: &[&[u8]]| picture(Syntax::H264, units);
    assert_eq!(h264(&[DELIMITER, SPS, PPS, IDR]), Picture::Key);
    assert_eq!(h264(&[DELIMITER, SLICE, IDR]), Picture::Dependent);
    assert_eq!(h264(&[IDR]), Picture::Key);
    assert_eq!(h264(&[DELIMITER, SPS, PPS]), Picture::Unknown);
    for kind in 0..32 {
        let expected = match kind {
            5 => Picture::Key,
            1..=4 => Picture::Dependent,
            _ => Picture::Unknown,
        };
        assert_eq!(h264(&[&[0x60 | kind, 0x80]]), expected, "type {kind}");
    }
}

#[test]
fn hevc_begins_at_every_picture_that_needs_none_before_it() {
    for kind in 0..64 {
        let expected = match kind {
            16..=21 => Picture::Key,
            0..=31 => Picture::Dependent,
            _ => Picture::Unknown,
        };
        let units: [&[u8]; 2] = [&[35 << 1, 1, 0x50], &[kind << 1, 1, 0x80]];
        assert_eq!(picture(Syntax::Hevc, &units), expected, "type {kind}");
    }
}

#[test]
fn mpeg_begins_at_a_sequence_header_and_not_at_a_group_of_pictures() {
    let mpeg = |units: &[&[u8]]| picture(Syntax::Mpeg, units);
    assert_eq!(mpeg(&[&[0xB3, 0x16, 0x01]]), Picture::Key);
    assert_eq!(
        mpeg(&[&[0xB8, 0x00, 0x08], &[0x00, 0x00]]),
        Picture::Dependent
    );
    assert_eq!(mpeg(&[&[0x00, 0x01], &[0xB3, 0x16]]), Picture::Dependent);
    assert_eq!(mpeg(&[&[0xAF, 0x01]]), Picture::Dependent, "a slice");
    assert_eq!(mpeg(&[&[0xB8, 0x00, 0x08]]), Picture::Unknown);
}

#[test]
fn a_recovery_point_counts_with_the_parameter_set_it_needs() {
    let h264 = |units: &[&[u8]]| picture(Syntax::H264, units);
    assert_eq!(h264(&[SPS, RECOVERY, SLICE]), Picture::Recovery);
    assert_eq!(h264(&[RECOVERY, SPS, SLICE]), Picture::Recovery);
    assert_eq!(h264(&[RECOVERY, SLICE]), Picture::Dependent);
    assert_eq!(h264(&[SPS, SLICE]), Picture::Dependent);
    assert_eq!(h264(&[SPS, RECOVERY, IDR]), Picture::Key);
    let hevc: [&[u8]; 3] = [
        &[33 << 1, 1, 0x42],
        &[39 << 1, 1, 0x06, 0x02, 0x9A, 0x80],
        &[1 << 1, 1, 0x80],
    ];
    assert_eq!(picture(Syntax::Hevc, &hevc), Picture::Recovery);
}

#[test]
fn a_recovery_point_is_found_behind_other_messages_and_nowhere_else() {
    let long = [&[5, 0xFF, 45][..], &[6; 300]].concat();
    let zeros = [&[5, 6][..], &[0, 0, 1, 0, 0, 6]].concat();
    let huge_kind = [&[0xFF, 6][..], &[1, 6]].concat();
    let recovery = &[6, 1, 0xC4, 0x80][..];
    for (messages, expected) in [
        (vec![&[1, 2, 6, 6][..], recovery], Picture::Recovery),
        (vec![&[0, 0], recovery], Picture::Recovery),
        (vec![&long, recovery], Picture::Recovery),
        (vec![&zeros, recovery], Picture::Recovery),
        (vec![&huge_kind, recovery], Picture::Recovery),
        (vec![&long, &[0x80]], Picture::Dependent),
        (vec![&zeros, &[0x80]], Picture::Dependent),
        (vec![&huge_kind, &[0x80]], Picture::Dependent),
        (vec![&[0xFF, 0xFF], &[0xFF, 0xFF, 6]], Picture::Dependent),
    ] {
        let sei = [&[0x06][..], &escaped(&messages.concat())].concat();
        let seen = picture(Syntax::H264, &[SPS, &sei, SLICE]);
        assert_eq!(seen, expected, "{sei:?}");
    }
}

#[test]
fn a_parameter_set_comes_out_whole_and_without_what_follows() {
    let bytes = pes(&[&stream(&[SPS])[..], &[0, 0], &stream(&[PPS, IDR])].concat());
    assert_eq!(scan(Syntax::H264, &[&bytes]).1.as_deref(), Some(SPS));
    let other: &[u8] = &[0x67, 0x64, 0x00, 0x1F];
    let twice = pes(&stream(&[SPS, other, PPS, IDR]));
    assert_eq!(scan(Syntax::H264, &[&twice]).1.as_deref(), Some(SPS));
    let cut = pes(&stream(&[SPS]));
    assert_eq!(scan(Syntax::H264, &[&cut]).1, None, "its end was not seen");
}

#[test]
fn an_mpeg_sequence_header_comes_with_its_extensions() {
    let header: &[u8] = &[0xB3, 0x2D, 0x02, 0x40, 0x33, 0x24, 0x9F, 0x23, 0x00];
    let extension: &[u8] = &[0xB5, 0x14, 0x82, 0x00, 0x01, 0x00, 0x00];
    let units = stream(&[header, extension, &[0xB8, 0x00], &[0x00, 0x0F]]);
    let (picture, sequence) = scan(Syntax::Mpeg, &[&pes(&units)]);
    let expected = [&header[1..], &[0, 0, 1], extension, &[0, 0]].concat();
    assert_eq!(picture, Picture::Key);
    assert_eq!(sequence, Some(expected));
}

#[test]
fn a_parameter_set_without_end_is_kept_up_to_a_bound() {
    let long = [SPS, &[0x55; 5 * SEQUENCE_BYTES_MAX]].concat();
    let bytes = pes(&stream(&[&long, IDR]));
    let (picture, sequence) = scan(Syntax::H264, &[&bytes]);
    assert_eq!(picture, Picture::Key);
    assert_eq!(sequence.unwrap(), long[..SEQUENCE_BYTES_MAX]);
}

#[test]
fn cuts_do_not_matter() {
    let mpeg: [&[u8]; 4] = [&[0xB3, 1, 0, 0], &[0xB5, 0x14, 0], &[0xB8, 0], &[0, 1]];
    let hevc: [&[u8]; 4] = [
        &[33 << 1, 1, 0x42, 0, 0, 3, 0],
        &[39 << 1, 1, 1, 3, 0, 0, 3, 6, 6, 1, 0xC4],
        &[1 << 1, 1],
        &[19 << 1, 1],
    ];
    for (syntax, units) in [
        (Syntax::H264, stream(&[DELIMITER, SPS, PPS, IDR, SLICE])),
        (Syntax::H264, stream(&[RECOVERY, SPS, PPS, SLICE, IDR])),
        (Syntax::Hevc, stream(&hevc)),
        (Syntax::Mpeg, stream(&mpeg)),
    ] {
        let bytes = pes_with_options(17, &units);
        let whole = scan(syntax, &[&bytes]);
        assert_ne!(whole.0, Picture::Unknown);
        assert!(whole.1.is_some());
        for at in 0..bytes.len() {
            let (front, rest) = bytes.split_at(at);
            assert_eq!(scan(syntax, &[front, rest]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(scan(syntax, &single), whole);
    }
}

#[test]
fn the_header_of_a_pes_packet_is_read_over_however_long_it_is() {
    for options in 0..=255 {
        let bytes = pes_with_options(options, &stream(&[IDR]));
        assert_eq!(scan(Syntax::H264, &[&bytes]).0, Picture::Key, "{options}");
    }
    // What looks like a start code in the header is none.
    let mut bytes = pes_with_options(20, &stream(&[SLICE]));
    bytes[14..18].copy_from_slice(&[0, 0, 1, 0x65]);
    assert_eq!(scan(Syntax::H264, &[&bytes]).0, Picture::Dependent);
}

#[test]
fn what_is_no_pes_packet_is_not_read() {
    let right = pes(&stream(&[IDR]));
    for (at, wrong) in [
        (0, 1),
        (1, 1),
        (2, 0),
        (3, 0xBE),
        (3, 0xBF),
        (6, 0x00),
        (6, 0xFF),
    ] {
        let mut bytes = right.clone();
        bytes[at] = wrong;
        assert_eq!(
            scan(Syntax::H264, &[&bytes]).0,
            Picture::Dependent,
            "{wrong:#x} at {at}"
        );
    }
    let mut scan = PictureScan::new();
    assert_eq!(scan.take(&right), Picture::Dependent, "nothing has begun");
    assert!(!scan.is_reading());
}

#[test]
fn reading_ends_with_the_first_slice() {
    let mut scan = PictureScan::new();
    scan.begin(Syntax::H264);
    assert_eq!(scan.take(&pes(&stream(&[DELIMITER]))), Picture::Unknown);
    assert!(scan.is_reading());
    assert_eq!(scan.take(&stream(&[SLICE])), Picture::Dependent);
    assert!(!scan.is_reading());
    assert_eq!(scan.take(&stream(&[IDR])), Picture::Dependent);
}

#[test]
fn any_bytes_in_any_cut_are_answered_alike() {
    let mut dice = Dice::new(5);
    for _ in 0..3_000 {
        let mut video = vec![0; dice.below(400)];
        dice.fill(&mut video);
        video.iter_mut().for_each(|byte| {
            if *byte > 40 {
                *byte %= 8;
            }
        });
        let syntax = [Syntax::H264, Syntax::Hevc, Syntax::Mpeg][dice.below(3)];
        let bytes = pes(&video);
        let cut = dice.below(bytes.len() + 1);
        let (front, rest) = bytes.split_at(cut);
        assert_eq!(scan(syntax, &[&bytes]), scan(syntax, &[front, rest]));
    }
}
