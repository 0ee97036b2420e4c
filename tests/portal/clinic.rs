//! A gateway without its proxy: the portal's routers in process, the real stores in a temporary
//! folder, a clock that tests set, and browsers with cookie jars.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use vestibule::directory::Directory;
use vestibule::directory::passwords::Hasher;
use vestibule::directory::seal::MasterKey;
use vestibule::gate::cookies::presented;
use vestibule::gate::decide::{Decision, SignInReason, decide};
use vestibule::gate::facts::{Asks, Facts, Presented, Site};
use vestibule::gate::host::Host;
use vestibule::gate::name::{CompanyId, ProductId};
use vestibule::gate::policy::{
    CompanyPolicy, FactorMethod, Mfa, MfaMode, PasswordPolicy, Policies, Rollout, SessionLimits,
};
use vestibule::gate::product::{
    Access, Accounts, ActivityRules, Product, Products, Unauthenticated,
};
use vestibule::gate::session::{Known, Secret, Token};
use vestibule::gate::target::Target;
use vestibule::gate::time::Moment;
use vestibule::portal::{self, Audit, Keys, Observer, RequestId, links};
use vestibule::sessions::assertions::{Assertions, SigningKey, generate_key};
use vestibule::sessions::embedded::EmbeddedStore;
use vestibule::sessions::tokens::TokenKey;
use vestibule::sessions::{Parts, Sessions, Settings, Unobserved};

pub const PORTAL: &str = "https://login.test:8443";
pub const EMR: &str = "https://emr.test:8443";
pub const BILLING: &str = "https://billing.test:8443";
pub const ANALYTICS: &str = "https://analytics.test:8443";
pub const PASSWORD: &str = "correct horse battery";
pub const HOUR: Duration = Duration::from_secs(3600);

const NOON: i64 = 1_790_000_000_000;

const PEOPLE: &str = r#"{"kind":"company","id":"acme","name":"Acme Rehab"}
{"kind":"company","id":"strict","name":"Strict Care"}
{"kind":"person","id":"kim","company":"acme","name":"Kim Doe","email":"kim@acme.test","roles":["company_admin"],"grants":["analytics"]}
{"kind":"person","id":"lee","company":"acme","name":"Lee <b>Roe</b>","email":"lee@acme.test","roles":[],"grants":[]}
{"kind":"person","id":"max","company":"strict","name":"Max Poe","email":"max@strict.test","roles":[],"grants":[]}
{"kind":"person","id":"dee","company":"acme","name":"Dee Low","email":"dee@acme.test","roles":[],"grants":[]}
{"kind":"account","product":"emr","login":"kim","person":"kim","password_hash":"HASH","companies":["acme","strict"],"default_company":"acme"}
{"kind":"account","product":"billing","login":"kim.billing","person":"kim","password_hash":"HASH"}
{"kind":"account","product":"emr","login":"lee","person":"lee","password_hash":"OLDHASH"}
{"kind":"account","product":"emr","login":"max","person":"max","password_hash":"HASH"}
{"kind":"account","product":"billing","login":"max.billing","person":"max","password_hash":"HASH"}
{"kind":"account","product":"emr","login":"dee","person":"dee","password_hash":"HASH"}
{"kind":"account","product":"emr","login":"loose","password_hash":"HASH"}
"#;

#[derive(Default)]
pub struct Heard {
    pub lines: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn sign_in(&self, result: &'static str) {
        self.lines.lock().unwrap().push(format!("sign_in {result}"));
    }

    fn factor_challenge(&self, method: &'static str, result: &'static str) {
        self.lines.lock().unwrap().push(format!("factor {method} {result}"));
    }

    fn audit(&self, event: Audit<'_>) {
        self.lines.lock().unwrap().push(format!("audit {event:?}"));
    }
}

pub struct Clinic {
    millis: Arc<AtomicI64>,
    pub sessions: Arc<Sessions>,
    pub directory: Directory,
    pub policies: Arc<ArcSwap<Policies>>,
    pub products: Products,
    pub heard: Arc<Heard>,
    portal: Router,
    own: Router,
    browsers: AtomicU64,
    _folder: tempfile::TempDir,
}

