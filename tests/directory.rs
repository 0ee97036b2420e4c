//! What the directory promises, over SQLite and over a real PostgreSQL: one suite for both.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "how a test reports"
)]

#[path = "support/postgres.rs"]
mod postgres;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};
use zeroize::Zeroizing;

use vestibule::cli::people::{EndSessions, Means, PeopleCommand, PeopleError};
use vestibule::directory::import::{Change, ImportError, Imported, Tally};
use vestibule::directory::passwords::Hasher;
use vestibule::directory::seal::MasterKey;
use vestibule::directory::{Account, Directory, DirectoryError, PasswordHash};
use vestibule::gate::name::{CompanyId, Login, PersonId, ProductId};
use vestibule::gate::policy::FactorMethod;
use vestibule::gate::time::Moment;
use vestibule::sessions::EndCause;
use vestibule::sessions::store::StoreError;

const NOW: Moment = Moment::from_secs(1_790_000_000);
const LATER: Moment = Moment::from_secs(1_790_000_060);
/// 'U*U', from Openwall's test vectors: cheap to check.
const BCRYPT: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

const SEED: &str = r#"{"kind":"company","id":"acme","name":"Acme Rehab"}
{"kind":"company","id":"bolt","name":"Bolt"}
{"kind":"person","id":"kim","company":"acme","name":"Kim Doe","email":"kim@example.com","phone":"+12025550123","roles":["company_admin","user_manager"],"grants":["analytics"]}
{"kind":"person","id":"lee","company":"bolt","name":"Åsa 100% Lee","email":"lee@example.com"}
{"kind":"account","product":"emr","login":" Kim ","person":"kim","password_hash":"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW","password_set_at":"2026-01-02T03:04:05Z","companies":["acme","bolt"],"default_company":"acme"}
{"kind":"account","product":"billing","login":"kd","password":"U*U*"}
{"kind":"account","product":"emr","login":"lee","person":"lee","password":"swordfish"}
"#;

macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    super::$name(format!("sqlite:{}", folder.path().join("d.db").display())).await;
                }
            )*
        }

        /// One test, since a test process of its own for each would start a server for each.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn postgresql_keeps_the_same_promises() {
            $(
                println!("{}", stringify!($name));
                $name(postgres::database().await).await;
            )*
        }
    };
}

suite!(
    an_import_is_read_back,
    the_same_import_again_changes_nothing,
    an_import_says_whose_sessions_must_end,
    a_wrong_import_changes_nothing_and_lists_every_problem,
    two_people_can_swap_accounts_in_one_import,
    a_link_made_by_hand_outlives_an_import,
    a_password_changed_since_outlives_an_import,
    people_are_found_by_company_and_by_search_in_any_case,
    a_hash_is_upgraded_once_and_its_age_stays,
    a_time_step_is_spent_by_one_of_twenty_racers,
    a_person_has_one_authenticator,
    secrets_are_sealed_under_the_master_key,
    an_admin_switches_the_factor,
    signing_keys_are_shared_and_sealed,
    two_nodes_start_at_once,
    the_people_command_does_what_a_user_manager_can,
);

fn master() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

async fn open(url: &str) -> Directory {
    Directory::open(url, &master()).await.unwrap()
}

async fn seeded(url: &str) -> Directory {
    let directory = open(url).await;
    import(&directory, SEED).await.unwrap();
    directory
}

async fn import(directory: &Directory, text: &str) -> Result<Imported, ImportError> {
    directory
        .import(&Hasher::new(), text.as_bytes(), &products(), NOW)
        .await
}

fn products() -> Vec<ProductId> {
    ["emr", "billing", "analytics"].map(product).to_vec()
}

fn product(id: &str) -> ProductId {
    ProductId::parse(id).unwrap()
}

fn person(id: &str) -> PersonId {
    PersonId::parse(id).unwrap()
}

fn company(id: &str) -> CompanyId {
    CompanyId::parse(id).unwrap()
}

