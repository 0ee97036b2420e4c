//! Codes by text message and by mail.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use vestibule::directory::passwords::Hasher;
use vestibule::gate::name::PersonId;
use vestibule::gate::policy::FactorMethod;
use vestibule::gate::throttle::{
    Attempts, MESSAGES_FROM_ADDRESS, MESSAGES_TO_ONE, MESSAGES_TO_PERSON,
    MESSAGES_TO_PERSON_IN_ALL, factor_key,
};
use vestibule::gate::time::Moment;
use vestibule::messages::{EmailProvider, Hushed, Kept, Route, Settings, SmsProvider};

use crate::clinic::*;
use crate::redis_server::Redis;

const NUMBER: &str = "+15550100007";
const SECOND: Duration = Duration::from_secs(1);

fn pat() -> PersonId {
    PersonId::parse("pat").unwrap()
}

/// The six digits of a message.
pub fn code_in(kept: &Kept) -> String {
    find_code(kept).expect("a code")
}

fn find_code(kept: &Kept) -> Option<String> {
    kept.text
        .split(|c: char| !c.is_ascii_digit())
        .find(|digits| digits.len() == 6)
        .map(str::to_owned)
}

/// The messages with a code, the newest first. Other mails go out in the background, whenever.
fn codes(clinic: &Clinic) -> Vec<Kept> {
    let mut all = clinic.messages.outbox().all();
    all.retain(|kept| find_code(kept).is_some());
    all
}

/// The newest message with a code.
pub fn newest(clinic: &Clinic) -> Kept {
    codes(clinic).first().expect("a message").clone()
}

/// How many messages with a code there were.
pub fn sent(clinic: &Clinic) -> usize {
    codes(clinic).len()
}

/// Another code than this one.
pub fn wrong(code: &str) -> String {
    let last = code.chars().last().unwrap();
    format!("{}{}", &code[..5], if last == '0' { '1' } else { '0' })
}

/// The forms of a page, each with its hidden fields.
fn form_fields(page: &Page, to: &str) -> Vec<(String, String)> {
    let form = page
        .body
        .split("<form ")
        .find(|form| form.contains(&format!("name=\"to\" value=\"{to}\"")))
        .unwrap_or_else(|| panic!("no form to {to} in {}", page.body));
    let part = Page {
        url: page.url.clone(),
        status: 200,
        headers: http::HeaderMap::new(),
        body: format!("<form {form}"),
    };
    part.hidden()
}

/// Presses one of the buttons that send a code.
pub async fn ask(browser: &Browser<'_>, page: &Page, to: &str, typed: &str) -> Page {
    let mut fields = form_fields(page, to);
    if to == "typed" {
        fields.push((String::from("typed"), typed.to_owned()));
    }
    let url = format!("{PORTAL}{}", page.action());
    let answer = browser.post(&url, &fields).await;
    browser.follow(answer).await
}

/// Types a code on a page that waits for it.
pub async fn type_code(browser: &Browser<'_>, page: &Page, code: &str) -> Page {
    let mut fields: Vec<_> = page.hidden();
    fields.retain(|(name, _)| name != "do" && name != "to");
    fields.dedup();
    let mut seen = std::collections::HashSet::new();
    fields.retain(|(name, _)| seen.insert(name.clone()));
    fields.push((String::from("code"), code.to_owned()));
    browser
        .post(&format!("{PORTAL}{}", page.action()), &fields)
        .await
}

/// The page of a method, through "Try another method".
async fn choose(browser: &Browser<'_>, page: &Page, method: &str) -> Page {
    let list = browser
        .get(&format!("{PORTAL}{}", page.link("Try another method")))
        .await;
    let tile = list
        .body
        .split("<a class=\"tile\" ")
        .find(|tile| tile.contains(&format!("<b>{method}</b>")))
        .unwrap_or_else(|| panic!("no {method} in {}", list.body));
    let (_, rest) = tile.split_once("href=\"").unwrap();
    let href = rest.split('"').next().unwrap().replace("&#38;", "&");
    browser.get(&format!("{PORTAL}{href}")).await
}

/// Signed in once, with SMS to the number on file.
async fn enrolled(clinic: &Clinic) {
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    let page = choose(&browser, &page, "SMS").await;
    let page = ask(&browser, &page, "file", "").await;
    let answer = type_code(&browser, &page, &code_in(&newest(clinic))).await;
    let page = browser.follow(answer).await;
    assert_eq!(page.body, "EMR for pat by pwd,sms,mfa in texting");
    // Whoever knew the password may have been somebody else.
    crate::administration::told(clinic, "pat@texting.test", "A second factor was added").await;
}

