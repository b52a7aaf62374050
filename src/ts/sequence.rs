//! What a video's parameter set says about its pictures: their size and their rate. (pure)
//!
//! It reads a parameter set that was found whole by `picture.rs`; bits are the business of `bits.rs`. The rule it
//! protects: what is told was read as the standard says, up to the field it stands in; a set that breaks off before
//! its size tells nothing. Read here and not by a crate: each covers one codec, none MPEG-2, with a tree of its own.
//!
//! Source: ITU-T H.264 7.3.2.1.1 and E.1.1, ITU-T H.265 7.3.2.2, 7.3.3, 7.3.4, 7.3.7 and E.2.1, ISO/IEC 13818-2
//! 6.2.2.1 and 6.2.2.3.

use super::bits::Bits;
use super::picture::Syntax;

/// The pictures of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Width of what is shown.
    ///
    /// Unit: pixels.
    pub width: u32,
    /// Height of what is shown: of interlaced H.264 and MPEG-2 that of a frame.
    ///
    /// Unit: pixels.
    pub height: u32,
    /// How many frames there are, where the parameter set tells.
    pub rate: Option<FrameRate>,
}

impl Sequence {
    /// Reads a parameter set as [`super::picture::PictureScan::sequence`] hands it out.
    ///
    /// Bound: sides of 1 to [`SIDE_MAX`] pixels are believed, and rates up to [`RATE_MAX`] and down to one frame in
    /// [`FRAME_SECONDS_MAX`].
    #[must_use]
    pub fn read(syntax: Syntax, bytes: &[u8]) -> Option<Self> {
        let sequence = match syntax {
            Syntax::H264 => h264(&mut Bits::escaped(bytes)),
            Syntax::Hevc => hevc(&mut Bits::escaped(bytes)),
            Syntax::Mpeg => mpeg(&mut Bits::plain(bytes)),
        }?;
        let sides = 1..=SIDE_MAX;
        (sides.contains(&sequence.width) && sides.contains(&sequence.height)).then_some(sequence)
    }
}

/// Frames per time.
///
/// Shape: in lowest terms: 25 frames in 1 second, 30000 frames in 1001 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// So many frames are shown.
    pub frames: u32,
    /// In so many seconds.
    pub seconds: u32,
}

impl FrameRate {
    /// The same as a number.
    ///
    /// Unit: frames per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.frames) / f64::from(self.seconds)
    }

    /// `frames` in `seconds`; `None` for what is no rate.
    fn new(frames: u64, seconds: u64) -> Option<Self> {
        let is_slow = seconds > frames.saturating_mul(FRAME_SECONDS_MAX);
        if seconds == 0 || is_slow || frames / seconds > RATE_MAX {
            return None;
        }
        let (mut divisor, mut rest) = (frames, seconds);
        while rest > 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        Some(Self {
            frames: u32::try_from(frames / divisor).ok()?,
            seconds: u32::try_from(seconds / divisor).ok()?,
        })
    }
}

