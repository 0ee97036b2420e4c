//! Billing's two hours, the session's eight and twelve, and what counts as activity.

use std::time::Duration;

use http::Method;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password};
use crate::visitor::{Answer, Visitor};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Kim, signed in, with EMR and Billing open.
async fn kim_inside(gateway: &Gateway) -> Visitor {
    let mut kim = Visitor::new(gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    kim.open(kim.url("billing", "/invoices")).await;
    assert_eq!(
        (kim.worth("emr").await, kim.worth("billing").await),
        (200, 200)
    );
    kim
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn billing_closes_after_two_hours_to_the_second_and_emr_goes_on() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = kim_inside(&gateway).await;
    let (emr, billing) = (
        kim.cookie("emr.test").unwrap().to_owned(),
        kim.cookie("billing.test").unwrap().to_owned(),
    );

    gateway.clock.pass(HOUR);
    assert_eq!(kim.open(kim.url("emr", "/rounds")).await.status, 200);
    gateway.clock.pass(HOUR);
    assert_eq!(kim.worth("billing").await, 200, "two hours: still in");
    gateway.clock.pass(SECOND);
    let shut = kim
        .fetch(Method::GET, kim.url("billing", "/list.json"))
        .await;
    assert_eq!(
        (shut.status.as_u16(), shut.json()["reason"].as_str()),
        (401, Some("product_idle"))
    );
    assert_eq!(kim.worth("emr").await, 200, "EMR is undisturbed");

    let page = kim.open(kim.url("billing", "/invoices?page=3&of=9")).await;
    assert_eq!(page.url.path(), "/login", "{}", page.body);
    assert!(
        page.body
            .contains("Billing was closed after 2 hours without activity"),
        "{}",
        page.body
    );
    assert!(
        page.body.contains("value=\"kim\"") && page.body.contains("readonly"),
        "{}",
        page.body
    );
    // Another way in without the password: there is none.
    for way in ["/.vestibule/switch?to=billing", "/.vestibule/enter"] {
        let from = if way.contains("switch") {
            "emr"
        } else {
            "billing"
        };
        let page = kim.open(kim.url(from, way)).await;
        assert_eq!(page.url.path(), "/login", "{way}");
    }
    assert_eq!(kim.worth("billing").await, 401);

    let wrong = kim
        .submit(&page, &[("username", "kim"), ("password", "guess")])
        .await;
    assert_eq!(wrong.status, 403);
    assert_eq!(kim.worth("billing").await, 401);
    let back = kim
        .submit(
            &page,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    assert_eq!(
        back.url,
        kim.url("billing", "/invoices?page=3&of=9"),
        "{}",
        back.body
    );
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("kim-billing")
    );
    assert_eq!(
        kim.cookie("emr.test"),
        Some(emr.as_str()),
        "EMR never noticed"
    );
    assert_ne!(kim.cookie("billing.test"), Some(billing.as_str()));
    gateway.clock.pass(2 * HOUR);
    assert_eq!(kim.worth("billing").await, 200, "two hours anew");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_takes_over_a_closed_billing() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = kim_inside(&gateway).await;
    gateway.clock.pass(2 * HOUR + SECOND);
    let page = kim.open(kim.url("billing", "/invoices")).await;
    let before = kim.clone();
    let taken = kim
        .submit(
            &page,
            &[("username", "lee"), ("password", &password("lee"))],
        )
        .await;
    assert_eq!(taken.status, 200, "{}", taken.body);
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("lee-billing"),
        "Lee is Lee"
    );
    // Kim's sign-in ended with that: nothing of it is left in this browser.
    let mut old = before;
    assert_eq!(
        (old.worth("emr").await, old.worth("billing").await),
        (401, 401)
    );
    kim.open(kim.url("emr", "/")).await;
    assert_eq!(backend.last().header("x-forwarded-user"), Some("lee"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_scripts_do_in_the_background_keeps_nobody_signed_in() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.billing += "\nactivity = { ignore = [\"/poll/**\"], count = [\"/typing/**\"] }";
    let gateway = setup.start().await;
    let mut kim = kim_inside(&gateway).await;
    let background: Vec<_> = Visitor::NAVIGATION
        .iter()
        .copied()
        .chain([("x-vestibule-background", "1")])
        .collect();

    for _ in 0..12 {
        gateway.clock.pass(10 * MINUTE);
        let polled = kim
            .fetch(Method::GET, kim.url("billing", "/news.json"))
            .await;
        assert_eq!(polled.status, 200);
        assert_eq!(
            kim.fetch(Method::POST, kim.url("billing", "/poll/7"))
                .await
                .status,
            200
        );
        let url = kim.url("billing", "/invoices");
        assert_eq!(
            kim.send(Method::GET, url, &background, None).await.status,
            200
        );
        let url = kim.url("billing", "/invoices");
        let headers = [("x-vestibule-background", "1")];
        assert_eq!(
            kim.send(Method::POST, url, &headers, None).await.status,
            200
        );
    }
    gateway.clock.pass(SECOND);
    assert_eq!(kim.worth("billing").await, 401);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_does_keeps_them_signed_in() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.billing += "\nactivity = { ignore = [\"/poll/**\"], count = [\"/typing/**\"] }";
    let gateway = setup.start().await;
    let origin = gateway.url("billing");

    let acts = [
        ("a form by a script", Method::POST, "/notes"),
        ("a change by a script", Method::DELETE, "/notes/1"),
        ("what is configured to count", Method::GET, "/typing/1"),
        ("extend", Method::POST, "/.vestibule/session/extend"),
    ];
    for (what, method, path) in acts {
        // Each in a sign-in of its own: a session's twelve hours are not of interest here.
        let mut kim = kim_inside(&gateway).await;
        gateway.clock.pass(2 * HOUR);
        let url = kim.url("billing", path);
        let headers = [
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors"),
        ];
        let answer = kim.send(method, url, &headers, None).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        gateway.clock.pass(2 * HOUR);
        assert_eq!(kim.worth("billing").await, 200, "{what}");
        gateway.clock.pass(SECOND);
        assert_eq!(kim.worth("billing").await, 401, "{what}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_how_long_is_left_is_no_activity() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = kim_inside(&gateway).await;
    let left = |answer: &Answer| answer.json()["idle_remaining_s"].as_u64().unwrap();
    for minutes in [30_u64, 60, 90, 120] {
        gateway.clock.pass(30 * MINUTE);
        let asked = kim
            .fetch(Method::GET, kim.url("billing", "/.vestibule/session"))
            .await;
        assert_eq!(left(&asked), (120 - minutes) * 60);
        let asked = kim.look(kim.url("billing", "/.vestibule/session")).await;
        assert_eq!(left(&asked), (120 - minutes) * 60, "nor by a navigation");
    }
    gateway.clock.pass(SECOND);
    let asked = kim
        .fetch(Method::GET, kim.url("billing", "/.vestibule/session"))
        .await;
    assert_eq!(asked.status, 401);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_after_eight_idle_hours_and_after_twelve_whatever_is_done() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = kim_inside(&gateway).await;
    gateway.clock.pass(8 * HOUR);
    assert_eq!(kim.worth("emr").await, 200);
    gateway.clock.pass(SECOND);
    assert_eq!(kim.worth("emr").await, 401);
    let page = kim.open(kim.url("emr", "/rounds")).await;
    assert_eq!(page.url.path(), "/login");
    let back = kim
        .submit(
            &page,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    assert_eq!(back.url, kim.url("emr", "/rounds"), "{}", back.body);

    for _ in 0..12 {
        gateway.clock.pass(HOUR);
        assert_eq!(kim.look(kim.url("emr", "/")).await.status, 200);
    }
    gateway.clock.pass(SECOND);
    let over = kim.fetch(Method::GET, kim.url("emr", "/")).await;
    assert_eq!(
        (over.status.as_u16(), over.json()["reason"].as_str()),
        (401, Some("maximum"))
    );
    let page = kim.open(kim.url("emr", "/")).await;
    assert_eq!(page.url.path(), "/login");
    let ended = gateway.metrics().await;
    for cause in ["idle", "maximum"] {
        let counted = ended.lines().any(|line| {
            line.starts_with("vestibule_sessions_ended_total")
                && line.contains(&format!("cause=\"{cause}\""))
                && line.ends_with(" 1")
        });
        assert!(counted, "{cause} in {ended}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_why_although_a_poll_met_the_end_first() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    for (hours, why) in [
        (
            &[8][..],
            "You were signed out after a time without activity.",
        ),
        (&[7, 5], "Your sign-in has reached its longest time."),
    ] {
        let mut kim = kim_inside(&gateway).await;
        for (count, hours) in hours.iter().enumerate() {
            if count > 0 {
                assert_eq!(kim.open(kim.url("emr", "/")).await.status, 200);
            }
            gateway.clock.pass(*hours * HOUR);
        }
        assert_eq!(kim.worth("emr").await, 200, "not yet");
        gateway.clock.pass(SECOND);
        assert_eq!(kim.worth("emr").await, 401, "{why}");
        assert_eq!(kim.worth("billing").await, 401, "{why}");
        for (host, path) in [("emr", "/rounds"), ("billing", "/"), ("login", "/account")] {
            let mut tab = kim.clone();
            let page = tab.open(tab.url(host, path)).await;
            assert_eq!(page.url.path(), "/login", "{}", page.body);
            assert!(page.body.contains(why), "{host}: {}", page.body);
        }
    }
    // Who signed out, or was made to, is told no such thing.
    let mut kim = kim_inside(&gateway).await;
    let mut tab = kim.clone();
    let out = kim.url("emr", "/.vestibule/sign_out");
    kim.fetch(Method::POST, out).await;
    let page = tab.open(tab.url("billing", "/")).await;
    assert!(
        page.body.contains("Your sign-in has ended."),
        "{}",
        page.body
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_can_only_tighten_what_is_configured() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url)
        .policy("acme-rehab.toml", "[session]\nmaximum = \"3h\"\n[products.billing]\nidle = \"5h\"\n[products.emr]\nidle = \"1h\"\n")
        .start()
        .await;
    let mut kim = kim_inside(&gateway).await;
    gateway.clock.pass(HOUR + SECOND);
    assert_eq!(
        (kim.worth("emr").await, kim.worth("billing").await),
        (401, 200)
    );
    gateway.clock.pass(HOUR);
    assert_eq!(kim.worth("billing").await, 401, "not five hours");
    gateway.stop().await;
}
