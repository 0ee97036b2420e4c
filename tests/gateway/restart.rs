//! A gateway ends and another takes its place: nobody notices.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup};
use crate::redis::Redis;
use crate::visitor::Visitor;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The next gateway in the same folder, on the same port.
async fn again(old: Gateway, mut setup: Setup) -> Gateway {
    setup.folder = Some(Arc::clone(&old.folder));
    setup.port = Some(old.address.port());
    setup.clock = old.clock.clone();
    setup.people = String::new();
    old.stop().await;
    setup.start().await
}

async fn story(backend: &Backend, setup: impl Fn() -> Setup) {
    let gateway = setup().start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    kim.open(kim.url("billing", "/")).await;
    gateway.clock.pass(HOUR);
    // The last thing before the end is remembered.
    assert_eq!(kim.look(kim.url("billing", "/invoices")).await.status, 200);
    let cookies =
        ["login.test", "emr.test", "billing.test"].map(|host| kim.cookie(host).unwrap().to_owned());

    let gateway = again(gateway, setup()).await;
    assert_eq!(
        (kim.worth("emr").await, kim.worth("billing").await),
        (200, 200)
    );
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("kim-billing")
    );
    kim.open(kim.url("analytics", "/")).await;
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("kim"),
        "the portal knows Kim too"
    );
    let after =
        ["login.test", "emr.test", "billing.test"].map(|host| kim.cookie(host).unwrap().to_owned());
    assert_eq!(cookies, after);

    gateway.clock.pass(2 * HOUR);
    assert_eq!(
        kim.worth("billing").await,
        200,
        "two hours from the last activity before"
    );
    let gateway = again(gateway, setup()).await;
    gateway.clock.pass(SECOND);
    assert_eq!(
        (kim.worth("billing").await, kim.worth("emr").await),
        (401, 200),
        "and no more"
    );
    kim.fetch(http::Method::POST, kim.url("emr", "/.vestibule/sign_out"))
        .await;
    let gateway = again(gateway, setup()).await;
    assert_eq!(
        (kim.worth("emr").await, kim.worth("analytics").await),
        (401, 401),
        "ended stays ended"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_embedded_store_nobody_notices_a_restart() {
    let backend = Backend::start().await;
    story(&backend, || Setup::new(&backend.url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_nobody_notices_a_restart() {
    let backend = Backend::start().await;
    let redis = Redis::start();
    story(&backend, || {
        let mut setup = Setup::new(&backend.url);
        setup.sessions = redis.url();
        setup
    })
    .await;
}
