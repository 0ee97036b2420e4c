//! Accounts with several companies: nobody works for one that their account does not have.

use std::time::Duration;

use http::Method;
use vestibule::gate::name::{CompanyId, PersonId};
use vestibule::gate::policy::{MfaMode, Rules};
use vestibule::sessions::EndCause;

use crate::clinic::*;
use crate::redis_server::Redis;

/// Ada's EMR account has Acme, her Billing account Acme and North and lands in North; Bob's the
/// other way round.
const MORE: &str = r#"{"kind":"company","id":"north","name":"North & Co"}
{"kind":"company","id":"hidden","name":"Hidden"}
{"kind":"person","id":"ada","company":"acme","name":"Ada Nova","email":"ada@acme.test","roles":[],"grants":["analytics"]}
{"kind":"person","id":"bob","company":"acme","name":"Bob Low","email":"bob@acme.test","roles":[]}
{"kind":"account","product":"emr","login":"ada","person":"ada","password_hash":"HASH","companies":["acme"],"default_company":"acme"}
{"kind":"account","product":"billing","login":"ada.billing","person":"ada","password_hash":"HASH","companies":["acme","north"],"default_company":"north"}
{"kind":"account","product":"emr","login":"bob","person":"bob","password_hash":"HASH","companies":["acme","north"],"default_company":"acme"}
{"kind":"account","product":"billing","login":"bob.billing","person":"bob","password_hash":"HASH"}
"#;

async fn clinic() -> Clinic {
    let clinic = Clinic::open().await;
    clinic.import(MORE).await;
    clinic
}

async fn change(browser: &Browser<'_>, origin: &str, company: &str) -> Page {
    let fields = [(String::from("company"), company.to_owned())];
    browser
        .post(&format!("{origin}/.vestibule/company"), &fields)
        .await
}

async fn at(browser: &Browser<'_>, origin: &str) -> String {
    browser.open(&format!("{origin}/")).await.body
}

#[tokio::test]
async fn each_account_lands_in_its_default_company_and_changes_alone() {
    let clinic = clinic().await;
    let ada = clinic.signed_in("ada").await;
    assert_eq!(at(&ada, EMR).await, "EMR for ada by pwd in acme");
    assert_eq!(
        at(&ada, BILLING).await,
        "Billing for ada.billing by pwd in north"
    );
    let url = format!("{BILLING}/.vestibule/session");
    let page = ada.fetch(Method::GET, &url).await;
    let json: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(json["company"], "north");
    assert_eq!(json["companies"], serde_json::json!(["acme", "north"]));
    let page = change(&ada, BILLING, "acme").await;
    assert_eq!(
        (page.status, page.location()),
        (303, "https://billing.test:8443/")
    );
    assert_eq!(
        at(&ada, BILLING).await,
        "Billing for ada.billing by pwd in acme"
    );
    change(&ada, BILLING, "north").await;
    // What she does in Billing moves nothing in products whose account has not that company.
    assert_eq!(at(&ada, EMR).await, "EMR for ada by pwd in acme");
    assert_eq!(
        at(&ada, ANALYTICS).await,
        "Analytics for ada by pwd in acme"
    );
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert_eq!(heard.matches("company_switched").count(), 2, "{heard}");
}

#[tokio::test]
async fn no_account_reaches_a_company_that_it_does_not_have() {
    let clinic = clinic().await;
    let ada = clinic.signed_in("ada").await;
    at(&ada, BILLING).await;
    at(&ada, ANALYTICS).await;
    for (origin, companies) in [
        (EMR, ["north", "hidden", "strict", ""]),
        (ANALYTICS, ["north", "hidden", "ACME", "acme,north"]),
        (BILLING, ["hidden", "strict", "../north", "north\n"]),
    ] {
        for company in companies {
            let page = change(&ada, origin, company).await;
            assert_eq!(page.status, 403, "{company:?} at {origin}");
        }
    }
    assert!(at(&ada, EMR).await.ends_with("in acme"));
    assert!(at(&ada, BILLING).await.ends_with("in north"));
    // The other way round: the sign-in moves, an account that names no company does not.
    let bob = clinic.signed_in("bob").await;
    assert_eq!(change(&bob, EMR, "north").await.status, 303);
    assert_eq!(at(&bob, EMR).await, "EMR for bob by pwd in north");
    assert_eq!(
        at(&bob, BILLING).await,
        "Billing for bob.billing by pwd in acme"
    );
    assert_eq!(change(&bob, BILLING, "north").await.status, 403);
}

