//! A connection to an upstream, plain or secure.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::pki_types::ServerName;
use futures_rustls::rustls::{ClientConfig, RootCertStore};
use glommio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use url::Url;

use crate::clock::Clock;
use crate::shard::fd;
use crate::upstream::error::{FetchError, Host, Phase};
use crate::upstream::resolve::Resolver;

/// Makes connections for one shard.
pub struct Connector {
    resolver: Resolver,
    tls: RefCell<Option<TlsConnector>>,
}

impl Connector {
    /// A connector that knows no names yet; the system's certificates are read at the first secure connection.
    #[must_use]
    pub fn new() -> Self {
        Self {
            resolver: Resolver::default(),
            tls: RefCell::new(None),
        }
    }

    /// Connects to a URL's host, trying its addresses in turn, each for at most `CONNECT_MAX`.
    ///
    /// `trust` says which addresses may be reached at all; `connecting` is told while an address is asked.
    ///
    /// # Errors
    /// Whatever went wrong with the last address; [`FetchError::RedirectRefused`] when none is allowed.
    ///
    /// Cancel safety: dropping it closes what was opened; while an address is asked, some time later.
    pub async fn connect(
        &self,
        clock: &Clock,
        url: &Url,
        trust: Trust,
        connecting: &Connecting,
    ) -> Result<Connection, FetchError> {
        let to = Host::from(url);
        let addresses = self.resolver.addresses(clock, url).await?;
        let mut failure = FetchError::RedirectRefused { from: to.clone() };
        for address in addresses
            .into_iter()
            .filter(|address| trust.allows(*address))
        {
            let asked = connecting.begin();
            let answer = tcp(address).await;
            drop(asked);
            match answer {
                Ok(stream) => return self.secure(url, stream, clock, to).await,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    failure = FetchError::Slow {
                        from: to.clone(),
                        phase: Phase::Connect,
                        limit_ms: CONNECT_MAX.as_millis(),
                    };
                }
                Err(source) => {
                    let to = to.clone();
                    failure = FetchError::Connect { to, source };
                }
            }
        }
        Err(failure)
    }

    async fn secure(
        &self,
        url: &Url,
        stream: Socket,
        clock: &Clock,
        to: Host,
    ) -> Result<Connection, FetchError> {
        if url.scheme() != "https" {
            let least_bytes = 1;
            return Ok(Connection::Plain(Plain {
                stream,
                least_bytes,
            }));
        }
        let slow = || FetchError::Slow {
            from: to.clone(),
            phase: Phase::Connect,
            limit_ms: CONNECT_MAX.as_millis(),
        };
        let failed = |source| FetchError::Tls {
            to: to.clone(),
            source,
        };
        let name = url
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let name = ServerName::try_from(name).map_err(|error| failed(io::Error::other(error)))?;
        let known = self.tls.borrow().clone();
        let connector = match known {
            Some(connector) => connector,
            None => {
                let read = glommio::executor().spawn_blocking(tls_connector);
                let connector = match clock.limit(CONNECT_MAX, read).await {
                    Some(connector) => connector.map_err(failed)?,
                    None => return Err(slow()),
                };
                self.tls.replace(Some(connector.clone()));
                connector
            }
        };
        match clock
            .limit(CONNECT_MAX, connector.connect(name, stream))
            .await
        {
            Some(Ok(stream)) => Ok(Connection::Secure(Box::new(stream))),
            Some(Err(source)) => Err(failed(source)),
            None => Err(slow()),
        }
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

/// Which addresses a fetch may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The operator named the place: any.
    Operator,
    /// A redirect named it: nothing that only this host or this link can see, unless the operator's own place was
    /// this host too.
    Redirect {
        /// Whether the operator's own place was this host.
        from_loopback: bool,
    },
}

impl Trust {
    /// Whether the address may be reached.
    #[must_use]
    pub fn allows(self, address: SocketAddr) -> bool {
        let Self::Redirect { from_loopback } = self else {
            return true;
        };
        let ip = address.ip().to_canonical();
        let is_link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let is_local = is_link_local || ip.is_unspecified() || ip.is_multicast() || is_metadata(ip);
        address.port() != 0 && !is_local && (from_loopback || !ip.is_loopback())
    }
}

/// A connection to an upstream.
pub enum Connection {
    /// TCP alone.
    Plain(Plain),
    /// TLS over TCP.
    Secure(Box<TlsStream<Socket>>),
}

/// A plain connection, and how many bytes make it readable.
pub struct Plain {
    stream: Socket,
    least_bytes: usize,
}

