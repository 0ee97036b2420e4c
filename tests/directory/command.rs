//! `vestibule people`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use vestibule::cli::people::{EndSessions, Means, PeopleCommand, PeopleError};
use vestibule::portal::locks::Lock;
use vestibule::sessions::EndCause;
use vestibule::sessions::store::StoreError;

use super::*;

#[derive(Default)]
struct Ended(
    Mutex<Vec<(String, EndCause)>>,
    Mutex<Vec<String>>,
    /// The store is away.
    AtomicBool,
);

#[async_trait]
impl EndSessions for Ended {
    async fn end_person(&self, person: &PersonId, cause: EndCause) -> Result<usize, StoreError> {
        if self.2.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable(String::from("away")));
        }
        self.0.lock().unwrap().push((person.to_string(), cause));
        Ok(2)
    }

    async fn forget_wrong_codes(&self, person: &PersonId) -> Result<(), StoreError> {
        let mut told = self.1.lock().unwrap();
        told.push(person.to_string());
        Ok(())
    }

    async fn locks(
        &self,
        _: &PersonId,
        _: &[Account],
        _: Option<IpAddr>,
    ) -> Result<Vec<Lock>, StoreError> {
        Ok(vec![Lock {
            throttle: "codes",
            of: String::from("totp"),
            until: None,
        }])
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
        told.starts_with("-:1:9: kind: text is expected\n-:2:2: "),
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
            address: None,
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
    let codes = serde_json::json!({"throttle": "codes", "of": "totp", "until": null});
    assert_eq!(shown["locks"][0], codes);
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

    // Sessions that can't be ended keep nothing else from being done.
    ended.2.store(true, Ordering::SeqCst);
    let again = PeopleCommand::ResetMfa {
        person: kim.clone(),
        json: false,
    };
    let error = run(again, "").await.unwrap_err().to_string();
    assert!(
        error.contains("the sessions could not be ended: the session store does not answer"),
        "{error}"
    );
    assert_eq!(*ended.1.lock().unwrap(), ["kim", "kim"]);
    ended.2.store(false, Ordering::SeqCst);

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
