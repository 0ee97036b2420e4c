//! Whoever reads only the message can mend the file: every broken gateway.toml, policy and import of
//! `tests/broken` beside what `vestibule check` and `vestibule people import` say of it. Requests
//! of SCIM and answers of OpenID Connect providers are in `tests/portal` and in `src/providers`.

use std::path::Path;

use vestibule::cli::check::{PROBLEMS, check};
use vestibule::gate::time::Moment;

use crate::samples;

const NOW: Moment = Moment::from_secs(1_795_000_000);

/// A configuration in which nothing is wrong.
const SOUND: &str = r#"
[listen]
https = ["[::]:8443"]
[portal]
url = "https://login.example.org"
[products.emr]
url = "https://emr.example.org"
backends = ["http://127.0.0.1:9001"]
primary = true
[products.billing]
url = "https://billing.example.org"
backends = ["http://127.0.0.1:9002"]
[products.analytics]
url = "https://analytics.example.org"
backends = ["http://127.0.0.1:9003"]
"#;

fn site(gateway: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("policies/default.toml"), "").unwrap();
    std::fs::write(folder.path().join("gateway.toml"), gateway).unwrap();
    folder
}

/// What `check` says, with paths from the folder on.
fn checked(folder: &Path) -> String {
    let mut out = Vec::new();
    let file = folder.join("gateway.toml");
    let code = check(&file, std::iter::empty(), &[], NOW, &mut out).unwrap();
    let said = String::from_utf8(out).unwrap();
    assert_eq!(code, PROBLEMS, "{said}");
    said.replace(&format!("{}/", folder.display()), "")
}

/// A message has a place, and says more than that something is wrong.
fn has_a_place(said: &str, file: &str) {
    for line in said.lines() {
        assert!(line.starts_with(file) || line.contains(".pem"), "{line}");
        assert!(line.len() > file.len() + 12, "{line}");
    }
}

#[test]
fn every_broken_gateway_toml_has_its_message() {
    let mut all = Vec::new();
    for sample in samples::of("gateway") {
        let folder = site(&std::fs::read_to_string(&sample).unwrap());
        let said = checked(folder.path());
        has_a_place(&said, "gateway.toml:");
        all.push((sample, said));
    }
    assert!(all.len() >= 40, "{}", all.len());
    samples::compare("gateway", &all);
}

#[test]
fn every_broken_policy_has_its_message() {
    let mut all = Vec::new();
    for sample in samples::of("policies") {
        let folder = site(SOUND);
        std::fs::copy(&sample, folder.path().join("policies/acme.toml")).unwrap();
        let said = checked(folder.path());
        has_a_place(&said, "policies/acme.toml:");
        all.push((sample, said));
    }
    assert!(all.len() >= 20, "{}", all.len());
    samples::compare("policies", &all);
}

#[test]
fn every_broken_import_has_its_message() {
    let folder = site(SOUND);
    let mut all = Vec::new();
    for sample in samples::of("import") {
        std::fs::copy(&sample, folder.path().join("people.jsonl")).unwrap();
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .current_dir(folder.path())
            .env_clear()
            .args(["people", "import", "people.jsonl"])
            .output()
            .unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(1), "{}: {said}", sample.display());
        assert_eq!(String::from_utf8(out.stdout).unwrap(), "");
        all.push((sample, said));
    }
    assert!(all.len() >= 30, "{}", all.len());
    samples::compare("import", &all);
}
