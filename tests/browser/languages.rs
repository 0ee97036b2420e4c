//! The demo in the hands of somebody whose browser asks for Spanish, on the narrowest phone: its
//! words are longer.

use crate::seeds::{PAGES, look};
use crate::support::browser::Browser;
use crate::{Demo, code, step};

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_the_narrowest_phone_in_spanish() {
    let demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
    let browser = Browser::start_as_phone_of(320, 700, "es-MX,es").await;
    browser.open(&demo.url("login", "/company/users")).await;
    browser.wait_for_words("Iniciar sesión").await;
    look(&browser, "spanish-sign-in").await;
    browser.fill("Usuario", "kim").await;
    browser.fill("Contraseña", "not this one").await;
    browser.press("Iniciar sesión").await;
    browser.wait_for_words("no coinciden").await;
    look(&browser, "spanish-sign-in-wrong").await;
    browser.fill("Usuario", "kim").await;
    browser.fill("Contraseña", "kim-likes-long-walks").await;
    browser.press("Iniciar sesión").await;
    browser
        .wait_for_words("Configure su aplicación de autenticación")
        .await;
    look(&browser, "spanish-first-factor").await;
    browser.press("Probar otro método").await;
    browser.wait_for_words("Su empresa ofrece:").await;
    look(&browser, "spanish-methods").await;
    browser.client.back().await.unwrap();
    browser.press("¿Problemas para escanear?").await;
    let key = browser.wait_for("//*[@id='key']//code").await;
    let key = key.text().await.unwrap();
    look(&browser, "spanish-first-factor-key").await;
    browser
        .fill("Código de un solo uso", &code(&key, step()))
        .await;
    browser.press("Verificar").await;
    browser.wait_for_words("Sus códigos de recuperación").await;
    look(&browser, "spanish-recovery-codes").await;
    browser.press("Los he guardado, continuar").await;
    browser
        .wait_for_address(&demo.url("login", "/company/users"))
        .await;
    for (page, path) in PAGES {
        browser.open(&demo.url("login", path)).await;
        look(&browser, &format!("spanish-{page}")).await;
    }

    // The bar over an application's own page.
    browser.open(&demo.url("emr", "/")).await;
    let bar = "const bar = document.querySelector('vestibule-bar'); \
               const nav = bar && bar.shadowRoot.querySelector('nav'); \
               return nav ? nav.lang + ' ' + nav.getAttribute('aria-label') : ''";
    let mut said = String::new();
    for _ in 0..600 {
        let told = browser.client.execute(bar, vec![]).await.unwrap();
        said = told.as_str().unwrap_or_default().to_owned();
        if !said.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(said, "es Aplicaciones");
}
