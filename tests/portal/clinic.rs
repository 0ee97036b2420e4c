//! A gateway without its proxy: the portal's routers in process, the real stores in a temporary
//! folder, and a clock that tests set.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use zeroize::Zeroizing;

use vestibule::config::providers::ProviderSettings;
use vestibule::directory::Directory;
use vestibule::directory::passwords::Hasher;
use vestibule::directory::seal::MasterKey;
use vestibule::gate::host::Host;
use vestibule::gate::name::{CompanyId, ProductId};
use vestibule::gate::pattern::Pattern;
use vestibule::gate::policy::{
    Action, CompanyPolicy, Conditions, FactorMethod, MessagePolicy, Mfa, MfaMode, PasswordPolicy,
    Policies, Rollout, Rule, SessionLimits,
};
use vestibule::gate::product::{
    Access, Accounts, ActivityRules, Product, Products, Unauthenticated,
};
use vestibule::gate::time::Moment;
use vestibule::legacy::Legacy;
use vestibule::messages::{self, Messages};
use vestibule::portal::{self, Act, Audit, Keys, Observer};
use vestibule::providers::Providers;
use vestibule::sessions::assertions::{Assertions, SigningKey, generate_key};
use vestibule::sessions::embedded::EmbeddedStore;
use vestibule::sessions::kept::KeptForms;
use vestibule::sessions::redis::RedisStore;
use vestibule::sessions::store::Store;
use vestibule::sessions::tokens::{Random, TokenKey};
use vestibule::sessions::{Parts, Sessions, Settings, Unobserved};

use crate::ailing::Ailing;
pub use crate::browser::{Browser, Page};

pub const PORTAL: &str = "https://login.test:8443";
pub const EMR: &str = "https://emr.test:8443";
pub const BILLING: &str = "https://billing.test:8443";
pub const ANALYTICS: &str = "https://analytics.test:8443";
pub const PASSWORD: &str = "correct horse battery";
pub const HOUR: Duration = Duration::from_secs(3600);

const NOON: i64 = 1_790_000_000_000;

const PEOPLE: &str = r#"{"kind":"company","id":"acme","name":"Acme Rehab"}
{"kind":"company","id":"strict","name":"Strict Care"}
{"kind":"company","id":"texting","name":"Texting Clinic"}
{"kind":"person","id":"pat","company":"texting","name":"Pat Low","email":"pat@texting.test","phone":"+15550100007","roles":[],"grants":[]}
{"kind":"person","id":"quin","company":"texting","name":"Quin Day","email":"quin@texting.test","roles":[],"grants":[]}
{"kind":"account","product":"emr","login":"pat","person":"pat","password_hash":"HASH"}
{"kind":"account","product":"emr","login":"quin","person":"quin","password_hash":"HASH"}
{"kind":"person","id":"kim","company":"acme","name":"Kim Doe","email":"kim@acme.test","roles":["company_admin","user_manager"],"grants":["analytics"]}
{"kind":"person","id":"lee","company":"acme","name":"Lee <b>Roe</b>","email":"lee@acme.test","roles":[],"grants":[]}
{"kind":"person","id":"max","company":"strict","name":"Max Poe","email":"max@strict.test","roles":["user_manager"],"grants":[]}
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
        self.lines
            .lock()
            .unwrap()
            .push(format!("factor {method} {result}"));
    }

    fn audit(&self, event: Audit<'_>) {
        self.lines.lock().unwrap().push(format!("audit {event:?}"));
    }

    fn administered(&self, act: Act<'_>) {
        self.lines.lock().unwrap().push(format!("act {act:?}"));
    }
}

impl messages::Observer for Heard {
    fn message(&self, channel: &'static str, result: &'static str) {
        let line = format!("message {channel} {result}");
        self.lines.lock().unwrap().push(line);
    }
}

impl Heard {
    pub fn count(&self, line: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|heard| *heard == line).count()
    }
}

/// What a clinic is opened with.
pub struct Opening {
    pub hasher: Hasher,
    pub messages: messages::Settings,
    /// Of a Redis; without, the embedded store.
    pub redis: Option<String>,
    pub providers: Vec<ProviderSettings>,
}

impl Default for Opening {
    fn default() -> Opening {
        Opening {
            hasher: Hasher::new(),
            messages: outbox_settings(),
            redis: None,
            providers: Vec::new(),
        }
    }
}

