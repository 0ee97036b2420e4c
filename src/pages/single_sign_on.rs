//! Pages about one sign-in for every product: pairing, the default application, passwords.

use askama::Template;

use super::{Frame, Hidden, Notice, Words};

/// A company in a drop-down.
pub struct CompanyChoice {
    pub id: String,
    pub name: String,
    pub current: bool,
}

/// What a pairing asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectStep {
    First,
    Second,
    /// The second password was right but has expired.
    Renew,
}

impl ConnectStep {
    pub const fn word(self) -> &'static str {
        match self {
            ConnectStep::First => "first",
            ConnectStep::Second => "second",
            ConnectStep::Renew => "renew",
        }
    }
}

#[derive(Template)]
#[template(path = "connect.html")]
pub struct Connect {
    pub frame: Frame,
    pub action: String,
    pub first: String,
    pub second: String,
    /// The product whose credentials are asked for.
    pub asked: String,
    pub step: ConnectStep,
    pub username: String,
    pub error: Option<String>,
    /// The fewest characters of a new password.
    pub shortest: usize,
    pub hidden: Hidden,
}

#[derive(Template)]
#[template(path = "paired.html")]
pub struct Paired {
    pub frame: Frame,
    pub product: String,
    pub notice: Option<Notice>,
    pub paragraphs: Vec<String>,
    pub href: String,
}

/// The password that the gateway types into an application.
#[derive(Template)]
#[template(path = "product_password.html")]
pub struct ProductPassword {
    pub frame: Frame,
    pub action: String,
    pub product: String,
    pub username: String,
    /// One was kept, and the application does not take it.
    pub changed: bool,
    pub error: Option<String>,
    pub hidden: Hidden,
}

/// One radio button of My Profile.
pub struct DefaultChoice {
    pub id: String,
    pub name: String,
    pub checked: bool,
}

/// A part of My Profile.
#[derive(Template)]
#[template(path = "single_sign_on.html")]
pub struct SingleSignOn {
    pub words: Words,
    pub notice: Option<Notice>,
    pub choices: Vec<DefaultChoice>,
    /// Whether there is a link to take away.
    pub can_reset: bool,
    pub hidden: Hidden,
}

/// One account whose password can be changed.
pub struct PasswordLine {
    pub product: String,
    pub login: String,
    /// When it expires, if soon; or who keeps it.
    pub about: String,
    /// `None`: it can't be changed here.
    pub href: Option<String>,
}

/// A part of My Profile.
#[derive(Template)]
#[template(path = "passwords.html")]
pub struct Passwords {
    pub words: Words,
    pub notice: Option<Notice>,
    pub lines: Vec<PasswordLine>,
}

#[derive(Template)]
#[template(path = "expired.html")]
pub struct Expired {
    pub frame: Frame,
    pub product: String,
    pub login: String,
    pub shortest: usize,
    pub error: Option<String>,
    pub hidden: Hidden,
}

#[derive(Template)]
#[template(path = "forgot.html")]
pub struct Forgot {
    pub frame: Frame,
    pub error: Option<String>,
    pub hidden: Hidden,
}

#[derive(Template)]
#[template(path = "reset.html")]
pub struct Reset {
    pub frame: Frame,
    pub product: String,
    pub login: String,
    pub shortest: usize,
    pub error: Option<String>,
    pub hidden: Hidden,
}

#[derive(Template)]
#[template(path = "change_password.html")]
pub struct ChangePassword {
    pub frame: Frame,
    pub product: String,
    pub login: String,
    pub shortest: usize,
    pub notice: Option<Notice>,
    pub error: Option<String>,
    pub hidden: Hidden,
}

#[derive(Template)]
#[template(path = "expiring.html")]
pub struct Expiring {
    pub frame: Frame,
    pub product: String,
    /// `9 days`.
    pub left: String,
    pub change: String,
    pub later: String,
}