/// At the code's page, with the code that went out.
async fn at_the_code<'a>(clinic: &'a Clinic) -> (Browser<'a>, Page, String) {
    let browser = clinic.browser();
    let before = sent(clinic);
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    assert_eq!(sent(clinic), before + 1, "{}", page.body);
    (browser, page, code_in(&newest(clinic)))
}

#[tokio::test]
async fn a_code_by_sms_from_the_first_sign_in_to_the_next() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/day"), "pat").await;
    assert!(
        page.body.contains("Trouble Scanning?"),
        "the app comes first"
    );
    let page = choose(&browser, &page, "SMS").await;
    assert!(
        page.body.contains("the number ending in 07"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("555010") && !page.body.contains("010-00"));
    assert_eq!(sent(&clinic), 0, "opening pages sends nothing");

    let page = ask(&browser, &page, "file", "").await;
    let message = newest(&clinic);
    assert_eq!((message.channel, message.to.as_str()), ("sms", NUMBER));
    let code = code_in(&message);
    assert!(
        message
            .text
            .starts_with("Clinic sign-in: your one-time code is ")
    );
    assert!(
        message.text.ends_with(&format!("@login.test #{code}")),
        "{}",
        message.text
    );
    for words in [
        "to the number ending in 07",
        ">One-time code</label>",
        ">Verify</button>",
        "autocomplete=\"one-time-code\"",
        "inputmode=\"numeric\"",
        "Another can be sent in 30 seconds",
    ] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
    assert!(!page.body.contains(&code));
    let refused = type_code(&browser, &page, &wrong(&code)).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("That code is not right"));
    let answer = type_code(&browser, &page, &code).await;
    let landed = browser.follow(answer).await;
    assert_eq!(
        (landed.url.as_str(), landed.body.as_str()),
        (
            "https://emr.test:8443/day",
            "EMR for pat by pwd,sms,mfa in texting"
        )
    );

    let (browser, page, next) = at_the_code(&clinic).await;
    assert!(
        page.body.contains("to the number ending in 07"),
        "at once: {}",
        page.body
    );
    let spaced = format!(" {} {}", &next[..3], &next[3..]);
    let answer = type_code(&browser, &page, &spaced).await;
    let landed = browser.follow(answer).await;
    assert_eq!(landed.body, "EMR for pat by pwd,sms,mfa in texting");
    assert_eq!(clinic.heard.count("message sms sent"), 2);
    assert_eq!(clinic.heard.count("message sms verified"), 2);
    assert_eq!(clinic.heard.count("factor sms ok"), 2);
}

#[tokio::test]
async fn a_typed_number_is_proved_and_must_be_of_an_allowed_country() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "quin").await;
    let page = choose(&browser, &page, "SMS").await;
    assert!(
        page.body.contains(">Mobile number</label>"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("value=\"file\""), "none is on file");
    for (typed, said) in [
        ("", "Type a mobile number"),
        ("12345", "Type a mobile number"),
        ("+44 20 7946 0958", "begin with +1 only"),
        ("<script>", "Type a mobile number"),
    ] {
        let answer = ask(&browser, &page, "typed", typed).await;
        assert_eq!(answer.status, 400, "{typed}");
        assert!(answer.body.contains(said), "{typed}: {}", answer.body);
        assert!(!answer.body.contains("<script>"));
    }
    assert_eq!(sent(&clinic), 0);
    let page = ask(&browser, &page, "typed", "(555) 010-0009").await;
    assert_eq!(newest(&clinic).to, "+15550100009");
    assert!(page.body.contains("the number ending in 09"));
    // To another, when the first was mistyped.
    let url = format!("{PORTAL}{}", page.link("Use another number"));
    let page = browser.get(&url).await;
    clinic.wait(31 * SECOND);
    let page = ask(&browser, &page, "typed", "+15550100010").await;
    let message = newest(&clinic);
    assert_eq!(message.to, "+15550100010");
    let answer = type_code(&browser, &page, &code_in(&message)).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
    let quin = PersonId::parse("quin").unwrap();
    let factors = clinic.directory.factors(&quin).await.unwrap();
    assert_eq!(factors.len(), 1);
    let secret = clinic
        .directory
        .factor_secret(&factors[0].id)
        .await
        .unwrap();
    assert_eq!(secret.unwrap().as_slice(), b"+15550100010");
}

