//! `vestibule schema`: the JSON Schemas of the files that people write, drawn by the code that reads
//! them. The folder `schemas` of the repository holds what this prints.

use super::{policy_test, settings_page};
use crate::config::sketch::Key;
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

/// For whom it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SchemaForm {
    /// For editors
    Json,
    /// For people
    Markdown,
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

    pub fn print(self, form: SchemaForm) -> String {
        match form {
            SchemaForm::Json => self.text(),
            SchemaForm::Markdown => settings_page::settings(self),
        }
    }

    /// Every key of such a file, in the order in which it is read.
    pub fn keys(self) -> Vec<Key> {
        match self {
            SchemaOf::Gateway => config::keys(),
            SchemaOf::Policy => policies::keys(),
            SchemaOf::PolicyTest => policy_test::keys(),
        }
    }

    /// What its keys mean, one a line.
    pub const fn meanings(self) -> &'static str {
        match self {
            SchemaOf::Gateway => config::MEANINGS,
            SchemaOf::Policy => policies::MEANINGS,
            SchemaOf::PolicyTest => policy_test::MEANINGS,
        }
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
pub(super) mod tests;
