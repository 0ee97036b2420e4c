//! What stands in a file, with the place of everything: TOML as it was written, and what the
//! environment and the command line put over it.

use std::path::Path;
use std::sync::Arc;

use toml_edit::{Document, Item, TableLike, TomlError, Value};

use super::problem::{Place, Problem, Problems};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    pub data: Data,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub enum Data {
    /// In the order of the file.
    Table(Vec<Entry>),
    List(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date,
    /// From outside of a file: becomes what is wanted of it.
    Raw(String),
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub value: Node,
}

/// The environment's variables that are settings begin with this.
pub const PREFIX: &str = "VESTIBULE_";

/// Read by the command line itself.
const NOT_SETTINGS: [&str; 1] = ["VESTIBULE_CONFIG"];

/// Reads TOML.
///
/// # Errors
/// Everything that is no TOML, with its place.
pub fn parse(text: &str, file: &Path) -> Result<Node, Problems> {
    let source = Source::new(text, file);
    match Document::parse(text) {
        Ok(document) => Ok(Node {
            data: Data::Table(source.entries(document.as_table(), &source.place(0))),
            place: source.place(0),
        }),
        Err(first) => Err(Problems(source.faults(first))),
    }
}

/// So many lines that are no TOML are told at once.
const MOST_FAULTS: usize = 50;

/// Puts `VESTIBULE_A__B=…` over `a.b`. A variable with no `__` that names no key at the top is
/// left alone and returned: Kubernetes makes such for a service that is called 'vestibule'.
pub fn overlay_variables(
    root: &mut Node,
    variables: impl Iterator<Item = (String, String)>,
    top: &[&str],
) -> Vec<String> {
    let mut settings: Vec<(String, String)> = variables
        .filter(|(name, _)| name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name.as_str()))
        .collect();
    settings.sort();
    let mut ignored = Vec::new();
    for (name, value) in settings {
        let path = name.trim_start_matches(PREFIX).to_lowercase();
        if !path.contains("__") && !top.contains(&path.as_str()) {
            ignored.push(name);
            continue;
        }
        let keys: Vec<&str> = path.split("__").collect();
        root.put(&keys, value, &Place::Variable(name.clone()));
    }
    ignored
}

/// Puts a flag's value over the key that it stands for, as `listen.admin`.
pub fn overlay_flags(root: &mut Node, flags: &[(String, String)]) {
    for (path, value) in flags {
        let keys: Vec<&str> = path.split('.').collect();
        root.put(&keys, value.clone(), &Place::Flag(path.clone()));
    }
}

impl Node {
    /// What stands here, in words and without the value: it may be a secret.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Table(_) => "a table",
            Data::List(_) => "a list",
            Data::Text(_) | Data::Raw(_) => "text",
            Data::Integer(_) | Data::Float(_) => "a number",
            Data::Boolean(_) => "true or false",
            Data::Date => "a date",
        }
    }

    fn put(&mut self, keys: &[&str], value: String, place: &Place) {
        let Some((key, rest)) = keys.split_first() else {
            *self = Node {
                data: Data::Raw(value),
                place: place.clone(),
            };
            return;
        };
        if !matches!(self.data, Data::Table(_)) {
            *self = Node {
                data: Data::Table(Vec::new()),
                place: place.clone(),
            };
        }
        let Data::Table(entries) = &mut self.data else {
            return;
        };
        let index = match entries.iter().position(|entry| entry.key == *key) {
            Some(index) => index,
            None => {
                let value = Node {
                    data: Data::Table(Vec::new()),
                    place: place.clone(),
                };
                entries.push(Entry {
                    key: (*key).to_owned(),
                    place: place.clone(),
                    value,
                });
                entries.len() - 1
            }
        };
        if let Some(entry) = entries.get_mut(index) {
            entry.value.put(rest, value, place);
        }
    }
}

/// A text from outside of a file as list or table: `["a", "b"]`, `{ file = "x" }`.
pub fn structure(raw: &str, place: &Place) -> Option<Node> {
    use figment::value::Value as Outside;
    fn node(value: Outside, place: &Place) -> Node {
        let data = match value {
            Outside::String(_, text) => Data::Text(text),
            Outside::Char(_, character) => Data::Text(character.to_string()),
            Outside::Bool(_, boolean) => Data::Boolean(boolean),
            Outside::Num(_, number) => {
                let signed = number.to_i128().and_then(|n| i64::try_from(n).ok());
                let unsigned = || number.to_u128().and_then(|n| i64::try_from(n).ok());
                signed.or_else(unsigned).map_or_else(
                    || Data::Float(number.to_f64().unwrap_or(f64::NAN)),
                    Data::Integer,
                )
            }
            Outside::Empty(..) => Data::Text(String::new()),
            Outside::Array(_, items) => {
                Data::List(items.into_iter().map(|item| node(item, place)).collect())
            }
            Outside::Dict(_, entries) => Data::Table(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key,
                        place: place.clone(),
                        value: node(value, place),
                    })
                    .collect(),
            ),
        };
        Node {
            data,
            place: place.clone(),
        }
    }
    let Ok(value) = raw.parse::<Outside>();
    match value {
        Outside::Array(..) | Outside::Dict(..) => Some(node(value, place)),
        _ => None,
    }
}

