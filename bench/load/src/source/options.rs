//! What is asked of the source, as it is written on the command line.

use std::net::SocketAddr;
use std::time::Duration;

use corecast_load::packets::Source;

use super::fault::Fault;
use super::flow::{Broadcast, Framing, Pace};

/// What the source is asked to be.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where it listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(super) listen: SocketAddr,
    /// How many channels: /ch/1.ts and so on, or contents whose id ends in the number
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) channels: u16,
    /// Bitrate of each channel
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u64).range(150..=2_000_000))]
    kbit_per_s: u64,
    /// Send as fast as it is taken instead of at the bitrate
    #[arg(long)]
    unpaced: bool,
    /// What is sent at once, in whole packets; 40 ms of media at most
    #[arg(long, default_value_t = 13_160, value_parser = clap::value_parser!(u32).range(188..=1_000_000))]
    piece_bytes: u32,
    /// How the end of a body is told
    #[arg(long, value_enum, default_value = "close")]
    framing: FramingKind,
    /// Length of a body with --framing length
    #[arg(long, default_value_t = 1_000_000_000)]
    length_bytes: u64,
    /// What goes wrong with every connection, such as cut:after_ms=5000; a request may ask by ?fault= too
    #[arg(long, value_name = "FAULT")]
    pub(super) fault: Vec<Fault>,
    /// What the engine's URLs begin with; without it the address it listens on
    #[arg(long, value_name = "URL")]
    pub(super) advertise: Option<String>,
    /// End after so many seconds; 0 waits for a signal
    #[arg(long, default_value_t = 3600)]
    pub(super) seconds: u64,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FramingKind {
    Chunked,
    Close,
    Length,
}

impl Options {
    /// How the body of one answer is framed, and the header line that says so.
    pub(super) fn framing(&self) -> (Framing, String) {
        match self.framing {
            FramingKind::Close => (Framing::Close, String::new()),
            FramingKind::Chunked => (
                Framing::Chunked,
                "Transfer-Encoding: chunked\r\n".to_owned(),
            ),
            FramingKind::Length => {
                let length = self.length_bytes;
                let header = format!("Content-Length: {length}\r\n");
                (Framing::Length(length), header)
            }
        }
    }

    pub(super) fn pace(&self) -> Pace {
        if self.unpaced {
            Pace::Taken
        } else {
            Pace::Broadcast
        }
    }

    /// The broadcast of each channel.
    pub(super) fn broadcasts(&self, now: Duration) -> Vec<Broadcast> {
        let piece_bytes = usize::try_from(self.piece_bytes).unwrap_or(usize::MAX);
        let source = |channel: u16| {
            // Origins are told apart modulo 128.
            let origin = u8::try_from((channel + 1) % 128).unwrap_or(0);
            Source::new(origin, self.kbit_per_s)
        };
        let piece = source(0).due(u64::from(self.piece_bytes) / 188);
        let broadcast = |channel: u16| {
            // Channels take turns within a piece's time, as real ones do.
            let shift = piece.saturating_mul(u32::from(channel)) / u32::from(self.channels);
            Broadcast::new(source(channel), piece_bytes, now, shift)
        };
        (0..self.channels).map(broadcast).collect()
    }
}
