//! User Manager over real sockets: what is ended is ended on every node, and every act is on record.

use std::time::{Duration, Instant};

use vestibule::observe::audit::verify;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, soon};
use crate::live::{is_cut, say, socket};
use crate::postgres;
use crate::redis::Redis;
use crate::visitor::{Answer, Visitor, code};
use crate::wire::cookie;

const MINUTE: Duration = Duration::from_secs(60);

/// Kim in User Manager, with an authenticator set up on the way.
async fn kim_manages(gateway: &Gateway) -> Visitor {
    let mut kim = Visitor::new(gateway);
    let url = kim.url("login", "/company/users");
    let page = kim.sign_in("kim", url.clone()).await;
    assert_eq!(page.url.path(), "/login/enroll", "{}", page.body);
    let (_, page) = kim.enrol(&page, gateway.clock.now()).await;
    assert_eq!(page.url, url, "{}", page.body);
    kim
}

async fn save(kim: &mut Visitor, person: &str, fields: &[(&str, &str)]) -> Answer {
    let url = kim.url("login", &format!("/company/users/{person}"));
    let page = kim.open(url).await;
    assert!(page.body.contains("Save User"), "{}", page.body);
    kim.submit(&page, fields).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_mfa_ends_sessions_and_half_finished_sign_ins_on_every_node() {
    let backend = Backend::start().await;
    let redis = Redis::start();
    let database = postgres::database().await;
    let setup = || {
        let mut setup = Setup::new(&backend.url).policy(
            "acme-rehab.toml",
            "name = \"Acme\"\n[mfa]\nmode = \"required\"\nmethods = [\"totp\"]\n",
        );
        setup.sessions = redis.url();
        setup.directory = database.clone();
        setup
    };
    let a = setup().start().await;
    let b = setup().beside(&a).start().await;

    // Sam is inside at B, and half-way in with another browser there.
    let mut sam = Visitor::new(&b);
    let page = sam.sign_in("sam", sam.url("emr", "/")).await;
    let (key, page) = sam.enrol(&page, b.clock.now()).await;
    assert_eq!(page.url, sam.url("emr", "/"), "{}", page.body);
    b.clock.pass(MINUTE);
    let mut half = Visitor::new(&b);
    let challenge = half.sign_in("sam", half.url("emr", "/")).await;
    assert_eq!(challenge.url.path(), "/login/factor");
    assert_eq!(sam.worth("emr").await, 200);

    let mut kim = kim_manages(&a).await;
    let url = kim.url("login", "/company/users?q=SAM%20doe");
    assert!(kim.open(url).await.body.contains("/company/users/sam\""));
    // And at A, with one more browser.
    let mut there = Visitor::new(&a);
    let page = there.sign_in("sam", there.url("emr", "/")).await;
    let next = code(&key, a.clock.now());
    let page = there.submit(&page, &[("code", &next)]).await;
    assert_eq!(page.url, there.url("emr", "/"), "{}", page.body);
    a.clock.pass(MINUTE);
    assert_eq!(there.worth("emr").await, 200);

    let staged = kim.open(kim.url("login", "/company/users/sam")).await;
    let fields = [("reset", "mfa"), ("reason", "lost phone")];
    let saved = kim.submit_only(&staged, &fields).await;
    let reset = Instant::now();
    for (node, browser) in [("A", &mut there), ("B", &mut sam)] {
        ended_within_a_second(node, browser, reset).await;
    }
    let saved = kim.open(saved.url.join(saved.location()).unwrap()).await;
    assert!(saved.body.contains("is reset"), "{}", saved.body);
    let right = code(&key, b.clock.now());
    let answer = half.submit(&challenge, &[("code", &right)]).await;
    assert_eq!(answer.url.path(), "/login", "{}", answer.body);
    assert_eq!(half.cookie("login.test"), None);

    // The next sign-in enrols anew by the same path.
    let mut sam = Visitor::new(&b);
    let page = sam.sign_in("sam", sam.url("emr", "/rounds")).await;
    let (_, page) = sam.enrol(&page, b.clock.now()).await;
    assert_eq!(page.url, sam.url("emr", "/rounds"), "{}", page.body);

    // Kim reads it at B; A did it.
    let mut kim = kim.at(&b);
    soon("on record for both", async || {
        let page = kim
            .open(kim.url("login", "/company/audit?person=sam"))
            .await;
        page.body.contains("kim → sam") && page.body.contains("lost phone")
    })
    .await;
    let page = kim.open(kim.url("login", "/company/users/sam")).await;
    assert!(page.body.contains("Signed in</b>"), "{}", page.body);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_granted_on_one_node_is_open_on_the_other_until_it_is_taken_back() {
    let backend = Backend::start().await;
    let redis = Redis::start();
    let database = postgres::database().await;
    let setup = || {
        let mut setup = Setup::new(&backend.url);
        setup.sessions = redis.url();
        setup.directory = database.clone();
        setup
    };
    let a = setup().start().await;
    let b = setup().beside(&a).start().await;
    let mut sam = Visitor::new(&b);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let refused = sam.open(sam.url("analytics", "/reports")).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("kim Doe"), "{}", refused.body);

    let mut kim = kim_manages(&a).await;
    let fields = [("grant", "analytics"), ("reason", "runs the reports")];
    let saved = save(&mut kim, "sam", &fields).await;
    assert!(saved.body.contains("Saved."), "{}", saved.body);
    soon("open on B", async || {
        sam.open(sam.url("analytics", "/reports")).await.status == 200
    })
    .await;
    assert_eq!(backend.last().header("x-forwarded-user"), Some("sam"));
    let mut open = socket(&b, "analytics", &cookie(&sam, "analytics"))
        .await
        .unwrap();
    say(&mut open, "hello").await;

    let fields = [("take_back", "analytics"), ("reason", "moved on")];
    let saved = save(&mut kim, "sam", &fields).await;
    assert!(saved.body.contains("Saved."), "{}", saved.body);
    soon("closed on B", async || sam.worth("analytics").await == 401).await;
    tokio::time::timeout(MINUTE, is_cut(&mut open))
        .await
        .unwrap();
    let refused = sam.open(sam.url("analytics", "/reports")).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(sam.worth("emr").await, 200, "the rest goes on");
    let ended = a.metrics().await;
    let counted = "vestibule_sessions_ended_total{cause=\"grant_taken\",product=\"analytics\"} 1";
    assert!(ended.contains(counted), "{ended}");
    let mut kim = kim.at(&b);
    soon("on record for both", async || {
        let url = kim.url("login", "/company/audit?person=sam");
        let page = kim.open(url).await;
        page.body.contains("product_granted") && page.body.contains("moved on")
    })
    .await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_act_is_a_line_of_the_unbroken_trail() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let mut kim = kim_manages(&gateway).await;
    for fields in [
        [("end", "all"), ("reason", "left it open")],
        [("status", "disabled"), ("reason", "has left")],
        [("status", "enabled"), ("reason", "came back")],
        [("reset", "mfa"), ("reason", "new phone")],
    ] {
        let saved = save(&mut kim, "sam", &fields).await;
        assert!(saved.body.contains("Saved."), "{}", saved.body);
        if fields[0].1 == "disabled" {
            let mut sam = Visitor::new(&gateway);
            let page = sam.sign_in("sam", sam.url("emr", "/")).await;
            assert_eq!(page.status, 403, "{}", page.body);
        }
    }
    assert_eq!(sam.worth("emr").await, 401);
    let refused = save_at(&mut kim, "lee", &[("end", "all"), ("reason", "curious")]).await;
    assert_eq!(refused.status, 404, "Northside's");
    let export = kim.url("login", "/company/audit/export?event=mfa_reset");
    let file = soon_with(&mut kim, export, "new phone").await;
    assert!(file.body.starts_with("time,event,"), "{}", file.body);

    let trail = gateway.path("data/audit.jsonl");
    let folder = gateway.folder.clone();
    gateway.stop().await;
    let text = std::fs::read_to_string(&trail).unwrap();
    for (event, reason) in [
        ("sessions_ended", "left it open"),
        ("person_disabled", "has left"),
        ("person_enabled", "came back"),
        ("mfa_reset", "new phone"),
    ] {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("\"event\":\"{event}\"")))
            .unwrap_or_else(|| panic!("no {event}"));
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["who"], "kim");
        assert_eq!(line["whom"], "sam");
        assert_eq!(line["company"], "acme-rehab");
        assert_eq!(line["address"], "127.0.0.1");
        assert_eq!(line["reason"], reason);
        assert!(line["request_id"].is_string() && line["session"].is_string());
    }
    verify(&trail).unwrap();
    // And a line that is changed is found.
    std::fs::write(&trail, text.replace("new phone", "old phone")).unwrap();
    assert!(verify(&trail).is_err());
    drop(folder);
}

/// Nothing that is asked for a second later, or more, is let in. How long an answer takes on a busy
/// machine is not counted.
async fn ended_within_a_second(node: &str, browser: &mut Visitor, since: Instant) {
    loop {
        let asked = since.elapsed();
        if browser.worth("emr").await == 401 {
            println!("asked for on {node} {asked:?} after the reset: refused");
            return;
        }
        assert!(
            asked < Duration::from_secs(1),
            "{node} let in after {asked:?}"
        );
    }
}

/// Posts to the page of somebody whom Kim can't see, with a token of a page that Kim can.
async fn save_at(kim: &mut Visitor, person: &str, fields: &[(&str, &str)]) -> Answer {
    let mut page = kim.open(kim.url("login", "/company/users/sam")).await;
    page.url = kim.url("login", &format!("/company/users/{person}"));
    kim.submit_only(&page, fields).await
}

async fn soon_with(kim: &mut Visitor, url: url::Url, words: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = kim.open(url.clone()).await;
        if answer.body.contains(words) {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
