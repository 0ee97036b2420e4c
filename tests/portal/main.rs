//! Signing in, as browsers see it: the portal's routers in process, real stores, a clock that is set.
// The lints' own exemption for tests reaches `#[test]` functions, not what they share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod administration;
mod ailing;
mod authenticator;
mod browser;
mod clinic;
mod companies;
mod company_sessions;
mod elsewhere;
mod factor;
mod forgot;
mod forms;
mod gallery;
mod grants;
mod handover;
mod keys;
mod languages;
mod mishaps;
mod new_password;
mod own;
mod own_codes;
mod pairing;
mod password;
mod portal;
mod profile;
mod provider;
mod real_provider;
#[path = "../support/redis.rs"]
mod redis_server;
#[path = "../support/samples.rs"]
mod samples;
mod scim;
mod sent;
mod trail;
