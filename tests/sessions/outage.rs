//! Redis goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use vestibule::gate::name::PersonId;
use vestibule::sessions::EndCause;
use vestibule::sessions::redis::RedisStore;
use vestibule::sessions::store::{Store, StoreError};

use crate::nodes::{HOUR, Home, MILLI, Node, SECOND, TestClock, within_a_second};
use crate::redis_server::Redis;

const GRACE: Duration = Duration::from_secs(30);

fn server(home: &Home) -> std::sync::MutexGuard<'_, Redis> {
    match home {
        Home::Redis(redis) => redis.lock().unwrap(),
        Home::Folder(_) => panic!("these are about Redis"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_missing_at_the_start_is_said_so() {
    let mut redis = Redis::start();
    redis.stop();
    let error = RedisStore::connect(&redis.url(), "x:").await.err().unwrap();
    assert!(
        matches!(&error, StoreError::Unavailable(text) if text.contains("redis://127.0.0.1")),
        "{error}"
    );
    let error = RedisStore::connect("http://127.0.0.1", "x:")
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("redis+sentinel://"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_refused_and_recovered_from() {
    let home = Home::redis();
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    assert_eq!(node.act(&emr, "emr").await, "live");

    server(&home).stop();
    within_a_second("the loss is noticed", async || {
        node.worth(&emr, "emr").await == "unavailable"
    })
    .await;
    clock.pass(20 * SECOND);
    assert_eq!(
        node.worth(&emr, "emr").await,
        "unavailable",
        "nothing cached is used unconfirmed"
    );
    node.tick().await;

    server(&home).restart();
    within_a_second("recovery", async || node.worth(&emr, "emr").await == "live").await;
    // What could not be written during the outage is written now, and announcements are heard.
    clock.pass(SECOND);
    node.tick().await;
    let leash = node.look_up(&emr, "emr").await.leash.unwrap();
    let other = home.node(&clock).await;
    let id = crate::nodes::id_of(&emr);
    assert!(
        other
            .sessions
            .end(id, vestibule::sessions::EndCause::Revoked)
            .await
            .unwrap()
    );
    tokio::time::timeout(SECOND, leash.pulled()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grace_is_for_what_was_confirmed_a_moment_ago() {
    let home = Home::redis();
    let clock = TestClock::new();
    let node = Node::new(home.open().await, &clock, Some(GRACE));
    let portal = node.sign_in().await;
    let (emr, billing) = (
        node.enter(&portal, "emr").await,
        node.enter(&portal, "billing").await,
    );
    tokio::time::sleep(20 * MILLI).await;
    assert_eq!(node.act(&emr, "emr").await, "live");
    assert_eq!(node.act(&billing, "billing").await, "live");
    clock.pass(10 * SECOND);
    node.tick().await;
    let unknown = node.sign_in().await;

    server(&home).stop();
    within_a_second("the loss is noticed", async || {
        node.worth(&emr, "emr").await == "grace"
    })
    .await;
    assert_eq!(
        node.worth(&unknown, "portal").await,
        "unavailable",
        "never looked up here"
    );
    clock.pass(GRACE);
    assert_eq!(node.worth(&emr, "emr").await, "grace");
    clock.pass(MILLI);
    assert_eq!(node.worth(&emr, "emr").await, "unavailable");

    server(&home).restart();
    within_a_second("recovery", async || node.worth(&emr, "emr").await == "live").await;
    clock.pass(2 * HOUR);
    server(&home).stop();
    within_a_second("the loss", async || {
        node.worth(&billing, "billing").await == "unavailable"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_requests_end_when_nobody_can_confirm_them() {
    let home = Home::redis();
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    let leash = node.look_up(&emr, "emr").await.leash.unwrap();
    server(&home).stop();
    clock.pass(30 * SECOND);
    node.tick().await;
    assert!(!leash.is_pulled());
    clock.pass(SECOND);
    node.tick().await;
    assert!(leash.is_pulled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_requests_end_at_the_maximum_also_when_nobody_can_be_asked() {
    let home = Home::redis();
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    clock.pass(6 * HOUR);
    assert_eq!(node.act(&emr, "emr").await, "live");
    node.tick().await;
    clock.pass(6 * HOUR - 10 * SECOND);
    assert_eq!(node.act(&emr, "emr").await, "live");
    node.tick().await;
    let leash = node.look_up(&emr, "emr").await.leash.unwrap();
    server(&home).stop();
    clock.pass(10 * SECOND);
    node.tick().await;
    assert!(!leash.is_pulled(), "never early");
    clock.pass(MILLI);
    node.tick().await;
    assert!(leash.is_pulled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_killed_is_made_anew() {
    let home = Home::redis();
    let store = home.open().await;
    let mut events = store.events();
    let url = server(&home).url();
    let client = redis::Client::open(url).unwrap();
    let mut line = client.get_multiplexed_async_connection().await.unwrap();
    for kind in ["normal", "pubsub"] {
        let _: i64 = redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg(kind)
            .query_async(&mut line)
            .await
            .unwrap();
    }
    for expected in ["Lost", "Connected"] {
        let event = tokio::time::timeout(SECOND, events.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(format!("{event:?}"), expected);
    }
    store.ping().await.unwrap();
}

/// What `done` says at last.
async fn at_last(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let patient = async {
        while !done().await {
            tokio::time::sleep(20 * MILLI).await;
        }
    };
    let waited = tokio::time::timeout(60 * SECOND, patient).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_stays_ended_when_redis_comes_back_with_an_older_copy() {
    let home = Home::redis();
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let (gone, control) = (node.sign_in().await, node.sign_in().await);
    let (gone, control) = (crate::nodes::id_of(&gone), crate::nodes::id_of(&control));
    assert!(server(&home).ask("SAVE").starts_with("+OK"));
    assert!(node.sessions.end(gone, EndCause::SignedOut).await.unwrap());
    // A node that is gone itself has nobody to remember what it said.
    let other = home.open().await;
    assert!(other.end(control).await.unwrap());
    drop(other);

    server(&home).kill();
    server(&home).restart();
    let store = home.open().await;
    let now = clock.now();
    let back = store.load(control, now).await.unwrap();
    assert!(back.is_some(), "the copy is older than the ends");
    at_last("it has ended", async || {
        store.load(gone, now).await.unwrap().is_none()
    })
    .await;
    assert!(store.load(control, now).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_while_the_shard_is_away_by_which_they_are_counted() {
    let shards = tokio::task::spawn_blocking(Redis::start_shards).await;
    let mut shards = shards.unwrap();
    let prefix = "vestibule:";
    let lost = crate::redis_server::shard_of(&format!("{prefix}all"));
    let first = (lost + 1) % 3;
    let url = format!("redis+cluster://{}", shards[first].host());
    let store = RedisStore::connect(&url, prefix).await.unwrap();
    let clock = TestClock::new();
    // A person, a company and sessions whose own shards are there.
    let elsewhere = |key: &str| crate::redis_server::shard_of(&format!("{prefix}{key}")) != lost;
    let of_a_kind = |kind: &str, word: &str| {
        let names = (0..).map(|number| format!("{word}{number}"));
        names
            .into_iter()
            .find(|name| elsewhere(&format!("{kind}:{name}")))
            .unwrap()
    };
    let (person, company) = (of_a_kind("p", "kim"), of_a_kind("c", "acme"));
    let sessions = (0..).map(|id| crate::stores::session(id, &person, &company));
    let sessions = sessions.filter(|session| elsewhere(&format!("s:{{{}}}", session.id)));
    shards[lost].kill();
    for session in sessions.take(3) {
        let now = clock.now();
        // The others first have to agree on that they go on without it.
        at_last("they get in", async || {
            store.create(&session, now, HOUR).await.is_ok()
        })
        .await;
        assert!(store.load(session.id, now).await.unwrap().is_some());
        assert!(store.end(session.id).await.unwrap());
    }
}

/// What every deployment must do: everything that is one script, and its announcement.
async fn works(url: &str) {
    let clock = TestClock::new();
    let here = Node::new(
        Arc::new(RedisStore::connect(url, "v:").await.unwrap()),
        &clock,
        None,
    );
    let there = Node::new(
        Arc::new(RedisStore::connect(url, "v:").await.unwrap()),
        &clock,
        None,
    );
    let portal = here.sign_in().await;
    let emr = here.enter(&portal, "emr").await;
    let leash = there.look_up(&emr, "emr").await.leash.unwrap();
    clock.pass(HOUR);
    assert_eq!(here.act(&emr, "emr").await, "live");
    here.sessions.flush().await;
    let store = here.sessions.store();
    let seen = store
        .last_seen(crate::nodes::id_of(&emr))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen.anywhere, Some(clock.now()));
    assert!(
        store
            .swap_state("a", None, Some(b"1"), HOUR, clock.now())
            .await
            .unwrap()
    );
    assert_eq!(
        store.take_state("a", clock.now()).await.unwrap().unwrap(),
        b"1"
    );
    let kim = PersonId::parse("kim").unwrap();
    assert_eq!(
        here.sessions
            .end_person(&kim, EndCause::Revoked)
            .await
            .unwrap(),
        1
    );
    tokio::time::timeout(SECOND, leash.pulled()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_live_in_a_cluster() {
    let cluster = Redis::start_cluster();
    works(&format!("redis+cluster://{}", cluster.host())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_live_behind_a_sentinel() {
    let redis = Redis::start();
    let sentinel = redis.start_sentinel();
    works(&format!("redis+sentinel://{}/main", sentinel.host())).await;
}
