use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn texts() -> Vec<(&'static str, &'static str, &'static str)> {
    let all = [
        bar::TEXTS,
        company::TEXTS,
        factors::TEXTS,
        frame::TEXTS,
        letters::TEXTS,
        passwords::TEXTS,
        problems::TEXTS,
        profile::TEXTS,
        sign_in::TEXTS,
    ];
    all.concat()
}

/// What is filled in: `{name}`.
fn places(text: &str) -> BTreeSet<&str> {
    let parts = text.split('{').skip(1);
    parts.filter_map(|part| part.split('}').next()).collect()
}

/// What is said the same in both languages.
const SAME: [&str; 5] = [
    "bar_minutes_and_seconds",
    "bar_seconds",
    "bytes",
    "error_prefix",
    "method_sms",
];

#[test]
fn every_text_says_in_spanish_what_it_says_in_english() {
    for (key, english, spanish) in texts() {
        assert_eq!(places(english), places(spanish), "{key}");
        assert_eq!(english == spanish, SAME.contains(&key), "{key}");
        for text in [english, spanish] {
            assert!(!text.trim().is_empty() && !text.contains("  ") || key == "code_mail");
        }
        let lines = |text: &str| text.matches('\n').count();
        assert_eq!(lines(english), lines(spanish), "{key}");
        if english.ends_with('.') {
            assert!(spanish.ends_with('.'), "{key}: {spanish}");
        }
    }
}

#[test]
fn spanish_is_written_as_spanish_is_written() {
    for (key, _, spanish) in texts() {
        for (opens, closes) in [('¿', '?'), ('¡', '!')] {
            let count = |mark| spanish.chars().filter(|c| *c == mark).count();
            assert_eq!(count(opens), count(closes), "{key}: {spanish}");
        }
        let words: Vec<String> = spanish
            .split(|c: char| !c.is_alphabetic())
            .map(str::to_lowercase)
            .collect();
        // To a patient's therapist one says "usted"; and no English is left.
        for wrong in [
            "tu",
            "tus",
            "te",
            "ti",
            "tú",
            "the",
            "your",
            "you",
            "is",
            "and",
            "of",
            "password",
            "sesion",
            "codigo",
            "aplicacion",
            "autenticacion",
            "metodo",
            "telefono",
            "pagina",
        ] {
            assert!(!words.iter().any(|word| word == wrong), "{key}: {spanish}");
        }
    }
}

#[test]
fn a_number_is_said_as_one_says_it() {
    let (english, spanish) = (Words::of(Language::English), Words::of(Language::Spanish));
    assert_eq!(english.minutes(1), "1 minute");
    assert_eq!(english.hours(2), "2 hours");
    assert_eq!(spanish.seconds(30), "30 segundos");
    assert_eq!(spanish.days(1), "1 día");
    assert_eq!(english.sessions_ended(0), "They had ended already.");
    assert_eq!(spanish.sessions_ended(1), "Se cerró 1 sesión.");
    assert_eq!(
        english.sign_ins_at_work("Acme Rehab", 2, "kim"),
        "Acme Rehab: 2 sign-ins are at work now, by kim."
    );
    assert_eq!(
        spanish.sign_ins_at_work("Acme Rehab", 1, ""),
        "Acme Rehab: hay 1 sesión en uso ahora."
    );
    assert_eq!(english.date(21, 11, 2026), "21 Nov 2026");
    assert_eq!(spanish.date(1, 1, 2027), "1 ene 2027");
    assert_eq!(spanish.date(31, 12, 2027), "31 dic 2027");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Our own templates; the demo's applications are others' pages.
fn templates(extension: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("templates")).unwrap();
    let files = folder.map(|file| file.unwrap().path());
    let found: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    assert!(!found.is_empty());
    found
}

/// Without what stands between these marks, the marks too.
fn without(text: &str, begin: &str, end: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once(begin) {
        kept.push_str(before);
        rest = after.split_once(end).map_or("", |(_, after)| after);
    }
    kept + rest
}

