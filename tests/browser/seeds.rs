//! The two pages in which the users describe what they want, sentence by sentence.
//!
//! | sentence | followed by |
//! |---|---|
//! | **Multi-factor authentication** | |
//! | "On the WebPT EMR Dashboard, click the Clinic Dropdown, then Company Settings." | `browser/administration.rs` `kim_goes_from_the_emr_to_her_offices_and_grants_analytics`: from the bar |
//! | "Scroll down to the Multi-factor Authentication section and select On. Click Save Settings." | `browser/administration.rs` `kim_switches_it_on_and_resets_sams_factor` |
//! | "Once you click Save Settings, all users will be prompted with a new login experience." | the same, with Sam; of that company only: `gateway/factor.rs` `the_admins_switch_asks_everybody_in_the_company_and_nobody_else` |
//! | "To turn Multi-factor authentication off … select Off" | `browser/seeds.rs` `kim_switches_it_off_again_and_nobody_is_asked` |
//! | "users … will need to provide an additional piece of information other than their username and password" | `browser.rs` `lee_sets_up_an_authenticator_and_logs_in_with_it_again` |
//! | "one of two options: a third party authenticator … a One Time Password sent … to the user's mobile device" | the same, and `browser/seeds.rs` `lee_takes_the_code_by_sms_at_the_first_sign_in_and_later` |
//! | "The first time a user logs in after MFA is enabled, they'll need to select which authenticator they prefer … a new screen with a QR code" | both of them |
//! | "To choose a 3rd party authenticator, scan the QR code … and enter the one-time code" | `browser.rs` `lee_sets_up_an_authenticator_and_logs_in_with_it_again` |
//! | "If a user is unable to scan the QR code, click Trouble Scanning? Users will be prompted to manually enter a code" | the same |
//! | "To choose a One Time Password sent to the user's phone, click Try another method, then select SMS." | `browser/seeds.rs` `lee_takes_the_code_by_sms_at_the_first_sign_in_and_later` |
//! | "a code that was sent to their email or cell phone … or sometimes even a biometric factor, such as a fingerprint" | `portal/sent.rs` `a_code_by_mail_is_told_as_a_one_time_password`, `browser.rs` `kim_uses_a_passkey_a_recovery_code_and_a_remembered_device` |
//! | "user managers can simply reset the user's MFA device: … click the Clinic Dropdown, then User Manager. Search for the desired User Profile." | `browser/administration.rs` `kim_goes_from_the_emr_to_her_offices_and_grants_analytics` |
//! | "Click Reset MFA. Click Save User." | `browser/administration.rs` `kim_switches_it_on_and_resets_sams_factor` |
//! | "After MFA has been reset for a user, they'll be prompted with the same process" | the same; on every node: `gateway/administration.rs` `reset_mfa_ends_sessions_and_half_finished_sign_ins_on_every_node` |
//! | "currently in Limited Release to a select group … gradually rolled out" | `portal/profile.rs` `a_rollout_that_has_not_reached_a_company_shows_it_nothing` |
//! | **Single Sign-On** | |
//! | "The Analytics SSO is currently in Limited Release" | `portal/pairing.rs` `analytics_needs_a_grant_and_its_release` |
//! | "At the top of the page, select the Billing button. Enter your … EMR credentials and click Next. Enter your … Billing credentials and click Pair accounts. … a successful notification." | `browser/single_sign_on.rs` `sam_connects_billing_sets_it_as_default_toggles_and_unlinks` |
//! | "To finish the SSO Setup, you will need to log out and log back in" | the same: that is needed no more |
//! | "for the Analytics SSO, the user must also have access to Analytics … contact your admin" | the same: the page names who can grant it; and they do: `browser/administration.rs` `kim_goes_from_the_emr_to_her_offices_and_grants_analytics` |
//! | "My Profile. Under Single Sign-On (SSO) Options, use the radio button to indicate which application you want to be logged into by default. Click Save User." | `browser/single_sign_on.rs` `sam_connects_billing_sets_it_as_default_toggles_and_unlinks` |
//! | "While accessing WebPT EMR, you can switch to … Billing … While accessing WebPT Billing, you can either switch to the … EMR or Analytics" | the same, and `browser.rs` `kim_goes_through_all_three_applications_without_typing_again`; by the bar: `browser.rs` `the_bar_switches_and_warns_before_an_idle_end` |
//! | "Users with access to multiple companies in WebPT Billing will automatically be logged into their default company. … use the drop-down … to change companies." | `browser/single_sign_on.rs` `ada_changes_the_company_by_the_bars_drop_down`; under Applications: `browser/single_sign_on.rs` `ada_changes_the_company_in_billing_and_its_policy_holds_at_once` |
//! | "If you ever want to reset your SSO to connect to a different account … click Reset Single Sign-On" | `browser/single_sign_on.rs` `sam_connects_billing_sets_it_as_default_toggles_and_unlinks` |
//! | "You'll log in from the WebPT EMR login page. … If you set Billing as your primary app, you'll automatically be logged into Billing" | the same |
//! | "You can use the reset password link on the … login page." | `browser/seeds.rs` `sam_forgot_the_password_and_sets_a_new_one_by_mail` |
//! | "Alternatively, a user manager can reset your password for you." | `portal/administration.rs` `a_user_manager_resets_single_sign_on_and_sends_a_link_for_a_password` |
//! | "each system will require you to update your password every 90 days … an alert when you attempt to log in … prompted to change it" | `browser/single_sign_on.rs` `noas_password_has_expired_and_is_changed_on_the_way`; at Billing: `browser/single_sign_on.rs` `elis_billing_password_has_expired_and_is_changed_there` |
//! | "Billing will be automatically logged out of the application after 2 hours of inactivity" | `browser.rs` `the_bar_switches_and_warns_before_an_idle_end`; to the second: `gateway/idle.rs` `billing_closes_after_two_hours_to_the_second_and_emr_goes_on` |
//! | "256-bit encryption using a TLS 1.2 connection …" | what of it exists: `attacks/tls.rs` `the_strongest_suite_is_chosen_whatever_a_client_likes_best`, and SECURITY.md says what does not |
//!
//! A test below holds each name to its file.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::administration::enrol;
use crate::single_sign_on::log_out;
use crate::support::browser::Browser;
use crate::{Demo, log_in};

