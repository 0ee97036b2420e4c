//! The way to a Redis that is slow, silent, closed or back: a server of a few lines in memory, and
//! time that passes only when everybody waits.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance};

use super::super::Keys;
use super::super::ends::Ends;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Each piece that is read is answered after so long.
    After(Duration),
    /// What is asked stays unanswered until the mood changes.
    Mute,
    /// No connection is taken.
    Refusing,
}

const PROMPT: Mood = Mood::After(Duration::ZERO);

/// As much of a Redis as is needed: a clone is the same one.
#[derive(Clone)]
pub struct Server {
    mood: watch::Sender<Mood>,
    /// Pieces that were read.
    asked: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    conversations: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// What is open and leads nowhere any more.
    stranded: Arc<Mutex<Vec<DuplexStream>>>,
    strand: watch::Sender<u64>,
    has_scripts: Arc<AtomicBool>,
    /// So many scripts are refused before the first is run.
    loading: Arc<AtomicU64>,
    ran: Arc<AtomicU64>,
}

impl Server {
    fn start() -> Server {
        Server {
            mood: watch::channel(PROMPT).0,
            asked: Arc::default(),
            opened: Arc::default(),
            conversations: Arc::default(),
            stranded: Arc::default(),
            strand: watch::channel(0).0,
            has_scripts: Arc::default(),
            loading: Arc::default(),
            ran: Arc::default(),
        }
    }

    pub async fn dial(&self, config: AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        if *self.mood.borrow() == Mood::Refusing {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        self.opened.fetch_add(1, Ordering::SeqCst);
        let (here, there) = tokio::io::duplex(64 * 1024);
        let conversation = tokio::spawn(self.clone().converse(there));
        self.conversations.lock().unwrap().push(conversation);
        let info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        let (line, driver) = MultiplexedConnection::new_with_config(&info, here, config).await?;
        tokio::spawn(driver);
        Ok(line)
    }

    async fn converse(self, mut stream: DuplexStream) {
        let mut stranding = self.strand.subscribe();
        stranding.mark_unchanged();
        let mut mood = self.mood.subscribe();
        let mut piece = vec![0; 16 * 1024];
        loop {
            // First: a turn that comes after both must not answer.
            let count = tokio::select! {
                biased;
                _ = stranding.changed() => break,
                count = stream.read(&mut piece) => count.unwrap_or(0),
            };
            if count == 0 {
                return;
            }
            self.asked.fetch_add(1, Ordering::SeqCst);
            let replies = self.replies(&String::from_utf8_lossy(&piece[..count]));
            let ready = async {
                let mood = *mood.wait_for(|mood| *mood != Mood::Mute).await.unwrap();
                if let Mood::After(time) = mood {
                    sleep(time).await;
                }
            };
            tokio::select! {
                biased;
                _ = stranding.changed() => break,
                () = ready => {}
            }
            if stream.write_all(replies.as_bytes()).await.is_err() {
                return;
            }
        }
        self.stranded.lock().unwrap().push(stream);
    }

    fn is(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Ends what is open.
    fn hang_up(&self) {
        for conversation in self.conversations.lock().unwrap().drain(..) {
            conversation.abort();
        }
    }

    /// What is open stays so, and nothing comes over it any more, as when an address moves.
    fn strand(&self) {
        self.strand.send_modify(|count| *count += 1);
    }

    /// To whole commands, as the client library sends them.
    fn replies(&self, commands: &str) -> String {
        let words = commands.split("\r\n").collect::<Vec<_>>();
        let mut replies = String::new();
        for (at, word) in words.iter().enumerate() {
            replies += match *word {
                "HELLO" => "%1\r\n$5\r\nproto\r\n:3\r\n",
                "CLIENT" => "+OK\r\n",
                "PING" => "+PONG\r\n",
                "EVALSHA" => self.run(),
                "SCRIPT" => "$5\r\nhello\r\n",
                "SUBSCRIBE" => {
                    let channel = words[at + 2];
                    let length = channel.len();
                    replies +=
                        &format!(">3\r\n$9\r\nsubscribe\r\n${length}\r\n{channel}\r\n:1\r\n");
                    continue;
                }
                _ => continue,
            };
        }
        replies
    }

    fn run(&self) -> &'static str {
        if !self.has_scripts.load(Ordering::SeqCst) {
            return "-NOSCRIPT No matching script.\r\n";
        }
        let one_less = |count: u64| count.checked_sub(1);
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        if self.loading.fetch_update(set, fetch, one_less).is_ok() {
            return "-LOADING Redis is loading the dataset in memory\r\n";
        }
        self.ran.fetch_add(1, Ordering::SeqCst);
        "_\r\n"
    }

    fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }
}