fn login(text: &str) -> Login {
    Login::parse(text).unwrap()
}

async fn account(directory: &Directory, id: &str, name: &str) -> Account {
    directory
        .account(&product(id), &login(name))
        .await
        .unwrap()
        .unwrap()
}

async fn opens(hash: PasswordHash, password: &str) -> bool {
    let password = Zeroizing::new(password.to_owned());
    Hasher::new()
        .verify(Some(hash), password)
        .await
        .unwrap()
        .correct
}

async fn an_import_is_read_back(url: String) {
    let directory = open(&url).await;
    let imported = import(&directory, SEED).await.unwrap();
    let added = |added| Tally {
        added,
        ..Tally::default()
    };
    assert_eq!(
        imported,
        Imported {
            companies: added(2),
            people: added(2),
            accounts: added(3),
            changed: Default::default(),
        }
    );

    let kim = directory.person(&person("kim")).await.unwrap().unwrap();
    assert_eq!(
        (kim.name.as_str(), kim.email.as_str()),
        ("Kim Doe", "kim@example.com")
    );
    assert_eq!(kim.phone.as_deref(), Some("+12025550123"));
    assert_eq!(kim.roles, ["company_admin", "user_manager"]);
    assert_eq!(
        (kim.company, kim.grants),
        (company("acme"), vec![product("analytics")])
    );
    assert!(!kim.disabled && kim.default_product.is_none());

    let emr = account(&directory, "emr", "KIM").await;
    assert_eq!(emr.person, Some(person("kim")));
    assert_eq!(emr.password_hash.0, BCRYPT);
    assert_eq!(emr.password_set_at.to_rfc3339(), "2026-01-02T03:04:05.000Z");
    assert_eq!(emr.companies, [company("acme"), company("bolt")]);
    assert_eq!(emr.default_company, Some(company("acme")));
    assert_eq!(directory.accounts_of(&person("kim")).await.unwrap(), [emr]);

    let waiting = account(&directory, "billing", "kd").await;
    assert_eq!((waiting.person, waiting.password_set_at), (None, NOW));
    assert!(
        waiting
            .password_hash
            .0
            .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
    );
    assert!(opens(waiting.password_hash, "U*U*").await);

    let acme = directory.company(&company("acme")).await.unwrap().unwrap();
    assert_eq!(acme.name, "Acme Rehab");
    assert_eq!(directory.companies().await.unwrap().len(), 2);
    assert_eq!(directory.person(&person("nobody")).await.unwrap(), None);
    assert_eq!(directory.company(&company("nobody")).await.unwrap(), None);
    assert_eq!(
        directory
            .account(&product("emr"), &login("nobody"))
            .await
            .unwrap(),
        None
    );
    directory.ping().await.unwrap();
}

async fn the_same_import_again_changes_nothing(url: String) {
    let directory = seeded(&url).await;
    let before = account(&directory, "billing", "kd").await;
    let again = import(&directory, SEED).await.unwrap();
    let unchanged = |unchanged| Tally {
        unchanged,
        ..Tally::default()
    };
    assert_eq!(
        again,
        Imported {
            companies: unchanged(2),
            people: unchanged(2),
            accounts: unchanged(3),
            changed: Default::default(),
        }
    );
    assert_eq!(account(&directory, "billing", "kd").await, before);
}

