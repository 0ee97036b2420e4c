//! `vestibule policy diff`: whose decision changes between two policy folders.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::explain::{ExplainArgs, explain};
use crate::gate::name::{CompanyId, PersonId, ProductId};
use crate::gate::policy::{Policies, Rule};
use crate::gate::product::Products;
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

/// Asks both sets everything that a rule of either could answer otherwise: each rule's paths,
/// methods, networks and, when there are hours, the hours of a week; with no factor, an old one
/// and a fresh one.
pub fn diff(
    old: &Policies,
    new: &Policies,
    products: &Products,
    people: &[Subject],
    now: Moment,
) -> Vec<Change> {
    type Alike = (CompanyId, Vec<String>, Vec<ProductId>);
    // People of one company with the same roles and grants are answered alike.
    let mut answered: HashMap<Alike, Vec<Answer>> = HashMap::new();
    let mut changes = Vec::new();
    for Subject { company, person } in people {
        let alike = (company.clone(), person.roles.clone(), person.grants.clone());
        let found = answered.entry(alike).or_insert_with(|| {
            let ask =
                |product: &ProductId| compare(old, new, products, company, person, product, now);
            let mut found = limits(old, new, products, company);
            found.extend(products.iter().flat_map(|product| ask(&product.id)));
            found
        });
        changes.extend(found.iter().map(|(product, question, old, new)| Change {
            company: company.clone(),
            person: person.id.clone(),
            product: product.clone(),
            question: question.clone(),
            old: old.clone(),
            new: new.clone(),
        }));
    }
    changes
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

/// Who and what is touched, in one line.
pub fn summary(changes: &[Change]) -> String {
    let people: BTreeSet<&PersonId> = changes.iter().map(|change| &change.person).collect();
    let companies: BTreeSet<&CompanyId> = changes.iter().map(|change| &change.company).collect();
    let products: BTreeSet<&str> = changes
        .iter()
        .map(|change| change.product.as_str())
        .collect();
    let products: Vec<&str> = products.into_iter().collect();
    if changes.is_empty() {
        return String::from("0 decisions change");
    }
    format!(
        "{} decisions change, for {} people in {} companies: {}",
        changes.len(),
        people.len(),
        companies.len(),
        products.join(", ")
    )
}

fn compare(
    old: &Policies,
    new: &Policies,
    products: &Products,
    company: &CompanyId,
    person: &Profile,
    product: &ProductId,
    now: Moment,
) -> Vec<Answer> {
    let rules: Vec<&Rule> = old
        .of(company)
        .rules
        .iter()
        .chain(&new.of(company).rules)
        .collect();
    let mut found = Vec::new();
    for args in questions(company, product, &rules, now) {
        let answer = |policies| explain(&args, products, policies, Some(person.clone()), now);
        let (Ok(before), Ok(after)) = (answer(old), answer(new)) else {
            continue;
        };
        if before.decision != after.decision {
            found.push((
                product.to_string(),
                written(&args),
                before.decision.to_owned(),
                after.decision.to_owned(),
            ));
        }
    }
    found
}

fn written(args: &ExplainArgs) -> String {
    let factor = match args.factor_age.as_deref() {
        None => "an old factor",
        Some("none") => "no factor",
        Some(_) => "a fresh factor",
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

fn questions(
    company: &CompanyId,
    product: &ProductId,
    rules: &[&Rule],
    now: Moment,
) -> Vec<ExplainArgs> {
    let conditions = || {
        rules
            .iter()
            .flat_map(|rule| std::iter::once(&rule.when).chain(&rule.except))
    };
    let mut paths = BTreeSet::from([String::from("/")]);
    paths.extend(
        conditions()
            .flat_map(|c| c.paths.iter().flatten())
            .map(|p| an_example(p.as_str())),
    );
    let mut methods = BTreeSet::from([String::from("GET"), String::from("POST")]);
    methods.extend(
        conditions()
            .flat_map(|c| c.methods.iter().flatten())
            .map(ToString::to_string),
    );
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::from([Ipv4Addr::LOCALHOST.into()]);
    addresses.extend(
        conditions()
            .flat_map(|c| c.networks.iter().flatten())
            .map(|net| net.addr()),
    );
    let mut moments = vec![None];
    if conditions().any(|c| c.hours.is_some()) {
        let hour = |n: u64| now.plus(Duration::from_secs(n * 3_600)).to_rfc3339();
        moments = (0..7 * 24).map(|n| Some(hour(n))).collect();
    }
    let mut questions = Vec::new();
    for path in &paths {
        for method in &methods {
            for ip in &addresses {
                for at in &moments {
                    for factor_age in [None, Some("none"), Some("0s")] {
                        questions.push(ExplainArgs {
                            company: company.to_string(),
                            person: None,
                            product: product.to_string(),
                            method: method.clone(),
                            path: path.clone(),
                            at: at.clone(),
                            ip: *ip,
                            roles: Vec::new(),
                            grants: Vec::new(),
                            factor_age: factor_age.map(str::to_owned),
                            session_age: None,
                            idle: None,
                        });
                    }
                }
            }
        }
    }
    questions
}

/// A path that the pattern matches.
fn an_example(pattern: &str) -> String {
    pattern.replace("**", "x").replace('*', "x")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::policies::{Base, PolicyFolder};

    fn changes(old: &str, new: &str) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let settings = config::load(&root.join("gateway.toml"), std::iter::empty(), &[]).unwrap();
        let base = Base {
            session: settings.session,
            rollout: settings.rollout,
            products: settings.products.clone(),
        };
        let read = |text: &str| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("default.toml"), "").unwrap();
            std::fs::write(dir.path().join("acme.toml"), text).unwrap();
            PolicyFolder::open(dir.path(), base.clone())
                .unwrap()
                .published()
                .load_full()
        };
        let people: Vec<Subject> = [
            ("kim", "acme", "clerk"),
            ("lee", "acme", "doctor"),
            ("max", "brook", "clerk"),
        ]
        .into_iter()
        .map(|(id, company, role)| Subject {
            company: CompanyId::parse(company).unwrap(),
            person: Profile {
                id: PersonId::parse(id).unwrap(),
                name: String::new(),
                email: String::new(),
                roles: vec![String::from(role)],
                grants: vec![ProductId::parse("analytics").unwrap()],
            },
        })
        .collect();
        let now = Moment::parse_rfc3339("2026-11-18T12:00:00Z").unwrap();
        let changes = diff(&read(old), &read(new), &settings.products, &people, now);
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_folder_changes_nothing() {
        let text = "[[rules]]\npaths = [\"/a/**\"]\naction = \"deny\"\n";
        assert!(changes(text, text).is_empty());
    }

    #[test]
    fn a_new_rule_is_told_for_those_whom_it_touches() {
        let new = "[[rules]]\nproducts = [\"billing\"]\npaths = [\"/payments/**\"]\nmethods = [\"DELETE\"]\n\
                   roles = [\"clerk\"]\naction = \"deny\"\n";
        let changes = changes("", new);
        assert_eq!(changes.len(), 3, "{changes:#?}");
        for change in changes {
            assert!(
                change.starts_with("kim (acme): billing DELETE /payments/x from 127.0.0.1 with "),
                "{change}"
            );
            assert!(change.ends_with(": allow -> deny"), "{change}");
        }
    }

    #[test]
    fn a_required_factor_is_told_for_everybody_in_the_company() {
        let changes = changes("[mfa]\nmode = \"off\"\n", "[mfa]\nmode = \"required\"\n");
        assert!(
            changes
                .iter()
                .all(|change| change.contains("with no factor: allow -> sign_in")),
            "{changes:#?}"
        );
        assert!(
            changes
                .iter()
                .any(|change| change.starts_with("lee (acme): emr"))
        );
        assert!(!changes.iter().any(|change| change.contains("brook")));
    }

    #[test]
    fn what_lasts_shorter_is_told() {
        let new = "[session]\nmaximum = \"4h\"\n[products.billing]\nidle = \"1h\"\n\
                   [mfa]\nmethods = [\"passkey\"]\n";
        let changes = changes("", new);
        for line in [
            "kim (acme): the sign-in longest sign-in: 12h -> 4h",
            "kim (acme): the sign-in methods of a second factor: totp -> passkey",
            "kim (acme): billing idle here: 2h -> 1h",
        ] {
            assert!(changes.iter().any(|change| change == line), "{changes:#?}");
        }
        assert!(!changes.iter().any(|change| change.contains("emr")));
    }

    #[test]
    fn hours_are_asked_for_a_whole_week() {
        let new = "[[rules]]\nhours = \"Sun 03:00-04:00\"\naction = \"deny\"\n";
        assert!(
            changes("", new)
                .iter()
                .any(|change| change.contains("at 2026-11-22T03:00:00.000Z"))
        );
    }
}
