use pingora::connectors::TransportConnector;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::proxy::connection::ConnectionFacts;
use crate::proxy::connection::memo::Memo;
use crate::proxy::forward::saying;
use crate::proxy::turns::{Row, Turns};

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

const GROUP: u64 = 1;

const TIMEOUTS: Timeouts = Timeouts {
    connect: LONG,
    read: LONG,
    write: LONG,
    idle: LONG,
};

/// A backend, and pingora on its way to it.
struct Way {
    listener: TcpListener,
    pingora: TransportConnector,
    peer: HttpPeer,
    scope: Arc<RequestScope>,
}

impl Way {
    async fn with(timeouts: Timeouts) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut peer = HttpPeer::new(address, false, String::new());
        connect_here(&mut peer, GROUP, timeouts, None);
        let scope = RequestScope::alone(ConnectionFacts {
            peer: address,
            server_name: None,
            http2: false,
            memo: Memo::default(),
            turns: Turns::new().0,
            row: Row::new(1),
            idle: Idle::new(2),
        });
        Way {
            listener,
            pingora: TransportConnector::new(None),
            peer,
            scope: Arc::new(scope),
        }
    }

    async fn new() -> Way {
        Way::with(TIMEOUTS).await
    }

    fn idle(&self) -> &Arc<Idle> {
        &self.scope.connection.idle
    }

    /// As pingora gets one for a request; the second is true when it had waited here.
    async fn get(&self) -> (pingora::protocols::Stream, bool) {
        let work = self.pingora.get_stream(&self.peer);
        let (stream, reused) = Arc::clone(&self.scope).during(work).await.unwrap();
        assert!(!reused, "pingora's own pool has nothing");
        (stream, self.scope.was_backend_idle())
    }

    /// Sends a request's head.
    async fn ask(&self, stream: &mut pingora::protocols::Stream) {
        self.scope.say(saying());
        let work = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
        Arc::clone(&self.scope).during(work).await.unwrap();
    }

    /// As pingora gives one back after a whole answer.
    fn release(&self, stream: pingora::protocols::Stream) {
        let key = pingora::upstreams::peer::Peer::reuse_hash(&self.peer);
        self.pingora.release_stream(stream, key, Some(LONG));
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// A connection that waits, and the backend's end of it.
    async fn kept(&self) -> TcpStream {
        let (stream, _) = self.get().await;
        let backend = self.accept().await;
        self.release(stream);
        backend
    }
}

/// Reads a request's head.
async fn hear_head(backend: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(backend.read_u8().await.unwrap());
    }
}

/// Until the system has told what the other end did.
async fn until(what: impl Fn() -> bool) {
    timeout(LONG, async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_pingora_gives_back_waits_here_and_is_used_again() {
    let way = Way::new().await;
    let (mut stream, was_idle) = way.get().await;
    assert!(!was_idle);
    way.ask(&mut stream).await;
    stream.write_all(b"one").await.unwrap();
    let mut backend = way.accept().await;
    hear_head(&mut backend).await;
    way.release(stream);
    assert_eq!(way.idle().count(), 1);

    let (mut stream, was_idle) = way.get().await;
    assert!(was_idle);
    assert_eq!(way.idle().count(), 0);
    let mut heard = [0; 3];
    backend.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"one");
    way.ask(&mut stream).await;
    stream.write_all(b"two").await.unwrap();
    hear_head(&mut backend).await;
    backend.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"two", "both came over one connection");
    backend.write_all(b"three").await.unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"three");
}

