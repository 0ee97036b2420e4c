//! `people import`: companies, people and accounts, one JSON object a line, all or nothing.
//!
//! A line says how the thing is to be; importing it again changes nothing. Four things are not
//! the file's to undo: a link that a person made, whether a person is disabled, a password
//! that was changed after its hash was imported, and second factors: an authenticator comes with a
//! person who is new here, or a file would give back what a reset took.

mod apply;
mod authenticator;
mod fields;
mod problem;
mod records;

use std::collections::BTreeMap;
use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use zeroize::Zeroizing;

use super::passwords::Hasher;
use super::{Directory, DirectoryError};
use crate::gate::name::{PersonId, ProductId};
use crate::gate::time::Moment;
use records::Records;

pub use problem::Problem;
pub use records::problems_of;

/// The longest line, in bytes.
pub const LONGEST_LINE: usize = 1024 * 1024;
/// After so many problems the rest of the file is not read.
pub const MOST_PROBLEMS: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing was changed. Sorted by line.
    #[error("{} of the file's lines can't be imported", .0.len())]
    Problems(Vec<Problem>),
    #[error("the file can't be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("the passwords can't be hashed: {0}")]
    Passwords(String),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// Why a person's sessions are out of date. The later one outweighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Name, address, roles, grants or companies.
    Profile,
    /// An account went to somebody else.
    Link,
    Password,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub added: usize,
    pub changed: usize,
    pub unchanged: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    pub companies: Tally,
    pub people: Tally,
    pub accounts: Tally,
    /// `added`: taken over with a person; `unchanged`: of somebody who was here before, and left alone.
    pub authenticators: Tally,
    /// Who has an authenticator by this import.
    pub taken_over: Vec<PersonId>,
    /// People who were there before and whose sessions must end.
    pub changed: BTreeMap<PersonId, Change>,
}

impl Directory {
    /// Imports a file in one transaction. `products` are the configured ones.
    ///
    /// # Errors
    /// `Problems` lists every line that is wrong; nothing was changed then, nor after any other
    /// error.
    pub async fn import(
        &self,
        hasher: &Hasher,
        input: impl AsyncBufRead + Unpin,
        products: &[ProductId],
        now: Moment,
    ) -> Result<Imported, ImportError> {
        let records = read(input, products, now).await?;
        apply::apply(self, hasher, records, now).await
    }
}

/// Reads every line; what is wrong is noted beside what is right.
async fn read(
    mut input: impl AsyncBufRead + Unpin,
    products: &[ProductId],
    now: Moment,
) -> io::Result<Records> {
    let mut records = Records::new(products, now);
    // Passwords go through here.
    let mut text = Zeroizing::new(Vec::new());
    for line in 1.. {
        match next_line(&mut input, &mut text).await? {
            Line::End => break,
            Line::TooLong => {
                records.problem(line, format!("longer than {LONGEST_LINE} bytes"));
            }
            Line::Whole => {
                let first = if line == 1 {
                    text.strip_prefix(b"\xef\xbb\xbf")
                } else {
                    None
                };
                records.read(line, first.unwrap_or(&text));
            }
        }
        if records.problems.len() >= MOST_PROBLEMS {
            records.problem(
                line,
                String::from("too many problems; the rest was not read"),
            );
            break;
        }
    }
    Ok(records)
}

enum Line {
    Whole,
    TooLong,
    End,
}

async fn next_line(
    input: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<Line> {
    line.clear();
    let (mut begun, mut too_long) = (false, false);
    loop {
        let ready = input.fill_buf().await?;
        let end = ready.iter().position(|byte| *byte == b'\n');
        let (part, _) = ready.split_at(end.unwrap_or(ready.len()));
        begun |= !ready.is_empty();
        too_long |= line.len() + part.len() > LONGEST_LINE;
        if !too_long {
            line.extend_from_slice(part);
        }
        let (used, over) = (
            part.len() + usize::from(end.is_some()),
            end.is_some() || ready.is_empty(),
        );
        input.consume(used);
        if over {
            return Ok(match (begun, too_long) {
                (false, _) => Line::End,
                (true, true) => Line::TooLong,
                (true, false) => Line::Whole,
            });
        }
    }
}

#[cfg(test)]
mod tests;
