//! What the documents claim about this repository is so.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "documents/broken.rs"]
mod broken;
#[path = "documents/dashboards.rs"]
mod dashboards;
#[path = "documents/deploy.rs"]
mod deploy;
#[path = "documents/guides.rs"]
mod guides;
#[path = "support/program.rs"]
mod program;
#[path = "support/samples.rs"]
mod samples;

use std::fs;
use std::path::{Path, PathBuf};

use vestibule::demo;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

/// All pages, relative to the root.
fn pages() -> Vec<PathBuf> {
    ["", "docs"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Checks every test that is named behind its file, and says how many there were.
fn named_tests_exist(text: &str) -> usize {
    let mut file: Option<(&str, String)> = None;
    let mut found = 0;
    for word in quoted(text) {
        let is_name =
            word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if word.ends_with(".rs") {
            file = Some((word, read(word)));
        } else if let (true, Some((path, text))) = (is_name, &file)
            && word != "trusted_proxies"
            && word != "when_unavailable"
            && word != "connections_per_address"
        {
            // Properties are made by a macro, from names that stand before a colon.
            let there = [format!("fn {word}("), format!("    {word}: ")];
            assert!(
                there.iter().any(|form| text.contains(form)),
                "{path} has no test {word}"
            );
            found += 1;
        }
    }
    found
}

#[test]
fn every_attack_and_fault_has_its_test() {
    let found = named_tests_exist(&read("docs/attacks.md"));
    assert!(found >= 80, "only {found} tests were found");
}

#[test]
fn every_test_that_stands_for_a_guarantee_exists() {
    let security = read("SECURITY.md");
    let from = security.find("## What is guaranteed").unwrap();
    let until = security.find("## What is not promised").unwrap();
    let found = named_tests_exist(&security[from..until]);
    assert!(found >= 12, "only {found} tests were found in the table");
}

/// Tests are named as `tests/file.rs`, then `name_of_the_test`, within one row of the table.
#[test]
fn every_test_that_the_compliance_page_names_exists() {
    let page = read("docs/compliance.md");
    let mut found = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let mut file: Option<(&str, String)> = None;
        for word in quoted(row) {
            if word.ends_with(".rs") {
                file = Some((word, read(word)));
            } else if let Some((path, text)) = &file {
                assert!(
                    text.contains(&format!("fn {word}(")),
                    "{path} has no test {word}"
                );
                found += 1;
            }
        }
    }
    assert!(found >= 30, "only {found} tests were found");
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || target.contains("://") {
                continue;
            }
            let file = page.parent().unwrap().join(path);
            assert!(file.exists(), "{} links to {target}", page.display());
        }
    }
}

/// The commands that `vestibule VERB --help` lists.
fn commands_of(verbs: &[&str]) -> Vec<String> {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(verbs)
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(out.stdout).unwrap();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        // What is said of them goes on further to the right.
        .filter_map(|line| {
            line.strip_prefix("  ")
                .filter(|line| !line.starts_with(' '))
        })
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_stands_in_the_operators_page() {
    let page = read("docs/operating.md");
    let table = &page[page.find("## Commands").unwrap()..];
    let told: Vec<&str> = quoted(table).collect();
    let mut commands = Vec::new();
    for verb in commands_of(&[]) {
        let below = commands_of(&[&verb]);
        if below.is_empty() {
            commands.push(verb);
        } else {
            commands.extend(below.iter().map(|word| format!("{verb} {word}")));
        }
    }
    assert!(commands.len() >= 27, "{commands:?}");
    for command in &commands {
        let named = format!("vestibule {command}");
        let is_it = |told: &&str| {
            let rest = told.strip_prefix(&named);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        assert!(told.iter().any(is_it), "docs/operating.md lacks {named}");
    }
}

#[test]
fn the_sign_ins_of_the_tour_are_those_of_the_demo() {
    let readme = read("README.md");
    for login in ["kim", "sam", "lee"] {
        let account = demo::people()
            .into_iter()
            .find(|p| p.product == "emr" && p.login == login)
            .unwrap();
        assert!(readme.contains(&format!("`{login}`")), "{login}");
        assert!(readme.contains(account.password), "{login}'s password");
    }
}

#[test]
fn the_files_that_the_readme_and_the_image_name_are_there() {
    for file in [
        "tools/test",
        "tools/deny",
        "tools/healthy",
        "tools/compare",
        ".ci/run",
        "LICENSE",
        "deny.toml",
    ] {
        assert!(root().join(file).exists(), "{file}");
    }
    let image = read("Dockerfile");
    for line in image
        .lines()
        .filter(|line| line.starts_with("COPY ") && !line.contains("--from"))
    {
        let source = line.split(' ').nth(1).unwrap();
        assert!(
            root().join(source).exists(),
            "the Dockerfile copies {source}"
        );
    }
}

/// `tools/compare` writes its figures between these.
#[test]
fn the_figures_of_the_comparison_have_their_place() {
    let page = read("BENCHMARKS.md");
    let (_, rest) = page.split_once("<!-- measured: begin -->").unwrap();
    assert!(rest.contains("<!-- measured: end -->"));
}

/// Whether the command line takes this, down to its options.
fn assert_is_command(command: &str) {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let verbs: Vec<&str> = words
        .iter()
        .copied()
        .take_while(|word| {
            !word.starts_with('-') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        })
        .take(2)
        .collect();
    let help = |verbs: &[&str]| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .args(verbs)
            .arg("--help")
            .output()
            .unwrap();
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let text = help(&verbs).or_else(|| help(&verbs[..1]));
    let text = text.unwrap_or_else(|| panic!("there is no command {command:?}"));
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(text.contains(*option), "{command:?}: there is no {option}");
    }
}
