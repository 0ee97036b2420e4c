//! gateway.toml: read as it stands, then made into [`Settings`].

pub mod acme;
pub mod change;
mod credentials;
mod load;
pub mod meaning;
mod operation;
pub mod problem;
mod product;
pub mod providers;
pub mod reader;
pub mod settings;
pub mod sketch;
mod store;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod values;

pub use load::{MEANINGS, keys, load, read, read_file, schema, survey, variables};
pub use problem::{Place, Problem, Problems};
pub use product::ProductIds;
pub use settings::Settings;
