//! Pairing accounts of several products, the default application, and the reset.

use crate::clinic::*;

use vestibule::gate::name::{Login, PersonId, ProductId};
use vestibule::gate::policy::Reach;

/// Lee's and Sam's Billing accounts wait to be paired; Pam is Max's colleague.
const MORE: &str = r#"{"kind":"person","id":"kim","company":"acme","name":"Kim Doe","email":"kim@acme.test","roles":["company_admin"],"grants":["analytics"]}
{"kind":"person","id":"sam","company":"acme","name":"Sam Ray","email":"sam@acme.test","roles":["user_manager"]}
{"kind":"account","product":"emr","login":"sam","person":"sam","password_hash":"HASH"}
{"kind":"account","product":"billing","login":"lee.billing","password_hash":"HASH"}
{"kind":"account","product":"billing","login":"lee.other","password_hash":"HASH"}
"#;

async fn clinic() -> Clinic {
    let clinic = Clinic::open().await;
    clinic.import(MORE).await;
    clinic
}

/// The first product's credentials, and the form for the second's.
async fn first_step(browser: &Browser<'_>, url: &str, login: &str) -> Page {
    let first = browser.open(url).await;
    assert!(
        first
            .body
            .contains("Step 1 of 2: enter your EMR credentials."),
        "{} {}",
        first.url,
        first.body
    );
    assert!(first.body.contains(">Next</button>"), "{}", first.body);
    let answer = browser.submit_login(&first, login, PASSWORD).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let second = browser.follow(answer).await;
    assert!(
        second
            .body
            .contains("Step 2 of 2: enter your Billing credentials."),
        "{}",
        second.body
    );
    assert!(second.body.contains(">Pair accounts</button>"));
    second
}

async fn pair(browser: &Browser<'_>, login: &str, with: &str) -> Page {
    let second = first_step(browser, &format!("{BILLING}/"), login).await;
    let answer = browser.submit_login(&second, with, PASSWORD).await;
    browser.follow(answer).await
}

#[tokio::test]
async fn who_presses_a_product_without_a_link_pairs_and_is_in_at_once() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("lee").await;
    let url = format!("{BILLING}/claims?page=2");
    let second = first_step(&browser, &url, "lee").await;
    let answer = browser
        .submit_login(&second, "Lee.Billing ", PASSWORD)
        .await;
    assert_eq!(answer.status, 303);
    let done = browser.follow(answer).await;
    assert!(
        done.body
            .contains("Success! Your EMR and Billing accounts are paired."),
        "{}",
        done.body
    );
    assert!(done.body.contains("role=\"status\""));
    // The way on leads to what was wanted, and nothing is typed any more.
    assert_eq!(done.link("Open Billing"), url);
    let page = browser.open(&url).await;
    assert_eq!(
        (page.status, page.body.as_str()),
        (200, "Billing for lee.billing by pwd in acme")
    );
    // Another sign-in of the same person has it as well.
    let other = clinic.signed_in("lee").await;
    assert_eq!(other.open(&url).await.status, 200);

    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert!(heard.contains("billing paired as lee.billing"), "{heard}");
    assert!(!heard.contains(PASSWORD), "never what was typed");
    let again = browser.open(&format!("{PORTAL}/connect/billing")).await;
    assert!(
        again
            .body
            .contains("Your Billing account is linked: you are lee.billing there."),
        "{}",
        again.body
    );
}

#[tokio::test]
async fn a_wrong_second_password_is_told_and_counted_and_shuts_nobody_out() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("lee").await;
    let second = first_step(&browser, &format!("{BILLING}/"), "lee").await;
    for _ in 0..5 {
        let page = browser.submit_login(&second, "lee.billing", "wrong").await;
        assert_eq!(page.status, 403);
        assert!(
            page.body
                .contains("That username and password don&#39;t match."),
            "{}",
            page.body
        );
        assert!(page.body.contains("value=\"lee.billing\""));
    }
    let page = browser.submit_login(&second, "lee.billing", PASSWORD).await;
    assert_eq!(page.status, 429, "also the right one waits");
    assert!(!page.header("retry-after").is_empty());
    // The same name and address at the sign-in are counted apart, and other Billing accounts too.
    assert_eq!(
        clinic.signed_in("lee").await.address.to_string(),
        "192.0.2.2"
    );
    let mut there = clinic.browser();
    there.address = browser.address;
    let page = there.log_in(&format!("{EMR}/"), "lee").await;
    assert_eq!(page.status, 200);
    let page = browser.submit_login(&second, "lee.other", "wrong").await;
    assert_eq!(page.status, 403);
    clinic.wait(std::time::Duration::from_secs(2));
    let page = browser.submit_login(&second, "lee.billing", PASSWORD).await;
    assert!(page.location().contains("paired=1"), "{}", page.body);
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert_eq!(heard.matches("second password refused").count(), 6);
    assert_eq!(heard.matches("\"throttled\"").count(), 1, "{heard}");
}

