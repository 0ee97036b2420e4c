//! My Profile, and Company Settings' finer choices.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use vestibule::gate::name::{CompanyId, PersonId};
use vestibule::gate::policy::{FactorMethod, MfaMode, Policies, Reach};

use crate::administration::{official, told};
use crate::clinic::*;
use crate::sent::{lock, wrong_codes};

const MINUTE: Duration = Duration::from_secs(60);

fn account(path: &str) -> String {
    format!("{PORTAL}/account{path}")
}

/// Presses the button of the page's form that goes to `path` with these fields.
async fn press(browser: &Browser<'_>, path: &str, fields: &[(&str, &str)]) -> Page {
    let page = browser.get(&account("")).await;
    let answer = browser.press(&page, &account(path), fields).await;
    browser.follow(answer).await
}

async fn factor_of(clinic: &Clinic, person: &str) -> String {
    let person = PersonId::parse(person).unwrap();
    let factors = clinic.directory.factors(&person).await.unwrap();
    factors.into_iter().next().unwrap().id
}

#[tokio::test]
async fn own_sessions_are_listed_and_signed_out() {
    let clinic = Clinic::open().await;
    let here = clinic.signed_in("lee").await;
    let there = clinic.signed_in("lee").await;
    let third = clinic.signed_in("lee").await;
    let kim = clinic.signed_in("kim").await;
    let page = here.get(&account("")).await;
    assert_eq!(page.body.matches("This browser</span>").count(), 1);
    for other in [&here, &there, &third] {
        assert!(page.body.contains(&other.address.to_string()));
    }
    let ids = |page: &Page| -> Vec<String> {
        let hidden = page.hidden().into_iter();
        let ids = hidden.filter(|(name, _)| name == "session");
        ids.map(|(_, id)| id).collect()
    };
    let others = ids(&page);
    assert_eq!(others.len(), 2);
    // Somebody else's session is nobody's here.
    let kims = kim.cookie(PORTAL, "__Host-vestibule").unwrap();
    let kims = kims.split('.').next().unwrap();
    let gone = press(&here, "/sessions", &[("which", "one"), ("session", kims)]).await;
    assert!(gone.body.contains("changed meanwhile"));
    assert_eq!(kim.get(&format!("{EMR}/")).await.status, 200);

    let fields = [("which", "one"), ("session", others[0].as_str())];
    let page = press(&here, "/sessions", &fields).await;
    assert!(page.body.contains("That device is signed out"));
    assert_eq!(ids(&page), others[1..]);
    let page = press(&here, "/sessions", &[("which", "others")]).await;
    assert!(page.body.contains("signed out everywhere but here"));
    for other in [&there, &third] {
        assert_eq!(other.get(&format!("{EMR}/")).await.status, 302);
    }
    assert_eq!(here.get(&format!("{EMR}/")).await.status, 200);
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert_eq!(heard.matches("\"session_ended\"").count(), 2);
}

#[tokio::test]
async fn one_s_sessions_are_ended_each_and_what_was_ended_is_on_record() {
    let clinic = Clinic::open().await;
    let here = clinic.signed_in("lee").await;
    let first = clinic.signed_in("lee").await;
    let second = clinic.signed_in("lee").await;
    let lee = PersonId::parse("lee").unwrap();
    let all = clinic.sessions.of_person(&lee).await.unwrap();
    let cookie = first.cookie(PORTAL, "__Host-vestibule").unwrap();
    let clung = all
        .iter()
        .find(|one| cookie.starts_with(&one.id.to_string()));
    *clinic.store.clings_to.lock().unwrap() = Some(clung.unwrap().id);
    let page = here.get(&account("")).await;
    let others = [("which", "others")];
    let answer = here.press(&page, &account("/sessions"), &others).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(first.get(&format!("{EMR}/")).await.status, 200);
    assert_eq!(second.get(&format!("{EMR}/")).await.status, 302);
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert_eq!(heard.matches("\"session_ended\"").count(), 1);
}

