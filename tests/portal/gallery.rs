//! Every page as a file, to be looked at: `VESTIBULE_GALLERY=FOLDER cargo test --test portal gallery`.

use std::path::Path;

use vestibule::pages::{Problem, Words, style};

use crate::clinic::*;

/// With its style within, so that it can be opened from a file.
fn keep(folder: &Path, name: &str, page: &Page) {
    let (before, rest) = page.body.split_once("<link rel=\"stylesheet\"").unwrap();
    let (_, after) = rest.split_once('>').unwrap();
    let html = format!("{before}<style>{}</style>{after}", style());
    std::fs::write(folder.join(format!("{name}.html")), html).unwrap();
}

#[tokio::test]
async fn pages_are_kept_where_asked() {
    let own = tempfile::tempdir().unwrap();
    let asked = std::env::var_os("VESTIBULE_GALLERY");
    let folder = asked.as_deref().map_or(own.path(), Path::new);
    std::fs::create_dir_all(folder).unwrap();
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.open(&format!("{EMR}/")).await;
    keep(folder, "login", &page);
    keep(
        folder,
        "login-refused",
        &browser.submit_login(&page, "kim", "no").await,
    );
    keep(
        folder,
        "forgot",
        &browser.get(&format!("{PORTAL}/password/forgot")).await,
    );
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    keep(folder, "enroll", &page);
    let typed = browser
        .get(&format!("{PORTAL}{}", page.link("Trouble Scanning?")))
        .await;
    keep(folder, "enroll-key", &typed);
    keep(
        folder,
        "enroll-refused",
        &browser.submit(&page, &[("code", "1")]).await,
    );
    keep(
        folder,
        "methods",
        &browser
            .get(&format!("{PORTAL}{}", page.link("Try another method")))
            .await,
    );
    let (_, _) = enrol(&browser, page).await;
    let other = clinic.browser();
    keep(
        folder,
        "factor",
        &other.log_in(&format!("{EMR}/"), "max").await,
    );
    let pat = clinic.browser();
    let page = pat.log_in(&format!("{EMR}/"), "pat").await;
    let list = pat
        .get(&format!("{PORTAL}{}", page.link("Try another method")))
        .await;
    keep(folder, "methods-sms", &list);
    let ask = pat.get(&format!("{PORTAL}/login/enroll?method=sms")).await;
    keep(folder, "sms-ask", &ask);
    let refused = crate::sent::ask(&pat, &ask, "typed", "12").await;
    keep(folder, "sms-ask-refused", &refused);
    let typed = crate::sent::ask(&pat, &ask, "file", "").await;
    keep(folder, "sms-code", &typed);
    let early = crate::sent::ask(&pat, &typed, "again", "").await;
    keep(folder, "sms-code-early", &early);
    let kim = clinic.signed_in("kim").await;
    kim.open(&format!("{BILLING}/")).await;
    for (name, path) in [
        ("apps", "/apps"),
        ("account", "/account"),
        ("settings", "/company/settings"),
        ("logout", "/logout"),
    ] {
        keep(folder, name, &kim.get(&format!("{PORTAL}{path}")).await);
    }
    let (manager, _) = crate::administration::official(&clinic, "kim").await;
    for (name, path) in [
        ("users", "/company/users"),
        ("user", "/company/users/lee"),
        ("user-reset", "/company/users/lee?reset=mfa"),
        ("user-myself", "/company/users/kim"),
        ("audit", "/company/audit"),
        ("authenticator", "/account/authenticator"),
    ] {
        keep(folder, name, &manager.get(&format!("{PORTAL}{path}")).await);
    }
    let lee = clinic.signed_in("lee").await;
    let first = lee.get(&format!("{PORTAL}/connect/billing")).await;
    keep(folder, "connect", &first);
    let answer = lee.submit_login(&first, "lee", PASSWORD).await;
    let second = lee.follow(answer).await;
    keep(folder, "connect-second", &second);
    let refused = lee.submit_login(&second, "lee", "no").await;
    keep(folder, "connect-refused", &refused);
    let page = kim.get(&format!("{PORTAL}/account/password")).await;
    keep(folder, "change-password", &page);
    clinic.wait(2 * HOUR + std::time::Duration::from_secs(1));
    keep(
        folder,
        "login-again",
        &kim.open(&format!("{BILLING}/")).await,
    );
    for status in [403, 404, 429, 502, 503] {
        let problem = Problem::of(
            Words::default(),
            status,
            "reason",
            "Clinic sign-in",
            "8f14e45fceea167a",
        )
        .with_link("/", "Try again");
        std::fs::write(
            folder.join(format!("problem-{status}.html")),
            problem.html(),
        )
        .unwrap();
    }
}
