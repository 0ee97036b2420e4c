//! What a sign-in is, and what it means at a moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::identity::Values;
use super::name::{CompanyId, Login, PersonId, ProductId, SessionId};
use super::policy::Limits;
use super::time::Moment;

/// 256 random bits that a browser holds. Stores hold only the [`SecretHash`], which is made once:
/// nearly every secret is read to be compared.
#[derive(Clone)]
pub struct Secret {
    bytes: [u8; 32],
    hash: SecretHash,
}

impl Secret {
    /// The length of the written form.
    pub const WRITTEN: usize = 43;

    pub fn from_bytes(bytes: [u8; 32]) -> Secret {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Secret {
            bytes,
            hash: SecretHash(hash),
        }
    }

    pub fn parse(text: &[u8]) -> Option<Secret> {
        decode(text).map(Secret::from_bytes)
    }

    /// The written form, for a cookie or a link: the one place where the secret leaves the type.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes)
    }

    pub fn hash(&self) -> SecretHash {
        self.hash
    }
}

fn decode(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (written == bytes.len()).then_some(bytes)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a [`Secret`]. A plain hash is enough: there are 256 bits to guess.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn matches(&self, secret: &Secret) -> bool {
        *self == secret.hash
    }

    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub fn parse(text: &str) -> Option<SecretHash> {
        decode(text.as_bytes()).map(SecretHash)
    }
}

/// In constant time.
impl PartialEq for SecretHash {
    fn eq(&self, other: &SecretHash) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl TryFrom<String> for SecretHash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<SecretHash, &'static str> {
        SecretHash::parse(&text).ok_or("not 43 characters of base64url")
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> String {
        hash.to_text()
    }
}

/// The value of a `__Host-vestibule` cookie.
#[derive(Debug, Clone)]
pub enum Token {
    /// A session's, on the portal or on one product's host: `ID.SECRET`.
    Session { id: SessionId, secret: Secret },
    /// A browser that is not signed in yet, on a product's host: `v.SECRET`. A ticket from the
    /// portal is bound to it, so that nobody can be signed in with somebody else's ticket.
    Visitor(Secret),
}

impl Token {
    pub fn parse(value: &[u8]) -> Option<Token> {
        let dot = value.iter().position(|b| *b == b'.')?;
        let (head, rest) = value.split_at_checked(dot)?;
        let secret = Secret::parse(rest.get(1..)?)?;
        if head == b"v" {
            return Some(Token::Visitor(secret));
        }
        let id = SessionId::parse(std::str::from_utf8(head).ok()?).ok()?;
        Some(Token::Session { id, secret })
    }

    pub fn expose(&self) -> String {
        match self {
            Token::Session { id, secret } => format!("{id}.{}", secret.expose()),
            Token::Visitor(secret) => format!("v.{}", secret.expose()),
        }
    }
}

/// How somebody proved who they are, in the words of RFC 8176.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Pwd,
    Otp,
    Sms,
    Hwk,
    /// No proof of this sign-in: the factor was proved in this browser before, and the person asked
    /// to be remembered. Backends are not told, and no rule that wants a fresh factor takes it.
    Device,
    /// A second factor that the company's provider did not name.
    Mfa,
    /// The company's provider vouched for the person. Backends are told what it said of the proof.
    Provider,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Pwd => "pwd",
            Method::Otp => "otp",
            Method::Sms => "sms",
            Method::Hwk => "hwk",
            Method::Device => "device",
            Method::Mfa => "mfa",
            Method::Provider => "provider",
        }
    }
}

/// What is known of a person at sign-in and told to backends. Whoever changes it in the directory
/// ends or renews the sessions that carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub id: PersonId,
    pub name: String,
    pub email: String,
    pub roles: Vec<String>,
    /// Products with `needs_grant` that were granted.
    pub grants: Vec<ProductId>,
}

