use std::path::Path;

use super::*;
use crate::config;
use crate::policies::{Base, PolicyFolder};

const NOON: &str = "2026-11-18T12:00:00Z";

/// The repository's own gateway.toml and policies.
fn repository() -> (Products, Policies) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = config::load(&dir.join("gateway.toml"), std::iter::empty(), &[]).unwrap();
    let base = Base {
        session: settings.session,
        rollout: settings.rollout,
        products: settings.products.clone(),
    };
    let folder = PolicyFolder::open(&settings.policies_dir, base).unwrap();
    (
        settings.products,
        Policies::clone(&folder.published().load()),
    )
}

fn asked(flags: &str) -> Result<Explanation, ExplainError> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ExplainArgs,
    }
    let words = std::iter::once("explain").chain(flags.split_whitespace());
    let line = <Line as clap::Parser>::try_parse_from(words).unwrap();
    let (products, policies) = repository();
    explain(
        &line.args,
        &products,
        &policies,
        None,
        Moment::parse_rfc3339(NOON).unwrap(),
    )
}

#[test]
fn a_payment_needs_a_fresh_factor_and_is_allowed_with_one() {
    let payment = "--company acme-rehab --product billing --method POST --path /payments/7";
    assert_eq!(asked(payment).unwrap().decision, "step_up");
    assert_eq!(
        asked(&format!("{payment} --factor-age 15m"))
            .unwrap()
            .decision,
        "allow"
    );
    assert_eq!(
        asked(&format!("{payment} --factor-age 16m"))
            .unwrap()
            .decision,
        "step_up"
    );
    assert_eq!(
        asked(&format!("{payment} --factor-age none"))
            .unwrap()
            .decision,
        "step_up"
    );
    let other = payment.replace("acme-rehab", "brook");
    assert_eq!(asked(&other).unwrap().decision, "allow");
}

#[test]
fn every_step_is_printed() {
    let text =
        asked("--company acme-rehab --product billing --path /payments/7 --ip ::ffff:192.0.2.1")
            .unwrap()
            .to_string();
    assert_eq!(
        text,
        "allow (session)\n\
         \n\
         \x20 company  acme-rehab\n\
         \x20 product  billing\n\
         \x20 method   GET\n\
         \x20 path     /payments/7\n\
         \x20 at       2026-11-18T12:00:00.000Z\n\
         \x20 ip       192.0.2.1\n\
         \x20 policy   acme-rehab.toml\n\
         \n\
         \x20 access   required\n\
         \x20 session  live\n\
         \x20 factor   the company wants none, one was proved\n\
         \x20 rule     \"payments need a fresh factor\" missed: methods\n\
         \x20 rule     none met: allow\n"
    );
}

#[test]
fn json_has_the_decision_and_the_steps() {
    let json = asked("--company acme-rehab --product billing --method POST --path /payments/7")
        .unwrap()
        .to_json();
    assert_eq!(json["decision"], "step_up");
    assert_eq!(json["policy"], "acme-rehab.toml");
    let last = json["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["rule"], "payments need a fresh factor");
    assert_eq!(last["met"], true);
}

#[test]
fn a_product_that_needs_a_grant_is_denied_without_one() {
    let analytics = "--company brook --product analytics";
    let explanation = asked(analytics).unwrap();
    assert_eq!(
        (explanation.decision, explanation.reason),
        ("deny", "not_granted")
    );
    assert_eq!(
        asked(&format!("{analytics} --grants analytics"))
            .unwrap()
            .decision,
        "allow"
    );
}

#[test]
fn wrong_usage_is_told() {
    for (flags, expected) in [
        ("--company Acme --product emr", "a company's id"),
        (
            "--company a --product erm",
            "there are emr, billing, analytics",
        ),
        ("--company a --product emr --at yesterday", "RFC 3339"),
        ("--company a --product emr --path payments", "not a path"),
        ("--company a --product emr --factor-age old", "\"none\""),
    ] {
        let error = asked(flags).unwrap_err().to_string();
        assert!(error.contains(expected), "{flags}: {error}");
    }
}
