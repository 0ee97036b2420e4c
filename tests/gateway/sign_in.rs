//! Signing in once, and being known everywhere.

use crate::backend::Backend;
use crate::gateway::{Setup, password};
use crate::visitor::Visitor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sign_in_opens_every_product() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);

    let page = kim.sign_in("kim", kim.url("emr", "/patients?page=2")).await;
    assert_eq!(
        page.url,
        kim.url("emr", "/patients?page=2"),
        "back at the wanted address"
    );
    assert_eq!(backend.last().header("x-forwarded-user"), Some("kim"));

    kim.open(kim.url("billing", "/invoices")).await;
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("kim-billing")
    );
    kim.open(kim.url("analytics", "/")).await;
    assert_eq!(backend.last().header("x-forwarded-user"), Some("kim"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut answers = Vec::new();
    for (login, word) in [
        ("kim", "wrong"),
        ("nobody-here", "wrong"),
        ("kim-billing", &password("kim")),
    ] {
        let mut visitor = Visitor::new(&gateway);
        let page = visitor.open(visitor.url("emr", "/")).await;
        let answer = visitor
            .submit(&page, &[("username", login), ("password", word)])
            .await;
        let csrf = answer.field("csrf").unwrap();
        answers.push((
            answer.status,
            answer.body.replace(&csrf, "").replace(login, ""),
        ));
    }
    let bind = |body: &str| body.split("name=\"bind\"").next().unwrap().to_owned();
    assert_eq!(answers[0].0, answers[1].0);
    assert_eq!(bind(&answers[0].1), bind(&answers[1].1));
    assert_eq!(answers[0].0, answers[2].0);
    assert!(backend.seen().is_empty(), "nothing reached the backend");
    gateway.stop().await;
}
