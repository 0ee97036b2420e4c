//! What attackers send, in raw bytes over real TLS sockets, against a backend that remembers every
//! byte it got: for each, the answer, and what the backend must not have heard.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/visitor.rs"]
mod visitor;

mod frames;
mod recorder;
mod site;
mod wire;

mod answers;
mod bodies;
mod cookies;
mod deadlines;
mod dependencies;
mod forwarded;
mod framing;
mod hosts;
mod http2;
mod http2_frames;
mod identity;
mod limits;
mod logs;
mod methods;
mod pages;
mod portal;
mod redirects;
mod refusals;
mod targets;
mod tls;
mod websockets;
