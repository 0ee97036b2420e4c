//! Each step, and any sequence of steps.

use proptest::prelude::*;

use super::*;

const NOON: Moment = Moment::from_secs(1_790_000_000);

fn kim() -> PersonId {
    PersonId::parse("kim").unwrap()
}

fn right(need: Need) -> Event {
    Event::PasswordRight {
        person: kim(),
        need,
    }
}

fn pending() -> Pending {
    Pending::new(kim(), Ground::Password, NOON)
}

#[test]
fn a_device_spares_the_challenge_alone_and_never_a_fresh_proof() {
    let all = [
        Need::Nothing,
        Need::Challenge,
        Need::Enrolment,
        Need::Remembered,
    ];
    for need in all {
        for (fresh, stands_in) in [(false, false), (false, true), (true, false), (true, true)] {
            let left = with_device(need, fresh, stands_in);
            let spared = need == Need::Challenge && stands_in && !fresh;
            let expected = if spared { Need::Remembered } else { need };
            assert_eq!(
                left, expected,
                "{need:?}, fresh {fresh}, stands in {stands_in}"
            );
        }
    }
    let Next::Done(proof) = advance(Step::Password, right(Need::Remembered), NOON) else {
        panic!("nothing more is asked")
    };
    assert_eq!(proof.methods(), [Method::Pwd, Method::Device]);
    assert!(proof.by_device() && proof.factor_at().is_none() && proof.factor().is_none());
}

#[test]
fn each_step_has_one_way_on() {
    let challenge = || Step::Challenge(pending());
    let enrol = || Step::Enrol(pending());
    let again = |step: fn(Pending) -> Step| {
        step(Pending {
            wrong_codes: 1,
            ..pending()
        })
    };
    let proof = |factor| {
        Next::Done(Proof {
            person: kim(),
            ground: Ground::Password,
            factor,
            device: false,
            at: NOON,
            vouched: None,
        })
    };
    let table = [
        (Step::Password, right(Need::Nothing), proof(None)),
        (
            Step::Password,
            right(Need::Challenge),
            Next::Ask(challenge(), None),
        ),
        (
            Step::Password,
            right(Need::Enrolment),
            Next::Ask(enrol(), None),
        ),
        (
            Step::Password,
            Event::PasswordWrong,
            Next::Ask(Step::Password, Some(Remark::WrongPassword)),
        ),
        (
            Step::Password,
            Event::FactorRight(FactorMethod::Totp),
            Next::Ask(Step::Password, None),
        ),
        (
            Step::Password,
            Event::FactorWrong(FactorMethod::Totp),
            Next::Ask(Step::Password, None),
        ),
        (
            Step::Password,
            Event::Nothing,
            Next::Ask(Step::Password, None),
        ),
        (
            challenge(),
            Event::FactorRight(FactorMethod::Totp),
            proof(Some(FactorMethod::Totp)),
        ),
        (
            challenge(),
            Event::FactorWrong(FactorMethod::Totp),
            Next::Ask(again(Step::Challenge), Some(Remark::WrongCode)),
        ),
        (challenge(), Event::Nothing, Next::Ask(challenge(), None)),
        (
            challenge(),
            right(Need::Enrolment),
            Next::Ask(enrol(), None),
        ),
        (
            enrol(),
            Event::FactorRight(FactorMethod::Totp),
            proof(Some(FactorMethod::Totp)),
        ),
        (
            enrol(),
            Event::FactorWrong(FactorMethod::Totp),
            Next::Ask(again(Step::Enrol), Some(Remark::WrongCode)),
        ),
        (enrol(), Event::Nothing, Next::Ask(enrol(), None)),
    ];
    for (step, event, next) in table {
        assert_eq!(
            advance(step.clone(), event.clone(), NOON),
            next,
            "{step:?} and {event:?}"
        );
    }
}

#[test]
fn the_fifth_wrong_code_ends_the_attempt() {
    let mut step = Step::Challenge(pending());
    for _ in 1..CODES_PER_ATTEMPT {
        match advance(step, Event::FactorWrong(FactorMethod::Totp), NOON) {
            Next::Ask(again @ Step::Challenge(_), Some(Remark::WrongCode)) => step = again,
            other => panic!("{other:?}"),
        }
    }
    let next = advance(step, Event::FactorWrong(FactorMethod::Totp), NOON);
    assert_eq!(next, Next::Ask(Step::Password, Some(Remark::TooManyCodes)));
}

#[test]
fn a_right_code_after_a_quarter_of_an_hour_is_too_late() {
    let last = NOON.plus(LIFE);
    assert!(matches!(
        advance(
            Step::Enrol(pending()),
            Event::FactorRight(FactorMethod::Totp),
            last
        ),
        Next::Done(_)
    ));
    let late = last.plus(Duration::from_millis(1));
    let next = advance(
        Step::Enrol(pending()),
        Event::FactorRight(FactorMethod::Totp),
        late,
    );
    assert_eq!(next, Next::Ask(Step::Password, Some(Remark::TooLate)));
}

#[test]
fn a_session_without_a_factor_can_not_add_its_first_one() {
    let session = SessionId::from_bytes([1; 16]);
    assert_eq!(from_session(kim(), session, false, NOON), Step::Password);
    let step = from_session(kim(), session, true, NOON);
    let Next::Done(proof) = advance(step, Event::FactorRight(FactorMethod::Totp), NOON) else {
        panic!("not done")
    };
    assert_eq!(proof.methods(), [Method::Otp]);
}

