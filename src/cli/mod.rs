//! Arguments in, exit code out: one file per verb.

pub mod audit;
pub mod people;