#[tokio::test]
async fn a_code_by_mail_is_told_as_a_one_time_password() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    let page = choose(&browser, &page, "Email").await;
    assert!(page.body.contains("p•••@texting.test"), "{}", page.body);
    let page = ask(&browser, &page, "file", "").await;
    let message = newest(&clinic);
    assert_eq!(
        (message.channel, message.to.as_str()),
        ("email", "pat@texting.test")
    );
    assert!(
        !message.subject.contains(&code_in(&message)),
        "not where a locked phone shows it"
    );
    let answer = type_code(&browser, &page, &code_in(&message)).await;
    let landed = browser.follow(answer).await;
    assert_eq!(landed.body, "EMR for pat by pwd,otp,mfa in texting");
}

#[tokio::test]
async fn only_the_newest_code_works_and_the_wait_for_another_grows() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let (browser, page, first) = at_the_code(&clinic).await;
    let early = ask(&browser, &page, "again", "").await;
    assert_eq!((early.status, early.header("retry-after")), (429, "30"));
    assert!(
        early
            .body
            .contains("Another code can be sent in 30 seconds")
    );
    assert_eq!(sent(&clinic), 2);
    clinic.wait(30 * SECOND);
    let page = ask(&browser, &page, "again", "").await;
    assert_eq!(page.status, 200);
    let second = code_in(&newest(&clinic));
    clinic.wait(59 * SECOND);
    let early = ask(&browser, &page, "again", "").await;
    assert_eq!((early.status, early.header("retry-after")), (429, "1"));
    if first != second {
        assert_eq!(type_code(&browser, &page, &first).await.status, 403);
    }
    let answer = type_code(&browser, &page, &second).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
    // A right code ends the wait: the next sign-in gets one at once.
    at_the_code(&clinic).await;
}

#[tokio::test]
async fn a_code_lives_for_ten_minutes_and_five_tries() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let (browser, page, code) = at_the_code(&clinic).await;
    clinic.wait(10 * 60 * SECOND + SECOND);
    assert_eq!(
        type_code(&browser, &page, &code).await.status,
        403,
        "too late"
    );

    clinic.wait(HOUR);
    let (browser, page, code) = at_the_code(&clinic).await;
    for _ in 0..4 {
        assert_eq!(type_code(&browser, &page, &wrong(&code)).await.status, 403);
        clinic.wait(15 * SECOND);
    }
    let answer = type_code(&browser, &page, &wrong(&code)).await;
    assert!(answer.location().contains("reason=codes"));
    let answer = type_code(&browser, &page, &code).await;
    assert!(
        answer.location().starts_with("/login?"),
        "the sign-in is over"
    );
    assert_eq!(browser.cookie(PORTAL, "__Host-vestibule"), None);
}

#[tokio::test]
async fn of_many_who_bring_the_right_code_one_gets_in() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let (browser, page, code) = at_the_code(&clinic).await;
    let answers = join_all((0..5).map(|_| type_code(&browser, &page, &code))).await;
    let went_on = |answer: &&Page| {
        answer.set_cookies().iter().any(|c| {
            c.starts_with("__Host-vestibule=v")
                || (c.starts_with("__Host-vestibule=") && !c.contains("Max-Age=0"))
        })
    };
    assert_eq!(answers.iter().filter(went_on).count(), 1);
    assert_eq!(
        clinic.heard.count("message sms verified"),
        2,
        "enrolment and one"
    );
    // And never again, in an attempt of its own.
    clinic.wait(HOUR);
    let (thief, page, fresh) = at_the_code(&clinic).await;
    if fresh != code {
        assert_eq!(type_code(&thief, &page, &code).await.status, 403);
    }
}

