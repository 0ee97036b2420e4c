//! The only way in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::activity;
use super::facts::{Asks, Facts, Presented, Site};
use super::identity::HeaderPlan;
use super::policy::{Action, Circumstances, Policies};
use super::product::{Access, OpenAccess, Product, Unauthenticated};
use super::rollout::Reached;
use super::session::{Found, Known, Presence, Session, Standing, Stranger, standing};
use super::target::Target;
use super::time::Moment;

/// Everything that can become of a request. Whoever matches on it names every variant: a new one
/// must be a compile error at each edge, not a hole.
#[derive(Debug)]
pub enum Decision {
    Forward(Permit),
    /// A page of the portal, on the portal's host.
    Portal(Visitor),
    /// A path under `/.vestibule/` on a product's host.
    Own(Visitor),
    SignIn(SignIn),
    Deny(Denial),
    Unavailable(Absence),
}

impl Decision {
    /// The words of `vestibule_decisions_total{decision, reason}` and of the access log.
    pub fn words(&self) -> (&'static str, &'static str) {
        match self {
            Decision::Forward(permit) => ("allow", permit.reason()),
            Decision::Portal(_) => ("portal", "portal"),
            Decision::Own(_) => ("own", "own"),
            Decision::SignIn(sign_in) => ("sign_in", sign_in.reason.as_str()),
            Decision::Deny(denial) => ("deny", denial.reason.as_str()),
            Decision::Unavailable(absence) => ("unavailable", absence.as_str()),
        }
    }
}

/// Leave to pass one request on to a backend: made here and nowhere else, spent by
/// `proxy::forward`. It carries what was judged, so that nothing else can be forwarded.
#[derive(Debug)]
pub struct Permit {
    product: Arc<Product>,
    target: Target,
    bearer: Bearer,
    activity: bool,
    glass: Option<Moment>,
}

/// In whose name a request goes on.
#[derive(Debug, Clone)]
pub enum Bearer {
    Person {
        session: Arc<Session>,
        presence: Arc<Presence>,
    },
    /// The operator opened this path: letting in without a session is a decision of its own, with
    /// its own reason.
    Anybody(OpenAccess),
}

impl Permit {
    pub fn product(&self) -> &Arc<Product> {
        &self.product
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    pub fn session(&self) -> Option<&Arc<Session>> {
        match &self.bearer {
            Bearer::Person { session, .. } => Some(session),
            Bearer::Anybody(_) => None,
        }
    }

    pub fn presence(&self) -> Option<&Arc<Presence>> {
        match &self.bearer {
            Bearer::Person { presence, .. } => Some(presence),
            Bearer::Anybody(_) => None,
        }
    }

    /// The end of the emergency but for which a factor would have been asked for. Whoever lets the
    /// request pass puts that on record.
    pub fn by_emergency_until(&self) -> Option<Moment> {
        self.glass
    }

    /// Whether this request keeps the session awake.
    pub fn counts_as_activity(&self) -> bool {
        self.activity
    }

    /// What the backend is told of the person; nothing for anybody.
    pub fn headers(&self) -> HeaderPlan<'_> {
        match self.presence() {
            Some(presence) => HeaderPlan::of(&self.product, presence),
            None => HeaderPlan::nobody(),
        }
    }

    pub fn reason(&self) -> &'static str {
        match &self.bearer {
            Bearer::Person { .. } => "session",
            Bearer::Anybody(OpenAccess::Optional) => "optional",
            Bearer::Anybody(OpenAccess::Public | OpenAccess::Required) => "public",
        }
    }
}

/// Who came to one of the gateway's own pages; the page decides what it shows.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub known: Known,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    pub reason: SignInReason,
    /// The oldest factor that a rule accepts, when the reason is [`SignInReason::StepUp`].
    pub within: Option<Duration>,
    /// The name of that rule, for the log.
    pub rule: Option<String>,
    /// A redirect to the portal, or 401 for senders that can't use one.
    pub redirect: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInReason {
    NoSession,
    MalformedCookie,
    Ended,
    Maximum,
    Idle,
    /// Idle in this product: the password is asked for again, the other products go on.
    ProductIdle,
    /// The company wants a second factor and this session has none.
    FactorMissing,
    /// A rule wants a fresh factor.
    StepUp,
}

impl SignInReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            SignInReason::NoSession => "no_session",
            SignInReason::MalformedCookie => "malformed_cookie",
            SignInReason::Ended => "ended",
            SignInReason::Maximum => "maximum",
            SignInReason::Idle => "idle",
            SignInReason::ProductIdle => "product_idle",
            SignInReason::FactorMissing => "factor_missing",
            SignInReason::StepUp => "step_up",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub reason: DenialReason,
    /// The name of the rule that decided, for the page, the log and the audit trail.
    pub rule: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialReason {
    /// The company's rule.
    Rule,
    /// The product needs a grant and this person has none.
    NotGranted,
    /// Single Sign-On for the product is being released step by step and has not reached the
    /// company.
    NotReleased,
    /// A websocket for a product that has none, or from another site.
    Upgrade,
}