#[tokio::test]
async fn the_old_authenticator_goes_when_the_new_one_is_proven() {
    let clinic = Clinic::open().await;
    let max = clinic.browser();
    let page = max.log_in(&format!("{EMR}/"), "max").await;
    let (old_key, _) = enrol(&max, page).await;
    let old = factor_of(&clinic, "max").await;
    clinic.wait(MINUTE);
    let replace = account("/authenticator?key=typed");
    let page = max.get(&replace).await;
    let key = |page: &Page| {
        let (_, rest) = page.body.split_once("<code>").expect("the key");
        rest.split('<').next().unwrap().to_owned()
    };
    let new_key = key(&page);
    assert_ne!(new_key, old_key);
    assert_eq!(
        key(&max.get(&replace).await),
        new_key,
        "a reload shows it again"
    );
    let wrong = max.submit(&page, &[("code", "000000")]).await;
    assert_eq!(wrong.status, 403);
    assert_eq!(
        factor_of(&clinic, "max").await,
        old,
        "the old one still works"
    );
    // Its code proves nothing about the new one.
    let now = clinic.now();
    let wrong = max.submit(&page, &[("code", &code(&old_key, now))]).await;
    assert_eq!(wrong.status, 403);

    let right = code(&new_key, now);
    let done = max.submit(&page, &[("code", &right)]).await;
    let done = max.follow(done).await;
    assert!(
        done.body.contains("new authenticator app is in use"),
        "{}",
        done.body
    );
    assert_ne!(factor_of(&clinic, "max").await, old);
    clinic.wait(MINUTE);
    let again = clinic.browser();
    let page = again.log_in(&format!("{EMR}/"), "max").await;
    let now = clinic.now();
    let refused = again.submit(&page, &[("code", &code(&old_key, now))]).await;
    assert_eq!(refused.status, 403);
    let landed = again.submit(&page, &[("code", &code(&new_key, now))]).await;
    assert_eq!(again.follow(landed).await.url, format!("{EMR}/"));
}

#[tokio::test]
async fn a_locked_factor_opens_when_another_takes_its_place_or_it_is_gone() {
    let clinic = Clinic::open().await;
    let (kim, key) = official(&clinic, "kim").await;
    lock(&clinic, "kim", FactorMethod::Totp).await;
    let thief = clinic.browser();
    clinic.decide_mfa("acme", |mfa| mfa.mode = MfaMode::Required);
    clinic.wait(MINUTE);
    let locked = thief.log_in(&format!("{EMR}/"), "kim").await;
    let right = code(&key, clinic.now());
    assert_eq!(thief.submit(&locked, &[("code", &right)]).await.status, 429);

    let page = kim.get(&account("/authenticator?key=typed")).await;
    let (_, rest) = page.body.split_once("<code>").expect("the key");
    let new_key = rest.split('<').next().unwrap().to_owned();
    let right = code(&new_key, clinic.now());
    let replaced = kim.submit(&page, &[("code", &right)]).await;
    assert_eq!(replaced.location(), "/account?done=replaced");
    let totp = FactorMethod::Totp;
    assert_eq!(wrong_codes(&clinic, "kim", totp).await, None);
    clinic.wait(MINUTE);
    let again = clinic.browser();
    let page = again.log_in(&format!("{EMR}/"), "kim").await;
    let right = code(&new_key, clinic.now());
    let answer = again.submit(&page, &[("code", &right)]).await;
    assert_eq!(again.follow(answer).await.url, format!("{EMR}/"));

    // Where it may go, the next one begins with nothing against it either.
    clinic.decide_mfa("acme", |mfa| mfa.mode = MfaMode::Company);
    lock(&clinic, "kim", totp).await;
    let factor = factor_of(&clinic, "kim").await;
    let page = press(&again, "/factors", &[("factor", &factor)]).await;
    assert!(page.body.contains("second factor is removed"));
    assert_eq!(wrong_codes(&clinic, "kim", totp).await, None);
}