fn product(id: &str, name: &str, origin: &str, index: usize) -> Product {
    Product {
        id: ProductId::parse(id).unwrap(),
        index,
        name: name.to_owned(),
        host: Host::parse(&format!("{id}.test")).unwrap(),
        origin: origin.to_owned(),
        primary: false,
        needs_grant: false,
        accounts: Accounts::Own,
        access: Access::Required,
        idle: None,
        activity: ActivityRules::default(),
        identity: identity_headers(),
        unauthenticated: Unauthenticated::Auto,
        websockets: true,
    }
}

fn identity_headers() -> vestibule::gate::product::IdentityHeaders {
    vestibule::gate::product::IdentityHeaders::Forwarded
}

fn products() -> Products {
    let emr = Product { primary: true, ..product("emr", "EMR", EMR, 0) };
    let billing = Product { idle: Some(2 * HOUR), ..product("billing", "Billing", BILLING, 1) };
    let analytics = Product {
        needs_grant: true,
        accounts: Accounts::Primary,
        ..product("analytics", "Analytics", ANALYTICS, 2)
    };
    Products::new(vec![Arc::new(emr), Arc::new(billing), Arc::new(analytics)]).unwrap()
}

fn policy(name: &str, mode: MfaMode) -> Arc<CompanyPolicy> {
    Arc::new(CompanyPolicy {
        name: name.to_owned(),
        mfa: Mfa { mode, methods: vec![FactorMethod::Totp], remember_device: Duration::ZERO },
        password: PasswordPolicy::default(),
        session_maximum: None,
        session_idle: None,
        product_idle: BTreeMap::new(),
        rules: Vec::new(),
        timezone: jiff::tz::TimeZone::UTC,
    })
}

fn policies() -> Policies {
    let strict = CompanyId::parse("strict").unwrap();
    Policies {
        companies: HashMap::from([(strict, policy("Strict", MfaMode::Required))]),
        default: policy("Default", MfaMode::Company),
        session: SessionLimits { maximum: 12 * HOUR, idle: 8 * HOUR },
        rollout: Rollout::default(),
        factor_switched_on: HashSet::new(),
    }
}

/// Hashed once for all tests: it is slow on purpose.
async fn hash() -> String {
    static HASH: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    HASH.get_or_init(|| async {
        Hasher::new().hash(Zeroizing::new(PASSWORD.to_owned())).await.unwrap().0
    })
    .await
    .clone()
}

fn random() -> Arc<dyn Fn(&mut [u8]) + Send + Sync> {
    Arc::new(|bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).unwrap())
}

impl Clinic {
    pub async fn open() -> Clinic {
        let folder = tempfile::tempdir().unwrap();
        let millis = Arc::new(AtomicI64::new(NOON));
        let clock: vestibule::sessions::Clock = {
            let millis = Arc::clone(&millis);
            Arc::new(move || Moment::from_millis(millis.load(Ordering::SeqCst)))
        };
        let url = format!("sqlite:{}", folder.path().join("directory.db").display());
        let directory = Directory::open(&url, &MasterKey::from_bytes([1; 32])).await.unwrap();
        let hasher = Arc::new(Hasher::new());
        let products = products();
        let ids: Vec<ProductId> = products.iter().map(|product| product.id.clone()).collect();
        let old = bcrypt::hash(PASSWORD, 4).unwrap();
        let people = PEOPLE.replace("OLDHASH", &old).replace("HASH", &hash().await);
        directory.import(&hasher, people.as_bytes(), &ids, clock()).await.unwrap();
        let dee = vestibule::gate::name::PersonId::parse("dee").unwrap();
        directory.set_disabled(&dee, true).await.unwrap();

        let policies = Arc::new(ArcSwap::from_pointee(policies()));
        let store = Arc::new(EmbeddedStore::open(folder.path()).await.unwrap());
        let key = SigningKey {
            id: String::from("k1"),
            pkcs8: generate_key().unwrap(),
            created_at: Moment::EPOCH,
        };
        let assertions = Arc::new(Assertions::new(vec![key]).unwrap());
        let sessions = Sessions::new(Parts {
            store,
            products: products.clone(),
            settings: Settings {
                recheck: Duration::from_secs(5),
                cache_capacity: 1000,
                grace: None,
                issuer: PORTAL.to_owned(),
            },
            token_key: TokenKey::new(&[2; 32]),
            assertions: Arc::clone(&assertions),
            policies: Arc::clone(&policies),
            clock: Arc::clone(&clock),
            random: random(),
            observer: Arc::new(Unobserved),
        });
        let heard = Arc::new(Heard::default());
        let state = Arc::new(portal::State {
            sessions: Arc::clone(&sessions),
            directory: directory.clone(),
            hasher,
            policies: Arc::clone(&policies),
            products: products.clone(),
            portal_origin: PORTAL.to_owned(),
            title: String::from("Clinic sign-in"),
            clock,
            random: random(),
            keys: Keys::new([3; 32]),
            observer: Arc::clone(&heard) as Arc<dyn Observer>,
            jwks: Arc::new(move || assertions.jwks()),
        });
        Clinic {
            millis,
            sessions,
            directory,
            policies,
            products,
            heard,
            portal: portal::router(Arc::clone(&state)),
            own: portal::own_router(state),
            browsers: AtomicU64::new(1),
            _folder: folder,
        }
    }