/// What people would read of a template that is not from here.
fn own_words(template: &str) -> Vec<String> {
    const READ: [&str; 7] = [
        "aria-label=\"",
        "alt=\"",
        " title=\"",
        "placeholder=\"",
        "data-known=\"",
        "data-failed=\"",
        "label=\"",
    ];
    let is_word = |text: &str| text.chars().any(char::is_alphabetic);
    // Texts in expressions, such as `{% let hint = "…" %}`.
    let expressions = template
        .split("{%")
        .chain(template.split("{{"))
        .skip(1)
        .filter_map(|part| part.split_once('}').map(|(expression, _)| expression));
    let mut found: Vec<String> = expressions
        .filter(|expression| !expression.contains("include") && !expression.contains("extends"))
        .flat_map(|expression| expression.split('"').skip(1).step_by(2))
        .filter(|text| text.contains(' '))
        .map(str::to_owned)
        .collect();
    let mut plain = template.to_owned();
    // A block that holds an attribute is markup.
    plain = without(&plain, "{% block width %}", "{% endblock %}");
    for (begin, end) in [("{#", "#}"), ("{{", "}}"), ("{%", "%}")] {
        plain = without(&plain, begin, end);
    }
    for attribute in READ {
        let values = plain.split(attribute).skip(1);
        let values = values.filter_map(|part| part.split('"').next());
        found.extend(values.filter(|text| is_word(text)).map(str::to_owned));
    }
    for (begin, end) in [("<style>", "</style>"), ("<", ">")] {
        plain = without(&plain, begin, end);
    }
    let lines = plain.lines().map(str::trim).filter(|line| is_word(line));
    found.extend(lines.map(str::to_owned));
    found
}

#[test]
fn no_template_has_words_of_its_own() {
    for path in templates("html") {
        let found = own_words(&fs::read_to_string(&path).unwrap());
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
    for wrong in [
        "<p>Hello</p>",
        "<p>{{ name }} is here</p>",
        "<button aria-label=\"Close {{ name }}\">{{ text }}</button>",
        "{% let hint = \"Six digits.\" %}",
        "{% if a %}Yes{% endif %}",
    ] {
        assert!(!own_words(wrong).is_empty(), "{wrong}");
    }
}

/// The texts of a program's literals that are sentences or names of things: with a capital letter
/// first and a blank within.
fn sentences(program: &str, quotes: &[char]) -> Vec<String> {
    let mut found = Vec::new();
    for line in program.lines() {
        let code = line.split("// ").next().unwrap_or(line);
        let code = code.split("//!").next().unwrap_or(code);
        let texts = code.split(quotes).skip(1).step_by(2);
        found.extend(
            texts
                .filter(|text| {
                    let mut letters = text.chars();
                    letters.next().is_some_and(char::is_uppercase)
                        && letters.next().is_some_and(char::is_lowercase)
                        && text.contains(' ')
                })
                .map(str::to_owned),
        );
    }
    found
}

const SCRIPTS: [char; 3] = ['"', '\'', '`'];

#[test]
fn no_script_has_words_of_its_own() {
    for path in templates("js") {
        let found = sentences(&fs::read_to_string(&path).unwrap(), &SCRIPTS);
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
    assert_eq!(sentences("say('Log in again');", &SCRIPTS).len(), 1);
}

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            found.push((path, code.to_owned()));
        }
    }
}

/// Names that are the same in every language, and what nobody reads on a page.
const NO_WORDS: [&str; 5] = [
    "Samsung Internet",
    "Mac OS X",
    "Path=/; Secure; HttpOnly; SameSite=Lax",
    "UserInfo could not be read",
    "Peer: {peer}",
];

#[test]
fn no_handler_has_words_of_its_own() {
    let mut all = Vec::new();
    sources(&root().join("src/portal"), &mut all);
    sources(&root().join("src/proxy"), &mut all);
    for (path, code) in all {
        // SCIM talks to programs.
        let for_programs = path.components().any(|part| part.as_os_str() == "scim");
        if for_programs || path.ends_with("tests.rs") {
            continue;
        }
        let mut found = sentences(&code, &['"']);
        found.retain(|text| !NO_WORDS.contains(&text.as_str()));
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

#[test]
fn every_text_is_said_somewhere() {
    let mut all = Vec::new();
    for room in ["src/pages", "src/portal", "src/proxy"] {
        sources(&root().join(room), &mut all);
    }
    all.retain(|(path, _)| !path.ends_with("words/tests.rs"));
    let mut said: Vec<String> = all.into_iter().map(|(_, code)| code).collect();
    said.extend(
        templates("html")
            .iter()
            .map(|path| fs::read_to_string(path).unwrap()),
    );
    // `.key(` wherever it stands.
    let called: BTreeSet<&str> = said
        .iter()
        .flat_map(|code| code.split('.').skip(1))
        .filter_map(|after| after.split_once('(').map(|(name, _)| name))
        .collect();
    for (key, ..) in texts() {
        assert!(called.contains(key), "{key} is never said");
    }
}