#[tokio::test]
async fn a_code_works_once_on_two_nodes_together() {
    let redis = Redis::start();
    let here = Clinic::open_as(Opening {
        redis: Some(redis.url()),
        ..Opening::default()
    })
    .await;
    let there = here.twin().await;
    enrolled(&here).await;
    let (browser, page, code) = at_the_code(&here).await;
    // The same browser, whose requests reach both nodes.
    let beside = there.browser();
    let cookie = browser.cookie(PORTAL, "__Host-vestibule-login").unwrap();
    beside.set_cookie(PORTAL, "__Host-vestibule-login", &cookie);
    assert!(here.heard.count("message sms verified") == 1);
    // A wrong one there counts here, and so does a wait for the next.
    assert_eq!(type_code(&beside, &page, &wrong(&code)).await.status, 403);
    let early = ask(&beside, &page, "again", "").await;
    assert_eq!((early.status, early.header("retry-after")), (429, "30"));
    let mut waiting = Vec::new();
    for at in 0..4 {
        let at = if at % 2 == 0 { &browser } else { &beside };
        waiting.push(type_code(at, &page, &code));
    }
    join_all(waiting).await;
    assert_eq!(
        here.heard.count("message sms verified"),
        2,
        "enrolment and one"
    );
    let inside = [&browser, &beside]
        .iter()
        .filter(|browser| browser.cookie(PORTAL, "__Host-vestibule").is_some())
        .count();
    assert_eq!(inside, 1);
}

#[tokio::test]
async fn a_code_belongs_to_the_sign_in_that_asked_for_it() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let (browser, page, code) = at_the_code(&clinic).await;
    // Somebody else with the password, at the same time: no second message within the wait.
    let thief = clinic.browser();
    let other = thief.log_in(&format!("{EMR}/"), "pat").await;
    assert_eq!(sent(&clinic), 2);
    assert!(
        other.body.contains("Get a code by text message"),
        "{}",
        other.body
    );
    let fields = vec![
        (String::from("method"), String::from("sms")),
        (String::from("code"), code.clone()),
        other
            .hidden()
            .into_iter()
            .find(|(name, _)| name == "csrf")
            .unwrap(),
    ];
    let answer = thief.post(&format!("{PORTAL}/login/factor"), &fields).await;
    assert_eq!(answer.status, 403);
    assert_eq!(thief.cookie(PORTAL, "__Host-vestibule"), None);
    // The owner's is none the worse for it.
    let answer = type_code(&browser, &page, &code).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
}

#[tokio::test]
async fn who_starts_again_in_the_same_browser_can_use_the_code_that_came() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let (browser, page, code) = at_the_code(&clinic).await;
    let form = browser
        .open(&format!("{PORTAL}{}", page.link("Start again")))
        .await;
    let answer = browser.submit_login(&form, "pat", PASSWORD).await;
    let page = browser.follow(answer).await;
    assert!(
        page.body.contains("the number ending in 07"),
        "{}",
        page.body
    );
    assert_eq!(sent(&clinic), 2, "no further message");
    let answer = type_code(&browser, &page, &code).await;
    assert_eq!(browser.follow(answer).await.status, 200);
}

/// Makes one of the counts stand so high.
async fn counted(clinic: &Clinic, kind: &str, parts: &[&str], failures: u32) {
    let hash = digest(&SHA256, parts.join("\0").as_bytes());
    let name = format!("throttle:{kind}:{}", URL_SAFE_NO_PAD.encode(hash));
    let store = clinic.sessions.store();
    let before = store.state(&name, clinic.now()).await.unwrap();
    let so_many = Attempts {
        failures,
        last_at: clinic.now(),
        window_started_at: clinic.now(),
    };
    let written = so_many.to_json();
    let swapped = store
        .swap_state(
            &name,
            before.as_deref(),
            Some(&written),
            24 * HOUR,
            clinic.now(),
        )
        .await;
    assert!(swapped.unwrap());
}

/// How many wrong codes of this factor count.
pub async fn wrong_codes(clinic: &Clinic, person: &str, method: FactorMethod) -> Option<u32> {
    let name = factor_key(&PersonId::parse(person).unwrap(), method);
    let written = clinic.sessions.store().state(&name, clinic.now()).await;
    let counted = Attempts::from_json(&written.unwrap()?).unwrap();
    Some(counted.failures)
}

/// As a hundred wrong codes in a row do.
pub async fn lock(clinic: &Clinic, person: &str, method: FactorMethod) {
    let name = factor_key(&PersonId::parse(person).unwrap(), method);
    let store = clinic.sessions.store();
    let before = store.state(&name, clinic.now()).await.unwrap();
    let all = Attempts {
        failures: 100,
        last_at: clinic.now(),
        window_started_at: clinic.now(),
    };
    let written = all.to_json();
    let swapped = store
        .swap_state(
            &name,
            before.as_deref(),
            Some(&written),
            24 * HOUR,
            clinic.now(),
        )
        .await;
    assert!(swapped.unwrap());
    assert_eq!(wrong_codes(clinic, person, method).await, Some(100));
}