/// Text messages and mails are kept, not sent.
pub fn outbox_settings() -> messages::Settings {
    fn route<P>(first: P) -> Option<messages::Route<P>> {
        Some(messages::Route {
            first,
            second: None,
            deadline: Duration::from_secs(5),
        })
    }
    messages::Settings {
        sms: route(messages::SmsProvider::Outbox),
        email: route(messages::EmailProvider::Outbox),
        email_from: None,
    }
}

pub struct Clinic {
    millis: Arc<AtomicI64>,
    hasher: Arc<Hasher>,
    redis: Option<String>,
    providers: Arc<Providers>,
    pub messages: Arc<Messages>,
    pub sessions: Arc<Sessions>,
    pub store: Arc<Ailing>,
    pub directory: Directory,
    pub policies: Arc<ArcSwap<Policies>>,
    pub products: Products,
    pub heard: Arc<Heard>,
    pub portal: Router,
    pub own: Router,
    browsers: Arc<AtomicU64>,
    folder: Arc<tempfile::TempDir>,
}

/// What all nodes of one clinic share.
struct Ground {
    millis: Arc<AtomicI64>,
    messages: Arc<Messages>,
    directory: Directory,
    hasher: Arc<Hasher>,
    redis: Option<String>,
    providers: Arc<Providers>,
    policies: Arc<ArcSwap<Policies>>,
    heard: Arc<Heard>,
    browsers: Arc<AtomicU64>,
    folder: Arc<tempfile::TempDir>,
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
    let emr = Product {
        primary: true,
        ..product("emr", "EMR", EMR, 0)
    };
    let billing = Product {
        idle: Some(2 * HOUR),
        ..product("billing", "Billing", BILLING, 1)
    };
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
        mfa: Mfa {
            mode,
            methods: vec![FactorMethod::Totp],
            remember_device: Duration::ZERO,
            messages: MessagePolicy::sound(),
        },
        password: PasswordPolicy::default(),
        session_maximum: None,
        session_idle: None,
        product_idle: BTreeMap::new(),
        rules: vec![Rule {
            name: String::from("payments need a fresh factor"),
            when: Conditions {
                paths: Some(vec![Pattern::parse("/payments/**").unwrap()]),
                ..Conditions::default()
            },
            except: None,
            action: Action::StepUp {
                within: Duration::from_secs(900),
            },
        }]
        .into(),
        timezone: jiff::tz::TimeZone::UTC,
    })
}

fn policies() -> Policies {
    let strict = CompanyId::parse("strict").unwrap();
    let texting = CompanyId::parse("texting").unwrap();
    let mut texts = CompanyPolicy::clone(&policy("Texting", MfaMode::Required));
    texts.mfa.methods = vec![FactorMethod::Totp, FactorMethod::Sms, FactorMethod::Email];
    Policies {
        companies: [
            (strict, policy("Strict", MfaMode::Required)),
            (texting, Arc::new(texts)),
        ]
        .into_iter()
        .collect(),
        default: policy("Default", MfaMode::Company),
        session: SessionLimits {
            maximum: 12 * HOUR,
            idle: 8 * HOUR,
        },
        rollout: Rollout::default(),
        factor_switched_on: Default::default(),
        emergencies: Vec::new(),
    }
}

/// Hashed once for all tests: it is slow on purpose.
async fn hash() -> String {
    static HASH: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    HASH.get_or_init(|| async {
        Hasher::new()
            .hash(Zeroizing::new(PASSWORD.to_owned()))
            .await
            .unwrap()
            .0
    })
    .await
    .clone()
}

fn random() -> Random {
    Arc::new(|bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).unwrap())
}

impl Clinic {
    pub async fn open() -> Clinic {
        Clinic::open_with(Hasher::new()).await
    }

    pub async fn open_with(hasher: Hasher) -> Clinic {
        Clinic::open_as(Opening {
            hasher,
            ..Opening::default()
        })
        .await
    }

