use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config;
use crate::gate::name::{PersonId, ProductId};
use crate::policies::{Base, PolicyFolder};

const RULE: &str = "[[rules]]\nname = \"payments at the desk\"\nproducts = [\"billing\"]\n\
                    paths = [\"/payments/**\", \"/résumé of 1/**\"]\naction = \"deny\"\n";

fn settings() -> config::Settings {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    config::load(&root.join("gateway.toml"), std::iter::empty(), &[]).unwrap()
}

fn policies(settings: &config::Settings, text: &str) -> Arc<Policies> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("default.toml"), "").unwrap();
    std::fs::write(dir.path().join("acme.toml"), text).unwrap();
    let base = Base {
        session: settings.session,
        rollout: settings.rollout.clone(),
        products: settings.products.clone(),
    };
    PolicyFolder::open(dir.path(), base)
        .unwrap()
        .published()
        .load_full()
}

fn replayed(old: &str, new: &str, log: &str) -> Traffic {
    let settings = settings();
    let people = ["kim", "lee"]
        .into_iter()
        .map(|id| {
            let person = Profile {
                id: PersonId::parse(id).unwrap(),
                name: String::new(),
                email: String::new(),
                roles: Vec::new(),
                grants: vec![ProductId::parse("analytics").unwrap()],
            };
            (id.to_owned(), person)
        })
        .collect();
    let (old, new) = (policies(&settings, old), policies(&settings, new));
    let sides = Sides {
        old: &old,
        new: &new,
        products: &settings.products,
        people: &people,
    };
    replay(log.as_bytes(), &sides).unwrap()
}

/// A line as the gateway writes it, with other values for some keys; null takes a key out.
fn line(other: Value) -> String {
    let mut line = json!({
        "time": "2026-11-18T12:00:00Z", "request_id": "1", "product": "billing", "method": "GET",
        "host": "billing.localhost", "path": "/payments/7", "status": 200, "address": "10.0.0.7",
        "decision": "allow", "reason": "session", "person": "kim", "company": "acme",
        "session_age_s": 60, "idle_s": 5,
    });
    for (key, value) in other.as_object().unwrap() {
        line[key] = value.clone();
    }
    line.as_object_mut().unwrap().retain(|_, v| !v.is_null());
    format!("{line}\n")
}

#[test]
fn requests_that_would_go_differently_are_counted_and_grouped() {
    let log = [
        line(json!({})),
        line(json!({ "path": "/payments/8" })),
        line(json!({ "path": "/payments/9", "person": "lee" })),
        line(json!({ "method": "POST" })),
        line(json!({ "path": "/résumé of 1/a" })),
        line(json!({ "path": "/invoices" })),
        line(json!({ "product": "emr" })),
        line(json!({ "company": "elsewhere" })),
    ]
    .concat();
    let traffic = replayed("", RULE, &log);
    assert_eq!((traffic.judged, traffic.different), (8, 5));
    assert_eq!(traffic.recorded_otherwise, 0);
    let told = traffic.to_json();
    assert_eq!(
        told["groups"][0],
        json!({
            "company": "acme", "product": "billing", "method": "GET", "path": "/payments/*",
            "old": "allow", "new": "deny", "rule": "payments at the desk",
            "requests": 3, "people": ["kim", "lee"],
        })
    );
    assert_eq!(told["groups"].as_array().unwrap().len(), 3);
    let text = traffic.to_text();
    assert!(
        text.contains(
            "acme billing GET /payments/*: allow -> deny (rule \"payments at the desk\"): \
             3 requests of kim, lee"
        ),
        "{text}"
    );
}

#[test]
fn the_ages_of_session_and_factor_are_asked_as_they_were() {
    let fresh = "[[rules]]\npaths = [\"/payments/**\"]\naction = \"step_up\"\nwithin = \"15m\"\n";
    let at = |age: Value| line(json!({ "factor_age_s": age }));
    let log = [at(json!(899)), at(json!(901)), at(Value::Null)].concat();
    let traffic = replayed("", fresh, &log);
    assert_eq!(traffic.different, 2, "{}", traffic.to_text());

    let short = "[session]\nmaximum = \"1h\"\n[products.billing]\nidle = \"10m\"\n";
    let log = [
        line(json!({})),
        line(json!({ "session_age_s": 3_601 })),
        line(json!({ "idle_s": 601 })),
        line(json!({ "idle_s": 601, "product": "emr" })),
    ]
    .concat();
    let traffic = replayed("", short, &log);
    assert_eq!(traffic.different, 2, "{}", traffic.to_text());
}

#[test]
fn what_can_not_be_judged_is_said_and_why() {
    let log = [
        String::from("not a line\n\n"),
        line(json!({ "product": null, "decision": "portal", "reason": "portal" })),
        line(json!({ "decision": "own", "reason": "own" })),
        line(json!({ "person": null, "company": null, "decision": "sign_in", "reason": "no_session" })),
        line(json!({ "person": null, "company": null, "reason": "public" })),
        line(json!({ "decision": "unavailable", "reason": "store" })),
        line(json!({ "session_age_s": null })),
        line(json!({ "person": "gone" })),
        line(json!({ "product": "lab" })),
        line(json!({ "path": "/a".repeat(CUT) })),
    ]
    .concat();
    let traffic = replayed("", RULE, &log);
    assert_eq!((traffic.requests, traffic.judged), (10, 0));
    let expected = [
        (NO_LINE, 1),
        (NOT_A_PRODUCTS, 2),
        (NOBODY, 2),
        (NOT_DECIDED, 1),
        (NO_AGES, 1),
        (STRANGER, 1),
        (NO_PRODUCT, 1),
        (CUT_OFF, 1),
    ];
    assert_eq!(traffic.unjudged, expected.into_iter().collect());
    let text = traffic.to_text();
    assert!(text.starts_with("0 of 0 judged requests"), "{text}");
    assert!(text.contains(&format!("  2 {NOBODY}\n")), "{text}");
}

#[test]
fn a_log_of_another_time_is_told_from_one_of_the_old_folder() {
    let traffic = replayed(RULE, RULE, &line(json!({})));
    assert_eq!((traffic.different, traffic.recorded_otherwise), (0, 1));
    let denied = line(json!({ "decision": "deny", "reason": "rule", "rule": "x" }));
    assert_eq!(replayed(RULE, RULE, &denied).recorded_otherwise, 0);
    let step_up = line(json!({ "decision": "sign_in", "reason": "step_up" }));
    assert_eq!(replayed(RULE, "", &step_up).different, 1);
}

#[test]
fn a_remembered_device_stands_in_for_a_factor_as_it_did() {
    let remembered = "[mfa]\nmode = \"required\"\nremember_device = \"30d\"\n";
    let log = [
        line(json!({ "remembered_device": true })),
        line(json!({ "factor_age_s": 60 })),
    ]
    .concat();
    let same = replayed(remembered, remembered, &log);
    assert_eq!((same.different, same.recorded_otherwise), (0, 0));
    let forgotten = "[mfa]\nmode = \"required\"\nremember_device = \"0d\"\n";
    assert_eq!(replayed(remembered, forgotten, &log).different, 1);
}
