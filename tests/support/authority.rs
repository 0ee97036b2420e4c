//! A small authority that speaks ACME (RFC 8555) and takes nothing on trust: it checks signatures, nonces
//! and addresses of requests, and really asks the gateway whether a name is its own.

#![allow(dead_code)] // every test program uses another part of this

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData,
    SignatureAlgorithm,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension};

use crate::gateway::{Gateway, TestClock};
use crate::wire;

/// Who signs, as certificates show it.
pub const NAME: &str = "The test's own authority";
/// What certificates live, unless a test says otherwise.
pub const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

const NONCE: HeaderName = HeaderName::from_static("replay-nonce");

pub struct Authority {
    office: Arc<Office>,
    task: JoinHandle<()>,
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where the names lead, for the one who asks.
#[derive(Clone, Copy)]
struct Doors {
    http: SocketAddr,
    https: SocketAddr,
}

struct Office {
    origin: String,
    clock: TestClock,
    issuer: Issuer<'static, KeyPair>,
    doors: watch::Sender<Option<Doors>>,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    last: u64,
    nonces: HashSet<String>,
    accounts: HashMap<String, Account>,
    orders: HashMap<u64, Order>,
    /// What was asked of us, by the last part of its name, in order.
    asked: Vec<String>,
    /// Faults, and what tests set.
    life: Option<Duration>,
    nonces_to_refuse: usize,
    limited: Option<u64>,
    turned_away: usize,
    misled: HashSet<String>,
    other_keys: bool,
    external: Option<(String, Vec<u8>)>,
}

struct Account {
    point: Vec<u8>,
    thumbprint: String,
    contact: Value,
    external: Option<String>,
}

struct Order {
    account: String,
    host: String,
    token: String,
    status: &'static str,
    /// Of the challenge.
    problem: Option<Value>,
    chain: Option<String>,
    /// How often it is still said that the certificate is being made.
    making: usize,
}

/// A key as a request for a certificate has it.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    pub async fn start(clock: &TestClock) -> Authority {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Authority::serve("http", address, clock, |app| async move {
            axum::serve(listener, app).await.unwrap();
        })
    }

    /// One that is asked over TLS, and the certificate that it shows, in PEM.
    pub async fn start_over_tls(clock: &TestClock) -> (Authority, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![String::from("127.0.0.1")]).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
        let over_tls = OverTls {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        let authority = Authority::serve("https", address, clock, |app| async move {
            axum::serve(over_tls, app).await.unwrap();
        });
        (authority, made.cert.pem())
    }

    fn serve<F>(
        scheme: &str,
        address: SocketAddr,
        clock: &TestClock,
        serve: impl FnOnce(Router) -> F,
    ) -> Authority
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, NAME);
        let (origin, port) = (format!("{scheme}://{address}"), address.port());
        let office = Arc::new(Office {
            origin,
            clock: clock.clone(),
            issuer: Issuer::new(params, KeyPair::generate().unwrap()),
            doors: watch::Sender::new(None),
            files: Mutex::new(Files {
                // No two authorities give the same numbers.
                last: u64::from(port) << 32,
                ..Files::default()
            }),
        });
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&office));
        Authority {
            office,
            task: tokio::spawn(serve(app)),
        }
    }

    /// The lines of gateway.toml that send a gateway here.
    pub fn toml(&self, more: &str) -> String {
        format!(
            "[tls.acme]\ndirectory = \"{}/directory\"\ncontact = [\"ops@clinic.example\"]\n\
             terms_agreed = true\n{more}\n",
            self.office.origin
        )
    }

    /// From now on all names lead to this gateway.
    pub fn lead_to(&self, gateway: &Gateway) {
        self.office.doors.send_replace(Some(Doors {
            http: gateway.http,
            https: gateway.address,
        }));
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.office.files.lock().unwrap()
    }

    /// The next requests are told that their nonce is a bad one.
    pub fn refuse_nonces(&self, count: usize) {
        self.files().nonces_to_refuse = count;
    }

    /// New orders are refused, for so many seconds; 0: no more.
    pub fn limit(&self, seconds: u64) {
        self.files().limited = Some(seconds).filter(|seconds| *seconds > 0);
    }

    /// Whether this name leads somewhere else for us.
    pub fn mislead(&self, host: &str, misled: bool) {
        let mut files = self.files();
        match misled {
            true => files.misled.insert(host.to_owned()),
            false => files.misled.remove(host),
        };
    }

    pub fn certify_other_keys(&self, other: bool) {
        self.files().other_keys = other;
    }

    pub fn set_life(&self, life: Duration) {
        self.files().life = Some(life);
    }

    /// Accounts are for those alone who have this key already.
    pub fn want_external(&self, key_id: &str, key: &[u8]) {
        self.files().external = Some((key_id.to_owned(), key.to_vec()));
    }

    /// Accounts vanish, as after a move to another machine.
    pub fn forget_accounts(&self) {
        self.files().accounts.clear();
    }

    /// How many orders there were for a host, refused ones not counted.
    pub fn orders_for(&self, host: &str) -> usize {
        let files = self.files();
        files.orders.values().filter(|o| o.host == host).count()
    }

    /// How many orders were refused because there are too many.
    pub fn turned_away(&self) -> usize {
        self.files().turned_away
    }

    pub fn orders(&self) -> usize {
        self.files().orders.len()
    }

    pub fn accounts(&self) -> usize {
        self.files().accounts.len()
    }

    pub fn contacts(&self) -> Vec<Value> {
        let files = self.files();
        files.accounts.values().map(|a| a.contact.clone()).collect()
    }

    pub fn externals(&self) -> Vec<Option<String>> {
        let files = self.files();
        files
            .accounts
            .values()
            .map(|a| a.external.clone())
            .collect()
    }

    /// How often something was asked: `order`, `account`, `finalize` and so on.
    pub fn asked(&self, what: &str) -> usize {
        let files = self.files();
        files.asked.iter().filter(|asked| *asked == what).count()
    }
}

