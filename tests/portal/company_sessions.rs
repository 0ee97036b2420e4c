//! Sessions: who is at work in the company, and ending that.

use crate::administration::official;
use crate::clinic::*;

fn url(query: &str) -> String {
    format!("{PORTAL}/company/sessions{query}")
}

/// The ids that can be chosen on the page.
fn ids(page: &Page) -> Vec<String> {
    let fields = page.body.split("name=\"session\" value=\"").skip(1);
    fields
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

async fn is_in(browser: &Browser<'_>) -> bool {
    browser.get(&format!("{EMR}/")).await.status == 200
}

#[tokio::test]
async fn a_companys_sessions_are_listed_and_ended_with_a_reason() {
    let clinic = Clinic::open().await;
    let (here, there) = (clinic.signed_in("lee").await, clinic.signed_in("lee").await);
    let max = clinic.signed_in_strict("max").await;
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.get(&url("?person=lee")).await;
    assert!(
        page.body.contains("2 sign-ins are at work"),
        "{}",
        page.body
    );
    assert_eq!(
        page.body.matches("Lee &#60;b&#62;Roe").count(),
        2,
        "{}",
        page.body
    );
    let chosen = ids(&page);
    assert_eq!(chosen.len(), 2);
    let all = kim.get(&url("")).await;
    assert!(!all.body.contains("Max Poe") && all.body.contains("(this browser)"));
    assert!(
        kim.get(&url("?person=max"))
            .await
            .body
            .contains("Nobody is signed in")
    );

    let one = [("session", chosen[0].as_str()), ("reason", " ")];
    let unreasoned = kim.submit(&page, &one).await;
    assert_eq!(unreasoned.status, 400);
    assert!(unreasoned.body.contains("Say why"));
    let nothing = kim.submit(&page, &[("reason", "because")]).await;
    assert_eq!(nothing.status, 400);
    assert!(is_in(&here).await && is_in(&there).await);

    let one = [
        ("session", chosen[0].as_str()),
        ("reason", "left open at the desk"),
    ];
    let done = kim.submit(&page, &one).await;
    assert_eq!(done.location(), "/company/sessions?ended=1");
    assert!(kim.follow(done).await.body.contains("1 session is ended"));
    assert_ne!(is_in(&here).await, is_in(&there).await, "one of the two");
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    let line = heard
        .lines()
        .find(|line| line.contains("\"sessions_ended\""))
        .unwrap();
    for part in [
        "whom: lee",
        "who: kim",
        "left open at the desk",
        "\"1 sessions ended in Sessions\"",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(is_in(&max).await);
}

#[tokio::test]
async fn everybody_is_ended_but_who_does_it_and_nobody_of_another_company() {
    let clinic = Clinic::open().await;
    let lee = clinic.signed_in("lee").await;
    let max = clinic.signed_in_strict("max").await;
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.get(&url("")).await;
    let maxs = max.cookie(PORTAL, "__Host-vestibule").unwrap();
    let maxs = maxs.split('.').next().unwrap();
    let done = kim
        .submit(&page, &[("session", maxs), ("reason", "curious")])
        .await;
    assert_eq!(done.location(), "/company/sessions?ended=0");
    assert!(is_in(&max).await, "another company's");
    kim.submit(&page, &[("all", "all"), ("reason", "a laptop was stolen")])
        .await;
    assert!(!is_in(&lee).await);
    assert!(is_in(&max).await);
    assert_eq!(kim.get(&url("")).await.status, 200, "their own goes on");
}

#[tokio::test]
async fn only_an_admin_with_a_fresh_factor_sees_them() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.get(&url("")).await;
    let lee = clinic.signed_in("lee").await;
    clinic.wait(std::time::Duration::from_secs(15 * 60 + 1));
    for answer in [
        kim.get(&url("")).await,
        kim.submit(&page, &[("all", "all"), ("reason", "because")])
            .await,
    ] {
        assert!(
            answer.location().starts_with("/login?"),
            "{}",
            answer.location()
        );
    }
    assert!(is_in(&lee).await);
    // A user manager who is no admin.
    let max = clinic.signed_in_strict("max").await;
    assert_eq!(max.get(&url("")).await.status, 403);
}

/// Ada belongs to Acme and works for North in Billing; Noa runs North.
pub const ACROSS: &str = r#"{"kind":"company","id":"north","name":"North"}
{"kind":"person","id":"noa","company":"north","name":"Noa Sun","email":"noa@north.test","roles":["company_admin","user_manager"]}
{"kind":"account","product":"emr","login":"noa","person":"noa","password_hash":"HASH"}
{"kind":"person","id":"ada","company":"acme","name":"Ada Nova","email":"ada@acme.test","roles":[]}
{"kind":"account","product":"emr","login":"ada","person":"ada","password_hash":"HASH"}
{"kind":"account","product":"billing","login":"ada.billing","person":"ada","password_hash":"HASH","companies":["acme","north"],"default_company":"north"}
"#;

/// The companies in whose trails this event stands, with this reason.
pub fn companies(clinic: &Clinic, event: &str, reason: &str) -> Vec<String> {
    let lines = clinic.heard.lines.lock().unwrap();
    let of = |line: &String| {
        let (_, rest) = line.split_once("company: ")?;
        Some(rest.split(',').next()?.to_owned())
    };
    let fitting = lines
        .iter()
        .filter(|line| line.contains(&format!("event: {event:?}")) && line.contains(reason));
    let mut companies: Vec<String> = fitting.filter_map(of).collect();
    companies.sort();
    companies
}

#[tokio::test]
async fn an_end_stands_in_the_trail_of_every_company_that_it_concerns() {
    let clinic = Clinic::open().await;
    clinic.import(ACROSS).await;
    let ada = clinic.signed_in("ada").await;
    assert!(
        ada.open(&format!("{BILLING}/"))
            .await
            .body
            .ends_with("in north")
    );
    let (noa, _) = official(&clinic, "noa").await;
    let page = noa.get(&url("?person=ada")).await;
    let session = ids(&page).remove(0);
    let fields = [
        ("session", session.as_str()),
        ("reason", "not ours any more"),
    ];
    let done = noa.submit(&page, &fields).await;
    assert_eq!(done.location(), "/company/sessions?ended=1");
    assert!(!is_in(&ada).await, "the whole session");
    assert_eq!(
        companies(&clinic, "sessions_ended", "not ours any more"),
        ["acme", "north"],
        "Ada's own company hears of it"
    );
}

#[tokio::test]
async fn switching_off_what_is_off_writes_nothing() {
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let page = kim.get(&format!("{PORTAL}/company/settings")).await;
    let saved = kim.submit(&page, &[("mfa", "off")]).await;
    assert_eq!(saved.location(), "/company/settings?saved=1");
    assert!(!clinic.heard("mfa_switched"));
}

#[tokio::test]
async fn one_session_that_can_t_be_ended_keeps_no_other() {
    let clinic = Clinic::open().await;
    let lees = [
        clinic.signed_in("lee").await,
        clinic.signed_in("lee").await,
        clinic.signed_in("lee").await,
    ];
    let lee = vestibule::gate::name::PersonId::parse("lee").unwrap();
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.get(&url("?person=lee")).await;
    let all = clinic.sessions.of_person(&lee).await.unwrap();
    *clinic.store.clings_to.lock().unwrap() = Some(all[0].id);
    let fields: Vec<(String, String)> = page
        .hidden()
        .into_iter()
        .chain(
            all.iter()
                .map(|one| (String::from("session"), one.id.to_string())),
        )
        .chain([(String::from("reason"), String::from("a stolen laptop"))])
        .collect();
    let answer = kim.post(&url(""), &fields).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    let mut inside = 0;
    for browser in &lees {
        inside += usize::from(is_in(browser).await);
    }
    assert_eq!(inside, 1, "but the one");
    assert!(clinic.heard("2 sessions ended in Sessions"));
}