async fn an_import_says_whose_sessions_must_end(url: String) {
    let directory = seeded(&url).await;
    let mut changed = Vec::new();
    for line in [
        // The number is in no session.
        r#"{"kind":"person","id":"lee","company":"bolt","name":"Åsa 100% Lee","email":"lee@example.com","phone":"+12025550199"}"#,
        r#"{"kind":"person","id":"lee","company":"acme","name":"Åsa 100% Lee","email":"lee@example.com"}"#,
        r#"{"kind":"person","id":"lee","company":"acme","name":"Åsa 100% Lee","email":"lee@example.com","roles":["nurse"]}"#,
        r#"{"kind":"account","product":"emr","login":"lee","person":"lee","password":"another one"}"#,
        r#"{"kind":"account","product":"emr","login":"lee","person":"kim","password":"another one"}
           {"kind":"account","product":"emr","login":"kim","person":"lee","password":"a third one"}"#,
    ] {
        let text = line.replace("\n           ", "\n");
        changed.push(
            import(&directory, &text)
                .await
                .unwrap()
                .changed
                .into_iter()
                .collect::<Vec<_>>(),
        );
    }
    let lee = person("lee");
    assert_eq!(
        changed,
        [
            vec![],
            vec![(lee.clone(), Change::Profile)],
            vec![(lee.clone(), Change::Profile)],
            vec![(lee.clone(), Change::Password)],
            vec![(person("kim"), Change::Link), (lee, Change::Password)],
        ]
    );
}

async fn a_wrong_import_changes_nothing_and_lists_every_problem(url: String) {
    let directory = seeded(&url).await;
    let text = r#"{"kind":"company","id":"new","name":"New"}
{"kind":"person","id":"kim","company":"nowhere","name":"Kim","email":"kim@example.com"}
{"kind":"account","product":"emr","login":"max","person":"max","password":"secret"}
{"kind":"account","product":"emr","login":"kim2","person":"kim","password":"secret","companies":["gone"]}
{"kind":"person","id":"max"
"#;
    let Err(ImportError::Problems(problems)) = import(&directory, text).await else {
        panic!("imported what is wrong");
    };
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 2: there is no company \"nowhere\", here or in the directory",
            "line 3: there is no person \"max\", here or in the directory",
            "line 4: there is no company \"gone\", here or in the directory",
            "line 4: kim has the account \"kim\" of emr already",
            "line 5, column 27: EOF while parsing an object",
        ]
    );
    assert_eq!(directory.company(&company("new")).await.unwrap(), None);
    assert_eq!(
        directory
            .account(&product("emr"), &login("max"))
            .await
            .unwrap(),
        None
    );
    // And nothing is left locked.
    assert!(directory.set_disabled(&person("kim"), true).await.unwrap());
}

async fn two_people_can_swap_accounts_in_one_import(url: String) {
    let directory = seeded(&url).await;
    let text = r#"{"kind":"account","product":"emr","login":"lee","person":"kim","password":"swordfish"}
{"kind":"account","product":"emr","login":"kim","person":"lee","password":"U*U"}"#;
    import(&directory, text).await.unwrap();
    assert_eq!(
        account(&directory, "emr", "lee").await.person,
        Some(person("kim"))
    );
    assert_eq!(
        account(&directory, "emr", "kim").await.person,
        Some(person("lee"))
    );
}

async fn a_link_made_by_hand_outlives_an_import(url: String) {
    let directory = seeded(&url).await;
    let unlinked = r#"{"kind":"account","product":"emr","login":"lee","password":"swordfish"}"#;
    import(&directory, unlinked).await.unwrap();
    assert_eq!(
        account(&directory, "emr", "lee").await.person,
        Some(person("lee"))
    );
}

async fn a_password_changed_since_outlives_an_import(url: String) {
    let directory = seeded(&url).await;
    let hash = Hasher::new()
        .hash(Zeroizing::new(String::from("my own")))
        .await
        .unwrap();
    assert!(
        directory
            .set_password(&product("emr"), &login("kim"), &hash, LATER)
            .await
            .unwrap()
    );
    assert!(import(&directory, SEED).await.unwrap().changed.is_empty());
    let kept = account(&directory, "emr", "kim").await;
    assert_eq!((kept.password_hash, kept.password_set_at), (hash, LATER));
    assert!(
        !directory
            .set_password(&product("emr"), &login("no"), &kept_hash(), LATER)
            .await
            .unwrap()
    );
}

fn kept_hash() -> PasswordHash {
    PasswordHash::parse(BCRYPT).unwrap()
}

