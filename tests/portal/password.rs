//! The password step.

use std::time::Duration;

use vestibule::gate::name::{Login, PersonId};
use vestibule::portal::locks;

use crate::clinic::*;
use crate::redis_server::Redis;

#[tokio::test]
async fn one_sign_in_reaches_every_product() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/patients/7?tab=plan")).await;
    assert_eq!(form.status, 200);
    for words in [
        ">Username</label>",
        ">Password</label>",
        ">Log in</button>",
        ">Forgot your password?</a>",
        "Log in to EMR",
        "autocomplete=\"username\"",
        "autocomplete=\"current-password\"",
    ] {
        assert!(form.body.contains(words), "{words} in {}", form.body);
    }
    let answer = browser.submit_login(&form, " KIM ", PASSWORD).await;
    assert_eq!(answer.status, 303);
    let cookies = answer.set_cookies();
    assert!(
        cookies
            .iter()
            .any(|cookie| cookie.starts_with("__Host-vestibule="))
    );
    for cookie in cookies {
        for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(part), "{part} in {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    let page = browser.follow(answer).await;
    assert_eq!(page.url, format!("{EMR}/patients/7?tab=plan"));
    assert_eq!(page.body, "EMR for kim by pwd in acme");

    let page = browser.open(&format!("{BILLING}/claims")).await;
    assert_eq!(
        (page.url.as_str(), page.body.as_str()),
        (
            "https://billing.test:8443/claims",
            "Billing for kim.billing by pwd in acme"
        )
    );
    let page = browser.open(&format!("{ANALYTICS}/")).await;
    assert_eq!(page.body, "Analytics for kim by pwd in acme");

    let values: Vec<_> = [PORTAL, EMR, BILLING, ANALYTICS]
        .iter()
        .map(|origin| browser.cookie(origin, "__Host-vestibule").unwrap())
        .collect();
    let different: std::collections::HashSet<_> = values.iter().collect();
    assert_eq!(different.len(), 4, "each host has its own cookie");
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule-login"), None);
}

#[tokio::test]
async fn who_is_refused_learns_nothing() {
    let clinic = Clinic::open().await;
    let mut answers = Vec::new();
    for (login, password) in [
        ("kim", "guessed-it"),
        ("nobody", PASSWORD),
        ("dee", PASSWORD),
        ("loose", PASSWORD),
    ] {
        let browser = clinic.browser();
        let form = browser.open(&format!("{EMR}/")).await;
        let answer = browser.submit_login(&form, login, password).await;
        assert!(
            answer
                .body
                .contains("That username and password don&#39;t match."),
            "{}",
            answer.body
        );
        assert!(answer.body.contains("aria-describedby=\"wrong\""));
        assert!(
            answer.body.contains(&format!("value=\"{login}\"")),
            "the username is kept"
        );
        assert!(!answer.body.contains(password), "the password is not");
        assert!(answer.set_cookies().is_empty());
        answers.push((
            answer.status,
            answer.plain().replace(&format!("value=\"{login}\""), ""),
        ));
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[tokio::test]
async fn an_old_hash_is_replaced_at_sign_in() {
    let clinic = Clinic::open().await;
    clinic.signed_in("lee").await;
    let lee = vestibule::gate::name::PersonId::parse("lee").unwrap();
    let accounts = clinic.directory.accounts_of(&lee).await.unwrap();
    assert!(accounts[0].password_hash.0.starts_with("$argon2id$"));
    clinic.signed_in("lee").await;
}

#[tokio::test]
async fn forms_from_elsewhere_are_refused() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let mut fields = form.hidden();
    fields.push((String::from("username"), String::from("kim")));
    fields.push((String::from("password"), PASSWORD.to_owned()));
    let url = format!("{PORTAL}/login");
    for headers in [
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", "null")],
        vec![("origin", "https://evil.test")],
        vec![("origin", BILLING), ("sec-fetch-site", "same-site")],
        vec![("origin", "https://login.test")],
    ] {
        let headers: Vec<_> = headers
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()))
            .collect();
        let answer = browser.post_from(&url, &fields, headers.clone()).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(answer.set_cookies().is_empty());
    }
    // With the right headers, but without our token.
    for token in ["", "x", "1a.AAAA"] {
        let mut forged = fields.clone();
        forged.retain(|(name, _)| name != "csrf");
        forged.push((String::from("csrf"), token.to_owned()));
        let answer = browser.post(&url, &forged).await;
        assert_eq!(answer.status, 200, "the form again");
        assert!(
            !answer
                .set_cookies()
                .iter()
                .any(|cookie| cookie.starts_with("__Host-vestibule="))
        );
    }
    // A browser that says nothing of itself, with the token: an old one.
    let answer = browser.post_from(&url, &fields, Vec::new()).await;
    assert_eq!(answer.status, 303);
}

