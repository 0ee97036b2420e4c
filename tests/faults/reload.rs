//! Policies and certificates are replaced a hundred times while people work.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use vestibule::gate::name::CompanyId;

use crate::backend::Backend;
use crate::gateway::Setup;
use crate::store::Clinic;
use crate::wire::Wire;

const ROUNDS: u64 = 100;

/// As it is shown in handshakes.
fn write_certificate(folder: &std::path::Path) -> Vec<u8> {
    let hosts = ["emr.test", "billing.test", "analytics.test", "login.test"];
    let params = CertificateParams::new(hosts.map(String::from)).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("one.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("one.key"), key.serialize_pem()).unwrap();
    certificate.der().to_vec()
}

fn policy(round: u64) -> String {
    format!(
        "name = \"Round {round}\"\n[mfa]\nmode = \"off\"\nmethods = [\"totp\"]\n\
         [[rules]]\nname = \"round\"\naction = \"deny\"\npaths = [\"/round/{round}\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_new_policies_and_certificates_fail_nobody() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path());
    let mut setup = Setup::new(&backend.url).policy("acme-rehab.toml", &policy(0));
    setup.folder = Some(Arc::new(folder));
    setup.more =
        String::from("[tls]\ncertificates = [{ certificate = \"one.pem\", key = \"one.key\" }]\n");
    let clinic = Clinic::of(backend, setup).await;
    let file = clinic.gateway.path("policies/acme-rehab.toml");
    let cookie = clinic.kim.cookie("emr.test").unwrap().to_owned();
    let acme = CompanyId::parse("acme-rehab").unwrap();
    let load = clinic.load();
    load.goes_on(5).await;
    for round in 1..=ROUNDS {
        let newest = write_certificate(clinic.gateway.folder.path());
        std::fs::write(&file, policy(round)).unwrap();
        clinic.gateway.running.reload().await;
        if round % 10 == 0 {
            // What can't be used changes nothing: neither half a file nor half a certificate.
            std::fs::write(&file, "name = \"Half\n[mfa").unwrap();
            std::fs::write(clinic.gateway.path("one.pem"), "-----BEGIN CERT").unwrap();
            clinic.gateway.running.reload().await;
        }
        // A new handshake, with the certificate of this round, and its rule: in force at once.
        let mut wire = Wire::open(clinic.gateway.address, "emr.test").await;
        assert!(
            wire.certificate() == newest,
            "an old certificate in round {round}"
        );
        for (path, status) in [
            (format!("/round/{round}"), 403),
            (format!("/round/{}", round - 1), 200),
        ] {
            let reply = wire
                .ask(format!(
                    "GET {path} HTTP/1.1\r\nHost: emr.test\r\nCookie: __Host-vestibule={cookie}\r\n\r\n"
                ))
                .await;
            assert_eq!(reply.status, status, "{path} of {acme}: {reply:?}");
        }
    }
    load.goes_on(5).await;
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    clinic.gateway.stop().await;
}
