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
use crate::gate::time::Moment;

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
    pub product: ProductId,
    pub question: String,
    pub old: &'static str,
    pub new: &'static str,
}

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
    let mut answered: HashMap<Alike, Vec<(ProductId, String, &'static str, &'static str)>> =
        HashMap::new();
    let mut changes = Vec::new();
    for Subject { company, person } in people {
        let alike = (company.clone(), person.roles.clone(), person.grants.clone());
        let found = answered.entry(alike).or_insert_with(|| {
            let ask =
                |product: &ProductId| compare(old, new, products, company, person, product, now);
            products
                .iter()
                .flat_map(|product| ask(&product.id))
                .collect()
        });
        changes.extend(found.iter().map(|(product, question, old, new)| Change {
            company: company.clone(),
            person: person.id.clone(),
            product: product.clone(),
            question: question.clone(),
            old,
            new,
        }));
    }
    changes
}

fn compare(
    old: &Policies,
    new: &Policies,
    products: &Products,
    company: &CompanyId,
    person: &Profile,
    product: &ProductId,
    now: Moment,
) -> Vec<(ProductId, String, &'static str, &'static str)> {
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
                product.clone(),
                written(&args),
                before.decision,
                after.decision,
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
    fn hours_are_asked_for_a_whole_week() {
        let new = "[[rules]]\nhours = \"Sun 03:00-04:00\"\naction = \"deny\"\n";
        assert!(
            changes("", new)
                .iter()
                .any(|change| change.contains("at 2026-11-22T03:00:00.000Z"))
        );
    }
}
