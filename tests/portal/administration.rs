//! User Manager: of one's own company only, with a factor proved lately, and heard of everywhere.

use std::time::Duration;

use vestibule::gate::name::PersonId;
use vestibule::gate::policy::FactorMethod;

use crate::clinic::*;

const MINUTE: Duration = Duration::from_secs(60);

fn users(path: &str) -> String {
    format!("{PORTAL}/company/users{path}")
}

/// Signed in, with an authenticator that was set up on the way to User Manager.
pub async fn official<'a>(clinic: &'a Clinic, login: &str) -> (Browser<'a>, String) {
    let browser = clinic.signed_in(login).await;
    let page = browser.open(&users("")).await;
    assert!(
        page.body.contains("A second proof is needed here"),
        "{}",
        page.body
    );
    let answer = browser.submit_login(&page, login, PASSWORD).await;
    let page = browser.follow(answer).await;
    let (key, page) = enrol(&browser, page).await;
    assert!(page.body.contains("<h1>User Manager</h1>"), "{}", page.body);
    (browser, key)
}

/// Saves a person's page with these fields.
async fn save(browser: &Browser<'_>, person: &str, fields: &[(&str, &str)]) -> Page {
    let page = browser.get(&users(&format!("/{person}"))).await;
    save_from(browser, &page, person, fields).await
}

/// The same from a page that was opened before.
async fn save_from(
    browser: &Browser<'_>,
    page: &Page,
    person: &str,
    fields: &[(&str, &str)],
) -> Page {
    let hidden = page.hidden();
    let was = hidden.iter().find(|(name, _)| name == "was");
    let was = was.map(|(name, value)| (name.as_str(), value.as_str()));
    let fields: Vec<(&str, &str)> = fields.iter().copied().chain(was).collect();
    browser
        .press(page, &users(&format!("/{person}")), &fields)
        .await
}

fn acts(clinic: &Clinic) -> Vec<String> {
    let lines = clinic.heard.lines.lock().unwrap();
    lines
        .iter()
        .filter(|line| line.starts_with("act "))
        .cloned()
        .collect()
}

#[tokio::test]
async fn only_a_user_manager_with_a_fresh_factor_comes_in() {
    let clinic = Clinic::open().await;
    let lee = clinic.signed_in("lee").await;
    for path in ["", "/kim", "?q=kim"] {
        assert_eq!(lee.get(&users(path)).await.status, 403, "{path}");
    }
    let stranger = clinic.browser();
    assert_eq!(stranger.get(&users("")).await.status, 303);

    let (kim, key) = official(&clinic, "kim").await;
    assert_eq!(kim.get(&users("/lee")).await.status, 200);
    clinic.wait(15 * MINUTE);
    assert_eq!(kim.get(&users("/lee")).await.status, 200);
    clinic.wait(Duration::from_secs(1));
    // Neither looking nor saving; and then exactly there.
    let asked = kim.get(&users("/lee?reset=mfa")).await;
    assert!(
        asked.location().starts_with("/login?"),
        "{}",
        asked.location()
    );
    let fields = [("reset", "mfa"), ("reason", "lost phone")];
    let fields = fields.map(|(name, value)| (String::from(name), String::from(value)));
    assert_eq!(kim.post(&users("/lee"), &fields).await.status, 303);
    assert!(acts(&clinic).is_empty());
    let page = kim.follow(asked).await;
    assert!(page.url.contains("/login/factor"), "{}", page.url);
    let code = code(&key, clinic.now());
    let answer = kim.submit(&page, &[("code", &code)]).await;
    let page = kim.follow(answer).await;
    assert_eq!(page.url, users("/lee?reset=mfa"));
}

