//! Connections to backends, as pingora 0.9.1 would not make them:
//!
//! * *Between two requests* one waits among its worker's own ([`idle`]). Pingora's pool has a task for
//!   each, which is begun after a request and waited for by the next.
//! * *Encryption.* Pingora keeps no encrypted connection that it did not open itself, and makes a
//!   configuration for each that it opens, so that no TLS session is ever resumed. To pingora all backends
//!   speak plain HTTP.
//! * *Heads.* What the gateway itself says in a request's head joins it here, as it is sent
//!   ([`say`](super::forward::say)).
//! * *Silence.* How long a backend may say nothing depends on what its answer is, and on whether it is
//!   still being told something; pingora has one time for a read, from the moment when it begins, and makes
//!   a timer for each. Here a connection has one for its life.
//! * *Websockets.* While a request is on its way, pingora waits for two things at once: the backend's
//!   answer and the end of the request's body, which is empty here. When the 101 is taken first, the body's
//!   end that comes after it is taken for the websocket's, which is closed at its first moment. On a busy
//!   machine both are often there when it looks. A connection that has nothing to read in the moment after a
//!   write keeps them in order.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr as _, Result};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use self::idle::{Group, Idle};
use super::connection::RequestScope;
use crate::config::settings::Timeouts;

pub mod idle;

/// So often a read after a write of a websocket's comes back later. One is what is needed; the second is
/// for a task that had used up its turn when it looked first.
const TURNS: u8 = 2;

/// How the connections to a backend are encrypted.
#[derive(Clone)]
pub struct Encryption {
    pub config: Arc<ClientConfig>,
    /// What is asked for, and what the backend's certificate has to be for.
    pub name: ServerName<'static>,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encryption({:?})", self.name)
    }
}

/// Has the connections of a peer made here. Those of one group may stand in for each other.
pub fn connect_here(
    peer: &mut HttpPeer,
    group: u64,
    timeouts: Timeouts,
    encryption: Option<Encryption>,
) {
    let connector = Connector {
        timeouts,
        encryption,
        group: Some(group),
        turns: 0,
    };
    peer.options.custom_l4 = Some(Arc::new(connector));
}

/// The same for one that is to become a websocket: it is never used again, and none that was is taken.
pub fn connect_for_websocket(
    peer: &mut HttpPeer,
    timeouts: Timeouts,
    encryption: Option<Encryption>,
) {
    let connector = Connector {
        timeouts,
        encryption,
        group: None,
        turns: TURNS,
    };
    peer.options.custom_l4 = Some(Arc::new(connector));
}

