//! What becomes of a request: one line for each case, in the words of the metrics.

mod samples;

use super::*;
use crate::gate::policy::{Conditions, MfaMode, Reach, Rule, Rules};
use crate::gate::product::Unauthenticated;
use crate::gate::samples::{
    HOUR, MINUTE, company, entry, facts, found, known, noon, patterns, plain_product, policies,
    policy, session,
};
use crate::gate::session::{Entry, Tenancy};
use samples::{Case, MILLI, STEP_UP, by_path, case, check};

#[test]
fn who_is_signed_in_gets_through_and_nobody_else() {
    use Stranger::{Ended, Malformed, New};
    check(vec![
        (case("emr", "GET /"), "allow session"),
        (case("emr", "POST /api/x"), "allow session"),
        (
            case("emr", "GET /").nobody(New),
            "sign_in no_session by redirect",
        ),
        (case("emr", "POST /").nobody(New), "sign_in no_session"),
        (case("emr", "GET /api/x").nobody(New), "sign_in no_session"),
        (
            case("emr", "GET /ws").nobody(New).asks(Asks::Upgrade),
            "sign_in no_session",
        ),
        (
            case("emr", "GET /").nobody(Ended),
            "sign_in ended by redirect",
        ),
        (
            case("emr", "GET /").nobody(Malformed),
            "sign_in malformed_cookie by redirect",
        ),
        (
            Case {
                cookie: Presented::Malformed,
                ..case("emr", "GET /").nobody(New)
            },
            "sign_in malformed_cookie by redirect",
        ),
        (
            case("emr", "GET /")
                .nobody(New)
                .unauthenticated(Unauthenticated::Refuse),
            "sign_in no_session",
        ),
        (
            case("emr", "POST /api/x")
                .nobody(New)
                .unauthenticated(Unauthenticated::Redirect),
            "sign_in no_session by redirect",
        ),
    ]);
}

#[test]
fn an_absent_store_lets_nobody_in() {
    check(vec![
        (case("emr", "GET /").store_away(), "unavailable store"),
        (
            case("emr", "GET /").store_away().access(Access::Public),
            "allow public",
        ),
        (
            case("emr", "GET /").store_away().access(Access::Optional),
            "allow optional",
        ),
        (case("emr", "GET /").grace(), "allow session"),
        (case("emr", "HEAD /").grace(), "allow session"),
        (
            case("emr", "POST /").grace(),
            "unavailable grace_reads_only",
        ),
        (
            case("emr", "DELETE /").grace(),
            "unavailable grace_reads_only",
        ),
        (
            case("emr", "POST /").grace().access(Access::Optional),
            "unavailable grace_reads_only",
        ),
        (
            case("emr", "POST /x").grace().rule("/x", Action::Deny),
            "deny rule",
        ),
    ]);
}

#[test]
fn time_ends_sessions_here_or_everywhere() {
    check(vec![
        (case("emr", "GET /").begun(12 * HOUR), "allow session"),
        (
            case("emr", "GET /").begun(12 * HOUR + MILLI),
            "sign_in maximum by redirect",
        ),
        (
            case("emr", "GET /").seen(8 * HOUR, 8 * HOUR),
            "allow session",
        ),
        (
            case("emr", "GET /").seen(8 * HOUR + MILLI, 8 * HOUR + MILLI),
            "sign_in idle by redirect",
        ),
        (case("emr", "GET /").seen(MINUTE, 7 * HOUR), "allow session"),
        (
            case("billing", "GET /").seen(MINUTE, 2 * HOUR),
            "allow session",
        ),
        (
            case("billing", "GET /").seen(MINUTE, 2 * HOUR + MILLI),
            "sign_in product_idle by redirect",
        ),
        (
            case("billing", "POST /").seen(MINUTE, 3 * HOUR),
            "sign_in product_idle",
        ),
    ]);
}

