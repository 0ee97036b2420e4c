//! Signing in, as browsers see it: the portal's routers in process, real stores, a clock that is set.
// The lints' own exemption for tests reaches `#[test]` functions, not what they share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod browser;
mod clinic;
mod factor;
mod gallery;
mod handover;
mod own;
mod password;
mod portal;
#[path = "../support/redis.rs"]
mod redis_server;
mod sent;
