//! "Forgot your password?".

use std::time::Duration;

use vestibule::gate::name::PersonId;
use vestibule::messages::Kept;

use crate::clinic::*;

const NEW: &str = "seven green parakeets";
const FORGOT: &str = "https://login.test:8443/password/forgot";

async fn ask(browser: &Browser<'_>, login: &str) -> Page {
    let form = browser.open(FORGOT).await;
    assert!(form.body.contains(">Username</label>"), "{}", form.body);
    browser.submit(&form, &[("username", login)]).await
}

/// All that was sent, the newest first, but for what people hear who set up a factor on the way.
pub fn mails(clinic: &Clinic) -> Vec<Kept> {
    let mut all = clinic.messages.outbox().all();
    all.retain(|kept| kept.subject != "A second factor was added");
    all
}

/// The newest mail, once it is there.
pub async fn mail(clinic: &Clinic, count: usize) -> String {
    for _ in 0..500 {
        let all = mails(clinic);
        if all.len() >= count {
            assert_eq!(all.len(), count);
            return all[0].text.clone();
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("no mail");
}

fn link_in(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("https://"));
    line.expect("a link").to_owned()
}

async fn set(browser: &Browser<'_>, page: &Page, new: &str) -> Page {
    browser
        .submit(page, &[("new", new), ("confirm", new)])
        .await
}

async fn log_in(clinic: &Clinic, login: &str, password: &str) -> Page {
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let answer = browser.submit_login(&form, login, password).await;
    browser.follow(answer).await
}

#[tokio::test]
async fn a_link_by_mail_sets_a_new_password_once_and_ends_every_session() {
    let clinic = Clinic::open().await;
    let inside = clinic.signed_in("kim").await;
    let browser = clinic.browser();
    let login = browser.open(&format!("{EMR}/")).await;
    assert_eq!(login.link("Forgot your password?"), "/password/forgot");
    let page = ask(&browser, " Kim").await;
    assert!(page.body.contains("Look into your mail"), "{}", page.body);
    let text = mail(&clinic, 1).await;
    assert_eq!(clinic.messages.outbox().all()[0].to, "kim@acme.test");
    let link = link_in(&text);
    assert!(
        link.starts_with(&format!("{PORTAL}/password/reset?token=")),
        "{link}"
    );

    // Opened by another browser, and twice: opening spends nothing.
    let browser = clinic.browser();
    browser.open(&link).await;
    let page = browser.open(&link).await;
    assert!(
        page.body.contains(">Confirm new password</label>"),
        "{}",
        page.body
    );
    let refused = set(&browser, &page, "too short").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("at least 15 characters"));
    assert_eq!(inside.get(&format!("{EMR}/")).await.status, 200);
    let answer = set(&browser, &page, NEW).await;
    assert_eq!(
        answer.location(),
        "/login?reason=changed",
        "{}",
        answer.body
    );
    let login = browser.follow(answer).await;
    assert!(
        login.body.contains("Your password is changed."),
        "{}",
        login.body
    );
    assert_eq!(inside.get(&format!("{EMR}/")).await.status, 302, "out");
    assert_eq!(
        browser.get(&format!("{EMR}/")).await.status,
        302,
        "nobody is in by it"
    );

    assert_eq!(browser.get(&link).await.status, 410, "one use");
    assert_eq!(
        set(&browser, &page, "another good phrase").await.status,
        410
    );
    assert_eq!(log_in(&clinic, "kim", PASSWORD).await.status, 403);
    assert_eq!(log_in(&clinic, "kim", NEW).await.url, format!("{EMR}/"));
    let heard = clinic.heard.lines.lock().unwrap().join("\n");
    assert!(
        heard.contains("password_link") && heard.contains("emr kim by mail"),
        "{heard}"
    );
    let token = link.rsplit('=').next().unwrap();
    assert!(!heard.contains(token) && !heard.contains(NEW));
}

#[tokio::test]
async fn names_that_nobody_has_get_the_same_answer_and_no_mail() {
    let clinic = Clinic::open().await;
    let known = ask(&clinic.browser(), "kim").await;
    for login in ["nobody-here", "dee", "loose", "not a login \u{1}"] {
        let page = ask(&clinic.browser(), login).await;
        assert_eq!(
            (page.status, page.plain()),
            (known.status, known.plain()),
            "{login}"
        );
    }
    mail(&clinic, 1).await;
    let empty = ask(&clinic.browser(), " ").await;
    assert_eq!(empty.status, 400);
}

