//! Append-only segments of memory that chunks point into.
//!
//! Bytes arrive in the unpublished tail of a [`SegmentWriter`], where they may still move (framing and junk are
//! squeezed out there). What is published as an [`Extent`] never changes again, is never reused and may be read from
//! any shard; a segment goes when nobody names it any more. Which bytes make a chunk is decided elsewhere (`ts`).
//!
//! A segment is a memory file where the system gives one, so that the kernel can send its pages without copying them.
//! Pages that are on their way outlive the segment; the rule that nothing is written twice is what keeps them true.
//!
//! One of the two modules with `unsafe`: it shares mapped memory between the shard that appends and those that send.

#![expect(
    unsafe_code,
    reason = "maps memory and hands out its published part to other shards"
)]

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FallocateFlags, MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Memory of fixed size, mapped once, filled from its start.
///
/// Ownership: alive as long as an [`Extent`] or the writer names it; then unmapped, and its file closed.
struct Segment {
    base: NonNull<u8>,
    bytes: NonZeroUsize,
    /// What is mapped; `None` for memory without a file.
    file: Option<OwnedFd>,
}

// SAFETY: the mapping belongs to this value alone and lives until its drop. Its one writer touches only bytes that no
// extent names yet, extents are read-only, and an extent reaches another thread only through a channel, which orders
// the writes before the reads.
unsafe impl Send for Segment {}
// SAFETY: as for `Send`: shared access is read-only and limited to published bytes.
unsafe impl Sync for Segment {}

impl Segment {
    /// A memory file, or plain memory where none is to be had: no channel ends for want of a descriptor.
    fn create(bytes: NonZeroUsize) -> io::Result<Arc<Self>> {
        Self::of_file(bytes, Paging::of_system()).or_else(|refusal| {
            if PLAIN_SEGMENTS.fetch_add(1, Ordering::Relaxed) == 0 {
                log::warn!(
                    "a memory file was refused, plain memory is used and costs more to send error=\"{refusal}\""
                );
            }
            Self::without_file(bytes)
        })
    }

    fn of_file(bytes: NonZeroUsize, paging: Paging) -> io::Result<Arc<Self>> {
        let file = memfd_create("corecast segment", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, bytes.get() as u64)?;
        if paging == Paging::AtOnce {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes.get() as u64)?;
        }
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing that exists, and nobody else
        // has the file, so that it keeps its length.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                bytes.get(),
                PROTECTION,
                MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        Self::mapped(base, bytes, Some(file))
    }

    fn without_file(bytes: NonZeroUsize) -> io::Result<Arc<Self>> {
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing that exists.
        let base =
            unsafe { mmap_anonymous(ptr::null_mut(), bytes.get(), PROTECTION, MapFlags::PRIVATE) }?;
        Self::mapped(base, bytes, None)
    }

    fn mapped(
        base: *mut c_void,
        bytes: NonZeroUsize,
        file: Option<OwnedFd>,
    ) -> io::Result<Arc<Self>> {
        let base = NonNull::new(base.cast())
            .ok_or_else(|| io::Error::other("mmap of a segment returned a null address"))?;
        Ok(Arc::new(Self { base, bytes, file }))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let base: *mut c_void = self.base.as_ptr().cast();
        // SAFETY: the mapping was made with this length, and no extent is left that could read it.
        let unmapped = unsafe { munmap(base, self.bytes.get()) };
        debug_assert!(unmapped.is_ok(), "a segment's own mapping can be unmapped");
    }
}

/// When a memory file is given its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paging {
    /// When it is made. Where the system promises no more memory than it has, a page that is missing when it is written to
    /// would end the process; asked for at once, it is an error.
    AtOnce,
    /// When each is written to.
    Lazy,
}

impl Paging {
    /// What the system calls for; looked up once.
    fn of_system() -> Self {
        static PAGING: OnceLock<Paging> = OnceLock::new();
        *PAGING.get_or_init(|| {
            // A file of the kernel's own: it is there at once.
            let policy = std::fs::read_to_string("/proc/sys/vm/overcommit_memory");
            match policy.as_deref().map(str::trim_ascii) {
                Ok(STRICT) => Self::AtOnce,
                _ => Self::Lazy,
            }
        })
    }
}