#[test]
fn a_proof_says_by_which_method() {
    for (method, told) in [
        (FactorMethod::Totp, Method::Otp),
        (FactorMethod::Sms, Method::Sms),
        (FactorMethod::Email, Method::Otp),
        (FactorMethod::Passkey, Method::Hwk),
        (FactorMethod::Recovery, Method::Otp),
    ] {
        let step = Step::Challenge(pending());
        let Next::Done(proof) = advance(step, Event::FactorRight(method), NOON) else {
            panic!("not done")
        };
        assert_eq!(proof.factor(), Some(method));
        assert_eq!(proof.methods(), [Method::Pwd, told]);
    }
}

fn listing(methods: &[FactorMethod]) -> CompanyPolicy {
    let mut policy = crate::gate::samples::policy();
    policy.mfa.methods = methods.to_vec();
    policy
}

#[test]
fn what_is_offered_is_listed_and_ready() {
    use FactorMethod::{Passkey, Recovery, Sms, Totp};
    let table: [(&[FactorMethod], &[FactorMethod], &[FactorMethod]); 4] = [
        (&[Sms, Totp], &[Totp, Sms], &[Sms, Totp]),
        (&[Totp, Sms], &[Totp], &[Totp]),
        (&[Recovery, Totp], &[Totp, Recovery], &[Totp]),
        (&[Passkey], &[Totp, Sms], &[Totp]),
    ];
    for (listed, ready, wanted) in table {
        assert_eq!(offered(&listing(listed), ready), wanted, "{listed:?}");
    }
}

#[test]
fn what_is_usable_is_ones_own_last_used_first() {
    use FactorMethod::{Email, Recovery, Sms, Totp};
    let all = FactorMethod::ALL;
    let listed = listing(&[Totp, Sms]);
    let mine = |enrolled: &[FactorMethod]| usable(enrolled, &listed, &all);
    assert_eq!(mine(&[Sms, Totp]), [Sms, Totp]);
    assert_eq!(mine(&[Totp, Totp]), [Totp]);
    assert_eq!(mine(&[Recovery, Sms]), [Sms, Recovery], "never at once");
    assert_eq!(mine(&[Email, Sms]), [Sms], "no longer listed");
    assert_eq!(mine(&[Email]), [Email], "but all that there is");
    assert_eq!(mine(&[Email, Recovery]), [Email, Recovery]);
    assert_eq!(usable(&[Sms], &listed, &[Totp]), [], "not ready");
}

fn events() -> impl Strategy<Value = (Event, u64)> {
    let event = prop_oneof![
        1 => Just(right(Need::Nothing)),
        1 => Just(right(Need::Challenge)),
        1 => Just(right(Need::Enrolment)),
        1 => Just(Event::PasswordWrong),
        3 => Just(Event::FactorRight(FactorMethod::Totp)),
        3 => Just(Event::FactorWrong(FactorMethod::Totp)),
        1 => Just(Event::Nothing),
    ];
    (event, 0_u64..400)
}

proptest! {
    /// Against a model that only remembers what was proved: done means that the password was
    /// right, and since then the code, if one was wanted.
    #[test]
    fn no_sequence_ends_without_password_and_wanted_factor(
        sequence in proptest::collection::vec(events(), 1..40),
    ) {
        let (mut step, mut now) = (Step::Password, NOON);
        let mut proved: Option<(Need, Moment)> = None;
        for (event, secs) in sequence {
            now = now.plus(Duration::from_secs(secs));
            if let Event::PasswordRight { need, .. } = &event {
                proved = Some((*need, now));
            }
            match advance(step, event.clone(), now) {
                Next::Done(proof) => {
                    let (need, at) = proved.take().expect("done without a password");
                    prop_assert!(proof.methods().contains(&Method::Pwd));
                    prop_assert!(now.since(at) <= LIFE);
                    if need == Need::Nothing {
                        prop_assert_eq!(proof.factor_at(), None);
                    } else {
                        prop_assert_eq!(event, Event::FactorRight(FactorMethod::Totp));
                        prop_assert_eq!(proof.factor(), Some(FactorMethod::Totp));
                        prop_assert_eq!(proof.factor_at(), Some(now));
                    }
                    step = Step::Password;
                }
                Next::Ask(next, _) => step = next,
            }
        }
    }
}

#[test]
fn what_a_provider_vouched_for_stands_beside_what_was_proved_here() {
    let vouched = Vouched {
        methods: vec![Method::Provider, Method::Pwd],
        factor_at: None,
    };
    let event = |need| Event::ProviderVouched {
        person: kim(),
        need,
        vouched: vouched.clone(),
    };
    let Next::Done(proof) = advance(Step::Password, event(Need::Nothing), NOON) else {
        panic!("nothing more is asked")
    };
    assert_eq!(proof.ground(), Ground::Provider);
    assert_eq!(proof.methods(), [Method::Provider, Method::Pwd]);
    assert!(proof.factor_at().is_none());
    let Next::Ask(step, None) = advance(Step::Password, event(Need::Challenge), NOON) else {
        panic!("the factor is asked for")
    };
    let right = Event::FactorRight(FactorMethod::Totp);
    let Next::Done(proof) = advance(step, right, NOON) else {
        panic!("that was all")
    };
    assert_eq!(
        proof.methods(),
        [Method::Provider, Method::Pwd, Method::Otp]
    );
    assert_eq!(proof.factor_at(), Some(NOON));
}
