//! Arguments in, exit code out: one file per verb.

pub mod audit;
pub mod people;
//! Arguments in, exit code out; one file for each verb.

pub mod check;
pub mod explain;
