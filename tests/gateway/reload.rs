//! gateway.toml changes while the gateway runs: what can be followed is, as one; what can't waits;
//! a broken file changes nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::Value;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, soon};
use crate::live::{say, socket};
use crate::visitor::Visitor;
use crate::wire::cookie;

/// Writes gateway.toml with these words replaced.
fn edit(gateway: &Gateway, changes: &[(&str, &str)]) {
    let file = gateway.path("gateway.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let draft = gateway.path("gateway.toml.new");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(&draft, &file).unwrap();
}

fn events(gateway: &Gateway) -> Vec<Value> {
    let text = std::fs::read_to_string(gateway.path("data/audit.jsonl")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn event(gateway: &Gateway, name: &str) -> Option<Value> {
    events(gateway)
        .into_iter()
        .find(|line| line["event"] == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_change_does_without_a_restart_and_nobody_is_cut() {
    let (first, second) = (Backend::start().await, Backend::start().await);
    let gateway = Setup::new(&first.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    kim.open(kim.url("billing", "/")).await;
    let mut open = socket(&gateway, "emr", &cookie(&kim, "emr")).await.unwrap();

    let billing = format!(
        "url = \"https://billing.test:{0}\"\nbackends = [\"{1}\"]",
        gateway.address.port(),
        first.url
    );
    let moved = billing.replace(&first.url, &second.url);
    edit(
        &gateway,
        &[
            ("Test sign-in", "Another title"),
            (&billing, &moved),
            (
                "idle = \"2h\"",
                "idle = \"1h\"\nbody_limit = \"16B\"\nidentity = \"remote\"",
            ),
            (
                "[session]\nmaximum = \"12h\"",
                "[session]\nmaximum = \"11h\"",
            ),
            ("https = [\"127.0.0.1:", "https = [\"127.0.0.2:"),
        ],
    );
    soon("billing is where it moved to", async || {
        kim.fetch(Method::GET, kim.url("billing", "/here")).await;
        second.seen().iter().any(|seen| seen.target == "/here")
    })
    .await;
    let seen = second.last();
    assert_eq!(seen.header("remote-user"), Some("kim-billing"));
    assert_eq!(
        seen.header("x-forwarded-user"),
        None,
        "as the file says now"
    );
    let body = Some(String::from("more than sixteen bytes"));
    let answer = kim
        .send(Method::POST, kim.url("billing", "/"), &[], body)
        .await;
    assert_eq!(answer.status, 413);
    let mut stranger = Visitor::new(&gateway);
    let page = stranger.open(stranger.url("emr", "/")).await;
    assert!(page.body.contains("Another title"));

    // What was open before goes on, at its old backend.
    say(&mut open, "still here").await;
    assert_eq!(
        kim.worth("emr").await,
        200,
        "the address to listen on waits"
    );

    soon("the audit trail says what changed", async || {
        event(&gateway, "configuration_changed").is_some()
    })
    .await;
    let line = event(&gateway, "configuration_changed").unwrap();
    assert_eq!(line["detail"], "portal.title, session, products.billing");
    // An open socket would be waited for.
    drop(open);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_while_the_gateway_starts_is_followed() {
    let backend = Backend::start().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let address: SocketAddr = backend.url.trim_start_matches("http://").parse().unwrap();
    let mut setup = Setup::new("http://backend.internal:80");
    setup.folder = Some(Arc::clone(&folder));
    // Asked for after the file was read, and before anybody is served.
    setup.names = Some(Arc::new(move |_, _| {
        let file = folder.path().join("gateway.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        // Once: they are asked for again while it runs.
        if text.contains("Test sign-in") {
            let text = text.replace("Test sign-in", "Written meanwhile");
            std::fs::write(&file, text).unwrap();
        }
        Box::pin(async move { Ok(vec![address]) })
    }));
    let gateway = setup.start().await;
    soon("it is followed", async || {
        let mut stranger = Visitor::new(&gateway);
        let page = stranger.open(stranger.url("emr", "/")).await;
        page.body.contains("Written meanwhile")
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_changes_nothing_and_is_told_until_it_is_mended() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let successful = "vestibule_config_last_reload_successful";
    assert_eq!(gateway.metric(successful).await, Some(1.0));

    edit(
        &gateway,
        &[
            ("Test sign-in", "Never seen"),
            ("primary = true", "primray = true"),
        ],
    );
    soon("the problem is noticed", async || {
        gateway.metric(successful).await == Some(0.0)
    })
    .await;
    assert_eq!(kim.worth("emr").await, 200);
    let page = Visitor::new(&gateway).open(kim.url("emr", "/")).await;
    assert!(
        page.body.contains("Test sign-in"),
        "half of a file is not followed"
    );
    soon("the audit trail has it", async || {
        event(&gateway, "configuration_rejected").is_some()
    })
    .await;

    edit(
        &gateway,
        &[
            ("Never seen", "Seen at last"),
            ("primray = true", "primary = true"),
        ],
    );
    soon("it is followed", async || {
        gateway.metric(successful).await == Some(1.0)
    })
    .await;
    let page = Visitor::new(&gateway).open(kim.url("emr", "/")).await;
    assert!(page.body.contains("Seen at last"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_product_is_there_and_one_that_is_taken_out_is_not() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    kim.open(kim.url("analytics", "/")).await;
    assert_eq!(kim.worth("analytics").await, 200);

    // Billing goes, and with it every product behind it moves one place up.
    let text = std::fs::read_to_string(gateway.path("gateway.toml")).unwrap();
    let from = text.find("[products.billing]").unwrap();
    let until = text.find("[products.analytics]").unwrap();
    let billing = text[from..until].to_owned();
    edit(&gateway, &[(&billing, "")]);
    soon("billing is nobody's any more", async || {
        kim.fetch(Method::GET, kim.url("billing", "/")).await.status == 421
    })
    .await;
    for product in ["emr", "analytics"] {
        assert_eq!(kim.worth(product).await, 200, "{product}");
    }
    assert_eq!(backend.last().header("x-forwarded-user"), Some("kim"));
    edit(
        &gateway,
        &[(
            "[products.analytics]",
            &format!("{billing}[products.analytics]"),
        )],
    );
    soon("billing is back", async || {
        kim.look(kim.url("billing", "/")).await.status != 421
    })
    .await;
    kim.open(kim.url("billing", "/again")).await;
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("kim-billing")
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backends_name_is_followed_where_it_leads() {
    let (first, second) = (Backend::start().await, Backend::start().await);
    let address = |backend: &Backend| -> SocketAddr {
        backend.url.trim_start_matches("http://").parse().unwrap()
    };
    let leads: Arc<Mutex<Option<SocketAddr>>> = Arc::new(Mutex::new(Some(address(&first))));
    let asked = Arc::clone(&leads);
    let mut setup = Setup::new("http://backend.internal:80");
    setup.names = Some(Arc::new(move |host, _| {
        assert_eq!(host, "backend.internal");
        let answer = *asked.lock().unwrap();
        Box::pin(async move {
            let gone = || std::io::Error::other("no such name");
            answer.map(|socket| vec![socket]).ok_or_else(gone)
        })
    }));
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_eq!(kim.worth("emr").await, 200);
    assert!(second.seen().is_empty());

    *leads.lock().unwrap() = Some(address(&second));
    gateway.running.reload().await;
    soon("requests go where the name leads", async || {
        kim.worth("emr").await == 200 && !second.seen().is_empty()
    })
    .await;
    // A resolver that is away takes nothing from anybody.
    *leads.lock().unwrap() = None;
    let title = [("Test sign-in", "After the resolver")];
    edit(&gateway, &title);
    gateway.running.reload().await;
    soon("the reload is over", async || {
        let page = Visitor::new(&gateway).open(kim.url("emr", "/")).await;
        page.body.contains("After the resolver")
    })
    .await;
    assert_eq!(kim.worth("emr").await, 200);
    gateway.stop().await;
}