/// A problem as it is told (RFC 8555, 6.7).
struct Refusal(StatusCode, &'static str, String);

fn refusal<T>(status: u16, kind: &'static str, detail: impl Into<String>) -> Result<T, Refusal> {
    let status = StatusCode::from_u16(status).unwrap();
    Err(Refusal(status, kind, detail.into()))
}

fn malformed<T>(detail: &str) -> Result<T, Refusal> {
    refusal(400, "malformed", detail)
}

/// A request whose signature was checked.
struct Signed {
    /// The account's address; empty for one that there is not yet.
    account: String,
    key: Option<Value>,
    /// `Null` for a mere question (POST-as-GET).
    payload: Value,
}

async fn answer(
    State(office): State<Arc<Office>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let answered = if path == "/directory" {
        Ok(axum::Json(office.directory()).into_response())
    } else if path == "/nonce" {
        Ok(StatusCode::OK.into_response())
    } else if method == Method::POST {
        Office::post(&office, &path, &body)
    } else {
        refusal(405, "malformed", "POST is wanted")
    };
    let mut response = answered.unwrap_or_else(|Refusal(status, kind, detail)| {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        let problem = json!({ "type": kind, "detail": detail, "status": status.as_u16() });
        let mut response = (status, axum::Json(problem)).into_response();
        let form = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, form);
        let limited = office.files.lock().unwrap().limited;
        if let Some(seconds) = limited {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    });
    let nonce = office.fresh("nonce");
    office.files.lock().unwrap().nonces.insert(nonce.clone());
    response
        .headers_mut()
        .insert(NONCE, HeaderValue::from_str(&nonce).unwrap());
    response
}

impl Office {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap()
    }

    fn number(&self) -> u64 {
        let mut files = self.files();
        files.last += 1;
        files.last
    }

    fn fresh(&self, what: &str) -> String {
        let text = format!("{what} {} {}", self.origin, self.number());
        URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
    }

    fn directory(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.origin);
        json!({
            "newNonce": at("/nonce"),
            "newAccount": at("/account"),
            "newOrder": at("/order"),
            "revokeCert": at("/revoke"),
            "keyChange": at("/key"),
            "meta": { "termsOfService": at("/terms") },
        })
    }

    fn post(office: &Arc<Office>, path: &str, body: &[u8]) -> Result<Response, Refusal> {
        let signed = office.check(path, body)?;
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let asked = parts.iter().rev().find(|part| part.parse::<u64>().is_err());
        office.files().asked.push((*asked.unwrap()).to_owned());
        let number = |text: &str| text.parse::<u64>().or_else(|_| malformed("no such thing"));
        match parts.as_slice() {
            ["account"] => office.open_account(signed),
            ["account", _] => office.change_account(&signed),
            ["order"] => office.take_order(&signed),
            ["order", id] => office.tell(number(id)?, |order, id| office.order(order, id)),
            ["order", id, "finalize"] => office.finalize(number(id)?, &signed.payload),
            ["authorization", id] => {
                office.tell(number(id)?, |order, id| office.authorization(order, id))
            }
            ["challenge", kind, id] => Office::challenge(office, number(id)?, kind, &signed),
            ["certificate", id] => {
                let files = office.files();
                match files.orders.get(&number(id)?).and_then(|o| o.chain.clone()) {
                    Some(chain) => Ok(chain.into_response()),
                    None => malformed("there is no certificate"),
                }
            }
            _ => malformed("no such place"),
        }
    }

    /// Signature, nonce and address (RFC 8555, 6.2 to 6.5).
    fn check(&self, path: &str, body: &[u8]) -> Result<Signed, Refusal> {
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or(Value::Null);
        let outer = json(body);
        let part = |name: &str| outer[name].as_str().unwrap_or_default().to_owned();
        let (head, payload) = (part("protected"), part("payload"));
        let read = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let protected = json(&read(&head));
        if protected["alg"] != "ES256" || protected["url"] != format!("{}{path}", self.origin) {
            return malformed("another algorithm, or for another address");
        }
        let mut files = self.files();
        let nonce = protected["nonce"].as_str().unwrap_or_default();
        if !files.nonces.remove(nonce) {
            return refusal(400, "badNonce", "not one of ours, or used");
        }
        if files.nonces_to_refuse > 0 {
            files.nonces_to_refuse -= 1;
            return refusal(400, "badNonce", "as the test wants it");
        }
        let account = protected["kid"].as_str().unwrap_or_default().to_owned();
        let key = Some(protected["jwk"].clone()).filter(Value::is_object);
        let point = match (&key, files.accounts.get(&account)) {
            (Some(key), None) if account.is_empty() => point_of(key),
            (None, Some(account)) => account.point.clone(),
            _ => return refusal(400, "accountDoesNotExist", "no such account"),
        };
        let key_of_signer = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        let signed = format!("{head}.{payload}");
        if key_of_signer
            .verify(signed.as_bytes(), &read(&part("signature")))
            .is_err()
        {
            return malformed("the signature is wrong");
        }
        Ok(Signed {
            account,
            key,
            payload: json(&read(&payload)),
        })
    }

    fn open_account(&self, signed: Signed) -> Result<Response, Refusal> {
        let Some(key) = signed.key else {
            return malformed("an account begins with its key");
        };
        if signed.payload["termsOfServiceAgreed"] != true {
            return refusal(403, "userActionRequired", "the terms were not agreed to");
        }
        let wanted = self.files().external.clone();
        let external = &signed.payload["externalAccountBinding"];
        let external = match wanted {
            None => None,
            Some((id, secret)) if binds(external, &id, &secret, &key) => Some(id),
            Some(_) => return refusal(403, "externalAccountRequired", "who are you?"),
        };
        let address = format!("{}/account/{}", self.origin, self.number());
        let account = Account {
            point: point_of(&key),
            thumbprint: thumbprint(&key),
            contact: signed.payload["contact"].clone(),
            external,
        };
        self.files().accounts.insert(address.clone(), account);
        let said = axum::Json(json!({ "status": "valid" }));
        Ok((StatusCode::CREATED, [(LOCATION, address)], said).into_response())
    }

    fn change_account(&self, signed: &Signed) -> Result<Response, Refusal> {
        let mut files = self.files();
        let account = files.accounts.get_mut(&signed.account).unwrap();
        if signed.payload["contact"].is_array() {
            account.contact = signed.payload["contact"].clone();
        }
        Ok(axum::Json(json!({ "status": "valid" })).into_response())
    }

    fn take_order(&self, signed: &Signed) -> Result<Response, Refusal> {
        if self.files().limited.is_some() {
            self.files().turned_away += 1;
            return refusal(429, "rateLimited", "too many orders");
        }
        let identifiers = &signed.payload["identifiers"];
        let host = identifiers[0]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if identifiers.as_array().map_or(0, Vec::len) != 1 || identifiers[0]["type"] != "dns" {
            return refusal(400, "rejectedIdentifier", "one name is wanted");
        }
        let token = self.fresh("token");
        let id = self.number();
        let order = Order {
            account: signed.account.clone(),
            host,
            token,
            status: "pending",
            problem: None,
            chain: None,
            making: 1,
        };
        let said = axum::Json(self.order(&order, id));
        self.files().orders.insert(id, order);
        let address = format!("{}/order/{id}", self.origin);
        Ok((StatusCode::CREATED, [(LOCATION, address)], said).into_response())
    }

    /// Tells of an order. One that is being made is made a look later.
    fn tell(&self, id: u64, what: impl Fn(&Order, u64) -> Value) -> Result<Response, Refusal> {
        let mut files = self.files();
        let Some(order) = files.orders.get_mut(&id) else {
            return malformed("no such order");
        };
        if order.status == "processing" {
            match order.making {
                0 => order.status = "valid",
                _ => order.making -= 1,
            }
        }
        Ok(axum::Json(what(order, id)).into_response())
    }

    fn order(&self, order: &Order, id: u64) -> Value {
        let mut said = json!({
            "status": order.status,
            "identifiers": [{ "type": "dns", "value": order.host }],
            "authorizations": [format!("{}/authorization/{id}", self.origin)],
            "finalize": format!("{}/order/{id}/finalize", self.origin),
        });
        if order.status == "valid" {
            said["certificate"] = json!(format!("{}/certificate/{id}", self.origin));
        }
        said
    }

    fn authorization(&self, order: &Order, id: u64) -> Value {
        let status = match order.status {
            "pending" | "invalid" => order.status,
            _ => "valid",
        };
        let challenge = |kind: &str| {
            let mut said = json!({
                "type": kind,
                "url": format!("{}/challenge/{kind}/{id}", self.origin),
                "token": order.token,
                "status": status,
            });
            if let Some(problem) = &order.problem {
                said["error"] = problem.clone();
            }
            said
        };
        json!({
            "identifier": { "type": "dns", "value": order.host },
            "status": status,
            "challenges": [challenge("dns-01"), challenge("http-01"), challenge("tls-alpn-01")],
        })
    }

    fn challenge(
        office: &Arc<Office>,
        id: u64,
        kind: &str,
        signed: &Signed,
    ) -> Result<Response, Refusal> {
        let files = office.files();
        let Some(order) = files
            .orders
            .get(&id)
            .filter(|o| o.account == signed.account)
        else {
            return malformed("no such order");
        };
        let proof = Proof {
            host: order.host.clone(),
            token: order.token.clone(),
            expected: format!(
                "{}.{}",
                order.token, files.accounts[&signed.account].thumbprint
            ),
            misled: files.misled.contains(&order.host),
        };
        let (later, kind) = (Arc::clone(office), kind.to_owned());
        let said = json!({
            "type": kind,
            "url": format!("{}/challenge/{kind}/{id}", office.origin),
            "token": proof.token,
            "status": "processing",
        });
        tokio::spawn(async move {
            let mut doors = later.doors.subscribe();
            let doors = doors.wait_for(Option::is_some).await.unwrap().unwrap();
            let proven = match kind.as_str() {
                "http-01" => proof.over_http(doors.http).await,
                "tls-alpn-01" => proof.in_handshake(doors.https).await,
                _ => Err(String::from("not that one")),
            };
            let mut files = later.files();
            let order = files.orders.get_mut(&id).unwrap();
            match proven {
                Ok(()) => order.status = "ready",
                Err(detail) => {
                    order.status = "invalid";
                    let kind = "urn:ietf:params:acme:error:unauthorized";
                    order.problem = Some(json!({ "type": kind, "detail": detail, "status": 403 }));
                }
            }
        });
        Ok(axum::Json(said).into_response())
    }

    fn finalize(&self, id: u64, payload: &Value) -> Result<Response, Refusal> {
        let request = payload["csr"].as_str().unwrap_or_default();
        let request = URL_SAFE_NO_PAD.decode(request).unwrap_or_default();
        let mut files = self.files();
        let (life, other) = (files.life.unwrap_or(LIFE), files.other_keys);
        let Some(order) = files.orders.get_mut(&id) else {
            return malformed("no such order");
        };
        if order.status != "ready" {
            return refusal(403, "orderNotReady", order.status);
        }
        let Some(key) = requested_key(&request, &order.host) else {
            return refusal(400, "badCSR", "it is for another name");
        };
        let key = match other {
            true => Requested(KeyPair::generate().unwrap().der_bytes().to_vec()),
            false => Requested(key),
        };
        let mut params = CertificateParams::new(vec![order.host.clone()]).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let now = u64::try_from(self.clock.now().secs()).unwrap();
        params.not_before = epoch + Duration::from_secs(now);
        params.not_after = epoch + Duration::from_secs(now) + life;
        params.serial_number = Some(id.into());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        order.chain = Some(certificate.pem());
        order.status = "processing";
        let said = axum::Json(self.order(order, id));
        Ok(said.into_response())
    }
}

