//! Passkeys, recovery codes and remembered devices.

use std::time::Duration;

use vestibule::gate::name::{Login, PersonId, ProductId};
use vestibule::gate::policy::FactorMethod;

use crate::authenticator::*;
use crate::clinic::*;

const DAY: Duration = Duration::from_secs(86_400);

fn max() -> PersonId {
    PersonId::parse("max").unwrap()
}

/// Where strict offers these, in this order.
async fn offering(methods: &'static [FactorMethod]) -> Clinic {
    let clinic = Clinic::open().await;
    clinic.decide_mfa("strict", |mfa| mfa.methods = methods.to_vec());
    clinic
}

async fn with_passkeys() -> Clinic {
    offering(&[FactorMethod::Passkey, FactorMethod::Totp]).await
}

/// At the first sign-in.
async fn set_up(browser: &Browser<'_>) -> (Authenticator, Page) {
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    assert!(page.body.contains("Set up a passkey"), "{}", page.body);
    let authenticator = Authenticator::new();
    let answer = browser
        .submit(&page, &[("answer", &authenticator.create(&page))])
        .await;
    (authenticator, browser.follow(answer).await)
}

#[tokio::test]
async fn a_passkey_is_set_up_and_asked_for_at_the_next_sign_in() {
    let clinic = with_passkeys().await;
    let browser = clinic.browser();
    let (mut authenticator, page) = set_up(&browser).await;
    assert_eq!(page.body, "EMR for max by pwd,hwk,mfa in strict");
    assert!(clinic.heard("factor passkey ok") && clinic.heard("\"factor_added\""));

    let later = clinic.browser();
    let page = later.log_in(&format!("{EMR}/day"), "max").await;
    assert!(page.body.contains("Use your passkey"), "{}", page.body);
    for words in [
        ">Try another method</a>",
        "needs JavaScript",
        "<script src=\"/assets/passkey-",
    ] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let script = later.get(&format!("{PORTAL}{}", script_of(&page))).await;
    assert_eq!(
        (script.status, script.header("content-type")),
        (200, "text/javascript; charset=utf-8")
    );
    let wanted = options(&page);
    assert_eq!(
        (wanted["rpId"].as_str(), wanted["userVerification"].as_str()),
        (Some("login.test"), Some("required"))
    );
    let answer = later
        .submit(&page, &[("answer", &authenticator.get(&page))])
        .await;
    let page = later.follow(answer).await;
    assert_eq!(
        (page.url.as_str(), page.body.as_str()),
        (
            "https://emr.test:8443/day",
            "EMR for max by pwd,hwk,mfa in strict"
        )
    );
}

