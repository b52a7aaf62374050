//! The pictures of the test pattern as H.264 access units, without an encoder (pure).
//!
//! Shape of a picture, in macroblocks of 16x16 pixels, 20 columns by 11 rows:
//!
//! ```text
//! rows 0..=9   eight vertical colour bars
//! row  9       on top of them a marker, one column further with each frame
//! row  10      the frame number as a bar code
//! ```
//!
//! Three kinds of macroblock are enough. I_PCM carries raw samples; Intra_16x16 with vertical
//! prediction and no residual repeats the macroblock above it; P_Skip repeats the previous picture.
//! A key frame draws its first row, the marker and the bar code and repeats the rest; any other
//! frame draws just the cells that differ from the frame before. Packets, clocks and padding belong
//! to `mux`.
//!
//! Rule: every decoder shows the same samples. Nothing is quantised, the deblocking filter is off,
//! and no motion vector is used.
//!
//! Source: ITU-T H.264 sections 7.3 (syntax), 7.4.1 (emulation prevention), 9.1 and 9.2 (codes),
//! annex E (VUI).

use std::array;

/// Draws access units; keeps what repeats.
#[derive(Debug)]
pub(super) struct Picture {
    /// SPS and PPS, ready to send.
    parameter_sets: Vec<u8>,
    tiles: Tiles,
    /// The slice being written; kept for its memory.
    slice: Bits,
}

impl Picture {
    pub(super) fn new() -> Self {
        Self {
            parameter_sets: parameter_sets(),
            tiles: Tiles::new(),
            slice: Bits::default(),
        }
    }

    /// Appends the access unit of frame `number` to `out`, as an Annex B byte stream.
    ///
    /// Shape: access unit delimiter, then SPS and PPS before a key frame, then one slice. A frame
    /// that is not a key frame refers to frame `number - 1`.
    pub(super) fn draw(&mut self, number: u64, out: &mut Vec<u8>) {
        self.slice.clear();
        if is_key(number) {
            out.extend_from_slice(&DELIMITER_KEY);
            out.extend_from_slice(&self.parameter_sets);
            self.key_slice(number);
            push_nal(out, NAL_IDR, self.slice.bytes());
        } else {
            out.extend_from_slice(&DELIMITER_OTHER);
            self.change_slice(number);
            push_nal(out, NAL_NON_IDR, self.slice.bytes());
        }
    }

    /// Writes all cells: raw samples where something is drawn, else a repeat of the cell above.
    fn key_slice(&mut self, number: u64) {
        let slice = &mut self.slice;
        slice.ue(0); // first_mb_in_slice
        slice.ue(7); // slice_type: I, as are all slices of the picture
        slice.ue(0); // pic_parameter_set_id
        slice.put(FRAME_NUM_BITS, 0); // frame_num
        slice.ue(number / KEY_INTERVAL % 2); // idr_pic_id: differs from the one before
        slice.put(2, 0); // no_output_of_prior_pics_flag, long_term_reference_flag
        slice.ue(0); // slice_qp_delta; se(v) and ue(v) write 0 alike
        slice.ue(1); // disable_deblocking_filter_idc
        for row in 0..ROWS {
            let mut left_is_raw = false;
            for (column, bars) in (0..).zip(&self.tiles.columns) {
                let cell = Cell::at(number, row, column);
                let is_raw = cell.is_raw_in_key(row);
                if is_raw {
                    slice.ue(25); // mb_type: I_PCM
                    slice.raw(self.tiles.samples(cell, bars));
                } else {
                    let above_is_raw = Cell::at(number, row - 1, column).is_raw_in_key(row - 1);
                    slice.ue(1); // mb_type: Intra_16x16, vertical, no residual
                    slice.ue(2); // intra_chroma_pred_mode: vertical
                    slice.ue(0); // mb_qp_delta
                    // coeff_token for "no coefficient". Its table follows from the neighbours'
                    // count of coefficients, which is 16 for I_PCM and 0 here: with one I_PCM
                    // neighbour or two the mean is 8 or more.
                    if left_is_raw || above_is_raw {
                        slice.put(6, 0b00_0011);
                    } else {
                        slice.put(1, 1);
                    }
                }
                left_is_raw = is_raw;
            }
        }
        slice.end();
    }

