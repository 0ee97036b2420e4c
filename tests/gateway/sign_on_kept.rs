//! What is on its way to an application at the moment when it is found out that a password was changed
//! there: it waits until the new one was typed, and then arrives, once and byte for byte.

use http::Method;
use url::Url;

use crate::kept::{follow, is_offered, press, send};
use crate::sign_on::{Clinic, KIM, clinic, clinic_with};
use crate::visitor::{Answer, Visitor};

const UPLOAD: &str = "multipart/form-data; boundary=----part7";

/// A file of so many bytes, of which many are no text.
fn upload(length: u32) -> Vec<u8> {
    let mut body =
        b"------part7\r\nContent-Disposition: form-data; name=\"scan\"; filename=\"a.png\"\r\n\r\n"
            .to_vec();
    body.extend(
        (0..length).map(|number| u8::try_from(number.wrapping_mul(2_654_435_761) >> 24).unwrap()),
    );
    body.extend_from_slice(b"\r\n------part7--\r\n");
    body
}

/// What a browser does with a form, or a page's script: 307 brings the same once more (RFC 9110,
/// 15.4.8).
async fn sends(visitor: &mut Visitor, url: Url, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let origin = url.origin().ascii_serialization();
    let mut all = headers.to_vec();
    all.push(("origin", &origin));
    let mut url = url;
    for _ in 0..20 {
        let answer = send(visitor, Method::POST, url.clone(), &all, body.to_vec()).await;
        if answer.status != 307 {
            return answer;
        }
        url = url.join(answer.location()).unwrap();
    }
    panic!("{url} is repeated for ever");
}

async fn submits(visitor: &mut Visitor, path: &str, kind: &str, body: &[u8]) -> Answer {
    let mut headers = Visitor::NAVIGATION.to_vec();
    headers.push(("content-type", kind));
    let url = visitor.url("billing", path);
    sends(visitor, url, &headers, body).await
}

impl Clinic {
    /// Kim works in Billing, and the application changes the password and forgets everybody: nobody
    /// knows that yet.
    async fn kim_is_overtaken(&self) -> Visitor {
        let mut kim = self.signed_in("kim").await;
        kim.open(kim.url("billing", "/")).await;
        self.application.change_password(KIM, "new secret");
        self.application.forget();
        kim
    }

    fn arrived(&self, path: &str) -> Vec<Vec<u8>> {
        let all = self.application.asked().into_iter();
        let there = all.filter(|asked| asked.path == path && asked.method == "POST");
        there.map(|asked| asked.bytes).collect()
    }

    fn wrong_tries(&self) -> usize {
        let tries = self.application.tries();
        tries.iter().filter(|(_, right)| !right).count()
    }
}

async fn types_the_new_password(visitor: &mut Visitor, asked: &Answer) -> Answer {
    assert_eq!(
        asked.url.path(),
        "/connect/billing/password",
        "{}",
        asked.body
    );
    let given = [("username", KIM), ("password", "new secret")];
    visitor.submit(asked, &given).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_finds_the_password_changed_arrives_after_it_was_typed() {
    let form = b"amount=125.50&note=%C3%A9%0D%0A".to_vec();
    // What fits into the memory for repeating a request, and what does not.
    for (kind, body) in [
        ("application/x-www-form-urlencoded", form),
        (UPLOAD, upload(40_000)),
        (UPLOAD, upload(300_000)),
    ] {
        let clinic = clinic().await;
        let mut kim = clinic.kim_is_overtaken().await;
        let answer = submits(&mut kim, "/payments?from=list", kind, &body).await;
        let asked = follow(&mut kim, &answer).await;
        assert_eq!(clinic.wrong_tries(), 1, "into no lock-out");
        assert!(clinic.arrived("/payments").is_empty());
        let offered = types_the_new_password(&mut kim, &asked).await;
        assert!(is_offered(&offered), "{}: {}", offered.url, offered.body);
        let done = press(&mut kim, &offered).await;
        assert_eq!(done.status, 200, "{}", done.body);
        assert_eq!(clinic.arrived("/payments"), [body], "once, byte for byte");
        let again = press(&mut kim, &offered).await;
        assert_eq!(again.status, 410, "{}", again.body);
        assert_eq!(clinic.arrived("/payments").len(), 1);
        clinic.gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_sends_waits_as_well() {
    let clinic = clinic().await;
    let mut kim = clinic.kim_is_overtaken().await;
    let mut headers = Visitor::SCRIPT.to_vec();
    headers.push(("content-type", "application/json"));
    let url = kim.url("billing", "/claims");
    let answer = sends(&mut kim, url, &headers, b"{\"claim\":7}").await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert_eq!(answer.json()["reason"], "password_wanted");
    let page = answer.json()["login_url"].as_str().unwrap().to_owned();
    let asked = kim.open(page.parse().unwrap()).await;
    let offered = types_the_new_password(&mut kim, &asked).await;
    let done = press(&mut kim, &offered).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(clinic.arrived("/claims"), [b"{\"claim\":7}"]);
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_gets_what_waits_for_a_password() {
    let clinic = clinic().await;
    let mut kim = clinic.kim_is_overtaken().await;
    let kind = "application/x-www-form-urlencoded";
    let answer = submits(&mut kim, "/payments", kind, b"amount=7").await;
    let asked = follow(&mut kim, &answer).await;
    let offered = types_the_new_password(&mut kim, &asked).await;
    assert!(is_offered(&offered), "{}", offered.body);
    let mut lee = clinic.signed_in("lee").await;
    lee.open(lee.url("billing", "/")).await;
    let shown = lee.open(offered.url.clone()).await;
    assert!(!is_offered(&shown), "{}", shown.body);
    let pressed = press(&mut lee, &offered).await;
    assert_eq!(pressed.status, 410, "{}", pressed.body);
    assert!(clinic.arrived("/payments").is_empty());
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_basic_it_is_the_same() {
    let clinic = clinic_with("sign_on = { kind = \"basic\", inside = \"/basic\" }").await;
    let mut kim = clinic.kim_is_overtaken().await;
    let kind = "application/x-www-form-urlencoded";
    let answer = submits(&mut kim, "/basic", kind, b"amount=7").await;
    let asked = follow(&mut kim, &answer).await;
    let offered = types_the_new_password(&mut kim, &asked).await;
    let done = press(&mut kim, &offered).await;
    assert!(done.body.contains("Kim-Billing by basic"), "{}", done.body);
    assert_eq!(clinic.arrived("/basic"), [b"amount=7"]);
    clinic.gateway.stop().await;
}
