//! Who knows whether a password is right: one suite over every kind, against a real application and
//! a real OpenLDAP server.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../support/legacy.rs"]
mod legacy;
#[path = "../support/slapd.rs"]
mod slapd;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use vestibule::config;
use vestibule::directory::TypedCredentials;
use vestibule::gate::product::Product;
use vestibule::gate::time::Moment;
use vestibule::legacy::{Caller, Failure, Legacy, Verdict};

use legacy::Application;
use slapd::{BASE, READER, READER_PASSWORD, Slapd};

const NOW: Moment = Moment::from_secs(1_790_000_000);
const KIM: (&str, &str) = ("kim", "kim & her <long> walks");

/// One product, as gateway.toml describes it, and whoever keeps its passwords.
struct Keeper {
    legacy: Legacy,
    product: Arc<Product>,
    /// What it says of a name that nobody has.
    of_strangers: Verdict,
}

async fn described(backend: &str, keys: &str, of_strangers: Verdict) -> Keeper {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let text = format!(
        "[listen]\nhttps = [\"127.0.0.1:8443\"]\n[portal]\nurl = \"https://login.test\"\n\
         [products.emr]\nurl = \"https://emr.test\"\nbackends = [\"{backend}\"]\nprimary = true\n{keys}\n"
    );
    let settings = config::read(&text, Path::new("gateway.toml"), std::iter::empty(), &[])
        .unwrap_or_else(|problems| panic!("{problems}"));
    Keeper {
        legacy: Legacy::open(&settings.products, &settings.backends)
            .await
            .unwrap(),
        product: Arc::clone(settings.products.primary()),
        of_strangers,
    }
}

impl Keeper {
    async fn says(&self, username: &str, password: &str) -> Result<Verdict, Failure> {
        let typed = TypedCredentials {
            username: username.to_owned(),
            password: password.to_owned().into(),
        };
        let caller = Caller::default();
        let said = self.legacy.ask(&self.product, &typed, &caller, NOW).await;
        said.map(|said| said.expect("somebody is asked").verdict)
    }
}

const FORM: &str = "credentials = { kind = \"form\", page = \"/login\", username_field = \"user\", password_field = \"pass\" }";
const BASIC: &str = "credentials = { kind = \"basic\", inside = \"/basic\" }";
const NOWHERE: &str = "http://127.0.0.1:9";

fn direct(url: &str, more: &str) -> String {
    format!(
        "credentials = {{ kind = \"ldap\", url = \"{url}\", dn = \"uid={{login}},ou=people,{BASE}\"{more} }}"
    )
}

fn searched(url: &str, filter: &str, more: &str) -> String {
    format!(
        "credentials = {{ kind = \"ldap\", url = \"{url}\", search = {{ base = \"{BASE}\", filter = \"{filter}\", bind_dn = \"{READER}\", bind_password = \"{READER_PASSWORD}\" }}{more} }}"
    )
}

/// What holds whoever is asked.
async fn keeps_the_promises(keeper: &Keeper) {
    assert_eq!(keeper.says(KIM.0, KIM.1).await, Ok(Verdict::Right));
    for wrong in ["", " ", "kim", "kim & her <long> walks "] {
        let said = keeper.says(KIM.0, wrong).await;
        assert_eq!(said, Ok(Verdict::Wrong), "{wrong:?}");
    }
    let strangers = keeper.says("nobody", KIM.1).await;
    assert_eq!(strangers, Ok(keeper.of_strangers));
    // A name is a name, whatever is in it.
    for name in [
        "*",
        "k*",
        "kim)(uid=*",
        "kim,ou=people",
        "kim\\",
        "#kim",
        "kim\"; drop table",
        "kim&pass=x",
    ] {
        let said = keeper.says(name, KIM.1).await.unwrap();
        assert_ne!(said, Verdict::Right, "{name:?}");
    }
    assert_eq!(keeper.says(KIM.0, KIM.1).await, Ok(Verdict::Right), "still");
}

async fn is_unreachable(keeper: &Keeper) {
    let said = keeper.says(KIM.0, KIM.1).await;
    assert!(matches!(said, Err(Failure::Unreachable(_))), "{said:?}");
}

