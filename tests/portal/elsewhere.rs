//! Signing in through a company's provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use vestibule::config::providers::ProviderSettings;
use vestibule::gate::name::PersonId;

use crate::browser::{Browser, Page};
use crate::clinic::{ANALYTICS, BILLING, Clinic, EMR, HOUR, Opening, PASSWORD, PORTAL, enrol};
use crate::provider::{SECRET, TestProvider};

const NOON_SECS: i64 = 1_790_000_000;

/// A clinic whose company acme has a provider.
struct Scene {
    clinic: Clinic,
    provider: TestProvider,
    secs: Arc<AtomicI64>,
}

impl Scene {
    async fn open() -> Scene {
        Scene::open_with(|_| ()).await
    }

    async fn open_with(change: impl FnOnce(&mut ProviderSettings)) -> Scene {
        let secs = Arc::new(AtomicI64::new(NOON_SECS));
        let clock = Arc::clone(&secs);
        let provider = TestProvider::start(move || clock.load(Ordering::SeqCst)).await;
        let mut settings = provider.settings("acme");
        change(&mut settings);
        let clinic = Clinic::open_as(Opening {
            providers: vec![settings],
            ..Opening::default()
        })
        .await;
        provider.behave(|manner| {
            manner.claims = json!({"email": "kim@acme.test", "email_verified": true});
        });
        Scene {
            clinic,
            provider,
            secs,
        }
    }

    fn wait(&self, span: Duration) {
        self.clinic.wait(span);
        let secs = i64::try_from(span.as_secs()).unwrap();
        self.secs.fetch_add(secs, Ordering::SeqCst);
    }

    /// Put over the claims of the next id tokens.
    fn claims(&self, claims: Value) {
        self.provider.behave(|manner| {
            for (key, value) in claims.as_object().unwrap() {
                manner.claims[key] = value.clone();
            }
        });
    }

    /// From a product's page to the provider: what the browser is sent there with.
    async fn leave(&self, browser: &Browser<'_>, url: &str) -> Page {
        let form = browser.open(url).await;
        let page = browser
            .get(&format!("{PORTAL}{}", form.link("Continue with Acme")))
            .await;
        assert_eq!(page.status, 303, "{}", page.body);
        page
    }

    /// Through the provider to where it leads.
    async fn sign_in(&self, browser: &Browser<'_>) -> Page {
        let leaving = self.leave(browser, &format!("{EMR}/")).await;
        self.come_back(browser, &leaving).await
    }

    async fn come_back(&self, browser: &Browser<'_>, leaving: &Page) -> Page {
        browser
            .open(&self.provider.answer_to(leaving.location()))
            .await
    }

    /// What the reason of a refusal is called.
    async fn refusal(&self, claims: Value) -> Page {
        self.claims(claims);
        let page = self.sign_in(&self.clinic.browser()).await;
        assert_ne!(page.status, 200, "{}", page.body);
        page
    }
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    let mut pairs = url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn somebody_is_let_in_by_their_companys_provider_and_known_from_then_on() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    let page = scene.sign_in(&browser).await;
    assert_eq!(page.body, "EMR for kim by pwd in acme");
    assert!(
        scene
            .clinic
            .heard("event: \"identity_linked\", person: Some(kim)")
    );

    // The provider was told who we are as it wants it, and proof of the question.
    let told = scene.provider.last_call("token");
    let basic = told.split(' ').nth(2).unwrap();
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD
        .decode(basic)
        .unwrap();
    let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    assert_eq!(
        String::from_utf8(basic).unwrap(),
        format!("vestibule:{encoded}")
    );
    assert!(told.contains("code_verifier="), "{told}");

    // The address may change: the subject counts.
    scene.claims(json!({"email": "other@acme.test"}));
    let again = scene.sign_in(&scene.clinic.browser()).await;
    assert_eq!(again.body, "EMR for kim by pwd in acme");
    // The other products as ever.
    let billing = browser.open(&format!("{BILLING}/")).await;
    assert_eq!(billing.body, "Billing for kim.billing by pwd in acme");
}