    pub async fn open_as(opening: Opening) -> Clinic {
        let hasher = opening.hasher;
        let folder = tempfile::tempdir().unwrap();
        let millis = Arc::new(AtomicI64::new(NOON));
        let clock: vestibule::sessions::Clock = {
            let millis = Arc::clone(&millis);
            Arc::new(move || Moment::from_millis(millis.load(Ordering::SeqCst)))
        };
        let url = format!("sqlite:{}", folder.path().join("directory.db").display());
        let directory = Directory::open(&url, &MasterKey::from_bytes([1; 32]))
            .await
            .unwrap();
        let hasher = Arc::new(hasher);
        let products = products();
        let ids: Vec<ProductId> = products.iter().map(|product| product.id.clone()).collect();
        let old = bcrypt::hash(PASSWORD, 4).unwrap();
        let people = PEOPLE
            .replace("OLDHASH", &old)
            .replace("HASH", &hash().await);
        directory
            .import(&hasher, people.as_bytes(), &ids, clock())
            .await
            .unwrap();
        let dee = vestibule::gate::name::PersonId::parse("dee").unwrap();
        directory.set_disabled(&dee, true).await.unwrap();

        let heard = Arc::new(Heard::default());
        let observer = Arc::clone(&heard) as Arc<dyn messages::Observer>;
        let ground = Ground {
            millis,
            messages: Arc::new(Messages::new(opening.messages, observer).unwrap()),
            directory,
            hasher,
            redis: opening.redis,
            providers: Arc::new(Providers::new(opening.providers).unwrap()),
            policies: Arc::new(ArcSwap::from_pointee(policies())),
            heard,
            browsers: Arc::new(AtomicU64::new(1)),
            folder: Arc::new(folder),
        };
        Clinic::on(ground).await
    }

    /// Another node of the same clinic, with a connection of its own to its Redis.
    pub async fn twin(&self) -> Clinic {
        assert!(self.redis.is_some(), "the embedded store is one node's");
        let ground = Ground {
            millis: Arc::clone(&self.millis),
            messages: Arc::clone(&self.messages),
            directory: self.directory.clone(),
            hasher: Arc::clone(&self.hasher),
            redis: self.redis.clone(),
            providers: Arc::clone(&self.providers),
            policies: Arc::clone(&self.policies),
            heard: Arc::clone(&self.heard),
            browsers: Arc::clone(&self.browsers),
            folder: Arc::clone(&self.folder),
        };
        Clinic::on(ground).await
    }

