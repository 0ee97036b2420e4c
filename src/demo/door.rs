//! An application's own sign-in: its users, their sessions and the cookie that names one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::{constant_time, rand};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::people::{self, Account};
use super::visitor::Visitor;

/// Sessions and forms remembered at most; the oldest goes first.
const REMEMBERED: usize = 10_000;
/// Of a new password, in characters.
const SHORTEST: usize = 8;

pub struct Door {
    cookie: &'static str,
    trust: Trust,
    users: Vec<&'static Account>,
    /// Hashes of passwords that users have changed, by login.
    changed: Mutex<HashMap<&'static str, Vec<u8>>>,
    sessions: Mutex<Remembered<Visitor>>,
}

/// How far identity headers are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Each request's headers are its identity.
    EachRequest,
    /// Headers open the application's own session, for users it knows.
    OpensSession,
    /// Whoever signs in at the application's own page is in, and nobody else. Of headers it takes
    /// the company that its user works for, among those that the user has.
    OwnPage,
}

/// What the door makes of a request.
pub enum Caller {
    /// Known; with the cookie of a session that was just opened.
    Visitor(Visitor, Option<HeaderValue>),
    /// Named by headers, but no user of this application.
    Stranger(String),
    Nobody,
}

pub struct Remembered<V> {
    values: HashMap<String, V>,
    order: VecDeque<String>,
}

impl Door {
    pub fn new(product: &str, cookie: &'static str, trust: Trust) -> Door {
        Door {
            cookie,
            trust,
            users: people::accounts(product),
            changed: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// The user of this name and password.
    pub fn check(&self, login: &str, password: &str) -> Option<Visitor> {
        // Hashes of equal length, so that the time taken tells nothing of the password.
        let given = digest(&SHA256, password.as_bytes());
        let account = self.user(login.trim())?;
        let wanted = self.changed().get(account.login).cloned();
        let wanted = wanted.unwrap_or_else(|| {
            digest(&SHA256, account.password.as_bytes())
                .as_ref()
                .to_vec()
        });
        constant_time::verify_slices_are_equal(given.as_ref(), &wanted).ok()?;
        Some(account.visitor("own sign-in page"))
    }

    /// Whether this user has to choose a new password first. Who comes by headers has typed none.
    pub fn has_expired(&self, login: &str) -> bool {
        self.trust == Trust::OwnPage
            && self.user(login).is_some_and(Account::has_expired)
            && !self.changed().contains_key(login)
    }

    /// False when it is too short, or the one that has expired.
    pub fn change_password(&self, login: &str, new: &str) -> bool {
        let Some(account) = self.user(login) else {
            return false;
        };
        if new.chars().count() < SHORTEST || new == account.password {
            return false;
        }
        let hash = digest(&SHA256, new.as_bytes());
        self.changed().insert(account.login, hash.as_ref().to_vec());
        true
    }

    fn user(&self, login: &str) -> Option<&'static Account> {
        self.users
            .iter()
            .copied()
            .find(|account| account.login == login)
    }

    fn changed(&self) -> MutexGuard<'_, HashMap<&'static str, Vec<u8>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn recognise(&self, headers: &HeaderMap) -> Caller {
        let named = Visitor::from_headers(headers);
        let remembered = self.visitor(headers);
        if self.trust == Trust::OwnPage {
            return match remembered {
                Some(visitor) => Caller::Visitor(self.at_work(visitor, named), None),
                None => Caller::Nobody,
            };
        }
        match (named, remembered) {
            (None, None) => Caller::Nobody,
            (None, Some(visitor)) => Caller::Visitor(visitor, None),
            (Some(visitor), _) if self.trust == Trust::EachRequest => {
                Caller::Visitor(visitor, None)
            }
            (Some(visitor), _) if !self.users.iter().any(|user| user.login == visitor.login) => {
                Caller::Stranger(visitor.login)
            }
            // The headers go before the cookie: another person may sit at the same browser now.
            (Some(visitor), Some(session)) if visitor == session => Caller::Visitor(session, None),
            (Some(visitor), _) => match self.open(visitor.clone()) {
                Some(cookie) => Caller::Visitor(visitor, Some(cookie)),
                None => Caller::Nobody,
            },
        }
    }

    fn at_work(&self, visitor: Visitor, named: Option<Visitor>) -> Visitor {
        let company = named.map(|named| named.company).unwrap_or_default();
        let has = self
            .users
            .iter()
            .any(|user| user.login == visitor.login && user.companies.contains(&company.as_str()));
        if has {
            Visitor { company, ..visitor }
        } else {
            visitor
        }
    }

    /// Starts a session and returns its cookie. `None` when the machine has no randomness.
    pub fn open(&self, visitor: Visitor) -> Option<HeaderValue> {
        let id = token()?;
        let cookie = format!("{}={id}; Path=/; HttpOnly; SameSite=Lax", self.cookie);
        self.sessions().insert(id, visitor);
        HeaderValue::from_str(&cookie).ok()
    }

    /// The session that the request's cookie names.
    fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let id = cookie(headers, self.cookie)?;
        self.sessions().values.get(id).cloned()
    }

    /// Ends the session and returns the cookie that clears the browser's.
    pub fn close(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if let Some(id) = cookie(headers, self.cookie) {
            self.sessions().values.remove(id);
        }
        HeaderValue::from_str(&format!("{}=; Path=/; Max-Age=0", self.cookie)).ok()
    }

    fn sessions(&self) -> MutexGuard<'_, Remembered<Visitor>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Default for Remembered<V> {
    fn default() -> Remembered<V> {
        Remembered {
            values: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<V> Remembered<V> {
    pub fn remove(&mut self, id: &str) -> Option<V> {
        self.values.remove(id)
    }

    pub fn insert(&mut self, id: String, value: V) {
        self.order.push_back(id.clone());
        self.values.insert(id, value);
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }
}

/// 256 random bits.
pub fn token() -> Option<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether the text has the form of a [`token`].
pub fn is_token(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The first cookie of this name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}
