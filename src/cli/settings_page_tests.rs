//! The page of settings says what the program does: a meaning for every key, defaults that are what
//! holds without the key, examples that are taken, and the file in docs as it is drawn.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::super::schema::tests::{document, every_key, folder, text, to_json};
use super::*;
use crate::config::{self, ProductIds};
use crate::gate::name::ProductId;
use crate::policies;

const REWRITE: &str = "VESTIBULE_REWRITE=1 cargo nextest run --lib -E 'test(settings_page)'";

#[test]
fn the_page_in_docs_is_what_the_program_draws() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    if std::env::var_os("VESTIBULE_REWRITE").is_some() {
        std::fs::write(&file, page()).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == page(), "draw docs/settings.md anew: {REWRITE}");
}

#[test]
fn every_key_has_a_meaning_and_every_meaning_a_key() {
    for of in SchemaOf::ALL {
        let keys = of.keys();
        let written: BTreeMap<&str, Meaning<'_>> = meanings(of).collect();
        assert_eq!(written.len(), meanings(of).count(), "{of:?}: one twice");
        for key in &keys {
            let meaning = written.get(key.path.as_str());
            if !is_row(key, meaning) {
                continue;
            }
            let Some(meaning) = meaning else {
                panic!(
                    "{of:?}: write down what {} means, in meanings.txt",
                    key.path
                );
            };
            assert!(
                meaning.holds == "must" || !meaning.says.is_empty(),
                "{of:?}: {} says nothing",
                key.path
            );
            let any = key.path.ends_with(".*");
            assert_eq!(meaning.holds.is_empty(), any, "{of:?}: {}", key.path);
            assert_eq!(
                key.required,
                meaning.holds == "must",
                "{of:?}: {}",
                key.path
            );
        }
        let known: BTreeSet<&str> = keys
            .iter()
            .flat_map(|key| [key.path.as_str(), home(&key.path, &keys)])
            .collect();
        for key in written.keys() {
            assert!(known.contains(key), "{of:?}: there is no key {key}");
        }
    }
}

/// What a text comes to, in the one form in which everything of it shows; places, which are other
/// ones as soon as a line is added, left out.
fn comes_to(of: SchemaOf, value: &Value, folder: &Path) -> Result<String, String> {
    let text = text(value);
    let told = |problems: config::Problems| problems.to_string();
    match of {
        SchemaOf::Gateway => {
            let read = |text: &str| {
                config::read(text, &folder.join("g.toml"), std::iter::empty(), &[]).map_err(told)
            };
            let mut settings = read(&text)?;
            settings.notices = Vec::new();
            let directory = settings.store.directory.expose();
            Ok(format!("{directory} {settings:#?}"))
        }
        SchemaOf::Policy => {
            let ids = ["emr", "billing", "analytics"].map(|id| ProductId::parse(id).unwrap());
            let file = folder.join("p.toml");
            let draft = policies::read_policy(&text, &file, &ProductIds::of(ids)).map_err(told)?;
            Ok(format!("{:#?}", draft.complete()))
        }
        SchemaOf::PolicyTest => {
            let file = folder.join("t.toml");
            std::fs::write(&file, text).unwrap();
            let cases = super::super::policy_test::read(&file).map_err(told)?;
            Ok(format!("{cases:#?}"))
        }
    }
}

/// Where the tables stand that may have a key, as JSON pointers.
fn tables(value: &Value, steps: &[&str], at: &str, found: &mut Vec<String>) {
    let Some((step, rest)) = steps.split_first() else {
        if value.is_object() {
            found.push(at.to_owned());
        }
        return;
    };
    let (name, is_list) = match step.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (*step, false),
    };
    for (key, below) in value.as_object().into_iter().flatten() {
        if name != "*" && name != key {
            continue;
        }
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        if !is_list {
            tables(below, rest, &at, found);
            continue;
        }
        for (index, item) in below.as_array().into_iter().flatten().enumerate() {
            tables(item, rest, &format!("{at}/{index}"), found);
        }
    }
}

/// Each document with each table that may have `key`: (the document without it, the table, the
/// key's last word).
fn places(of: SchemaOf, key: &str) -> Vec<(Value, String, String)> {
    let (above, last) = key.rsplit_once('.').unwrap_or(("", key));
    let steps: Vec<&str> = above.split('.').filter(|step| !step.is_empty()).collect();
    let mut all = Vec::new();
    for (_, text) in every_key().into_iter().filter(|(other, _)| *other == of) {
        let document = to_json(document(&text).as_item());
        let mut found = Vec::new();
        tables(&document, &steps, "", &mut found);
        for at in found {
            let mut without = document.clone();
            let table = without.pointer_mut(&at).unwrap().as_object_mut().unwrap();
            let last = match last {
                "*" => table.keys().next().unwrap().clone(),
                last => last.to_owned(),
            };
            table.remove(&last);
            all.push((without, at, last));
        }
    }
    all
}

fn with(without: &Value, at: &str, key: &str, written: &str) -> Value {
    let item = document(&format!("it = {written}"));
    let mut value = without.clone();
    let table = value.pointer_mut(at).unwrap().as_object_mut().unwrap();
    table.insert(key.to_owned(), to_json(&item["it"]));
    value
}

#[test]
fn a_default_is_what_holds_without_the_key() {
    let folder = folder();
    let mut seen = 0;
    for of in SchemaOf::ALL {
        for (key, meaning) in meanings(of) {
            let Some(default) = meaning.default() else {
                continue;
            };
            let mut shown = 0;
            for (without, at, last) in places(of, key) {
                // Some keys can't be left out where the sample has them.
                let Ok(bare) = comes_to(of, &without, folder.path()) else {
                    continue;
                };
                let written = with(&without, &at, &last, default);
                // What a table is for may exclude the key.
                if let Ok(same) = comes_to(of, &written, folder.path()) {
                    assert!(bare == same, "{of:?}: {key} is not {default} without it");
                    shown += 1;
                }
            }
            assert!(shown > 0, "{of:?}: no sample shows that {key} is {default}");
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn every_example_is_taken() {
    let folder = folder();
    let mut seen = 0;
    for of in SchemaOf::ALL {
        for (key, meaning) in meanings(of) {
            if meaning.example.is_empty() {
                continue;
            }
            let mut problems = String::from("no sample has the table");
            let taken = places(of, key).into_iter().any(|(without, at, last)| {
                let written = with(&without, &at, &last, meaning.example);
                match comes_to(of, &written, folder.path()) {
                    Ok(_) => true,
                    Err(found) => {
                        problems = found;
                        false
                    }
                }
            });
            assert!(taken, "{of:?}: {key} = {}: {problems}", meaning.example);
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}