    /// Writes the cells that differ from frame `number - 1` and skips the others.
    fn change_slice(&mut self, number: u64) {
        let slice = &mut self.slice;
        slice.ue(0); // first_mb_in_slice
        slice.ue(5); // slice_type: P, as are all slices of the picture
        slice.ue(0); // pic_parameter_set_id
        slice.put(FRAME_NUM_BITS, number % KEY_INTERVAL); // frame_num
        slice.put(1, 0); // num_ref_idx_active_override_flag
        slice.put(1, 0); // ref_pic_list_modification_flag_l0
        slice.put(1, 0); // adaptive_ref_pic_marking_mode_flag
        slice.ue(0); // slice_qp_delta
        slice.ue(1); // disable_deblocking_filter_idc
        let mut skip_run = 0;
        for row in 0..ROWS {
            for (column, bars) in (0..).zip(&self.tiles.columns) {
                let cell = Cell::at(number, row, column);
                if cell == Cell::at(number - 1, row, column) {
                    skip_run += 1;
                    continue;
                }
                slice.ue(skip_run);
                skip_run = 0;
                slice.ue(5 + 25); // mb_type: I_PCM, after the five P types
                slice.raw(self.tiles.samples(cell, bars));
            }
        }
        if skip_run > 0 {
            slice.ue(skip_run);
        }
        slice.end();
    }
}

/// What one macroblock of the picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Bars,
    Black,
    Marker,
    White,
}

impl Cell {
    fn at(number: u64, row: u64, column: u64) -> Self {
        match row {
            BAR_CODE_ROW if bar_code_bit(number, column) => Self::White,
            BAR_CODE_ROW => Self::Black,
            MARKER_ROW if number % COLUMNS == column => Self::Marker,
            _ => Self::Bars,
        }
    }

    /// True if a key frame carries the samples of this cell, false if it repeats the one above.
    ///
    /// Repeating is right since no cell of the colour bars is below a marker or a bar-code cell.
    fn is_raw_in_key(self, row: u64) -> bool {
        row == 0 || self != Self::Bars
    }
}

/// The samples of each kind of cell.
#[derive(Debug)]
struct Tiles {
    /// The colour bars, one tile for each column of the picture.
    columns: Vec<Vec<u8>>,
    black: Vec<u8>,
    marker: Vec<u8>,
    white: Vec<u8>,
}

impl Tiles {
    fn new() -> Self {
        let marker = |x, y| {
            if (4..12).contains(&x) && (4..12).contains(&y) {
                WHITE
            } else {
                BLACK
            }
        };
        Self {
            columns: (0..COLUMNS).map(bars_tile).collect(),
            black: tile(|_, _| BLACK),
            marker: tile(marker),
            white: tile(|_, _| WHITE),
        }
    }

    /// The samples of `cell` in the column whose colour bars are `bars`.
    fn samples<'a>(&'a self, cell: Cell, bars: &'a [u8]) -> &'a [u8] {
        match cell {
            Cell::Bars => bars,
            Cell::Black => &self.black,
            Cell::Marker => &self.marker,
            Cell::White => &self.white,
        }
    }
}

/// Bits of a raw byte sequence payload, most significant first.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, in the low `partial_bits` places.
    partial: u8,
    partial_bits: u8,
}

impl Bits {
    fn clear(&mut self) {
        self.bytes.clear();
        self.partial = 0;
        self.partial_bits = 0;
    }

    /// The whole bytes written; all of them after [`Bits::end`].
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the low `bits` bits of `value`.
    fn put(&mut self, bits: u32, value: u64) {
        for shift in (0..bits).rev() {
            self.partial = self.partial << 1 | u8::from(value >> shift & 1 == 1);
            self.partial_bits += 1;
            if self.partial_bits == 8 {
                self.bytes.push(self.partial);
                self.partial = 0;
                self.partial_bits = 0;
            }
        }
    }

    /// Writes `value` as an unsigned Exp-Golomb code.
    fn ue(&mut self, value: u64) {
        let coded = value + 1;
        let bits = u64::BITS - coded.leading_zeros();
        self.put(bits - 1, 0);
        self.put(bits, coded);
    }

    /// Fills the current byte with zero bits, then appends `samples` as they are.
    fn raw(&mut self, samples: &[u8]) {
        self.align();
        self.bytes.extend_from_slice(samples);
    }