#[tokio::test]
async fn a_factor_is_changed_with_a_fresh_one_only() {
    let clinic = Clinic::open().await;
    let (kim, key) = official(&clinic, "kim").await;
    let factor = factor_of(&clinic, "kim").await;
    clinic.wait(16 * MINUTE);
    for page in [
        kim.get(&account("/authenticator")).await,
        press(&kim, "/factors", &[("factor", &factor)]).await,
    ] {
        let page = kim.follow(page).await;
        assert!(page.url.contains("/login/factor"), "{}", page.url);
    }
    assert_eq!(factor_of(&clinic, "kim").await, factor);
    let page = kim.open(&account("/authenticator")).await;
    let answer = kim
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    kim.follow(answer).await;
    // Acme asks for none: the last one may go.
    let page = press(&kim, "/factors", &[("factor", &factor)]).await;
    assert!(
        page.body.contains("second factor is removed"),
        "{}",
        page.body
    );
    assert!(page.body.contains("Set up an authenticator app"));
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert!(heard.contains("\"factor_removed\""));
    told(&clinic, "kim@acme.test", "removed").await;
}

#[tokio::test]
async fn where_a_factor_is_asked_for_the_last_one_stays() {
    let clinic = Clinic::open().await;
    let max = clinic.signed_in_strict("max").await;
    let factor = factor_of(&clinic, "max").await;
    let page = max.get(&account("")).await;
    assert!(page.body.contains("the last one can be replaced"));
    let page = press(&max, "/factors", &[("factor", &factor)]).await;
    assert!(page.body.contains("can only be replaced"), "{}", page.body);
    assert_eq!(factor_of(&clinic, "max").await, factor);
    // Nor another's.
    let (kim, _) = official(&clinic, "kim").await;
    let page = press(&kim, "/factors", &[("factor", &factor)]).await;
    assert!(page.body.contains("changed meanwhile"));
    assert_eq!(factor_of(&clinic, "max").await, factor);
}

#[tokio::test]
async fn two_tabs_that_remove_the_last_two_factors_at_once_leave_one() {
    let clinic = Clinic::open().await;
    let max = clinic.signed_in_strict("max").await;
    let person = PersonId::parse("max").unwrap();
    let directory = &clinic.directory;
    let mail = FactorMethod::Email;
    let added = directory.add_factor(&person, mail, b"max@strict.test", 0, clinic.now());
    added.await.unwrap().unwrap();
    let factors = directory.factors(&person).await.unwrap();
    let page = max.get(&account("")).await;
    let url = account("/factors");
    let tabs = [
        [("factor", factors[0].id.as_str())],
        [("factor", factors[1].id.as_str())],
    ];
    *clinic.store.meeting.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
    let (one, other) = tokio::join!(
        max.press(&page, &url, &tabs[0]),
        max.press(&page, &url, &tabs[1])
    );
    assert_eq!(directory.factors(&person).await.unwrap().len(), 1);
    let mut said = [one.location(), other.location()];
    said.sort_unstable();
    assert_eq!(said, ["/account?done=last", "/account?done=removed"]);
}

/// Of Acme, and works for Texting wherever they sign in; and the other way round.
const VISITORS: &str = r#"{"kind":"person","id":"vic","company":"acme","name":"Vic Way","email":"vic@acme.test","phone":"+15550100041","roles":[]}
{"kind":"account","product":"emr","login":"vic","person":"vic","password_hash":"HASH","companies":["acme","texting"],"default_company":"texting"}
{"kind":"person","id":"wes","company":"texting","name":"Wes Way","email":"wes@texting.test","phone":"+15550100042","roles":[]}
{"kind":"account","product":"emr","login":"wes","person":"wes","password_hash":"HASH","companies":["texting","acme"],"default_company":"acme"}
"#;

