//! The rules. Everything here is a value or a pure function: no I/O, no clock, no randomness, no
//! async, no logging. Time, tokens and what the stores said are handed in.
//!
//! A request is read into [`Facts`](facts::Facts), its cookie is looked up into
//! [`Known`](session::Known), and [`decide`](decide::decide) turns both into a
//! [`Decision`](decide::Decision). Only this module can make a [`Permit`](decide::Permit).

pub mod activity;
pub mod arrival;
pub mod ceremony;
pub mod contact;
pub mod content_policy;
pub mod cookies;
pub mod decide;
pub mod device;
pub mod facts;
pub mod handover;
pub mod headers;
pub mod host;
pub mod identity;
pub mod kept;
pub mod language;
pub mod name;
pub mod password;
pub mod pattern;
pub mod policy;
pub mod product;
pub mod renewal;
pub mod return_to;
pub mod rollout;
#[cfg(test)]
pub(crate) mod samples;
pub mod sent_code;
pub mod session;
pub mod target;
pub mod throttle;
pub mod time;
pub mod traceparent;
pub mod trail;
pub mod vouching;
