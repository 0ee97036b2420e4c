use std::path::Path;

use super::*;
use crate::config;
use crate::policies::{Base, PolicyFolder};

fn changes(old: &str, new: &str) -> Vec<String> {
    let (difference, _) = differing(old, new);
    difference.changes.iter().map(ToString::to_string).collect()
}

/// With what was compared, to ask it more.
struct Compared {
    old: Arc<Policies>,
    new: Arc<Policies>,
    products: Products,
    people: Vec<Subject>,
    now: Moment,
}

fn differing(old: &str, new: &str) -> (Difference, Compared) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = config::load(&root.join("gateway.toml"), std::iter::empty(), &[]).unwrap();
    let base = Base {
        session: settings.session,
        rollout: settings.rollout.clone(),
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
    let (old, new) = (read(old), read(new));
    let difference = diff(&old, &new, &settings.products, &people, now);
    let compared = Compared {
        old,
        new,
        products: settings.products,
        people,
        now,
    };
    (difference, compared)
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
        "kim (acme): the sign-in methods of a second factor: totp, sms -> passkey",
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

/// What the old way of asking, one example of each, did not see.
#[test]
fn a_change_of_any_condition_is_seen() {
    const NETWORKS: [&str; 2] = [
        "[[rules]]\nnetworks = [\"10.0.0.0/8\"]\naction = \"deny\"\n",
        "[[rules]]\nnetworks = [\"10.0.0.0/16\"]\naction = \"deny\"\n",
    ];
    let path = |pattern: &str| format!("[[rules]]\npaths = [\"{pattern}\"]\naction = \"deny\"\n");
    let within = |span: &str| format!("[[rules]]\naction = \"step_up\"\nwithin = \"{span}\"\n");
    let hours = |hours: &str| format!("[[rules]]\nhours = \"{hours}\"\naction = \"deny\"\n");
    let two = |first: &str, second: &str| format!("{first}{second}");
    let deny = "[[rules]]\npaths = [\"/a/*\"]\naction = \"deny\"\n";
    let allow = "[[rules]]\npaths = [\"/*/b\"]\naction = \"allow\"\n";
    let zone = |zone: &str| format!("timezone = \"{zone}\"\n{}", hours("Mon-Fri 07:00-19:00"));
    let pairs = [
        (NETWORKS[0].to_owned(), NETWORKS[1].to_owned()),
        (path("/a/*"), path("/a/**")),
        (path("/a b/**"), path("/a c/**")),
        (path("/a/b"), path("/a/b*")),
        (within("15m"), within("16m")),
        (within("15m"), within("5m")),
        (hours("Mon-Fri 07:00-19:00"), hours("Mon-Fri 07:00-19:01")),
        (two(deny, allow), two(allow, deny)),
        // Apart in winter only.
        (zone("America/Phoenix"), zone("America/Los_Angeles")),
    ];
    for (old, new) in pairs {
        let (difference, _) = differing(&old, &new);
        assert!(!difference.changes.is_empty(), "{old}\n{new}");
        assert!(differing(&old, &old).0.is_empty(), "{old}");
    }
}

#[test]
fn settings_that_no_answer_hangs_on_are_told_too() {
    let new = "[mfa]\nsms_prefixes = [\"+1\", \"+44\"]\nmessages_per_day = 100\n";
    let (difference, _) = differing("", new);
    let told: Vec<String> = difference
        .settings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "acme: mfa.sms_prefixes: +1 -> +1, +44",
            "acme: mfa.messages_per_day: 2000 -> 100",
        ]
    );
    assert!(
        difference
            .to_text()
            .ends_with("0 decisions change; 2 settings differ\n")
    );
    assert_eq!(difference.to_json()[1]["question"], "mfa.messages_per_day");
}

mod any_two {
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    use super::*;

    const PATHS: [&str; 14] = [
        "/a", "/a/", "/a/*", "/a/**", "/**", "/*/b", "/A/**", "/a b/**", "/x*y", "/*xy*", "/**/z",
        "/a/*/c", "/é/**", "/*",
    ];
    const METHODS: [&str; 4] = ["GET", "POST", "DELETE", "REPORT"];
    const NETWORKS: [&str; 8] = [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.0.0/17",
        "10.1.2.0/24",
        "0.0.0.0/0",
        "10.1.2.3/32",
        "2001:db8::/32",
        "::/0",
    ];
    const HOURS: [&str; 6] = [
        "Mon-Fri 07:00-19:00",
        "Mon-Fri 07:00-19:01",
        "Sat,Sun 00:00-24:00",
        "Mon 22:00-06:00",
        "Sun 02:15-02:45",
        "Wed 12:00-12:01",
    ];
    const ZONES: [&str; 4] = [
        "UTC",
        "America/New_York",
        "America/Phoenix",
        "Europe/Madrid",
    ];
    const ACTIONS: [&str; 5] = [
        "action = \"allow\"",
        "action = \"deny\"",
        "action = \"step_up\"\nwithin = \"5m\"",
        "action = \"step_up\"\nwithin = \"15m\"",
        "action = \"deny\"",
    ];

