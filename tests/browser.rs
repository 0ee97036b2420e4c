//! The demo in a real browser: what a newcomer does after typing `vestibule demo`.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "browser/administration.rs"]
mod administration;
#[path = "browser/languages.rs"]
mod languages;
#[path = "browser/seeds.rs"]
mod seeds;
#[path = "browser/single_sign_on.rs"]
mod single_sign_on;
mod support;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use support::browser::Browser;
use tempfile::TempDir;
use vestibule::demo;

const STEP: u64 = 30;

/// `vestibule demo` on free ports, ended with the value.
struct Demo {
    process: Child,
    port: u16,
    /// Where the messages are shown that were "sent": host and port.
    outbox: String,
    folder: TempDir,
}

impl Demo {
    fn start() -> Demo {
        // Ports that were free a moment ago may be taken by now: then others.
        (0..5)
            .find_map(|_| Demo::try_start())
            .expect("the demo starts")
    }

    fn try_start() -> Option<Demo> {
        let folder = tempfile::tempdir().unwrap();
        let sockets = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, http, admin] = sockets
            .each_ref()
            .map(|socket| socket.local_addr().unwrap().port());
        drop(sockets);
        let mut process = Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .args(["demo", "--port", &port.to_string()])
            .args([
                "--http-port",
                &http.to_string(),
                "--admin-port",
                &admin.to_string(),
            ])
            .args(["--outbox-port", "0", "--provider-port", "0"])
            .arg("--data-dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut outbox = String::new();
        // It says how to end it last of all.
        let ready = said.lines().map_while(Result::ok).any(|line| {
            if let Some(rest) = line.trim().strip_prefix("Messages    http://") {
                outbox = rest.split('/').next().unwrap_or_default().to_owned();
            }
            line.starts_with("Ctrl-C")
        });
        if !ready {
            let _ = process.kill();
            let _ = process.wait();
            return None;
        }
        Some(Demo {
            process,
            port,
            outbox,
            folder,
        })
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}.localhost:{}{path}", self.port)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The time step in which a phone's code belongs now.
fn step() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        / STEP
}

