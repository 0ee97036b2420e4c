//! Commands beside a gateway that runs: tokens for companies' directories, who people are elsewhere, a new
//! password. Each as it should be, as it is broken, and for somebody who is not there.

use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use vestibule::directory::{Line, LinesOf};
use vestibule::gate::name::{CompanyId, PersonId};
use vestibule::gate::time::Moment;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, TestClock, password, soon, vestibule, vestibule_reading};
use crate::visitor::{Answer, Visitor};

/// The command line has the wall's clock.
fn clinic(backend: &Backend) -> Setup {
    let mut setup = Setup::new(&backend.url);
    setup.clock = TestClock::wall();
    setup
}

async fn done(gateway: &Gateway, arguments: &[&str]) -> String {
    let (code, out, err) = vestibule(gateway.folder.path(), arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    out
}

/// Not done: this exit code, these words for people, and nothing for programs.
async fn refused(gateway: &Gateway, arguments: &[&str], exit: i32, words: &str) {
    let (code, out, err) = vestibule(gateway.folder.path(), arguments).await;
    assert_eq!(code, exit, "{arguments:?}: {out}{err}");
    assert!(err.contains(words), "{words:?} in {err}");
    assert_eq!(out, "", "{arguments:?}");
}

/// Events of the trail's file with these words in their line.
fn on_file(gateway: &Gateway, event: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(gateway.path("data/audit.jsonl")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == event)
        .collect()
}

/// What the company's admins read of it.
async fn for_admins(gateway: &Gateway, company: &str, event: &str) -> Vec<Line> {
    let company = CompanyId::parse(company).unwrap();
    let of = LinesOf {
        company: &company,
        person: "",
        event,
        from: Moment::EPOCH,
        to: Moment::from_secs(32_000_000_000),
        before: None,
    };
    let directory = &gateway.running.directory;
    directory.lines(&of, 100).await.unwrap()
}

async fn ask_scim(gateway: &Gateway, token: &str) -> Answer {
    let mut client = Visitor::new(gateway);
    let url = client.url("login", "/scim/v2/Users");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    client.send(Method::GET, url, &headers, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_a_companys_directory_is_made_listed_and_taken_back() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).start().await;
    let make = ["scim", "token", "--company", "acme-rehab", "--name"];
    for (company, words) in [
        ("nowhere", "there is no company \"nowhere\""),
        ("northside-2", "there is no company"),
    ] {
        let wrong = ["scim", "token", "--company", company, "--name", "HR"];
        refused(&gateway, &wrong, 1, words).await;
    }
    let long = "x".repeat(101);
    for name in ["", "  ", "two\nlines", long.as_str()] {
        let wrong = [&make[..], &[name]].concat();
        refused(&gateway, &wrong, 2, "1 to 100 characters").await;
    }
    refused(&gateway, &["scim", "token", "--name", "HR"], 2, "--company").await;
    assert_eq!(done(&gateway, &["scim", "tokens"]).await, "");
    assert_eq!(done(&gateway, &["scim", "tokens", "--json"]).await, "[]\n");

    let text = done(&gateway, &[&make[..], &["HR"]].concat()).await;
    let token = text.strip_suffix('\n').unwrap();
    assert!(
        !token.contains(['\n', ' ']),
        "nothing but the token: {text}"
    );
    let json = done(&gateway, &[&make[..], &["Okta", "--json"]].concat()).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["company"], "acme-rehab");
    let url = format!("{}/scim/v2", gateway.url("login"));
    assert_eq!(json["url"], Value::from(url));
    let (id, other) = (
        json["id"].as_str().unwrap(),
        json["token"].as_str().unwrap(),
    );
    for token in [token, other] {
        let answer = ask_scim(&gateway, token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("kim") && !answer.body.contains("lee"));
    }

    let listed = done(&gateway, &["scim", "tokens"]).await;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].contains("acme-rehab") && lines[0].ends_with("  HR"));
    assert!(lines[1].starts_with(id) && lines[1].ends_with("  Okta"));
    let json = done(&gateway, &["scim", "tokens", "--json"]).await;
    for printed in [&listed, &json] {
        assert!(!printed.contains(token) && !printed.contains(other));
    }
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[1]["name"], "Okta");
    assert!(json[1]["last_used_at"].is_string(), "{json}");

    assert_eq!(
        done(&gateway, &["scim", "revoke", id]).await,
        format!("{id}: revoked\n")
    );
    assert_eq!(ask_scim(&gateway, other).await.status, 401);
    assert_eq!(ask_scim(&gateway, token).await.status, 200);
    for gone in [id, "no-such-id"] {
        refused(&gateway, &["scim", "revoke", gone], 1, "there is no token").await;
    }
    for (event, times) in [("scim_token_made", 2), ("scim_token_revoked", 1)] {
        assert_eq!(on_file(&gateway, event).len(), times, "{event}");
        let read = for_admins(&gateway, "acme-rehab", event).await;
        assert_eq!(read.len(), times, "{event}");
        // Which of them, and on which machine, is in the file alone.
        let named = read
            .iter()
            .all(|line| line.who.as_deref() == Some("operator"));
        assert!(named, "{read:?}");
    }
    let trail = std::fs::read_to_string(gateway.path("data/audit.jsonl")).unwrap();
    assert!(!trail.contains(token) && !trail.contains(other));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_people_are_elsewhere_is_said_once_and_forgotten() {
    const ISSUER: &str = "https://acme.idp.example";
    let backend = Backend::start().await;
    let mut setup = clinic(&backend);
    setup.more = format!(
        "[providers.acme]\ncompany = \"acme-rehab\"\nissuer = \"{ISSUER}\"\nclient_id = \"vestibule\"\nlabel = \"Acme\"\n"
    );
    let gateway = setup.start().await;
    let link = async |provider: &str, person: &str, subject: &str| {
        let arguments = [
            "identities",
            "link",
            "--provider",
            provider,
            "--person",
            person,
            "--subject",
            subject,
        ];
        vestibule(gateway.folder.path(), &arguments).await
    };
    let long = "x".repeat(256);
    for (provider, person, subject, exit, words) in [
        ("acme-2", "kim", "s1", 1, "there is no provider \"acme-2\""),
        ("acme", "nobody", "s1", 1, "there is no person \"nobody\""),
        ("acme", "lee", "s1", 1, "lee is not of acme-rehab"),
        ("acme", "Kim!", "s1", 2, "--person"),
        ("acme", "kim", "", 2, "1 to 255 bytes"),
        ("acme", "kim", long.as_str(), 2, "1 to 255 bytes"),
    ] {
        let (code, out, err) = link(provider, person, subject).await;
        assert_eq!((code, out.as_str()), (exit, ""), "{err}");
        assert!(err.contains(words), "{words:?} in {err}");
    }
    let (code, out, err) = link("acme", "kim", "s1").await;
    assert_eq!((code, out.as_str()), (0, "kim: linked\n"), "{err}");
    let directory = &gateway.running.directory;
    let kim = PersonId::parse("kim").unwrap();
    assert_eq!(directory.identity(ISSUER, "s1").await.unwrap(), Some(kim));
    for (person, subject, words) in [
        ("kim", "s1", "kim is this subject of \"acme\" already"),
        ("sam", "s1", "is kim already"),
        ("kim", "s2", "kim is another subject of \"acme\""),
    ] {
        let (code, _, err) = link("acme", person, subject).await;
        assert_eq!(code, 1, "{person} {subject}");
        assert!(err.contains(words), "{words:?} in {err}");
    }

    let unlink = |person| ["identities", "unlink", "--person", person];
    refused(&gateway, &unlink("nobody"), 1, "there is no person").await;
    refused(&gateway, &unlink("sam"), 1, "sam is nobody at any provider").await;
    let out = done(&gateway, &unlink("kim")).await;
    assert_eq!(out, "kim: 1 identities forgotten\n");
    assert_eq!(directory.identity(ISSUER, "s1").await.unwrap(), None);
    refused(&gateway, &unlink("kim"), 1, "kim is nobody").await;
    // Free for somebody else now.
    assert_eq!(link("acme", "sam", "s1").await.0, 0);
    for (event, times) in [("identity_linked", 2), ("identity_unlinked", 1)] {
        assert_eq!(on_file(&gateway, event).len(), times, "{event}");
        let read = for_admins(&gateway, "acme-rehab", event).await;
        assert_eq!(read.len(), times, "{event}");
    }
    let unlinked = &on_file(&gateway, "identity_unlinked")[0];
    assert_eq!(unlinked["whom"], "kim");
    gateway.stop().await;
}

