//! The users' page about Single Sign-On, sentence by sentence, in a real browser.

use crate::support::browser::Browser;
use crate::{Demo, bar_can_be_used, code, in_the_bar, log_in, step};

async fn type_credentials(browser: &Browser, login: &str, password: &str) {
    browser.fill("Username", login).await;
    browser.fill("Password", password).await;
}

pub async fn log_out(browser: &Browser, demo: &Demo) {
    browser.open(&demo.url("login", "/logout")).await;
    let button = browser
        .wait_for("//main//button[normalize-space()='Sign out']")
        .await;
    button.click().await.unwrap();
    browser.wait_for_words("You are signed out").await;
}

/// From Billing's button in the EMR to the notice.
async fn pair(browser: &Browser, demo: &Demo) {
    browser.press("Billing").await;
    browser
        .wait_for_address(&demo.url("login", "/connect/billing"))
        .await;
    browser.wait_for_words("enter your EMR credentials").await;
    browser.screenshot("pairing-first").await;
    browser.fill("Password", "sam-plays-the-cello").await;
    browser.press("Next").await;
    browser
        .wait_for_words("enter your Billing credentials")
        .await;
    type_credentials(browser, "srivera", "not-this-one").await;
    browser.press("Pair accounts").await;
    browser
        .wait_for_words("That username and password don't match.")
        .await;
    browser.screenshot("pairing-wrong").await;
    browser.fill("Password", "sam-has-no-budget").await;
    browser.press("Pair accounts").await;
    browser
        .wait_for_words("Success! Your EMR and Billing accounts are paired.")
        .await;
    browser.screenshot("pairing-done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sam_connects_billing_sets_it_as_default_toggles_and_unlinks() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start().await;

    // Connect Accounts.
    browser.open(&demo.url("emr", "/")).await;
    log_in(&browser, "sam").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
    pair(&browser, &demo).await;
    // No need to log out and in again.
    browser.press("Open Billing").await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser.wait_for_words("(srivera)").await;

    // Set Default.
    browser.press("My Profile").await;
    browser.wait_for_words("Single Sign-On (SSO) Options").await;
    let billing = browser
        .wait_for("//label[normalize-space()='Billing']/input[@type='radio']")
        .await;
    billing.click().await.unwrap();
    browser.screenshot("profile-default").await;
    browser.press("Save User").await;
    browser
        .wait_for_words("Your default application is saved.")
        .await;
    log_out(&browser, &demo).await;
    // Once SSO is set up, where do I log in? From the EMR's page, into Billing.
    browser.open(&demo.url("emr", "/")).await;
    log_in(&browser, "sam").await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser.wait_for_words("(srivera)").await;

    // Toggle Between Applications.
    browser.press("EMR").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
    browser.wait_for_words("(sam)").await;
    browser.press("Billing").await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser.press("Analytics").await;
    browser.wait_for_words("Analytics is not open to you").await;
    browser
        .wait_for_words("A user manager of your company can grant you Analytics: Kim Doe.")
        .await;
    browser.screenshot("analytics-not-granted").await;

    // Unlink Accounts.
    browser.open(&demo.url("login", "/account")).await;
    browser.press("Reset Single Sign-On").await;
    browser.wait_for_words("Single Sign-On is reset.").await;
    browser.screenshot("profile-reset").await;
    browser.open(&demo.url("emr", "/")).await;
    browser.wait_for_words("(sam)").await;
    pair(&browser, &demo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ada_changes_the_company_in_billing_and_its_policy_holds_at_once() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start().await;
    browser.open(&demo.url("emr", "/")).await;
    log_in(&browser, "ada").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
    browser.press("Billing").await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    // The default company first.
    browser
        .wait_for("//*[@id='company' and normalize-space()='Acme Rehab']")
        .await;
    browser.open(&demo.url("login", "/apps")).await;
    let northside = browser
        .wait_for("//select[@id=//label[normalize-space()='Company in Billing']/@for]/option[normalize-space()='Northside Therapy']")
        .await;
    northside.click().await.unwrap();
    browser.screenshot("apps-company").await;
    browser.press("Change company").await;
    browser.wait_for_words("The company is changed.").await;
    // Northside asks everybody for a second factor: before anything of it is shown.
    browser.open(&demo.url("billing", "/")).await;
    browser.wait_for_address(&demo.url("login", "/login")).await;
    browser.fill("Password", "ada-counts-in-czech").await;
    browser.press("Log in").await;
    browser
        .wait_for_words("Set up your authenticator app")
        .await;
    browser.press("Trouble Scanning?").await;
    let key = browser
        .wait_for("//*[@id='key']//code")
        .await
        .text()
        .await
        .unwrap();
    browser.fill("One-time code", &code(&key, step())).await;
    browser.press("Verify").await;
    // Northside offers no recovery codes, whatever Acme does.
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser
        .wait_for("//*[@id='company' and normalize-space()='Northside Therapy']")
        .await;
    browser.screenshot("billing-northside").await;
    // The EMR's account has one company, and is there.
    browser.press("EMR").await;
    browser
        .wait_for("//*[@id='company' and normalize-space()='Acme Rehab']")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ada_changes_the_company_by_the_bars_drop_down() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start_as_phone(320, 700).await;
    browser.prefer_dark().await;
    browser.open(&demo.url("billing", "/")).await;
    log_in(&browser, "ada").await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser.wait_for("//vestibule-bar").await;
    // The default company first; she has no office.
    let choices = "return [...tree.querySelectorAll('option')] \
        .map(one => (one.selected ? '*' : '') + one.textContent).join();";
    assert_eq!(
        in_the_bar(&browser, choices).await,
        "*Acme Rehab,Northside Therapy"
    );
    let offices = "return [...tree.querySelectorAll('.mine a')].map(a => a.textContent).join();";
    assert_eq!(in_the_bar(&browser, offices).await, "Ada Nováková");
    bar_can_be_used(&browser, "with companies").await;
    browser.screenshot("bar-companies").await;
    // As by keyboard: the list, the other company, the button.
    let choose = "const select = tree.querySelector('select'); select.focus(); \
        select.value = [...select.options].find(one => !one.selected).value; \
        tree.querySelector('form button').click(); return '';";
    in_the_bar(&browser, choose).await;
    // Northside asks everybody for a second factor: before anything of it is shown.
    browser.wait_for_address(&demo.url("login", "/login")).await;
    browser.fill("Password", "ada-counts-in-czech").await;
    browser.press("Log in").await;
    crate::administration::enrol_only(&browser).await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser
        .wait_for("//*[@id='company' and normalize-space()='Northside Therapy']")
        .await;
    browser.wait_for("//vestibule-bar").await;
    assert_eq!(
        in_the_bar(&browser, choices).await,
        "Acme Rehab,*Northside Therapy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn noas_password_has_expired_and_is_changed_on_the_way() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start_as_phone(320, 700).await;
    browser.open(&demo.url("emr", "/patients?q=a")).await;
    log_in(&browser, "noa").await;
    browser.wait_for_words("Your password has expired").await;
    browser.screenshot("expired").await;
    let wide = browser
        .client
        .execute(
            "return document.documentElement.scrollWidth - window.innerWidth",
            vec![],
        )
        .await
        .unwrap();
    assert!(wide.as_i64().unwrap() <= 0, "{wide} pixels too wide");
    let set = async |password: &str| {
        browser.fill("New password", password).await;
        browser.fill("Confirm new password", password).await;
        browser.press("Change password").await;
    };
    set("password1password1").await;
    browser.wait_for_words("many people use").await;
    browser.screenshot("expired-refused").await;
    set("seven green parakeets").await;
    browser
        .wait_for_address(&demo.url("emr", "/patients?q=a"))
        .await;
    browser.wait_for_words("Noa Berg").await;
    // The old one opens nothing, the new one does.
    log_out(&browser, &demo).await;
    browser.open(&demo.url("emr", "/")).await;
    log_in(&browser, "noa").await;
    browser
        .wait_for_words("That username and password don't match.")
        .await;
    type_credentials(&browser, "noa", "seven green parakeets").await;
    browser.press("Log in").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
}

/// Each system has passwords of its own, and says itself that one has expired.
#[tokio::test(flavor = "multi_thread")]
async fn elis_billing_password_has_expired_and_is_changed_there() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start_as_phone(320, 700).await;
    browser.open(&demo.url("emr", "/")).await;
    log_in(&browser, "eli").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
    browser.open(&demo.url("billing", "/")).await;
    browser.wait_for_words("Your password has expired.").await;
    browser.screenshot("expired-at-billing").await;
    browser.fill("New password", "in ink from now on").await;
    browser
        .fill("Confirm new password", "in ink from now on")
        .await;
    browser.press("Change password").await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser.wait_for_words("(estone)").await;
    // With the next sign-in the gateway finds the old one refused, and asks for the new one once.
    log_out(&browser, &demo).await;
    browser.open(&demo.url("billing", "/")).await;
    log_in(&browser, "eli").await;
    browser.wait_for_words("Your Billing password").await;
    browser.fill("Password", "in ink from now on").await;
    browser.press("Continue to Billing").await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser.wait_for_words("(estone)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kim_types_the_password_that_billing_wants_and_goes_on() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start_as_phone(320, 700).await;
    let wanted = demo.url("billing", "/payments");
    let asked = demo.url("login", &format!("/connect/billing/password?rd={wanted}"));
    browser.open(&asked).await;
    log_in(&browser, "kim").await;
    browser.wait_for_words("Your Billing password").await;
    browser.screenshot("product-password").await;
    browser.fill("Password", "not this one").await;
    browser.press("Continue to Billing").await;
    browser
        .wait_for_words("Billing does not take that password.")
        .await;
    browser.screenshot("product-password-wrong").await;
    let account = vestibule::demo::people()
        .into_iter()
        .find(|account| account.product == "billing" && account.login == "kdoe")
        .unwrap();
    browser.fill("Password", account.password).await;
    browser.press("Continue to Billing").await;
    browser.wait_for_address(&wanted).await;
    browser.wait_for_words("(kdoe)").await;
}