async fn people_are_found_by_company_and_by_search_in_any_case(url: String) {
    let directory = seeded(&url).await;
    let acme = company("acme");
    for (of, search, expected) in [
        (None, None, vec!["kim", "lee"]),
        (Some(&acme), None, vec!["kim"]),
        (None, Some(" KIM d"), vec!["kim"]),
        (None, Some("åSA"), vec!["lee"]),
        (None, Some("@EXAMPLE"), vec!["kim", "lee"]),
        (Some(&acme), Some("lee"), vec![]),
        (None, Some("100%"), vec!["lee"]),
        (None, Some("%k"), vec![]),
        (None, Some("_"), vec![]),
        (None, Some("'; DROP TABLE people; --\0!"), vec![]),
    ] {
        let found = directory.people(of, search, 10, 0).await.unwrap();
        let ids: Vec<&str> = found.iter().map(|person| person.id.as_str()).collect();
        assert_eq!(ids, expected, "{of:?} {search:?}");
    }
    let second = directory.people(None, None, 1, 1).await.unwrap();
    assert_eq!(second.first().map(|person| person.id.as_str()), Some("lee"));
}

async fn a_hash_is_upgraded_once_and_its_age_stays(url: String) {
    let directory = seeded(&url).await;
    let old = account(&directory, "emr", "kim").await;
    let verdict = Hasher::new()
        .verify(
            Some(old.password_hash.clone()),
            Zeroizing::new(String::from("U*U")),
        )
        .await
        .unwrap();
    let new = verdict.upgrade.unwrap();
    assert!(directory.upgrade_hash(&old, &new).await.unwrap());
    assert!(!directory.upgrade_hash(&old, &new).await.unwrap());
    let upgraded = account(&directory, "emr", "kim").await;
    assert_eq!(upgraded.password_set_at, old.password_set_at);
    assert_eq!(upgraded.password_hash, new);
    // The import that brought the old hash doesn't bring it back.
    import(&directory, SEED).await.unwrap();
    assert_eq!(account(&directory, "emr", "kim").await.password_hash, new);
}

async fn racers<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    run: impl Fn() -> F,
) -> Vec<T> {
    let racers: Vec<_> = (0..20).map(|_| tokio::spawn(run())).collect();
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.unwrap());
    }
    answers
}

async fn a_time_step_is_spent_by_one_of_twenty_racers(url: String) {
    let directory = seeded(&url).await;
    let factor = directory
        .add_totp(&person("kim"), b"secret", 100, NOW)
        .await
        .unwrap()
        .unwrap();
    for step in [101, 102] {
        let spent = racers(|| {
            let (directory, id) = (directory.clone(), factor.id.clone());
            async move { directory.spend_totp_step(&id, step, LATER).await.unwrap() }
        });
        assert_eq!(spent.await.into_iter().filter(|won| *won).count(), 1);
    }
    for late in [99, 100, 101, 102] {
        assert!(
            !directory
                .spend_totp_step(&factor.id, late, LATER)
                .await
                .unwrap(),
            "{late}"
        );
    }
    let factors = directory.factors(&person("kim")).await.unwrap();
    assert_eq!(factors.first().unwrap().last_used_at, Some(LATER));
    assert!(
        !directory
            .spend_totp_step("another", 103, LATER)
            .await
            .unwrap()
    );
}

async fn a_person_has_one_authenticator(url: String) {
    let directory = seeded(&url).await;
    let added = racers(|| {
        let directory = directory.clone();
        async move {
            directory
                .add_totp(&person("kim"), b"secret", 1, NOW)
                .await
                .unwrap()
        }
    });
    let added: Vec<_> = added.await.into_iter().flatten().collect();
    assert_eq!(added.len(), 1);
    assert_eq!(directory.factors(&person("kim")).await.unwrap(), added);
    assert_eq!(added[0].kind, FactorMethod::Totp);
    assert!(
        directory
            .add_totp(&person("lee"), b"secret", 1, NOW)
            .await
            .unwrap()
            .is_some()
    );
    assert!(matches!(
        directory
            .add_totp(&person("nobody"), b"secret", 1, NOW)
            .await,
        Err(DirectoryError::Unknown(_))
    ));

    assert_eq!(directory.remove_factors(&person("kim")).await.unwrap(), 1);
    assert_eq!(directory.remove_factors(&person("kim")).await.unwrap(), 0);
    assert_eq!(directory.factor_secret(&added[0].id).await.unwrap(), None);
    assert!(
        directory
            .add_totp(&person("kim"), b"another", 2, NOW)
            .await
            .unwrap()
            .is_some()
    );
}

