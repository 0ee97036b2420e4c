//! The front door itself: sockets, TLS handshakes, and how many may stand in it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use pingora::apps::HttpServerApp;
use rustix::net::sockopt;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::backend::idle::Idle;
use super::challenge::{self, Witness};
use super::connection::memo::Memo;
use super::connection::{Connection, ConnectionFacts, Deadlines};
use super::turns::{Row, Turns};
use super::workers::Workers;
use crate::config::settings::Limits;
use crate::gate::host::Host;
use crate::observe::metrics::Metrics;

/// What an HTTPS listener needs besides its socket.
pub struct Door<A> {
    /// With pingora's proxies: the gateway's, or bare ones that it is measured against.
    pub workers: Arc<Workers<A>>,
    pub tls: Arc<ServerConfig>,
    pub limits: Limits,
    pub crowd: Arc<Crowd>,
    /// Whether what can leave together does. Pingora's own way is a write for each piece.
    pub corks: bool,
    /// Whom authorities ask for proofs; `None`: nobody.
    pub witness: Option<Arc<dyn Witness>>,
}

impl<A> Clone for Door<A> {
    fn clone(&self) -> Door<A> {
        Door {
            workers: Arc::clone(&self.workers),
            tls: Arc::clone(&self.tls),
            limits: self.limits.clone(),
            crowd: Arc::clone(&self.crowd),
            corks: self.corks,
            witness: self.witness.clone(),
        }
    }
}

/// Counts who is connected.
pub struct Crowd {
    places: Arc<Semaphore>,
    by_network: Mutex<HashMap<IpAddr, usize>>,
    most_by_network: usize,
    /// Proxies in front of us: everybody's connections come from their few addresses.
    uncounted: ArcSwap<Vec<IpNet>>,
    /// Who is told of those that are refused, and when that was said aloud.
    told: OnceLock<Arc<Metrics>>,
    refused: Mutex<Refused>,
    /// Connections whose first request is still to come, and doors where more may come in.
    newcomers: AtomicUsize,
    all_heard: Notify,
}

impl Crowd {
    pub fn new(limits: &Limits) -> Arc<Crowd> {
        Crowd::trusting(limits, &[])
    }

    /// Connections from `proxies` are not counted by address.
    pub fn trusting(limits: &Limits, proxies: &[IpNet]) -> Arc<Crowd> {
        Arc::new(Crowd {
            uncounted: ArcSwap::from_pointee(proxies.to_vec()),
            places: Arc::new(Semaphore::new(limits.connections)),
            by_network: Mutex::default(),
            most_by_network: limits.connections_per_address,
            told: OnceLock::new(),
            refused: Mutex::default(),
            newcomers: AtomicUsize::new(0),
            all_heard: Notify::new(),
        })
    }

    fn newcomer(self: &Arc<Crowd>) -> Newcomer {
        self.newcomers.fetch_add(1, Ordering::SeqCst);
        Newcomer(Arc::clone(self))
    }

    /// Returns when the doors are shut and everybody who was let in has said what they want: a client
    /// whose first request is on its way can't know that it came too late, and may not send it again
    /// if it is no GET (RFC 9110, 9.2.2).
    pub async fn newcomers_heard(&self) {
        loop {
            let mut heard = std::pin::pin!(self.all_heard.notified());
            // Listened for before it is looked at: the last one may come in between.
            heard.as_mut().enable();
            if self.newcomers.load(Ordering::SeqCst) == 0 {
                return;
            }
            heard.await;
        }
    }

    /// From now on refusals are counted here.
    pub fn tell(&self, metrics: Arc<Metrics>) {
        let _ = self.told.set(metrics);
    }

