//! Pieces of text that were compressed once and are put together to one gzip body for each asker. (pure)
//!
//! Who gets which pieces is decided elsewhere. The rule: every piece was compressed for itself and ends at a whole byte,
//! so any of them, in any order, are one valid stream; its checksum is put together from theirs. Source: RFC 1951, RFC
//! 1952.

use std::fmt;

use bytes::Bytes;
use flate2::{Compress, CompressError, Compression, Crc, FlushCompress};

/// A compressed piece.
#[derive(Debug, Default)]
pub struct Packed {
    bytes: Bytes,
    crc: Crc,
}

impl Packed {
    /// What is sent of it.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Compresses one piece after the other.
pub struct Packer(Compress);

impl Packer {
    /// A packer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(Compress::new(Compression::new(LEVEL), false))
    }

    /// Compresses a piece. It takes its time: not for a shard.
    #[must_use]
    pub fn pack(&mut self, plain: &[u8]) -> Packed {
        let mut crc = Crc::new();
        crc.update(plain);
        // Nothing is known that could keep a piece from being compressed; were it, it would be sent as it is.
        let bytes = self.compress(plain).unwrap_or_else(|error| {
            log::warn!("a part of the guide could not be compressed error=\"{error}\"");
            framed(plain, false)
        });
        Packed {
            bytes: bytes.into(),
            crc,
        }
    }

    fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>, CompressError> {
        self.0.reset();
        let mut packed = Vec::with_capacity(plain.len() / 4 + OUTPUT_BYTES_MIN);
        loop {
            packed.reserve(OUTPUT_BYTES_MIN);
            let read = usize::try_from(self.0.total_in()).unwrap_or(usize::MAX);
            let rest = plain.get(read..).unwrap_or_default();
            self.0
                .compress_vec(rest, &mut packed, FlushCompress::Sync)?;
            // Room that was left says that nothing waits to be written.
            if self.0.total_in() == plain.len() as u64 && packed.len() < packed.capacity() {
                break;
            }
        }
        packed.shrink_to_fit();
        Ok(packed)
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

/// A gzip body while it is put together: [`HEAD`], pieces, and in the end [`Gzip::tail`].
#[derive(Debug, Default)]
pub struct Gzip(Crc);

impl Gzip {
    /// A piece that is not compressed, framed as it is sent; the last piece of all is one.
    #[must_use]
    pub fn store(&mut self, plain: &[u8], is_last: bool) -> Vec<u8> {
        self.0.update(plain);
        framed(plain, is_last)
    }

    /// Takes a compressed piece into account, whose bytes are sent as they are.
    pub fn join(&mut self, piece: &Packed) {
        self.0.combine(&piece.crc);
    }

    /// What ends the body after its last piece.
    #[must_use]
    pub fn tail(&self) -> [u8; TAIL_BYTES] {
        let [a, b, c, d] = self.0.sum().to_le_bytes();
        let [e, f, g, h] = self.0.amount().to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

/// Text in blocks that say how long they are.
fn framed(plain: &[u8], is_last: bool) -> Vec<u8> {
    let mut framed = Vec::with_capacity(stored_bytes(plain.len()));
    let mut rest = plain;
    loop {
        let (block, after) = rest.split_at(rest.len().min(usize::from(u16::MAX)));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        framed.push(u8::from(is_last && after.is_empty()));
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(&(!length).to_le_bytes());
        framed.extend_from_slice(block);
        rest = after;
        if rest.is_empty() {
            return framed;
        }
    }
}

/// How long a piece becomes that is not compressed.
#[must_use]
pub fn stored_bytes(plain_bytes: usize) -> usize {
    plain_bytes + plain_bytes.div_ceil(usize::from(u16::MAX)).max(1) * 5
}

/// What begins a gzip body: deflate, no name, no time, any system.
pub const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// How much ends it.
pub const TAIL_BYTES: usize = 8;

/// Of 1 to 9: a low one, because guides repeat themselves and become small at any.
const LEVEL: u32 = 3;

/// Room that is made for the output at a time. Unit: bytes.
const OUTPUT_BYTES_MIN: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn unpacked(body: &[u8]) -> Vec<u8> {
        let mut decoder = GzDecoder::new(body);
        let mut plain = Vec::new();
        decoder.read_to_end(&mut plain).unwrap();
        assert!(decoder.into_inner().is_empty(), "nothing follows the tail");
        plain
    }

    #[test]
    fn any_pieces_in_any_order_are_one_body() {
        let mut packer = Packer::new();
        let texts: Vec<Vec<u8>> = [0_usize, 1, 500, 70_000, 300_000]
            .iter()
            .map(|length| {
                (0..*length)
                    .map(|at| b"<programme start="[at % 17])
                    .collect()
            })
            .collect();
        let pieces: Vec<Packed> = texts.iter().map(|it| packer.pack(it)).collect();
        for order in [&[][..], &[4, 1], &[0, 1, 2, 3, 4], &[3, 3, 0, 2]] {
            let mut gzip = Gzip::default();
            let mut body = HEAD.to_vec();
            let mut expected = vec![b'x'; 200_000];
            let opening = gzip.store(&expected, false);
            assert_eq!(opening.len(), stored_bytes(expected.len()));
            body.extend(opening);
            for index in order {
                gzip.join(&pieces[*index]);
                body.extend_from_slice(pieces[*index].bytes());
                expected.extend_from_slice(&texts[*index]);
            }
            body.extend(gzip.store(b"</tv>", true));
            expected.extend_from_slice(b"</tv>");
            body.extend(gzip.tail());
            assert!(unpacked(&body) == expected, "{order:?}");
        }
    }

    #[test]
    fn text_that_repeats_itself_becomes_small_and_noise_hardly_larger() {
        let mut packer = Packer::new();
        let same = packer.pack(&[b'a'; 100_000]);
        assert!(same.bytes().len() < 1_000, "{}", same.bytes().len());
        let mut random = fastrand::Rng::with_seed(7);
        let noise: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
        let packed = packer.pack(&noise);
        assert!(packed.bytes().len() < 101_000, "{}", packed.bytes().len());
    }

    #[test]
    fn an_empty_body_is_one_too() {
        let mut gzip = Gzip::default();
        let mut body = HEAD.to_vec();
        body.extend(gzip.store(b"", true));
        assert_eq!(body.len(), HEAD.len() + stored_bytes(0));
        body.extend(gzip.tail());
        assert_eq!(unpacked(&body), b"");
    }
}