#[tokio::test]
async fn names_that_don_t_exist_are_told_nothing_else() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("lee").await;
    let second = first_step(&browser, &format!("{BILLING}/"), "lee").await;
    let unknown = browser.submit_login(&second, "nobody", PASSWORD).await;
    let wrong = browser.submit_login(&second, "lee.billing", "wrong").await;
    let paired = browser.submit_login(&second, "kim.billing", "wrong").await;
    let plain = |page: &Page, login: &str| page.plain().replace(login, "");
    assert_eq!(unknown.status, 403);
    assert_eq!(plain(&unknown, "nobody"), plain(&wrong, "lee.billing"));
    assert_eq!(plain(&unknown, "nobody"), plain(&paired, "kim.billing"));
}

#[tokio::test]
async fn somebody_elses_account_is_refused_with_a_way_out_and_both_hear_of_it() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("lee").await;
    let second = first_step(&browser, &format!("{BILLING}/"), "lee").await;
    let page = browser.submit_login(&second, "kim.billing", PASSWORD).await;
    assert_eq!(page.status, 409);
    assert!(
        page.body
            .contains("paired with another person&#39;s sign-in"),
        "{}",
        page.body
    );
    assert!(
        page.body
            .contains("Ask your user manager to set it right: Sam Ray."),
        "{}",
        page.body
    );
    assert!(!page.body.contains("Kim"), "not whose it is");
    assert!(
        page.link("Use another account")
            .contains("/connect/billing")
    );
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    let line = |event: &str, person: &str, detail: &str| {
        heard.lines().any(|line| {
            line.contains(&format!("event: \"{event}\""))
                && line.contains(&format!("Some({person})"))
                && line.contains(detail)
        })
    };
    assert!(
        line("pairing", "lee", "billing kim.billing is another's"),
        "{heard}"
    );
    assert!(
        line("pairing_contested", "kim", "billing kim.billing by lee"),
        "{heard}"
    );
    // Kim's own is as it was.
    let kim = clinic.signed_in("kim").await;
    assert_eq!(kim.open(&format!("{BILLING}/")).await.status, 200);
}

#[tokio::test]
async fn whose_account_is_wanted_by_another_company_stands_in_their_own_trail() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("lee").await;
    let second = first_step(&browser, &format!("{BILLING}/"), "lee").await;
    let page = browser.submit_login(&second, "max.billing", PASSWORD).await;
    assert_eq!(page.status, 409);
    let heard = clinic.heard.lines.lock().unwrap();
    let line = heard
        .iter()
        .find(|line| line.contains("\"pairing_contested\""));
    let line = line.expect("a line");
    assert!(
        line.contains("person: Some(max), company: Some(strict)"),
        "{line}"
    );
}

#[tokio::test]
async fn of_two_who_pair_one_account_at_once_one_wins() {
    let clinic = clinic().await;
    let (lee, sam) = (clinic.signed_in("lee").await, clinic.signed_in("sam").await);
    let ours = first_step(&lee, &format!("{BILLING}/"), "lee").await;
    let theirs = first_step(&sam, &format!("{BILLING}/"), "sam").await;
    let (one, other) = tokio::join!(
        lee.submit_login(&ours, "lee.billing", PASSWORD),
        sam.submit_login(&theirs, "lee.billing", PASSWORD),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409], "{} {}", one.body, other.body);
}

