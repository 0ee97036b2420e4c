//! Vestibule: one front door for web applications that can't be changed any more.
//!
//! The rooms of the house, from the outside in, are described in `docs/architecture.md`.

pub mod cli;
pub mod directory;
pub mod gate;
pub mod sessions;