fn script_of(page: &Page) -> String {
    let (_, rest) = page.body.split_once("<script src=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_that_is_not_quite_right_opens_nothing() {
    type Wrong = fn(&mut Authenticator);
    let wrongs: [(&str, Wrong); 9] = [
        ("origin", |a| a.origin = String::from("https://login.test")),
        ("origin", |a| {
            a.origin = String::from("https://emr.test:8443")
        }),
        ("origin", |a| {
            a.origin = String::from("https://x.login.test:8443")
        }),
        ("host", |a| a.host = String::from("emr.test")),
        ("user_not_verified", |a| a.flags = PRESENT),
        ("user_not_verified", |a| a.flags = VERIFIED),
        ("counter", |a| a.counter = 0),
        ("backup_state", |a| a.flags |= BACKED_UP),
        ("unknown", |a| *a = Authenticator::new()),
    ];
    for (reason, make_wrong) in wrongs {
        let clinic = with_passkeys().await;
        let (mut authenticator, _) = set_up(&clinic.browser()).await;
        let thief = clinic.browser();
        let page = thief.log_in(&format!("{EMR}/"), "max").await;
        make_wrong(&mut authenticator);
        let answer = thief
            .submit(&page, &[("answer", &authenticator.get(&page))])
            .await;
        assert_eq!(answer.status, 403, "{reason}: {}", answer.body);
        assert!(answer.body.contains("That passkey was not accepted"));
        assert!(clinic.heard(&format!("detail: \"{reason}\"")), "{reason}");
        assert!(clinic.heard("factor passkey refused"));
        assert_eq!(thief.cookie(PORTAL, "__Host-vestibule"), None, "{reason}");
    }
}

#[tokio::test]
async fn what_is_no_answer_at_all_opens_nothing() {
    let clinic = with_passkeys().await;
    set_up(&clinic.browser()).await;
    let thief = clinic.browser();
    for (answer, status) in [("", 400), ("{}", 403), ("null", 403)] {
        let page = thief.open(&format!("{EMR}/")).await;
        let page = match page.url.contains("/login/factor") {
            true => page,
            false => thief.log_in(&format!("{EMR}/"), "max").await,
        };
        let answer = thief.submit(&page, &[("answer", answer)]).await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(thief.cookie(PORTAL, "__Host-vestibule"), None);
}

#[tokio::test]
async fn a_question_is_answered_once_in_its_own_browser_and_in_time() {
    let clinic = with_passkeys().await;
    let (mut authenticator, _) = set_up(&clinic.browser()).await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    let again = browser.get(&page.url).await;
    assert_eq!(
        options(&page),
        options(&again),
        "a second tab asks the same"
    );

    // Signed for this browser's question, sent by another.
    let thief = clinic.browser();
    let other = thief.log_in(&format!("{EMR}/"), "max").await;
    assert_ne!(options(&page)["challenge"], options(&other)["challenge"]);
    let stolen = authenticator.get(&page);
    let answer = thief.submit(&other, &[("answer", &stolen)]).await;
    assert_eq!(answer.status, 403);
    assert!(clinic.heard("detail: \"challenge\""));

    clinic.wait(Duration::from_secs(5 * 60 + 1));
    let late = browser.submit(&page, &[("answer", &stolen)]).await;
    assert!(late.body.contains("That took too long"), "{}", late.body);
    assert_ne!(options(&late)["challenge"], options(&page)["challenge"]);

    // In time; of four that come at once with the one answer, one gets in.
    let right = authenticator.get(&late);
    let fields = [("answer", right.as_str())];
    let sent = (0..4).map(|_| browser.submit(&late, &fields));
    let answers = futures_util::future::join_all(sent).await;
    let got_in = answers.iter().filter(|answer| {
        let cookies = answer.set_cookies();
        cookies
            .iter()
            .any(|cookie| cookie.starts_with("__Host-vestibule="))
    });
    assert_eq!(got_in.count(), 1);
}

#[tokio::test]
async fn a_passkey_that_is_taken_or_removed_meanwhile_is_refused() {
    let clinic = with_passkeys().await;
    let browser = clinic.browser();
    let (mut authenticator, _) = set_up(&browser).await;
    let later = clinic.browser();
    let page = later.log_in(&format!("{EMR}/"), "max").await;
    let answer = authenticator.get(&page);
    clinic.directory.remove_factors(&max()).await.unwrap();
    let answer = later.submit(&page, &[("answer", &answer)]).await;
    assert!(
        answer.location().starts_with("/login?"),
        "the password leads on"
    );
    assert_eq!(later.cookie(PORTAL, "__Host-vestibule"), None);
    // And whoever enrols in two tabs at once adds one factor.
    let (one, two) = (clinic.browser(), clinic.browser());
    let first = one.log_in(&format!("{EMR}/"), "max").await;
    let second = two.log_in(&format!("{EMR}/"), "max").await;
    let (mine, other) = (Authenticator::new(), Authenticator::new());
    one.submit(&first, &[("answer", &mine.create(&first))])
        .await;
    let answer = two
        .submit(&second, &[("answer", &other.create(&second))])
        .await;
    assert!(
        answer.location().contains("reason=enrolled"),
        "{}",
        answer.location()
    );
    assert_eq!(clinic.directory.factors(&max()).await.unwrap().len(), 1);
}

/// The codes on the page.
fn codes_on(page: &Page) -> Vec<String> {
    let codes = page.body.split("<li><code>").skip(1);
    codes
        .map(|rest| rest.split('<').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn recovery_codes_are_shown_once_and_each_works_once() {
    let clinic = offering(&[FactorMethod::Totp, FactorMethod::Recovery]).await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/day"), "max").await;
    let other = browser
        .get(&format!("{PORTAL}{}", page.link("Try another method")))
        .await;
    assert!(
        !other.body.contains("Recovery code"),
        "never the first factor"
    );
    let (_, page) = enrol(&browser, page).await;
    let codes = codes_on(&page);
    assert_eq!(codes.len(), 10, "{}", page.body);
    assert!(clinic.heard("recovery_codes_made"));
    let on = browser
        .follow(
            browser
                .get(&format!("{PORTAL}{}", page.link("I have kept them, go on")))
                .await,
        )
        .await;
    assert_eq!(on.body, "EMR for max by pwd,otp,mfa in strict");
    assert_eq!(on.url, format!("{EMR}/day"));

    let used = " ".to_owned() + &codes[3].to_uppercase();
    for (attempt, typed) in [(1, &used), (2, &used), (3, &codes[4])] {
        let later = clinic.browser();
        let page = later.log_in(&format!("{EMR}/"), "max").await;
        assert!(
            page.body.contains(">One-time code</label>"),
            "not asked for at once"
        );
        let list = later
            .get(&format!("{PORTAL}{}", page.link("Try another method")))
            .await;
        let (before, _) = list
            .body
            .split_once("<b>Recovery code</b>")
            .expect("offered");
        let href = before
            .rsplit("href=\"")
            .next()
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let page = later
            .get(&format!("{PORTAL}{}", href.replace("&#38;", "&")))
            .await;
        let answer = later.submit(&page, &[("code", typed)]).await;
        if attempt == 2 {
            assert_eq!(answer.status, 403);
            assert!(answer.body.contains("was used before"), "{}", answer.body);
        } else {
            let page = later.follow(answer).await;
            assert_eq!(page.body, "EMR for max by pwd,otp,mfa in strict");
        }
    }
    assert!(clinic.heard("recovery_code_used") && clinic.heard("detail: \"8 left\""));
    let left = clinic.directory.recovery_codes_left(&max()).await.unwrap();
    assert_eq!(left, Some(8));
    // Where the company takes them away, they are worth nothing.
    clinic.decide_mfa("strict", |mfa| mfa.methods = vec![FactorMethod::Totp]);
    let later = clinic.browser();
    let page = later.log_in(&format!("{EMR}/"), "max").await;
    let page = later.get(&format!("{}&method=recovery", page.url)).await;
    assert!(page.body.contains(">One-time code</label>"));
}

#[tokio::test]
async fn my_profile_says_how_many_recovery_codes_are_left_and_when_they_are_few() {
    let clinic = offering(&[FactorMethod::Totp, FactorMethod::Recovery]).await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    let (_, page) = enrol(&browser, page).await;
    let codes = codes_on(&page);
    for (spent, said, few) in [
        (0, "You have 10 recovery codes left.", false),
        (7, "You have 3 recovery codes left.", false),
        (1, "You have 2 recovery codes left.", true),
        (1, "You have 1 recovery code left.", true),
        (1, "You have 0 recovery codes left.", true),
    ] {
        let before = clinic.directory.recovery_codes_left(&max()).await.unwrap();
        let next = codes.iter().skip(10 - before.unwrap() as usize);
        for code in next.take(spent) {
            let code = code.replace('-', "");
            let directory = &clinic.directory;
            let spent = directory
                .spend_recovery_code(&max(), &code, clinic.now())
                .await;
            assert!(spent.unwrap());
        }
        let profile = browser.get(&format!("{PORTAL}/account")).await;
        assert!(profile.body.contains(said), "{said} in {}", profile.body);
        let warned = profile.body.contains("Get new ones before you need them.");
        assert_eq!(warned, few, "{said}");
    }
    clinic.decide_mfa("strict", |mfa| mfa.methods = vec![FactorMethod::Totp]);
    let profile = browser.get(&format!("{PORTAL}/account")).await;
    assert!(
        !profile.body.contains("recovery codes left"),
        "worth nothing here"
    );
}

#[tokio::test]
async fn new_recovery_codes_and_another_passkey_want_a_fresh_factor() {
    let clinic = offering(&[
        FactorMethod::Totp,
        FactorMethod::Passkey,
        FactorMethod::Recovery,
    ])
    .await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    let (key, page) = enrol(&browser, page).await;
    let old = codes_on(&page);
    let page = browser.get(&format!("{PORTAL}/account/recovery")).await;
    assert!(
        page.body.contains("10 recovery codes left"),
        "{}",
        page.body
    );
    let page = browser.submit(&page, &[]).await;
    let new = codes_on(&page);
    assert_eq!(new.len(), 10);
    assert!(new.iter().all(|code| !old.contains(code)));
    let old = old[0].replace('-', "");
    let spent = clinic
        .directory
        .spend_recovery_code(&max(), &old, clinic.now())
        .await;
    assert!(!spent.unwrap(), "the old ones are worth nothing");

    clinic.wait(Duration::from_secs(15 * 60 + 1));
    for path in ["/account/recovery", "/account/passkey"] {
        let page = browser.get(&format!("{PORTAL}{path}")).await;
        assert!(
            page.location().contains("need=factor"),
            "{}",
            page.location()
        );
        let posted = browser.submit_to(path, &[]).await;
        assert!(
            posted.location().contains("need=factor"),
            "{}",
            posted.location()
        );
    }
    let page = browser.open(&format!("{PORTAL}/account/passkey")).await;
    assert!(
        page.body.contains(">One-time code</label>"),
        "{}",
        page.body
    );
    let answer = browser
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    clinic.wait(Duration::from_secs(1));
    let page = browser.follow(answer).await;
    assert!(page.body.contains("Add a passkey"), "{}", page.body);
    let mut authenticator = Authenticator::new();
    let answer = authenticator.create(&page);
    assert!(page.body.contains("Name of this passkey"), "{}", page.body);
    let named = [
        ("answer", answer.as_str()),
        ("called", "  My <old> phone\n"),
    ];
    let done = browser.submit(&page, &named).await;
    assert!(done.body.contains("Your passkey is added"), "{}", done.body);
    let profile = browser.get(&format!("{PORTAL}/account")).await;
    assert!(
        profile.body.contains("<b>My &#60;old&#62; phone</b>")
            && profile.body.contains("Passkey · Added"),
        "{}",
        profile.body
    );
    let again = browser.submit(&page, &[("answer", &answer)]).await;
    assert!(
        again.body.contains("That took too long"),
        "once only: {}",
        again.body
    );

    // Both can be asked for; the one used last at once.
    let later = clinic.browser();
    let page = later.log_in(&format!("{EMR}/"), "max").await;
    assert!(page.body.contains("Use your passkey"));
    let list = later
        .get(&format!("{PORTAL}{}", page.link("Try another method")))
        .await;
    assert!(list.body.contains("<b>Authenticator app</b>"));
    let answer = later
        .submit(&page, &[("answer", &authenticator.get(&page))])
        .await;
    assert_eq!(later.follow(answer).await.status, 200);
}

/// Strict remembers devices for 30 days; max has an authenticator.
async fn remembering() -> (Clinic, String) {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    let (key, _) = enrol(&browser, page).await;
    clinic.wait(Duration::from_secs(60));
    clinic.decide_mfa("strict", |mfa| mfa.remember_device = 30 * DAY);
    (clinic, key)
}

/// Signs in with a code and asks to be remembered.
async fn remembered<'a>(clinic: &'a Clinic, key: &str) -> Browser<'a> {
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    assert!(
        page.body.contains("Remember this device for 30 days"),
        "{}",
        page.body
    );
    let fields = [
        ("code", code(key, clinic.now())),
        ("remember", String::from("on")),
    ];
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let answer = browser.submit(&page, &fields).await;
    assert!(answer.set_cookies().iter().any(|cookie| {
        cookie.starts_with("__Host-vestibule-device=")
            && cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000")
    }));
    assert_eq!(
        browser.follow(answer).await.body,
        "EMR for max by pwd,otp,mfa in strict"
    );
    assert!(clinic.heard("device_remembered"));
    browser
}

/// The next morning in that browser: what the password leads to.
async fn morning<'a>(
    clinic: &'a Clinic,
    browser: &Browser<'a>,
    later: Duration,
) -> (Browser<'a>, Page) {
    clinic.wait(later);
    let fresh = clinic.browser();
    if let Some(device) = browser.cookie(PORTAL, "__Host-vestibule-device") {
        fresh.set_cookie(PORTAL, "__Host-vestibule-device", &device);
    }
    let page = fresh.log_in(&format!("{EMR}/"), "max").await;
    (fresh, page)
}

#[tokio::test]
async fn a_remembered_device_spares_the_code_for_its_time() {
    let (clinic, key) = remembering().await;
    let browser = remembered(&clinic, &key).await;
    let (fresh, page) = morning(&clinic, &browser, 29 * DAY).await;
    assert_eq!(page.body, "EMR for max by pwd in strict");
    assert!(clinic.heard("device_used"));
    // Never where a rule wants a fresh factor, not even just now.
    let page = fresh.open(&format!("{EMR}/payments/7")).await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login/factor?")),
        "{}",
        page.url
    );
    let list = fresh.get(&format!("{PORTAL}/account/devices")).await;
    assert!(list.body.contains("for 30 days each"), "{}", list.body);
    // What the company takes back ends for sessions that live by it, too.
    clinic.decide_mfa("strict", |mfa| mfa.remember_device = Duration::ZERO);
    let page = fresh.open(&format!("{EMR}/")).await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login/factor?")),
        "{}",
        page.url
    );
    assert!(!page.body.contains("Remember this device"));
    clinic.decide_mfa("strict", |mfa| mfa.remember_device = 30 * DAY);
    let (_, page) = morning(&clinic, &browser, 2 * DAY).await;
    assert!(
        page.body.contains(">One-time code</label>"),
        "31 days are too many"
    );
}

