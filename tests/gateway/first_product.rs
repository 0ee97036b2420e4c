//! docs/first-product.md, as its reader does it: the files that it shows, in its order.

use std::sync::Arc;

use http::Method;

use crate::backend::Backend;
use crate::gateway::{password, soon, vestibule};
use crate::migrating::serve;
use crate::visitor::Visitor;

/// The blocks that follow the name of a file, in the order of the page.
fn shown<'a>(page: &'a str, file: &str) -> Vec<&'a str> {
    let mut blocks = Vec::new();
    for rest in page.split(&format!("`{file}`")).skip(1) {
        let (words, rest) = rest.split_once("\n\n```").unwrap();
        assert!(!words.contains("\n\n"), "{file} is not followed by a block");
        let (_, rest) = rest.split_once('\n').unwrap();
        blocks.push(&rest[..=rest.find("\n```").unwrap()]);
    }
    blocks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_product_of_the_guide_is_protected() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/first-product.md");
    let page = std::fs::read_to_string(guide).unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    let policies = shown(&page, "policies/default.toml");
    for (name, text) in [
        ("gateway.toml", shown(&page, "gateway.toml")[0]),
        ("people.jsonl", shown(&page, "people.jsonl")[0]),
        ("policies/default.toml", policies[0]),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let clean = vestibule(folder.path(), &["check"]).await;
    assert_eq!(clean, (0, String::new(), String::new()));

    let backend = Backend::start().await;
    let gateway = serve(Arc::clone(&folder), &backend, "").await;
    let mut kim = Visitor::new(&gateway);
    let url = kim.url("notes", "/");
    let stranger = kim.send(Method::GET, url, &[("accept", "*/*")], None).await;
    assert_eq!(stranger.status, 401, "what curl sees");
    assert!(stranger.json()["login_url"].is_string());
    let notes = kim.sign_in("kim", kim.url("notes", "/")).await;
    assert_eq!(notes.status, 200, "{}", notes.body);
    assert_eq!(backend.last().header("x-forwarded-user"), Some("kim"));

    assert_eq!(policies.len(), 2);
    std::fs::write(folder.path().join("policies/default.toml"), policies[1]).unwrap();
    soon("a second factor is asked for", async || {
        let url = kim.url("notes", "/");
        kim.fetch(Method::GET, url).await.status == 401
    })
    .await;
    let page = kim.open(kim.url("notes", "/")).await;
    let secret = password("kim");
    let right = [("username", "kim"), ("password", secret.as_str())];
    let page = kim.submit(&page, &right).await;
    let (_, notes) = kim.enrol(&page, gateway.clock.now()).await;
    assert_eq!((notes.status.as_u16(), notes.url.path()), (200, "/"));
    gateway.stop().await;
}