async fn secrets_are_sealed_under_the_master_key(url: String) {
    let directory = seeded(&url).await;
    let kim = directory
        .add_totp(&person("kim"), b"kim's secret", 1, NOW)
        .await
        .unwrap()
        .unwrap();
    let secret = directory.factor_secret(&kim.id).await.unwrap().unwrap();
    assert_eq!(&**secret, b"kim's secret");
    let other = Directory::open(&url, &MasterKey::from_bytes([8; 32]))
        .await
        .unwrap();
    let refused = other.factor_secret(&kim.id).await.unwrap_err().to_string();
    assert!(refused.contains("another master key"), "{refused}");
}

async fn an_admin_switches_the_factor(url: String) {
    let directory = seeded(&url).await;
    assert!(directory.factor_switched_on().await.unwrap().is_empty());
    directory
        .switch_factor(&company("acme"), true, &person("kim"), NOW)
        .await
        .unwrap();
    assert_eq!(
        directory.factor_switched_on().await.unwrap(),
        [company("acme")].into()
    );
    // The switch is not the file's.
    import(&directory, SEED).await.unwrap();
    assert_eq!(directory.factor_switched_on().await.unwrap().len(), 1);
    directory
        .switch_factor(&company("acme"), false, &person("kim"), LATER)
        .await
        .unwrap();
    assert!(directory.factor_switched_on().await.unwrap().is_empty());
    let unknown = directory
        .switch_factor(&company("gone"), true, &person("kim"), NOW)
        .await;
    assert!(matches!(unknown, Err(DirectoryError::Unknown(_))));

    assert!(
        directory
            .set_default_product(&person("kim"), Some(&product("emr")))
            .await
            .unwrap()
    );
    let kim = directory.person(&person("kim")).await.unwrap().unwrap();
    assert_eq!(kim.default_product, Some(product("emr")));
}

async fn signing_keys_are_shared_and_sealed(url: String) {
    let (here, there) = (open(&url).await, open(&url).await);
    here.add_signing_key("one", b"pkcs8", NOW).await.unwrap();
    let keys = there.signing_keys().await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!((keys[0].id.as_str(), keys[0].created_at), ("one", NOW));
    assert_eq!(&**keys[0].pkcs8, b"pkcs8");
    let taken = there.add_signing_key("one", b"other", NOW).await;
    assert!(
        matches!(taken, Err(DirectoryError::Conflict(_))),
        "{taken:?}"
    );
}

async fn two_nodes_start_at_once(url: String) {
    let opened = racers(|| {
        let url = url.clone();
        async move { Directory::open(&url, &master()).await.map(drop) }
    });
    for opened in opened.await {
        opened.unwrap();
    }
}

#[derive(Default)]
struct Ended(Mutex<Vec<(String, EndCause)>>);

#[async_trait]
impl EndSessions for Ended {
    async fn end_person(&self, person: &PersonId, cause: EndCause) -> Result<usize, StoreError> {
        self.0.lock().unwrap().push((person.to_string(), cause));
        Ok(2)
    }
}