    fn list(key: &'static str, of: &'static [&'static str]) -> BoxedStrategy<Vec<String>> {
        let some = subsequence(of, 1..=2).prop_map(move |some| {
            let some: Vec<String> = some.iter().map(|one| format!("{one:?}")).collect();
            vec![format!("{key} = [{}]", some.join(", "))]
        });
        prop_oneof![2 => Just(Vec::new()), 1 => some].boxed()
    }

    fn conditions() -> impl Strategy<Value = Vec<String>> {
        let hours = prop_oneof![
            3 => Just(Vec::new()),
            1 => select(&HOURS).prop_map(|hours| vec![format!("hours = {hours:?}")]),
        ];
        let parts = (
            list("paths", &PATHS),
            list("methods", &METHODS),
            list("networks", &NETWORKS),
            list("roles", &["clerk", "doctor"]),
            list("products", &["emr", "billing"]),
            hours,
        );
        parts.prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat())
    }

    fn rule() -> impl Strategy<Value = String> {
        let except = prop_oneof![2 => Just(Vec::new()), 1 => conditions()];
        (conditions(), except, select(&ACTIONS)).prop_map(|(when, except, action)| {
            let except = match except.is_empty() {
                true => String::new(),
                false => format!("except = {{ {} }}\n", except.join(", ")),
            };
            format!("[[rules]]\n{}\n{except}{action}\n", when.join("\n"))
        })
    }

    fn top() -> impl Strategy<Value = String> {
        let mode = select(&["off", "company", "required"][..]);
        (mode, select(&ZONES), select(&["0d", "30d"][..])).prop_map(|(mode, zone, device)| {
            format!("timezone = {zone:?}\n[mfa]\nmode = {mode:?}\nremember_device = {device:?}\n")
        })
    }

    /// Two policies, most often alike but for one thing.
    fn two() -> impl Strategy<Value = (String, String)> {
        let rules = || proptest::collection::vec(rule(), 0..4);
        let whole = |top: &str, rules: &[String]| format!("{top}{}", rules.concat());
        (
            top(),
            top(),
            rules(),
            rule(),
            0..5_usize,
            any::<prop::sample::Index>(),
        )
            .prop_map(move |(top, other_top, rules, other, how, at)| {
                let old = whole(&top, &rules);
                let mut changed = rules;
                let at = at.index(changed.len() + 1);
                let new = match how {
                    0 => whole(&other_top, &changed),
                    1 => {
                        changed.reverse();
                        whole(&top, &changed)
                    }
                    2 if at < changed.len() => {
                        changed.remove(at);
                        whole(&top, &changed)
                    }
                    3 if at < changed.len() => {
                        changed[at] = other;
                        whole(&top, &changed)
                    }
                    _ => {
                        changed.insert(at, other);
                        whole(&top, &changed)
                    }
                };
                (old, new)
            })
    }

    fn request() -> impl Strategy<Value = ExplainArgs> {
        let path = select(
            &[
                "/",
                "/a",
                "/A",
                "/a/",
                "/a/b",
                "/a/b/c",
                "/A/B",
                "/q/b",
                "/a%20b/1",
                "/xy",
                "/xzy",
                "/zxyz",
                "/q/r/z",
                "/%C3%A9/1",
                "/%C3%89/1",
                "/a/x/c",
                "/q",
            ][..],
        );
        let method = select(&["GET", "POST", "DELETE", "REPORT", "PUT"][..]);
        let ip = select(
            &[
                "10.0.0.1",
                "10.1.0.1",
                "10.1.200.1",
                "10.1.2.3",
                "10.1.2.4",
                "192.0.2.1",
                "2001:db8::1",
                "::1",
            ][..],
        );
        let factor = select(&["old", "none", "0s", "5m", "301s", "15m", "901s", "device"][..]);
        // Up to eleven months on, by the minute.
        let at = 0..330 * 24 * 60_u64;
        let product = select(&["emr", "billing", "analytics"][..]);
        (path, method, ip, factor, at, product).prop_map(
            |(path, method, ip, factor, at, product)| {
                let now = Moment::parse_rfc3339("2026-11-18T12:00:00Z").unwrap();
                ExplainArgs {
                    company: String::from("acme"),
                    person: None,
                    product: product.to_owned(),
                    method: method.to_owned(),
                    path: path.to_owned(),
                    at: Some(now.plus(Duration::from_secs(at * 60)).to_rfc3339()),
                    ip: ip.parse().unwrap(),
                    roles: Vec::new(),
                    grants: Vec::new(),
                    factor_age: match factor {
                        "old" | "device" => None,
                        age => Some(age.to_owned()),
                    },
                    remembered_device: factor == "device",
                    session_age: None,
                    idle: None,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whoever is answered otherwise, to whatever they ask, is named with the product and with
        /// both answers.
        #[test]
        fn policies_that_answer_a_request_otherwise_differ(
            (old, new) in two(),
            requests in proptest::collection::vec(request(), 40),
        ) {
            let (difference, compared) = differing(&old, &new);
            for request in requests {
                for Subject { company, person } in &compared.people {
                    let mut request = request.clone();
                    request.company = company.to_string();
                    let answer = |policies: &Policies| {
                        explain(&request, &compared.products, policies, Some(person.clone()), compared.now)
                            .unwrap()
                            .decision
                    };
                    let (before, after) = (answer(&compared.old), answer(&compared.new));
                    let told = difference.changes.iter().any(|change| {
                        change.person == person.id
                            && change.product == request.product
                            && change.old == before
                            && change.new == after
                    });
                    prop_assert!(before == after || told, "{before} -> {after}: {request:?}\n{old}\n---\n{new}");
                }
            }
        }
    }
}
