//! `vestibule policy diff`: whose decision changes between two policy folders.

mod paths;
mod probes;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::probes::{Factor, Probes};
use super::explain::{ExplainArgs, explain};
use super::traffic;
use crate::gate::name::{CompanyId, PersonId, ProductId};
use crate::gate::policy::{CompanyPolicy, MfaMode, Policies};
use crate::gate::product::{Product, Products};
use crate::gate::session::Profile;
use crate::gate::time::{Moment, format_span};

/// Somebody whom the directory knows, in one of their companies.
#[derive(Debug, Clone)]
pub struct Subject {
    pub company: CompanyId,
    pub person: Profile,
}

/// One question that is answered otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub company: CompanyId,
    pub person: PersonId,
    /// [`EVERYWHERE`] for what holds in all of them.
    pub product: String,
    pub question: String,
    pub old: String,
    pub new: String,
}

/// Stands for the product where the sign-in itself changes.
const EVERYWHERE: &str = "the sign-in";

/// One answer that changes: product, question, old, new.
type Answer = (String, String, String, String);

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change {
            company,
            person,
            product,
            question,
            old,
            new,
        } = self;
        write!(
            f,
            "{person} ({company}): {product} {question}: {old} -> {new}"
        )
    }
}

/// A setting of a whole company that differs, whoever it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub company: CompanyId,
    /// Its key in the file.
    pub key: &'static str,
    pub old: String,
    pub new: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting {
            company,
            key,
            old,
            new,
        } = self;
        write!(f, "{company}: {key}: {old} -> {new}")
    }
}

/// All that two folders differ in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    pub changes: Vec<Change>,
    pub settings: Vec<Setting>,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.settings.is_empty()
    }

    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let _ = writeln!(text, "{change}");
        }
        if !self.settings.is_empty() {
            text.push_str("settings that differ:\n");
        }
        for setting in &self.settings {
            let _ = writeln!(text, "  {setting}");
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    /// One list: a setting has no person and no product.
    pub fn to_json(&self) -> Value {
        let changes = self.changes.iter().map(|change| {
            json!({
                "person": change.person, "company": change.company, "product": change.product,
                "question": change.question, "old": change.old, "new": change.new,
            })
        });
        let settings = self.settings.iter().map(|setting| {
            json!({
                "person": null, "company": setting.company, "product": null,
                "question": setting.key, "old": setting.old, "new": setting.new,
            })
        });
        Value::Array(changes.chain(settings).collect())
    }

    /// Who and what is touched, in one line.
    pub fn summary(&self) -> String {
        let changes = &self.changes;
        let people: BTreeSet<&PersonId> = changes.iter().map(|change| &change.person).collect();
        let companies: BTreeSet<&CompanyId> =
            changes.iter().map(|change| &change.company).collect();
        let products: BTreeSet<&str> = changes
            .iter()
            .map(|change| change.product.as_str())
            .collect();
        let products: Vec<&str> = products.into_iter().collect();
        let settings = match self.settings.len() {
            0 => String::new(),
            some => format!("; {some} settings differ"),
        };
        if changes.is_empty() {
            return format!("0 decisions change{settings}");
        }
        format!(
            "{} decisions change, for {} people in {} companies: {}{settings}",
            changes.len(),
            people.len(),
            companies.len(),
            products.join(", ")
        )
    }
}

/// Asks both sets everything that a rule of either could answer otherwise: a question for each way
/// in which the conditions of both can hold and not hold.
pub fn diff(
    old: &Policies,
    new: &Policies,
    products: &Products,
    people: &[Subject],
    now: Moment,
) -> Difference {
    type Alike = (CompanyId, Vec<String>, Vec<ProductId>);
    let mut asked = Asked {
        old,
        new,
        products,
        now,
        probes: HashMap::new(),
    };
    // People of one company with the same roles and grants are answered alike.
    let mut answered: HashMap<Alike, Vec<Answer>> = HashMap::new();
    let mut changes = Vec::new();
    for Subject { company, person } in people {
        let alike = (company.clone(), person.roles.clone(), person.grants.clone());
        let found = answered
            .entry(alike)
            .or_insert_with(|| asked.answers(company, person));
        changes.extend(found.iter().map(|(product, question, old, new)| Change {
            company: company.clone(),
            person: person.id.clone(),
            product: product.clone(),
            question: question.clone(),
            old: old.clone(),
            new: new.clone(),
        }));
    }
    Difference {
        changes,
        settings: settings(old, new, products, people),
    }
}

