//! Signing in through a provider that others made: `oidc-provider` of npm.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use vestibule::config::providers::ProviderSettings;
use vestibule::config::settings::SecretText;
use vestibule::gate::name::CompanyId;
use vestibule::gate::policy::MfaMode;

use crate::browser::{Browser, Page};
use crate::clinic::{Clinic, EMR, Opening, PORTAL};

/// The other server, gone with the value.
struct Real {
    issuer: String,
    child: Child,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Real {
    fn start(people: Value) -> Real {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tool = Command::new(root.join("tools/oidc-provider")).output();
        let tool = tool.expect("tools/oidc-provider");
        assert!(
            tool.status.success(),
            "{}",
            String::from_utf8_lossy(&tool.stderr)
        );
        let modules = String::from_utf8(tool.stdout).unwrap();
        let told = json!({
            "client": {"id": "vestibule", "secret": "of the tests"},
            "redirect": format!("{PORTAL}/login/with/acme-id/back"),
            "after": format!("{PORTAL}/logout"),
            "people": people,
        });
        let mut child = Command::new("node")
            .arg(root.join("tests/oidc-provider/server.mjs"))
            .args([modules.trim(), &told.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("node");
        let mut port = String::new();
        // It prints the port when it serves; the line ends when it could not.
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut port);
        read.unwrap();
        let port: u16 = port.trim().parse().expect("the provider starts");
        Real {
            issuer: format!("http://127.0.0.1:{port}"),
            child,
        }
    }

    fn settings(&self) -> ProviderSettings {
        ProviderSettings {
            name: String::from("acme-id"),
            company: CompanyId::parse("acme").unwrap(),
            issuer: self.issuer.clone(),
            client_id: String::from("vestibule"),
            client_secret: Some(SecretText::new(String::from("of the tests"))),
            label: String::from("Acme"),
            scopes: ["openid", "profile", "email"].map(String::from).into(),
            link_by_email: true,
            believe_factor: true,
            button: true,
            only: false,
            domains: Vec::new(),
            max_age: None,
            deadline: Duration::from_secs(30),
            ca: None,
        }
    }
}

/// What a browser keeps of the provider, and how it gets through it.
struct There {
    client: reqwest::Client,
    jar: Mutex<HashMap<String, String>>,
}

impl There {
    fn new() -> There {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Node closes idle connections after five seconds, be the machine busy or not.
            .pool_max_idle_per_host(0)
            .build();
        There {
            client: client.unwrap(),
            jar: Mutex::default(),
        }
    }

    /// Follows the provider's redirects until one leads back to the portal.
    async fn through(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).unwrap();
        for _ in 0..12 {
            let cookies: Vec<String> = {
                let jar = self.jar.lock().unwrap();
                jar.iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect()
            };
            let answer = self
                .client
                .get(url.clone())
                .header("cookie", cookies.join("; "))
                .send()
                .await
                .unwrap();
            for cookie in answer.headers().get_all("set-cookie") {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                self.jar
                    .lock()
                    .unwrap()
                    .insert(name.to_owned(), value.to_owned());
            }
            let status = answer.status();
            let Some(location) = answer.headers().get("location").cloned() else {
                panic!("{url} answered {status}: {}", answer.text().await.unwrap());
            };
            url = url.join(location.to_str().unwrap()).unwrap();
            if url.as_str().starts_with(PORTAL) {
                return url.to_string();
            }
        }
        panic!("redirects without end at the provider");
    }
}

async fn clinic_of(real: &Real) -> Clinic {
    let clinic = Clinic::open_as(Opening {
        providers: vec![real.settings()],
        ..Opening::default()
    })
    .await;
    clinic.live_now();
    clinic
}

async fn sign_in(browser: &Browser<'_>, there: &There, url: &str) -> Page {
    // The other server looks at the machine's clock: ours follows before each leg of the way.
    browser.clinic.live_now();
    let form = browser.open(url).await;
    let leaving = browser
        .get(&format!("{PORTAL}{}", form.link("Continue with Acme")))
        .await;
    assert_eq!(leaving.status, 303, "{}", leaving.body);
    let back = there.through(leaving.location()).await;
    browser.clinic.live_now();
    browser.open(&back).await
}

#[tokio::test]
async fn somebody_signs_in_through_a_real_provider() {
    let real = Real::start(json!({
        "u1": {"amr": ["pwd", "mfa"], "claims": {"email": "kim@acme.test", "email_verified": true}},
        "u2": {"amr": ["pwd"], "claims": {"email": "lee@acme.test", "email_verified": true}},
        "u3": {"amr": ["pwd"], "claims": {"email": "lee@acme.test", "email_verified": false}},
    }));
    let clinic = clinic_of(&real).await;
    clinic.decide_mfa("acme", |mfa| mfa.mode = MfaMode::Required);
    let (browser, there) = (clinic.browser(), There::new());
    let page = sign_in(&browser, &there, &format!("{EMR}/")).await;
    assert_eq!(page.body, "EMR for kim by pwd,mfa in acme");

    // Who is signed in and comes again proves it anew there, though the provider remembers them.
    clinic.live_now();
    let again = browser.get(&format!("{PORTAL}/login/with/acme-id")).await;
    assert!(again.location().contains("prompt=login"));
    let back = there.through(again.location()).await;
    clinic.live_now();
    let page = browser.open(&back).await;
    assert_eq!(page.status, 200, "{}", page.body);

    // Without a second factor there, ours is asked for.
    let become_lee = There::new();
    become_lee
        .client
        .get(format!("{}/become/u2", real.issuer))
        .send()
        .await
        .unwrap();
    let browser = clinic.browser();
    let page = sign_in(&browser, &become_lee, &format!("{EMR}/")).await;
    assert!(
        page.url.contains("/login/enroll"),
        "{}: {}",
        page.url,
        page.body
    );

    // An address that the provider did not verify makes nobody somebody.
    let stranger = There::new();
    stranger
        .client
        .get(format!("{}/become/u3", real.issuer))
        .send()
        .await
        .unwrap();
    let page = sign_in(&clinic.browser(), &stranger, &format!("{EMR}/")).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body.contains("There is no place for you here yet"),
        "{}",
        page.body
    );
}
