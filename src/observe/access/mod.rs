//! The access log: one JSON line per request, batched.

mod line;
mod writer;

pub use line::AccessLine;
pub use writer::{AccessLog, Sink};
