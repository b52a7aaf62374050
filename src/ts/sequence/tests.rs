//! What `sequence.rs` promises, tried.

use super::*;
use crate::ts::fixture::{BitMaker, Dice, escaped};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Width, height, frames, seconds; a rate of 0 in 0 is none.
type Told = (u32, u32, u32, u32);

fn read(syntax: Syntax, bytes: &[u8]) -> Option<Told> {
    let Sequence {
        width,
        height,
        rate,
    } = Sequence::read(syntax, bytes)?;
    let (frames, seconds) = rate.map_or((0, 0), |rate| (rate.frames, rate.seconds));
    Some((width, height, frames, seconds))
}

/// Parameter sets as x264, x265 and ffmpeg 5.1 wrote them, with what ffprobe said of their videos.
const ENCODED: &[(Syntax, &str, Told)] = &[
    (
        Syntax::H264,
        "6742c01eda0280bfe5c044000003000400000300c83c58ba80",
        (640, 360, 25, 1),
    ),
    // Interlaced.
    (
        Syntax::H264,
        "674d401ef405a126c044000003000400000300c87c50aa80",
        (720, 576, 25, 1),
    ),
    (
        Syntax::H264,
        "6742c028da01e0089f97011000003e90000ea600f1832a",
        (1920, 1080, 30_000, 1_001),
    ),
    // 4:2:2 and 4:4:4.
    (
        Syntax::H264,
        "677a001eb6cb405017fc4e022000007d20001d4c01e2c5d4",
        (640, 360, 30_000, 1_001),
    ),
    (
        Syntax::H264,
        "67f4001e919680a42fe3e7c04400000fa40002ee003c58ba80",
        (642, 362, 24_000, 1_001),
    ),
    (
        Syntax::Hevc,
        "42010101600000030090000003000003003fa005020171f2e595952930bc05a02000000300200000030321",
        (640, 360, 25, 1),
    ),
    (
        Syntax::Hevc,
        "420101016000000300900000030000030078a00280802d1f5965654a4c2f016808000003000800000301e040",
        (1280, 718, 60, 1),
    ),
    // 4:2:2.
    (
        Syntax::Hevc,
        "4201010408000003009d0800000300005ab005120171c93b65959a4932bc05a020000003002000000641",
        (642, 362, 50, 1),
    ),
    (Syntax::Mpeg, "28016813ffffe0d0", (640, 360, 25, 1)),
    (
        Syntax::Mpeg,
        "2d024013ffffe018000001b5148200010000",
        (720, 576, 25, 1),
    ),
];

#[test]
fn what_encoders_write_is_understood() {
    for (syntax, hex, expected) in ENCODED {
        assert_eq!(read(*syntax, &bytes(hex)), Some(*expected), "{hex}");
    }
}

#[test]
fn a_set_that_breaks_off_tells_its_size_or_nothing() {
    for (syntax, hex, (width, height, frames, seconds)) in ENCODED {
        let whole = bytes(hex);
        let mut has_told = false;
        for length in 0..=whole.len() {
            let told = read(*syntax, &whole[..length]);
            let with_rate = (*width, *height, *frames, *seconds);
            assert!(
                told.is_none() || told == Some((*width, *height, 0, 0)) || told == Some(with_rate)
            );
            assert!(told.is_some() || !has_told);
            has_told = told.is_some();
        }
        assert!(has_told);
    }
}

/// An H.264 set of 1920x1088 up to its cropping.
fn h264_begin(profile: u32) -> BitMaker {
    BitMaker::default()
        .bits(8, 0x67)
        .bits(8, profile)
        .bits(16, 0x0028)
        .golombs(&[0])
}

#[test]
fn h264_scaling_lists_and_orders_are_read_over() {
    let mut bits = h264_begin(100).golombs(&[1, 0, 0]).bits(2, 0b01);
    for index in 0..8 {
        let size = if index < 6 { 16 } else { 64 };
        bits = match index % 3 {
            // Absent; written out; ended by a step to 0.
            0 => bits.bits(1, 0),
            1 => bits.bits(1, 1).golombs(&vec![1; size]),
            _ => bits.bits(1, 1).golombs(&[1, 2, 16]),
        };
    }
    let bits = bits
        .golombs(&[4, 1])
        .bits(1, 0)
        .golombs(&[3, 4, 2, 5, 6])
        .golombs(&[4])
        .bits(1, 0)
        .golombs(&[119, 33])
        .bits(1, 0)
        .bits(2, 0)
        .bits(1, 1)
        .golombs(&[0, 0, 0, 1])
        .bits(1, 0)
        .end();
    // Rows count fields: 34 of 16 lines, twice, less 4 lines.
    let expected = Some((1920, 1084, 0, 0));
    assert_eq!(read(Syntax::H264, &escaped(&bits)), expected);
}

