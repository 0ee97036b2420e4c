//! A long trail is several files: `audit.jsonl`, which is written, and before it `audit.jsonl.N`, where
//! N is the number of the last line in it, with twelve digits. The chain goes on from one to the next.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::chain::{LONGEST_LINE, Link, read_line};

const DIGITS: usize = 12;

/// A file that is not written any more, and the number of its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub last: u64,
    pub path: PathBuf,
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_path_buf().into_os_string();
    name.push(ending);
    PathBuf::from(name)
}

/// Where the file goes whose last line has this number.
pub(super) fn segment_path(path: &Path, last: u64) -> PathBuf {
    beside(path, &format!(".{last:0DIGITS$}"))
}

/// Those that are there, the oldest first.
pub(super) fn segments(path: &Path) -> io::Result<Vec<Segment>> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let other = entry.file_name();
        let number = other
            .to_str()
            .and_then(|other| other.strip_prefix(&*name)?.strip_prefix('.'))
            .filter(|digits| digits.len() >= DIGITS && digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        if let Some(last) = number {
            let path = entry.path();
            found.push(Segment { last, path });
        }
    }
    found.sort_by_key(|segment| segment.last);
    Ok(found)
}

/// The place of a finished file's last line.
pub(super) fn last_of(segment: &Segment) -> io::Result<Result<Link, &'static str>> {
    let mut file = File::open(&segment.path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(
        length.saturating_sub(2 * LONGEST_LINE as u64),
    ))?;
    let mut end = Vec::new();
    file.take(2 * LONGEST_LINE as u64).read_to_end(&mut end)?;
    let Some((b'\n', lines)) = end.split_last() else {
        return Ok(Err("it is cut off"));
    };
    let start = lines
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    Ok(read_line(lines.get(start..).unwrap_or(&[])).map(|whole| whole.link))
}

/// Whether this is the file that the path leads to. Between opening it and getting its lock another
/// process may have put it aside.
pub(super) fn is_current(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    let named = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        named => named?,
    };
    Ok(open.ino() == named.ino() && open.dev() == named.dev())
}

fn name_path(path: &Path) -> PathBuf {
    beside(path, ".trail")
}

/// What a trail is called: the hash of its first line, shortened. Kept in a file of its own, since the
/// first line may be archived elsewhere one day.
pub(super) fn name_of(first: &Link) -> String {
    first.hash.chars().take(32).collect()
}

pub(super) fn read_name(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(name_path(path)) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|name| name.len() == 32)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => first_line(path),
        Err(error) => Err(error),
    }
}

/// By its first line, if that is here.
fn first_line(path: &Path) -> io::Result<Option<String>> {
    let first = segments(path)?
        .first()
        .map_or_else(|| path.to_owned(), |segment| segment.path.clone());
    let file = match File::open(first) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut line = Vec::new();
    BufReader::new(file)
        .take(LONGEST_LINE as u64)
        .read_until(b'\n', &mut line)?;
    line.pop();
    let whole = read_line(&line).ok().filter(|whole| whole.link.seq == 1);
    Ok(whole.map(|whole| name_of(&whole.link)))
}

pub(super) fn write_name(path: &Path, name: &str) -> io::Result<()> {
    std::fs::write(name_path(path), format!("{name}\n"))
}