impl DenialReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            DenialReason::Rule => "rule",
            DenialReason::NotGranted => "not_granted",
            DenialReason::NotReleased => "not_released",
            DenialReason::Upgrade => "upgrade",
        }
    }
}

/// Why nothing can be said right now: 503 with Retry-After.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// The session store does not answer.
    Store,
    /// In the grace of an absent store, and the request would change something.
    GraceReadsOnly,
}

impl Absence {
    pub const fn as_str(self) -> &'static str {
        match self {
            Absence::Store => "store",
            Absence::GraceReadsOnly => "grace_reads_only",
        }
    }
}

/// What a decision passed on its way. [`decide`] ignores it, `policy explain` prints it: the same
/// walk for both.
pub trait Witness {
    fn saw(&mut self, step: Step<'_>);

    /// Whether steps are worth finding out that decide nothing.
    fn watches(&self) -> bool {
        true
    }
}

/// One thing that was looked at, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    Access(OpenAccess),
    Standing(Standing),
    Grant {
        product: &'a str,
        held: bool,
    },
    Factor {
        wanted: bool,
        held: bool,
    },
    /// A feature that is being released step by step.
    Release {
        feature: &'static str,
        reached: Reached,
    },
    Rule {
        name: &'a str,
        missed: Option<&'static str>,
        action: Action,
    },
    NoRule,
}

/// Looks at nothing.
pub struct Unwitnessed;