#[tokio::test]
async fn the_question_carries_state_nonce_and_pkce_and_no_secret() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    let first = scene.leave(&browser, &format!("{EMR}/")).await;
    let second = scene.leave(&browser, &format!("{EMR}/")).await;
    let url = first.location();
    assert!(url.starts_with(&format!("{}/authorize?tenant=1&", scene.provider.issuer())));
    assert_eq!(
        parameter(url, "redirect_uri").unwrap(),
        format!("{PORTAL}/login/with/acme-id/back")
    );
    assert_eq!(parameter(url, "scope").unwrap(), "openid email");
    for name in ["state", "nonce", "code_challenge"] {
        let value = parameter(url, name).unwrap();
        assert_eq!(value.len(), 43, "{name}");
        assert_ne!(value, parameter(second.location(), name).unwrap(), "{name}");
    }
    assert!(parameter(url, "prompt").is_none() && !url.contains("s3cret"));
    // What waits in the store opens with the browser's cookie only.
    assert!(scene.clinic.rows().await.find("code_verifier").is_none());
}

#[tokio::test]
async fn what_a_misbehaving_provider_says_lets_nobody_in() {
    let scene = Scene::open().await;
    let table = [
        json!({"nonce": "of another sign-in"}),
        json!({"nonce": null}),
        json!({"aud": "another-client"}),
        json!({"aud": ["vestibule", "another-client"]}),
        json!({"azp": "another-client"}),
        json!({"exp": NOON_SECS - 61}),
        json!({"exp": null}),
        json!({"iss": "https://evil.test"}),
        json!({"iat": NOON_SECS + 3600}),
        json!({"sub": ""}),
    ];
    for wrong in table {
        scene.provider.behave(|manner| manner.claims = json!({}));
        let page = scene.refusal(wrong.clone()).await;
        assert_eq!(page.status, 403, "{wrong}: {}", page.body);
        assert!(page.body.contains("You are not signed in"), "{wrong}");
        assert!(page.set_cookies().is_empty(), "{wrong}");
    }
    assert!(scene.clinic.heard("detail: \"provider_token\""));
    assert_eq!(scene.clinic.heard.count("sign_in ok"), 0);
}

#[tokio::test]
async fn a_signature_that_anybody_could_make_is_none() {
    let scene = Scene::open().await;
    for alg in ["none", "HS256", "RS256", "ES384"] {
        scene.provider.behave(|manner| manner.alg = Some(alg));
        let page = scene.sign_in(&scene.clinic.browser()).await;
        assert_eq!(page.status, 403, "{alg}: {}", page.body);
    }
    // A key that the provider does not publish, under the name of one that it does.
    scene.provider.behave(|manner| {
        manner.alg = None;
        manner.kid = String::from("forged");
    });
    let page = scene.sign_in(&scene.clinic.browser()).await;
    assert_eq!(page.status, 403, "{}", page.body);
    scene
        .provider
        .behave(|manner| manner.kid = String::from("k1"));
    let page = scene.sign_in(&scene.clinic.browser()).await;
    assert_eq!(page.status, 200, "{}", page.body);
}

#[tokio::test]
async fn a_new_key_is_fetched_and_unknown_ones_make_no_storm() {
    let scene = Scene::open().await;
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
    assert_eq!(scene.provider.calls("keys"), 1);
    scene.wait(Duration::from_secs(60));
    scene.provider.behave(|manner| {
        manner.kid = String::from("k2");
        manner.published = vec![String::from("k1"), String::from("k2")];
    });
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
    assert_eq!(scene.provider.calls("keys"), 2);
    scene
        .provider
        .behave(|manner| manner.kid = String::from("unknown"));
    for _ in 0..5 {
        assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 403);
    }
    assert_eq!(
        scene.provider.calls("keys"),
        2,
        "no more than one in ten seconds"
    );
    scene.wait(Duration::from_secs(10));
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 403);
    assert_eq!(scene.provider.calls("keys"), 3);
    assert_eq!(scene.provider.calls("discovery"), 1, "once an hour");
}