#[derive(Debug)]
struct Connector {
    timeouts: Timeouts,
    encryption: Option<Encryption>,
    /// `None`: they are used once.
    group: Option<u64>,
    turns: u8,
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet().copied() else {
            return Error::e_explain(ErrorType::ConnectError, "not an internet address");
        };
        let scope = RequestScope::current();
        let home = self.group.zip(scope.as_ref()).map(|(group, scope)| Home {
            idle: Arc::clone(&scope.connection.idle),
            group: Group { group, address },
            longest: self.timeouts.idle,
        });
        let kept = match &home {
            Some(home) => home.take().await,
            None => None,
        };
        if let Some(scope) = scope {
            scope.backend_was_idle(kept.is_some());
        }
        let line = match kept {
            Some(line) => line,
            None => {
                let open = Line::open(address, self.timeouts.connect, self.encryption.as_ref());
                // Boxed: what is rare must not make the future of each request large.
                Box::pin(open).await?
            }
        };
        let socket = Socket {
            line: Some(line),
            head: Head::default(),
            patience: self.timeouts.read,
            home,
            let_go: false,
            heard: false,
            turns: self.turns,
            turns_left: 0,
        };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

/// Sooner than [`yield_now`], which lets the runtime ask the system first: that costs a busy worker some hundredths.
async fn after_those_who_are_ready() {
    let mut waited = false;
    poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A connection to a backend, whoever uses it.
#[derive(Debug)]
pub struct Line {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    /// Since the last that came or went, while something is waited for.
    quiet_since: Option<Instant>,
    /// Rings at the end of somebody's patience or before: a timer for each wait costs more than to look
    /// again when one rings early.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Line {
    async fn open(
        address: net::SocketAddr,
        patience: Duration,
        encryption: Option<&Encryption>,
    ) -> Result<Line> {
        let to = || format!("to {address}");
        let stream = timeout(patience, TcpStream::connect(address))
            .await
            .or_err_with(ErrorType::ConnectTimedout, to)?
            .map_err(|error| Error::because(why_unreachable(&error), to(), error))?;
        stream
            .set_nodelay(true)
            .or_err(ErrorType::ConnectError, "without TCP_NODELAY")?;
        let stream = match encryption {
            None => Either::Left(stream),
            Some(Encryption { config, name }) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = timeout(patience, connector.connect(name.clone(), stream))
                    .await
                    .or_err_with(ErrorType::TLSHandshakeTimedout, to)?
                    .or_err_with(ErrorType::TLSHandshakeFailure, to)?;
                Either::Right(Box::new(stream))
            }
        };
        Ok(Line {
            stream,
            quiet_since: None,
            alarm: None,
        })
    }

    /// Whether the backend has neither closed it nor sent what nobody asked for, as far as the runtime has
    /// heard from the system.
    fn is_usable(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let stream = &mut self.stream;
        let read = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer));
        // With its task's share used up, nothing would ever be there.
        let read = pin!(unconstrained(read));
        read.poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    /// Lets every other request that is ready come as far as this one: many then leave for their backends one
    /// right after the other, which costs a busy worker less than to take each as far as it goes
    /// (docs/measuring.md). Then the system is asked as well: what came since the runtime last did would be taken
    /// for the answer. False when it can't be used.
    async fn leaves_with_others(&mut self) -> bool {
        match &self.stream {
            Either::Left(stream) => {
                after_those_who_are_ready().await;
                let peeked = recv(stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
                peeked.is_err_and(|error| error == Errno::WOULDBLOCK)
            }
            // There it may be a ticket for TLS' next session. This waits until the runtime has asked.
            Either::Right(_) => {
                yield_now().await;
                self.is_usable()
            }
        }
    }

    /// Else the whole task of the request before would stay for as long as the alarm has its waker.
    fn forget_who_waited(&mut self, nobody: &mut Context<'_>) {
        if let Some(alarm) = &mut self.alarm {
            let _ = alarm.as_mut().poll(nobody);
        }
    }

    /// Ready when it has been quiet for so long.
    fn poll_quiet(&mut self, patience: Duration, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.quiet_since.get_or_insert_with(Instant::now);
        let end = since + patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        while alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(end);
        }
        Poll::Pending
    }
}

/// In pingora's words, which the log has.
fn why_unreachable(error: &io::Error) -> ErrorType {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        io::ErrorKind::AddrNotAvailable => ErrorType::BindError,
        _ => ErrorType::ConnectError,
    }
}

/// Where a connection waits between two requests.
#[derive(Debug)]
struct Home {
    idle: Arc<Idle>,
    group: Group,
    longest: Duration,
}

impl Home {
    async fn take(&self) -> Option<Line> {
        while let Some(mut line) = self.idle.take(self.group) {
            if line.leaves_with_others().await {
                return Some(line);
            }
        }
        None
    }
}

/// A connection while pingora uses it.
#[derive(Debug)]
struct Socket {
    /// Gone with this.
    line: Option<Line>,
    head: Head,
    patience: Duration,
    home: Option<Home>,
    /// Pingora has no more use for it, and it is fit for another request.
    let_go: bool,
    /// Something came since the last that was sent.
    heard: bool,
    /// So many reads after a write come back later.
    turns: u8,
    turns_left: u8,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.let_go
            && let (Some(line), Some(home)) = (self.line.take(), &self.home)
        {
            home.idle.put(home.group, line, home.longest);
        }
    }
}

