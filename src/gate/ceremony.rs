//! Signing in, step by step. What a step means is decided here; that each event was true (the hash
//! matched, the code was spent for the first time) is established outside and handed in.
//!
//! The kinds of failure this shape prevents: a step passed because it was *submitted* instead of
//! proved (authentik CVE-2026-54730), by an empty form (authentik CVE-2026-49443), or by going to
//! the next page's address (Tinyauth CVE-2026-32246). Only [`advance`] makes a [`Proof`], and
//! sessions are begun with nothing else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::name::{PersonId, SessionId};
use super::policy::{CompanyPolicy, FactorMethod};
use super::session::Method;
use super::time::Moment;
use super::vouching::Vouched;

/// How long a sign-in may stay unfinished.
pub const LIFE: Duration = Duration::from_secs(15 * 60);

/// So many wrong codes end the attempt: whoever guesses needs the password again for each five.
pub const CODES_PER_ATTEMPT: u8 = 5;

/// What is asked next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Password,
    /// One of the factors that the person has.
    Challenge(Pending),
    /// The person has no factor yet: a first proof adds one.
    Enrol(Pending),
}

/// What stands when the factor is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    person: PersonId,
    ground: Ground,
    wrong_codes: u8,
    since: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vouched: Option<Vouched>,
}

/// What the factor is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// The password was proved in this attempt.
    Password,
    /// The company's provider vouched for the person in this attempt.
    Provider,
    /// A session that is alive; only its factor is missing or stale.
    Session(SessionId),
}

/// What is needed besides the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    Challenge,
    Enrolment,
    /// Nothing more: this browser is remembered (see [`with_device`]).
    Remembered,
}

/// Something that happened and was established by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    PasswordRight {
        person: PersonId,
        need: Need,
    },
    PasswordWrong,
    /// The company's provider vouched for the person, and was believed.
    ProviderVouched {
        person: PersonId,
        need: Need,
        vouched: Vouched,
    },
    /// A proof by this method was right, and nobody used it before.
    FactorRight(FactorMethod),
    FactorWrong(FactorMethod),
    /// Nothing was proved: a page was opened, a form came empty.
    Nothing,
}

/// Why the form is shown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    WrongPassword,
    WrongCode,
    TooManyCodes,
    TooLate,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Ask(Step, Option<Remark>),
    Done(Proof),
}

/// That somebody has proved who they are. Made by [`advance`] alone.
/// It is written down only while an expired password is being replaced, in the session store.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    person: PersonId,
    ground: Ground,
    factor: Option<FactorMethod>,
    /// A remembered device stood in for the factor.
    device: bool,
    at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vouched: Option<Vouched>,
}

impl Proof {
    pub fn person(&self) -> &PersonId {
        &self.person
    }

    pub fn ground(&self) -> Ground {
        self.ground
    }

    /// What was proved in this attempt.
    pub fn methods(&self) -> Vec<Method> {
        let password = matches!(self.ground, Ground::Password).then_some(Method::Pwd);
        let vouched = self.vouched.iter().flat_map(|vouched| &vouched.methods);
        let mut methods: Vec<Method> = Vec::new();
        let all = password
            .into_iter()
            .chain(vouched.copied())
            .chain(self.factor.map(told_as))
            .chain(self.device.then_some(Method::Device));
        for method in all {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        methods
    }

    /// Whether a remembered device stood in for the factor.
    pub fn by_device(&self) -> bool {
        self.device
    }

    /// The second factor that was proved in this attempt.
    pub fn factor(&self) -> Option<FactorMethod> {
        self.factor
    }

    pub fn factor_at(&self) -> Option<Moment> {
        let vouched = self.vouched.as_ref().and_then(|vouched| vouched.factor_at);
        self.factor.map(|_| self.at).max(vouched)
    }

    pub fn at(&self) -> Moment {
        self.at
    }
}

impl Pending {
    pub fn person(&self) -> &PersonId {
        &self.person
    }

    pub fn ground(&self) -> Ground {
        self.ground
    }

