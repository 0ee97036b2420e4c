//! One sign-in for every product, through the whole gateway: pairing, companies, the reset.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use tokio::time::timeout;

use crate::backend::{Backend, Seen};
use crate::gateway::{Gateway, Setup, TestClock, password, people, soon, vestibule};
use crate::live::{is_cut, say, socket};
use crate::postgres;
use crate::redis::Redis;
use crate::visitor::{Answer, Visitor};
use crate::wire::{A_SECOND, cookie};

/// What the sample has, and more: Sam's Billing account waits to be paired, Ada's has two companies.
fn more_people() -> String {
    let mut lines = people();
    for line in [
        serde_json::json!({"kind": "person", "id": "ada", "company": "acme-rehab", "name": "Ada Doe",
            "email": "ada@clinic.example", "roles": ["biller"]}),
        serde_json::json!({"kind": "account", "product": "emr", "login": "ada", "person": "ada",
            "password": password("ada"), "companies": ["acme-rehab"], "default_company": "acme-rehab"}),
        ada_billing(&["acme-rehab", "northside"]),
        serde_json::json!({"kind": "account", "product": "billing", "login": "sam-billing",
            "password": password("sam-billing"), "companies": ["acme-rehab"], "default_company": "acme-rehab"}),
    ] {
        lines += &format!("{line}\n");
    }
    lines
}

fn ada_billing(companies: &[&str]) -> serde_json::Value {
    serde_json::json!({"kind": "account", "product": "billing", "login": "ada-billing", "person": "ada",
        "password": password("ada"), "companies": companies, "default_company": "acme-rehab"})
}

async fn clinic() -> (Backend, Gateway) {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url).policy(
        "northside.toml",
        "name = \"Northside\"\n[mfa]\nmode = \"off\"\n[[rules]]\nname = \"no exports\"\npaths = [\"/export/**\"]\naction = \"deny\"\n",
    );
    setup.people = more_people();
    let gateway = setup.start().await;
    (backend, gateway)
}

async fn pair(visitor: &mut Visitor, login: &str, with: &str) -> Answer {
    let first = visitor
        .open(visitor.url("billing", "/invoices?page=2"))
        .await;
    assert_eq!(first.url.path(), "/connect/billing", "{}", first.body);
    let given = [("username", login), ("password", &password(login))];
    let second = visitor.submit(&first, &given).await;
    assert!(second.body.contains("Pair accounts"), "{}", second.body);
    let given = [("username", with), ("password", &password(with))];
    visitor.submit(&second, &given).await
}

async fn change_company(visitor: &mut Visitor, product: &str, company: &str) -> u16 {
    let url = visitor.url(product, "/.vestibule/company");
    let origin = url.origin().ascii_serialization();
    let mut headers = Visitor::NAVIGATION.to_vec();
    headers.push(("origin", &origin));
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    let form = Some(format!("company={company}"));
    let answer = visitor
        .send(Method::POST, url.clone(), &headers, form)
        .await;
    answer.status.as_u16()
}

