//! `vestibule policy explain`: what would be decided, and everything that was looked at on the
//! way, by the code that serves.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::gate::decide::{Decision, Denial, SignInReason, Step, Witness, decide_witnessed};
use crate::gate::facts::{Asks, Facts, Presented, Site};
use crate::gate::identity::Values;
use crate::gate::name::{CompanyId, InvalidName, Login, PersonId, ProductId, SessionId};
use crate::gate::policy::{MfaMode, Policies};
use crate::gate::product::{OpenAccess, Products};
use crate::gate::rollout::Reached;
use crate::gate::session::{
    Entry, Found, Known, Method as Proof, Presence, Profile, Secret, Seen, Session, Standing,
    Stranger,
};
use crate::gate::target::Target;
use crate::gate::time::{Moment, parse_span};

/// The flags of `policy explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExplainArgs {
    /// Whose policy
    #[arg(long)]
    pub company: String,
    /// Who asks, by id: roles and grants come from the directory
    #[arg(long)]
    pub person: Option<String>,
    /// What is asked for
    #[arg(long)]
    pub product: String,
    /// How, by HTTP's word
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// Where in the product
    #[arg(long, default_value = "/")]
    pub path: String,
    /// When, in RFC 3339; now without it
    #[arg(long)]
    pub at: Option<String>,
    /// The browser's address
    #[arg(long, default_value = "127.0.0.1")]
    pub ip: IpAddr,
    /// Roles, besides those of the person
    #[arg(long, value_delimiter = ',')]
    pub roles: Vec<String>,
    /// Granted products, besides those of the person
    #[arg(long, value_delimiter = ',')]
    pub grants: Vec<String>,
    /// How long ago a second factor was proved, as in 5m, or "none"; without it: at a sign-in too
    /// long ago for any rule that wants a fresh one
    #[arg(long)]
    pub factor_age: Option<String>,
    /// No factor was proved at this sign-in: a remembered device stands in for it, where the company
    /// lets devices do that
    #[arg(long)]
    pub remembered_device: bool,
    /// How long ago the sign-in was, as in 9h; just now without it
    #[arg(long)]
    pub session_age: Option<String>,
    /// How long ago the last activity in the product was, as in 90m; just now without it
    #[arg(long)]
    pub idle: Option<String>,
}

/// Why there is no explanation: wrong usage.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("there is no product {product:?}; there are {known}")]
    Product { product: String, known: String },
    #[error("{0:?} is not a method")]
    Method(String),
    #[error("{0:?} is not a path that the gateway would forward")]
    Path(String),
    #[error("{0:?} is not a moment in RFC 3339, such as 2026-11-21T14:05:00Z")]
    Moment(String),
    #[error("{0:?} is neither a duration such as 5m nor \"none\"")]
    FactorAge(String),
    #[error("{0:?} is not a duration such as 90m")]
    Age(String),
}

/// The outcome, to be printed for people or as JSON.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// `allow`, `deny`, `step_up`, `sign_in`.
    pub decision: &'static str,
    pub reason: &'static str,
    /// The rule that denied, or that wants a fresh factor.
    pub rule: Option<String>,
    question: Vec<(&'static str, String)>,
    steps: Vec<(String, Value)>,
}

/// Of whom it is asked.
#[derive(Debug, Clone)]
pub enum Who {
    /// Somebody who has nothing but what the flags say.
    Somebody,
    Known(Profile),
    /// No sign-in of theirs goes on, and none begins.
    Disabled(Profile),
}

/// What the directory knows of the person; `None` explains for somebody who has nothing but what
/// the flags say.
pub fn explain(
    args: &ExplainArgs,
    products: &Products,
    policies: &Policies,
    person: Option<Profile>,
    now: Moment,
) -> Result<Explanation, ExplainError> {
    let who = person.map_or(Who::Somebody, Who::Known);
    explain_to(args, products, policies, who, now)
}

