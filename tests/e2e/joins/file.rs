//! Broadcasts of real pictures and sound: files that ffmpeg makes, and a double that sends one as it plays.
//!
//! What a stream holds is read in `parse.rs`. The rule: a file is made once per test run and sent as it is, so whatever
//! a viewer got can be found in it byte for byte.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use corecast_load::packets::PACKET_BYTES;

use super::parse::{self, Codec, Program};
use crate::launch::Folder;
use crate::scaled;
use crate::tools;
use crate::wire::Double;

/// What kind of pictures a broadcast has. All have a group of pictures every two seconds but for the brisk ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// As [`Kind::Closed`], with a group every second.
    Brisk,
    /// The pictures and the sound of [`Kind::Brisk`] on other PIDs, with a clock that is hours ahead.
    BriskElsewhere,
    /// H.264, every key frame an IDR.
    Closed,
    /// As x265 does by default: one IDR, then CRA pictures with leading ones.
    Hevc,
    Mpeg2,
    /// H.264 whose key frames are recovery points but for one in 20 s, with pictures that refer to the group before.
    Open,
    /// As [`Kind::Closed`], but 8 Mbit/s, of which most is null packets.
    Padded,
    /// As [`Kind::Closed`], but no packet says that one can begin there.
    Unflagged,
}

impl Kind {
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::Hevc => Codec::Hevc,
            Self::Mpeg2 => Codec::Mpeg2,
            Self::Brisk
            | Self::BriskElsewhere
            | Self::Closed
            | Self::Open
            | Self::Padded
            | Self::Unflagged => Codec::H264,
        }
    }

    /// The PIDs it is on.
    pub(crate) fn program(self) -> Program {
        match self {
            Self::BriskElsewhere => parse::ELSEWHERE,
            _ => parse::HERE,
        }
    }

    /// Unit: seconds.
    fn length(self) -> u64 {
        match self {
            Self::Brisk | Self::BriskElsewhere => scaled(BRISK_SECONDS, BRISK_SECONDS_SOAK),
            _ => scaled(SECONDS, SECONDS_SOAK),
        }
    }

    fn muxer(self) -> Vec<String> {
        let Program { pmt, video, .. } = self.program();
        let mut options = vec![
            "-mpegts_pmt_start_pid".to_owned(),
            pmt.to_string(),
            "-mpegts_start_pid".to_owned(),
            video.to_string(),
        ];
        if self == Self::BriskElsewhere {
            options.extend(["-output_ts_offset", "25200"].map(str::to_owned));
        }
        options
    }

    fn encoder(self) -> &'static [&'static str] {
        match self {
            Self::Brisk | Self::BriskElsewhere => &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-x264-params",
                "keyint=25:min-keyint=25:scenecut=0:bframes=2:open-gop=0",
            ],
            Self::Closed | Self::Unflagged => &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-x264-params",
                "keyint=50:min-keyint=50:scenecut=0:bframes=2:open-gop=0",
            ],
            Self::Hevc => &[
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-x265-params",
                "keyint=50:min-keyint=50:scenecut=0:log-level=none",
            ],
            Self::Mpeg2 => &["-c:v", "mpeg2video", "-g", "50", "-b:v", "800k"],
            Self::Open => &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-x264-params",
                "keyint=50:min-keyint=50:scenecut=0:bframes=2:b-adapt=0:b-pyramid=none:open-gop=1",
                // Every 16th group would tell a decoder to forget a picture of the group before, and one that began
                // there would complain that it has none: the count of groups begins again sooner than that.
                "-forced-idr",
                "1",
                "-force_key_frames",
                "expr:gte(t,n_forced*20)",
            ],
            Self::Padded => &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-x264-params",
                "keyint=50:min-keyint=50:scenecut=0:bframes=0",
                "-muxrate",
                "8000k",
            ],
        }
    }
}

/// A file as it goes on air.
pub(crate) struct Broadcast {
    pub(crate) bytes: Vec<u8>,
    /// Shape: at which time how many bytes have gone out, ascending.
    clock: Vec<(Duration, usize)>,
}

impl Broadcast {
    /// The broadcast of this kind, made if it is the first to be asked for.
    pub(crate) fn of(kind: Kind) -> Arc<Self> {
        static MADE: OnceLock<Mutex<HashMap<Kind, Made>>> = OnceLock::new();
        let made = {
            let mut all = MADE.get_or_init(Mutex::default).lock().unwrap();
            Arc::clone(all.entry(kind).or_default())
        };
        Arc::clone(made.get_or_init(|| Arc::new(Self::make(kind))))
    }

    fn make(kind: Kind) -> Self {
        let folder = Folder::new();
        let file = folder.path().join("broadcast.ts");
        let seconds = kind.length();
        let pictures = format!("testsrc2=size=320x180:rate=25:duration={seconds}");
        let sound = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
        let mut arguments = vec![
            "-v", "error", "-threads", "1", "-f", "lavfi", "-i", &pictures,
        ];
        arguments.extend(["-f", "lavfi", "-i", &sound]);
        arguments.extend(kind.encoder());
        arguments.extend([
            "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k", "-f", "mpegts",
        ]);
        let muxer = kind.muxer();
        arguments.extend(muxer.iter().map(String::as_str));
        arguments.push(file.to_str().unwrap());
        let made = tools::run("ffmpeg", &arguments);
        assert!(made.status.success(), "{made:?}");
        let mut bytes = std::fs::read(&file).unwrap();
        if kind == Kind::Unflagged {
            parse::clear_random_access(&mut bytes);
        }
        Self {
            clock: parse::clock(&bytes),
            bytes,
        }
    }

    /// How many bytes have gone out after this time.
    pub(crate) fn due(&self, time: Duration) -> usize {
        let next = self.clock.partition_point(|(at, _)| *at <= time);
        let Some(((from, bytes), (to, bytes_then))) = next
            .checked_sub(1)
            .map(|last| self.clock[last])
            .zip(self.clock.get(next).copied())
        else {
            return self.bytes.len();
        };
        let share = (time - from).as_secs_f64() / (to - from).as_secs_f64();
        let packets = (bytes_then - bytes) / PACKET_BYTES;
        bytes
            + (0..packets)
                .filter(|packet| *packet as f64 <= share * packets as f64)
                .count()
                * PACKET_BYTES
    }
}

/// One file, made by whoever asks first; those who ask for another do not wait.
type Made = Arc<OnceLock<Arc<Broadcast>>>;

/// An upstream that sends a broadcast once, from its beginning.
pub(crate) struct FileUpstream(Double);

impl FileUpstream {
    /// Sends the first `lead` at once and then `speed` times as fast as it plays.
    pub(crate) fn start(broadcast: &Arc<Broadcast>, lead: Duration, speed: u32) -> Self {
        let broadcast = Arc::clone(broadcast);
        Self(Double::start(move |_, peer| {
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")?;
            let (began, mut sent) = (Instant::now(), 0);
            while sent < broadcast.bytes.len() {
                let due = broadcast.due(lead + began.elapsed() * speed);
                peer.send(&broadcast.bytes[sent..due])?;
                sent = due;
                peer.pause(Duration::from_millis(10))?;
            }
            Err(peer.hang())
        }))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/file.ts", self.0.address())
    }

    pub(crate) fn connections(&self) -> u64 {
        self.0.connections()
    }
}

/// Length of a file; at twice its speed it lasts half as long.
const SECONDS: u64 = 60;
const SECONDS_SOAK: u64 = 150;
/// Long enough for all cuts at the speed it plays.
const BRISK_SECONDS: u64 = 60;
const BRISK_SECONDS_SOAK: u64 = 420;
