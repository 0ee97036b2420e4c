//! Arguments in, exit code out; one file for each verb.

pub mod check;
pub mod explain;
pub mod policy_diff;
pub mod policy_test;
