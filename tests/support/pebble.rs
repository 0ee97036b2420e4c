//! Pebble, the ACME server by which Let's Encrypt's makers try clients, and the little DNS that it asks.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::gateway::Gateway;

const PATIENCE: Duration = Duration::from_secs(30);
const PORT: u16 = 14000;
const MANAGEMENT: u16 = 15000;

/// An account that it knows beforehand: its name, and its key in base64url.
pub const KEY_ID: &str = "clinic-7";
pub const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// Where it is to be, and the names that lead to this machine for it. It runs from
/// [`open`](Pebble::open) to [`close`](Pebble::close).
pub struct Pebble {
    address: Ipv4Addr,
    folder: TempDir,
    names: SocketAddr,
    unknown: Arc<Mutex<HashSet<String>>>,
    answering: JoinHandle<()>,
    child: Option<Child>,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.answering.abort();
        self.close();
    }
}

impl Pebble {
    /// `address`: of this machine, and nobody else's.
    pub async fn new(address: Ipv4Addr) -> Pebble {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![address.to_string()]).unwrap();
        std::fs::write(folder.path().join("pebble.pem"), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(folder.path().join("pebble.key"), key).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let unknown = Arc::default();
        Pebble {
            address,
            folder,
            names: socket.local_addr().unwrap(),
            answering: tokio::spawn(answer(socket, Arc::clone(&unknown))),
            unknown,
            child: None,
        }
    }

    /// Lines of gateway.toml that send a gateway here.
    pub fn toml(&self, more: &str) -> String {
        format!(
            "[tls.acme]\ndirectory = \"https://{}:{PORT}/dir\"\nca = \"{}\"\n\
             contact = [\"ops@clinic.example\"]\nterms_agreed = true\n{more}\n",
            self.address,
            self.file("pebble.pem").display()
        )
    }

    /// It serves, looks for proofs at this gateway, and gives certificates for so long. It remembers
    /// nothing of an earlier run. `external`: it takes only those whom it knows by [`KEY_ID`].
    pub fn open(&mut self, gateway: &Gateway, life: Duration, external: bool) {
        assert!(self.child.is_none(), "it runs already");
        let settings = json!({"pebble": {
            "listenAddress": format!("{}:{PORT}", self.address),
            "managementListenAddress": format!("{}:{MANAGEMENT}", self.address),
            "certificate": self.file("pebble.pem"),
            "privateKey": self.file("pebble.key"),
            "httpPort": gateway.http.port(),
            "tlsPort": gateway.address.port(),
            // Said in another way since Pebble 2.7.
            "certificateValidityPeriod": life.as_secs(),
            "profiles": {"default": {"description": "of the tests", "validityPeriod": life.as_secs()}},
            "externalAccountBindingRequired": external,
            "externalAccountMACKeys": {KEY_ID: KEY},
        }});
        std::fs::write(self.file("pebble.json"), settings.to_string()).unwrap();
        let log = std::fs::File::create(self.file("log")).unwrap();
        let child = Command::new("pebble")
            .args(["-strict", "-config"])
            .arg(self.file("pebble.json"))
            .args(["-dnsserver", &self.names.to_string()])
            // It draws lots otherwise: waits, refused nonces, proofs that still hold.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("pebble (Debian: apt-get install pebble)");
        let child = self.child.insert(child);
        let begun = Instant::now();
        for port in [PORT, MANAGEMENT] {
            let door = SocketAddr::new(IpAddr::V4(self.address), port);
            while TcpStream::connect_timeout(&door, Duration::from_secs(1)).is_err() {
                assert!(
                    child.try_wait().unwrap().is_none() && begun.elapsed() < PATIENCE,
                    "pebble does not serve: {}",
                    std::fs::read_to_string(self.folder.path().join("log")).unwrap()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    pub fn close(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// From now on no DNS knows this name, or all do again.
    pub fn hide(&self, host: &str, hidden: bool) {
        let mut unknown = self.unknown.lock().unwrap();
        if hidden {
            unknown.insert(host.to_owned());
        } else {
            unknown.remove(host);
        }
    }

    /// Who signed the authority that signs, made anew with each [`open`](Pebble::open).
    pub async fn root(&self) -> RootCertStore {
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        let url = format!("https://{}:{MANAGEMENT}/roots/0", self.address);
        let pem = client.get(url).send().await.unwrap().bytes().await.unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        roots
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A DNS (RFC 1035) in which every name leads to 127.0.0.1, except the unknown ones.
async fn answer(socket: UdpSocket, unknown: Arc<Mutex<HashSet<String>>>) {
    let mut packet = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        let Some((name, end)) = question(&packet[..length]) else {
            continue;
        };
        // Also below a domain that this machine searches in.
        let below = |host: &String| name == *host || name.starts_with(&format!("{host}."));
        let is_unknown = unknown.lock().unwrap().iter().any(below);
        let is_address = packet[end - 4..end - 2] == [0, 1];
        let mut said = packet[..2].to_vec();
        said.extend([0x81, if is_unknown { 0x83 } else { 0x80 }]);
        let answers = u8::from(is_address && !is_unknown);
        said.extend([0, 1, 0, answers, 0, 0, 0, 0]);
        said.extend(&packet[12..end]);
        if answers > 0 {
            // The name of the question, type A, class IN, not to be kept, four bytes.
            said.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
        }
        let _ = socket.send_to(&said, from).await;
    }
}

/// The name that is asked for, and where the question ends.
fn question(packet: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*packet.get(at)?);
        if length == 0 {
            break;
        }
        let label = packet.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + length;
    }
    let end = at + 5;
    (end <= packet.len()).then(|| (labels.join("."), end))
}