#[tokio::test]
async fn a_device_stands_in_where_the_company_that_is_worked_for_lets_it() {
    let (clinic, key) = remembering().await;
    let browser = remembered(&clinic, &key).await;
    // The person's own company goes on remembering; the account is another's.
    clinic
        .import(
            r#"{"kind":"account","product":"emr","login":"max","person":"max","password_hash":"HASH","companies":["texting"]}"#,
        )
        .await;
    let (_, page) = morning(&clinic, &browser, DAY).await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login/factor?")),
        "{}",
        page.url
    );
    assert!(!clinic.heard("device_used"));
}

#[tokio::test]
async fn a_device_is_remembered_for_one_person_where_asked_and_allowed() {
    let (clinic, key) = remembering().await;
    let browser = remembered(&clinic, &key).await;
    // Kim's password in max's browser, where kim has a factor of her own.
    clinic.decide_mfa("acme", |mfa| {
        mfa.mode = vestibule::gate::policy::MfaMode::Required;
        mfa.remember_device = 30 * DAY;
    });
    let kim = clinic.browser();
    let page = kim.log_in(&format!("{EMR}/"), "kim").await;
    enrol(&kim, page).await;
    let device = browser.cookie(PORTAL, "__Host-vestibule-device").unwrap();
    let shared = clinic.browser();
    shared.set_cookie(PORTAL, "__Host-vestibule-device", &device);
    let page = shared.log_in(&format!("{EMR}/"), "kim").await;
    assert!(page.body.contains(">One-time code</label>"));
    // Not asked: nothing is set.
    clinic.wait(Duration::from_secs(60));
    let other = clinic.browser();
    let page = other.log_in(&format!("{EMR}/"), "max").await;
    let answer = other
        .submit(&page, &[("code", &code(&key, clinic.now()))])
        .await;
    assert_eq!(answer.status, 303);
    assert_eq!(other.cookie(PORTAL, "__Host-vestibule-device"), None);
    // Not allowed: a forged box sets nothing either.
    clinic.decide_mfa("strict", |mfa| mfa.remember_device = Duration::ZERO);
    clinic.wait(Duration::from_secs(60));
    let forger = clinic.browser();
    let page = forger.log_in(&format!("{EMR}/"), "max").await;
    assert!(!page.body.contains("Remember this device"));
    let right = code(&key, clinic.now());
    let answer = forger
        .submit(&page, &[("code", &right), ("remember", "on")])
        .await;
    assert_eq!(answer.status, 303);
    assert_eq!(forger.cookie(PORTAL, "__Host-vestibule-device"), None);
}

