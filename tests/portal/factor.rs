//! The second factor.

use std::time::Duration;

use vestibule::gate::name::PersonId;

use crate::clinic::*;

const STEP: Duration = Duration::from_secs(30);

/// Signed in once, with an authenticator; the key as it was typed.
async fn enrolled(clinic: &Clinic) -> String {
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    let (key, page) = enrol(&browser, page).await;
    assert_eq!(page.url, format!("{EMR}/"));
    clinic.wait(2 * STEP);
    key
}

#[tokio::test]
async fn the_first_sign_in_enrols_with_a_qr_code() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/day"), "max").await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login/enroll?")),
        "{}",
        page.url
    );
    for words in [
        "<svg",
        ">Trouble Scanning?</a>",
        ">Try another method</a>",
        ">One-time code</label>",
        ">Verify</button>",
        "autocomplete=\"one-time-code\"",
        "inputmode=\"numeric\"",
    ] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
    let qr = |page: &Page| {
        page.body
            .split("<svg")
            .last()
            .unwrap()
            .split("</svg>")
            .next()
            .unwrap()
            .to_owned()
    };
    let reloaded = browser.open(&page.url).await;
    assert_eq!(qr(&page), qr(&reloaded), "a reload shows the same code");
    let other = browser
        .get(&format!("{PORTAL}{}", page.link("Try another method")))
        .await;
    assert!(other.body.contains("Authenticator app"));
    assert!(!other.body.contains("SMS"), "only what is built");

    let (_, page) = enrol(&browser, page).await;
    assert_eq!(
        (page.url.as_str(), page.body.as_str()),
        (
            "https://emr.test:8443/day",
            "EMR for max by pwd,otp,mfa in strict"
        )
    );
}

#[tokio::test]
async fn later_sign_ins_ask_for_a_code_once_used() {
    let clinic = Clinic::open().await;
    let key = enrolled(&clinic).await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{BILLING}/"), "max").await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login/factor?")),
        "{}",
        page.url
    );
    assert!(page.body.contains(">One-time code</label>") && page.body.contains(">Verify</button>"));
    let right = code(&key, clinic.now());
    let spaced = format!("{} {}", &right[..3], &right[3..]);
    let answer = browser.submit(&page, &[("code", &spaced)]).await;
    assert_eq!(
        browser.follow(answer).await.body,
        "Billing for max.billing by pwd,otp,mfa in strict"
    );

    let thief = clinic.browser();
    let page = thief.log_in(&format!("{EMR}/"), "max").await;
    let answer = thief.submit(&page, &[("code", &right)]).await;
    assert_eq!(answer.status, 403, "not a second time");
    assert!(answer.body.contains("That code is not right"));
    assert_eq!(thief.cookie(PORTAL, "__Host-vestibule"), None);
}

#[tokio::test]
async fn of_two_at_once_with_one_code_one_gets_in() {
    let clinic = Clinic::open().await;
    let key = enrolled(&clinic).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let browser = clinic.browser();
        let page = browser.log_in(&format!("{EMR}/"), "max").await;
        waiting.push((browser, page));
    }
    let right = code(&key, clinic.now());
    let answers = waiting.iter().map(|(browser, page)| {
        let right = right.clone();
        async move { browser.submit(page, &[("code", right.as_str())]).await }
    });
    let answers = futures_util::future::join_all(answers).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 303).count(),
        1
    );
}

