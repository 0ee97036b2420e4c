//! From the portal to a product's host, and a product's own idle.

use std::time::Duration;

use crate::clinic::*;

/// The address with the ticket, not yet followed.
async fn ticket(browser: &Browser<'_>, url: &str) -> String {
    let to_login = browser.get(url).await;
    let handed = browser.get(to_login.location()).await;
    assert!(
        handed.location().contains("/.vestibule/enter?ticket="),
        "{} {}",
        handed.status,
        handed.body
    );
    handed.location().to_owned()
}

#[tokio::test]
async fn a_ticket_works_once() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let url = ticket(&browser, &format!("{BILLING}/a")).await;
    let visitor = browser.cookie(BILLING, "__Host-vestibule").unwrap();
    let page = browser.get(&url).await;
    assert_eq!(
        (page.status, page.location()),
        (303, "https://billing.test:8443/a")
    );
    // The back button: no harm to whoever is in.
    let page = browser.get(&url).await;
    assert_eq!(
        (page.status, page.location()),
        (303, "https://billing.test:8443/a")
    );
    // A copy of browser and ticket is too late.
    let thief = clinic.browser();
    thief.set_cookie(BILLING, "__Host-vestibule", &visitor);
    let page = thief.get(&url).await;
    assert!(
        page.location().starts_with(&format!("{PORTAL}/login?")),
        "{}",
        page.location()
    );
}

#[tokio::test]
async fn of_many_with_one_ticket_one_is_let_in() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let url = ticket(&browser, &format!("{BILLING}/a")).await;
    let answers = futures_util::future::join_all((0..6).map(|_| browser.get(&url))).await;
    assert_eq!(
        answers
            .iter()
            .filter(|page| page.location().starts_with(BILLING))
            .count(),
        1
    );
}

#[tokio::test]
async fn a_ticket_is_bound_to_browser_host_and_minute() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let restarted = |page: &Page| {
        assert_eq!(page.status, 302);
        assert!(
            page.location().starts_with(&format!("{PORTAL}/login?")),
            "{}",
            page.location()
        );
        assert!(page.location().ends_with("&again=1"), "{}", page.location());
    };
    // Somebody else's browser: nobody is signed in as somebody else by a link.
    let url = ticket(&browser, &format!("{BILLING}/a")).await;
    let victim = clinic.browser();
    victim.get(&format!("{BILLING}/")).await;
    restarted(&victim.get(&url).await);
    let bare = clinic.browser();
    restarted(&bare.get(&url).await);
    // Another product's host.
    let url = ticket(&browser, &format!("{BILLING}/a")).await;
    restarted(&browser.get(&url.replace(BILLING, ANALYTICS)).await);
    // A minute later.
    let url = ticket(&browser, &format!("{BILLING}/a")).await;
    clinic.wait(Duration::from_secs(61));
    restarted(&browser.get(&url).await);
    // The session has ended meanwhile.
    let url = ticket(&browser, &format!("{BILLING}/a")).await;
    let kim = vestibule::gate::name::PersonId::parse("kim").unwrap();
    clinic
        .sessions
        .end_person(&kim, vestibule::sessions::EndCause::Revoked)
        .await
        .unwrap();
    restarted(&browser.get(&url).await);
}

#[tokio::test]
async fn a_browser_without_cookies_is_told_so() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let mut forgetful = clinic.browser();
    forgetful.keeps_cookies = false;
    let session = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    forgetful.set_cookie(PORTAL, "__Host-vestibule", &session);
    let page = forgetful.open(&format!("{BILLING}/")).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body
            .contains("does not accept this site&#39;s cookies"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn without_account_or_grant_a_page_says_what_to_do() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("lee").await;
    let page = browser.open(&format!("{BILLING}/")).await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/connect/billing?")),
        "{}",
        page.url
    );
    let page = browser.open(&format!("{ANALYTICS}/")).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body
            .contains("user manager of your company can grant you Analytics"),
        "{}",
        page.body
    );
    assert_eq!(page.header("cache-control"), "no-store");
    // Neither left a way in.
    assert_eq!(
        browser
            .fetch(
                http::Method::GET,
                &format!("{ANALYTICS}/.vestibule/session")
            )
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn wanted_addresses_that_are_not_ours_lead_to_the_default_product() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    for rd in [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "https:evil.test",
        "https://emr.test:8443@evil.test/",
        "javascript:alert(1)",
        "https://emr.test/",
        "http://emr.test:8443/",
        "/%09/evil.test",
        "https://a@b@emr.test:8443",
    ] {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("rd", rd)
            .finish();
        let page = browser.get(&format!("{PORTAL}/login?{query}")).await;
        assert_eq!(page.location(), "https://emr.test:8443/", "{rd}");
        let page = browser
            .get(&format!("{EMR}/.vestibule/enter?{query}"))
            .await;
        assert_eq!(page.location(), "https://emr.test:8443/", "{rd}");
        let page = browser
            .get(&format!("{EMR}/.vestibule/switch?to=billing&{query}"))
            .await;
        assert_eq!(page.location(), "https://billing.test:8443/", "{rd}");
    }
    // Twice the parameter is none.
    let page = browser
        .get(&format!("{PORTAL}/login?rd=/a&rd=https://evil.test"))
        .await;
    assert_eq!(page.location(), "https://emr.test:8443/");
}