/// A socket that tells the other end when it is dropped.
///
/// The system would close it only when nothing waits for it any more, and whoever counts connections would see two for a
/// moment.
pub struct Socket(TcpStream);

impl Drop for Socket {
    fn drop(&mut self) {
        let shut = rustix::net::shutdown(fd::of_stream(&self.0), rustix::net::Shutdown::Both);
        if let Err(error) = shut {
            log::trace!("an upstream's connection was closed already error=\"{error}\"");
        }
    }
}

/// How many addresses a fetch is asking for a connection: what is dropped then may be closed late.
#[derive(Default)]
pub struct Connecting(Cell<usize>);

impl Connecting {
    /// Whether any is being asked.
    #[must_use]
    pub fn is_underway(&self) -> bool {
        self.0.get() > 0
    }

    fn begin(&self) -> Asking<'_> {
        self.0.set(self.0.get() + 1);
        Asking(self)
    }
}

/// Counts for as long as it exists.
struct Asking<'c>(&'c Connecting);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let Connecting(asked) = self.0;
        asked.set(asked.get().saturating_sub(1));
    }
}

impl Connection {
    /// Lets reads wait until so many bytes are there.
    ///
    /// Nothing where TLS lies between: only it knows how many bytes its records hold.
    pub fn wait_for(&mut self, least_bytes: usize) {
        let Self::Plain(plain) = self else {
            return;
        };
        if std::mem::replace(&mut plain.least_bytes, least_bytes) == least_bytes {
            return;
        }
        if let Err(error) = fd::set_receive_least(fd::of_stream(&plain.stream.0), least_bytes) {
            log::debug!("an upstream's connection is read at each byte error=\"{error}\"");
        }
    }

    /// Reads what has arrived, however little; pending if nothing has, and nobody is woken.
    pub fn read_now(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self::Plain(plain) = self else {
            return Poll::Pending;
        };
        let socket = fd::of_stream(&plain.stream.0);
        match rustix::net::recv(socket, into, RecvFlags::DONTWAIT) {
            Ok((bytes, _)) => Poll::Ready(Ok(bytes)),
            Err(Errno::AGAIN | Errno::INTR) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.stream.0).poll_read(cx, buf),
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.stream.0).poll_write(cx, buf),
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.stream.0).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.stream.0).poll_close(cx),
            Self::Secure(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_close(cx)
    }
}

/// Addresses outside the link-local range under which clouds show a host its secrets, however they are written.
fn is_metadata(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip == Ipv4Addr::new(100, 100, 100, 200),
        // The last is the prefix that translates to IPv4, which is judged as what it leads to.
        IpAddr::V6(ip) => match ip.segments() {
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => true,
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                let ip = Ipv4Addr::new(a, b, c, d);
                ip.is_link_local() || ip.is_loopback() || is_metadata(ip.into())
            }
            _ => false,
        },
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let stream = Socket(TcpStream::connect_timeout(address, CONNECT_MAX).await?);
    let socket = fd::of_stream(&stream.0);
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::net::sockopt::set_tcp_nodelay(socket, true)?;
    Ok(stream)
}

/// Reads the system's certificates; blocks.
fn tls_connector() -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(io::Error::other(
            "the system has no usable certificates: install ca-certificates or set SSL_CERT_FILE",
        ));
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// How long one address may take to accept, and the secure handshake after it.
const CONNECT_MAX: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_not_lead_to_this_host_or_link() {
        let trust = Trust::Redirect {
            from_loopback: false,
        };
        for refused in [
            "127.0.0.1:80",
            "169.254.169.254:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::1]:80",
            "[fe80::1]:80",
            "[::ffff:127.0.0.1]:80",
            "100.100.100.200:80",
            "[fd00:ec2::254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "8.8.8.8:0",
        ] {
            assert!(!trust.allows(refused.parse().unwrap()), "{refused}");
        }
        for allowed in ["192.168.1.5:80", "[2001:db8::1]:8080"] {
            assert!(trust.allows(allowed.parse().unwrap()), "{allowed}");
        }
    }

    #[test]
    fn the_operators_place_is_never_refused_and_loopback_may_redirect_to_loopback() {
        let loopback = "127.0.0.1:80".parse().unwrap();
        assert!(Trust::Operator.allows(loopback));
        assert!(
            Trust::Redirect {
                from_loopback: true
            }
            .allows(loopback)
        );
        let metadata = "169.254.169.254:80".parse().unwrap();
        assert!(
            !Trust::Redirect {
                from_loopback: true
            }
            .allows(metadata)
        );
    }
}