/// Signs in with the code that is sent at once.
async fn signs_in(clinic: &Clinic) {
    let (browser, page, code) = at_the_code(clinic).await;
    let answer = type_code(&browser, &page, &code).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
}

#[tokio::test]
async fn one_number_one_person_and_one_company_get_so_many_a_day() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    // None of them comes back.
    for _ in 0..20 {
        at_the_code(&clinic).await;
        clinic.wait(HOUR);
    }
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    assert_eq!(sent(&clinic), 21, "no further message to this number today");
    assert!(
        page.body.contains("Get a code by text message"),
        "{}",
        page.body
    );
    let url = format!("{PORTAL}/login/factor");
    let answer = browser.post(&url, &form_fields(&page, "file")).await;
    assert_eq!(answer.status, 429);
    assert!(answer.body.contains("4 hours"), "{}", answer.body);
    assert_eq!(sent(&clinic), 21);
    clinic.wait(4 * HOUR);
    at_the_code(&clinic).await;

    // One person's, to whatever place and by whatever method.
    clinic.wait(24 * HOUR);
    counted(
        &clinic,
        "messages-person",
        &["pat"],
        MESSAGES_TO_PERSON.most - 1,
    )
    .await;
    at_the_code(&clinic).await;
    clinic.wait(HOUR);
    let before = sent(&clinic);
    clinic.browser().log_in(&format!("{EMR}/"), "pat").await;
    assert_eq!(sent(&clinic), before, "no further message to this person");
    clinic.wait(23 * HOUR);
    at_the_code(&clinic).await;

    // A company's own cap, shared by its people.
    clinic.decide_mfa("texting", |mfa| mfa.messages.per_day = 2);
    for (number, status) in [("+15550100020", 200), ("+15550100021", 429)] {
        let quin = clinic.browser();
        let page = quin.log_in(&format!("{EMR}/"), "quin").await;
        let page = choose(&quin, &page, "SMS").await;
        let answer = ask(&quin, &page, "typed", number).await;
        assert_eq!(answer.status, status, "{number}: {}", answer.body);
        clinic.wait(40 * SECOND);
    }
}

#[tokio::test]
async fn a_message_whose_code_came_back_counts_for_nobody() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    // One is left to each of them, for the whole day.
    for (kind, parts, most) in [
        ("messages", vec!["to", NUMBER], MESSAGES_TO_ONE.most),
        ("messages-person", vec!["pat"], MESSAGES_TO_PERSON.most),
        ("messages-company", vec!["texting"], 2000),
    ] {
        counted(&clinic, kind, &parts, most - 1).await;
    }
    for _ in 0..3 {
        signs_in(&clinic).await;
    }
    let (..) = at_the_code(&clinic).await;
    clinic.wait(HOUR);
    let before = sent(&clinic);
    let browser = clinic.browser();
    browser.log_in(&format!("{EMR}/"), "pat").await;
    assert_eq!(sent(&clinic), before, "that one did not come back");

    // Whoever earns on a number types its codes as well.
    clinic.wait(24 * HOUR);
    let most = MESSAGES_TO_PERSON_IN_ALL.most;
    counted(&clinic, "messages-person-all", &["pat"], most - 1).await;
    signs_in(&clinic).await;
    let before = sent(&clinic);
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    assert_eq!(sent(&clinic), before);
    assert!(page.body.contains("Get a code by text message"));
}

#[tokio::test]
async fn a_strangers_typing_takes_no_message_from_the_owner() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    // Quin, a colleague, types Pat's number, and just now for the last time that it gets one so.
    let most = MESSAGES_TO_ONE.most;
    counted(&clinic, "messages", &["typed", "to", NUMBER], most - 1).await;
    let quin = clinic.browser();
    let page = quin.log_in(&format!("{EMR}/"), "quin").await;
    let page = choose(&quin, &page, "SMS").await;
    let before = sent(&clinic);
    let page = ask(&quin, &page, "typed", NUMBER).await;
    assert_eq!((page.status, sent(&clinic)), (200, before + 1));
    assert_eq!(newest(&clinic).to, NUMBER);
    // Pat waits for nothing and gets all of theirs.
    signs_in(&clinic).await;
    signs_in(&clinic).await;
    // Nobody else can have it texted today either: Max's company offers the same.
    clinic.decide_mfa("strict", |mfa| {
        mfa.methods = vec![FactorMethod::Totp, FactorMethod::Sms];
    });
    clinic.wait(HOUR);
    let max = clinic.browser();
    let page = max.log_in(&format!("{EMR}/"), "max").await;
    let page = choose(&max, &page, "SMS").await;
    let before = sent(&clinic);
    let refused = ask(&max, &page, "typed", "+1 (555) 010-0007").await;
    assert_eq!((refused.status, sent(&clinic)), (429, before));
    signs_in(&clinic).await;
}

