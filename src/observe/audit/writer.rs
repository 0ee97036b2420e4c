//! The one thread that appends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;

use super::chain::{LONGEST_LINE, Link, read_head, read_line, take_current, write_head};
use super::segments::{last_of, name_of, read_name, segment_path, segments, write_name};
use super::{AuditError, AuditEvent, Head, Message};

/// Events that are written, and synced to the disk, at once.
const BATCH: usize = 256;
/// Between attempts to write what could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// The file, and how far this process knows it.
#[derive(Debug)]
pub(super) struct Chain {
    path: PathBuf,
    known: Link,
    /// Bytes after which the file is put aside and the next one begun.
    rotate_at: u64,
    trail: Option<String>,
}

impl Chain {
    pub fn open(path: &Path, rotate_at: u64) -> Result<Chain, AuditError> {
        let mut chain = Chain {
            path: path.to_owned(),
            known: Link::origin(),
            rotate_at,
            trail: None,
        };
        let unusable = |source| AuditError::Unusable {
            path: path.to_owned(),
            source,
        };
        let mut file = chain.turn().map_err(unusable)?;
        chain.known = match chain.last(&mut file).map_err(unusable)? {
            Ok(link) => link,
            Err(why) => {
                return Err(AuditError::Broken {
                    path: path.to_owned(),
                    why,
                });
            }
        };
        chain.trail = read_name(path).map_err(unusable)?;
        tracing::info!(seq = chain.known.seq, head = %chain.known.hash, "the audit trail goes on");
        Ok(chain)
    }

    /// Opens and locks the file. Each time anew: it may have been moved away.
    pub fn turn(&self) -> io::Result<File> {
        let open = || {
            OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path)
        };
        take_current(&self.path, open, File::try_lock)
    }

    #[cfg(test)]
    pub fn known(&self) -> Link {
        self.known.clone()
    }

    /// The place of the last line, and what the directory may be told of it.
    pub fn head(&self) -> Option<Head> {
        let trail = self.trail.clone()?;
        Some(Head {
            trail,
            seq: self.known.seq,
            hash: self.known.hash.clone(),
        })
    }

    /// The file that is this process's turn, and the line after which it goes on there.
    fn begin(&self) -> io::Result<(File, Link)> {
        let mut file = self.turn()?;
        let link = self.after(&mut file)?;
        match self.put_aside(&file, &link)? {
            true => self.begin_next(&file),
            false => Ok((file, link)),
        }
    }

    /// Puts a file aside that has grown long. The head beside it knows its last line already.
    pub fn put_aside(&self, file: &File, link: &Link) -> io::Result<bool> {
        if link.seq == 0 || file.metadata()?.len() < self.rotate_at {
            return Ok(false);
        }
        std::fs::rename(&self.path, segment_path(&self.path, link.seq))?;
        tracing::info!(last = link.seq, "the audit trail goes on in a new file");
        Ok(true)
    }

    /// Another process may have been the first to write into the new file: the chain goes on after its
    /// lines. Nobody who still waits for the old file gets it (`_locked`) before the new one is this process's.
    pub fn begin_next(&self, _locked: &File) -> io::Result<(File, Link)> {
        let mut file = self.turn()?;
        let link = self.after(&mut file)?;
        Ok((file, link))
    }

    /// [`Self::last`], also where somebody wrote into the file.
    fn after(&self, file: &mut File) -> io::Result<Link> {
        Ok(self.last(file)?.unwrap_or_else(|why| {
            // What this process knows goes on; `verify` finds the place.
            tracing::error!(why, "the last line of the audit trail is not whole");
            self.known.clone()
        }))
    }

    /// The place of the last line, or the last that is known to have been there: when lines have
    /// vanished the chain goes on from where it was, so that the gap stays visible.
    fn last(&self, file: &mut File) -> io::Result<Result<Link, &'static str>> {
        let in_file = match tail(file)? {
            None => match segments(&self.path)?.last() {
                None => Link::origin(),
                Some(segment) => match last_of(segment)? {
                    Ok(link) => link,
                    Err(why) => return Ok(Err(why)),
                },
            },
            Some(line) => match read_line(&line) {
                Ok(whole) => whole.link,
                Err(why) => return Ok(Err(why)),
            },
        };
        let at_head = read_head(&self.path)?.unwrap_or_else(Link::origin);
        let known = if at_head.seq > self.known.seq {
            &at_head
        } else {
            &self.known
        };
        if known.seq > in_file.seq {
            tracing::error!(
                expected = known.seq,
                found = in_file.seq,
                "lines of the audit trail were removed"
            );
            return Ok(Ok(known.clone()));
        }
        Ok(Ok(in_file))
    }

    /// Appends all of `events` or none, and waits for the disk.
    pub fn append<'a>(&mut self, events: impl Iterator<Item = &'a AuditEvent>) -> io::Result<()> {
        let (file, link) = self.begin()?;
        self.write(file, link, events)
    }

    pub fn write<'a>(
        &mut self,
        mut file: File,
        mut link: Link,
        events: impl Iterator<Item = &'a AuditEvent>,
    ) -> io::Result<()> {
        if self.trail.is_none() && link.seq > 0 {
            // Another process began the trail since this one opened it empty.
            self.trail = read_name(&self.path)?;
        }
        let mut text = Vec::new();
        for event in events {
            link = link.extend(event, &mut text);
            if link.seq == 1 {
                let name = name_of(&link);
                write_name(&self.path, &name)?;
                self.trail = Some(name);
            }
        }
        let length = file.metadata()?.len();
        if let Err(error) = file.write_all(&text).and_then(|()| file.sync_data()) {
            // Half a line would break the chain.
            file.set_len(length)?;
            return Err(error);
        }
        self.known = link;
        write_head(&self.path, &self.known).unwrap_or_else(
            |error| tracing::error!(%error, "the audit trail's head can't be written"),
        );
        Ok(())
    }
}