/// A mail server of a few lines, and what it was sent.
async fn mail_server() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let (mut in_mail, mut answer) = (false, "220 mail.test ESMTP\r\n");
            loop {
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
                let mut line = String::new();
                while stream.read_line(&mut line).await.unwrap_or(0) > 0 && in_mail {
                    kept.lock().unwrap().push_str(&line);
                    if line == ".\r\n" {
                        break;
                    }
                    line.clear();
                }
                answer = match line.trim_end() {
                    "" => break,
                    "DATA" => "354 go on\r\n",
                    _ => "250 ok\r\n",
                };
                in_mail = line == "DATA\r\n";
                if line.starts_with("RCPT") {
                    kept.lock().unwrap().push_str(&line);
                }
            }
        }
    });
    (port, got)
}

fn set_password<'a>(person: &'a str, product: &'a str) -> [&'a str; 5] {
    ["people", "set-password", person, "--product", product]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_lets_its_owner_in_tells_them_and_is_on_record() {
    let backend = Backend::start().await;
    let (port, mails) = mail_server().await;
    let mut setup = clinic(&backend);
    setup.more = format!(
        "[messages.email]\nurl = \"smtp://127.0.0.1:{port}\"\nfrom = \"gate@clinic.example\"\n"
    );
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let folder = gateway.folder.path();
    for (person, product, typed, words) in [
        ("nobody", "emr", "long enough", "there is no person"),
        (
            "sam",
            "billing",
            "long enough",
            "sam has no account of billing",
        ),
        (
            "kim",
            "nothing",
            "long enough",
            "kim has no account of nothing",
        ),
        ("kim", "emr", "short", "at least 8 characters"),
        ("kim", "emr", "", "at least 8 characters"),
        ("kim", "emr", "two\nlines of it", "not one line"),
    ] {
        let (code, out, err) =
            vestibule_reading(folder, &set_password(person, product), typed).await;
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(words), "{words:?} in {err}");
    }
    assert_eq!(kim.worth("emr").await, 200, "nothing has happened yet");
    assert_eq!(on_file(&gateway, "password_set").len(), 0);
    assert_eq!(*mails.lock().unwrap(), "");

    let typed = "a new one for kim\n";
    let (code, out, err) = vestibule_reading(folder, &set_password("kim", "emr"), typed).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, "kim: password of emr set, 1 sessions ended\n");
    soon("the old sign-in is over", async || {
        kim.worth("emr").await == 401
    })
    .await;
    for (word, lands) in [
        (password("kim"), "/login"),
        (String::from("a new one for kim"), "/"),
    ] {
        let mut kim = Visitor::new(&gateway);
        let page = kim.open(kim.url("emr", "/")).await;
        let page = kim
            .submit(&page, &[("username", "kim"), ("password", &word)])
            .await;
        assert_eq!(page.url.path(), lands);
    }
    // It was taken by the mail server before the command ended.
    let mail = mails.lock().unwrap().clone();
    assert!(mail.contains("RCPT TO:<kim@clinic.example>"), "{mail}");
    assert!(
        mail.contains("Subject: Your password was changed"),
        "{mail}"
    );
    assert!(!mail.contains("a new one for kim"));
    let set = on_file(&gateway, "password_set");
    assert_eq!(set.len(), 1);
    assert_eq!(
        (&set[0]["whom"], &set[0]["detail"]),
        (&"kim".into(), &"emr".into())
    );
    assert_eq!(
        for_admins(&gateway, "acme-rehab", "password_set")
            .await
            .len(),
        1
    );
    assert!(on_file(&gateway, "mail_unsent").is_empty());

    let reset = ["people", "reset-mfa", "sam", "--reason", "lost the phone"];
    done(&gateway, &reset).await;
    let reset = on_file(&gateway, "mfa_reset");
    assert_eq!(reset[0]["reason"], "lost the phone", "{reset:?}");
    let who = reset[0]["who"].as_str().unwrap();
    assert!(who.starts_with("operator ") && who.contains('@'), "{who}");
    for company in ["acme-rehab", "northside"] {
        let told = for_admins(&gateway, company, "mfa_reset").await;
        let home = company == "acme-rehab";
        assert_eq!(told.len(), usize::from(home), "{company}");
        if home {
            assert_eq!(told[0].reason.as_deref(), Some("lost the phone"));
        }
    }
    let mail = mails.lock().unwrap().clone();
    assert!(mail.contains("RCPT TO:<sam@clinic.example>"), "{mail}");
    assert!(
        mail.contains("multi-factor authentication was reset"),
        "{mail}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_lives_elsewhere_is_not_set_here() {
    let backend = Backend::start().await;
    let mut setup = clinic(&backend);
    setup.billing = String::from(
        "credentials = { kind = \"ldap\", url = \"ldap://127.0.0.1:9\", dn = \"uid={login},dc=example\" }",
    );
    setup.analytics = String::from(
        "needs_grant = true\n\
         sign_on = { kind = \"form\", page = \"/login\", username_field = \"user\", password_field = \"pass\" }\n\
         credentials = { kind = \"form\" }",
    );
    setup.people += &format!(
        "{}\n",
        serde_json::json!({"kind": "account", "product": "analytics", "login": "kim-a", "person": "kim",
            "password_hash": "elsewhere", "companies": ["acme-rehab"], "default_company": "acme-rehab"})
    );
    setup.more = String::from(
        "[providers.north]\ncompany = \"northside\"\nissuer = \"https://north.idp.example\"\n\
         client_id = \"vestibule\"\nlabel = \"North\"\nonly = true\n",
    );
    let gateway = setup.start().await;
    let folder = gateway.folder.path();
    for (person, product, words) in [
        (
            "kim",
            "billing",
            "the Billing password of kim is not kept here: it is changed where the Billing passwords are",
        ),
        (
            "kim",
            "analytics",
            "the Analytics password of kim is not kept",
        ),
        (
            "lee",
            "emr",
            "lee signs in at the provider \"north\" of northside",
        ),
    ] {
        let (code, out, err) =
            vestibule_reading(folder, &set_password(person, product), "long enough\n").await;
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(words), "{words:?} in {err}");
    }
    assert!(on_file(&gateway, "password_set").is_empty());
    // Whom no provider vouches for, and who has no mail to be told by: it is set, and that is noted.
    let (code, _, err) =
        vestibule_reading(folder, &set_password("kim", "emr"), "long enough\n").await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(on_file(&gateway, "password_set").len(), 1);
    let unsent = on_file(&gateway, "mail_unsent");
    assert_eq!(
        (&unsent[0]["whom"], &unsent[0]["detail"]),
        (&"kim".into(), &"password_changed".into())
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authenticator_that_is_imported_is_on_record_and_its_key_is_not() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).start().await;
    let key = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let line = serde_json::json!({"kind": "person", "id": "ray", "company": "acme-rehab", "name": "Ray",
        "email": "ray@clinic.example", "totp": format!("otpauth://totp/Clinic:ray?secret={key}")});
    let folder = gateway.folder.path();
    let (code, out, err) =
        vestibule_reading(folder, &["people", "import", "-"], &line.to_string()).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("authenticators: 1 added, 0 changed"), "{out}");
    let added = on_file(&gateway, "factor_added");
    assert_eq!(added.len(), 1);
    assert_eq!(
        (added[0]["whom"].as_str(), added[0]["detail"].as_str()),
        (Some("ray"), Some("totp, imported"))
    );
    let read = for_admins(&gateway, "acme-rehab", "factor_added").await;
    assert_eq!(read.len(), 1);
    let trail = std::fs::read_to_string(gateway.path("data/audit.jsonl")).unwrap();
    assert!(!trail.contains(key) && !out.contains(key));
    gateway.stop().await;
}