struct Asked<'a> {
    old: &'a Policies,
    new: &'a Policies,
    products: &'a Products,
    now: Moment,
    /// Many companies have one policy, that of default.toml: by where both are kept, and the product.
    probes: HashMap<(usize, usize, ProductId), Arc<Probes>>,
}

impl Asked<'_> {
    fn answers(&mut self, company: &CompanyId, person: &Profile) -> Vec<Answer> {
        let mut found = limits(self.old, self.new, self.products, company);
        let (old, new) = (self.old.of(company), self.new.of(company));
        if old == new {
            return found;
        }
        let kept_at = |policy: &Arc<CompanyPolicy>| Arc::as_ptr(policy).addr();
        for product in self.products.iter() {
            let key = (kept_at(old), kept_at(new), product.id.clone());
            let now = self.now;
            let probes = self.probes.entry(key);
            let probes = probes.or_insert_with(|| Arc::new(Probes::of([old, new], product, now)));
            let probes = Arc::clone(probes);
            self.compare((company, person), product, &probes, &mut found);
        }
        found
    }

    fn compare(
        &self,
        (company, person): (&CompanyId, &Profile),
        product: &Product,
        probes: &Probes,
        found: &mut Vec<Answer>,
    ) {
        for (args, factor) in questions(company, product, probes) {
            let answer = |policies| {
                let person = Some(person.clone());
                explain(&args, self.products, policies, person, self.now)
            };
            let (Ok(before), Ok(after)) = (answer(self.old), answer(self.new)) else {
                continue;
            };
            if before.decision != after.decision {
                found.push((
                    product.id.to_string(),
                    written(&args, factor),
                    before.decision.to_owned(),
                    after.decision.to_owned(),
                ));
            }
        }
    }
}

/// What the gate's answers don't hang on, or not alone; and everything of companies of which nobody
/// is known, so that nobody could be asked for.
fn settings(
    old: &Policies,
    new: &Policies,
    products: &Products,
    people: &[Subject],
) -> Vec<Setting> {
    let known: BTreeSet<&CompanyId> = people.iter().map(|one| &one.company).collect();
    let files = old.companies.keys().chain(new.companies.keys());
    let all: BTreeSet<&CompanyId> = files.chain(known.iter().copied()).collect();
    let mut found = Vec::new();
    for company in all {
        let (before, after) = (old.of(company), new.of(company));
        if before == after {
            continue;
        }
        let mut held_apart = |key: &'static str, old: String, new: String| {
            if old != new {
                found.push(Setting {
                    company: company.clone(),
                    key,
                    old,
                    new,
                });
            }
        };
        for ((key, old), (_, new)) in company_wide(before).into_iter().zip(company_wide(after)) {
            held_apart(key, old, new);
        }
        if known.contains(company) {
            continue;
        }
        for (product, what, before, after) in limits(old, new, products, company) {
            let told = |value: &str| format!("{value} ({product}, {what})");
            held_apart("limits", told(&before), told(&after));
        }
        if before.rules != after.rules {
            let counted = |policy: &CompanyPolicy| policy.rules.len();
            let old = format!("{} rules", counted(before));
            let new = format!(
                "{} rules, others; nobody of the company is known, so none is asked",
                counted(after)
            );
            held_apart("rules", old, new);
        }
    }
    found
}

