//! What the guides show is what the repository holds, and what the program takes.

use std::path::{Path, PathBuf};

use crate::{read, root};

/// The fenced blocks of a page, each with its word; those of list items without their indentation.
pub fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String, String)> = None;
    for line in page.lines() {
        let (indent, fence) = line.split_at(line.len() - line.trim_start().len());
        match (fence.strip_prefix("```"), open.take()) {
            (Some(word), None) => open = Some((indent, word.to_owned(), String::new())),
            (Some(_), Some((_, word, text))) => blocks.push((word, text)),
            (None, Some((indent, word, text))) => {
                let line = line.strip_prefix(indent).unwrap_or(line);
                open = Some((indent, word, text + line + "\n"));
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that never ends");
    blocks
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Both sides of each guide stand in `deploy/migrating`, where the gateway's own tests run them.
#[test]
fn a_migration_guide_shows_the_files_that_are_tested() {
    for neighbour in ["oauth2-proxy", "authelia", "nginx-lua"] {
        let page = read(&format!("docs/migrating-from-{neighbour}.md"));
        let blocks = blocks(&page);
        let mut all = Vec::new();
        files(&root().join("deploy/migrating").join(neighbour), &mut all);
        assert!(all.len() >= 6, "{all:?}");
        for file in all {
            let text = std::fs::read_to_string(&file).unwrap();
            let shown = text
                .lines()
                .filter(|line| !line.starts_with("#:schema"))
                .collect::<Vec<_>>()
                .join("\n")
                + "\n";
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            assert!(
                page.contains(&format!("`{name}`")),
                "the guide names {name}"
            );
            assert!(
                blocks.iter().any(|(_, block)| *block == shown),
                "the guide shows {name} as it stands"
            );
        }
    }
}

/// Every `vestibule …` that a guide shows is one that there is.
#[test]
fn the_commands_of_the_guides_exist() {
    let mut found = 0;
    for page in [
        "docs/first-product.md",
        "docs/migrating-from-oauth2-proxy.md",
        "docs/migrating-from-authelia.md",
        "docs/migrating-from-nginx-lua.md",
    ] {
        for (word, block) in blocks(&read(page)) {
            let lines = block.lines().filter(|line| line.starts_with("vestibule "));
            for line in lines.filter(|_| word == "sh") {
                let command = line.split(['|', '<', '>', '#']).next().unwrap();
                crate::assert_is_command(command.trim_end_matches(['&', ' ']));
                found += 1;
            }
        }
    }
    assert!(found >= 8, "only {found} commands were found");
}

/// In the life of a request each file is followed by functions of its own.
#[test]
fn the_life_of_a_request_names_functions_that_exist() {
    let page = read("docs/architecture.md");
    let from = page.find("## The life of a request").unwrap();
    let until = page.find("## Rules of the house").unwrap();
    let mut found = 0;
    for line in page[from..until].lines() {
        let mut file: Option<(&str, String)> = None;
        for word in crate::quoted(line) {
            let name = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if word.ends_with(".rs") {
                file = Some((word, read(word)));
            } else if let (true, Some((path, text))) = (name, &file) {
                let there = [format!("fn {word}("), format!("fn {word}<")];
                assert!(
                    there.iter().any(|form| text.contains(form)),
                    "{path} has no function {word}"
                );
                found += 1;
            }
        }
    }
    assert!(found >= 50, "only {found} functions were found");
}
