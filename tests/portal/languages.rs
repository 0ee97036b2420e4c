//! The portal in Spanish.

use http::Method;

use crate::clinic::*;
use crate::sent::{ask, newest, type_code};

const SPANISH: &str = "es-MX,es;q=0.9,en;q=0.8";

fn spanish(clinic: &Clinic) -> Browser<'_> {
    let mut browser = clinic.browser();
    browser.language = Some(SPANISH);
    browser
}

/// What can be read on the page, without names that are nobody's words.
fn read(page: &Page) -> String {
    let (_, body) = page.body.split_once("<body>").expect("a page");
    let texts = body.split('<').map(|part| part.split('>').next_back());
    let texts: Vec<&str> = texts.flatten().collect();
    texts.join(" ").replace("Clinic sign-in", "")
}

/// Words that stand in nearly every English sentence, and in no Spanish one.
const ENGLISH: [&str; 21] = [
    "the", "your", "you", "and", "with", "is", "are", "for", "from", "not", "of", "to", "password",
    "log", "sign", "signed", "code", "added", "last", "this", "any",
];

fn assert_spanish(page: &Page) {
    assert!(page.body.contains("<html lang=\"es\">"), "{}", page.body);
    assert_eq!(page.header("content-language"), "es", "{}", page.url);
    assert_eq!(page.header("vary"), "accept-language", "{}", page.url);
    let text = read(page);
    // What has no small letter is a key, which may hold any word.
    let said = text
        .split_whitespace()
        .filter(|word| word.contains(char::is_lowercase));
    let words = said.flat_map(|word| word.split(|c: char| !c.is_alphabetic()));
    let left: Vec<&str> = words
        .filter(|word| ENGLISH.contains(&word.to_lowercase().as_str()))
        .collect();
    assert!(left.is_empty(), "{left:?} on {}: {text}", page.url);
}

#[track_caller]
fn assert_says(page: &Page, words: &[&str]) {
    for word in words {
        assert!(page.body.contains(word), "no {word:?} in {}", page.body);
    }
}

#[tokio::test]
async fn somebody_signs_in_with_a_second_factor_in_spanish() {
    let clinic = Clinic::open().await;
    let browser = spanish(&clinic);
    let page = browser.open(&format!("{EMR}/")).await;
    assert_spanish(&page);
    assert_says(
        &page,
        &[
            "<title>Iniciar sesión · ",
            ">Iniciar sesión en EMR</h1>",
            ">Usuario</label>",
            ">Contraseña</label>",
            ">Iniciar sesión</button>",
            ">¿Olvidó su contraseña?</a>",
        ],
    );
    let wrong = browser.submit_login(&page, "max", "no").await;
    assert_eq!(wrong.status, 403);
    assert_spanish(&wrong);
    assert_says(
        &wrong,
        &[
            "<title>Error: Iniciar sesión · ",
            "El usuario y la contraseña no coinciden.",
        ],
    );
    let enroll = browser.log_in(&format!("{EMR}/"), "max").await;
    assert_spanish(&enroll);
    assert_says(
        &enroll,
        &[
            ">Configure su aplicación de autenticación</h1>",
            ">Código de un solo uso</label>",
            ">Verificar</button>",
        ],
    );
    let methods = browser
        .get(&format!("{PORTAL}{}", enroll.link("Probar otro método")))
        .await;
    assert_spanish(&methods);
    assert_says(&methods, &[">Probar otro método</h1>"]);
    let key = browser
        .get(&format!(
            "{PORTAL}{}",
            enroll.link("¿Problemas para escanear?")
        ))
        .await;
    assert_spanish(&key);
    let (_, rest) = key.body.split_once("<code>").unwrap();
    let typed = rest.split('<').next().unwrap();
    let short = browser.submit(&key, &[("code", "12")]).await;
    assert_spanish(&short);
    assert_says(&short, &["Escriba los 6 dígitos del código."]);
    let code = code(typed, clinic.now());
    let answer = browser.submit(&short, &[("code", &code)]).await;
    let inside = browser.follow(answer).await;
    assert_eq!(inside.url, format!("{EMR}/"), "{}", inside.body);

    let apps = browser.get(&format!("{PORTAL}/apps")).await;
    assert_spanish(&apps);
    assert_says(&apps, &[">Aplicaciones</h1>", ">Mi perfil</a>"]);
    let missing = browser.get(&format!("{PORTAL}/nothing/here")).await;
    assert_eq!(missing.status, 404);
    assert_spanish(&missing);
    assert_says(&missing, &[">Página no encontrada</h1>"]);
}

#[tokio::test]
async fn programs_and_everybody_else_read_english() {
    let clinic = Clinic::open().await;
    let missing = format!("{PORTAL}/nothing/here");
    let told = spanish(&clinic).fetch(Method::GET, &missing).await;
    assert!(
        told.body.contains("There is nothing at this address."),
        "{}",
        told.body
    );
    assert_eq!(told.header("content-language"), "");
    for language in [None, Some("fr-FR,fr;q=0.9"), Some("en,es;q=0.9"), Some("?")] {
        let mut browser = clinic.browser();
        browser.language = language;
        let page = browser.get(&missing).await;
        assert!(page.body.contains("<html lang=\"en\">"), "{language:?}");
        assert_eq!(page.header("content-language"), "en");
        assert_says(&page, &[">Page not found</h1>"]);
    }
}