#[tokio::test]
async fn a_key_that_was_taken_back_is_not_believed_for_ever() {
    let scene = Scene::open().await;
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
    scene
        .provider
        .behave(|manner| manner.published = vec![String::from("k2")]);
    scene.wait(HOUR);
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 403);
}

#[tokio::test]
async fn an_answer_is_for_the_browser_that_asked_once() {
    let scene = Scene::open().await;
    let (mine, theirs) = (scene.clinic.browser(), scene.clinic.browser());
    // Login CSRF: the attacker's answer in the victim's browser.
    let leaving = scene.leave(&theirs, &format!("{EMR}/")).await;
    let planted = scene.provider.answer_to(leaving.location());
    for victim in [&mine, &scene.clinic.browser()] {
        let page = victim.get(&planted).await;
        assert_eq!(page.status, 403);
        assert!(page.body.contains("Please start again"), "{}", page.body);
        assert!(page.set_cookies().is_empty());
    }
    assert_eq!(
        scene.provider.calls("token"),
        0,
        "nothing was done with the code"
    );

    // The state and the code each are worth something once.
    let leaving = scene.leave(&mine, &format!("{EMR}/")).await;
    let answer = scene.provider.answer_to(leaving.location());
    assert_eq!(mine.open(&answer).await.status, 200);
    let fresh = scene.clinic.browser();
    let again = fresh.get(&answer).await;
    assert_eq!(again.status, 403, "replayed");
    // In the browser that is signed in, a reload leads on.
    assert_eq!(mine.open(&answer).await.body, "EMR for kim by pwd in acme");

    // A code that was spent elsewhere.
    let leaving = scene.leave(&fresh, &format!("{EMR}/")).await;
    let unspent = scene.provider.answer_to(leaving.location());
    let spent = unspent.replace("code=code-", "code=spent-");
    assert_eq!(fresh.get(&spent).await.status, 403);
    assert_eq!(scene.clinic.heard.count("sign_in ok"), 1);
}

#[tokio::test]
async fn a_beginning_counts_until_the_provider_vouched_for_somebody() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let begin = format!("{PORTAL}{}", form.link("Continue with Acme"));
    for _ in 0..50 {
        let leaving = browser.get(&begin).await;
        assert_eq!(leaving.status, 303, "{}", leaving.body);
        // What the provider knows nothing of.
        let answer = scene.provider.answer_to(leaving.location());
        let spent = answer.replace("code=code-", "code=spent-");
        assert_eq!(browser.get(&spent).await.status, 403);
    }
    assert_eq!(browser.get(&begin).await.status, 429);
    // Who is let in takes nothing from those at the same address.
    let mut elsewhere = scene.clinic.browser();
    elsewhere.address = std::net::IpAddr::from([203, 0, 113, 7]);
    for _ in 0..51 {
        let leaving = elsewhere.get(&begin).await;
        assert_eq!(scene.come_back(&elsewhere, &leaving).await.status, 200);
    }
}

#[tokio::test]
async fn who_comes_back_from_nowhere_is_counted_and_fills_no_trail() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    let leaving = scene.leave(&browser, &format!("{EMR}/")).await;
    let answer = scene.provider.answer_to(leaving.location());
    let lines = || {
        let lines = scene.clinic.heard.lines.lock().unwrap();
        lines
            .iter()
            .filter(|line| line.starts_with("audit "))
            .count()
    };
    let before = lines();
    let stranger = scene.clinic.browser();
    for _ in 0..50 {
        assert_eq!(stranger.get(&answer).await.status, 403);
    }
    assert_eq!(stranger.get(&answer).await.status, 429);
    assert_eq!(lines(), before + 1);
    scene.wait(Duration::from_secs(60));
    assert_eq!(scene.clinic.browser().get(&answer).await.status, 403);
    assert_eq!(lines(), before + 2);
}

