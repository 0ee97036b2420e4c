//! What deciding costs: reading a target, a cookie and a host, looking a session up, deciding, and
//! the headers of who is let in. Everything but the forwarding, one by one.
//!
//! `cargo bench --bench gate`

// Nothing is served yet: what fails here fails at the start.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use http::{HeaderValue, Method};
use jiff::tz::TimeZone;
use vestibule::gate::cookies;
use vestibule::gate::decide::{Decision, decide};
use vestibule::gate::facts::{Asks, Facts, Presented, Site};
use vestibule::gate::headers::Managed;
use vestibule::gate::host::Host;
use vestibule::gate::name::{CompanyId, Login, PersonId, ProductId};
use vestibule::gate::pattern::Pattern;
use vestibule::gate::policy::{
    Action, CompanyPolicy, Conditions, MessagePolicy, Mfa, MfaMode, PasswordPolicy, Policies,
    Rollout, Rule, SessionLimits,
};
use vestibule::gate::product::{
    Access, Accounts, ActivityRules, IdentityHeaders, Product, Products, Unauthenticated,
};
use vestibule::gate::session::{self, Profile, Token};
use vestibule::gate::target::Target;
use vestibule::gate::time::Moment;
use vestibule::sessions::assertions::{self, Assertions, SigningKey};
use vestibule::sessions::embedded::EmbeddedStore;
use vestibule::sessions::tokens::TokenKey;
use vestibule::sessions::{NewSession, Parts, Sessions, Settings, Unobserved};

const PATH: &str = "/patients/174411/encounters/20261121/notes";

/// A Monday.
fn noon() -> Moment {
    Moment::parse_rfc3339("2026-11-23T12:00:00Z").expect("a time")
}

fn products() -> Products {
    let product = |index: usize, id: &str| {
        Arc::new(Product {
            id: ProductId::parse(id).expect("an id"),
            index,
            name: id.to_owned(),
            host: Host::parse(&format!("{id}.localhost")).expect("a host"),
            origin: format!("https://{id}.localhost:8443"),
            primary: index == 0,
            needs_grant: false,
            accounts: Accounts::Own,
            access: Access::Required,
            idle: (index == 1).then_some(Duration::from_secs(7_200)),
            activity: ActivityRules {
                ignore: vec![Pattern::parse("/poll/**").expect("a pattern")],
                count: Vec::new(),
            },
            identity: IdentityHeaders::Forwarded,
            unauthenticated: Unauthenticated::Auto,
            websockets: true,
        })
    };
    let all = ["emr", "billing", "analytics"].into_iter().enumerate();
    Products::new(all.map(|(index, id)| product(index, id)).collect()).expect("one primary product")
}

/// A thousand companies; each has `rules` rules of which none is met.
fn policies(rules: usize) -> Policies {
    let rule = |number: usize| Rule {
        name: format!("rule {number}"),
        when: Conditions {
            paths: Some(vec![
                Pattern::parse(&format!("/payments/{number}/**")).expect("a pattern"),
            ]),
            methods: Some(vec![Method::GET, Method::POST]),
            roles: Some(vec![String::from("clerk")]),
            ..Conditions::default()
        },
        except: None,
        action: Action::Deny,
    };
    let policy = Arc::new(CompanyPolicy {
        name: String::from("Acme Rehab"),
        mfa: Mfa {
            mode: MfaMode::Off,
            methods: Vec::new(),
            remember_device: Duration::ZERO,
            messages: MessagePolicy::sound(),
        },
        password: PasswordPolicy::default(),
        session_maximum: None,
        session_idle: None,
        product_idle: BTreeMap::new(),
        rules: (0..rules).map(rule).collect(),
        timezone: TimeZone::UTC,
    });
    let company = |number: usize| CompanyId::parse(&format!("company-{number}")).expect("an id");
    Policies {
        companies: (0..1_000)
            .map(|number| (company(number), Arc::clone(&policy)))
            .collect(),
        default: policy,
        session: SessionLimits {
            maximum: Duration::from_secs(12 * 3_600),
            idle: Duration::from_secs(8 * 3_600),
        },
        rollout: Rollout::default(),
        factor_switched_on: Default::default(),
        emergencies: Vec::new(),
    }
}

fn facts(product: &Arc<Product>, cookie: Presented) -> Facts {
    Facts {
        site: Site::Product(Arc::clone(product)),
        method: Method::GET,
        target: Target::parse(PATH.as_bytes()).expect("a target"),
        address: Ipv4Addr::new(203, 0, 113, 77).into(),
        asks: Asks::Navigation,
        background: false,
        foreign_origin: false,
        cookie,
    }
}

/// Sessions over an embedded store, and one that is signed in to EMR.
struct House {
    runtime: tokio::runtime::Runtime,
    sessions: Arc<Sessions>,
    policies: Arc<ArcSwap<Policies>>,
    emr: Arc<Product>,
    cookie: Presented,
    token: Token,
    _folder: tempfile::TempDir,
}