#[tokio::test]
async fn ten_tabs_opened_at_once_all_end_up_right() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    // A restored browser: ten requests before any answer, so ten login cookies, the last one wins.
    let mut forms = Vec::new();
    for tab in 0..10 {
        let origin = if tab % 2 == 0 { EMR } else { BILLING };
        let to_login = browser.get(&format!("{origin}/tab/{tab}")).await;
        browser.set_cookie(PORTAL, "__Host-vestibule-login", "");
        forms.push(browser.follow(to_login).await);
    }
    // Somebody types in the fourth tab: it goes at once.
    let answer = browser.submit_login(&forms[3], "kim", PASSWORD).await;
    assert_eq!(browser.follow(answer).await.url, format!("{BILLING}/tab/3"));
    let session = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    for (tab, form) in forms.iter().enumerate() {
        let origin = if tab % 2 == 0 { EMR } else { BILLING };
        // Half of them are sent, half reloaded.
        let page = if tab < 5 {
            let answer = browser.submit_login(form, "kim", PASSWORD).await;
            browser.follow(answer).await
        } else {
            browser.open(&form.url).await
        };
        assert_eq!(page.url, format!("{origin}/tab/{tab}"));
    }
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule").unwrap(), session);
}

#[tokio::test]
async fn ten_tabs_share_one_small_cookie() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    browser.open(&format!("{EMR}/0")).await;
    let cookie = browser.cookie(PORTAL, "__Host-vestibule-login").unwrap();
    assert_eq!(cookie.len(), 43);
    for tab in 1..10 {
        assert!(
            browser
                .open(&format!("{EMR}/{tab}"))
                .await
                .set_cookies()
                .is_empty()
        );
    }
    assert_eq!(
        browser.cookie(PORTAL, "__Host-vestibule-login").unwrap(),
        cookie
    );
}

#[tokio::test]
async fn a_login_page_left_open_overnight_is_no_dead_end() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/week")).await;
    clinic.wait(15 * HOUR);
    let answer = browser.submit_login(&form, "kim", PASSWORD).await;
    assert_eq!(
        browser.follow(answer).await.url,
        format!("{EMR}/week"),
        "the cookie is still there"
    );

    // Restarted meanwhile: the cookie is gone.
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/week")).await;
    clinic.wait(15 * HOUR);
    browser.set_cookie(PORTAL, "__Host-vestibule-login", "");
    let again = browser.submit_login(&form, "kim", PASSWORD).await;
    assert_eq!(again.status, 200);
    assert!(again.body.contains("This page was open for a while"));
    assert!(again.body.contains("value=\"kim\""));
    let answer = browser.submit_login(&again, "kim", PASSWORD).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/week"));
}

/// Whoever has a say in a company's directory may make a login that looks like somebody else's.
#[tokio::test]
async fn who_owns_a_login_that_looks_alike_clears_nothing_of_the_others() {
    let clinic = Clinic::open().await;
    clinic
        .import(
            r#"{"kind":"person","id":"twin","company":"acme","name":"Twin","email":"twin@example.com"}
{"kind":"account","product":"emr","login":"kím","person":"twin","password_hash":"HASH"}"#,
        )
        .await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    for _ in 0..5 {
        let answer = browser.submit_login(&form, "kim", "guess").await;
        assert_eq!(answer.status, 403);
    }
    let mut twin = clinic.browser();
    twin.address = browser.address;
    let own = twin.open(&format!("{EMR}/")).await;
    let answer = twin.submit_login(&own, "kím", PASSWORD).await;
    assert_eq!(twin.follow(answer).await.url, format!("{EMR}/"));

    // Nor is what the twin's browser was given a word about kim.
    let mut noted = clinic.browser();
    noted.address = browser.address;
    let note = twin.cookie(PORTAL, "__Host-vestibule-known").unwrap();
    noted.set_cookie(PORTAL, "__Host-vestibule-known", &note);
    let other_form = noted.open(&format!("{EMR}/")).await;
    for (browser, form) in [(&browser, &form), (&noted, &other_form)] {
        let answer = browser.submit_login(form, "kim", PASSWORD).await;
        assert_eq!(answer.status, 429, "{}", answer.body);
    }
    let lines = clinic.heard.lines.lock().unwrap();
    // Only the first in a minute is kept with the person's own.
    let of = |who: &str| {
        let told = |line: &&String| line.contains("throttled") && line.contains(who);
        lines.iter().filter(told).count()
    };
    assert_eq!((of("person: Some(kim)"), of("person: None")), (1, 1));
}