#[tokio::test]
async fn the_first_proof_is_needed_and_lasts_ten_minutes_in_one_session() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("lee").await;
    let first = browser.open(&format!("{PORTAL}/connect/billing")).await;
    let jump = |page: &Page| {
        let mut fields = page.hidden();
        fields.retain(|(name, _)| name != "step");
        fields.extend(
            [
                ("step", "second"),
                ("username", "lee.billing"),
                ("password", PASSWORD),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        fields
    };
    let url = format!("{PORTAL}/connect/billing");
    let page = browser.post(&url, &jump(&first)).await;
    assert_eq!(page.status, 303);
    let page = browser.follow(page).await;
    assert!(page.body.contains("Step 1 of 2"), "{}", page.body);
    // A wrong first password leads nowhere, and another's name is not asked about.
    let page = browser.submit_login(&first, "lee", "wrong").await;
    assert_eq!(page.status, 403);
    let page = browser.submit_login(&first, "kim", PASSWORD).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body
            .contains("Pair the account that you are signed in with"),
        "{}",
        page.body
    );
    first_step(&browser, &url, "lee").await;
    let other = clinic.signed_in("lee").await;
    let page = other.open(&url).await;
    assert!(page.body.contains("Step 1 of 2"), "another session's");
    clinic.wait(std::time::Duration::from_secs(601));
    let page = browser.open(&url).await;
    assert!(page.body.contains("Step 1 of 2"), "{}", page.body);
    let page = browser.post(&url, &jump(&page)).await;
    assert_eq!(page.status, 303);
    let billing = ProductId::parse("billing").unwrap();
    let login = Login::parse("lee.billing").unwrap();
    let account = clinic.directory.account(&billing, &login).await.unwrap();
    assert_eq!(account.unwrap().person, None);
}

#[tokio::test]
async fn no_other_site_pairs_or_resets() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("lee").await;
    let second = first_step(&browser, &format!("{BILLING}/"), "lee").await;
    let mut fields = second.hidden();
    fields.push((String::from("username"), String::from("lee.billing")));
    fields.push((String::from("password"), String::from(PASSWORD)));
    for path in [
        "/connect/billing",
        "/account/default",
        "/account/reset-sso",
        "/account/password",
        "/apps/company",
        "/login/expired",
    ] {
        let headers = vec![("origin", String::from("https://evil.test"))];
        let page = browser
            .post_from(&format!("{PORTAL}{path}"), &fields, headers)
            .await;
        assert_eq!(page.status, 403, "{path}");
    }
    // Without the form's token nothing is done either.
    fields.retain(|(name, _)| name != "csrf");
    let page = browser
        .post(&format!("{PORTAL}/connect/billing"), &fields)
        .await;
    assert_eq!(page.status, 303);
    assert!(!page.location().contains("paired"), "{}", page.location());
    let reset = browser
        .post(&format!("{PORTAL}/account/reset-sso"), &[])
        .await;
    assert_eq!(reset.location(), "/account?sso=late");
    assert_eq!(
        browser
            .get(&format!("{PORTAL}/account/reset-sso"))
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn a_reset_ends_links_and_presence_at_once_and_another_account_can_be_paired() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("lee").await;
    pair(&browser, "lee", "lee.billing").await;
    let elsewhere = clinic.signed_in("lee").await;
    for browser in [&browser, &elsewhere] {
        assert_eq!(browser.open(&format!("{BILLING}/")).await.status, 200);
    }
    let profile = browser.open(&format!("{PORTAL}/account")).await;
    let token = profile
        .hidden()
        .into_iter()
        .find(|(name, _)| name == "csrf")
        .unwrap();
    assert!(profile.body.contains(">Reset Single Sign-On</button>"));
    let reset = browser
        .post(&format!("{PORTAL}/account/reset-sso"), &[token])
        .await;
    assert_eq!(reset.location(), "/account?sso=reset");
    let profile = browser.follow(reset).await;
    assert!(profile.body.contains("Single Sign-On is reset."));
    assert!(
        !profile.body.contains("Reset Single Sign-On</button>"),
        "nothing is left to reset"
    );
    // The EMR goes on, Billing is gone in every browser.
    for browser in [&browser, &elsewhere] {
        assert_eq!(browser.get(&format!("{EMR}/")).await.status, 200);
        assert_eq!(browser.get(&format!("{BILLING}/")).await.status, 302);
    }
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert!(heard.contains("single_sign_on_reset"), "{heard}");
    let page = pair(&browser, "lee", "lee.other").await;
    assert!(page.body.contains("Success!"), "{}", page.body);
    let page = browser.open(&format!("{BILLING}/")).await;
    assert_eq!(page.body, "Billing for lee.other by pwd in acme");
}

