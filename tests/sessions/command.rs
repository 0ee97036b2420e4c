//! `vestibule sessions` beside running gateways.

use clap::Parser;
use vestibule::cli::sessions::{Done, SessionsArgs, run};

use crate::nodes::{Home, SECOND, START, TestClock, id_of, new_session};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sessions: SessionsArgs,
}

async fn command(home: &Home, args: &[&str]) -> (Done, String) {
    let cli = Cli::try_parse_from(std::iter::once(&"sessions").chain(args)).unwrap();
    let store = home.open().await;
    let mut out = Vec::new();
    let done = run(&cli.sessions, store.as_ref(), START, &mut out)
        .await
        .unwrap();
    (done, String::from_utf8(out).unwrap())
}

pub async fn a_command_lists_and_revokes_beside_a_gateway(home: Home) {
    let clock = TestClock::new();
    let node = home.node(&clock).await;
    let portal = node.sign_in().await;
    let emr = node.enter(&portal, "emr").await;
    let lee = node
        .sessions
        .begin(new_session("lee", "acme"), START)
        .await
        .unwrap()
        .1;
    let leash = node.look_up(&emr, "emr").await.leash.unwrap();

    let (done, listed) = command(&home, &["list", "--company", "acme", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert!(done.found && done.ended.is_empty());
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let (_, listed) = command(&home, &["list", "--person", "kim"]).await;
    assert!(
        listed.contains("2027-01-15T08:00:00.000Z") && listed.contains("emr"),
        "{listed}"
    );

    let (done, said) = command(&home, &["revoke", "--person", "kim"]).await;
    assert_eq!((done.found, said.as_str()), (true, "1 session ended\n"));
    let ended: Vec<_> = done
        .ended
        .iter()
        .map(|ended| (ended.person.as_str(), ended.company.as_str()))
        .collect();
    assert_eq!(ended, [("kim", "acme")]);
    tokio::time::timeout(SECOND, leash.pulled()).await.unwrap();
    assert_eq!(node.worth(&emr, "emr").await, "ended");

    let id = id_of(&lee).to_string();
    let (done, said) = command(&home, &["revoke", "--session", &id, "--json"]).await;
    assert!(done.found && said.contains(&id));
    let (done, _) = command(&home, &["revoke", "--session", &id]).await;
    assert!(!done.found && done.ended.is_empty(), "it is not there");
    assert_eq!(node.worth(&lee, "portal").await, "ended");
}