fn company_wide(policy: &CompanyPolicy) -> [(&'static str, String); 5] {
    let mode = match policy.mfa.mode {
        MfaMode::Off => "off",
        MfaMode::Company => "company",
        MfaMode::Required => "required",
    };
    let messages = &policy.mfa.messages;
    let prefixes: Vec<&str> = messages.sms_prefixes.iter().map(|p| p.as_str()).collect();
    let zone = policy.timezone.iana_name().unwrap_or("UTC");
    [
        ("name", policy.name.clone()),
        ("mfa.mode", mode.to_owned()),
        ("mfa.sms_prefixes", prefixes.join(", ")),
        ("mfa.messages_per_day", messages.per_day.to_string()),
        ("timezone", zone.to_owned()),
    ]
}

/// What changes without a rule: how long things last, and what is asked at the sign-in.
fn limits(old: &Policies, new: &Policies, products: &Products, company: &CompanyId) -> Vec<Answer> {
    let span = |span: Option<Duration>| span.map_or_else(|| String::from("none"), format_span);
    let mut found = Vec::new();
    let mut held_apart = |product: &str, what: &str, before: String, after: String| {
        if before != after {
            found.push((product.to_owned(), what.to_owned(), before, after));
        }
    };
    let everywhere = |policies: &Policies| {
        let limits = policies.session_limits(company);
        let policy = policies.of(company);
        let methods: Vec<&str> = policy.mfa.methods.iter().map(|m| m.as_str()).collect();
        [
            ("longest sign-in", format_span(limits.maximum)),
            ("idle anywhere", format_span(limits.idle)),
            ("methods of a second factor", methods.join(", ")),
            (
                "a remembered device stands in for a factor",
                format_span(policy.mfa.remember_device),
            ),
            ("a password lasts", span(policy.password.maximum_age)),
        ]
    };
    for ((what, before), (_, after)) in everywhere(old).into_iter().zip(everywhere(new)) {
        held_apart(EVERYWHERE, what, before, after);
    }
    for product in products.iter() {
        let idle = |policies: &Policies| span(policies.limits(company, product).product_idle);
        held_apart(product.id.as_str(), "idle here", idle(old), idle(new));
    }
    found
}

fn written(args: &ExplainArgs, factor: Factor) -> String {
    let factor = match factor {
        Factor::Old => String::from("an old factor"),
        Factor::None => String::from("no factor"),
        Factor::Aged(age) if age.is_zero() => String::from("a fresh factor"),
        Factor::Aged(age) => format!("a factor proved {} ago", format_span(age)),
        Factor::Device => String::from("a remembered device"),
    };
    let at = args
        .at
        .as_deref()
        .map(|at| format!(" at {at}"))
        .unwrap_or_default();
    format!(
        "{} {} from {}{at} with {factor}",
        args.method, args.path, args.ip
    )
}

fn questions<'a>(
    company: &'a CompanyId,
    product: &'a Product,
    probes: &'a Probes,
) -> impl Iterator<Item = (ExplainArgs, Factor)> + 'a {
    let Probes {
        paths,
        methods,
        addresses,
        moments,
        factors,
    } = probes;
    let ask = move |path: &str, method: &http::Method, ip, at: Option<Moment>, factor| {
        let args = ExplainArgs {
            company: company.to_string(),
            person: None,
            product: product.id.to_string(),
            method: method.to_string(),
            path: traffic::written(path),
            at: at.map(Moment::to_rfc3339),
            ip,
            roles: Vec::new(),
            grants: Vec::new(),
            factor_age: match factor {
                Factor::Old | Factor::Device => None,
                Factor::None => Some(String::from("none")),
                Factor::Aged(age) => Some(format_span(age)),
            },
            remembered_device: factor == Factor::Device,
            session_age: None,
            idle: None,
        };
        (args, factor)
    };
    paths.iter().flat_map(move |path| {
        methods.iter().flat_map(move |method| {
            addresses.iter().flat_map(move |ip| {
                moments.iter().flat_map(move |at| {
                    factors
                        .iter()
                        .map(move |factor| ask(path, method, *ip, *at, *factor))
                })
            })
        })
    })
}

#[cfg(test)]
mod tests;
