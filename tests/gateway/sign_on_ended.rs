//! The end of a session at applications that the gateway signs in to: what it held of them goes at
//! once, and the application is told.

use std::time::Duration;

use vestibule::gate::name::{PersonId, ProductId, SessionId};

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, TestClock, soon, vestibule};
use crate::legacy::Application;
use crate::postgres;
use crate::redis::Redis;
use crate::sign_on::{Clinic, KIM, clinic_with, keep, setup};
use crate::visitor::Visitor;

fn form(more: &str) -> String {
    format!(
        "idle = \"2h\"\nsign_on = {{ kind = \"form\", page = \"/login\", username_field = \"user\", password_field = \"pass\"{more} }}"
    )
}

/// Whether the store has cookies of Billing for this session.
async fn keeps(gateway: &Gateway, session: SessionId) -> bool {
    let key = format!("sign-on:{session}:billing");
    let store = gateway.running.sessions.store();
    store
        .state(&key, gateway.clock.now())
        .await
        .unwrap()
        .is_some()
}

async fn session_of(gateway: &Gateway, person: &str) -> SessionId {
    let person = PersonId::parse(person).unwrap();
    let sessions = gateway.running.sessions.of_person(&person).await.unwrap();
    assert_eq!(sessions.len(), 1);
    sessions[0].id
}

impl Clinic {
    /// Kim, at work in Billing.
    async fn kim_in_billing(&self) -> (Visitor, SessionId) {
        let mut kim = self.signed_in("kim").await;
        let page = kim.open(kim.url("billing", "/")).await;
        assert!(page.body.contains("Kim-Billing GET /"), "{}", page.body);
        let session = session_of(&self.gateway, "kim").await;
        assert!(keeps(&self.gateway, session).await);
        assert_eq!(self.application.sessions().len(), 1);
        (kim, session)
    }

    /// Neither the gateway nor the application has anything of it any more.
    async fn is_over(&self, session: SessionId, how: &str) {
        assert!(!keeps(&self.gateway, session).await, "{how}");
        soon(how, async || self.application.sessions().is_empty()).await;
    }
}