/// The code that an authenticator shows for the key in that step.
fn code(key: &str, step: u64) -> String {
    let key = totp_rs::Secret::try_from_base32(key.replace(' ', "")).unwrap();
    let totp = totp_rs::Builder::new()
        .with_algorithm(totp_rs::Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(STEP)
        .with_secret(key)
        .build()
        .unwrap();
    totp.generate(step * STEP).to_string()
}

async fn log_in(browser: &Browser, login: &str) {
    let account = demo::people()
        .into_iter()
        .find(|p| p.product == "emr" && p.login == login)
        .unwrap();
    browser.fill("Username", login).await;
    browser.fill("Password", account.password).await;
    browser.press("Log in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lee_sets_up_an_authenticator_and_logs_in_with_it_again() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start().await;
    browser.open(&demo.url("emr", "/patients?q=a")).await;
    browser
        .wait_for_address(&demo.url("login", "/login?"))
        .await;
    browser.wait_for_words("Log in to EMR").await;
    browser.screenshot("sign-in").await;
    log_in(&browser, "lee").await;

    browser
        .wait_for_words("Set up your authenticator app")
        .await;
    browser
        .wait_for("//*[@aria-label='QR code for your authenticator app']//*[local-name()='svg']")
        .await;
    browser.screenshot("first-factor").await;
    browser.press("Trouble Scanning?").await;
    let key = browser
        .wait_for("//*[@id='key']//code")
        .await
        .text()
        .await
        .unwrap();
    browser.screenshot("first-factor-key").await;
    let used = step();
    browser.fill("One-time code", &code(&key, used)).await;
    browser.press("Verify").await;
    browser
        .wait_for_address(&demo.url("emr", "/patients?q=a"))
        .await;
    browser.wait_for_words("Lee Chen").await;
    browser.screenshot("emr").await;

    browser.open(&demo.url("login", "/logout")).await;
    browser.screenshot("sign-out").await;
    let button = browser
        .wait_for("//main//button[normalize-space()='Sign out']")
        .await;
    button.click().await.unwrap();
    browser.wait_for_words("You are signed out").await;
    browser.screenshot("signed-out").await;
    browser.open(&demo.url("emr", "/")).await;
    browser
        .wait_for_address(&demo.url("login", "/login?"))
        .await;

    log_in(&browser, "lee").await;
    browser.wait_for_words("Enter your code").await;
    browser.screenshot("challenge").await;
    // The code of the set-up was used once and is good no more; the next step's is, a little early.
    browser.fill("One-time code", &code(&key, used)).await;
    browser.press("Verify").await;
    browser.wait_for_words("That code is not right").await;
    browser.screenshot("challenge-wrong").await;
    browser.fill("One-time code", &code(&key, used + 1)).await;
    browser.press("Verify").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
    browser.wait_for_words("Lee Chen").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kim_goes_through_all_three_applications_without_typing_again() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start().await;
    browser.open(&demo.url("emr", "/")).await;
    log_in(&browser, "kim").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
    // The page's own scripts run: it polls, hears events, and its websocket ticks.
    for (id, came_with) in [
        ("poll", "asking"),
        ("socket", "dialling"),
        ("events", "waiting"),
    ] {
        browser
            .wait_for(&format!(
                "//*[@id='{id}' and normalize-space()!='{came_with}']"
            ))
            .await;
    }
    let words = browser.words().await;
    assert!(words.contains("heart rate reading"), "{words}");
    assert!(
        !words.contains("no news") && !words.contains("line closed"),
        "{words}"
    );
    let ticked = async || {
        browser
            .wait_for("//*[@id='socket']")
            .await
            .text()
            .await
            .unwrap()
    };
    let before = ticked().await;
    browser
        .wait_for(&format!(
            "//*[@id='socket' and normalize-space()!='{before}']"
        ))
        .await;
    browser.screenshot("emr-live").await;

    browser.press("Billing").await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    browser.wait_for_words("Kim Doe").await;
    browser.screenshot("billing").await;
    browser.press("Analytics").await;
    browser.wait_for_address(&demo.url("analytics", "/")).await;
    browser.wait_for("//*[@id='chart']").await;
    browser.screenshot("analytics").await;

    browser.open(&demo.url("login", "/apps")).await;
    browser.screenshot("apps").await;
    browser.open(&demo.url("login", "/account")).await;
    browser.screenshot("account").await;
    browser.open(&demo.url("login", "/company/settings")).await;
    browser.wait_for_words("Multi-factor Authentication").await;
    browser.screenshot("company-settings").await;

    // Out of one is out of all.
    browser.open(&demo.url("emr", "/")).await;
    browser.press("Log out").await;
    browser.wait_for_address(&demo.url("login", "/")).await;
    browser.open(&demo.url("billing", "/")).await;
    browser
        .wait_for_address(&demo.url("login", "/login?"))
        .await;
}

/// What comes after a first factor, where the company has recovery codes.
async fn pass_recovery_codes(browser: &Browser) {
    browser.wait_for_words("Your recovery codes").await;
    browser.press("I have kept them, go on").await;
}

/// Signs out in another window.
async fn sign_out_elsewhere(browser: &Browser, demo: &Demo) {
    let here = browser.client.window().await.unwrap();
    let there = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(there).await.unwrap();
    browser.open(&demo.url("login", "/logout")).await;
    let button = browser
        .wait_for("//main//button[normalize-space()='Sign out']")
        .await;
    button.click().await.unwrap();
    browser.wait_for_words("You are signed out").await;
    browser.client.close_window().await.unwrap();
    browser.client.switch_to_window(here).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_and_an_upload_survive_the_end_of_the_sign_in() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start().await;
    browser.open(&demo.url("emr", "/patients?q=a")).await;
    log_in(&browser, "kim").await;
    browser.press("Aoife O'Connell").await;
    browser
        .fill("New note", "Walked <b>120 m</b> & rested")
        .await;
    sign_out_elsewhere(&browser, &demo).await;
    browser.press("Save note").await;
    browser
        .wait_for_address(&demo.url("login", "/login?"))
        .await;
    browser.wait_for_words("Your form is safe").await;
    browser.screenshot("kept-sign-in").await;
    log_in(&browser, "kim").await;
    browser
        .wait_for_words("Your form is safe. Send it now?")
        .await;
    browser.screenshot("kept-form").await;
    browser.press("Send it now").await;
    browser
        .wait_for_words("Kim Doe: Walked <b>120 m</b> & rested")
        .await;
    browser
        .wait_for_address(&demo.url("emr", "/patients/"))
        .await;

    let scan = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scan.path(), b"abc").unwrap();
    browser.press("Documents").await;
    browser
        .fill("Scanned document", scan.path().to_str().unwrap())
        .await;
    sign_out_elsewhere(&browser, &demo).await;
    browser.press("Upload").await;
    browser.wait_for_words("Your form is safe").await;
    log_in(&browser, "kim").await;
    browser.press("Send it now").await;
    browser
        .wait_for_words("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        .await;
}

/// What a script says about the bar's shadow tree, as text.
async fn in_the_bar(browser: &Browser, script: &str) -> String {
    let script = format!(
        "const bar = document.querySelector('vestibule-bar'); \
         if (!bar) {{ return ''; }} const tree = bar.shadowRoot; {script}"
    );
    let said = browser.client.execute(&script, vec![]).await.unwrap();
    said.as_str().unwrap_or_default().to_owned()
}

const WARNING: &str = "const box = tree.querySelector('.warning'); \
    return box.hidden ? 'none' : tree.querySelector('#what').textContent;";

/// What axe-core finds wrong with the bar, which must be there.
async fn bar_can_be_used(browser: &Browser, when: &str) {
    browser.wait_for("//vestibule-bar").await;
    let violations = browser.violations_in("vestibule-bar").await;
    assert!(violations.is_empty(), "{when}: {}", violations.join("\n"));
}

/// Waits for the warning to say this; it comes with time, so that this has more patience.
async fn wait_for_warning(browser: &Browser, words: &str) {
    for _ in 0..300 {
        if in_the_bar(browser, WARNING).await.contains(words) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!(
        "the bar says {:?}, not {words:?}",
        in_the_bar(browser, WARNING).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bar_switches_and_warns_before_an_idle_end() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let policy = demo.folder.path().join("policies/acme-rehab.toml");
    let text = std::fs::read_to_string(&policy).unwrap();
    assert!(text.contains("idle = \"2h\""), "{text}");
    let text = text.replace(
        "idle = \"2h\"",
        "idle = \"15s\"\n[products.emr]\nidle = \"125s\"",
    );
    std::fs::write(&policy, text).unwrap();

    let browser = Browser::start().await;
    browser.open(&demo.url("emr", "/")).await;
    log_in(&browser, "kim").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
    browser.wait_for("//vestibule-bar").await;
    let links = "return [...tree.querySelectorAll('nav a')].map(link => link.textContent).join();";
    assert_eq!(
        in_the_bar(&browser, links).await,
        "EMR,Billing,Analytics,Company Settings,User Manager,Kim Doe"
    );
    bar_can_be_used(&browser, "at rest").await;
    let in_body = "return String(document.body.contains(bar));";
    assert_eq!(in_the_bar(&browser, in_body).await, "false");
    browser.screenshot("bar").await;

    // The page polls all the while, and that is no activity.
    wait_for_warning(&browser, "EMR closes in").await;
    let shown = "return [...tree.querySelectorAll('.warning button, .warning a')] \
        .filter(part => part.checkVisibility()).map(part => part.textContent).join();";
    assert_eq!(in_the_bar(&browser, shown).await, "Stay signed in");
    // Read out: a live region that was there before it spoke, and that nothing hides.
    let said = "const said = tree.querySelector('[aria-live]'); \
        return said.checkVisibility() && !said.closest('[hidden]') ? said.textContent : 'hidden';";
    let heard = in_the_bar(&browser, said).await;
    assert!(heard.contains("EMR closes in"), "{heard}");
    bar_can_be_used(&browser, "warning").await;
    browser.screenshot("bar-warning").await;
    let stay = "tree.querySelector('.warning button').click(); return '';";
    in_the_bar(&browser, stay).await;
    wait_for_warning(&browser, "none").await;

    // Another tab's work makes it go away in this one.
    wait_for_warning(&browser, "EMR closes in").await;
    let here = browser.client.window().await.unwrap();
    let there = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(there).await.unwrap();
    browser.open(&demo.url("emr", "/patients")).await;
    browser.wait_for("//vestibule-bar").await;
    browser.client.close_window().await.unwrap();
    browser.client.switch_to_window(here).await.unwrap();
    wait_for_warning(&browser, "none").await;

    let billing = "[...tree.querySelectorAll('a')].find(a => a.textContent === 'Billing').click(); return '';";
    in_the_bar(&browser, billing).await;
    browser.wait_for_address(&demo.url("billing", "/")).await;
    wait_for_warning(&browser, "Billing closes in").await;
    wait_for_warning(&browser, "Billing is closed").await;
    assert_eq!(in_the_bar(&browser, shown).await, "Log in again");
    let heard = in_the_bar(&browser, said).await;
    assert!(heard.contains("Billing is closed"), "{heard}");
    bar_can_be_used(&browser, "closed").await;
    browser.screenshot("bar-closed").await;
    let again = "tree.querySelector('a.deed').click(); return '';";
    in_the_bar(&browser, again).await;
    browser
        .wait_for_words("Billing was closed after 15 seconds without activity")
        .await;
    browser.screenshot("idle-sign-in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_fit_a_phone() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start_as_phone(360, 780).await;
    browser.open(&demo.url("emr", "/")).await;
    let fits = async |page: &str| {
        browser.screenshot(&format!("phone-{page}")).await;
        let wide = browser
            .client
            .execute(
                "return document.documentElement.scrollWidth - window.innerWidth",
                vec![],
            )
            .await
            .unwrap();
        assert!(
            wide.as_i64().unwrap() <= 0,
            "{page} is {wide} pixels too wide"
        );
    };
    fits("sign-in").await;
    log_in(&browser, "lee").await;
    browser
        .wait_for_words("Set up your authenticator app")
        .await;
    fits("first-factor").await;
    browser.press("Trouble Scanning?").await;
    browser.wait_for("//*[@id='key']//code").await;
    fits("first-factor-key").await;
    browser.open(&demo.url("login", "/login")).await;
    log_in(&browser, "kim").await;
    browser.wait_for_address(&demo.url("emr", "/")).await;
    for (page, path) in [
        ("apps", "/apps"),
        ("account", "/account"),
        ("company-settings", "/company/settings"),
        ("logout", "/logout"),
    ] {
        browser.open(&demo.url("login", path)).await;
        fits(page).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kim_uses_a_passkey_a_recovery_code_and_a_remembered_device() {
    with_keys(&Browser::start().await, "keys").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kim_does_the_same_on_the_narrowest_phone() {
    with_keys(&Browser::start_as_phone(320, 640).await, "phone-keys").await;
}

async fn with_keys(browser: &Browser, prefix: &str) {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    browser.add_authenticator().await;
    let look = async |page: &str| {
        browser.screenshot(&format!("{prefix}-{page}")).await;
        let wide = "return document.documentElement.scrollWidth - window.innerWidth";
        let wide = browser.client.execute(wide, vec![]).await.unwrap();
        assert!(
            wide.as_i64().unwrap() <= 0,
            "{page} is {wide} pixels too wide"
        );
    };
    let (emr, portal) = (demo.url("emr", "/"), |path: &str| demo.url("login", path));
    let sign_out = async || {
        browser.open(&portal("/logout")).await;
        let button = "//main//button[normalize-space()='Sign out']";
        browser.wait_for(button).await.click().await.unwrap();
        browser.wait_for_words("You are signed out").await;
        browser.open(&emr).await;
        browser.wait_for_address(&portal("/login?")).await;
        log_in(browser, "kim").await;
    };
    browser.open(&emr).await;
    log_in(browser, "kim").await;
    browser.wait_for_address(&emr).await;
    browser.open(&portal("/company/settings")).await;
    let on = "//label[normalize-space()='On']//input";
    browser.wait_for(on).await.click().await.unwrap();
    browser.press("Save Settings").await;
    browser.wait_for_words("Your settings are saved").await;
    sign_out().await;

    browser
        .wait_for_words("Set up your authenticator app")
        .await;
    browser.press("Try another method").await;
    browser
        .wait_for("//a[.//b[normalize-space()='Passkey']]")
        .await
        .click()
        .await
        .unwrap();
    browser.wait_for_words("Set up a passkey").await;
    look("passkey-set-up").await;
    browser.press("Set up passkey").await;
    browser.wait_for_words("Your recovery codes").await;
    look("recovery-codes").await;
    let first_code = browser
        .wait_for("//ol/li[1]/code")
        .await
        .text()
        .await
        .unwrap();
    browser.press("I have kept them, go on").await;
    browser.wait_for_address(&emr).await;
    browser.wait_for_words("Kim Doe").await;

    // With the passkey; declined once by asking for another method.
    sign_out().await;
    browser.wait_for_words("Use your passkey").await;
    look("passkey").await;
    browser.press("Try another method").await;
    browser
        .wait_for_words("One of the codes that you kept")
        .await;
    look("methods-later").await;
    browser.press("Back to: Passkey").await;
    browser.wait_for_words("Use your passkey").await;
    browser.press("Use passkey").await;
    browser.wait_for_address(&emr).await;
    browser.wait_for_words("Kim Doe").await;

    // With a recovery code.
    sign_out().await;
    browser.press("Try another method").await;
    browser
        .wait_for("//a[.//b[normalize-space()='Recovery code']]")
        .await
        .click()
        .await
        .unwrap();
    browser.fill("Recovery code", "aaaaa-aaaaa").await;
    browser.press("Verify").await;
    browser.wait_for_words("was used before").await;
    look("recovery-wrong").await;
    browser.fill("Recovery code", &first_code).await;
    browser.press("Verify").await;
    browser.wait_for_address(&emr).await;

    // Remembered from now on.
    sign_out().await;
    browser.wait_for_words("Use your passkey").await;
    let box_of = "//label[contains(normalize-space(), 'Remember this device for 30 days')]//input";
    browser.wait_for(box_of).await.click().await.unwrap();
    browser.press("Use passkey").await;
    browser.wait_for_address(&emr).await;
    sign_out().await;
    browser.wait_for_address(&emr).await;
    browser.wait_for_words("Kim Doe").await;
    for (name, path, words) in [
        ("devices", "/account/devices", " on "),
        ("account", "/account", "My Profile"),
    ] {
        browser.open(&portal(path)).await;
        browser.wait_for_words(words).await;
        look(name).await;
    }
    // New recovery codes want more than a remembered device.
    browser.open(&portal("/account/recovery")).await;
    browser.wait_for_words("Use your passkey").await;
    browser.press("Use passkey").await;
    browser.wait_for_words("9 recovery codes left").await;
    look("recovery-left").await;
    browser.open(&portal("/account/passkey")).await;
    browser.wait_for_words("Add a passkey").await;
    look("passkey-add").await;
    browser.press("Add passkey").await;
    browser
        .wait_for_words("This device holds a passkey of yours already")
        .await;
    look("passkey-known").await;
}
