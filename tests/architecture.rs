//! The house keeps its shape: which room may know which, read off the `use` lines; what the gate
//! may not do; who may make and spend a permit. See docs/architecture.md.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Room, and what it may know.
const ROOMS: [(&str, &[&str]); 16] = [
    ("gate", &[]),
    ("demo", &[]),
    ("pages", &["gate"]),
    ("config", &["gate"]),
    ("policies", &["gate", "config"]),
    ("sessions", &["gate"]),
    ("directory", &["gate"]),
    ("legacy", &["gate", "config", "directory", "sessions"]),
    ("messages", &["gate"]),
    ("providers", &["gate", "config"]),
    ("acme", &["gate", "config", "directory", "sessions"]),
    ("observe", &["gate"]),
    (
        "portal",
        &[
            "gate",
            "sessions",
            "directory",
            "legacy",
            "messages",
            "providers",
            "pages",
        ],
    ),
    (
        "proxy",
        &["gate", "sessions", "legacy", "observe", "pages", "config"],
    ),
    (
        "app",
        &[
            "gate",
            "config",
            "policies",
            "sessions",
            "directory",
            "legacy",
            "messages",
            "providers",
            "acme",
            "observe",
            "pages",
            "portal",
            "proxy",
        ],
    ),
    (
        "cli",
        &[
            "gate",
            "config",
            "policies",
            "sessions",
            "directory",
            "messages",
            "observe",
            "portal",
            "app",
            "demo",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn room_files(room: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    sources(&src().join(room), &mut files);
    files
}

/// The code of a file: without comments, and without its tests.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn is_test(file: &Path) -> bool {
    let name = file.to_string_lossy();
    name.ends_with("tests.rs") || name.ends_with("samples.rs")
}

fn known_rooms(text: &str) -> BTreeSet<String> {
    text.match_indices("crate::")
        .map(|(at, word)| {
            text[at + word.len()..]
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect::<String>()
        })
        .filter(|room| !room.is_empty())
        .collect()
}

#[test]
fn every_folder_is_a_room_of_the_plan() {
    let planned: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    let mut standing = BTreeSet::new();
    for entry in std::fs::read_dir(src()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            standing.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(
        standing.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        planned
    );
}

#[test]
fn rooms_know_only_whom_they_may() {
    let mut broken = Vec::new();
    for (room, may_know) in ROOMS {
        for file in room_files(room) {
            for known in known_rooms(&code(&file)) {
                if known != room && !may_know.contains(&known.as_str()) {
                    broken.push(format!("{} knows {known}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_rooms_may_know_has_no_circle() {
    let plan: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    fn reaches<'a>(plan: &BTreeMap<&'a str, &'a [&'a str]>, from: &'a str, to: &str) -> bool {
        plan[from]
            .iter()
            .any(|next| *next == to || reaches(plan, next, to))
    }
    for room in plan.keys() {
        assert!(
            !reaches(&plan, room, room),
            "{room} knows itself through others"
        );
    }
}

#[test]
fn the_gate_is_pure() {
    let impure = [
        "SystemTime",
        "Instant",
        "std::fs",
        "std::net::Tcp",
        "std::env",
        "tokio",
        "async fn",
        ".await",
        "SystemRandom",
        "rand::",
        "tracing",
        "println",
        "static mut",
        "Mutex",
        "Atomic",
    ];
    for file in room_files("gate").into_iter().filter(|file| !is_test(file)) {
        let code = code(&file);
        for word in impure {
            assert!(!code.contains(word), "{} has {word}", file.display());
        }
    }
}

#[test]
fn only_the_gate_makes_a_permit() {
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "gate") {
        for file in room_files(room) {
            let code = code(&file);
            assert!(
                !code.contains("Permit {"),
                "{} makes a permit",
                file.display()
            );
        }
    }
    let decide = std::fs::read_to_string(src().join("gate/decide.rs")).unwrap();
    let permit = decide
        .split("pub struct Permit {")
        .nth(1)
        .unwrap()
        .split('}')
        .next()
        .unwrap();
    assert!(
        !permit.contains("pub "),
        "a permit's fields are nobody's but the gate's"
    );
    assert!(
        !decide.contains("Clone, Copy)]\npub struct Permit"),
        "a permit is spent once"
    );
}

#[test]
fn matches_on_decisions_have_no_wildcard() {
    for (room, _) in ROOMS {
        for file in room_files(room).into_iter().filter(|file| !is_test(file)) {
            let code = code(&file);
            for (at, _) in code.match_indices("Decision::Unavailable(") {
                let rest = &code[at..];
                let arm_ends = rest.find("\n    }").unwrap_or(rest.len());
                assert!(
                    !rest[..arm_ends].contains("\n        _ =>"),
                    "{} passes over decisions",
                    file.display()
                );
            }
        }
    }
}

/// What `fuzz/rooms` builds of `src`, without the rest of the gateway.
const READERS: [&str; 7] = [
    "config",
    "gate",
    "policies",
    "directory/import/fields.rs",
    "directory/import/problem.rs",
    "directory/import/records.rs",
    "directory/passwords/stored.rs",
];

/// A reader that wants another crate, or another version of it, would leave the fuzzer without.
#[test]
fn the_fuzzer_builds_the_readers_with_the_gateways_own_crates() {
    let manifest = |path: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        let (_, dependencies) = text.split_once("\n[dependencies]\n").unwrap();
        let end = dependencies.find("\n[").unwrap_or(dependencies.len());
        dependencies[..end].to_owned()
    };
    let (ours, theirs) = (manifest("Cargo.toml"), manifest("fuzz/rooms/Cargo.toml"));
    let mut files = vec![src().join("proxy/bar/page.rs")];
    for reader in READERS {
        let path = src().join(reader);
        if path.is_dir() {
            sources(&path, &mut files);
        } else {
            files.push(path);
        }
    }
    let text: String = files
        .iter()
        .filter(|file| !is_test(file))
        .map(|file| code(file))
        .collect();
    let is_named = |krate: &str| {
        text.match_indices(&format!("{krate}::")).any(|(at, _)| {
            !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        })
    };
    let version = |manifest: &str, krate: &str| {
        let line = manifest
            .lines()
            .find(|line| line.starts_with(&format!("{krate} = ")))?;
        line.split('"').nth(1).map(str::to_owned)
    };
    let mut found = 0;
    for line in ours.lines().filter(|line| !line.starts_with('#')) {
        let Some((krate, _)) = line.split_once(" = ") else {
            continue;
        };
        if is_named(&krate.replace('-', "_")) {
            found += 1;
            assert_eq!(
                version(&theirs, krate),
                version(&ours, krate),
                "{krate} in fuzz/rooms/Cargo.toml"
            );
        }
    }
    assert!(found > 10, "only {found} crates are looked at");
}
