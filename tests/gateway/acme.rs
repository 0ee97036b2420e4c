//! Certificates that the gateway orders by itself, from an authority that really asks it for proof.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::authority::{Authority, LIFE, NAME};
use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, TestClock};
use crate::redis::Redis;
use crate::wire::{handshake, tls};

pub const HOSTS: [&str; 4] = ["login.test", "emr.test", "billing.test", "analytics.test"];
/// Given up after so long.
pub const LONG: Duration = Duration::from_secs(180);
/// Looks, a tenth of a second or more apart, after which something must have been lost.
const MANY_LOOKS: usize = 300;
const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// The first pause after a failure, with all that may be drawn on top.
pub const AFTER_A_FAILURE: Duration = Duration::from_secs(13 * 60);

/// What a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    by_authority: bool,
    serial: Vec<u8>,
    /// Seconds.
    ends: i64,
}

async fn shown(gateway: &Gateway, host: &str) -> Shown {
    let config = tls(rustls::ALL_VERSIONS, b"h2");
    let stream = timeout(LONG, handshake(config, gateway.address, host));
    let stream = stream.await.unwrap().unwrap();
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    Shown {
        by_authority: parsed.issuer().to_string().contains(NAME),
        serial: parsed.raw_serial().to_vec(),
        ends: parsed.validity().not_after.timestamp(),
    }
}

async fn all_shown(gateway: &Gateway) -> Vec<Shown> {
    let mut all = Vec::new();
    for host in HOSTS {
        all.push(shown(gateway, host).await);
    }
    all
}

