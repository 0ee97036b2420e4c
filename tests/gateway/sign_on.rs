//! Applications that know no headers: the gateway signs in to them, and nobody sees how.

use http::Method;
use vestibule::directory::{SignOnPlace, TypedCredentials};
use vestibule::gate::name::{Login, PersonId, ProductId};

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password};
use crate::legacy::Application;
use crate::postgres;
use crate::redis::Redis;
use crate::visitor::{Answer, Visitor};

pub const FORM: &str = "sign_on = { kind = \"form\", page = \"/login\", username_field = \"user\", password_field = \"pass\" }";
pub const KIM: &str = "Kim-Billing";
pub const LEE: &str = "lee-billing";

pub fn setup(emr: &Backend, application: &Application) -> Setup {
    let mut setup = Setup::new(&emr.url);
    setup.backends[1] = vec![application.url.clone()];
    setup.billing = FORM.to_owned();
    setup
}

pub async fn keep(gateway: &Gateway, person: &str, username: &str, password: &str) {
    let billing = ProductId::parse("billing").unwrap();
    let place = SignOnPlace {
        product: billing.clone(),
        login: Login::parse(username).unwrap(),
        account_of: billing,
        person: PersonId::parse(person).unwrap(),
    };
    let typed = TypedCredentials {
        username: username.to_owned(),
        password: password.to_owned().into(),
    };
    let now = gateway.clock.now();
    let directory = &gateway.running.directory;
    directory
        .keep_sign_on_secret(&place, &typed, now)
        .await
        .unwrap();
}

pub struct Clinic {
    _emr: Backend,
    pub application: Application,
    pub gateway: Gateway,
}

/// Kim's and Lee's Billing passwords are known; Kim's name there has a capital letter.
pub async fn clinic() -> Clinic {
    clinic_with(FORM).await
}

/// The same, with Billing's own keys.
pub async fn clinic_with(billing: &str) -> Clinic {
    let emr = Backend::start().await;
    let application = Application::start(&[(KIM, "old secret"), (LEE, "lee's")]).await;
    let mut setup = setup(&emr, &application);
    setup.billing = billing.to_owned();
    let gateway = setup.start().await;
    keep(&gateway, "kim", KIM, "old secret").await;
    keep(&gateway, "lee", LEE, "lee's").await;
    Clinic {
        _emr: emr,
        application,
        gateway,
    }
}

impl Clinic {
    pub async fn signed_in(&self, login: &str) -> Visitor {
        let mut visitor = Visitor::new(&self.gateway);
        visitor.sign_in(login, visitor.url("emr", "/")).await;
        visitor
    }

    fn tries(&self) -> usize {
        self.application.tries().len()
    }
}

/// Whatever the application set for itself, the browser has none of it.
fn has_nothing_of_it(answer: &Answer) {
    for line in answer.headers.get_all("set-cookie") {
        let line = line.to_str().unwrap();
        assert!(
            !line.contains("session-") && !line.contains("form-"),
            "{line}"
        );
    }
    assert!(!answer.body.contains("session-"), "{}", answer.body);
}

