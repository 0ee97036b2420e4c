//! What the gateway's pages look like: the portal's, and the error pages that the proxy shares.
//! Values in, text out; every template escapes what it is given.

mod account;
mod company;
mod keys;
mod problem;
mod script;
mod single_sign_on;
mod style;
mod words;

pub use account::{Account, FactorRow, RecoveryLeft, Replace, SessionRow};
pub use company::{
    AuditRow, AuditTrail, CompanySessionRow, CompanySessions, GrantRow, SignInRow, User, UserRow,
    Users,
};
pub use keys::{DeviceRow, Devices, Passkey, Recovery, RecoveryCodes, RecoveryRenew};
pub use problem::Problem;
pub use script::{passkey_script, passkey_script_name};
pub use single_sign_on::{
    ChangePassword, CompanyChoice, Connect, ConnectStep, DefaultChoice, Expired, Expiring, Forgot,
    Paired, PasswordLine, Passwords, ProductPassword, Reset, SingleSignOn,
};
pub use style::{STYLE_PATH, problem_policy, style, style_name};
pub use words::{BarWords, Words};

use askama::Template;

/// A moment, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    pub text: String,
    pub iso: String,
}

/// A link with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub href: String,
    pub text: String,
}

/// What every page has around it.
#[derive(Debug, Clone)]
pub struct Frame {
    pub words: Words,
    /// The portal's title.
    pub site: String,
    /// Address of the stylesheet.
    pub style: String,
    /// Where the brand leads.
    pub home: String,
    /// The name of who is signed in.
    pub person: Option<String>,
    /// Shown besides: the pages of a company's admin.
    pub admin: bool,
    /// Shown besides: the pages of a company's user manager.
    pub manager: bool,
    /// The page's own path, marked in the navigation.
    pub here: &'static str,
}

/// One entry of the navigation.
pub struct NavLink {
    pub href: &'static str,
    pub text: &'static str,
    pub here: bool,
}

impl Frame {
    fn nav(&self) -> Vec<NavLink> {
        let words = self.words;
        let all = [
            ("/apps", words.applications(), true),
            ("/account", words.my_profile(), true),
            ("/company/users", words.user_manager(), self.manager),
            ("/company/settings", words.company_settings(), self.admin),
            ("/company/sessions", words.sessions(), self.admin),
            ("/company/audit", words.audit_trail(), self.admin),
            ("/logout", words.sign_out(), true),
        ];
        all.into_iter()
            .filter(|(_, _, shown)| *shown)
            .map(|(href, text, _)| NavLink {
                href,
                text,
                here: href == self.here,
            })
            .collect()
    }
}

/// A line above the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    /// Something went wrong, as opposed to news.
    pub wrong: bool,
}

impl Notice {
    pub fn news(text: impl Into<String>) -> Notice {
        Notice {
            text: text.into(),
            wrong: false,
        }
    }

    pub fn wrong(text: impl Into<String>) -> Notice {
        Notice {
            text: text.into(),
            wrong: true,
        }
    }
}