impl Witness for Unwitnessed {
    #[inline(always)]
    fn saw(&mut self, _: Step<'_>) {}

    #[inline(always)]
    fn watches(&self) -> bool {
        false
    }
}

/// Decides what becomes of a request. Pure: everything it depends on is an argument.
pub fn decide(facts: &Facts, known: &Known, policies: &Policies, now: Moment) -> Decision {
    decide_witnessed(facts, known, policies, now, &mut Unwitnessed)
}

/// [`decide`], telling `witness` of every step on the way.
pub fn decide_witnessed(
    facts: &Facts,
    known: &Known,
    policies: &Policies,
    now: Moment,
    witness: &mut impl Witness,
) -> Decision {
    let product = match &facts.site {
        Site::Portal => {
            return Decision::Portal(Visitor {
                known: known.clone(),
            });
        }
        Site::Product(product) => product,
    };
    if facts.target.is_own() {
        return Decision::Own(Visitor {
            known: known.clone(),
        });
    }
    // Browsers let any page open a websocket to any host, cookies and all (ASVS 4.4.2): only the
    // product's own pages may.
    if facts.asks == Asks::Upgrade && (!product.websockets || facts.foreign_origin) {
        return Decision::Deny(Denial {
            reason: DenialReason::Upgrade,
            rule: None,
        });
    }
    let access = access_of(product, facts.target.path());
    witness.saw(Step::Access(access));
    if access == OpenAccess::Public {
        return Decision::Forward(anybody(product, facts, OpenAccess::Public));
    }
    let inside = judge(product, facts, known, policies, now, witness);
    match inside {
        // Optional: who is signed in comes as themselves, everybody else as nobody. What a rule
        // denies stays denied.
        Decision::SignIn(_) | Decision::Unavailable(Absence::Store)
            if access == OpenAccess::Optional =>
        {
            Decision::Forward(anybody(product, facts, OpenAccess::Optional))
        }
        decision => decision,
    }
}

fn judge(
    product: &Arc<Product>,
    facts: &Facts,
    known: &Known,
    policies: &Policies,
    now: Moment,
    witness: &mut impl Witness,
) -> Decision {
    let found = match known {
        Known::Unavailable => return Decision::Unavailable(Absence::Store),
        Known::Nobody(stranger) => {
            return sign_in(stranger_reason(*stranger, facts), facts, product);
        }
        Known::Found(found) => found,
    };
    // One product's backend is never told what is another's, whatever a cache mixed up.
    let Some(presence) = found
        .presence
        .as_ref()
        .filter(|presence| presence.product == product.id)
    else {
        return sign_in(SignInReason::Ended, facts, product);
    };
    let session = &found.session;
    let company = session.company_in(&product.id);
    let policy = policies.of(company);
    let limits = policies.limits(company, product);

    let worth = standing(session, found.seen, limits, now);
    witness.saw(Step::Standing(worth));
    match worth {
        Standing::Live => {}
        Standing::OverMaximum => return sign_in(SignInReason::Maximum, facts, product),
        Standing::OverIdle => return sign_in(SignInReason::Idle, facts, product),
        Standing::OverProductIdle => return sign_in(SignInReason::ProductIdle, facts, product),
    }

    if witness.watches() {
        for (feature, reached) in policies.releases(company, product) {
            witness.saw(Step::Release { feature, reached });
        }
    }
    let held = policies.factor_held(company, session);
    let wanted = policies.wants_factor_of(company, session);
    witness.saw(Step::Factor { wanted, held });
    if wanted && !held {
        return sign_in(SignInReason::FactorMissing, facts, product);
    }
    let emergency = policies.emergency_of(company, &session.person.id);
    let emergency = emergency.map(|emergency| emergency.until);
    let mut glass = emergency.filter(|_| !held && policies.would_want_factor_of(company, session));

    if product.needs_grant {
        let held = session.person.grants.contains(&product.id);
        witness.saw(Step::Grant {
            product: product.id.as_str(),
            held,
        });
        if !held {
            return Decision::Deny(Denial {
                reason: DenialReason::NotGranted,
                rule: None,
            });
        }
    }

    if !policies.single_sign_on_reaches(company, product) {
        return Decision::Deny(Denial {
            reason: DenialReason::NotReleased,
            rule: None,
        });
    }

    let circumstances = Circumstances {
        product,
        path: facts.target.path(),
        method: &facts.method,
        roles: &session.person.roles,
        address: facts.address,
        now,
    };
    if let Some(rule) = policy.first_match(&circumstances, witness) {
        match rule.action {
            Action::Allow => {}
            Action::Deny => {
                return Decision::Deny(Denial {
                    reason: DenialReason::Rule,
                    rule: Some(rule.name.clone()),
                });
            }
            Action::StepUp { within } => {
                if !fresh(session.factor_at, within, now) {
                    if emergency.is_none() {
                        return Decision::SignIn(SignIn {
                            reason: SignInReason::StepUp,
                            within: Some(within),
                            rule: Some(rule.name.clone()),
                            redirect: redirects(facts, product),
                        });
                    }
                    glass = emergency;
                }
            }
        }
    }

    if found.grace && !facts.method.is_safe() {
        return Decision::Unavailable(Absence::GraceReadsOnly);
    }
    Decision::Forward(Permit {
        product: Arc::clone(product),
        target: facts.target.clone(),
        bearer: Bearer::Person {
            session: Arc::clone(session),
            presence: Arc::clone(presence),
        },
        activity: activity::counts(facts, product),
        glass,
    })
}

fn anybody(product: &Arc<Product>, facts: &Facts, why: OpenAccess) -> Permit {
    Permit {
        product: Arc::clone(product),
        target: facts.target.clone(),
        bearer: Bearer::Anybody(why),
        activity: false,
        glass: None,
    }
}

fn fresh(proved_at: Option<Moment>, within: Duration, now: Moment) -> bool {
    proved_at.is_some_and(|at| now.since(at) <= within)
}

fn stranger_reason(stranger: Stranger, facts: &Facts) -> SignInReason {
    match (stranger, &facts.cookie) {
        (Stranger::New, Presented::Malformed) | (Stranger::Malformed, _) => {
            SignInReason::MalformedCookie
        }
        (Stranger::New, _) => SignInReason::NoSession,
        (Stranger::Ended, _) => SignInReason::Ended,
    }
}

fn sign_in(reason: SignInReason, facts: &Facts, product: &Product) -> Decision {
    Decision::SignIn(SignIn {
        reason,
        within: None,
        rule: None,
        redirect: redirects(facts, product),
    })
}

/// Whether the sender is sent to the portal, or told 401.
fn redirects(facts: &Facts, product: &Product) -> bool {
    match product.unauthenticated {
        Unauthenticated::Auto => facts.asks == Asks::Navigation,
        Unauthenticated::Redirect => facts.asks != Asks::Upgrade,
        Unauthenticated::Refuse => false,
    }
}

/// Restrictions match loosely and openings match exactly (see [`Pattern`](super::pattern::Pattern)):
/// a backend that ignores case must not be opened, or slipped past, by another spelling.
fn access_of(product: &Product, path: &str) -> OpenAccess {
    match &product.access {
        Access::Required => OpenAccess::Required,
        Access::Optional => OpenAccess::Optional,
        Access::Public => OpenAccess::Public,
        Access::ByPath(table) => table
            .iter()
            .find(|(pattern, access)| match access {
                OpenAccess::Required => pattern.matches_any_case(path),
                OpenAccess::Optional | OpenAccess::Public => pattern.matches(path),
            })
            .map_or(OpenAccess::Required, |(_, access)| *access),
    }
}

/// The network address that rules and throttles see, for an address that may be IPv4 in IPv6.
pub fn plain_address(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// A session seen by the code that answers `/.vestibule/…` and the portal's pages.
pub fn found(known: &Known) -> Option<&Found> {
    match known {
        Known::Found(found) => Some(found),
        Known::Nobody(_) | Known::Unavailable => None,
    }
}

#[cfg(test)]
mod tests;
