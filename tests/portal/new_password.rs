//! Passwords that expire, and new ones.

use std::time::Duration;

use vestibule::gate::name::{Login, PersonId, ProductId};
use vestibule::gate::policy::{FactorMethod, MfaMode};

use crate::clinic::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NEW: &str = "seven green parakeets";

/// Lee's Billing account waits to be paired.
const MORE: &str = r#"{"kind":"account","product":"billing","login":"lee.billing","password_hash":"HASH"}
"#;

async fn clinic() -> Clinic {
    let clinic = Clinic::open().await;
    for company in ["acme", "strict"] {
        clinic.decide(company, |policy| {
            policy.password.maximum_age = Some(90 * DAY);
        });
    }
    clinic
}

async fn give(browser: &Browser<'_>, page: &Page, new: &str, confirm: &str) -> Page {
    browser
        .submit(page, &[("new", new), ("confirm", confirm)])
        .await
}

async fn log_in_with(browser: &Browser<'_>, url: &str, login: &str, password: &str) -> Page {
    let form = browser.open(url).await;
    let answer = browser.submit_login(&form, login, password).await;
    browser.follow(answer).await
}

#[tokio::test]
async fn an_expired_password_is_told_changed_and_leads_on() {
    let clinic = clinic().await;
    let elsewhere = clinic.browser();
    elsewhere.log_in(&format!("{EMR}/"), "kim").await;
    clinic.wait(90 * DAY);
    // To the day it is still good.
    let page = clinic.browser().log_in(&format!("{EMR}/"), "kim").await;
    assert!(
        page.body.contains("expires in less than a day"),
        "{}",
        page.body
    );
    let elsewhere = clinic.browser();
    log_in_with(&elsewhere, &format!("{EMR}/"), "kim", PASSWORD).await;
    assert_eq!(elsewhere.open(&format!("{EMR}/")).await.status, 200);
    clinic.wait(Duration::from_millis(1));

    let browser = clinic.browser();
    let page = browser
        .log_in(&format!("{BILLING}/claims?page=2"), "kim")
        .await;
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("<h1>Your password has expired</h1>"),
        "{}",
        page.body
    );
    for label in ["New password", "Confirm new password"] {
        assert!(page.body.contains(&format!(">{label}</label>")), "{label}");
    }
    assert_eq!(
        browser.get(&format!("{EMR}/")).await.status,
        302,
        "nobody is in yet"
    );
    let answer = give(&browser, &page, NEW, NEW).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let page = browser.follow(answer).await;
    assert_eq!(page.url, format!("{BILLING}/claims?page=2"));
    assert_eq!(page.body, "Billing for kim.billing by pwd in acme");
    // Whoever was in with the old one is out, and it opens nothing any more.
    assert_eq!(elsewhere.get(&format!("{EMR}/")).await.status, 302);
    let page = log_in_with(&clinic.browser(), &format!("{EMR}/"), "kim", PASSWORD).await;
    assert_eq!(page.status, 403);
    let page = log_in_with(&clinic.browser(), &format!("{EMR}/"), "kim", NEW).await;
    assert_eq!(page.url, format!("{EMR}/"));
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert!(heard.contains("sign_in expired") && heard.contains("password_changed"));
    assert!(!heard.contains(NEW));
}

#[tokio::test]
async fn the_factor_comes_before_the_new_password() {
    let clinic = clinic().await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    let (key, page) = enrol(&browser, page).await;
    assert_eq!(page.url, format!("{EMR}/"), "{}", page.body);
    clinic.wait(91 * DAY);
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    assert!(page.url.contains("/login/factor"), "{}", page.url);
    let early = browser.get(&format!("{PORTAL}/login/expired")).await;
    assert_eq!(early.status, 303, "no short cut");
    let code = code(&key, clinic.now());
    let answer = browser.submit(&page, &[("code", &code)]).await;
    let page = browser.follow(answer).await;
    assert!(
        page.body.contains("Your password has expired"),
        "{}",
        page.body
    );
    // Eight are enough beside a factor.
    assert!(page.body.contains("At least 8 characters"), "{}", page.body);
    let answer = give(&browser, &page, "tin roof", "tin roof").await;
    let page = browser.follow(answer).await;
    assert_eq!(page.body, "EMR for max by pwd,otp,mfa in strict");
}