/// A session's presence in one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What the browser's cookie on this product's host must hash to.
    pub token: SecretHash,
    /// The account's login in this product.
    pub login: Login,
    /// When the person last proved themselves for this product: its idle counts from here at the
    /// earliest.
    pub entered_at: Moment,
    /// Rises when the cookie is renewed: the token is derived from it (see `sessions::tokens`).
    #[serde(default)]
    pub generation: u32,
    /// For an account of the product's own: the companies that this account has. Without it the
    /// primary account serves here, and the session's own company holds.
    #[serde(default)]
    pub tenancy: Option<Tenancy>,
}

/// The companies that an account has, and the one that is worked for at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenancy {
    pub current: CompanyId,
    /// `current` is among them.
    pub all: Vec<CompanyId>,
}

impl Tenancy {
    /// What an account has by the directory. An account that names no company has its person's.
    /// A default that is not among the account's own is not believed.
    pub fn of(all: &[CompanyId], default: Option<&CompanyId>, home: &CompanyId) -> Tenancy {
        let mut all = all.to_vec();
        if all.is_empty() {
            all.push(default.unwrap_or(home).clone());
        }
        let default = default.filter(|default| all.contains(default));
        let current = default.or(all.first()).unwrap_or(home).clone();
        Tenancy { current, all }
    }

    /// The same companies with another current one; `None` when it is not among them.
    pub fn at(self, company: &CompanyId) -> Option<Tenancy> {
        self.all.contains(company).then(|| Tenancy {
            current: company.clone(),
            all: self.all,
        })
    }
}

/// A session's presence in each product it entered, in the order of their ids. A map of trees
/// would take a kilobyte for one entry, and there are as many of these as people signed in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries(Box<[(ProductId, Entry)]>);

impl Entries {
    pub fn get(&self, product: &ProductId) -> Option<&Entry> {
        let place = self.0.binary_search_by(|(id, _)| id.cmp(product)).ok()?;
        self.0.get(place).map(|(_, entry)| entry)
    }

    pub fn insert(&mut self, product: ProductId, entry: Entry) {
        let others = self.0.iter().filter(|(id, _)| *id != product).cloned();
        *self = others.chain([(product.clone(), entry)]).collect();
    }

    pub fn remove(&mut self, product: &ProductId) {
        let others = self.0.iter().filter(|(id, _)| id != product).cloned();
        *self = others.collect();
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ProductId, &Entry)> {
        self.0.iter().map(|(id, entry)| (id, entry))
    }

    pub fn keys(&self) -> impl Iterator<Item = &ProductId> {
        self.0.iter().map(|(id, _)| id)
    }

    pub fn values(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().map(|(_, entry)| entry)
    }
}

impl FromIterator<(ProductId, Entry)> for Entries {
    fn from_iter<I: IntoIterator<Item = (ProductId, Entry)>>(entries: I) -> Entries {
        // Sorted, and the last of those with one id.
        let map: BTreeMap<ProductId, Entry> = entries.into_iter().collect();
        Entries(map.into_iter().collect())
    }
}

impl Serialize for Entries {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        let map = BTreeMap::<ProductId, Entry>::deserialize(deserializer)?;
        Ok(map.into_iter().collect())
    }
}

/// One browser's sign-in, as stores keep it. When somebody was last seen is kept apart
/// ([`LastSeen`]): it changes all the time and invalidates nobody's copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    /// Rises by one with each change: a writer names the version it read.
    pub version: u64,
    pub person: Profile,
    /// The current company of the primary account: it holds on the portal and wherever that account
    /// serves. Elsewhere see [`company_in`](Session::company_in).
    pub company: CompanyId,
    /// Companies of the primary account that this person can switch to.
    pub companies: Vec<CompanyId>,
    /// The sign-in; the maximum counts from here.
    pub started_at: Moment,
    /// The last time that the password was proved.
    pub password_at: Moment,
    /// The last time that a second factor was proved.
    pub factor_at: Option<Moment>,
    pub methods: Vec<Method>,
    /// What the browser's cookie on the portal must hash to.
    pub portal: SecretHash,
    /// Mixed into the product tokens, which are derived (see `sessions::tokens`).
    pub seed: SecretHash,
    pub entries: Entries,
    /// Where the sign-in came from, for lists of sessions.
    pub address: String,
    pub user_agent: String,
}