#[tokio::test]
async fn a_mixed_up_issuer_ends_before_the_code_is_used() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    let leaving = scene.leave(&browser, &format!("{EMR}/")).await;
    let answer = scene.provider.answer_to(leaving.location());
    let page = browser
        .get(&format!("{answer}&iss=https%3A%2F%2Fevil.test"))
        .await;
    assert_eq!(page.status, 403);
    assert!(
        page.body.contains("did not come from Acme"),
        "{}",
        page.body
    );
    assert_eq!(scene.provider.calls("token"), 0);

    let named = Scene::open().await;
    named.provider.behave(|manner| {
        manner.discovery = json!({"authorization_response_iss_parameter_supported": true});
    });
    let browser = named.clinic.browser();
    let leaving = named.leave(&browser, &format!("{EMR}/")).await;
    let unnamed = named.provider.answer_to(leaving.location());
    assert_eq!(
        browser.get(&unnamed).await.status,
        403,
        "it says that it names itself"
    );
    let leaving = named.leave(&browser, &format!("{EMR}/")).await;
    let answer = named.provider.answer_to(leaving.location());
    let iss: String =
        url::form_urlencoded::byte_serialize(named.provider.issuer().as_bytes()).collect();
    let page = browser.open(&format!("{answer}&iss={iss}")).await;
    assert_eq!(page.status, 200, "{}", page.body);
}

#[tokio::test]
async fn a_provider_that_is_away_slow_or_endless_holds_up_nobody_else() {
    let scene = Scene::open_with(|settings| settings.deadline = Duration::from_millis(300)).await;
    let browser = scene.clinic.browser();
    for place in ["discovery", "keys", "token"] {
        for (silent, huge, status) in [
            (true, false, false),
            (false, true, false),
            (false, false, true),
        ] {
            scene.provider.behave(|manner| {
                manner.silent_at = silent.then_some(place);
                manner.huge_at = huge.then_some(place);
                manner.status_at = status.then_some((place, 503));
            });
            // What was published before is old, so that it is asked again.
            scene.wait(25 * HOUR);
            let form = browser.open(&format!("{EMR}/")).await;
            let link = format!("{PORTAL}{}", form.link("Continue with Acme"));
            let page = browser.get(&link).await;
            let page = match page.status {
                303 => {
                    browser
                        .open(&scene.provider.answer_to(page.location()))
                        .await
                }
                _ => page,
            };
            assert!([403, 502].contains(&page.status), "{place}: {}", page.body);
            assert!(
                page.body.contains("Back to log in"),
                "{place}: {}",
                page.body
            );
        }
    }
    // The password still opens the door, and so does the provider when it is back.
    let page = browser.log_in(&format!("{EMR}/"), "kim").await;
    assert_eq!(page.body, "EMR for kim by pwd in acme");
    scene.provider.behave(|manner| {
        manner.silent_at = None;
        manner.huge_at = None;
        manner.status_at = None;
    });
    scene.wait(HOUR);
    let page = scene.sign_in(&scene.clinic.browser()).await;
    assert_eq!(page.status, 200, "{}", page.body);
}

#[tokio::test]
async fn while_a_provider_is_away_it_is_asked_once_in_five_seconds() {
    let scene = Scene::open().await;
    scene
        .provider
        .behave(|manner| manner.status_at = Some(("discovery", 500)));
    let browser = scene.clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let link = format!("{PORTAL}{}", form.link("Continue with Acme"));
    for _ in 0..4 {
        let page = browser.get(&link).await;
        assert_eq!(page.status, 502);
        assert!(page.body.contains("Acme does not answer"), "{}", page.body);
    }
    assert_eq!(scene.provider.calls("discovery"), 1);
    scene.provider.behave(|manner| manner.status_at = None);
    scene.wait(Duration::from_secs(5));
    assert_eq!(browser.get(&link).await.status, 303);
}

