//! What can be said of a product.

use super::*;
use crate::config::settings::{CredentialsKind, SignOn};
use crate::gate::product::{Access, Accounts, IdentityHeaders, OpenAccess, Unauthenticated};

#[test]
fn every_key_of_a_product_is_read() {
    let settings = read_text(&format!(
        "{SMALL}{}",
        r#"
name = "EMR"
accounts = "primary"
access = { "/public/**" = "public", "/public/private/**" = "required" }
unauthenticated = "401"
websockets = false
identity = { "X-My-User" = "{account.login}" }
activity = { ignore = ["/poll/**"], count = ["/keep"] }
health = { path = "/healthz", interval = "1s", timeout = "500ms", healthy_after = 2, unhealthy_after = 3 }
timeouts = { connect = "1s", read = "2s", write = "3s", idle = "4s" }
body_limit = "64KiB"
bar = true
sign_on = { kind = "form", page = "/login", username_field = "user", password_field = "pass" }
"#
    ))
    .unwrap();
    let emr = settings.products.primary();
    assert_eq!(emr.accounts, Accounts::Primary);
    let Access::ByPath(table) = &emr.access else {
        panic!("no table")
    };
    assert_eq!(
        table.iter().map(|(_, a)| *a).collect::<Vec<_>>(),
        [OpenAccess::Public, OpenAccess::Required]
    );
    assert_eq!(emr.unauthenticated, Unauthenticated::Refuse);
    assert!(!emr.websockets);
    assert!(matches!(&emr.identity, IdentityHeaders::Custom(headers) if headers.len() == 1));
    assert_eq!(
        (emr.activity.ignore.len(), emr.activity.count.len()),
        (1, 1)
    );
    let backend = &settings.backends[0];
    assert_eq!(backend.health.interval, Duration::from_secs(1));
    assert_eq!(backend.timeouts.idle, Duration::from_secs(4));
    assert_eq!(backend.body_limit, Some(65_536));
    assert!(settings.notices.is_empty(), "nothing to tell");
    let SignOn::Form(form) = &backend.sign_on else {
        panic!("no form")
    };
    assert_eq!((form.page.as_str(), form.inside.as_str()), ("/login", "/"));
    assert_eq!(backend.credentials, CredentialsKind::Form(form.clone()));
}

#[test]
fn who_keeps_passwords_is_described_whole_or_refused() {
    const FORM: &str = "kind = \"form\", page = \"/l\", username_field = \"u\"";
    const LDAP: &str = "kind = \"ldap\", url = \"ldaps://l.example.org\"";
    for (keys, complaint) in [
        (format!("sign_on = {{ {FORM} }}"), "sign_on.password_field"),
        (
            format!("sign_on = {{ {FORM}, password_field = \"u\" }}"),
            "can't have one field",
        ),
        (
            format!("sign_on = {{ {FORM}, password_field = \"p\", deadline = \"2m\" }}"),
            "at most 60s",
        ),
        (
            String::from("sign_on = { kind = \"basic\", page = \"/login\" }"),
            "is for kind \"form\" only",
        ),
        (
            String::from("sign_on = { kind = \"basic\" }\ncredentials = \"directory\""),
            "leave the key out",
        ),
        (
            String::from(
                "sign_on = { kind = \"basic\" }\nidentity = { authorization = \"{account.login}\" }",
            ),
            "sign_on sets it",
        ),
        (
            format!("credentials = {{ {LDAP} }}"),
            "\"dn\" or \"search\"",
        ),
        (
            format!("credentials = {{ {LDAP}, dn = \"uid=kim\" }}"),
            "has no {login}",
        ),
        (
            format!("credentials = {{ {LDAP}, dn = \"uid={{login}}\", start_tls = true }}"),
            "TLS from the beginning",
        ),
        (
            format!("credentials = {{ {LDAP}, dn = \"uid={{login}}\", start_tls = false }}")
                .replace("ldaps:", "ldap:"),
            "under TLS only",
        ),
        (
            format!(
                "credentials = {{ {LDAP}, search = {{ base = \"dc=x\", filter = \"(uid={{login}})\", bind_dn = \"cn=r\" }} }}"
            ),
            "go together",
        ),
        (
            format!("credentials = {{ {LDAP}, dn = \"uid={{login}}\", pgae = \"/\" }}"),
            "pgae",
        ),
    ] {
        let said = complaints(&format!("{SMALL}{keys}\n"));
        assert!(said.contains(complaint), "{keys}: {said}");
    }
    // What `sign_on` describes need not stand twice.
    let keys = format!(
        "sign_on = {{ {FORM}, password_field = \"p\" }}\ncredentials = {{ kind = \"form\" }}"
    );
    let settings = read_text(&format!("{SMALL}{keys}\n")).unwrap();
    assert!(matches!(
        &settings.backends[0].credentials,
        CredentialsKind::Form(form) if form.page == "/l"
    ));
}
