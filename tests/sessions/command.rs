//! `vestibule sessions` beside running gateways.

use clap::Parser;
use vestibule::cli::sessions::{Ended, SessionsArgs, Told, Verb, list, revoke};
use vestibule::gate::name::SessionId;

use crate::nodes::{Home, SECOND, START, TestClock, id_of, new_session};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sessions: SessionsArgs,
}

/// What is printed, and who was signed out.
async fn command(home: &Home, args: &[&str]) -> (Told, Vec<Ended>) {
    let cli = Cli::try_parse_from(std::iter::once(&"sessions").chain(args)).unwrap();
    let store = home.open().await;
    match &cli.sessions.verb {
        Verb::List(selection) => {
            let listed = list(selection, store.as_ref(), START).await;
            (listed.unwrap(), Vec::new())
        }
        Verb::Revoke(selection) => {
            let mut revoked = revoke(selection, store.as_ref(), START).await;
            let ended = std::mem::take(&mut revoked.ended);
            (revoked.told(selection.json).unwrap(), ended)
        }
    }
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

    let (told, _) = command(&home, &["list", "--company", "acme", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&told.text).unwrap();
    assert!(told.found);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let listed = command(&home, &["list", "--person", "kim"]).await.0.text;
    assert!(
        listed.contains("2027-01-15T08:00:00.000Z") && listed.contains("emr"),
        "{listed}"
    );

    let (told, ended) = command(&home, &["revoke", "--person", "kim"]).await;
    assert_eq!(
        (told.found, told.text.as_str()),
        (true, "1 session ended\n")
    );
    let ended: Vec<_> = ended
        .iter()
        .map(|ended| (ended.person.as_str(), ended.company.as_str()))
        .collect();
    assert_eq!(ended, [("kim", "acme")]);
    // How soon is the stores' own tests' to say: here the machine may be busy.
    tokio::time::timeout(60 * SECOND, leash.pulled())
        .await
        .unwrap();
    assert_eq!(node.worth(&emr, "emr").await, "ended");

    let id = id_of(&lee).to_string();
    let (told, _) = command(&home, &["revoke", "--session", &id, "--json"]).await;
    assert!(told.found && told.text.contains(&id));
    let hyphened = SessionId::from_bytes([0xf8; 16]).to_string();
    assert!(hyphened.starts_with('-'));
    for id in [&id, &hyphened] {
        let (told, ended) = command(&home, &["revoke", "--session", id]).await;
        assert!(!told.found && ended.is_empty(), "it is not there");
    }
    assert_eq!(node.worth(&lee, "portal").await, "ended");
}