#[tokio::test]
async fn nobody_is_linked_by_an_address_that_was_not_verified_or_where_it_is_not_allowed() {
    let scene = Scene::open().await;
    let page = scene.refusal(json!({"email_verified": false})).await;
    assert!(
        page.body.contains("There is no place for you here yet"),
        "{}",
        page.body
    );
    scene.refusal(json!({"email_verified": null})).await;
    scene
        .refusal(json!({"email": "nobody@acme.test", "email_verified": true}))
        .await;
    // dee is disabled.
    scene
        .refusal(json!({"email": "dee@acme.test", "email_verified": true}))
        .await;
    // max is another company's: a provider vouches for its own.
    scene
        .refusal(json!({"email": "max@strict.test", "email_verified": true}))
        .await;

    let closed = Scene::open_with(|settings| settings.link_by_email = false).await;
    let page = closed.sign_in(&closed.clinic.browser()).await;
    assert_eq!(page.status, 403, "{}", page.body);
    let kim = PersonId::parse("kim").unwrap();
    let linked = closed.clinic.directory.link_identity(
        closed.provider.issuer(),
        "subject-1",
        &kim,
        closed.clinic.now(),
    );
    assert!(linked.await.unwrap());
    let page = closed.sign_in(&closed.clinic.browser()).await;
    assert_eq!(page.body, "EMR for kim by pwd in acme");
}

#[tokio::test]
async fn a_subject_of_another_companys_person_is_refused() {
    let scene = Scene::open().await;
    let max = PersonId::parse("max").unwrap();
    let issuer = scene.provider.issuer();
    let link = scene
        .clinic
        .directory
        .link_identity(issuer, "subject-1", &max, scene.clinic.now());
    assert!(link.await.unwrap());
    let page = scene.sign_in(&scene.clinic.browser()).await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert!(!page.body.contains("Max Poe") && !page.body.contains("Strict Care"));
}

#[tokio::test]
async fn an_address_that_went_to_somebody_else_takes_nothing_over() {
    let scene = Scene::open().await;
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
    let page = scene.refusal(json!({"sub": "subject-2"})).await;
    assert_eq!(page.status, 403);
    scene.claims(json!({"sub": "subject-1"}));
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
}

#[tokio::test]
async fn an_address_may_stand_in_userinfo() {
    let scene = Scene::open().await;
    scene.claims(json!({"email": null, "email_verified": null}));
    scene.provider.behave(|manner| {
        manner.userinfo = Some(json!({
            "sub": "somebody-else", "email": "kim@acme.test", "email_verified": true,
        }));
    });
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 403);
    scene
        .provider
        .behave(|manner| manner.userinfo.as_mut().unwrap()["sub"] = json!("subject-1"));
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
    let calls = scene.provider.calls("userinfo");
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
    assert_eq!(
        scene.provider.calls("userinfo"),
        calls,
        "only the first time"
    );
}

#[tokio::test]
async fn the_second_factor_is_asked_for_when_the_provider_shows_none() {
    let scene = Scene::open().await;
    scene.clinic.decide_mfa("acme", |mfa| {
        mfa.mode = vestibule::gate::policy::MfaMode::Required;
    });
    // The provider's own suffices: nothing is set up here.
    scene.claims(json!({"amr": ["pwd", "otp"]}));
    let page = scene.sign_in(&scene.clinic.browser()).await;
    assert_eq!(page.body, "EMR for kim by pwd,otp,mfa in acme");
    scene.claims(json!({"amr": ["pwd", "mfa"]}));
    let page = scene.sign_in(&scene.clinic.browser()).await;
    assert_eq!(page.body, "EMR for kim by pwd,mfa in acme");

    scene.claims(json!({"amr": ["pwd"]}));
    let browser = scene.clinic.browser();
    let page = scene.sign_in(&browser).await;
    assert!(
        page.url.contains("/login/enroll"),
        "{}: {}",
        page.url,
        page.body
    );
    let (_, page) = enrol(&browser, page).await;
    assert_eq!(page.body, "EMR for kim by pwd,otp,mfa in acme");
    let page = scene.sign_in(&scene.clinic.browser()).await;
    assert!(page.url.contains("/login/factor"), "{}", page.url);
}

#[tokio::test]
async fn where_the_providers_word_is_not_taken_ours_is_asked() {
    let scene = Scene::open_with(|settings| settings.believe_factor = false).await;
    scene.clinic.decide_mfa("acme", |mfa| {
        mfa.mode = vestibule::gate::policy::MfaMode::Required;
    });
    scene.claims(json!({"amr": ["pwd", "mfa"]}));
    let page = scene.sign_in(&scene.clinic.browser()).await;
    assert!(page.url.contains("/login/enroll"), "{}", page.url);
}

