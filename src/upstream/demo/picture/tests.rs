//! What `picture.rs` promises, tried.

use super::*;

/// A picture kept up to date as a decoder would, for the syntax that `Picture` writes and
/// nothing else.
#[derive(Default)]
struct Decoder {
    tiles: Vec<Vec<u8>>,
    /// Macroblocks of the latest picture that came as raw samples.
    raw: usize,
    idr_pic_id: u64,
}

impl Decoder {
    /// Decodes one access unit; returns the types of its NAL units.
    fn decode(&mut self, unit: &[u8], number: u64) -> Vec<u8> {
        self.raw = 0;
        let nals = nals(unit);
        for (kind, payload) in &nals {
            let mut bits = Reader::new(payload);
            match kind {
                1 => self.change(&mut bits, number),
                5 => self.key(&mut bits),
                _ => continue,
            }
            bits.assert_ended();
        }
        nals.into_iter().map(|(kind, _)| kind).collect()
    }

    fn key(&mut self, bits: &mut Reader<'_>) {
        assert_eq!([bits.ue(), bits.ue(), bits.ue()], [0, 7, 0]);
        assert_eq!(bits.take(5), 0, "frame_num");
        self.idr_pic_id = bits.ue();
        assert_eq!(bits.take(2), 0);
        assert_eq!([bits.ue(), bits.ue()], [0, 1]);
        self.tiles.clear();
        let mut coefficients: Vec<u64> = Vec::new();
        for at in 0..220 {
            match bits.ue() {
                25 => {
                    self.tiles.push(bits.raw());
                    self.raw += 1;
                    coefficients.push(16);
                }
                1 => {
                    assert_eq!([bits.ue(), bits.ue()], [2, 0]);
                    let above = coefficients[at - 20];
                    let mean = match at % 20 {
                        0 => above,
                        _ => (coefficients[at - 1] + above).div_ceil(2),
                    };
                    match mean {
                        0 | 1 => assert_eq!(bits.take(1), 1),
                        8.. => assert_eq!(bits.take(6), 0b11),
                        _ => panic!("no table for a mean of {mean}"),
                    }
                    self.tiles.push(repeated_downwards(&self.tiles[at - 20]));
                    coefficients.push(0);
                }
                other => panic!("macroblock {at} has type {other}"),
            }
        }
    }

    fn change(&mut self, bits: &mut Reader<'_>, number: u64) {
        assert_eq!([bits.ue(), bits.ue(), bits.ue()], [0, 5, 0]);
        assert_eq!(bits.take(5), number % 25, "frame_num");
        assert_eq!(bits.take(3), 0);
        assert_eq!([bits.ue(), bits.ue()], [0, 1]);
        let mut at = 0;
        while at < 220 {
            at += usize::try_from(bits.ue()).unwrap();
            assert!(at <= 220, "a skip run leaves the picture");
            if at < 220 {
                assert_eq!(bits.ue(), 30);
                self.tiles[at] = bits.raw();
                self.raw += 1;
                at += 1;
            }
        }
    }

    fn bar_code(&self) -> u64 {
        self.tiles[200..].iter().fold(0, |number, tile| {
            assert!(tile[..256].iter().all(|luma| *luma == tile[0]));
            assert!(tile[256..].iter().all(|chroma| *chroma == 128));
            match tile[0] {
                235 => number * 2 + 1,
                16 => number * 2,
                other => panic!("a cell of the bar code has luma {other}"),
            }
        })
    }
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }

    fn take(&mut self, bits: u32) -> u64 {
        (0..bits).fold(0, |value, _| {
            let bit = self.payload[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            value * 2 + u64::from(bit)
        })
    }

    fn ue(&mut self) -> u64 {
        let mut zeros = 0;
        while self.take(1) == 0 {
            zeros += 1;
        }
        (1 << zeros) - 1 + self.take(zeros)
    }

    fn raw(&mut self) -> Vec<u8> {
        while !self.at.is_multiple_of(8) {
            assert_eq!(self.take(1), 0, "pcm_alignment_zero_bit");
        }
        let start = self.at / 8;
        self.at += 384 * 8;
        self.payload[start..start + 384].to_vec()
    }

    fn assert_ended(&mut self) {
        assert_eq!(self.take(1), 1, "stop bit");
        while !self.at.is_multiple_of(8) {
            assert_eq!(self.take(1), 0, "bits behind the stop bit");
        }
        assert_eq!(self.at / 8, self.payload.len(), "bytes behind the stop bit");
    }
}

/// Type and payload of each NAL unit, without emulation prevention.
fn nals(unit: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut starts: Vec<usize> = (0..unit.len() - 4)
        .filter(|&at| unit[at..at + 4] == [0, 0, 0, 1])
        .collect();
    assert_eq!(starts[0], 0);
    starts.push(unit.len());
    starts
        .windows(2)
        .map(|pair| {
            let nal = &unit[pair[0] + 4..pair[1]];
            assert!(!nal.windows(3).any(|run| run[..2] == [0, 0] && run[2] < 3));
            let mut payload = Vec::new();
            for &byte in &nal[1..] {
                if byte != 3 || !payload.ends_with(&[0, 0]) {
                    payload.push(byte);
                }
            }
            (nal[0] & 0x1F, payload)
        })
        .collect()
}

