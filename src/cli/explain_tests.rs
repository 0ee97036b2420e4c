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

/// The repository's policies, as a directory would have them.
fn asked_of(flags: &str, who: Who, change: impl FnOnce(&mut Policies)) -> Explanation {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ExplainArgs,
    }
    let words = std::iter::once("explain").chain(flags.split_whitespace());
    let line = <Line as clap::Parser>::try_parse_from(words).unwrap();
    let (products, mut policies) = repository();
    change(&mut policies);
    let noon = Moment::parse_rfc3339(NOON).unwrap();
    explain_to(&line.args, &products, &policies, who, noon).unwrap()
}

#[test]
fn the_rule_that_wants_a_fresh_factor_is_named() {
    let payment = "--company acme-rehab --product billing --method POST --path /payments/7";
    let told = asked(payment).unwrap();
    assert_eq!(told.decision, "step_up");
    assert_eq!(told.rule.as_deref(), Some("payments need a fresh factor"));
    assert_eq!(told.to_json()["rule"], "payments need a fresh factor");
}

#[test]
fn a_disabled_person_is_signed_in_nowhere() {
    let (products, _) = repository();
    let kim = Profile {
        id: PersonId::parse("kim").unwrap(),
        name: String::new(),
        email: String::new(),
        roles: Vec::new(),
        grants: products.iter().map(|product| product.id.clone()).collect(),
    };
    let question = "--company acme-rehab --product emr";
    let known = asked_of(question, Who::Known(kim.clone()), |_| ());
    assert_eq!(known.decision, "allow");
    let disabled = asked_of(question, Who::Disabled(kim), |_| ());
    assert_eq!((disabled.decision, disabled.reason), ("sign_in", "ended"));
    assert!(disabled.to_string().contains("is disabled"), "{disabled}");
}

#[test]
fn a_switch_and_an_emergency_are_told_and_hold() {
    use crate::gate::policy::{ByCompany, Emergency, Switched};
    let brook = CompanyId::parse("brook").unwrap();
    let question = "--company brook --product emr --factor-age none";
    let switched = |policies: &mut Policies| {
        let mut on = ByCompany::default();
        on.insert(brook.clone(), Switched::default());
        policies.factor_switched_on = Arc::new(on);
    };
    assert_eq!(asked(question).unwrap().decision, "allow");
    let told = asked_of(question, Who::Somebody, switched);
    assert_eq!((told.decision, told.reason), ("sign_in", "factor_missing"));
    assert!(told.to_string().contains("admin switched"), "{told}");
    let emergency = |policies: &mut Policies| {
        switched(policies);
        policies.emergencies = vec![Emergency {
            company: brook.clone(),
            person: None,
            until: Moment::parse_rfc3339("2026-11-18T13:00:00Z").unwrap(),
        }];
    };
    let told = asked_of(question, Who::Somebody, emergency);
    assert_eq!(told.decision, "allow");
    assert!(told.to_string().contains("an emergency goes on"), "{told}");
}