    pub fn now(&self) -> Moment {
        Moment::from_millis(self.millis.load(Ordering::SeqCst))
    }

    pub fn wait(&self, span: Duration) {
        self.millis.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// A new one, at its own address.
    pub fn browser(&self) -> Browser<'_> {
        let last = u8::try_from(self.browsers.fetch_add(1, Ordering::SeqCst)).unwrap();
        Browser {
            clinic: self,
            jar: Mutex::default(),
            address: IpAddr::from([192, 0, 2, last]),
            keeps_cookies: true,
            store_is_away: false,
        }
    }

    /// Signed in with nothing but the password.
    pub async fn signed_in(&self, login: &str) -> Browser<'_> {
        let browser = self.browser();
        let page = browser.log_in(&format!("{EMR}/"), login).await;
        assert_eq!(page.url, format!("{EMR}/"), "{}", page.body);
        browser
    }
}

/// One answer.
pub struct Page {
    pub url: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub fn hidden(&self) -> Vec<(String, String)> {
        self.body
            .split("<input type=\"hidden\" ")
            .skip(1)
            .map(|tag| (attribute(tag, "name"), attribute(tag, "value")))
            .collect()
    }

    pub fn action(&self) -> String {
        let (_, form) = self.body.split_once("<form ").expect("a form");
        attribute(form, "action")
    }

    /// The address of the link with this text.
    pub fn link(&self, text: &str) -> String {
        let before = self.body.split(&format!(">{text}</a>")).next().unwrap();
        assert_ne!(before.len(), self.body.len(), "no link {text:?} in {}", self.body);
        attribute(before.rsplit("<a ").next().unwrap(), "href")
    }

    /// The text without what differs each time.
    pub fn plain(&self) -> String {
        let mut text = self.body.clone();
        for (_, value) in self.hidden() {
            text = text.replace(&value, "");
        }
        text
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let (_, rest) = tag.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}"));
    let value = rest.split('"').next().unwrap();
    value.replace("&#38;", "&").replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">")
}

pub struct Browser<'a> {
    pub clinic: &'a Clinic,
    jar: Mutex<HashMap<(String, String), String>>,
    pub address: IpAddr,
    pub keeps_cookies: bool,
    pub store_is_away: bool,
}

pub struct Sent<'a> {
    pub method: Method,
    pub url: &'a str,
    pub form: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    pub asks: Asks,
}

