//! What a reading asks for, drawn by the reading itself: [`Reader`](super::reader) code runs once
//! over nothing, every key that it asks for and every form that it accepts is noted, and the notes
//! are written as a JSON Schema. So the schema for editors can't say another thing than the parser
//! that serves.
//!
//! What hangs on more than one value (`within` is for `"step_up"` alone), and texts with a grammar
//! of their own (URLs, networks, hours), stay the parser's: the schema lets them through, and
//! `vestibule check` tells.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::problem::Place;
use super::reader::{Field, Report};
use super::tree::{Data, Node};

/// One form that a value may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Text {
        wanted: String,
        pattern: Option<&'static str>,
    },
    /// A duration.
    Span {
        above_zero: bool,
        /// For readers: the schema's patterns can't tell.
        most: Option<Duration>,
    },
    Words(Vec<&'static str>),
    Boolean,
    Integer {
        least: u64,
        most: u64,
    },
    Constant(i64),
    /// 0 to 1.
    Share,
    List {
        least: u64,
    },
    /// With known keys.
    Table,
    /// With keys of the operator's choosing.
    Map,
}

impl Kind {
    pub fn text(wanted: &str) -> Kind {
        Kind::Text {
            wanted: wanted.to_owned(),
            pattern: None,
        }
    }

    pub fn shaped(wanted: &str, pattern: &'static str) -> Kind {
        Kind::Text {
            wanted: wanted.to_owned(),
            pattern: Some(pattern),
        }
    }
}

/// What was asked for so far, by path: `products.*.backends[]`.
#[derive(Debug, Default)]
pub struct Sketch {
    tables: bool,
    seen: RefCell<BTreeMap<String, Seen>>,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    kinds: Vec<Kind>,
    /// In the order in which they are asked for; true: required.
    keys: Vec<(&'static str, bool)>,
}

impl Sketch {
    /// Which way a reading goes that takes a table or something else.
    pub(super) fn takes_tables(&self) -> bool {
        self.tables
    }

    pub(super) fn saw(&self, path: &str, kind: Kind) {
        let mut seen = self.seen.borrow_mut();
        let kinds = &mut seen.entry(path.to_owned()).or_default().kinds;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }

    pub(super) fn knows(&self, path: &str, key: &'static str, required: bool) {
        let mut seen = self.seen.borrow_mut();
        let keys = &mut seen.entry(path.to_owned()).or_default().keys;
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 |= required,
            None => keys.push((key, required)),
        }
    }
}

/// One key that is asked for.
#[derive(Debug, Clone)]
pub struct Key {
    /// `products.*.idle`, `rules[].name`.
    pub path: String,
    pub kinds: Vec<Kind>,
    /// Where it is a list: of what.
    pub items: Vec<Kind>,
    pub required: bool,
}

