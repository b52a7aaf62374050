//! One call for everything contiguous from cursor to head; partial writes.
//!
//! The last step of a byte's way. It offers the socket as much as lies in one piece and says how much was taken; where
//! the viewer stands then is `viewer`'s business.

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::AsyncWrite;
use glommio::net::TcpStream;
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::channel::cursor::Cursor;
use crate::channel::ring::{Lagged, Ring};
use crate::metrics::Counter;
use crate::shard::fd;

/// What lies in one piece in front of a cursor.
pub struct Run<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The file that holds them, if one does, and where in it they begin.
    pub file: Option<(BorrowedFd<'a>, u64)>,
    /// When the newest chunk in it was closed, in microseconds of the clock.
    pub closed_us: u64,
}

/// Finds the longest piece from the cursor on, of about `bytes_max`: chunks are not cut, so the last one may pass it.
///
/// # Errors
/// [`Lagged`] if the cursor's chunk has left the ring.
pub fn run<'a>(
    ring: &'a Ring,
    cursor: Cursor,
    bytes_max: usize,
) -> Result<Option<Run<'a>>, Lagged> {
    let Some(first) = ring.chunk(cursor.seq())? else {
        return Ok(None);
    };
    let mut last = first;
    let mut bytes = first.extent.len() - cursor.offset();
    for next in ring.since(cursor.seq() + 1) {
        if bytes >= bytes_max || !last.extent.is_followed_by(&next.extent) {
            break;
        }
        bytes += next.extent.len();
        last = next;
    }
    let whole = first.extent.through(&last.extent);
    let file = first.extent.place_in_file();
    Ok(Some(Run {
        bytes: whole.get(cursor.offset()..).unwrap_or_default(),
        file: file.map(|(file, begin)| (file, begin + cursor.offset() as u64)),
        closed_us: last.closed_us,
    }))
}

/// Offers a run to the socket by reference, or as [`poll_send`] does where there is no file or the system refuses.
///
/// # Errors
/// The connection is gone.
pub fn poll_send_run(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    run: &Run<'_>,
    calls: &Counter,
) -> Poll<io::Result<usize>> {
    let bytes_max = match try_send_run(stream, run, calls) {
        Poll::Ready(Ok(bytes)) => return Poll::Ready(Ok(bytes)),
        // What waits for room is a small piece: most likely it is not taken either, and then its wait is glommio's own.
        Poll::Pending => WAITING_BYTES,
        // Whatever else keeps sendfile from it, the socket itself knows what becomes of the connection.
        Poll::Ready(Err(_)) => usize::MAX,
    };
    let piece = run.bytes.get(..bytes_max).unwrap_or(run.bytes);
    poll_send(stream, cx, piece, calls)
}

/// Offers a run to the socket once; pending means it takes none now, and nobody is woken when it does.
///
/// # Errors
/// What the system says: of the connection, or of sending by reference.
pub fn try_send_run(stream: &TcpStream, run: &Run<'_>, calls: &Counter) -> Poll<io::Result<usize>> {
    let Some((file, begin)) = run.file else {
        return try_send(stream, run.bytes, calls);
    };
    calls.add(1);
    let mut at = begin;
    outcome(sendfile(
        fd::of_stream(stream),
        file,
        Some(&mut at),
        run.bytes.len(),
    ))
}

/// Offers bytes to the socket once; pending means it takes none now, and nobody is woken when it does.
///
/// # Errors
/// The connection is gone.
pub fn try_send(stream: &TcpStream, bytes: &[u8], calls: &Counter) -> Poll<io::Result<usize>> {
    calls.add(1);
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    outcome(rustix::net::send(fd::of_stream(stream), bytes, flags))
}

fn outcome(sent: Result<usize, Errno>) -> Poll<io::Result<usize>> {
    match sent {
        Ok(bytes) => Poll::Ready(Ok(bytes)),
        Err(Errno::AGAIN | Errno::INTR) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

/// Offers bytes to the socket; pending means it takes none now and the task is woken when it does.
///
/// # Errors
/// The connection is gone.
pub fn poll_send(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
    calls: &Counter,
) -> Poll<io::Result<usize>> {
    calls.add(1);
    Pin::new(stream).poll_write(cx, bytes)
}

/// What is offered to a socket that took no page.
const WAITING_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::chunk::Chunk;
    use crate::segment::SegmentWriter;
    use std::sync::Arc;

    /// Chunks of ten bytes each, the numbered ones in one segment, a new segment after each `per_segment`.
    fn ring(chunks: u64, per_segment: u64) -> Ring {
        let mut ring = Ring::new(u64::MAX, 1 << 20);
        let mut writer = SegmentWriter::new().unwrap();
        for seq in 1..=chunks {
            if seq % per_segment == 0 {
                writer = SegmentWriter::new().unwrap();
            }
            writer.room(10).unwrap()[..10].fill(u8::try_from(seq).unwrap());
            writer.fill(10);
            let blank = Chunk::blank(seq, seq, 1, false);
            let mut chunk = Arc::into_inner(blank).unwrap();
            chunk.extent = writer.publish(10);
            ring.push(Arc::new(chunk));
        }
        ring
    }

    #[test]
    fn adjacent_chunks_go_out_in_one_piece() {
        let ring = ring(5, 100);
        let run = run(&ring, Cursor::at(2), 1000).unwrap().unwrap();
        assert_eq!(run.bytes.len(), 40);
        assert_eq!((run.bytes[0], run.bytes[39], run.closed_us), (2, 5, 5));
    }

    #[test]
    fn a_piece_ends_with_its_segment_or_budget_and_begins_inside_a_chunk() {
        let ring = ring(9, 4);
        let mut cursor = Cursor::at(1);
        cursor.advance(&ring, 3);
        assert_eq!(run(&ring, cursor, 1000).unwrap().unwrap().bytes.len(), 27);
        assert_eq!(run(&ring, cursor, 5).unwrap().unwrap().bytes.len(), 7);
        assert_eq!(run(&ring, cursor, 8).unwrap().unwrap().bytes.len(), 17);
    }

    #[test]
    fn a_run_says_where_in_its_file_it_begins() {
        let ring = ring(5, 100);
        let mut cursor = Cursor::at(3);
        let place = |cursor| run(&ring, cursor, 1000).unwrap().unwrap().file.unwrap().1;
        assert_eq!(place(cursor), 20);
        cursor.advance(&ring, 7);
        assert_eq!(place(cursor), 27);
    }

    #[test]
    fn a_drained_ring_has_nothing_to_send() {
        assert!(run(&ring(5, 100), Cursor::at(6), 10).unwrap().is_none());
    }
}