#[tokio::test]
async fn a_sign_in_and_my_profile_go_by_the_company_that_one_works_for() {
    let clinic = Clinic::open().await;
    clinic.import(VISITORS).await;
    clinic.decide_mfa("acme", |mfa| mfa.mode = MfaMode::Required);
    for (login, texts) in [("vic", true), ("wes", false)] {
        let browser = clinic.browser();
        let page = browser.log_in(&format!("{EMR}/"), login).await;
        assert!(page.url.contains("/login/enroll"), "{}", page.url);
        let methods = browser
            .get(&format!("{PORTAL}/login/enroll?method=other"))
            .await;
        assert_eq!(
            methods.body.contains("method=sms"),
            texts,
            "{login}: {}",
            methods.body
        );
        let (_, page) = enrol(&browser, page).await;
        assert_eq!(page.url, format!("{EMR}/"), "{}", page.body);
        let profile = browser.get(&account("")).await;
        assert_eq!(
            profile.body.contains("href=\"/account/sms\""),
            texts,
            "{login}: {}",
            profile.body
        );
        let sms = browser.get(&account("/sms")).await;
        assert_eq!(sms.status, if texts { 200 } else { 403 }, "{login}");
    }
}

#[tokio::test]
async fn switched_on_for_the_next_sign_in_leaves_who_is_inside() {
    let clinic = Clinic::open().await;
    let url = format!("{PORTAL}/company/settings");
    let kim = clinic.signed_in("kim").await;
    let lee = clinic.signed_in("lee").await;
    clinic.wait(MINUTE);
    let page = kim.get(&url).await;
    let answer = kim
        .submit(&page, &[("mfa", "on"), ("asked", "next_sign_in")])
        .await;
    let page = kim.follow(answer).await;
    assert!(page.body.contains("Your settings are saved"));
    assert!(page.body.contains("value=\"next_sign_in\" checked"));
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 200);
    let again = clinic.browser();
    let page = again.log_in(&format!("{EMR}/"), "lee").await;
    assert!(page.url.contains("/login/enroll"), "{}", page.url);

    // At once after all.
    let page = kim.get(&url).await;
    kim.submit(&page, &[("mfa", "on"), ("asked", "at_once")])
        .await;
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 302);
    let lines = clinic.heard.lines.lock().unwrap();
    let switched: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("\"mfa_switched\""))
        .collect();
    assert_eq!(switched.len(), 2, "{switched:?}");
    for (line, detail) in switched
        .into_iter()
        .zip(["on, at the next sign-in", "on, at once"])
    {
        for part in ["person: Some(kim)", "company: Some(acme)", detail] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}

#[tokio::test]
async fn the_admin_sees_saved_before_being_asked() {
    let clinic = Clinic::open().await;
    let url = format!("{PORTAL}/company/settings");
    let kim = clinic.signed_in("kim").await;
    let page = kim.get(&url).await;
    let answer = kim.submit(&page, &[("mfa", "on")]).await;
    let saved = kim.follow(answer).await;
    assert!(
        saved.body.contains("Your settings are saved"),
        "{}",
        saved.body
    );
    let asked = kim.open(&format!("{PORTAL}{}", saved.link("Go on"))).await;
    let answer = kim.submit_login(&asked, "kim", PASSWORD).await;
    let page = kim.follow(answer).await;
    let (_, page) = enrol(&kim, page).await;
    assert_eq!(page.url, url);
    assert!(page.body.contains("value=\"on\" checked"));
    // Off is for who shows their own factor.
    clinic.wait(16 * MINUTE);
    let answer = kim.submit(&page, &[("mfa", "off")]).await;
    assert!(kim.follow(answer).await.url.contains("/login/factor"));
    let acme = CompanyId::parse("acme").unwrap();
    let on = clinic.directory.factor_switched_on().await.unwrap();
    assert!(on.contains_key(&acme));
}

#[tokio::test]
async fn a_rollout_that_has_not_reached_a_company_shows_it_nothing() {
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let url = format!("{PORTAL}/company/settings");
    let page = kim.get(&url).await;
    let mut policies = Policies::clone(&clinic.policies.load());
    policies.rollout.mfa = Some(Reach::default());
    clinic.policies.store(std::sync::Arc::new(policies));
    let hidden = kim.get(&url).await;
    assert_eq!(hidden.status, 200);
    assert!(!hidden.body.contains("Multi-factor"), "{}", hidden.body);
    assert_eq!(kim.submit(&page, &[("mfa", "on")]).await.status, 403);
}
