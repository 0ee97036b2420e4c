//! The form of a line, and reading a trail again.
//!
//! `{"seq":N,…,"previous":"…","hash":"…"}`: `hash` is SHA-256, in hexadecimal, of everything before
//! `,"hash"`; `previous` is the `hash` of line N−1, and zeros on the first.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

use super::event::AuditEvent;
use super::segments::{Segment, is_current, read_name, segments};
use crate::gate::time::Moment;
use crate::observe::json::{put_hex, put_number};

/// Longer than any line that is written here, in bytes.
pub(super) const LONGEST_LINE: usize = 64 * 1024;
const HASH_KEY: &[u8] = b",\"hash\":\"";
const HASH_END: &[u8] = b"\"}";
/// The longest wait for another process to finish its turn.
const TURN: Duration = Duration::from_secs(5);
/// Between looks whether it is finished.
const PAUSE: Duration = Duration::from_millis(5);
/// How often a file is opened that others put aside meanwhile.
const TURNS: u32 = 8;

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
fn take_turn(try_lock: impl Fn() -> Result<(), TryLockError>) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begun.elapsed() > TURN => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another process keeps it locked",
                ));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
}

/// The file that the path leads to, and its turn. Between opening a file and its turn somebody else may
/// have put it aside: whoever went on with it would write behind its end, or read it twice.
pub(super) fn take_current(
    path: &Path,
    open: impl Fn() -> io::Result<File>,
    lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> io::Result<File> {
    for _ in 0..TURNS {
        let file = match open() {
            // Between two files there is none for a moment.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && !segments(path)?.is_empty() =>
            {
                std::thread::sleep(PAUSE);
                continue;
            }
            opened => opened?,
        };
        take_turn(|| lock(&file))?;
        if is_current(&file, path)? {
            return Ok(file);
        }
    }
    Err(io::Error::other(format!(
        "{} is put aside again and again",
        path.display()
    )))
}

/// A trail in which nothing was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The number of the last line.
    pub lines: u64,
    /// The number of the first line that is here; 1 unless older files were moved away.
    pub first: u64,
    /// The last line's hash; the same later, at the same number, says that nothing before changed.
    pub head: String,
    /// Lines that were found to be what somebody else had noted of them.
    pub anchors: usize,
}

/// What was noted elsewhere of one line, when it was the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    pub seq: u64,
    pub hash: String,
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

/// What a trail is called in the directory; `None` while it is empty.
pub fn trail_name(path: &Path) -> io::Result<Option<String>> {
    read_name(path)
}

/// The trail at one moment. Reading it may take as long as a terminal's user likes: the lock is held only
/// until it is known how far that goes, since a gateway that can't append refuses administration.
pub(super) struct Standing {
    pub aside: Vec<Segment>,
    pub file: File,
    /// What is written behind it comes later.
    pub length: u64,
    head: Option<Link>,
}

impl Standing {
    fn of(path: &Path) -> io::Result<Standing> {
        Standing::opened_by(path, || File::open(path))
    }

    pub fn opened_by(path: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<Standing> {
        // Nobody appends or puts files aside meanwhile: that takes this lock.
        let file = take_current(path, open, File::try_lock_shared)?;
        let standing = Standing {
            aside: segments(path)?,
            length: file.metadata()?.len(),
            head: read_head(path)?,
            file,
        };
        standing.file.unlock()?;
        Ok(standing)
    }
}

/// Reads the whole trail at `path` and checks every link.
pub fn verify(path: &Path) -> Result<Verified, VerifyError> {
    verify_against(path, &[], false)
}

/// [`verify`], and holds the lines against what was noted of them elsewhere. `part`: older files may
/// have been moved away.
pub fn verify_against(
    path: &Path,
    anchors: &[Anchor],
    part: bool,
) -> Result<Verified, VerifyError> {
    let standing = Standing::of(path)?;
    let mut walk = Walk {
        before: Link::origin(),
        first: None,
        part,
        head: standing.head,
        anchors,
        held: 0,
    };
    for segment in standing.aside {
        walk.through(File::open(&segment.path)?)?;
    }
    walk.through(standing.file.take(standing.length))?;
    let removed = |known: u64, who: &str| FirstBreak {
        line: walk.before.seq.saturating_add(1),
        why: format!("lines were removed at the end: {who} {known}"),
    };
    if let Some(head) = &walk.head
        && head.seq > walk.before.seq
    {
        return Err(removed(head.seq, "there have been").into());
    }
    if let Some(last) = anchors.iter().map(|anchor| anchor.seq).max()
        && last > walk.before.seq
    {
        return Err(removed(last, "the directory knows of").into());
    }
    Ok(Verified {
        lines: walk.before.seq,
        first: walk.first.unwrap_or(1),
        head: walk.before.hash,
        anchors: walk.held,
    })
}

/// From line to line, and from file to file.
struct Walk<'a> {
    before: Link,
    first: Option<u64>,
    part: bool,
    head: Option<Link>,
    anchors: &'a [Anchor],
    held: usize,
}

