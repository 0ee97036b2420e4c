//! What leaves together. Over HTTP/1.1 an answer's head waits for the first of its body, and goes out
//! with it; pingora flushes where something must not wait, and so it does not here. Over HTTP/2 all
//! that a connection writes in one turn goes out at the end of it, answers to several requests among
//! it: h2 flushes after each piece of a body, and its frames are a little longer than a record of TLS.
//! As few records as can be, and one call of the system each time.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// What waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corks {
    Nothing,
    /// A head for the first of its body.
    Heads,
    /// Whatever is written, until [`Corked::let_go`].
    Turns,
}

/// A longer first piece is no head, or one that is worth a call of its own.
const LONGEST_HEAD: usize = 8 * 1024;

/// So much fits into one record of TLS.
const RECORD: usize = 16 * 1024;

/// So much is encrypted before it is sent: what pingora reads of a body at once, and heads.
const TURN: usize = 5 * (RECORD + 256);

/// So many pieces are written at once.
const PIECES: usize = 8;

fn is_head_of(piece: &[u8]) -> bool {
    piece.starts_with(b"HTTP/1.")
}

/// A stream that can keep what it is given until it is flushed.
pub trait Gather: AsyncWrite + Unpin {
    /// Makes room for what a turn writes.
    fn prepare(&mut self);

