//! Pingora as it comes: its own server, listener and TLS set-up, a proxy with no opinion.

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

use super::options::Options;
use super::{Result, child};

/// Forwards everything.
pub struct Plain {
    pub peer: HttpPeer,
}

#[async_trait]
impl ProxyHttp for Plain {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(self.peer.clone()))
    }
}

/// What all candidates run pingora with.
pub fn conf(options: &Options) -> ServerConf {
    ServerConf {
        threads: 2,
        // Otherwise the platform's authorities are read, which nobody here needs.
        ca_file: Some(options.folder.join("site.pem").display().to_string()),
        ..ServerConf::default()
    }
}

pub fn run(options: &Options) -> Result<()> {
    let mut server = Server::new_with_opt_and_conf(None, conf(options));
    server.bootstrap();
    let plain = Plain {
        peer: HttpPeer::new(options.backend(), false, String::new()),
    };
    let mut service = http_proxy_service(&server.configuration, plain);
    let address = child::free_address()?;
    let file = |name: &str| options.folder.join(name).display().to_string();
    let mut tls = TlsSettings::intermediate(&file("site.pem"), &file("site.key"))?;
    tls.enable_h2();
    service.add_tls_with_settings(&address.to_string(), None, tls);
    server.add_service(service);
    child::say_ready_when_listening(address);
    server.run_forever();
}