#[tokio::test]
async fn notices_are_not_counted_as_codes() {
    let clinic = Clinic::open().await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    let page = choose(&browser, &page, "Email").await;
    let page = ask(&browser, &page, "file", "").await;
    let answer = type_code(&browser, &page, &code_in(&newest(&clinic))).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
    // One mail with the code, and one that says that a factor was added.
    let told = "A second factor was added";
    let letters = crate::administration::letters(&clinic, "pat@texting.test", told).await;
    assert_eq!(letters, 1);
    for (result, count) in [("sent", 1), ("verified", 1), ("notice", 1)] {
        let line = format!("message email {result}");
        assert_eq!(clinic.heard.count(&line), count, "{line}");
    }
}

#[tokio::test]
async fn another_method_is_another_with_sms_first() {
    let clinic = Clinic::open().await;
    clinic.decide_mfa("texting", |mfa| {
        mfa.methods = vec![FactorMethod::Totp, FactorMethod::Email, FactorMethod::Sms];
    });
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    for (left, others) in [
        ("Authenticator app", ["SMS", "Email"]),
        ("SMS", ["Authenticator app", "Email"]),
        ("Email", ["SMS", "Authenticator app"]),
    ] {
        let page = match left {
            "Authenticator app" => browser.open(&page.url).await,
            left => choose(&browser, &page, left).await,
        };
        let list = browser
            .get(&format!("{PORTAL}{}", page.link("Try another method")))
            .await;
        let tiles: Vec<&str> = list
            .body
            .split("<a class=\"tile\" ")
            .skip(1)
            .map(|tile| {
                let (_, name) = tile.split_once("<b>").unwrap();
                name.split('<').next().unwrap()
            })
            .collect();
        assert_eq!(tiles, others, "from {left}");
        let back = list.link(&format!("Back to: {left}"));
        let again = browser.get(&format!("{PORTAL}{back}")).await;
        assert_eq!(again.plain(), page.plain(), "{left}");
    }
}

#[tokio::test]
async fn one_address_gets_so_many_an_hour() {
    const CROWDED: [u8; 4] = [198, 51, 100, 77];
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let hash = digest(&SHA256, b"198.51.100.77");
    let name = format!("throttle:messages-address:{}", URL_SAFE_NO_PAD.encode(hash));
    let before = sent(&clinic);
    let log_in = async |address| {
        let browser = clinic.browser_at(address);
        browser.log_in(&format!("{EMR}/"), "pat").await;
        clinic.wait(HOUR / 6);
    };
    log_in(CROWDED).await;
    assert_eq!(sent(&clinic), before + 1);

    // Its neighbours in the clinic asked for all the others.
    let store = clinic.sessions.store();
    let counted = store.state(&name, clinic.now()).await.unwrap().unwrap();
    let one = Attempts::from_json(&counted).unwrap();
    assert_eq!(one.failures, 1);
    let all = Attempts {
        failures: MESSAGES_FROM_ADDRESS.most,
        ..one
    };
    let swapped = store
        .swap_state(
            &name,
            Some(&counted),
            Some(&all.to_json()),
            HOUR,
            clinic.now(),
        )
        .await;
    assert!(swapped.unwrap());
    log_in(CROWDED).await;
    assert_eq!(sent(&clinic), before + 1, "no further one from here");
    log_in([198, 51, 100, 78]).await;
    assert_eq!(sent(&clinic), before + 2, "but from elsewhere");
    clinic.wait(HOUR);
    log_in(CROWDED).await;
    assert_eq!(sent(&clinic), before + 3, "and an hour later");
}