/// How many segments have been made without a file because the system gave none.
#[must_use]
pub fn plain_segments() -> u64 {
    PLAIN_SEGMENTS.load(Ordering::Relaxed)
}

/// A run of published, immutable bytes.
///
/// Ownership: keeps its whole segment alive; cloning costs one reference count.
#[derive(Clone)]
pub struct Extent {
    segment: Arc<Segment>,
    start: usize,
    bytes: usize,
}

impl Extent {
    /// Copies `bytes` into a segment of their own, which has no file: it is small.
    ///
    /// # Errors
    /// There is no memory for it. `bytes` must not be empty.
    pub fn copy_of(bytes: &[u8]) -> io::Result<Self> {
        let capacity = NonZeroUsize::new(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let mut writer = SegmentWriter::of(Segment::without_file(capacity)?);
        let room = writer.room(bytes.len())?;
        let Some(target) = room.get_mut(..bytes.len()) else {
            return Err(io::Error::other("a new segment is smaller than asked for"));
        };
        target.copy_from_slice(bytes);
        writer.fill(bytes.len());
        Ok(writer.publish(bytes.len()))
    }

    /// The bytes themselves.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `publish` made `start + bytes` lie within the mapping, which `segment` keeps alive, and nothing
        // writes below the writer's published mark.
        let first = unsafe { self.segment.base.add(self.start) };
        // SAFETY: as above: the run is mapped, initialised and no longer written.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.bytes) }
    }

    /// The file that holds this run, and where in it the run begins; `None` if only memory holds it.
    #[must_use]
    pub fn place_in_file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        let file = self.segment.file.as_ref()?;
        Some((file.as_fd(), self.start as u64))
    }

    /// How many bytes this run has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether the run has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether `next` begins where this run ends in the same segment.
    #[must_use]
    pub fn is_followed_by(&self, next: &Self) -> bool {
        Arc::ptr_eq(&self.segment, &next.segment) && self.start + self.bytes == next.start
    }

    /// The bytes from `skip` of this run to the end of `last`, which must be reachable from here through adjacent runs.
    ///
    /// The caller has checked each step with [`Extent::is_followed_by`]; anything else yields this run alone.
    #[must_use]
    pub fn through(&self, last: &Self) -> &[u8] {
        let end = last.start + last.bytes;
        if !Arc::ptr_eq(&self.segment, &last.segment) || end < self.start + self.bytes {
            return self.as_slice();
        }
        // SAFETY: both runs are published parts of one mapping, so everything between them is published too (a writer
        // publishes in order), hence mapped, initialised and no longer written.
        let first = unsafe { self.segment.base.add(self.start) };
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), end - self.start) }
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extent({}+{})", self.start, self.bytes)
    }
}

/// The one place where a channel's bytes are appended.
///
/// Shape: `published <= filled <= capacity`. Below `published` nothing changes any more; `published..filled` has
/// arrived but may still move; above is room to read into.
///
/// Ownership: one writer per fetch; it keeps only its newest segment alive.
pub struct SegmentWriter {
    segment: Arc<Segment>,
    published: usize,
    filled: usize,
}

