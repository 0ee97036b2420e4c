//! A line of TCP that fails on command: what stands between two programs is never only the other
//! program.

#![allow(dead_code)] // every test program uses another part of this

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of bytes, on connections that are open and on new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Each piece is held back for so long, in both directions.
    Delay(Duration),
    /// Connections are taken and nothing goes through. What was sent is not lost: it arrives when
    /// the fault is over.
    Blackhole,
    /// Whatever the server says, the client reads this instead, once; then its end.
    Garbage(&'static [u8]),
    /// The client reads an end as soon as the server says something, and may go on writing.
    HalfClose,
    /// Of what the server says only the first byte arrives, then the connection breaks.
    CutShort,
    /// Connections break as soon as they are taken.
    Refuse,
}

/// Stands before `target`.
pub struct Line {
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    /// Counts up when everything that is open must break.
    cut: watch::Sender<u64>,
    /// Counts up when everything that is open leads nowhere from then on.
    strand: watch::Sender<u64>,
    opened: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Line {
    pub async fn to(target: SocketAddr) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, faults) = watch::channel(Fault::None);
        let (cut, cuts) = watch::channel(0);
        let (strand, strands) = watch::channel(0);
        let opened = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&opened);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (faults, mut cuts) = (faults.clone(), cuts.clone());
                let mut strands = strands.clone();
                cuts.mark_unchanged();
                strands.mark_unchanged();
                tokio::spawn(async move {
                    let mut carried = Box::pin(carry(client, target, faults));
                    tokio::select! {
                        () = &mut carried => {}
                        _ = cuts.changed() => {}
                        _ = strands.changed() => {
                            // Kept, and never looked at again.
                            let _ = cuts.changed().await;
                        }
                    }
                });
            }
        });
        Line {
            address,
            fault,
            cut,
            strand,
            opened,
            task,
        }
    }

    /// Before the server at `http://127.0.0.1:port`.
    pub async fn to_url(url: &str) -> Line {
        let url = url::Url::parse(url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        Line::to(target.parse().unwrap()).await
    }

    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Breaks everything that is open.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// What is open stays open and carries nothing any more, as when an address moves to another
    /// machine. New connections are not concerned.
    pub fn strand(&self) {
        self.strand.send_modify(|count| *count += 1);
    }

    /// How many connections were taken so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut faults: watch::Receiver<Fault>) {
    passable(&mut faults).await;
    if *faults.borrow() == Fault::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pump(from_client, to_server, faults.clone(), false);
    let down = pump(from_server, to_client, faults, true);
    // A direction that ended in order leaves the other open; one that broke takes it with it.
    let (mut up, mut down) = (Box::pin(up), Box::pin(down));
    tokio::select! {
        ended = &mut up => if ended == Ended::InOrder { down.await; },
        ended = &mut down => if ended == Ended::InOrder { up.await; },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    InOrder,
    Broken,
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
    answers: bool,
) -> Ended {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let count = match from.read(&mut piece).await {
            Ok(0) => {
                passable(&mut faults).await;
                let _ = to.shutdown().await;
                return Ended::InOrder;
            }
            Ok(count) => count,
            Err(_) => return Ended::Broken,
        };
        passable(&mut faults).await;
        let fault = *faults.borrow();
        let mut bytes = &piece[..count];
        match fault {
            Fault::None | Fault::Blackhole => {}
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::Refuse => return Ended::Broken,
            Fault::Garbage(instead) if answers => {
                let _ = to.write_all(instead).await;
                let _ = to.shutdown().await;
                return Ended::InOrder;
            }
            Fault::HalfClose if answers => {
                let _ = to.shutdown().await;
                return Ended::InOrder;
            }
            Fault::CutShort if answers => bytes = &bytes[..1],
            Fault::Garbage(_) | Fault::HalfClose | Fault::CutShort => {}
        }
        if to.write_all(bytes).await.is_err() || (answers && fault == Fault::CutShort) {
            return Ended::Broken;
        }
    }
}

/// Waits while nothing goes through.
async fn passable(faults: &mut watch::Receiver<Fault>) {
    let _ = faults.wait_for(|fault| *fault != Fault::Blackhole).await;
}