#[tokio::test]
async fn a_lock_on_one_factor_leaves_the_other_and_is_mailed_to_the_owner() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let key = b"12345678901234567890";
    clinic
        .directory
        .add_totp(&pat(), key, 0, Moment::EPOCH)
        .await
        .unwrap()
        .unwrap();
    // Ninety-eight wrong ones in a row, over weeks.
    let before = Attempts {
        failures: 98,
        last_at: Moment::EPOCH,
        window_started_at: Moment::EPOCH,
    };
    let store = clinic.sessions.store();
    let name = factor_key(&pat(), FactorMethod::Sms);
    let kept = before.to_json();
    assert!(
        store
            .swap_state(&name, None, Some(&kept), HOUR, clinic.now())
            .await
            .unwrap()
    );

    let (browser, page, code) = at_the_code(&clinic).await;
    assert_eq!(type_code(&browser, &page, &wrong(&code)).await.status, 403);
    clinic.wait(15 * 60 * SECOND);
    clinic.wait(HOUR);
    let (browser, page, code) = at_the_code(&clinic).await;
    assert_eq!(
        type_code(&browser, &page, &wrong(&code)).await.status,
        403,
        "the hundredth"
    );
    clinic.wait(60 * SECOND);
    // Nothing opens it any more, from nowhere; no message says so twice.
    for _ in 0..2 {
        let answer = type_code(&browser, &page, &code).await;
        assert_eq!(answer.status, 429);
        assert!(
            answer.body.contains("Try another method"),
            "{}",
            answer.body
        );
    }
    crate::administration::told(&clinic, "pat@texting.test", "locked").await;
    let mails: Vec<Kept> = clinic
        .messages
        .outbox()
        .all()
        .into_iter()
        .filter(|kept| kept.subject.contains("locked"))
        .collect();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, "pat@texting.test");
    let lines = clinic.heard.lines.lock().unwrap().clone();
    let locked: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("\"factor_locked\""))
        .collect();
    assert_eq!(locked.len(), 1, "{locked:?}");
    assert!(locked[0].contains("person: Some(pat)") && locked[0].contains("detail: \"sms\""));

    // Whoever has the password gets no code that opens nothing, neither with it nor on asking.
    clinic.wait(HOUR);
    let before = sent(&clinic);
    let again = clinic.browser();
    let asks = again.log_in(&format!("{EMR}/"), "pat").await;
    assert!(asks.body.contains("Get a code by text message"));
    let refused = ask(&again, &asks, "file", "").await;
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("Try another method"));
    assert_eq!(sent(&clinic), before);

    let page = choose(&again, &asks, "Authenticator app").await;
    let typed = totp_rs::Secret::from(key.as_slice()).to_base32();
    let answer = again
        .submit(
            &page,
            &[("code", &crate::clinic::code(&typed, clinic.now()))],
        )
        .await;
    let landed = again.follow(answer).await;
    assert_eq!(landed.body, "EMR for pat by pwd,otp,mfa in texting");

    // A reset forgets it.
    clinic.sessions.forget_wrong_codes(&pat()).await.unwrap();
    clinic.directory.remove_factors(&pat()).await.unwrap();
    clinic.wait(24 * HOUR);
    enrolled(&clinic).await;
}

#[tokio::test]
async fn opening_pages_sends_nothing() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let (browser, ..) = at_the_code(&clinic).await;
    let before = sent(&clinic);
    clinic.wait(60 * SECOND);
    for query in [
        "",
        "?method=sms",
        "?method=sms&do=send&to=again",
        "?method=email&do=send&to=file",
        "?do=send&method=sms&to=typed&typed=5550100009",
    ] {
        browser.get(&format!("{PORTAL}/login/factor{query}")).await;
        browser.get(&format!("{PORTAL}/login/enroll{query}")).await;
    }
    // A form without its token, or from elsewhere, neither.
    let fields = vec![
        (String::from("do"), String::from("send")),
        (String::from("method"), String::from("sms")),
        (String::from("to"), String::from("again")),
    ];
    browser
        .post(&format!("{PORTAL}/login/factor"), &fields)
        .await;
    assert_eq!(sent(&clinic), before);
}

#[tokio::test]
async fn at_a_challenge_a_code_goes_to_the_factors_number_and_no_other() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let (browser, page, _) = at_the_code(&clinic).await;
    clinic.wait(60 * SECOND);
    let mut fields = form_fields(&page, "again");
    fields.retain(|(name, _)| name != "to");
    fields.push((String::from("to"), String::from("typed")));
    fields.push((String::from("typed"), String::from("+15550199999")));
    let answer = browser
        .post(&format!("{PORTAL}/login/factor"), &fields)
        .await;
    assert_eq!(answer.status, 303);
    assert!(codes(&clinic).iter().all(|kept| kept.to == NUMBER));
    // Nor by a method that was never set up.
    fields.retain(|(name, _)| name != "method");
    fields.push((String::from("method"), String::from("email")));
    let answer = browser
        .post(&format!("{PORTAL}/login/factor"), &fields)
        .await;
    assert_eq!(answer.status, 303);
    assert!(codes(&clinic).iter().all(|kept| kept.channel == "sms"));
}

