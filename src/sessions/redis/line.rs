//! One connection to Redis, and what is known of its life.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use super::patience::Patience;

/// What is known of one connection's life; also which connection it is.
#[derive(Debug, Default)]
pub struct Pulse {
    /// How much came from the server so far: replies and announcements.
    heard: AtomicU64,
    /// A reply was waited for in vain, and nothing else came in that time.
    silent: AtomicBool,
    /// The client library says that it ended.
    over: AtomicBool,
}

impl Pulse {
    pub fn hear(&self) {
        self.heard.fetch_add(1, Ordering::AcqRel);
        self.silent.store(false, Ordering::Release);
    }

    pub fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits for a reply, no longer than is reasonable.
    async fn feel<T>(&self, reply: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let before = self.heard.load(Ordering::Acquire);
        let reply = Patience::REPLY.wait(reply).await;
        let reply = reply.unwrap_or_else(|| Err(late()));
        match &reply {
            Err(error) if is_no_word(error) => {
                // Replies come in turn: with another's that came, this one is only late.
                if self.heard.load(Ordering::Acquire) == before {
                    self.silent.store(true, Ordering::Release);
                }
            }
            Ok(_) | Err(_) => self.hear(),
        }
        reply
    }
}

/// Whether the error is none that the server told.
fn is_no_word(error: &RedisError) -> bool {
    error.is_io_error() || error.kind() == ErrorKind::ClusterConnectionNotFound
}

fn late() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, "no reply in time").into()
}

/// The client library's part of it.
#[derive(Clone)]
pub enum Wire {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A connection of either kind. Its own timeouts are off where they can be: [`Patience`] is better.
#[derive(Clone)]
pub struct Line {
    wire: Wire,
    pulse: Arc<Pulse>,
}

impl Line {
    pub fn new(wire: Wire, pulse: Arc<Pulse>) -> Line {
        Line { wire, pulse }
    }

    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    pub fn is_cluster(&self) -> bool {
        matches!(self.wire, Wire::Cluster(_))
    }

    /// Ends when something comes over a connection that had fallen silent, however late: what was
    /// announced in between came before that. False when nothing will come any more.
    pub async fn speaks_again(&mut self) -> bool {
        let ping = redis::cmd("PING");
        let reply = match &mut self.wire {
            Wire::Single(line) => ping.query_async::<String>(line).await,
            // It asks any node, so its reply says nothing of the one that is silent.
            Wire::Cluster(_) => return false,
        };
        reply.is_ok()
    }
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let reply = match &mut self.wire {
            Wire::Single(line) => line.req_packed_command(cmd),
            Wire::Cluster(line) => line.req_packed_command(cmd),
        };
        Box::pin(self.pulse.feel(reply))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let reply = match &mut self.wire {
            Wire::Single(line) => line.req_packed_commands(pipeline, offset, count),
            Wire::Cluster(line) => line.req_packed_commands(pipeline, offset, count),
        };
        Box::pin(self.pulse.feel(reply))
    }

    fn get_db(&self) -> i64 {
        match &self.wire {
            Wire::Single(line) => line.get_db(),
            Wire::Cluster(line) => line.get_db(),
        }
    }
}
