//! A company's rules through real requests, and the command line's word for each.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, TestClock, password, soon, vestibule};
use crate::visitor::{Visitor, code};

const HOUR: Duration = Duration::from_secs(3600);

const ACME: &str = r#"
name = "Acme Rehab"

[[rules]]
name = "exports are for billers"
products = ["billing"]
paths = ["/exports/**"]
action = "deny"
except = { roles = ["biller"] }

[[rules]]
name = "therapists manage nothing"
roles = ["therapist"]
paths = ["/manage/**"]
action = "deny"

[[rules]]
name = "payments need a fresh factor"
products = ["billing"]
paths = ["/payments/**"]
methods = ["POST"]
action = "step_up"
within = "15m"

[[rules]]
name = "the archive from the clinic alone"
paths = ["/archive/**"]
action = "deny"
except = { networks = ["127.0.0.1/32"] }

[[rules]]
name = "reports in office hours"
paths = ["/reports/**"]
action = "deny"
except = { hours = "Mon-Fri 07:00-19:00" }
"#;

async fn clinic(backend: &Backend) -> Gateway {
    Setup::new(&backend.url)
        .policy("acme-rehab.toml", ACME)
        .start()
        .await
}

async fn status(visitor: &mut Visitor, method: Method, product: &str, path: &str) -> u16 {
    let url = visitor.url(product, path);
    visitor.fetch(method, url).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_request_gets_a_reason_and_nothing_reaches_the_backend() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    kim.open(kim.url("billing", "/")).await;
    let asked = backend.seen().len();
    let page = kim.look(kim.url("billing", "/exports/all.csv")).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body.contains("exports are for billers"),
        "{}",
        page.body
    );
    let told = kim
        .fetch(Method::GET, kim.url("billing", "/exports/all.csv"))
        .await;
    assert_eq!(
        (told.status.as_u16(), told.json()["reason"].as_str()),
        (403, Some("rule"))
    );
    // The same place in other spellings is the same place, or none.
    for spelling in [
        "/%65xports/all.csv",
        "/a/../exports/all.csv",
        "//exports/all.csv",
        "/exports//all.csv",
        "/EXPORTS/all.csv",
    ] {
        let answer = status(&mut kim, Method::GET, "billing", spelling).await;
        assert!([400, 403].contains(&answer), "{spelling}: {answer}");
    }
    assert_eq!(backend.seen().len(), asked);
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let asked = backend.seen().len();
    let beds = status(&mut sam, Method::GET, "emr", "/manage/beds").await;
    assert_eq!((beds, backend.seen().len()), (403, asked));
    assert_eq!(
        status(&mut kim, Method::GET, "emr", "/manage/beds").await,
        200,
        "Kim is no therapist"
    );
    assert_eq!(
        status(&mut kim, Method::GET, "emr", "/exports/all.csv").await,
        200,
        "Billing's alone"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_and_hours_are_the_requests_own() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let mut home = Visitor::from(&gateway, "127.0.0.7");
    home.share(&kim);
    assert_eq!(
        status(&mut kim, Method::GET, "emr", "/archive/1").await,
        200
    );
    assert_eq!(
        status(&mut home, Method::GET, "emr", "/archive/1").await,
        403
    );
    assert_eq!(status(&mut home, Method::GET, "emr", "/rounds").await, 200);
    // What a client says of itself is not believed.
    let claims = [
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
    ];
    let url = home.url("emr", "/archive/1");
    assert_eq!(home.send(Method::GET, url, &claims, None).await.status, 403);

    assert_eq!(
        status(&mut kim, Method::GET, "emr", "/reports/1").await,
        403,
        "a Saturday"
    );
    gateway.clock.pass(48 * HOUR);
    let mut kim = Visitor::new(&gateway);
    let page = kim.sign_in("kim", kim.url("emr", "/reports/1")).await;
    assert_eq!(page.status, 200, "a Monday, shortly after two");
    gateway.clock.pass(5 * HOUR);
    assert_eq!(
        status(&mut kim, Method::GET, "emr", "/reports/1").await,
        403,
        "shortly after seven"
    );
    assert_eq!(status(&mut kim, Method::GET, "emr", "/rounds").await, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_wants_a_fresh_factor_asks_for_it_and_leads_back() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url)
        .policy(
            "acme-rehab.toml",
            &ACME.replace("methods = [\"POST\"]\n", ""),
        )
        .start()
        .await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("billing", "/")).await;
    let told = kim
        .fetch(Method::GET, kim.url("billing", "/payments/7"))
        .await;
    assert_eq!(
        (told.status.as_u16(), told.json()["reason"].as_str()),
        (401, Some("step_up"))
    );
    soon("the access log names the rule", async || {
        let log = std::fs::read_to_string(gateway.path("access.jsonl")).unwrap_or_default();
        log.contains("\"reason\":\"step_up\",\"rule\":\"payments need a fresh factor\"")
    })
    .await;

    // Kim has no factor yet: the password, then the first one.
    let page = kim.open(kim.url("billing", "/payments/7?edit=1")).await;
    assert_eq!(page.url.path(), "/login", "{}", page.body);
    let page = kim
        .submit(
            &page,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    let (key, page) = kim.enrol(&page, gateway.clock.now()).await;
    assert_eq!(
        page.url,
        kim.url("billing", "/payments/7?edit=1"),
        "{}",
        page.body
    );

    gateway.clock.pass(HOUR / 4);
    assert_eq!(
        status(&mut kim, Method::GET, "billing", "/payments/8").await,
        200,
        "a quarter of an hour"
    );
    gateway.clock.pass(Duration::from_secs(1));
    assert_eq!(
        status(&mut kim, Method::GET, "billing", "/payments/8").await,
        401,
        "and no more"
    );
    assert_eq!(
        status(&mut kim, Method::GET, "billing", "/invoices").await,
        200,
        "nothing else closed"
    );
    let page = kim.open(kim.url("billing", "/payments/8")).await;
    assert_eq!(
        page.url.path(),
        "/login/factor",
        "the factor alone: {}",
        page.body
    );
    let right = code(&key, gateway.clock.now());
    let page = kim.submit(&page, &[("code", &right)]).await;
    assert_eq!(page.url, kim.url("billing", "/payments/8"), "{}", page.body);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_in_force_at_once_and_a_broken_one_never() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let mut lee = Visitor::new(&gateway);
    lee.sign_in("lee", lee.url("emr", "/")).await;
    assert_eq!(status(&mut kim, Method::GET, "emr", "/wards/1").await, 200);

    let file = gateway.path("policies/acme-rehab.toml");
    let closed = format!(
        "{ACME}\n[[rules]]\nname = \"no wards\"\npaths = [\"/wards/**\"]\naction = \"deny\"\n"
    );
    std::fs::write(&file, &closed).unwrap();
    soon("the new rule", async || {
        status(&mut kim, Method::GET, "emr", "/wards/1").await == 403
    })
    .await;
    assert_eq!(
        status(&mut lee, Method::GET, "emr", "/wards/1").await,
        200,
        "Acme's alone"
    );
    assert_eq!(
        gateway.metric("vestibule_policy_rejected_files").await,
        Some(0.0)
    );

    std::fs::write(
        &file,
        closed.replace("action = \"deny\"", "action = \"dney\""),
    )
    .unwrap();
    soon("the broken file is reported", async || {
        gateway.metric("vestibule_policy_rejected_files").await == Some(1.0)
    })
    .await;
    assert_eq!(
        gateway
            .metric("vestibule_policy_last_reload_successful")
            .await,
        Some(0.0)
    );
    assert_eq!(
        status(&mut kim, Method::GET, "emr", "/wards/1").await,
        403,
        "the last good version"
    );
    assert_eq!(status(&mut lee, Method::GET, "emr", "/wards/1").await, 200);
    let (code, said, _) = vestibule(gateway.folder.path(), &["check"]).await;
    assert_eq!(code, 1);
    let at = closed
        .lines()
        .position(|line| line == "action = \"deny\"")
        .unwrap()
        + 1;
    assert!(said.contains(&format!("acme-rehab.toml:{at}:10")), "{said}");
    assert!(said.contains("dney") && said.contains("deny"), "{said}");

    std::fs::remove_file(&file).unwrap();
    std::fs::write(gateway.path("policies/default.toml"), "").unwrap();
    gateway.running.reload().await;
    soon("mended", async || {
        gateway.metric("vestibule_policy_rejected_files").await == Some(0.0)
    })
    .await;
    assert_eq!(status(&mut kim, Method::GET, "emr", "/wards/1").await, 200);
    let (code, said, told) = vestibule(gateway.folder.path(), &["check"]).await;
    assert_eq!(code, 0, "{said}{told}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_explained_is_what_is_done() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url).policy("acme-rehab.toml", ACME);
    setup.clock = TestClock::wall();
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    kim.open(kim.url("billing", "/")).await;
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    sam.open(sam.url("analytics", "/")).await;
    for (person, product, method, path) in [
        ("kim", "billing", "GET", "/exports/1"),
        ("kim", "billing", "POST", "/payments/1"),
        ("kim", "billing", "GET", "/payments/1"),
        ("kim", "emr", "GET", "/archive/1"),
        ("kim", "emr", "GET", "/reports/1"),
        ("sam", "emr", "GET", "/"),
        ("sam", "emr", "GET", "/manage/1"),
        ("kim", "emr", "GET", "/manage/1"),
    ] {
        let visitor = if person == "kim" { &mut kim } else { &mut sam };
        let did = match status(visitor, method.parse().unwrap(), product, path).await {
            200 => "allow",
            401 => "step_up",
            403 => "deny",
            other => panic!("{other} for {path}"),
        };
        // The moment that the gateway judged at: the hour may have turned meanwhile.
        let at = gateway.clock.now().to_rfc3339();
        let arguments = [
            "policy",
            "explain",
            "--at",
            &at,
            "--company",
            "acme-rehab",
            "--person",
            person,
            "--product",
            product,
            "--method",
            method,
            "--path",
            path,
            "--json",
        ];
        let (code, said, told) = vestibule(gateway.folder.path(), &arguments).await;
        assert_eq!(code, 0, "{told}");
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            said["decision"], did,
            "{person} {method} {product}{path}: {said}"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_tested_and_compared_before_they_are_in_force() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let folder = gateway.folder.path();
    let tests = gateway.path("policies/tests");
    std::fs::create_dir(&tests).unwrap();
    let table = "[[cases]]\nname = \"exports\"\ncompany = \"acme-rehab\"\nproduct = \"billing\"\npath = \"/exports/1\"\nexpect = \"deny\"\n";
    std::fs::write(tests.join("acme-rehab.toml"), table).unwrap();
    let (code, said, told) = vestibule(folder, &["policy", "test"]).await;
    assert_eq!(code, 0, "{said}{told}");
    assert!(said.contains("1 cases in 1 files, 0 wrong"), "{said}");
    let wrong = gateway.path("other");
    std::fs::create_dir(&wrong).unwrap();
    std::fs::write(wrong.join("a.toml"), table.replace("deny", "allow")).unwrap();
    let (code, said, _) = vestibule(folder, &["policy", "test", wrong.to_str().unwrap()]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("exports: expected allow, got"), "{said}");
    assert_eq!(
        vestibule(folder, &["policy", "test", "/nowhere/at/all"])
            .await
            .0,
        1
    );

    let new = gateway.path("new");
    std::fs::create_dir(&new).unwrap();
    let old = gateway.path("policies");
    std::fs::copy(old.join("default.toml"), new.join("default.toml")).unwrap();
    std::fs::write(
        new.join("acme-rehab.toml"),
        ACME.replace("\"biller\"", "\"therapist\""),
    )
    .unwrap();
    let arguments = [
        "policy",
        "diff",
        old.to_str().unwrap(),
        new.to_str().unwrap(),
        "--json",
    ];
    let (code, said, told) = vestibule(folder, &arguments).await;
    assert_eq!(code, 0, "{told}");
    let changes: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert!(!changes.is_empty());
    for change in &changes {
        assert_eq!(
            (&change["person"], &change["product"]),
            (&Value::from("sam"), &Value::from("billing")),
            "{change}"
        );
        assert_eq!(
            (&change["old"], &change["new"]),
            (&Value::from("deny"), &Value::from("allow")),
            "{change}"
        );
    }

    // Of a file that is rejected nothing is said by what stands in for it.
    std::fs::write(new.join("acme-rehab.toml"), "[mfa]\nmod = \"off\"\n").unwrap();
    let (code, said, told) = vestibule(folder, &arguments).await;
    assert_eq!((code, said.as_str()), (64, ""), "{told}");
    assert!(
        told.contains("acme-rehab.toml:2:1: mfa.mod: unknown key"),
        "{told}"
    );
    let (code, said, told) = vestibule(folder, &["policy", "test", new.to_str().unwrap()]).await;
    assert_eq!((code, said.as_str()), (64, ""), "{told}");
    assert!(told.contains("mfa.mod: unknown key"), "{told}");
    gateway.stop().await;
}