#[tokio::test]
async fn a_step_up_at_the_provider_needs_a_new_proof_there() {
    let scene = Scene::open().await;
    scene.claims(json!({"amr": ["pwd", "mfa"]}));
    let browser = scene.clinic.browser();
    assert_eq!(scene.sign_in(&browser).await.status, 200);
    scene.wait(HOUR);
    let leaving = scene.leave(&browser, &format!("{EMR}/payments/new")).await;
    assert_eq!(parameter(leaving.location(), "prompt").unwrap(), "login");
    assert_eq!(parameter(leaving.location(), "max_age").unwrap(), "0");
    // An old proof, and none with a date.
    let began = scene.secs.load(Ordering::SeqCst);
    for stale in [json!(began - 3600), Value::Null] {
        scene.claims(json!({"auth_time": stale}));
        let leaving = scene.leave(&browser, &format!("{EMR}/payments/new")).await;
        let page = scene.come_back(&browser, &leaving).await;
        assert_eq!(page.status, 403, "{}", page.body);
    }
    scene.claims(json!({"auth_time": began}));
    let leaving = scene.leave(&browser, &format!("{EMR}/payments/new")).await;
    let page = scene.come_back(&browser, &leaving).await;
    assert_eq!(page.url, format!("{EMR}/payments/new"), "{}", page.body);
}

#[tokio::test]
async fn a_session_that_is_renewed_has_the_factor_from_when_it_was_proved() {
    let scene = Scene::open().await;
    scene.claims(json!({"amr": ["pwd", "mfa"]}));
    let browser = scene.clinic.browser();
    assert_eq!(scene.sign_in(&browser).await.status, 200);
    scene.wait(HOUR);
    let began = scene.secs.load(Ordering::SeqCst);
    scene.claims(json!({"auth_time": began}));
    let leaving = scene.leave(&browser, &format!("{EMR}/payments/new")).await;
    // They proved it at once, and came back later.
    scene.wait(Duration::from_secs(4 * 60));
    let page = scene.come_back(&browser, &leaving).await;
    assert_eq!(page.url, format!("{EMR}/payments/new"), "{}", page.body);
    let kim = PersonId::parse("kim").unwrap();
    let sessions = scene.clinic.sessions.of_person(&kim).await.unwrap();
    let proved = sessions.iter().map(|session| session.factor_at);
    let then = scene.clinic.now().minus(Duration::from_secs(4 * 60));
    assert_eq!(proved.collect::<Vec<_>>(), [Some(then)]);
}

#[tokio::test]
async fn a_product_that_was_closed_for_idleness_opens_again_through_the_provider() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    scene.sign_in(&browser).await;
    assert_eq!(browser.open(&format!("{BILLING}/")).await.status, 200);
    scene.wait(3 * HOUR);
    let leaving = scene.leave(&browser, &format!("{BILLING}/")).await;
    assert_eq!(parameter(leaving.location(), "prompt").unwrap(), "login");
    let page = scene.come_back(&browser, &leaving).await;
    assert_eq!(page.body, "Billing for kim.billing by pwd in acme");
}

#[tokio::test]
async fn a_company_may_take_no_passwords() {
    let scene = Scene::open_with(|settings| settings.only = true).await;
    let browser = scene.clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let page = browser.submit_login(&form, "kim", PASSWORD).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body
            .contains("signs in through Acme, not with a password"),
        "{}",
        page.body
    );
    assert!(page.body.contains("Continue with Acme"));
    // A wrong password says what it says everywhere.
    let page = browser.submit_login(&form, "kim", "wrong password").await;
    assert!(page.body.contains("match."), "{}", page.body);
    // The others are not touched.
    let page = scene
        .clinic
        .browser()
        .log_in(&format!("{EMR}/"), "max")
        .await;
    assert!(page.url.contains("/login/enroll"), "{}", page.url);
    assert_eq!(scene.sign_in(&browser).await.status, 200);
}

