//! A validator of schemas for what they are written in, and TOML as such a one sees it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item};

/// The part of JSON Schema (draft 7) that the schemas are written in; a word beyond it fails.
/// Patterns are looked for, as the standard says, by the few forms that there are.
pub fn conforms(schema: &Value, value: &Value) -> bool {
    let Some(words) = schema.as_object() else {
        return schema == &json!(true);
    };
    words.iter().all(|(word, wanted)| match word.as_str() {
        "$schema" | "title" | "description" => true,
        "type" => match wanted.as_str().unwrap() {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("unknown type {other}"),
        },
        "enum" => wanted.as_array().unwrap().contains(value),
        "const" => wanted == value,
        "anyOf" => wanted
            .as_array()
            .unwrap()
            .iter()
            .any(|one| conforms(one, value)),
        "minimum" => value.as_f64().is_none_or(|n| n >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|n| n <= wanted.as_f64().unwrap()),
        "minItems" => value
            .as_array()
            .is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
        "items" => value
            .as_array()
            .is_none_or(|items| items.iter().all(|item| conforms(wanted, item))),
        "required" => value.as_object().is_none_or(|table| {
            let mut keys = wanted.as_array().unwrap().iter();
            keys.all(|key| table.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|table| {
            let known = wanted.as_object().unwrap();
            let mut keys = table.iter();
            keys.all(|(key, value)| known.get(key).is_none_or(|one| conforms(one, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|table| {
            let known = words.get("properties").and_then(Value::as_object);
            table
                .iter()
                .filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)))
                .all(|(_, value)| wanted != &json!(false) && conforms(wanted, value))
        }),
        "pattern" => value
            .as_str()
            .is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
        other => panic!("unknown word {other}"),
    })
}

fn matches(pattern: &str, text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = &text[..text.len() - unit.len()];
    let span = !number.is_empty() && ["ms", "s", "m", "h", "d"].contains(&unit);
    match pattern {
        "\\S" => text.chars().any(|c| !c.is_whitespace()),
        "^." => !text.is_empty() && !text.starts_with('\n'),
        "^[0-9]+(ms|s|m|h|d)$" => span,
        "^0*[1-9][0-9]*(ms|s|m|h|d)$" => span && number.bytes().any(|b| b != b'0'),
        "^[0-9]+(B|KiB|MiB|GiB)?$" => {
            !number.is_empty() && ["", "B", "KiB", "MiB", "GiB"].contains(&unit)
        }
        other => panic!("unknown pattern {other}"),
    }
}

/// TOML as a validator sees it.
pub fn to_json(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        let entries = table.iter().map(|(k, v)| (k.to_owned(), to_json(v)));
        return Value::Object(entries.collect());
    }
    if let Some(tables) = item.as_array_of_tables() {
        let all = tables
            .iter()
            .map(|table| to_json(&Item::Table(table.clone())));
        return Value::Array(all.collect());
    }
    match item.as_value() {
        Some(toml_edit::Value::Array(items)) => Value::Array(
            items
                .iter()
                .map(|v| to_json(&Item::Value(v.clone())))
                .collect(),
        ),
        Some(toml_edit::Value::String(text)) => json!(text.value()),
        Some(toml_edit::Value::Integer(number)) => json!(number.value()),
        Some(toml_edit::Value::Float(number)) => json!(number.value()),
        Some(toml_edit::Value::Boolean(boolean)) => json!(boolean.value()),
        // JSON has no dates: no form of ours is one.
        _ => Value::Null,
    }
}

pub fn document(text: &str) -> DocumentMut {
    text.parse()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Paths of all keys of a schema, `*` for a key of the operator's choosing.
pub fn keys(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        keys(one, path, found);
    }
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        keys(below, &path, found);
        found.insert(path);
    }
    keys_of(&schema["items"], path, found);
    if schema["additionalProperties"].is_object() {
        keys(&schema["additionalProperties"], &format!("{path}.*"), found);
    }
}

fn keys_of(items: &Value, path: &str, found: &mut BTreeSet<String>) {
    if items.is_object() {
        keys(items, path, found);
    }
}

/// Paths of all keys of a value, in the words of its schema.
pub fn used(schema: &Value, value: &Value, path: &str, found: &mut BTreeSet<String>) {
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        if conforms(one, value) {
            used(one, value, path, found);
        }
    }
    for item in value.as_array().into_iter().flatten() {
        used(&schema["items"], item, path, found);
    }
    for (key, below) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(key) {
            Some(known) => {
                let path = format!("{path}.{key}");
                used(known, below, &path, found);
                found.insert(path);
            }
            None => used(
                &schema["additionalProperties"],
                below,
                &format!("{path}.*"),
                found,
            ),
        }
    }
}
