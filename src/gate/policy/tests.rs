use http::Method;
use proptest::prelude::*;

use super::*;
use crate::gate::decide::Unwitnessed;
use crate::gate::samples::{
    HOUR, MINUTE, company, noon, patterns, plain_product, policies, policy, product_id,
};

fn at(text: &str) -> Moment {
    Moment::parse_rfc3339(text).unwrap()
}

fn included(hours: &str, moments: &[&str], timezone: &TimeZone) -> Vec<bool> {
    let hours = Hours::parse(hours).unwrap_or_else(|why| panic!("{hours:?}: {why}"));
    moments
        .iter()
        .map(|moment| hours.include(at(moment), timezone))
        .collect()
}

#[test]
fn hours_begin_with_their_first_minute_and_end_before_their_last() {
    // 2026-11-23 is a Monday.
    let moments = [
        "2026-11-23T06:59:59.999Z",
        "2026-11-23T07:00:00Z",
        "2026-11-23T18:59:59.999Z",
        "2026-11-23T19:00:00Z",
        "2026-11-27T12:00:00Z",
        "2026-11-28T12:00:00Z",
    ];
    assert_eq!(
        included("Mon-Fri 07:00-19:00", &moments, &TimeZone::UTC),
        [false, true, true, false, true, false]
    );
    assert_eq!(
        included("mon,SAT  07:00-24:00", &moments, &TimeZone::UTC),
        [false, true, true, true, false, true]
    );
}

#[test]
fn hours_over_midnight_belong_to_the_day_they_start_on() {
    let moments = [
        "2026-11-23T05:00:00Z", // Monday, still Sunday's night
        "2026-11-23T22:00:00Z",
        "2026-11-24T05:59:00Z",
        "2026-11-24T06:00:00Z",
        "2026-11-24T22:00:00Z",
    ];
    assert_eq!(
        included("Mon 22:00-06:00", &moments, &TimeZone::UTC),
        [false, true, true, false, false]
    );
    assert_eq!(
        included("Sun 22:00-06:00", &moments, &TimeZone::UTC),
        [true, false, false, false, false]
    );
    // Days may run over the week's end as well.
    assert_eq!(
        included("Sat-Mon 00:00-24:00", &moments, &TimeZone::UTC),
        [true, true, false, false, false]
    );
    // The same time twice is a whole day.
    assert_eq!(
        included("Mon 06:00-06:00", &moments, &TimeZone::UTC),
        [false, true, true, false, false]
    );
}

#[test]
fn hours_are_the_companys_own_also_in_summer() {
    let newyork = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
    let winter = ["2026-11-23T11:59:00Z", "2026-11-23T12:00:00Z"];
    assert_eq!(
        included("Mon-Fri 07:00-19:00", &winter, &newyork),
        [false, true]
    );
    let summer = ["2026-07-06T10:59:00Z", "2026-07-06T11:00:00Z"];
    assert_eq!(
        included("Mon-Fri 07:00-19:00", &summer, &newyork),
        [false, true]
    );
}

#[test]
fn hours_that_cannot_be_read_say_why() {
    for text in [
        "",
        "Mon-Fri",
        "07:00-19:00",
        "Mon-Fri 07:00",
        "Mo-Fr 07:00-19:00",
        "Mon-Fri 7:00-19:00",
        "Mon 07:00-24:01",
        "Mon 07:60-19:00",
        "Mon +7:00-19:00",
        "Mon 07:+0-19:00",
        "Mon 25:00-26:00",
        "Mon, 07:00-19:00",
        "Mon-Tue-Wed 07:00-19:00",
        "Mon 07:00-19:00-20:00",
        "Mon 0７:00-19:00",
    ] {
        assert!(
            Hours::parse(text).is_err_and(|why| !why.is_empty()),
            "{text:?}"
        );
    }
}

/// Which of the rules applies to a clerk's `POST /payments/1` in Billing at Monday noon.
fn first(rules: Vec<Rule>, line: &str, address: &str) -> Option<String> {
    let (method, path) = line.split_once(' ').unwrap();
    let product = plain_product("billing");
    let circumstances = Circumstances {
        product: &product,
        path,
        method: &method.parse().unwrap(),
        roles: &[String::from("clerk")],
        address: address.parse().unwrap(),
        now: noon(),
    };
    let policy = CompanyPolicy {
        rules: rules.into(),
        ..policy()
    };
    policy
        .first_match(&circumstances, &mut Unwitnessed)
        .map(|rule| rule.name.clone())
}

fn rule(name: &str, when: Conditions, action: Action) -> Rule {
    Rule {
        name: name.to_owned(),
        when,
        except: None,
        action,
    }
}

fn on_paths(texts: &[&str]) -> Conditions {
    Conditions {
        paths: Some(patterns(texts)),
        ..Conditions::default()
    }
}

