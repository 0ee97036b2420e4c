//! Arguments in, exit code out: one file for each verb.

pub mod audit;
pub mod check;
pub mod explain;
pub mod people;
pub mod sessions;