    /// Each is counted, and few are written down: whoever floods us must not fill the disk as well.
    fn refused(&self, address: IpAddr) {
        if let Some(metrics) = self.told.get() {
            metrics.connection_refused();
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.unsaid += 1;
        let now = Instant::now();
        if refused
            .said_at
            .is_some_and(|at| now - at < BETWEEN_COMPLAINTS)
        {
            return;
        }
        tracing::warn!(
            %address,
            refused = refused.unsaid,
            "connections are refused: this address has as many as it may have"
        );
        *refused = Refused {
            unsaid: 0,
            said_at: Some(now),
        };
    }

    /// From now on these proxies' connections are not counted by address.
    pub fn trust(&self, proxies: &[IpNet]) {
        self.uncounted.store(Arc::new(proxies.to_vec()));
    }

    /// A place for a connection from `address`; `None` when it has too many already.
    fn admit(self: &Arc<Crowd>, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut counts = self
            .by_network
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_insert(0);
        let counted = !self
            .uncounted
            .load()
            .iter()
            .any(|net| net.contains(&address));
        if counted && self.most_by_network > 0 && *count >= self.most_by_network {
            return None;
        }
        *count += 1;
        Some(Place {
            crowd: Arc::clone(self),
            network,
        })
    }
}

/// What counts as one address: a customer has a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Between two lines about refused connections.
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Refused {
    unsaid: u64,
    said_at: Option<Instant>,
}

/// Somebody whose first request is awaited, until this is dropped.
pub struct Newcomer(Arc<Crowd>);

impl Drop for Newcomer {
    fn drop(&mut self) {
        if self.0.newcomers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.all_heard.notify_waiters();
        }
    }
}

