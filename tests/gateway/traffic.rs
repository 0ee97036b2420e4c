//! What other policies would have done to requests that were.

use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;

use crate::backend::Backend;
use crate::gateway::{Setup, vestibule};
use crate::visitor::Visitor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_requests_are_asked_again_of_other_policies() {
    let backend = Backend::start().await;
    let deny = |name: &str, path: &str| {
        format!("[[rules]]\nname = \"{name}\"\npaths = [\"{path}\"]\naction = \"deny\"\n")
    };
    let gateway = Setup::new(&backend.url)
        .policy("acme-rehab.toml", &deny("no exports", "/exports/**"))
        .start()
        .await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    for (path, status) in [("/notes/1", 200), ("/notes/2", 200), ("/exports/a", 403)] {
        let url = kim.url("emr", path);
        assert_eq!(kim.fetch(Method::GET, url).await.status, status, "{path}");
    }
    let mut stranger = Visitor::new(&gateway);
    let url = stranger.url("emr", "/notes/3");
    assert_eq!(stranger.fetch(Method::GET, url).await.status, 401);
    let folder = Arc::clone(&gateway.folder);
    gateway.stop().await;

    let (old, new) = (folder.path().join("policies"), folder.path().join("new"));
    std::fs::create_dir(&new).unwrap();
    std::fs::copy(old.join("default.toml"), new.join("default.toml")).unwrap();
    std::fs::write(new.join("acme-rehab.toml"), deny("no notes", "/notes/**")).unwrap();
    let log = folder.path().join("access.jsonl");
    let arguments = [
        "policy",
        "diff",
        old.to_str().unwrap(),
        new.to_str().unwrap(),
        "--traffic",
        log.to_str().unwrap(),
        "--json",
    ];
    let (code, said, told) = vestibule(folder.path(), &arguments).await;
    assert_eq!(code, 0, "{told}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["different"], 3, "{said}");
    assert_eq!(said["recorded_otherwise"], 0, "{said}");
    let groups = said["groups"].as_array().unwrap();
    let group = |path: &str| groups.iter().find(|group| group["path"] == path).unwrap();
    assert_eq!(group("/notes/*")["requests"], 2, "{said}");
    assert_eq!(group("/notes/*")["new"], "deny");
    assert_eq!(group("/notes/*")["people"], serde_json::json!(["kim"]));
    // Refused requests are named too, or this one could not be told.
    assert_eq!(group("/exports/a")["old"], "deny", "{said}");
    let not_judged = said["not_judged"].as_object().unwrap();
    assert!(
        not_judged.keys().any(|why| why.contains("nobody")),
        "{said}"
    );
}
