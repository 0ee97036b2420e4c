//! What companies decided: limits, second factors, rules. Read from files elsewhere; matched here.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use http::Method;
use ipnet::IpNet;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::contact::Prefix;
use super::decide::{Step, Witness};
use super::name::{CompanyId, PersonId, ProductId};
use super::pattern::{Pattern, Trace};
use super::product::Product;
use super::rollout::{self, Reached};
use super::session::{self, Session};
use super::time::Moment;

pub use super::rollout::{Reach, Rollout};

/// Companies are the operator's, not a client's: no random state is needed against collisions.
pub type ByCompany<T> = HashMap<CompanyId, T, FixedState>;

/// Every company's policy, swapped as one.
#[derive(Debug, Clone)]
pub struct Policies {
    pub companies: ByCompany<Arc<CompanyPolicy>>,
    /// For a company without a file.
    pub default: Arc<CompanyPolicy>,
    /// gateway.toml's `[session]`; companies may only tighten it.
    pub session: SessionLimits,
    pub rollout: Rollout,
    /// Companies whose admin switched multi-factor authentication on, in Company Settings.
    /// A new one with each change: who reads it elsewhere sees whether it was changed meanwhile.
    pub factor_switched_on: Arc<ByCompany<Switched>>,
    /// Those that are going on.
    pub emergencies: Vec<Emergency>,
}

/// A time in which a second factor is not asked for, because people must get at what they need
/// (HIPAA, 45 CFR 164.312(a)(2)(ii)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    pub company: CompanyId,
    /// `None`: everybody of the company.
    pub person: Option<PersonId>,
    pub until: Moment,
}

/// What an admin chose when switching multi-factor authentication on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switched {
    /// Sign-ins from before this moment go on as they are; `None`: they are asked at once.
    pub spares_before: Option<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// After sign-in.
    pub maximum: Duration,
    /// Without activity anywhere.
    pub idle: Duration,
}

/// The limits in force for one session in one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub maximum: Duration,
    pub idle: Duration,
    pub product_idle: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CompanyPolicy {
    pub name: String,
    pub mfa: Mfa,
    pub password: PasswordPolicy,
    pub session_maximum: Option<Duration>,
    pub session_idle: Option<Duration>,
    pub product_idle: BTreeMap<ProductId, Duration>,
    /// The first match decides; without a match: allow.
    pub rules: Rules,
    /// For `hours`; UTC unless the file says otherwise.
    pub timezone: TimeZone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mfa {
    pub mode: MfaMode,
    /// Offered in this order.
    pub methods: Vec<FactorMethod>,
    /// How long a device may be remembered; zero is never.
    pub remember_device: Duration,
    pub messages: MessagePolicy,
}

/// Where codes may be sent, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePolicy {
    /// What a number must begin with, one of them.
    pub sms_prefixes: Vec<Prefix>,
    /// To all people of the company together.
    pub per_day: u32,
}

