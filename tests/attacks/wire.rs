//! A client that sends exactly the bytes it is given, and believes any certificate.

#![allow(dead_code)] // every test program uses another part of this

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, Error, HandshakeKind, ProtocolVersion,
    SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest that any answer is waited for; nothing is expected to take it.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Wire {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// An answer; status 0 when the connection was closed instead.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.head
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    fn none() -> Reply {
        Reply {
            status: 0,
            head: String::new(),
            body: Vec::new(),
        }
    }
}

impl Wire {
    /// HTTP/1.1 with this name in the handshake.
    pub async fn open(gateway: SocketAddr, name: &str) -> Wire {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Wire::connect(gateway, name, b"http/1.1").await.unwrap()
    }

    /// The handshake may be refused. An IP address as a name sends no name.
    pub async fn connect(
        gateway: SocketAddr,
        name: ServerName<'static>,
        protocol: &[u8],
    ) -> io::Result<Wire> {
        let config = Arc::new(believing(rustls::ALL_VERSIONS, protocol));
        Wire::with(&config, gateway, name).await
    }

    /// With a configuration of the test's own, which remembers tickets.
    pub async fn by(
        config: &Arc<ClientConfig>,
        gateway: SocketAddr,
        name: &str,
    ) -> io::Result<Wire> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Wire::with(config, gateway, name).await
    }

    async fn with(
        config: &Arc<ClientConfig>,
        gateway: SocketAddr,
        name: ServerName<'static>,
    ) -> io::Result<Wire> {
        let stream = TcpStream::connect(gateway).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        let stream = timeout(PATIENCE, connecting).await.unwrap()?;
        Ok(Wire {
            stream,
            buffer: Vec::new(),
        })
    }

    pub fn handshake_kind(&self) -> HandshakeKind {
        self.stream.get_ref().1.handshake_kind().unwrap()
    }

    /// That the gateway showed.
    pub fn certificate(&self) -> Vec<u8> {
        let shown = self.stream.get_ref().1.peer_certificates().unwrap();
        shown[0].to_vec()
    }

    pub fn version(&self) -> Option<ProtocolVersion> {
        self.stream.get_ref().1.protocol_version()
    }

    pub fn suite(&self) -> Option<CipherSuite> {
        let connection = self.stream.get_ref().1;
        connection
            .negotiated_cipher_suite()
            .map(|suite| suite.suite())
    }

    pub fn early_data_accepted(&self) -> bool {
        self.stream.get_ref().1.is_early_data_accepted()
    }

    /// Everything that comes of these bytes, until the end.
    pub async fn rest_after(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.send(bytes).await;
        self.rest().await
    }

    /// For a protocol of another kind, once nothing is left over from the first.
    pub fn into_stream(self) -> TlsStream<TcpStream> {
        assert!(self.buffer.is_empty());
        self.stream
    }

    /// A gateway that has heard enough may have closed already: that shows in the answer.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok() && self.stream.flush().await.is_ok()
    }

    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Reply {
        self.send(bytes).await;
        self.reply().await
    }

    /// The next answer that is not interim.
    pub async fn reply(&mut self) -> Reply {
        loop {
            let Some(head) = self.until(b"\r\n\r\n").await else {
                return Reply::none();
            };
            let head = String::from_utf8_lossy(&head).into_owned();
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut reply = Reply {
                status,
                head,
                body: Vec::new(),
            };
            if status == 101 {
                return reply;
            }
            if status < 200 {
                continue;
            }
            reply.body = self.body(&reply).await;
            return reply;
        }
    }

    async fn body(&mut self, reply: &Reply) -> Vec<u8> {
        if matches!(reply.status, 204 | 304) {
            return Vec::new();
        }
        if !reply.values("transfer-encoding").is_empty() {
            let mut body = Vec::new();
            while let Some(size) = self.until(b"\r\n").await {
                let size = usize::from_str_radix(&String::from_utf8(size).unwrap(), 16).unwrap();
                if size == 0 {
                    self.until(b"\r\n").await;
                    break;
                }
                body.extend(self.exactly(size).await);
                self.exactly(2).await;
            }
            return body;
        }
        match reply.values("content-length").first() {
            Some(length) => self.exactly(length.parse().unwrap()).await,
            None => self.rest().await,
        }
    }

    /// Everything until the gateway closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Waits at most [`PATIENCE`] for the end, and says whether it came: for who is cut late.
    pub async fn patient_rest(&mut self) -> bool {
        let mut chunk = vec![0; 16 * 1024];
        matches!(
            timeout(PATIENCE, self.stream.read(&mut chunk)).await,
            Ok(Ok(0) | Err(_))
        )
    }

    /// Whether the connection is closed without another word.
    pub async fn is_over(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length && self.more().await {}
        let rest = self.buffer.split_off(length.min(self.buffer.len()));
        std::mem::replace(&mut self.buffer, rest)
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                let rest = self.buffer.split_off(at + end.len());
                let mut taken = std::mem::replace(&mut self.buffer, rest);
                taken.truncate(at);
                return Some(taken);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        let mut chunk = vec![0; 16 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut chunk));
        let count = read.await.expect("an answer or an end").unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..count]);
        count > 0
    }
}

/// Believes any certificate.
pub fn believing(versions: &[&'static SupportedProtocolVersion], protocol: &[u8]) -> ClientConfig {
    believing_by(aws_lc_rs::default_provider(), versions, protocol)
}

/// The same with suites of the test's own, in its order.
pub fn believing_by(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
