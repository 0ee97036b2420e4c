//! The form of a line, and reading a trail again.
//!
//! `{"seq":N,…,"previous":"…","hash":"…"}`: `hash` is SHA-256, in hexadecimal, of everything before
//! `,"hash"`; `previous` is the `hash` of line N−1, and zeros on the first.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

use super::event::AuditEvent;
use crate::gate::time::Moment;
use crate::observe::json::{put_hex, put_number};

/// Longer than any line that is written here, in bytes.
pub(super) const LONGEST_LINE: usize = 64 * 1024;
const HASH_KEY: &[u8] = b",\"hash\":\"";
const HASH_END: &[u8] = b"\"}";
/// The longest wait for another process to finish its turn.
const TURN: Duration = Duration::from_secs(5);

/// A line's place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub seq: u64,
    /// 64 hexadecimal digits.
    pub hash: String,
}

impl Link {
    /// What stands before the first line.
    pub fn origin() -> Link {
        Link {
            seq: 0,
            hash: "0".repeat(64),
        }
    }

    /// Appends `event` as the line after this one, and returns its place.
    pub fn extend(&self, event: &AuditEvent, out: &mut Vec<u8>) -> Link {
        let seq = self.seq.saturating_add(1);
        let mut line = b"{\"seq\":".to_vec();
        put_number(&mut line, seq);
        event.write(&mut line);
        line.extend_from_slice(b",\"previous\":\"");
        line.extend_from_slice(self.hash.as_bytes());
        line.push(b'"');
        let hash = hash_of(&line);
        out.extend_from_slice(&line);
        out.extend_from_slice(HASH_KEY);
        out.extend_from_slice(hash.as_bytes());
        out.extend_from_slice(HASH_END);
        out.push(b'\n');
        Link { seq, hash }
    }

    /// Reads the written form of the head file.
    fn parse(text: &str) -> Option<Link> {
        let (seq, hash) = text.trim_end().split_once(' ')?;
        (hash.len() == 64).then_some(Link {
            seq: seq.parse().ok()?,
            hash: hash.to_owned(),
        })
    }
}

fn hash_of(bytes: &[u8]) -> String {
    let mut hex = Vec::with_capacity(64);
    put_hex(&mut hex, digest(&SHA256, bytes).as_ref());
    String::from_utf8(hex).unwrap_or_default()
}

/// A line that is whole in itself.
#[derive(Debug)]
pub(super) struct Whole {
    pub link: Link,
    previous: String,
}

#[derive(Deserialize)]
struct Places {
    seq: u64,
    previous: String,
    hash: String,
}

/// Reads a line without its line feed; the error says what is wrong with it.
pub(super) fn read_line(line: &[u8]) -> Result<Whole, &'static str> {
    let tail = HASH_KEY.len() + 64 + HASH_END.len();
    let (said, seal) = line
        .len()
        .checked_sub(tail)
        .and_then(|at| line.split_at_checked(at))
        .ok_or("it is no audit line")?;
    if !seal.starts_with(HASH_KEY) || !seal.ends_with(HASH_END) {
        return Err("it is no audit line");
    }
    let places: Places = serde_json::from_slice(line).map_err(|_| "it is no audit line")?;
    if hash_of(said) != places.hash {
        return Err("its text was altered");
    }
    Ok(Whole {
        link: Link {
            seq: places.seq,
            hash: places.hash,
        },
        previous: places.previous,
    })
}

pub(super) fn head_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".head");
    PathBuf::from(name)
}

pub(super) fn read_head(path: &Path) -> io::Result<Option<Link>> {
    match std::fs::read_to_string(head_path(path)) {
        Ok(text) => Ok(Link::parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the head in one step: a crash leaves the old one or the new one.
pub(super) fn write_head(path: &Path, link: &Link) -> io::Result<()> {
    let head = head_path(path);
    let mut fresh = head.clone().into_os_string();
    fresh.push(".new");
    std::fs::write(&fresh, format!("{} {}\n", link.seq, link.hash))?;
    std::fs::rename(&fresh, &head)
}

/// Waits for the other processes' turns, but not for ever.
pub(super) fn take_turn(
    try_lock: impl Fn() -> Result<(), std::fs::TryLockError>,
) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
            Err(std::fs::TryLockError::WouldBlock) if begun.elapsed() > TURN => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another process keeps it locked",
                ));
            }
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A trail in which nothing was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub lines: u64,
    /// The last line's hash; the same later, at the same number, says that nothing before changed.
    pub head: String,
}

