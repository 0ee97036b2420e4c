//! Pingora, as this house wants it.

use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerOptions;
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;

use super::StartError;
use super::house::House;
use crate::config::settings::{Limits, Settings};
use crate::proxy::gateway::Gateway;
use crate::proxy::keep::Keeper;
use crate::proxy::upstream::MOST_TRIES;
use crate::sessions::kept::KeptForms;

/// Bytes of an answer over HTTP/2 that wait for its client, for each of a connection's streams. With h2's
/// own 400 KiB a client that takes nothing had fifty megabytes held on one connection.
const ANSWER_HELD: usize = 64 * 1024;

pub fn gateway(house: &House, limits: &Limits, kept: Arc<KeptForms>) -> Gateway {
    let world = &house.ground.world;
    let mut process = [0; 8];
    (world.random)(&mut process);
    let sessions = &house.ground.sessions;
    Gateway {
        scene: Arc::clone(&house.scene),
        sessions: Arc::clone(sessions),
        policies: house.ground.policies.published(),
        keeper: Keeper::new(kept, Arc::clone(sessions), limits.kept_forms),
        clock: Arc::clone(&world.clock),
        random: Arc::clone(&world.random),
        process: u64::from_be_bytes(process),
        client_patience: limits.body,
    }
}

/// What each worker runs pingora with.
pub fn proxy_conf(settings: &Settings) -> Result<ServerConf, StartError> {
    // Pingora reads the system's authorities unless told of a file, and panics when the environment names
    // one that is not there. For requests it needs none (`proxy/backend`).
    let empty = settings.store.data_dir.join("no-authorities.pem");
    std::fs::write(&empty, b"").map_err(|source| StartError::File {
        what: format!("{} can't be written", empty.display()),
        source,
    })?;
    Ok(ServerConf {
        max_retries: MOST_TRIES,
        ca_file: Some(empty.to_string_lossy().into_owned()),
        ..ServerConf::default()
    })
}

pub fn proxy(conf: &Arc<ServerConf>, limits: &Limits, gateway: Gateway) -> HttpProxy<Gateway> {
    // Tokio's timers: pingora's own keep an entry for every 10 ms of the time that they wait, and
    // search them all for every request.
    pingora::time::fast_timeout::set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
    let mut proxy = http_proxy(conf, gateway);
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(limits.idle);
    proxy.server_options = Some(options);
    let mut h2 = default_h2_options();
    h2.max_concurrent_streams(u32::try_from(limits.streams_per_connection).unwrap_or(u32::MAX));
    h2.max_send_buffer_size(ANSWER_HELD);
    h2.max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    proxy.h2_options = Some(h2);
    proxy
}