impl Browser<'_> {
    pub fn cookie(&self, origin: &str, name: &str) -> Option<String> {
        self.jar.lock().unwrap().get(&(origin.to_owned(), name.to_owned())).cloned()
    }

    pub fn set_cookie(&self, origin: &str, name: &str, value: &str) {
        self.jar.lock().unwrap().insert((origin.to_owned(), name.to_owned()), value.to_owned());
    }

    pub async fn get(&self, url: &str) -> Page {
        self.send(Sent { method: Method::GET, url, form: None, headers: Vec::new(), asks: Asks::Navigation }).await
    }

    pub async fn fetch(&self, method: Method, url: &str) -> Page {
        let headers = vec![("sec-fetch-site", String::from("same-origin")), ("origin", origin_of(url).to_owned())];
        self.send(Sent { method, url, form: None, headers, asks: Asks::Program }).await
    }

    /// A form of our own page, as a browser posts it.
    pub async fn post(&self, url: &str, fields: &[(String, String)]) -> Page {
        let headers = vec![("sec-fetch-site", String::from("same-origin")), ("origin", origin_of(url).to_owned())];
        self.post_from(url, fields, headers).await
    }

    pub async fn post_from(
        &self,
        url: &str,
        fields: &[(String, String)],
        headers: Vec<(&'static str, String)>,
    ) -> Page {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Sent { method: Method::POST, url, form: Some(form), headers, asks: Asks::Navigation }).await
    }

    /// Fills the page's form and posts it, without following.
    pub async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let mut all = page.hidden();
        all.extend(fields.iter().map(|(name, value)| (String::from(*name), String::from(*value))));
        self.post(&format!("{}{}", origin_of(&page.url), page.action()), &all).await
    }

    pub async fn submit_login(&self, page: &Page, login: &str, password: &str) -> Page {
        self.submit(page, &[("username", login), ("password", password)]).await
    }

    /// Opens a page and follows where it leads.
    pub async fn open(&self, url: &str) -> Page {
        let page = self.get(url).await;
        self.follow(page).await
    }

    pub async fn follow(&self, mut page: Page) -> Page {
        for _ in 0..25 {
            if !(300..400).contains(&page.status) {
                return page;
            }
            let next = page.location().to_owned();
            let next = if next.starts_with('/') { format!("{}{next}", origin_of(&page.url)) } else { next };
            page = self.get(&next).await;
        }
        panic!("redirects without end, last {}", page.url);
    }

    /// From a product's page through the sign-in form, and on.
    pub async fn log_in(&self, url: &str, login: &str) -> Page {
        let form = self.open(url).await;
        let answer = self.submit_login(&form, login, PASSWORD).await;
        self.follow(answer).await
    }

    pub async fn send(&self, sent: Sent<'_>) -> Page {
        let origin = origin_of(sent.url).to_owned();
        let path = match &sent.url[origin.len()..] {
            "" => "/",
            path => path,
        };
        let cookies = self.cookies_for(&origin);
        let site = self.site(&origin);
        let facts = Arc::new(Facts {
            site: site.clone(),
            method: sent.method.clone(),
            target: Target::parse(path.as_bytes()).unwrap(),
            address: self.address,
            asks: sent.asks,
            background: false,
            foreign_origin: false,
            cookie: presented(std::iter::once(cookies.as_bytes())),
        });
        let policies = self.clinic.policies.load_full();
        let now = self.clinic.now();
        let known = if self.store_is_away {
            Known::Unavailable
        } else {
            self.clinic.sessions.look_up(&facts.cookie, &site, &policies, now).await.known
        };
        let decision = decide(&facts, &known, &policies, now);
        let router = match decision {
            Decision::Portal(_) => &self.clinic.portal,
            Decision::Own(_) => &self.clinic.own,
            other => return self.at_product(sent.url, &facts, other).await,
        };
        let mut request = Request::builder().method(sent.method).uri(path).header("cookie", cookies);
        for (name, value) in sent.headers {
            request = request.header(name, value);
        }
        if sent.form.is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let mut request = request.body(Body::from(sent.form.unwrap_or_default())).unwrap();
        request.extensions_mut().insert(Arc::clone(&facts));
        request.extensions_mut().insert(known);
        request.extensions_mut().insert(RequestId(String::from("request-1")));
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let page = Page {
            url: sent.url.to_owned(),
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        self.keep_cookies(&origin, &page);
        page
    }

    fn site(&self, origin: &str) -> Site {
        match self.clinic.products.iter().find(|product| product.origin == origin) {
            Some(product) => Site::Product(Arc::clone(product)),
            None => Site::Portal,
        }
    }

    /// What the proxy does there.
    async fn at_product(&self, url: &str, facts: &Facts, decision: Decision) -> Page {
        let page = |status, location: Option<String>, body: String| {
            let mut headers = HeaderMap::new();
            if let Some(location) = location {
                headers.insert("location", location.parse().unwrap());
            }
            Page { url: url.to_owned(), status, headers, body }
        };
        match decision {
            Decision::Forward(permit) => {
                let session = permit.session().unwrap();
                if permit.counts_as_activity() {
                    self.clinic.sessions.stamp(session, permit.product(), self.clinic.now()).await;
                }
                let login = &session.entries[&permit.product().id].login;
                let amr = session.amr().join(",");
                page(200, None, format!("{} for {login} by {amr} in {}", permit.product().name, session.company))
            }
            Decision::SignIn(sign_in) => {
                let bind = match &facts.cookie {
                    Presented::Token(Token::Visitor(secret) | Token::Session { secret, .. }) => secret.hash(),
                    Presented::Nothing | Presented::Malformed => {
                        let mut bytes = [0; 32];
                        aws_lc_rs::rand::fill(&mut bytes).unwrap();
                        let secret = Secret::from_bytes(bytes);
                        let bind = secret.hash();
                        if self.keeps_cookies {
                            let token = Token::Visitor(secret);
                            self.set_cookie(origin_of(url), "__Host-vestibule", &token.expose());
                        }
                        bind
                    }
                };
                let bind = bind.to_text();
                let location = if sign_in.reason == SignInReason::StepUp {
                    links::step_up_url(PORTAL, url, &bind, None)
                } else {
                    links::login_url(PORTAL, url, &bind, Some(sign_in.reason.as_str()))
                };
                page(302, Some(location), String::new())
            }
            Decision::Deny(denial) => page(403, None, denial.reason.as_str().to_owned()),
            Decision::Unavailable(_) => page(503, None, String::new()),
            Decision::Portal(_) | Decision::Own(_) => unreachable!(),
        }
    }

    fn cookies_for(&self, origin: &str) -> String {
        let jar = self.jar.lock().unwrap();
        let mine: Vec<String> = jar
            .iter()
            .filter(|((of, _), _)| of == origin)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        mine.join("; ")
    }

    fn keep_cookies(&self, origin: &str, page: &Page) {
        if !self.keeps_cookies {
            return;
        }
        let mut jar = self.jar.lock().unwrap();
        for cookie in page.set_cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let key = (origin.to_owned(), name.to_owned());
            if cookie.contains("Max-Age=0") {
                jar.remove(&key);
            } else {
                jar.insert(key, value.to_owned());
            }
        }
    }
}