#[tokio::test]
async fn an_import_that_takes_a_company_away_takes_it_from_a_session_that_lives() {
    let clinic = clinic().await;
    let ada = clinic.signed_in("ada").await;
    change(&ada, BILLING, "acme").await;
    at(&ada, BILLING).await;
    change(&ada, BILLING, "acme").await;
    // The session's own list still has it: the directory is asked, not the list.
    clinic
        .import(
            r#"{"kind":"account","product":"billing","login":"ada.billing","person":"ada","password_hash":"HASH","companies":["acme"],"default_company":"acme"}
"#,
        )
        .await;
    assert_eq!(change(&ada, BILLING, "north").await.status, 403);
    assert!(at(&ada, BILLING).await.ends_with("in acme"));
    // Who was in it is out: the import says whose sessions end, and the next sign-in has it not.
    let person = PersonId::parse("ada").unwrap();
    clinic
        .sessions
        .end_person(&person, EndCause::Revoked)
        .await
        .unwrap();
    assert_eq!(ada.get(&format!("{BILLING}/")).await.status, 302);
    let ada = clinic.signed_in("ada").await;
    assert!(at(&ada, BILLING).await.ends_with("in acme"));
}

#[tokio::test]
async fn a_way_in_that_was_under_way_brings_the_account_s_companies_up_to_date() {
    let clinic = clinic().await;
    let ada = clinic.signed_in("ada").await;
    assert!(at(&ada, BILLING).await.ends_with("in north"));
    clinic
        .import(
            r#"{"kind":"account","product":"billing","login":"ada.billing","person":"ada","password_hash":"HASH","companies":["acme"],"default_company":"acme"}
"#,
        )
        .await;
    // The cookie is lost, the session is not: the hand-over reads the directory.
    ada.set_cookie(BILLING, "__Host-vestibule", "none");
    assert!(at(&ada, BILLING).await.ends_with("in acme"));
}

#[tokio::test]
async fn the_new_company_s_factor_is_asked_for_before_anything_is_forwarded() {
    let clinic = clinic().await;
    clinic.decide("north", |policy| policy.mfa.mode = MfaMode::Required);
    let ada = clinic.signed_in("ada").await;
    assert_eq!(at(&ada, EMR).await, "EMR for ada by pwd in acme");
    // Billing lands in North, which wants a factor; the EMR goes on without.
    let page = ada.open(&format!("{BILLING}/")).await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login")),
        "{}",
        page.url
    );
    assert_eq!(ada.get(&format!("{EMR}/")).await.status, 200);
    let answer = ada.submit_login(&page, "ada", PASSWORD).await;
    assert!(
        answer.location().starts_with("/login/enroll?"),
        "{}",
        answer.location()
    );
    let page = ada.follow(answer).await;
    let (_, page) = enrol(&ada, page).await;
    assert_eq!(page.body, "Billing for ada.billing by pwd,otp,mfa in north");
    // By switching: the very next request is judged for the new company.
    let bob = clinic.signed_in("bob").await;
    assert_eq!(change(&bob, EMR, "north").await.status, 303);
    let page = bob.get(&format!("{EMR}/")).await;
    assert_eq!(page.status, 302);
    assert!(page.location().starts_with(&format!("{PORTAL}/login")));
    assert_eq!(
        bob.fetch(Method::GET, &format!("{EMR}/data")).await.status,
        302,
        "nor for a script"
    );
}

#[tokio::test]
async fn the_new_company_s_rules_and_idle_hold_at_once() {
    let clinic = clinic().await;
    let mut rules = Rules::default();
    clinic.decide("acme", |policy| policy.rules = Rules::default());
    clinic.decide("strict", |_| {});
    clinic.policies.rcu(|policies| {
        rules = policies.default.rules.clone();
        (**policies).clone()
    });
    let half = Duration::from_secs(1800);
    clinic.decide("north", |policy| {
        policy.rules = rules.clone();
        for product in clinic.products.iter() {
            policy.product_idle.insert(product.id.clone(), half);
        }
    });
    let ada = clinic.signed_in("ada").await;
    at(&ada, BILLING).await;
    change(&ada, BILLING, "acme").await;
    let payments = format!("{BILLING}/payments/1");
    assert_eq!(ada.get(&payments).await.status, 200);
    change(&ada, BILLING, "north").await;
    let page = ada.get(&payments).await;
    assert_eq!(page.status, 302, "North wants a fresh factor there");
    assert!(
        page.location().contains("need=factor"),
        "{}",
        page.location()
    );

    let ada = clinic.signed_in("ada").await;
    at(&ada, BILLING).await;
    change(&ada, BILLING, "acme").await;
    at(&ada, BILLING).await;
    clinic.wait(half + Duration::from_millis(1));
    // An hour of Acme's two has not passed, North's half hour has.
    assert_eq!(ada.get(&format!("{BILLING}/")).await.status, 200);
    clinic.wait(half + Duration::from_millis(1));
    assert_eq!(change(&ada, BILLING, "north").await.status, 303);
    let page = ada.get(&format!("{BILLING}/")).await;
    assert_eq!(page.status, 302);
    assert!(
        page.location().contains("product_idle"),
        "{}",
        page.location()
    );
    // The password opens it again, and it is still North.
    let form = ada.follow(page).await;
    let answer = ada.submit_login(&form, "ada", PASSWORD).await;
    let page = ada.follow(answer).await;
    assert_eq!(page.body, "Billing for ada.billing by pwd in north");
}

