use serde_json::{Value, json};

use super::*;

const NOON: Moment = Moment::from_secs(1_790_000_000);
const ASKED: Asked<'_> = Asked {
    issuer: "https://id.acme.test",
    client_id: "vestibule",
    nonce: "n1",
    proved_since: None,
};

fn good() -> Value {
    json!({
        "iss": "https://id.acme.test", "sub": "u1", "aud": "vestibule", "nonce": "n1",
        "exp": 1_790_000_300, "iat": 1_790_000_000,
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = good();
    claims[key] = value;
    claims
}

fn judge(claims: &Value, asked: &Asked<'_>) -> Result<(), Refusal> {
    Claims::read(claims.to_string().as_bytes())?.judge(asked, NOON)
}

fn word(claims: &Value) -> String {
    match judge(claims, &ASKED) {
        Ok(()) => String::from("ok"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn a_token_that_answers_what_was_asked_is_believed() {
    assert_eq!(word(&good()), "ok");
    assert_eq!(word(&with("aud", json!(["vestibule"]))), "ok");
    assert_eq!(word(&with("exp", json!(1_790_000_300.5))), "ok");
    // A minute is what clocks may differ.
    assert_eq!(word(&with("exp", json!(1_789_999_940))), "ok");
    assert_eq!(word(&with("iat", json!(1_790_000_060))), "ok");
    let mut several = with("aud", json!(["vestibule", "other"]));
    several["azp"] = json!("vestibule");
    assert_eq!(word(&several), "ok");
}

#[test]
fn every_claim_that_differs_is_refused_by_its_name() {
    let table: Vec<(Value, &str)> = vec![
        (with("iss", json!("https://id.acme.test/")), "iss is"),
        (with("iss", json!("https://evil.test")), "iss is"),
        (with("aud", json!("other")), "aud does not hold"),
        (with("aud", json!([])), "aud does not hold"),
        (with("aud", json!(["vestibule", "other"])), "azp is missing"),
        (with("azp", json!("other")), "azp is \"other\""),
        (with("exp", json!(1_789_999_939)), "ended 61 seconds ago"),
        (
            with("iat", json!(1_790_000_061)),
            "61 seconds in the future",
        ),
        (
            with("nbf", json!(1_790_000_061)),
            "61 seconds in the future",
        ),
        (with("nonce", json!("n2")), "nonce is not the one"),
        (with("nonce", Value::Null), "nonce is not the one"),
        (with("sub", json!("")), "sub is empty"),
        (
            with("sub", json!("x".repeat(256))),
            "sub is empty or longer",
        ),
        (with("sub", json!(7)), "sub is not text"),
        (with("exp", json!("1790000300")), "exp is not a number"),
        (with("exp", Value::Null), "exp is not a number"),
        (
            with("aud", json!(7)),
            "aud, amr, nonce or sid has a wrong form",
        ),
    ];
    for (claims, expected) in table {
        let said = word(&claims);
        assert!(said.contains(expected), "{said:?} should say {expected:?}");
    }
    let mut endless = good();
    endless.as_object_mut().unwrap().remove("exp");
    assert!(word(&endless).contains("exp is missing"));
}

#[test]
fn a_new_proof_must_be_new() {
    let asked = Asked {
        proved_since: Some(NOON),
        ..ASKED
    };
    assert_eq!(judge(&good(), &asked), Err(Refusal::NoAuthTime));
    let at = |secs: i64| judge(&with("auth_time", json!(secs)), &asked);
    assert_eq!(at(1_790_000_000), Ok(()));
    assert_eq!(at(1_789_999_940), Ok(()));
    assert_eq!(at(1_789_999_939), Err(Refusal::Stale(61)));
}

#[test]
fn two_kinds_of_proof_are_a_second_factor_and_one_is_none() {
    let shows = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        shows_factor(&words)
    };
    for two in [
        &["mfa"][..],
        &["pwd", "mfa"],
        &["pwd", "otp"],
        &["pin", "hwk"],
        &["fpt", "swk"],
    ] {
        assert!(shows(two), "{two:?}");
    }
    for one in [
        &[][..],
        &["pwd"],
        &["pwd", "pin"],
        &["otp"],
        &["hwk"],
        &["otp", "sms"],
        &["MFA"],
    ] {
        assert!(!shows(one), "{one:?}");
    }
}

#[test]
fn what_backends_are_told_is_what_the_provider_said() {
    let vouched = |amr: Value, believe: bool| {
        let claims = Claims::read(with("amr", amr).to_string().as_bytes()).unwrap();
        claims.vouched(believe, NOON)
    };
    let with_code = vouched(json!(["pwd", "otp"]), true);
    assert_eq!(
        with_code.methods,
        [Method::Provider, Method::Pwd, Method::Otp]
    );
    assert_eq!(with_code.factor_at, Some(NOON));
    let unnamed = vouched(json!(["mfa"]), true);
    assert_eq!(unnamed.methods, [Method::Provider, Method::Mfa]);
    let doubted = vouched(json!(["pwd", "otp"]), false);
    assert_eq!(doubted.methods, [Method::Provider, Method::Pwd]);
    assert_eq!(doubted.factor_at, None);
    let silent = vouched(json!([]), true);
    assert_eq!(
        (silent.methods, silent.factor_at),
        (vec![Method::Provider], None)
    );
}

#[test]
fn an_old_proof_of_a_factor_keeps_its_age() {
    let mut claims = with("amr", json!(["pwd", "mfa"]));
    claims["auth_time"] = json!(1_789_990_000);
    let claims = Claims::read(claims.to_string().as_bytes()).unwrap();
    let at = claims.vouched(true, NOON).factor_at;
    assert_eq!(at, Some(Moment::from_secs(1_789_990_000)));
    let mut ahead = with("amr", json!(["mfa"]));
    ahead["auth_time"] = json!(1_790_000_050);
    let ahead = Claims::read(ahead.to_string().as_bytes()).unwrap();
    assert_eq!(
        ahead.vouched(true, NOON).factor_at,
        Some(NOON),
        "never later than now"
    );
}

#[test]
fn an_address_counts_when_the_provider_says_that_it_was_verified() {
    let email = |claims: Value| {
        let contact: Contact = serde_json::from_value(claims).unwrap();
        contact.verified_email().map(str::to_owned)
    };
    let kim = json!("kim@acme.test");
    assert!(email(json!({"email": kim, "email_verified": true})).is_some());
    assert!(email(json!({"email": kim, "email_verified": "true"})).is_some());
    for unproved in [json!(false), json!("false"), json!(1), Value::Null] {
        assert!(email(json!({"email": kim, "email_verified": unproved})).is_none());
    }
    assert!(email(json!({"email": kim})).is_none());
    assert!(email(json!({"email": "kim", "email_verified": true})).is_none());
}
