//! A headless Chromium of a test's own: own driver on a free port, own profile, gone when dropped.
//!
//! Elements are found by the words that people read (labels, buttons, links), so that a test
//! breaks when a page stops saying them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The longest wait for a page, an element or the driver.
const PATIENCE: Duration = Duration::from_secs(30);

/// What Chromium is told besides where its profile is. As root, and in most containers, it starts
/// without its own sandbox only; the rest keeps it from talking to anybody but the test.
const ARGUMENTS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-quic",
    "--no-proxy-server",
];

pub struct Browser {
    pub client: Client,
    driver: Driver,
}

/// `chromedriver`, what it started, and the profile that it uses.
struct Driver {
    process: Child,
    /// Kept for its removal, which must come after the processes' end.
    _profile: TempDir,
}

impl Browser {
    /// Starts Chromium in a window of a desktop's size. Certificates are not checked.
    pub async fn start() -> Browser {
        Browser::start_with_window(1280, 900).await
    }

    /// The same in a window of this size, in CSS pixels.
    pub async fn start_with_window(width: u32, height: u32) -> Browser {
        Browser::start_as(width, height, false).await
    }

    /// A phone with a screen of this size, in CSS pixels; windows can't be as narrow.
    pub async fn start_as_phone(width: u32, height: u32) -> Browser {
        Browser::start_as(width, height, true).await
    }

    /// The same in the hands of somebody who reads these languages, as in `Accept-Language`.
    pub async fn start_as_phone_of(width: u32, height: u32, languages: &str) -> Browser {
        Browser::start_speaking(width, height, true, Some(languages)).await
    }

    async fn start_as(width: u32, height: u32, phone: bool) -> Browser {
        Browser::start_speaking(width, height, phone, None).await
    }

    async fn start_speaking(
        width: u32,
        height: u32,
        phone: bool,
        languages: Option<&str>,
    ) -> Browser {
        let profile = tempfile::Builder::new()
            .prefix("vestibule-browser-")
            .tempdir()
            .expect("a folder");
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|a| (*a).to_owned()).collect();
        arguments.push(format!("--window-size={width},{height}"));
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let mut options = json!({ "args": arguments });
        if phone {
            options["mobileEmulation"] = json!({
                "deviceMetrics": { "width": width, "height": height, "pixelRatio": 2.0, "touch": true },
            });
        }
        if let Some(languages) = languages {
            options["prefs"] = json!({ "intl.accept_languages": languages });
        }
        let capabilities = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": options,
        });

        let (process, port) = listening_driver().await;
        let driver = Driver {
            process,
            _profile: profile,
        };

        // The driver speaks plain HTTP, so that no TLS library needs to be chosen here.
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser");
        Browser { client, driver }
    }

    pub async fn open(&self, url: &str) {
        timeout(PATIENCE, self.client.goto(url))
            .await
            .expect("an answer in time")
            .expect("a page");
    }

    /// Types into the field with this label.
    pub async fn fill(&self, label: &str, text: &str) {
        let words = quoted(label);
        let field = self
            .wait_for(&format!(
                "//*[self::input or self::textarea or self::select][@id=//label[normalize-space()={words}]/@for] \
                 | //label[normalize-space()={words}]//input"
            ))
            .await;
        if field.attr("type").await.expect("a type").as_deref() != Some("file") {
            field.clear().await.expect("an empty field");
        }
        field.send_keys(text).await.expect("a filled field");
    }

    /// Presses the button or follows the link with these words.
    pub async fn press(&self, words: &str) {
        let words = quoted(words);
        let element = self
            .wait_for(&format!(
                "//*[self::button or self::a or self::summary][normalize-space()={words}] \
                 | //input[@type='submit' and @value={words}]"
            ))
            .await;
        element.click().await.expect("a click");
    }

    /// Waits until these words stand somewhere on the page.
    pub async fn wait_for_words(&self, words: &str) {
        self.wait_for(&format!(
            "//body//*[contains(normalize-space(), {})]",
            quoted(words)
        ))
        .await;
    }

    /// Waits until the page's address begins so.
    pub async fn wait_for_address(&self, beginning: &str) {
        let looking = async {
            loop {
                let now = self.client.current_url().await.expect("an address");
                if now.as_str().starts_with(beginning) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(PATIENCE, looking).await.is_err() {
            panic!(
                "no {beginning} but {:?}:\n{}",
                self.client.current_url().await,
                self.words().await
            );
        }
    }

    /// The first element of this XPath, waited for.
    pub async fn wait_for(&self, xpath: &str) -> Element {
        let found = self
            .client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::XPath(xpath))
            .await;
        match found {
            Ok(element) => element,
            Err(problem) => panic!(
                "no {xpath} ({problem}) on this page:\n{}",
                self.words().await
            ),
        }
    }

    /// All that can be read on the page.
    pub async fn words(&self) -> String {
        match self.client.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(problem) => problem.to_string(),
        }
    }

    /// Puts a picture of the page into `screenshots/` of the build folder. A page of the gateway's
    /// own must pass axe-core besides: what was looked at can be used by everybody.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        if self.is_ours().await {
            let violations = self.violations().await;
            assert!(violations.is_empty(), "{name}: {}", violations.join("\n"));
        }
        let built = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = built
            .parent()
            .expect("the build folder")
            .join("screenshots");
        fs::create_dir_all(&folder).expect("a folder for screenshots");
        let file = folder.join(format!("{name}.png"));
        let picture = self.client.screenshot().await.expect("a picture");
        fs::write(&file, picture).expect("a written picture");
        file
    }

    /// Whether the page has the gateway's frame, not an application's.
    async fn is_ours(&self) -> bool {
        let mark = Locator::Css("body > header.top + main#main");
        self.client.find(mark).await.is_ok()
    }

    /// What axe-core finds wrong with the page, by all its rules.
    pub async fn violations(&self) -> Vec<String> {
        self.violations_in("html").await
    }

    /// The same of the first element of this selector and all that is in it, in shadow trees too.
    pub async fn violations_in(&self, selector: &str) -> Vec<String> {
        // Sent as the driver's script, not put into the page: the page's policy allows no such thing.
        let check = format!(
            "{}; const done = arguments[arguments.length - 1]; \
             axe.run(document.querySelector('{selector}'), {{ resultTypes: ['violations'] }}).then( \
                 (found) => done(found.violations.map((violation) => \
                     violation.id + ': ' + violation.help + ' ' + \
                     violation.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | '))), \
                 (error) => done(['axe-core failed: ' + error]));",
            axe_core()
        );
        let found = timeout(PATIENCE, self.client.execute_async(&check, vec![]))
            .await
            .expect("a judgement in time")
            .expect("a judgement");
        serde_json::from_value(found).expect("a list of violations")
    }

    /// Gives the browser a passkey device of its own, whose user always confirms.
    pub async fn add_authenticator(&self) {
        let added = self
            .client
            .issue_cmd(AddAuthenticator)
            .await
            .expect("a virtual authenticator");
        assert!(added.is_string(), "{added}");
    }

    /// As somebody who set the system to dark colours.
    pub async fn prefer_dark(&self) {
        self.client
            .issue_cmd(PreferDark)
            .await
            .expect("a dark browser");
    }

    /// The driver's process id.
    pub fn driver_id(&self) -> u32 {
        self.driver.process.id()
    }
}