#[tokio::test]
async fn guessing_is_slowed_down_before_anything_is_hashed() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    for _ in 0..5 {
        assert_eq!(
            browser.submit_login(&form, "kim", "guess").await.status,
            403
        );
    }
    let answer = browser.submit_login(&form, "Kim", PASSWORD).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    assert!(answer.body.contains("Too many attempts"), "{}", answer.body);
    assert!(answer.set_cookies().is_empty());
    assert!(
        clinic.heard_line(&["\"sign_in\"", "person: Some(kim)", "throttled"]),
        "the trail says who was kept waiting"
    );
    // And who is asked about it sees which throttle it is, where, and until when.
    let kim = PersonId::parse("kim").unwrap();
    let emr = clinic.products.primary().id.clone();
    let accounts = [(emr.clone(), Login::parse("kim").unwrap())];
    let held = async |address| {
        let store = clinic.sessions.store().as_ref();
        let found = locks::of_person(store, &kim, (&emr, &accounts), address, clinic.now()).await;
        found.unwrap()
    };
    let expected = locks::Lock {
        throttle: "password_from_address",
        of: String::from("emr kim"),
        until: Some(clinic.now().plus(Duration::from_secs(1))),
    };
    assert_eq!(held(Some(browser.address)).await, [expected]);
    assert_eq!(held(None).await, [], "nobody knows of which address");
    assert_eq!(held(Some([192, 0, 2, 254].into())).await, []);
    // Elsewhere the owner is not locked out.
    clinic.signed_in("kim").await;
    clinic.wait(Duration::from_secs(1));
    let answer = browser.submit_login(&form, "kim", PASSWORD).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
    // And success forgets the failures.
    let browser_again = clinic.browser();
    let form = browser_again.open(&format!("{EMR}/")).await;
    assert_eq!(
        browser_again
            .submit_login(&form, "kim", "guess")
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn what_has_to_wait_for_the_account_is_not_counted_at_the_address() {
    let clinic = Clinic::open().await;
    for bot in 1..=30 {
        let browser = clinic.browser_at([203, 0, 113, bot]);
        let form = browser.open(&format!("{EMR}/")).await;
        let answer = browser.submit_login(&form, "kim", "guess").await;
        assert_eq!(answer.status, 403, "{}", answer.body);
    }
    let browser = clinic.browser_at([192, 0, 2, 77]);
    let form = browser.open(&format!("{EMR}/")).await;
    for _ in 0..5 {
        let answer = browser.submit_login(&form, "kim", PASSWORD).await;
        assert_eq!(answer.status, 429, "{}", answer.body);
    }
    // The account's window is over, the address's would not be.
    clinic.wait(Duration::from_secs(11 * 60));
    let form = browser.open(&format!("{EMR}/")).await;
    assert_eq!(
        browser.submit_login(&form, "kim", "guess").await.status,
        403
    );
    let answer = browser.submit_login(&form, "kim", PASSWORD).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
}

#[tokio::test]
async fn parallel_guesses_count_one_by_one() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let guesses = (0..12).map(|_| browser.submit_login(&form, "kim", "guess"));
    let answers = futures_util::future::join_all(guesses).await;
    let told = |status: u16| answers.iter().filter(|one| one.status == status).count();
    assert_eq!(told(429), 7);
    // A machine that has much else to do says 503 of a guess that it did not come to.
    assert_eq!(told(403) + told(503), 5);
}

#[tokio::test]
async fn addresses_of_one_network_count_together() {
    let clinic = Clinic::open().await;
    let mut statuses = Vec::new();
    for host in 0..6_u16 {
        let mut browser = clinic.browser();
        browser.address = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host).into();
        let form = browser.open(&format!("{EMR}/")).await;
        statuses.push(browser.submit_login(&form, "kim", "guess").await.status);
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429]);
}

