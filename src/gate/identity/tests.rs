use proptest::prelude::*;

use super::*;
use crate::gate::headers::{Managed, normal_form};
use crate::gate::name::Login;
use crate::gate::samples::{HOUR, MINUTE, entry, known, noon, plain_product, session};
use crate::gate::session::Method;

fn told(session: Session, product: &Product) -> Vec<(String, String)> {
    let presence = known(session, product).presence.unwrap();
    HeaderPlan::of(product, &presence)
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .collect()
}

fn value(headers: &[(String, String)], name: &str) -> Option<String> {
    headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.clone())
}

#[test]
fn the_forwarded_preset_names_person_account_and_session() {
    let mut kim = session();
    kim.methods.push(Method::Otp);
    let id = kim.id.to_string();
    let headers = told(kim, &plain_product("emr"));
    let expected = [
        ("x-forwarded-user", "kim"),
        ("x-forwarded-preferred-username", "Kim Doe"),
        ("x-forwarded-email", "kim@acme.example"),
        ("x-forwarded-groups", "clerk,user_manager"),
        ("x-vestibule-person", "kim"),
        ("x-vestibule-company", "acme"),
        ("x-vestibule-session", id.as_str()),
        ("x-vestibule-amr", "pwd,otp,mfa"),
        ("x-vestibule-jwt-assertion", "a.b.c"),
    ];
    assert_eq!(
        headers,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn other_presets_replace_the_first_rows_only() {
    let mut product = plain_product("emr");
    product.identity = IdentityHeaders::Remote;
    let headers = told(session(), &product);
    assert_eq!(value(&headers, "remote-user").as_deref(), Some("kim"));
    assert_eq!(
        value(&headers, "remote-groups").as_deref(),
        Some("clerk,user_manager")
    );
    assert_eq!(value(&headers, "x-forwarded-user"), None);
    assert_eq!(
        value(&headers, "x-vestibule-company").as_deref(),
        Some("acme")
    );

    let template = ValueTemplate::parse("{company.id}/{account.login}").unwrap();
    product.identity =
        IdentityHeaders::Custom(vec![(HeaderName::from_static("x-my-user"), template)]);
    let headers = told(session(), &product);
    assert_eq!(value(&headers, "x-my-user").as_deref(), Some("acme/kim"));
    assert_eq!(value(&headers, "remote-user"), None);
    assert_eq!(
        value(&headers, "x-vestibule-person").as_deref(),
        Some("kim")
    );
}

#[test]
fn nothing_that_is_told_can_be_sent_by_a_client() {
    let managed = Managed::new([]);
    for preset in [IdentityHeaders::Forwarded, IdentityHeaders::Remote] {
        let product = Product {
            identity: preset,
            ..plain_product("emr")
        };
        for (name, _) in told(session(), &product) {
            assert!(managed.is_managed(&name), "{name}");
        }
    }
    for name in ALWAYS_MANAGED {
        assert_eq!(normal_form(name), name);
    }
}

#[test]
fn nobody_is_told_as_nothing() {
    assert_eq!(HeaderPlan::nobody().iter().count(), 0);
}

#[test]
fn templates_say_what_is_wrong_with_them() {
    for good in [
        "",
        "fixed",
        "{person.id}",
        "{person.name} <{person.email}>",
        "{session.amr}",
    ] {
        assert!(ValueTemplate::parse(good).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("{account.password}", "account.login"),
        ("{person.id", "'}'"),
        ("a\r\nb", "control"),
    ] {
        let message = ValueTemplate::parse(bad).unwrap_err();
        assert!(message.contains(why), "{bad:?}: {message}");
    }
}

#[test]
fn values_are_ascii_and_can_be_read_back() {
    for (text, written) in [
        ("Kim Doe", "Kim Doe"),
        ("Kïm", "K%C3%AFm"),
        (
            "a\r\nX-Forwarded-User: root",
            "a%0D%0AX-Forwarded-User: root",
        ),
        ("%61dmin", "%2561dmin"),
        ("100%", "100%25"),
        ("", ""),
    ] {
        assert_eq!(encoded(text), written);
    }
}

#[test]
fn claims_are_of_this_product_and_short_lived() {
    let session = Session {
        factor_at: Some(noon().minus(MINUTE)),
        ..session()
    };
    let (product, entry) = (plain_product("billing"), entry());
    let claims = claims(
        &session,
        &entry,
        &product,
        "https://login.localhost:8443",
        noon(),
    );
    assert_eq!(
        (claims.aud, claims.sub, claims.account),
        ("https://billing.localhost:8443", "kim", "kim")
    );
    assert_eq!(claims.auth_time, noon().minus(MINUTE).secs());
    assert_eq!(
        (claims.iat, claims.exp),
        (noon().secs(), noon().secs() + 300)
    );
    let by_password = Session {
        factor_at: None,
        ..session.clone()
    };
    let claims = super::claims(&by_password, &entry, &product, "i", noon());
    assert_eq!(claims.auth_time, noon().minus(HOUR).secs());
}

proptest! {
    #[test]
    fn any_text_survives_a_header(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
        let value = HeaderValue::from_str(&encoded(&text)).unwrap();
        let written = value.to_str().unwrap();
        prop_assert_eq!(percent_encoding::percent_decode_str(written).decode_utf8().unwrap(), text);
    }

    #[test]
    fn logins_never_collide(a in "[a%2561é]{1,6}", b in "[a%2561é]{1,6}") {
        let told = |login: &str| encoded(Login::parse(login).unwrap().as_str()).into_owned();
        prop_assert_eq!(told(&a) == told(&b), a == b);
    }
}
