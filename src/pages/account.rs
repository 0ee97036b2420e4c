//! My Profile.

use askama::Template;

use super::{Frame, Hidden, Link, Notice, Passwords, SingleSignOn, When};

/// One of somebody's second factors.
pub struct FactorRow {
    pub id: String,
    pub name: String,
    /// What it is, where the name is its owner's.
    pub kind: Option<&'static str>,
    pub added: When,
    pub last_used: Option<When>,
    pub is_authenticator: bool,
    /// Where its codes go, masked.
    pub place: Option<String>,
    /// Where another of its kind is put in its place.
    pub replace: Option<&'static str>,
}

/// How many recovery codes somebody has left.
pub struct RecoveryLeft {
    /// In words.
    pub text: String,
    /// So few that they should get new ones.
    pub is_low: bool,
}

/// One browser's sign-in.
pub struct SessionRow {
    pub id: String,
    pub device: String,
    pub address: String,
    pub started: When,
    pub last_seen: When,
    /// The one that looks at the list.
    pub here: bool,
}

#[derive(Template)]
#[template(path = "account.html")]
pub struct Account {
    pub frame: Frame,
    pub notice: Option<Notice>,
    pub name: String,
    pub email: String,
    pub company: String,
    pub proofs: String,
    pub factors: Vec<FactorRow>,
    /// Where who has no factor goes to set one up.
    pub set_up: String,
    pub offers_authenticator: bool,
    /// Further ones that can be set up.
    pub ways: Vec<Link>,
    /// Where the company has recovery codes.
    pub recovery: Option<RecoveryLeft>,
    /// Whether the last factor may go.
    pub may_go_without: bool,
    pub sessions: Vec<SessionRow>,
    /// Sessions that are not listed.
    pub more_sessions: usize,
    pub hidden: Hidden,
    /// Parts of the page, each with its own forms.
    pub sso: SingleSignOn,
    pub passwords: Passwords,
}

impl Account {
    fn others(&self) -> bool {
        self.sessions.len() + self.more_sessions > 1
    }

    fn removable(&self) -> bool {
        self.may_go_without || self.factors.len() > 1
    }

    fn has_authenticator(&self) -> bool {
        self.factors.iter().any(|factor| factor.is_authenticator)
    }
}

#[derive(Template)]
#[template(path = "authenticator.html")]
pub struct Replace {
    pub frame: Frame,
    pub error: Option<String>,
    /// Whether there is one that goes.
    pub replaces: bool,
    pub account: String,
    /// SVG, made by us.
    pub qr: String,
    /// The key to type, in groups of four; given instead of the QR code.
    pub key: Option<String>,
    pub hidden: Hidden,
}
