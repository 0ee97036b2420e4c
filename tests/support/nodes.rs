//! Gateways without the gateway: sessions over a store, with a clock of the test's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::sync::watch;
use vestibule::gate::facts::{Presented, Site};
use vestibule::gate::host::Host;
use vestibule::gate::name::{CompanyId, Login, PersonId, ProductId};
use vestibule::gate::policy::{
    CompanyPolicy, MessagePolicy, Mfa, MfaMode, PasswordPolicy, Policies, Rollout, Rules,
    SessionLimits,
};
use vestibule::gate::product::{
    Access, Accounts, ActivityRules, IdentityHeaders, Product, Products, Unauthenticated,
};
use vestibule::gate::session::{Known, Method, Profile, Standing, Stranger, Token, standing};
use vestibule::gate::time::Moment;
use vestibule::sessions::assertions::{Assertions, SigningKey, generate_key};
use vestibule::sessions::embedded::EmbeddedStore;
use vestibule::sessions::redis::RedisStore;
use vestibule::sessions::store::Store;
use vestibule::sessions::tokens::TokenKey;
use vestibule::sessions::{EndCause, LookedUp, NewSession, Observer, Parts, Sessions, Settings};

use crate::redis_server::Redis;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const SECOND: Duration = Duration::from_secs(1);
pub const MILLI: Duration = Duration::from_millis(1);
pub const START: Moment = Moment::from_secs(1_800_000_000);

/// Where sessions live, whatever is in front of them.
pub enum Home {
    Folder(TempDir),
    Redis(Box<Mutex<Redis>>),
}

impl Home {
    pub fn embedded() -> Home {
        Home::Folder(tempfile::tempdir().unwrap())
    }

    pub fn redis() -> Home {
        Home::Redis(Box::new(Mutex::new(Redis::start())))
    }

    /// One more handle on what is there, as another process would have it.
    pub async fn open(&self) -> Arc<dyn Store> {
        self.open_apart("vestibule:").await
    }

    pub async fn open_apart(&self, apart: &str) -> Arc<dyn Store> {
        match self {
            Home::Folder(folder) => Arc::new(open_in(&folder.path().join(apart)).await),
            Home::Redis(redis) => {
                let url = redis.lock().unwrap().url();
                Arc::new(RedisStore::connect(&url, apart).await.unwrap())
            }
        }
    }

    pub async fn node(&self, clock: &TestClock) -> Node {
        Node::new(self.open().await, clock, None)
    }
}

async fn open_in(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder).await.unwrap()
}

#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub fn new() -> TestClock {
        TestClock(Arc::new(AtomicI64::new(START.millis())))
    }

    pub fn now(&self) -> Moment {
        Moment::from_millis(self.0.load(Ordering::SeqCst))
    }

    pub fn set(&self, now: Moment) {
        self.0.store(now.millis(), Ordering::SeqCst);
    }

    pub fn pass(&self, span: Duration) {
        self.set(self.now().plus(span));
    }
}

/// Counts what it is told.
#[derive(Default)]
pub struct Counted {
    pub ended: Mutex<Vec<(Option<String>, EndCause)>>,
    pub from_cache: AtomicU64,
    pub from_store: AtomicU64,
    pub calls: AtomicU64,
}