fn h264(bits: &mut Bits<'_>) -> Option<Sequence> {
    bits.skip(8)?;
    let profile = bits.number(8)?;
    bits.skip(16)?;
    bits.golomb()?;
    let mut chroma = 1;
    if H264_CHROMA_PROFILES.contains(&profile) {
        chroma = bits.golomb()?;
        let has_planes = chroma == 3 && bits.flag()?;
        bits.skip_golombs(2)?;
        bits.skip(1)?;
        if bits.flag()? {
            skip_h264_scaling_lists(bits, chroma)?;
        }
        if has_planes {
            chroma = 0;
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => bits.skip_golombs(1)?,
        1 => {
            bits.skip(1)?;
            bits.skip_golombs(2)?;
            let frames = bits.golomb()?;
            bits.skip_golombs(frames)?;
        }
        _ => {}
    }
    bits.golomb()?;
    bits.skip(1)?;
    let columns = bits.golomb()?.checked_add(1)?;
    let rows = bits.golomb()?.checked_add(1)?;
    let has_frames_only = bits.flag()?;
    if !has_frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let fields = if has_frames_only { 1 } else { 2 };
    let (unit_x, unit_y) = chroma_unit(chroma);
    let cropping = Cropping::read(bits, unit_x, unit_y * fields)?;
    Some(Sequence {
        width: columns.checked_mul(16)?.checked_sub(cropping.width)?,
        height: rows
            .checked_mul(16 * fields)?
            .checked_sub(cropping.height)?,
        rate: h264_rate(bits),
    })
}

fn skip_h264_scaling_lists(bits: &mut Bits<'_>, chroma: u32) -> Option<()> {
    for index in 0..if chroma == 3 { 12 } else { 8 } {
        if !bits.flag()? {
            continue;
        }
        let mut scale = 8;
        for _ in 0..if index < 6 { 16 } else { 64 } {
            scale = (scale + bits.signed_golomb()?).rem_euclid(256);
            if scale == 0 {
                break;
            }
        }
    }
    Some(())
}

fn h264_rate(bits: &mut Bits<'_>) -> Option<FrameRate> {
    if !bits.flag()? {
        return None;
    }
    skip_picture_aspect(bits)?;
    // Of two fields each frame is made, also where they are one picture.
    read_timing(bits, 2)
}

fn hevc(bits: &mut Bits<'_>) -> Option<Sequence> {
    bits.skip(16 + 4)?;
    let sub_layers = bits.number(3)?;
    bits.skip(1)?;
    skip_hevc_profile(bits, sub_layers)?;
    bits.golomb()?;
    let mut chroma = bits.golomb()?;
    if chroma == 3 && bits.flag()? {
        chroma = 0;
    }
    let width = bits.golomb()?;
    let height = bits.golomb()?;
    let (unit_x, unit_y) = chroma_unit(chroma);
    let cropping = Cropping::read(bits, unit_x, unit_y)?;
    Some(Sequence {
        width: width.checked_sub(cropping.width)?,
        height: height.checked_sub(cropping.height)?,
        rate: hevc_rate(bits, sub_layers),
    })
}

fn skip_hevc_profile(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    bits.skip(HEVC_PROFILE_BITS + HEVC_LEVEL_BITS)?;
    let mut skipped = 0;
    for _ in 0..sub_layers {
        let (has_profile, has_level) = (bits.flag()?, bits.flag()?);
        skipped += if has_profile { HEVC_PROFILE_BITS } else { 0 };
        skipped += if has_level { HEVC_LEVEL_BITS } else { 0 };
    }
    if sub_layers > 0 {
        skipped += 2 * (8 - sub_layers);
    }
    bits.skip(skipped)
}

fn hevc_rate(bits: &mut Bits<'_>, sub_layers: u32) -> Option<FrameRate> {
    bits.skip_golombs(2)?;
    let order_bits = bits.golomb()?.checked_add(4)?;
    let orders = if bits.flag()? { sub_layers + 1 } else { 1 };
    bits.skip_golombs(3 * orders + 6)?;
    if bits.flag()? && bits.flag()? {
        skip_hevc_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.skip_golombs(2)?;
        bits.skip(1)?;
    }
    let sets = bits.golomb()?;
    let mut pictures = 0;
    for index in 0..sets {
        pictures = hevc_reference_pictures(bits, index, pictures)?;
    }
    if bits.flag()? {
        for _ in 0..bits.golomb()? {
            bits.skip(order_bits.checked_add(1)?)?;
        }
    }
    bits.skip(2)?;
    if !bits.flag()? {
        return None;
    }
    skip_picture_aspect(bits)?;
    bits.skip(3)?;
    if bits.flag()? {
        bits.skip_golombs(4)?;
    }
    read_timing(bits, 1)
}

fn skip_hevc_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if bits.flag()? {
                let head = if size > 1 { 1 } else { 0 };
                bits.skip_golombs(head + if size == 0 { 16 } else { 64 })?;
            } else {
                bits.skip_golombs(1)?;
            }
        }
    }
    Some(())
}

/// Reads set `index` of reference pictures; tells how many it has, `before` being how many the one before it has.
fn hevc_reference_pictures(bits: &mut Bits<'_>, index: u32, before: u32) -> Option<u32> {
    if index == 0 || !bits.flag()? {
        let pictures = bits.golomb()?.checked_add(bits.golomb()?)?;
        for _ in 0..pictures {
            bits.golomb()?;
            bits.skip(1)?;
        }
        return Some(pictures);
    }
    bits.skip(1)?;
    bits.golomb()?;
    let mut pictures = 0;
    for _ in 0..=before {
        let is_used = bits.flag()? || bits.flag()?;
        pictures += u32::from(is_used);
    }
    Some(pictures)
}