pub fn origin_of(url: &str) -> &str {
    let end = url["https://".len()..].find('/').map_or(url.len(), |at| at + "https://".len());
    &url[..end]
}

/// The code that the authenticator shows for a key as it is typed.
pub fn code(typed_key: &str, now: Moment) -> String {
    let key = totp_rs::Secret::try_from_base32(typed_key.replace(' ', "")).unwrap();
    let totp = totp_rs::Builder::new().with_algorithm(totp_rs::Algorithm::SHA1).with_digits(6).with_step_duration(30).with_secret(key).build().unwrap();
    totp.generate(u64::try_from(now.secs()).unwrap()).to_string()
}

/// Enrols on the page shown and returns the key and where it led.
pub async fn enrol(browser: &Browser<'_>, page: Page) -> (String, Page) {
    let with_key = browser.get(&format!("{PORTAL}{}", page.link("Trouble Scanning?"))).await;
    let (_, rest) = with_key.body.split_once("<code>").expect("the key");
    let key = rest.split('<').next().unwrap().to_owned();
    let code = code(&key, browser.clinic.now());
    let answer = browser.submit(&with_key, &[("code", &code)]).await;
    (key, browser.follow(answer).await)
}


impl Clinic {
    /// Signed in with a new authenticator.
    pub async fn signed_in_strict(&self, login: &str) -> Browser<'_> {
        let browser = self.browser();
        let page = browser.log_in(&format!("{EMR}/"), login).await;
        let (_, page) = enrol(&browser, page).await;
        assert_eq!(page.url, format!("{EMR}/"), "{}", page.body);
        browser
    }
}
