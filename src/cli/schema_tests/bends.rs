//! Values bent, keys taken away: what a file says when somebody mistyped it.

use serde_json::{Value, json};

/// Where something stands, by keys and places.
#[derive(Clone, Debug)]
pub enum Step {
    Key(String),
    Place(usize),
}

pub fn places(value: &Value, path: &[Step], found: &mut Vec<Vec<Step>>) {
    let mut below = |step: Step, value: &Value| {
        let path = [path, &[step]].concat();
        places(value, &path, found);
        found.push(path);
    };
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                below(Step::Key(key.clone()), value);
            }
        }
        Value::Array(items) => {
            for (place, value) in items.iter().enumerate() {
                below(Step::Place(place), value);
            }
        }
        _ => {}
    }
}

pub fn at<'a>(value: &'a mut Value, path: &[Step]) -> &'a mut Value {
    path.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::Place(place) => &mut value[*place],
    })
}

pub fn remove(value: &mut Value, path: &[Step]) {
    let (last, above) = path.split_last().unwrap();
    match (at(value, above), last) {
        (Value::Object(table), Step::Key(key)) => drop(table.remove(key)),
        (Value::Array(items), Step::Place(place)) => drop(items.remove(*place)),
        _ => unreachable!(),
    }
}

/// JSON as TOML, all in one line for each key at the top.
fn to_toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let entries: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{} = {}", json!(key), to_toml(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(to_toml).collect();
            format!("[{}]", items.join(", "))
        }
        // JSON's escapes are TOML's; the corpus has no others.
        plain => plain.to_string(),
    }
}

pub fn text(value: &Value) -> String {
    let table = value.as_object().unwrap();
    table
        .iter()
        .map(|(key, value)| format!("{} = {}\n", json!(key), to_toml(value)))
        .collect()
}

/// What else may stand where something right stood.
pub fn bent() -> Vec<Value> {
    vec![
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(101),
        json!(401),
        json!(1_u64 << 40),
        json!(0.5),
        json!(1.5),
        json!(""),
        json!(" "),
        json!("zz zz"),
        json!("30s"),
        json!("0s"),
        json!("64KiB"),
        json!("0"),
        json!([]),
        json!([["a"]]),
        json!(["zz zz"]),
        json!({}),
        json!({ "zz": 1 }),
        json!([{}]),
    ]
}

pub fn holds_text(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().all(holds_text),
        Value::Object(table) => table.values().all(holds_text),
        _ => false,
    }
}
