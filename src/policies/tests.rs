use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use jiff::tz::TimeZone;

use super::{Base, PolicyFolder, read_policy};
use crate::config;
use crate::gate::name::CompanyId;
use crate::gate::policy::{
    Action, ByCompany, CompanyPolicy, Emergency, FactorMethod, MfaMode, Policies, Switched,
};
use crate::gate::time::Moment;

const DEFAULT: &str = "[mfa]\nmode = \"company\"\nmethods = [\"totp\"]\n";

fn base() -> Base {
    let text = "[listen]\nhttps = [\"127.0.0.1:0\"]\n[portal]\nurl = \"https://login.example.org\"\n\
                [products.emr]\nurl = \"https://emr.example.org\"\nbackends = [\"http://127.0.0.1:1\"]\n\
                primary = true\n\
                [products.billing]\nurl = \"https://billing.example.org\"\nbackends = [\"http://127.0.0.1:2\"]\n";
    let settings = config::read(text, Path::new("gateway.toml"), std::iter::empty(), &[]).unwrap();
    Base {
        session: settings.session,
        rollout: settings.rollout,
        products: settings.products,
    }
}

fn company(id: &str) -> CompanyId {
    CompanyId::parse(id).unwrap()
}

/// A folder with a default.toml and what else is written to it.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Site {
        let site = Site {
            dir: tempfile::tempdir().unwrap(),
        };
        site.write("default.toml", DEFAULT);
        files.iter().for_each(|(name, text)| site.write(name, text));
        site
    }

    /// As editors do it: a new file takes the old one's place.
    fn write(&self, name: &str, text: &str) {
        let aside = self.dir.path().join(format!(".{name}.new"));
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, self.dir.path().join(name)).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join(name)).unwrap();
    }

    fn open(&self) -> PolicyFolder {
        PolicyFolder::open(self.dir.path(), base()).unwrap()
    }
}

fn now(folder: &PolicyFolder) -> Arc<Policies> {
    folder.published().load_full()
}

fn policy(folder: &PolicyFolder, id: &str) -> Arc<CompanyPolicy> {
    Arc::clone(now(folder).of(&company(id)))
}

fn denies_everything(policy: &CompanyPolicy) -> bool {
    policy
        .rules
        .first()
        .is_some_and(|rule| rule.action == Action::Deny && rule.when == Default::default())
}

