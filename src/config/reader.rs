//! Walks a [`Node`] against what is wanted and collects all that is wrong: it never stops at the
//! first. A wrong value reads as `None` or as what stands in for it; nothing built from such is
//! ever used, since whoever began the reading asks [`Report::finish`] at the end.

mod scalars;

use std::cell::RefCell;

use super::meaning;
use super::problem::{Place, Problem, Problems};
use super::sketch::{Kind, Sketch};
use super::tree::{self, Data, Entry, Node};

/// Said of a key that must be given and is not there.
pub const MISSING: &str = "missing";

/// What was found so far.
#[derive(Debug, Default)]
pub struct Report {
    problems: RefCell<Vec<Problem>>,
    /// Nothing is read: what is asked for is drawn.
    sketch: Option<Sketch>,
}

impl Report {
    /// For drawing what a reading would ask for, instead of reading.
    pub fn drawing(sketch: Sketch) -> Report {
        Report {
            problems: RefCell::default(),
            sketch: Some(sketch),
        }
    }

    /// What was drawn.
    pub fn drawn(self) -> Option<Sketch> {
        self.sketch
    }

    pub fn add(&self, place: &Place, key: &str, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            place: place.clone(),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// `meanings` says what could stand where something is missing.
    ///
    /// # Errors
    /// Everything that was wrong, in the order in which it stands.
    pub fn finish(self, meanings: &str) -> Result<(), Problems> {
        let mut problems = self.problems.into_inner();
        for problem in &mut problems {
            meaning::explain(problem, meanings);
        }
        Problems::none_of(problems)
    }
}

/// One value that is there.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    pub node: &'a Node,
    /// `products.emr.idle`.
    pub path: String,
    report: &'a Report,
}

/// A table whose keys are known.
#[derive(Debug)]
pub struct Fields<'a> {
    entries: &'a [Entry],
    pub place: Place,
    pub path: String,
    known: RefCell<Vec<&'static str>>,
    report: &'a Report,
    /// Stands for whatever a key holds while a sketch is drawn.
    stand_in: Option<&'a Node>,
}

