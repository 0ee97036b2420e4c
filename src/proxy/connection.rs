//! One client connection: the byte stream that pingora reads, and the watch over each request on
//! it. This is the only clever file of the house:
//!
//! * Pingora's own deadlines end a read, not a head: a client that sends a byte a minute is served
//!   for ever (pingora issue 447). Here one deadline covers the wait and the whole head.
//! * Filters run only when bytes flow, so they can't cut a silent websocket. Here the future of
//!   the whole request is dropped when its session's leash is pulled, which closes an HTTP/1
//!   connection and resets the one HTTP/2 stream, and drops the backend's connection with it.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use self::corked::{Corked, Corks};
use self::memo::Memo;
use super::backend::idle::Idle;
use super::forward::Saying;
use super::framing::{Inspector, Violation};
use super::listen::Newcomer;
use super::turns::{Row, Turns};
use crate::gate::host::Host;
use crate::sessions::leash::Leash;

mod corked;
pub mod memo;

/// What is true of every request on a connection.
pub struct ConnectionFacts {
    pub peer: SocketAddr,
    /// The name of the TLS handshake; `None` when the client sent none.
    pub server_name: Option<Host>,
    pub http2: bool,
    pub memo: Memo,
    /// Of its worker, and so is this.
    pub turns: Arc<Turns>,
    /// Its requests that wait for a turn.
    pub row: Row,
    /// Connections to backends that nobody uses at the moment.
    pub idle: Arc<Idle>,
}

/// What one request on a connection is known by while pingora works on it.
pub struct RequestScope {
    pub connection: Arc<ConnectionFacts>,
    inspector: Option<SharedInspector>,
    /// The head is read: its deadline is off.
    head_read: AtomicBool,
    /// Bytes of the body so far, or [`DONE`].
    body: AtomicU64,
    /// Of so many bytes in each span the body has to be at least.
    least: AtomicU64,
    /// Silence is how its answer spends its days.
    may_be_silent: AtomicBool,
    /// The backend was silent for too long.
    given_up: AtomicBool,
    /// The connection to the backend had answered other requests before.
    was_idle: AtomicBool,
    leash: OnceLock<Arc<Leash>>,
    /// Joins the head that goes to the backend next.
    saying: Mutex<Option<Saying>>,
}

const DONE: u64 = u64::MAX;

fn more(counter: &AtomicU64, by: usize) {
    let next = |so_far: u64| (so_far != DONE).then(|| so_far.saturating_add(by as u64));
    let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
}

type SharedInspector = Arc<Mutex<Inspector>>;

tokio::task_local! {
    static SCOPE: Arc<RequestScope>;
}

impl RequestScope {
    fn new(connection: Arc<ConnectionFacts>, inspector: Option<SharedInspector>) -> RequestScope {
        RequestScope {
            connection,
            inspector,
            head_read: AtomicBool::new(false),
            body: AtomicU64::new(0),
            least: AtomicU64::new(LEAST_OF_A_BODY),
            may_be_silent: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            was_idle: AtomicBool::new(false),
            leash: OnceLock::new(),
            saying: Mutex::new(None),
        }
    }

    /// A request that no connection brought, for tests of what reads it.
    #[cfg(test)]
    pub fn alone(connection: ConnectionFacts) -> RequestScope {
        RequestScope::new(Arc::new(connection), None)
    }

