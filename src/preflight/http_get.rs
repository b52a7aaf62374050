//! One blocking GET, for commands that ask and exit.
//!
//! Upstreams are fetched by `upstream/http.rs`; shards never come here. The rule: every wait has an end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Asks for a path and answers with the status.
///
/// Bound: each step waits at most `limit`; of the answer 64 bytes are read, for a status line needs no more.
///
/// # Errors
/// What connecting, writing or reading met; `InvalidData` if the answer is no HTTP.
pub fn status_of(address: SocketAddr, host: &str, path: &str, limit: Duration) -> io::Result<u16> {
    let mut socket = TcpStream::connect_timeout(&address, limit)?;
    socket.set_read_timeout(Some(limit))?;
    socket.set_write_timeout(Some(limit))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes())?;
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    let mut begin = [0; ANSWER_BYTES];
    while answer.len() < ANSWER_BYTES && !answer.contains(&b'\n') {
        match socket.read(&mut begin)? {
            0 => break,
            taken => answer.extend(begin.iter().take(taken)),
        }
    }
    status(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP"))
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer
        .split(|byte| *byte == b'\r' || *byte == b'\n')
        .next()?;
    let line = std::str::from_utf8(line).ok()?;
    let code = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    code.parse().ok().filter(|_| is_code)
}

/// A status line's code lies within this much.
const ANSWER_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Lets a server answer in these parts, and compares what is made of it.
    #[track_caller]
    fn assert_status(answer: &'static [&'static [u8]], expected: Result<u16, io::ErrorKind>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            for part in answer {
                socket.write_all(part).unwrap();
            }
        });
        let status = status_of(address, "h", "/", Duration::from_secs(5));
        server.join().unwrap();
        assert_eq!(status.map_err(|error| error.kind()), expected);
    }

    #[test]
    fn the_status_is_found_however_the_answer_is_cut() {
        assert_status(&[b"HTTP/1.0 200 OK\r\n\r\n"], Ok(200));
        assert_status(&[b"HT", b"TP/1.1 5", b"03 Busy\r\n\r\n"], Ok(503));
        assert_status(&[b"HTTP/1.1 204\n"], Ok(204));
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        assert_status(&[], Err(io::ErrorKind::InvalidData));
        assert_status(&[b"SSH-2.0-x\r\n"], Err(io::ErrorKind::InvalidData));
        assert_status(&[b"HTTP/1.1 2x0 OK\r\n"], Err(io::ErrorKind::InvalidData));
        assert_status(&[b"HTTP/1.1\r\n"], Err(io::ErrorKind::InvalidData));
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = status_of(address, "h", "/", Duration::from_millis(50)).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
            "{error}"
        );
    }
}