#[test]
fn grants_and_factors_and_rules_are_asked_for() {
    check(vec![
        (case("analytics", "GET /"), "deny not_granted"),
        (
            case("analytics", "GET /").granted("billing"),
            "deny not_granted",
        ),
        (
            case("analytics", "GET /").granted("analytics"),
            "allow session",
        ),
        (
            case("emr", "GET /").mfa(MfaMode::Required),
            "sign_in factor_missing by redirect",
        ),
        (
            case("emr", "GET /")
                .mfa(MfaMode::Required)
                .factor(11 * HOUR),
            "allow session",
        ),
        (case("emr", "GET /").mfa(MfaMode::Company), "allow session"),
        (
            case("emr", "GET /").mfa(MfaMode::Company).switched_on(),
            "sign_in factor_missing by redirect",
        ),
        (
            case("emr", "GET /").mfa(MfaMode::Off).switched_on(),
            "allow session",
        ),
        // The factor comes first: without it nothing more is told.
        (
            case("analytics", "GET /").mfa(MfaMode::Required),
            "sign_in factor_missing by redirect",
        ),
        (case("emr", "GET /x").rule("/x", Action::Deny), "deny rule"),
        (case("emr", "GET /X/").rule("/x", Action::Deny), "deny rule"),
        (
            case("emr", "GET /x;a=b").rule("/x", Action::Deny),
            "deny rule",
        ),
        (
            case("emr", "GET /%78?y").rule("/x", Action::Deny),
            "deny rule",
        ),
        (
            case("emr", "GET /y?/x").rule("/x", Action::Deny),
            "allow session",
        ),
        (
            case("emr", "GET /x")
                .rule("/x", Action::Allow)
                .rule("/**", Action::Deny),
            "allow session",
        ),
        (
            case("emr", "GET /X")
                .rule("/x", Action::Allow)
                .rule("/**", Action::Deny),
            "deny rule",
        ),
        (
            case("emr", "GET /x").rule("/x", STEP_UP),
            "sign_in step_up by redirect",
        ),
        (
            case("emr", "POST /x").rule("/x", STEP_UP),
            "sign_in step_up",
        ),
        (
            case("emr", "POST /x")
                .rule("/x", STEP_UP)
                .factor(15 * MINUTE),
            "allow session",
        ),
        (
            case("emr", "POST /x")
                .rule("/x", STEP_UP)
                .factor(15 * MINUTE + MILLI),
            "sign_in step_up",
        ),
    ]);
}

#[test]
fn what_is_open_is_open_to_the_letter() {
    let open = || {
        by_path(&[
            ("/public/admin/**", OpenAccess::Required),
            ("/public/**", OpenAccess::Public),
            ("/me", OpenAccess::Optional),
        ])
    };
    let nobody = |line| case("emr", line).nobody(Stranger::New).access(open());
    check(vec![
        (
            case("emr", "GET /")
                .nobody(Stranger::New)
                .access(Access::Public),
            "allow public",
        ),
        (case("emr", "GET /").access(Access::Public), "allow public"),
        (
            case("emr", "GET /")
                .nobody(Stranger::New)
                .access(Access::Optional),
            "allow optional",
        ),
        (
            case("emr", "GET /").access(Access::Optional),
            "allow session",
        ),
        (
            case("emr", "GET /")
                .begun(13 * HOUR)
                .access(Access::Optional),
            "allow optional",
        ),
        (
            case("emr", "GET /x")
                .rule("/x", Action::Deny)
                .access(Access::Optional),
            "deny rule",
        ),
        (nobody("GET /public/a.css"), "allow public"),
        (nobody("GET /public"), "allow public"),
        (nobody("GET /me"), "allow optional"),
        (nobody("GET /"), "sign_in no_session by redirect"),
        (
            nobody("GET /PUBLIC/a.css"),
            "sign_in no_session by redirect",
        ),
        (nobody("GET /publicity"), "sign_in no_session by redirect"),
        (nobody("GET /me/"), "sign_in no_session by redirect"),
        (
            nobody("GET /x?/public/a.css"),
            "sign_in no_session by redirect",
        ),
        (
            nobody("GET /public/admin/x"),
            "sign_in no_session by redirect",
        ),
        (
            nobody("GET /public/ADMIN/x"),
            "sign_in no_session by redirect",
        ),
        (
            nobody("GET /public/%61dmin;x/"),
            "sign_in no_session by redirect",
        ),
    ]);
}

#[test]
fn our_own_pages_come_before_everything() {
    check(vec![
        (
            case("emr", "GET /.vestibule/session").nobody(Stranger::New),
            "own own",
        ),
        (
            case("emr", "GET /.VESTIBULE/x").access(Access::Public),
            "own own",
        ),
        (case("emr", "GET /.vestibule/x").store_away(), "own own"),
        (
            case("emr", "GET /.vestibule/x").rule("/**", Action::Deny),
            "own own",
        ),
    ]);
    let portal = Facts {
        site: Site::Portal,
        ..facts(&Arc::new(plain_product("emr")), "GET /login")
    };
    let decision = decide(&portal, &Known::Unavailable, &policies(policy()), noon());
    assert_eq!(decision.words(), ("portal", "portal"));
}

