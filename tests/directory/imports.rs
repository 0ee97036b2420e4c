//! What an import changes, and what it leaves alone.

use vestibule::directory::import::{Change, Tally};
use vestibule::gate::policy::FactorMethod;

use super::*;

pub(crate) async fn an_import_is_read_back(url: String) {
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
            ..Imported::default()
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

pub(crate) async fn the_same_import_again_changes_nothing(url: String) {
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
            ..Imported::default()
        }
    );
    assert_eq!(account(&directory, "billing", "kd").await, before);
}

pub(crate) async fn an_import_says_whose_sessions_must_end(url: String) {
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

pub(crate) async fn a_wrong_import_changes_nothing_and_lists_every_problem(url: String) {
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
            "line 2, column 39: company: there is no company \"nowhere\", here or in the directory",
            "line 3, column 58: person: there is no person \"max\", here or in the directory",
            "line 4, column 97: companies: there is no company \"gone\", here or in the directory",
            "line 4, column 59: person: kim has the account \"kim\" of emr already",
            "line 5, column 27: the line ends before its object does: each stands on one line",
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

pub(crate) async fn two_people_can_swap_accounts_in_one_import(url: String) {
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

pub(crate) async fn what_was_decided_by_hand_outlives_an_import(url: String) {
    let directory = seeded(&url).await;
    let unlinked = r#"{"kind":"account","product":"emr","login":"lee","password":"swordfish"}"#;
    import(&directory, unlinked).await.unwrap();
    assert_eq!(
        account(&directory, "emr", "lee").await.person,
        Some(person("lee"))
    );

    // Neither is it the file's who may sign in, and what opens first.
    let lee = person("lee");
    assert!(directory.set_disabled(&lee, true).await.unwrap());
    assert!(
        directory
            .set_default_product(&lee, Some(&product("emr")))
            .await
            .unwrap()
    );
    import(&directory, SEED).await.unwrap();
    let lee = directory.person(&lee).await.unwrap().unwrap();
    assert!(lee.disabled && lee.default_product == Some(product("emr")));
}

pub(crate) async fn a_password_changed_since_outlives_an_import(url: String) {
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

/// Sam has an authenticator elsewhere, whose key is that of RFC 6238's examples.
const WITH_TOTP: &str = r#"{"kind":"person","id":"sam","company":"acme","name":"Sam","email":"sam@example.com","totp":"otpauth://totp/example.org:sam?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}"#;

pub(crate) async fn an_authenticator_comes_with_a_new_person_and_never_again(url: String) {
    let directory = seeded(&url).await;
    let sam = person("sam");
    let imported = import(&directory, WITH_TOTP).await.unwrap();
    assert_eq!(imported.authenticators.added, 1);
    assert_eq!(imported.taken_over, std::slice::from_ref(&sam));
    let factors = directory.factors(&sam).await.unwrap();
    assert_eq!(factors.len(), 1);
    assert_eq!(
        (factors[0].kind, factors[0].last_used_at),
        (FactorMethod::Totp, None)
    );
    let key = directory.factor_secret(&factors[0].id).await.unwrap();
    assert_eq!(&**key.unwrap(), b"12345678901234567890");
    assert!(
        directory
            .spend_totp_step(&factors[0].id, 1, NOW)
            .await
            .unwrap()
    );

    // Whoever took the phone gets nothing back by the next import.
    directory.reset_factors(&sam).await.unwrap();
    let again = import(&directory, WITH_TOTP).await.unwrap();
    assert_eq!(
        (again.authenticators.added, again.authenticators.unchanged),
        (0, 1)
    );
    assert!(again.taken_over.is_empty() && again.changed.is_empty());
    assert!(directory.factors(&sam).await.unwrap().is_empty());

    // Nor does somebody who was here before get one.
    let kim = WITH_TOTP.replace("\"sam\"", "\"kim\"");
    import(&directory, &kim).await.unwrap();
    assert!(directory.factors(&person("kim")).await.unwrap().is_empty());
}
