//! `vestibule schema`: the JSON Schemas of the files that people write, drawn by the code that reads
//! them. The folder `schemas` of the repository holds what this prints.

use super::policy_test;
use crate::{config, policies};

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SchemaOf {
    /// gateway.toml
    Gateway,
    /// policies/COMPANY.toml
    Policy,
    /// policies/tests/*.toml
    PolicyTest,
}

impl SchemaOf {
    pub const ALL: [SchemaOf; 3] = [SchemaOf::Gateway, SchemaOf::Policy, SchemaOf::PolicyTest];

    /// Its name in `schemas`.
    pub const fn file(self) -> &'static str {
        match self {
            SchemaOf::Gateway => "gateway.json",
            SchemaOf::Policy => "policy.json",
            SchemaOf::PolicyTest => "policy-test.json",
        }
    }

    /// The word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            SchemaOf::Gateway => "gateway",
            SchemaOf::Policy => "policy",
            SchemaOf::PolicyTest => "policy-test",
        }
    }

    pub fn value(self) -> serde_json::Value {
        match self {
            SchemaOf::Gateway => config::schema(),
            SchemaOf::Policy => policies::schema(),
            SchemaOf::PolicyTest => policy_test::schema(),
        }
    }

    pub fn text(self) -> String {
        format!("{:#}\n", self.value())
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
