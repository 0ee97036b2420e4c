//! One line as keys and values. Whatever is wrong is noted, and reading goes on.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::problem::Problem;
use crate::gate::name::InvalidName;

pub(super) struct Fields {
    line: usize,
    entries: Vec<(String, Value)>,
    pub(super) problems: Vec<Problem>,
}

/// How much of a wrong value is repeated in a message, in characters.
const QUOTED: usize = 64;

impl Fields {
    /// `None` for an empty line.
    pub(super) fn read(line: usize, text: &[u8]) -> Result<Option<Fields>, Problem> {
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        let mut json = serde_json::Deserializer::from_slice(text);
        let entries = json
            .deserialize_map(Entries)
            .and_then(|entries| json.end().map(|()| entries))
            .map_err(|error| syntax_problem(line, &error))?;
        let mut fields = Fields {
            line,
            entries: Vec::new(),
            problems: Vec::new(),
        };
        for (key, value) in entries {
            if fields.entries.iter().any(|(known, _)| *known == key) {
                fields.problem(format!("{:?} stands there twice", shortened(&key)));
            } else {
                fields.entries.push((key, value));
            }
        }
        Ok(Some(fields))
    }

    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(Problem {
            line: self.line,
            column: None,
            text,
        });
    }

    /// What is left is unknown.
    pub(super) fn refuse_others_than(&mut self, known: &[&str]) {
        for (key, _) in std::mem::take(&mut self.entries) {
            if !known.contains(&key.as_str()) {
                let hint = did_you_mean(&key, known.iter().copied());
                self.problem(format!("unknown key {:?}{hint}", shortened(&key)));
            }
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.problem(format!("{key}: text is expected"));
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, key: &str) -> Option<String> {
        if !self.has(key) {
            self.problem(format!("{key:?} is missing"));
        }
        self.text(key)
    }

    /// Reads a text by its own rules.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        self.noted(key, parse(&text))
    }

    pub(super) fn required<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.required_text(key)?;
        self.noted(key, parse(&text))
    }

    /// A list of texts without doubles; empty when the key is not there.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let entries = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                self.problem(format!("{key}: a list of texts is expected"));
                return Vec::new();
            }
        };
        let mut list = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.as_str() {
                None => self.problem(format!("{key}: a list of texts is expected")),
                Some(text) => match self.noted(key, parse(text)) {
                    Some(value) if !list.contains(&value) => list.push(value),
                    _ => {}
                },
            }
        }
        list
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries
            .iter()
            .any(|(known, value)| known == key && !value.is_null())
    }

    pub(super) fn noted<T>(&mut self, key: &str, answer: Result<T, String>) -> Option<T> {
        answer
            .map_err(|rule| self.problem(format!("{key}: {rule}")))
            .ok()
    }

    /// `null` is the same as a key that is not there.
    fn take(&mut self, key: &str) -> Option<Value> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        let (_, value) = self.entries.swap_remove(at);
        (!value.is_null()).then_some(value)
    }
}

/// `; did you mean "name"?`, or nothing when no known word is near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    if word.len() > QUOTED {
        return String::new();
    }
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map_or_else(String::new, |(_, candidate)| {
            format!("; did you mean {candidate:?}?")
        })
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

pub(super) fn rule_of(error: InvalidName) -> String {
    format!(
        "{:?} is not {}: {}",
        shortened(&error.text),
        error.what,
        error.rule
    )
}

fn syntax_problem(line: usize, error: &serde_json::Error) -> Problem {
    if error.is_data() {
        return Problem {
            line,
            column: None,
            text: String::from("a JSON object is expected"),
        };
    }
    if error.is_eof() {
        return Problem {
            line,
            column: Some(error.column()),
            text: String::from("the line ends before its object does: each stands on one line"),
        };
    }
    let text = error.to_string();
    // serde_json adds its own line, which is always 1 here.
    let text = text
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned();
    Problem {
        line,
        column: Some(error.column()),
        text,
    }
}

/// Keeps keys in order and doubles visible, which a map would not.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