impl Observer for Counted {
    fn looked_up(&self, source: &'static str) {
        let counter = if source == "cache" {
            &self.from_cache
        } else {
            &self.from_store
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    fn store_call(&self, _: &'static str, _: Duration) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    fn ended(&self, product: Option<&ProductId>, cause: EndCause) {
        self.ended
            .lock()
            .unwrap()
            .push((product.map(ToString::to_string), cause));
    }
}

/// One gateway's sessions, hearing announcements.
pub struct Node {
    pub sessions: Arc<Sessions>,
    pub counted: Arc<Counted>,
    pub policies: Arc<ArcSwap<Policies>>,
    pub clock: TestClock,
    _stop: watch::Sender<bool>,
}

impl Node {
    pub fn new(store: Arc<dyn Store>, clock: &TestClock, grace: Option<Duration>) -> Node {
        let counted = Arc::new(Counted::default());
        let policies = Arc::new(ArcSwap::from_pointee(policies()));
        let time = clock.clone();
        let key = SigningKey {
            id: String::from("k1"),
            pkcs8: generate_key().unwrap(),
            created_at: Moment::EPOCH,
        };
        let sessions = Sessions::new(Parts {
            store,
            products: products(),
            settings: Settings {
                recheck: 30 * SECOND,
                cache_capacity: 1_000,
                grace,
                issuer: String::from("https://login.localhost"),
            },
            token_key: TokenKey::new(&[7; 32]),
            assertions: Arc::new(Assertions::new(vec![key]).unwrap()),
            policies: Arc::clone(&policies),
            clock: Arc::new(move || time.now()),
            random: Arc::new(|bytes| aws_lc_rs::rand::fill(bytes).unwrap()),
            observer: Arc::clone(&counted) as Arc<dyn Observer>,
        });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(Arc::clone(&sessions).listen(stopped));
        Node {
            sessions,
            counted,
            policies,
            clock: clock.clone(),
            _stop: stop,
        }
    }

    pub async fn sign_in(&self) -> Token {
        self.sessions
            .begin(new_session("kim", "acme"), self.clock.now())
            .await
            .unwrap()
            .1
    }

    pub async fn enter(&self, token: &Token, product: &str) -> Token {
        self.enter_as(token, product, false).await.unwrap()
    }

    pub async fn enter_as(&self, token: &Token, product: &str, again: bool) -> Option<Token> {
        let login = Login::parse("kim").unwrap();
        let product = self.product(product);
        self.sessions
            .enter(id_of(token), &product, login, again, self.clock.now())
            .await
            .unwrap()
    }

    pub async fn look_up(&self, token: &Token, site: &str) -> LookedUp {
        let site = match site {
            "portal" => Site::Portal,
            product => Site::Product(self.product(product)),
        };
        let presented = Presented::Token(token.clone());
        let policies = self.policies.load_full();
        self.sessions
            .look_up(&presented, &site, &policies, self.clock.now())
            .await
    }

    /// What the gate would make of the look-up.
    pub async fn worth(&self, token: &Token, site: &str) -> &'static str {
        let looked_up = self.look_up(token, site).await;
        let found = match &looked_up.known {
            Known::Unavailable => return "unavailable",
            Known::Nobody(Stranger::New) => return "new",
            Known::Nobody(Stranger::Malformed) => return "malformed",
            Known::Nobody(Stranger::Ended) => return "ended",
            Known::Found(found) => found,
        };
        let policies = self.policies.load();
        let company = &found.session.company;
        let limits = match site {
            "portal" => policies.session_limits(company),
            product => policies.limits(company, &self.product(product)),
        };
        match standing(&found.session, found.seen, limits, self.clock.now()) {
            Standing::Live if found.grace => "grace",
            Standing::Live => "live",
            Standing::OverMaximum => "maximum",
            Standing::OverIdle => "idle",
            Standing::OverProductIdle => "product_idle",
        }
    }

    /// A person's request, as the edge makes it: looked up, and stamped when let through.
    pub async fn act(&self, token: &Token, product: &str) -> &'static str {
        let worth = self.worth(token, product).await;
        if worth == "live" {
            let looked_up = self.look_up(token, product).await;
            let Known::Found(found) = looked_up.known else {
                panic!("live a moment ago")
            };
            let product = self.product(product);
            self.sessions
                .stamp(&found.session, &product, self.clock.now())
                .await;
        }
        worth
    }

    pub async fn tick(&self) {
        self.sessions.tick(self.clock.now()).await;
    }

    pub fn product(&self, id: &str) -> Arc<Product> {
        Arc::clone(self.sessions.products().by_id(id).unwrap())
    }
}

pub fn id_of(token: &Token) -> vestibule::gate::name::SessionId {
    match token {
        Token::Session { id, .. } => *id,
        Token::Visitor(_) => panic!("a visitor has no session"),
    }
}

pub fn new_session(person: &str, company: &str) -> NewSession {
    NewSession {
        person: Profile {
            id: PersonId::parse(person).unwrap(),
            name: String::from("Kim Doe"),
            email: String::from("kim@acme.test"),
            roles: vec![String::from("company_admin")],
            grants: vec![],
        },
        company: CompanyId::parse(company).unwrap(),
        companies: vec![
            CompanyId::parse(company).unwrap(),
            CompanyId::parse("other").unwrap(),
        ],
        methods: vec![Method::Pwd],
        factor_at: None,
        address: String::from("192.0.2.7"),
        user_agent: String::from("Firefox"),
    }
}

pub fn products() -> Products {
    let product = |index: usize, id: &str, idle| {
        let host = format!("{id}.localhost");
        Arc::new(Product {
            id: ProductId::parse(id).unwrap(),
            index,
            name: id.to_uppercase(),
            host: Host::parse_authority(host.as_bytes()).unwrap(),
            origin: format!("https://{host}"),
            primary: index == 0,
            needs_grant: false,
            accounts: Accounts::Own,
            access: Access::Required,
            idle,
            activity: ActivityRules::default(),
            identity: IdentityHeaders::Forwarded,
            unauthenticated: Unauthenticated::Auto,
            websockets: true,
        })
    };
    Products::new(vec![
        product(0, "emr", None),
        product(1, "billing", Some(2 * HOUR)),
        product(2, "analytics", None),
    ])
    .unwrap()
}

pub fn policies() -> Policies {
    let mfa = Mfa {
        mode: MfaMode::Off,
        methods: vec![],
        remember_device: Duration::ZERO,
        messages: MessagePolicy::sound(),
    };
    Policies {
        companies: Default::default(),
        default: Arc::new(CompanyPolicy {
            name: String::from("everybody"),
            mfa,
            password: PasswordPolicy::default(),
            session_maximum: None,
            session_idle: None,
            product_idle: BTreeMap::new(),
            rules: Rules::default(),
            timezone: TimeZone::UTC,
        }),
        session: SessionLimits {
            maximum: 12 * HOUR,
            idle: 8 * HOUR,
        },
        rollout: Rollout::default(),
        factor_switched_on: Default::default(),
        emergencies: Vec::new(),
    }
}

/// Waits until `done`, as long as announcements may take.
pub async fn within_a_second(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(SECOND, async {
        while !done().await {
            tokio::time::sleep(MILLI).await;
        }
    });
    assert!(waited.await.is_ok(), "not within a second: {what}");
}