/// The same, also of those who can't have a session.
pub fn explain_to(
    args: &ExplainArgs,
    products: &Products,
    policies: &Policies,
    who: Who,
    now: Moment,
) -> Result<Explanation, ExplainError> {
    let company = CompanyId::parse(&args.company)?;
    let product = products
        .by_id(&args.product)
        .ok_or_else(|| ExplainError::Product {
            product: args.product.clone(),
            known: products
                .iter()
                .map(|p| p.id.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let at = match &args.at {
        Some(text) => {
            Moment::parse_rfc3339(text).ok_or_else(|| ExplainError::Moment(text.clone()))?
        }
        None => now,
    };
    let facts = Facts {
        site: Site::Product(Arc::clone(product)),
        method: Method::from_bytes(args.method.as_bytes())
            .map_err(|_| ExplainError::Method(args.method.clone()))?,
        target: Target::parse(args.path.as_bytes())
            .map_err(|_| ExplainError::Path(args.path.clone()))?,
        address: args.ip.to_canonical(),
        asks: Asks::Navigation,
        background: false,
        foreign_origin: false,
        cookie: Presented::Nothing,
    };
    let (person, disabled) = match who {
        Who::Somebody => (None, false),
        Who::Known(person) => (Some(person), false),
        Who::Disabled(person) => (Some(person), true),
    };
    let session = session(args, company.clone(), person, product.id.clone(), at)?;
    let here = at.minus(age(args.idle.as_deref())?);
    let mut steps = Steps { seen: Vec::new() };
    steps.directory(disabled, policies, &session, &company);
    let known = match disabled {
        true => Known::Nobody(Stranger::Ended),
        false => known(session, product.id.clone(), Seen { anywhere: at, here }),
    };
    let decision = decide_witnessed(&facts, &known, policies, at, &mut steps);
    let (word, reason, rule) = outcome(&decision);
    let source = match policies.companies.contains_key(&company) {
        true => format!("{company}.toml"),
        false => String::from("default.toml"),
    };
    Ok(Explanation {
        decision: word,
        reason,
        rule,
        question: vec![
            ("company", company.to_string()),
            ("product", product.id.to_string()),
            ("method", facts.method.to_string()),
            ("path", facts.target.path().to_owned()),
            ("at", at.to_rfc3339()),
            ("ip", facts.address.to_string()),
            ("policy", source),
        ],
        steps: steps.seen,
    })
}

impl Explanation {
    pub fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert(String::from("decision"), json!(self.decision));
        object.insert(String::from("reason"), json!(self.reason));
        object.insert(String::from("rule"), json!(self.rule));
        for (key, value) in &self.question {
            object.insert((*key).to_owned(), json!(value));
        }
        let steps: Vec<&Value> = self.steps.iter().map(|(_, step)| step).collect();
        object.insert(String::from("steps"), json!(steps));
        Value::Object(object)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.decision, self.reason)?;
        if let Some(rule) = &self.rule {
            write!(f, ": {rule}")?;
        }
        f.write_str(")\n\n")?;
        for (key, value) in &self.question {
            writeln!(f, "  {key:<8} {value}")?;
        }
        f.write_str("\n")?;
        for (line, _) in &self.steps {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

fn outcome(decision: &Decision) -> (&'static str, &'static str, Option<String>) {
    let (_, reason) = decision.words();
    match decision {
        Decision::Forward(_) | Decision::Portal(_) | Decision::Own(_) => ("allow", reason, None),
        Decision::Deny(Denial { rule, .. }) => ("deny", reason, rule.clone()),
        Decision::SignIn(sign_in) if sign_in.reason == SignInReason::StepUp => {
            ("step_up", reason, sign_in.rule.clone())
        }
        Decision::SignIn(_) => ("sign_in", reason, None),
        Decision::Unavailable(_) => ("deny", reason, None),
    }
}

/// Somebody who signed in at this moment and was in the product at once.
fn session(
    args: &ExplainArgs,
    company: CompanyId,
    person: Option<Profile>,
    product: ProductId,
    at: Moment,
) -> Result<Session, ExplainError> {
    let mut person = match person {
        Some(person) => person,
        None => Profile {
            id: PersonId::parse(args.person.as_deref().unwrap_or("somebody"))?,
            name: String::new(),
            email: String::new(),
            roles: Vec::new(),
            grants: Vec::new(),
        },
    };
    person.roles.extend(args.roles.iter().cloned());
    for grant in &args.grants {
        person.grants.push(ProductId::parse(grant)?);
    }
    let started_at = at.minus(age(args.session_age.as_deref())?);
    let nobodys = Secret::from_bytes([0; 32]).hash();
    let entry = Entry {
        token: nobodys,
        login: Login::parse(person.id.as_str())?,
        entered_at: started_at,
        generation: 0,
        tenancy: None,
    };
    Ok(Session {
        id: SessionId::from_bytes([0; 16]),
        version: 1,
        companies: vec![company.clone()],
        company,
        started_at,
        password_at: started_at,
        factor_at: match args.remembered_device {
            true => None,
            false => factor_at(args.factor_age.as_deref(), at)?,
        },
        methods: match args.remembered_device {
            true => vec![Proof::Pwd, Proof::Device],
            false => vec![Proof::Pwd],
        },
        portal: nobodys,
        seed: nobodys,
        entries: std::iter::once((product, entry)).collect(),
        address: args.ip.to_string(),
        user_agent: String::new(),
        person,
    })
}

fn factor_at(age: Option<&str>, at: Moment) -> Result<Option<Moment>, ExplainError> {
    match age {
        None => Ok(Some(Moment::EPOCH)),
        Some("none") => Ok(None),
        Some(text) => {
            let age: Duration =
                parse_span(text).ok_or_else(|| ExplainError::FactorAge(text.to_owned()))?;
            Ok(Some(at.minus(age)))
        }
    }
}

fn age(text: Option<&str>) -> Result<Duration, ExplainError> {
    let Some(text) = text else {
        return Ok(Duration::ZERO);
    };
    parse_span(text).ok_or_else(|| ExplainError::Age(text.to_owned()))
}

fn known(session: Session, product: ProductId, seen: Seen) -> Known {
    Known::Found(Found {
        session: Arc::new(session),
        seen,
        presence: Some(Arc::new(Presence {
            product,
            values: Values::nobodys(),
            assertion_expires_at: Moment::EPOCH,
        })),
        grace: false,
    })
}

struct Steps {
    seen: Vec<(String, Value)>,
}

impl Steps {
    /// What is known beside the files, where it changes something.
    fn directory(
        &mut self,
        disabled: bool,
        policies: &Policies,
        session: &Session,
        company: &CompanyId,
    ) {
        if disabled {
            self.seen.push((
                String::from("person   is disabled: their sign-ins are over, and none begins"),
                json!({ "step": "person", "disabled": true }),
            ));
        }
        if policies.in_emergency(company, &session.person.id) {
            self.seen.push((
                String::from("glass    an emergency goes on: no second factor is asked for"),
                json!({ "step": "emergency" }),
            ));
        }
        if let Some(switched) = policies.factor_switched_on.get(company)
            && policies.of(company).mfa.mode == MfaMode::Company
        {
            let from = switched.spares_before.map(Moment::to_rfc3339);
            let spared = from.as_ref().map_or(String::new(), |from| {
                format!("; sign-ins from before {from} go on as they are")
            });
            self.seen.push((
                format!("switch   the company's admin switched the second factor on{spared}"),
                json!({ "step": "switch", "spares_before": from }),
            ));
        }
    }
}

impl Witness for Steps {
    fn saw(&mut self, step: Step<'_>) {
        self.seen.push(match step {
            Step::Access(access) => {
                let word = access_word(access);
                (
                    format!("access   {word}"),
                    json!({ "step": "access", "access": word }),
                )
            }
            Step::Standing(standing) => {
                let word = standing_word(standing);
                (
                    format!("session  {word}"),
                    json!({ "step": "session", "standing": word }),
                )
            }
            Step::Grant { product, held } => (
                format!(
                    "grant    {product} was {}",
                    if held { "granted" } else { "not granted" }
                ),
                json!({ "step": "grant", "product": product, "held": held }),
            ),
            Step::Factor { wanted, held } => (
                format!(
                    "factor   {}, {}",
                    if wanted {
                        "the company wants one"
                    } else {
                        "the company wants none"
                    },
                    if held {
                        "one was proved"
                    } else {
                        "none was proved"
                    },
                ),
                json!({ "step": "factor", "wanted": wanted, "held": held }),
            ),
            Step::Release { feature, reached } => (
                format!("rollout  {feature}: {}", reached_words(reached)),
                json!({
                    "step": "rollout",
                    "feature": feature,
                    "reached": reached.has_it(),
                    "why": reached_words(reached),
                }),
            ),
            Step::Rule {
                name,
                missed,
                action,
            } => (
                match missed {
                    Some(condition) => format!("rule     {name:?} missed: {condition}"),
                    None => format!("rule     {name:?} met: {action}"),
                },
                json!({
                    "step": "rule",
                    "rule": name,
                    "met": missed.is_none(),
                    "missed": missed,
                    "action": action.to_string(),
                }),
            ),
            Step::NoRule => (
                String::from("rule     none met: allow"),
                json!({ "step": "no_rule" }),
            ),
        });
    }
}

fn reached_words(reached: Reached) -> String {
    match reached {
        Reached::Listed => String::from("has reached the company, which is on the list"),
        Reached::ByPercentage { place, percent } => {
            format!("has reached the company, whose place {place} is below {percent} percent")
        }
        Reached::NotYet { place, percent } => {
            format!(
                "has not reached the company, whose place {place} is not below {percent} percent"
            )
        }
        Reached::Paused => String::from("has not reached the company, and the release is paused"),
    }
}

fn access_word(access: OpenAccess) -> &'static str {
    match access {
        OpenAccess::Optional => "optional",
        OpenAccess::Public => "public",
        OpenAccess::Required => "required",
    }
}

fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Live => "live",
        Standing::OverMaximum => "over its maximum",
        Standing::OverIdle => "over its idle",
        Standing::OverProductIdle => "over its idle in this product",
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
