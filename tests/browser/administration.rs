//! Kim runs the clinic: switches the second factor on, and resets Sam's.

use crate::support::browser::Browser;
use crate::{Demo, code, in_the_bar, log_in, pass_recovery_codes, step};

/// Sets up the authenticator that is asked for; its key.
pub async fn enrol(browser: &Browser) -> String {
    let key = enrol_only(browser).await;
    pass_recovery_codes(browser).await;
    key
}

/// The same where the company has no recovery codes.
pub async fn enrol_only(browser: &Browser) -> String {
    browser
        .wait_for_words("Set up your authenticator app")
        .await;
    browser.press("Trouble Scanning?").await;
    let key = browser.wait_for("//*[@id='key']//code").await;
    let key = key.text().await.unwrap();
    browser.fill("One-time code", &code(&key, step())).await;
    browser.press("Verify").await;
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn kim_goes_from_the_emr_to_her_offices_and_grants_analytics() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let kim = Browser::start().await;
    let follow = async |words: &str| {
        kim.open(&demo.url("emr", "/")).await;
        kim.wait_for("//vestibule-bar").await;
        let link = format!(
            "[...tree.querySelectorAll('a')].find(a => a.textContent === '{words}').click(); return '';"
        );
        in_the_bar(&kim, &link).await;
    };
    kim.open(&demo.url("emr", "/")).await;
    log_in(&kim, "kim").await;
    kim.wait_for_address(&demo.url("emr", "/")).await;
    follow("Company Settings").await;
    kim.wait_for_address(&demo.url("login", "/company/settings"))
        .await;
    kim.wait_for_words("Multi-factor Authentication").await;

    follow("User Manager").await;
    kim.wait_for_words("A second proof is needed here").await;
    kim.fill("Password", "kim-likes-long-walks").await;
    kim.press("Log in").await;
    enrol(&kim).await;
    kim.wait_for_address(&demo.url("login", "/company/users"))
        .await;
    kim.fill("Search", "riv").await;
    kim.press("Search").await;
    // Sam's name is on the page before, too.
    kim.wait_for_address(&demo.url("login", "/company/users?q=riv"))
        .await;
    kim.wait_for("//main//a[.//b[normalize-space()='Sam Rivera']]")
        .await
        .click()
        .await
        .unwrap();

    let sam = Browser::start_as_phone(320, 700).await;
    sam.open(&demo.url("analytics", "/")).await;
    log_in(&sam, "sam").await;
    sam.wait_for_words("can grant you Analytics: Kim Doe.")
        .await;
    kim.wait_for("//label[normalize-space()='Grant Analytics']/input")
        .await
        .click()
        .await
        .unwrap();
    kim.fill("Reason", "runs the reports").await;
    kim.screenshot("user-grant").await;
    kim.press("Save User").await;
    kim.wait_for_words("is open to Sam Rivera at once").await;
    kim.screenshot("user-granted").await;
    // In the sign-in that Sam has.
    sam.open(&demo.url("analytics", "/")).await;
    sam.wait_for("//*[@id='chart']").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kim_switches_it_on_and_resets_sams_factor() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let kim = Browser::start().await;
    kim.open(&demo.url("login", "/company/settings")).await;
    log_in(&kim, "kim").await;
    kim.wait_for_words("Multi-factor Authentication").await;
    kim.wait_for("//label[normalize-space()='On']/input")
        .await
        .click()
        .await
        .unwrap();
    kim.press("Save Settings").await;
    kim.wait_for_words("Your settings are saved").await;
    kim.screenshot("company-settings-saved").await;
    kim.press("Go on").await;
    kim.fill("Password", "kim-likes-long-walks").await;
    kim.press("Log in").await;
    let kims = enrol(&kim).await;
    kim.wait_for_address(&demo.url("login", "/company/settings"))
        .await;

    let sam = Browser::start_as_phone(360, 780).await;
    sam.open(&demo.url("emr", "/")).await;
    log_in(&sam, "sam").await;
    let old = enrol(&sam).await;
    sam.wait_for_address(&demo.url("emr", "/")).await;

    kim.press("User Manager").await;
    kim.wait_for_words("The beginning of a name").await;
    kim.fill("Search", "riv").await;
    kim.press("Search").await;
    // Sam's name is on the page before, too.
    kim.wait_for_address(&demo.url("login", "/company/users?q=riv"))
        .await;
    kim.screenshot("user-manager").await;
    kim.wait_for("//main//a[.//b[normalize-space()='Sam Rivera']]")
        .await
        .click()
        .await
        .unwrap();
    kim.wait_for_words("Authenticator app").await;
    kim.screenshot("user").await;
    kim.press("Reset MFA").await;
    kim.wait_for_words("When you save").await;
    kim.screenshot("user-reset").await;
    // Without a reason nothing happens.
    kim.press("Save User").await;
    kim.wait_for_words("Say why").await;
    kim.screenshot("user-reason-wanted").await;
    kim.fill("Reason", "lost phone").await;
    kim.press("Save User").await;
    kim.wait_for_words("Multi-factor authentication is reset")
        .await;
    kim.screenshot("user-saved").await;

    // Sam is out, and begins anew by the same path.
    sam.open(&demo.url("emr", "/patients")).await;
    sam.wait_for_address(&demo.url("login", "/login")).await;
    log_in(&sam, "sam").await;
    let new = enrol(&sam).await;
    assert_ne!(new, old);
    sam.wait_for_address(&demo.url("emr", "/patients")).await;
    for (page, path) in [
        ("profile", "/account"),
        ("replace", "/account/authenticator"),
    ] {
        sam.open(&demo.url("login", path)).await;
        fits(&sam, page).await;
    }
    sam.wait_for_words("Replace your authenticator app").await;

    kim.press("Audit Trail").await;
    kim.wait_for_words("kim → sam").await;
    kim.screenshot("audit").await;
    kim.press("My Profile").await;
    kim.wait_for_words("Where you are signed in").await;
    kim.wait_for_words("Chrome on Linux").await;
    kim.screenshot("profile").await;
    // On the smallest phone; the code is the next one, a little early.
    let phone = Browser::start_as_phone(320, 700).await;
    phone
        .open(&demo.url("login", "/company/users/sam?reset=mfa"))
        .await;
    log_in(&phone, "kim").await;
    phone.wait_for_words("Enter your code").await;
    phone.fill("One-time code", &code(&kims, step() + 1)).await;
    phone.press("Verify").await;
    phone.wait_for_words("When you save").await;
    fits(&phone, "user-reset").await;
    for (page, path) in [
        ("user-manager", "/company/users"),
        ("user", "/company/users/sam"),
        ("audit", "/company/audit"),
        ("kims-profile", "/account"),
    ] {
        phone.open(&demo.url("login", path)).await;
        fits(&phone, page).await;
    }
}

async fn fits(browser: &Browser, page: &str) {
    browser.screenshot(&format!("phone-{page}")).await;
    let wide = browser
        .client
        .execute(
            "return document.documentElement.scrollWidth - window.innerWidth",
            vec![],
        )
        .await
        .unwrap();
    assert!(
        wide.as_i64().unwrap() <= 0,
        "{page} is {wide} pixels too wide"
    );
}
