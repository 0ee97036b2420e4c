//! The portal's other pages.

use http::Method;

use crate::clinic::*;

#[tokio::test]
async fn every_answer_is_safe_to_show() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let stranger = clinic.browser();
    for (browser, url) in [
        (&stranger, format!("{PORTAL}/login")),
        (&stranger, format!("{PORTAL}/password/forgot")),
        (&stranger, format!("{PORTAL}/nothing/here")),
        (&stranger, format!("{PORTAL}/apps")),
        (&browser, format!("{PORTAL}/apps")),
        (&browser, format!("{PORTAL}/account")),
        (&browser, format!("{PORTAL}/company/settings")),
        (&browser, format!("{EMR}/.vestibule/sign_out")),
        (&browser, format!("{EMR}/.vestibule/nothing")),
    ] {
        let page = browser.get(&url).await;
        let policy = page.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action",
        ] {
            assert!(policy.contains(part), "{part} at {url}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), "no-store", "{url}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
        assert!(
            page.header("strict-transport-security")
                .starts_with("max-age=31536000")
        );
        assert!(
            !page.body.contains("<script")
                && !page.body.contains(" style=")
                && !page.body.contains(" onclick"),
            "{url}"
        );
        if page.status == 200 {
            assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        }
    }
    let page = stranger.get(&format!("{PORTAL}/login")).await;
    for origin in [EMR, BILLING, ANALYTICS] {
        assert!(
            page.header("content-security-policy").contains(origin),
            "sign-in ends there"
        );
    }
}

#[tokio::test]
async fn the_stylesheet_is_where_pages_say() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    for (origin, url) in [
        (PORTAL, format!("{PORTAL}/login?rd={PORTAL}/nothing")),
        (EMR, format!("{EMR}/.vestibule/sign_out")),
    ] {
        let page = if origin == PORTAL {
            clinic.browser().get(&url).await
        } else {
            browser.get(&url).await
        };
        let (_, rest) = page.body.split_once("rel=\"stylesheet\" href=\"").unwrap();
        let style = browser
            .get(&format!("{origin}{}", rest.split('"').next().unwrap()))
            .await;
        assert_eq!(
            (style.status, style.header("content-type")),
            (200, "text/css; charset=utf-8")
        );
        assert!(style.header("cache-control").contains("immutable"));
    }
    assert_eq!(
        browser
            .get(&format!("{PORTAL}/assets/other.css"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn unknown_pages_and_methods_are_answered_in_the_senders_form() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.get(&format!("{PORTAL}/nope")).await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("Page not found") && page.body.contains("request-1"));
    let page = browser.fetch(Method::GET, &format!("{PORTAL}/nope")).await;
    let json: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!((page.status, &json["error"]), (404, &"not_found".into()));
    assert_eq!(
        browser
            .fetch(Method::DELETE, &format!("{PORTAL}/login"))
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn the_launch_page_shows_what_can_be_entered() {
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let page = kim.open(&format!("{PORTAL}/")).await;
    assert_eq!(page.url, format!("{PORTAL}/apps"));
    for words in [
        "EMR",
        "Billing",
        "Analytics",
        "Signed in as kim.billing",
        "Acme Rehab",
        "Company Settings",
    ] {
        assert!(page.body.contains(words), "{words}");
    }
    let lee = clinic.signed_in("lee").await;
    let page = lee.open(&format!("{PORTAL}/apps")).await;
    assert!(
        !page.body.contains("Analytics") && !page.body.contains("Company Settings"),
        "{}",
        page.body
    );
    assert!(page.body.contains("/connect/billing") && page.body.contains("No linked account yet"));
    assert!(!page.body.contains("<b>Roe"), "names are text");
    let page = lee.get(&format!("{PORTAL}/connect/billing")).await;
    assert!(page.body.contains("enter your EMR credentials"));
    assert_eq!(
        lee.get(&format!("{PORTAL}/connect/nothing")).await.status,
        404
    );
    let page = lee.get(&format!("{PORTAL}/account")).await;
    assert!(page.body.contains("My Profile") && page.body.contains("lee@acme.test"));
}

#[tokio::test]
async fn the_admins_switch_reaches_everybody_in_the_company() {
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let lee = clinic.signed_in("lee").await;
    let max = clinic.signed_in_strict("max").await;
    let url = format!("{PORTAL}/company/settings");
    assert_eq!(lee.get(&url).await.status, 403);
    assert_eq!(max.get(&url).await.status, 403);
    let page = kim.get(&url).await;
    for words in [
        "Multi-factor Authentication</h2>",
        "> On</label>",
        "> Off</label>",
        ">Save Settings</button>",
    ] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
    assert!(page.body.contains("value=\"off\" checked"));
    // Without our token nothing changes; nor for who is no admin.
    let forged = [(String::from("mfa"), String::from("on"))];
    assert!(
        kim.post(&url, &forged)
            .await
            .body
            .contains("Nothing was changed")
    );
    assert_eq!(lee.post(&url, &forged).await.status, 403);
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 200);

    let answer = kim.submit(&page, &[("mfa", "on")]).await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/company/settings?saved=1")
    );
    // Whoever is signed in with a password alone is asked at the next page, from Kim on.
    let page = lee.open(&format!("{EMR}/")).await;
    assert!(
        page.body.contains("enter your password again"),
        "{}",
        page.body
    );
    let answer = lee.submit_login(&page, "lee", PASSWORD).await;
    let page = lee.follow(answer).await;
    let (_, page) = enrol(&lee, page).await;
    assert_eq!(page.body, "EMR for lee by pwd,otp,mfa in acme");
    assert!(
        kim.open(&url)
            .await
            .url
            .starts_with(&format!("{PORTAL}/login"))
    );
}

#[tokio::test]
async fn where_the_operator_decides_the_admin_sees_it_and_can_not_switch() {
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let page = kim.get(&format!("{PORTAL}/company/settings")).await;
    let mut policies = vestibule::gate::policy::Policies::clone(&clinic.policies.load());
    let mut default = vestibule::gate::policy::CompanyPolicy::clone(&policies.default);
    default.mfa.mode = vestibule::gate::policy::MfaMode::Off;
    policies.default = std::sync::Arc::new(default);
    clinic.policies.store(std::sync::Arc::new(policies));
    let decided = kim.get(&format!("{PORTAL}/company/settings")).await;
    assert!(
        decided
            .body
            .contains("The operator of this service has switched it off")
    );
    assert!(!decided.body.contains("Save Settings</button>"));
    assert_eq!(kim.submit(&page, &[("mfa", "on")]).await.status, 403);
}

#[tokio::test]
async fn the_key_set_is_public() {
    let clinic = Clinic::open().await;
    let page = clinic
        .browser()
        .fetch(
            Method::GET,
            &format!("{PORTAL}/.well-known/vestibule/jwks.json"),
        )
        .await;
    let json: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(json["keys"][0]["kid"], "k1");
}

#[tokio::test]
async fn what_happened_is_told_without_secrets() {
    let clinic = Clinic::open().await;
    clinic.signed_in("kim").await;
    clinic.signed_in_strict("max").await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    browser.submit_login(&form, "kim", "s3cr3t-guess").await;
    let lines = clinic.heard.lines.lock().unwrap().join("\n");
    for line in [
        "sign_in ok",
        "sign_in refused",
        "sign_in factor_wanted",
        "factor totp ok",
        "event: \"sign_in\"",
    ] {
        assert!(lines.contains(line), "{line} in {lines}");
    }
    assert!(!lines.contains("s3cr3t-guess") && !lines.contains(PASSWORD));
}