/// The first line at which the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct FirstBreak {
    /// Counted from 1.
    pub line: u64,
    pub why: String,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the audit trail can't be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error(transparent)]
    Broken(#[from] FirstBreak),
}

/// Reads the whole trail at `path` and checks every link.
pub fn verify(path: &Path) -> Result<Verified, VerifyError> {
    let file = File::open(path)?;
    take_turn(|| file.try_lock_shared())?;
    let head = read_head(path)?;
    let mut before = Link::origin();
    let mut lines = Lines::new(file);
    while let Some(line) = lines.next()? {
        before = check(&before, line?, head.as_ref()).map_err(|why| FirstBreak {
            line: before.seq.saturating_add(1),
            why,
        })?;
    }
    match head {
        Some(head) if head.seq > before.seq => Err(FirstBreak {
            line: before.seq.saturating_add(1),
            why: format!(
                "lines were removed at the end: there have been {}",
                head.seq
            ),
        }
        .into()),
        _ => Ok(Verified {
            lines: before.seq,
            head: before.hash,
        }),
    }
}

fn check(before: &Link, line: &[u8], head: Option<&Link>) -> Result<Link, String> {
    let whole = read_line(line)?;
    let expected = before.seq.saturating_add(1);
    if whole.link.seq != expected {
        return Err(format!(
            "it is number {}: lines were removed, added or moved",
            whole.link.seq
        ));
    }
    if whole.previous != before.hash {
        return Err(String::from(
            "it does not follow the line before: that one was replaced",
        ));
    }
    match head {
        Some(head) if head.seq == expected && head.hash != whole.link.hash => Err(String::from(
            "it is not the line that was written last: that one was replaced",
        )),
        _ => Ok(whole.link),
    }
}

/// Lines of bounded length, one at a time.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn new(file: File) -> Lines {
        Lines {
            reader: BufReader::new(file),
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line without its line feed; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Result<&[u8], FirstBreak>>> {
        self.line.clear();
        self.number += 1;
        let longest = LONGEST_LINE as u64 + 1;
        if self
            .reader
            .by_ref()
            .take(longest)
            .read_until(b'\n', &mut self.line)?
            == 0
        {
            return Ok(None);
        }
        Ok(Some(match self.line.split_last() {
            Some((b'\n', line)) => Ok(line),
            _ => Err(FirstBreak {
                line: self.number,
                why: String::from("it is cut off"),
            }),
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    pub lines: u64,
    /// Lines that are no audit lines and were passed over.
    pub unreadable: u64,
}

/// Copies the lines from `from` (inclusive) to `to` (exclusive) as they stand. Checks no links.
pub fn export(
    path: &Path,
    from: Option<Moment>,
    to: Option<Moment>,
    out: &mut impl Write,
) -> io::Result<Exported> {
    #[derive(Deserialize)]
    struct Timed {
        time: String,
    }
    let file = File::open(path)?;
    take_turn(|| file.try_lock_shared())?;
    let mut exported = Exported {
        lines: 0,
        unreadable: 0,
    };
    let mut lines = Lines::new(file);
    while let Some(line) = lines.next()? {
        let timed = line
            .ok()
            .and_then(|line| Some((line, serde_json::from_slice::<Timed>(line).ok()?)));
        match timed.and_then(|(line, timed)| Some((line, Moment::parse_rfc3339(&timed.time)?))) {
            None => exported.unreadable += 1,
            Some((_, time))
                if from.is_some_and(|from| time < from) || to.is_some_and(|to| time >= to) => {}
            Some((line, _)) => {
                out.write_all(line)?;
                out.write_all(b"\n")?;
                exported.lines += 1;
            }
        }
    }
    Ok(exported)
}
