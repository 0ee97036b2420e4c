//! Vestibule: one front door for web applications that can't be changed any more.
//!
//! The rooms of the house, from the outside in, are described in `docs/architecture.md`.

pub mod acme;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod directory;
pub mod gate;
pub mod legacy;
pub mod messages;
pub mod observe;
pub mod pages;
pub mod policies;
pub mod portal;
pub mod providers;
pub mod proxy;
pub mod sessions;