/// The last line, without its line feed. What follows the last line feed was being written when
/// the machine stopped, and was never confirmed: it is cut off.
fn tail(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * LONGEST_LINE as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(2 * LONGEST_LINE as u64).read_to_end(&mut end)?;
    let kept = end
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if kept < end.len() {
        tracing::warn!(
            bytes = end.len() - kept,
            "the audit trail ended in the middle of a line, which is cut off"
        );
        end.truncate(kept);
        file.set_len(from + kept as u64)?;
    }
    end.pop();
    let start = end
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let line = end.split_off(start);
    Ok((!line.is_empty()).then_some(line))
}

pub(super) struct Writer {
    chain: Chain,
    failures: IntCounter,
    pending: Vec<AuditEvent>,
    waiting: Vec<SyncSender<()>>,
    head: Arc<Mutex<Option<Head>>>,
    /// Whether what was tried last could not be written.
    stuck: Arc<AtomicBool>,
}

impl Writer {
    pub fn new(
        chain: Chain,
        failures: IntCounter,
        head: Arc<Mutex<Option<Head>>>,
        stuck: Arc<AtomicBool>,
    ) -> Writer {
        Writer {
            head,
            stuck,
            chain,
            failures,
            pending: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Writes until nobody can record any more. What can't be written is tried again; meanwhile
    /// the queue fills, and whoever records is told.
    pub fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let first = if self.pending.is_empty() {
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                messages.recv_timeout(RETRY)
            };
            match first {
                Ok(message) => {
                    self.take(message);
                    while self.pending.len() < BATCH
                        && let Ok(message) = messages.try_recv()
                    {
                        self.take(message);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    return;
                }
            }
            if !self.write() && self.pending.len() >= BATCH {
                std::thread::sleep(RETRY);
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event(event) => self.pending.push(*event),
            Message::Flush(written) => self.waiting.push(written),
        }
    }

    fn write(&mut self) -> bool {
        if !self.pending.is_empty()
            && let Err(error) = self.chain.append(self.pending.iter())
        {
            self.failures.inc();
            self.stuck.store(true, Ordering::Release);
            tracing::error!(%error, events = self.pending.len(), "the audit trail can't be written");
            return false;
        }
        self.pending.clear();
        self.stuck.store(false, Ordering::Release);
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = self.chain.head();
        for waiting in self.waiting.drain(..) {
            // Whoever waited may have given up.
            let _ = waiting.try_send(());
        }
        true
    }
}
