//! A worker's connections to backends between two requests.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Line;

/// How often it is looked which have been idle for too long, or were closed by their backend.
const EVERY: Duration = Duration::from_secs(1);

/// Connections that may stand in for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group {
    /// Of one product, with one set of certificates.
    pub group: u64,
    pub address: SocketAddr,
}

#[derive(Debug)]
pub struct Idle {
    /// So many wait at the most.
    most: usize,
    /// In each group the last that came stands last.
    waiting: Mutex<Groups>,
}

type Groups = HashMap<Group, VecDeque<Waiting>, foldhash::fast::RandomState>;

#[derive(Debug)]
struct Waiting {
    line: Line,
    until: Instant,
}

impl Waiting {
    fn is_good(&mut self, now: Instant) -> bool {
        self.until > now && self.line.is_usable()
    }
}

impl Idle {
    pub fn new(most: usize) -> Arc<Idle> {
        Arc::new(Idle {
            most,
            waiting: Mutex::default(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Groups> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last that came of those that can be used. Those that came before it are the first to be closed.
    pub fn take(&self, group: Group) -> Option<Line> {
        let now = Instant::now();
        let mut waiting = self.waiting();
        let lines = waiting.get_mut(&group)?;
        std::iter::from_fn(|| lines.pop_back())
            .find_map(|mut last| last.is_good(now).then_some(last.line))
    }

    /// Keeps one for so long, in place of the one that would be closed first when there are too many.
    pub fn put(&self, group: Group, line: Line, longest: Duration) {
        let mut waiting = self.waiting();
        let until = Instant::now() + longest;
        waiting
            .entry(group)
            .or_default()
            .push_back(Waiting { line, until });
        if waiting.values().map(VecDeque::len).sum::<usize>() > self.most {
            let until = |lines: &VecDeque<Waiting>| lines.front().map(|first| first.until);
            let with_some = waiting.values_mut().filter(|lines| !lines.is_empty());
            if let Some(lines) = with_some.min_by_key(|lines| until(lines)) {
                lines.pop_front();
            }
        }
    }

    /// Closes what has been idle for too long, and what its backend has closed.
    fn tidy(&self) {
        let now = Instant::now();
        self.waiting().retain(|_, lines| {
            lines.retain_mut(|waiting| waiting.is_good(now));
            !lines.is_empty()
        });
    }

    /// Has to run on the worker itself, for as long as it does.
    pub async fn keep_tidy(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tidy();
        }
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.waiting().values().map(VecDeque::len).sum()
    }
}
