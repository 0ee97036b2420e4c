//! The demo's own OpenID Connect provider, in front of the real gateway.

use std::sync::Arc;

use reqwest::redirect::Policy;
use tokio::net::TcpListener;
use url::Url;
use vestibule::demo;
use vestibule::demo::provider::{CLIENT, COMPANY, Client};

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup};
use crate::visitor::Visitor;

/// A gateway with the demo's people, and the provider as `vestibule demo` sets it up.
async fn clinic(backend: &Backend) -> (Gateway, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let mut setup = Setup::new(&backend.url);
    setup.people = demo::seed();
    let (id, secret) = CLIENT;
    setup.more = format!(
        "[providers.acme-id]\ncompany = \"{COMPANY}\"\nissuer = \"{issuer}\"\nclient_id = \"{id}\"\n\
         client_secret = \"{secret}\"\nlabel = \"Acme Rehab\"\nlink_by_email = true\n"
    );
    let gateway = setup.start().await;
    let client = Client {
        redirect_uri: format!("{}/login/with/acme-id/back", gateway.url("login")),
    };
    let clock = gateway.clock.clone();
    let seconds = Arc::new(move || clock.now().secs());
    tokio::spawn(demo::provider::serve(
        listener,
        issuer.clone(),
        client,
        seconds,
    ));
    (gateway, issuer)
}

/// What the provider's page sends when somebody presses the button with their name.
async fn choose(there: &Url, person: &str) -> (u16, String) {
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()
        .unwrap();
    let page = client.get(there.clone()).send().await.unwrap();
    let page = page.text().await.unwrap();
    for name in ["Kim Doe", "Sam Rivera", "Ada Nov", "Noa Berg"] {
        assert!(page.contains(name), "{page}");
    }
    assert!(!page.contains("Lee Chen"), "another company's: {page}");
    let mut form: Vec<(String, String)> = there.query_pairs().into_owned().collect();
    form.push((String::from("person"), person.to_owned()));
    let mut action = there.clone();
    action.set_query(None);
    let sent = client.post(action).form(&form).send().await.unwrap();
    let location = sent.headers().get("location");
    let location = location.map_or("", |value| value.to_str().unwrap());
    (sent.status().as_u16(), location.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clinics_people_come_through_the_demos_provider() {
    let backend = Backend::start().await;
    let (gateway, issuer) = clinic(&backend).await;
    let mut kim = Visitor::new(&gateway);
    let page = kim.open(kim.url("emr", "/patients/7")).await;
    let way = page
        .url
        .join(&page.link("Continue with Acme Rehab"))
        .unwrap();
    let away = kim.look(way).await;
    let there = Url::parse(away.location()).unwrap();
    assert!(there.as_str().starts_with(&format!("{issuer}/authorize?")));

    let (status, back) = choose(&there, "kim").await;
    assert_eq!(status, 303);
    let page = kim.open(back.parse().unwrap()).await;
    assert_eq!(
        (page.status.as_u16(), page.url.path()),
        (200, "/patients/7")
    );
    let seen = backend.last();
    assert_eq!(seen.header("x-forwarded-user"), Some("kim"));
    assert_eq!(seen.header("x-vestibule-company"), Some(COMPANY));

    // Nobody who does not work there, and nobody at all without a name.
    for stranger in ["lee", ""] {
        assert_eq!(choose(&there, stranger).await.0, 200, "asked again");
    }
    gateway.stop().await;
}