#[track_caller]
fn complaints(text: &str) -> String {
    match read_policy(text, Path::new("acme.toml"), &base().product_ids()) {
        Ok(_) => panic!("nothing was wrong with:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn every_key_of_a_policy_comes_through() {
    let text = r#"
name = "Acme Rehab"
timezone = "America/New_York"
[mfa]
mode = "required"
methods = ["sms", "totp", "email", "passkey", "recovery"]
remember_device = "30d"
sms_prefixes = ["+1212", "+44"]
messages_per_day = 50
[password]
maximum_age = "90d"
[session]
maximum = "10h"
idle = "1h"
[products.billing]
idle = "20m"
[[rules]]
name = "payments"
products = ["billing"]
paths = ["/payments/**"]
methods = ["POST", "PUT"]
roles = ["clerk"]
networks = ["10.0.0.0/8", "192.0.2.7"]
hours = "Mon-Fri 07:00-19:00"
except = { networks = ["10.9.0.0/16"], roles = ["auditor"] }
action = "step_up"
within = "15m"
[[rules]]
action = "deny"
[[rules]]
action = "allow"
"#;
    let site = Site::new(&[("acme.toml", text)]);
    let policy = policy(&site.open(), "acme");
    assert_eq!(policy.name, "Acme Rehab");
    assert_eq!(policy.timezone, TimeZone::get("America/New_York").unwrap());
    assert_eq!(policy.mfa.mode, MfaMode::Required);
    assert_eq!(policy.mfa.methods[0], FactorMethod::Sms);
    assert_eq!(policy.mfa.methods.len(), 5);
    assert_eq!(policy.mfa.remember_device, Duration::from_secs(30 * 86_400));
    let prefixes = policy.mfa.messages.sms_prefixes.iter();
    let prefixes: Vec<&str> = prefixes.map(|prefix| prefix.as_str()).collect();
    assert_eq!(prefixes, ["+1212", "+44"]);
    assert_eq!(policy.mfa.messages.per_day, 50);
    assert_eq!(
        policy.password.maximum_age,
        Some(Duration::from_secs(90 * 86_400))
    );
    assert_eq!(policy.session_maximum, Some(Duration::from_secs(36_000)));
    assert_eq!(policy.session_idle, Some(Duration::from_secs(3_600)));
    assert_eq!(policy.product_idle["billing"], Duration::from_secs(1_200));
    let rule = &policy.rules[0];
    assert_eq!(rule.name, "payments");
    assert_eq!(
        rule.action,
        Action::StepUp {
            within: Duration::from_secs(900)
        }
    );
    assert_eq!(rule.when.products.as_ref().unwrap()[0].as_str(), "billing");
    assert_eq!(
        rule.when.paths.as_ref().unwrap()[0].as_str(),
        "/payments/**"
    );
    assert_eq!(
        rule.when.methods.as_deref(),
        Some([Method::POST, Method::PUT].as_slice())
    );
    assert_eq!(
        rule.when.roles.as_deref(),
        Some([String::from("clerk")].as_slice())
    );
    assert_eq!(rule.when.networks.as_ref().unwrap().len(), 2);
    assert!(rule.when.hours.is_some());
    let except = rule.except.as_ref().unwrap();
    assert!(except.networks.is_some() && except.roles.is_some() && except.paths.is_none());
    assert_eq!(
        (policy.rules[1].action, policy.rules[1].name.as_str()),
        (Action::Deny, "rule 2")
    );
    assert_eq!(policy.rules[2].action, Action::Allow);
}

#[test]
fn the_policies_of_the_repository_are_right() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = config::load(&dir.join("gateway.toml"), std::iter::empty(), &[]).unwrap();
    let base = Base {
        session: settings.session,
        rollout: settings.rollout,
        products: settings.products,
    };
    PolicyFolder::examine(&settings.policies_dir, base.product_ids()).unwrap();
}

#[test]
fn every_problem_of_a_policy_is_told_at_once() {
    let text = r#"[mfa]
mode = "requierd"
methods = []
[products.biling]
idle = "2h"
[[rules]]
paths = ["payments"]
methods = ["post"]
[[rules]]
action = "step_up"
[[rules]]
action = "deny"
within = "5m"
[[rules]]
action = "deny"
hours = "Someday 07:00-19:00"
ruoles = ["x"]
"#;
    assert_eq!(
        complaints(text),
        "acme.toml:2:8: mfa.mode: unknown value \"requierd\", did you mean 'required'?\n\
         acme.toml:3:11: mfa.methods: an empty list matches nothing; leave the key out\n\
         acme.toml:4:11: products.biling: gateway.toml has no product \"biling\", did you mean 'billing'?\n\
         acme.toml:6:1: rules[0].action: missing, as in: action = \"deny\"\n\
         acme.toml:7:10: rules[0].paths: a path pattern begins with '/'\n\
         acme.toml:8:12: rules[0].methods: unknown method \"post\", did you mean 'POST'?\n\
         acme.toml:9:1: rules[1].within: missing, as in: within = \"15m\"\n\
         acme.toml:13:10: rules[2].within: only \"step_up\" has a 'within'\n\
         acme.toml:16:9: rules[3].hours: unknown day \"Someday\"; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun\n\
         acme.toml:17:1: rules[3].ruoles: unknown key, did you mean 'roles'?"
    );
}

#[test]
fn what_a_company_leaves_out_is_as_the_default_says() {
    let site = Site::new(&[("acme.toml", "[session]\nidle = \"1h\"\n")]);
    site.write(
        "default.toml",
        "[mfa]\nmode = \"required\"\n[[rules]]\naction = \"deny\"\n",
    );
    let folder = site.open();
    assert_eq!(policy(&folder, "acme").mfa.mode, MfaMode::Required);
    assert_eq!(policy(&folder, "acme").rules.len(), 1);
    assert_eq!(
        policy(&folder, "acme").session_idle,
        Some(Duration::from_secs(3_600))
    );

    site.write("default.toml", "[mfa]\nmode = \"off\"\n");
    folder.reload();
    assert_eq!(
        policy(&folder, "acme").mfa.mode,
        MfaMode::Off,
        "follows the default when it changes"
    );
}

#[test]
fn a_broken_file_keeps_the_last_good_version_and_touches_nobody_else() {
    let site = Site::new(&[
        ("acme.toml", "name = \"Acme 1\"\n"),
        ("brook.toml", "name = \"Brook 1\"\n"),
    ]);
    let folder = site.open();
    site.write("acme.toml", "name = \"Acme 2\nmode");
    site.write("brook.toml", "name = \"Brook 2\"\n");
    let reload = folder.reload();
    assert_eq!(policy(&folder, "acme").name, "Acme 1");
    assert_eq!(policy(&folder, "brook").name, "Brook 2");
    assert_eq!(
        (reload.changed, reload.companies, reload.rejected.len()),
        (1, 2, 1)
    );
    assert!(reload.rejected_changed);
    assert!(
        reload.rejected[0]
            .problems
            .to_string()
            .contains("acme.toml:2:5: "),
        "{reload:?}"
    );

    site.write("acme.toml", "name = \"Acme 3\"\n");
    let reload = folder.reload();
    assert_eq!(policy(&folder, "acme").name, "Acme 3");
    assert!(reload.rejected.is_empty() && reload.rejected_changed);
}

#[test]
fn a_broken_default_keeps_its_last_good_version() {
    let site = Site::new(&[]);
    let folder = site.open();
    site.write("default.toml", "[mfa]\nmode = 1\n");
    assert_eq!(folder.reload().rejected.len(), 1);
    assert_eq!(now(&folder).default.mfa.mode, MfaMode::Company);
    site.remove("default.toml");
    assert_eq!(folder.reload().rejected.len(), 1);
    assert_eq!(now(&folder).default.mfa.mode, MfaMode::Company);
}

#[test]
fn nothing_starts_without_a_good_default() {
    let site = Site::new(&[]);
    site.write("default.toml", "nmae = \"x\"\n");
    let problems = PolicyFolder::open(site.dir.path(), base()).err().unwrap();
    assert!(
        problems
            .to_string()
            .ends_with("default.toml:1:1: nmae: unknown key, did you mean 'name'?")
    );
    site.remove("default.toml");
    assert!(PolicyFolder::open(site.dir.path(), base()).is_err());
}

#[test]
fn a_company_that_never_had_a_good_file_is_denied_everything() {
    let site = Site::new(&[("acme.toml", "[[rules]]\n")]);
    let folder = site.open();
    assert!(denies_everything(&policy(&folder, "acme")));
    assert!(!denies_everything(&policy(&folder, "brook")));
    let rejected = &folder.reload().rejected[0];
    assert!(
        rejected.instead.contains("everything is denied"),
        "{}",
        rejected.instead
    );

    site.write("acme.toml", "name = \"Acme\"\n");
    folder.reload();
    assert!(!denies_everything(&policy(&folder, "acme")));
}

#[test]
fn a_removed_file_leaves_the_default_but_a_file_that_blinks_does_not() {
    let site = Site::new(&[("acme.toml", "[mfa]\nmode = \"required\"\n")]);
    let folder = site.open();
    site.remove("acme.toml");
    folder.reload();
    assert_eq!(
        policy(&folder, "acme").mfa.mode,
        MfaMode::Required,
        "away once"
    );
    site.write("acme.toml", "[mfa]\nmode = \"required\"\n");
    folder.reload();
    site.remove("acme.toml");
    folder.reload();
    assert_eq!(
        policy(&folder, "acme").mfa.mode,
        MfaMode::Required,
        "away once again"
    );
    let reload = folder.reload();
    assert_eq!(policy(&folder, "acme").mfa.mode, MfaMode::Company);
    assert_eq!((reload.changed, reload.companies), (1, 0));
}

#[test]
fn a_file_whose_name_is_no_company_is_told_and_is_nobodys() {
    let site = Site::new(&[
        ("Acme Rehab.toml", "name = \"Acme\"\n"),
        (".swp.toml", "x"),
        ("notes.txt", "x"),
    ]);
    let reload = site.open().reload();
    assert_eq!((reload.companies, reload.rejected.len()), (0, 1));
}

#[test]
fn a_folder_that_goes_away_takes_nothing_from_anybody() {
    let site = Site::new(&[("acme.toml", "name = \"Acme\"\n")]);
    let folder = site.open();
    std::fs::remove_dir_all(site.dir.path()).unwrap();
    for _ in 0..3 {
        assert_eq!(folder.reload().rejected.len(), 1);
    }
    assert_eq!(policy(&folder, "acme").name, "Acme");
}

#[test]
fn switches_are_one_swap_and_survive_reloads() {
    let site = Site::new(&[("acme.toml", "name = \"Acme 1\"\n")]);
    let folder = site.open();
    let switched = (company("acme"), crate::gate::policy::Switched::default());
    folder.set_switched_on([switched].into_iter().collect());
    let person = crate::gate::name::PersonId::parse("kim").unwrap();
    assert!(now(&folder).wants_factor(&company("acme"), &person));
    site.write("acme.toml", "name = \"Acme 2\"\n");
    folder.reload();
    assert!(now(&folder).wants_factor(&company("acme"), &person));
    assert_eq!(policy(&folder, "acme").name, "Acme 2");
}

#[test]
fn another_gateway_toml_reads_everything_again() {
    let site = Site::new(&[("acme.toml", "[products.rehab]\nidle = \"1m\"\n")]);
    let folder = site.open();
    assert!(
        denies_everything(&policy(&folder, "acme")),
        "there is no product 'rehab'"
    );
    let text = "[listen]\nhttps = [\"127.0.0.1:0\"]\n[portal]\nurl = \"https://login.example.org\"\n\
                [session]\nidle = \"7m\"\n[products.rehab]\nurl = \"https://rehab.example.org\"\n\
                backends = [\"http://127.0.0.1:1\"]\nprimary = true\n";
    let settings = config::read(text, Path::new("gateway.toml"), std::iter::empty(), &[]).unwrap();
    let reload = folder.set_base(Base {
        session: settings.session,
        rollout: settings.rollout,
        products: settings.products,
    });
    assert!(reload.rejected.is_empty());
    assert!(!denies_everything(&policy(&folder, "acme")));
    assert_eq!(now(&folder).session.idle, Duration::from_secs(420));
}

#[test]
fn a_thousand_companies_are_one_swap() {
    let site = Site::new(&[]);
    for number in 0..1_000 {
        let text = format!(
            "name = \"Company {number}\"\n[mfa]\nmode = \"company\"\n[[rules]]\nname = \"payments\"\n\
             paths = [\"/payments/**\"]\naction = \"step_up\"\nwithin = \"15m\"\n"
        );
        std::fs::write(site.dir.path().join(format!("c{number}.toml")), text).unwrap();
    }
    let started = Instant::now();
    let folder = site.open();
    println!("1,000 companies read in {:?}", started.elapsed());
    let before = now(&folder);
    assert_eq!(before.companies.len(), 1_000);

    site.write(
        "default.toml",
        "[mfa]\nmode = \"required\"\n[session]\nidle = \"5m\"\n",
    );
    site.write("c7.toml", "name = \"Seven\"\n");
    let published = folder.published();
    let stop = Arc::new(AtomicUsize::new(0));
    let seen = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            // Whoever looks meanwhile sees all of the old or all of the new.
            let mut swaps = 0;
            let mut last = published.load_full();
            loop {
                let done = stop.load(Ordering::Acquire) == 1;
                let next = published.load_full();
                if !Arc::ptr_eq(&last, &next) {
                    swaps += 1;
                    last = next;
                }
                let renamed = last.of(&company("c7")).name == "Seven";
                assert_eq!(renamed, last.of(&company("c9")).session_idle.is_some());
                if done {
                    return swaps;
                }
            }
        }
    });
    let started = Instant::now();
    let reload = folder.reload();
    println!("1,000 companies reloaded in {:?}", started.elapsed());
    stop.store(1, Ordering::Release);
    assert_eq!(seen.join().unwrap(), 1);
    assert_eq!(reload.changed, 1_001);
    let started = Instant::now();
    assert_eq!(folder.reload().changed, 0);
    println!("nothing changed: looked at in {:?}", started.elapsed());
}

