//! `/.vestibule/` on products' hosts, and signing out.

use http::Method;

use crate::clinic::*;

#[tokio::test]
async fn the_session_as_json_is_no_activity() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    browser.open(&format!("{BILLING}/")).await;
    let url = format!("{BILLING}/.vestibule/session");
    clinic.wait(HOUR);
    let json = |page: &Page| serde_json::from_str::<serde_json::Value>(&page.body).unwrap();
    let page = browser.fetch(Method::GET, &url).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "application/json")
    );
    let session = json(&page);
    assert_eq!(session["person"]["id"], "kim");
    assert_eq!(session["person"]["name"], "Kim Doe");
    assert_eq!(
        (
            &session["company"],
            &session["product"],
            &session["account"]
        ),
        (&"acme".into(), &"billing".into(), &"kim.billing".into())
    );
    assert_eq!(session["idle_remaining_s"], 3600);
    assert_eq!(session["maximum_remaining_s"], 11 * 3600);
    // Of the account here, which names none: not those of the account that she signed in with.
    assert_eq!(session["companies"], serde_json::json!(["acme"]));
    clinic.wait(HOUR / 2);
    assert_eq!(
        json(&browser.fetch(Method::GET, &url).await)["idle_remaining_s"],
        1800
    );

    let extended = browser.fetch(Method::POST, &format!("{url}/extend")).await;
    assert_eq!(json(&extended)["idle_remaining_s"], 7200);
    clinic.wait(2 * HOUR);
    assert_eq!(
        json(&browser.fetch(Method::GET, &url).await)["idle_remaining_s"],
        0
    );
    clinic.wait(std::time::Duration::from_millis(1));
    let page = browser.fetch(Method::GET, &url).await;
    assert_eq!(page.status, 401);
    let problem = json(&page);
    assert_eq!(problem["error"], "unauthenticated");
    assert!(
        problem["login_url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{PORTAL}/login?rd="))
    );
    assert_eq!(problem["reason"], "product_idle");
    assert_eq!(
        browser
            .fetch(Method::POST, &format!("{url}/extend"))
            .await
            .status,
        401,
        "too late"
    );
}

#[tokio::test]
async fn other_sites_can_neither_extend_nor_sign_out() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    for path in [
        "/.vestibule/session/extend",
        "/.vestibule/sign_out",
        "/.vestibule/company",
    ] {
        for from in [
            ("origin", PORTAL),
            ("origin", "null"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
        ] {
            let headers = vec![(from.0, from.1.to_owned())];
            let fields = [(String::from("company"), String::from("strict"))];
            let page = browser
                .post_from(&format!("{EMR}{path}"), &fields, headers)
                .await;
            assert_eq!(page.status, 403, "{path} {from:?}");
        }
    }
    assert_eq!(
        browser.get(&format!("{EMR}/")).await.body,
        "EMR for kim by pwd in acme"
    );
    assert_eq!(
        browser
            .fetch(Method::GET, &format!("{EMR}/.vestibule/session/extend"))
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn signing_out_in_one_product_ends_it_everywhere() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    browser.open(&format!("{BILLING}/")).await;
    let button = browser.get(&format!("{BILLING}/.vestibule/sign_out")).await;
    assert!(button.body.contains(">Sign out</button>"));
    assert_eq!(
        browser.get(&format!("{BILLING}/")).await.status,
        200,
        "a GET changes nothing"
    );
    let answer = browser.submit(&button, &[]).await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "https://login.test:8443/logout")
    );
    assert!(!answer.header("clear-site-data").contains("cookies"));
    assert_eq!(browser.cookie(BILLING, "__Host-vestibule"), None);
    let page = browser.follow(answer).await;
    assert!(page.body.contains("You are signed out"), "{}", page.body);
    for origin in [EMR, BILLING] {
        assert_eq!(browser.get(&format!("{origin}/")).await.status, 302);
    }
    assert!(
        browser
            .open(&format!("{PORTAL}/"))
            .await
            .body
            .contains("type=\"password\"")
    );
}

#[tokio::test]
async fn programs_sign_out_without_a_page() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let answer = browser
        .fetch(Method::POST, &format!("{EMR}/.vestibule/sign_out"))
        .await;
    assert_eq!(answer.status, 204);
    assert_eq!(browser.get(&format!("{EMR}/")).await.status, 302);
}

#[tokio::test]
async fn the_portal_signs_out_with_its_own_token_only() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let page = browser.post(&format!("{PORTAL}/logout"), &[]).await;
    assert_eq!((page.status, page.location()), (303, "/logout"));
    assert_eq!(browser.get(&format!("{EMR}/")).await.status, 200);
    let button = browser.get(&format!("{PORTAL}/logout")).await;
    let answer = browser.submit(&button, &[]).await;
    assert!(
        browser
            .follow(answer)
            .await
            .body
            .contains("You are signed out")
    );
    assert_eq!(browser.get(&format!("{EMR}/")).await.status, 302);
}

#[tokio::test]
async fn switching_to_another_product_needs_no_typing() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let page = browser
        .open(&format!("{EMR}/.vestibule/switch?to=billing&rd=/claims"))
        .await;
    assert_eq!(
        (page.url.as_str(), page.status),
        ("https://billing.test:8443/claims", 200)
    );
    assert_eq!(
        browser
            .get(&format!("{EMR}/.vestibule/switch?to=nothing"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn only_ones_own_companies_can_be_chosen() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("kim").await;
    let url = format!("{EMR}/.vestibule/company");
    let choose = |company: &str| vec![(String::from("company"), company.to_owned())];
    for company in ["other", "", "../x"] {
        assert_eq!(
            browser.post(&url, &choose(company)).await.status,
            403,
            "{company:?}"
        );
    }
    let page = browser.post(&url, &choose("strict")).await;
    assert_eq!(page.status, 303);
    // The other company wants a second factor: it is asked for before anything is shown.
    let page = browser.open(&format!("{EMR}/")).await;
    assert!(page.url.starts_with(PORTAL), "{}", page.url);
    let answer = browser.submit_login(&page, "kim", PASSWORD).await;
    assert!(answer.location().starts_with("/login/enroll?"));
}
