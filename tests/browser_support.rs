//! The browser that other tests lean on, proved against the demo's applications, which are proved
//! in a browser by the way: their scripts run under their own content security policy.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use support::browser::{self, Browser};
use tokio::net::TcpListener;
use vestibule::demo::{self, Links};

/// The three applications, reached at their own addresses.
struct Clinic {
    emr: String,
    billing: String,
    analytics: String,
}

async fn clinic() -> Clinic {
    let mut listeners = Vec::new();
    for name in ["emr", "billing", "analytics"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        listeners.push((listener, format!("http://{name}.localhost:{port}")));
    }
    let urls: Vec<String> = listeners.iter().map(|(_, url)| url.clone()).collect();
    let links = Links::direct(&urls[0], &urls[1], &urls[2]);
    let mut listeners = listeners.into_iter().map(|(listener, _)| listener);
    tokio::spawn(demo::emr(listeners.next().unwrap(), links.clone()));
    tokio::spawn(demo::billing(listeners.next().unwrap(), links.clone()));
    tokio::spawn(demo::analytics(listeners.next().unwrap(), links));
    Clinic {
        emr: urls[0].clone(),
        billing: urls[1].clone(),
        analytics: urls[2].clone(),
    }
}

/// Signs in at an application's own page.
async fn sign_in(browser: &Browser, product: &str, login: &str) {
    let account = demo::people()
        .into_iter()
        .find(|p| p.product == product && p.login == login)
        .unwrap();
    browser.fill("Username", login).await;
    browser.fill("Password", account.password).await;
    let button = browser.wait_for("//form//button").await;
    button.click().await.unwrap();
    browser.wait_for_words(account.name).await;
}

/// Waits until a script has replaced the words that the page came with.
async fn wait_for_life(browser: &Browser, id: &str, came_with: &str) {
    browser
        .wait_for(&format!(
            "//*[@id='{id}' and normalize-space()!='{came_with}']"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_legacy_applications_are_used_in_a_browser() {
    let clinic = clinic().await;
    let browser = Browser::start().await;

    browser.open(&clinic.emr).await;
    sign_in(&browser, "emr", "kim").await;
    wait_for_life(&browser, "poll", "asking").await;
    wait_for_life(&browser, "socket", "dialling").await;
    wait_for_life(&browser, "events", "waiting").await;
    let words = browser.words().await;
    assert!(words.contains("heart rate reading"), "{words}");
    assert!(
        !words.contains("no news") && !words.contains("line closed"),
        "{words}"
    );
    let picture = browser.screenshot("demo-emr").await;
    assert!(std::fs::metadata(picture).unwrap().len() > 10_000);

    browser.press("Aoife O'Connell").await;
    browser.fill("New note", "Walked <b>without</b> pain").await;
    browser.press("Save note").await;
    browser
        .wait_for_words("Kim Doe: Walked <b>without</b> pain")
        .await;

    let scan = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scan.path(), b"abc").unwrap();
    browser.press("Documents").await;
    browser
        .fill("Scanned document", scan.path().to_str().unwrap())
        .await;
    browser.press("Upload").await;
    browser
        .wait_for_words("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        .await;

    browser.press("Billing").await;
    browser.wait_for_address(&clinic.billing).await;
    sign_in(&browser, "billing", "kdoe").await;
    browser.screenshot("demo-billing").await;
    browser.press("Payments").await;
    browser.fill("Amount in dollars", "84.50").await;
    browser.press("Post payment").await;
    browser.wait_for_words("$84.50").await;

    browser.press("Analytics").await;
    browser.wait_for_address(&clinic.analytics).await;
    sign_in(&browser, "analytics", "kim.doe").await;
    browser.wait_for("//*[@id='chart']").await;
    browser.screenshot("demo-analytics").await;

    browser.press("Log out").await;
    browser
        .wait_for_address(&format!("{}/login", clinic.analytics))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_browser_is_left_when_its_test_ends() {
    let browser = Browser::start_with_window(390, 844).await;
    let family = browser::descendants(browser.driver_id());
    assert!(family.len() > 1, "a driver and its browser: {family:?}");
    drop(browser);
    // A killed process may need a moment until the system has buried it.
    for _ in 0..100 {
        if family.iter().all(|id| browser::ended(*id)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!(
        "still running: {:?}",
        family
            .iter()
            .filter(|id| !browser::ended(**id))
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_not_everybody_can_use_is_found() {
    let browser = Browser::start().await;
    let page = "data:text/html,<!doctype html><html lang=en><title>A page</title>\
                <main><h1>A page</h1><img src='data:,'><input></main>";
    browser.open(page).await;
    let violations = browser.violations().await;
    for rule in ["image-alt", "label"] {
        let found = violations
            .iter()
            .any(|violation| violation.starts_with(rule));
        assert!(found, "{rule}: {violations:?}");
    }
}