/// Reads over what H.264 and HEVC say alike before the timing: shape of a pixel, colours, place of chroma.
fn skip_picture_aspect(bits: &mut Bits<'_>) -> Option<()> {
    if bits.flag()? && bits.number(8)? == ASPECT_WRITTEN_OUT {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.skip_golombs(2)?;
    }
    Some(())
}

fn read_timing(bits: &mut Bits<'_>, ticks_per_frame: u64) -> Option<FrameRate> {
    if !bits.flag()? {
        return None;
    }
    let tick = u64::from(bits.number(32)?);
    let scale = u64::from(bits.number(32)?);
    FrameRate::new(scale, tick * ticks_per_frame)
}

fn mpeg(bits: &mut Bits<'_>) -> Option<Sequence> {
    let mut width = bits.number(12)?;
    let mut height = bits.number(12)?;
    bits.skip(4)?;
    let code = bits.number(4)?;
    bits.skip(18 + 1 + 10 + 1)?;
    let mut rate = MPEG_RATES
        .iter()
        .find(|(known, ..)| *known == code)
        .map(|(_, frames, seconds)| (*frames, *seconds));
    let extension = mpeg_extension(bits);
    if let Some([width_high, height_high, frames, seconds]) = extension {
        width |= width_high << 12;
        height |= height_high << 12;
        rate = rate.map(|(of, per)| (of * u64::from(frames + 1), per * u64::from(seconds + 1)));
    }
    Some(Sequence {
        width,
        height,
        rate: rate.and_then(|(frames, seconds)| FrameRate::new(frames, seconds)),
    })
}

/// What MPEG-2 adds: the upper bits of width and height, and a factor of the rate and its divisor, both less one.
fn mpeg_extension(bits: &mut Bits<'_>) -> Option<[u32; 4]> {
    for _ in 0..2 {
        if bits.flag()? {
            bits.skip(64 * 8)?;
        }
    }
    // Zeros may be put in front of the start code of the extension.
    let mut code = bits.number(32)?;
    while code >> 8 == 0 {
        code = code << 8 | bits.number(8)?;
    }
    if code != 0x01B5 || bits.number(4)? != MPEG_SEQUENCE_EXTENSION {
        return None;
    }
    bits.skip(8 + 1 + 2)?;
    let (width, height) = (bits.number(2)?, bits.number(2)?);
    bits.skip(12 + 1 + 8 + 1)?;
    Some([width, height, bits.number(2)?, bits.number(5)?])
}

/// What is cut off a picture, in pixels.
struct Cropping {
    width: u32,
    height: u32,
}

impl Cropping {
    fn read(bits: &mut Bits<'_>, unit_x: u32, unit_y: u32) -> Option<Self> {
        let [left, right, top, bottom] = if bits.flag()? {
            [
                bits.golomb()?,
                bits.golomb()?,
                bits.golomb()?,
                bits.golomb()?,
            ]
        } else {
            [0; 4]
        };
        Some(Self {
            width: left.checked_add(right)?.checked_mul(unit_x)?,
            height: top.checked_add(bottom)?.checked_mul(unit_y)?,
        })
    }
}

/// The unit of cropping, by how colours are sampled: 0 none or apart, 1 4:2:0, 2 4:2:2, 3 4:4:4.
fn chroma_unit(chroma: u32) -> (u32, u32) {
    match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    }
}

/// Longest side that is believed; the largest level of HEVC allows 16,888.
///
/// Unit: pixels.
pub const SIDE_MAX: u32 = 16_888;

/// Highest rate that is believed.
///
/// Unit: frames per second.
pub const RATE_MAX: u64 = 1_000;

/// Longest time for one frame that is believed.
///
/// Unit: seconds.
pub const FRAME_SECONDS_MAX: u64 = 60;

/// Profiles of H.264 whose parameter sets tell how colours are sampled.
const H264_CHROMA_PROFILES: [u32; 13] =
    [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244];

const HEVC_PROFILE_BITS: u32 = 88;
const HEVC_LEVEL_BITS: u32 = 8;
const ASPECT_WRITTEN_OUT: u32 = 255;
const MPEG_SEQUENCE_EXTENSION: u32 = 1;

/// Code, frames, seconds.
const MPEG_RATES: [(u32, u64, u64); 8] = [
    (1, 24_000, 1_001),
    (2, 24, 1),
    (3, 25, 1),
    (4, 30_000, 1_001),
    (5, 30, 1),
    (6, 50, 1),
    (7, 60_000, 1_001),
    (8, 60, 1),
];

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests;
