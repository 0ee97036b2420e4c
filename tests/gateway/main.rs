//! The whole gateway over real TLS sockets.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../support/authority.rs"]
mod authority;
#[path = "../support/backend.rs"]
mod backend;
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/legacy.rs"]
mod legacy;
#[path = "../support/pebble.rs"]
mod pebble;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/redis.rs"]
mod redis;
#[path = "../support/slapd.rs"]
mod slapd;
#[path = "../support/visitor.rs"]
mod visitor;

// People's stories.
mod administration;
mod break_glass;
mod commands;
mod demo_provider;
mod factor;
mod first_product;
mod idle;
mod kept;
mod ldap;
mod master_key;
mod migrating;
mod nodes;
mod outage;
mod restart;
mod restore;
mod rollout;
mod rules;
mod sign_in;
mod sign_on;
mod sign_on_ended;
mod sign_on_kept;
mod sign_on_refused;
mod sign_out;
mod single_sign_on;
mod tabs;

// What goes through.
mod acme;
mod acme_pebble;
mod alike;
mod audit;
mod authz;
mod backends;
mod bar;
mod beside;
mod certificates;
mod handover;
mod identity;
mod languages;
mod live;
mod proxying;
mod reload;
mod shutdown;
mod traces;
mod traffic;
mod upgrades;
mod watching;
mod wire;
