//! Broken samples beside the messages that they get: `tests/broken/KIND/NAME.EXT` and `NAME.txt`.
//! With `VESTIBULE_REWRITE=1` the messages are written anew; then read each as somebody who sees
//! nothing else.

#![allow(dead_code)] // every test program uses another part of this

use std::path::{Path, PathBuf};

pub fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/broken")
        .join(kind)
}

/// The samples of a kind, in the order of their names.
pub fn of(kind: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(kind))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "txt"))
        .collect();
    files.sort();
    files
}

pub fn name(sample: &Path) -> &str {
    sample.file_stem().unwrap().to_str().unwrap()
}

/// Whether each sample got the message that stands beside it, and no message is left over.
pub fn compare(kind: &str, said: &[(PathBuf, String)]) {
    let mut wrong = Vec::new();
    let mut expected: Vec<PathBuf> = Vec::new();
    for (sample, said) in said {
        let file = sample.with_extension("txt");
        let said = format!("{}\n", said.trim_end());
        if std::env::var_os("VESTIBULE_REWRITE").is_some() {
            std::fs::write(&file, &said).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        if kept != said {
            wrong.push(format!("{}:\n{kept}  but now:\n{said}", sample.display()));
        }
        expected.push(file);
    }
    for entry in std::fs::read_dir(folder(kind)).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|e| e == "txt") && !expected.contains(&file) {
            wrong.push(format!("{} is the message of no sample", file.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "VESTIBULE_REWRITE=1 writes the messages anew\n{}",
        wrong.join("\n")
    );
}
