//! A line of `people import`, beside a general reader of JSON.

use serde_json::Value;
use vestibule::directory::import::problems_of;
use vestibule::gate::name::ProductId;
use vestibule::gate::time::Moment;

pub const WORDS: &[&str] = &[
    "{",
    "}",
    "\"kind\": \"person\"",
    "\"kind\": \"company\"",
    "\"kind\": \"account\"",
    "\"id\": \"kim\"",
    ", ",
    "\"name\": \"Kim\"",
    "\"company\": \"acme\"",
    "\"email\": \"kim@acme.test\"",
    "\"roles\": [\"a\"]",
    "\"roles\": 7",
    "\"grants\": [\"emr\"]",
    "\"product\": \"emr\"",
    "\"login\": \"kim\"",
    "\"person\": \"kim\"",
    "\"password\": \"correct horse battery\"",
    "\"password_hash\": \"$2b$10$x\"",
    "\"companies\": [\"acme\"]",
    "null",
    "\"zzz\": 1",
    "[",
    "]",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{feff}",
    "1e999",
    "\n",
    "\"id\": \"\"",
    "{}",
];

pub fn check(raw: &[u8]) {
    // Lines are cut before they are read.
    let line = raw.split(|b| *b == b'\n').next().unwrap();
    let products = [ProductId::parse("emr").unwrap()];
    let now = Moment::from_secs(1_800_000_000);
    let problems = problems_of(line, &products, now);
    assert_eq!(problems, problems_of(line, &products, now));
    let shown = line.escape_ascii();
    if line.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    let json: Option<Value> = serde_json::from_slice(line).ok();
    let Some(Value::Object(fields)) = json else {
        assert!(!problems.is_empty(), "no object, and taken: {shown}");
        return;
    };
    // Whatever is wrong with it, what is nobody's business is not repeated.
    if let Some(Value::String(password)) = fields.get("password")
        && password.contains("horse battery")
    {
        assert!(
            problems
                .iter()
                .all(|problem| !problem.text.contains(password.as_str())),
            "{shown}"
        );
    }
    if !problems.is_empty() {
        return;
    }
    let (known, wanted): (&[&str], &[&str]) = match fields.get("kind").and_then(Value::as_str) {
        Some("company") => (&["id", "name"], &["id"]),
        Some("person") => (
            &["id", "company", "name", "email", "phone", "roles", "grants"],
            &["id", "company"],
        ),
        Some("account") => (
            &[
                "product",
                "login",
                "person",
                "password",
                "password_hash",
                "password_set_at",
                "companies",
                "default_company",
            ],
            &["product", "login"],
        ),
        other => panic!("kind {other:?} is taken: {shown}"),
    };
    for key in fields.keys() {
        assert!(
            key == "kind" || known.contains(&key.as_str()),
            "{key} is taken: {shown}"
        );
    }
    for key in wanted {
        let filled = matches!(fields.get(*key), Some(Value::String(text)) if !text.is_empty());
        assert!(filled, "without {key}, and taken: {shown}");
    }
    // The same object once more on its line is two objects.
    assert!(
        !problems_of(&[line, line].concat(), &products, now).is_empty(),
        "{shown}"
    );
}