/// An address where somebody listens and never says a word.
async fn silence() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applications_own_form_is_asked() {
    let application = Application::start(&[KIM]).await;
    let keeper = described(&application.url, FORM, Verdict::Wrong).await;
    keeps_the_promises(&keeper).await;
    // Each question is one try there: nothing is tried twice.
    let before = application.tries().len();
    assert_eq!(keeper.says(KIM.0, "wrong").await, Ok(Verdict::Wrong));
    assert_eq!(application.tries().len(), before + 1);
    application.break_down(true);
    is_unreachable(&keeper).await;
    is_unreachable(&described(NOWHERE, FORM, Verdict::Wrong).await).await;
    let (_listener, address) = silence().await;
    let slow = FORM.replace(" }", ", deadline = \"100ms\" }");
    is_unreachable(&described(&format!("http://{address}"), &slow, Verdict::Wrong).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_open_to_all_proves_nothing() {
    let application = Application::start(&[KIM]).await;
    for (keys, what) in [
        (FORM.replace(" }", ", inside = \"/open\" }"), "a form"),
        (BASIC.replace("/basic", "/open"), "basic"),
    ] {
        let keeper = described(&application.url, &keys, Verdict::Wrong).await;
        let said = keeper.says(KIM.0, KIM.1).await;
        assert!(
            matches!(said, Err(Failure::Unusable(_))),
            "{what}: {said:?}"
        );
        assert!(
            application.tries().is_empty(),
            "{what}: no password is sent"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_takes_basic_is_asked() {
    let application = Application::start(&[KIM]).await;
    let keeper = described(&application.url, BASIC, Verdict::Wrong).await;
    keeps_the_promises(&keeper).await;
    assert_eq!(
        keeper.says("kim:x", KIM.1).await,
        Ok(Verdict::Wrong),
        "would be read as another name"
    );
    is_unreachable(&described(NOWHERE, BASIC, Verdict::Wrong).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_asked_by_binding_as_the_person() {
    let server = Slapd::start(&[KIM, ("lee", "lee-bakes")]);
    let plain = format!("ldap://127.0.0.1:{}", server.plain);
    let over_tls = format!("ldaps://localhost:{}", server.tls);
    let started = format!("ldap://localhost:{}", server.plain);
    let trust = format!(", ca = \"{}\"", server.authority().display());
    let start_tls = format!("{trust}, start_tls = true");
    // OpenLDAP says the same of a wrong password and of a name that nobody has: on purpose.
    for keys in [
        direct(&plain, ""),
        direct(&over_tls, &trust),
        direct(&started, &start_tls),
    ] {
        keeps_the_promises(&described(NOWHERE, &keys, Verdict::Wrong).await).await;
    }
    // Who searches first knows whether there is somebody.
    for keys in [
        searched(&plain, "(uid={login})", ""),
        searched(
            &over_tls,
            "(&(objectClass=person)(mail={login}@clinic.example))",
            &trust,
        ),
        searched(&started, "(uid={login})", &start_tls),
    ] {
        keeps_the_promises(&described(NOWHERE, &keys, Verdict::Unknown).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_can_not_be_asked_is_told_from_a_wrong_password() {
    let server = Slapd::start(&[KIM, ("lee", KIM.1)]);
    let plain = format!("ldap://127.0.0.1:{}", server.plain);
    let strangers = Verdict::Unknown;
    // Nobody there; somebody who is silent; a certificate that nobody signed whom we believe.
    is_unreachable(&described(NOWHERE, &direct("ldap://127.0.0.1:9", ""), strangers).await).await;
    let (_listener, address) = silence().await;
    let silent = direct(&format!("ldap://{address}"), ", deadline = \"100ms\"");
    is_unreachable(&described(NOWHERE, &silent, strangers).await).await;
    let unknown = direct(&format!("ldaps://localhost:{}", server.tls), "");
    is_unreachable(&described(NOWHERE, &unknown, strangers).await).await;
    let started = direct(
        &format!("ldap://localhost:{}", server.plain),
        ", start_tls = true",
    );
    is_unreachable(&described(NOWHERE, &started, strangers).await).await;
    // A search that finds two is nobody's sign-in, nor is one that may not search.
    let wide = searched(&plain, "(|(uid={login})(objectClass=inetOrgPerson))", "");
    let wide = described(NOWHERE, &wide, strangers)
        .await
        .says(KIM.0, KIM.1)
        .await;
    assert!(matches!(wide, Err(Failure::Unusable(_))), "{wide:?}");
    let stranger = searched(&plain, "(uid={login})", "").replace(READER_PASSWORD, "wrong");
    let stranger = described(NOWHERE, &stranger, strangers).await;
    let said = stranger.says(KIM.0, KIM.1).await;
    assert!(matches!(said, Err(Failure::Unusable(_))), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_has_expired_is_told_from_a_wrong_one() {
    let server = Slapd::start_with(&[KIM], &[("noa", "noa sails")]);
    let plain = format!("ldap://127.0.0.1:{}", server.plain);
    for keys in [direct(&plain, ""), searched(&plain, "(uid={login})", "")] {
        let keeper = described(NOWHERE, &keys, Verdict::Wrong).await;
        let of = async |name, secret| keeper.says(name, secret).await;
        assert_eq!(of("noa", "noa sails").await, Ok(Verdict::Expired));
        assert_eq!(of("noa", "noa walks").await, Ok(Verdict::Wrong), "first");
        assert_eq!(of(KIM.0, KIM.1).await, Ok(Verdict::Right));
    }
    let application = Application::start(&[KIM, ("noa", "noa sails")]).await;
    application.outdate("noa");
    let telling = FORM.replace(" }", ", expired_text = \"password has expired\" }");
    for (keys, verdict) in [(telling.as_str(), Verdict::Expired), (FORM, Verdict::Wrong)] {
        let keeper = described(&application.url, keys, Verdict::Wrong).await;
        let of = async |name, secret| keeper.says(name, secret).await;
        assert_eq!(of("noa", "noa sails").await, Ok(verdict));
        assert_eq!(of("noa", "noa walks").await, Ok(Verdict::Wrong));
        assert_eq!(of(KIM.0, KIM.1).await, Ok(Verdict::Right));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_may_be_answered_with_403() {
    let application = Application::start(&[KIM]).await;
    application.be_curt();
    for keys in [FORM, BASIC] {
        let keeper = described(&application.url, keys, Verdict::Wrong).await;
        keeps_the_promises(&keeper).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_sent_in_the_encoding_of_its_page() {
    let jose = ("jos\u{e9}", "z\u{fc}rich & pl\u{fc}sch");
    let application = Application::start(&[KIM, jose]).await;
    for old_fashioned in [false, true] {
        if old_fashioned {
            application.be_old_fashioned();
        }
        let keeper = described(&application.url, FORM, Verdict::Wrong).await;
        assert_eq!(keeper.says(jose.0, jose.1).await, Ok(Verdict::Right));
        assert_eq!(keeper.says("jose", jose.1).await, Ok(Verdict::Wrong));
        keeps_the_promises(&keeper).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_questions_at_once_wait_for_each_other_and_not_for_ever() {
    let server = Slapd::start(&[KIM]);
    let keys = direct(
        &format!("ldap://127.0.0.1:{}", server.plain),
        ", deadline = \"60s\"",
    );
    let keeper = Arc::new(described(NOWHERE, &keys, Verdict::Wrong).await);
    let questions: Vec<_> = (0..100)
        .map(|_| {
            let keeper = Arc::clone(&keeper);
            tokio::spawn(async move { keeper.says(KIM.0, KIM.1).await })
        })
        .collect();
    for question in questions {
        assert_eq!(question.await.unwrap(), Ok(Verdict::Right));
    }
    let (_listener, address) = silence().await;
    let keys = direct(&format!("ldap://{address}"), ", deadline = \"200ms\"");
    let keeper = Arc::new(described(NOWHERE, &keys, Verdict::Wrong).await);
    let questions: Vec<_> = (0..100)
        .map(|_| {
            let keeper = Arc::clone(&keeper);
            tokio::spawn(async move { keeper.says(KIM.0, KIM.1).await })
        })
        .collect();
    for question in questions {
        let said = tokio::time::timeout(Duration::from_secs(60), question).await;
        assert!(said.unwrap().unwrap().is_err());
    }
}
