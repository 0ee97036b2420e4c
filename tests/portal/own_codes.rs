//! Codes by text message and by mail, set up and changed in My Profile.

use std::time::Duration;

use vestibule::gate::name::PersonId;
use vestibule::gate::policy::FactorMethod;

use crate::administration::{letters, official, told};
use crate::clinic::*;
use crate::sent::{ask, code_in, lock, newest, sent, type_code, wrong, wrong_codes};

const RESEND: Duration = Duration::from_secs(31);

fn url(path: &str) -> String {
    format!("{PORTAL}/account{path}")
}

/// A clinic that offers everything, and Kim in it with a fresh authenticator code.
async fn kim_of(clinic: &Clinic) -> Browser<'_> {
    let (kim, _) = official(clinic, "kim").await;
    clinic.decide_mfa("acme", |mfa| mfa.methods = FactorMethod::ALL.to_vec());
    kim
}

/// Where Kim's factors of this kind lead.
async fn places(clinic: &Clinic, kind: FactorMethod) -> Vec<String> {
    let kim = PersonId::parse("kim").unwrap();
    let mut places = Vec::new();
    for factor in clinic.directory.factors(&kim).await.unwrap() {
        if factor.kind == kind {
            let secret = clinic.directory.factor_secret(&factor.id).await.unwrap();
            places.push(String::from_utf8(secret.unwrap().to_vec()).unwrap());
        }
    }
    places
}

#[tokio::test]
async fn a_number_becomes_a_factor_when_it_has_proved_itself_and_so_does_another() {
    let clinic = Clinic::open().await;
    let kim = kim_of(&clinic).await;
    let profile = kim.get(&url("")).await;
    for way in ["Get codes by text message", "Get codes by mail"] {
        assert!(profile.body.contains(way), "{way}: {}", profile.body);
    }
    let page = kim
        .get(&format!(
            "{PORTAL}{}",
            profile.link("Get codes by text message")
        ))
        .await;
    let refused = ask(&kim, &page, "typed", "+44 20 7946 0958").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.contains("begin with +1 only"),
        "{}",
        refused.body
    );

    let page = ask(&kim, &page, "typed", "(555) 010-0031").await;
    assert!(
        page.body.contains("the number ending in 31"),
        "{}",
        page.body
    );
    let code = code_in(&newest(&clinic));
    let answer = type_code(&kim, &page, &wrong(&code)).await;
    assert_eq!(answer.status, 403);
    assert!(
        places(&clinic, FactorMethod::Sms).await.is_empty(),
        "nothing is proved"
    );
    let answer = type_code(&kim, &page, &code).await;
    let done = kim.follow(answer).await;
    assert!(
        done.body.contains("log in with these codes"),
        "{}",
        done.body
    );
    // Which number it is, to its owner and to who manages people, and no more of it.
    let managed = kim.get(&format!("{PORTAL}/company/users/kim")).await;
    for page in [&done, &managed] {
        assert!(page.body.contains("Text message (SMS)"));
        let row = "to the number ending in 31";
        assert!(page.body.contains(row), "{}", page.body);
        assert!(!page.body.contains("5550100031"));
    }
    assert!(
        !done.body.contains("Get codes by text message"),
        "one is enough"
    );
    assert_eq!(places(&clinic, FactorMethod::Sms).await, ["+15550100031"]);
    assert!(clinic.heard("\"factor_added\""));
    // The authenticator at the sign-in was the first.
    assert_eq!(
        letters(&clinic, "kim@acme.test", "factor was added").await,
        2
    );

    // Another phone: the old number works until the new one has proved itself. Somebody has locked
    // the old one by guessing.
    lock(&clinic, "kim", FactorMethod::Sms).await;
    clinic.wait(RESEND);
    let page = kim.get(&url("/sms")).await;
    assert!(
        page.body.contains("Another number for codes"),
        "{}",
        page.body
    );
    let page = ask(&kim, &page, "typed", "+15550100032").await;
    assert_eq!(places(&clinic, FactorMethod::Sms).await, ["+15550100031"]);
    let answer = type_code(&kim, &page, &code_in(&newest(&clinic))).await;
    let done = kim.follow(answer).await;
    assert!(
        done.body.contains("Codes go to the new place"),
        "{}",
        done.body
    );
    assert_eq!(places(&clinic, FactorMethod::Sms).await, ["+15550100032"]);
    assert!(clinic.heard("\"factor_replaced\""));
    assert_eq!(wrong_codes(&clinic, "kim", FactorMethod::Sms).await, None);
    told(&clinic, "kim@acme.test", "elsewhere").await;
}

