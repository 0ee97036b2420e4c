//! Every setting with type, default, bounds and meaning, as a page for people: keys, types and
//! bounds come from the reading of the file itself, defaults and meanings from one line for each
//! key, and tests hold the defaults to what the reading does without the key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::schema::SchemaOf;
use crate::config::meaning::{self, Meaning};
use crate::config::sketch::{Key, Kind};

/// What stands at docs/settings.md, above the settings themselves.
const HEAD: &str = "\
# Settings

Every key of every file that Vestibule reads. Keys, types and bounds on this page come from the code that reads the files,
so that it can't go stale; `vestibule schema gateway --as markdown` (or `policy`, `policy-test`) prints it for the version that you
have. How values are read, and what hangs together, is on [Configuration](configuration.md).

- **must** in the column *without it*: the key must be given if its table is there.
- Durations are `500ms`, `30s`, `5m`, `2h`, `90d`. Sizes are `64KiB`, `20MiB`, or a number of bytes.
- Where `{ file = \"path\" }` may stand for a value, it is the first line of that file.
- Names in capitals are yours: `[products.ID]` is written `[products.billing]`.
";

/// The whole page.
pub fn page() -> String {
    let parts = SchemaOf::ALL.map(settings);
    format!("{HEAD}\n{}", parts.join("\n"))
}

/// The settings of one file.
pub fn settings(of: SchemaOf) -> String {
    let keys = of.keys();
    let meanings: BTreeMap<&str, Meaning<'_>> = meanings(of).collect();
    let mut text = format!("## {}\n", title(of));
    let mut section = None;
    let (top, tables): (Vec<&Key>, Vec<&Key>) = keys
        .iter()
        .partition(|key| home(&key.path, &keys).is_empty());
    for key in top.into_iter().chain(tables) {
        let meaning = meanings.get(key.path.as_str());
        if !is_row(key, meaning) {
            continue;
        }
        let home = home(&key.path, &keys);
        if section != Some(home) {
            section = Some(home);
            let intro = meanings.get(home).map_or("", |meaning| meaning.says);
            begin(&mut text, home, intro);
        }
        row(&mut text, &keys, key, home, meaning);
    }
    text
}

/// By key, in the order in which they are written down.
pub fn meanings(of: SchemaOf) -> impl Iterator<Item = (&'static str, Meaning<'static>)> {
    meaning::read(of.meanings())
}

const fn title(of: SchemaOf) -> &'static str {
    match of {
        SchemaOf::Gateway => "gateway.toml",
        SchemaOf::Policy => "policies/COMPANY.toml",
        SchemaOf::PolicyTest => "policies/tests/*.toml",
    }
}

/// A table that has nothing to be said of as a whole is told by its keys.
pub fn is_row(key: &Key, meaning: Option<&Meaning<'_>>) -> bool {
    let table = |kind: &Kind| matches!(kind, Kind::Table | Kind::Map);
    let plain = !key.kinds.iter().all(table);
    let said = meaning.is_some_and(|meaning| !meaning.holds.is_empty());
    let file = key.path.ends_with(".file");
    let tables = key.items.contains(&Kind::Table) && meaning.is_none();
    (plain || said) && !file && !tables
}

/// The table of the file in which a key is shown: one for each table at the top, or for each of a
/// table of tables.
fn home<'k>(path: &'k str, keys: &[Key]) -> &'k str {
    let first = path.find('.').unwrap_or(0);
    let (top, rest) = path.split_at(first);
    let is_map = keys
        .iter()
        .any(|key| key.path == top && key.kinds.contains(&Kind::Map));
    if is_map && rest.starts_with(".*") {
        path.get(..first + 2).unwrap_or(top)
    } else {
        top
    }
}

fn begin(text: &mut String, home: &str, intro: &str) {
    let name = named(home);
    let heading = match home {
        "" => String::from("Top level"),
        list if list.ends_with("[]") => format!("`[[{}]]`", name.trim_end_matches("[]")),
        _ => format!("`[{name}]`"),
    };
    let _ = write!(text, "\n### {heading}\n\n");
    if !intro.is_empty() {
        let _ = write!(text, "{intro}\n\n");
    }
    text.push_str("| key | value | bounds | without it | |\n|---|---|---|---|---|\n");
}

fn row(text: &mut String, keys: &[Key], key: &Key, home: &str, meaning: Option<&Meaning<'_>>) {
    let below = key.path.strip_prefix(home).unwrap_or(&key.path);
    let name = named_in(below.trim_start_matches('.'), home);
    let holds = match meaning {
        Some(meaning) => match (meaning.default(), meaning.holds) {
            (Some("[]"), _) => String::from("none"),
            (Some(value), _) => format!("`{value}`"),
            (None, "must") => String::from("**must**"),
            (None, words) => words.to_owned(),
        },
        None => String::new(),
    };
    let said = meaning.map_or("", |meaning| meaning.says);
    let example = match meaning.map_or("", |meaning| meaning.example) {
        "" => String::new(),
        example => format!(" Example: `{example}`"),
    };
    let says = match (said, example.is_empty()) {
        (said, true) => said.to_owned(),
        ("", false) => example.trim_start().to_owned(),
        (said, false) => format!("{}.{example}", said.trim_end_matches('.')),
    };
    let (value, bounds) = (value(keys, key), bounds(key));
    let _ = writeln!(text, "| `{name}` | {value} | {bounds} | {holds} | {says} |");
}

