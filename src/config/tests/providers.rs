//! Who vouches for people, and who carries messages.

use super::*;

const PROVIDER: &str = "[providers.acme]\ncompany = \"acme-rehab\"\nissuer = \"https://id.acme.test\"\n\
     client_id = \"vestibule\"\nlabel = \"Acme\"\n";

#[test]
fn a_provider_is_read_with_sound_defaults() {
    let settings = read_text(&format!("{SMALL}{PROVIDER}")).unwrap();
    let [provider] = settings.providers.as_slice() else {
        panic!("one provider");
    };
    assert_eq!(provider.scopes, ["openid", "profile", "email"]);
    assert!(!provider.link_by_email && !provider.only && provider.believe_factor);
    assert!(provider.client_secret.is_none());
}

#[test]
fn a_provider_that_could_not_be_trusted_is_told_with_the_reason() {
    let with = |from: &str, to: &str| complaints(&format!("{SMALL}{}", PROVIDER.replace(from, to)));
    let said = with("https://id.acme.test", "http://id.acme.test");
    assert!(said.contains("must begin with https://"), "{said}");
    // This machine itself, for trying it out.
    let local = PROVIDER.replace("https://id.acme.test", "http://127.0.0.1:4000");
    assert!(read_text(&format!("{SMALL}{local}")).is_ok());
    let said = with("[providers.acme]", "[providers.\"Acme Rehab\"]");
    assert!(said.contains("it stands in addresses"), "{said}");
    let said = with("label", "scopes = [\"email\"]\nlabel");
    assert!(said.contains("\"openid\" is missing"), "{said}");
    let said = with("client_id", "cliend_id");
    assert!(said.contains("did you mean 'client_id'?"), "{said}");
    let twice = format!(
        "{PROVIDER}{}",
        PROVIDER.replace("providers.acme", "providers.other")
    );
    let said = complaints(&format!("{SMALL}{twice}"));
    assert!(said.contains("has the provider \"acme\" already"), "{said}");
}

#[test]
fn roles_of_groups_are_read_by_company() {
    let addition = "[scim.acme-rehab]\nroles = { \"Clinic admins\" = [\"company_admin\"] }\n";
    let settings = read_text(&format!("{SMALL}{addition}")).unwrap();
    let company = crate::gate::name::CompanyId::parse("acme-rehab").unwrap();
    assert_eq!(
        settings.scim_roles[&company]["Clinic admins"],
        ["company_admin"]
    );
    let said = complaints(&format!(
        "{SMALL}{}",
        addition.replace("\"company_admin\"", "\"a,b\"")
    ));
    assert!(said.contains("a role has no comma"), "{said}");
}

#[test]
fn providers_of_messages_are_read_with_their_second_ones() {
    let text = format!(
        r#"{SMALL}
[messages.sms]
kind = "twilio"
account = "AC1"
token = "secret"
from = "+15550100000"
deadline = "3s"
second = {{ kind = "http", url = "https://sms.example.org/send?key=secret" }}
[messages.email]
url = "smtp://user:secret@mail.example.org"
from = "Clinic <no-reply@example.org>"
second = {{ url = "smtps://mail.example.net" }}
"#
    );
    let messages = read_text(&text).unwrap().messages;
    let debug = format!("{messages:?}");
    assert!(!debug.contains("secret"), "{debug}");
    let sms = messages.sms.unwrap();
    assert_eq!(sms.deadline, Duration::from_secs(3));
    match sms.first {
        crate::config::settings::Sms::Twilio { url, from, .. } => {
            assert_eq!(
                (url.as_str(), from.as_str()),
                ("https://api.twilio.com", "+15550100000")
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        sms.second,
        Some(crate::config::settings::Sms::Http { .. })
    ));
    let email = messages.email.unwrap();
    assert_eq!(email.deadline, Duration::from_secs(5));
    assert!(email.second.is_some());
    let kept =
        format!("{SMALL}[messages.sms]\nkind = \"outbox\"\n[messages.email]\nkind = \"outbox\"\n");
    assert!(read_text(&kept).is_ok());
}

#[test]
fn a_wrong_provider_is_told_without_its_password() {
    for (text, wanted) in [
        ("[messages.sms]\nkind = \"twilio\"\n", "messages.sms.token"),
        (
            "[messages.sms]\nkind = \"http\"\nurl = \"ftp://user:hunter2@a.example\"\n",
            "a URL that begins with http:// or https:// is wanted here",
        ),
        (
            "[messages.email]\nurl = \"imap://user:hunter2@a.example\"\nfrom = \"a@b.example\"\n",
            "a URL that begins with smtp:// or smtps:// is wanted here",
        ),
        (
            "[messages.email]\nurl = \"smtp://a.example\"\nfrom = \"nobody\"\n",
            "\"nobody\" is not an address",
        ),
        (
            "[messages.email]\nurl = \"smtp://a.example\"\n",
            "messages.email.from",
        ),
        (
            "[messages.sms]\nkind = \"outbox\"\ndeadline = \"5m\"\n",
            "at most 60s",
        ),
        (
            "[messages.sms]\nkind = \"outbox\"\nsecond = { kind = \"http\" }\n",
            "messages.sms.second.url",
        ),
    ] {
        let said = complaints(&format!("{SMALL}{text}"));
        assert!(said.contains(wanted), "{wanted} in {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
