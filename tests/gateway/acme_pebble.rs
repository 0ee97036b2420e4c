//! Certificates from an authority that others made: Pebble, strict as it can be.

use std::time::Duration;

use rustls::RootCertStore;
use tokio::time::timeout;

use crate::acme::{AFTER_A_FAILURE, DAY, HOSTS, LONG, count, details, ordered};
use crate::backend::Backend;
use crate::beside::own_address;
use crate::gateway::{Gateway, Setup, TestClock};
use crate::pebble::{KEY, KEY_ID, Pebble};
use crate::wire::handshake;

const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// A gateway that orders nothing yet, and the authority, not open yet.
async fn clinic() -> (Pebble, Gateway, Backend) {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    // The authority has a clock of its own.
    setup.clock = TestClock::wall();
    setup.people = String::new();
    let gateway = setup.start().await;
    (Pebble::new(own_address()).await, gateway, backend)
}

/// `[tls.acme]` is written into the file while the gateway runs.
async fn begin(gateway: &Gateway, toml: &str) {
    let file = gateway.path("gateway.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{before}{toml}")).unwrap();
    gateway.running.reload().await;
}

/// The serial number of the chain that a host shows, when one who trusts these roots alone believes it.
async fn believed(gateway: &Gateway, roots: &RootCertStore, host: &str) -> Option<Vec<u8>> {
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let shaken = timeout(LONG, handshake(config.into(), gateway.address, host));
    let stream = shaken.await.unwrap().ok()?;
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1, "{host}");
    Some(parsed.raw_serial().to_vec())
}

/// Until every host shows a chain that leads to this run's root.
async fn certified(gateway: &Gateway, roots: &RootCertStore) -> Vec<Vec<u8>> {
    let mut serials = Vec::new();
    ordered(gateway, "every host shows a good chain", async || {
        serials.clear();
        for host in HOSTS {
            serials.extend(believed(gateway, roots, host).await);
        }
        serials.len() == HOSTS.len()
    })
    .await;
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), HOSTS.len(), "each has its own");
    serials
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pebble_believes_proofs_over_http_and_again_after_it_forgot_everything() {
    let (mut pebble, gateway, _backend) = clinic().await;
    pebble.open(&gateway, LIFE, false);
    begin(&gateway, &pebble.toml("")).await;
    certified(&gateway, &pebble.root().await).await;
    ordered(&gateway, "all are on record", async || {
        details(&gateway, "certificate_issued").len() == 4 && count(&gateway, "issued").await == 4
    })
    .await;
    assert_eq!(details(&gateway, "certificate_failed"), [""; 0]);

    // A third before the end. Another root signs by then, and the account is a stranger's: the order that
    // finds that out fails, the next ones open another.
    pebble.close();
    pebble.open(&gateway, LIFE * 4, false);
    gateway.clock.pass(DAY * 61);
    ordered(&gateway, "one order has failed for it", async || {
        count(&gateway, "failed").await == 1
    })
    .await;
    let failure = &details(&gateway, "certificate_failed")[0];
    assert!(failure.contains("does not know the account"), "{failure}");
    gateway.clock.pass(AFTER_A_FAILURE);
    certified(&gateway, &pebble.root().await).await;
    ordered(&gateway, "they are on record as renewed", async || {
        details(&gateway, "certificate_renewed").len() == 4
    })
    .await;
    assert_eq!(count(&gateway, "failed").await, 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pebble_believes_proofs_in_the_handshake_of_an_account_that_it_gave() {
    let (mut pebble, gateway, _backend) = clinic().await;
    pebble.open(&gateway, LIFE, true);
    let toml = pebble.toml(&format!(
        "challenge = \"tls-alpn-01\"\nexternal_account = {{ key_id = \"{KEY_ID}\", key = \"{KEY}\" }}"
    ));
    begin(&gateway, &toml).await;
    certified(&gateway, &pebble.root().await).await;
    assert_eq!(details(&gateway, "certificate_failed"), [""; 0]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pebble_says_of_a_name_that_it_can_t_find_is_told() {
    let (mut pebble, gateway, _backend) = clinic().await;
    pebble.open(&gateway, LIFE, false);
    pebble.hide("billing.test", true);
    begin(&gateway, &pebble.toml("")).await;
    ordered(&gateway, "the others have theirs", async || {
        count(&gateway, "issued").await == 3 && count(&gateway, "failed").await == 1
    })
    .await;
    let failure = &details(&gateway, "certificate_failed")[0];
    assert!(
        failure.starts_with("billing.test: the authority refuses: ")
            && failure.contains("urn:ietf:params:acme:error:"),
        "{failure}"
    );
    let roots = pebble.root().await;
    assert_eq!(believed(&gateway, &roots, "billing.test").await, None);

    pebble.hide("billing.test", false);
    gateway.clock.pass(AFTER_A_FAILURE);
    certified(&gateway, &roots).await;
    assert_eq!(count(&gateway, "failed").await, 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pebble_without_the_account_that_it_wants_refuses_and_says_why() {
    let (mut pebble, gateway, _backend) = clinic().await;
    pebble.open(&gateway, LIFE, true);
    begin(&gateway, &pebble.toml("")).await;
    ordered(&gateway, "all are refused", async || {
        count(&gateway, "failed").await == 4
    })
    .await;
    let failure = &details(&gateway, "certificate_failed")[0];
    assert!(
        failure.contains("the authority refuses: ") && failure.contains("externalAccountRequired"),
        "{failure}"
    );
    gateway.stop().await;
}