#[tokio::test]
async fn a_whole_clinic_behind_one_address_signs_in_without_waiting() {
    let clinic = Clinic::open().await;
    for person in 0..55 {
        let mut browser = clinic.browser();
        browser.address = std::net::IpAddr::from([198, 51, 100, 1]);
        let form = browser.open(&format!("{EMR}/")).await;
        let answer = browser.submit_login(&form, "kim", PASSWORD).await;
        assert_eq!(answer.status, 303, "at {person}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sign_ins_than_can_be_checked_are_told_to_come_back() {
    let hasher = vestibule::directory::passwords::Hasher::with_bounds(1, 0);
    let clinic = Clinic::open_with(hasher).await;
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let browser = clinic.browser();
        let form = browser.open(&format!("{EMR}/")).await;
        waiting.push((browser, form));
    }
    let answers = waiting
        .iter()
        .map(|(browser, form)| browser.submit_login(form, "kim", PASSWORD));
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.iter().any(|answer| answer.status == 303));
    let busy = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert!(!busy.header("retry-after").is_empty());
    assert!(busy.body.contains("Many people are logging in right now"));
}

#[tokio::test]
async fn every_sign_in_gives_a_fresh_cookie_and_ends_somebody_elses() {
    let clinic = Clinic::open().await;
    let browser = clinic.signed_in("lee").await;
    let first = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    let lee = vestibule::gate::name::PersonId::parse("lee").unwrap();
    assert_eq!(clinic.sessions.of_person(&lee).await.unwrap().len(), 1);

    // Kim sits down at the same browser, with a form that was open before.
    let other = clinic.browser();
    let form = other.open(&format!("{EMR}/")).await;
    browser.set_cookie(
        PORTAL,
        "__Host-vestibule-login",
        &other.cookie(PORTAL, "__Host-vestibule-login").unwrap(),
    );
    let answer = browser.submit_login(&form, "kim", PASSWORD).await;
    assert_eq!(answer.status, 303);
    assert_ne!(browser.cookie(PORTAL, "__Host-vestibule").unwrap(), first);
    assert!(clinic.sessions.of_person(&lee).await.unwrap().is_empty());
    let page = browser.open(&format!("{EMR}/x")).await;
    assert_eq!(page.body, "EMR for kim by pwd in acme");
}

#[tokio::test]
async fn the_same_person_again_keeps_the_session_with_a_fresh_cookie() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let form = browser.open(&format!("{EMR}/")).await;
    let login_cookie = browser.cookie(PORTAL, "__Host-vestibule-login").unwrap();
    let answer = browser.submit_login(&form, "kim", PASSWORD).await;
    browser.follow(answer).await;
    browser.open(&format!("{BILLING}/")).await;
    let first = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    let billing = browser.cookie(BILLING, "__Host-vestibule").unwrap();
    browser.set_cookie(PORTAL, "__Host-vestibule-login", &login_cookie);
    browser.submit_login(&form, "kim", PASSWORD).await;
    let second = browser.cookie(PORTAL, "__Host-vestibule").unwrap();
    assert_ne!(first, second);
    assert_eq!(
        first.split('.').next(),
        second.split('.').next(),
        "one session"
    );
    browser.open(&format!("{BILLING}/")).await;
    assert_eq!(
        browser.cookie(BILLING, "__Host-vestibule").unwrap(),
        billing
    );
}

#[tokio::test]
async fn without_the_store_nobody_is_let_in_and_told_so() {
    let clinic = Clinic::open().await;
    let mut browser = clinic.browser();
    browser.store_is_away = true;
    let page = browser.get(&format!("{PORTAL}/login")).await;
    assert_eq!(page.status, 503);
    assert!(!page.header("retry-after").is_empty());
}

const KNOWN: &str = "__Host-vestibule-known";

/// Signed in to once, as somebody whose session is long over.
async fn known_browser<'a>(clinic: &'a Clinic, login: &str) -> Browser<'a> {
    let before = clinic.signed_in(login).await;
    let mut browser = clinic.browser();
    browser.address = before.address;
    browser.set_cookie(PORTAL, KNOWN, &before.cookie(PORTAL, KNOWN).unwrap());
    browser
}

/// Guesses for as long as it takes until the next one would have to wait for so long.
async fn guess_until_held(browser: &Browser<'_>, clinic: &Clinic, login: &str, secs: u64) {
    let form = browser.open(&format!("{EMR}/")).await;
    for _ in 0..100 {
        let answer = browser.submit_login(&form, login, "guess").await;
        if answer.status == 429 {
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            if wait >= secs {
                return;
            }
            clinic.wait(Duration::from_secs(wait));
        }
    }
    panic!("nobody is held");
}