/// Every key that `read` asks for, in the order in which it asks.
pub fn keys(read: impl Fn(&Field<'_>)) -> Vec<Key> {
    let mut found = Vec::new();
    walk(&drawn(read), "", &mut found);
    found
}

fn walk(seen: &BTreeMap<String, Seen>, path: &str, found: &mut Vec<Key>) {
    let kinds = |path: &str| seen.get(path).map_or(Vec::new(), |seen| seen.kinds.clone());
    let mut key = |path: String, required: bool| {
        found.push(Key {
            kinds: kinds(&path),
            items: kinds(&format!("{path}[]")),
            required,
            path: path.clone(),
        });
        walk(seen, &path, found);
    };
    let Some(here) = seen.get(path) else {
        return;
    };
    if here.kinds.contains(&Kind::Map) {
        key(format!("{path}.*"), false);
    }
    for (name, required) in &here.keys {
        key(below(path, name), *required);
    }
    if here
        .kinds
        .iter()
        .any(|kind| matches!(kind, Kind::List { .. }))
    {
        walk(seen, &format!("{path}[]"), found);
    }
}

/// The JSON Schema of what `read` reads.
pub fn schema(title: &str, read: impl Fn(&Field<'_>)) -> Value {
    let seen = drawn(read);
    let mut schema = Map::new();
    schema.insert(
        String::from("$schema"),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    schema.insert(String::from("title"), json!(title));
    if let Value::Object(root) = at(&seen, "") {
        schema.extend(root);
    }
    Value::Object(schema)
}

/// `read` is run over nothing, once for each way: whatever it makes of that is thrown away.
fn drawn(read: impl Fn(&Field<'_>)) -> BTreeMap<String, Seen> {
    let nothing = Node {
        data: Data::Table(Vec::new()),
        place: Place::Variable(String::from("nothing")),
    };
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for tables in [false, true] {
        let report = Report::drawing(Sketch {
            tables,
            seen: RefCell::default(),
        });
        read(&Field::root(&nothing, &report));
        let drawn = report.drawn().map(|sketch| sketch.seen.into_inner());
        for (path, more) in drawn.into_iter().flatten() {
            merge(seen.entry(path).or_default(), more);
        }
    }
    seen
}

fn merge(seen: &mut Seen, more: Seen) {
    for kind in more.kinds {
        if !seen.kinds.contains(&kind) {
            seen.kinds.push(kind);
        }
    }
    for (key, required) in more.keys {
        match seen.keys.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 |= required,
            None => seen.keys.push((key, required)),
        }
    }
}

fn at(seen: &BTreeMap<String, Seen>, path: &str) -> Value {
    let Some(here) = seen.get(path) else {
        // Asked for and never looked at: anything goes.
        return json!(true);
    };
    let mut forms: Vec<Value> = here
        .kinds
        .iter()
        .map(|kind| form(seen, path, kind))
        .collect();
    match forms.len() {
        0 => json!(true),
        1 => forms.remove(0),
        _ => json!({ "anyOf": forms }),
    }
}

fn form(seen: &BTreeMap<String, Seen>, path: &str, kind: &Kind) -> Value {
    match kind {
        Kind::Text { wanted, pattern } => {
            let mut form = json!({ "type": "string", "description": wanted });
            if let (Some(pattern), Some(form)) = (pattern, form.as_object_mut()) {
                form.insert(String::from("pattern"), json!(pattern));
            }
            form
        }
        Kind::Span { above_zero, .. } => {
            let (wanted, pattern) = span_form(*above_zero);
            json!({ "type": "string", "description": wanted, "pattern": pattern })
        }
        Kind::Words(words) => json!({ "enum": words }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer { least, most } => {
            let mut form = json!({ "type": "integer", "minimum": least });
            if let (true, Some(form)) = (*most < u64::MAX, form.as_object_mut()) {
                form.insert(String::from("maximum"), json!(most));
            }
            form
        }
        Kind::Constant(number) => json!({ "const": number }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::List { least } => {
            let items = at(seen, &format!("{path}[]"));
            match least {
                0 => json!({ "type": "array", "items": items }),
                least => json!({ "type": "array", "items": items, "minItems": least }),
            }
        }
        Kind::Map => json!({
            "type": "object",
            "additionalProperties": at(seen, &format!("{path}.*")),
        }),
        Kind::Table => table(seen, path),
    }
}

/// What a duration looks like, in words and as a pattern.
pub(super) fn span_form(above_zero: bool) -> (&'static str, &'static str) {
    if above_zero {
        (
            "a duration above zero such as \"30s\", \"5m\", \"2h\" or \"90d\"",
            "^0*[1-9][0-9]*(ms|s|m|h|d)$",
        )
    } else {
        (
            "a duration such as \"30s\", \"5m\", \"2h\" or \"90d\"",
            "^[0-9]+(ms|s|m|h|d)$",
        )
    }
}

fn below(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

fn table(seen: &BTreeMap<String, Seen>, path: &str) -> Value {
    let keys = seen.get(path).map_or(&[][..], |here| &here.keys);
    let properties: Map<String, Value> = keys
        .iter()
        .map(|(key, _)| ((*key).to_owned(), at(seen, &below(path, key))))
        .collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|(_, required)| *required)
        .map(|(key, _)| *key)
        .collect();
    let mut form = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if let (false, Some(form)) = (required.is_empty(), form.as_object_mut()) {
        form.insert(String::from("required"), json!(required));
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_a_value_are_drawn() {
        let drawn = schema("x", |field| {
            field.table(|fields| {
                fields.required("kind")?.word(&[("a", 1), ("b", 2)]);
                let either = fields.optional("either")?;
                if either.is_table() {
                    either.table(|fields| fields.required("file")?.file_path());
                } else {
                    either.boolean();
                }
                fields.optional("many")?.map(|_, field| field.integer(1, 9));
                Some(())
            });
        });
        let properties = &drawn["properties"];
        assert_eq!(properties["kind"], json!({ "enum": ["a", "b"] }));
        assert_eq!(
            properties["either"]["anyOf"][0],
            json!({ "type": "boolean" })
        );
        assert_eq!(
            properties["either"]["anyOf"][1]["required"],
            json!(["file"])
        );
        assert_eq!(
            properties["many"]["additionalProperties"],
            json!({ "type": "integer", "minimum": 1, "maximum": 9 })
        );
        assert_eq!(drawn["required"], json!(["kind"]));
        assert_eq!(drawn["additionalProperties"], json!(false));
    }
}