#[tokio::test]
async fn what_was_chosen_before_a_proof_was_asked_for_is_said_to_be_lost() {
    let clinic = Clinic::open().await;
    let (kim, key) = official(&clinic, "kim").await;
    let settings = format!("{PORTAL}/company/settings");
    let page = kim.get(&settings).await;
    kim.submit(&page, &[("mfa", "on")]).await;
    let reason = ("reason", "because");
    for (url, fields, back) in [
        (
            users("/lee"),
            vec![("status", "disabled"), reason],
            "/lee?done=again",
        ),
        (
            users("/lee"),
            vec![("reset", "mfa"), reason],
            "?reset=mfa&done=again",
        ),
        (
            format!("{PORTAL}/company/sessions"),
            vec![("all", "all"), reason],
            "/sessions?done=again",
        ),
        (settings, vec![("mfa", "off")], "/settings?done=again"),
    ] {
        let page = kim.get(&url).await;
        assert_eq!(page.status, 200, "{url}");
        clinic.wait(16 * MINUTE);
        let asked = kim.press(&page, &url, &fields).await;
        let page = kim.follow(asked).await;
        assert!(page.url.contains("/login/factor"), "{}", page.url);
        let typed = code(&key, clinic.now());
        let answer = kim.submit(&page, &[("code", &typed)]).await;
        let page = kim.follow(answer).await;
        assert!(page.url.ends_with(back), "{}", page.url);
        let told = "Nothing was changed yet: please choose once more";
        assert!(page.body.contains(told), "{}", page.body);
    }
}

#[tokio::test]
async fn a_role_taken_away_opens_nothing_any_more() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let taken = r#"{"kind":"person","id":"kim","company":"acme","name":"Kim Doe","email":"kim@acme.test","roles":[]}"#;
    let hasher = vestibule::directory::passwords::Hasher::new();
    clinic
        .directory
        .import(&hasher, taken.as_bytes(), &[], clinic.now())
        .await
        .unwrap();
    assert_eq!(kim.get(&users("/lee")).await.status, 403);
    assert_eq!(save(&kim, "lee", &[("end", "all")]).await.status, 403);
}

#[tokio::test]
async fn somebody_of_another_company_answers_as_nobody_does() {
    let clinic = Clinic::open().await;
    let max = clinic.signed_in_strict("max").await;
    let (kim, _) = official(&clinic, "kim").await;
    // Kim's account works in Strict Care too; Kim belongs to Acme.
    let other = kim.get(&users("/max")).await;
    let nobody = kim.get(&users("/nobody")).await;
    assert_eq!((other.status, nobody.status), (404, 404));
    assert_eq!(other.body, nobody.body, "to the letter");
    let lee = kim.get(&users("/lee")).await.hidden();
    let csrf = lee.into_iter().find(|(name, _)| name == "csrf").unwrap();
    for (name, value) in [("reset", "mfa"), ("status", "disabled"), ("end", "all")] {
        let fields = [
            csrf.clone(),
            (String::from(name), String::from(value)),
            (String::from("reason"), String::from("because")),
        ];
        assert_eq!(
            kim.post(&users("/max"), &fields).await.status,
            404,
            "{name}"
        );
    }
    for q in ["", "max", "strict", "poe"] {
        let page = kim.get(&users(&format!("?q={q}"))).await;
        assert!(!page.body.contains("Max Poe"), "{q}");
    }
    // Nor as the place in the list.
    let page = kim.get(&users("?after=max")).await;
    assert!(page.body.contains("Kim Doe") && !page.body.contains("Max"));
    assert_eq!(max.get(&format!("{EMR}/")).await.status, 200);
    assert!(acts(&clinic).is_empty());
}