#[tokio::test]
async fn no_step_can_be_skipped() {
    let clinic = Clinic::open().await;
    let stranger = clinic.browser();
    for path in ["/login/factor", "/login/enroll"] {
        let page = stranger.get(&format!("{PORTAL}{path}")).await;
        assert_eq!((page.status, page.location()), (303, "/login"));
        let page = stranger
            .post(
                &format!("{PORTAL}{path}"),
                &[(String::from("code"), String::from("000000"))],
            )
            .await;
        assert_eq!((page.status, page.location()), (303, "/login"));
    }
    let key = enrolled(&clinic).await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    assert_eq!(
        browser.cookie(PORTAL, "__Host-vestibule"),
        None,
        "no session before the factor"
    );
    assert!(
        browser
            .open(&format!("{EMR}/"))
            .await
            .url
            .starts_with(&format!("{PORTAL}/login?"))
    );
    assert_eq!(browser.get(&format!("{PORTAL}/apps")).await.status, 303);

    // An empty form, a form without a code, another step's address.
    for fields in [
        vec![],
        vec![("code", "")],
        vec![("code", "      ")],
        vec![("code", "12345")],
        vec![("other", "1")],
    ] {
        let answer = browser.submit(&page, &fields).await;
        assert_eq!(answer.status, 400, "{fields:?}");
    }
    let answer = browser
        .post(&format!("{PORTAL}/login/enroll"), &page.hidden())
        .await;
    assert!(
        answer.location().starts_with("/login/factor"),
        "{}",
        answer.location()
    );
    let answer = browser.get(&format!("{PORTAL}/login/enroll")).await;
    assert_eq!(answer.location(), "/login/factor");
    // The right code, but without our token.
    let right = code(&key, clinic.now());
    let answer = browser
        .post(
            &format!("{PORTAL}/login/factor"),
            &[(String::from("code"), right.clone())],
        )
        .await;
    assert!(answer.location().starts_with("/login/factor"));
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule"), None);
    // And from another site.
    let mut fields = page.hidden();
    fields.push((String::from("code"), right.clone()));
    let from = vec![("origin", String::from("null"))];
    assert_eq!(
        browser
            .post_from(&format!("{PORTAL}/login/factor"), &fields, from)
            .await
            .status,
        403
    );

    let answer = browser.submit(&page, &[("code", &right)]).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
    // A replay of the whole form opens nothing new.
    let thief = clinic.browser();
    let answer = thief.post(&format!("{PORTAL}/login/factor"), &fields).await;
    assert_eq!(answer.status, 303);
    assert!(answer.location().starts_with("/login?"));
}

#[tokio::test]
async fn the_cookie_changes_with_each_step() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let before = browser.cookie(PORTAL, "__Host-vestibule-login").unwrap();
    browser.submit_login(&form, "max", PASSWORD).await;
    let after = browser.cookie(PORTAL, "__Host-vestibule-login").unwrap();
    assert_ne!(
        before, after,
        "a cookie that was planted before leads nowhere"
    );
    let planted = clinic.browser();
    planted.set_cookie(PORTAL, "__Host-vestibule-login", &before);
    assert_eq!(
        planted
            .get(&format!("{PORTAL}/login/enroll"))
            .await
            .location(),
        "/login"
    );
}

/// Who was told that somebody knows their password, once anybody is.
async fn told_of_guessing(clinic: &Clinic) -> Vec<String> {
    for _ in 0..2_000 {
        let mut mails = clinic.messages.outbox().all();
        mails.retain(|mail| mail.text.contains("typed five wrong ones in a row"));
        if !mails.is_empty() {
            return mails.into_iter().map(|mail| mail.to).collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no mail");
}

#[tokio::test]
async fn five_wrong_codes_end_the_attempt_and_slow_down_the_person() {
    let clinic = Clinic::open().await;
    let key = enrolled(&clinic).await;
    let browser = clinic.browser();
    let mut page = browser.log_in(&format!("{EMR}/"), "max").await;
    for _ in 0..4 {
        page = browser.submit(&page, &[("code", "000000")]).await;
        assert_eq!(page.status, 403);
        page.url = format!("{PORTAL}/login/factor");
    }
    let answer = browser.submit(&page, &[("code", "000000")]).await;
    let form = browser.follow(answer).await;
    assert!(form.body.contains("wrong too often"), "{}", form.body);
    // Whoever typed them knew the password: its owner is told, once.
    assert_eq!(told_of_guessing(&clinic).await, ["max@strict.test"]);
    assert_eq!(
        browser
            .get(&format!("{PORTAL}/login/factor"))
            .await
            .location(),
        "/login"
    );

    // A new attempt, from anywhere, starts slowed down: the count is the person's.
    let other = clinic.browser();
    let page = other.log_in(&format!("{EMR}/"), "max").await;
    let answer = other
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "5"));
    clinic.wait(Duration::from_secs(5));
    assert_eq!(other.submit(&page, &[("code", "000000")]).await.status, 403);
    clinic.wait(Duration::from_secs(10));
    let answer = other
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    assert_eq!(other.follow(answer).await.url, format!("{EMR}/"));
    assert_eq!(told_of_guessing(&clinic).await.len(), 1);
}