#[tokio::test]
async fn whoever_has_the_password_alone_adds_no_factor_beside_the_owners() {
    let clinic = Clinic::open().await;
    let thief = clinic.browser();
    let page = thief.log_in(&format!("{EMR}/"), "pat").await;
    let page = choose(&thief, &page, "SMS").await;
    let page = ask(&thief, &page, "typed", "+15550199999").await;
    let stolen = code_in(&newest(&clinic));
    clinic.wait(60 * SECOND);
    enrolled(&clinic).await;
    // The owner's newer code made the thief's worthless; and were it not so, there is a factor now.
    let answer = type_code(&thief, &page, &stolen).await;
    assert_ne!(answer.status, 200);
    assert_eq!(thief.cookie(PORTAL, "__Host-vestibule"), None);
    let factors = clinic.directory.factors(&pat()).await.unwrap();
    assert_eq!(factors.len(), 1);
    let secret = clinic
        .directory
        .factor_secret(&factors[0].id)
        .await
        .unwrap();
    assert_eq!(secret.unwrap().as_slice(), NUMBER.as_bytes());
}

/// Nobody listens there.
fn nowhere() -> SmsProvider {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/send", closed.local_addr().unwrap());
    SmsProvider::Http {
        url: Hushed::new(&url),
        token: None,
    }
}

#[tokio::test]
async fn a_message_that_can_not_be_sent_is_said_so_and_the_other_methods_stay() {
    let settings = Settings {
        sms: Some(Route {
            first: nowhere(),
            second: None,
            deadline: Duration::from_secs(5),
        }),
        ..outbox_settings()
    };
    let clinic = Clinic::open_as(Opening {
        messages: settings,
        ..Opening::default()
    })
    .await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    let page = choose(&browser, &page, "SMS").await;
    let page = ask(&browser, &page, "file", "").await;
    assert!(
        page.body.contains("could not be sent just now"),
        "{}",
        page.body
    );
    assert_eq!(clinic.heard.count("message sms failed"), 1);
    let page = choose(&browser, &page, "Email").await;
    let page = ask(&browser, &page, "file", "").await;
    let answer = type_code(&browser, &page, &code_in(&newest(&clinic))).await;
    assert_eq!(browser.follow(answer).await.url, format!("{EMR}/"));
}

#[tokio::test]
async fn without_a_provider_a_method_is_not_offered() {
    let clinic = Clinic::open_as(Opening {
        hasher: Hasher::new(),
        messages: Settings::default(),
        redis: None,
        ..Opening::default()
    })
    .await;
    let browser = clinic.browser();
    let page = browser.log_in(&format!("{EMR}/"), "pat").await;
    let list = browser
        .get(&format!("{PORTAL}{}", page.link("Try another method")))
        .await;
    assert!(list.body.contains("Authenticator app"));
    assert!(!list.body.contains("SMS") && !list.body.contains("<b>Email"));
    // Who has it all the same is told, and let in by nothing else.
    clinic
        .directory
        .add_first_factor(
            &pat(),
            FactorMethod::Sms,
            NUMBER.as_bytes(),
            0,
            clinic.now(),
        )
        .await
        .unwrap();
    let page = clinic.browser().log_in(&format!("{EMR}/"), "pat").await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("ask your user manager"), "{}", page.body);
}

#[tokio::test]
async fn what_is_told_names_neither_code_nor_number() {
    let clinic = Clinic::open().await;
    enrolled(&clinic).await;
    let (browser, page, code) = at_the_code(&clinic).await;
    type_code(&browser, &page, &wrong(&code)).await;
    type_code(&browser, &page, &code).await;
    let lines = clinic.heard.lines.lock().unwrap().join("\n");
    for secret in [code.as_str(), NUMBER, "5550100007", "010-0007"] {
        assert!(!lines.contains(secret), "{lines}");
    }
    for told in [
        "factor_added",
        "code_sent",
        "sms sent",
        "sms ok",
        "sms refused",
    ] {
        assert!(lines.contains(told), "{told} in {lines}");
    }
    let debug = format!("{:?} {:?}", clinic.messages, clinic.messages.outbox().all());
    assert!(
        !debug.contains(&code) && !debug.contains("0100007"),
        "{debug}"
    );
    let _ = EmailProvider::Outbox;
}