#[tokio::test]
async fn a_company_is_found_by_the_domain_of_an_address() {
    let scene = Scene::open_with(|settings| settings.button = false).await;
    let browser = scene.clinic.browser();
    let form = browser.open(&format!("{ANALYTICS}/")).await;
    assert!(!form.body.contains("Continue with Acme"));
    let finder = browser
        .get(&format!(
            "{PORTAL}{}",
            form.link("Sign in through your company")
        ))
        .await;
    assert_eq!(finder.status, 200);
    let ask = |address: &str| {
        let mut pairs = finder.hidden();
        pairs.push((String::from("username"), address.to_owned()));
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        format!("{PORTAL}/login/with?{query}")
    };
    // Known or not: the domain decides.
    let found = browser.get(&ask("NoBody@ACME.test")).await;
    let link = found.link("Continue with Acme");
    assert!(link.contains("rd="), "{link}");
    let lost = browser.get(&ask("kim@elsewhere.test")).await;
    assert!(
        lost.body.contains("No company signs in here"),
        "{}",
        lost.body
    );
    let leaving = browser.get(&format!("{PORTAL}{link}")).await;
    let page = scene.come_back(&browser, &leaving).await;
    assert_eq!(
        page.body, "Analytics for kim by pwd in acme",
        "it leads to where it began"
    );
}

#[tokio::test]
async fn signing_out_tells_where_the_companys_own_sign_in_ends() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    scene.sign_in(&browser).await;
    let ask = browser.open(&format!("{PORTAL}/logout")).await;
    let out = browser.submit(&ask, &[]).await;
    let out = browser.follow(out).await;
    let link = out.link("Sign out of Acme too");
    assert!(
        link.starts_with(&format!("{}/end?", scene.provider.issuer())),
        "{link}"
    );
    assert_eq!(
        parameter(&link, "post_logout_redirect_uri").unwrap(),
        format!("{PORTAL}/logout")
    );
    // Who came with a password has nothing to end there.
    let browser = scene.clinic.signed_in("kim").await;
    let ask = browser.open(&format!("{PORTAL}/logout")).await;
    let out = browser.submit(&ask, &[]).await;
    let out = browser.follow(out).await;
    assert!(!out.body.contains("too"), "{}", out.body);
}

#[tokio::test]
async fn who_signs_out_at_the_provider_is_signed_out_here() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    scene.sign_in(&browser).await;
    let provider = &scene.provider;
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let good = json!({
        "iss": provider.issuer(), "aud": "vestibule", "sub": "subject-1", "jti": "1",
        "iat": NOON_SECS, "exp": NOON_SECS + 120, "events": event,
    });
    let send = |claims: Value| {
        let token = provider.sign(&claims);
        async {
            let token = token;
            scene
                .clinic
                .browser()
                .post_from(
                    &format!("{PORTAL}/login/with/acme-id/ended"),
                    &[(String::from("logout_token"), token)],
                    Vec::new(),
                )
                .await
                .status
        }
    };
    for (key, wrong) in [
        ("iss", json!("https://evil.test")),
        ("aud", json!("other")),
        ("iat", json!(NOON_SECS + 600)),
        ("exp", json!(NOON_SECS - 600)),
        ("events", json!({})),
        ("nonce", json!("an id token has one")),
        ("sub", Value::Null),
    ] {
        let mut claims = good.clone();
        claims[key] = wrong;
        assert_eq!(send(claims).await, 400, "{key}");
    }
    assert_eq!(browser.open(&format!("{EMR}/")).await.status, 200);
    assert_eq!(send(good.clone()).await, 200);
    let page = browser.open(&format!("{EMR}/")).await;
    assert!(page.url.contains("/login"), "{}", page.url);
    assert_eq!(send(good).await, 200, "again does no harm");
    assert!(scene.clinic.heard("signed_out_elsewhere"));
}