    /// Does `work` as part of it.
    #[cfg(test)]
    pub async fn during<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        SCOPE.scope(self, work).await
    }

    /// The scope of the request whose hooks are running.
    pub fn current() -> Option<Arc<RequestScope>> {
        SCOPE.try_with(Arc::clone).ok()
    }

    /// What `look` says of it, if there is one.
    pub fn here<T>(look: impl FnOnce(&RequestScope) -> T) -> Option<T> {
        SCOPE.try_with(|scope| look(scope)).ok()
    }

    /// Lifts the deadline of the head.
    pub fn head_is_read(&self) {
        self.head_read.store(true, Ordering::Relaxed);
    }

    /// So many bytes more of the request's body were read.
    pub fn body_came(&self, bytes: usize) {
        more(&self.body, bytes);
    }

    /// It is a conversation of small messages: only silence is too little.
    pub fn body_may_be_slow(&self) {
        self.least.store(1, Ordering::Relaxed);
    }

    /// There is no more of a body.
    pub fn body_is_read(&self) {
        self.body.store(DONE, Ordering::Relaxed);
    }

    /// Whether nothing of it is to come any more.
    pub fn is_whole(&self) -> bool {
        self.body.load(Ordering::Relaxed) == DONE
    }

    /// Whether its connection to the backend was one that had waited for it.
    pub fn backend_was_idle(&self, was: bool) {
        self.was_idle.store(was, Ordering::Relaxed);
    }

    pub fn was_backend_idle(&self) -> bool {
        self.was_idle.load(Ordering::Relaxed)
    }

    /// From now on the backend may say nothing for as long as it likes.
    pub fn let_answer_be_silent(&self) {
        self.may_be_silent.store(true, Ordering::Relaxed);
    }

    pub fn answer_may_be_silent(&self) -> bool {
        self.may_be_silent.load(Ordering::Relaxed)
    }

    /// The backend was silent for too long.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Ties the request to its session: when that ends, so does the request.
    pub fn tie(&self, leash: Arc<Leash>) {
        let _ = self.leash.set(leash);
    }

    /// Has it said in the head that goes to the backend next.
    pub fn say(&self, saying: Saying) {
        *self.saying() = Some(saying);
    }

    /// What is to be said in the head that goes to the backend now.
    pub fn take_saying(&self) -> Option<Saying> {
        self.saying().take()
    }

    fn saying(&self) -> MutexGuard<'_, Option<Saying>> {
        self.saying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with the raw bytes of the head.
    pub fn violation(&self) -> Option<Violation> {
        self.inspector()?.violation()
    }

    /// Whether some of the head came; over HTTP/2 it comes whole.
    fn head_has_begun(&self) -> bool {
        self.inspector()
            .is_some_and(|inspector| inspector.has_begun())
    }

    fn inspector(&self) -> Option<MutexGuard<'_, Inspector>> {
        let inspector = self.inspector.as_ref()?;
        Some(inspector.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// So much of a body has to come in each span of [`Deadlines::body`], in bytes: a byte a minute would
/// hold a place for ever, and a body may be of any size. Of a body that its backend does not take
/// nothing comes over HTTP/1, and that is not the client's doing.
const LEAST_OF_A_BODY: u64 = 4 * 1024;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From the connection to a first head, and over HTTP/1 from the first byte of each to its end.
    pub head: Duration,
    /// From an answer to the first byte of the next head.
    pub idle: Duration,
    /// For each [`LEAST_OF_A_BODY`] of a body. For a pause in one pingora has a deadline of its own over
    /// HTTP/1, and waits without end over HTTP/2.
    pub body: Duration,
}

/// The application of one connection.
pub struct Connection<A> {
    proxy: Arc<A>,
    facts: Arc<ConnectionFacts>,
    inspector: Option<SharedInspector>,
    deadlines: Deadlines,
    reused: AtomicBool,
    /// Gone with the first request.
    newcomer: Mutex<Option<Newcomer>>,
}

impl<A> Connection<A> {
    /// `longest_head`: bytes of an HTTP/1 head beyond which the connection is cut, unanswered.
    pub fn new(
        proxy: Arc<A>,
        facts: ConnectionFacts,
        deadlines: Deadlines,
        longest_head: usize,
    ) -> Connection<A> {
        let inspector = (!facts.http2).then(|| Arc::new(Mutex::new(Inspector::new(longest_head))));
        Connection {
            proxy,
            facts: Arc::new(facts),
            inspector,
            deadlines,
            reused: AtomicBool::new(false),
            newcomer: Mutex::new(None),
        }
    }

    /// `newcomer` is dropped when the first request's head is read.
    pub fn with_newcomer(self, newcomer: Newcomer) -> Connection<A> {
        Connection {
            newcomer: Mutex::new(Some(newcomer)),
            ..self
        }
    }

    /// Serves what comes over it, until it ends. `corks`: whether what can leave together does.
    pub async fn converse(
        self: Arc<Self>,
        io: TlsStream<TcpStream>,
        corks: bool,
        shutdown: &ShutdownWatch,
    ) where
        A: HttpServerApp + Send + Sync + 'static,
    {
        let wire = self.wire(io, corks);
        let wrote = wire.io.handle();
        let mut work = pin!(self.process_new(Box::new(wire), shutdown));
        std::future::poll_fn(|context| {
            let step = work.as_mut().poll(context);
            wrote.let_go(context);
            step
        })
        .await;
        // Over HTTP/2 requests have tasks of their own.
        self.facts.row.close();
    }