#[test]
fn websockets_are_for_products_that_have_them() {
    check(vec![
        (case("emr", "GET /ws").asks(Asks::Upgrade), "allow session"),
        (
            case("emr", "GET /ws").asks(Asks::Upgrade).no_websockets(),
            "deny upgrade",
        ),
        (
            case("emr", "GET /ws")
                .asks(Asks::Upgrade)
                .no_websockets()
                .access(Access::Public),
            "deny upgrade",
        ),
        (
            case("emr", "GET /ws")
                .asks(Asks::Upgrade)
                .seen(9 * HOUR, 9 * HOUR),
            "sign_in idle",
        ),
        (
            case("emr", "GET /ws").asks(Asks::Upgrade).foreign(),
            "deny upgrade",
        ),
        (
            case("emr", "GET /ws")
                .asks(Asks::Upgrade)
                .foreign()
                .access(Access::Public),
            "deny upgrade",
        ),
        // What else comes from elsewhere is a link, or the backend's own matter (CORS).
        (case("emr", "GET /").foreign(), "allow session"),
        (
            case("emr", "GET /ws")
                .asks(Asks::Upgrade)
                .nobody(Stranger::New)
                .unauthenticated(Unauthenticated::Redirect),
            "sign_in no_session",
        ),
    ]);
}

#[test]
fn the_permit_carries_what_was_judged() {
    let Decision::Forward(permit) = case("billing", "POST /%61;b?c").decide() else {
        panic!("Kim is signed in");
    };
    assert_eq!(permit.target().forwarded(), "/a;b?c");
    assert_eq!(permit.product().id.as_str(), "billing");
    assert_eq!(permit.session().unwrap().person.id.as_str(), "kim");
    assert!(permit.counts_as_activity());
    let user = permit
        .headers()
        .iter()
        .find(|(name, _)| *name == "x-forwarded-user")
        .unwrap()
        .1;
    assert_eq!(user, "kim");

    let Decision::Forward(permit) = case("billing", "POST /").access(Access::Public).decide()
    else {
        panic!("public is open");
    };
    assert!(permit.session().is_none() && !permit.counts_as_activity());
    assert_eq!(
        permit.headers().iter().count(),
        0,
        "public: no identity is ever added"
    );
}

#[test]
fn one_product_is_never_told_what_is_anothers() {
    let (emr, billing) = (Arc::new(plain_product("emr")), plain_product("billing"));
    let mixed_up = found(known(session(), &billing));
    let decision = decide(
        &facts(&emr, "GET /"),
        &mixed_up,
        &policies(policy()),
        noon(),
    );
    assert_eq!(decision.words(), ("sign_in", "ended"));
    let portals = found(Found {
        presence: None,
        ..known(session(), &billing)
    });
    let decision = decide(&facts(&emr, "GET /"), &portals, &policies(policy()), noon());
    assert_eq!(decision.words(), ("sign_in", "ended"));
}

#[test]
fn the_policy_is_that_of_the_company_worked_for_in_the_product() {
    let billing = Arc::new(plain_product("billing"));
    let emr = Arc::new(plain_product("emr"));
    let deny = |path: &str| {
        let mut policy = policy();
        policy.rules = Rules::from_iter([Rule {
            name: String::from("closed"),
            when: Conditions {
                paths: Some(patterns(&[path])),
                ..Conditions::default()
            },
            except: None,
            action: Action::Deny,
        }]);
        policy
    };
    let mut policies = policies(deny("/acme/**"));
    let mut north = deny("/north/**");
    north.product_idle.insert(billing.id.clone(), MINUTE / 2);
    let mut strict = policy();
    strict.mfa.mode = MfaMode::Required;
    for (id, policy) in [("north", north), ("strict", strict)] {
        policies.companies.insert(company(id), Arc::new(policy));
    }
    let words = |current: &str, product: &Arc<Product>, line: &str, ago: Duration| {
        let mut session = session();
        let tenancy = Tenancy {
            current: company(current),
            all: vec![company(current)],
        };
        let entry = Entry {
            tenancy: Some(tenancy),
            ..entry()
        };
        session.entries.insert(billing.id.clone(), entry);
        let mut known = known(session, product);
        known.seen.here = noon().minus(ago);
        let (decision, reason) =
            decide(&facts(product, line), &found(known), &policies, noon()).words();
        format!("{decision} {reason}")
    };
    let now = Duration::ZERO;
    for (current, product, line, ago, expected) in [
        ("acme", &billing, "GET /acme/1", now, "deny rule"),
        ("acme", &billing, "GET /north/1", MINUTE, "allow session"),
        ("north", &billing, "GET /acme/1", now, "allow session"),
        ("north", &billing, "GET /north/1", now, "deny rule"),
        ("north", &billing, "GET /", MINUTE, "sign_in product_idle"),
        ("strict", &billing, "GET /", now, "sign_in factor_missing"),
        // Elsewhere the session's own company holds, whatever Billing works for.
        ("north", &emr, "GET /acme/1", now, "deny rule"),
        ("strict", &emr, "GET /", MINUTE, "allow session"),
    ] {
        let found = words(current, product, line, ago);
        assert_eq!(found, expected, "{current} {} {line}", product.id);
    }
}