#[tokio::test]
async fn an_expired_password_takes_nothing_from_who_sets_up_a_factor_or_is_to_be_remembered() {
    let clinic = clinic().await;
    clinic.decide_mfa("strict", |mfa| {
        mfa.methods = vec![FactorMethod::Totp, FactorMethod::Recovery];
        mfa.remember_device = 30 * DAY;
    });
    clinic.wait(91 * DAY);
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/day"), "max").await;
    let (key, page) = enrol(&browser, page).await;
    assert!(
        page.body.contains("Your password has expired"),
        "{}",
        page.body
    );
    assert!(!clinic.heard("recovery_codes_made"), "nobody is in yet");
    let page = give(&browser, &page, "tin roof", "tin roof").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Your recovery codes"), "{}", page.body);
    let on = page.link("I have kept them, go on");
    let landed = browser.follow(browser.get(&format!("{PORTAL}{on}")).await);
    let landed = landed.await;
    assert_eq!(landed.url, format!("{EMR}/day"));
    assert_eq!(landed.body, "EMR for max by pwd,otp,mfa in strict");
    let max = PersonId::parse("max").unwrap();
    let left = clinic.directory.recovery_codes_left(&max).await.unwrap();
    assert_eq!(left, Some(10));
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule-device"), None);

    clinic.wait(91 * DAY);
    let browser = clinic.browser();
    let page = log_in_with(&browser, &format!("{EMR}/"), "max", "tin roof").await;
    let right = code(&key, clinic.now());
    let fields = [("code", right.as_str()), ("remember", "on")];
    let answer = browser.submit(&page, &fields).await;
    let page = browser.follow(answer).await;
    assert!(page.body.contains("Your password has expired"));
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule-device"), None);
    give(&browser, &page, NEW, NEW).await;
    let device = browser.cookie(PORTAL, "__Host-vestibule-device");
    let later = clinic.browser();
    later.set_cookie(PORTAL, "__Host-vestibule-device", &device.unwrap());
    let page = log_in_with(&later, &format!("{EMR}/"), "max", NEW).await;
    assert_eq!(page.body, "EMR for max by pwd in strict");
}

