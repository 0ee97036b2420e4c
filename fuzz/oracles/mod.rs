//! What is read from strangers, each beside a second, simple reading of the same bytes. A check
//! panics when the two disagree.
//!
//! The fuzz targets run these on whatever the fuzzer finds; `tests/properties.rs` runs the same on
//! pieces that attacks are made of, in every test run.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod cookie;
pub mod header;
pub mod host;
pub mod html;
pub mod import;
pub mod policy;
pub mod return_to;
pub mod target;