#[tokio::test]
async fn the_new_company_is_in_force_on_a_node_that_has_not_heard_of_it() {
    let redis = Redis::start();
    let here = Clinic::open_as(Opening {
        redis: Some(redis.url()),
        ..Opening::default()
    })
    .await;
    here.import(MORE).await;
    // Nobody listens to announcements on these nodes: what one does, the other is never told.
    let there = here.twin().await;
    let ada = here.signed_in("ada").await;
    assert!(at(&ada, BILLING).await.ends_with("in north"));
    let beside = there.browser();
    let carry = || {
        let cookie = ada.cookie(BILLING, "__Host-vestibule").unwrap();
        beside.set_cookie(BILLING, "__Host-vestibule", &cookie);
    };
    carry();
    let page = beside.get(&format!("{BILLING}/")).await;
    assert_eq!(page.body, "Billing for ada.billing by pwd in north");

    assert_eq!(change(&ada, BILLING, "acme").await.status, 303);
    let page = beside.get(&format!("{BILLING}/")).await;
    assert!(page.body.ends_with("in north"), "it knows of nothing yet");
    carry();
    let page = beside.get(&format!("{BILLING}/")).await;
    assert_eq!(page.body, "Billing for ada.billing by pwd in acme");
    // By a script, as the bar does it; and where the sign-in's own account serves.
    let bob = here.signed_in("bob").await;
    let beside = there.browser();
    let carry = || {
        let cookie = bob.cookie(EMR, "__Host-vestibule").unwrap();
        beside.set_cookie(EMR, "__Host-vestibule", &cookie);
    };
    carry();
    let page = beside.get(&format!("{EMR}/")).await;
    assert_eq!(page.body, "EMR for bob by pwd in acme");
    change(&bob, EMR, "north").await;
    carry();
    let page = beside.get(&format!("{EMR}/")).await;
    assert_eq!(page.body, "EMR for bob by pwd in north");
}

#[tokio::test]
async fn the_launch_page_has_the_drop_down_also_before_the_first_visit() {
    let clinic = clinic().await;
    let ada = clinic.signed_in("ada").await;
    let apps = ada.open(&format!("{PORTAL}/apps")).await;
    assert!(apps.body.contains("Company in Billing"), "{}", apps.body);
    assert!(!apps.body.contains("Company in EMR"), "one company there");
    assert!(
        apps.body
            .contains("<option value=\"north\" selected>North &#38; Co</option>"),
        "{}",
        apps.body
    );
    let answer = ada.submit(&apps, &[("company", "acme")]).await;
    assert_eq!(answer.location(), "/apps?company=changed");
    let apps = ada.follow(answer).await;
    assert!(apps.body.contains("The company is changed."));
    assert!(apps.body.contains("<option value=\"acme\" selected>"));
    assert!(at(&ada, BILLING).await.ends_with("in acme"));
    let page = ada.submit(&apps, &[("company", "hidden")]).await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn sessions_are_found_and_ended_by_a_company_that_is_worked_for_in_one_product() {
    let clinic = clinic().await;
    let ada = clinic.signed_in("ada").await;
    let north = CompanyId::parse("north").unwrap();
    assert_eq!(clinic.sessions.of_company(&north).await.unwrap().len(), 0);
    at(&ada, BILLING).await;
    assert_eq!(clinic.sessions.of_company(&north).await.unwrap().len(), 1);
    change(&ada, BILLING, "acme").await;
    assert_eq!(clinic.sessions.of_company(&north).await.unwrap().len(), 0);
    change(&ada, BILLING, "north").await;
    let ended = clinic.sessions.end_company(&north, EndCause::Revoked).await;
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(ada.get(&format!("{EMR}/")).await.status, 302);
}