/// The operator's own keys, as they are called in headings.
const OWN: [(&str, &str); 7] = [
    ("products.*", "ID"),
    ("providers.*", "NAME"),
    ("scim.*", "COMPANY"),
    ("scim.*.roles.*", "\"GROUP\""),
    ("products.*.access.*", "\"/PATTERN\""),
    ("products.*.identity.*", "HEADER"),
    ("", "NAME"),
];

fn named(path: &str) -> String {
    named_in(path, "")
}

/// `path`, which stands below `home`, with names for the operator's own keys.
fn named_in(path: &str, home: &str) -> String {
    let mut whole = home.to_owned();
    let mut words = Vec::new();
    for part in path.split('.') {
        if !whole.is_empty() {
            whole.push('.');
        }
        whole.push_str(part);
        let own = OWN
            .iter()
            .find(|(known, _)| *known == whole || known.is_empty());
        words.push(match (part, own) {
            ("*", Some((_, name))) => *name,
            (part, _) => part,
        });
    }
    words.join(".")
}

/// What may stand there, in words.
fn value(keys: &[Key], key: &Key) -> String {
    let below = format!("{}.", key.path);
    let mut inside = keys.iter().filter(|key| key.path.starts_with(&below));
    let only_file = inside.clone().count() == 1 && inside.all(|key| key.path.ends_with(".file"));
    let mut forms: Vec<String> = Vec::new();
    let size = is_size(&key.kinds);
    for kind in &key.kinds {
        let form = match kind {
            Kind::Integer { .. } if size => String::from("size"),
            Kind::Text { .. } if size => continue,
            Kind::Table if only_file => String::from("`{ file = \"path\" }`"),
            Kind::List { .. } => match list(&key.items) {
                items if items.is_empty() => String::from("list"),
                items => format!("list, each: {items}"),
            },
            kind => word(kind),
        };
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms.join(" or ")
}

fn list(items: &[Kind]) -> String {
    let words: Vec<String> = items.iter().map(word).collect();
    words.join(" or ")
}

fn word(kind: &Kind) -> String {
    match kind {
        Kind::Text { wanted, .. } => plain(wanted).to_owned(),
        Kind::Span { .. } => String::from("duration"),
        Kind::Words(words) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            quoted.join(", ")
        }
        Kind::Boolean => String::from("`true` or `false`"),
        Kind::Integer { .. } => String::from("whole number"),
        Kind::Constant(number) => format!("`{number}`"),
        Kind::Share => String::from("number"),
        Kind::List { .. } => String::from("list"),
        Kind::Table | Kind::Map => String::from("table"),
    }
}

/// `an address such as "[::]:8443"` is an address.
fn plain(wanted: &str) -> &str {
    let short = wanted.split(" such as").next().unwrap_or(wanted);
    let short = short.split(", or {").next().unwrap_or(short);
    let short = short.trim_start_matches("an ").trim_start_matches("a ");
    short.trim_end_matches(',')
}

fn is_size(kinds: &[Kind]) -> bool {
    let shape = |kind: &Kind| matches!(kind, Kind::Text { pattern: Some(pattern), .. } if pattern.contains("KiB"));
    kinds.iter().any(shape)
}

fn bounds(key: &Key) -> String {
    let size = is_size(&key.kinds);
    let written = |number: u64| match number {
        number if size && number > 0 => bytes(number),
        number => number.to_string(),
    };
    let mut all: Vec<String> = Vec::new();
    for kind in &key.kinds {
        match kind {
            Kind::Integer { least: 0, most } if *most == u64::MAX => {}
            Kind::Integer { least, most } if *most == u64::MAX => {
                all.push(format!("at least {}", written(*least)));
            }
            Kind::Integer { least, most } => {
                all.push(format!("{} to {}", written(*least), written(*most)));
            }
            Kind::Span { above_zero, most } => all.extend(span(*above_zero, *most)),
            Kind::Share => all.push(String::from("0 to 1")),
            Kind::List { least: 1.. } => all.push(String::from("not empty")),
            _ => {}
        }
    }
    all.join("; ")
}

fn span(above_zero: bool, most: Option<Duration>) -> Option<String> {
    match (above_zero, most) {
        (true, Some(most)) => Some(format!("above 0, at most {}s", most.as_secs())),
        (true, None) => Some(String::from("above 0")),
        (false, _) => None,
    }
}

fn bytes(number: u64) -> String {
    match number {
        number if number >= 1 << 20 && number.is_multiple_of(1 << 20) => {
            format!("{}MiB", number >> 20)
        }
        number if number >= 1 << 10 && number.is_multiple_of(1 << 10) => {
            format!("{}KiB", number >> 10)
        }
        number => format!("{number} bytes"),
    }
}

#[cfg(test)]
#[path = "settings_page_tests.rs"]
mod tests;