#[test]
fn h264_timing_comes_behind_all_else_that_may_be_there() {
    let usability = BitMaker::default()
        .bits(1, 1)
        .bits(8, 255)
        .bits(32, 0x0010_000B)
        .bits(2, 0b11)
        .bits(1, 1)
        .bits(4, 0b1010)
        .bits(1, 1)
        .bits(24, 0x01_0101)
        .bits(1, 1)
        .golombs(&[0, 2])
        .bits(1, 1)
        .bits(32, 1)
        .bits(32, 100);
    let mut set = h264_begin(77)
        .golombs(&[0, 2, 4])
        .bits(1, 0)
        .golombs(&[44, 35])
        .bits(4, 0b1101)
        .bytes();
    // 8 + 8 + 16 + 1 + 1 + 3 + 5 + 1 + 11 + 11 + 4 bits so far.
    assert_eq!(set.len(), 9);
    let bits: Vec<u32> = usability
        .bytes()
        .iter()
        .map(|byte| u32::from(*byte))
        .collect();
    let mut all = BitMaker::default();
    for (index, byte) in set.drain(..).enumerate() {
        let count = if index == 8 { 5 } else { 8 };
        all = all.bits(count, u32::from(byte) >> (8 - count));
    }
    for byte in bits {
        all = all.bits(8, byte);
    }
    let expected = Some((720, 576, 50, 1));
    assert_eq!(read(Syntax::H264, &escaped(&all.end())), expected);
}

/// An HEVC set up to its sets of reference pictures.
fn hevc_begin(sub_layers: u32) -> BitMaker {
    let mut bits = BitMaker::default()
        .bits(16, 0x4201)
        .bits(4, 0)
        .bits(3, sub_layers)
        .bits(1, 1)
        .bits(88, 0)
        .bits(8, 120);
    for _ in 0..sub_layers {
        bits = bits.bits(2, 0b11);
    }
    if sub_layers > 0 {
        bits = bits.bits(2 * (8 - sub_layers), 0);
    }
    for _ in 0..sub_layers {
        bits = bits.bits(96, 0);
    }
    bits.golombs(&[0, 1, 1920, 1088])
        .bits(1, 1)
        .golombs(&[0, 0, 0, 4])
        .golombs(&[0, 0, 4])
        .bits(1, 1)
        .golombs(&vec![3; usize::try_from(3 * (sub_layers + 1)).unwrap()])
        .golombs(&[0, 3, 0, 3, 2, 2])
}

fn hevc_end(bits: BitMaker) -> Vec<u8> {
    let bits = bits
        .bits(1, 1)
        .golombs(&[2])
        .bits(9, 3)
        .bits(9, 5)
        .bits(2, 0b11)
        .bits(1, 1)
        .bits(4, 0)
        .bits(3, 0)
        .bits(1, 1)
        .golombs(&[0, 1, 2, 3])
        .bits(1, 1)
        .bits(32, 1_001)
        .bits(32, 60_000);
    escaped(&bits.end())
}

#[test]
fn hevc_reference_pictures_are_read_over_also_where_they_lean_on_others() {
    let bits = hevc_begin(2)
            .bits(1, 0)
            .bits(2, 0b10)
            .bits(1, 1)
            .bits(8, 0x77)
            .golombs(&[0, 2])
            .bits(1, 0)
            .golombs(&[3])
            // Written out: two before, one behind.
            .golombs(&[2, 1, 0])
            .bits(1, 1)
            .golombs(&[3])
            .bits(1, 0)
            .golombs(&[1])
            .bits(1, 1)
            // From that: four flags, the second with another behind it, so that three are left.
            .bits(1, 1)
            .bits(1, 1)
            .golombs(&[0])
            .bits(5, 0b10_011)
            // From those three: four flags again.
            .bits(1, 1)
            .bits(1, 0)
            .golombs(&[2])
            .bits(4, 0b1111);
    assert_eq!(
        read(Syntax::Hevc, &hevc_end(bits)),
        Some((1920, 1080, 60_000, 1_001))
    );
}

#[test]
fn hevc_scaling_lists_are_read_over() {
    let mut bits = hevc_begin(0).bits(2, 0b11);
    for size in 0..4 {
        for matrix in 0..if size == 3 { 2 } else { 6 } {
            bits = match (matrix % 2, size) {
                (0, _) => bits.bits(1, 0).golombs(&[0]),
                (_, 0) => bits.bits(1, 1).golombs(&[1; 16]),
                (_, 1) => bits.bits(1, 1).golombs(&[1; 64]),
                _ => bits.bits(1, 1).golombs(&[1; 65]),
            };
        }
    }
    let bits = bits.bits(2, 0).bits(1, 0).golombs(&[0]);
    assert_eq!(
        read(Syntax::Hevc, &hevc_end(bits)),
        Some((1920, 1080, 60_000, 1_001))
    );
}

