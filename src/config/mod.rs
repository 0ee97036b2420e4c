//! gateway.toml: read as it stands, then made into [`Settings`].

mod load;
mod operation;
pub mod problem;
mod product;
pub mod providers;
pub mod reader;
pub mod settings;
mod store;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod values;

pub use load::{load, read, read_file, survey, variables};
pub use problem::{Place, Problem, Problems};
pub use product::ProductIds;
pub use settings::Settings;