async fn the_people_command_does_what_a_user_manager_can(url: String) {
    let directory = open(&url).await;
    let (hasher, products, ended) = (Hasher::new(), products(), Ended::default());
    let means = Means {
        directory: &directory,
        hasher: &hasher,
        products: &products,
        sessions: &ended,
        now: LATER,
    };
    let run =
        async |command: PeopleCommand, input: &str| command.run(means, input.as_bytes()).await;
    let (kim, json) = (person("kim"), true);

    let standard_input = PathBuf::from("-");
    let text = run(
        PeopleCommand::Import {
            file: standard_input.clone(),
            json: false,
        },
        SEED,
    )
    .await;
    assert!(
        text.unwrap()
            .contains("people: 2 added, 0 changed, 0 unchanged")
    );
    let wrong = run(
        PeopleCommand::Import {
            file: standard_input,
            json,
        },
        "{\"kind\":7}\n{,",
    )
    .await;
    let told = wrong.unwrap_err().to_string();
    assert!(
        told.starts_with("-:1: kind: text is expected\n-:2:2: "),
        "{told}"
    );
    assert!(
        told.ends_with("2 problems and nothing was imported"),
        "{told}"
    );

    let list = run(
        PeopleCommand::List {
            company: None,
            search: None,
            json: false,
        },
        "",
    )
    .await
    .unwrap();
    assert_eq!(
        list.lines().next(),
        Some("kim\tacme\tKim Doe\tkim@example.com")
    );
    let list = run(
        PeopleCommand::List {
            company: Some(company("bolt")),
            search: None,
            json,
        },
        "",
    )
    .await;
    let list: serde_json::Value = serde_json::from_str(&list.unwrap()).unwrap();
    assert_eq!(list[0]["id"], "lee");
    assert_eq!(list.as_array().unwrap().len(), 1);

    directory.add_totp(&kim, b"secret", 1, NOW).await.unwrap();
    let shown = run(
        PeopleCommand::Show {
            person: kim.clone(),
            json,
        },
        "",
    )
    .await
    .unwrap();
    assert!(
        !shown.contains("$2b$") && !shown.contains("secret"),
        "{shown}"
    );
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["accounts"][0]["login"], "kim");
    assert_eq!(shown["factors"][0]["kind"], "totp");

    let reset = run(
        PeopleCommand::ResetMfa {
            person: kim.clone(),
            json,
        },
        "",
    )
    .await
    .unwrap();
    let reset: serde_json::Value = serde_json::from_str(&reset).unwrap();
    let expected = serde_json::json!({"person": "kim", "factors_removed": 1, "sessions_ended": 2});
    assert_eq!(reset, expected);

    run(
        PeopleCommand::Disable {
            person: kim.clone(),
            json,
        },
        "",
    )
    .await
    .unwrap();
    assert!(directory.person(&kim).await.unwrap().unwrap().disabled);
    run(
        PeopleCommand::Enable {
            person: kim.clone(),
            json,
        },
        "",
    )
    .await
    .unwrap();
    assert!(!directory.person(&kim).await.unwrap().unwrap().disabled);

    let (emr, billing) = (product("emr"), product("billing"));
    let set = |product| PeopleCommand::SetPassword {
        person: kim.clone(),
        product,
        json: false,
    };
    for short in ["", "short\n", "two lines\nof text\n"] {
        assert!(
            matches!(
                run(set(emr.clone()), short).await,
                Err(PeopleError::NotSo(_))
            ),
            "{short:?}"
        );
    }
    assert!(matches!(
        run(set(billing), "long enough\n").await,
        Err(PeopleError::NotSo(_))
    ));
    run(set(emr), "long enough\n").await.unwrap();
    let emr = account(&directory, "emr", "kim").await;
    assert_eq!(emr.password_set_at, LATER);
    assert!(opens(emr.password_hash, "long enough").await);

    let nobody = run(
        PeopleCommand::Disable {
            person: person("max"),
            json,
        },
        "",
    )
    .await;
    assert_eq!(
        nobody.unwrap_err().to_string(),
        "there is no person \"max\""
    );
    assert_eq!(
        *ended.0.lock().unwrap(),
        [
            (String::from("kim"), EndCause::FactorReset),
            (String::from("kim"), EndCause::PersonDisabled),
            (String::from("kim"), EndCause::PasswordChanged),
        ]
    );
}