#[tokio::test]
async fn billing_closes_after_two_hours_and_the_others_go_on() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    browser.open(&format!("{BILLING}/")).await;
    let portal = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    let billing = browser.cookie(BILLING, "__Host-vestibule").unwrap();
    for _ in 0..4 {
        clinic.wait(HOUR / 2);
        assert_eq!(browser.get(&format!("{EMR}/")).await.status, 200);
    }
    assert_eq!(
        browser.get(&format!("{BILLING}/")).await.status,
        200,
        "exactly two hours are allowed"
    );
    for _ in 0..4 {
        clinic.wait(HOUR / 2);
        assert_eq!(browser.get(&format!("{EMR}/")).await.status, 200);
    }
    clinic.wait(Duration::from_secs(1));
    let form = browser.open(&format!("{BILLING}/claims?open")).await;
    assert!(form.url.starts_with(PORTAL));
    assert!(
        form.body.contains(
            "Billing was closed after 2 hours without activity. Please enter your password again."
        ),
        "{}",
        form.body
    );
    assert!(form.body.contains("value=\"kim\"") && form.body.contains(" readonly"));
    assert_eq!(
        browser.get(&format!("{EMR}/")).await.status,
        200,
        "EMR goes on undisturbed"
    );

    let second_tab = browser.open(&format!("{BILLING}/second")).await;
    let answer = browser.submit_login(&form, "kim", PASSWORD).await;
    let page = browser.follow(answer).await;
    assert_eq!(
        (page.url.as_str(), page.status),
        ("https://billing.test:8443/claims?open", 200)
    );
    let renewed = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    assert_ne!(renewed, portal);
    assert_eq!(
        renewed.split('.').next(),
        portal.split('.').next(),
        "the same session"
    );
    assert_ne!(
        browser.cookie(BILLING, "__Host-vestibule").unwrap(),
        billing
    );
    assert_eq!(browser.get(&format!("{EMR}/")).await.status, 200);
    // The other tab's form, sent or reloaded, leads on.
    assert_eq!(
        browser.open(&second_tab.url).await.url,
        format!("{BILLING}/second")
    );
    let answer = browser.submit_login(&second_tab, "kim", PASSWORD).await;
    assert_eq!(
        browser.follow(answer).await.url,
        format!("{BILLING}/second")
    );
}

#[tokio::test]
async fn a_closed_product_can_not_be_opened_with_a_ticket_from_another() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    browser.open(&format!("{BILLING}/")).await;
    clinic.wait(2 * HOUR + Duration::from_secs(1));
    // Through the launch page, by switching, without a bind: always the password.
    for url in [
        format!("{PORTAL}/login?rd={BILLING}/"),
        format!("{EMR}/.vestibule/switch?to=billing"),
        format!("{BILLING}/.vestibule/enter?ticket=x&rd=/"),
    ] {
        let page = browser.open(&url).await;
        assert!(
            page.url.starts_with(&format!("{PORTAL}/login?")),
            "{url} led to {}",
            page.url
        );
        assert!(page.body.contains("type=\"password\""));
    }
}

#[tokio::test]
async fn a_whole_sign_in_ends_after_idle_and_maximum() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    clinic.wait(8 * HOUR + Duration::from_secs(1));
    let form = browser.open(&format!("{EMR}/")).await;
    assert!(
        form.body.contains("You were signed out after"),
        "{}",
        form.body
    );
    let answer = browser.submit_login(&form, "kim", PASSWORD).await;
    let page = browser.follow(answer).await;
    assert_eq!(page.url, format!("{EMR}/"));
    let first = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    for _ in 0..4 {
        clinic.wait(3 * HOUR);
        browser.get(&format!("{EMR}/")).await;
    }
    clinic.wait(Duration::from_secs(1));
    let form = browser.open(&format!("{EMR}/")).await;
    assert!(form.url.starts_with(PORTAL));
    let answer = browser.submit_login(&form, "kim", PASSWORD).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
    let second = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    assert_ne!(
        first.split('.').next(),
        second.split('.').next(),
        "a new session"
    );
}
