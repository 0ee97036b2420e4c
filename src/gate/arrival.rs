//! What becomes of somebody who arrives at the portal's sign-in page: on they go, or one thing is
//! asked of them. The products' own doors ([`decide`](super::decide::decide)) judge again.

use std::time::Duration;

use super::decide::SignInReason;
use super::name::CompanyId;
use super::policy::Policies;
use super::product::Product;
use super::session::{Found, Known, Seen, Session, Standing, Stranger, standing};
use super::time::Moment;

/// Where they want to go.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// The portal's own pages.
    Portal,
    /// `here`: the last activity there; `None` if this session never was.
    Product {
        product: &'a Product,
        here: Option<Moment>,
    },
}

/// A rule of the destination wants a factor not older than this.
pub type FreshFactor = Option<Duration>;

#[derive(Debug)]
pub enum Arrival<'a> {
    /// The session store does not answer.
    Unavailable,
    Enter(&'a Found),
    /// Nobody we know, any more.
    SignIn(Option<Over>),
    /// The same person must give the password again; the session goes on.
    PasswordAgain(&'a Found, Again),
    /// The session is good, its factor is not.
    Factor(&'a Found),
}

/// Who changes others' access, or their own factors, has proved their own factor no longer ago.
pub const FRESH_FOR_ADMINISTRATION: Duration = Duration::from_secs(15 * 60);

/// What ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Idle(Duration),
    Maximum(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    ProductIdle(Duration),
}

/// Judges an arrival. `wants` comes from the address line: leaving it out there gains nothing,
/// since the product's rule is asked again at its door.
pub fn arrive<'a>(
    known: &'a Known,
    policies: &Policies,
    place: Place<'_>,
    wants: FreshFactor,
    now: Moment,
) -> Arrival<'a> {
    let found = match known {
        Known::Unavailable => return Arrival::Unavailable,
        Known::Nobody(_) => return Arrival::SignIn(None),
        Known::Found(found) => found,
    };
    let session = &found.session;
    let (company, limits) = match place {
        Place::Portal => (&session.company, policies.session_limits(&session.company)),
        Place::Product { product, .. } => {
            let company = session.company_in(&product.id);
            (company, policies.limits(company, product))
        }
    };
    let here = match place {
        Place::Portal | Place::Product { here: None, .. } => now,
        Place::Product {
            here: Some(here), ..
        } => here,
    };
    let seen = Seen {
        anywhere: found.seen.anywhere,
        here,
    };
    match (standing(session, seen, limits, now), limits.product_idle) {
        (Standing::OverMaximum, _) => return Arrival::SignIn(Some(Over::Maximum(limits.maximum))),
        (Standing::OverIdle, _) => return Arrival::SignIn(Some(Over::Idle(limits.idle))),
        (Standing::OverProductIdle, idle) => {
            return Arrival::PasswordAgain(found, Again::ProductIdle(idle.unwrap_or_default()));
        }
        (Standing::Live, _) => {}
    }
    if factor_suffices(session, company, policies, wants, now) {
        Arrival::Enter(found)
    } else {
        Arrival::Factor(found)
    }
}

/// Who is signed in on the portal, as far as its own pages care.
pub fn inside<'a>(known: &'a Known, policies: &Policies, now: Moment) -> Option<&'a Found> {
    match arrive(known, policies, Place::Portal, None, now) {
        Arrival::Enter(found) => Some(found),
        Arrival::Unavailable
        | Arrival::SignIn(_)
        | Arrival::PasswordAgain(..)
        | Arrival::Factor(_) => None,
    }
}

/// Who is signed in on a product's host, as far as the gateway's own paths there care: they tell
/// a person about their own session, so that rules about the product's pages don't apply.
pub fn at_product<'a>(
    known: &'a Known,
    policies: &Policies,
    product: &Product,
    now: Moment,
) -> Result<&'a Found, SignInReason> {
    let found = match known {
        Known::Found(found) => found,
        Known::Nobody(Stranger::New) | Known::Unavailable => return Err(SignInReason::NoSession),
        Known::Nobody(Stranger::Malformed) => return Err(SignInReason::MalformedCookie),
        Known::Nobody(Stranger::Ended) => return Err(SignInReason::Ended),
    };
    let limits = policies.limits(found.session.company_in(&product.id), product);
    match standing(&found.session, found.seen, limits, now) {
        Standing::Live => Ok(found),
        Standing::OverMaximum => Err(SignInReason::Maximum),
        Standing::OverIdle => Err(SignInReason::Idle),
        Standing::OverProductIdle => Err(SignInReason::ProductIdle),
    }
}

