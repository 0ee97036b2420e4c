//! Redis in several parts, of which one dies under load.

use std::time::Duration;

use crate::redis::{Redis, shard_of};
use crate::store::Clinic;

/// `opinion` is what Redis thinks of itself, should it come to nothing.
async fn until_written(clinic: &mut Clinic, opinion: impl Fn() -> String) {
    let mut last = 0;
    let patient = async {
        while last != 200 {
            last = clinic.write().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(180), patient).await;
    assert!(
        waited.is_ok(),
        "nobody is served any more, but answered {last}; {}",
        opinion()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_under_sentinel_loses_nobody() {
    let (mut first, replica, sentinel) = tokio::task::spawn_blocking(|| {
        let first = Redis::start();
        let replica = first.start_replica();
        let sentinel = first.start_sentinel();
        sentinel.until_it_knows_a_replica();
        (first, replica, sentinel)
    })
    .await
    .unwrap();
    let url = format!("redis+sentinel://{}/main", sentinel.host());
    let mut clinic = Clinic::over(url, "").await;
    first.wait_for_replica();
    let load = clinic.load();
    load.goes_on(10).await;
    first.kill();
    clinic.until_ready(false).await;
    load.goes_on(5).await;
    sentinel.lose_patience();
    // Nobody starts the first one again: the replica has to take its place.
    let opinion = || {
        let tilted = sentinel.ask("INFO sentinel");
        format!("{tilted} {}", sentinel.ask("SENTINEL MASTER main"))
    };
    until_written(&mut clinic, opinion).await;
    clinic.until_ready(true).await;
    load.goes_on(10).await;
    let tally = load.end().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    println!("{tally:?}");
    clinic.gateway.stop().await;
    drop(replica);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_lost_and_found_costs_nobody_the_session() {
    let shards = tokio::task::spawn_blocking(Redis::start_shards).await;
    let mut shards = shards.unwrap();
    let url = format!("redis+cluster://{},{}", shards[0].host(), shards[1].host());
    let mut clinic = Clinic::over(url, "").await;
    let load = clinic.load();
    load.goes_on(10).await;
    // First the one with Kim's session, then another.
    let session = clinic.kim.cookie("emr.test").unwrap();
    let id = session.split_once('.').unwrap().0;
    let held = shard_of(&format!("vestibule:s:{{{id}}}"));
    for place in [held, (held + 1) % 3] {
        shards[place].kill();
        load.goes_on(20).await;
        shards[place].restart();
        let patient = async {
            while !shards.iter().all(Redis::sees_whole_cluster) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), patient).await;
        assert!(waited.is_ok(), "the cluster is never whole again");
        until_written(&mut clinic, || shards[1].ask("CLUSTER INFO")).await;
        clinic.until_ready(true).await;
        load.goes_on(10).await;
    }
    let tally = load.end().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    println!("{tally:?}");
    clinic.gateway.stop().await;
}
