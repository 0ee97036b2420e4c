//! Two gateways over one Redis and one PostgreSQL are one.

use std::time::Duration;

use http::Method;
use vestibule::gate::name::SessionId;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password, soon};
use crate::postgres;
use crate::redis::Redis;
use crate::visitor::Visitor;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

struct Site {
    backend: Backend,
    redis: Redis,
    a: Gateway,
    b: Gateway,
}

async fn site() -> Site {
    let backend = Backend::start().await;
    let redis = Redis::start();
    let database = postgres::database().await;
    let setup = || {
        let mut setup = Setup::new(&backend.url);
        setup.sessions = redis.url();
        setup.directory = database.clone();
        setup
    };
    let a = setup().start().await;
    let b = setup().beside(&a).start().await;
    Site {
        backend,
        redis,
        a,
        b,
    }
}

impl Site {
    async fn stop(self) {
        self.a.stop().await;
        self.b.stop().await;
    }

    fn session(&self) -> SessionId {
        SessionId::parse(self.backend.last().header("x-vestibule-session").unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_on_one_node_is_good_on_the_other() {
    let site = site().await;
    let mut kim = Visitor::new(&site.a);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let mut there = kim.at(&site.b);
    assert_eq!(there.look(there.url("emr", "/rounds")).await.status, 200);
    assert_eq!(site.backend.last().header("x-forwarded-user"), Some("kim"));
    // The other node's portal hands the sign-in on, too.
    let page = there.open(there.url("billing", "/invoices?page=2")).await;
    assert_eq!(
        page.url,
        there.url("billing", "/invoices?page=2"),
        "{}",
        page.body
    );
    assert_eq!(
        site.backend.last().header("x-forwarded-user"),
        Some("kim-billing")
    );
    let mut here = there.at(&site.a);
    assert_eq!(here.worth("billing").await, 200, "and back");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activity_on_one_node_keeps_the_other_awake_to_the_second() {
    let site = site().await;
    let mut at_a = Visitor::new(&site.a);
    at_a.sign_in("kim", at_a.url("emr", "/")).await;
    at_a.open(at_a.url("billing", "/")).await;
    let id = site.session();
    let mut at_b = at_a.at(&site.b);
    assert_eq!(at_b.worth("billing").await, 200);

    let clock = &site.a.clock;
    clock.pass(2 * HOUR - SECOND);
    assert_eq!(at_a.look(at_a.url("billing", "/late")).await.status, 200);
    let last = clock.now();
    clock.pass(2 * SECOND);
    assert_eq!(at_b.worth("billing").await, 200, "kept awake by A, at once");

    // In the middle of the two hours a stamp may wait for its batch.
    clock.pass(HOUR);
    at_a.look(at_a.url("billing", "/")).await;
    let noted = clock.now();
    assert!(noted > last);
    soon("the activity is written", async || {
        let seen = site
            .a
            .running
            .sessions
            .store()
            .last_seen(id)
            .await
            .unwrap()
            .unwrap();
        seen.products
            .iter()
            .any(|(product, at)| product.as_str() == "billing" && *at >= noted)
    })
    .await;
    clock.pass(2 * HOUR);
    assert_eq!(
        (at_b.worth("billing").await, at_a.worth("billing").await),
        (200, 200)
    );
    clock.pass(SECOND);
    assert_eq!(
        (at_b.worth("billing").await, at_a.worth("billing").await),
        (401, 401)
    );
    assert_eq!(
        (at_b.worth("emr").await, at_a.worth("emr").await),
        (200, 200)
    );
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_on_one_node_ends_it_on_the_other_within_a_second() {
    let site = site().await;
    let mut at_a = Visitor::new(&site.a);
    at_a.sign_in("kim", at_a.url("emr", "/")).await;
    at_a.open(at_a.url("billing", "/")).await;
    let mut at_b = at_a.at(&site.b);
    assert_eq!(
        (at_b.worth("emr").await, at_b.worth("billing").await),
        (200, 200)
    );

    let url = at_a.url("emr", "/.vestibule/sign_out");
    let answer = at_a.fetch(Method::POST, url).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    soon("ended on B", async || {
        at_b.worth("emr").await == 401 && at_b.worth("billing").await == 401
    })
    .await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_admin_switches_on_one_node_holds_on_the_other() {
    let site = site().await;
    let mut sam = Visitor::new(&site.b);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let mut kim = Visitor::new(&site.a);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let page = kim.open(kim.url("login", "/company/settings")).await;
    let saved = kim.submit(&page, &[("mfa", "on")]).await;
    assert!(
        saved.body.contains("Your settings are saved"),
        "{}",
        saved.body
    );
    soon("asked for on B", async || {
        let look = sam.look(sam.url("emr", "/")).await;
        look.status == 302 && sam.worth("emr").await == 401
    })
    .await;

    // Off again, by who shows their own: asked for no more on B, and who waited there is in.
    let asked = kim.open(kim.url("login", &saved.link("Go on"))).await;
    let typed = [("username", "kim"), ("password", &password("kim"))];
    let page = kim.submit(&asked, &typed).await;
    let (_, page) = kim.enrol(&page, site.a.clock.now()).await;
    assert_eq!(page.url.path(), "/company/settings", "{}", page.body);
    let saved = kim.submit(&page, &[("mfa", "off")]).await;
    assert!(
        saved.body.contains("Your settings are saved"),
        "{}",
        saved.body
    );
    soon("asked for no more on B", async || {
        sam.worth("emr").await == 200
    })
    .await;
    let mut sam = Visitor::new(&site.b);
    let page = sam.sign_in("sam", sam.url("emr", "/")).await;
    assert_eq!(page.url, sam.url("emr", "/"), "{}", page.body);
    for detail in ["on, at once", "off"] {
        soon("on record", async || {
            let trail = std::fs::read_to_string(site.a.path("data/audit.jsonl"));
            trail.unwrap_or_default().lines().any(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
                line["event"] == "mfa_switched" && line["who"] == "kim" && line["detail"] == detail
            })
        })
        .await;
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_both_nodes_are_counted_together() {
    let site = site().await;
    let mut answers = Vec::new();
    for round in 0..8 {
        let mut guesser = Visitor::new(if round % 2 == 0 { &site.a } else { &site.b });
        let page = guesser.open(guesser.url("emr", "/")).await;
        let answer = guesser
            .submit(&page, &[("username", "kim"), ("password", "guess")])
            .await;
        answers.push(answer.status.as_u16());
    }
    assert_eq!(answers, [403, 403, 403, 403, 403, 429, 429, 429]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_redis_could_be_used_as_a_cookie() {
    let mut site = site().await;
    let mut kim = Visitor::new(&site.a);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    kim.open(kim.url("billing", "/")).await;
    let mut lee = Visitor::new(&site.a);
    let waiting = lee.open(lee.url("emr", "/")).await;
    assert_eq!(waiting.url.path(), "/login");
    let dump = everything(&site.redis.url()).await;
    assert!(
        dump.len() > 500,
        "there is something to look through: {}",
        dump.len()
    );
    assert!(
        String::from_utf8_lossy(&dump).contains("kim"),
        "sessions are in it"
    );
    for host in ["login.test", "emr.test", "billing.test"] {
        let cookie = kim.cookie(host).unwrap();
        // The session's id stands in it and is no secret; each long part is looked for alone.
        for part in cookie
            .split(['.', '~', ':'])
            .filter(|part| part.len() >= 40)
        {
            assert!(!contains(&dump, part.as_bytes()), "{host}");
        }
        assert!(!contains(&dump, cookie.as_bytes()), "{host}");
    }
    assert!(!contains(&dump, password("kim").as_bytes()));
    site.redis.stop();
    site.stop().await;
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

/// Every key with its serialised value.
async fn everything(url: &str) -> Vec<u8> {
    let client = ::redis::Client::open(url).unwrap();
    let mut line = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<Vec<u8>> = ::redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut line)
        .await
        .unwrap();
    let mut all = Vec::new();
    for key in keys {
        all.extend_from_slice(&key);
        let kind: String = ::redis::cmd("TYPE")
            .arg(&key)
            .query_async(&mut line)
            .await
            .unwrap();
        // DUMP may compress: plain values are read as they are.
        let mut command = match kind.as_str() {
            "string" => ::redis::cmd("GET"),
            "hash" => ::redis::cmd("HGETALL"),
            "set" => ::redis::cmd("SMEMBERS"),
            "zset" => ::redis::cmd("ZRANGE"),
            "list" => ::redis::cmd("LRANGE"),
            other => panic!("a {other} nobody looks into"),
        };
        command.arg(&key);
        if matches!(kind.as_str(), "zset" | "list") {
            command.arg(0).arg(-1);
        }
        let values: ::redis::Value = command.query_async(&mut line).await.unwrap();
        flatten(&values, &mut all);
    }
    all
}

fn flatten(value: &::redis::Value, all: &mut Vec<u8>) {
    use ::redis::Value;
    match value {
        Value::BulkString(bytes) => all.extend_from_slice(bytes),
        Value::SimpleString(text) => all.extend_from_slice(text.as_bytes()),
        Value::Array(values) | Value::Set(values) => {
            values.iter().for_each(|value| flatten(value, all))
        }
        Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            flatten(key, all);
            flatten(value, all);
        }),
        other => all.extend_from_slice(format!("{other:?}").as_bytes()),
    }
    all.push(b' ');
}
