//! Something fails, or somebody else acts, in the middle: what was done is on record, and what had
//! to be over is over.

use std::sync::atomic::Ordering;

use vestibule::gate::name::{Login, PersonId, ProductId};
use vestibule::gate::policy::FactorMethod;
use vestibule::sessions::EndCause;

use crate::administration::{official, told};
use crate::authenticator::Authenticator;
use crate::clinic::*;

const NEW: &str = "seven green parakeets";

fn person(id: &str) -> PersonId {
    PersonId::parse(id).unwrap()
}

fn ails(clinic: &Clinic, ill: bool) {
    clinic.store.loses_people.store(ill, Ordering::SeqCst);
}

/// Somebody else sets the password of an account in EMR.
async fn set_password(clinic: &Clinic, login: &str) {
    let hash = vestibule::directory::passwords::Hasher::new()
        .hash(zeroize::Zeroizing::new(NEW.to_owned()))
        .await
        .unwrap();
    let (product, login) = (
        ProductId::parse("emr").unwrap(),
        Login::parse(login).unwrap(),
    );
    let set = clinic
        .directory
        .set_password(&product, &login, &hash, clinic.now())
        .await;
    assert!(set.unwrap());
}

#[tokio::test]
async fn a_changed_password_is_on_record_and_told_though_the_sessions_could_not_be_ended() {
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let page = kim.open(&format!("{PORTAL}/account/password")).await;
    ails(&clinic, true);
    let fields = [("current", PASSWORD), ("new", NEW), ("confirm", NEW)];
    assert_eq!(kim.submit(&page, &fields).await.status, 503);
    assert!(clinic.heard("\"password_changed\""));
    told(&clinic, "kim@acme.test", "was changed").await;
}

#[tokio::test]
async fn so_is_one_that_a_link_by_mail_set() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{PORTAL}/password/forgot")).await;
    browser.submit(&form, &[("username", "kim")]).await;
    let mail = crate::forgot::mail(&clinic, 1).await;
    let link = mail.lines().find(|line| line.starts_with("https://"));
    let page = browser.open(link.unwrap()).await;
    ails(&clinic, true);
    let answer = browser
        .submit(&page, &[("new", NEW), ("confirm", NEW)])
        .await;
    assert_eq!(answer.status, 503);
    assert!(clinic.heard("\"password_changed\"") && clinic.heard("emr kim by mail"));
    told(&clinic, "kim@acme.test", "was changed").await;
}

#[tokio::test]
async fn links_that_were_taken_away_are_on_record_though_their_sessions_could_not_be_ended() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.open(&format!("{PORTAL}/account")).await;
    ails(&clinic, true);
    let reset = format!("{PORTAL}/account/reset-sso");
    let answer = kim.press(&page, &reset, &[]).await;
    assert_eq!(answer.status, 503);
    assert!(clinic.heard("\"single_sign_on_reset\"") && clinic.heard("detail: \"billing\""));
}

#[tokio::test]
async fn a_sign_in_that_began_with_an_old_password_ends_with_it() {
    let clinic = Clinic::open().await;
    // Somebody who knows the password is asked to set up the first factor.
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "max").await;
    let with_key = browser
        .get(&format!("{PORTAL}{}", page.link("Trouble Scanning?")))
        .await;
    let (_, rest) = with_key.body.split_once("<code>").expect("the key");
    let key = rest.split('<').next().unwrap();
    set_password(&clinic, "max").await;
    let answer = browser
        .submit(&with_key, &[("code", &code(key, clinic.now()))])
        .await;
    let page = browser.follow(answer).await;
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login")),
        "{}",
        page.url
    );
    let factors = clinic.directory.factors(&person("max")).await.unwrap();
    assert!(factors.is_empty(), "{factors:?}");
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule"), None);
}

#[tokio::test]
async fn a_password_that_is_changed_while_it_is_read_opens_nothing() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.open(&format!("{EMR}/")).await;
    let directory = clinic.directory.clone();
    let now = clinic.now();
    // The count is cleared when the password was right, and before anything is made of it.
    clinic.store.interrupt("throttle:pair", async move {
        let hasher = vestibule::directory::passwords::Hasher::new();
        let hash = hasher.hash(zeroize::Zeroizing::new(NEW.to_owned())).await;
        let (product, login) = (
            ProductId::parse("emr").unwrap(),
            Login::parse("kim").unwrap(),
        );
        let hash = hash.unwrap();
        let set = directory.set_password(&product, &login, &hash, now);
        assert!(set.await.unwrap());
    });
    let answer = browser.submit_login(&page, "kim", PASSWORD).await;
    let page = browser.follow(answer).await;
    assert!(clinic.store.was_interrupted());
    assert!(
        page.url.starts_with(&format!("{PORTAL}/login?")),
        "{}",
        page.url
    );
    let sessions = clinic.sessions.of_person(&person("kim")).await.unwrap();
    assert!(sessions.is_empty(), "{sessions:?}");
}

