//! Another master key takes over on two gateways while people work, and nobody notices.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vestibule::directory::seal::MasterKey;
use vestibule::gate::time::Moment;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, TestClock, soon, vestibule};
use crate::legacy::Application;
use crate::postgres;
use crate::redis::Redis;
use crate::sign_on::{FORM, KIM, keep};
use crate::visitor::{Visitor, code};

const STEP: Duration = Duration::from_secs(30);

struct Site {
    emr: Backend,
    redis: Redis,
    database: String,
    billing: Application,
    clock: TestClock,
}

impl Site {
    async fn new() -> Site {
        let clock = TestClock::wall();
        // The command line has the wall's clock: to it, these gateways were seen at this moment,
        // however long the test takes.
        clock.pass(Duration::from_secs(3600));
        Site {
            emr: Backend::start().await,
            redis: Redis::start(),
            database: postgres::database().await,
            billing: Application::start(&[(KIM, "secret")]).await,
            clock,
        }
    }

    fn setup(&self) -> Setup {
        let mut setup = Setup::new(&self.emr.url).policy(
            "northside.toml",
            "name = \"Northside\"\n[mfa]\nmode = \"required\"\n",
        );
        setup.clock = self.clock.clone();
        setup.sessions = self.redis.url();
        setup.directory = self.database.clone();
        setup.backends[1] = vec![self.billing.url.clone()];
        setup.billing = FORM.to_owned();
        setup
    }

    /// Lee proves the factor that was set up before all this.
    async fn lee_signs_in(&self, gateway: &Gateway, key: &str) {
        // A code is good once.
        self.clock.pass(2 * STEP);
        let mut lee = Visitor::new(gateway);
        let page = lee.sign_in("lee", lee.url("emr", "/")).await;
        assert_eq!(page.url.path(), "/login/factor", "{}", page.body);
        let code = code(key, self.clock.now());
        let page = lee.submit(&page, &[("code", &code)]).await;
        assert_eq!((page.status.as_u16(), page.url.path()), (200, "/"));
    }
}

async fn say(gateway: &Gateway, verb: &[&str]) -> (i32, String) {
    let arguments = [&["master-key"][..], verb].concat();
    let (code, out, err) = vestibule(gateway.folder.path(), &arguments).await;
    (code, out + &err)
}

async fn done(gateway: &Gateway, verb: &[&str]) -> String {
    let (code, told) = say(gateway, verb).await;
    assert_eq!(code, 0, "{verb:?}: {told}");
    told
}

/// Refused, for these words.
async fn not_yet(gateway: &Gateway, verb: &[&str], why: &str) {
    let (code, told) = say(gateway, verb).await;
    assert_eq!(code, 1, "{verb:?}: {told}");
    assert!(told.contains(why), "{told}");
}

/// As the operator does: whole, in one step.
fn bring(from: &Gateway, to: &Gateway) {
    let draft = to.path("master.key.draft");
    std::fs::copy(from.path("master.key"), &draft).unwrap();
    std::fs::rename(draft, to.path("master.key")).unwrap();
}

/// Every gateway has taken over what stands in its file, and has said so.
async fn followed(nodes: &[&Gateway]) {
    soon("the files are followed", async || {
        let said = nodes[0].running.directory.nodes(Moment::EPOCH).await;
        let said = said.unwrap();
        nodes.iter().all(|node| {
            let file = MasterKey::read(&node.path("master.key")).unwrap();
            let seal = node.running.directory.seal();
            let (known, seals) = (seal.known(), seal.seals_with());
            known.len() == file.count()
                && seals == file.seals_with()
                && said.iter().filter(|said| said.master_keys == known).count() >= nodes.len()
        })
    })
    .await;
}

