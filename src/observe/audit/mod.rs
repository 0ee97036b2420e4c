//! The audit trail: what happened to whose access, in a file where nothing can be changed, removed
//! or moved without it being found.
//!
//! `audit.jsonl` is only ever appended to. Each line carries the hash of the line before and its
//! own, so that a changed, removed or moved line breaks the chain. `audit.jsonl.head` beside it
//! holds the last line's number and hash: without it, nobody would miss the last lines. Whoever can
//! write both files can forge both; ship the lines elsewhere ([`export`]) against that. Whoever puts
//! a trail away to begin a new one puts both away, and `audit.jsonl.trail` with its name.
//!
//! A file that has grown long is put aside as `audit.jsonl.N`, and the chain goes on in a new one.
//! Where the chain stands is noted in the directory every few seconds ([`Head`]): who has the files
//! alone can't make them say otherwise about what was noted.
//!
//! Several processes may write (a gateway and `vestibule people reset-mfa`): they take turns by a
//! lock on the file.

mod chain;
mod event;
mod segments;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;

pub use chain::{
    Anchor, Exported, FirstBreak, Verified, VerifyError, Wanted, export, trail_name, verify,
    verify_against,
};
pub use event::AuditEvent;
use writer::{Chain, Writer};

use super::metrics::Metrics;

/// Events on their way to the disk.
const QUEUE: usize = 4096;
/// The longest that [`Audit::flush`] waits for the disk.
const FLUSHING: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("{path}: the audit trail can't be opened: {source}")]
    Unusable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{path}: the last line of the audit trail is not whole ({why}); see `vestibule audit verify`, and move it and its .head away to begin a new one"
    )]
    Broken { path: PathBuf, why: &'static str },
}

/// The trail of one process. Events are written in the order in which they are recorded.
#[derive(Debug)]
pub struct Audit {
    queue: SyncSender<Message>,
    failures: IntCounter,
    head: Arc<Mutex<Option<Head>>>,
    stuck: Arc<AtomicBool>,
}

/// Where a trail stands: worth keeping elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The trail's name.
    pub trail: String,
    /// The number and the hash of the last line that this process wrote.
    pub seq: u64,
    pub hash: String,
}

/// Bytes after which a file is put aside, where nothing else is said.
pub const ROTATE_AT: u64 = 64 << 20;

#[derive(Debug)]
enum Message {
    Event(Box<AuditEvent>),
    Flush(SyncSender<()>),
}

impl Audit {
    /// Opens the trail, going on where it ended, and starts its writer.
    pub fn open(path: impl Into<PathBuf>, metrics: &Metrics) -> Result<Audit, AuditError> {
        Audit::open_rotating(path, ROTATE_AT, metrics)
    }

    /// [`Audit::open`] for files of another length, in bytes.
    pub fn open_rotating(
        path: impl Into<PathBuf>,
        rotate_at: u64,
        metrics: &Metrics,
    ) -> Result<Audit, AuditError> {
        Audit::begin(path.into(), rotate_at, metrics.audit_failures())
    }

    #[cfg(test)]
    fn open_counting(path: PathBuf, failures: IntCounter) -> Result<Audit, AuditError> {
        Audit::begin(path, ROTATE_AT, failures)
    }

    fn begin(path: PathBuf, rotate_at: u64, failures: IntCounter) -> Result<Audit, AuditError> {
        let chain = Chain::open(&path, rotate_at)?;
        let head = Arc::new(Mutex::new(chain.head().filter(|head| head.seq > 0)));
        let (queue, messages): (_, Receiver<Message>) = sync_channel(QUEUE);
        let stuck: Arc<AtomicBool> = Arc::default();
        let mut writer = Writer::new(
            chain,
            failures.clone(),
            Arc::clone(&head),
            Arc::clone(&stuck),
        );
        thread::Builder::new()
            .name(String::from("audit"))
            .spawn(move || writer.run(&messages))
            .map_err(|source| AuditError::Unusable { path, source })?;
        Ok(Audit {
            queue,
            failures,
            head,
            stuck,
        })
    }

    /// Whether the last lines could be written. While they can't (a full disk), they are held in
    /// memory and tried again each second, and nothing should be done that has to be on record.
    pub fn is_writable(&self) -> bool {
        !self.stuck.load(Ordering::Acquire)
    }

    /// Where the trail stood when this process wrote last; `None` while it is empty.
    pub fn head(&self) -> Option<Head> {
        let head = self.head.lock();
        head.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes an event. Never waits for the disk; what finds no room is counted and told to the log.
    pub fn record(&self, event: AuditEvent) {
        if let Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) =
            self.queue.try_send(Message::Event(Box::new(event)))
        {
            self.failures.inc();
            if let Message::Event(event) = lost {
                tracing::error!(
                    event = event.event().as_str(),
                    "an audit event was lost: its writer can't keep up"
                );
            }
        }
    }

    /// Waits until everything recorded before is on the disk, but not for ever. Says whether it is.
    pub fn flush(&self) -> bool {
        let (written, wait) = sync_channel(1);
        self.queue.try_send(Message::Flush(written)).is_ok() && wait.recv_timeout(FLUSHING).is_ok()
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.flush();
    }
}