#[tokio::test]
async fn people_are_found_by_name_login_and_address() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    for (q, found) in [
        ("doe", vec!["/kim"]),
        ("KIM.BILLING", vec!["/kim"]),
        ("lee@acme", vec!["/lee"]),
        ("@acme.test", vec!["/dee", "/kim", "/lee"]),
        ("e", vec![]),
        ("nothing", vec![]),
    ] {
        let page = kim.get(&users(&format!("?q={q}"))).await;
        for person in ["/dee", "/kim", "/lee"] {
            let there = page.body.contains(&format!("/company/users{person}\""));
            assert_eq!(there, found.contains(&person), "{q} {person}");
        }
        assert!(!page.body.contains("<b>Roe"), "names are text");
    }
    let quoted = kim.get(&users("?q=%22%3E%3Cscript%3E")).await;
    assert!(quoted.status == 200 && !quoted.body.contains("<script"));
}

#[tokio::test]
async fn reset_mfa_ends_everything_and_the_next_sign_in_enrols_anew() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let settings = kim.get(&format!("{PORTAL}/company/settings")).await;
    kim.submit(&settings, &[("mfa", "on")]).await;
    let lee = clinic.browser();
    let page = lee.log_in(&format!("{EMR}/"), "lee").await;
    let (old_key, page) = enrol(&lee, page).await;
    assert_eq!(page.url, format!("{EMR}/"));
    clinic.wait(MINUTE);
    // One more browser before the code.
    let waiting = clinic.browser();
    let challenge = waiting.log_in(&format!("{EMR}/"), "lee").await;
    assert!(challenge.url.contains("/login/factor"));

    let page = kim.get(&users("/lee")).await;
    for words in [
        "Reset MFA</button>",
        "Save User</button>",
        "Authenticator app",
    ] {
        assert!(page.body.contains(words), "{words}");
    }
    let staged = kim.get(&users("/lee?reset=mfa")).await;
    assert!(staged.body.contains("When you save"), "{}", staged.body);
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 200, "not before");
    let unreasoned = save(&kim, "lee", &[("reset", "mfa"), ("reason", "  ")]).await;
    assert_eq!(unreasoned.status, 400);
    assert!(unreasoned.body.contains("Say why"));
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 200);

    let saved = save(&kim, "lee", &[("reset", "mfa"), ("reason", "lost phone")]).await;
    assert_eq!(saved.location(), "/company/users/lee?saved=mfa");
    let page = kim.follow(saved).await;
    assert!(page.body.contains("is reset"), "{}", page.body);
    assert!(page.body.contains("No second factor is set up"));
    assert_eq!(
        lee.get(&format!("{EMR}/")).await.status,
        302,
        "signed out at once"
    );
    // The half-finished sign-in is over, with the old code and without.
    let now = clinic.now();
    let answer = waiting
        .submit(&challenge, &[("code", &code(&old_key, now))])
        .await;
    assert!(
        answer.location().starts_with("/login"),
        "{}",
        answer.location()
    );
    assert_eq!(waiting.cookie(PORTAL, "__Host-vestibule"), None);
    let acts = acts(&clinic);
    assert_eq!(acts.len(), 1, "{acts:?}");
    for part in [
        "mfa_reset",
        "who: kim",
        "whom: lee",
        "lost phone",
        "192.0.2.",
    ] {
        assert!(acts[0].contains(part), "{part} in {}", acts[0]);
    }
    told(&clinic, "lee@acme.test", "was reset").await;

    let page = lee.log_in(&format!("{EMR}/"), "lee").await;
    assert!(page.url.contains("/login/enroll"), "{}", page.url);
    let (key, page) = enrol(&lee, page).await;
    assert_ne!(key, old_key);
    assert_eq!(page.url, format!("{EMR}/"));
}