#[tokio::test]
async fn who_chose_billing_is_in_billing_after_signing_in() {
    let clinic = clinic().await;
    let browser = clinic.signed_in("kim").await;
    let profile = browser.open(&format!("{PORTAL}/account")).await;
    assert!(profile.body.contains("Single Sign-On (SSO) Options"));
    for (product, checked) in [("emr", " checked"), ("billing", ""), ("analytics", "")] {
        let radio = format!("<input type=\"radio\" name=\"default\" value=\"{product}\"{checked}>");
        assert!(profile.body.contains(&radio), "{product} {}", profile.body);
    }
    let token = profile
        .hidden()
        .into_iter()
        .find(|(name, _)| name == "csrf")
        .unwrap();
    let choose = |product: &str| vec![token.clone(), (String::from("default"), product.to_owned())];
    let url = format!("{PORTAL}/account/default");
    assert_eq!(browser.post(&url, &choose("payroll")).await.status, 403);
    let saved = browser.post(&url, &choose("billing")).await;
    assert_eq!(saved.location(), "/account?sso=saved");
    let profile = browser.follow(saved).await;
    assert!(profile.body.contains("value=\"billing\" checked>"));

    for door in [format!("{PORTAL}/"), format!("{EMR}/")] {
        let next = clinic.browser();
        let page = next.log_in(&door, "kim").await;
        assert_eq!(page.url, format!("{BILLING}/"), "from {door}");
        assert_eq!(page.status, 200);
        // And the EMR is one press away.
        let page = next
            .open(&format!("{BILLING}/.vestibule/switch?to=emr"))
            .await;
        assert_eq!(
            (page.url.as_str(), page.status),
            ("https://emr.test:8443/", 200)
        );
    }
    // Who wants something by name gets that.
    let next = clinic.browser();
    let page = next.log_in(&format!("{EMR}/rounds"), "kim").await;
    assert_eq!(page.url, format!("{EMR}/rounds"));

    // Without the link the choice is void.
    let kim = PersonId::parse("kim").unwrap();
    let emr = ProductId::parse("emr").unwrap();
    let billing = ProductId::parse("billing").unwrap();
    clinic.directory.unpair(&kim, &emr).await.unwrap();
    clinic
        .directory
        .set_default_product(&kim, Some(&billing))
        .await
        .unwrap();
    let page = clinic.browser().log_in(&format!("{PORTAL}/"), "kim").await;
    assert_eq!(page.url, format!("{EMR}/"));
}

#[tokio::test]
async fn analytics_needs_a_grant_and_its_release() {
    let clinic = clinic().await;
    let lee = clinic.signed_in("lee").await;
    let page = lee.open(&format!("{ANALYTICS}/")).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body
            .contains("A user manager of your company can grant you Analytics: Sam Ray."),
        "{}",
        page.body
    );
    let kim = clinic.signed_in("kim").await;
    assert_eq!(kim.open(&format!("{ANALYTICS}/")).await.status, 200);
    let release = |companies: Vec<&str>| {
        let companies = companies
            .into_iter()
            .map(|id| vestibule::gate::name::CompanyId::parse(id).unwrap())
            .collect();
        clinic.policies.rcu(|policies| {
            let mut policies = (**policies).clone();
            policies.rollout.analytics_sso = Some(Reach {
                companies: Clone::clone(&companies),
                percent: 0,
                held: None,
            });
            policies
        });
    };
    release(vec!["strict"]);
    let page = kim.get(&format!("{ANALYTICS}/")).await;
    assert_eq!((page.status, page.body.as_str()), (403, "not_released"));
    let settings = kim.get(&format!("{PORTAL}/company/settings")).await;
    let waits = "Going on to Analytics without logging in again is being released company by company. It has not reached";
    assert!(settings.body.contains(waits), "{}", settings.body);
    let apps = kim.open(&format!("{PORTAL}/apps")).await;
    assert!(!apps.body.contains("Analytics"), "{}", apps.body);
    let bar = format!("{EMR}/.vestibule/bar");
    let bar = kim.fetch(http::Method::GET, &bar).await;
    assert!(bar.body.contains("Billing"), "{}", bar.body);
    assert!(!bar.body.contains("Analytics"), "{}", bar.body);
    let fresh = clinic.signed_in("kim").await;
    let page = fresh.open(&format!("{ANALYTICS}/")).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body.contains("being released step by step"),
        "{}",
        page.body
    );
    assert_eq!(fresh.open(&format!("{BILLING}/")).await.status, 200);
    release(vec!["acme"]);
    assert_eq!(fresh.open(&format!("{ANALYTICS}/")).await.status, 200);
}

#[tokio::test]
async fn without_the_store_nothing_is_paired() {
    let clinic = clinic().await;
    let mut browser = clinic.signed_in("lee").await;
    let second = first_step(&browser, &format!("{BILLING}/"), "lee").await;
    browser.store_is_away = true;
    let page = browser.submit_login(&second, "lee.billing", PASSWORD).await;
    assert_eq!(page.status, 503);
    assert!(clinic.sessions.store().ping().await.is_ok());
}
