//! A backend that is killed, hangs or answers nonsense: its own people are told, nobody else
//! notices, and nobody gets another's answer.

use std::time::Duration;

use crate::backend::Backend;
use crate::fault::{Fault, Line};
use crate::gateway::Setup;
use crate::load::Load;
use crate::store::Clinic;

/// The EMR behind a line that can fail; Billing's backend is another and sound.
async fn clinic() -> (Clinic, Backend, Line) {
    let backend = Backend::start().await;
    let billing = Backend::start().await;
    let line = Line::to_url(&backend.url).await;
    let mut setup = Setup::new(&billing.url);
    setup.backends[0] = vec![format!("http://{}", line.address)];
    setup.emr = String::from(
        "timeouts = { connect = \"1s\", read = \"1s\", write = \"1s\" }\n\
         health = { interval = \"100ms\" }",
    );
    let mut clinic = Clinic::of(backend, setup).await;
    clinic.kim.open(clinic.kim.url("billing", "/")).await;
    (clinic, billing, line)
}

async fn until_served(clinic: &mut Clinic) {
    let url = clinic.kim.url("emr", "/steady");
    let patient = async {
        while clinic.kim.look(url.clone()).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), patient).await;
    assert!(waited.is_ok(), "the backend is back and nobody is served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_fails_in_every_way_fails_alone() {
    let (mut clinic, _billing, line) = clinic().await;
    let load = clinic.load();
    let kim = clinic.kim.clone();
    // Who Kim is at Billing is another account.
    let elsewhere = Load::at(&clinic.gateway, "billing.test", &[("kim-billing", &kim)]);
    load.goes_on(5).await;
    for fault in [
        Fault::Delay(Duration::from_millis(20)),
        Fault::Garbage(b"nonsense\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        Fault::Garbage(b"\x00\xff\x16\x03\x01"),
        Fault::Garbage(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<p>kim at /ste"),
        Fault::HalfClose,
        Fault::CutShort,
        Fault::Refuse,
        Fault::Blackhole,
    ] {
        let before = load.tally();
        line.set(fault);
        line.cut();
        load.goes_on(2).await;
        elsewhere.goes_on(10).await;
        let felt = load.tally();
        if !matches!(fault, Fault::Delay(_)) {
            let bad = |tally: crate::load::Tally| tally.away + tally.failed;
            assert!(bad(felt) > bad(before), "{fault:?} was not felt: {felt:?}");
        }
        line.set(Fault::None);
        line.cut();
        until_served(&mut clinic).await;
        load.goes_on(2).await;
    }
    load.end().await;
    let tally = elsewhere.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_second_backend_the_first_ones_death_is_short() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let line = Line::to_url(&one.url).await;
    let mut setup = Setup::new(&two.url);
    setup.backends[0] = vec![format!("http://{}", line.address), two.url.clone()];
    setup.emr = String::from("health = { path = \"/well\", interval = \"100ms\" }");
    let clinic = Clinic::of(one, setup).await;
    let load = clinic.load();
    load.goes_on(10).await;
    for _ in 0..3 {
        line.set(Fault::Refuse);
        line.cut();
        healthy(&clinic, 1.0).await;
        // From here on nobody is sent to the dead one.
        load.goes_on(2).await;
        let before = load.tally();
        load.goes_on(20).await;
        let after = load.tally();
        assert_eq!(after.away, before.away, "sent to a dead backend: {after:?}");
        assert_eq!(after.failed, before.failed, "{after:?}");
        line.set(Fault::None);
        healthy(&clinic, 2.0).await;
        load.goes_on(5).await;
    }
    load.end().await;
    clinic.gateway.stop().await;
    drop(two);
}

async fn healthy(clinic: &Clinic, count: f64) {
    let patient = async {
        let name = "vestibule_backends_healthy{product=\"emr\"}";
        while clinic.gateway.metric(name).await != Some(count) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), patient).await;
    assert!(waited.is_ok(), "never {count} healthy backends");
}
