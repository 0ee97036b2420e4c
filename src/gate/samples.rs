//! Values that the tests of this room share: the products of the sample configuration, people of
//! one company, and a clock that starts on a Monday.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::tz::TimeZone;

use super::facts::{Asks, Facts, Presented, Site};
use super::host::Host;
use super::identity;
use super::name::{CompanyId, Login, PersonId, ProductId, SessionId};
use super::pattern::Pattern;
use super::policy::{
    CompanyPolicy, MessagePolicy, Mfa, MfaMode, PasswordPolicy, Policies, Rollout, Rules,
    SessionLimits,
};
use super::product::{
    Access, Accounts, ActivityRules, IdentityHeaders, Product, Products, Unauthenticated,
};
use super::session::{self, Entries, Entry, Found, Known, Profile, Secret, Seen, Session};
use super::target::Target;
use super::time::Moment;

pub const HOUR: Duration = Duration::from_secs(3_600);
pub const MINUTE: Duration = Duration::from_secs(60);

/// Monday, 12:00 UTC.
pub fn noon() -> Moment {
    Moment::parse_rfc3339("2026-11-23T12:00:00Z").unwrap()
}

pub fn company(id: &str) -> CompanyId {
    CompanyId::parse(id).unwrap()
}

pub fn product_id(id: &str) -> ProductId {
    ProductId::parse(id).unwrap()
}

pub fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts
        .iter()
        .map(|text| Pattern::parse(text).unwrap())
        .collect()
}

/// EMR (primary), Billing (idle after two hours) or Analytics (needs a grant).
pub fn plain_product(id: &str) -> Product {
    let place = ["emr", "billing", "analytics"]
        .iter()
        .position(|known| *known == id)
        .unwrap();
    Product {
        id: product_id(id),
        index: place,
        name: id.to_uppercase(),
        host: Host::parse(&format!("{id}.localhost")).unwrap(),
        origin: format!("https://{id}.localhost:8443"),
        primary: id == "emr",
        needs_grant: id == "analytics",
        accounts: Accounts::Own,
        access: Access::Required,
        idle: (id == "billing").then_some(2 * HOUR),
        activity: ActivityRules::default(),
        identity: IdentityHeaders::Forwarded,
        unauthenticated: Unauthenticated::Auto,
        websockets: true,
    }
}

pub fn product(id: &str) -> Arc<Product> {
    Arc::new(plain_product(id))
}

pub fn products() -> Products {
    Products::new(["emr", "billing", "analytics"].map(product).to_vec()).unwrap()
}

pub fn policy() -> CompanyPolicy {
    CompanyPolicy {
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
        rules: Rules::default(),
        timezone: TimeZone::UTC,
    }
}

/// Acme Rehab's policy; every other company has the plain one.
pub fn policies(acme: CompanyPolicy) -> Policies {
    Policies {
        companies: [(company("acme"), Arc::new(acme))].into_iter().collect(),
        default: Arc::new(policy()),
        session: SessionLimits {
            maximum: 12 * HOUR,
            idle: 8 * HOUR,
        },
        rollout: Rollout::default(),
        factor_switched_on: Default::default(),
        emergencies: Vec::new(),
    }
}

/// Kim of Acme, signed in by password an hour before noon.
pub fn session() -> Session {
    let hash = Secret::from_bytes([1; 32]).hash();
    let started_at = noon().minus(HOUR);
    Session {
        id: SessionId::from_bytes([7; 16]),
        version: 1,
        person: Profile {
            id: PersonId::parse("kim").unwrap(),
            name: String::from("Kim Doe"),
            email: String::from("kim@acme.example"),
            roles: vec![String::from("clerk"), String::from("user_manager")],
            grants: Vec::new(),
        },
        company: company("acme"),
        companies: vec![company("acme")],
        started_at,
        password_at: started_at,
        factor_at: None,
        methods: vec![session::Method::Pwd],
        portal: hash,
        seed: hash,
        entries: Entries::default(),
        address: String::from("192.0.2.7"),
        user_agent: String::new(),
    }
}

pub fn entry() -> Entry {
    Entry {
        token: Secret::from_bytes([2; 32]).hash(),
        login: Login::parse("kim").unwrap(),
        entered_at: noon().minus(HOUR),
        generation: 0,
        tenancy: None,
    }
}

/// The session in one product, last seen a minute before noon.
pub fn known(session: Session, product: &Product) -> Found {
    let seen_at = noon().minus(MINUTE);
    let presence = identity::presence(
        &session,
        &entry(),
        product,
        "a.b.c",
        noon().plus(5 * MINUTE),
    );
    Found {
        session: Arc::new(session),
        seen: Seen {
            anywhere: seen_at,
            here: seen_at,
        },
        presence: Some(Arc::new(presence)),
        grace: false,
    }
}

pub fn found(found: Found) -> Known {
    Known::Found(found)
}

/// `GET /path`, a navigation; other methods, and paths that begin with `/api/`, are a program's.
pub fn facts(product: &Arc<Product>, line: &str) -> Facts {
    let (method, path) = line.split_once(' ').unwrap();
    let navigates = method == "GET" && !path.starts_with("/api/");
    Facts {
        site: Site::Product(Arc::clone(product)),
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        target: Target::parse(path.as_bytes()).unwrap(),
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        asks: if navigates {
            Asks::Navigation
        } else {
            Asks::Program
        },
        background: false,
        foreign_origin: false,
        cookie: Presented::Nothing,
    }
}
