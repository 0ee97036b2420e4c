//! Bare pingora on the gateway's accept loop: what the gateway's own steps are measured against.

use std::sync::Arc;

use pingora::proxy::http_proxy;
use pingora::upstreams::peer::HttpPeer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use vestibule::config::settings::{CertificateFiles, Limits, TlsMinimum};
use vestibule::observe::trace;
use vestibule::proxy::certificates::Certificates;
use vestibule::proxy::listen::{self, Crowd, Door};
use vestibule::proxy::workers::{self, Workers};

use super::options::Options;
use super::stock::{self, Plain};
use super::{Result, child};

pub async fn run(options: &Options) -> Result<()> {
    // As the gateway's: where no program log is, h2 asks the `log` crate about each of its spans.
    trace::start(trace::Format::Json, "warn")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let certificates = Certificates::read(vec![CertificateFiles {
        certificate: options.folder.join("site.pem"),
        key: options.folder.join("site.key"),
    }])?;
    let conf = Arc::new(stock::conf(options));
    let workers = Workers::start(workers::one_for_each_processor(), || {
        let peer = HttpPeer::new(options.backend(), false, String::new());
        http_proxy(&conf, Plain { peer })
    })?;
    let door = Door {
        workers: Arc::new(workers),
        tls: certificates.server_config(TlsMinimum::V1_2)?,
        limits: Limits::SOUND,
        witness: None,
        crowd: Crowd::new(&Limits::SOUND),
        corks: false,
    };
    let (_open, ends) = watch::channel(false);
    child::say_ready(address);
    listen::serve(listener, door, ends.clone(), ends).await;
    Ok(())
}
