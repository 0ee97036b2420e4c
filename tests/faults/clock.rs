//! Somebody sets the clock, forwards and back, while people work. What depends on it errs on the side
//! of asking again: no grace is longer for it, and nobody who works is sent away by an hour. An idle limit whose
//! last activity stands in the future is the longer by that.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;

use crate::backend::Backend;
use crate::gateway::Setup;
use crate::redis::Redis;
use crate::store::Clinic;
use crate::visitor::Visitor;

const HOUR: i64 = 3_600_000;

async fn steps(mut clinic: Clinic) {
    let mut ended = Visitor::new(&clinic.gateway);
    ended.sign_in("kim", ended.url("emr", "/")).await;
    let mut old = ended.clone();
    let out = ended.url("emr", "/.vestibule/sign_out");
    assert_eq!(ended.fetch(Method::POST, out).await.status, 204);
    let load = clinic.load();
    load.goes_on(2).await;
    for step in [HOUR, -2 * HOUR, HOUR, 90_000, -90_000] {
        clinic.gateway.clock.step(step);
        load.goes_on(3).await;
        assert!(clinic.writes().await, "after {step} ms");
        assert_eq!(old.worth("emr").await, 401, "after {step} ms");
        let told = clinic.backend.last();
        let now = clinic.gateway.clock.now().secs();
        let claims = claims(told.header("x-vestibule-jwt-assertion").unwrap());
        let (made, ends) = (
            claims["iat"].as_i64().unwrap(),
            claims["exp"].as_i64().unwrap(),
        );
        assert!(
            made <= now + 60,
            "made {} s from now, after {step} ms",
            made - now
        );
        assert!(
            (now..=now + 360).contains(&ends),
            "ends {} s from now",
            ends - now
        );
        // Whoever signs in now gets in.
        let mut sam = Visitor::new(&clinic.gateway);
        let page = sam.sign_in("sam", sam.url("emr", "/new")).await;
        assert_eq!(page.url, sam.url("emr", "/new"), "{}", page.body);
    }
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    println!("{tally:?}");
    clinic.gateway.stop().await;
}

fn claims(assertion: &str) -> serde_json::Value {
    let part = assertion.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_disturbs_nobody_on_the_embedded_store() {
    let backend = Backend::start().await;
    let setup = Setup::new(&backend.url);
    steps(Clinic::of(backend, setup).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_disturbs_nobody_over_redis() {
    let redis = tokio::task::spawn_blocking(Redis::start).await.unwrap();
    steps(Clinic::over(redis.url(), "").await).await;
    drop(redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_makes_no_grace_longer() {
    let mut redis = tokio::task::spawn_blocking(Redis::start_durable)
        .await
        .unwrap();
    let mut clinic = Clinic::over(redis.url(), "when_unavailable = \"grace:30s\"").await;
    clinic.gateway.clock.step(HOUR);
    assert_eq!(clinic.kim.worth("emr").await, 200);
    redis.kill();
    clinic.until_ready(false).await;
    assert_eq!(clinic.kim.worth("emr").await, 200, "this is the grace");
    clinic.gateway.clock.step(-HOUR);
    assert_eq!(
        clinic.kim.worth("emr").await,
        503,
        "nobody knows how long ago the store was heard"
    );
    redis.restart();
    clinic.until_ready(true).await;
    crate::gateway::soon("requests are served again", async || clinic.writes().await).await;
    clinic.gateway.stop().await;
}

/// Two nodes, one store, and a session that is ended while the clock of the other is set back: what
/// was cached is not believed for an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_makes_no_cache_older_than_it_is() {
    let redis = tokio::task::spawn_blocking(Redis::start).await.unwrap();
    let mut clinic = Clinic::over(redis.url(), "").await;
    clinic.gateway.clock.step(HOUR);
    assert_eq!(clinic.kim.worth("emr").await, 200);
    let asked = async || {
        let name = "vestibule_session_lookups_total{source=\"store\"}";
        clinic.gateway.metric(name).await.unwrap_or_default()
    };
    let before = asked().await;
    clinic.gateway.clock.step(-HOUR);
    let mut kim = clinic.kim.clone();
    assert_eq!(kim.worth("emr").await, 200);
    assert!(asked().await > before, "the store was not asked");
    clinic.gateway.clock.pass(Duration::from_secs(1));
    assert_eq!(kim.worth("emr").await, 200);
    clinic.gateway.stop().await;
}