    /// Writes the stop bit and fills the last byte.
    fn end(&mut self) {
        self.put(1, 1);
        self.align();
    }

    fn align(&mut self) {
        while self.partial_bits != 0 {
            self.put(1, 0);
        }
    }
}

/// The cells of the bar code in frame `frame`, from left to right; `true` is white.
///
/// Shape: the low 20 bits of the frame number, most significant first, so the code starts again
/// every 2^20 frames (11 h 39 min). Cell `i` covers the pixels `16 * i..16 * (i + 1)` of the lowest
/// 16 lines.
pub fn bar_code_bits(frame: u64) -> [bool; 20] {
    let mut columns = 0..COLUMNS;
    array::from_fn(|_| {
        columns
            .next()
            .is_some_and(|column| bar_code_bit(frame, column))
    })
}

/// True if frame `number` can be decoded without any frame before it.
pub(super) fn is_key(number: u64) -> bool {
    number.is_multiple_of(KEY_INTERVAL)
}

fn bar_code_bit(number: u64, column: u64) -> bool {
    number >> (COLUMNS - 1 - column) & 1 == 1
}

/// Appends one NAL unit with its start code.
///
/// Two zero bytes followed by a byte up to 3 would read as a start code: a 3 goes between them.
fn push_nal(out: &mut Vec<u8>, header: u8, payload: &[u8]) {
    out.extend_from_slice(&[0, 0, 0, 1, header]);
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        out.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
}

/// SPS and PPS as NAL units: Constrained Baseline, level 3, one reference frame, no reordering.
fn parameter_sets() -> Vec<u8> {
    let mut sps = Bits::default();
    sps.put(8, 66); // profile_idc: Baseline
    sps.put(8, 0b1100_0000); // constraint_set0 and 1: Constrained Baseline
    sps.put(8, 30); // level_idc
    sps.ue(0); // seq_parameter_set_id
    sps.ue(u64::from(FRAME_NUM_BITS - 4)); // log2_max_frame_num_minus4
    sps.ue(2); // pic_order_cnt_type: output order is decoding order
    sps.ue(1); // max_num_ref_frames
    sps.put(1, 0); // gaps_in_frame_num_value_allowed_flag
    sps.ue(COLUMNS - 1); // pic_width_in_mbs_minus1
    sps.ue(ROWS - 1); // pic_height_in_map_units_minus1
    sps.put(2, 0b11); // frame_mbs_only_flag, direct_8x8_inference_flag
    sps.put(1, 0); // frame_cropping_flag
    sps.put(1, 1); // vui_parameters_present_flag
    sps.put(1, 1); // aspect_ratio_info_present_flag
    sps.put(8, 1); // aspect_ratio_idc: square pixels
    sps.put(1, 0); // overscan_info_present_flag
    sps.put(1, 1); // video_signal_type_present_flag
    sps.put(3, 5); // video_format: unspecified
    sps.put(1, 0); // video_full_range_flag
    sps.put(1, 1); // colour_description_present_flag
    sps.put(8, 5); // colour_primaries: 625 lines
    sps.put(8, 6); // transfer_characteristics: BT.601
    sps.put(8, 5); // matrix_coefficients: 625 lines
    sps.put(1, 0); // chroma_loc_info_present_flag
    sps.put(1, 1); // timing_info_present_flag
    sps.put(32, 1); // num_units_in_tick
    sps.put(32, 50); // time_scale: two ticks for each frame
    sps.put(1, 1); // fixed_frame_rate_flag
    sps.put(2, 0); // nal_ and vcl_hrd_parameters_present_flag
    sps.put(1, 0); // pic_struct_present_flag
    sps.put(1, 1); // bitstream_restriction_flag: lets a decoder show each frame at once
    sps.put(1, 1); // motion_vectors_over_pic_boundaries_flag
    sps.ue(0); // max_bytes_per_pic_denom: no limit
    sps.ue(0); // max_bits_per_mb_denom: no limit
    sps.ue(0); // log2_max_mv_length_horizontal
    sps.ue(0); // log2_max_mv_length_vertical
    sps.ue(0); // max_num_reorder_frames
    sps.ue(1); // max_dec_frame_buffering
    sps.end();

    let mut pps = Bits::default();
    pps.ue(0); // pic_parameter_set_id
    pps.ue(0); // seq_parameter_set_id
    pps.put(1, 0); // entropy_coding_mode_flag: CAVLC
    pps.put(1, 0); // bottom_field_pic_order_in_frame_present_flag
    pps.ue(0); // num_slice_groups_minus1
    pps.ue(0); // num_ref_idx_l0_default_active_minus1
    pps.ue(0); // num_ref_idx_l1_default_active_minus1
    pps.put(1, 0); // weighted_pred_flag
    pps.put(2, 0); // weighted_bipred_idc
    pps.ue(0); // pic_init_qp_minus26
    pps.ue(0); // pic_init_qs_minus26
    pps.ue(0); // chroma_qp_index_offset
    pps.put(1, 1); // deblocking_filter_control_present_flag
    pps.put(1, 0); // constrained_intra_pred_flag
    pps.put(1, 0); // redundant_pic_cnt_present_flag
    pps.end();

    let mut out = Vec::new();
    push_nal(&mut out, NAL_SPS, sps.bytes());
    push_nal(&mut out, NAL_PPS, pps.bytes());
    out
}