fn repeated_downwards(above: &[u8]) -> Vec<u8> {
    let luma = above[240..256].repeat(16);
    let blue = above[312..320].repeat(8);
    let red = above[376..384].repeat(8);
    [luma, blue, red].concat()
}

fn unit(picture: &mut Picture, number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    picture.draw(number, &mut out);
    out
}

#[test]
fn decoded_bar_code_is_the_frame_number() {
    let mut picture = Picture::new();
    let mut decoder = Decoder::default();
    // The second range is where the bar code starts again.
    for number in (0..500).chain(1_048_550..1_048_700) {
        decoder.decode(&unit(&mut picture, number), number);
        assert_eq!(decoder.bar_code(), number % (1 << 20));
    }
}

#[test]
fn decoded_picture_is_colour_bars_with_one_marker() {
    let mut picture = Picture::new();
    let bars: Vec<Vec<u8>> = (0..COLUMNS).map(bars_tile).collect();
    let marker = Tiles::new().marker;
    let mut decoder = Decoder::default();
    for number in 0..100 {
        decoder.decode(&unit(&mut picture, number), number);
        let marker_at = 180 + usize::try_from(number % 20).unwrap();
        for (at, tile) in decoder.tiles[..200].iter().enumerate() {
            if at == marker_at {
                assert_eq!(*tile, marker);
            } else {
                assert_eq!(*tile, bars[at % 20]);
            }
        }
    }
}

#[test]
fn colour_bars_change_each_40_pixels() {
    // Column 2 covers the pixels 32..48: white up to 39, then yellow.
    let edge = bars_tile(2);
    assert_eq!(edge[..16], [[235; 8], [162; 8]].concat());
    assert_eq!(edge[256..264], [128, 128, 128, 128, 44, 44, 44, 44]);
    assert_eq!(edge[320..328], [128, 128, 128, 128, 142, 142, 142, 142]);
    assert!(bars_tile(19)[..256].iter().all(|&luma| luma == 16));
}

#[test]
fn other_frames_carry_nothing_but_what_changed() {
    let mut picture = Picture::new();
    let mut decoder = Decoder::default();
    for number in 0_u64..200 {
        decoder.decode(&unit(&mut picture, number), number);
        if is_key(number) {
            assert_eq!(decoder.raw, 20 + 1 + 20);
        } else {
            let flipped = (number ^ (number - 1)).count_ones();
            assert_eq!(decoder.raw, usize::try_from(flipped).unwrap() + 2);
        }
    }
}

#[test]
fn key_frames_bring_their_parameter_sets_and_a_new_id() {
    let mut picture = Picture::new();
    let mut decoder = Decoder::default();
    let mut last_id = None;
    for number in 0..100 {
        let kinds = decoder.decode(&unit(&mut picture, number), number);
        if is_key(number) {
            assert_eq!(kinds, [9, 7, 8, 5]);
            assert_ne!(last_id, Some(decoder.idr_pic_id));
            last_id = Some(decoder.idr_pic_id);
        } else {
            assert_eq!(kinds, [9, 1]);
        }
    }
}

#[test]
fn sps_says_320_by_176_at_25_frames_a_second() {
    let sets = nals(&parameter_sets());
    let mut sps = Reader::new(&sets[0].1);
    assert_eq!(sps.take(24), 0x42_C0_1E);
    let up_to_references = [sps.ue(), sps.ue(), sps.ue(), sps.ue()];
    assert_eq!(up_to_references, [0, 1, 2, 1]);
    assert_eq!(sps.take(1), 0);
    assert_eq!([(sps.ue() + 1) * 16, (sps.ue() + 1) * 16], [320, 176]);
    assert_eq!(
        sps.take(4),
        0b1101,
        "whole frames, no cropping, VUI follows"
    );
    assert_eq!(sps.take(10), 0b10_0000_0010, "square pixels");
    assert_eq!(sps.take(6), 0b11_0101, "studio range, colours described");
    assert_eq!(sps.take(24), 0x05_06_05);
    assert_eq!(sps.take(2), 0b01, "timing follows");
    assert_eq!([sps.take(32), sps.take(32), sps.take(1)], [1, 50, 1]);
}

#[test]
fn start_codes_inside_a_payload_are_broken_up() {
    let mut out = Vec::new();
    push_nal(&mut out, 0x65, &[0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4, 9, 0, 2]);
    let expected = [
        0, 0, 0, 1, 0x65, 0, 0, 3, 0, 0, 3, 1, 0, 0, 3, 3, 0, 0, 4, 9, 0, 2,
    ];
    assert_eq!(out, expected);
}

#[test]
fn exp_golomb_codes_are_those_of_the_standard() {
    for (value, bits, code) in [
        (0, 1, 1),
        (1, 3, 2),
        (2, 3, 3),
        (6, 5, 7),
        (7, 7, 8),
        (199, 15, 200),
    ] {
        let mut written = Bits::default();
        written.ue(value);
        written.end();
        assert_eq!(Reader::new(written.bytes()).take(bits), code);
    }
}

#[test]
fn bar_code_has_its_most_significant_bit_on_the_left() {
    let white = |frame| -> Vec<usize> {
        let bits = bar_code_bits(frame);
        (0..20).filter(|&cell| bits[cell]).collect()
    };
    assert_eq!(white(1), [19]);
    assert_eq!(white(0b110), [17, 18]);
    assert_eq!(white(1 << 19), [0]);
    assert_eq!(white(1 << 20), Vec::<usize>::new());
}
