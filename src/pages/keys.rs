//! Pages of passkeys, recovery codes and remembered devices.

use askama::Template;
use zeroize::Zeroizing;

use super::{Frame, Hidden, Link, Notice};

/// A passkey is added or proved.
#[derive(Template)]
#[template(path = "passkey.html")]
pub struct Passkey {
    pub frame: Frame,
    pub notice: Option<Notice>,
    pub error: Option<String>,
    pub title: &'static str,
    pub lead: String,
    pub action: &'static str,
    /// Of one that is added: the name that is proposed. `None`: it is proved.
    pub called: Option<String>,
    /// For the script: JSON.
    pub options: String,
    pub script: String,
    pub button: &'static str,
    pub hidden: Hidden,
    /// How long this device could be remembered, in words.
    pub remember: Option<String>,
    pub other: Option<String>,
    pub restart: Link,
}

/// A recovery code is asked for.
#[derive(Template)]
#[template(path = "recovery.html")]
pub struct Recovery {
    pub frame: Frame,
    pub notice: Option<Notice>,
    pub error: Option<String>,
    pub hidden: Hidden,
    pub other: String,
    pub restart: Link,
}

/// New recovery codes, this one time.
#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub struct RecoveryCodes {
    pub frame: Frame,
    pub account: String,
    pub codes: Vec<Zeroizing<String>>,
    pub next: Link,
}

#[derive(Template)]
#[template(path = "recovery_renew.html")]
pub struct RecoveryRenew {
    pub frame: Frame,
    pub notice: Option<Notice>,
    /// How many are left, in words.
    pub left: String,
    pub hidden: Hidden,
}

pub struct DeviceRow {
    pub id: String,
    pub name: String,
    pub made: String,
    pub used: String,
    pub address: String,
}

#[derive(Template)]
#[template(path = "devices.html")]
pub struct Devices {
    pub frame: Frame,
    pub notice: Option<Notice>,
    /// In words; `None` when the company remembers no device now.
    pub span: Option<String>,
    pub devices: Vec<DeviceRow>,
    pub hidden: Hidden,
}