/// A logout token of the provider's, or of whoever writes one under a key's name.
fn logout_token(scene: &Scene, kid: &str) -> String {
    let provider = &scene.provider;
    let now = scene.secs.load(Ordering::SeqCst);
    let claims = json!({
        "iss": provider.issuer(), "aud": "vestibule", "sub": "subject-1", "jti": "1",
        "iat": now, "exp": now + 120,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let mut before = String::new();
    provider.behave(|manner| before = std::mem::replace(&mut manner.kid, kid.to_owned()));
    let token = provider.sign(&claims);
    provider.behave(|manner| manner.kid = before);
    token
}

async fn posted(scene: &Scene, token: String) -> u16 {
    let url = format!("{PORTAL}/login/with/acme-id/ended");
    let fields = [(String::from("logout_token"), token)];
    let browser = scene.clinic.browser();
    browser.post_from(&url, &fields, Vec::new()).await.status
}

#[tokio::test]
async fn a_sign_out_there_is_on_record_though_a_session_could_not_be_ended() {
    let scene = Scene::open().await;
    scene.sign_in(&scene.clinic.browser()).await;
    let lost = &scene.clinic.store.loses_people;
    lost.store(true, Ordering::SeqCst);
    assert_eq!(posted(&scene, logout_token(&scene, "k1")).await, 503);
    assert!(scene.clinic.heard("signed_out_elsewhere"));
    lost.store(false, Ordering::SeqCst);
    assert_eq!(posted(&scene, logout_token(&scene, "k1")).await, 200);
}

#[tokio::test]
async fn nobody_waits_for_the_key_that_a_stranger_names() {
    let scene = Scene::open_with(|settings| settings.deadline = HOUR).await;
    let browser = scene.clinic.browser();
    assert_eq!(scene.sign_in(&browser).await.status, 200);
    assert_eq!(scene.provider.calls("keys"), 1);
    let forged = logout_token(&scene, "nobody-s");
    let good = logout_token(&scene, "k1");
    scene
        .provider
        .behave(|manner| manner.silent_at = Some("keys"));
    let stranger = posted(&scene, forged);
    let others = async {
        while scene.provider.calls("keys") < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
        assert_eq!(posted(&scene, good).await, 200);
        let page = browser.open(&format!("{EMR}/")).await;
        assert!(page.url.contains("/login"), "{}", page.url);
    };
    let patience = Duration::from_secs(60);
    tokio::select! {
        status = stranger => panic!("the provider is silent: {status}"),
        came = tokio::time::timeout(patience, others) => came.expect("they waited"),
    }
}

#[tokio::test]
async fn a_stranger_s_unknown_key_uses_up_nobody_s_fetch() {
    let scene = Scene::open().await;
    assert_eq!(scene.sign_in(&scene.clinic.browser()).await.status, 200);
    scene.wait(Duration::from_secs(60));
    // What would not be believed whoever signed it makes no call at all.
    let mut claims = json!({"iss": "https://evil.test"});
    claims["aud"] = json!("vestibule");
    let token = scene.provider.sign(&claims);
    assert_eq!(posted(&scene, token).await, 400);
    assert_eq!(scene.provider.calls("keys"), 1);
    for _ in 0..5 {
        assert_eq!(posted(&scene, logout_token(&scene, "nobody-s")).await, 400);
    }
    assert_eq!(scene.provider.calls("keys"), 2, "one in ten seconds");
    // At that moment the provider changes its key.
    scene.provider.behave(|manner| {
        manner.kid = String::from("k2");
        manner.published = vec![String::from("k2")];
    });
    let browser = scene.clinic.browser();
    assert_eq!(scene.sign_in(&browser).await.status, 200);
    assert_eq!(scene.provider.calls("keys"), 3);
    assert_eq!(posted(&scene, logout_token(&scene, "k2")).await, 200);
}

#[tokio::test]
async fn going_back_at_the_provider_is_told_kindly() {
    let scene = Scene::open().await;
    let browser = scene.clinic.browser();
    let leaving = scene.leave(&browser, &format!("{EMR}/")).await;
    let state = parameter(leaving.location(), "state").unwrap();
    let page = browser
        .get(&format!(
            "{PORTAL}/login/with/acme-id/back?error=access_denied&state={state}"
        ))
        .await;
    assert_eq!(page.status, 403);
    assert!(
        page.body.contains("did not let you in, or you went back"),
        "{}",
        page.body
    );
    assert!(page.link("Back to log in").contains("rd="));
    let unknown = browser.get(&format!("{PORTAL}/login/with/nobody")).await;
    assert_eq!(unknown.status, 404);
}