#[test]
fn every_condition_that_is_given_must_hold() {
    let all = Conditions {
        products: Some(vec![product_id("billing")]),
        paths: Some(patterns(&["/refunds/**", "/payments/**"])),
        methods: Some(vec![Method::POST, Method::PUT]),
        roles: Some(vec![String::from("boss"), String::from("clerk")]),
        networks: Some(vec!["192.0.2.0/24".parse().unwrap()]),
        hours: Some(Hours::parse("Mon 11:00-13:00").unwrap()),
    };
    let tells = |when: Conditions| {
        first(
            vec![rule("it", when, Action::Deny)],
            "POST /payments/1",
            "192.0.2.7",
        )
    };
    assert_eq!(tells(all.clone()).as_deref(), Some("it"));
    assert_eq!(tells(Conditions::default()).as_deref(), Some("it"));
    for missed in [
        Conditions {
            products: Some(vec![product_id("emr")]),
            ..all.clone()
        },
        Conditions {
            paths: Some(patterns(&["/payment/**"])),
            ..all.clone()
        },
        Conditions {
            methods: Some(vec![Method::GET]),
            ..all.clone()
        },
        Conditions {
            roles: Some(vec![String::from("Clerk")]),
            ..all.clone()
        },
        Conditions {
            networks: Some(vec!["198.51.100.0/24".parse().unwrap()]),
            ..all.clone()
        },
        Conditions {
            hours: Some(Hours::parse("Tue 11:00-13:00").unwrap()),
            ..all.clone()
        },
        Conditions {
            roles: Some(vec![]),
            ..all.clone()
        },
    ] {
        assert_eq!(tells(missed), None);
    }
}

#[test]
fn a_network_covers_ipv4_that_comes_as_ipv6() {
    let near = Conditions {
        networks: Some(vec!["192.0.2.0/24".parse().unwrap()]),
        ..Conditions::default()
    };
    let rules = vec![rule("near", near, Action::Deny)];
    assert_eq!(
        first(rules.clone(), "GET /", "::ffff:192.0.2.7").as_deref(),
        Some("near")
    );
    assert_eq!(first(rules, "GET /", "::ffff:198.51.100.7"), None);
}

#[test]
fn the_first_match_decides() {
    let rules = vec![
        rule("refunds", on_paths(&["/refunds/**"]), Action::Deny),
        rule("open", on_paths(&["/payments/open"]), Action::Allow),
        rule(
            "payments",
            on_paths(&["/payments/**"]),
            Action::StepUp {
                within: 15 * MINUTE,
            },
        ),
        rule("all", Conditions::default(), Action::Deny),
    ];
    for (path, name) in [
        ("/refunds/1", "refunds"),
        ("/payments/open", "open"),
        ("/payments/1", "payments"),
        ("/x", "all"),
        // An opening is to the letter, a restriction is not.
        ("/payments/Open", "payments"),
        ("/payments/open/", "payments"),
        ("/PAYMENTS/1", "payments"),
    ] {
        assert_eq!(
            first(rules.clone(), &format!("GET {path}"), "192.0.2.7").as_deref(),
            Some(name),
            "{path}"
        );
    }
}

#[test]
fn an_exception_is_read_the_other_way_round() {
    let except = |action| Rule {
        except: Some(on_paths(&["/payments/help"])),
        ..rule("it", on_paths(&["/payments/**"]), action)
    };
    let applies = |action, path: &str| {
        first(vec![except(action)], &format!("GET {path}"), "192.0.2.7").is_some()
    };
    // Excepted from a refusal is an opening: to the letter.
    assert!(!applies(Action::Deny, "/payments/help"));
    assert!(applies(Action::Deny, "/payments/HELP"));
    // Excepted from an opening is a restriction: in any spelling.
    assert!(!applies(Action::Allow, "/payments/HELP"));
    assert!(applies(Action::Allow, "/payments/1"));
}

#[test]
fn companies_only_tighten() {
    let billing = plain_product("billing");
    let emr = plain_product("emr");
    let acme = company("acme");
    let mut tight = policy();
    tight.session_maximum = Some(HOUR);
    tight.session_idle = Some(30 * MINUTE);
    tight.product_idle = BTreeMap::from([
        (product_id("billing"), 10 * MINUTE),
        (product_id("emr"), HOUR),
    ]);
    let policies_tight = policies(tight);
    let limits = policies_tight.limits(&acme, &billing);
    assert_eq!(
        limits,
        Limits {
            maximum: HOUR,
            idle: 30 * MINUTE,
            product_idle: Some(10 * MINUTE)
        }
    );
    assert_eq!(policies_tight.limits(&acme, &emr).product_idle, Some(HOUR));
    assert_eq!(policies_tight.session_limits(&acme).product_idle, None);

    let mut loose = policy();
    loose.session_maximum = Some(100 * HOUR);
    loose.session_idle = Some(100 * HOUR);
    loose.product_idle = BTreeMap::from([(product_id("billing"), 100 * HOUR)]);
    let plain = Limits {
        maximum: 12 * HOUR,
        idle: 8 * HOUR,
        product_idle: Some(2 * HOUR),
    };
    assert_eq!(policies(loose).limits(&acme, &billing), plain);
    // A company without a file has the default.
    assert_eq!(policies_tight.limits(&company("other"), &billing), plain);
}