/// Names and values of hidden fields.
pub type Hidden = Vec<(&'static str, String)>;

#[derive(Template)]
#[template(path = "login.html")]
pub struct Login {
    pub frame: Frame,
    pub destination: Option<String>,
    pub notice: Option<Notice>,
    pub error: Option<String>,
    pub username: String,
    /// The same person must prove themselves again.
    pub fixed: bool,
    /// "Continue with …".
    pub elsewhere: Vec<Link>,
    pub finder: Option<Link>,
    pub hidden: Hidden,
}

#[derive(Template)]
#[template(path = "find_company.html")]
pub struct FindCompany {
    pub frame: Frame,
    pub found: Option<Link>,
    pub error: Option<&'static str>,
    pub username: String,
    pub back: String,
    pub hidden: Hidden,
}

#[derive(Template)]
#[template(path = "factor.html")]
pub struct Factor {
    pub frame: Frame,
    pub notice: Option<Notice>,
    pub error: Option<String>,
    /// The name that the authenticator shows.
    pub issuer: String,
    pub hidden: Hidden,
    /// How long this device could be remembered, in words.
    pub remember: Option<String>,
    pub other: String,
    /// The way out.
    pub restart: Link,
}

#[derive(Template)]
#[template(path = "enroll.html")]
pub struct Enroll {
    pub frame: Frame,
    pub notice: Option<Notice>,
    pub error: Option<String>,
    pub account: String,
    /// SVG, made by us.
    pub qr: String,
    /// The key to type, in groups of four; given instead of the QR code.
    pub key: Option<String>,
    pub hidden: Hidden,
    pub trouble: String,
    pub scan: String,
    pub other: String,
    pub restart: String,
}

/// Where a code is asked for that goes out in a message.
#[derive(Template)]
#[template(path = "send_code.html")]
pub struct SendCode {
    pub frame: Frame,
    pub notice: Option<Notice>,
    pub error: Option<String>,
    pub title: &'static str,
    pub lead: &'static str,
    pub action: &'static str,
    /// Where it can be sent without typing, in a sentence.
    pub known: Option<String>,
    pub typed: Option<TypedDestination>,
    pub hidden: Hidden,
    /// To other methods, at a sign-in.
    pub other: Option<String>,
    pub restart: Link,
}

/// A field for a number or an address.
pub struct TypedDestination {
    pub label: &'static str,
    pub hint: &'static str,
    /// As it was typed.
    pub value: String,
    /// For keyboard and autofill: `tel`, `email`.
    pub mode: &'static str,
}

/// Where a code that went out is typed.
#[derive(Template)]
#[template(path = "sent_code.html")]
pub struct SentCode {
    pub frame: Frame,
    pub notice: Option<Notice>,
    pub error: Option<String>,
    pub lead: String,
    pub action: &'static str,
    /// When another can be sent, in a sentence.
    pub again: String,
    /// How long this device could be remembered, in words.
    pub remember: Option<String>,
    /// To another number or address.
    pub elsewhere: Option<Link>,
    pub hidden: Hidden,
    /// To other methods, at a sign-in.
    pub other: Option<String>,
    pub restart: Link,
}

/// A second factor to choose.
pub struct MethodLink {
    pub href: String,
    pub text: &'static str,
    pub about: &'static str,
}

#[derive(Template)]
#[template(path = "methods.html")]
pub struct Methods {
    pub frame: Frame,
    pub methods: Vec<MethodLink>,
    /// To the one that was left.
    pub back: Option<Link>,
}

#[derive(Template)]
#[template(path = "message.html")]
pub struct Message {
    pub frame: Frame,
    pub title: String,
    pub paragraphs: Vec<String>,
    pub link: Option<Link>,
}

#[derive(Template)]
#[template(path = "sign_out.html")]
pub struct SignOut {
    pub frame: Frame,
    pub action: &'static str,
    pub hidden: Hidden,
}

/// A product on the launch page.
pub struct Tile {
    pub name: String,
    pub about: String,
    pub href: String,
    pub open: bool,
    pub product: String,
    /// The drop-down; empty where there is nothing to choose.
    pub companies: Vec<CompanyChoice>,
}

impl Tile {
    fn initial(&self) -> String {
        self.name.chars().take(1).collect()
    }
}

#[derive(Template)]
#[template(path = "apps.html")]
pub struct Apps {
    pub frame: Frame,
    pub company: String,
    pub notice: Option<Notice>,
    pub tiles: Vec<Tile>,
    pub hidden: Hidden,
}

#[derive(Template)]
#[template(path = "settings.html")]
pub struct Settings {
    pub frame: Frame,
    pub notice: Option<Notice>,
    pub company: String,
    /// There is nothing to switch.
    pub hides_mfa: bool,
    /// How far its release has come, where it goes company by company.
    pub release: Option<&'static str>,
    /// The same of going on to a product, where that is released so.
    pub sso_release: Option<String>,
    /// Why it can't be switched here.
    pub decided: Option<&'static str>,
    /// The names of the methods that the company offers.
    pub ways: String,
    pub on: bool,
    /// Who is signed in when it is switched on is asked at the next sign-in only.
    pub spares: bool,
    pub hidden: Hidden,
}

/// A form that waited for its sender to sign in.
#[derive(Template)]
#[template(path = "kept.html")]
pub struct Kept {
    pub frame: Frame,
    pub product: String,
    /// The form's own address.
    pub action: String,
    pub field: &'static str,
    pub secret: String,
    pub path: String,
    pub size: String,
    pub age: String,
    pub left: String,
    pub by_script: bool,
    /// To what waits besides.
    pub another: Option<Link>,
    pub hidden: Hidden,
}

/// The same, filled in for another company than the current one.
#[derive(Template)]
#[template(path = "kept_elsewhere.html")]
pub struct KeptElsewhere {
    pub frame: Frame,
    pub product: String,
    pub company: String,
    pub current: String,
    pub can_switch: bool,
    pub hidden: Hidden,
}

/// `X-Request-Id`, for pages, logs and the audit trail.
#[derive(Debug, Clone, Default)]
pub struct RequestId(pub String);