#[tokio::test]
async fn a_user_manager_resets_single_sign_on_and_sends_a_link_for_a_password() {
    let clinic = Clinic::open().await;
    clinic
        .import(concat!(
            r#"{"kind":"account","product":"billing","login":"lee.billing","person":"lee","password":"billing-of-lee"}"#,
            "\n"
        ))
        .await;
    let (kim, _) = official(&clinic, "kim").await;
    let found = kim.get(&users("?q=lee.billing")).await;
    assert!(found.body.contains("/company/users/lee"), "{}", found.body);
    let deeds = [("unlink", "all"), ("link", "mail")];
    let unreasoned = save(&kim, "lee", &deeds).await;
    assert_eq!(unreasoned.status, 400);
    let lee = PersonId::parse("lee").unwrap();
    assert_eq!(clinic.directory.accounts_of(&lee).await.unwrap().len(), 2);
    assert!(crate::forgot::mails(&clinic).is_empty());

    let saved = save(
        &kim,
        "lee",
        &[deeds[0], deeds[1], ("reason", "wrong account")],
    )
    .await;
    assert_eq!(saved.location(), "/company/users/lee?saved=unlinked");
    let left = clinic.directory.accounts_of(&lee).await.unwrap();
    assert_eq!(left.len(), 1, "the one they sign in with");
    let mail = crate::forgot::mail(&clinic, 1).await;
    assert!(mail.contains("/password/reset?token="), "{mail}");
    let found = kim.get(&users("?q=lee.billing")).await;
    assert!(
        !found.body.contains("/company/users/lee"),
        "no longer Lee's"
    );
    let lines = acts(&clinic);
    for event in ["password_link", "single_sign_on_reset"] {
        let told = lines
            .iter()
            .any(|line| line.contains(event) && line.contains("wrong account"));
        assert!(told, "{event}: {lines:?}");
    }
}

#[tokio::test]
async fn an_enrolment_that_was_begun_before_a_reset_ends_with_it() {
    let clinic = Clinic::open().await;
    let thief = clinic.browser();
    let page = thief.log_in(&format!("{EMR}/"), "max").await;
    assert!(page.url.contains("/login/enroll"));
    let max = PersonId::parse("max").unwrap();
    clinic.directory.reset_factors(&max).await.unwrap();
    let with_key = thief.get(&page.url).await;
    assert_eq!(with_key.status, 303, "the page itself is over");
    let answer = thief.submit(&page, &[("code", "000000")]).await;
    assert!(answer.location().starts_with("/login"));
    assert!(clinic.directory.factors(&max).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_hard_stop_of_wrong_codes_ends_with_a_reset() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let lee = PersonId::parse("lee").unwrap();
    let key =
        vestibule::gate::throttle::factor_key(&lee, vestibule::gate::policy::FactorMethod::Totp);
    let store = clinic.sessions.store();
    let now = clinic.now();
    let stopped = br#"{"failures":100,"last_at":0,"window_started_at":0}"#;
    store
        .swap_state(&key, None, Some(stopped), HOUR, now)
        .await
        .unwrap();
    save(&kim, "lee", &[("reset", "mfa"), ("reason", "locked")]).await;
    assert_eq!(store.state(&key, now).await.unwrap(), None);
}

#[tokio::test]
async fn disabling_ends_sessions_and_enabling_lets_in_again() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let lee = clinic.signed_in("lee").await;
    let saved = save(&kim, "lee", &[("status", "disabled"), ("reason", "left")]).await;
    assert_eq!(saved.location(), "/company/users/lee?saved=disabled");
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 302);
    let form = lee.open(&format!("{EMR}/")).await;
    assert_eq!(lee.submit_login(&form, "lee", PASSWORD).await.status, 403);
    let page = kim.get(&users("/lee")).await;
    assert!(page.body.contains(">Disabled</span>"));

    save(&kim, "lee", &[("status", "enabled"), ("reason", "back")]).await;
    let lee = clinic.signed_in("lee").await;
    let saved = save(&kim, "lee", &[("end", "all"), ("reason", "left it open")]).await;
    assert_eq!(saved.location(), "/company/users/lee?saved=sessions");
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 302);
    let unchanged = save(&kim, "lee", &[("status", "enabled")]).await;
    assert!(unchanged.body.contains("Nothing was changed"));
    let events: Vec<String> = acts(&clinic);
    for (line, event) in events
        .iter()
        .zip(["person_disabled", "person_enabled", "sessions_ended"])
    {
        assert!(line.contains(event), "{line}");
    }
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn a_page_that_was_open_enables_nobody_who_was_disabled_meanwhile() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let lee = PersonId::parse("lee").unwrap();
    let disabled = async || {
        clinic
            .directory
            .person(&lee)
            .await
            .unwrap()
            .unwrap()
            .disabled
    };
    let open = kim.get(&users("/lee")).await;
    save(&kim, "lee", &[("status", "disabled"), ("reason", "left")]).await;
    let fields = [("status", "enabled"), ("end", "all"), ("reason", "laptop")];
    let answer = save_from(&kim, &open, "lee", &fields).await;
    assert!(answer.body.contains("changed meanwhile"), "{}", answer.body);
    assert!(disabled().await);
    // Nor does one that does not say what it was made with.
    let answer = kim.press(&open, &users("/lee"), &fields).await;
    assert!(answer.body.contains("changed meanwhile"), "{}", answer.body);
    assert!(disabled().await);
    assert!(
        !acts(&clinic)
            .iter()
            .any(|act| act.contains("person_enabled"))
    );
    // Whoever sees that they are disabled can.
    save(&kim, "lee", &[("status", "enabled"), ("reason", "back")]).await;
    assert!(!disabled().await);
}