impl SegmentWriter {
    /// A writer with a fresh segment of the usual size.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> io::Result<Self> {
        let bytes = NonZeroUsize::new(SEGMENT_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self::of(Segment::create(bytes)?))
    }

    /// A writer of a segment that nothing has been written to.
    const fn of(segment: Arc<Segment>) -> Self {
        Self {
            segment,
            published: 0,
            filled: 0,
        }
    }

    /// What has arrived and is not published.
    #[must_use]
    pub fn pending(&mut self) -> &mut [u8] {
        let bytes = self.filled - self.published;
        self.unpublished(self.published, bytes)
    }

    /// How many bytes are pending.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.filled - self.published
    }

    /// Free space behind what has arrived, at least `least` bytes.
    ///
    /// When the segment has less, a new one begins and what is pending moves there.
    ///
    /// # Errors
    /// A new segment could not be made, or pending bytes and `least` together exceed a segment. Nothing has changed.
    pub fn room(&mut self, least: usize) -> io::Result<&mut [u8]> {
        if self.segment.bytes.get() - self.filled < least {
            self.begin_segment(least)?;
        }
        let free = self.segment.bytes.get() - self.filled;
        Ok(self.unpublished(self.filled, free))
    }

    /// Says that the first `bytes` of [`SegmentWriter::room`] have been written.
    pub fn fill(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.segment.bytes.get());
    }

    /// Takes `bytes` out of what is pending, beginning `at` bytes into it; what lies behind moves up.
    pub fn squeeze(&mut self, at: usize, bytes: usize) {
        let pending = self.filled - self.published;
        let at = at.min(pending);
        let bytes = bytes.min(pending - at);
        if at == 0 {
            self.published += bytes;
            return;
        }
        self.pending().copy_within(at + bytes.., at);
        self.filled -= bytes;
    }

    /// Makes the first `bytes` of what is pending immutable and hands them out.
    #[must_use]
    pub fn publish(&mut self, bytes: usize) -> Extent {
        let bytes = bytes.min(self.filled - self.published);
        let extent = Extent {
            segment: Arc::clone(&self.segment),
            start: self.published,
            bytes,
        };
        self.published += bytes;
        extent
    }

    fn begin_segment(&mut self, least: usize) -> io::Result<()> {
        let pending = self.filled - self.published;
        if pending + least > SEGMENT_BYTES {
            return Err(io::Error::other(
                "more bytes are pending than a segment holds",
            ));
        }
        let mut next = Self::new()?;
        next.room(pending)?
            .iter_mut()
            .zip(self.pending())
            .for_each(|(to, from)| *to = *from);
        next.filled = pending;
        *self = next;
        Ok(())
    }

    /// A mutable view of bytes that are not published; both bounds come from this type's own marks.
    fn unpublished(&mut self, start: usize, bytes: usize) -> &mut [u8] {
        // SAFETY: `start >= published` and `start + bytes <= capacity`, so the run lies in the mapping.
        let first = unsafe { self.segment.base.add(start) };
        // SAFETY: no extent reaches past `published`, so this is the only reference; such memory begins zeroed, hence
        // initialised; the borrow of `self` keeps the segment and excludes a second view.
        unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), bytes) }
    }
}

impl fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentWriter({}..{})", self.published, self.filled)
    }
}

/// Size of a segment: large enough that a descriptor and a mapping per segment cost nothing per byte, small enough that
/// one laggard keeps little alive.
pub const SEGMENT_BYTES: usize = 2 << 20;

/// Of all shards: they meet here only when the system is out of descriptors.
static PLAIN_SEGMENTS: AtomicU64 = AtomicU64::new(0);

/// The policy by which no more memory is promised than there is. Source: the kernel's overcommit-accounting.
const STRICT: &str = "2";