/// A text, and where its lines begin.
struct Source<'a> {
    text: &'a str,
    lines: Vec<usize>,
    file: Arc<Path>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str, file: &Path) -> Source<'a> {
        let lines = std::iter::once(0)
            .chain(
                text.bytes()
                    .enumerate()
                    .filter(|(_, b)| *b == b'\n')
                    .map(|(at, _)| at + 1),
            )
            .collect();
        Source {
            text,
            lines,
            file: file.into(),
        }
    }

    /// Every line that is no TOML. The parser stops at the first: that line is made blank, and it is
    /// asked again. A table's head is the last that is told, since without it the lines below would
    /// be another table's.
    fn faults(&self, first: TomlError) -> Vec<Problem> {
        let mut told = Vec::new();
        let mut left = self.text.to_owned();
        let mut fault = Some(first);
        while let Some(error) = fault.take().filter(|_| told.len() < MOST_FAULTS) {
            let span = error.span().unwrap_or_default();
            let at = span.start;
            let mut message = error.message().trim().replace('\n', ", ");
            if message == "duplicate key"
                && let Some(key) = self.text.get(span)
            {
                message = format!("duplicate key '{key}': it stands in this table already");
            }
            told.push(Problem {
                place: self.place(at),
                key: String::new(),
                message,
            });
            let begin = self.lines.get(self.line(at).saturating_sub(1)).copied();
            let begin = begin.unwrap_or(0);
            let end = left.get(begin..).and_then(|rest| rest.find('\n'));
            let end = end.map_or(left.len(), |length| begin + length);
            let line = left.get(begin..end).unwrap_or_default();
            // Nothing to make blank: the fault is what stands around it.
            if line.trim().is_empty() || line.trim_start().starts_with('[') {
                break;
            }
            let blank = " ".repeat(end - begin);
            left.replace_range(begin..end, &blank);
            fault = Document::parse(left.as_str()).err();
        }
        told
    }

    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.line(offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self
            .text
            .get(start..offset)
            .map_or(1, |before| before.chars().count() + 1);
        Place::File {
            file: Arc::clone(&self.file),
            line,
            column,
        }
    }

    fn entries(&self, table: &dyn TableLike, above: &Place) -> Vec<Entry> {
        table
            .iter()
            .map(|(name, item)| {
                let span = table
                    .key(name)
                    .and_then(|key| key.span())
                    .or_else(|| item.span());
                let place = span.map_or_else(|| above.clone(), |span| self.place(span.start));
                let value = self.node(item, &place);
                Entry {
                    key: name.to_owned(),
                    place,
                    value,
                }
            })
            .collect()
    }

    fn node(&self, item: &Item, above: &Place) -> Node {
        match item {
            Item::None => Node {
                data: Data::Table(Vec::new()),
                place: above.clone(),
            },
            Item::Value(value) => self.value(value, above),
            Item::Table(table) => Node {
                data: Data::Table(self.entries(table, above)),
                place: above.clone(),
            },
            Item::ArrayOfTables(tables) => {
                let one = |table: &toml_edit::Table| {
                    let place = table
                        .span()
                        .map_or_else(|| above.clone(), |s| self.place(s.start));
                    Node {
                        data: Data::Table(self.entries(table, &place)),
                        place,
                    }
                };
                Node {
                    data: Data::List(tables.iter().map(one).collect()),
                    place: above.clone(),
                }
            }
        }
    }

    fn value(&self, value: &Value, above: &Place) -> Node {
        let place = value
            .span()
            .map_or_else(|| above.clone(), |span| self.place(span.start));
        let data = match value {
            Value::String(text) => Data::Text(text.value().clone()),
            Value::Integer(number) => Data::Integer(*number.value()),
            Value::Float(number) => Data::Float(*number.value()),
            Value::Boolean(boolean) => Data::Boolean(*boolean.value()),
            Value::Datetime(_) => Data::Date,
            Value::Array(items) => {
                Data::List(items.iter().map(|item| self.value(item, &place)).collect())
            }
            Value::InlineTable(table) => Data::Table(self.entries(table, &place)),
        };
        Node { data, place }
    }
}