struct Place {
    crowd: Arc<Crowd>,
    network: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self
            .crowd
            .by_network
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// Lets nobody in any more when `shut` turns true, then waits for the connections that are open, at most
/// `limits.drain`. Over HTTP/1.1 they hear of it with the next answer, over HTTP/2 when `told` turns true: a client
/// that hears it before its first request gives that up.
pub async fn serve<A>(
    listener: TcpListener,
    door: Door<A>,
    mut shut: watch::Receiver<bool>,
    told: watch::Receiver<bool>,
) where
    A: HttpServerApp + Send + Sync + 'static,
{
    let mut open = JoinSet::new();
    let door_open = door.crowd.newcomer();
    while !*shut.borrow() {
        let accepted = tokio::select! {
            accepted = accept(&listener, &door.crowd) => accepted,
            _ = shut.changed() => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let address = peer.ip().to_canonical();
                let Some(place) = door.crowd.admit(address) else {
                    door.crowd.refused(address);
                    continue;
                };
                let worker = door.workers.least_busy();
                let held = (permit, place, worker.charge());
                let visitor = Visitor {
                    proxy: Arc::clone(&worker.proxy),
                    turns: Arc::clone(&worker.turns),
                    idle: Arc::clone(&worker.idle),
                    door: door.clone(),
                    peer,
                    newcomer: door.crowd.newcomer(),
                    shut: shut.clone(),
                    told: told.clone(),
                };
                let stream = stream.into_std();
                let visit = async move {
                    let _held = held;
                    // From here on it is its worker's system of events that watches it.
                    match stream.and_then(TcpStream::from_std) {
                        Ok(stream) => visitor.converse(stream).await,
                        Err(error) => tracing::warn!(%error, "a connection was lost at the door"),
                    }
                };
                open.spawn_on(visit, worker.runtime());
            }
            // Out of descriptors, or a client that is gone already: nobody is served by spinning.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    drop(door_open);
    let drained = timeout(door.limits.drain, async {
        while open.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!(connections = open.len(), "cut after the drain deadline");
    }
}

/// A fatal alert (RFC 6066, 3): rustls would say that access is denied, which browsers and graders take for
/// another matter.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, crowd: &Crowd) -> io::Result<Accepted> {
    // Take the place first: who finds none waits in the kernel's queue, not in our memory.
    let permit = Arc::clone(&crowd.places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

/// Somebody who was let in.
struct Visitor<A> {
    proxy: Arc<A>,
    turns: Arc<Turns>,
    idle: Arc<Idle>,
    door: Door<A>,
    peer: SocketAddr,
    newcomer: Newcomer,
    shut: watch::Receiver<bool>,
    told: watch::Receiver<bool>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Visitor<A> {
    async fn converse(self, stream: TcpStream) {
        let Visitor {
            proxy,
            turns,
            idle,
            door,
            peer,
            newcomer,
            shut,
            told,
        } = self;
        let _ = stream.set_nodelay(true);
        if let Err(error) = keep_alive(&stream) {
            tracing::debug!(%peer, %error, "TCP keep-alive could not be set");
        }
        let handshake = async {
            let mut start =
                LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
            let (server_name, asks) = {
                let hello = start.client_hello();
                let name = hello.server_name();
                let name = name.and_then(|name| Host::parse(name).ok());
                (name, challenge::asks(&hello))
            };
            if asks
                && let Some(tls) = testimony(door.witness.as_deref(), server_name.as_ref()).await
            {
                // The handshake is the answer (RFC 8737, 3).
                let mut stream = start.into_stream(tls).await?;
                stream.shutdown().await?;
                return Ok(None);
            }
            let resolver = &door.tls.cert_resolver;
            if resolver.resolve(start.client_hello()).is_none() {
                start.io.write_all(&UNRECOGNIZED_NAME).await?;
                start.io.shutdown().await?;
                return Err(io::Error::other("there is no certificate for the name"));
            }
            let keys = pin!(start.into_stream(Arc::clone(&door.tls)));
            let stream = turns.take(keys).await?;
            Ok::<_, io::Error>(Some((stream, server_name)))
        };
        let (stream, server_name) = match timeout(door.limits.handshake, handshake).await {
            Ok(Ok(Some(done))) => done,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!(%peer, "TLS handshake too slow");
                return;
            }
        };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let facts = ConnectionFacts {
            peer,
            server_name,
            http2,
            memo: Memo::default(),
            turns,
            row: Row::new(door.limits.streams_per_connection),
            idle,
        };
        let deadlines = Deadlines {
            head: door.limits.head,
            idle: door.limits.idle,
            body: door.limits.body,
        };
        // Up to twice what is allowed it can still be answered what was too much.
        let longest_head = (door.limits.header_bytes + door.limits.target_bytes).saturating_mul(2);
        let connection = Connection::new(proxy, facts, deadlines, longest_head);
        let connection = Arc::new(connection.with_newcomer(newcomer));
        let ends = if http2 { told } else { shut };
        connection.converse(stream, door.corks, &ends).await;
    }
}

/// A client that is gone without a word is found out in two minutes, also where silence is allowed: on
/// websockets and event streams.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(stream, 4)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

/// What an authority is shown that asks about this host, when one was told to ask.
async fn testimony(
    witness: Option<&dyn Witness>,
    host: Option<&Host>,
) -> Option<Arc<ServerConfig>> {
    let host = host?;
    let digest = witness?.in_handshake(host).await?;
    challenge::answer(host, digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_has_the_share_of_one_address() {
        let limits = Limits {
            connections_per_address: 2,
            ..Limits::SOUND
        };
        let proxy = "2001:db8:9::1/128".parse().unwrap();
        let crowd = Crowd::trusting(&limits, &[proxy]);
        let admit = |address: &str| crowd.admit(address.parse().unwrap());
        let held = [admit("2001:db8::1"), admit("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(admit("2001:db8::3").is_none());
        assert!(admit("2001:db8:0:1::1").is_some());
        assert!(admit("192.0.2.1").is_some());
        let proxies: Vec<_> = (0..3).map(|_| admit("2001:db8:9::1")).collect();
        assert!(proxies.iter().all(Option::is_some));
        drop(held);
        assert!(admit("2001:db8::3").is_some());
    }
}
