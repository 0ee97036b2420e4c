//! What an operator reads when something is wrong, to the letter.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::settings::{CredentialsKind, SessionStore, SignOn, TlsMinimum, WhenUnavailable};
use super::{Problems, Settings, load, read};
use crate::gate::product::{Access, Accounts, IdentityHeaders, OpenAccess, Unauthenticated};

const SMALL: &str = r#"[listen]
https = ["127.0.0.1:8443"]

[portal]
url = "https://login.example.org"

[products.emr]
url = "https://emr.example.org"
backends = ["http://127.0.0.1:9001"]
primary = true
"#;

fn read_text(text: &str) -> Result<Settings, Problems> {
    read(text, Path::new("gateway.toml"), std::iter::empty(), &[])
}

fn with_variables(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Problems> {
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    read(text, Path::new("gateway.toml"), owned, &[])
}

#[track_caller]
fn complaints(text: &str) -> String {
    match read_text(text) {
        Ok(_) => panic!("nothing was wrong with:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

#[track_caller]
fn assert_complains(addition: &str, expected: &str) {
    assert_eq!(complaints(&format!("{SMALL}{addition}")), expected);
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.toml")
}

#[test]
fn the_sample_is_right_as_it_stands() {
    let settings = load(&sample(), std::iter::empty(), &[]).unwrap();
    let ids: Vec<&str> = settings
        .products
        .iter()
        .map(|product| product.id.as_str())
        .collect();
    assert_eq!(ids, ["emr", "billing", "analytics"]);
    assert_eq!(settings.products.primary().id.as_str(), "emr");
    assert_eq!(
        settings.products.by_id("billing").unwrap().idle,
        Some(Duration::from_secs(7_200))
    );
    assert!(settings.products.by_id("analytics").unwrap().needs_grant);
    assert_eq!(settings.backends[1].addresses[0].port, 9002);
    assert_eq!(settings.portal.origin, "https://login.localhost:8443");
    assert_eq!(settings.portal.host.as_str(), "login.localhost");
    let folder = sample().parent().unwrap().to_owned();
    assert_eq!(settings.store.master_key, folder.join("data/master.key"));
    assert_eq!(
        settings.store.directory.expose(),
        format!("sqlite:{}", folder.join("vestibule.db").display())
    );
    assert_eq!(settings.policies_dir, folder.join("policies"));
    assert!(settings.notices.is_empty(), "{:?}", settings.notices);
}

#[test]
fn what_the_samples_comments_show_is_right_too() {
    let text = std::fs::read_to_string(sample()).unwrap();
    let shown: String = text
        .lines()
        .filter(|line| !line.contains("file = \"secrets"))
        .map(|line| {
            let example = line.strip_prefix("# ").filter(|rest| {
                rest.starts_with('[')
                    || rest.split_once(" = ").is_some_and(|(key, value)| {
                        key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                            && !value.is_empty()
                    })
            });
            // `backends` of the sample are plain http, so that `tls` would contradict them.
            let line = example
                .filter(|rest| !rest.starts_with("tls"))
                .unwrap_or(line);
            format!("{line}\n")
        })
        .collect();
    let settings = read_text(&shown).unwrap();
    assert_eq!(settings.limits, super::settings::Limits::SOUND);
    assert_eq!(settings.keep_form, 1 << 20);
    assert_eq!(settings.rollout.mfa.unwrap().percent, 10);
    assert_eq!(settings.tls.certificates.len(), 1);
    assert_eq!(settings.backends[0].body_limit, Some(20 << 20));
    assert!(settings.messages.email.is_some() && settings.telemetry.is_some());
    assert!(settings.messages.sms.unwrap().second.is_some());
}

#[test]
fn a_misspelt_key_is_told_with_the_nearest_one() {
    assert_complains(
        "backend = [\"http://127.0.0.1:1\"]\n",
        "gateway.toml:11:1: products.emr.backend: unknown key, did you mean 'backends'?",
    );
    assert_complains(
        "[seccion]\nidle = \"1h\"\n",
        "gateway.toml:11:2: seccion: unknown key, did you mean 'session'?",
    );
    assert_complains(
        "[session]\nfrequency = 3\n",
        "gateway.toml:12:1: session.frequency: unknown key; known are 'maximum', 'idle', 'keep_form'",
    );
}

#[test]
fn a_wrong_type_is_told_with_what_is_wanted() {
    assert_complains(
        "needs_grant = \"yes\"\n",
        "gateway.toml:11:15: products.emr.needs_grant: true or false is wanted here, not text",
    );
    assert_complains(
        "[session]\nidle = 8\n",
        "gateway.toml:12:8: session.idle: a duration such as \"30s\", \"5m\", \"2h\" or \"90d\" is wanted here, \
         not a number",
    );
    assert_complains(
        "[[limits]]\n",
        "gateway.toml:11:3: limits: a table is wanted here, not a list",
    );
}

#[test]
fn a_bad_value_is_told_with_a_good_one() {
    assert_complains(
        "idle = \"2 hours\"\n",
        "gateway.toml:11:8: products.emr.idle: \"2 hours\" is not a duration; a duration such as \"30s\", \
         \"5m\", \"2h\" or \"90d\" is wanted here",
    );
    assert_complains(
        "idle = \"0s\"\n",
        "gateway.toml:11:8: products.emr.idle: must be longer than zero",
    );
    assert_complains(
        "body_limit = \"20 MB\"\n",
        "gateway.toml:11:14: products.emr.body_limit: \"20 MB\" is not a size; a size such as \"64KiB\" or \
         \"20MiB\" is wanted here",
    );
    assert_complains(
        "accounts = \"prymary\"\n",
        "gateway.toml:11:12: products.emr.accounts: unknown value \"prymary\", did you mean 'primary'?",
    );
    assert_complains(
        "[rollout]\nmfa = { percent = 101 }\n",
        "gateway.toml:12:19: rollout.mfa.percent: a whole number between 0 and 100 is wanted here",
    );
}

#[test]
fn every_problem_is_told_at_once_in_the_order_of_the_file() {
    let text = "[listen]\nhttps = [\"8443\", \"127.0.0.1:1\"]\ntrusted_proxies = [\"10.1.0.0/8\"]\n\
                [portal]\nurl = \"http://login.example.org\"\n\
                [products.emr]\nurl = \"https://emr.example.org/x\"\nprimary = true\n\
                [store]\nwhen_unavailable = \"grace\"\nmaster_key = \"hunter2\"\n";
    assert_eq!(
        complaints(text),
        "gateway.toml:2:10: listen.https[0]: \"8443\" is not an address with a port, such as \"[::]:8443\" or \
         \"127.0.0.1:9901\"\n\
         gateway.toml:3:20: listen.trusted_proxies: \"10.1.0.0/8\" has bits outside of its network; 10.0.0.0/8 is \
         meant?\n\
         gateway.toml:5:7: portal.url: \"http://login.example.org\" must begin with https://: the cookies are for \
         https alone\n\
         gateway.toml:6:11: products.emr.backends: missing, as in: backends = [\"http://127.0.0.1:9002\"]\n\
         gateway.toml:7:7: products.emr.url: \"https://emr.example.org/x\" must be https://host or \
         https://host:port, without more\n\
         gateway.toml:10:20: store.when_unavailable: \"grace\" is neither \"refuse\" nor \"grace:\" and a duration, \
         as in \"grace:30s\"\n\
         gateway.toml:11:14: store.master_key: must be { file = \"path\" }: a key does not stand in a configuration"
    );
}

#[test]
fn exactly_one_product_is_primary() {
    let second = "[products.billing]\nurl = \"https://billing.example.org\"\n\
                  backends = [\"http://127.0.0.1:9002\"]\nprimary = true\n";
    assert_complains(
        second,
        "gateway.toml:7:2: products: several products are primary (emr, billing); people sign in with exactly one",
    );
    assert_eq!(
        complaints(&SMALL.replace("primary = true", "")),
        "gateway.toml:7:2: products: no product is primary; people sign in with exactly one: give it primary = true"
    );
}

#[test]
fn hosts_are_told_apart_by_name_alone() {
    let second = |url: &str| {
        format!("[products.billing]\nurl = \"{url}\"\nbackends = [\"http://127.0.0.1:9002\"]\n")
    };
    assert_complains(
        &second("https://EMR.example.org:444"),
        "gateway.toml:12:7: products.billing.url: the host emr.example.org is already that of the product emr; \
         each needs its own",
    );
    assert_complains(
        &second("https://login.example.org"),
        "gateway.toml:12:7: products.billing.url: the host login.example.org is already that of the portal; \
         each needs its own",
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let told = complaints("[listen]\nhttps = [\"127.0.0.1:1\"\n[portal]\n");
    assert!(
        told.starts_with("gateway.toml:3:") || told.starts_with("gateway.toml:2:"),
        "{told}"
    );
    assert!(!told.contains('\n'), "{told}");
    let told = complaints("[listen]\nhttp = []\nhttp = []\n");
    assert!(
        told.starts_with("gateway.toml:3:1: duplicate key"),
        "{told}"
    );
}

#[test]
fn a_product_with_a_wrong_name_is_one_problem() {
    assert_eq!(
        complaints(&SMALL.replace("products.emr", "products.EMR")),
        "gateway.toml:7:11: products.EMR: \"EMR\" is not a product's id: 1 to 64 of a-z, 0-9, '-', '_' and '.', \
         beginning with a letter or a digit"
    );
}

#[test]
fn a_missing_file_is_a_problem_like_any_other() {
    let problems = load(Path::new("/nowhere/gateway.toml"), std::iter::empty(), &[]).unwrap_err();
    assert!(
        problems
            .to_string()
            .starts_with("/nowhere/gateway.toml: can't be read: "),
        "{problems}"
    );
}

#[test]
fn the_environment_goes_over_the_file_and_flags_over_both() {
    let variables = [
        (
            "VESTIBULE_LISTEN__HTTPS",
            "[\"[::1]:443\", \"127.0.0.1:443\"]",
        ),
        ("VESTIBULE_LISTEN__HTTP", "[::]:80"),
        ("VESTIBULE_TLS__MINIMUM", "1.3"),
        ("VESTIBULE_PORTAL__TITLE", "42"),
        ("VESTIBULE_PRODUCTS__EMR__IDLE", "30m"),
        ("VESTIBULE_PRODUCTS__EMR__NEEDS_GRANT", "true"),
        (
            "VESTIBULE_STORE__SESSIONS",
            "rediss://:hunter2@redis.example.org",
        ),
        ("VESTIBULE_SESSION__IDLE", "1h"),
        ("VESTIBULE_CONFIG", "elsewhere.toml"),
        ("OTHER_LISTEN__HTTPS", "nothing of ours"),
    ];
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let flags = [(String::from("session.idle"), String::from("2h"))];
    let settings = read(SMALL, Path::new("gateway.toml"), owned, &flags).unwrap();
    assert_eq!(settings.listen.https.len(), 2);
    assert_eq!(settings.listen.http, ["[::]:80".parse().unwrap()]);
    assert_eq!(settings.tls.minimum, TlsMinimum::V1_3);
    assert_eq!(settings.portal.title, "42");
    let emr = settings.products.primary();
    assert_eq!(emr.idle, Some(Duration::from_secs(1_800)));
    assert!(emr.needs_grant);
    assert_eq!(settings.session.idle, Duration::from_secs(7_200));
    assert!(matches!(settings.store.sessions, SessionStore::Redis(_)));
    assert!(settings.notices.is_empty());
}

#[test]
fn a_wrong_variable_is_told_by_its_name() {
    let problems = with_variables(
        SMALL,
        &[
            ("VESTIBULE_SESSION__IDLE", "long"),
            ("VESTIBULE_STORE__SESION", "embedded"),
            ("VESTIBULE_PORT_8443_TCP_ADDR", "10.0.0.1"),
        ],
    )
    .unwrap_err();
    assert_eq!(
        problems.to_string(),
        "environment variable VESTIBULE_SESSION__IDLE: session.idle: \"long\" is not a duration; a duration such \
         as \"30s\", \"5m\", \"2h\" or \"90d\" is wanted here\n\
         environment variable VESTIBULE_STORE__SESION: store.sesion: unknown key, did you mean 'sessions'?"
    );
    let settings = with_variables(SMALL, &[("VESTIBULE_PORT_8443_TCP_ADDR", "10.0.0.1")]).unwrap();
    assert_eq!(settings.notices.len(), 1);
}

#[test]
fn secrets_come_from_files_and_print_as_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("redis.url"),
        "redis://:hunter2@127.0.0.1/0\n",
    )
    .unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(
        &file,
        format!("{SMALL}[store]\nsessions = {{ file = \"redis.url\" }}\n"),
    )
    .unwrap();
    let settings = load(&file, std::iter::empty(), &[]).unwrap();
    let SessionStore::Redis(url) = &settings.store.sessions else {
        panic!("no redis")
    };
    assert_eq!(url.expose(), "redis://:hunter2@127.0.0.1/0");
    assert!(!format!("{settings:?}").contains("hunter2"));

    let told = complaints(&format!(
        "{SMALL}[store]\nsessions = \"redis://:hunter2@:x\"\ndirectory = \"hunter2\"\n"
    ));
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
    let told = complaints(&format!(
        "{SMALL}[store]\ndirectory = {{ file = \"/nowhere/db.url\" }}\n"
    ));
    assert!(
        told.contains("store.directory.file: /nowhere/db.url can't be read"),
        "{told}"
    );
}

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

#[test]
fn sqlite_paths_are_relative_to_the_file_too() {
    for (written, meant) in [
        ("sqlite:a.db", "sqlite:/etc/vestibule/a.db"),
        ("sqlite://a.db", "sqlite:/etc/vestibule/a.db"),
        ("sqlite:/var/a.db", "sqlite:/var/a.db"),
        ("sqlite:///var/a.db", "sqlite:/var/a.db"),
        ("sqlite::memory:", "sqlite::memory:"),
        ("postgres://u:p@db/vestibule", "postgres://u:p@db/vestibule"),
    ] {
        let text = format!("{SMALL}[store]\ndirectory = \"{written}\"\n");
        let file = Path::new("/etc/vestibule/gateway.toml");
        let settings = read(&text, file, std::iter::empty(), &[]).unwrap();
        assert_eq!(settings.store.directory.expose(), meant);
    }
}

/// A key that ends the reading of its table early would make the keys after it unknown.
#[test]
fn one_wrong_value_makes_no_other_key_unknown() {
    let text = std::fs::read_to_string(sample()).unwrap();
    for line in text
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
    {
        let (key, _) = line.split_once(" = ").unwrap();
        let broken = text.replacen(line, &format!("{key} = 1979-05-27"), 1);
        let told = complaints(&broken);
        assert!(!told.contains("unknown key"), "{key}: {told}");
        assert_eq!(told.lines().count(), 1, "{key}: {told}");
    }
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let text =
        format!("policies_dir = \"rules\"\n{SMALL}[store]\nwhen_unavailable = \"grace:30s\"\n");
    let settings = read(
        &text,
        Path::new("/etc/vestibule/gateway.toml"),
        std::iter::empty(),
        &[],
    )
    .unwrap();
    assert_eq!(settings.policies_dir, Path::new("/etc/vestibule/rules"));
    assert_eq!(settings.store.data_dir, Path::new("/etc/vestibule/data"));
    assert_eq!(
        settings.store.when_unavailable,
        WhenUnavailable::Grace(Duration::from_secs(30))
    );
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
        super::settings::Sms::Twilio { url, from, .. } => {
            assert_eq!(
                (url.as_str(), from.as_str()),
                ("https://api.twilio.com", "+15550100000")
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        sms.second,
        Some(super::settings::Sms::Http { .. })
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

#[test]
fn shares_of_requests_are_percent() {
    let with = |sample: &str| {
        format!("{SMALL}[telemetry]\notlp = \"http://127.0.0.1:4318\"\nsample = \"{sample}\"\n")
    };
    for (text, share) in [("100%", 1.0), ("0%", 0.0), ("2.5%", 0.025)] {
        let telemetry = read_text(&with(text)).unwrap().telemetry.unwrap();
        assert_eq!(telemetry.sample, share);
    }
    for wrong in ["10", "101%", "-1%", "NaN%", "%"] {
        let told = complaints(&with(wrong));
        assert!(told.contains("a share such as \"10%\""), "{told}");
    }
}

mod changes {
    use super::super::change::Change;
    use super::*;

    fn between(old: &str, new: &str) -> Change {
        Change::between(&read_text(old).unwrap(), &read_text(new).unwrap())
    }

    #[test]
    fn what_is_followed_and_what_waits_is_told_by_its_key() {
        let new = SMALL
            .replace("127.0.0.1:8443", "127.0.0.1:9443")
            .replace("primary = true", "primary = true\nidle = \"1h\"");
        let new = format!(
            "{new}[products.billing]\nurl = \"https://billing.example.org\"\nbackends = [\"http://127.0.0.1:9002\"]\n\
             [session]\nidle = \"1h\"\n[limits]\nhead = \"3s\"\n"
        );
        let change = between(SMALL, &new);
        assert_eq!(
            change.followed,
            ["session", "products.billing", "products.emr"]
        );
        assert_eq!(change.waiting, ["listen.https", "limits.head"]);
        assert_eq!(between(SMALL, SMALL), Change::default());
    }

    #[test]
    fn what_waits_stays_as_it_is_and_what_is_the_same_is_the_same_one() {
        let old = read_text(SMALL).unwrap();
        let new = SMALL
            .replace("127.0.0.1:8443", "127.0.0.1:9443")
            .replace("[portal]\n", "[portal]\ntitle = \"New\"\n");
        let settings = read_text(&new).unwrap().following(&old).unwrap();
        assert_eq!(settings.listen, old.listen);
        assert_eq!(settings.portal.title, "New");
        let same = std::sync::Arc::ptr_eq(settings.products.primary(), old.products.primary());
        assert!(
            same,
            "nothing is made anew for a product that did not change"
        );
    }
}

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