#[tokio::test]
async fn bad_new_passwords_are_refused_with_the_reason() {
    let clinic = clinic().await;
    clinic.wait(91 * DAY);
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "kim").await;
    assert!(
        page.body.contains("At least 15 characters"),
        "{}",
        page.body
    );
    let long = "q w".repeat(400);
    for (new, confirm, reason) in [
        ("", "", "Type a new password, twice."),
        (
            NEW,
            "seven green parrots!",
            "The two passwords are not the same.",
        ),
        ("fourteen chars", "fourteen chars", "at least 15 characters"),
        (long.as_str(), long.as_str(), "at most 1024 bytes"),
        ("passwordpassword", "passwordpassword", "many people use"),
        (
            "Billing-2026-EMR",
            "Billing-2026-EMR",
            "little more than &#34;billing&#34;",
        ),
        ("acmerehab1234567", "acmerehab1234567", "little more than"),
        (PASSWORD, PASSWORD, "the password you have now"),
    ] {
        let answer = give(&browser, &page, new, confirm).await;
        assert_eq!(answer.status, 403, "{new}");
        assert!(answer.body.contains(reason), "{new}: {}", answer.body);
        assert!(answer.body.contains("role=\"alert\""));
    }
    let answer = give(&browser, &page, NEW, NEW).await;
    assert_eq!(answer.status, 303);
    // The page is spent.
    let again = give(
        &browser,
        &page,
        "another good phrase",
        "another good phrase",
    )
    .await;
    assert!(
        again.location().starts_with("/login"),
        "{}",
        again.location()
    );
    let page = log_in_with(&clinic.browser(), &format!("{EMR}/"), "kim", NEW).await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn the_last_five_don_t_come_back_where_passwords_expire() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("kim").await;
    let url = format!("{PORTAL}/account/password");
    let change = async |old: &str, new: &str| {
        // Each of these is a deed of its own that is counted.
        clinic.wait(Duration::from_secs(60));
        let page = browser.open(&url).await;
        assert!(
            page.body.contains("Current password"),
            "{} {}",
            page.url,
            page.body
        );
        browser
            .submit(&page, &[("current", old), ("new", new), ("confirm", new)])
            .await
    };
    let phrase = |n: usize| format!("phrase of number {n}");
    let mut old = String::from(PASSWORD);
    for n in 1..=4 {
        let answer = change(&old, &phrase(n)).await;
        assert_eq!(
            answer.location(),
            "/account?password=changed",
            "{}",
            answer.body
        );
        old = phrase(n);
    }
    for former in [PASSWORD, &phrase(1), &phrase(3)] {
        let answer = change(&old, former).await;
        assert_eq!(answer.status, 403);
        assert!(
            answer.body.contains("one of your last 5 passwords"),
            "{}",
            answer.body
        );
    }
    assert_eq!(change(&old, &phrase(5)).await.status, 303);
    assert_eq!(change(&phrase(5), PASSWORD).await.status, 303, "the sixth");

    // Without an age there is nothing to come back to.
    for company in ["acme", "strict"] {
        clinic.decide(company, |policy| policy.password.maximum_age = None);
    }
    assert_eq!(change(PASSWORD, &phrase(5)).await.status, 303);
    assert_eq!(change(&phrase(5), &phrase(5)).await.status, 403);
}

#[tokio::test]
async fn a_change_needs_the_current_password_and_ends_the_other_sessions() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("kim").await;
    let other = clinic.signed_in("kim").await;
    let profile = browser.open(&format!("{PORTAL}/account")).await;
    let href = profile.link("Change your EMR password");
    let page = browser.open(&format!("{PORTAL}{href}")).await;
    let with = |current: &'static str| [("current", current), ("new", NEW), ("confirm", NEW)];
    for current in ["", "wrong"] {
        let answer = browser.submit(&page, &with(current)).await;
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("The current password is not right."));
    }
    assert_eq!(other.get(&format!("{EMR}/")).await.status, 200);
    let answer = browser.submit(&page, &with(PASSWORD)).await;
    let profile = browser.follow(answer).await;
    assert!(
        profile.body.contains("Your password is changed."),
        "{}",
        profile.body
    );
    assert_eq!(other.get(&format!("{EMR}/")).await.status, 302);
    assert_eq!(browser.get(&format!("{EMR}/")).await.status, 200);
    // Guesses here are guesses at the account.
    for _ in 0..5 {
        browser.submit(&page, &with("wrong")).await;
    }
    for _ in 0..3 {
        assert_eq!(browser.submit(&page, &with(NEW)).await.status, 429);
    }
    // And stand in the trail, with whose session it was.
    let told = |how: &str| {
        let lines = clinic.heard.lines.lock().unwrap();
        let parts = ["\"sign_in\"", "Some(kim)", "session: Some(", how];
        let said = |line: &&String| parts.iter().all(|part| line.contains(part));
        lines.iter().filter(said).count()
    };
    assert_eq!((told("refused"), told("throttled")), (7, 1));
}