/// A gateway's link, kept up, and what it said since it was connected.
struct Home {
    link: Arc<Link>,
    heard: broadcast::Receiver<Event>,
    keeper: JoinHandle<()>,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Home {
    async fn at(server: &Server) -> Home {
        let (events, _) = broadcast::channel(64);
        let source = Source::Scripted(server.clone());
        let link = Link::over(source, String::from("changed"), events.clone()).await;
        let link = link.map_err(Missing::reason).unwrap();
        Home {
            heard: events.subscribe(),
            keeper: tokio::spawn(Arc::clone(&link).keep_up()),
            link,
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        ping(&self.link).await
    }

    async fn until_it_answers(&self) {
        while self.ping().await.is_err() {
            sleep(MILLI).await;
        }
    }

    fn said(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

/// Timers count in whole milliseconds.
fn about(begun: Instant, span: Duration) -> bool {
    begun.elapsed().abs_diff(span) < 10 * MILLI
}

async fn ping(link: &Link) -> Result<(), StoreError> {
    let (which, mut line) = link.line().await?;
    let ping = redis::cmd("PING");
    let reply: String = link.settle(&which, ping.query_async(&mut line)).await?;
    assert_eq!(reply, "PONG");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn replies_after_seven_tenths_of_a_second_are_replies() {
    let server = Server::start();
    let mut home = Home::at(&server).await;
    server.is(Mood::After(700 * MILLI));
    for _ in 0..100 {
        home.ping().await.unwrap();
    }
    assert!(home.said().is_empty(), "nothing was lost");
    assert_eq!(server.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_slow_to_answer_each_question_is_connected_to() {
    let server = Server::start();
    server.is(Mood::After(1_900 * MILLI));
    let mut home = Home::at(&server).await;
    home.ping().await.unwrap();
    server.hang_up();
    let begun = Instant::now();
    home.until_it_answers().await;
    assert!(begun.elapsed() < 8 * SECOND, "{:?}", begun.elapsed());
    for _ in 0..10 {
        home.ping().await.unwrap();
    }
    assert_eq!(home.said(), [Event::Lost, Event::Connected]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_is_made_anew_while_those_who_ask_wait() {
    let server = Server::start();
    let mut home = Home::at(&server).await;
    for _ in 0..5 {
        server.hang_up();
        assert_eq!(home.heard.recv().await, Ok(Event::Lost));
        home.ping().await.unwrap();
        assert_eq!(home.said(), [Event::Connected]);
    }
    assert_eq!(server.opened(), 6);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_server_that_is_known_to_be_away() {
    let server = Server::start();
    let mut home = Home::at(&server).await;
    server.is(Mood::Mute);
    let begun = Instant::now();
    home.ping().await.unwrap_err();
    assert!(about(begun, 2 * SECOND), "one reply's time");
    assert_eq!(home.said(), [Event::Lost]);
    home.ping().await.unwrap_err();
    assert!(about(begun, 4 * SECOND), "perhaps it comes back at once");
    for _ in 0..1_000 {
        home.ping().await.unwrap_err();
    }
    assert!(about(begun, 4 * SECOND));

    server.is(Mood::Refusing);
    server.hang_up();
    sleep(60 * SECOND).await;
    let begun = Instant::now();
    home.ping().await.unwrap_err();
    assert!(about(begun, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_again_is_used_again_at_once() {
    let server = Server::start();
    let mut home = Home::at(&server).await;
    for outage in [3, 10, 59, 600] {
        server.is(Mood::Mute);
        home.ping().await.unwrap_err();
        sleep(Duration::from_secs(outage)).await;
        home.ping().await.unwrap_err();
        server.is(PROMPT);
        let begun = Instant::now();
        home.until_it_answers().await;
        assert!(begun.elapsed() < SECOND / 10, "{:?}", begun.elapsed());
        assert_eq!(home.said(), [Event::Lost, Event::Connected]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_comes_over_old_connections_a_new_one_is_there_within_a_second() {
    let server = Server::start();
    let home = Home::at(&server).await;
    for outage in [0, 1, 7, 31, 100] {
        server.is(Mood::Mute);
        home.ping().await.unwrap_err();
        sleep(Duration::from_secs(outage) + 321 * MILLI).await;
        // Whatever was begun until now leads nowhere.
        server.strand();
        server.is(PROMPT);
        let begun = Instant::now();
        home.until_it_answers().await;
        assert!(
            begun.elapsed() < 1_300 * MILLI,
            "{:?} after {outage}",
            begun.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_started_again_is_found_at_the_next_try() {
    let server = Server::start();
    let mut home = Home::at(&server).await;
    for outage in [1, 10, 3_600] {
        server.is(Mood::Refusing);
        server.hang_up();
        sleep(Duration::from_secs(outage)).await;
        home.ping().await.unwrap_err();
        server.is(PROMPT);
        let begun = Instant::now();
        home.until_it_answers().await;
        assert!(
            begun.elapsed() < RETRY_EVERY + 10 * MILLI,
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(home.said(), [Event::Lost, Event::Connected]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_late_while_others_are_answered_costs_nobody_the_connection() {
    let server = Server::start();
    let mut home = Home::at(&server).await;
    server.is(Mood::After(1_500 * MILLI));
    for _ in 0..10 {
        let link = Arc::clone(&home.link);
        let first = tokio::spawn(async move { ping(&link).await });
        sleep(100 * MILLI).await;
        // Its turn comes when the first is answered: in three seconds.
        home.ping().await.unwrap_err();
        first.await.unwrap().unwrap();
        // The reply that nobody waits for any more is nobody else's.
        sleep(2 * SECOND).await;
        home.ping().await.unwrap();
    }
    assert!(home.said().is_empty());
    assert_eq!(server.opened(), 1);
}

/// The machine was asleep, or had so much to do that this process had no turn.
#[tokio::test(start_paused = true)]
async fn time_without_a_turn_is_not_the_servers_silence() {
    let server = Server::start();
    let mut home = Home::at(&server).await;
    server.is(Mood::After(100 * MILLI));
    for _ in 0..10 {
        let before = server.asked.load(Ordering::SeqCst);
        let asking = tokio::spawn({
            let link = Arc::clone(&home.link);
            async move { ping(&link).await }
        });
        while server.asked.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        advance(60 * SECOND).await;
        asking.await.unwrap().unwrap();
    }
    assert!(home.said().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_scripts_hash_costs_the_connection_and_no_more() {
    let server = Server::start();
    let mut home = Home::at(&server).await;
    let script = super::super::script::Script::new("return 1");
    let (which, mut line) = home.link.line().await.unwrap();
    let call = script.key("a");
    let done = home.link.settle(&which, call.invoke::<i64>(&mut line));
    let error = done.await.unwrap_err().to_string();
    assert!(error.contains("another script's hash"), "{error}");
    home.ping().await.unwrap();
    assert_eq!(home.said(), [Event::Lost, Event::Connected]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ended_before_it_was_used_is_not_used() {
    let server = Server::start();
    let home = Home::at(&server).await;
    let line = home.link.open(Patience::TRY).await;
    let line = line.map_err(Missing::reason).unwrap();
    server.hang_up();
    while !line.pulse().is_over() {
        tokio::task::yield_now().await;
    }
    assert!(!home.link.take_up(line));
}

/// The link is up: no connection that is new will say that the server is ready.
#[tokio::test(start_paused = true)]
async fn ends_that_a_server_refuses_while_it_loads_are_said_when_it_has_loaded() {
    let server = Server::start();
    let home = Home::at(&server).await;
    let keys = Keys {
        prefix: String::from("v:"),
        channel: String::from("changed"),
    };
    server.has_scripts.store(true, Ordering::SeqCst);
    let ends = Ends::new(Arc::clone(&home.link), &keys);
    let keeper = tokio::spawn(Arc::clone(&ends).keep_up(home.heard.resubscribe()));
    const ENDED: u64 = 100;
    for count in 1..=ENDED {
        ends.say(SessionId::from_bytes([count as u8; 16]))
            .await
            .unwrap();
    }
    server.ran.store(0, Ordering::SeqCst);
    server.loading.store(50, Ordering::SeqCst);
    server.hang_up();
    let begun = Instant::now();
    while server.ran.load(Ordering::SeqCst) < ENDED {
        assert!(begun.elapsed() < 30 * SECOND, "{:?}", server.ran);
        sleep(MILLI).await;
    }
    // A server that refuses is not asked all the time.
    assert!(begun.elapsed() >= 3 * SECOND, "{:?}", begun.elapsed());

    // So many changes that some of them are missed are no new connection.
    for _ in 0..200 {
        let id = SessionId::from_bytes([1; 16]);
        home.link.events.send(Event::Changed(id)).unwrap();
    }
    sleep(10 * SECOND).await;
    assert_eq!(server.ran.load(Ordering::SeqCst), ENDED);

    // What is still refused when it is no longer of lately is let go of.
    server.loading.store(u64::MAX, Ordering::SeqCst);
    server.hang_up();
    sleep(600 * SECOND).await;
    let refused = server.loading.load(Ordering::SeqCst);
    sleep(60 * SECOND).await;
    assert_eq!(server.loading.load(Ordering::SeqCst), refused);
    keeper.abort();
}
