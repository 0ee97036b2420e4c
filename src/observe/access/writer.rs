//! From a request to the disk, without waiting for it.
//!
//! A request appends its line to a buffer that it shares with no other busy thread. A full buffer
//! goes to the writer thread by a bounded channel; what is not full is collected five times a
//! second. When the disk can't keep up lines are counted and dropped: a log never holds up a
//! request, and never fills the memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::AccessLine;
use crate::observe::metrics::Metrics;
use crate::observe::striped::Stripes;

/// A buffer goes to the writer when it holds so many bytes: each wakes it.
const FULL: usize = 128 * 1024;
/// More than most lines take, in bytes.
const LONGEST: usize = 4 * 1024;
/// The longest that a line waits for others.
const PATIENCE: Duration = Duration::from_millis(200);
/// Full buffers on their way to the writer: 4 MiB at most.
const QUEUE: usize = 32;
/// Written buffers that are kept for later.
const SPARES: usize = 16;
/// The longest that closing waits for the disk.
const CLOSING: Duration = Duration::from_secs(5);

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    Stdout,
    /// Appended to; [`AccessLog::reopen`] opens it anew after it was rotated away.
    File(PathBuf),
}

/// The access log. Lines of different threads are not in the order of their time.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    queue: SyncSender<Batch>,
    done: Mutex<Receiver<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Those that threads write to.
    shards: Stripes<Mutex<Batch>>,
    /// Written buffers, to be filled again: fresh memory costs more than the line.
    spares: Mutex<Vec<Vec<u8>>>,
    reopen: AtomicBool,
    closing: AtomicBool,
    lost: IntCounter,
}

impl Shared {
    fn new(lost: IntCounter) -> Shared {
        Shared {
            shards: Stripes::default(),
            spares: Mutex::default(),
            reopen: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            lost,
        }
    }

    fn spare(&self) -> Vec<u8> {
        let spare = lock(&self.spares).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(FULL + LONGEST))
    }

    fn keep(&self, mut spare: Vec<u8>) {
        let mut spares = lock(&self.spares);
        if spares.len() < SPARES && spare.capacity() > 0 {
            spare.clear();
            spares.push(spare);
        }
    }
}

#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    lines: u64,
}

impl AccessLog {
    /// Opens the sink and starts the writer.
    pub fn start(sink: Sink, metrics: &Metrics) -> io::Result<AccessLog> {
        let out = open(&sink)?;
        AccessLog::start_with(out, move || open(&sink), metrics.access_lines_lost())
    }