#[tokio::test]
async fn what_pingora_drops_is_closed() {
    let way = Way::new().await;
    let (stream, _) = way.get().await;
    drop(stream);
    assert_eq!(way.idle().count(), 0);
    assert_eq!(way.accept().await.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_pingora_shuts_down_is_closed() {
    let way = Way::new().await;
    let (mut stream, _) = way.get().await;
    pingora::protocols::Shutdown::shutdown(&mut *stream).await;
    drop(stream);
    assert_eq!(way.idle().count(), 0);
}

#[tokio::test]
async fn what_still_has_something_to_say_is_not_kept() {
    let way = Way::new().await;
    for said in [&b"more"[..], b""] {
        let (stream, _) = way.get().await;
        let mut backend = way.accept().await;
        backend.write_all(said).await.unwrap();
        backend.shutdown().await.unwrap();
        // What came is seen once the system was asked for it.
        tokio::time::sleep(SOON).await;
        way.release(stream);
        assert_eq!(way.idle().count(), 0, "{said:?}");
    }
}

#[tokio::test]
async fn what_the_backend_closed_or_talked_over_meanwhile_is_not_used() {
    let way = Way::new().await;
    let backend = way.kept().await;
    drop(backend);
    tokio::time::sleep(SOON).await;
    let (stream, was_idle) = way.get().await;
    assert!(!was_idle);
    let mut backend = way.accept().await;
    way.release(stream);
    backend.write_all(b"unasked").await.unwrap();
    tokio::time::sleep(SOON).await;
    assert!(!way.get().await.1);
}

/// The other end does it while the runtime is busy: only the system knows of it.
#[tokio::test]
async fn what_came_since_the_runtime_last_heard_is_seen() {
    let way = Way::new().await;
    for said in [&b"unasked"[..], b""] {
        let backend = way.kept().await.into_std().unwrap();
        std::io::Write::write_all(&mut &backend, said).unwrap();
        backend.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(!way.get().await.1, "{said:?}");
        drop(way.accept().await);
    }
}

#[tokio::test]
async fn what_waited_for_too_long_is_not_used() {
    let way = Way::with(Timeouts {
        idle: SOON,
        ..TIMEOUTS
    })
    .await;
    let _backend = way.kept().await;
    tokio::time::pause();
    tokio::time::advance(SOON).await;
    tokio::time::resume();
    assert!(!way.get().await.1);
}

#[tokio::test]
async fn what_nobody_uses_for_too_long_is_closed() {
    let way = Way::with(Timeouts {
        idle: SOON,
        ..TIMEOUTS
    })
    .await;
    let mut backend = way.kept().await;
    tokio::spawn(Arc::clone(way.idle()).keep_tidy());
    let closed = timeout(LONG, backend.read(&mut [0])).await.unwrap();
    assert_eq!((closed.unwrap(), way.idle().count()), (0, 0));
}

#[tokio::test]
async fn what_the_backend_closes_is_closed() {
    let way = Way::new().await;
    let backend = way.kept().await;
    tokio::spawn(Arc::clone(way.idle()).keep_tidy());
    assert_eq!(way.idle().count(), 1);
    drop(backend);
    until(|| way.idle().count() == 0).await;
}

#[tokio::test]
async fn of_too_many_the_first_is_closed() {
    let way = Way::new().await;
    let mut lines = Vec::new();
    let mut backends = Vec::new();
    for _ in 0..3 {
        lines.push(way.get().await.0);
        backends.push(way.accept().await);
    }
    for line in lines {
        way.release(line);
    }
    assert_eq!(way.idle().count(), 2);
    assert_eq!(backends[0].read(&mut [0]).await.unwrap(), 0);
    // The last one is the first to be used again.
    let (mut stream, _) = way.get().await;
    way.ask(&mut stream).await;
    assert_eq!(backends[2].read(&mut [0]).await.unwrap(), 1);
}

/// Longer than what the system takes at once, so that it goes in pieces.
#[tokio::test]
async fn what_the_gateway_says_comes_once_and_where_the_head_ends() {
    let way = Way::new().await;
    let (mut stream, _) = way.get().await;
    let mut backend = way.accept().await;
    let head = format!("GET / HTTP/1.1\r\nlong: {}\r\n\r\n", "x".repeat(8 << 20));
    let saying = saying();
    let mut expected = saying.join(head.as_bytes()).unwrap();
    expected.extend_from_slice(b"body");
    way.scope.say(saying);
    let talk = Arc::clone(&way.scope).during(async move {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"body").await.unwrap();
    });
    let mut came = Vec::new();
    let (_, read) = tokio::join!(talk, backend.read_to_end(&mut came));
    read.unwrap();
    assert!(came == expected);
    assert!(way.scope.take_saying().is_none());
}

#[tokio::test]
async fn half_a_head_is_not_sent_without_what_the_gateway_says() {
    let way = Way::new().await;
    let (mut stream, _) = way.get().await;
    let mut backend = way.accept().await;
    way.scope.say(saying());
    let work = stream.write_all(b"GET / HTTP/1.1\r\n");
    let refused = Arc::clone(&way.scope).during(work).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    for bytes in [&b"Host: a\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let work = stream.write_all(bytes);
        let refused = Arc::clone(&way.scope).during(work).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
    drop(stream);
    assert_eq!(backend.read(&mut [0]).await.unwrap(), 0);
}

struct Waiting;

impl std::task::Wake for Waiting {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test]
async fn what_waits_holds_nothing_of_the_request_before() {
    let way = Way::new().await;
    let (mut stream, _) = way.get().await;
    let _backend = way.accept().await;
    let waiting = Arc::new(Waiting);
    let read_once = std::future::poll_fn(|_| {
        let waker = std::task::Waker::from(Arc::clone(&waiting));
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let read = Pin::new(&mut stream).poll_read(&mut Context::from_waker(&waker), &mut buffer);
        assert!(read.is_pending());
        Poll::Ready(())
    });
    Arc::clone(&way.scope).during(read_once).await;
    assert!(Arc::strong_count(&waiting) > 1, "who waits is woken");
    way.release(stream);
    assert_eq!((way.idle().count(), Arc::strong_count(&waiting)), (1, 1));
}

#[tokio::test]
async fn products_and_addresses_are_kept_apart() {
    let mut way = Way::new().await;
    let _backend = way.kept().await;
    connect_here(&mut way.peer, GROUP + 1, TIMEOUTS, None);
    assert!(!way.get().await.1);
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let other = HttpPeer::new(address, false, String::new());
    let mut here = std::mem::replace(&mut way.peer, other);
    connect_here(&mut way.peer, GROUP, TIMEOUTS, None);
    assert!(!way.get().await.1);
    connect_here(&mut here, GROUP, TIMEOUTS, None);
    way.peer = here;
    assert!(way.get().await.1);
}

#[tokio::test]
async fn a_websockets_is_never_one_that_waited_and_never_waits() {
    let way = Way::new().await;
    let _backend = way.kept().await;
    let mut peer = way.peer.clone();
    connect_for_websocket(&mut peer, TIMEOUTS, None);
    let work = way.pingora.get_stream(&peer);
    let (stream, _) = Arc::clone(&way.scope).during(work).await.unwrap();
    assert!(!way.scope.was_backend_idle());
    drop(stream);
    assert_eq!(way.idle().count(), 1);
}

/// What reading ends with, and whether the request was given up.
async fn read(way: &Way, stream: &mut pingora::protocols::Stream) -> (io::Result<usize>, bool) {
    let mut byte = [0];
    let read = Arc::clone(&way.scope).during(stream.read(&mut byte)).await;
    (read, way.scope.is_given_up())
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_is_given_up_when_its_time_is_over() {
    let way = Way::new().await;
    way.scope.body_is_read();
    let (mut stream, _) = way.get().await;
    let mut backend = way.accept().await;
    way.ask(&mut stream).await;
    let begun = Instant::now();
    let (read, given_up) = read(&way, &mut stream).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(given_up);
    let waited = begun.elapsed();
    assert!(waited >= LONG && waited < LONG + SOON, "{waited:?}");
    hear_head(&mut backend).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_still_told_something_is_not_silent() {
    let way = Way::new().await;
    let (mut stream, _) = way.get().await;
    way.ask(&mut stream).await;
    let _backend = way.accept().await;
    let (mut from, mut to) = tokio::io::split(stream);
    let talk = async {
        for pause in [LONG * 2 / 3, LONG / 3, LONG * 3 / 2] {
            tokio::time::sleep(pause).await;
            to.write_all(b"more").await.unwrap();
        }
        way.scope.body_is_read();
    };
    let begun = Instant::now();
    let mut byte = [0];
    let listen = Arc::clone(&way.scope).during(from.read(&mut byte));
    let (listened, ()) = tokio::join!(listen, talk);
    assert_eq!(listened.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let waited = begun.elapsed();
    let expected = LONG * 7 / 2;
    assert!(waited >= expected && waited < expected + SOON, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_may_be_silent_is_waited_for() {
    let way = Way::new().await;
    let (mut stream, _) = way.get().await;
    let mut backend = way.accept().await;
    way.scope.body_is_read();
    way.scope.let_answer_be_silent();
    let say = async {
        tokio::time::sleep(LONG * 3).await;
        backend.write_all(b"!").await.unwrap();
    };
    let ((read, given_up), ()) = tokio::join!(read(&way, &mut stream), say);
    assert_eq!((read.unwrap(), given_up), (1, false));
}