#[test]
fn a_factor_is_wanted_by_the_operator_or_the_companys_admin() {
    let kim = crate::gate::name::PersonId::parse("kim").unwrap();
    let wants = |mode, switched: bool, mfa: Option<Reach>| {
        let mut all = policies(CompanyPolicy {
            mfa: Mfa {
                mode,
                ..policy().mfa
            },
            ..policy()
        });
        all.factor_switched_on = if switched {
            let switched = (company("acme"), Switched::default());
            Arc::new([switched].into_iter().collect())
        } else {
            Default::default()
        };
        all.rollout.mfa = mfa;
        all.wants_factor(&company("acme"), &kim)
    };
    let nobody = Some(Reach::default());
    assert!(!wants(MfaMode::Off, true, None));
    assert!(wants(MfaMode::Required, false, None));
    assert!(
        wants(MfaMode::Required, false, nobody.clone()),
        "a rollout never loosens what is required"
    );
    assert!(!wants(MfaMode::Company, false, None));
    assert!(wants(MfaMode::Company, true, None));
    assert!(!wants(MfaMode::Company, true, nobody));
    assert!(wants(
        MfaMode::Company,
        true,
        Some(Reach {
            companies: vec![company("acme")],
            percent: 0,
            held: None,
        })
    ));
}

#[test]
fn a_percentage_reaches_about_that_many() {
    let reached = |percent, feature| {
        let reach = Reach {
            companies: Vec::new(),
            percent,
            held: None,
        };
        (0..1_000)
            .filter(|n| reach.includes(feature, &company(&format!("c{n}"))))
            .count()
    };
    assert_eq!((reached(0, "mfa"), reached(100, "mfa")), (0, 1_000));
    assert!(
        (60..140).contains(&reached(10, "mfa")),
        "{}",
        reached(10, "mfa")
    );
    assert!((60..140).contains(&reached(10, "analytics_sso")));
}

proptest! {
    #[test]
    fn raising_a_percentage_takes_it_from_nobody(name in "[a-z0-9]{1,12}", low in 0_u8..=100, more in 0_u8..=100) {
        let name = company(&name);
        let at = |percent| Reach { percent, ..Reach::default() }.includes("mfa", &name);
        prop_assert!(!at(low) || at(low.saturating_add(more).min(100)));
    }

    #[test]
    fn hours_are_the_minutes_between(day in 0_i64..7, minute in 0_u16..1440, from in 0_u16..1440, until in 0_u16..=1440) {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let hours = Hours::parse(&format!("Wed {}-{}", clock(from), clock(until))).unwrap();
        // Monday, midnight.
        let monday = at("2026-11-23T00:00:00Z");
        let now = monday.plus(Duration::from_secs(u64::try_from(day).unwrap() * 86_400 + u64::from(minute) * 60));
        let place = day * 1440 + i64::from(minute);
        let begin = 2 * 1440 + i64::from(from);
        let end = 2 * 1440 + i64::from(until) + if until > from { 0 } else { 1440 };
        prop_assert_eq!(hours.include(now, &TimeZone::UTC), (begin..end).contains(&place));
    }
}

/// Notes nothing, and is told of every rule.
struct Watching;

impl Witness for Watching {
    fn saw(&mut self, _: Step<'_>) {}
}

proptest! {
    #[test]
    fn the_same_rule_applies_whether_somebody_watches_or_not(
        texts in proptest::collection::vec(
            proptest::option::of(prop_oneof![Just("/a/**"), Just("/A"), Just("/b/*"), Just("/**/c"), Just("/*"), Just("/\u{212a}"), Just("/k/")]),
            0..6,
        ),
        opens in proptest::collection::vec(any::<bool>(), 6),
        path in "/?[abkK\u{212a}]{0,1}(/[ac]{0,1}){0,2}",
    ) {
        let rules: Rules = texts.iter().zip(opens).enumerate().map(|(number, (text, opens))| {
            let when = Conditions {
                paths: text.map(|text| patterns(&[text, "/elsewhere"])),
                ..Conditions::default()
            };
            let action = if opens { Action::Allow } else { Action::Deny };
            rule(&number.to_string(), when, action)
        }).collect();
        let policy = CompanyPolicy { rules, ..policy() };
        let product = plain_product("billing");
        let circumstances = Circumstances {
            product: &product,
            path: &path,
            method: &Method::GET,
            roles: &[],
            address: [192, 0, 2, 1].into(),
            now: noon(),
        };
        let unseen = policy.first_match(&circumstances, &mut Unwitnessed);
        prop_assert_eq!(unseen, policy.first_match(&circumstances, &mut Watching));
    }
}
