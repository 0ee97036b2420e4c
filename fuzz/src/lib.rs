//! Fuzzing of what strangers send: see README.md.

#[path = "../oracles/mod.rs"]
pub mod oracles;