    fn new(person: PersonId, ground: Ground, now: Moment) -> Pending {
        Pending {
            person,
            ground,
            wrong_codes: 0,
            since: now,
            vouched: None,
        }
    }
}

impl Step {
    pub fn pending(&self) -> Option<&Pending> {
        match self {
            Step::Password => None,
            Step::Challenge(pending) | Step::Enrol(pending) => Some(pending),
        }
    }
}

/// What is needed besides the password, for a person who has or hasn't a factor.
pub fn need(wanted: bool, enrolled: bool) -> Need {
    match (wanted, enrolled) {
        (false, _) => Need::Nothing,
        (true, true) => Need::Challenge,
        (true, false) => Need::Enrolment,
    }
}

/// What is left of it in a browser that is remembered: `stands_in` is what
/// [`device::stands_in`](super::device::stands_in) says. A device spares a person the challenge that
/// the company wants at sign-in. It never adds a first factor, and is none where `fresh` proof is
/// asked for.
pub fn with_device(need: Need, fresh: bool, stands_in: bool) -> Need {
    match need {
        Need::Challenge if stands_in && !fresh => Need::Remembered,
        Need::Nothing | Need::Challenge | Need::Enrolment | Need::Remembered => need,
    }
}

/// Asks a live session for its factor alone. A session without one can't add the first: that
/// needs the password again, or a stolen session would choose its own factor.
pub fn from_session(person: PersonId, session: SessionId, enrolled: bool, now: Moment) -> Step {
    if enrolled {
        Step::Challenge(Pending::new(person, Ground::Session(session), now))
    } else {
        Step::Password
    }
}

/// How backends are told of a factor (RFC 8176). It has no word of its own for a mailed code, nor
/// for one off a printed list: both are passwords that work once.
pub const fn told_as(method: FactorMethod) -> Method {
    match method {
        FactorMethod::Totp | FactorMethod::Email | FactorMethod::Recovery => Method::Otp,
        FactorMethod::Sms => Method::Sms,
        FactorMethod::Passkey => Method::Hwk,
    }
}

/// With which methods a first factor can be added: the company's, in its order, as far as this
/// gateway is `ready` for them. A list of which nothing works neither opens the door nor locks
/// everybody out: the authenticator remains. Recovery codes stand in for another factor and are
/// never the first.
pub fn offered(policy: &CompanyPolicy, ready: &[FactorMethod]) -> Vec<FactorMethod> {
    let methods = policy.mfa.methods.iter().copied();
    let offered: Vec<FactorMethod> = methods
        .filter(|method| *method != FactorMethod::Recovery && ready.contains(method))
        .collect();
    if offered.is_empty() {
        vec![FactorMethod::Totp]
    } else {
        offered
    }
}

/// With which methods a person can answer a challenge; the first is asked for at once. `enrolled`
/// are theirs, last used first. What the company no longer lists is not accepted, unless nothing
/// else of theirs is left: then it is, or a changed list would lock people out, or let whoever has
/// a password alone add a factor.
pub fn usable(
    enrolled: &[FactorMethod],
    policy: &CompanyPolicy,
    ready: &[FactorMethod],
) -> Vec<FactorMethod> {
    let mut mine = Vec::new();
    for method in enrolled {
        if ready.contains(method) && !mine.contains(method) {
            mine.push(*method);
        }
    }
    let listed = |method: &FactorMethod| {
        *method == FactorMethod::Recovery || policy.mfa.methods.contains(method)
    };
    if mine
        .iter()
        .any(|method| *method != FactorMethod::Recovery && listed(method))
    {
        mine.retain(listed);
    }
    // A recovery code is for who has nothing else at hand.
    mine.sort_by_key(|method| *method == FactorMethod::Recovery);
    mine
}

/// The next step.
pub fn advance(step: Step, event: Event, now: Moment) -> Next {
    let step = match step.pending() {
        Some(pending) if now.since(pending.since) > LIFE => {
            // A right password begins anew, whatever lay there before.
            match event {
                Event::PasswordRight { .. } | Event::ProviderVouched { .. } => Step::Password,
                _ => return Next::Ask(Step::Password, Some(Remark::TooLate)),
            }
        }
        _ => step,
    };
    match (step, event) {
        (_, Event::PasswordRight { person, need }) => {
            proved(Pending::new(person, Ground::Password, now), need, now)
        }
        (
            _,
            Event::ProviderVouched {
                person,
                need,
                vouched,
            },
        ) => {
            let pending = Pending {
                vouched: Some(vouched),
                ..Pending::new(person, Ground::Provider, now)
            };
            proved(pending, need, now)
        }
        (Step::Password, Event::PasswordWrong) => {
            Next::Ask(Step::Password, Some(Remark::WrongPassword))
        }
        (Step::Password, Event::FactorRight(_) | Event::FactorWrong(_) | Event::Nothing) => {
            Next::Ask(Step::Password, None)
        }
        (Step::Challenge(pending) | Step::Enrol(pending), Event::FactorRight(method)) => {
            Next::Done(Proof {
                person: pending.person,
                ground: pending.ground,
                factor: Some(method),
                device: false,
                at: now,
                vouched: pending.vouched,
            })
        }
        (Step::Challenge(pending), Event::FactorWrong(_)) => wrong_code(pending, Step::Challenge),
        (Step::Enrol(pending), Event::FactorWrong(_)) => wrong_code(pending, Step::Enrol),
        // A wrong password in another tab undoes nothing that was proved here.
        (step, Event::PasswordWrong) => Next::Ask(step, Some(Remark::WrongPassword)),
        (step, Event::Nothing) => Next::Ask(step, None),
    }
}

fn proved(pending: Pending, need: Need, now: Moment) -> Next {
    match need {
        Need::Nothing | Need::Remembered => Next::Done(Proof {
            person: pending.person,
            ground: pending.ground,
            factor: None,
            device: need == Need::Remembered,
            at: now,
            vouched: pending.vouched,
        }),
        Need::Challenge => Next::Ask(Step::Challenge(pending), None),
        Need::Enrolment => Next::Ask(Step::Enrol(pending), None),
    }
}

fn wrong_code(pending: Pending, again: fn(Pending) -> Step) -> Next {
    let wrong_codes = pending.wrong_codes.saturating_add(1);
    if wrong_codes >= CODES_PER_ATTEMPT {
        return Next::Ask(Step::Password, Some(Remark::TooManyCodes));
    }
    Next::Ask(
        again(Pending {
            wrong_codes,
            ..pending
        }),
        Some(Remark::WrongCode),
    )
}

#[cfg(test)]
mod tests;