    /// Takes as much as it has room for, and sends none of it.
    fn gather(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl<T: AsyncRead + AsyncWrite + Unpin> Gather for TlsStream<T> {
    fn prepare(&mut self) {
        self.get_mut().1.set_buffer_limit(Some(TURN));
    }

    fn gather(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.get_mut().1.writer().write_vectored(pieces)
    }
}

/// A handle of the stream: one reads and writes, another lets go of what waits.
pub struct Corked<S: Gather>(Arc<Mutex<Bottle<S>>>);

struct Bottle<S: Gather> {
    inner: S,
    corks: Corks,
    held: Vec<u8>,
    /// Something was read, and nothing written since: a head may come next.
    at_head: bool,
    /// Something was written since the last flush.
    unflushed: bool,
    /// Why what was let go could not be written; who reads next hears of it.
    broken: Option<io::Error>,
}

impl<S: Gather> Corked<S> {
    pub fn new(mut inner: S, corks: Corks) -> Corked<S> {
        if corks == Corks::Turns {
            inner.prepare();
        }
        Corked(Arc::new(Mutex::new(Bottle {
            inner,
            corks,
            held: Vec::new(),
            at_head: false,
            unflushed: false,
            broken: None,
        })))
    }

    pub fn handle(&self) -> Corked<S> {
        Corked(Arc::clone(&self.0))
    }

    /// Calls with what is inside.
    pub fn with<T>(&self, call: impl FnOnce(&mut S) -> T) -> T {
        call(&mut self.lock().inner)
    }

    /// A turn is over: what was written goes out.
    pub fn let_go(&self, context: &mut Context<'_>) {
        let mut bottle = self.lock();
        if bottle.corks == Corks::Turns
            && bottle.unflushed
            && let Poll::Ready(Err(error)) = bottle.poll_flush(context)
        {
            bottle.broken = Some(error);
            context.waker().wake_by_ref();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Bottle<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Gather> Bottle<S> {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        loop {
            if let Some(length) = self.hold(pieces) {
                return Poll::Ready(Ok(length));
            }
            if self.corks != Corks::Turns {
                return self.poll_all(context, pieces);
            }
            let length = ready!(self.poll_gather(context, pieces))?;
            if length > 0 {
                return Poll::Ready(Ok(length));
            }
        }
    }

    /// Holds what waits, and says how much that is.
    fn hold(&mut self, pieces: &[IoSlice<'_>]) -> Option<usize> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let is_head = std::mem::take(&mut self.at_head);
        let (waits, room) = match self.corks {
            Corks::Nothing => (false, 0),
            Corks::Heads => {
                // Of an upload something may be read while its answer is under way already.
                let is_head = is_head && pieces.first().is_some_and(|piece| is_head_of(piece));
                let waits = is_head && self.held.is_empty() && length <= LONGEST_HEAD;
                (waits, length)
            }
            Corks::Turns => (self.held.len() + length <= RECORD, RECORD),
        };
        if !waits {
            return None;
        }
        self.held.reserve(room.saturating_sub(self.held.len()));
        pieces
            .iter()
            .for_each(|piece| self.held.extend_from_slice(piece));
        Some(length)
    }

    /// Writes what is held and `more` after it; says how much of `more` went.
    fn poll_all(
        &mut self,
        context: &mut Context<'_>,
        more: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while !self.held.is_empty() {
            let mut pieces = [IoSlice::new(&self.held); PIECES];
            let mut count = 1;
            for (place, piece) in pieces.iter_mut().skip(1).zip(more) {
                *place = *piece;
                count += 1;
            }
            let pieces = pieces.get(..count).unwrap_or(&[]);
            let inner = Pin::new(&mut self.inner);
            let wrote = ready!(inner.poll_write_vectored(context, pieces))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_more = wrote.saturating_sub(self.held.len());
            self.held.drain(..wrote.min(self.held.len()));
            if of_more > 0 {
                return Poll::Ready(Ok(of_more));
            }
        }
        if more.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.inner).poll_write_vectored(context, more)
    }

    /// Gives on what fills whole records of what is held and `more` after it, unsent as long as there
    /// is room; says how much of `more` that was.
    fn poll_gather(
        &mut self,
        context: &mut Context<'_>,
        more: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (pieces, count) = whole_records(&self.held, more);
        let pieces = pieces.get(..count).unwrap_or(&[]);
        let mut taken = self.inner.gather(pieces)?;
        if taken == 0 {
            ready!(Pin::new(&mut self.inner).poll_flush(context))?;
            taken = self.inner.gather(pieces)?;
        }
        if taken == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_more = taken.saturating_sub(self.held.len());
        self.held.drain(..taken.min(self.held.len()));
        Poll::Ready(Ok(of_more))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_all(context, &[]))?;
        if self.corks == Corks::Turns {
            // It is as large as a record, and most connections are idle.
            self.held = Vec::new();
        }
        ready!(Pin::new(&mut self.inner).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

/// What of `held` and `more` after it fills whole records, and in how many pieces.
fn whole_records<'a>(held: &'a [u8], more: &'a [IoSlice<'a>]) -> ([IoSlice<'a>; PIECES], usize) {
    let all = std::iter::once(held).chain(more.iter().map(|piece| &**piece));
    let length: usize = all.clone().take(PIECES).map(<[u8]>::len).sum();
    let mut room = (length - length % RECORD).max(length.min(RECORD));
    let mut pieces = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    for (place, piece) in pieces.iter_mut().zip(all) {
        let fits = piece.get(..room).unwrap_or(piece);
        *place = IoSlice::new(fits);
        room -= fits.len();
        count += 1;
    }
    (pieces, count)
}

/// What was written is not lost with the connection: a browser that saw nothing of an answer may
/// send its form once more by itself.
impl<S: Gather> Drop for Bottle<S> {
    fn drop(&mut self) {
        if self.unflushed {
            // As much as the socket takes at once; nobody is there to wait for the rest.
            let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl<S: AsyncRead + Gather> AsyncRead for Corked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bottle = self.lock();
        if let Some(error) = bottle.broken.take() {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut bottle.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            bottle.at_head = true;
        }
        result
    }
}

impl<S: Gather> AsyncWrite for Corked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_write(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bottle = self.lock();
        if bottle.corks == Corks::Turns {
            return Poll::Ready(Ok(()));
        }
        bottle.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bottle = self.lock();
        ready!(bottle.poll_all(context, &[]))?;
        Pin::new(&mut bottle.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Notes what each call sent, and takes `most` bytes at a time.
    struct Noting {
        calls: Arc<Mutex<Vec<String>>>,
        most: usize,
        gathered: String,
    }

    impl Noting {
        fn with(corks: Corks, most: usize) -> (Corked<Noting>, Arc<Mutex<Vec<String>>>) {
            let calls = Arc::default();
            let inner = Noting {
                calls: Arc::clone(&calls),
                most,
                gathered: String::new(),
            };
            (Corked::new(inner, corks), calls)
        }

        fn first_of(&self, pieces: &[IoSlice<'_>], most: usize) -> String {
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            String::from_utf8(all[..all.len().min(most)].to_vec()).unwrap()
        }

        fn send(&mut self, text: &str) {
            let all = std::mem::take(&mut self.gathered) + text;
            self.calls.lock().unwrap().push(all);
        }
    }

    impl AsyncRead for Noting {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.put_slice(b"?");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Noting {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let taken = self.first_of(pieces, self.most);
            self.send(&taken);
            Poll::Ready(Ok(taken.len()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if !self.gathered.is_empty() {
                self.send("");
            }
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Gather for Noting {
        fn prepare(&mut self) {}

        fn gather(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            let taken = self.first_of(pieces, self.most - self.gathered.len());
            self.gathered += &taken;
            Ok(taken.len())
        }
    }

    fn said(calls: &Mutex<Vec<String>>) -> Vec<String> {
        std::mem::take(&mut *calls.lock().unwrap())
    }

    #[tokio::test]
    async fn a_head_goes_with_the_first_of_its_body_and_nothing_else_waits() {
        let (mut wire, calls) = Noting::with(Corks::Heads, usize::MAX);
        for _ in 0..2 {
            wire.read_u8().await.unwrap();
            wire.write_all(b"HTTP/1.1 head ").await.unwrap();
            assert!(said(&calls).is_empty());
            wire.write_all(b"body").await.unwrap();
            wire.write_all(b"more").await.unwrap();
            assert_eq!(said(&calls), ["HTTP/1.1 head body", "more"]);
        }
    }

    #[tokio::test]
    async fn a_flush_or_an_end_sends_a_head_alone() {
        let (mut wire, calls) = Noting::with(Corks::Heads, usize::MAX);
        wire.read_u8().await.unwrap();
        wire.write_all(b"HTTP/1.1 head").await.unwrap();
        wire.flush().await.unwrap();
        assert_eq!(said(&calls), ["HTTP/1.1 head"]);
        wire.flush().await.unwrap();
        assert!(said(&calls).is_empty());

        wire.read_u8().await.unwrap();
        wire.write_all(b"HTTP/1.1 head").await.unwrap();
        wire.shutdown().await.unwrap();
        assert_eq!(said(&calls), ["HTTP/1.1 head"]);

        wire.read_u8().await.unwrap();
        wire.write_all(b"HTTP/1.1 head").await.unwrap();
        drop(wire);
        assert_eq!(said(&calls), ["HTTP/1.1 head"]);
    }

    #[tokio::test]
    async fn a_socket_that_takes_little_gets_everything_once_and_in_order() {
        let (mut wire, calls) = Noting::with(Corks::Heads, 3);
        wire.read_u8().await.unwrap();
        wire.write_all(b"HTTP/1.1 head ").await.unwrap();
        wire.write_all(b"body").await.unwrap();
        let taken = wire
            .write_vectored(&[IoSlice::new(b""), IoSlice::new(b"end")])
            .await
            .unwrap();
        assert_eq!(taken, 3);
        assert_eq!(said(&calls).concat(), "HTTP/1.1 head bodyend");
    }

    fn let_go(wire: &Corked<Noting>) {
        wire.let_go(&mut Context::from_waker(Waker::noop()));
    }

    #[tokio::test]
    async fn over_http2_all_that_a_turn_writes_leaves_at_its_end() {
        let (mut wire, calls) = Noting::with(Corks::Turns, usize::MAX);
        for _ in 0..2 {
            for piece in [&b"one "[..], b"two ", b"three"] {
                let pieces = [IoSlice::new(piece), IoSlice::new(b"; ")];
                assert_eq!(wire.write_vectored(&pieces).await.unwrap(), piece.len() + 2);
                wire.flush().await.unwrap();
            }
            assert!(said(&calls).is_empty());
            let_go(&wire.handle());
            assert_eq!(said(&calls), ["one ; two ; three; "]);
            let_go(&wire);
            assert!(said(&calls).is_empty());
        }
        wire.write_all(b"last").await.unwrap();
        drop(wire);
        assert_eq!(said(&calls), ["last"]);
    }

    #[tokio::test]
    async fn what_fills_a_record_is_gathered_and_leaves_with_the_turn() {
        let frame = "x".repeat(RECORD);
        let frames = format!("before {}", format!("head {frame}").repeat(3));
        // Everything fits, or only so much that it is sent in between.
        for (most, sent) in [(usize::MAX, 1), (2 * RECORD, 2)] {
            let (mut wire, calls) = Noting::with(Corks::Turns, most);
            wire.write_all(b"before ").await.unwrap();
            for _ in 0..3 {
                let pieces = [IoSlice::new(b"head "), IoSlice::new(frame.as_bytes())];
                let taken = wire.write_vectored(&pieces).await.unwrap();
                let text = format!("head {frame}");
                wire.write_all(&text.as_bytes()[taken..]).await.unwrap();
            }
            let_go(&wire);
            let calls = said(&calls);
            assert_eq!(calls.len(), sent);
            assert_eq!(calls.concat(), frames);
        }

        let (mut wire, calls) = Noting::with(Corks::Turns, 1000);
        wire.write_all(b"before ").await.unwrap();
        wire.write_all(frame.as_bytes()).await.unwrap();
        let_go(&wire);
        assert_eq!(said(&calls).concat(), format!("before {frame}"));

        // Nothing is held: what was gathered is not lost with the connection either.
        let (mut wire, calls) = Noting::with(Corks::Turns, usize::MAX);
        wire.write_all(&frame.as_bytes()[1..]).await.unwrap();
        assert_eq!(wire.write(b"xyz").await.unwrap(), 1);
        drop(wire);
        assert_eq!(said(&calls), [frame]);
    }

    #[test]
    fn whole_records_are_filled_and_no_more() {
        let long = vec![b'x'; 2 * RECORD];
        let filled = |held: &[u8], more: &[&[u8]]| {
            let more: Vec<_> = more.iter().map(|piece| IoSlice::new(piece)).collect();
            let (pieces, count) = whole_records(held, &more);
            pieces[..count]
                .iter()
                .map(|piece| piece.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            filled(b"before ", &[b"head ", &long]),
            [7, 5, 2 * RECORD - 12]
        );
        assert_eq!(filled(&long[..RECORD], &[b"head "]), [RECORD, 0]);
        // What is left of many pieces fills none.
        assert_eq!(filled(b"a", &[&b"b"[..]; 9]), [1; PIECES]);
    }

    #[tokio::test]
    async fn who_reads_hears_that_a_turn_could_not_be_written() {
        let (mut wire, _) = Noting::with(Corks::Turns, 0);
        wire.write_all(b"lost").await.unwrap();
        assert!(wire.read_u8().await.is_ok());
        let_go(&wire);
        let error = wire.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[tokio::test]
    async fn what_is_no_head_goes_as_it_comes() {
        let (mut wire, calls) = Noting::with(Corks::Heads, usize::MAX);
        wire.write_all(b"unasked").await.unwrap();
        assert_eq!(said(&calls), ["unasked"]);
        wire.read_u8().await.unwrap();
        wire.write_all(b"of a body").await.unwrap();
        assert_eq!(said(&calls), ["of a body"]);
        wire.read_u8().await.unwrap();
        let long = format!("HTTP/1.1 {}", "x".repeat(LONGEST_HEAD));
        wire.write_all(long.as_bytes()).await.unwrap();
        assert_eq!(said(&calls), [long]);

        let (mut plain, calls) = Noting::with(Corks::Nothing, usize::MAX);
        plain.read_u8().await.unwrap();
        plain.write_all(b"HTTP/1.1 head").await.unwrap();
        assert_eq!(said(&calls), ["HTTP/1.1 head"]);
    }
}
