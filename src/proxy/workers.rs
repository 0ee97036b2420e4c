//! The threads that serve connections: one for each processor, each with a runtime, a proxy and
//! connections to backends of its own. A request stays on the thread that its connection came to, so
//! that nothing wakes a sleeping thread on its way. A runtime whose threads take each other's work
//! costs a fifth more (docs/measuring.md).

use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::backend::idle::Idle;
use super::turns::Turns;
use crate::observe::metrics::Metrics;

/// Idle connections to backends that all workers together keep.
const MOST_IDLE: usize = 1024;

/// All of them. What still runs on them is dropped with this.
pub struct Workers<A> {
    first: Worker<A>,
    others: Vec<Worker<A>>,
}

pub struct Worker<A> {
    pub proxy: Arc<A>,
    pub turns: Arc<Turns>,
    /// Connections to backends that nobody uses at the moment.
    pub idle: Arc<Idle>,
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    /// Nothing is ever sent: the thread ends when this is gone.
    _over: oneshot::Sender<Infallible>,
}

/// A connection that is counted as its worker's, until this is dropped.
pub struct Charge(Arc<AtomicUsize>);

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As many as this process has processors: what its affinity and its control group leave it.
pub fn one_for_each_processor() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl<A> Workers<A> {
    /// Starts so many; `proxy` makes one for each.
    ///
    /// # Errors
    /// When the system gives no more threads or descriptors.
    pub fn start(how_many: NonZeroUsize, proxy: impl Fn() -> A) -> io::Result<Workers<A>> {
        let most_idle = MOST_IDLE.div_ceil(how_many.get());
        let start = |number| Worker::start(number, proxy(), most_idle);
        let others: io::Result<Vec<Worker<A>>> = (1..how_many.get()).map(start).collect();
        Ok(Workers {
            first: start(0)?,
            others: others?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Worker<A>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The one with the fewest connections.
    pub fn least_busy(&self) -> &Worker<A> {
        self.all()
            .min_by_key(|worker| worker.connections.load(Ordering::Relaxed))
            .unwrap_or(&self.first)
    }

    /// From now on what strangers wait for is counted there.
    pub fn tell(&self, metrics: &Arc<Metrics>) {
        for worker in self.all() {
            worker.turns.tell(Arc::clone(metrics));
        }
    }

    /// Returns when each has had a turn: one that is held up for good never has.
    pub async fn take_turns(&self) {
        for worker in self.all() {
            let _ = worker.runtime.spawn(std::future::ready(())).await;
        }
    }

    pub fn proxies(&self) -> impl Iterator<Item = &Arc<A>> {
        self.all().map(|worker| &worker.proxy)
    }
}

impl<A> Worker<A> {
    fn start(number: usize, proxy: A, most_idle: usize) -> io::Result<Worker<A>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (turns, caller) = Turns::new();
        runtime.spawn(caller.run());
        let idle = Idle::new(most_idle);
        runtime.spawn(Arc::clone(&idle).keep_tidy());
        let (over, until_over) = oneshot::channel();
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let _ = runtime.block_on(until_over);
            })?;
        Ok(Worker {
            proxy: Arc::new(proxy),
            turns,
            idle,
            runtime: handle,
            connections: Arc::default(),
            _over: over,
        })
    }

    /// Where its connections are served.
    pub const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// One connection more is its own from now on.
    pub fn charge(&self) -> Charge {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Charge(Arc::clone(&self.connections))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn workers(how_many: usize) -> Workers<()> {
        Workers::start(NonZeroUsize::new(how_many).unwrap(), || ()).unwrap()
    }

    fn place<A>(workers: &Workers<A>, worker: &Worker<A>) -> usize {
        let of = |other: &Worker<A>| std::ptr::eq(other, worker);
        workers.all().position(of).unwrap()
    }

    #[test]
    fn who_has_the_fewest_connections_gets_the_next() {
        let workers = workers(3);
        let mut held: Vec<(usize, Charge)> = Vec::new();
        for expected in [0, 1, 2, 0, 1] {
            let least = workers.least_busy();
            assert_eq!(place(&workers, least), expected);
            held.push((expected, least.charge()));
        }
        held.retain(|(worker, _)| *worker != 1);
        assert_eq!(place(&workers, workers.least_busy()), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_held_up_has_no_turn() {
        let workers = workers(2);
        workers.take_turns().await;
        let (release, until_released) = mpsc::channel::<()>();
        workers.first.runtime().spawn(async move {
            let _ = until_released.recv();
        });
        let turns = tokio::time::timeout(PATIENCE, workers.take_turns());
        assert!(turns.await.is_err());
        drop(release);
        workers.take_turns().await;
    }

    #[test]
    fn one_that_is_held_up_holds_up_nobody_else() {
        let workers = workers(2);
        let (release, until_released) = mpsc::channel::<()>();
        let (say, said) = mpsc::channel();
        let mut all = workers.all();
        let (held_up, free) = (all.next().unwrap(), all.next().unwrap());
        held_up.runtime().spawn(async move {
            let _ = until_released.recv();
        });
        free.runtime().spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            say.send(thread::current().name().map(str::to_owned))
        });
        let name = said.recv_timeout(PATIENCE).unwrap();
        assert_eq!(name.as_deref(), Some("worker-1"));
        drop(release);
    }

    #[test]
    fn what_runs_on_them_ends_with_them() {
        let workers = workers(2);
        let (alive, ended) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        for worker in workers.all() {
            let (alive, begun) = (alive.clone(), begun.clone());
            worker.runtime().spawn(async move {
                let _alive = alive;
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            });
        }
        drop(alive);
        for _ in workers.all() {
            has_begun.recv_timeout(PATIENCE).unwrap();
        }
        drop(workers);
        let error = ended.recv_timeout(PATIENCE).unwrap_err();
        assert_eq!(error, mpsc::RecvTimeoutError::Disconnected);
    }

    #[test]
    fn each_has_a_proxy_of_its_own() {
        let workers = Workers::start(NonZeroUsize::new(2).unwrap(), String::new).unwrap();
        let proxies: Vec<_> = workers.proxies().map(Arc::as_ptr).collect();
        assert_eq!(proxies.len(), 2);
        assert_ne!(proxies.first(), proxies.last());
    }
}
