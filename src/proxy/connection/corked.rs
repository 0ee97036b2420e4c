//! An answer's head waits for the first of its body, and goes out with it: one record of TLS and
//! one call of the system instead of two. Pingora flushes where something must not wait, and so it
//! does not here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A longer first piece is no head, or one that is worth a call of its own.
const LONGEST: usize = 8 * 1024;

pub struct Corked<S: AsyncWrite + Unpin> {
    inner: S,
    held: Vec<u8>,
    /// Something was read, and nothing written since: a head comes next.
    at_head: bool,
    holds: bool,
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    /// Unless it `holds`, everything goes through as it comes.
    pub fn new(inner: S, holds: bool) -> Corked<S> {
        Corked {
            inner,
            held: Vec::new(),
            at_head: false,
            holds,
        }
    }

    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Holds what is the head of an answer.
    fn hold(&mut self, bytes: &[u8]) -> bool {
        let is_head = std::mem::take(&mut self.at_head);
        let held = self.holds && is_head && self.held.is_empty() && bytes.len() <= LONGEST;
        if held {
            self.held.extend_from_slice(bytes);
        }
        held
    }

    /// Writes what is held and `more` after it; says how much of `more` went.
    fn poll_all(&mut self, context: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        while !self.held.is_empty() {
            let pieces = [IoSlice::new(&self.held), IoSlice::new(more)];
            let wrote = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, &pieces))?;
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
        Pin::new(&mut self.inner).poll_write(context, more)
    }
}

/// What was written is not lost with the connection: a browser that saw nothing of an answer may
/// send its form once more by itself.
impl<S: AsyncWrite + Unpin> Drop for Corked<S> {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            let mut context = Context::from_waker(Waker::noop());
            // As much as the socket takes at once; nobody is there to wait for the rest.
            let _ = self.poll_all(&mut context, &[]);
            let _ = Pin::new(&mut self.inner).poll_flush(&mut context);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.at_head = true;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.hold(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_all(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.held.is_empty() && !(self.holds && self.at_head) {
            return Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        }
        let first = pieces.iter().find(|piece| !piece.is_empty());
        self.poll_write(context, first.map_or(&[], |piece| piece))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_all(context, &[]))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_all(context, &[]))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Notes what each call was given, and takes `most` bytes of it at a time.
    #[derive(Clone)]
    struct Noting {
        calls: Arc<Mutex<Vec<String>>>,
        most: usize,
    }

    impl Noting {
        fn taking(most: usize) -> (Corked<Noting>, Arc<Mutex<Vec<String>>>) {
            let calls = Arc::default();
            let inner = Noting {
                calls: Arc::clone(&calls),
                most,
            };
            (Corked::new(inner, true), calls)
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
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            let taken = &all[..all.len().min(self.most)];
            let text = String::from_utf8(taken.to_vec()).unwrap();
            self.calls.lock().unwrap().push(text);
            Poll::Ready(Ok(taken.len()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn said(calls: &Mutex<Vec<String>>) -> Vec<String> {
        std::mem::take(&mut *calls.lock().unwrap())
    }

    #[tokio::test]
    async fn a_head_goes_with_the_first_of_its_body_and_nothing_else_waits() {
        let (mut wire, calls) = Noting::taking(usize::MAX);
        for _ in 0..2 {
            wire.read_u8().await.unwrap();
            wire.write_all(b"head ").await.unwrap();
            assert!(said(&calls).is_empty());
            wire.write_all(b"body").await.unwrap();
            wire.write_all(b"more").await.unwrap();
            assert_eq!(said(&calls), ["head body", "more"]);
        }
    }

    #[tokio::test]
    async fn a_flush_or_an_end_sends_a_head_alone() {
        let (mut wire, calls) = Noting::taking(usize::MAX);
        wire.read_u8().await.unwrap();
        wire.write_all(b"head").await.unwrap();
        wire.flush().await.unwrap();
        assert_eq!(said(&calls), ["head"]);
        wire.flush().await.unwrap();
        assert!(said(&calls).is_empty());

        wire.read_u8().await.unwrap();
        wire.write_all(b"head").await.unwrap();
        wire.shutdown().await.unwrap();
        assert_eq!(said(&calls), ["head"]);

        wire.read_u8().await.unwrap();
        wire.write_all(b"head").await.unwrap();
        drop(wire);
        assert_eq!(said(&calls), ["head"]);
    }

    #[tokio::test]
    async fn a_socket_that_takes_little_gets_everything_once_and_in_order() {
        let (mut wire, calls) = Noting::taking(3);
        wire.read_u8().await.unwrap();
        wire.write_all(b"head ").await.unwrap();
        wire.write_all(b"body").await.unwrap();
        let taken = wire
            .write_vectored(&[IoSlice::new(b""), IoSlice::new(b"end")])
            .await
            .unwrap();
        assert_eq!(taken, 3);
        assert_eq!(said(&calls).concat(), "head bodyend");
    }

    #[tokio::test]
    async fn what_is_no_head_goes_as_it_comes() {
        let (mut wire, calls) = Noting::taking(usize::MAX);
        wire.write_all(b"unasked").await.unwrap();
        assert_eq!(said(&calls), ["unasked"]);
        wire.read_u8().await.unwrap();
        let long = "x".repeat(LONGEST + 1);
        wire.write_all(long.as_bytes()).await.unwrap();
        assert_eq!(said(&calls), [long]);

        let calls = Arc::default();
        let inner = Noting {
            calls: Arc::clone(&calls),
            most: usize::MAX,
        };
        let mut plain = Corked::new(inner, false);
        plain.read_u8().await.unwrap();
        plain.write_all(b"head").await.unwrap();
        assert_eq!(said(&calls), ["head"]);
    }
}
