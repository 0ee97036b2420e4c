//! The schema and the parser agree: over all samples, every key there is, and each of its values
//! bent in every way.

#[path = "schema_tests/bends.rs"]
mod bends;
#[path = "schema_tests/judges.rs"]
mod judges;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::config::ProductIds;
use crate::gate::name::ProductId;
use bends::{at, bent, holds_text, places, remove};
use judges::{conforms, keys, used};

pub use bends::text;
pub use judges::{document, to_json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every key of gateway.toml, each with a value that is right. Where one table has several kinds of
/// value, or of provider, another document has the others.
const EVERY_KEY: [&str; 4] = [
    r##"
policies_dir = "policies"
[listen]
https = ["[::]:8443"]
http = ["[::]:8080"]
admin = "127.0.0.1:9901"
trusted_proxies = ["10.0.0.0/8"]
[authz]
peers = ["127.0.0.1/32"]
[tls]
certificates = [{ certificate = "site.pem", key = "site.key" }]
minimum = "1.3"
[tls.acme]
directory = "https://acme.example.org/directory"
contact = ["ops@example.org"]
terms_agreed = true
challenge = "http-01"
external_account = { key_id = "kid-1", key = "c2VjcmV0" }
ca = "ca.pem"
[portal]
url = "https://login.localhost:8443"
title = "Sign-in"
[store]
sessions = "redis://127.0.0.1"
directory = "postgres://127.0.0.1/vestibule"
data_dir = "data"
master_key = { file = "master.key" }
when_unavailable = "grace:30s"
recheck = "60s"
cache_capacity = 65536
[session]
maximum = "12h"
idle = "8h"
keep_form = "1MiB"
[products.emr]
name = "EMR"
url = "https://emr.localhost:8443"
backends = ["https://127.0.0.1:9001"]
primary = true
needs_grant = false
accounts = "own"
access = { "/public/**" = "public" }
idle = "2h"
unauthenticated = "auto"
websockets = true
bar = true
body_limit = "20MiB"
[products.emr.activity]
ignore = ["/poll/**"]
count = ["/work/**"]
[products.emr.identity]
X-My-User = "{account.login}"
[products.emr.sign_on]
kind = "form"
page = "/login"
username_field = "user"
password_field = "pass"
signed_out = "/bye"
sign_out = "/out"
expired_text = "has expired"
inside = "/work"
deadline = "10s"
[products.emr.health]
path = "/healthz"
interval = "5s"
timeout = "2s"
healthy_after = 1
unhealthy_after = 2
[products.emr.timeouts]
connect = "5s"
read = "60s"
write = "60s"
idle = "60s"
[products.emr.tls]
ca = "ca.pem"
server_name = "emr.internal"
client = { certificate = "client.pem", key = "client.key" }
[rollout]
mfa = { companies = ["acme-rehab"], percent = 10 }
analytics_sso = { companies = ["acme-rehab"], percent = 0 }
pause_when = { factor_failures_above = 0.2, of_at_least = 50 }
[messages.sms]
kind = "twilio"
url = "https://sms.example.org/send"
token = "x"
account = "x"
from = "+12125550100"
deadline = "5s"
[messages.sms.second]
kind = "http"
url = "https://sms.example.org/send"
token = "x"
account = "x"
from = "x"
[messages.email]
kind = "smtp"
url = "smtps://mail.example.org"
from = "Clinic <no-reply@example.org>"
deadline = "5s"
second = { kind = "smtp", url = "smtp://localhost" }
[limits]
handshake = "10s"
head = "10s"
body = "60s"
idle = "75s"
drain = "0s"
connections = 16384
connections_per_address = 0
streams_per_connection = 128
header_bytes = "32KiB"
header_count = 100
target_bytes = 8192
password_workers = 2
password_queue = 256
kept_forms = "64MiB"
[log]
format = "json"
access = true
level = "info"
access_file = "access.log"
audit_file = "audit.log"
audit_rotate = "64MiB"
[telemetry]
otlp = "http://127.0.0.1:4318"
token = "x"
sample = "10%"
[providers.acme]
company = "acme-rehab"
issuer = "https://id.acme.test"
client_id = "vestibule"
client_secret = "x"
label = "Acme"
scopes = ["openid"]
link_by_email = false
believe_factor = true
button = true
only = false
domains = ["acme.test"]
max_age = "8h"
deadline = "5s"
ca = "ca.pem"
[scim.acme-rehab]
roles = { "Clinic admins" = ["company_admin"] }
"##,
    r##"
[listen]
https = ["[::]:8443"]
[portal]
url = "https://login.localhost:8443"
[store]
sessions = { file = "secret" }
[products.emr]
url = "https://emr.localhost:8443"
backends = ["http://127.0.0.1:9001"]
primary = true
access = "optional"
identity = "remote"
sign_on = "headers"
unauthenticated = 401
body_limit = 1024
[messages.email]
kind = "outbox"
"##,
    r##"
[listen]
https = ["[::]:8443"]
[portal]
url = "https://login.localhost:8443"
[products.emr]
url = "https://emr.localhost:8443"
backends = ["http://127.0.0.1:9001"]
primary = true
access = "public"
credentials = { kind = "form", page = "/login", username_field = "user", password_field = "pass", signed_out = "/bye", sign_out = "/out", expired_text = "has expired", inside = "/work", deadline = "10s" }
[products.billing]
url = "https://billing.localhost:8443"
backends = ["http://127.0.0.1:9002"]
sign_on = { kind = "basic" }
[products.charts]
url = "https://charts.localhost:8443"
backends = ["http://127.0.0.1:9003"]
credentials = { kind = "ldap", url = "ldaps://ldap.example.org", ca = "ca.pem", start_tls = false, search = { base = "dc=example", filter = "(uid={login})", bind_dn = "cn=reader", bind_password = "x" } }
[products.scans]
url = "https://scans.localhost:8443"
backends = ["http://127.0.0.1:9004"]
credentials = { kind = "ldap", url = "ldaps://ldap.example.org", dn = "uid={login},dc=example" }
[products.labs]
url = "https://labs.localhost:8443"
backends = ["http://127.0.0.1:9005"]
credentials = { kind = "ldap", url = "ldaps://ldap.example.org", search = { base = "dc=example", filter = "(uid={login})", bind_dn = "cn=reader", bind_password = { file = "token" } } }
[telemetry]
otlp = "http://127.0.0.1:4318"
token = { file = "token" }
[providers.acme]
company = "acme-rehab"
issuer = "https://id.acme.test"
client_id = "vestibule"
client_secret = { file = "token" }
label = "Acme"
[limits]
target_bytes = "8KiB"
"##,
    r##"
[listen]
https = ["[::]:8443"]
[portal]
url = "https://login.localhost:8443"
[tls.acme]
directory = "https://acme.example.org/directory"
terms_agreed = true
challenge = "tls-alpn-01"
external_account = { key_id = "kid-1", key = { file = "account" } }
[store]
directory = { file = "directory" }
[products.emr]
url = "https://emr.localhost:8443"
backends = ["http://127.0.0.1:9001"]
primary = true
[messages.sms]
kind = "http"
url = { file = "sms" }
token = { file = "token" }
second = { kind = "http", url = { file = "sms" }, token = { file = "token" } }
[messages.email]
url = { file = "mail" }
from = "no-reply@example.org"
second = { url = { file = "mail" } }
"##,
];

const EVERY_POLICY_KEY: &str = r##"
name = "Acme"
timezone = "America/New_York"
[mfa]
mode = "company"
methods = ["totp", "sms", "email", "passkey", "recovery"]
remember_device = "0d"
sms_prefixes = ["+1"]
messages_per_day = 2000
[password]
maximum_age = "90d"
[session]
maximum = "12h"
idle = "8h"
[products.billing]
idle = "2h"
[[rules]]
name = "payments"
products = ["billing"]
paths = ["/payments/**"]
methods = ["POST"]
roles = ["biller"]
networks = ["10.0.0.0/8"]
hours = "Mon-Fri 07:00-19:00"
action = "step_up"
within = "15m"
[rules.except]
products = ["billing"]
paths = ["/payments/**"]
methods = ["POST"]
roles = ["biller"]
networks = ["10.0.0.0/8"]
hours = "Mon-Fri 07:00-19:00"
[[rules]]
name = "archive"
action = "allow"
"##;

const EVERY_CASE_KEY: &str = r##"
[[cases]]
name = "x"
company = "acme-rehab"
person = "kim"
product = "billing"
method = "GET"
path = "/"
at = "2026-11-18T12:00:00Z"
ip = "127.0.0.1"
roles = ["biller"]
grants = ["analytics"]
factor_age = "5m"
session_age = "1h"
idle = "1m"
expect = "allow"
"##;

/// Whether the parser that serves takes the text.
fn parses(of: SchemaOf, text: &str, folder: &Path) -> Result<(), String> {
    let told = |problems: crate::config::Problems| problems.to_string();
    match of {
        SchemaOf::Gateway => config::read(text, &folder.join("g.toml"), std::iter::empty(), &[])
            .map(drop)
            .map_err(told),
        SchemaOf::Policy => {
            let ids = ["emr", "billing", "analytics"].map(|id| ProductId::parse(id).unwrap());
            policies::read_policy(text, &folder.join("p.toml"), &ProductIds::of(ids))
                .map(drop)
                .map_err(told)
        }
        SchemaOf::PolicyTest => {
            let file = folder.join("t.toml");
            std::fs::write(&file, text).unwrap();
            policy_test::read(&file).map(drop).map_err(told)
        }
    }
}

fn samples() -> Vec<(SchemaOf, String)> {
    let list = |folder: &str, of: SchemaOf| {
        let mut files: Vec<PathBuf> = std::fs::read_dir(root().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{folder}");
        files
            .into_iter()
            .map(move |file| (of, std::fs::read_to_string(file).unwrap()))
    };
    let gateway = std::fs::read_to_string(root().join("gateway.toml")).unwrap();
    let mut all = vec![(SchemaOf::Gateway, gateway)];
    all.extend(list("policies", SchemaOf::Policy));
    all.extend(list("src/demo/policies", SchemaOf::Policy));
    all.extend(list("policies/tests", SchemaOf::PolicyTest));
    all.extend(list("src/demo/policies/tests", SchemaOf::PolicyTest));
    all
}

pub fn every_key() -> Vec<(SchemaOf, String)> {
    let mut all = EVERY_KEY
        .map(|text| (SchemaOf::Gateway, text.to_owned()))
        .to_vec();
    all.push((SchemaOf::Policy, EVERY_POLICY_KEY.to_owned()));
    all.push((SchemaOf::PolicyTest, EVERY_CASE_KEY.to_owned()));
    all
}

fn corpus() -> Vec<(SchemaOf, String)> {
    [samples(), every_key()].concat()
}

pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("secret", "redis://127.0.0.1\n"),
        ("directory", "postgres://127.0.0.1/vestibule\n"),
        ("sms", "https://sms.example.org/send\n"),
        ("token", "x\n"),
        ("account", "c2VjcmV0\n"),
        ("mail", "smtps://mail.example.org\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn the_files_of_the_repository_are_what_the_program_prints() {
    for of in SchemaOf::ALL {
        let file = root().join("schemas").join(of.file());
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == of.text(),
            "write it anew: vestibule schema {} > schemas/{}",
            of.word(),
            of.file()
        );
    }
}

#[test]
fn the_samples_name_their_schema() {
    for (of, text) in samples() {
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("#:schema ") && first.ends_with(&format!("schemas/{}", of.file())),
            "{first}"
        );
    }
}