#[tokio::test]
async fn what_a_user_manager_ends_for_another_company_stands_in_its_trail_too() {
    use crate::company_sessions::{ACROSS, companies};
    let clinic = Clinic::open().await;
    clinic.import(ACROSS).await;
    let (kim, _) = official(&clinic, "kim").await;
    for (fields, event) in [
        (
            [("end", "all"), ("reason", "left it open")],
            "sessions_ended",
        ),
        ([("reset", "mfa"), ("reason", "lost phone")], "mfa_reset"),
        (
            [("status", "disabled"), ("reason", "gone")],
            "person_disabled",
        ),
    ] {
        let ada = clinic.signed_in("ada").await;
        ada.open(&format!("{BILLING}/")).await;
        save(&kim, "ada", &fields).await;
        assert_eq!(ada.get(&format!("{BILLING}/")).await.status, 302);
        let told = companies(&clinic, event, fields[1].1);
        assert_eq!(told, ["acme", "north"], "{event}");
    }
}

#[tokio::test]
async fn what_fails_for_one_session_is_done_for_the_others() {
    let clinic = Clinic::open().await;
    clinic
        .import(concat!(
            r#"{"kind":"account","product":"billing","login":"lee.billing","person":"lee","password_hash":"HASH"}"#,
            "\n"
        ))
        .await;
    let lees = [clinic.signed_in("lee").await, clinic.signed_in("lee").await];
    for lee in &lees {
        assert_eq!(lee.open(&format!("{BILLING}/")).await.status, 200);
    }
    let (kim, _) = official(&clinic, "kim").await;
    let lee = PersonId::parse("lee").unwrap();
    let all = clinic.sessions.of_person(&lee).await.unwrap();
    *clinic.store.clings_to.lock().unwrap() = Some(all[0].id);
    let inside = async |url: String| {
        let mut inside = 0;
        for lee in &lees {
            inside += usize::from(lee.get(&url).await.status == 200);
        }
        inside
    };
    // The link's end, in each session.
    let answer = save(
        &kim,
        "lee",
        &[("unlink", "all"), ("reason", "wrong account")],
    )
    .await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(inside(format!("{BILLING}/")).await, 1);
    assert_eq!(inside(format!("{EMR}/")).await, 2);
    // Each session, and each deed.
    let deeds = [("end", "all"), ("status", "disabled"), ("reason", "left")];
    let answer = save(&kim, "lee", &deeds).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(inside(format!("{EMR}/")).await, 1);
    let person = clinic.directory.person(&lee).await.unwrap().unwrap();
    assert!(person.disabled);
    assert_eq!(acts(&clinic).len(), 3, "{:?}", acts(&clinic));
    // Saved once more: what goes on still is not "nothing was changed".
    let again = [("status", "disabled"), ("reason", "left")];
    let answer = save(&kim, "lee", &again).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    *clinic.store.clings_to.lock().unwrap() = None;
    let answer = save(&kim, "lee", &again).await;
    assert_eq!(answer.location(), "/company/users/lee?saved=disabled");
    assert_eq!(inside(format!("{EMR}/")).await, 0);
    let answer = save(&kim, "lee", &again).await;
    assert!(answer.body.contains("Nothing was changed"));
}

