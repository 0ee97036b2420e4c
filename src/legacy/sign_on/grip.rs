//! What one session of ours shows to one application.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;

use super::pace::Pace;
use super::stored::Stored;
use crate::directory::SignOnSecret;
use crate::gate::name::Login;
use crate::legacy::jar::{Jar, without};

/// Cookies, or a header. Prints as nothing.
pub struct Grip {
    /// Names this sign-in and no later one.
    pub id: u64,
    pub login: Login,
    /// Of the secret that was typed, where this node did it.
    pub(super) version: Option<i64>,
    /// The application answers 401 for other reasons than the password.
    pub(super) forbids_with_401: bool,
    kind: Kind,
    /// No answer has shown yet that it works.
    unproven: AtomicBool,
    /// Asking the application whether it takes the header still.
    pub(super) asking: Pace,
    /// Looking whether the password was refused elsewhere.
    pub(super) looking: Pace,
}

#[derive(Clone)]
enum Kind {
    Cookies(Jar),
    Basic(HeaderValue),
}

/// What an application's answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Known,
    /// It does not know the session any more.
    Forgotten,
    /// It does not take the password any more.
    Refused,
    /// The person is known, and this is not for them: its own 401 goes on to who asked.
    Forbidden,
}

impl Grip {
    pub(super) fn fresh(stored: Stored, version: i64) -> Grip {
        Grip {
            unproven: AtomicBool::new(true),
            version: Some(version),
            ..Grip::of_store(stored)
        }
    }

    pub(super) fn of_store(stored: Stored) -> Grip {
        Grip {
            id: stored.id,
            login: stored.login,
            version: None,
            forbids_with_401: false,
            kind: Kind::Cookies(stored.jar),
            unproven: AtomicBool::new(false),
            asking: Pace::new(),
            looking: Pace::new(),
        }
    }

    pub(super) fn basic(id: u64, login: Login, header: HeaderValue, secret: &SignOnSecret) -> Grip {
        Grip {
            id,
            login,
            version: Some(secret.version),
            forbids_with_401: secret.forbids_with_401,
            kind: Kind::Basic(header),
            unproven: AtomicBool::new(true),
            asking: Pace::new(),
            looking: Pace::new(),
        }
    }

    /// The same sign-in with other cookies.
    pub(super) fn with(&self, stored: Stored) -> Grip {
        Grip {
            version: self.version,
            unproven: AtomicBool::new(self.unproven.load(Ordering::Relaxed)),
            ..Grip::of_store(stored)
        }
    }

    pub(super) fn jar(&self) -> Jar {
        match &self.kind {
            Kind::Cookies(jar) => jar.clone(),
            Kind::Basic(_) => Jar::default(),
        }
    }

    /// True once.
    pub(super) fn is_first_use(&self) -> bool {
        self.unproven.swap(false, Ordering::Relaxed)
    }

    /// Whether a cookie of this name is the gateway's to keep.
    pub fn holds(&self, name: &str) -> bool {
        match &self.kind {
            Kind::Cookies(jar) => jar.holds(name),
            Kind::Basic(_) => false,
        }
    }

    /// `Authorization`, where it is one.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        match &self.kind {
            Kind::Cookies(_) => None,
            Kind::Basic(header) => Some(header),
        }
    }

    /// The `Cookie` value for a path: the browser's own cookies, without those that bear the names
    /// of ours, and ours. `None` where there is nothing to change.
    pub fn cookies(&self, browsers: &[u8], path: &str) -> Option<Vec<u8>> {
        let Kind::Cookies(jar) = &self.kind else {
            return None;
        };
        let mut line = without(browsers, |name| jar.holds(name));
        if let Some(ours) = jar.line(path) {
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(ours.as_bytes());
        }
        Some(line)
    }
}

impl fmt::Debug for Grip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grip(…)")
    }
}
