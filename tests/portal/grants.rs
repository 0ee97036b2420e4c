//! Products that are granted person by person: by a user manager of the person's own company, and in
//! force at once.

use vestibule::gate::name::{PersonId, ProductId};

use crate::administration::official;
use crate::clinic::*;

fn user(person: &str) -> String {
    format!("{PORTAL}/company/users/{person}")
}

async fn save(kim: &Browser<'_>, person: &str, fields: &[(&str, &str)]) -> Page {
    let page = kim.get(&user(person)).await;
    kim.press(&page, &user(person), fields).await
}

async fn analytics(browser: &Browser<'_>) -> Page {
    browser.open(&format!("{ANALYTICS}/")).await
}

#[tokio::test]
async fn a_user_manager_grants_a_product_and_takes_it_back() {
    let clinic = Clinic::open().await;
    let lee = clinic.signed_in("lee").await;
    let refused = analytics(&lee).await;
    assert_eq!(refused.status, 403);
    let named = "A user manager of your company can grant you Analytics: Kim Doe.";
    assert!(refused.body.contains(named), "{}", refused.body);

    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.get(&user("lee")).await;
    assert!(
        page.body.contains("> Grant Analytics</label>"),
        "{}",
        page.body
    );
    let unreasoned = save(&kim, "lee", &[("grant", "analytics"), ("reason", " ")]).await;
    assert_eq!(unreasoned.status, 400);
    assert!(unreasoned.body.contains("value=\"analytics\" checked"));
    assert_eq!(analytics(&lee).await.status, 403, "not without a reason");

    let why = ("reason", "runs the reports");
    let saved = save(&kim, "lee", &[("grant", "analytics"), why]).await;
    assert_eq!(saved.location(), "/company/users/lee?saved=granted");
    let page = kim.follow(saved).await;
    assert!(page.body.contains("is open to Lee"), "{}", page.body);
    assert!(page.body.contains("> Take Analytics back"), "{}", page.body);
    // The sign-in that Lee has, and nothing typed.
    assert_eq!(
        analytics(&lee).await.body,
        "Analytics for lee by pwd in acme"
    );
    let apps = lee.get(&format!("{PORTAL}/apps")).await;
    assert!(apps.body.contains("Analytics"), "{}", apps.body);
    let again = save(&kim, "lee", &[("grant", "analytics"), why]).await;
    assert!(again.body.contains("Nothing was changed"), "{}", again.body);
    // What is granted to nobody can't be.
    for product in ["billing", "emr", "nothing", "ANALYTICS"] {
        let page = save(&kim, "lee", &[("grant", product), why]).await;
        assert!(page.body.contains("Nothing was changed"), "{product}");
    }

    let saved = save(
        &kim,
        "lee",
        &[("take_back", "analytics"), ("reason", "moved on")],
    )
    .await;
    assert_eq!(saved.location(), "/company/users/lee?saved=taken_back");
    assert_eq!(lee.get(&format!("{ANALYTICS}/")).await.status, 302);
    assert_eq!(analytics(&lee).await.status, 403);
    assert_eq!(
        lee.get(&format!("{EMR}/")).await.status,
        200,
        "the rest goes on"
    );
    let anew = clinic.signed_in("lee").await;
    assert_eq!(analytics(&anew).await.status, 403);

    for (event, reason) in [
        ("product_granted", "runs the reports"),
        ("product_taken_back", "moved on"),
    ] {
        let lines = clinic.heard.lines.lock().unwrap();
        let mut acts = lines.iter().filter(|line| line.contains(event));
        let line = acts.next().unwrap_or_else(|| panic!("no {event}"));
        for part in ["who: kim", "whom: lee", "analytics", reason, "192.0.2."] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert_eq!(acts.next(), None, "once");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_told_and_what_was_taken_back_stays_so() {
    let clinic = Clinic::open().await;
    let lee = clinic.signed_in("lee").await;
    let (kim, _) = official(&clinic, "kim").await;
    let why = ("reason", "because");
    save(&kim, "lee", &[("grant", "analytics"), why]).await;
    assert_eq!(analytics(&lee).await.status, 200);

    let person = PersonId::parse("lee").unwrap();
    let sessions = clinic.sessions.of_person(&person).await.unwrap();
    *clinic.store.clings_to.lock().unwrap() = sessions.first().map(|session| session.id);
    let failed = save(&kim, "lee", &[("take_back", "analytics"), why]).await;
    assert_eq!(failed.status, 503, "{}", failed.body);
    assert!(clinic.heard("sessions could not be told"));
    let known = clinic.directory.person(&person).await.unwrap().unwrap();
    assert!(known.grants.is_empty(), "no sign-in has it any more");
    *clinic.store.clings_to.lock().unwrap() = None;
    // The same once more reaches the session that could not be told.
    let again = save(&kim, "lee", &[("take_back", "analytics"), why]).await;
    assert_eq!(again.location(), "/company/users/lee?saved=taken_back");
    let sessions = clinic.sessions.of_person(&person).await.unwrap();
    assert!(sessions.iter().all(|one| one.person.grants.is_empty()));
    let nothing = save(&kim, "lee", &[("take_back", "analytics"), why]).await;
    assert!(nothing.body.contains("Nothing was changed"));
}

#[tokio::test]
async fn only_those_who_can_grant_it_are_named() {
    let clinic = Clinic::open().await;
    // Of Acme, and at work for Strict Care, whose Max can do nothing for them.
    clinic
        .import(concat!(
            r#"{"kind":"person","id":"zoe","company":"acme","name":"Zoe Ray","email":"zoe@acme.test","roles":[]}"#,
            "\n",
            r#"{"kind":"account","product":"emr","login":"zoe","person":"zoe","password_hash":"HASH","companies":["strict"]}"#,
            "\n"
        ))
        .await;
    let zoe = clinic.signed_in_strict("zoe").await;
    assert!(
        zoe.get(&format!("{EMR}/"))
            .await
            .body
            .ends_with("in strict")
    );
    let refused = analytics(&zoe).await;
    assert!(
        refused.body.contains("grant you Analytics: Kim Doe."),
        "{}",
        refused.body
    );
    assert!(!refused.body.contains("Max Poe"), "{}", refused.body);
    let (kim, _) = official(&clinic, "kim").await;
    save(
        &kim,
        "zoe",
        &[("grant", "analytics"), ("reason", "because")],
    )
    .await;
    assert_eq!(analytics(&zoe).await.status, 200);
}

#[tokio::test]
async fn somebody_else_s_people_and_who_has_no_role_are_out_of_reach() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let lee = clinic.signed_in("lee").await;
    let csrf = kim.get(&user("lee")).await.hidden();
    let csrf = csrf.into_iter().find(|(name, _)| name == "csrf").unwrap();
    let fields = [("grant", "analytics"), ("reason", "because")];
    let mut fields: Vec<(String, String)> = fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    fields.push(csrf);
    assert_eq!(kim.post(&user("max"), &fields).await.status, 404);
    assert_eq!(lee.post(&user("kim"), &fields).await.status, 403);
    assert_eq!(
        kim.post(&user("kim"), &fields).await.status,
        403,
        "nor oneself"
    );
    let analytics = ProductId::parse("analytics").unwrap();
    for (person, has) in [("max", false), ("lee", false), ("kim", true)] {
        let person = PersonId::parse(person).unwrap();
        let known = clinic.directory.person(&person).await.unwrap().unwrap();
        assert_eq!(known.grants.contains(&analytics), has, "{person}");
    }
}