/// `here` and `there`: two nodes, or one.
async fn lasting_guesses_leave_the_owner_alone(here: &Clinic, there: &Clinic) {
    let owner = known_browser(here, "kim").await;
    let lee = known_browser(there, "lee").await;
    let mut stranger = there.browser();
    stranger.address = owner.address;
    guess_until_held(&stranger, here, "kim", 120).await;
    // Whoever is known for another account is a stranger to this one.
    stranger.set_cookie(PORTAL, KNOWN, &lee.cookie(PORTAL, KNOWN).unwrap());
    for password in ["guess", PASSWORD] {
        let form = stranger.open(&format!("{EMR}/")).await;
        let answer = stranger.submit_login(&form, "kim", password).await;
        assert_eq!(answer.status, 429, "{}", answer.body);
    }
    let page = owner.log_in(&format!("{EMR}/"), "kim").await;
    assert_eq!(page.url, format!("{EMR}/"), "{}", page.body);
}

#[tokio::test]
async fn guessing_that_lasts_at_the_owners_own_address_does_not_hold_their_browser_up() {
    let clinic = Clinic::open().await;
    lasting_guesses_leave_the_owner_alone(&clinic, &clinic).await;
}

#[tokio::test]
async fn guessing_that_lasts_at_another_node_does_not_hold_the_owners_browser_up() {
    let redis = Redis::start();
    let here = Clinic::open_as(Opening {
        redis: Some(redis.url()),
        ..Opening::default()
    })
    .await;
    let there = here.twin().await;
    lasting_guesses_leave_the_owner_alone(&here, &there).await;
}

#[tokio::test]
async fn wherever_the_guesses_come_from_the_owners_browser_is_let_in_from_anywhere() {
    let clinic = Clinic::open().await;
    let mut owner = known_browser(&clinic, "kim").await;
    owner.address = std::net::IpAddr::from([203, 0, 113, 200]);
    // A botnet, until all strangers wait.
    let mut held = 0;
    for bot in 1..=40 {
        let browser = clinic.browser_at([203, 0, 113, bot]);
        let form = browser.open(&format!("{EMR}/")).await;
        let answer = browser.submit_login(&form, "kim", "guess").await;
        held += usize::from(answer.status == 429);
    }
    assert!(held > 0);
    let page = owner.log_in(&format!("{EMR}/"), "kim").await;
    assert_eq!(page.url, format!("{EMR}/"), "{}", page.body);
}

#[tokio::test]
async fn guesses_in_one_known_browser_hold_up_that_browser_alone() {
    let clinic = Clinic::open().await;
    let (stolen, own) = (
        known_browser(&clinic, "kim").await,
        known_browser(&clinic, "kim").await,
    );
    guess_until_held(&stolen, &clinic, "kim", 60).await;
    let form = stolen.open(&format!("{EMR}/")).await;
    let answer = stolen.submit_login(&form, "kim", PASSWORD).await;
    assert_eq!(answer.status, 429, "a note is no password");
    assert_eq!(own.log_in(&format!("{EMR}/"), "kim").await.status, 200);
    clinic.signed_in("kim").await;
    // Who signs in at last begins anew.
    clinic.wait(Duration::from_secs(900));
    stolen.log_in(&format!("{EMR}/"), "kim").await;
    let again = clinic.browser();
    again.set_cookie(PORTAL, KNOWN, &stolen.cookie(PORTAL, KNOWN).unwrap());
    let form = again.open(&format!("{EMR}/")).await;
    for _ in 0..5 {
        let answer = again.submit_login(&form, "kim", "guess").await;
        assert_eq!(answer.status, 403);
    }
    let answer = again.submit_login(&form, "kim", "guess").await;
    assert_eq!(answer.status, 429);
}

#[tokio::test]
async fn a_known_browser_tells_nothing_and_opens_nothing() {
    let clinic = Clinic::open().await;
    let kim = clinic.signed_in("kim").await;
    let note = kim.cookie(PORTAL, KNOWN).unwrap();
    assert_eq!(note.len(), 43, "one person, one note");
    assert_eq!(kim.cookie(EMR, KNOWN), None);
    let browser = clinic.browser();
    browser.set_cookie(PORTAL, KNOWN, &note);
    let page = browser.open(&format!("{EMR}/")).await;
    assert!(page.body.contains(">Password</label>"), "{}", page.body);
    assert!(!page.plain().contains("kim"));
    // Two of one name are none: one of them may be planted. A broken one harms nobody.
    let twice = format!("{note}; {KNOWN}={note}");
    for odd in ["x", "", twice.as_str(), note.repeat(99).as_str()] {
        let browser = clinic.browser();
        browser.set_cookie(PORTAL, KNOWN, odd);
        let page = browser.log_in(&format!("{EMR}/"), "kim").await;
        assert_eq!(page.url, format!("{EMR}/"), "{odd}");
    }
}