impl Session {
    /// RFC 8176 values for headers and assertions; `mfa` when two kinds were used.
    pub fn amr(&self) -> Vec<&'static str> {
        let proved = self
            .methods
            .iter()
            .filter(|method| !matches!(method, Method::Device | Method::Provider));
        let mut amr: Vec<&'static str> = proved.map(|method| method.as_str()).collect();
        if amr.len() > 1 && !amr.contains(&"mfa") {
            amr.push("mfa");
        }
        amr
    }

    /// The company that is worked for in this product: policy is decided for it, and its backend
    /// is told of it and of no other.
    pub fn company_in(&self, product: &ProductId) -> &CompanyId {
        let entry = self.entries.get(product);
        entry.map_or(&self.company, |entry| self.company_of(entry))
    }

    pub fn company_of<'a>(&'a self, entry: &'a Entry) -> &'a CompanyId {
        let tenancy = entry.tenancy.as_ref();
        tenancy.map_or(&self.company, |tenancy| &tenancy.current)
    }

    /// The companies that the account in this product has.
    pub fn companies_in(&self, product: &ProductId) -> &[CompanyId] {
        let tenancy = self
            .entries
            .get(product)
            .and_then(|entry| entry.tenancy.as_ref());
        tenancy.map_or(&self.companies, |tenancy| &tenancy.all)
    }

    /// Every company that this session works for somewhere.
    pub fn companies_at_work(&self) -> impl Iterator<Item = &CompanyId> {
        let entries = self.entries.values();
        std::iter::once(&self.company).chain(
            entries.filter_map(|entry| entry.tenancy.as_ref().map(|tenancy| &tenancy.current)),
        )
    }

    pub fn has_role(&self, role: &str) -> bool {
        self.person.roles.iter().any(|held| held == role)
    }
}

/// When a person was last active, anywhere and in each product.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastSeen {
    pub anywhere: Option<Moment>,
    pub products: BTreeMap<ProductId, Moment>,
}

/// The two moments of [`LastSeen`] that matter to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub anywhere: Moment,
    pub here: Moment,
}

/// Why nobody is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// No cookie, or a visitor's.
    New,
    /// The cookie is not one of ours, or came twice.
    Malformed,
    /// The session ended, or the secret is not its own.
    Ended,
}

/// What the cookie of a request led to.
#[derive(Debug, Clone)]
pub enum Known {
    Nobody(Stranger),
    Found(Found),
    /// The store could not be asked. An input like any other, so that a rule decides what
    /// happens, not an error path.
    Unavailable,
}

/// A session that the presented secret belongs to.
#[derive(Debug, Clone)]
pub struct Found {
    pub session: Arc<Session>,
    pub seen: Seen,
    /// What the backend is told; `None` on the portal.
    pub presence: Option<Arc<Presence>>,
    /// The store is away and the operator allows what this node saw a moment ago: reads only.
    pub grace: bool,
}

/// What one product's backend is told of a session, ready to be sent. Made by
/// [`identity::presence`](super::identity::presence) and kept beside the cached session.
#[derive(Debug)]
pub struct Presence {
    pub product: ProductId,
    pub values: Values,
    pub assertion_expires_at: Moment,
}

/// What a session is worth at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Live,
    /// Past its maximum: over everywhere.
    OverMaximum,
    /// Nobody did anything anywhere for too long: over everywhere.
    OverIdle,
    /// Nobody did anything in this product for too long: over here only.
    OverProductIdle,
}

/// Judges a session at `now`. Never early: a limit of two hours ends what was seen two hours and
/// a millisecond ago, not what was seen exactly two hours ago.
pub fn standing(session: &Session, seen: Seen, limits: Limits, now: Moment) -> Standing {
    let over = |since: Moment, limit: Duration| now.since(since) > limit;
    if over(session.started_at, limits.maximum) {
        Standing::OverMaximum
    } else if over(seen.anywhere, limits.idle) {
        Standing::OverIdle
    } else if limits
        .product_idle
        .is_some_and(|idle| over(seen.here, idle))
    {
        Standing::OverProductIdle
    } else {
        Standing::Live
    }
}
