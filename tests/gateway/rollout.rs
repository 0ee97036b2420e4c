//! A release that goes company by company, stops by itself, and stays stopped.

use std::time::Duration;

use vestibule::directory::Directory;
use vestibule::gate::name::{CompanyId, PersonId};
use vestibule::gate::policy::Switched;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, vestibule};
use crate::visitor::{Answer, Visitor, code};

/// What a node looks at once a second; the machine may be busy.
async fn soon(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so().await {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "still not so: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn rollout(companies: &str) -> String {
    format!(
        "[rollout]\nmfa = {{ companies = [{companies}], percent = 0 }}\n\
         pause_when = {{ factor_failures_above = 0.2, of_at_least = 3 }}\n"
    )
}

fn company(id: &str) -> CompanyId {
    CompanyId::parse(id).unwrap()
}

async fn switch_on(directory: &Directory, gateway: &Gateway) {
    for (id, by) in [("acme-rehab", "kim"), ("northside", "lee")] {
        let on = Some(Switched::default());
        let by = PersonId::parse(by).unwrap();
        directory
            .switch_factor(&company(id), on, &by, gateway.clock.now())
            .await
            .unwrap();
    }
}

/// The page after the password.
async fn after_password(gateway: &Gateway, login: &str) -> (Visitor, Answer) {
    let mut visitor = Visitor::new(gateway);
    let page = visitor.sign_in(login, visitor.url("emr", "/")).await;
    (visitor, page)
}

async fn has_it(gateway: &Gateway, login: &str) -> bool {
    after_password(gateway, login).await.1.url.path() != "/"
}

/// Wrong codes until the release pauses: one right answer at the enrolment, then wrong ones.
async fn fail_often(gateway: &Gateway) {
    let (mut sam, page) = after_password(gateway, "sam").await;
    let (key, _) = sam.enrol(&page, gateway.clock.now()).await;
    gateway.clock.pass(Duration::from_secs(60));
    let (mut sam, mut page) = after_password(gateway, "sam").await;
    assert_eq!(page.url.path(), "/login/factor", "{}", page.body);
    let right = code(&key, gateway.clock.now());
    let wrong = if right == "000000" {
        "000001"
    } else {
        "000000"
    };
    for _ in 0..4 {
        page = sam.submit(&page, &[("code", wrong)]).await;
    }
}

async fn paused(gateway: &Gateway) -> bool {
    gateway
        .metric("vestibule_rollout_paused{feature=\"mfa\"}")
        .await
        == Some(1.0)
}

async fn story(setup: impl Fn(&Backend) -> Setup) {
    let backend = Backend::start().await;
    let mut first = setup(&backend);
    first.more = rollout("\"acme-rehab\"");
    let gateway = first.start().await;
    let directory = gateway.running.directory.clone();
    switch_on(&directory, &gateway).await;
    soon("Company Settings are known", async || {
        has_it(&gateway, "kim").await
    })
    .await;
    assert!(!has_it(&gateway, "lee").await, "not released to Northside");

    // The same site on another node.
    let mut second = setup(&backend).beside(&gateway);
    second.more = rollout("\"acme-rehab\"");
    let other = second.start().await;
    fail_often(&gateway).await;
    soon("the release pauses on both nodes", async || {
        paused(&gateway).await && paused(&other).await
    })
    .await;
    assert!(has_it(&gateway, "kim").await, "taken from nobody");
    assert!(has_it(&other, "kim").await, "taken from nobody");

    // Further, by a node that starts anew: it reaches nobody else.
    let mut third = setup(&backend).beside(&gateway);
    third.more = rollout("\"acme-rehab\", \"northside\"");
    let folder = third.folder.clone().unwrap();
    let raised = third.start().await;
    assert!(has_it(&raised, "kim").await);
    assert!(
        !has_it(&raised, "lee").await,
        "held over nodes and restarts"
    );
    assert!(paused(&raised).await);

    let path = folder.path();
    let ask = [
        "policy",
        "explain",
        "--person",
        "lee",
        "--company",
        "northside",
        "--product",
        "emr",
    ];
    let (_, told, _) = vestibule(path, &ask).await;
    assert!(told.contains("the release is paused"), "{told}");
    let (code, told, _) = vestibule(path, &["rollout", "show", "--json"]).await;
    assert_eq!(code, 0);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told[0]["companies_reached"], 1, "{told}");
    assert_eq!(told[0]["people_reached"], 2, "{told}");
    assert!(told[0]["paused"]["wrong"].as_u64() >= Some(2), "{told}");
    // Which node found it first is chance; one of them wrote it down.
    soon("the trail has it", async || {
        let mut trails = String::new();
        for node in [&gateway, &other] {
            trails += &vestibule(node.folder.path(), &["audit", "export"]).await.1;
        }
        trails.matches("rollout_paused").count() == 1
    })
    .await;

    // Somebody looked into it and lets it go on.
    let (code, _, error) = vestibule(path, &["rollout", "resume", "mfa"]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    soon("it goes on", async || has_it(&raised, "lee").await).await;
    assert!(!has_it(&gateway, "lee").await, "by its own configuration");
    let (code, _, _) = vestibule(path, &["rollout", "resume", "mfa"]).await;
    assert_eq!(code, 1, "there is nothing to resume");
    for node in [raised, other, gateway] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_pauses_by_itself_for_all_nodes_and_takes_nothing() {
    let redis = crate::redis::Redis::start();
    let people = tempfile::tempdir().unwrap();
    let directory = format!("sqlite:{}", people.path().join("people.db").display());
    story(|backend| {
        let mut setup = Setup::new(&backend.url);
        setup.sessions = redis.url();
        setup.directory = directory.clone();
        setup
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_pauses_by_itself_in_postgresql_too() {
    let redis = crate::redis::Redis::start();
    let directory = crate::postgres::database().await;
    story(|backend| {
        let mut setup = Setup::new(&backend.url);
        setup.sessions = redis.url();
        setup.directory = directory.clone();
        setup
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alert_ends_with_the_release_and_its_pause_holds_when_it_is_back() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    let release = rollout("\"acme-rehab\"");
    setup.more.clone_from(&release);
    let gateway = setup.start().await;
    let directory = gateway.running.directory.clone();
    switch_on(&directory, &gateway).await;
    soon("Company Settings are known", async || {
        has_it(&gateway, "kim").await
    })
    .await;
    fail_often(&gateway).await;
    soon("the release pauses", async || paused(&gateway).await).await;

    let file = gateway.path("gateway.toml");
    let with = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, with.replace(&release, "")).unwrap();
    soon("nothing is paused any more", async || {
        !gateway.metrics().await.contains("{feature=\"mfa\"}")
    })
    .await;
    assert!(has_it(&gateway, "lee").await, "everybody has it");

    std::fs::write(&file, with).unwrap();
    soon("the pause holds again", async || paused(&gateway).await).await;
    gateway.stop().await;
}
