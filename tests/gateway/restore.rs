//! The rehearsal: a copy of a directory that is being used, and the master key, on another machine.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;

use crate::backend::Backend;
use crate::gateway::{Setup, password};
use crate::visitor::{Visitor, code};

fn clinic(backend: &Backend) -> Setup {
    Setup::new(&backend.url).policy(
        "northside.toml",
        "name = \"Northside\"\n[mfa]\nmode = \"required\"\n",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_copy_and_the_key_people_sign_in_with_the_factors_that_they_had() {
    let backend = Backend::start().await;
    let lost = clinic(&backend).start().await;
    let mut lee = Visitor::new(&lost);
    let page = lee.sign_in("lee", lee.url("emr", "/")).await;
    let (key, page) = lee.enrol(&page, lost.clock.now()).await;
    assert_eq!(page.status, 200);

    // While it is used, as `.backup` would: a whole copy, whatever is written meanwhile.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("people.db");
    let from = format!("sqlite:{}", lost.path("people.db").display());
    let mut database = sqlx::SqliteConnection::connect(&from).await.unwrap();
    sqlx::query("VACUUM INTO $1")
        .bind(copy.to_str().unwrap())
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    std::fs::copy(lost.path("master.key"), elsewhere.path().join("master.key")).unwrap();
    let clock = lost.clock.clone();
    lost.stop().await;

    clock.pass(Duration::from_secs(60));
    let mut setup = clinic(&backend);
    setup.folder = Some(Arc::new(elsewhere));
    setup.clock = clock.clone();
    setup.people = String::new();
    let found = setup.start().await;
    let mut lee = Visitor::new(&found);
    let page = lee.sign_in("lee", lee.url("emr", "/")).await;
    assert_eq!(page.url.path(), "/login/factor", "the factor is known");
    let page = lee
        .submit(&page, &[("code", &code(&key, clock.now()))])
        .await;
    assert_eq!((page.status.as_u16(), page.url.path()), (200, "/"));
    assert_eq!(lee.worth("emr").await, 200);
    found.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_the_copy_is_told_apart_and_no_secret_opens() {
    let backend = Backend::start().await;
    let lost = clinic(&backend).start().await;
    let folder = Arc::clone(&lost.folder);
    lost.stop().await;
    std::fs::remove_file(folder.path().join("master.key")).unwrap();
    let (code, _, err) = crate::gateway::vestibule(folder.path(), &["run"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("another master key"), "{err}");
    assert!(!err.contains(&password("lee")));
}