/// The company as the header and the assertion say it: they never differ.
fn company(seen: &Seen) -> String {
    let header = seen.header("x-vestibule-company").unwrap();
    let assertion = seen.header("x-vestibule-jwt-assertion").unwrap();
    let claims = assertion.split('.').nth(1).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["company"], header);
    header.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pairing_is_in_force_at_once_and_a_reset_cuts_what_is_open() {
    let (backend, gateway) = clinic().await;
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let done = pair(&mut sam, "sam", "sam-billing").await;
    assert!(done.body.contains("Success!"), "{}", done.body);
    let wanted = sam.url("billing", "/invoices?page=2");
    assert_eq!(done.link("Open Billing"), wanted.as_str());
    let page = sam.open(wanted.clone()).await;
    assert_eq!(page.url, wanted);
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("sam-billing")
    );

    let mut open = socket(&gateway, "billing", &cookie(&sam, "billing"))
        .await
        .unwrap();
    let mut emr = socket(&gateway, "emr", &cookie(&sam, "emr")).await.unwrap();
    say(&mut open, "hello").await;
    let profile = sam.open(sam.url("login", "/account")).await;
    let token = profile.field("csrf").unwrap();
    let mut headers = Visitor::NAVIGATION.to_vec();
    let origin = profile.url.origin().ascii_serialization();
    headers.push(("origin", &origin));
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("csrf", &token)
        .finish();
    let url = sam.url("login", "/account/reset-sso");
    let answer = sam.send(Method::POST, url, &headers, Some(form)).await;
    assert_eq!(answer.location(), "/account?sso=reset");
    timeout(A_SECOND, is_cut(&mut open))
        .await
        .expect("cut within a second");
    say(&mut emr, "still here").await;
    assert_eq!(
        (sam.worth("billing").await, sam.worth("emr").await),
        (401, 200)
    );
    let ended = "vestibule_sessions_ended_total{cause=\"unlinked\",product=\"billing\"}";
    assert_eq!(gateway.metric(ended).await, Some(1.0));
    let done = pair(&mut sam, "sam", "sam-billing").await;
    assert!(done.body.contains("Success!"), "{}", done.body);

    // A node that stops waits for what is open.
    drop((open, emr));
    let folder = gateway.folder.clone();
    gateway.stop().await;
    let (code, lines, _) = vestibule(folder.path(), &["audit", "export"]).await;
    assert_eq!(code, 0);
    for word in ["billing paired as sam-billing", "single_sign_on_reset"] {
        assert!(lines.contains(word), "{word} in {lines}");
    }
    assert!(!lines.contains(&password("sam-billing")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_company_reaches_backend_rules_and_what_is_open() {
    let (backend, gateway) = clinic().await;
    let mut ada = Visitor::new(&gateway);
    ada.sign_in("ada", ada.url("emr", "/")).await;
    ada.open(ada.url("billing", "/export/all")).await;
    assert_eq!(company(&backend.last()), "acme-rehab");
    let mut open = socket(&gateway, "billing", &cookie(&ada, "billing"))
        .await
        .unwrap();
    say(&mut open, "hello").await;

    assert_eq!(change_company(&mut ada, "billing", "northside").await, 303);
    ada.look(ada.url("billing", "/")).await;
    assert_eq!(company(&backend.last()), "northside");
    // What was opened for the other company does not go on.
    timeout(A_SECOND, is_cut(&mut open))
        .await
        .expect("cut within a second");
    let before = backend.seen().len();
    let page = ada.look(ada.url("billing", "/export/all")).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("no exports"), "{}", page.body);
    assert_eq!(backend.seen().len(), before, "nothing was forwarded");
    // The EMR's account has one company.
    assert_eq!(change_company(&mut ada, "emr", "northside").await, 403);
    ada.look(ada.url("emr", "/export/all")).await;
    assert_eq!(company(&backend.last()), "acme-rehab");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_two_nodes_nobody_works_for_a_company_that_an_import_took_away() {
    let backend = Backend::start().await;
    let redis = Redis::start();
    let database = postgres::database().await;
    let setup = || {
        let mut setup = Setup::new(&backend.url);
        // The command line has the wall's time.
        setup.clock = TestClock::wall();
        setup.sessions = redis.url();
        setup.directory = database.clone();
        setup.people = more_people();
        setup
    };
    let a = setup().start().await;
    let b = setup().beside(&a).start().await;

    let mut here = Visitor::new(&a);
    here.sign_in("ada", here.url("emr", "/")).await;
    here.open(here.url("billing", "/")).await;
    let mut there = here.at(&b);
    there.look(there.url("billing", "/")).await;
    assert_eq!(company(&backend.last()), "acme-rehab");
    assert_eq!(change_company(&mut here, "billing", "northside").await, 303);
    here.look(here.url("billing", "/")).await;
    assert_eq!(company(&backend.last()), "northside");
    // The same browser at the other node, which need not have heard of it yet.
    there.share(&here);
    there.look(there.url("billing", "/")).await;
    assert_eq!(company(&backend.last()), "northside");
    // Also when both nodes change it at once they agree in the end.
    let mut elsewhere = here.clone();
    let (one, other) = tokio::join!(
        change_company(&mut elsewhere, "billing", "acme-rehab"),
        change_company(&mut there, "billing", "northside"),
    );
    // Who comes with the cookie before the other's change is asked to come again.
    for status in [one, other] {
        assert!([303, 401].contains(&status), "{one} {other}");
    }
    assert!([one, other].contains(&303), "{one} {other}");
    // Whichever cookie the browser is left with, going there sets it right.
    here.share(&elsewhere);
    here.open(here.url("billing", "/")).await;
    let first = company(&backend.last());
    there.share(&here);
    there.look(there.url("billing", "/")).await;
    assert_eq!(company(&backend.last()), first);
    assert_eq!(
        change_company(&mut there, "billing", "northside").await,
        303
    );
    here.share(&there);

    let file = a.path("fewer.jsonl");
    std::fs::write(&file, format!("{}\n", ada_billing(&["acme-rehab"]))).unwrap();
    let file = file.to_str().unwrap();
    let (code, said, told) = vestibule(a.folder.path(), &["people", "import", file]).await;
    assert_eq!(code, 0, "{said} {told}");
    let asked = backend.seen().len();
    soon("the session is over at both nodes", async || {
        here.worth("billing").await == 401 && there.worth("billing").await == 401
    })
    .await;
    let leaked: Vec<String> = backend
        .seen()
        .split_off(asked)
        .iter()
        .map(company)
        .collect();
    // Both nodes are asked fifty times a second at most.
    assert!(leaked.len() <= 100, "within the second only: {leaked:?}");
    let asked = backend.seen().len();
    let mut again = Visitor::new(&b);
    again.sign_in("ada", again.url("billing", "/")).await;
    assert_eq!(
        change_company(&mut again, "billing", "northside").await,
        403
    );
    again.look(again.url("billing", "/")).await;
    for seen in backend.seen().split_off(asked) {
        assert_eq!(company(&seen), "acme-rehab");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_password_is_changed_on_the_way() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url)
        .policy(
            "acme-rehab.toml",
            "name = \"Acme\"\n[password]\nmaximum_age = \"90d\"\n",
        )
        .start()
        .await;
    gateway.clock.pass(Duration::from_secs(91 * 24 * 3600));
    let mut kim = Visitor::new(&gateway);
    let page = kim
        .sign_in("kim", kim.url("billing", "/invoices?page=2"))
        .await;
    assert_eq!(page.url.path(), "/login/expired");
    assert!(
        page.body.contains("Your password has expired"),
        "{}",
        page.body
    );
    let new = "seven green parakeets";
    let page = kim.submit(&page, &[("new", new), ("confirm", new)]).await;
    assert_eq!(
        page.url,
        kim.url("billing", "/invoices?page=2"),
        "{}",
        page.body
    );
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("kim-billing")
    );
    let metric = "vestibule_sign_ins_total{result=\"expired\"}";
    assert_eq!(gateway.metric(metric).await, Some(1.0));
    gateway.stop().await;
}