#[tokio::test]
async fn what_is_no_directory_is_said_clearly_and_without_its_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/folder/d.db");
    for (url, expected) in [
        (
            format!("postgres://me:hunter2@127.0.0.1:{port}/people"),
            format!("127.0.0.1:{port}"),
        ),
        (
            String::from("mysql://me:hunter2@host/people"),
            String::from("\"mysql\" is neither"),
        ),
        (
            String::from("postgres://me:hunter2@host:port/people"),
            String::from("not a PostgreSQL"),
        ),
        (String::from("sqlite:"), String::from("without a path")),
        (
            String::from("sqlite::memory:"),
            String::from("a file is needed"),
        ),
        (
            format!("sqlite:{}", missing.display()),
            missing.display().to_string(),
        ),
    ] {
        let told = Directory::open(&url, &master())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            told.contains(&expected) && !told.contains("hunter2"),
            "{told}"
        );
    }
}

/// Between a directory and its database, to be pulled out.
struct Cable {
    port: u16,
    upstream: u16,
    carrying: tokio::task::JoinHandle<()>,
}

impl Cable {
    async fn plug(port: u16, upstream: u16) -> Cable {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let carrying = tokio::spawn(async move {
            // Dropped with the task, and all connections with it.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                });
            }
        });
        Cable {
            port,
            upstream,
            carrying,
        }
    }

    async fn pull(self) -> (u16, u16) {
        self.carrying.abort();
        drop(self.carrying.await);
        (self.port, self.upstream)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_is_said_and_its_return_is_noticed() {
    let url = url::Url::parse(&postgres::database().await).unwrap();
    let cable = Cable::plug(0, url.port().unwrap()).await;
    let mut through = url.clone();
    through.set_port(Some(cable.port)).unwrap();
    let directory = seeded(through.as_str()).await;

    let (port, upstream) = cable.pull().await;
    let away = directory.person(&person("kim")).await;
    assert!(
        matches!(away, Err(DirectoryError::Unavailable(_))),
        "{away:?}"
    );
    assert!(matches!(
        directory.ping().await,
        Err(DirectoryError::Unavailable(_))
    ));

    let _cable = Cable::plug(port, upstream).await;
    assert!(directory.person(&person("kim")).await.unwrap().is_some());
    directory.ping().await.unwrap();
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.db");
    let _directory = seeded(&format!("sqlite:{}", path.display())).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}

/// The sealed secret of one person put into the other's row, as somebody with a way into the
/// database could.
#[tokio::test]
async fn a_sealed_secret_does_not_open_in_another_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.db");
    let directory = seeded(&format!("sqlite:{}", path.display())).await;
    let kim = directory
        .add_totp(&person("kim"), b"kim's", 1, NOW)
        .await
        .unwrap()
        .unwrap();
    let lee = directory
        .add_totp(&person("lee"), b"lee's", 1, NOW)
        .await
        .unwrap()
        .unwrap();
    let raw = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    let moved =
        "UPDATE factors SET secret = (SELECT secret FROM factors WHERE id = $1) WHERE id = $2";
    sqlx::query(moved)
        .bind(&kim.id)
        .bind(&lee.id)
        .execute(&raw)
        .await
        .unwrap();
    let refused = directory.factor_secret(&lee.id).await;
    assert!(matches!(refused, Err(DirectoryError::Corrupt(_))));
    assert_eq!(
        &**directory.factor_secret(&kim.id).await.unwrap().unwrap(),
        b"kim's"
    );
    // Nor does a row that is handed to somebody else.
    sqlx::query("DELETE FROM factors WHERE id = $1")
        .bind(&lee.id)
        .execute(&raw)
        .await
        .unwrap();
    let given = "UPDATE factors SET person_id = 'lee' WHERE id = $1";
    sqlx::query(given)
        .bind(&kim.id)
        .execute(&raw)
        .await
        .unwrap();
    assert!(matches!(
        directory.factor_secret(&kim.id).await,
        Err(DirectoryError::Corrupt(_))
    ));
    raw.close().await;
}