#[tokio::test]
async fn from_fourteen_days_before_people_are_warned_once_after_signing_in() {
    let clinic = clinic().await;
    clinic.wait(76 * DAY - Duration::from_millis(1));
    let page = clinic
        .browser()
        .log_in(&format!("{EMR}/rounds"), "kim")
        .await;
    assert_eq!(page.url, format!("{EMR}/rounds"));
    clinic.wait(Duration::from_millis(1));
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/rounds"), "kim").await;
    assert!(
        page.body.contains("Your EMR password expires in 14 days."),
        "{}",
        page.body
    );
    let on = browser
        .open(&format!("{PORTAL}{}", page.link("Not now")))
        .await;
    assert_eq!(on.url, format!("{EMR}/rounds"));
    let profile = browser.open(&format!("{PORTAL}/account")).await;
    assert!(
        profile.body.contains("Expires in 14 days."),
        "{}",
        profile.body
    );

    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/rounds"), "kim").await;
    let page = browser
        .open(&format!("{PORTAL}{}", page.link("Change it now")))
        .await;
    let fields = [("current", PASSWORD), ("new", NEW), ("confirm", NEW)];
    let answer = browser.submit(&page, &fields).await;
    let page = browser.follow(answer).await;
    assert_eq!(
        page.url,
        format!("{EMR}/rounds"),
        "on to where they wanted to go"
    );
}

#[tokio::test]
async fn a_second_password_that_has_expired_is_changed_at_pairing() {
    let clinic = clinic().await;
    clinic.import(MORE).await;
    clinic.wait(91 * DAY);
    // Lee's EMR password is new, the one of Billing is not.
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{BILLING}/"), "lee").await;
    let answer = give(&browser, &page, NEW, NEW).await;
    let first = browser.follow(answer).await;
    assert!(
        first.body.contains("Step 1 of 2"),
        "{} {}",
        first.url,
        first.body
    );
    let answer = browser.submit_login(&first, "lee", NEW).await;
    let second = browser.follow(answer).await;
    let answer = browser.submit_login(&second, "lee.billing", PASSWORD).await;
    let renew = browser.follow(answer).await;
    assert!(
        renew.body.contains("Your Billing password has expired."),
        "{}",
        renew.body
    );
    let refused = give(&browser, &renew, PASSWORD, PASSWORD).await;
    assert!(
        refused.body.contains("the password you have now"),
        "{}",
        refused.body
    );
    let answer = give(
        &browser,
        &renew,
        "a phrase for billing",
        "a phrase for billing",
    )
    .await;
    let done = browser.follow(answer).await;
    assert!(done.body.contains("Success!"), "{}", done.body);
    assert_eq!(browser.open(&format!("{BILLING}/")).await.status, 200);
    let billing = ProductId::parse("billing").unwrap();
    let login = Login::parse("lee.billing").unwrap();
    let account = clinic.directory.account(&billing, &login).await.unwrap();
    assert_eq!(account.unwrap().password_set_at, clinic.now());
}

#[tokio::test]
async fn a_company_that_switches_its_factor_on_asks_for_less_of_a_password() {
    let clinic = clinic().await;
    clinic.decide("acme", |policy| policy.mfa.mode = MfaMode::Required);
    let browser = clinic.signed_in_strict("kim").await;
    let page = browser.open(&format!("{PORTAL}/account/password")).await;
    assert!(page.body.contains("At least 8 characters"), "{}", page.body);
}

#[tokio::test]
async fn who_knew_an_old_password_can_not_replace_the_one_after_it() {
    let clinic = clinic().await;
    clinic.import(MORE).await;
    clinic.wait(91 * DAY);
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "kim").await;
    assert!(page.body.contains("Your password has expired"));
    // Meanwhile somebody who may do so sets another one.
    let emr = ProductId::parse("emr").unwrap();
    let login = Login::parse("kim").unwrap();
    let account = clinic.directory.account(&emr, &login).await.unwrap();
    let hash = account.unwrap().password_hash;
    clinic
        .directory
        .set_password(&emr, &login, &hash, clinic.now())
        .await
        .unwrap();
    let answer = give(&browser, &page, NEW, NEW).await;
    assert!(
        answer.location().starts_with("/login?"),
        "{}",
        answer.location()
    );
    let page = log_in_with(&clinic.browser(), &format!("{EMR}/"), "kim", NEW).await;
    assert_eq!(page.status, 403);
    let page = log_in_with(&clinic.browser(), &format!("{EMR}/"), "kim", PASSWORD).await;
    assert_eq!(page.status, 200);
}