#[tokio::test]
async fn messages_are_in_the_language_of_the_request_that_they_follow() {
    let clinic = Clinic::open().await;
    let browser = spanish(&clinic);
    browser.log_in(&format!("{EMR}/"), "pat").await;
    let page = browser
        .get(&format!("{PORTAL}/login/enroll?method=sms"))
        .await;
    assert_spanish(&page);
    let page = ask(&browser, &page, "file", "").await;
    assert_spanish(&page);
    assert_says(
        &page,
        &["Enviamos un mensaje de texto con un código al número terminado en"],
    );
    let message = newest(&clinic);
    assert!(
        message.text.contains("su código de un solo uso es"),
        "{}",
        message.text
    );
    let right = crate::sent::code_in(&message);
    let wrong = type_code(&browser, &page, &crate::sent::wrong(&right)).await;
    assert_says(&wrong, &["Solo funciona el código más reciente"]);

    let before = crate::forgot::mails(&clinic).len();
    let forgot = browser.get(&format!("{PORTAL}/password/forgot")).await;
    assert_spanish(&forgot);
    let sent = browser.submit(&forgot, &[("username", "kim")]).await;
    assert_spanish(&sent);
    let mail = crate::forgot::mail(&clinic, before + 1).await;
    assert!(
        mail.contains("quiere establecer una contraseña nueva para la cuenta kim"),
        "{mail}"
    );
}

#[tokio::test]
async fn what_a_user_manager_does_is_told_in_the_language_of_whom_it_befalls() {
    let clinic = Clinic::open().await;
    // Lee signs in in Spanish, Kim manages in English.
    let lee = spanish(&clinic);
    lee.log_in(&format!("{EMR}/"), "lee").await;
    let (mut kim, _) = crate::administration::official(&clinic, "kim").await;
    let newest = async |kim: &Browser<'_>, person: &str, deed: (&str, &str)| {
        let before = crate::forgot::mails(&clinic).len();
        let url = format!("{PORTAL}/company/users/{person}");
        let page = kim.get(&url).await;
        let saved = kim.press(&page, &url, &[deed, ("reason", "asked")]).await;
        assert_eq!(saved.status, 303, "{}", saved.body);
        crate::forgot::mail(&clinic, before + 1).await
    };
    let mail = newest(&kim, "lee", ("link", "mail")).await;
    assert!(mail.contains("quiere establecer una contraseña"), "{mail}");
    let mail = newest(&kim, "lee", ("reset", "mfa")).await;
    assert!(mail.contains("restableció su autenticación"), "{mail}");
    // And the other way round: to who never signed in, in English.
    kim.language = Some(SPANISH);
    clinic
        .import(concat!(
            r#"{"kind":"person","id":"new","company":"acme","name":"Nia New","email":"nia@acme.test","roles":[]}"#,
            "\n",
            r#"{"kind":"account","product":"emr","login":"nia","person":"new","password_hash":"HASH"}"#,
            "\n",
        ))
        .await;
    let mail = newest(&kim, "new", ("link", "mail")).await;
    assert!(mail.contains("wants to set a new password"), "{mail}");
    // The last sign-in says which.
    let mut english = clinic.browser();
    english.language = Some("en");
    english.log_in(&format!("{EMR}/"), "lee").await;
    let mail = newest(&kim, "lee", ("link", "mail")).await;
    assert!(mail.contains("wants to set a new password"), "{mail}");
}

#[tokio::test]
async fn every_page_is_spanish_from_its_title_to_its_end() {
    let clinic = Clinic::open().await;
    let (mut kim, _) = crate::administration::official(&clinic, "kim").await;
    kim.open(&format!("{EMR}/")).await;
    kim.language = Some(SPANISH);
    for path in [
        "/apps",
        "/apps?company=changed",
        "/account",
        "/account?done=moved&sso=saved&password=changed",
        "/account/authenticator",
        "/account/authenticator?key=typed",
        "/account/passkey",
        "/account/recovery",
        "/account/devices?forgotten=1",
        "/account/password",
        "/company/settings?saved=1",
        "/company/users",
        "/company/users?q=zzzz",
        "/company/users/lee",
        "/company/users/lee?reset=mfa",
        "/company/users/lee?saved=mfa",
        "/company/users/kim",
        "/company/sessions",
        "/company/sessions?person=kim&ended=2",
        "/logout",
        "/login/with",
        "/password/reset?token=none",
    ] {
        let page = kim.get(&format!("{PORTAL}{path}")).await;
        assert!(page.status < 300 || page.status >= 400, "{path}");
        assert_spanish(&page);
    }
    // Its lines are the trail's own words, for programs as for people.
    let audit = kim.get(&format!("{PORTAL}/company/audit?from=no")).await;
    assert_says(
        &audit,
        &[
            ">Registro de auditoría</h1>",
            "Escriba los días como 2026-11-21.",
            ">Exportar como CSV</a>",
        ],
    );
    let mut lee = clinic.signed_in("lee").await;
    lee.language = Some(SPANISH);
    let first = lee.get(&format!("{PORTAL}/connect/billing")).await;
    assert_spanish(&first);
    let answer = lee.submit_login(&first, "lee", PASSWORD).await;
    let second = lee.follow(answer).await;
    assert_spanish(&second);
    assert_says(&second, &[">Vincular cuentas</button>"]);
    let refused = lee.submit_login(&second, "lee", "no").await;
    assert_spanish(&refused);
    clinic.wait(2 * HOUR + std::time::Duration::from_secs(1));
    kim.open(&format!("{BILLING}/")).await;
    clinic.wait(9 * HOUR);
    let ended = kim.open(&format!("{EMR}/")).await;
    assert_spanish(&ended);
    assert_says(&ended, &["sin actividad"]);
}
