//! `vestibule people`.

use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;

use vestibule::cli::people::{EndSessions, Means, PeopleCommand, PeopleError};
use vestibule::sessions::EndCause;
use vestibule::sessions::store::StoreError;

use super::*;

#[derive(Default)]
struct Ended(Mutex<Vec<(String, EndCause)>>, Mutex<Vec<String>>);

#[async_trait]
impl EndSessions for Ended {
    async fn end_person(&self, person: &PersonId, cause: EndCause) -> Result<usize, StoreError> {
        self.0.lock().unwrap().push((person.to_string(), cause));
        Ok(2)
    }

    async fn forget_wrong_codes(&self, person: &PersonId) -> Result<(), StoreError> {
        let mut told = self.1.lock().unwrap();
        told.push(person.to_string());
        Ok(())
    }
}

pub(crate) async fn the_people_command_does_what_a_user_manager_can(url: String) {
    let directory = open(&url).await;
    let (hasher, products, ended) = (Hasher::new(), products(), Ended::default());
    let means = Means {
        directory: &directory,
        hasher: &hasher,
        products: &products,
        sessions: &ended,
        kept_elsewhere: &|_, _| None,
        authenticator_added: &|_| {},
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
    assert_eq!(*ended.1.lock().unwrap(), ["kim"], "no lock outlives it");

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
