//! Audit lines on their way into the directory, where the pages of all nodes read them. The chained
//! file is written apart from this, and does not wait for it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::directory::{Directory, Line};
use crate::gate::time::Moment;
use crate::sessions::Clock;

/// Lines on their way.
const QUEUE: usize = 4096;
/// Lines written at once.
const BATCH: usize = 256;
/// So often, and so far apart, a batch is tried that can't be written.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// How long lines can be looked at; the files keep them.
const KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
const TIDYING: Duration = Duration::from_secs(60 * 60);

/// Where lines are handed in.
pub struct Lines {
    queue: mpsc::Sender<Line>,
    /// Tells this process's lines from others'.
    process: u32,
    count: AtomicU32,
}

/// What writes them.
pub struct Keeper {
    queue: mpsc::Receiver<Line>,
    directory: Directory,
    clock: Clock,
}

pub fn lines(directory: Directory, clock: Clock, process: u32) -> (Lines, Keeper) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let lines = Lines {
        queue: sender,
        process,
        count: AtomicU32::new(0),
    };
    let keeper = Keeper {
        queue,
        directory,
        clock,
    };
    (lines, keeper)
}

impl Lines {
    /// Never waits. What finds no room is told to the log; the file has it.
    pub fn record(&self, at: Moment, mut line: Line) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let apart = (u64::from(self.process) << 32) | u64::from(count);
        line.id = Line::id_at(at, apart);
        line.at = at.millis();
        if let Err(error) = self.queue.try_send(line) {
            tracing::error!(%error, "an audit line is in the file only: the directory can't keep up");
        }
    }
}

async fn over(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|over| *over).await;
}

impl Keeper {
    /// Writes until told to end, and then what is left.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut tidying = interval(TIDYING);
        tidying.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                count = self.queue.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.write(&mut batch).await;
                }
                _ = tidying.tick() => self.tidy().await,
                () = over(&mut shutdown) => break,
            }
        }
        self.queue.close();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            self.write(&mut batch).await;
        }
    }

    async fn write(&self, batch: &mut Vec<Line>) {
        for tried in 1..=TRIES {
            match self.directory.record(batch).await {
                Ok(()) => break,
                Err(error) if tried == TRIES => {
                    let lines = batch.len();
                    tracing::error!(%error, lines, "audit lines are in the file only");
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
        batch.clear();
    }

    async fn tidy(&self) {
        let before = (self.clock)().minus(KEPT);
        if let Err(error) = self.directory.forget_lines(before).await {
            tracing::warn!(%error, "old audit lines could not be let go of");
        }
    }
}
