//! HTTP upstreams: honest ones, and ones that fail in every way that real ones do.
//!
//! An [`Answer`] is a list of [`Step`]s played to one request; a script picks the answer for each request. Media is paced by the
//! one clock of this process, so that every connection of a double is a window on the same broadcast.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use corecast_load::packets::Source;
use futures_rustls::rustls::ServerConfig;

use crate::wire::{Asked, Double, Gone, Peer};

/// An upstream that answers by a script.
pub(crate) struct Upstream {
    double: Double,
    scheme: &'static str,
}

impl Upstream {
    /// Asks `script` for the answer to each request.
    pub(crate) fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            double: Double::start(move |asked, peer| play(&script(asked), peer)),
            scheme: "http",
        }
    }

    /// Answers every request with the broadcast.
    pub(crate) fn live(source: Source) -> Self {
        Self::start(move |_| Answer::live(source))
    }

    /// Answers the first request with `first`, the second with `second`, and so on; the last answer is repeated.
    pub(crate) fn in_turn(answers: Vec<Answer>) -> Self {
        Self::start(move |asked| {
            answers[usize::try_from(asked.nth).unwrap().min(answers.len() - 1)].clone()
        })
    }

    /// Answers every request with the broadcast, over TLS.
    pub(crate) fn live_tls(source: Source, config: Arc<ServerConfig>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            double: Double::on(listener, Some(config), move |_, peer| {
                play(&Answer::live(source), peer)
            }),
            scheme: "https",
        }
    }

    /// The URL of `path` here.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.double.address())
    }

    /// The double itself: what it was asked, and how many connections it has.
    pub(crate) fn double(&self) -> &Double {
        &self.double
    }

    /// Goes down: refuses connections and cuts those that are open.
    pub(crate) fn stop(&mut self) {
        self.double.stop();
    }
}

/// What one request gets.
#[derive(Clone, Default)]
pub(crate) struct Answer(Vec<Step>);

impl Answer {
    /// `200 video/mp2t`, close-delimited, the broadcast from now on.
    pub(crate) fn live(source: Source) -> Self {
        Self::media(Media::live(source))
    }

    /// `200 video/mp2t` with whatever framing the media asks for.
    pub(crate) fn media(media: Media) -> Self {
        let framing = match media.framing {
            Framing::Close => String::new(),
            Framing::Chunked | Framing::ChunkedWithExtensions => {
                "Transfer-Encoding: chunked\r\n".to_owned()
            }
            Framing::Length(bytes) => format!("Content-Length: {bytes}\r\n"),
        };
        Self::head("200 OK", &format!("Content-Type: video/mp2t\r\n{framing}"))
            .then(Step::Media(media))
    }

    /// A head with these header lines and no body yet.
    pub(crate) fn head(status: &str, headers: &str) -> Self {
        Self::raw(format!(
            "HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n"
        ))
    }

    /// A whole short answer.
    pub(crate) fn text(status: &str, content_type: &str, body: &str) -> Self {
        Self::head(
            status,
            &format!(
                "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
                body.len()
            ),
        )
        .then(Step::Bytes(body.into()))
    }

    /// Sends the asker elsewhere.
    pub(crate) fn redirect(location: &str) -> Self {
        Self::head(
            "302 Found",
            &format!("Location: {location}\r\nContent-Length: 0\r\n"),
        )
    }