/// gateway.toml with these words in the place of those; the gateway that runs stays where it is.
fn elsewhere(gateway: &Gateway, here: &str, there: &str) {
    let file = gateway.path("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(here), "{here}");
    std::fs::write(&file, text.replace(here, there)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_shown_and_disabled_while_the_session_store_is_away() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).start().await;
    elsewhere(
        &gateway,
        "sessions = \"embedded\"",
        "sessions = \"redis://127.0.0.1:1\"",
    );
    let shown = done(&gateway, &["people", "show", "kim"]).await;
    assert!(shown.contains("kim@clinic.example"), "{shown}");
    done(&gateway, &["people", "list"]).await;
    let words = "kim: disabled, but the sessions could not be ended";
    refused(&gateway, &["people", "disable", "kim"], 1, words).await;
    let kim = PersonId::parse("kim").unwrap();
    let directory = &gateway.running.directory;
    assert!(directory.person(&kim).await.unwrap().unwrap().disabled);
    assert_eq!(on_file(&gateway, "person_disabled").len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_ended_while_the_directory_is_away() {
    let backend = Backend::start().await;
    let redis = crate::redis::Redis::start();
    let mut setup = clinic(&backend);
    setup.sessions = redis.url();
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_eq!(kim.worth("emr").await, 200);
    elsewhere(
        &gateway,
        "directory = \"sqlite:people.db\"",
        "directory = \"postgres://nobody@127.0.0.1:1/nothing\"",
    );
    let revoke = ["sessions", "revoke", "--person", "kim"];
    let (code, out, err) = vestibule(gateway.folder.path(), &revoke).await;
    assert_eq!((code, out.as_str()), (1, "1 session ended\n"), "{err}");
    assert!(err.contains("the sessions are ended; sign-ins"), "{err}");
    soon("Kim is out", async || kim.worth("emr").await == 401).await;
    assert_eq!(on_file(&gateway, "session_ended").len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_takes_its_standard_input_as_it_is() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).start().await;
    // Something that has no name by which it could be opened again.
    let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut here, b"another-long-walk\n").unwrap();
    drop(here);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command
        .arg("--config")
        .arg(gateway.path("gateway.toml"))
        .args(["people", "set-password", "kim", "--product", "emr"])
        .stdin(std::os::fd::OwnedFd::from(there));
    let run = tokio::task::spawn_blocking(move || command.output());
    let out = run.await.unwrap().unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(0), "{err}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_import_begins_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let text = crate::gateway::text(&Setup::new("http://127.0.0.1:1"), 8443);
    std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
    for arguments in [
        &["people", "list"][..],
        &["people", "disable", "kim"],
        &["sessions", "revoke", "--person", "kim"],
        &["sessions", "list", "--person", "kim"],
        &["master-key", "add"],
        &["master-key", "use"],
        &["scim", "tokens"],
        &["break-glass", "list"],
        &["rollout", "show"],
    ] {
        let (code, out, err) = vestibule(folder.path(), arguments).await;
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}: {err}");
        assert!(err.contains("there is no directory at"), "{err}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{arguments:?} made something: {left:?}");
    }
    let people = crate::gateway::people();
    let import = ["people", "import", "-"];
    let (code, _, err) = vestibule_reading(folder.path(), &import, &people).await;
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = vestibule(folder.path(), &["people", "list"]).await;
    assert!(code == 0 && out.contains("kim"), "{out}{err}");
    // The file would let go of the key that the gateways' own directory is sealed under.
    vestibule(folder.path(), &["master-key", "add"]).await;
    let (code, _, err) = vestibule(folder.path(), &["master-key", "use"]).await;
    assert!(code == 1 && err.contains("no gateway ever ran"), "{err}");
}