#[tokio::test]
async fn a_link_dies_after_an_hour_with_a_newer_one_and_with_the_password() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    ask(&browser, "kim").await;
    let old = link_in(&mail(&clinic, 1).await);
    ask(&browser, "kim").await;
    let new = link_in(&mail(&clinic, 2).await);
    assert_eq!(browser.get(&old).await.status, 410);
    assert_eq!(browser.get(&new).await.status, 200);
    clinic.wait(Duration::from_secs(3600));
    assert_eq!(browser.get(&new).await.status, 410);
    ask(&browser, "kim").await;
    let link = link_in(&mail(&clinic, 3).await);
    let page = browser.open(&link).await;
    // The person remembered it, and changed it themselves.
    let kim = clinic.signed_in("kim").await;
    let form = kim.open(&format!("{PORTAL}/account/password")).await;
    let fields = [("current", PASSWORD), ("new", NEW), ("confirm", NEW)];
    clinic.wait(Duration::from_secs(1));
    assert_eq!(kim.submit(&form, &fields).await.status, 303);
    assert_eq!(
        set(&browser, &page, "another good phrase").await.status,
        410
    );
    for wrong in ["", "x", "A".repeat(43).as_str()] {
        let url = format!("{PORTAL}/password/reset?token={wrong}");
        assert_eq!(browser.get(&url).await.status, 410, "{wrong}");
    }
}

#[tokio::test]
async fn a_link_never_stands_in_for_the_factor() {
    let clinic = Clinic::open().await;
    clinic.signed_in_strict("max").await;
    let browser = clinic.browser();
    ask(&browser, "max").await;
    let link = link_in(&mail(&clinic, 1).await);
    let page = browser.open(&link).await;
    assert_eq!(set(&browser, &page, NEW).await.status, 303);
    let max = PersonId::parse("max").unwrap();
    assert_eq!(clinic.directory.factors(&max).await.unwrap().len(), 1);
    let page = log_in(&clinic, "max", NEW).await;
    assert!(page.url.contains("/login/factor"), "{}", page.url);
}

#[tokio::test]
async fn of_many_who_use_one_link_at_once_one_sets_the_password() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    ask(&browser, "kim").await;
    let page = browser.open(&link_in(&mail(&clinic, 1).await)).await;
    let phrases: Vec<String> = (0..4)
        .map(|n| format!("a phrase with number {n}"))
        .collect();
    let answers =
        futures_util::future::join_all(phrases.iter().map(|new| set(&browser, &page, new))).await;
    let won: Vec<usize> = (0..4).filter(|n| answers[*n].status == 303).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(log_in(&clinic, "kim", &phrases[won[0]]).await.status, 200);
}

/// How many of these links work.
async fn good(clinic: &Clinic, links: &[String]) -> usize {
    let mut good = 0;
    for link in links {
        good += usize::from(clinic.browser().get(link).await.status == 200);
    }
    good
}

#[tokio::test]
async fn who_asks_again_and_again_shuts_nobody_out_whoever_it_is_about() {
    let clinic = Clinic::open().await;
    let stranger = clinic.browser();
    let first = ask(&stranger, "nobody-here").await;
    for login in ["kim", "nobody-here"] {
        for _ in 0..8 {
            let page = ask(&stranger, login).await;
            assert_eq!((page.status, page.plain()), (200, first.plain()), "{login}");
        }
    }
    // Three went out; the last one stays good, whatever was asked since.
    mail(&clinic, 3).await;
    let sent = clinic.messages.outbox().all();
    let links: Vec<String> = sent.iter().map(|mail| link_in(&mail.text)).collect();
    assert_eq!(good(&clinic, &links).await, 1);
    assert!(clinic.heard("sent a moment ago"));

    // The owner's browser is sent another at once, and so is everybody after a while.
    let owner = clinic.signed_in("kim").await;
    assert_eq!(ask(&owner, "kim").await.status, 200);
    mail(&clinic, 4).await;
    assert_eq!(good(&clinic, &links).await, 0);
    clinic.wait(Duration::from_secs(15 * 60));
    ask(&clinic.browser(), "kim").await;
    mail(&clinic, 5).await;
}

#[tokio::test]
async fn an_address_that_asks_for_many_names_waits_and_the_owners_browser_there_does_not() {
    let clinic = Clinic::open().await;
    let owner = clinic.signed_in("kim").await;
    let mut stranger = clinic.browser();
    stranger.address = owner.address;
    let mut refused = 0;
    for nobody in 0..60 {
        let page = ask(&stranger, &format!("nobody-{nobody}")).await;
        refused += usize::from(page.status == 429);
    }
    assert_eq!(refused, 10);
    assert_eq!(ask(&owner, "kim").await.status, 200);
    mail(&clinic, 1).await;
    // As often as anybody mistypes, and no oftener.
    for _ in 0..4 {
        assert_eq!(ask(&owner, "kim").await.status, 200);
    }
    assert_eq!(ask(&owner, "kim").await.status, 429);
    mail(&clinic, 5).await;
}
