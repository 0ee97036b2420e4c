//! The whole gateway over real TLS sockets.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../support/backend.rs"]
mod backend;
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/redis.rs"]
mod redis;
#[path = "../support/visitor.rs"]
mod visitor;

// People's stories.
mod administration;
mod factor;
mod idle;
mod kept;
mod nodes;
mod outage;
mod restart;
mod rollout;
mod rules;
mod sign_in;
mod sign_out;
mod single_sign_on;
mod tabs;

// What goes through.
mod authz;
mod backends;
mod bar;
mod beside;
mod certificates;
mod identity;
mod live;
mod proxying;
mod shutdown;
mod traffic;
mod upgrades;
mod watching;
mod wire;
