//! An emergency: people get at what they need with their password, and nobody can miss that it was so.

use std::time::Duration;

use serde_json::Value;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, TestClock, soon, vestibule};
use crate::visitor::Visitor;

const HOUR: Duration = Duration::from_secs(3600);

/// Northside wants a second factor, which Lee can't prove. The command line has the wall's clock.
async fn clinic(backend: &Backend) -> Gateway {
    let mut setup = Setup::new(&backend.url)
        .policy("northside.toml", "name = \"Northside\"\n[mfa]\nmode = \"required\"\n[[rules]]\nname = \"fresh\"\npaths = [\"/records/**\"]\naction = \"step_up\"\nwithin = \"15m\"\n");
    setup.clock = TestClock::wall();
    setup.start().await
}

async fn open_glass(gateway: &Gateway, more: &[&str]) -> String {
    let folder = gateway.folder.path();
    let mut arguments = vec![
        "break-glass",
        "open",
        "--company",
        "northside",
        "--reason",
        "the phones are dead",
    ];
    arguments.extend(more);
    let (code, out, err) = vestibule(folder, &arguments).await;
    assert_eq!(code, 0, "{err}");
    out.split(':').next().unwrap().to_owned()
}

async fn open_now(gateway: &Gateway, wanted: f64) {
    soon("the gateway knows", async || {
        gateway.metric("vestibule_break_glass_open").await == Some(wanted)
    })
    .await;
}

fn trail(gateway: &Gateway, event: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(gateway.path("data/audit.jsonl")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == event)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_emergency_the_password_is_enough_and_all_of_it_is_on_record() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let mut lee = Visitor::new(&gateway);
    let stopped = lee.sign_in("lee", lee.url("emr", "/records/7")).await;
    assert_eq!(stopped.url.path(), "/login/enroll", "a factor is asked for");

    let id = open_glass(&gateway, &["--for", "2h"]).await;
    open_now(&gateway, 1.0).await;
    let mut lee = Visitor::new(&gateway);
    let page = lee.sign_in("lee", lee.url("emr", "/records/7")).await;
    assert_eq!((page.status.as_u16(), page.url.path()), (200, "/records/7"));
    assert_eq!(backend.last().header("x-forwarded-user"), Some("lee"));

    let (_, list, _) = vestibule(gateway.folder.path(), &["break-glass", "list"]).await;
    for word in [&*id, "northside", "everybody", "the phones are dead"] {
        assert!(list.contains(word), "{list}");
    }
    soon("the sign-in is on record", async || {
        !trail(&gateway, "break_glass_used").is_empty()
    })
    .await;
    let opened = trail(&gateway, "break_glass_opened");
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0]["company"], "northside");
    assert_eq!(opened[0]["reason"], "the phones are dead");
    assert_eq!(trail(&gateway, "break_glass_used")[0]["who"], "lee");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_ends_at_its_time_and_can_be_closed_before() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    open_glass(&gateway, &["--person", "kim"]).await;
    open_now(&gateway, 1.0).await;
    let mut lee = Visitor::new(&gateway);
    let stopped = lee.sign_in("lee", lee.url("emr", "/")).await;
    assert_eq!(stopped.url.path(), "/login/enroll", "it is about Kim alone");

    let id = open_glass(&gateway, &["--person", "lee", "--for", "3h"]).await;
    open_now(&gateway, 2.0).await;
    let mut lee = Visitor::new(&gateway);
    lee.sign_in("lee", lee.url("emr", "/")).await;
    assert_eq!(lee.worth("emr").await, 200);
    let (code, _, err) = vestibule(gateway.folder.path(), &["break-glass", "close", &id]).await;
    assert_eq!(code, 0, "{err}");
    open_now(&gateway, 1.0).await;
    assert_eq!(
        lee.worth("emr").await,
        401,
        "the session goes on with a factor only"
    );
    assert_eq!(trail(&gateway, "break_glass_closed").len(), 1);
    let (code, ..) = vestibule(gateway.folder.path(), &["break-glass", "close", &id]).await;
    assert_eq!(code, 1, "it is over");

    gateway.clock.pass(3 * HOUR);
    open_now(&gateway, 0.0).await;
    let day = [
        "break-glass",
        "open",
        "--company",
        "northside",
        "--reason",
        "x",
        "--for",
        "25h",
    ];
    assert_eq!(
        vestibule(gateway.folder.path(), &day).await.0,
        2,
        "no longer than a day"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_recorded_is_not_done() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let (folder, audit) = (gateway.folder.clone(), gateway.path("data/audit.jsonl"));
    gateway.stop().await;
    // Nobody can write into it any more, whoever it is.
    std::fs::rename(&audit, audit.with_extension("aside")).unwrap();
    std::fs::create_dir(&audit).unwrap();
    let open: Vec<&str> = "break-glass open --company northside --reason phones"
        .split(' ')
        .collect();
    for deed in [open.as_slice(), &["people", "disable", "lee"]] {
        let (code, _, told) = vestibule(folder.path(), deed).await;
        assert_eq!(code, 1, "{deed:?}: {told}");
        assert!(told.contains("nothing was done"), "{told}");
    }
    let (_, list, _) = vestibule(folder.path(), &["break-glass", "list"]).await;
    assert_eq!(list, "no emergency is going on\n");
    let show = ["people", "show", "lee", "--json"];
    let (_, lee, _) = vestibule(folder.path(), &show).await;
    let lee: Value = serde_json::from_str(&lee).unwrap();
    assert_eq!(lee["disabled"], false, "{lee}");

    for wrong in ["", " ", "two\nlines"] {
        let open = [
            "break-glass",
            "open",
            "--company",
            "northside",
            "--reason",
            wrong,
        ];
        assert_eq!(
            vestibule(folder.path(), &open).await.0,
            2,
            "{wrong:?} is no reason"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_already_is_on_record_at_their_first_request_without_a_factor() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url).policy(
        "northside.toml",
        "name = \"Northside\"\n[mfa]\nmode = \"off\"\n[[rules]]\nname = \"fresh\"\npaths = [\"/records/**\"]\naction = \"step_up\"\nwithin = \"15m\"\n",
    );
    setup.clock = TestClock::wall();
    let gateway = setup.start().await;
    let mut lee = Visitor::new(&gateway);
    lee.sign_in("lee", lee.url("emr", "/")).await;
    let records = lee.url("emr", "/records/7");
    let stopped = lee.open(records.clone()).await;
    assert_ne!(stopped.url.path(), "/records/7", "a factor is asked for");

    open_glass(&gateway, &[]).await;
    open_now(&gateway, 1.0).await;
    assert_eq!(lee.worth("emr").await, 200, "and this needs none");
    for _ in 0..3 {
        let page = lee.open(records.clone()).await;
        assert_eq!(page.url.path(), "/records/7");
    }
    // What comes after it stands in the trail after it: then nothing of before is missing.
    let mut again = Visitor::new(&gateway);
    again.sign_in("lee", again.url("emr", "/")).await;
    let used = async || trail(&gateway, "break_glass_used");
    soon("the next sign-in is on record", async || {
        used()
            .await
            .iter()
            .any(|line| line["detail"] == "signed in while no second factor was asked for")
    })
    .await;
    let passed: Vec<Value> = used()
        .await
        .into_iter()
        .filter(|line| line["detail"] == "emr: let in without the factor that would be asked for")
        .collect();
    assert_eq!(passed.len(), 1, "{passed:?}");
    assert_eq!(passed[0]["who"], "lee");
    assert_eq!(passed[0]["company"], "northside");
    gateway.stop().await;
}