    async fn on(ground: Ground) -> Clinic {
        let Ground {
            millis,
            messages,
            directory,
            hasher,
            redis,
            providers,
            policies,
            heard,
            browsers,
            folder,
        } = ground;
        let clock: vestibule::sessions::Clock = {
            let millis = Arc::clone(&millis);
            Arc::new(move || Moment::from_millis(millis.load(Ordering::SeqCst)))
        };
        let products = products();
        let store: Arc<dyn Store> = match &redis {
            Some(url) => Arc::new(RedisStore::connect(url, "clinic:").await.unwrap()),
            None => Arc::new(EmbeddedStore::open(folder.path()).await.unwrap()),
        };
        let store = Ailing::around(store);
        let key = SigningKey {
            id: String::from("k1"),
            pkcs8: generate_key().unwrap(),
            created_at: Moment::EPOCH,
        };
        let assertions = Arc::new(Assertions::new(vec![key]).unwrap());
        let sessions = Sessions::new(Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
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
        let state = Arc::new(portal::State {
            kept: Arc::new(KeptForms::new(Arc::clone(&sessions), &[4; 32], random())),
            sessions: Arc::clone(&sessions),
            directory: directory.clone(),
            legacy: Arc::new(Legacy::nowhere()),
            messages: Arc::clone(&messages),
            providers: Arc::clone(&providers),
            scim_roles: HashMap::from([(
                CompanyId::parse("acme").unwrap(),
                BTreeMap::from([(String::from("Managers"), vec![String::from("user_manager")])]),
            )]),
            hasher: Arc::clone(&hasher),
            policies: Arc::clone(&policies),
            products: products.clone(),
            portal_origin: PORTAL.to_owned(),
            title: String::from("Clinic sign-in"),
            clock,
            random: random(),
            keys: Keys::new([3; 32]),
            observer: Arc::clone(&heard) as Arc<dyn Observer>,
            jwks: Arc::new(move || assertions.jwks()),
            pace: 1,
        });
        Clinic {
            millis,
            hasher,
            redis,
            providers,
            messages,
            sessions,
            store,
            directory,
            policies,
            products,
            heard,
            portal: portal::router(Arc::clone(&state)),
            own: portal::own_router(state),
            browsers,
            folder,
        }
    }

    /// More people and accounts: JSON lines, with HASH for the hash of the password of all.
    pub async fn import(&self, lines: &str) {
        let ids: Vec<ProductId> = self.products.iter().map(|p| p.id.clone()).collect();
        let lines = lines.replace("HASH", &hash().await);
        self.directory
            .import(&Hasher::new(), lines.as_bytes(), &ids, self.now())
            .await
            .unwrap();
    }

    pub fn now(&self) -> Moment {
        Moment::from_millis(self.millis.load(Ordering::SeqCst))
    }

    /// To what the machine says: for counterparts that look at a clock of their own.
    pub fn live_now(&self) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        self.millis
            .store(i64::try_from(now.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn wait(&self, span: Duration) {
        self.millis
            .fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Changes what a company decided about the second factor.
    pub fn decide_mfa(&self, company: &str, change: impl Fn(&mut Mfa)) {
        self.decide(company, |policy| change(&mut policy.mfa));
    }

    /// Changes a company's policy.
    pub fn decide(&self, company: &str, change: impl Fn(&mut CompanyPolicy)) {
        let company = CompanyId::parse(company).unwrap();
        self.policies.rcu(|policies| {
            let mut policies = Policies::clone(policies);
            let mut policy = CompanyPolicy::clone(policies.of(&company));
            change(&mut policy);
            policies.companies.insert(company.clone(), Arc::new(policy));
            policies
        });
    }

    /// Every row of the directory, table by table.
    pub async fn rows(&self) -> String {
        use sqlx::{Column as _, Row as _, ValueRef as _};
        let url = format!(
            "sqlite:{}",
            self.folder.path().join("directory.db").display()
        );
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                .fetch_all(&pool)
                .await
                .unwrap();
        let mut all = String::new();
        for table in tables {
            let select = format!("SELECT * FROM {table} ORDER BY 1, 2");
            let rows = sqlx::query(sqlx::AssertSqlSafe(select))
                .fetch_all(&pool)
                .await
                .unwrap();
            for row in rows {
                all.push_str(&table);
                for column in row.columns() {
                    let value = row.try_get_raw(column.ordinal()).unwrap();
                    let shown = if value.is_null() {
                        String::from("null")
                    } else {
                        let bytes: &[u8] = row.get_unchecked(column.ordinal());
                        format!("{bytes:?}")
                    };
                    all.push_str(&format!(" {}={shown}", column.name()));
                }
                all.push('\n');
            }
        }
        pool.close().await;
        all
    }

    /// Whether such a line was heard.
    pub fn heard(&self, words: &str) -> bool {
        let lines = self.heard.lines.lock().unwrap();
        lines.iter().any(|line| line.contains(words))
    }

    /// One line that has all of these words.
    pub fn heard_line(&self, words: &[&str]) -> bool {
        let lines = self.heard.lines.lock().unwrap();
        lines
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// A new one, at its own address.
    pub fn browser(&self) -> Browser<'_> {
        let last = u8::try_from(self.browsers.fetch_add(1, Ordering::SeqCst)).unwrap();
        Browser::new(self, IpAddr::from([192, 0, 2, last]))
    }

    pub fn browser_at(&self, address: [u8; 4]) -> Browser<'_> {
        Browser::new(self, IpAddr::from(address))
    }

    /// Signed in with nothing but the password.
    pub async fn signed_in(&self, login: &str) -> Browser<'_> {
        let browser = self.browser();
        let page = browser.log_in(&format!("{EMR}/"), login).await;
        assert_eq!(page.url, format!("{EMR}/"), "{}", page.body);
        browser
    }
}

pub fn origin_of(url: &str) -> &str {
    let end = url["https://".len()..]
        .find('/')
        .map_or(url.len(), |at| at + "https://".len());
    &url[..end]
}

/// The code that the authenticator shows for a key as it is typed.
pub fn code(typed_key: &str, now: Moment) -> String {
    let key = totp_rs::Secret::try_from_base32(typed_key.replace(' ', "")).unwrap();
    let totp = totp_rs::Builder::new()
        .with_algorithm(totp_rs::Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(30)
        .with_secret(key)
        .build()
        .unwrap();
    totp.generate(u64::try_from(now.secs()).unwrap())
        .to_string()
}

/// Enrols on the page shown and returns the key and where it led.
pub async fn enrol(browser: &Browser<'_>, page: Page) -> (String, Page) {
    let with_key = browser
        .get(&format!("{PORTAL}{}", page.link("Trouble Scanning?")))
        .await;
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