#[tokio::test]
async fn a_code_comes_too_late_after_a_quarter_of_an_hour() {
    let clinic = Clinic::open().await;
    let key = enrolled(&clinic).await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    clinic.wait(Duration::from_secs(15 * 60 + 1));
    let answer = browser
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    assert!(
        answer.location().starts_with("/login?"),
        "{}",
        answer.location()
    );
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule"), None);
}

#[tokio::test]
async fn a_person_disabled_between_the_steps_stays_out() {
    let clinic = Clinic::open().await;
    let key = enrolled(&clinic).await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    clinic
        .directory
        .set_disabled(&PersonId::parse("max").unwrap(), true)
        .await
        .unwrap();
    let answer = browser
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    assert!(answer.location().starts_with("/login?"));
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule"), None);
}

#[tokio::test]
async fn ten_tabs_at_the_code_page_all_end_up_right() {
    let clinic = Clinic::open().await;
    let key = enrolled(&clinic).await;
    let browser = clinic.browser();
    let mut forms = Vec::new();
    for tab in 0..10 {
        forms.push(browser.open(&format!("{EMR}/{tab}")).await);
    }
    let answer = browser.submit_login(&forms[0], "max", PASSWORD).await;
    let page = browser.follow(answer).await;
    // The password typed once more elsewhere leads to the step that waits.
    let second = browser.submit_login(&forms[1], "max", PASSWORD).await;
    assert!(second.location().starts_with("/login/factor?"));
    let second = browser.follow(second).await;
    let answer = browser
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/0"));
    // Its code page is stale now, and leads on.
    let answer = browser.submit(&second, &[("code", "111111")]).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/1"));
    for (tab, form) in forms.iter().enumerate().skip(2) {
        let answer = browser.submit_login(form, "max", PASSWORD).await;
        assert_eq!(browser.follow(answer).await.url, format!("{EMR}/{tab}"));
    }
}

#[tokio::test]
async fn a_rule_that_wants_a_fresh_factor_asks_for_the_factor_alone() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{BILLING}/"), "max").await;
    let (key, _) = enrol(&browser, page).await;
    clinic.wait(HOUR);
    let session = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    let url = format!("{BILLING}/payments/7");
    let page = browser.open(&url).await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login/factor?")),
        "{}",
        page.url
    );
    let again = browser.open(&url).await;
    assert!(
        again.set_cookies().is_empty(),
        "a second tab waits at the same step"
    );
    let answer = browser
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    let page = browser.follow(answer).await;
    assert_eq!(page.url, format!("{BILLING}/payments/7"));
    let renewed = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    assert_eq!(renewed.split('.').next(), session.split('.').next());
    assert_ne!(renewed, session);
    // Fresh now: straight through; stale again after the rule's quarter of an hour.
    assert_eq!(browser.get(&url).await.status, 200);
    clinic.wait(Duration::from_secs(901));
    let page = browser.open(&url).await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login/factor?")),
        "{}",
        page.url
    );
    let answer = browser
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    let page = browser.follow(answer).await;
    assert_eq!(page.url, format!("{BILLING}/payments/7"));
}

#[tokio::test]
async fn a_session_without_a_factor_needs_the_password_to_add_the_first() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let url = format!("{EMR}/payments/7");
    let page = browser.open(&url).await;
    assert!(
        page.body.contains("enter your password again"),
        "{}",
        page.body
    );
    assert!(page.body.contains("readonly"));
    let answer = browser.submit_login(&page, "kim", PASSWORD).await;
    assert!(
        answer.location().starts_with("/login/enroll?"),
        "{}",
        answer.location()
    );
}