fn recorded(gateway: &Gateway, event: &str) -> usize {
    let text = std::fs::read_to_string(gateway.path("data/audit.jsonl")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == event)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_master_key_takes_over_while_people_work() {
    let site = Site::new().await;
    let a = site.setup().start().await;
    let b = site.setup().beside(&a).start().await;
    let saved = std::fs::read(a.path("master.key")).unwrap();
    let mut lee = Visitor::new(&a);
    let page = lee.sign_in("lee", lee.url("emr", "/")).await;
    let (key, _) = lee.enrol(&page, site.clock.now()).await;
    keep(&a, "kim", KIM, "secret").await;
    let mut kim = Visitor::new(&a);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_eq!(kim.open(kim.url("billing", "/")).await.status, 200);
    assert_eq!(site.billing.tries().len(), 1);

    done(&a, &["add"]).await;
    followed(&[&a]).await;
    not_yet(&a, &["use"], "don't know the key").await;
    bring(&a, &b);
    followed(&[&a, &b]).await;
    site.lee_signs_in(&b, &key).await;

    // Lee's factor, what is typed for Kim, the key that signs assertions, and four that are derived once.
    let told = done(&a, &["use"]).await;
    assert!(told.contains(": 7 secrets sealed anew, 0 were"), "{told}");
    let told = done(&a, &["use"]).await;
    assert!(told.contains(": 0 secrets sealed anew, 7 were"), "{told}");
    // The other one still seals with the old key.
    site.lee_signs_in(&b, &key).await;
    not_yet(&a, &["retire", "--now"], "still seal under an old key").await;
    bring(&a, &b);
    followed(&[&a, &b]).await;
    site.lee_signs_in(&a, &key).await;

    // What Billing answered was sealed under the old key, and is read by a node that seals with the new one.
    let mut there = kim.at(&b);
    assert_eq!(there.worth("emr").await, 200, "nobody is signed out");
    assert_eq!(
        there.look(there.url("billing", "/claims")).await.status,
        200
    );
    assert_eq!(site.billing.tries().len(), 1, "nor signed in again");

    not_yet(&a, &["retire"], "until ").await;
    done(&a, &["retire", "--now"]).await;
    bring(&a, &b);
    followed(&[&a, &b]).await;
    assert_ne!(std::fs::read(a.path("master.key")).unwrap(), saved);
    for node in [&a, &b] {
        let mut kim = kim.at(node);
        assert_eq!(kim.worth("emr").await, 200);
        assert_eq!(kim.open(kim.url("analytics", "/")).await.status, 200);
        site.lee_signs_in(node, &key).await;
    }

    // A node that is new has never seen the old key.
    let c = site.setup().beside(&a).start().await;
    let mut kim = kim.at(&c);
    assert_eq!(kim.worth("emr").await, 200);
    assert_eq!(kim.look(kim.url("billing", "/claims")).await.status, 200);
    assert_eq!(site.billing.tries().len(), 1);
    site.lee_signs_in(&c, &key).await;
    not_yet(&a, &["retire"], "no old key").await;

    for event in ["master_key_added", "master_key_retired"] {
        assert_eq!(recorded(&a, event), 1, "{event}");
    }
    // That it seals, and what came of each round.
    assert_eq!(recorded(&a, "master_key_used"), 3);
    soon("each gateway notes that it followed", async || {
        [&a, &b]
            .iter()
            .all(|node| recorded(node, "master_key_followed") == 3)
    })
    .await;
    let folder = Arc::clone(&b.folder);
    for node in [a, b, c] {
        node.stop().await;
    }
    // A node that slept through it all is told, and harms nothing.
    std::fs::write(folder.path().join("master.key"), saved).unwrap();
    let (code, _, err) = vestibule(folder.path(), &["run"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("another master key"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_a_wrong_key_is_not_followed_and_a_right_one_is() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.clock = TestClock::wall();
    let gateway = setup.start().await;
    let path = gateway.path("master.key");
    let saved = std::fs::read(&path).unwrap();
    let replace = |bytes: &[u8]| {
        // Its mode stays 0600.
        std::fs::write(&path, bytes).unwrap();
    };
    replace(&[9; 32]);
    // By a wish that is fulfilled later, the file was looked at before.
    gateway.running.reload().await;
    let mut kim = Visitor::new(&gateway);
    assert_eq!(kim.sign_in("kim", kim.url("emr", "/")).await.status, 200);
    assert_eq!(gateway.running.directory.seal().known().len(), 1);
    replace(&saved);
    let told = done(&gateway, &["add"]).await;
    assert!(told.contains("is known and not used yet"), "{told}");
    followed(&[&gateway]).await;
    gateway.stop().await;
}
