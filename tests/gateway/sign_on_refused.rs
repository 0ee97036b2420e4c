//! Passwords that an application does not take are tried once: of all sessions, on all nodes. And what
//! it refuses for other reasons is not taken for a wrong password.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::backend::Backend;
use crate::gateway::{Gateway, soon};
use crate::legacy::Application;
use crate::postgres;
use crate::redis::Redis;
use crate::sign_on::{Clinic, KIM, LEE, clinic, clinic_with, keep, setup};
use crate::visitor::{Answer, Visitor};

/// Its deadline is not what these stories are about.
const FORM: &str = "sign_on = { kind = \"form\", page = \"/login\", username_field = \"user\", password_field = \"pass\", deadline = \"60s\" }";
const BASIC: &str = "sign_on = { kind = \"basic\", inside = \"/basic\", deadline = \"60s\" }";

/// Two nodes, and sessions of Kim's: the even ones on the first, the odd ones on the second.
struct Site {
    _emr: Backend,
    redis: Redis,
    application: Application,
    a: Gateway,
    b: Gateway,
    sessions: Vec<Visitor>,
}

impl Site {
    async fn with(billing: &str, sessions: usize) -> Site {
        let emr = Backend::start().await;
        let application = Application::start(&[(KIM, "old secret")]).await;
        let redis = Redis::start();
        let database = postgres::database().await;
        let make = || {
            let mut setup = setup(&emr, &application);
            setup.billing = billing.to_owned();
            setup.sessions = redis.url();
            setup.directory = database.clone();
            setup
        };
        let a = make().start().await;
        let b = make().beside(&a).start().await;
        keep(&a, "kim", KIM, "old secret").await;
        let mut site = Site {
            _emr: emr,
            redis,
            application,
            a,
            b,
            sessions: Vec::new(),
        };
        for number in 0..sessions {
            let node = if number % 2 == 0 { &site.a } else { &site.b };
            let mut kim = Visitor::new(node);
            kim.sign_in("kim", kim.url("emr", "/")).await;
            site.sessions.push(kim);
        }
        site
    }

    /// Each session opens Billing, one after the other.
    async fn each_opens(&mut self, path: &str) -> Vec<Answer> {
        let mut answers = Vec::new();
        for kim in &mut self.sessions {
            answers.push(kim.open(kim.url("billing", path)).await);
        }
        answers
    }

    /// All at the same moment, while the application keeps the first of them waiting.
    async fn all_open(&self, path: &str) -> Vec<Answer> {
        let before = self.application.knocked();
        let door = self.application.hold().await;
        let path = path.to_owned();
        let burst = self.sessions.iter().map(|kim| {
            let (mut kim, path) = (kim.clone(), path.clone());
            tokio::spawn(async move { kim.open(kim.url("billing", &path)).await })
        });
        let burst: Vec<_> = burst.collect();
        soon("somebody tries the password", async || {
            self.application.knocked() > before
        })
        .await;
        // Time enough for the others to come as far, if they could.
        for kim in &self.sessions {
            assert_eq!(kim.clone().worth("emr").await, 200);
        }
        drop(door);
        let mut answers = Vec::new();
        for answer in burst {
            answers.push(answer.await.unwrap());
        }
        answers
    }

    async fn stop(self) {
        self.a.stop().await;
        self.b.stop().await;
    }
}

fn wrong_tries(application: &Application) -> usize {
    let tries = application.tries();
    tries.iter().filter(|(_, right)| !right).count()
}

fn is_asked(answer: &Answer) {
    assert_eq!(
        answer.url.path(),
        "/connect/billing/password",
        "{}",
        answer.body
    );
}