/// Waits for what an order brings. Orders come one after another, each with several rounds: on a busy machine
/// that takes a while, and nothing is judged by how long.
pub async fn ordered(gateway: &Gateway, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(
            begun.elapsed() < LONG,
            "still not so: {what}; failed: {:?}",
            details(gateway, "certificate_failed")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Until every host shows what the authority gave, and nothing of `before`.
async fn certified(gateway: &Gateway, before: &[Shown]) -> Vec<Shown> {
    let mut now = Vec::new();
    ordered(gateway, "every host shows a fresh one", async || {
        now = all_shown(gateway).await;
        now.iter()
            .all(|one| one.by_authority && !before.contains(one))
    })
    .await;
    now
}

struct Site {
    clock: TestClock,
    _backend: Backend,
    setup: Box<dyn Fn() -> Setup + Send + Sync>,
}

/// `more`: what stands in gateway.toml besides.
async fn site(more: impl Fn() -> String + Send + Sync + 'static, clock: &TestClock) -> Site {
    let backend = Backend::start().await;
    let (url, told) = (backend.url.clone(), clock.clone());
    let setup = move || {
        let mut setup = Setup::new(&url);
        setup.clock = told.clone();
        setup.people = String::new();
        setup.more = more();
        setup
    };
    Site {
        clock: clock.clone(),
        _backend: backend,
        setup: Box::new(setup),
    }
}

/// A gateway whose names lead to it, and the authority that certifies them.
async fn clinic() -> (Authority, Site, Gateway) {
    let clock = TestClock::new();
    let authority = Authority::start(&clock).await;
    let toml = authority.toml("");
    let site = site(move || toml.clone(), &clock).await;
    let gateway = (site.setup)().start().await;
    authority.lead_to(&gateway);
    (authority, site, gateway)
}

pub async fn count(gateway: &Gateway, result: &str) -> usize {
    let name = format!("vestibule_certificate_orders_total{{result=\"{result}\"}}");
    gateway.metric(&name).await.unwrap_or_default() as usize
}

pub fn details(gateway: &Gateway, event: &str) -> Vec<String> {
    let text = std::fs::read_to_string(gateway.path("data/audit.jsonl")).unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["event"] == event)
        .map(|line| line["detail"].as_str().unwrap().to_owned())
        .collect()
}

/// The first line of the audit trail about this, when it is there.
async fn told(gateway: &Gateway, event: &str) -> String {
    ordered(gateway, "it is on record", async || {
        !details(gateway, event).is_empty()
    })
    .await;
    details(gateway, event).remove(0)
}

/// The folder that the node keeps for the authority.
fn shelf(gateway: &Gateway) -> PathBuf {
    let mut folders = std::fs::read_dir(gateway.path("data/acme")).unwrap();
    folders.next().unwrap().unwrap().path()
}

async fn plain(gateway: &Gateway, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(gateway.http).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = String::new();
    let read = timeout(LONG, stream.read_to_string(&mut said));
    read.await.unwrap().unwrap();
    said.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_host_gets_a_certificate_of_its_own() {
    let clock = TestClock::new();
    let authority = Authority::start(&clock).await;
    let toml = authority.toml("");
    let site = site(move || toml.clone(), &clock).await;
    let gateway = (site.setup)().start().await;
    // The authority can't find us yet: a certificate of our own is shown meanwhile.
    for host in HOSTS {
        assert!(!shown(&gateway, host).await.by_authority, "{host}");
    }
    authority.lead_to(&gateway);
    let all = certified(&gateway, &[]).await;
    for (host, one) in HOSTS.iter().zip(&all) {
        assert_eq!(one.ends, clock.now().plus(LIFE).secs(), "{host}");
        assert_eq!(all.iter().filter(|other| *other == one).count(), 1);
        let metric = format!("vestibule_certificate_expiry_seconds{{name=\"{host}\"}}");
        let left = gateway.metric(&metric).await.unwrap();
        assert!((left - LIFE.as_secs_f64()).abs() < 2.0, "{host}: {left}");
    }
    assert_eq!((authority.orders(), authority.accounts()), (4, 1));
    assert_eq!(
        authority.contacts(),
        [serde_json::json!(["mailto:ops@clinic.example"])]
    );
    ordered(&gateway, "everything is on record", async || {
        details(&gateway, "certificate_issued").len() == 4
            && details(&gateway, "certificate_ordered").len() == 4
            && count(&gateway, "issued").await == 4
    })
    .await;
    assert!(details(&gateway, "certificate_issued")[0].starts_with("login.test until 2027-02-"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_account_are_nobody_elses_to_read() {
    let (_authority, _site, gateway) = clinic().await;
    certified(&gateway, &[]).await;
    let folder = shelf(&gateway);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "account.json",
            "analytics.test.pem",
            "billing.test.pem",
            "emr.test.pem",
            "login.test.pem"
        ],
        "and nothing is left over"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_ask_for_proofs_learn_nothing() {
    let (_authority, _site, gateway) = clinic().await;
    certified(&gateway, &[]).await;
    let path = "/.well-known/acme-challenge/";
    for (host, path, status) in [
        ("emr.test", format!("{path}abc"), 404),
        ("emr.test", format!("{path}../../etc/passwd"), 404),
        ("emr.test", path.to_owned(), 404),
        ("elsewhere.test", format!("{path}abc"), 421),
        ("emr.test", String::from("/.well-known/other"), 308),
    ] {
        let line = plain(&gateway, host, &path).await;
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(line.starts_with(&wanted), "{host}{path}: {line}");
    }
    let config = tls(rustls::ALL_VERSIONS, b"acme-tls/1");
    let asked = handshake(config, gateway.address, "emr.test").await;
    assert!(asked.is_err(), "nobody was told to ask in a handshake");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_orders_nothing_and_renewal_comes_a_third_before_the_end() {
    let (authority, site, gateway) = clinic().await;
    let first = certified(&gateway, &[]).await;
    let folder = Arc::clone(&gateway.folder);
    gateway.stop().await;

    // Four days before they are due at the earliest.
    site.clock.pass(DAY * 53);
    let mut setup = (site.setup)();
    setup.folder = Some(folder);
    let gateway = setup.start().await;
    assert_eq!(
        all_shown(&gateway).await,
        first,
        "from the first handshake on"
    );

    authority.lead_to(&gateway);
    site.clock.pass(DAY * 7);
    let second = certified(&gateway, &first).await;
    for one in &second {
        // Had they been ordered before, they would end before.
        assert_eq!(one.ends, site.clock.now().plus(LIFE).secs());
    }
    assert_eq!((authority.orders(), authority.accounts()), (8, 1));
    ordered(&gateway, "they are on record as renewed", async || {
        details(&gateway, "certificate_renewed").len() == 4
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_can_t_be_proven_holds_up_no_other_and_is_tried_again_later() {
    let clock = TestClock::new();
    let authority = Authority::start(&clock).await;
    authority.mislead("login.test", true);
    let toml = authority.toml("");
    let site = site(move || toml.clone(), &clock).await;
    let gateway = (site.setup)().start().await;
    authority.lead_to(&gateway);
    ordered(&gateway, "the others have theirs", async || {
        count(&gateway, "issued").await == 3
    })
    .await;
    assert!(!shown(&gateway, "login.test").await.by_authority);
    let failure = told(&gateway, "certificate_failed").await;
    assert!(
        failure.starts_with(
            "login.test: the authority refuses: API error: login.test: Invalid response: 404"
        ),
        "{failure}"
    );

    authority.mislead("login.test", false);
    site.clock.pass(AFTER_A_FAILURE);
    certified(&gateway, &[]).await;
    assert_eq!(count(&gateway, "failed").await, 1);
    assert_eq!(authority.orders_for("login.test"), 2, "once in each pause");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_remembered_over_a_restart() {
    let clock = TestClock::new();
    let authority = Authority::start(&clock).await;
    for host in HOSTS {
        authority.mislead(host, true);
    }
    let toml = authority.toml("");
    let site = site(move || toml.clone(), &clock).await;
    let gateway = (site.setup)().start().await;
    authority.lead_to(&gateway);
    ordered(&gateway, "all have failed", async || {
        count(&gateway, "failed").await == 4
    })
    .await;
    let folder = Arc::clone(&gateway.folder);
    gateway.stop().await;

    for host in HOSTS {
        authority.mislead(host, false);
    }
    let mut setup = (site.setup)();
    setup.folder = Some(folder);
    let gateway = setup.start().await;
    authority.lead_to(&gateway);
    site.clock.pass(AFTER_A_FAILURE);
    for one in certified(&gateway, &[]).await {
        assert_eq!(
            one.ends,
            site.clock.now().plus(LIFE).secs(),
            "at once after the start"
        );
    }
    assert_eq!(authority.orders(), 8);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_one_stays_until_the_new_one_is_good() {
    let (authority, site, gateway) = clinic().await;
    let first = certified(&gateway, &[]).await;
    // The authority certifies somebody else's keys.
    authority.certify_other_keys(true);
    site.clock.pass(DAY * 60);
    ordered(&gateway, "all have failed", async || {
        count(&gateway, "failed").await == 4
    })
    .await;
    assert_eq!(all_shown(&gateway).await, first);
    let failure = told(&gateway, "certificate_failed").await;
    assert!(
        failure.contains("key and certificate don't fit"),
        "{failure}"
    );

    authority.certify_other_keys(false);
    site.clock.pass(AFTER_A_FAILURE);
    certified(&gateway, &first).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_to_order_less_orders_nothing_for_so_long() {
    let clock = TestClock::new();
    let authority = Authority::start(&clock).await;
    authority.limit(3600);
    let toml = authority.toml("");
    let site = site(move || toml.clone(), &clock).await;
    let gateway = (site.setup)().start().await;
    authority.lead_to(&gateway);
    ordered(&gateway, "the first order is refused", async || {
        count(&gateway, "failed").await == 1
    })
    .await;
    // Longer than any pause of our own after one failure.
    site.clock.pass(MINUTE * 40);
    let failure = told(&gateway, "certificate_failed").await;
    assert!(failure.contains("wants fewer orders"), "{failure}");
    authority.limit(0);
    site.clock.pass(MINUTE * 21);
    for one in certified(&gateway, &[]).await {
        let ends = clock.now().plus(LIFE).secs();
        assert_eq!(one.ends, ends, "ordered before the hour was over");
    }
    assert_eq!((authority.turned_away(), authority.orders()), (1, 4));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_that_is_refused_is_no_failure() {
    let clock = TestClock::new();
    let authority = Authority::start(&clock).await;
    authority.refuse_nonces(2);
    let toml = authority.toml("");
    let site = site(move || toml.clone(), &clock).await;
    let gateway = (site.setup)().start().await;
    authority.lead_to(&gateway);
    certified(&gateway, &[]).await;
    assert_eq!(count(&gateway, "failed").await, 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_the_authority_forgot_is_opened_anew() {
    let (authority, site, gateway) = clinic().await;
    let first = certified(&gateway, &[]).await;
    authority.forget_accounts();
    site.clock.pass(DAY * 60);
    ordered(&gateway, "one order has failed for it", async || {
        count(&gateway, "failed").await == 1
    })
    .await;
    site.clock.pass(AFTER_A_FAILURE);
    certified(&gateway, &first).await;
    assert_eq!(authority.accounts(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_in_the_handshake_and_with_an_account_from_elsewhere() {
    let clock = TestClock::new();
    let (authority, certificate) = Authority::start_over_tls(&clock).await;
    authority.want_external("clinic-7", b"a secret of ours and theirs");
    let toml = authority.toml(
        "challenge = \"tls-alpn-01\"\nca = \"authority.pem\"\n\
         external_account = { key_id = \"clinic-7\", key = { file = \"eab.key\" } }",
    );
    let site = site(move || toml.clone(), &clock).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("authority.pem"), certificate).unwrap();
    // base64url of the secret, as authorities give it out.
    let key = "YSBzZWNyZXQgb2Ygb3VycyBhbmQgdGhlaXJz\n";
    std::fs::write(folder.path().join("eab.key"), key).unwrap();
    let mut setup = (site.setup)();
    setup.folder = Some(Arc::new(folder));
    let gateway = setup.start().await;
    authority.lead_to(&gateway);
    certified(&gateway, &[]).await;
    assert_eq!(authority.externals(), [Some(String::from("clinic-7"))]);
    assert_eq!(
        (authority.asked("tls-alpn-01"), authority.asked("http-01")),
        (4, 0)
    );
    // Proven, so the proof is taken in.
    let config = tls(rustls::ALL_VERSIONS, b"acme-tls/1");
    assert!(
        handshake(config, gateway.address, "emr.test")
            .await
            .is_err()
    );
    let line = plain(&gateway, "emr.test", "/.well-known/acme-challenge/abc").await;
    assert!(
        line.starts_with("HTTP/1.1 308 "),
        "a path like others: {line}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_nodes_one_orders_any_answers_and_all_show_it() {
    let clock = TestClock::new();
    let authority = Authority::start(&clock).await;
    let redis = Redis::start();
    let (toml, sessions) = (authority.toml(""), redis.url());
    let site = site(move || toml.clone(), &clock).await;
    let setup = || {
        let mut setup = (site.setup)();
        setup.sessions = sessions.clone();
        setup
    };
    let a = setup().start().await;
    // The first name is this node's to prove; the balancer sends the authority to the other node.
    ordered(&a, "the first node has ordered", async || {
        authority.asked("http-01") == 1
    })
    .await;
    let b = setup().beside(&a).start().await;
    authority.lead_to(&b);
    // A call to Redis that a very busy machine answers too late costs an attempt, and the next one comes after
    // a pause: then, and only then, time passes.
    let (mut all, mut looks) = (Vec::new(), 0);
    ordered(&a, "every host shows one", async || {
        looks += 1;
        if looks % MANY_LOOKS == 0 {
            clock.pass(AFTER_A_FAILURE);
        }
        all = all_shown(&a).await;
        all.iter().all(|one| one.by_authority)
    })
    .await;
    let undisturbed = looks < MANY_LOOKS;
    ordered(&b, "the other shows the same", async || {
        let there = all_shown(&b).await;
        there.iter().all(|one| one.by_authority) && (there == all || !undisturbed)
    })
    .await;
    if undisturbed {
        assert_eq!(authority.orders(), 4, "each is ordered once");
        let (of_a, of_b) = (count(&a, "issued").await, count(&b, "issued").await);
        assert!(of_a >= 1 && of_a + of_b == 4, "{of_a} {of_b}");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_begins_while_the_gateway_runs_and_follows_to_another_authority() {
    let clock = TestClock::new();
    let authorities = [
        Authority::start(&clock).await,
        Authority::start(&clock).await,
    ];
    let site = site(String::new, &clock).await;
    let gateway = (site.setup)().start().await;
    let file = gateway.path("gateway.toml");
    let without = std::fs::read_to_string(&file).unwrap();
    let mut before = all_shown(&gateway).await;
    for authority in &authorities {
        authority.lead_to(&gateway);
        std::fs::write(&file, format!("{without}{}", authority.toml(""))).unwrap();
        gateway.running.reload().await;
        before = certified(&gateway, &before).await;
        assert_eq!(authority.orders(), 4);
    }
    std::fs::write(&file, &without).unwrap();
    gateway.running.reload().await;
    for one in all_shown(&gateway).await {
        assert!(!one.by_authority, "back to the one for development");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_a_file_certifies_are_not_ordered() {
    let clock = TestClock::new();
    let authority = Authority::start(&clock).await;
    let toml = authority.toml("").replacen(
        "[tls.acme]",
        "[tls]\ncertificates = [{ certificate = \"site.pem\", key = \"site.key\" }]\n[tls.acme]",
        1,
    );
    let site = site(move || toml.clone(), &clock).await;
    let folder = tempfile::tempdir().unwrap();
    let names = vec![String::from("emr.test"), String::from("billing.test")];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.path().join("site.pem"), made.cert.pem()).unwrap();
    std::fs::write(
        folder.path().join("site.key"),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
    let mut setup = (site.setup)();
    setup.folder = Some(Arc::new(folder));
    let gateway = setup.start().await;
    authority.lead_to(&gateway);
    ordered(&gateway, "the other two come", async || {
        let ours = ["login.test", "analytics.test"];
        shown(&gateway, ours[0]).await.by_authority && shown(&gateway, ours[1]).await.by_authority
    })
    .await;
    for host in ["emr.test", "billing.test"] {
        assert!(!shown(&gateway, host).await.by_authority);
        assert_eq!(authority.orders_for(host), 0);
    }
    gateway.stop().await;
}