fn factor_suffices(
    session: &Session,
    company: &CompanyId,
    policies: &Policies,
    wants: FreshFactor,
    now: Moment,
) -> bool {
    match (wants, session.factor_at) {
        (Some(within), Some(at)) => now.since(at) <= within,
        (Some(_), None) => false,
        (None, _) => {
            policies.factor_held(company, session) || !policies.wants_factor_of(company, session)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use crate::gate::name::{PersonId, SessionId};
    use crate::gate::policy::{
        CompanyPolicy, MessagePolicy, Mfa, MfaMode, PasswordPolicy, Rollout, Rules, SessionLimits,
    };
    use crate::gate::session::{Entries, Method, Profile, Secret};

    use super::*;

    const NOON: Moment = Moment::from_secs(1_790_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn policies(mode: MfaMode) -> Policies {
        let default = CompanyPolicy {
            name: String::from("Everybody"),
            mfa: Mfa {
                mode,
                methods: Vec::new(),
                remember_device: Duration::ZERO,
                messages: MessagePolicy::sound(),
            },
            password: PasswordPolicy::default(),
            session_maximum: None,
            session_idle: None,
            product_idle: BTreeMap::new(),
            rules: Rules::default(),
            timezone: jiff::tz::TimeZone::UTC,
        };
        Policies {
            companies: Default::default(),
            default: Arc::new(default),
            session: SessionLimits {
                maximum: 12 * HOUR,
                idle: 8 * HOUR,
            },
            rollout: Rollout::default(),
            factor_switched_on: Default::default(),
            emergencies: Vec::new(),
        }
    }

    fn found(started_at: Moment, anywhere: Moment, factor_at: Option<Moment>) -> Known {
        let hash = Secret::from_bytes([1; 32]).hash();
        let session = Session {
            id: SessionId::from_bytes([1; 16]),
            version: 1,
            person: Profile {
                id: PersonId::parse("kim").unwrap(),
                name: String::from("Kim Doe"),
                email: String::new(),
                roles: Vec::new(),
                grants: Vec::new(),
            },
            company: CompanyId::parse("acme").unwrap(),
            companies: Vec::new(),
            started_at,
            password_at: started_at,
            factor_at,
            methods: vec![Method::Pwd],
            portal: hash,
            seed: hash,
            entries: Entries::default(),
            address: String::new(),
            user_agent: String::new(),
        };
        let seen = Seen {
            anywhere,
            here: anywhere,
        };
        Known::Found(Found {
            session: Arc::new(session),
            seen,
            presence: None,
            grace: false,
        })
    }

    fn word(arrival: &Arrival<'_>) -> &'static str {
        match arrival {
            Arrival::Unavailable => "unavailable",
            Arrival::Enter(_) => "enter",
            Arrival::SignIn(None) => "sign in",
            Arrival::SignIn(Some(Over::Idle(_))) => "idle",
            Arrival::SignIn(Some(Over::Maximum(_))) => "maximum",
            Arrival::PasswordAgain(..) => "password again",
            Arrival::Factor(_) => "factor",
        }
    }

    #[test]
    fn one_thing_is_asked_or_nothing() {
        let (off, required) = (policies(MfaMode::Off), policies(MfaMode::Required));
        let second = Duration::from_millis(1);
        let fresh = found(NOON, NOON, Some(NOON));
        let bare = found(NOON, NOON, None);
        let table = [
            (
                Known::Unavailable,
                &off,
                None,
                Duration::ZERO,
                "unavailable",
            ),
            (
                Known::Nobody(Stranger::New),
                &off,
                None,
                Duration::ZERO,
                "sign in",
            ),
            (bare.clone(), &off, None, HOUR, "enter"),
            (bare.clone(), &off, None, 8 * HOUR, "enter"),
            (bare.clone(), &off, None, 8 * HOUR + second, "idle"),
            (
                found(NOON, NOON.plus(11 * HOUR), None),
                &off,
                None,
                12 * HOUR + second,
                "maximum",
            ),
            (bare.clone(), &required, None, HOUR, "factor"),
            (fresh.clone(), &required, None, HOUR, "enter"),
            (fresh.clone(), &off, Some(HOUR), HOUR, "enter"),
            (fresh, &off, Some(HOUR), HOUR + second, "factor"),
            (bare, &off, Some(HOUR), Duration::ZERO, "factor"),
        ];
        for (row, (known, policies, wants, later, expected)) in table.iter().enumerate() {
            let now = NOON.plus(*later);
            let arrival = arrive(known, policies, Place::Portal, *wants, now);
            assert_eq!(word(&arrival), *expected, "row {row}");
        }
    }
}