impl<'a> Field<'a> {
    pub fn root(node: &'a Node, report: &'a Report) -> Field<'a> {
        Field {
            node,
            path: String::new(),
            report,
        }
    }

    pub fn wrong<T>(&self, message: impl Into<String>) -> Option<T> {
        self.report.add(&self.node.place, &self.path, message);
        None
    }

    /// Whether nothing is read, and what is asked for is drawn.
    pub fn is_drawn(&self) -> bool {
        self.report.sketch.is_some()
    }

    /// Whether a sketch is drawn; then this is on it.
    fn draws(&self, kind: Kind) -> bool {
        match &self.report.sketch {
            Some(sketch) => {
                sketch.saw(&self.path, kind);
                true
            }
            None => false,
        }
    }

    fn unwanted<T>(&self, wanted: &str) -> Option<T> {
        self.wrong(format!("{wanted} is wanted here, not {}", self.node.kind()))
    }

    /// Reads every item, also after one that is wrong. From outside of a file, one item may stand
    /// alone.
    pub fn list<T>(&self, read: impl Fn(&Field<'_>) -> Option<T>) -> Option<Vec<T>> {
        if self.draws(Kind::List { least: 0 }) {
            self.draw_item(read);
            return None;
        }
        let from_outside;
        let items: &[Node] = match &self.node.data {
            Data::List(items) => items,
            Data::Raw(raw) => {
                from_outside = tree::structure(raw, &self.node.place);
                match from_outside.as_ref().map(|node| &node.data) {
                    Some(Data::List(items)) => items,
                    _ => std::slice::from_ref(self.node),
                }
            }
            Data::Table(_) => {
                return self.wrong(format!(
                    "a list is wanted here, not a table: each of its tables begins with [[{}]]",
                    self.path
                ));
            }
            Data::Text(text) => {
                return self.wrong(format!(
                    "a list is wanted here, not text: write it in brackets, as in [{text:?}]"
                ));
            }
            _ => return self.unwanted("a list"),
        };
        let several = items.len() > 1;
        let read_one = |(index, node): (usize, &Node)| {
            let path = if several {
                format!("{}[{index}]", self.path)
            } else {
                self.path.clone()
            };
            read(&Field {
                node,
                path,
                report: self.report,
            })
        };
        let values: Vec<Option<T>> = items.iter().enumerate().map(read_one).collect();
        values.into_iter().collect()
    }

    /// [`list`](Field::list) that is wrong when it is empty.
    pub fn list_of_some<T>(
        &self,
        when_empty: &str,
        read: impl Fn(&Field<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.draws(Kind::List { least: 1 }) {
            self.draw_item(read);
            return None;
        }
        let list = self.list(read)?;
        if list.is_empty() {
            self.wrong(when_empty)
        } else {
            Some(list)
        }
    }

    fn draw_item<T>(&self, read: impl Fn(&Field<'_>) -> Option<T>) {
        read(&Field {
            node: self.node,
            path: format!("{}[]", self.path),
            report: self.report,
        });
    }

    /// Reads a table with known keys and reports the others.
    pub fn table<T>(&self, read: impl FnOnce(&Fields<'_>) -> Option<T>) -> Option<T> {
        if self.draws(Kind::Table) {
            return read(&Fields {
                entries: &[],
                place: self.node.place.clone(),
                path: self.path.clone(),
                known: RefCell::default(),
                report: self.report,
                stand_in: Some(self.node),
            });
        }
        let from_outside;
        let entries: &[Entry] = match &self.node.data {
            Data::Table(entries) => entries,
            Data::Raw(raw) => {
                from_outside = tree::structure(raw, &self.node.place);
                match from_outside.as_ref().map(|node| &node.data) {
                    Some(Data::Table(entries)) => entries,
                    _ => return self.unwanted("a table"),
                }
            }
            _ => return self.unwanted("a table"),
        };
        let fields = Fields {
            entries,
            place: self.node.place.clone(),
            path: self.path.clone(),
            known: RefCell::default(),
            report: self.report,
            stand_in: None,
        };
        let value = read(&fields);
        fields.report_unknown();
        value
    }

    /// Reads a table with keys of the operator's choosing.
    pub fn map<T>(&self, read: impl Fn(&str, &Field<'_>) -> Option<T>) -> Option<Vec<T>> {
        if self.draws(Kind::Map) {
            let field = Field {
                node: self.node,
                path: format!("{}.{ANY_KEY}", self.path),
                report: self.report,
            };
            read("any", &field);
            return None;
        }
        self.table(|fields| {
            let read_one = |entry: &Entry| {
                let path = joined(&fields.path, &entry.key);
                read(
                    &entry.key,
                    &Field {
                        node: &entry.value,
                        path,
                        report: self.report,
                    },
                )
            };
            let values: Vec<Option<T>> = fields.entries.iter().map(read_one).collect();
            fields.know_all();
            values.into_iter().collect()
        })
    }

    /// Reports something at a key further down, or here when it is not there.
    pub fn wrong_below<T>(&self, keys: &[&str], message: impl Into<String>) -> Option<T> {
        let mut node = self.node;
        let mut path = self.path.clone();
        for key in keys {
            path = joined(&path, key);
            if let Data::Table(entries) = &node.data
                && let Some(entry) = entries.iter().find(|entry| entry.key == *key)
            {
                node = &entry.value;
            }
        }
        self.report.add(&node.place, &path, message);
        None
    }

    /// Whether something further down is wrong already, so that what is missed may be there.
    pub fn is_wrong_below(&self) -> bool {
        let below = format!("{}.", self.path);
        self.report
            .problems
            .borrow()
            .iter()
            .any(|problem| problem.key.starts_with(&below))
    }

    pub fn is_table(&self) -> bool {
        if let Some(sketch) = &self.report.sketch {
            return sketch.takes_tables();
        }
        match &self.node.data {
            Data::Table(_) => true,
            Data::Raw(raw) => raw.trim_start().starts_with('{'),
            _ => false,
        }
    }
}

/// Stands among the known keys of a table that has no known keys.
const ANY_KEY: &str = "*";

impl Fields<'_> {
    pub fn optional(&self, key: &'static str) -> Option<Field<'_>> {
        if let (Some(sketch), Some(node)) = (&self.report.sketch, self.stand_in) {
            sketch.knows(&self.path, key, false);
            return Some(Field {
                node,
                path: joined(&self.path, key),
                report: self.report,
            });
        }
        self.known.borrow_mut().push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Field {
            node: &entry.value,
            path: joined(&self.path, key),
            report: self.report,
        })
    }

    pub fn required(&self, key: &'static str) -> Option<Field<'_>> {
        let field = self.optional(key);
        if let Some(sketch) = &self.report.sketch {
            sketch.knows(&self.path, key, true);
        }
        if field.is_none() {
            self.report
                .add(&self.place, &joined(&self.path, key), MISSING);
        }
        field
    }

    /// What `read` makes of the key's value, or `otherwise` when it is not there.
    pub fn or<T>(
        &self,
        key: &'static str,
        otherwise: T,
        read: impl FnOnce(&Field<'_>) -> Option<T>,
    ) -> T {
        self.optional(key)
            .and_then(|field| read(&field))
            .unwrap_or(otherwise)
    }

    /// A value that stands in for a table that is not there.
    pub fn nested<'n>(&'n self, key: &str, node: &'n Node) -> Field<'n> {
        Field {
            node,
            path: joined(&self.path, key),
            report: self.report,
        }
    }

    /// Reports something about the table as a whole.
    pub fn wrong<T>(&self, message: impl Into<String>) -> Option<T> {
        self.report.add(&self.place, &self.path, message);
        None
    }

    fn know_all(&self) {
        self.known.borrow_mut().push(ANY_KEY);
    }

    fn report_unknown(&self) {
        let known = self.known.borrow();
        if known.contains(&ANY_KEY) {
            return;
        }
        for entry in self
            .entries
            .iter()
            .filter(|entry| !known.contains(&entry.key.as_str()))
        {
            let message = format!("unknown key{}", hint(&entry.key, &known));
            self.report
                .add(&entry.place, &joined(&self.path, &entry.key), message);
        }
    }
}

/// `, did you mean 'backends'?`, or what is known when nothing is near.
pub fn hint(text: &str, known: &[&str]) -> String {
    let distance = |word: &&&str| strsim::damerau_levenshtein(text, word);
    match known.iter().min_by_key(distance) {
        Some(nearest) if distance(&nearest) <= 1 + text.chars().count() / 4 => {
            format!(", did you mean '{nearest}'?")
        }
        Some(_) => format!("; known are {}", listed(known)),
        None => String::new(),
    }
}

fn listed(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("'{word}'"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn joined(path: &str, key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let key = if !key.is_empty() && key.bytes().all(plain) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}