#[test]
fn mpeg_2_extends_size_and_rate_and_mpeg_1_does_not() {
    let header = |intra: bool| {
        let bits = BitMaker::default()
            .bits(24, 0x78_0438)
            .bits(8, 0x37)
            .bits(30, 0);
        let bits = if intra {
            bits.bits(1, 1).bits(512, 0)
        } else {
            bits.bits(1, 0)
        };
        bits.bits(1, 0).bytes()
    };
    let extension = BitMaker::default()
        .bits(32, 0x01B5)
        .bits(4, 1)
        .bits(11, 0)
        .bits(4, 0b0110)
        .bits(22, 0)
        .bits(2, 1)
        .bits(5, 3)
        .bytes();
    let display = [0, 0, 1, 0xB5, 0x23, 5, 5, 5, 0x0F, 0, 0, 0];
    for intra in [false, true] {
        let header = header(intra);
        let read = |rest: &[u8]| read(Syntax::Mpeg, &[&header[..], rest].concat());
        // 60000/1001 times 2/4.
        let extended = Some((1920 + 4096, 1080 + 8192, 30_000, 1_001));
        assert_eq!(read(&extension), extended);
        assert_eq!(read(&[&[0; 5], &extension[..]].concat()), extended);
        assert_eq!(read(&display), Some((1920, 1080, 60_000, 1_001)));
        assert_eq!(read(&[]), Some((1920, 1080, 60_000, 1_001)));
    }
}

#[test]
fn sizes_and_rates_that_cannot_be_are_not_believed() {
    let set = |columns: u32, crop: u32, tick: u32, scale: u32| {
        let bits = h264_begin(66)
            .golombs(&[0, 2, 1])
            .bits(1, 0)
            .golombs(&[columns, 9])
            .bits(3, 0b111)
            .golombs(&[crop, 0, 0, 0])
            .bits(1, 1)
            .bits(4, 0)
            .bits(1, 1)
            .bits(32, tick)
            .bits(32, scale)
            .end();
        read(Syntax::H264, &escaped(&bits))
    };
    assert_eq!(set(9, 0, 1, 50), Some((160, 160, 25, 1)));
    assert_eq!(set(9, 79, 1, 50), Some((2, 160, 25, 1)));
    assert_eq!(set(9, 80, 1, 50), None, "nothing is left");
    assert_eq!(set(9, 81, 1, 50), None, "less than nothing");
    assert_eq!(set(9, u32::MAX - 1, 1, 50), None);
    assert_eq!(set(1_055, 0, 1, 50), None, "16,896 pixels");
    assert_eq!(set(u32::MAX - 1, 0, 1, 50), None);
    assert_eq!(set(9, 0, 0, 50), Some((160, 160, 0, 0)));
    assert_eq!(set(9, 0, 1, 0), Some((160, 160, 0, 0)));
    assert_eq!(set(9, 0, 1, u32::MAX), Some((160, 160, 0, 0)));
    assert_eq!(set(9, 0, u32::MAX, 2), Some((160, 160, 0, 0)));
    assert_eq!(set(9, 0, 1, 2_000), Some((160, 160, 1_000, 1)));
}

#[test]
fn a_rate_is_a_number_too() {
    let rate = FrameRate::new(60_000, 2_002).unwrap();
    assert_eq!((rate.frames, rate.seconds), (30_000, 1_001));
    assert!((rate.per_second() - 29.97).abs() < 0.001);
}

#[test]
fn any_bytes_are_read_without_harm() {
    let mut dice = Dice::new(8);
    let mut told = 0;
    for round in 0..6_000 {
        let (syntax, hex, _) = ENCODED[dice.below(ENCODED.len())];
        let mut bytes = bytes(hex);
        bytes.resize(bytes.len() + dice.below(80), 0);
        for _ in 0..round % 12 {
            let at = dice.below(bytes.len());
            bytes[at] = dice.byte();
        }
        told += usize::from(Sequence::read(syntax, &bytes).is_some());
    }
    assert!((1_000..6_000).contains(&told), "{told}");
    for byte in 0..=255 {
        for syntax in [Syntax::H264, Syntax::Hevc, Syntax::Mpeg] {
            assert!(Sequence::read(syntax, &[byte; 1_024]).is_none_or(|it| it.width > 0));
        }
    }
}
