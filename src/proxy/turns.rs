//! Who goes first on a worker that has more to do than it has time for. A handshake, and a request
//! of somebody who is not signed in that reaches no backend (sign-in pages, refusals), are a stranger's:
//! while anybody else is about, strangers begin one after the other, after each round of the worker's
//! events, and have [`SHARE`] of its time. So a flood of sign-ins or of connections holds up itself.
//!
//! Of the requests of one connection ([`Row`]) one at a time stands in the worker's queue. So it is no longer
//! than there are connections, and nobody's handshake is behind all that another client may ask at once.
//!
//! Only beginning waits for that, when nothing is held yet. What has begun goes on, since it may hold
//! what others wait for; but many who go on at once (a write to the store answers all who asked for it)
//! let everybody else go between [`AT_ONCE`] of them and the next.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::observe::metrics::Metrics;

/// Of a worker's time strangers have one part in so many, while anybody else is about.
const SHARE: u32 = 3;
/// So far ahead of their share strangers may be.
const AHEAD: Duration = Duration::from_millis(10);
/// So long strangers who have begun go on before everybody else who is ready has a turn.
const AT_ONCE: Duration = Duration::from_micros(500);
/// Who was served is about for so long at least, and for twice as long at the most.
const ABOUT: Duration = Duration::from_secs(5);

/// Whoever is called begins.
type Call = oneshot::Sender<()>;

/// A worker's.
pub struct Turns {
    /// Somebody who is no stranger was served since the last look.
    served: AtomicBool,
    /// Strangers take turns.
    guarded: AtomicBool,
    spent: Mutex<Spent>,
    waiting: mpsc::UnboundedSender<Call>,
    /// Who is told when they have to wait for their share.
    told: OnceLock<Arc<Metrics>>,
}

/// What strangers had.
struct Spent {
    /// When it will have been no more than their share: later than now, they are ahead of it.
    even: Instant,
    /// Since everybody else had a turn.
    at_once: Duration,
    /// How often one of those who stood back for everybody else was the first to go on.
    round: u64,
}

/// Somebody who has begun and lets everybody else go first.
struct Aside {
    round: u64,
    /// Ends when everything else that is ready has run, and the system was asked for more.
    pause: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Strangers' requests of one connection that wait.
#[derive(Debug)]
pub struct Row {
    /// For a place in the worker's queue; closed with the connection.
    first: Semaphore,
    waiting: AtomicUsize,
    most: usize,
}

impl Row {
    /// `most`: so many requests a connection may have. When more wait, most of them were taken back.
    pub fn new(most: usize) -> Row {
        Row {
            first: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
            most,
        }
    }

    /// Nobody is there any more to be answered.
    pub fn close(&self) {
        self.first.close();
    }

    /// One waits more, until what is returned is dropped. `None`: there are too many.
    fn join(&self) -> Option<InRow<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let joined = InRow(self);
        (before < self.most).then_some(joined)
    }
}

struct InRow<'a>(&'a Row);

impl Drop for InRow<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Calls those who wait for a turn, one after the other.
pub struct Caller {
    turns: Arc<Turns>,
    waiting: mpsc::UnboundedReceiver<Call>,
}

impl Turns {
    /// The caller has to run on the worker itself. Without one nobody waits.
    pub fn new() -> (Arc<Turns>, Caller) {
        let (sender, waiting) = mpsc::unbounded_channel();
        let turns = Arc::new(Turns {
            served: AtomicBool::new(false),
            guarded: AtomicBool::new(false),
            spent: Mutex::new(Spent {
                even: Instant::now(),
                at_once: Duration::ZERO,
                round: 0,
            }),
            waiting: sender,
            told: OnceLock::new(),
        });
        let caller = Caller {
            turns: Arc::clone(&turns),
            waiting,
        };
        (turns, caller)
    }