#[tokio::test]
async fn who_has_codes_alone_sets_up_an_authenticator_app_beside_them() {
    let clinic = Clinic::open().await;
    let kim = kim_of(&clinic).await;
    let page = kim.get(&url("/sms")).await;
    let page = ask(&kim, &page, "typed", "+15550100031").await;
    type_code(&kim, &page, &code_in(&newest(&clinic))).await;
    let person = PersonId::parse("kim").unwrap();
    let factors = clinic.directory.factors(&person).await.unwrap();
    let app = factors
        .iter()
        .find(|factor| factor.kind == FactorMethod::Totp);
    clinic
        .directory
        .remove_factor(&person, &app.unwrap().id, false)
        .await
        .unwrap();

    let profile = kim.get(&url("")).await;
    let href = profile.link("Set up an authenticator app");
    let page = kim.get(&format!("{PORTAL}{href}?key=typed")).await;
    assert!(
        page.body.contains("<h1>Set up an authenticator app"),
        "{}",
        page.body
    );
    let (_, rest) = page.body.split_once("<code>").expect("the key");
    let key = rest.split('<').next().unwrap();
    let right = code(key, clinic.now());
    let answer = kim.submit(&page, &[("code", &right)]).await;
    let done = kim.follow(answer).await;
    assert!(done.body.contains("It is set up"), "{}", done.body);
    assert_eq!(clinic.directory.factors(&person).await.unwrap().len(), 2);
    // Where it is not offered, what is there stays and nothing is added.
    clinic.decide_mfa("acme", |mfa| mfa.methods = vec![FactorMethod::Sms]);
    assert!(
        kim.get(&url("/authenticator"))
            .await
            .body
            .contains("Replace")
    );
}

#[tokio::test]
async fn a_mail_address_becomes_a_factor_that_a_sign_in_can_use() {
    let clinic = Clinic::open().await;
    let kim = kim_of(&clinic).await;
    let page = kim.get(&url("/email")).await;
    assert!(page.body.contains("k•••@acme.test"), "{}", page.body);
    let page = ask(&kim, &page, "file", "").await;
    let answer = type_code(&kim, &page, &code_in(&newest(&clinic))).await;
    kim.follow(answer).await;
    assert_eq!(
        places(&clinic, FactorMethod::Email).await,
        ["kim@acme.test"]
    );
}

#[tokio::test]
async fn a_code_works_in_the_browser_that_asked_for_it_once_and_for_ten_minutes() {
    let clinic = Clinic::open().await;
    let kim = kim_of(&clinic).await;
    let page = kim.get(&url("/sms")).await;
    let page = ask(&kim, &page, "typed", "+15550100031").await;
    let code = code_in(&newest(&clinic));
    clinic.wait(Duration::from_secs(10 * 60 + 1));
    assert_eq!(type_code(&kim, &page, &code).await.status, 403);
    assert!(places(&clinic, FactorMethod::Sms).await.is_empty());
}

#[tokio::test]
async fn codes_are_set_up_with_a_fresh_factor_and_where_they_are_offered() {
    let clinic = Clinic::open().await;
    let kim = kim_of(&clinic).await;
    let page = kim.get(&url("/sms")).await;
    clinic.wait(Duration::from_secs(15 * 60 + 1));
    let before = sent(&clinic);
    for answer in [
        kim.get(&url("/sms")).await,
        kim.get(&url("/email")).await,
        kim.submit(
            &page,
            &[("do", "send"), ("to", "typed"), ("typed", "+15550100031")],
        )
        .await,
    ] {
        assert!(
            answer.location().contains("need=factor"),
            "{}",
            answer.location()
        );
    }
    assert_eq!(sent(&clinic), before, "nothing is sent");
    clinic.decide_mfa("acme", |mfa| mfa.methods = vec![FactorMethod::Totp]);
    assert_eq!(kim.get(&url("/sms")).await.status, 403);
    let profile = kim.get(&url("")).await;
    assert!(!profile.body.contains("Get codes by"), "{}", profile.body);
}
