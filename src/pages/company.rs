//! User Manager and the audit trail.

use askama::Template;

use super::{FactorRow, Frame, Hidden, Notice, SessionRow, When};

pub struct UserRow {
    pub href: String,
    pub id: String,
    pub name: String,
    pub email: String,
    pub disabled: bool,
}

#[derive(Template)]
#[template(path = "users.html")]
pub struct Users {
    pub frame: Frame,
    pub company: String,
    pub q: String,
    pub people: Vec<UserRow>,
    /// The pages after this one, and the first.
    pub next: Option<String>,
    pub first: Option<String>,
}

pub struct SignInRow {
    pub at: When,
    pub result: &'static str,
    pub address: String,
}

/// A product that is granted person by person.
pub struct GrantRow {
    pub id: String,
    pub name: String,
    pub granted: bool,
    /// Whether the form's box is ticked.
    pub chosen: bool,
}

#[derive(Template)]
#[template(path = "user.html")]
pub struct User {
    pub frame: Frame,
    pub notice: Option<Notice>,
    /// About the reason.
    pub error: Option<String>,
    pub action: String,
    pub back: &'static str,
    pub id: String,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub company: String,
    pub roles: String,
    pub is_disabled: bool,
    /// As the form shows it.
    pub disabled: bool,
    /// Whoever looks at it.
    pub myself: bool,
    pub factors: Vec<FactorRow>,
    /// Product and login.
    pub accounts: Vec<(String, String)>,
    pub sessions: Vec<SessionRow>,
    pub sign_ins: Vec<SignInRow>,
    /// "Reset MFA" was pressed.
    pub resetting: bool,
    pub ending: bool,
    pub unlinking: bool,
    /// Whether mail can be sent.
    pub can_link: bool,
    pub linking: bool,
    pub grants: Vec<GrantRow>,
    pub reason: String,
    pub longest_reason: usize,
    pub hidden: Hidden,
}

pub struct CompanySessionRow {
    pub name: String,
    pub person: String,
    pub chosen: bool,
    pub session: SessionRow,
}

#[derive(Template)]
#[template(path = "company_sessions.html")]
pub struct CompanySessions {
    pub frame: Frame,
    pub company: String,
    pub notice: Option<Notice>,
    /// About the reason.
    pub error: Option<String>,
    /// The id that is looked for; empty: everybody's.
    pub person: String,
    pub rows: Vec<CompanySessionRow>,
    pub total: usize,
    /// Sessions that are not listed.
    pub more: usize,
    /// Whether there is one that can be ended here.
    pub others: bool,
    pub all: bool,
    pub reason: String,
    pub longest_reason: usize,
    pub hidden: Hidden,
}

impl CompanySessions {
    fn lead(&self) -> String {
        let words = self.frame.words;
        words.sign_ins_at_work(&self.company, self.total, &self.person)
    }
}

pub struct AuditRow {
    pub at: When,
    pub event: String,
    pub who: String,
    pub whom: String,
    pub address: String,
    pub reason: String,
    pub detail: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
pub struct AuditTrail {
    pub frame: Frame,
    pub company: String,
    pub person: String,
    pub event: String,
    pub from: String,
    pub to: String,
    /// Words to choose from.
    pub events: Vec<&'static str>,
    pub problem: Option<&'static str>,
    pub rows: Vec<AuditRow>,
    pub next: Option<String>,
    pub export: String,
    /// The time zone of the days.
    pub zone: String,
}