impl Walk<'_> {
    fn through(&mut self, file: impl Read) -> Result<(), VerifyError> {
        let mut lines = Lines::new(file);
        while let Some(line) = lines.next()? {
            let at = self.before.seq.saturating_add(1);
            let broken = |why| FirstBreak { line: at, why };
            let line = line.map_err(|found| broken(found.why))?;
            self.step(line).map_err(broken)?;
        }
        Ok(())
    }

    fn step(&mut self, line: &[u8]) -> Result<(), String> {
        if self.first.is_none() && self.part {
            let whole = read_line(line)?;
            self.before = Link {
                seq: whole.link.seq.saturating_sub(1),
                hash: whole.previous,
            };
        }
        self.before = check(&self.before, line, self.head.as_ref())?;
        self.first.get_or_insert(self.before.seq);
        // In their order: the next one to be met is found at once.
        let noted = self.anchors.get(self.held..).unwrap_or(&[]).iter();
        for anchor in noted.take_while(|anchor| anchor.seq <= self.before.seq) {
            if anchor.seq == self.before.seq && anchor.hash != self.before.hash {
                return Err(String::from(
                    "it is not the line that the directory knows: the trail was written anew",
                ));
            }
            self.held += 1;
        }
        Ok(())
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
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u64,
}

impl<R: Read> Lines<R> {
    fn new(file: R) -> Lines<R> {
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

/// Which lines are wanted; what is `None` may be anything.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// From this time on.
    pub from: Option<Moment>,
    /// Before this time.
    pub to: Option<Moment>,
    pub event: Option<String>,
    /// Who did it.
    pub who: Option<String>,
    /// To whom it was done.
    pub whom: Option<String>,
    pub company: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    time: String,
    event: Option<String>,
    who: Option<String>,
    whom: Option<String>,
    company: Option<String>,
}

impl Wanted {
    fn is(&self, said: &Said, time: Moment) -> bool {
        let fits =
            |wanted: &Option<String>, said: &Option<String>| wanted.is_none() || wanted == said;
        self.from.is_none_or(|from| time >= from)
            && self.to.is_none_or(|to| time < to)
            && fits(&self.event, &said.event)
            && fits(&self.who, &said.who)
            && fits(&self.whom, &said.whom)
            && fits(&self.company, &said.company)
    }
}

/// Copies the lines that are wanted as they stand, of all files of the trail. Checks no links.
pub fn export(path: &Path, wanted: &Wanted, out: &mut impl Write) -> io::Result<Exported> {
    let standing = Standing::of(path)?;
    let mut exported = Exported {
        lines: 0,
        unreadable: 0,
    };
    for segment in standing.aside {
        export_file(File::open(&segment.path)?, wanted, &mut exported, out)?;
    }
    let file = standing.file.take(standing.length);
    export_file(file, wanted, &mut exported, out)?;
    Ok(exported)
}

fn export_file(
    file: impl Read,
    wanted: &Wanted,
    exported: &mut Exported,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut lines = Lines::new(file);
    while let Some(line) = lines.next()? {
        let said = line
            .ok()
            .and_then(|line| Some((line, serde_json::from_slice::<Said>(line).ok()?)))
            .and_then(|(line, said)| Some((line, Moment::parse_rfc3339(&said.time)?, said)));
        match said {
            None => exported.unreadable += 1,
            Some((line, time, said)) if wanted.is(&said, time) => {
                out.write_all(line)?;
                out.write_all(b"\n")?;
                exported.lines += 1;
            }
            Some(_) => {}
        }
    }
    Ok(())
}
