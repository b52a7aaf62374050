//! Relays that do one thing wrong, for one viewer, at one known place.
//!
//! Each viewer gets its own connection to the source. The rule: everything but the fault is passed on as it came, so what
//! the tool finds is the fault and nothing else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// What is done to one viewer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Every piece is kept back for so long.
    Delay(Duration),
    /// The packet at the known place is left out.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// The connection ends there.
    End,
    Nothing,
    /// It changes places with the next.
    Swap,
    /// One of its bytes is changed.
    Tear,
    /// One of its bytes is left out.
    TearOff,
}

/// Starts a relay of channel 1 that does `fault` to the viewer that comes as number `victim`, from 0.
pub(crate) fn start(source: SocketAddr, fault: Fault, victim: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, viewer) in listener.incoming().enumerate() {
            let fault = if number == victim {
                fault
            } else {
                Fault::Nothing
            };
            let viewer = viewer.unwrap();
            // A viewer that leaves ends its thread with an error, which is its business.
            std::thread::spawn(move || relay(source, &viewer, fault).is_ok());
        }
    });
    address
}

/// A server that answers every request with these bytes and nothing more.
pub(crate) fn start_answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for viewer in listener.incoming() {
            let mut viewer = viewer.unwrap();
            let mut head = [0; 4096];
            drop(viewer.read(&mut head));
            drop(viewer.write_all(answer));
        }
    });
    address
}

fn relay(source: SocketAddr, viewer: &TcpStream, fault: Fault) -> std::io::Result<()> {
    let mut viewer = viewer;
    viewer.set_nodelay(true)?;
    let mut head = [0; 4096];
    if viewer.read(&mut head)? == 0 {
        return Ok(());
    }
    let mut upstream = TcpStream::connect(source)?;
    upstream.write_all(b"GET /ch/1.ts HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        upstream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    viewer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")?;
    let (pieces, kept) = channel::<(Instant, Vec<u8>)>();
    let mut late = viewer.try_clone()?;
    let writer = std::thread::spawn(move || {
        for (due, piece) in kept {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            late.write_all(&piece)?;
        }
        late.shutdown(Shutdown::Both)
    });
    let back = match fault {
        Fault::Delay(back) => back,
        _ => Duration::ZERO,
    };
    let mut packet = [0; 188];
    let mut kept_back = None;
    let (mut count, mut since_pmt, mut is_done) = (0, 0, false);
    loop {
        upstream.read_exact(&mut packet)?;
        let arrived = Instant::now();
        count += 1;
        since_pmt = if packet[1..3] == PMT {
            0
        } else {
            since_pmt + 1
        };
        let is_place = !is_done && count > AFTER_PACKETS && since_pmt == INTO_GROUP;
        is_done |= is_place;
        let mut piece = packet.to_vec();
        match fault {
            Fault::Drop if is_place => continue,
            Fault::Duplicate if is_place => piece.extend_from_slice(&packet),
            Fault::End if is_place => break,
            Fault::Swap if is_place => {
                kept_back = Some(piece);
                continue;
            }
            Fault::Tear if is_place => piece[90] ^= 0x10,
            Fault::TearOff if is_place => {
                piece.remove(90);
            }
            _ => {}
        }
        piece.extend(kept_back.take().into_iter().flatten());
        if pieces.send((arrived + back, piece)).is_err() {
            break;
        }
    }
    drop(pieces);
    writer.join().unwrap_or(Ok(()))
}

/// The second and third byte of a PMT packet, which starts a section on PID 0x1000.
const PMT: [u8; 2] = [0x50, 0x00];
/// The fault comes about half a second after the connection began,
const AFTER_PACKETS: u64 = 700;
/// and so far into a group that all packets around it are numbered.
const INTO_GROUP: u64 = 10;