    /// Wraps the encrypted stream for pingora.
    fn wire(&self, io: TlsStream<TcpStream>, corks: bool) -> Wire {
        let fd = io.get_ref().0.as_raw_fd();
        let digest = SocketDigest::from_raw_fd(fd);
        let _ = digest.peer_addr.set(Some(self.facts.peer.into()));
        let preface = self.facts.http2.then(|| Preface {
            missing: PREFACE,
            late: Box::pin(tokio::time::sleep(self.deadlines.head)),
        });
        let corks = match (corks, self.facts.http2) {
            (false, _) => Corks::Nothing,
            (true, false) => Corks::Heads,
            (true, true) => Corks::Turns,
        };
        Wire {
            io: Corked::new(io, corks),
            fd,
            http2: self.facts.http2,
            preface,
            inspector: self.inspector.clone(),
            socket: Arc::new(digest),
            cut: false,
            closing: None,
            untaken: Untaken::within(self.deadlines.body),
        }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Connection<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if let Some(inspector) = &self.inspector {
            inspector
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .begin();
        }
        let scope = Arc::new(RequestScope::new(
            Arc::clone(&self.facts),
            self.inspector.clone(),
        ));
        let (begins_within, newcomer) = if self.reused.swap(true, Ordering::Relaxed) {
            (self.deadlines.idle, None)
        } else {
            let newcomer = self.newcomer.lock();
            let newcomer = newcomer.unwrap_or_else(PoisonError::into_inner).take();
            (self.deadlines.head, newcomer)
        };
        let work = self.proxy.process_new_http(session, shutdown);
        let work = SCOPE.scope(Arc::clone(&scope), work);
        watch_over(work, &scope, newcomer, begins_within, self.deadlines).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }
}

