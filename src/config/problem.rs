//! What is wrong with a file, where it stands, and how it is told.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// `products.emr.backends`; empty when the file as a whole is meant.
    pub key: String,
    pub message: String,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Line and column count from 1; the column counts characters.
    File {
        file: Arc<Path>,
        line: usize,
        column: usize,
    },
    /// A file as a whole.
    Whole { file: Arc<Path> },
    /// An environment variable, by its name.
    Variable(String),
    /// A command-line flag, by the key that it sets.
    Flag(String),
}

/// All that is wrong, in the order in which it stands. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Place {
    /// What relative paths are relative to: the folder of the file they stand in, and where the
    /// program was started for what stands in no file.
    pub fn folder(&self) -> &Path {
        match self {
            Place::File { file, .. } | Place::Whole { file } => {
                file.parent().unwrap_or(Path::new(""))
            }
            Place::Variable(_) | Place::Flag(_) => Path::new(""),
        }
    }

    fn order(&self) -> (u8, &Path, usize, usize, &str) {
        match self {
            Place::Whole { file } => (0, file, 0, 0, ""),
            Place::File { file, line, column } => (0, file, *line, *column, ""),
            Place::Variable(name) => (1, Path::new(""), 0, 0, name),
            Place::Flag(key) => (2, Path::new(""), 0, 0, key),
        }
    }
}

impl Problems {
    /// In the order in which they stand; `Err` when there are any.
    pub fn none_of(mut problems: Vec<Problem>) -> Result<(), Problems> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| a.place.order().cmp(&b.place.order()));
        problems.dedup();
        Err(Problems(problems))
    }

    /// A file that can't be read at all.
    pub fn unreadable(file: &Path, error: &std::io::Error) -> Problems {
        Problems(vec![Problem {
            place: Place::Whole { file: file.into() },
            key: String::new(),
            message: format!("can't be read: {error}"),
        }])
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Place::Whole { file } => write!(f, "{}", file.display()),
            Place::Variable(name) => write!(f, "environment variable {name}"),
            Place::Flag(key) => write!(f, "command line, {key}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.message)
        } else {
            write!(f, "{}: {}: {}", self.place, self.key, self.message)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
