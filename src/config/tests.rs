//! What an operator reads when something is wrong, to the letter.

mod acme;
mod changes;
mod products;
mod providers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::settings::{SessionStore, TlsMinimum, WhenUnavailable};
use super::{Problems, Settings, load, read};

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
