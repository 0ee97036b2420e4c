//! Connections to backends that are to become websockets.
//!
//! While a request is on its way, pingora 0.9.1 waits for two things at once: the backend's answer
//! and the end of the request's body, which is empty here. When the 101 is taken first, the body's
//! end that comes after it is taken for the websocket's, which is closed at its first moment. On a
//! busy machine both are often there when it looks. A connection that has nothing to read in the
//! moment after a write keeps them in order.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr as _, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// So often a read after a write comes back later. One is what is needed; the second is for a task
/// that had used up its turn when it looked first.
const TURNS: u8 = 2;

/// Without a timeout of the product's own.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Has a request's peer connected so that a websocket opens. Such connections are never reused, and
/// none that was kept is taken: it would not be one of these.
pub fn open_in_order(peer: &mut HttpPeer) {
    peer.group_key = u64::MAX.wrapping_sub(peer.group_key);
    let patience = peer.options.connection_timeout.unwrap_or(PATIENCE);
    peer.options.custom_l4 = Some(Arc::new(InOrder { patience }));
}

pub(super) async fn connect(address: &SocketAddr, patience: Duration) -> Result<TcpStream> {
    let Some(address) = address.as_inet() else {
        return Error::e_explain(ErrorType::ConnectError, "not an internet address");
    };
    timeout(patience, TcpStream::connect(address))
        .await
        .or_err_with(ErrorType::ConnectTimedout, || format!("to {address}"))?
        .or_err_with(ErrorType::ConnectError, || format!("to {address}"))
}

#[derive(Debug)]
struct InOrder {
    patience: Duration,
}

#[async_trait]
impl L4Connect for InOrder {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let stream = connect(address, self.patience).await?;
        let socket = Socket { stream, turns: 0 };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// So many reads come back later.
    turns: u8,
}

impl VirtualSocket for Socket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            // Keep-alive probes: websockets have pings of their own.
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
        if let Some(turns) = self.turns.checked_sub(1) {
            self.turns = turns;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.turns = TURNS;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
