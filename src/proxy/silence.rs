//! Connections to backends whose answer may become a stream of events. How long a backend may be
//! silent depends on what its answer is, and pingora 0.9.1 would have one timeout for all of it. So
//! the request's own watch counts that (see [`super::connection`]), and says here, where pingora reads,
//! that the time is over: pingora then fails as with a timeout of its own, and the client is told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::Result;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::HttpPeer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::RequestScope;
use super::websocket::{self, PATIENCE};

/// Apart from all groups that are counted, from below and, for websockets, from above.
const APART: u64 = 1 << 63;

/// Has a request's peer connected so that its silence can be told. Such connections are kept for each
/// other.
pub fn hear_of(peer: &mut HttpPeer) {
    peer.group_key ^= APART;
    let patience = peer.options.connection_timeout.unwrap_or(PATIENCE);
    peer.options.custom_l4 = Some(Arc::new(Interruptible { patience }));
}

#[derive(Debug)]
struct Interruptible {
    patience: std::time::Duration,
}

#[async_trait]
impl L4Connect for Interruptible {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let stream = websocket::connect(address, self.patience).await?;
        Ok(VirtualSocketStream::new(Box::new(Socket(stream))).into())
    }
}

#[derive(Debug)]
struct Socket(TcpStream);

impl VirtualSocket for Socket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.0.set_nodelay(true),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        // What did come goes on. Between two requests there is no scope.
        if read.is_pending() && RequestScope::current().is_some_and(|scope| scope.is_given_up()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
