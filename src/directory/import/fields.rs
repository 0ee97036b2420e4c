//! One line as keys and values. Whatever is wrong is noted, and reading goes on.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::{Place, Problem};
use crate::gate::name::InvalidName;

pub(super) struct Fields {
    line: usize,
    entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
}

struct Entry {
    key: String,
    /// Columns, from 1.
    key_at: usize,
    value_at: usize,
    /// `None` once it was read.
    value: Option<Value>,
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
            .map_err(|error| syntax_problem(line, 0, &error))?;
        let mut fields = Fields {
            line,
            entries: Vec::new(),
            problems: Vec::new(),
        };
        let mut over = 0;
        for (key, written) in entries {
            let before = written.get().as_ptr().addr() - text.as_ptr().addr();
            let quote = text.iter().skip(over).position(|byte| *byte == b'"');
            let key_at = over + quote.unwrap_or_default() + 1;
            over = before + written.get().len();
            if fields.entry(&key).is_some() {
                let text = format!("{:?} stands there twice", shortened(&key));
                fields.problem(Some(key_at), text);
                continue;
            }
            let value = serde_json::from_str(written.get())
                .map_err(|error| syntax_problem(line, before, &error))?;
            fields.entries.push(Entry {
                key,
                key_at,
                value_at: before + 1,
                value: Some(value),
            });
        }
        Ok(Some(fields))
    }

    fn problem(&mut self, column: Option<usize>, text: String) {
        self.problems.push(Problem {
            line: self.line,
            column,
            text,
        });
    }

    /// What is wrong with a value by what stands elsewhere.
    pub(super) fn wrong(&mut self, key: &'static str, text: &str) {
        let problem = self.place(key).problem(text);
        self.problems.push(problem);
    }

    /// The line says something, or leaves it out, that no one value is to blame for.
    pub(super) fn odd(&mut self, text: &str) {
        self.problem(None, text.to_owned());
    }

    pub(super) fn place(&self, key: &'static str) -> Place {
        Place {
            line: self.line,
            column: self.entry(key).map(|entry| entry.value_at),
            key,
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// What is left is unknown.
    pub(super) fn refuse_others_than(&mut self, known: &[&str]) {
        let unknown = |entry: &&Entry| !known.contains(&entry.key.as_str());
        let told: Vec<(usize, String)> = self
            .entries
            .iter()
            .filter(unknown)
            .map(|Entry { key, key_at, .. }| {
                let hint = did_you_mean(key, known.iter().copied());
                (*key_at, format!("unknown key {:?}{hint}", shortened(key)))
            })
            .collect();
        for (column, text) in told {
            self.problem(Some(column), text);
        }
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.wrong(key, "text is expected");
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, key: &'static str) -> Option<String> {
        if !self.has(key) {
            self.odd(&format!("{key:?} is missing"));
        }
        self.text(key)
    }

    /// Reads a text by its own rules.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        self.noted(key, parse(&text))
    }

    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.required_text(key)?;
        self.noted(key, parse(&text))
    }

    /// A list of texts without doubles; empty when the key is not there.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let entries = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                self.wrong(key, "a list of texts is expected");
                return Vec::new();
            }
        };
        let mut list = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.as_str() {
                None => self.wrong(key, "a list of texts is expected"),
                Some(text) => match self.noted(key, parse(text)) {
                    Some(value) if !list.contains(&value) => list.push(value),
                    _ => {}
                },
            }
        }
        list
    }

    pub(super) fn has(&self, key: &str) -> bool {
        let value = self.entry(key).and_then(|entry| entry.value.as_ref());
        value.is_some_and(|value| !value.is_null())
    }

    pub(super) fn noted<T>(&mut self, key: &'static str, answer: Result<T, String>) -> Option<T> {
        answer.map_err(|rule| self.wrong(key, &rule)).ok()
    }

    /// `null` is the same as a key that is not there.
    fn take(&mut self, key: &str) -> Option<Value> {
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        entry.value.take().filter(|value| !value.is_null())
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

/// `before`: bytes of the line before what was read.
fn syntax_problem(line: usize, before: usize, error: &serde_json::Error) -> Problem {
    let column = Some(before + error.column());
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
            column,
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
    Problem { line, column, text }
}

/// Keeps keys in order and doubles visible, which a map would not.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

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