#[tokio::test]
async fn a_device_is_forgotten_with_the_password_the_factors_or_by_hand() {
    let (clinic, key) = remembering().await;
    let asked_again = async |browser: &Browser<'_>| {
        let (_, page) = morning(&clinic, browser, Duration::from_secs(1)).await;
        page.body.contains("One-time code") || page.body.contains("Set up your authenticator")
    };
    let browser = remembered(&clinic, &key).await;
    assert!(!asked_again(&browser).await);
    // By hand, on its page.
    let (fresh, _) = morning(&clinic, &browser, Duration::from_secs(1)).await;
    let list = fresh.get(&format!("{PORTAL}/account/devices")).await;
    let answer = fresh.submit(&list, &[]).await;
    assert!(
        fresh
            .follow(answer)
            .await
            .body
            .contains("No device is remembered")
    );
    assert!(clinic.heard("device_forgotten"));
    assert!(asked_again(&browser).await);
    // A new password.
    clinic.wait(Duration::from_secs(60));
    let browser = remembered(&clinic, &key).await;
    let (product, login) = (
        ProductId::parse("emr").unwrap(),
        Login::parse("max").unwrap(),
    );
    let account = clinic
        .directory
        .account(&product, &login)
        .await
        .unwrap()
        .unwrap();
    clinic.wait(Duration::from_secs(1));
    clinic
        .directory
        .set_password(&product, &login, &account.password_hash, clinic.now())
        .await
        .unwrap();
    assert!(asked_again(&browser).await);
    // Another authenticator in the place of the one that was proved there.
    clinic.wait(Duration::from_secs(60));
    let browser = remembered(&clinic, &key).await;
    let page = browser
        .get(&format!("{PORTAL}/account/authenticator?key=typed"))
        .await;
    let (_, rest) = page.body.split_once("<code>").expect("the key");
    let key = rest.split('<').next().unwrap().to_owned();
    let right = code(&key, clinic.now());
    let replaced = browser.submit(&page, &[("code", &right)]).await;
    assert_eq!(replaced.location(), "/account?done=replaced");
    assert!(asked_again(&browser).await);
    // Reset MFA.
    clinic.wait(Duration::from_secs(60));
    let browser = remembered(&clinic, &key).await;
    assert!(!asked_again(&browser).await);
    clinic.directory.remove_factors(&max()).await.unwrap();
    assert!(asked_again(&browser).await);
}
