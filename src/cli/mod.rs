//! Arguments in, exit code out: one file per verb.

pub mod audit;
//! The command line: one file per verb.

pub mod people;
