//! `people import`: companies, people and accounts, one JSON object a line, all or nothing.
//!
//! A line says how the thing is to be; importing it again changes nothing. Three things are not
//! the file's to undo: a link that a person made, whether a person is disabled, and a password
//! that was changed after its hash was imported.

mod apply;
mod fields;
mod records;

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use zeroize::Zeroizing;

use super::passwords::Hasher;
use super::{Directory, DirectoryError};
use crate::gate::name::{PersonId, ProductId};
use crate::gate::time::Moment;
use records::Records;

/// The longest line, in bytes.
pub const LONGEST_LINE: usize = 1024 * 1024;
/// After so many problems the rest of the file is not read.
pub const MOST_PROBLEMS: usize = 10_000;

/// What is wrong with one line. Never holds an address, a number or a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// From 1, where the line is not JSON.
    pub column: Option<usize>,
    pub text: String,
}

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
                let first = if line == 1 { text.strip_prefix(b"\xef\xbb\xbf") } else { None };
                records.read(line, first.unwrap_or(&text));
            }
        }
        if records.problems.len() >= MOST_PROBLEMS {
            records.problem(line, String::from("too many problems; the rest was not read"));
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

async fn next_line(input: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<Line> {
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
        let (used, over) = (part.len() + usize::from(end.is_some()), end.is_some() || ready.is_empty());
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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "line {}, column {column}: {}", self.line, self.text),
            None => write!(f, "line {}: {}", self.line, self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problems_of(text: &[u8]) -> Vec<String> {
        let products = ["emr", "billing"].map(|id| ProductId::parse(id).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let records = runtime.block_on(read(text, &products, Moment::from_secs(1_800_000_000)));
        records.unwrap().problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn every_problem_of_every_line_is_listed() {
        let problems = problems_of(
            br#"{"kind":"company","id":"acme","name":"Acme"}
{"kind":"person","id":"Kim","company":"acme","nmae":"Kim","email":"no","phone":"555","roles":["a,b"]}
{"kind":"account","product":"biling","login":"kim","password":"x","password_hash":"y"}
{"kind":"persn","id":"kim"}
{"kind":"company","id":"acme","name":"Acme",}
{"id":"acme"}
["kind"]

{"kind":"company","id":"acme","id":"acme","name":7}"#,
        );
        let expected = [
            "line 2: id: \"Kim\" is not a person's id",
            "line 2: unknown key \"nmae\"; did you mean \"name\"?",
            "line 2: \"name\" is missing",
            "line 2: email: ",
            "line 2: phone: ",
            "line 2: roles: ",
            "line 3: product: there is no product \"biling\"; did you mean \"billing\"?",
            "line 3: \"password\" and \"password_hash\" exclude each other",
            "line 4: kind: \"persn\" is unknown; did you mean \"person\"?",
            "line 5, column 45: trailing comma",
            "line 6: \"kind\" is missing",
            "line 7: a JSON object is expected",
            "line 9: \"id\" stands there twice",
            "line 9: name: text is expected",
        ];
        for start in expected {
            assert!(problems.iter().any(|problem| problem.starts_with(start)), "{start}\n{problems:#?}");
        }
        assert!(problems.iter().all(|problem| !problem.contains("555")), "{problems:#?}");
    }

    #[test]
    fn doubles_in_the_file_name_the_first_line() {
        let problems = problems_of(
            br#"{"kind":"company","id":"acme","name":"Acme"}
{"kind":"company","id":"acme","name":"Acme"}
{"kind":"account","product":"emr","login":"kim","password":"secret"}
{"kind":"account","product":"emr","login":" KIM ","password":"secret"}
{"kind":"account","product":"billing","login":"a","person":"kim","password":"secret"}
{"kind":"account","product":"billing","login":"b","person":"kim","password":"secret"}"#,
        );
        assert_eq!(
            problems,
            [
                "line 2: company \"acme\" stands in line 1 already",
                "line 4: account \"kim\" of emr stands in line 3 already",
                "line 6: kim has an account of billing in line 5 already",
            ]
        );
    }

    #[test]
    fn a_line_over_the_limit_is_one_problem_and_the_next_is_read() {
        let mut text = vec![b'x'; LONGEST_LINE + 1];
        text.extend_from_slice(b"\n{}\n");
        let problems = problems_of(&text);
        assert_eq!(problems, ["line 1: longer than 1048576 bytes", "line 2: \"kind\" is missing"]);
    }

    #[test]
    fn reading_stops_when_there_is_nothing_but_problems() {
        let problems = problems_of("x\n".repeat(MOST_PROBLEMS * 2).as_bytes());
        assert_eq!(problems.len(), MOST_PROBLEMS + 1);
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(problems_of(&bytes));
        }

        #[test]
        fn near_misses_never_panic(
            kind in "company|person|account|x",
            pairs in proptest::collection::vec(
                ("id|name|email|phone|roles|login|product|password|password_hash|password_set_at|companies|default_company|grants|kind",
                 r#""[ -~]{0,20}"|\[\]|\["[ -~]{0,8}"\]|null|7|\{\}|"\$2b\$[0-9]{2}\$[./A-Za-z0-9]{53}"|"\+[0-9]{0,20}"|"[0-9TZ:-]{0,24}""#),
                0..8,
            ),
        ) {
            let mut line = format!("{{\"kind\":\"{kind}\"");
            for (key, value) in pairs {
                line.push_str(&format!(",\"{key}\":{value}"));
            }
            line.push('}');
            drop(problems_of(line.as_bytes()));
        }
    }
}