/// Drives one request until it is done, its head or its body is late, or its leash is pulled. The timer and
/// the subscription are made only when a poll leaves the request waiting, so that a request which
/// is answered at once pays for neither.
async fn watch_over<T>(
    work: impl Future<Output = Option<T>>,
    scope: &RequestScope,
    mut newcomer: Option<Newcomer>,
    begins_within: Duration,
    deadlines: Deadlines,
) -> Option<T> {
    let mut work = pin!(work);
    let mut late: Option<Pin<Box<tokio::time::Sleep>>> = None;
    let mut begun = false;
    let mut body: Option<Stalled> = None;
    let mut cut = pin!(None);
    std::future::poll_fn(|context| {
        if scope.leash.get().is_some_and(|leash| leash.is_pulled()) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        if scope.head_read.load(Ordering::Relaxed) {
            late = None;
            newcomer = None;
        } else {
            let timer = late.get_or_insert_with(|| Box::pin(tokio::time::sleep(begins_within)));
            if !begun && scope.head_has_begun() {
                begun = true;
                let end = tokio::time::Instant::now() + deadlines.head;
                timer.as_mut().reset(end);
            }
            if timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            return Poll::Pending;
        }
        let least = scope.least.load(Ordering::Relaxed);
        if let Some(body) = &mut body {
            body.least = least;
        }
        let make = || Stalled::new(deadlines.body, least, scope.connection.http2);
        if Stalled::is_late(&mut body, &scope.body, make, context) {
            return Poll::Ready(None);
        }
        if cut.is_none()
            && let Some(leash) = scope.leash.get()
        {
            cut.set(Some(Arc::clone(leash).until_pulled()));
        }
        let cut = cut.as_mut().as_pin_mut();
        if cut.is_some_and(|cut| cut.poll(context).is_ready()) {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// Watches a body, which may stop coming or come too slowly.
struct Stalled {
    within: Duration,
    /// That has to come in each span.
    least: u64,
    /// Whether nothing at all is too little as well: over HTTP/1 pingora has a deadline of its own for that.
    or_nothing: bool,
    came: u64,
    timer: Pin<Box<tokio::time::Sleep>>,
}

impl Stalled {
    fn new(within: Duration, least: u64, or_nothing: bool) -> Stalled {
        Stalled {
            within,
            least,
            or_nothing,
            came: 0,
            timer: Box::pin(tokio::time::sleep(within)),
        }
    }

    /// Looks at what `counter` counts; `watch` is there for as long as it counts.
    fn is_late(
        watch: &mut Option<Stalled>,
        counter: &AtomicU64,
        make: impl FnOnce() -> Stalled,
        context: &mut Context<'_>,
    ) -> bool {
        if counter.load(Ordering::Relaxed) == DONE {
            *watch = None;
            return false;
        }
        let watch = watch.get_or_insert_with(make);
        watch.poll(counter, context).is_ready()
    }

    /// Ready when too little came between two rings of the timer: after once to twice the time. A
    /// timer for each piece would cost more than the piece.
    fn poll(&mut self, counter: &AtomicU64, context: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            let came = counter.load(Ordering::Relaxed);
            let new = came.saturating_sub(self.came);
            if new < self.least && (new > 0 || self.or_nothing) {
                return Poll::Ready(());
            }
            self.came = came;
            let next = tokio::time::Instant::now() + self.within;
            self.timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}

/// The decrypted bytes of a connection, as pingora wants them.
pub struct Wire {
    io: Corked<TlsStream<TcpStream>>,
    fd: RawFd,
    http2: bool,
    /// Gone when it is read.
    preface: Option<Preface>,
    inspector: Option<SharedInspector>,
    socket: Arc<SocketDigest>,
    /// The client broke the framing.
    cut: bool,
    /// Our side of it is closed.
    closing: Option<Closing>,
    untaken: Untaken,
}

/// Counts how long a client takes nothing of what it is sent. Pingora does for bodies, and waits for heads
/// without end.
struct Untaken {
    within: Duration,
    late: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Untaken {
    fn within(within: Duration) -> Untaken {
        Untaken { within, late: None }
    }

    fn watch<T>(
        &mut self,
        sent: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.late = None;
            return sent;
        }
        let late = (self.late).get_or_insert_with(|| Box::pin(tokio::time::sleep(self.within)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Reads what a client still sends after our side of the connection is closed.
struct Closing {
    silent: Pin<Box<tokio::time::Sleep>>,
    over: tokio::time::Instant,
}

impl Closing {
    /// Between two pieces, and in all: nginx's `lingering_timeout` and `lingering_time`.
    const SILENCE: Duration = Duration::from_secs(5);
    const IN_ALL: Duration = Duration::from_secs(30);

    fn begin() -> Closing {
        Closing {
            silent: Box::pin(tokio::time::sleep(Closing::SILENCE)),
            over: tokio::time::Instant::now() + Closing::IN_ALL,
        }
    }

    /// Ready when the client has closed its side too, or may not take any longer.
    fn poll(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut unwanted = [MaybeUninit::uninit(); 4096];
        loop {
            let mut buffer = ReadBuf::uninit(&mut unwanted);
            match Pin::new(&mut *socket).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let now = tokio::time::Instant::now();
                    if now >= self.over {
                        return Poll::Ready(());
                    }
                    let next = now + Closing::SILENCE;
                    self.silent.as_mut().reset(next.min(self.over));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.silent.as_mut().poll(context),
            }
        }
    }
}

/// The length of an HTTP/2 client's preface (RFC 9113, 3.4).
const PREFACE: usize = 24;

/// What an HTTP/2 client begins with. Pingora waits for it without end, and only then begins to
/// count how long the connection is idle.
struct Preface {
    missing: usize,
    late: Pin<Box<tokio::time::Sleep>>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("http2", &self.http2)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Some(preface) = &mut self.preface {
            let read = buffer.filled().len().saturating_sub(before);
            preface.missing = preface.missing.saturating_sub(read);
            if preface.missing == 0 {
                self.preface = None;
            } else if preface.late.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        if let (Poll::Ready(Ok(())), Some(inspector)) = (&result, &self.inspector) {
            let new = buffer.filled().get(before..).unwrap_or(&[]);
            let fed = inspector
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .feed(new);
            if fed.is_err() {
                self.cut = true;
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "framing")));
            }
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write(context, bytes);
        self.untaken.watch(sent, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.untaken.watch(sent, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_flush(context);
        self.untaken.watch(sent, context)
    }

    /// Closes in stages (RFC 9112, 9.6): our side first, then what the client is still sending is
    /// read and thrown away. Closing at once would reset the connection, and whoever was refused
    /// in the middle of an upload could not read why. HTTP/2 resets the stream instead, and who
    /// breaks the framing is not waited for.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        if wire.closing.is_none() {
            let sent = Pin::new(&mut wire.io).poll_shutdown(context);
            ready!(wire.untaken.watch(sent, context))?;
        }
        if wire.http2 || wire.cut {
            return Poll::Ready(Ok(()));
        }
        let closing = wire.closing.get_or_insert_with(Closing::begin);
        let closed = wire.io.with(|tls| closing.poll(tls.get_mut().0, context));
        closed.map(Ok)
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.fd
    }
}

impl Ssl for Wire {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        None
    }

    /// What switches pingora to HTTP/2.
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(if self.http2 { ALPN::H2 } else { ALPN::H1 })
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

impl Peek for Wire {}

#[cfg(test)]
mod tests;
