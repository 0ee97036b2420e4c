//! The audit trail as an operator checks it: by its chain, and by what the directory knows of it.

use std::sync::Arc;

use crate::backend::Backend;
use crate::gateway::{Setup, vestibule};
use crate::visitor::Visitor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directory_knows_where_the_trail_stood() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    // Two or three lines to a file.
    setup.log = String::from("audit_rotate = \"1KiB\"");
    let gateway = setup.start().await;
    for _ in 0..6 {
        let mut kim = Visitor::new(&gateway);
        kim.sign_in("kim", kim.url("emr", "/")).await;
    }
    let folder = Arc::clone(&gateway.folder);
    let trail = gateway.path("data/audit.jsonl");
    gateway.stop().await;

    let (code, out, err) = vestibule(folder.path(), &["audit", "verify", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    let verified: serde_json::Value = serde_json::from_str(&out).unwrap();
    let lines = verified["lines"].as_u64().unwrap();
    assert!(lines >= 6, "{verified}");
    assert!(verified["anchors"].as_u64() >= Some(1), "{verified}");
    let (code, out, _) = vestibule(
        folder.path(),
        &["audit", "export", "--who", "kim", "--event", "sign_in"],
    )
    .await;
    assert_eq!((code, out.lines().count()), (0, 6), "over all files: {out}");

    // Whoever has the files cuts the end off and says that there never was more.
    let aside = std::fs::read_dir(trail.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("audit.jsonl.0"))
        .max()
        .expect("a file that was put aside");
    let last = std::fs::read_to_string(&aside).unwrap();
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    std::fs::write(&trail, "").unwrap();
    let head = format!("{} {}\n", last["seq"], last["hash"].as_str().unwrap());
    std::fs::write(trail.with_extension("jsonl.head"), head).unwrap();
    let (code, ..) = vestibule(folder.path(), &["audit", "verify", "--alone"]).await;
    assert_eq!(code, 0, "the files agree with each other");
    let (code, _, err) = vestibule(folder.path(), &["audit", "verify"]).await;
    assert_eq!(code, 1, "the directory knows better");
    assert!(err.contains("the directory knows of"), "{err}");
}
