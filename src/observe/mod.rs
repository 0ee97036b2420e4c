//! What the operator sees: metrics, access log, audit trail, program log, and the admin listener.
//!
//! Everything here takes values and is never asked: no rule depends on it, and nothing that a
//! client sent becomes a label, a line break or a field of its own.

pub mod access;
pub mod admin;
pub mod audit;
mod json;
pub mod metrics;
pub mod spans;
mod striped;
pub mod trace;