async fn post(visitor: &mut Visitor, path: &str, body: &str) -> Answer {
    let url = visitor.url("billing", path);
    let origin = url.origin().ascii_serialization();
    let mut headers = Visitor::NAVIGATION.to_vec();
    headers.push(("origin", &origin));
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    visitor
        .send(Method::POST, url, &headers, Some(body.to_owned()))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_signed_in_without_typing_and_the_browser_has_no_cookie_of_it() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    let page = kim.open(kim.url("billing", "/invoices?page=2")).await;
    assert!(
        page.body.contains("Kim-Billing GET /invoices"),
        "{}",
        page.body
    );
    has_nothing_of_it(&page);
    let again = kim.look(kim.url("billing", "/claims")).await;
    has_nothing_of_it(&again);
    assert_eq!(clinic.tries(), 1, "one sign-in serves every request");
    // The sign-in page is nobody's any more.
    let login = kim.look(kim.url("billing", "/login?next=/x")).await;
    assert_eq!(login.location(), kim.url("billing", "/").as_str());
    let typed = post(&mut kim, "/login", "user=x&pass=y").await;
    assert_eq!(typed.location(), kim.url("billing", "/").as_str());
    assert_eq!(clinic.tries(), 1);

    // What a browser brings under the application's name goes no further; its own goes on.
    let url = kim.url("billing", "/planted");
    let cookie = format!(
        "__Host-vestibule={}; SID=session-planted; theme=light",
        kim.cookie("billing.test").unwrap()
    );
    let headers = [("cookie", cookie.as_str()), ("accept", "text/html")];
    let planted = Visitor::new(&clinic.gateway)
        .send(Method::GET, url, &headers, None)
        .await;
    assert_eq!(planted.status, 200, "{}", planted.body);
    let asked = clinic.application.asked();
    let cookies = &asked.last().unwrap().cookies;
    assert!(
        cookies.starts_with("theme=light; SID=session-"),
        "{cookies}"
    );
    assert!(!cookies.contains("planted") && !cookies.contains("__Host"));

    let metric = "vestibule_sign_ons_total{product=\"billing\",result=\"ok\"}";
    assert_eq!(clinic.gateway.metric(metric).await, Some(1.0));
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_and_two_browsers_have_sign_ins_of_their_own() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    let mut other = clinic.signed_in("kim").await;
    let mut lee = clinic.signed_in("lee").await;
    for (visitor, name) in [(&mut kim, KIM), (&mut lee, LEE), (&mut other, KIM)] {
        let page = visitor.open(visitor.url("billing", "/who")).await;
        assert!(
            page.body.contains(&format!("{name} GET /who")),
            "{}",
            page.body
        );
    }
    assert_eq!(clinic.tries(), 3);
    assert_eq!(clinic.application.sessions().len(), 3);
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_sign_in_once() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    kim.open(kim.url("billing", "/")).await;
    for round in 1..=3 {
        let burst: Vec<_> = (0..20)
            .map(|number| {
                let mut tab = kim.clone();
                tokio::spawn(
                    async move { tab.look(tab.url("billing", &format!("/p{number}"))).await },
                )
            })
            .collect();
        for answer in burst {
            assert_eq!(answer.await.unwrap().status, 200);
        }
        assert_eq!(clinic.tries(), round, "round {round}");
        clinic.application.forget();
    }
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_application_forgets_is_signed_in_again_whatever_was_asked() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    kim.open(kim.url("billing", "/")).await;
    clinic.application.forget();
    let page = kim.look(kim.url("billing", "/after")).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("GET /after"));
    has_nothing_of_it(&page);
    // A form that met the application's sign-in page arrives, once and whole.
    clinic.application.forget();
    let paid = post(&mut kim, "/payments", "amount=125.50").await;
    assert_eq!(paid.status, 200, "{}", paid.body);
    let paid: Vec<_> = clinic
        .application
        .asked()
        .into_iter()
        .filter(|asked| asked.path == "/payments")
        .collect();
    assert_eq!(paid.len(), 1);
    assert_eq!(paid[0].body, "amount=125.50");
    // Scripts get 401 from it, not a redirect.
    clinic.application.forget();
    let url = kim.url("billing", "/api/claims");
    assert_eq!(kim.fetch(Method::GET, url).await.status, 200);
    assert_eq!(clinic.tries(), 4);
    // What can't be sent twice from here is sent again by the browser.
    clinic.application.forget();
    let large = format!("note={}", "x".repeat(300 * 1024));
    let answer = post(&mut kim, "/notes", &large).await;
    if answer.status == 307 {
        assert_eq!(answer.location(), kim.url("billing", "/notes").as_str());
        assert_eq!(post(&mut kim, "/notes", &large).await.status, 200);
    } else {
        assert_eq!(answer.status, 200);
    }
    let notes = clinic.application.asked();
    let notes: Vec<_> = notes
        .iter()
        .filter(|asked| asked.path == "/notes")
        .collect();
    assert_eq!((notes.len(), notes[0].body.len()), (1, large.len()));
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_the_application_renews_is_kept_and_the_others_are_the_browsers() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    kim.open(kim.url("billing", "/")).await;
    let answer = kim.look(kim.url("billing", "/rotate")).await;
    assert_eq!(answer.status, 200);
    has_nothing_of_it(&answer);
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(set, ["theme=dark; Path=/"]);
    assert_eq!(kim.look(kim.url("billing", "/next")).await.status, 200);
    assert_eq!(clinic.tries(), 1, "the new cookie was shown");
    let asked = clinic.application.asked();
    assert!(asked.last().unwrap().cookies.contains("theme=dark"));
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_changed_there_is_tried_once_and_asked_for() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    kim.open(kim.url("billing", "/")).await;
    clinic.application.change_password(KIM, "new secret");
    clinic.application.forget();
    let wanted = kim.url("billing", "/invoices?page=3");
    let asked = kim.open(wanted.clone()).await;
    assert_eq!(
        asked.url.path(),
        "/connect/billing/password",
        "{}",
        asked.body
    );
    assert!(
        asked
            .body
            .contains("If you changed it there, type the new one.")
    );
    for _ in 0..5 {
        kim.open(wanted.clone()).await;
        let script = kim.fetch(Method::GET, wanted.clone()).await;
        assert_eq!(script.status, 401);
        assert_eq!(script.json()["reason"], "password_wanted");
    }
    // Another sign-in of the same person does not try it either.
    let mut other = clinic.signed_in("kim").await;
    let page = other.open(other.url("billing", "/")).await;
    assert_eq!(page.url.path(), "/connect/billing/password");
    let wrong = clinic
        .application
        .tries()
        .iter()
        .filter(|(_, right)| !right)
        .count();
    assert_eq!(wrong, 1, "into no lock-out");

    let refused = kim
        .submit(&asked, &[("username", KIM), ("password", "old secret")])
        .await;
    assert_eq!(refused.status, 403);
    assert!(
        refused
            .body
            .contains("Billing does not take that password."),
        "{}",
        refused.body
    );
    let done = kim
        .submit(&asked, &[("username", KIM), ("password", "new secret")])
        .await;
    assert_eq!(done.url, wanted, "{}", done.body);
    assert!(done.body.contains("Kim-Billing GET /invoices"));
    // It is in force everywhere.
    let page = other.open(other.url("billing", "/")).await;
    assert!(page.body.contains("Kim-Billing GET /"), "{}", page.body);
    let trail = clinic.gateway.path("data/audit.jsonl");
    let folder = std::sync::Arc::clone(&clinic.gateway.folder);
    clinic.gateway.stop().await;
    let trail = std::fs::read_to_string(trail).unwrap();
    drop(folder);
    for word in [
        "billing kim-billing refused",
        "billing kim-billing kept",
        "\"sign_on\"",
    ] {
        assert!(trail.contains(word), "{word}: {trail}");
    }
    assert!(!trail.contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_has_expired_there_is_changed_on_the_applications_own_page() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    clinic.application.expire(KIM);
    let page = kim.open(kim.url("billing", "/invoices")).await;
    assert_eq!(page.url, kim.url("billing", "/expired"));
    assert!(
        page.body.contains("Your password has expired."),
        "{}",
        page.body
    );
    let changed = post(&mut kim, "/expired", "new=new+secret").await;
    assert_eq!(changed.location(), "/", "{}", changed.body);
    let page = kim.open(kim.url("billing", "/invoices")).await;
    assert!(
        page.body.contains("Kim-Billing GET /invoices"),
        "{}",
        page.body
    );
    assert_eq!(clinic.tries(), 1, "its session goes on");
    // What the gateway knows is the old one: it is tried once, and then asked for.
    clinic.application.forget();
    let asked = kim.open(kim.url("billing", "/claims")).await;
    assert_eq!(
        asked.url.path(),
        "/connect/billing/password",
        "{}",
        asked.body
    );
    let given = [("username", KIM), ("password", "new secret")];
    let page = kim.submit(&asked, &given).await;
    assert!(
        page.body.contains("Kim-Billing GET /claims"),
        "{}",
        page.body
    );
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_fails_is_told_and_not_stormed() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    clinic.application.break_down(true);
    for _ in 0..10 {
        let page = kim.open(kim.url("billing", "/")).await;
        assert_eq!(page.status, 503, "{}", page.body);
        assert!(
            page.body.contains("Nothing is wrong with your password."),
            "{}",
            page.body
        );
    }
    let metric = "vestibule_sign_ons_total{product=\"billing\",result=\"unreachable\"}";
    assert_eq!(
        clinic.gateway.metric(metric).await,
        Some(5.0),
        "then it waits"
    );
    clinic.application.break_down(false);
    clinic
        .gateway
        .clock
        .pass(std::time::Duration::from_secs(400));
    let page = kim.open(kim.url("billing", "/")).await;
    assert!(page.body.contains("Kim-Billing GET /"), "{}", page.body);
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_one_sign_in_also_where_a_user_has_one_session() {
    let emr = Backend::start().await;
    let application = Application::start(&[(KIM, "old secret")]).await;
    application.be_jealous();
    let redis = Redis::start();
    let database = postgres::database().await;
    let make = || {
        let mut setup = setup(&emr, &application);
        setup.sessions = redis.url();
        setup.directory = database.clone();
        setup
    };
    let a = make().start().await;
    let b = make().beside(&a).start().await;
    keep(&a, "kim", KIM, "old secret").await;
    let mut here = Visitor::new(&a);
    here.sign_in("kim", here.url("emr", "/")).await;
    here.open(here.url("billing", "/")).await;
    let there = here.at(&b);
    for round in 1..=3 {
        let burst: Vec<_> = (0..10)
            .map(|number| {
                let mut tab = if number % 2 == 0 {
                    here.clone()
                } else {
                    there.clone()
                };
                tokio::spawn(async move { tab.look(tab.url("billing", "/x")).await })
            })
            .collect();
        for answer in burst {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        assert_eq!(application.tries().len(), round, "round {round}");
        application.forget();
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_pairs_types_the_password_once_and_a_reset_forgets_it() {
    let emr = Backend::start().await;
    let application = Application::start(&[("Sam.R", "sam's budget")]).await;
    let gateway = setup(&emr, &application).start().await;
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let first = sam.open(sam.url("billing", "/invoices")).await;
    let given = [("username", "sam"), ("password", &password("sam"))];
    let second = sam
        .submit(&first, &given.map(|(name, value)| (name, value as &str)))
        .await;
    let wrong = sam
        .submit(&second, &[("username", "Sam.R"), ("password", "wrong")])
        .await;
    assert_eq!(wrong.status, 403);
    let done = sam
        .submit(
            &second,
            &[("username", "Sam.R"), ("password", "sam's budget")],
        )
        .await;
    assert!(done.body.contains("Success!"), "{}", done.body);
    let page = sam.open(sam.url("billing", "/invoices")).await;
    assert!(page.body.contains("Sam.R GET /invoices"), "{}", page.body);
    // The password of another system is not changed here.
    let profile = sam.open(sam.url("login", "/account")).await;
    assert!(
        profile.body.contains("Its password is not kept here"),
        "{}",
        profile.body
    );
    let change = sam
        .open(sam.url("login", "/account/password?product=billing"))
        .await;
    assert_eq!(change.status, 404);

    let billing = ProductId::parse("billing").unwrap();
    let place = SignOnPlace {
        product: billing.clone(),
        login: Login::parse("sam.r").unwrap(),
        account_of: billing,
        person: PersonId::parse("sam").unwrap(),
    };
    let kept = gateway
        .running
        .directory
        .sign_on_secret(&place)
        .await
        .unwrap();
    assert!(kept.is_some());
    let emr_id = ProductId::parse("emr").unwrap();
    let directory = &gateway.running.directory;
    directory.unpair(&place.person, &emr_id).await.unwrap();
    assert!(directory.sign_on_secret(&place).await.unwrap().is_none());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_takes_basic_gets_the_persons_own() {
    let emr = Backend::start().await;
    let application = Application::start(&[(KIM, "old secret")]).await;
    let mut setup = setup(&emr, &application);
    setup.billing = String::from("sign_on = { kind = \"basic\", inside = \"/basic\" }");
    let gateway = setup.start().await;
    keep(&gateway, "kim", KIM, "old secret").await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let page = kim.open(kim.url("billing", "/basic")).await;
    assert!(page.body.contains("Kim-Billing by basic"), "{}", page.body);
    application.change_password(KIM, "new secret");
    let asked = kim.open(kim.url("billing", "/basic")).await;
    assert_eq!(
        asked.url.path(),
        "/connect/billing/password",
        "{}",
        asked.body
    );
    kim.open(kim.url("billing", "/basic")).await;
    let wrong = application
        .tries()
        .iter()
        .filter(|(_, right)| !right)
        .count();
    assert_eq!(wrong, 1);
    let done = kim
        .submit(&asked, &[("username", KIM), ("password", "new secret")])
        .await;
    assert!(done.body.contains("Kim-Billing by basic"), "{}", done.body);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_was_not_released_no_password_is_asked_for() {
    let emr = Backend::start().await;
    let application = Application::start(&[("kim", "old secret")]).await;
    let start = async |companies: &str| {
        let mut setup = Setup::new(&emr.url);
        setup.backends[2] = vec![application.url.clone()];
        setup.analytics = format!("needs_grant = true\naccounts = \"primary\"\n{FORM}");
        setup.more =
            format!("[rollout]\nanalytics_sso = {{ companies = [{companies}], percent = 0 }}\n");
        setup.start().await
    };
    for (companies, status) in [("\"northside\"", 403), ("\"acme-rehab\"", 200)] {
        let gateway = start(companies).await;
        let mut kim = Visitor::new(&gateway);
        kim.sign_in("kim", kim.url("emr", "/")).await;
        for path in ["/connect/analytics", "/connect/analytics/password"] {
            let page = kim.open(kim.url("login", path)).await;
            assert_eq!(page.status, status, "{path}: {}", page.body);
        }
        gateway.stop().await;
    }
}