#[test]
fn each_row_names_a_test_that_is_there() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut rows = 0;
    for row in include_str!("seeds.rs").lines() {
        let Some(row) = row.strip_prefix("//! | ") else {
            continue;
        };
        let Some((_, followed)) = row.split_once(" | ") else {
            continue;
        };
        let mut file = None;
        for name in followed.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                let path = tests.join(name);
                file = Some(std::fs::read_to_string(path).unwrap_or_else(|_| panic!("no {name}")));
                continue;
            }
            let text = file
                .as_deref()
                .unwrap_or_else(|| panic!("{name} has no file"));
            let test = format!("async fn {name}()");
            let (before, _) = text
                .split_once(&test)
                .unwrap_or_else(|| panic!("no {name}"));
            let attribute = before.trim_end().lines().last().unwrap_or_default();
            assert!(attribute.contains("test"), "{name} is no test");
            rows += 1;
        }
    }
    assert!(rows >= 25, "{rows}");
}

/// What the demo "sent", the newest first.
async fn messages(demo: &Demo) -> Vec<serde_json::Value> {
    let mut stream = TcpStream::connect(&demo.outbox).await.unwrap();
    let ask = format!(
        "GET /messages.json HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        demo.outbox
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// The newest message with these words, waited for: mails go out in the background.
pub async fn message_with(demo: &Demo, words: &str) -> String {
    for _ in 0..600 {
        let all = messages(demo).await;
        let texts = all.iter().map(|message| {
            let part = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
            format!("{}\n{}", part("subject"), part("text"))
        });
        if let Some(text) = texts.into_iter().find(|text| text.contains(words)) {
            return text;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no message says {words:?}");
}

/// The six digits of the newest text message.
async fn texted(demo: &Demo) -> String {
    let text = message_with(demo, "your one-time code is").await;
    text.split(|c: char| !c.is_ascii_digit())
        .find(|digits| digits.len() == 6)
        .expect("a code")
        .to_owned()
}

/// A picture, and that nothing of the page is beside the screen.
pub async fn look(browser: &Browser, name: &str) {
    browser.screenshot(name).await;
    let wide = "return document.documentElement.scrollWidth - window.innerWidth";
    let wide = browser.client.execute(wide, vec![]).await.unwrap();
    let wide = wide.as_i64().unwrap();
    assert!(wide <= 0, "{name} is {wide} pixels too wide");
}

async fn click(browser: &Browser, xpath: &str) {
    browser.wait_for(xpath).await.click().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lee_takes_the_code_by_sms_at_the_first_sign_in_and_later() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start_as_phone(320, 700).await;
    let emr = demo.url("emr", "/");
    browser.open(&emr).await;
    log_in(&browser, "lee").await;
    browser
        .wait_for_words("Set up your authenticator app")
        .await;
    browser.press("Try another method").await;
    browser.wait_for_words("Your company offers:").await;
    look(&browser, "seeds-methods").await;
    click(&browser, "//a[.//b[normalize-space()='SMS']]").await;
    browser.wait_for_words("Get codes by text message").await;
    browser.wait_for_words("the number ending in 03").await;
    look(&browser, "seeds-sms-where").await;
    browser.press("Send code").await;
    browser.wait_for_words("We sent a text message").await;
    look(&browser, "seeds-sms-code").await;
    browser.fill("One-time code", &texted(&demo).await).await;
    browser.press("Verify").await;
    browser.wait_for_address(&emr).await;
    browser.wait_for_words("Lee Chen").await;

    // Later the code goes out with the password.
    log_out(&browser, &demo).await;
    browser.open(&emr).await;
    log_in(&browser, "lee").await;
    browser.wait_for_words("We sent a text message").await;
    let code = texted(&demo).await;
    let last = if code.ends_with('0') { "1" } else { "0" };
    browser
        .fill("One-time code", &format!("{}{last}", &code[..5]))
        .await;
    browser.press("Verify").await;
    browser.wait_for_words("That code is not right").await;
    look(&browser, "seeds-sms-wrong").await;
    browser.fill("One-time code", &code).await;
    browser.press("Verify").await;
    browser.wait_for_address(&emr).await;

    // The number can be changed, and the old one goes when the new one is proven.
    browser.open(&demo.url("login", "/account")).await;
    browser.wait_for_words("Text message (SMS)").await;
    look(&browser, "seeds-profile").await;
    browser.press("Change").await;
    browser.wait_for_words("Another number for codes").await;
    look(&browser, "seeds-sms-change").await;
    browser
        .fill("Another mobile number", "(555) 010-0077")
        .await;
    click(&browser, "(//button[normalize-space()='Send code'])[2]").await;
    browser.wait_for_words("the number ending in 77").await;
    browser.fill("One-time code", &texted(&demo).await).await;
    browser.press("Verify").await;
    browser.wait_for_words("Codes go to the new place").await;
    message_with(&demo, "Your one-time codes go elsewhere now").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kim_switches_it_off_again_and_nobody_is_asked() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start().await;
    let settings = demo.url("login", "/company/settings");
    browser.open(&settings).await;
    log_in(&browser, "kim").await;
    click(&browser, "//label[normalize-space()='On']/input").await;
    browser.press("Save Settings").await;
    browser.wait_for_words("Your settings are saved").await;
    browser.press("Go on").await;
    browser.fill("Password", "kim-likes-long-walks").await;
    browser.press("Log in").await;
    enrol(&browser).await;
    browser.wait_for_address(&settings).await;
    click(&browser, "//label[normalize-space()='Off']/input").await;
    browser.press("Save Settings").await;
    browser.wait_for_words("Your settings are saved").await;
    log_out(&browser, &demo).await;
    for (login, name) in [("sam", "Sam Rivera"), ("kim", "Kim Doe")] {
        browser.open(&demo.url("emr", "/")).await;
        log_in(&browser, login).await;
        browser.wait_for_address(&demo.url("emr", "/")).await;
        browser.wait_for_words(name).await;
        log_out(&browser, &demo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sam_forgot_the_password_and_sets_a_new_one_by_mail() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start_as_phone(320, 700).await;
    browser.open(&demo.url("emr", "/")).await;
    browser.press("Forgot your password?").await;
    look(&browser, "seeds-forgot").await;
    browser.fill("Username", "sam").await;
    browser.press("Send the link").await;
    browser.wait_for_words("Look into your mail").await;
    look(&browser, "seeds-forgot-sent").await;
    let mail = message_with(&demo, "/password/reset?token=").await;
    let link = mail
        .split_whitespace()
        .find(|word| word.contains("/password/reset?token="))
        .unwrap();
    browser.open(link).await;
    browser.wait_for_words("Confirm new password").await;
    look(&browser, "seeds-reset").await;
    browser.fill("New password", "seven green parakeets").await;
    browser
        .fill("Confirm new password", "seven green parakeets")
        .await;
    browser.press("Change password").await;
    browser.wait_for_address(&demo.url("login", "/login")).await;
    browser.fill("Username", "sam").await;
    browser.fill("Password", "seven green parakeets").await;
    browser.press("Log in").await;
    browser.wait_for_words("Sam Rivera").await;
    message_with(&demo, "Your password was changed").await;
}

/// Pages that need no particular state, with where they stand.
pub const PAGES: [(&str, &str); 18] = [
    ("apps", "/apps"),
    ("account", "/account"),
    ("authenticator", "/account/authenticator"),
    ("sms", "/account/sms"),
    ("passkey", "/account/passkey"),
    ("recovery", "/account/recovery"),
    ("devices", "/account/devices"),
    ("password", "/account/password"),
    ("product-password", "/connect/billing/password"),
    ("settings", "/company/settings"),
    ("users", "/company/users"),
    ("nobody", "/company/users?q=zzzz"),
    ("user", "/company/users/sam"),
    ("user-reset", "/company/users/sam?reset=mfa"),
    ("sessions", "/company/sessions"),
    ("audit", "/company/audit"),
    ("missing", "/nothing/here"),
    ("logout", "/logout"),
];

/// Each is looked at by axe-core too.
async fn every_page(browser: Browser, prefix: &str) {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let name = |page: &str| format!("{prefix}-{page}");
    browser.open(&demo.url("login", "/company/users")).await;
    look(&browser, &name("sign-in")).await;
    browser.fill("Username", "kim").await;
    browser.fill("Password", "not this one").await;
    browser.press("Log in").await;
    browser.wait_for_words("don't match").await;
    look(&browser, &name("sign-in-wrong")).await;
    log_in(&browser, "kim").await;
    browser
        .wait_for_words("Set up your authenticator app")
        .await;
    look(&browser, &name("first-factor")).await;
    browser.press("Trouble Scanning?").await;
    let key = browser.wait_for("//*[@id='key']//code").await;
    let key = key.text().await.unwrap();
    look(&browser, &name("first-factor-key")).await;
    browser
        .fill("One-time code", &crate::code(&key, crate::step()))
        .await;
    browser.press("Verify").await;
    browser.wait_for_words("Your recovery codes").await;
    look(&browser, &name("recovery-codes")).await;
    browser.press("I have kept them, go on").await;
    browser
        .wait_for_address(&demo.url("login", "/company/users"))
        .await;
    for (page, path) in PAGES {
        browser.open(&demo.url("login", path)).await;
        look(&browser, &name(page)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_the_narrowest_phone_and_everybody_can_use_it() {
    every_page(Browser::start_as_phone(320, 700).await, "narrow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_read_in_the_dark() {
    let browser = Browser::start().await;
    browser.prefer_dark().await;
    every_page(browser, "dark").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_read_in_the_dark_on_the_narrowest_phone() {
    let browser = Browser::start_as_phone(320, 700).await;
    browser.prefer_dark().await;
    every_page(browser, "narrow-dark").await;
}