#[tokio::test]
async fn a_new_password_is_not_taken_from_whoever_was_signed_out_meanwhile() {
    let clinic = Clinic::open().await;
    clinic.decide("acme", |policy| policy.password.maximum_age = Some(HOUR));
    clinic.wait(2 * HOUR);
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "kim").await;
    assert!(page.body.contains("has expired"), "{}", page.body);
    clinic
        .directory
        .void_beginnings(&person("kim"))
        .await
        .unwrap();
    let answer = browser
        .submit(&page, &[("new", NEW), ("confirm", NEW)])
        .await;
    assert!(
        answer.location().starts_with("/login?"),
        "{} {}",
        answer.status,
        answer.location()
    );
    assert!(!clinic.heard("\"password_changed\""));
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule"), None);
}

#[tokio::test]
async fn a_passkey_that_is_added_during_a_reset_goes_with_the_others() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    clinic.decide_mfa("acme", |mfa| mfa.methods = FactorMethod::ALL.to_vec());
    let page = kim.get(&format!("{PORTAL}/account/passkey")).await;
    let answer = Authenticator::new().create(&page);
    let (directory, sessions) = (clinic.directory.clone(), clinic.sessions.clone());
    clinic.store.interrupt("passkey:add", async move {
        let kim = person("kim");
        directory.reset_factors(&kim).await.unwrap();
        let ended = sessions.end_person(&kim, EndCause::FactorReset);
        ended.await.unwrap();
    });
    let page = kim.submit(&page, &[("answer", &answer)]).await;
    assert!(clinic.store.was_interrupted());
    assert_eq!(page.location(), "/account?done=gone", "{}", page.body);
    let factors = clinic.directory.factors(&person("kim")).await.unwrap();
    assert!(factors.is_empty(), "{factors:?}");
}

#[tokio::test]
async fn a_passkey_that_is_added_while_something_else_changes_takes_no_other_factor_along() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    clinic.decide_mfa("acme", |mfa| mfa.methods = FactorMethod::ALL.to_vec());
    let before = clinic.directory.factors(&person("kim")).await.unwrap();
    assert_eq!(before.len(), 1);
    let codes = ["1234512345"];
    clinic
        .directory
        .replace_recovery_codes(&person("kim"), &codes, clinic.now())
        .await
        .unwrap();
    let page = kim.get(&format!("{PORTAL}/account/passkey")).await;
    let answer = Authenticator::new().create(&page);
    let (directory, sessions) = (clinic.directory.clone(), clinic.sessions.clone());
    // Signed out everywhere by a user manager, say.
    clinic.store.interrupt("passkey:add", async move {
        let kim = person("kim");
        directory.void_beginnings(&kim).await.unwrap();
        let ended = sessions.end_person(&kim, EndCause::Revoked);
        ended.await.unwrap();
    });
    let page = kim.submit(&page, &[("answer", &answer)]).await;
    assert!(clinic.store.was_interrupted());
    assert_eq!(page.location(), "/account?done=gone", "{}", page.body);
    let factors = clinic.directory.factors(&person("kim")).await.unwrap();
    assert_eq!(factors, before);
    let left = clinic.directory.recovery_codes_left(&person("kim")).await;
    assert_eq!(left.unwrap(), Some(1));
}

#[tokio::test]
async fn a_session_that_can_not_be_read_ends_like_any_other() {
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let all = clinic.sessions.of_person(&person("kim")).await.unwrap();
    clinic.store.is_illegible.store(true, Ordering::SeqCst);
    let ended = clinic.sessions.end(all[0].id, EndCause::Revoked).await;
    assert!(ended.unwrap());
    clinic.store.is_illegible.store(false, Ordering::SeqCst);
    assert_eq!(kim.get(&format!("{EMR}/")).await.status, 302);
}

/// What is logged meanwhile, in this thread.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_says_of_which_request_a_page_failed() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone())
        .finish();
    let _heard = tracing::subscriber::set_default(subscriber);
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let page = kim.open(&format!("{PORTAL}/account/password")).await;
    ails(&clinic, true);
    let fields = [("current", PASSWORD), ("new", NEW), ("confirm", NEW)];
    assert_eq!(kim.submit(&page, &fields).await.status, 503);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let cause = text
        .lines()
        .find(|line| line.contains("the session store failed a page"));
    let cause: serde_json::Value = serde_json::from_str(cause.expect(&text)).unwrap();
    assert_eq!(cause["span"]["request_id"], "request-1", "{cause}");
}