async fn types(visitor: &mut Visitor, asked: &Answer, password: &str) -> Answer {
    is_asked(asked);
    let given = [("username", KIM), ("password", password)];
    visitor.submit(asked, &given).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_in_a_sign_in_holds_others_up_for_hardly_longer_than_it_may_take() {
    let site = Site::with(FORM, 2).await;
    // Neither node gets an answer, and so the first gives nothing back.
    let door = site.application.hold().await;
    let mut opening = Vec::new();
    for (number, kim) in site.sessions.iter().enumerate() {
        let mut kim = kim.clone();
        opening.push(tokio::spawn(async move {
            kim.open(kim.url("billing", "/")).await
        }));
        if number == 1 {
            // A sign-in may take 60 s here.
            site.a.clock.pass(Duration::from_secs(66));
        }
        soon("this one's password is typed", async || {
            site.application.knocked() == number + 1
        })
        .await;
    }
    drop(door);
    for opened in opening {
        opened.await.unwrap();
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_sessions_on_two_nodes_one_posts_the_password_that_was_changed() {
    let mut site = Site::with(FORM, 6).await;
    for page in site.each_opens("/").await {
        assert!(page.body.contains("Kim-Billing GET /"), "{}", page.body);
    }
    site.application.change_password(KIM, "new secret");
    site.application.forget();
    for answer in site.all_open("/invoices").await {
        is_asked(&answer);
    }
    assert_eq!(wrong_tries(&site.application), 1, "into no lock-out");
    // Nor does a session that begins now, nor one that comes again.
    let mut late = Visitor::new(&site.b);
    late.sign_in("kim", late.url("emr", "/")).await;
    site.sessions.push(late);
    for answer in site.each_opens("/invoices").await {
        is_asked(&answer);
    }
    assert_eq!(wrong_tries(&site.application), 1);
    let kim = &mut site.sessions[3];
    let asked = kim.open(kim.url("billing", "/invoices")).await;
    let done = types(kim, &asked, "new secret").await;
    assert!(done.body.contains("GET /invoices"), "{}", done.body);
    for page in site.each_opens("/claims").await {
        assert!(page.body.contains("GET /claims"), "{}", page.body);
    }
    assert_eq!(wrong_tries(&site.application), 1);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_sessions_one_shows_the_basic_password_that_was_changed() {
    let mut site = Site::with(BASIC, 4).await;
    for page in site.each_opens("/basic").await {
        assert!(page.body.contains("Kim-Billing by basic"), "{}", page.body);
    }
    site.application.change_password(KIM, "new secret");
    // Each session and node has the old one in its hand.
    for answer in site.each_opens("/basic").await {
        is_asked(&answer);
    }
    assert_eq!(wrong_tries(&site.application), 1, "into no lock-out");
    let kim = &mut site.sessions[1];
    let asked = kim.open(kim.url("billing", "/basic")).await;
    let done = types(kim, &asked, "new secret").await;
    assert!(done.body.contains("Kim-Billing by basic"), "{}", done.body);
    for page in site.each_opens("/basic").await {
        assert!(page.body.contains("Kim-Billing by basic"), "{}", page.body);
    }
    assert_eq!(wrong_tries(&site.application), 1);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_a_basic_password_was_refused_elsewhere_is_not_looked_up_for_each_request() {
    let mut site = Site::with(BASIC, 1).await;
    site.each_opens("/basic").await;
    let mut watch = tokio::net::TcpStream::connect(site.redis.host())
        .await
        .unwrap();
    watch.write_all(b"MONITOR\r\n").await.unwrap();
    let mut lines = tokio::io::BufReader::new(watch).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "+OK");
    // The clock stands: all of them are within one second.
    for _ in 0..5 {
        site.each_opens("/basic").await;
    }
    site.redis.ask("ECHO that-was-all");
    let mut looks = 0;
    loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if line.contains("that-was-all") {
            break;
        }
        looks += usize::from(line.contains("sign-on-refused"));
    }
    assert_eq!(looks, 1);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_sessions_that_begin_at_once_one_tries_a_basic_password() {
    let site = Site::with(BASIC, 4).await;
    site.application.change_password(KIM, "new secret");
    for answer in site.all_open("/basic").await {
        is_asked(&answer);
    }
    assert_eq!(wrong_tries(&site.application), 1, "into no lock-out");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_a_form_application_forbids_with_401_is_no_new_sign_in() {
    let clinic = clinic().await;
    let mut kim = clinic.signed_in("kim").await;
    kim.open(kim.url("billing", "/")).await;
    // By nobody from here on but the question whether the session is known.
    let first_pages = || {
        let asked = clinic.application.asked();
        asked.iter().filter(|asked| asked.path == "/").count()
    };
    let before = first_pages();
    for _ in 0..5 {
        let answer = kim
            .fetch(Method::GET, kim.url("billing", "/api/closed"))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (401, "Not for you.")
        );
    }
    assert_eq!(clinic.application.tries().len(), 1, "signed in once");
    assert_eq!(first_pages() - before, 1, "asked once for all of them");
    // What it has forgotten is told from that.
    clinic.application.forget();
    let answer = kim
        .fetch(Method::GET, kim.url("billing", "/api/claims"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    clinic.application.forget();
    let answer = kim
        .fetch(Method::GET, kim.url("billing", "/api/closed"))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (401, "Not for you.")
    );
    assert_eq!(clinic.application.tries().len(), 3);
    clinic.gateway.stop().await;
}

async fn opens_closed(visitor: &mut Visitor) {
    let answer = visitor.open(visitor.url("billing", "/basic/closed")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (401, "Not for you.")
    );
    // A browser would ask for a password that never gets there.
    assert!(answer.headers.get("www-authenticate").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_forbidden_with_401_asks_for_the_basic_password_once() {
    let clinic = clinic_with(BASIC).await;
    let mut kim = clinic.signed_in("kim").await;
    let mut other = clinic.signed_in("kim").await;
    for visitor in [&mut kim, &mut other] {
        visitor.open(visitor.url("billing", "/basic")).await;
    }
    // It can't be told from a wrong password, until the person proves the same again.
    let asked = kim.open(kim.url("billing", "/basic/closed")).await;
    let refused = types(&mut kim, &asked, "old secret").await;
    assert_eq!(refused.status, 401, "{}: {}", refused.url, refused.body);
    for _ in 0..3 {
        opens_closed(&mut kim).await;
        opens_closed(&mut other).await;
    }
    let page = kim.open(kim.url("billing", "/basic")).await;
    assert!(page.body.contains("Kim-Billing by basic"), "{}", page.body);
    assert_eq!(wrong_tries(&clinic.application), 0);
    password_changes(&clinic, &mut kim).await;
    clinic.gateway.stop().await;
}

/// A password that was changed is found out all the same, where it is certain.
async fn password_changes(clinic: &Clinic, kim: &mut Visitor) {
    clinic.application.change_password(KIM, "new secret");
    let before = clinic.application.tries().len();
    for _ in 0..3 {
        opens_closed(kim).await;
    }
    assert_eq!(clinic.application.tries().len(), before, "asked just now");
    clinic.gateway.clock.pass(Duration::from_secs(6));
    let asked = kim.open(kim.url("billing", "/basic/closed")).await;
    is_asked(&asked);
    for _ in 0..3 {
        is_asked(&kim.open(kim.url("billing", "/basic/closed")).await);
    }
    assert_eq!(wrong_tries(&clinic.application), 1, "into no lock-out");
    let asked = kim.open(kim.url("billing", "/basic")).await;
    let done = types(kim, &asked, "new secret").await;
    assert!(done.body.contains("Kim-Billing by basic"), "{}", done.body);
    opens_closed(kim).await;
    assert_eq!(wrong_tries(&clinic.application), 1);
    // Of another person's password nothing was learned.
    let mut lee = clinic.signed_in("lee").await;
    let asked = lee.open(lee.url("billing", "/basic/closed")).await;
    is_asked(&asked);
    let given = [("username", LEE), ("password", "lee's")];
    let refused = lee.submit(&asked, &given).await;
    assert_eq!(refused.status, 401, "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_that_is_answered_with_403_is_tried_once() {
    let clinic = clinic().await;
    clinic.application.be_curt();
    clinic.application.change_password(KIM, "new secret");
    let mut kim = clinic.signed_in("kim").await;
    let asked = kim.open(kim.url("billing", "/invoices")).await;
    for _ in 0..3 {
        is_asked(&kim.open(kim.url("billing", "/invoices")).await);
    }
    assert_eq!(wrong_tries(&clinic.application), 1, "into no lock-out");
    let done = types(&mut kim, &asked, "new secret").await;
    assert!(done.body.contains("GET /invoices"), "{}", done.body);
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_has_expired_where_it_is_typed_is_said_to_be() {
    let telling = FORM.replace(" }", ", expired_text = \"password has expired\" }");
    let clinic = clinic_with(&telling).await;
    clinic.application.outdate(KIM);
    let mut kim = clinic.signed_in("kim").await;
    let asked = kim.open(kim.url("billing", "/invoices")).await;
    let told = types(&mut kim, &asked, "old secret").await;
    assert_eq!(told.status, 403);
    let sentence = "Your Billing password has expired.";
    assert!(told.body.contains(sentence), "{}", told.body);
    clinic.gateway.stop().await;
}