#[tokio::test]
async fn nobody_locks_themselves_out_and_is_told_so() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let page = kim.get(&users("/kim")).await;
    assert!(page.body.contains("This is you") && page.body.contains("/account"));
    assert!(!page.body.contains("Save User") && !page.body.contains("Reset MFA"));
    let lee = kim.get(&users("/lee")).await;
    let csrf = lee.hidden().into_iter().find(|(name, _)| name == "csrf");
    for (name, value) in [("reset", "mfa"), ("status", "disabled"), ("end", "all")] {
        let fields = [
            csrf.clone().unwrap(),
            (String::from(name), String::from(value)),
            (String::from("reason"), String::from("because")),
        ];
        let refused = kim.post(&users("/kim"), &fields).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body.contains("My Profile"), "{}", refused.body);
    }
    assert_eq!(kim.get(&users("/kim")).await.status, 200, "still here");
}

#[tokio::test]
async fn no_form_of_another_site_and_no_get_changes_anybody() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    let lee = clinic.signed_in("lee").await;
    let fields = [("end", "all"), ("reason", "x")];
    let fields = fields.map(|(name, value)| (String::from(name), String::from(value)));
    let tokenless = kim.post(&users("/lee"), &fields).await;
    assert!(tokenless.body.contains("Nothing was changed"));
    let foreign = vec![
        ("sec-fetch-site", String::from("cross-site")),
        ("origin", String::from("https://evil.example")),
    ];
    let forged = kim.post_from(&users("/lee"), &fields, foreign).await;
    assert_eq!(forged.status, 403);
    kim.get(&users("/lee?end=all&reset=mfa&status=disabled&reason=x"))
        .await;
    assert_eq!(lee.get(&format!("{EMR}/")).await.status, 200);
}

/// How many mails with these words in their subject went to this address, once all have gone.
pub async fn letters(clinic: &Clinic, address: &str, words: &str) -> usize {
    assert!(clinic.messages.settle(Duration::from_secs(10)).await);
    let mails = clinic.messages.outbox().all();
    mails
        .iter()
        .filter(|mail| mail.to == address && mail.subject.contains(words))
        .count()
}

/// Mails go out in the background.
pub async fn told(clinic: &Clinic, address: &str, words: &str) {
    let waiting = async {
        loop {
            let mails = clinic.messages.outbox().all();
            let found = mails
                .iter()
                .find(|mail| mail.to == address && mail.subject.contains(words));
            if let Some(mail) = found {
                assert!(!mail.text.contains("http"), "no link to follow");
                assert!(!mail.text.contains("lost phone"), "not the reason");
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(waited.is_ok(), "no mail to {address}");
}

#[tokio::test]
async fn company_settings_name_what_people_can_choose() {
    let clinic = Clinic::open().await;
    let (kim, _) = official(&clinic, "kim").await;
    clinic.decide_mfa("acme", |mfa| {
        mfa.methods = vec![
            FactorMethod::Sms,
            FactorMethod::Totp,
            FactorMethod::Recovery,
        ];
    });

    let page = kim.get(&format!("{PORTAL}/company/settings")).await;

    let ways = "What people can choose: SMS, Authenticator app.";
    assert!(page.body.contains(ways), "{}", page.body);
}
