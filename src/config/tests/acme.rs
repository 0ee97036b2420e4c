//! Certificates that are ordered.

use super::*;

const WITH_ACME: &str = "[tls.acme]\ndirectory = \"https://acme.example.org/directory\"\nterms_agreed = true\n\
                         challenge = \"tls-alpn-01\"\n";

#[test]
fn an_authority_is_named_and_its_terms_are_agreed_to() {
    let settings = read_text(&format!("{SMALL}{WITH_ACME}")).unwrap();
    let acme = settings.tls.acme.unwrap();
    assert_eq!(acme.directory, "https://acme.example.org/directory");
    assert!(acme.contact.is_empty() && acme.external_account.is_none());
    assert_complains(
        "[tls.acme]\nchallenge = \"tls-alpn-01\"\n",
        "gateway.toml:11:6: tls.acme.directory: missing, as in: directory = \
         \"https://acme-v02.api.letsencrypt.org/directory\"\n\
         gateway.toml:11:6: tls.acme.terms_agreed: missing, as in: terms_agreed = true",
    );
    assert_complains(
        &WITH_ACME.replace("true", "false"),
        "gateway.toml:13:16: tls.acme.terms_agreed: must be true: the authority gives certificates to those alone \
         who agree to its terms of service",
    );
    assert_complains(
        &WITH_ACME.replace("https://acme.example.org", "http://acme.example.org"),
        "gateway.toml:12:13: tls.acme.directory: \"http://acme.example.org/directory\" is not a URL such as \
         \"https://acme-v02.api.letsencrypt.org/directory\"",
    );
    assert_complains(
        &format!("{WITH_ACME}contact = [\"mailto:ops@example.org\"]\n"),
        "gateway.toml:15:12: tls.acme.contact: \"mailto:ops@example.org\" is not a mail address such as \
         \"ops@example.org\"",
    );
    assert_complains(
        &format!("{WITH_ACME}external_account = {{ key_id = \"1\", key = \"hunter2!\" }}\n"),
        "gateway.toml:15:42: tls.acme.external_account.key: the key must be base64url, as the authority gives it out",
    );
}

#[test]
fn a_challenge_needs_somebody_who_listens() {
    let over_http = WITH_ACME.replace("challenge = \"tls-alpn-01\"\n", "");
    assert_complains(
        &over_http,
        "gateway.toml:11:6: tls.acme.challenge: \"http-01\" is answered on listen.http, which is not given; \
         \"tls-alpn-01\" needs listen.https alone",
    );
    let listening = SMALL.replace("[portal]", "http = [\"127.0.0.1:8080\"]\n[portal]");
    let settings = read_text(&format!("{listening}{over_http}")).unwrap();
    assert!(settings.notices.is_empty(), "{:?}", settings.notices);
}

#[test]
fn a_host_that_nobody_certifies_is_noticed() {
    let here = SMALL.replace("login.example.org", "login.localhost");
    let settings = read_text(&format!("{here}{WITH_ACME}")).unwrap();
    let told: Vec<String> = settings.notices.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].ends_with("tls.acme: no certificate is ordered for login.localhost: it is an address, or this machine's own name"),
        "{told:?}"
    );
}