impl Socket {
    fn stream(&mut self) -> io::Result<Pin<&mut (impl AsyncRead + AsyncWrite + use<>)>> {
        let line = self.line.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(&mut line.stream))
    }
}

/// A request's head on its way to the backend, with what the gateway says in it.
#[derive(Default)]
enum Head {
    /// Nothing goes before it, and it goes with what the gateway says or not at all.
    #[default]
    Due,
    Sending {
        whole: Vec<u8>,
        sent: usize,
        /// Bytes of pingora's that are in it.
        asked: usize,
    },
    Sent,
}

/// There are cookies in it.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Head(…)")
    }
}

impl Head {
    /// The first bytes of a request. Pingora writes a head whole, and offers the same bytes until they are taken.
    fn begin(bytes: &[u8]) -> io::Result<Head> {
        let saying = RequestScope::here(RequestScope::take_saying).flatten();
        let whole = saying.and_then(|saying| saying.join(bytes));
        Ok(Head::Sending {
            whole: whole.ok_or(io::ErrorKind::InvalidData)?,
            sent: 0,
            asked: bytes.len(),
        })
    }

    /// Ready when all of it went, with what that was of pingora's.
    fn poll_send(
        &mut self,
        mut stream: Pin<&mut impl AsyncWrite>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Head::Sending { whole, sent, asked } = self else {
            return Poll::Ready(Ok(0));
        };
        while let Some(left) = whole.get(*sent..).filter(|left| !left.is_empty()) {
            let wrote = ready!(stream.as_mut().poll_write(context, left))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *sent += wrote;
        }
        let asked = *asked;
        *self = Head::Sent;
        Poll::Ready(Ok(asked))
    }
}

impl VirtualSocket for Socket {
    /// Pingora asks for each request; [`Line::open`] has set what is wanted.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

/// Whether who asks would hear of nothing that comes later. Nobody waits for an answer like this.
fn only_looks(context: &Context<'_>) -> bool {
    context.waker().data().is_null()
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &mut *self;
        if let Some(left) = socket.turns_left.checked_sub(1) {
            socket.turns_left = left;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(line) = &mut socket.line else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let read = Pin::new(&mut line.stream).poll_read(context, buffer);
        if let Poll::Ready(read) = read {
            line.quiet_since = None;
            let silent = !std::mem::replace(&mut socket.heard, true);
            return Poll::Ready(match read {
                // Without a word, as one that is not encrypted ends: what was asked may be asked again.
                Err(error) if silent && error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
                read => read,
            });
        }
        if only_looks(context) {
            // Pingora has found the answer whole and both sides willing to go on, and looks whether anything
            // else came before it would keep the connection. It does not keep what it finds closed.
            socket.let_go = true;
            socket.head = Head::Due;
            line.forget_who_waited(context);
            return Poll::Ready(Ok(()));
        }
        // Between two requests there is no scope.
        if RequestScope::here(RequestScope::answer_may_be_silent).unwrap_or(true) {
            line.alarm = None;
            return Poll::Pending;
        }
        ready!(line.poll_quiet(socket.patience, context));
        while RequestScope::here(RequestScope::is_whole) == Some(false) {
            // It listens still, and whoever sends has a deadline of their own.
            line.quiet_since = None;
            ready!(line.poll_quiet(socket.patience, context));
        }
        RequestScope::here(RequestScope::give_up);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = &mut *self;
        socket.let_go = false;
        socket.heard = false;
        socket.turns_left = socket.turns;
        let line = socket.line.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut stream = Pin::new(&mut line.stream);
        if matches!(socket.head, Head::Due) {
            socket.head = Head::begin(bytes)?;
        }
        let wrote = ready!(match socket.head {
            Head::Sent => stream.as_mut().poll_write(context, bytes),
            Head::Due | Head::Sending { .. } => socket.head.poll_send(stream, context),
        })?;
        line.quiet_since = Some(Instant::now());
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.let_go = false;
        self.stream()?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