/// WebDriver's extension command of Web Authentication (WebAuthn 3, section 11.3).
#[derive(Debug)]
struct AddAuthenticator;

impl WebDriverCompatibleCommand for AddAuthenticator {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session.expect("a session");
        base.join(&format!("session/{session}/webauthn/authenticator"))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        let device = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserVerified": true,
            "isUserConsenting": true,
        });
        (http::Method::POST, Some(device.to_string()))
    }
}

/// Chromium's own command, through the driver.
#[derive(Debug)]
struct PreferDark;

impl WebDriverCompatibleCommand for PreferDark {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session.expect("a session");
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        let feature = json!({ "name": "prefers-color-scheme", "value": "dark" });
        let media = json!({
            "cmd": "Emulation.setEmulatedMedia",
            "params": { "features": [feature] },
        });
        (http::Method::POST, Some(media.to_string()))
    }
}

/// The source of axe-core; tools/axe fetches it once.
fn axe_core() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tools/axe");
        let told = Command::new(tool).output().expect("tools/axe");
        assert!(
            told.status.success(),
            "{}",
            String::from_utf8_lossy(&told.stderr)
        );
        let path = String::from_utf8(told.stdout).expect("a path");
        fs::read_to_string(path.trim()).expect("axe-core")
    })
}

/// A driver that listens. It takes a port of IPv4 and wants the same one of IPv6: where another process has
/// that, it ends.
async fn listening_driver() -> (Child, u16) {
    for _ in 0..5 {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is not installed: tools/test installs it");
        let port = announced_port(&mut process);
        if let Ok(Ok(port)) = timeout(PATIENCE, port).await {
            return (process, port);
        }
        let _ = process.kill();
        let _ = process.wait();
    }
    panic!("chromedriver listens nowhere");
}

/// The port that chromedriver has chosen, from its own words.
fn announced_port(process: &mut Child) -> oneshot::Receiver<u16> {
    let output = process.stdout.take().expect("the driver's output");
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut tell = Some(tell);
        // Read to the end, so that the driver never waits for a reader.
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let said = line.split("successfully on port ").nth(1);
            let port = said.and_then(|rest| rest.trim_end_matches('.').parse().ok());
            if let (Some(port), true) = (port, tell.is_some()) {
                let _ = tell.take().map(|tell| tell.send(port));
            }
        }
    });
    told
}

impl Drop for Driver {
    /// Ends the driver and what it started, each by its id: a killed driver leaves its browser.
    fn drop(&mut self) {
        let family = descendants(self.process.id());
        let ids = family.iter().map(u32::to_string);
        let _ = std::process::Command::new("kill")
            .arg("-9")
            .args(ids)
            .stderr(Stdio::null())
            .status();
        let _ = self.process.wait();
        // The profile can be removed once nobody writes to it any more.
        for _ in 0..200 {
            if family.iter().all(|id| ended(*id)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The process and all that descend from it.
pub fn descendants(of: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id: u32| Some((id, status(id)?.1)))
        .collect();
    let mut family = vec![of];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(id, _)| *id),
        );
        next += 1;
    }
    family
}

/// Whether the process is gone, or dead and only waiting to be noticed.
pub fn ended(id: u32) -> bool {
    status(id).is_none_or(|(state, _)| state == 'Z')
}

/// State and parent of a process.
fn status(id: u32) -> Option<(char, u32)> {
    let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before may hold spaces and brackets of its own.
    let mut fields = line.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// Text as an XPath literal, which knows no escapes.
fn quoted(text: &str) -> String {
    if text.contains('\'') {
        format!("\"{text}\"")
    } else {
        format!("'{text}'")
    }
}