impl MessagePolicy {
    /// What holds where no policy file says otherwise.
    pub fn sound() -> MessagePolicy {
        MessagePolicy {
            sms_prefixes: vec![Prefix::north_america()],
            per_day: 2_000,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MfaMode {
    Off,
    /// The company's admin switches it in Company Settings; off at first.
    Company,
    Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactorMethod {
    Totp,
    Sms,
    Email,
    Passkey,
    Recovery,
}

impl FactorMethod {
    pub const ALL: [FactorMethod; 5] = [
        FactorMethod::Totp,
        FactorMethod::Sms,
        FactorMethod::Email,
        FactorMethod::Passkey,
        FactorMethod::Recovery,
    ];

    /// The word in policy files, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            FactorMethod::Totp => "totp",
            FactorMethod::Sms => "sms",
            FactorMethod::Email => "email",
            FactorMethod::Passkey => "passkey",
            FactorMethod::Recovery => "recovery",
        }
    }

    pub fn parse(word: &str) -> Option<FactorMethod> {
        FactorMethod::ALL
            .into_iter()
            .find(|method| method.as_str() == word)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PasswordPolicy {
    pub maximum_age: Option<Duration>,
}

/// A company's rules, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    all: Vec<Rule>,
    /// Of the paths that each is about. With a thousand companies their rules are far from the processor: those that
    /// can't apply are passed over by these, which lie side by side.
    traces: Box<[Trace]>,
}

impl From<Vec<Rule>> for Rules {
    fn from(all: Vec<Rule>) -> Rules {
        let traces = all.iter().map(|rule| rule.when.trace()).collect();
        Rules { all, traces }
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Rules {
        Rules::from(rules.into_iter().collect::<Vec<_>>())
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.all
    }
}

impl Rules {
    /// Those that may apply to a path.
    fn about(&self, path: Trace) -> impl Iterator<Item = &Rule> {
        let meets = self.traces.iter().map(move |trace| trace.meets(path));
        let all = self.all.iter().zip(meets);
        all.filter_map(|(rule, meets)| meets.then_some(rule))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub name: String,
    pub when: Conditions,
    /// A request that meets these is not touched by the rule.
    pub except: Option<Conditions>,
    pub action: Action,
}

/// All that are given must hold; one that is not given always holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    pub products: Option<Vec<ProductId>>,
    pub paths: Option<Vec<Pattern>>,
    pub methods: Option<Vec<Method>>,
    pub roles: Option<Vec<String>>,
    pub networks: Option<Vec<IpNet>>,
    pub hours: Option<Hours>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Allow,
    Deny,
    /// A second factor not older than `within`.
    StepUp {
        within: Duration,
    },
}

/// `Mon-Fri 07:00-19:00`, in the company's time zone. The end is not included; a range whose end
/// is not after its start runs over midnight and belongs to the day it starts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// Monday first.
    days: [bool; 7],
    from_minute: u16,
    until_minute: u16,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    pub product: &'a Product,
    /// The canonical path.
    pub path: &'a str,
    pub method: &'a Method,
    pub roles: &'a [String],
    pub address: IpAddr,
    pub now: Moment,
}

impl Policies {
    pub fn of(&self, company: &CompanyId) -> &Arc<CompanyPolicy> {
        self.companies.get(company).unwrap_or(&self.default)
    }

    /// The tighter of what the gateway, the product and the company say.
    pub fn limits(&self, company: &CompanyId, product: &Product) -> Limits {
        let policy = self.of(company);
        let tighter =
            |ours: Duration, theirs: Option<Duration>| theirs.map_or(ours, |t| ours.min(t));
        let company_idle = policy.product_idle.get(&product.id).copied();
        Limits {
            product_idle: match (product.idle, company_idle) {
                (Some(ours), theirs) => Some(tighter(ours, theirs)),
                (None, theirs) => theirs,
            },
            ..self.session_limits(company)
        }
    }

    /// The limits of the sign-in itself, as on the portal.
    pub fn session_limits(&self, company: &CompanyId) -> Limits {
        let policy = self.of(company);
        let tighter =
            |ours: Duration, theirs: Option<Duration>| theirs.map_or(ours, |t| ours.min(t));
        Limits {
            maximum: tighter(self.session.maximum, policy.session_maximum),
            idle: tighter(self.session.idle, policy.session_idle),
            product_idle: None,
        }
    }

    /// Whether people of this company prove a second factor when they sign in.
    pub fn wants_factor(&self, company: &CompanyId, person: &PersonId) -> bool {
        !self.in_emergency(company, person) && self.wants_factor_since(company, None)
    }

    /// Whether an emergency was declared that this person is in, at work for this company.
    pub fn in_emergency(&self, company: &CompanyId, person: &PersonId) -> bool {
        self.emergency_of(company, person).is_some()
    }

    /// The emergency that this person is in, at work for this company.
    pub fn emergency_of(&self, company: &CompanyId, person: &PersonId) -> Option<&Emergency> {
        self.emergencies.iter().find(|emergency| {
            let them = emergency.person.as_ref().is_none_or(|only| only == person);
            emergency.company == *company && them
        })
    }

    /// Whether this sign-in would need one if there were no emergency.
    pub fn would_want_factor_of(&self, company: &CompanyId, session: &Session) -> bool {
        self.wants_factor_since(company, Some(session.started_at))
    }

    /// Whether this sign-in, which has begun, needs one in this company.
    pub fn wants_factor_of(&self, company: &CompanyId, session: &Session) -> bool {
        !self.in_emergency(company, &session.person.id)
            && self.wants_factor_since(company, Some(session.started_at))
    }

    fn wants_factor_since(&self, company: &CompanyId, started_at: Option<Moment>) -> bool {
        match self.of(company).mfa.mode {
            MfaMode::Off => false,
            MfaMode::Required => true,
            MfaMode::Company => self
                .factor_switched_on
                .get(company)
                .is_some_and(|switched| {
                    let spared = match (switched.spares_before, started_at) {
                        (Some(before), Some(started_at)) => started_at < before,
                        (None, _) | (_, None) => false,
                    };
                    !spared && self.rollout.mfa_reaches(company)
                }),
        }
    }

    /// Whether this session has what [`wants_factor`](Policies::wants_factor) asks for in this
    /// company: a factor, or a device that stood in for it where the company lets devices do that.
    pub fn factor_held(&self, company: &CompanyId, session: &Session) -> bool {
        let remembers = || !self.of(company).mfa.remember_device.is_zero();
        session.factor_at.is_some()
            || (session.methods.contains(&session::Method::Device) && remembers())
    }

    /// How far the release of what this company would need here has come, for `policy explain`;
    /// nothing where everybody has it.
    pub fn releases<'a>(
        &'a self,
        company: &'a CompanyId,
        product: &Product,
    ) -> impl Iterator<Item = (&'static str, Reached)> + 'a {
        let asks_company = self.of(company).mfa.mode == MfaMode::Company;
        let stepwise = product.id.as_str() == STEPWISE_PRODUCT;
        self.rollout
            .features()
            .filter(move |(feature, _)| match *feature {
                rollout::MFA => asks_company,
                _ => stepwise,
            })
            .map(move |(feature, reach)| (feature, reach.reached(feature, company)))
    }

    /// Whether Single Sign-On for this product is released company by company.
    pub fn releases_single_sign_on(&self, product: &Product) -> bool {
        self.rollout.analytics_sso.is_some() && product.id.as_str() == STEPWISE_PRODUCT
    }

    /// Whether Single Sign-On for this product has been released to this company.
    pub fn single_sign_on_reaches(&self, company: &CompanyId, product: &Product) -> bool {
        product.id.as_str() != STEPWISE_PRODUCT || self.rollout.analytics_sso_reaches(company)
    }
}

/// The product that `[rollout] analytics_sso` is about.
const STEPWISE_PRODUCT: &str = "analytics";

impl CompanyPolicy {
    /// The first rule that applies, telling `witness` of each that was tried.
    pub fn first_match(
        &self,
        circumstances: &Circumstances<'_>,
        witness: &mut impl Witness,
    ) -> Option<&Rule> {
        // Who watches is told of every rule.
        let path = match witness.watches() {
            true => Trace::ANY,
            false => Trace::of_path(circumstances.path),
        };
        for rule in self.rules.about(path) {
            let missed = rule.missed(circumstances, &self.timezone);
            witness.saw(Step::Rule {
                name: &rule.name,
                missed,
                action: rule.action,
            });
            if missed.is_none() {
                return Some(rule);
            }
        }
        witness.saw(Step::NoRule);
        None
    }
}

impl Rule {
    /// The condition that keeps the rule from applying, by its key; `None` when it applies.
    fn missed(
        &self,
        circumstances: &Circumstances<'_>,
        timezone: &TimeZone,
    ) -> Option<&'static str> {
        let opens = self.action == Action::Allow;
        if let Some(key) = self.when.missed(circumstances, timezone, opens) {
            return Some(key);
        }
        // An exception loosens what restricts, and the other way round.
        match &self.except {
            Some(except) if except.missed(circumstances, timezone, !opens).is_none() => {
                Some("except")
            }
            _ => None,
        }
    }
}

impl Conditions {
    fn trace(&self) -> Trace {
        let Some(paths) = &self.paths else {
            return Trace::ANY;
        };
        let traces = paths.iter().map(Pattern::trace);
        traces.fold(Trace::NONE, Trace::or)
    }

    /// `opens`: a match would let somebody through, so that paths must match to the letter;
    /// otherwise any case does (a backend that ignores case must not be slipped past).
    fn missed(
        &self,
        circumstances: &Circumstances<'_>,
        timezone: &TimeZone,
        opens: bool,
    ) -> Option<&'static str> {
        let Circumstances {
            product,
            path,
            method,
            roles,
            address,
            now,
        } = circumstances;
        // An IPv4 client of a dual-stack listener comes as IPv6: networks must not miss it.
        let address = address.to_canonical();
        let path_matches = |pattern: &Pattern| {
            if opens {
                pattern.matches(path)
            } else {
                pattern.matches_any_case(path)
            }
        };
        let held = |given: Option<bool>| given.unwrap_or(true);
        if !held(
            self.products
                .as_ref()
                .map(|list| list.contains(&product.id)),
        ) {
            Some("products")
        } else if !held(
            self.paths
                .as_ref()
                .map(|list| list.iter().any(path_matches)),
        ) {
            Some("paths")
        } else if !held(self.methods.as_ref().map(|list| list.contains(method))) {
            Some("methods")
        } else if !held(
            self.roles
                .as_ref()
                .map(|list| list.iter().any(|role| roles.contains(role))),
        ) {
            Some("roles")
        } else if !held(
            self.networks
                .as_ref()
                .map(|list| list.iter().any(|net| net.contains(&address))),
        ) {
            Some("networks")
        } else if !held(
            self.hours
                .as_ref()
                .map(|hours| hours.include(*now, timezone)),
        ) {
            Some("hours")
        } else {
            None
        }
    }
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Hours {
    /// Reads `Mon-Fri 07:00-19:00`, `Sat 08:00-12:00`, `Mon,Wed 22:00-06:00`.
    pub fn parse(text: &str) -> Result<Hours, String> {
        let (days, times) = text
            .trim()
            .split_once(' ')
            .ok_or("days and times, as in \"Mon-Fri 07:00-19:00\"")?;
        let (from, until) = times
            .trim()
            .split_once('-')
            .ok_or("two times with a '-' between them")?;
        Ok(Hours {
            days: parse_days(days)?,
            from_minute: parse_clock(from)?,
            until_minute: parse_clock(until)?,
        })
    }

    /// The minutes of a day at which it begins and ends, in the company's time zone.
    pub fn edges(&self) -> [u16; 2] {
        [self.from_minute, self.until_minute]
    }

    pub fn include(&self, now: Moment, timezone: &TimeZone) -> bool {
        let Ok(timestamp) = jiff::Timestamp::from_millisecond(now.millis()) else {
            return false;
        };
        let local = timestamp.to_zoned(timezone.clone());
        let minute =
            u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        let today = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or(false);
        if self.from_minute < self.until_minute {
            on(today) && (self.from_minute..self.until_minute).contains(&minute)
        } else {
            (on(today) && minute >= self.from_minute)
                || (on(today + 6) && minute < self.until_minute)
        }
    }
}

fn parse_days(text: &str) -> Result<[bool; 7], String> {
    let day = |name: &str| {
        DAYS.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name.trim()))
            .map(|(_, weekday)| usize::try_from(weekday.to_monday_zero_offset()).unwrap_or(0))
            .ok_or_else(|| {
                format!("unknown day {name:?}; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun")
            })
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        let length = (last + 7 - first) % 7;
        for offset in 0..=length {
            if let Some(slot) = days.get_mut((first + offset) % 7) {
                *slot = true;
            }
        }
    }
    Ok(days)
}

fn parse_clock(text: &str) -> Result<u16, String> {
    let wrong = || format!("{text:?} is not a time between 00:00 and 24:00");
    let (hours, minutes) = text.trim().split_once(':').ok_or_else(wrong)?;
    // Digits only: a number may also be written "+7".
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return Err(wrong());
    }
    let hours: u16 = hours.parse().map_err(|_| wrong())?;
    let minutes: u16 = minutes.parse().map_err(|_| wrong())?;
    if hours > 24 || minutes > 59 || (hours == 24 && minutes > 0) {
        return Err(wrong());
    }
    Ok(hours * 60 + minutes)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Allow => f.write_str("allow"),
            Action::Deny => f.write_str("deny"),
            Action::StepUp { within } => {
                write!(f, "step_up within {}", super::time::format_span(*within))
            }
        }
    }
}

#[cfg(test)]
mod tests;
