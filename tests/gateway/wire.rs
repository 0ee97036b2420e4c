//! Connections below what an HTTP client shows: bytes over TLS, and HTTP/2 by streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::gateway::Gateway;
use crate::visitor::Visitor;

/// The longest that a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the clinic promises: a session's end is felt within a second.
pub const A_SECOND: Duration = Duration::from_secs(1);

/// Believes any certificate: which one is shown is what tests look at.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A client's side of TLS: these versions, this ALPN.
pub fn tls(versions: &[&'static SupportedProtocolVersion], alpn: &[u8]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_protocol_versions(versions)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

pub async fn handshake(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// The Cookie line of a visitor at a host such as `emr`.
pub fn cookie(visitor: &Visitor, product: &str) -> String {
    let value = visitor.cookie(&format!("{product}.test")).unwrap();
    format!("__Host-vestibule={value}")
}

/// An HTTP/1.1 connection, byte by byte.
pub struct Line {
    stream: TlsStream<TcpStream>,
    ahead: Vec<u8>,
}

impl Line {
    pub async fn open(gateway: &Gateway, product: &str) -> Line {
        let config = tls(rustls::ALL_VERSIONS, b"http/1.1");
        let host = format!("{product}.test");
        let stream = timeout(PATIENCE, handshake(config, gateway.address, &host))
            .await
            .unwrap()
            .unwrap();
        Line {
            stream,
            ahead: Vec::new(),
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Up to and with `end`.
    pub async fn read_until(&mut self, end: &str) -> String {
        let read = async {
            loop {
                let at = memchr::memmem::find(&self.ahead, end.as_bytes());
                if let Some(at) = at {
                    let rest = self.ahead.split_off(at + end.len());
                    let text = std::mem::replace(&mut self.ahead, rest);
                    return String::from_utf8_lossy(&text).into_owned();
                }
                let read = self.stream.read_buf(&mut self.ahead).await.unwrap();
                let so_far = String::from_utf8_lossy(&self.ahead).into_owned();
                assert!(read > 0, "closed before {end:?}: {so_far}");
            }
        };
        timeout(PATIENCE, read).await.expect("an answer in time")
    }

    pub async fn read_head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    /// What comes until the other side closes.
    pub async fn read_to_end(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.ahead);
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest))
            .await
            .expect("an end in time");
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Whether the other side closes in this time, whatever it says before.
    pub async fn closes_within(&mut self, time: Duration) -> bool {
        let mut rest = Vec::new();
        timeout(time, self.stream.read_to_end(&mut rest))
            .await
            .is_ok()
    }

    pub fn into_stream(self) -> TlsStream<TcpStream> {
        self.stream
    }
}

/// An HTTP/2 connection.
pub struct Streams {
    pub send: h2::client::SendRequest<Bytes>,
    _driver: tokio::task::JoinHandle<()>,
}

impl Streams {
    pub async fn open(gateway: &Gateway, product: &str) -> Streams {
        let config = tls(rustls::ALL_VERSIONS, b"h2");
        let host = format!("{product}.test");
        let stream = handshake(config, gateway.address, &host).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Streams {
            send,
            _driver: driver,
        }
    }

    pub async fn request(
        &mut self,
        request: http::Request<()>,
        end: bool,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut ready = self.send.clone().ready().await.unwrap();
        ready.send_request(request, end).unwrap()
    }
}

pub fn request(
    gateway: &Gateway,
    method: &str,
    product: &str,
    path: &str,
) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", gateway.url(product)))
}