    /// Exactly these bytes.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![Step::Bytes(bytes.into())])
    }

    /// Nothing at all, for ever.
    pub(crate) fn silence() -> Self {
        Self(vec![Step::Hang])
    }

    /// A head that comes at a byte per `period`.
    pub(crate) fn dribble(period: Duration) -> Self {
        Self(vec![Step::Dribble(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nX-Filler: 0123456789012345678901234567890123456789\r\n\r\n".to_vec(), period)])
    }

    /// The same with one step more.
    pub(crate) fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

/// One thing an upstream does.
#[derive(Clone)]
pub(crate) enum Step {
    Bytes(Vec<u8>),
    /// A byte per period.
    Dribble(Vec<u8>, Duration),
    /// Keeps the connection and says nothing more.
    Hang,
    Media(Media),
    Reset,
    /// Repeats these bytes for as long as they are taken.
    Torrent(Vec<u8>),
    Wait(Duration),
}

/// Which part of a broadcast is sent, how fast, and what is done to it.
#[derive(Clone, Copy)]
pub(crate) struct Media {
    source: Source,
    behind: Duration,
    pace: Pace,
    framing: Framing,
    bytes: Option<u64>,
    junk_every: Option<u64>,
    omit_every: Option<u64>,
}

impl Media {
    /// The broadcast from now on, for ever.
    pub(crate) fn live(source: Source) -> Self {
        Self {
            source,
            behind: Duration::ZERO,
            pace: Pace::Live,
            framing: Framing::Close,
            bytes: None,
            junk_every: None,
            omit_every: None,
        }
    }

    /// Starts with what was on air `behind` ago, sent at once.
    pub(crate) fn behind(self, behind: Duration) -> Self {
        Self { behind, ..self }
    }

    pub(crate) fn pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    pub(crate) fn framing(self, framing: Framing) -> Self {
        Self { framing, ..self }
    }

    /// Ends after so many bytes of media, in the middle of a packet if that is where it falls.
    pub(crate) fn bytes(self, bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            ..self
        }
    }

    /// Puts bytes that are no packet after every so many packets.
    pub(crate) fn junk_every(self, packets: u64) -> Self {
        Self {
            junk_every: Some(packets),
            ..self
        }
    }

    /// Leaves out one packet after every so many.
    pub(crate) fn omit_every(self, packets: u64) -> Self {
        Self {
            omit_every: Some(packets),
            ..self
        }
    }
}

/// How fast media comes.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    Live,
    /// This much at once, then silence until the broadcast has caught up, then live.
    Lump(Duration),
}

/// How the end of a body is told.
#[derive(Clone, Copy)]
pub(crate) enum Framing {
    Chunked,
    ChunkedWithExtensions,
    Close,
    Length(u64),
}

/// Plays an answer to its end.
pub(crate) fn play(answer: &Answer, peer: &mut Peer) -> Result<(), Gone> {
    for step in &answer.0 {
        match step {
            Step::Bytes(bytes) => peer.send(bytes)?,
            Step::Dribble(bytes, period) => {
                for byte in bytes {
                    peer.send(&[*byte])?;
                    peer.pause(*period)?;
                }
            }
            Step::Hang => return Err(peer.hang()),
            Step::Media(media) => play_media(media, peer)?,
            Step::Reset => return Err(peer.reset()),
            Step::Torrent(bytes) => loop {
                peer.send(bytes)?;
            },
            Step::Wait(time) => peer.pause(*time)?,
        }
    }
    Ok(())
}

fn play_media(media: &Media, peer: &mut Peer) -> Result<(), Gone> {
    let (source, began) = (media.source, on_air());
    let mut random = fastrand::Rng::with_seed(u64::try_from(began.as_micros()).unwrap());
    let first = source.index_at(began - media.behind);
    let (mut index, mut left) = (first, media.bytes.unwrap_or(u64::MAX));
    while left > 0 {
        let now = on_air();
        let due = match media.pace {
            Pace::Live => source.index_at(now),
            Pace::Lump(time) => source.index_at(now.max(began + time)),
        };
        let mut piece = Vec::new();
        while index < due && piece.len() < PIECE_BYTES {
            if media.junk_every.is_some_and(|every| index % every == 0) {
                piece.extend((0..random.usize(1..300)).map(|_| random.u8(0x80..)));
            }
            if media
                .omit_every
                .is_none_or(|every| index % every != every / 2)
            {
                piece.extend_from_slice(&source.packet(index));
            }
            index += 1;
        }
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= piece.len() as u64;
        if piece.is_empty() {
            peer.pause(Duration::from_millis(10))?;
            continue;
        }
        let (one, other) = piece.split_at(random.usize(..piece.len()));
        for part in [one, other].into_iter().filter(|part| !part.is_empty()) {
            match media.framing {
                Framing::Close | Framing::Length(_) => peer.send(part)?,
                Framing::Chunked => peer
                    .send(&[format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat())?,
                Framing::ChunkedWithExtensions => peer.send(
                    &[
                        format!("{:06X};a=\"b;c\";d\r\n", part.len()).as_bytes(),
                        part,
                        b"\r\n",
                    ]
                    .concat(),
                )?,
            }
        }
    }
    match media.framing {
        Framing::Chunked | Framing::ChunkedWithExtensions => {
            peer.send(b"0\r\nX-Trailer: 1\r\n\r\n")
        }
        Framing::Close | Framing::Length(_) => Ok(()),
    }
}

/// How long every broadcast of this process has been on air.
pub(crate) fn on_air() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    ON_AIR_AT_START + START.get_or_init(Instant::now).elapsed()
}

/// Media sent with one pass of the pacing loop at most.
const PIECE_BYTES: usize = 60_000;
/// Broadcasts began before the first test, so that there is a past to start in.
const ON_AIR_AT_START: Duration = Duration::from_secs(1000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::Viewer;
    use crate::within;

    #[test]
    fn viewer_of_an_upstream_sees_an_unbroken_broadcast() {
        let upstream = Upstream::live(Source::new(1, 2_000));
        let mut viewers: Vec<Viewer> = (0..3)
            .map(|_| Viewer::of(upstream.double().address(), "/a.ts"))
            .collect();
        for viewer in &viewers {
            viewer.wait("a second of media", |state| state.seen().bytes > 250_000);
            viewer.seen().assert_unbroken();
        }
        assert_eq!(
            (upstream.double().connections(), upstream.double().open()),
            (3, 3)
        );
        viewers.clear();
        within(2_000, "connections of viewers that left are closed", || {
            upstream.double().open() == 0
        });
    }

    #[test]
    fn junk_and_omissions_show_in_what_a_viewer_counts() {
        let upstream = Upstream::start(|asked| {
            let media = Media::live(Source::new(1, 2_000)).behind(Duration::from_secs(2));
            Answer::media(if asked.path() == "/junk" {
                media.junk_every(100)
            } else {
                media.omit_every(100)
            })
        });
        let viewer = Viewer::of(upstream.double().address(), "/junk");
        viewer.wait("junk", |state| state.seen().bytes > 300_000);
        assert!(viewer.seen().torn >= 10, "{:?}", viewer.seen());
        let viewer = Viewer::of(upstream.double().address(), "/omit");
        viewer.wait("omissions", |state| state.seen().gaps.len() >= 10);
        assert!(viewer.seen().unflagged_jumps >= 10, "{:?}", viewer.seen());
    }

    #[test]
    fn lump_comes_at_once_and_is_followed_by_silence() {
        let upstream = Upstream::start(|_| {
            Answer::media(
                Media::live(Source::new(1, 1_000)).pace(Pace::Lump(Duration::from_secs(2))),
            )
        });
        let viewer = Viewer::of(upstream.double().address(), "/");
        viewer.wait("the lump and what follows", |state| {
            state.seen().bytes > 350_000
        });
        assert!(
            viewer.longest_silence() > Duration::from_millis(1_500),
            "{:?}",
            viewer.longest_silence()
        );
        viewer.seen().assert_unbroken();
    }

    #[test]
    fn reset_and_close_are_told_apart() {
        let media = Media::live(Source::new(1, 8_000)).bytes(10_001);
        let upstream = Upstream::in_turn(vec![
            Answer::media(media).then(Step::Reset),
            Answer::media(media),
        ]);
        let viewer = Viewer::of(upstream.double().address(), "/");
        assert_eq!(viewer.wait_end(), crate::viewer::End::Reset);
        let viewer = Viewer::of(upstream.double().address(), "/");
        assert_eq!(viewer.wait_end(), crate::viewer::End::Closed);
        assert_eq!(viewer.seen().tail_bytes, 10_001 % 188);
    }
}