const PROTECTION: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use rustix::fs::sendfile;

    fn write(writer: &mut SegmentWriter, bytes: &[u8]) {
        writer.room(bytes.len()).unwrap()[..bytes.len()].copy_from_slice(bytes);
        writer.fill(bytes.len());
    }

    #[test]
    fn published_bytes_stay_when_later_ones_arrive_and_move() {
        let mut writer = SegmentWriter::new().unwrap();
        write(&mut writer, b"abcdef");
        let first = writer.publish(3);
        write(&mut writer, b"XXghi");
        writer.squeeze(3, 2);
        assert_eq!(writer.pending(), b"defghi");
        let second = writer.publish(6);
        assert_eq!(first.as_slice(), b"abc");
        assert_eq!(second.as_slice(), b"defghi");
        assert!(first.is_followed_by(&second));
        assert_eq!(first.through(&second), b"abcdefghi");
    }

    #[test]
    fn squeezing_the_front_only_moves_the_mark() {
        let mut writer = SegmentWriter::new().unwrap();
        write(&mut writer, b"junkdata");
        writer.squeeze(0, 4);
        assert_eq!(writer.pending(), b"data");
        assert_eq!(writer.publish(4).as_slice(), b"data");
    }

    #[test]
    fn a_full_segment_hands_its_pending_bytes_to_the_next() {
        let mut writer = SegmentWriter::new().unwrap();
        let fill = vec![7; SEGMENT_BYTES - 3];
        write(&mut writer, &fill);
        let old = writer.publish(SEGMENT_BYTES - 5);
        write(&mut writer, b"tail bytes");
        assert_eq!(writer.pending(), b"\x07\x07tail bytes");
        let new = writer.publish(12);
        assert!(!old.is_followed_by(&new));
        assert_eq!(old.through(&new), old.as_slice());
        assert!(old.as_slice().iter().all(|byte| *byte == 7));
    }

    #[test]
    fn an_extent_outlives_its_writer_on_another_thread() {
        let mut writer = SegmentWriter::new().unwrap();
        write(&mut writer, b"kept");
        let extent = writer.publish(4);
        drop(writer);
        let read = std::thread::spawn(move || extent.as_slice().to_vec());
        assert_eq!(read.join().unwrap(), b"kept");
    }

    /// What becomes of a segment that is still on its way to a reader.
    #[derive(Clone, Copy)]
    enum Retired {
        Dropped,
        /// As a ring would that uses its memory again.
        Overwritten,
    }

    /// Sends pages of a segment, retires it before any of them is read, and says whether they arrived as published.
    #[expect(clippy::disallowed_methods, reason = "no shard runs here")]
    fn arrives_true(retired: Retired) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (sender, _) = listener.accept().unwrap();
        sender.set_nonblocking(true).unwrap();
        let mut writer = SegmentWriter::new().unwrap();
        let mut bytes = vec![0; 65_536];
        fastrand::fill(&mut bytes);
        write(&mut writer, &bytes);
        let extent = writer.publish(bytes.len());
        let (file, mut at) = extent.place_in_file().unwrap();
        let sent = sendfile(&sender, file, Some(&mut at), bytes.len()).unwrap();
        assert!(sent > 0, "nothing is on its way");
        if matches!(retired, Retired::Overwritten) {
            rustix::io::pwrite(file, &vec![0; bytes.len()], 0).unwrap();
        }
        drop((extent, writer));
        // Memory that was given back is likely to be given out again.
        for _ in 0..4 {
            write(&mut SegmentWriter::new().unwrap(), &vec![0; SEGMENT_BYTES]);
        }
        let mut received = vec![0; sent];
        reader.read_exact(&mut received).unwrap();
        received == bytes[..sent]
    }

    #[test]
    fn what_is_on_its_way_outlives_its_segment() {
        assert!(arrives_true(Retired::Dropped));
        assert!(
            !arrives_true(Retired::Overwritten),
            "this test sees nothing"
        );
    }

    #[test]
    fn without_a_file_a_segment_is_memory() {
        let bytes = NonZeroUsize::new(4_096).unwrap();
        let mut writer = SegmentWriter::of(Segment::without_file(bytes).unwrap());
        write(&mut writer, b"kept");
        let extent = writer.publish(4);
        assert_eq!(extent.as_slice(), b"kept");
        assert!(extent.place_in_file().is_none());
    }

    #[test]
    fn pages_that_are_asked_for_at_once_are_there_before_they_are_written_to() {
        let bytes = NonZeroUsize::new(SEGMENT_BYTES).unwrap();
        let given = |paging| {
            let segment = Segment::of_file(bytes, paging).unwrap();
            let file = rustix::fs::fstat(segment.file.as_ref().unwrap()).unwrap();
            usize::try_from(file.st_blocks).unwrap() * 512
        };
        assert_eq!(given(Paging::Lazy), 0);
        assert_eq!(given(Paging::AtOnce), SEGMENT_BYTES);
    }

    #[test]
    fn a_segment_that_is_no_file_is_counted() {
        let before = plain_segments();
        // No file can be so large, and no memory either.
        let too_large = NonZeroUsize::new(usize::MAX / 2).unwrap();
        assert!(Segment::create(too_large).is_err());
        assert!(plain_segments() > before);
    }

    #[test]
    fn a_copy_has_a_segment_of_its_own_and_emptiness_is_refused() {
        let extent = Extent::copy_of(&[1, 2, 3]).unwrap();
        assert_eq!(extent.as_slice(), [1, 2, 3]);
        assert!(Extent::copy_of(&[]).is_err());
    }

    #[test]
    fn more_than_a_segment_of_pending_bytes_is_an_error() {
        let mut writer = SegmentWriter::new().unwrap();
        write(&mut writer, &vec![0; SEGMENT_BYTES]);
        assert!(writer.room(1).is_err());
    }
}