/// The key of a request for a certificate, if it is for this name alone.
fn requested_key(request: &[u8], host: &str) -> Option<Vec<u8>> {
    let (_, request) =
        x509_parser::certification_request::X509CertificationRequest::from_der(request).ok()?;
    let named = request.requested_extensions()?.any(|extension| {
        let ParsedExtension::SubjectAlternativeName(names) = extension else {
            return false;
        };
        matches!(names.general_names.as_slice(), [GeneralName::DNSName(name)] if *name == host)
    });
    let key = &request.certification_request_info.subject_pki;
    named.then(|| key.subject_public_key.data.to_vec())
}

/// What is to be seen at a name.
struct Proof {
    host: String,
    token: String,
    expected: String,
    misled: bool,
}

impl Proof {
    async fn over_http(&self, door: SocketAddr) -> Result<(), String> {
        let token = match self.misled {
            true => "a-token-of-somebody-else",
            false => &self.token,
        };
        let head = format!(
            "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.host
        );
        let asked = async {
            let mut stream = TcpStream::connect(door).await?;
            stream.write_all(head.as_bytes()).await?;
            let mut said = String::new();
            stream.read_to_string(&mut said).await?;
            io::Result::Ok(said)
        };
        let said = asked.await.map_err(|error| error.to_string())?;
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status == "200" && body.trim_end() == self.expected {
            return Ok(());
        }
        Err(format!("{}: Invalid response: {status}", self.host))
    }

