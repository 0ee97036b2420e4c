//! What is known of a request before anybody asks who sent it: one canonical reading, made once.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use super::product::Product;
use super::session::Token;
use super::target::Target;

/// A well-formed request for a host that is ours.
#[derive(Debug, Clone)]
pub struct Facts {
    pub site: Site,
    pub method: Method,
    pub target: Target,
    /// The browser's address: the peer's, or what a trusted proxy says.
    pub address: IpAddr,
    pub asks: Asks,
    /// `X-Vestibule-Background: 1`: sent by a script on a timer, not by a person.
    pub background: bool,
    /// An `Origin` that is not this site's own came along.
    pub foreign_origin: bool,
    pub cookie: Presented,
}

#[derive(Debug, Clone)]
pub enum Site {
    Portal,
    Product(Arc<Product>),
}

/// What kind of answer the sender can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// A person's browser going to a page: can follow a redirect and read HTML.
    Navigation,
    /// A script, a program: can read a status and JSON.
    Program,
    /// A protocol upgrade (websocket).
    Upgrade,
}

/// What stood in the Cookie header under our name.
#[derive(Debug, Clone)]
pub enum Presented {
    Nothing,
    Token(Token),
    /// Ours by name but not by form, or sent twice.
    Malformed,
}

/// Why a request is refused before anything else is asked. The word is a label in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    Framing,
    TransferCoding,
    Host,
    /// A host that this gateway does not serve, or not on this connection (RFC 9110, 7.4).
    Misdirected,
    Target,
    TargetTooLong,
    Path,
    Header,
    HeadersTooLarge,
    Method,
    Upgrade,
    Expectation,
    BodyTooLarge,
}

impl Malformed {
    pub const fn status(self) -> u16 {
        match self {
            Malformed::Framing
            | Malformed::Host
            | Malformed::Target
            | Malformed::Path
            | Malformed::Header
            | Malformed::Upgrade => 400,
            Malformed::Method => 405,
            Malformed::BodyTooLarge => 413,
            Malformed::TargetTooLong => 414,
            Malformed::Expectation => 417,
            Malformed::Misdirected => 421,
            Malformed::HeadersTooLarge => 431,
            Malformed::TransferCoding => 501,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Malformed::Framing => "framing",
            Malformed::TransferCoding => "transfer_coding",
            Malformed::Host => "host",
            Malformed::Misdirected => "misdirected",
            Malformed::Target => "target",
            Malformed::TargetTooLong => "target_too_long",
            Malformed::Path => "path",
            Malformed::Header => "header",
            Malformed::HeadersTooLarge => "headers_too_large",
            Malformed::Method => "method",
            Malformed::Upgrade => "upgrade",
            Malformed::Expectation => "expectation",
            Malformed::BodyTooLarge => "body_too_large",
        }
    }
}