#[test]
fn what_is_right_is_right_for_both() {
    let folder = folder();
    for (of, text) in corpus() {
        assert_eq!(parses(of, &text, folder.path()), Ok(()), "{text}");
        let value = to_json(document(&text).as_item());
        assert!(conforms(&of.value(), &value), "{text}");
    }
}

#[test]
fn the_corpus_has_every_key() {
    for of in SchemaOf::ALL {
        let schema = of.value();
        let (mut all, mut there) = (BTreeSet::new(), BTreeSet::new());
        keys(&schema, "", &mut all);
        for (_, text) in corpus().into_iter().filter(|(other, _)| *other == of) {
            let value = to_json(document(&text).as_item());
            used(&schema, &value, "", &mut there);
        }
        assert!(all.len() > 10, "{of:?}");
        let missing: Vec<&String> = all.difference(&there).collect();
        assert!(missing.is_empty(), "add to the corpus: {missing:?}");
    }
}

/// Every value bent, every table with a key too many, every key taken away. The schema never
/// refuses what the parser takes; and what the parser refuses and the schema takes is text with a
/// grammar, or hangs on another value.
#[test]
fn what_is_wrong_is_wrong_for_both() {
    let folder = folder();
    let (mut tried, mut refused_by_both, mut only_parser) = (0, 0, BTreeSet::new());
    let mut wrong = Vec::new();
    for (of, sample) in every_key() {
        let schema = of.value();
        let right = to_json(document(&sample).as_item());
        let mut all = Vec::new();
        places(&right, &[], &mut all);
        let mut variants: Vec<(Value, bool, String)> = Vec::new();
        for path in &all {
            for other in bent() {
                let mut value = right.clone();
                *at(&mut value, path) = other.clone();
                // Only text is left to the parser alone, and tables and lists of it.
                variants.push((value, holds_text(&other), format!("{path:?} = {other}")));
            }
            let mut value = right.clone();
            remove(&mut value, path);
            variants.push((value, false, format!("without {path:?}")));
            let mut value = right.clone();
            if let Value::Object(table) = at(&mut value, path) {
                table.insert(String::from("zz_unknown"), json!(1));
                variants.push((value, false, format!("one too many in {path:?}")));
            }
        }
        let mut value = right.clone();
        value["zz_unknown"] = json!(1);
        variants.push((value, false, String::from("one too many at the top")));
        for (value, may_differ, what) in variants {
            tried += 1;
            let parsed = parses(of, &text(&value), folder.path());
            match (conforms(&schema, &value), &parsed) {
                (true, Ok(())) => {}
                (false, Err(_)) => refused_by_both += 1,
                (false, Ok(())) => {
                    wrong.push(format!("{of:?} {what}: a false alarm of the schema"))
                }
                (true, Err(why)) => {
                    // Text may lack its grammar; that it is text, where none is wanted, a schema tells.
                    let grammar = may_differ && !why.contains("is wanted here, not");
                    if !grammar && !hangs_on_another(why) {
                        wrong.push(format!("{of:?} {what}: only the parser refuses it: {why}"));
                    }
                    only_parser.insert(why.clone());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        tried > 3_000 && refused_by_both > tried / 2,
        "{tried} {refused_by_both}"
    );
    assert!(!only_parser.is_empty());
}

/// What no form of one value can tell.
fn hangs_on_another(why: &str) -> bool {
    [
        // `primary = false` where it was the only one.
        "no product is primary",
        // What `start_tls` may be hangs on `url`.
        "ldaps:// is TLS from the beginning",
        "passwords go to another machine under TLS only",
        // Where nobody listens, nobody is asked.
        "\"http-01\" is answered on listen.http",
        // One of two keys, or both of them.
        "\"dn\" or \"search\" says which entry",
        "\"bind_dn\" and \"bind_password\" go together",
        // A list or a table that needs something in it.
        "\"openid\" is missing",
        "an empty table tells the backend nothing",
    ]
    .iter()
    .any(|known| why.contains(known))
        || hangs_on_its_kind(why)
}

/// What must be there hangs on `kind`, or on `action`.
fn hangs_on_its_kind(why: &str) -> bool {
    const TABLES: [&str; 4] = ["messages.", ".sign_on.", ".credentials.", "].within"];
    let missing = |line: &str| {
        let key = line.split(": missing").next().filter(|key| *key != line);
        key.is_some_and(|key| TABLES.iter().any(|table| key.contains(table)))
    };
    why.lines().any(missing)
}