/// The samples of the colour bars in one column of macroblocks.
fn bars_tile(column: u64) -> Vec<u8> {
    tile(|x, _| {
        BARS.iter()
            .zip(1..)
            .find(|&(_, bar)| 16 * column + x < BAR_PIXELS * bar)
            .map_or(BLACK, |(&colour, _)| colour)
    })
}

/// The samples of one macroblock in I_PCM order: 256 luma, then 64 of each chroma.
fn tile(colour: impl Fn(u64, u64) -> Colour) -> Vec<u8> {
    let square = |step| {
        (0..16)
            .step_by(step)
            .flat_map(move |y| (0..16).step_by(step).map(move |x| (x, y)))
    };
    let luma = square(1).map(|(x, y)| colour(x, y).luma);
    let blue = square(2).map(|(x, y)| colour(x, y).blue);
    let red = square(2).map(|(x, y)| colour(x, y).red);
    luma.chain(blue).chain(red).collect()
}

/// One colour of the 8-bit studio range.
#[derive(Clone, Copy, Debug)]
struct Colour {
    luma: u8,
    blue: u8,
    red: u8,
}

impl Colour {
    const fn new(luma: u8, blue: u8, red: u8) -> Self {
        Self { luma, blue, red }
    }
}

/// Width of the picture in macroblocks; also the number of cells of the bar code.
const COLUMNS: u64 = 20;
/// Height of the picture in macroblocks.
const ROWS: u64 = 11;
const BAR_CODE_ROW: u64 = ROWS - 1;
const MARKER_ROW: u64 = ROWS - 2;

/// Frames from one key frame to the next: one second.
pub(super) const KEY_INTERVAL: u64 = 25;
/// Enough for `frame_num` not to wrap between two key frames.
const FRAME_NUM_BITS: u32 = 5;

/// Width of one colour bar in pixels.
const BAR_PIXELS: u64 = 40;
const WHITE: Colour = Colour::new(235, 128, 128);
const BLACK: Colour = Colour::new(16, 128, 128);
/// White, then yellow, cyan, green, magenta, red and blue at 75 %, then black; BT.601 matrix.
const BARS: [Colour; 8] = [
    WHITE,
    Colour::new(162, 44, 142),
    Colour::new(131, 156, 44),
    Colour::new(112, 72, 58),
    Colour::new(84, 184, 198),
    Colour::new(65, 100, 212),
    Colour::new(35, 212, 114),
    BLACK,
];

// NAL unit headers: nal_ref_idc 3 or 2, then the type.
const NAL_NON_IDR: u8 = 0x41;
const NAL_IDR: u8 = 0x65;
const NAL_SPS: u8 = 0x67;
const NAL_PPS: u8 = 0x68;
/// Access unit delimiter: I slices only.
const DELIMITER_KEY: [u8; 6] = [0, 0, 0, 1, 9, 0x10];
/// Access unit delimiter: I and P slices.
const DELIMITER_OTHER: [u8; 6] = [0, 0, 0, 1, 9, 0x30];

#[cfg(test)]
mod tests;