    fn start_with(
        out: Box<dyn Write + Send>,
        again: impl Fn() -> io::Result<Box<dyn Write + Send>> + Send + 'static,
        lost: IntCounter,
    ) -> io::Result<AccessLog> {
        let shared = Arc::new(Shared::new(lost));
        let (queue, batches) = sync_channel(QUEUE);
        let (finished, done) = sync_channel(1);
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            out,
            torn: false,
            complained: None,
        };
        thread::Builder::new()
            .name(String::from("access-log"))
            .spawn(move || {
                writer.run(&batches, again);
                // Nobody may be waiting any more.
                let _ = finished.try_send(());
            })?;
        Ok(AccessLog {
            shared,
            queue,
            done: Mutex::new(done),
        })
    }

    /// Takes one line. Never waits for the disk.
    pub fn write(&self, line: &AccessLine<'_>) {
        let full = {
            let mut batch = lock(self.shared.shards.own());
            if batch.text.capacity() == 0 {
                batch.text = self.shared.spare();
            }
            line.write(&mut batch.text);
            batch.lines += 1;
            if batch.text.len() < FULL {
                return;
            }
            std::mem::take(&mut *batch)
        };
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.queue.try_send(full)
        {
            self.shared.lost.inc_by(batch.lines);
        }
    }

    /// Opens the file again: it was renamed by whoever rotates logs.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
    }

    /// Writes what there is and stops; waits for that, but not for ever. Says whether it was done.
    pub fn close(&self) -> bool {
        self.shared.closing.store(true, Ordering::Release);
        // Wakes the writer. When the queue is full it is awake anyway.
        let _ = self.queue.try_send(Batch::default());
        match lock(&self.done).recv_timeout(CLOSING) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// A panic while a lock was held leaves at worst a half-written line behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(sink: &Sink) -> io::Result<Box<dyn Write + Send>> {
    match sink {
        Sink::Stdout => Ok(Box::new(io::stdout())),
        Sink::File(path) => {
            let file: File = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o640)
                .open(path)?;
            Ok(Box::new(file))
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    out: Box<dyn Write + Send>,
    /// The last write failed half-way: the next one begins a line of its own.
    torn: bool,
    complained: Option<Instant>,
}

impl Writer {
    fn run(
        &mut self,
        batches: &Receiver<Batch>,
        again: impl Fn() -> io::Result<Box<dyn Write + Send>>,
    ) {
        let mut swept = Instant::now();
        loop {
            let received = batches.recv_timeout(PATIENCE.saturating_sub(swept.elapsed()));
            let closing = self.shared.closing.load(Ordering::Acquire);
            match received {
                Ok(batch) => self.write(batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.sweep(),
            }
            if closing {
                batches.try_iter().for_each(|batch| self.write(batch));
                return self.sweep();
            }
            if swept.elapsed() >= PATIENCE {
                self.sweep();
                swept = Instant::now();
            }
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                match again() {
                    Ok(out) => self.out = out,
                    Err(error) => {
                        tracing::error!(%error, "the access log can't be opened again; the old file goes on")
                    }
                }
            }
        }
    }

    /// Collects what no thread has filled.
    fn sweep(&mut self) {
        let shared = Arc::clone(&self.shared);
        for shard in shared.shards.all() {
            let batch = std::mem::take(&mut *lock(shard));
            self.write(batch);
        }
        if let Err(error) = self.out.flush() {
            self.complain(&error);
        }
    }

    fn write(&mut self, batch: Batch) {
        if batch.lines > 0 {
            self.put(&batch);
        }
        self.shared.keep(batch.text);
    }

    fn put(&mut self, batch: &Batch) {
        let begun = if self.torn {
            self.out.write_all(b"\n")
        } else {
            Ok(())
        };
        match begun.and_then(|()| self.out.write_all(&batch.text)) {
            Ok(()) => self.torn = false,
            Err(error) => {
                self.torn = true;
                self.shared.lost.inc_by(batch.lines);
                self.complain(&error);
            }
        }
    }

    /// Not for each batch: a full disk would fill the program's log too.
    fn complain(&mut self, error: &io::Error) {
        if self
            .complained
            .is_none_or(|last| last.elapsed() > Duration::from_secs(10))
        {
            tracing::error!(%error, "the access log can't be written; lines are lost");
            self.complained = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;
    use crate::observe::access::line::tests::sample;

    fn counter() -> IntCounter {
        IntCounter::new("lost", "lost").unwrap()
    }

    fn to_file(path: &std::path::Path) -> AccessLog {
        let sink = Sink::File(path.to_owned());
        AccessLog::start_with(open(&sink).unwrap(), move || open(&sink), counter()).unwrap()
    }

    #[test]
    fn every_line_of_every_thread_is_in_the_file_after_closing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.jsonl");
        let log = to_file(&path);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| log.write(&sample())));
            }
        });
        assert!(log.close());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2_000);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert_eq!(log.shared.lost.get(), 0);
    }

    #[test]
    fn a_single_line_is_written_without_others_following() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.jsonl");
        let log = to_file(&path);
        log.write(&sample());
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::read(&path).unwrap().is_empty() {
            assert!(Instant::now() < deadline, "the line was not written");
            thread::yield_now();
        }
    }

    #[test]
    fn a_rotated_file_is_left_alone_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (
            dir.path().join("access.jsonl"),
            dir.path().join("access.jsonl.1"),
        );
        let log = to_file(&path);
        std::fs::rename(&path, &old).unwrap();
        log.reopen();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !path.exists() {
            assert!(Instant::now() < deadline, "the file was not opened again");
            thread::yield_now();
        }
        log.write(&sample());
        assert!(log.close());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    /// A disk that does not answer until it is told to.
    struct Stuck(Arc<(Mutex<bool>, Condvar)>);

    impl Write for Stuck {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let (freed, told) = &*self.0;
            drop(
                told.wait_while(freed.lock().unwrap(), |freed| !*freed)
                    .unwrap(),
            );
            Ok(text.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_disk_holds_up_nobody_and_its_lost_lines_are_counted() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let stuck = Stuck(Arc::clone(&gate));
        let log = AccessLog::start_with(
            Box::new(stuck),
            || Err(io::Error::other("stuck")),
            counter(),
        )
        .unwrap();
        let lines = 3 * (QUEUE * FULL / 300) as u64;
        (0..lines).for_each(|_| log.write(&sample()));
        let lost = log.shared.lost.get();
        assert!(lost > 0 && lost < lines, "{lost} of {lines}");
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        assert!(log.close());
    }

    /// Fails once in the middle of what it is given.
    struct Full(Arc<Mutex<Vec<u8>>>, bool);

    impl Write for Full {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            if std::mem::take(&mut self.1) {
                self.0.lock().unwrap().extend_from_slice(&text[..10]);
                return Err(io::Error::other("no space left"));
            }
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_failed_write_the_next_line_stands_alone() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lost = counter();
        let mut writer = Writer {
            shared: Arc::new(Shared::new(lost.clone())),
            out: Box::new(Full(Arc::clone(&seen), true)),
            torn: false,
            complained: None,
        };
        let mut batch = Batch {
            text: Vec::new(),
            lines: 1,
        };
        sample().write(&mut batch.text);
        writer.put(&batch);
        writer.put(&batch);
        assert_eq!(lost.get(), 1);
        let seen = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        let last = seen.lines().last().unwrap();
        serde_json::from_str::<serde_json::Value>(last).unwrap();
    }
}