#[test]
fn analytics_is_released_company_by_company() {
    let analytics = Arc::new(plain_product("analytics"));
    let mut session = session();
    session.person.grants.push(analytics.id.clone());
    let reason = |companies: &[&str], product: &Arc<Product>| {
        let mut policies = policies(policy());
        policies.rollout.analytics_sso = Some(Reach {
            companies: companies.iter().map(|id| company(id)).collect(),
            percent: 0,
            held: None,
        });
        let known = found(known(session.clone(), product));
        decide(&facts(product, "GET /"), &known, &policies, noon())
            .words()
            .1
    };
    assert_eq!(reason(&["north"], &analytics), "not_released");
    assert_eq!(reason(&["north", "acme"], &analytics), "session");
    let billing = Arc::new(plain_product("billing"));
    assert_eq!(reason(&[], &billing), "session");
}

#[test]
fn a_step_up_names_its_rule() {
    let rule = |case: Case| match case.decide() {
        Decision::SignIn(sign_in) => sign_in.rule,
        other => panic!("{other:?}"),
    };
    let stepped = rule(case("emr", "GET /x").rule("/x", STEP_UP));
    assert_eq!(stepped.as_deref(), Some("/x"));
    assert_eq!(rule(case("emr", "GET /x").nobody(Stranger::New)), None);
}

#[test]
fn a_step_up_says_how_fresh_the_factor_must_be() {
    let within = |case: Case| match case.decide() {
        Decision::SignIn(sign_in) => sign_in.within,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        within(case("emr", "GET /x").rule("/x", STEP_UP)),
        Some(15 * MINUTE)
    );
    assert_eq!(within(case("emr", "GET /x").nobody(Stranger::New)), None);
}

#[test]
fn a_refusal_names_its_rule() {
    let Decision::Deny(denial) = case("emr", "GET /x").rule("/x", Action::Deny).decide() else {
        panic!("the rule denies");
    };
    assert_eq!(denial.rule.as_deref(), Some("/x"));
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Witness for Notes {
    fn saw(&mut self, step: Step<'_>) {
        self.0.push(match step {
            Step::Access(access) => format!("access {access:?}"),
            Step::Standing(standing) => format!("standing {standing:?}"),
            Step::Grant { product, held } => format!("grant {product} {held}"),
            Step::Factor { wanted, held } => format!("factor {wanted} {held}"),
            Step::Rule {
                name,
                missed,
                action,
            } => format!("rule {name} {missed:?} {action}"),
            Step::NoRule => String::from("no rule"),
            Step::Release { feature, reached } => format!("{feature} {}", reached.has_it()),
        });
    }
}

#[test]
fn a_witness_sees_every_step_of_the_walk_that_decides() {
    let seen = |case: Case| {
        let mut notes = Notes::default();
        let _ = case.decide_seen_by(&mut notes);
        notes.0
    };
    let ruled = || {
        case("analytics", "POST /x")
            .granted("analytics")
            .rule("/y", Action::Deny)
    };
    let walk = [
        "access Required",
        "standing Live",
        "factor false false",
        "grant analytics true",
        "rule /y Some(\"paths\") deny",
    ];
    assert_eq!(seen(ruled()), [&walk[..], &["no rule"]].concat());
    let up = ruled().rule("/x", STEP_UP).rule("/**", Action::Deny);
    assert_eq!(
        seen(up),
        [&walk[..], &["rule /x None step_up within 15m"]].concat()
    );
    assert_eq!(
        seen(case("emr", "GET /").begun(13 * HOUR)),
        ["access Required", "standing OverMaximum"]
    );
}
