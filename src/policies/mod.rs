//! The folder of policy files: read, watched, swapped as one.

mod file;
mod folder;
#[cfg(test)]
mod tests;
mod watched;

pub use file::{Base, Draft, MEANINGS, keys, read_policy, schema};
pub use folder::{PolicyFolder, Reload};
pub use watched::Rejected;
