//! The edge towards browsers and backends: pingora as a library in plain tokio runtimes.
//!
//! `listen` accepts for the `workers`, `connection` watches over each request, `gateway` takes its five steps:
//! `facts` reads, `sessions` looks up, the gate decides, `record` writes down, and `forward`,
//! `refuse`, `service` or `way_in` act; `failure` tells what went wrong afterwards. `authz` answers for proxies that act elsewhere.

pub mod authz;
pub mod backend;
pub mod bar;
pub mod certificates;
pub mod challenge;
pub mod connection;
pub mod facts;
mod failure;
pub mod forward;
pub mod framing;
pub mod gateway;
pub mod keep;
pub mod listen;
pub mod record;
pub mod redirect;
pub mod refuse;
mod resume;
pub mod scene;
pub mod service;
mod sign_on;
pub mod turns;
pub mod upstream;
mod way_in;
pub mod workers;
