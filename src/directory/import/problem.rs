//! What is told of a line.

use std::fmt;

/// What is wrong with one line. Never holds an address, a number or a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// In bytes, from 1: of the value, or the key, that is wrong. `None` where something is missing.
    pub column: Option<usize>,
    pub text: String,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: Option<usize>,
    pub(super) key: &'static str,
}

impl Place {
    pub(super) fn problem(self, text: &str) -> Problem {
        Problem {
            line: self.line,
            column: self.column,
            text: format!("{}: {text}", self.key),
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