#[tokio::test]
async fn a_watched_folder_tells_of_changes() {
    let site = Site::new(&[("acme.toml", "name = \"Acme 1\"\n")]);
    let folder = site.open();
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let task = folder
        .clone()
        .watch(Duration::from_millis(5), move |reload| {
            let _ = told.send(reload.changed);
        });
    site.write("acme.toml", "name = \"Acme 2\"\n");
    let changed = tokio::time::timeout(Duration::from_secs(20), hears.recv())
        .await
        .unwrap();
    assert_eq!(changed, Some(1));
    assert_eq!(policy(&folder, "acme").name, "Acme 2");
    task.abort();
}

#[test]
fn what_an_admin_switches_is_not_lost_to_what_is_read_at_the_same_moment() {
    const EACH: usize = 300;
    let site = Site::new(&[]);
    let folder = site.open();
    let published = folder.published();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..EACH {
                let emergency = Emergency {
                    company: company("acme"),
                    person: None,
                    until: Moment::from_secs(i64::try_from(number).unwrap() + 1),
                };
                folder.set_emergencies(vec![emergency]);
            }
        });
        for number in 0..EACH {
            let id = company(&format!("company-{number}"));
            published.rcu(|policies| {
                let mut policies = Policies::clone(policies);
                Arc::make_mut(&mut policies.factor_switched_on)
                    .insert(id.clone(), Switched::default());
                policies
            });
        }
    });
    assert_eq!(published.load().factor_switched_on.len(), EACH);
}

#[test]
fn what_was_read_before_an_admin_switched_does_not_switch_back() {
    let site = Site::new(&[]);
    let folder = site.open();
    let acme = || (company("acme"), Switched::default());
    let switch = |on: bool| {
        folder.published().rcu(|policies| {
            let mut policies = Policies::clone(policies);
            policies.factor_switched_on = Arc::new(on.then(acme).into_iter().collect());
            policies
        });
    };
    let is_on = || folder.switched_on().contains_key(&company("acme"));
    // The upkeep looks, and has its answer; the admin saves; the answer is taken over.
    let before = folder.switched_on();
    switch(true);
    folder.follow_switched_on(&before, ByCompany::default());
    assert!(is_on(), "flipped back by what was read before");
    // Also when it stands again as it stood, and what was read is from between.
    let before = folder.switched_on();
    switch(false);
    switch(true);
    folder.follow_switched_on(&before, ByCompany::default());
    assert!(is_on());
    // Read afterwards, it holds.
    let before = folder.switched_on();
    folder.follow_switched_on(&before, ByCompany::default());
    assert!(!is_on());
}