    async fn in_handshake(&self, door: SocketAddr) -> Result<(), String> {
        let host = match self.misled {
            true => "elsewhere.test",
            false => &self.host,
        };
        let config = wire::tls(rustls::ALL_VERSIONS, b"acme-tls/1");
        let stream = wire::handshake(config, door, host).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        let connection = stream.get_ref().1;
        if connection.alpn_protocol() != Some(b"acme-tls/1") {
            return Err(String::from("another protocol"));
        }
        let shown = connection.peer_certificates().unwrap()[0].clone();
        let (_, parsed) = x509_parser::parse_x509_certificate(&shown).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        let named = matches!(names.value.general_names.as_slice(), [GeneralName::DNSName(name)] if *name == self.host);
        // id-pe-acmeIdentifier (RFC 8737, 6.1), critical, an OCTET STRING of 32 bytes.
        let mut expected = vec![4, 32];
        expected.extend_from_slice(digest(&SHA256, self.expected.as_bytes()).as_ref());
        let held = parsed.extensions().iter().any(|extension| {
            extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31"
                && extension.critical
                && extension.value == expected
        });
        // Nothing else is spoken there.
        let mut more = Vec::new();
        let _ = stream.read_to_end(&mut more).await;
        match named && held && more.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "{}: the certificate shows nothing of us",
                self.host
            )),
        }
    }
}

