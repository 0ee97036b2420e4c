use super::*;
use crate::gate::samples::{HOUR, MINUTE, noon, session};

const MILLI: Duration = Duration::from_millis(1);

fn limits() -> Limits {
    Limits {
        maximum: 12 * HOUR,
        idle: 8 * HOUR,
        product_idle: Some(2 * HOUR),
    }
}

/// Judges a session begun, seen anywhere and seen here so long ago.
fn after(begun: Duration, anywhere: Duration, here: Duration, limits: Limits) -> Standing {
    let session = Session {
        started_at: noon().minus(begun),
        ..session()
    };
    let seen = Seen {
        anywhere: noon().minus(anywhere),
        here: noon().minus(here),
    };
    standing(&session, seen, limits, noon())
}

#[test]
fn limits_end_what_is_past_them_and_never_early() {
    for (begun, anywhere, here, expected) in [
        (HOUR, MINUTE, MINUTE, Standing::Live),
        (12 * HOUR, MINUTE, MINUTE, Standing::Live),
        (12 * HOUR + MILLI, MINUTE, MINUTE, Standing::OverMaximum),
        (12 * HOUR + MILLI, 9 * HOUR, 9 * HOUR, Standing::OverMaximum),
        (10 * HOUR, 8 * HOUR, MINUTE, Standing::Live),
        (
            10 * HOUR,
            8 * HOUR + MILLI,
            8 * HOUR + MILLI,
            Standing::OverIdle,
        ),
        (10 * HOUR, MINUTE, 2 * HOUR, Standing::Live),
        (
            10 * HOUR,
            MINUTE,
            2 * HOUR + MILLI,
            Standing::OverProductIdle,
        ),
    ] {
        assert_eq!(
            after(begun, anywhere, here, limits()),
            expected,
            "{begun:?} {anywhere:?} {here:?}"
        );
    }
}

#[test]
fn a_product_without_an_idle_of_its_own_has_the_sign_ins() {
    let limits = Limits {
        product_idle: None,
        ..limits()
    };
    assert_eq!(after(10 * HOUR, MINUTE, 7 * HOUR, limits), Standing::Live);
}

#[test]
fn a_clock_that_lags_ends_nothing() {
    let seen = Seen {
        anywhere: noon().plus(MINUTE),
        here: noon().plus(MINUTE),
    };
    assert_eq!(standing(&session(), seen, limits(), noon()), Standing::Live);
}

#[test]
fn tokens_are_read_as_they_are_written_and_no_shorter() {
    let secret = Secret::from_bytes([9; 32]);
    let session = Token::Session {
        id: SessionId::from_bytes([7; 16]),
        secret: secret.clone(),
    };
    for written in [session.expose(), Token::Visitor(secret.clone()).expose()] {
        assert_eq!(Token::parse(written.as_bytes()).unwrap().expose(), written);
        for end in 0..written.len() {
            assert!(Token::parse(&written.as_bytes()[..end]).is_none(), "{end}");
        }
        assert!(Token::parse(format!("{written}A").as_bytes()).is_none());
        assert!(Token::parse(format!("{written}=").as_bytes()).is_none());
    }
    assert!(secret.hash().matches(&secret));
    assert!(!secret.hash().matches(&Secret::from_bytes([8; 32])));
}

#[test]
fn secrets_print_as_nothing() {
    let secret = Secret::from_bytes([0x41; 32]);
    let printed = format!(
        "{:?} {:?} {:?}",
        secret,
        secret.hash(),
        Token::Visitor(secret.clone())
    );
    assert!(!printed.contains(&secret.expose()) && !printed.contains(&secret.hash().to_text()));
    assert!(!printed.contains("65"), "{printed}");
}

#[test]
fn two_kinds_of_proof_are_mfa() {
    let mut session = session();
    assert_eq!(session.amr(), ["pwd"]);
    session.methods.push(Method::Otp);
    assert_eq!(session.amr(), ["pwd", "otp", "mfa"]);
}

#[test]
fn an_account_lands_in_a_company_that_it_has() {
    let ids = |ids: &[&str]| -> Vec<CompanyId> {
        ids.iter().map(|id| CompanyId::parse(id).unwrap()).collect()
    };
    let home = CompanyId::parse("home").unwrap();
    for (all, default, current, has) in [
        (&["a", "b"][..], Some("b"), "b", &["a", "b"][..]),
        (&["a", "b"], None, "a", &["a", "b"]),
        (&["a", "b"], Some("c"), "a", &["a", "b"]),
        (&[], None, "home", &["home"]),
        (&[], Some("c"), "c", &["c"]),
    ] {
        let default = default.map(|id| CompanyId::parse(id).unwrap());
        let tenancy = Tenancy::of(&ids(all), default.as_ref(), &home);
        assert_eq!(tenancy.current.as_str(), current);
        assert_eq!(tenancy.all, ids(has));
        assert!(tenancy.all.contains(&tenancy.current));
        assert_eq!(tenancy.clone().at(&CompanyId::parse("z").unwrap()), None);
    }
}