async fn sign_out(visitor: &mut Visitor, host: &str) {
    let path = match host {
        "login" => "/logout",
        _ => "/.vestibule/sign_out",
    };
    let page = visitor.open(visitor.url(host, path)).await;
    let out = visitor.submit(&page, &[]).await;
    assert!(out.body.contains("You are signed out"), "{}", out.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_a_session_ends_it_at_the_application_too() {
    let clinic = clinic_with(&form(", sign_out = \"/logout\"")).await;
    let sessions = &clinic.gateway.running.sessions;
    let kim_id = PersonId::parse("kim").unwrap();
    for host in ["login", "emr", "billing"] {
        let (mut kim, session) = clinic.kim_in_billing().await;
        sign_out(&mut kim, host).await;
        clinic.is_over(session, host).await;
    }

    let (_kim, session) = clinic.kim_in_billing().await;
    let cause = vestibule::sessions::EndCause::Revoked;
    sessions.end_person(&kim_id, cause).await.unwrap();
    clinic.is_over(session, "revoked").await;

    // Single Sign-On is reset: the sign-in itself goes on.
    let (mut kim, session) = clinic.kim_in_billing().await;
    let billing = [ProductId::parse("billing").unwrap()];
    let cause = vestibule::sessions::EndCause::Unlinked;
    sessions.leave(&kim_id, &billing, cause).await.unwrap();
    clinic.is_over(session, "unlinked").await;
    assert_eq!(kim.worth("emr").await, 200);
    sign_out(&mut kim, "login").await;

    // The idle end is noticed by the next request.
    let (mut kim, session) = clinic.kim_in_billing().await;
    clinic.gateway.clock.pass(Duration::from_secs(8 * 3600 + 1));
    assert_eq!(kim.worth("emr").await, 401);
    clinic.is_over(session, "idle").await;
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_products_own_idle_end_leaves_the_application_as_it_was() {
    let clinic = clinic_with(&form(", sign_out = \"/logout\"")).await;
    let (mut kim, session) = clinic.kim_in_billing().await;
    clinic.gateway.clock.pass(Duration::from_secs(2 * 3600 + 1));
    let asked = kim.open(kim.url("billing", "/claims")).await;
    assert_eq!(asked.url.path(), "/login", "{}", asked.body);
    let password = crate::gateway::password("kim");
    let given = [("username", "kim"), ("password", password.as_str())];
    let back = kim.submit(&asked, &given).await;
    assert!(
        back.body.contains("Kim-Billing GET /claims"),
        "{}",
        back.body
    );
    // A form that was open there bears a token of the application's session.
    assert!(keeps(&clinic.gateway, session).await);
    assert_eq!(clinic.application.tries().len(), 1);
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_wants_a_button_pressed_gets_one_and_without_the_key_it_is_told_nothing()
 {
    let clinic = clinic_with(&form(", sign_out = \"/leave\"")).await;
    let (mut kim, session) = clinic.kim_in_billing().await;
    sign_out(&mut kim, "login").await;
    clinic.is_over(session, "by a button").await;
    clinic.gateway.stop().await;

    let clinic = clinic_with(&form("")).await;
    let (mut kim, session) = clinic.kim_in_billing().await;
    sign_out(&mut kim, "login").await;
    assert!(!keeps(&clinic.gateway, session).await);
    clinic.gateway.stop().await;
    // By now everything that could have been told has been.
    assert_eq!(clinic.application.sessions().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_out_while_an_application_is_signed_in_to_leaves_nothing_there() {
    let clinic = clinic_with(&form(", sign_out = \"/logout\"")).await;
    let mut kim = clinic.signed_in("kim").await;
    let session = session_of(&clinic.gateway, "kim").await;
    let held = clinic.application.hold().await;
    let mut tab = kim.clone();
    let opening = tokio::spawn(async move { tab.open(tab.url("billing", "/")).await });
    soon("the form has come", async || {
        clinic.application.knocked() == 1
    })
    .await;
    sign_out(&mut kim, "login").await;
    drop(held);
    // It is cut, or refused: nobody is there to see it.
    let _ = opening.await;
    soon("it was signed in to, and out of", async || {
        clinic.application.tries().len() == 1 && clinic.application.sessions().is_empty()
    })
    .await;
    assert!(!keeps(&clinic.gateway, session).await);
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_that_ends_the_session_and_the_command_line_do_it_as_well() {
    let emr = Backend::start().await;
    let application = Application::start(&[(KIM, "old secret")]).await;
    let redis = Redis::start();
    let database = postgres::database().await;
    let make = || {
        let mut setup: Setup = setup(&emr, &application);
        setup.billing = form(", sign_out = \"/logout\"");
        setup.clock = TestClock::wall();
        setup.sessions = redis.url();
        setup.directory = database.clone();
        setup
    };
    let a = make().start().await;
    let b = make().beside(&a).start().await;
    keep(&a, "kim", KIM, "old secret").await;
    for by_command in [false, true] {
        let mut kim = Visitor::new(&a);
        kim.sign_in("kim", kim.url("emr", "/")).await;
        kim.open(kim.url("billing", "/")).await;
        let session = session_of(&a, "kim").await;
        assert!(keeps(&a, session).await);
        if by_command {
            let revoke = ["sessions", "revoke", "--person", "kim"];
            let (code, _, said) = vestibule(a.folder.path(), &revoke).await;
            assert_eq!(code, 0, "{said}");
        } else {
            let person = PersonId::parse("kim").unwrap();
            let cause = vestibule::sessions::EndCause::Revoked;
            let ended = b.running.sessions.end_person(&person, cause).await;
            assert_eq!(ended.unwrap(), 1);
        }
        assert!(!keeps(&a, session).await);
        soon("told", async || application.sessions().is_empty()).await;
    }
    a.stop().await;
    b.stop().await;
}