fn coordinate(key: &Value, name: &str) -> Vec<u8> {
    let text = key[name].as_str().unwrap_or_default();
    URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}

fn point_of(key: &Value) -> Vec<u8> {
    [vec![4], coordinate(key, "x"), coordinate(key, "y")].concat()
}

/// RFC 7638.
fn thumbprint(key: &Value) -> String {
    let (x, y) = (key["x"].as_str().unwrap(), key["y"].as_str().unwrap());
    let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// Whether it is our account's key that is bound, by who knows our secret (RFC 8555, 7.3.4).
fn binds(external: &Value, id: &str, secret: &[u8], key: &Value) -> bool {
    let part = |name: &str| external[name].as_str().unwrap_or_default().to_owned();
    let read = |name: &str| URL_SAFE_NO_PAD.decode(part(name)).unwrap_or_default();
    let json = |name: &str| serde_json::from_slice::<Value>(&read(name)).unwrap_or(Value::Null);
    let signed = format!("{}.{}", part("protected"), part("payload"));
    let bound = hmac::verify(
        &hmac::Key::new(hmac::HMAC_SHA256, secret),
        signed.as_bytes(),
        &read("signature"),
    );
    bound.is_ok() && json("protected")["kid"] == id && point_of(&json("payload")) == point_of(key)
}

struct OverTls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for OverTls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.listener.accept().await.unwrap();
            // Who does not believe us goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