fn house() -> House {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let products = products();
    let emr = Arc::clone(products.primary());
    let policies = Arc::new(ArcSwap::from_pointee(policies(20)));
    let key = assertions::generate_key().expect("a key");
    let key = SigningKey {
        id: String::from("1"),
        pkcs8: key,
        created_at: Moment::EPOCH,
    };
    let count = AtomicU8::new(0);
    let store = runtime
        .block_on(EmbeddedStore::open(folder.path()))
        .expect("a store");
    let sessions = Sessions::new(Parts {
        store: Arc::new(store),
        products,
        settings: Settings {
            recheck: Duration::from_secs(3_600),
            cache_capacity: 10_000,
            grace: None,
            issuer: String::from("https://login.localhost:8443"),
        },
        token_key: TokenKey::new(&[7; 32]),
        assertions: Arc::new(Assertions::new(vec![key]).expect("a key")),
        policies: Arc::clone(&policies),
        clock: Arc::new(noon),
        random: Arc::new(move |bytes: &mut [u8]| bytes.fill(count.fetch_add(1, Ordering::Relaxed))),
        observer: Arc::new(Unobserved),
    });
    let token = runtime.block_on(sign_in(&sessions, &emr));
    let cookie = Presented::Token(Token::parse(token.expose().as_bytes()).expect("a token"));
    House {
        runtime,
        sessions,
        policies,
        emr,
        cookie,
        token,
        _folder: folder,
    }
}

async fn sign_in(sessions: &Arc<Sessions>, product: &Product) -> Token {
    let company = CompanyId::parse("company-7").expect("an id");
    let new = NewSession {
        person: Profile {
            id: PersonId::parse("kim").expect("an id"),
            name: String::from("Kim Doe"),
            email: String::from("kim@acme.example"),
            roles: vec![String::from("clerk"), String::from("user_manager")],
            grants: Vec::new(),
        },
        companies: vec![company.clone()],
        company,
        methods: vec![session::Method::Pwd],
        factor_at: None,
        address: String::from("203.0.113.77"),
        user_agent: String::from("Mozilla/5.0"),
    };
    let (session, _) = sessions.begin(new, noon()).await.expect("a session");
    let login = Login::parse("kim").expect("a login");
    let token = sessions
        .enter(session.id, product, login, false, noon())
        .await;
    token.expect("a store").expect("a session")
}

fn reading(c: &mut Criterion, house: &House) {
    c.bench_function("facts: target", |b| {
        b.iter(|| Target::parse(black_box(PATH.as_bytes())).expect("a target"));
    });
    let awkward = b"/patients/%7Ekim/caf%c3%a9/notes?q=caf%C3%A9&next=%2Fbilling";
    c.bench_function("facts: target with escapes and a query", |b| {
        b.iter(|| Target::parse(black_box(awkward)).expect("a target"));
    });
    c.bench_function("facts: host", |b| {
        b.iter(|| Host::parse_authority(black_box(b"emr.localhost:8443")).expect("a host"));
    });
    let line = format!(
        "theme=dark; __Host-vestibule={}; _ga=GA1.2.3",
        house.token.expose()
    );
    c.bench_function("facts: cookie", |b| {
        b.iter(|| cookies::presented(std::iter::once(black_box(line.as_bytes()))));
    });
    let managed = Managed::of(&products());
    let names = [
        "host",
        "user-agent",
        "accept",
        "accept-language",
        "accept-encoding",
        "cookie",
        "x_forwarded_user",
    ];
    c.bench_function("facts: seven header names in normal form", |b| {
        b.iter(|| {
            names
                .iter()
                .filter(|name| managed.is_managed(black_box(name)))
                .count()
        });
    });
}

fn looking_up(c: &mut Criterion, house: &House) {
    let site = Site::Product(Arc::clone(&house.emr));
    let policies = house.policies.load_full();
    let find = || {
        house
            .sessions
            .look_up(black_box(&house.cookie), &site, &policies, noon_ready())
    };
    // The first fills the cache.
    house.runtime.block_on(find());
    let _inside = house.runtime.enter();
    c.bench_function("sessions: cookie to cached session", |b| {
        b.iter(|| {
            find()
                .now_or_never()
                .expect("what is cached is found without waiting")
                .leash
        });
    });
}

fn deciding(c: &mut Criterion, house: &House) {
    let facts = facts(&house.emr, house.cookie.clone());
    let site = facts.site.clone();
    let some = house.policies.load_full();
    let known = house
        .runtime
        .block_on(house.sessions.look_up(&house.cookie, &site, &some, noon()))
        .known;
    for rules in [0, 20, 200] {
        let policies = policies(rules);
        c.bench_function(&format!("decide: {rules} rules, let through"), |b| {
            b.iter(|| {
                decide(
                    black_box(&facts),
                    black_box(&known),
                    &policies,
                    noon_ready(),
                )
            });
        });
    }
    let Decision::Forward(permit) = decide(&facts, &known, &some, noon()) else {
        // What would be measured below is not what is meant.
        unreachable!("a session that has just begun is let through");
    };
    c.bench_function("forward: header plan", |b| {
        b.iter(|| {
            let mut headers = http::HeaderMap::<HeaderValue>::with_capacity(32);
            for (name, value) in permit.headers().iter() {
                headers.insert(name, value);
            }
            black_box(headers)
        });
    });
}

/// [`noon`] without reading a calendar.
fn noon_ready() -> Moment {
    Moment::from_secs(black_box(1_795_435_200))
}

fn all(c: &mut Criterion) {
    let house = house();
    reading(c, &house);
    looking_up(c, &house);
    deciding(c, &house);
}

criterion_group!(benches, all);
criterion_main!(benches);
