//! The gateway under steady load while something beside it fails. Nobody is ever let in who should
//! not be, nobody who is signed in loses the session over it, and it recovers by itself.
//!
//! Load is people who ask without a pause, and impostors who never get anything. Each test counts
//! all their answers. The heavy forms are ignored in a usual run; `docs/measuring.md` has their
//! command.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

/// The program's own: what the soak says of memory is to be what the gateway holds, and glibc's arenas keep
/// what each hash of a password took.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "../support/backend.rs"]
mod backend;
#[path = "../support/fault.rs"]
mod fault;
#[path = "../attacks/frames.rs"]
mod frames;
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/redis.rs"]
mod redis;
#[path = "../support/visitor.rs"]
mod visitor;
#[path = "../attacks/wire.rs"]
mod wire;

mod load;
mod program;

mod backends;
mod clock;
mod crowds;
mod deployments;
mod directory;
mod disk;
mod messages;
mod newcomers;
mod reload;
mod soak;
mod store;
mod thousands;
