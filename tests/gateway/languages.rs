//! The gateway's own pages in the language that the browser asks for.

use http::Method;

use crate::backend::Backend;
use crate::gateway::Setup;
use crate::visitor::Visitor;

const RULE: &str = r#"
name = "Acme Rehab"

[[rules]]
name = "no wards"
paths = ["/wards/**"]
action = "deny"
"#;

const SPANISH: (&str, &str) = ("accept-language", "es-419,es;q=0.9,en;q=0.5");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_and_the_bar_speak_spanish_and_programs_read_english() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url).policy("acme-rehab.toml", RULE);
    setup.emr = String::from("bar = true");
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let wards = kim.url("emr", "/wards/1");

    let mut headers = Visitor::NAVIGATION.to_vec();
    headers.push(SPANISH);
    let page = kim.send(Method::GET, wards.clone(), &headers, None).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("<html lang=\"es\">"), "{}", page.body);
    assert!(
        page.body.contains("<h1>Acceso denegado</h1>"),
        "{}",
        page.body
    );
    assert!(
        page.body
            .contains("La regla “no wards” de su empresa no permite esto en EMR."),
        "{}",
        page.body
    );
    assert_eq!(page.headers["content-language"], "es");
    assert_eq!(page.headers["vary"], "accept-language");

    let page = kim.look(wards.clone()).await;
    assert!(page.body.contains("<html lang=\"en\">"), "{}", page.body);
    assert!(
        page.body.contains("<h1>Access denied</h1>"),
        "{}",
        page.body
    );

    let script = [
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-site", "same-origin"),
        SPANISH,
    ];
    let told = kim.send(Method::GET, wards, &script, None).await;
    let message = told.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("Your company's rule"), "{message}");

    let bar = kim.url("emr", "/.vestibule/bar");
    let told = kim.send(Method::GET, bar.clone(), &script, None).await;
    assert_eq!(told.json()["words"]["stay"], "Mantener la sesión");
    assert_eq!(told.json()["words"]["lang"], "es");
    let told = kim.fetch(Method::GET, bar).await;
    assert_eq!(told.json()["words"]["stay"], "Stay signed in");

    // Where a request can't be read, its reader still can.
    let page = kim
        .send(Method::GET, kim.url("emr", "/a%00b"), &headers, None)
        .await;
    assert_eq!(page.status, 400, "{}", page.body);
    assert!(
        page.body.contains("<h1>Solicitud rechazada</h1>"),
        "{}",
        page.body
    );
    gateway.stop().await;
}
