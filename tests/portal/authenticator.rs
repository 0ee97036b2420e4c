//! A passkey's device in software: what a browser and its authenticator answer, to the letter or
//! wrong on purpose.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::browser::Page;
use crate::clinic::PORTAL;

pub struct Authenticator {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    /// What the next answer says.
    pub counter: u32,
    pub origin: String,
    pub host: String,
    /// See the constants.
    pub flags: u8,
}

pub const PRESENT: u8 = 1;
pub const VERIFIED: u8 = 4;
pub const BACKED_UP: u8 = 16;
const ATTESTED: u8 = 64;

impl Authenticator {
    pub fn new() -> Authenticator {
        let mut id = vec![0; 32];
        aws_lc_rs::rand::fill(&mut id).unwrap();
        Authenticator {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            id,
            counter: 1,
            origin: PORTAL.to_owned(),
            host: String::from("login.test"),
            flags: PRESENT | VERIFIED,
        }
    }

    /// What the page's script sends when a passkey was made.
    pub fn create(&self, page: &Page) -> String {
        let options = options(page);
        let mut data = self.head(ATTESTED);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.id);
        data.extend_from_slice(&self.cose_key());
        let mut object = Vec::from(*b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59");
        object.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        object.extend_from_slice(&data);
        self.answer(json!({
            "attestationObject": text(&object),
            "clientDataJSON": text(&self.client("webauthn.create", &options)),
            "transports": ["internal"],
        }))
    }

    /// What it sends when one was used.
    pub fn get(&mut self, page: &Page) -> String {
        self.counter += 1;
        self.get_as_it_is(page)
    }

    /// The same without a step of the counter.
    pub fn get_as_it_is(&self, page: &Page) -> String {
        let client = self.client("webauthn.get", &options(page));
        let data = self.head(0);
        let signed = [data.as_slice(), digest(&SHA256, &client).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        self.answer(json!({
            "authenticatorData": text(&data),
            "clientDataJSON": text(&client),
            "signature": text(signature.as_ref()),
            "userHandle": null,
        }))
    }

    fn answer(&self, response: Value) -> String {
        json!({
            "id": text(&self.id),
            "rawId": text(&self.id),
            "type": "public-key",
            "response": response,
        })
        .to_string()
    }

    fn client(&self, kind: &str, options: &Value) -> Vec<u8> {
        let client = json!({
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": false,
        });
        client.to_string().into_bytes()
    }

    fn head(&self, more: u8) -> Vec<u8> {
        let mut data = digest(&SHA256, self.host.as_bytes()).as_ref().to_vec();
        data.push(self.flags | more);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    /// ES256 on P-256 (RFC 9053, section 2.1).
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let mut key = Vec::from(*b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20");
        key.extend_from_slice(x);
        key.extend_from_slice(b"\x22\x58\x20");
        key.extend_from_slice(y);
        key
    }
}

/// What the page asks the browser for.
pub fn options(page: &Page) -> Value {
    let options: Value = serde_json::from_str(&page.attribute("data-options")).unwrap();
    options["publicKey"].clone()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