    /// From now on what strangers wait is counted there.
    pub fn tell(&self, metrics: Arc<Metrics>) {
        let _ = self.told.set(metrics);
    }

    /// Somebody who is no stranger is served.
    pub fn serves(&self) {
        self.served.store(true, Ordering::Relaxed);
        self.guarded.store(true, Ordering::Relaxed);
    }

    /// Does a stranger's work, from its turn on.
    pub async fn take<T>(&self, work: Pin<&mut impl Future<Output = T>>) -> T {
        if self.has_to_wait() {
            self.wait().await;
        }
        self.do_stranger(work).await
    }

    /// The same for one of a connection's requests. `None`: the connection ended before its turn came, or
    /// more requests of it wait than it may have.
    pub async fn take_from<T>(
        &self,
        row: &Row,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        if self.has_to_wait() {
            let _waiting = row.join()?;
            let _first = row.first.acquire().await.ok()?;
            self.wait().await;
            if row.first.is_closed() {
                return None;
            }
        }
        Some(self.do_stranger(work).await)
    }

    async fn do_stranger<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        let mut aside = None;
        poll_fn(|context| {
            if !self.guarded.load(Ordering::Relaxed) {
                return work.as_mut().poll(context);
            }
            if self.stands_aside(&mut aside, context) {
                return Poll::Pending;
            }
            let begun = Instant::now();
            let step = work.as_mut().poll(context);
            self.spent(begun, begun.elapsed());
            step
        })
        .await
    }

    /// Whether everybody else goes before a step of what has begun.
    fn stands_aside(&self, aside: &mut Option<Aside>, context: &mut Context<'_>) -> bool {
        if let Some(stood) = aside {
            if stood.pause.as_mut().poll(context).is_pending() {
                return true;
            }
            let mut spent = self.lock();
            if spent.round == stood.round {
                spent.round += 1;
                spent.at_once = Duration::ZERO;
            }
            *aside = None;
        }
        let (round, at_once) = {
            let spent = self.lock();
            (spent.round, spent.at_once)
        };
        if at_once < AT_ONCE {
            return false;
        }
        let mut pause: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(tokio::task::yield_now());
        let waits = pause.as_mut().poll(context).is_pending();
        *aside = waits.then_some(Aside { round, pause });
        waits
    }

    fn has_to_wait(&self) -> bool {
        self.guarded.load(Ordering::Relaxed) && !self.ahead(Instant::now()).is_zero()
    }

    /// Until it is called.
    async fn wait(&self) {
        let (call, called) = oneshot::channel();
        if self.waiting.send(call).is_ok() {
            let _ = called.await;
        }
    }

    /// How far ahead of their share strangers are.
    fn ahead(&self, now: Instant) -> Duration {
        self.lock().even.saturating_duration_since(now)
    }

    /// Strangers had so much time.
    fn spent(&self, begun: Instant, time: Duration) {
        let mut spent = self.lock();
        spent.at_once += time;
        // What others left them is not saved up, and one that was held up long ago is forgiven.
        let next = spent.even.max(begun) + time.saturating_mul(SHARE);
        spent.even = next.min(begun + ABOUT);
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Never returns.
    pub async fn run(mut self) {
        let mut look = interval(ABOUT);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = look.tick() => {
                    let served = self.turns.served.swap(false, Ordering::Relaxed);
                    self.turns.guarded.store(served, Ordering::Relaxed);
                }
                Some(call) = self.waiting.recv() => self.call(call).await,
            }
        }
    }

    async fn call(&self, call: Call) {
        let now = Instant::now();
        let ahead = self.turns.ahead(now);
        if ahead > AHEAD && self.turns.guarded.load(Ordering::Relaxed) {
            sleep_until(now + ahead - AHEAD).await;
            if let Some(metrics) = self.turns.told.get() {
                metrics.strangers_held_back(now.elapsed());
            }
        }
        if call.send(()).is_ok() {
            // Until everything else that is ready has run, and the system was asked for more.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;

    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3600);

    /// A worker's turns, with somebody about.
    fn guarded() -> Arc<Turns> {
        let (turns, caller) = Turns::new();
        tokio::spawn(caller.run());
        turns.serves();
        turns
    }

    /// How long it is until a stranger has a turn.
    async fn wait(turns: &Turns) -> Duration {
        let begun = Instant::now();
        turns.take(pin!(ready(()))).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_have_their_share_of_the_time() {
        let turns = guarded();
        assert_eq!(wait(&turns).await, Duration::ZERO);
        turns.spent(Instant::now(), 100 * MILLI);
        let waited = wait(&turns).await;
        // A hundred of three hundred, and a few ahead.
        assert!((290 * MILLI..=291 * MILLI).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_leave_is_not_saved_up() {
        let turns = guarded();
        tokio::time::advance(ABOUT / 2).await;
        turns.spent(Instant::now(), 100 * MILLI);
        let waited = wait(&turns).await;
        assert!((290 * MILLI..=291 * MILLI).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_wait_for_nobody_who_is_gone() {
        let (turns, caller) = Turns::new();
        tokio::spawn(caller.run());
        turns.spent(Instant::now(), HOUR);
        assert_eq!(wait(&turns).await, Duration::ZERO);
        turns.serves();
        let waited = wait(&turns).await;
        assert!((ABOUT / 2..=ABOUT).contains(&waited), "{waited:?}");
        tokio::time::sleep(2 * ABOUT).await;
        turns.spent(Instant::now(), HOUR);
        assert_eq!(wait(&turns).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_begun_waits_no_more() {
        let turns = guarded();
        let begun = Instant::now();
        let work = async {
            turns.spent(Instant::now(), HOUR);
            for _ in 0..10 {
                yield_now().await;
            }
        };
        turns.take(pin!(work)).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(wait(&turns).await > ABOUT / 2);
    }

    #[tokio::test]
    async fn what_strangers_do_is_paid_from_their_share() {
        let turns = guarded();
        let work = async {
            for _ in 0..3 {
                let step = Instant::now();
                while step.elapsed() < 10 * MILLI {}
                yield_now().await;
            }
        };
        turns.take(pin!(work)).await;
        assert!(turns.ahead(Instant::now()) > 50 * MILLI);
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_strangers_everybody_else_has_a_turn() {
        let turns = guarded();
        turns.spent(Instant::now(), MILLI);
        let (note, mut steps) = mpsc::unbounded_channel();
        for _ in 0..50 {
            let (turns, note) = (Arc::clone(&turns), note.clone());
            tokio::spawn(async move {
                let work = async { note.send("stranger").unwrap() };
                turns.take(pin!(work)).await;
            });
        }
        tokio::spawn(async move {
            for _ in 0..100 {
                note.send("known").unwrap();
                yield_now().await;
            }
        });
        let (mut in_a_row, mut strangers) = (0, 0);
        while let Some(step) = steps.recv().await {
            match step {
                "stranger" => (in_a_row, strangers) = (in_a_row + 1, strangers + 1),
                _ => in_a_row = 0,
            }
            assert!(in_a_row <= 1, "{strangers}");
        }
        assert_eq!(strangers, 50);
    }

    #[tokio::test]
    async fn between_many_who_go_on_at_once_everybody_else_has_a_turn() {
        const MANY: usize = 50;
        let turns = guarded();
        let (answer, _) = tokio::sync::watch::channel(());
        let (note, mut steps) = mpsc::unbounded_channel();
        for _ in 0..MANY {
            let (turns, note, mut answer) = (Arc::clone(&turns), note.clone(), answer.subscribe());
            tokio::spawn(async move {
                let work = async {
                    note.send("begun").unwrap();
                    answer.changed().await.unwrap();
                    let step = Instant::now();
                    while step.elapsed() < AT_ONCE / 2 {}
                    note.send("goes on").unwrap();
                };
                turns.take(pin!(work)).await;
            });
        }
        for _ in 0..MANY {
            assert_eq!(steps.recv().await, Some("begun"));
        }
        answer.send(()).unwrap();
        tokio::spawn(async move {
            while note.send("known").is_ok() {
                yield_now().await;
            }
        });
        let (mut in_a_row, mut strangers) = (0, 0);
        while strangers < MANY {
            match steps.recv().await.unwrap() {
                "known" => in_a_row = 0,
                _ => (in_a_row, strangers) = (in_a_row + 1, strangers + 1),
            }
            // Two of them in a round; everybody else may come first in one and last in the next.
            assert!(in_a_row <= 4, "{strangers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_left_the_queue_holds_nobody_up() {
        let turns = guarded();
        turns.spent(Instant::now(), 100 * MILLI);
        for _ in 0..5 {
            assert!(timeout(MILLI, wait(&turns)).await.is_err());
        }
        assert!(wait(&turns).await <= 300 * MILLI);
    }

    /// Has so many of a connection's requests wait; says whose turn it was, or that it never will be.
    fn ask(
        turns: &Arc<Turns>,
        row: &Arc<Row>,
        requests: usize,
        note: &mpsc::UnboundedSender<(char, bool)>,
        who: char,
    ) {
        for _ in 0..requests {
            let (turns, row, note) = (Arc::clone(turns), Arc::clone(row), note.clone());
            tokio::spawn(async move {
                let done = turns.take_from(&row, pin!(ready(()))).await;
                note.send((who, done.is_some())).unwrap();
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_connection_one_at_a_time_stands_before_the_others() {
        let turns = guarded();
        turns.spent(Instant::now(), 100 * MILLI);
        let (note, mut done) = mpsc::unbounded_channel();
        let rows = [(); 2].map(|()| Arc::new(Row::new(50)));
        ask(&turns, &rows[0], 50, &note, 'a');
        for _ in 0..50 {
            yield_now().await;
        }
        ask(&turns, &rows[1], 2, &note, 'b');
        let mut order = String::new();
        for _ in 0..5 {
            let (who, served) = done.recv().await.unwrap();
            assert!(served);
            order.push(who);
        }
        assert_eq!(order, "ababa");
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_connection_may_have_do_not_wait() {
        let turns = guarded();
        turns.spent(Instant::now(), 100 * MILLI);
        let begun = Instant::now();
        let (note, mut done) = mpsc::unbounded_channel();
        let row = Arc::new(Row::new(3));
        ask(&turns, &row, 5, &note, 'a');
        for served in [false, false, true, true, true] {
            assert_eq!(done.recv().await, Some(('a', served)));
            assert_eq!(begun.elapsed() > MILLI, served);
        }
        // Others have their places then.
        turns.spent(Instant::now(), 100 * MILLI);
        ask(&turns, &row, 3, &note, 'a');
        for _ in 0..3 {
            assert_eq!(done.recv().await, Some(('a', true)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_connection_that_is_gone() {
        let turns = guarded();
        turns.spent(Instant::now(), 100 * MILLI);
        let begun = Instant::now();
        let (note, mut done) = mpsc::unbounded_channel();
        let row = Arc::new(Row::new(50));
        ask(&turns, &row, 50, &note, 'a');
        yield_now().await;
        row.close();
        for place in 0..50 {
            assert_eq!(done.recv().await, Some(('a', false)));
            // The one that stood in the worker's queue is the last to hear of it.
            assert_eq!(begun.elapsed() > MILLI, place == 49);
        }
        assert_eq!(row.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn where_nobody_calls_nobody_waits() {
        let (turns, _) = Turns::new();
        turns.serves();
        turns.spent(Instant::now(), HOUR);
        let waited = timeout(Duration::from_secs(30), wait(&turns)).await;
        assert!(waited.is_ok());
    }
}
