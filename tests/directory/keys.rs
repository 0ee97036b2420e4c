//! Passkeys, recovery codes and remembered devices.

use vestibule::gate::policy::FactorMethod;
use vestibule::gate::session::{Secret, SecretHash};

use super::*;

fn token(byte: u8) -> SecretHash {
    Secret::from_bytes([byte; 32]).hash()
}

pub(crate) async fn a_passkey_belongs_to_one_person(url: String) {
    let directory = seeded(&url).await;
    let (kim, lee) = (person("kim"), person("lee"));
    let first = directory
        .add_passkey(&kim, (b"credential 1", b"key 1"), false, NOW)
        .await
        .unwrap()
        .unwrap();
    let second = directory
        .add_passkey(&kim, (b"credential 2", b"key 2"), false, LATER)
        .await
        .unwrap()
        .unwrap();
    let taken = directory.add_passkey(&lee, (b"credential 1", b"key"), false, NOW);
    assert_eq!(taken.await.unwrap(), None);
    assert_eq!(directory.factors(&lee).await.unwrap(), []);
    let added = racers(|| {
        let (directory, lee) = (directory.clone(), lee.clone());
        async move {
            directory
                .add_passkey(&lee, (b"credential 3", b"key 3"), false, NOW)
                .await
                .unwrap()
        }
    });
    assert_eq!(added.await.into_iter().flatten().count(), 1);
    assert_eq!(directory.factors(&lee).await.unwrap().len(), 1);

    let kims = directory.factors(&kim).await.unwrap();
    assert_eq!(
        kims.iter().map(|factor| factor.kind).collect::<Vec<_>>(),
        [FactorMethod::Passkey; 2]
    );
    let stored = directory.passkeys(&kim).await.unwrap();
    assert_eq!(
        stored
            .iter()
            .map(|passkey| (passkey.factor.as_str(), passkey.record.as_slice()))
            .collect::<Vec<_>>(),
        [
            (first.id.as_str(), b"key 1".as_slice()),
            (second.id.as_str(), b"key 2".as_slice())
        ]
    );
    assert_eq!(directory.remove_factors(&kim).await.unwrap(), 2);
    // Its name went with it.
    let more = directory.add_passkey(&lee, (b"credential 1", b"key"), true, NOW);
    assert_eq!(more.await.unwrap(), None, "not the first");
    assert!(
        directory
            .add_passkey(&lee, (b"credential 1", b"key"), false, NOW)
            .await
            .unwrap()
            .is_some()
    );
}

pub(crate) async fn of_twenty_proofs_by_one_passkey_one_is_kept(url: String) {
    let directory = seeded(&url).await;
    let kim = person("kim");
    directory
        .add_passkey(&kim, (b"credential", b"0"), false, NOW)
        .await
        .unwrap();
    let kept = racers(|| {
        let (directory, kim) = (directory.clone(), kim.clone());
        async move {
            let read = directory.passkeys(&kim).await.unwrap().remove(0);
            // All have read the same before anybody writes, or some read what was written.
            let was = read.record.to_vec();
            let kept = directory.use_passkey(&kim, &read, b"1", LATER).await;
            (was, kept.unwrap())
        }
    });
    let from_the_first = |(was, kept): &(Vec<u8>, bool)| was == b"0" && *kept;
    assert_eq!(
        kept.await
            .iter()
            .filter(|kept| from_the_first(kept))
            .count(),
        1
    );
    let now = directory.passkeys(&kim).await.unwrap();
    assert_eq!(now[0].record.as_slice(), b"1");
    directory.remove_factors(&kim).await.unwrap();
    assert!(
        !directory
            .use_passkey(&kim, &now[0], b"2", LATER)
            .await
            .unwrap()
    );
}

pub(crate) async fn a_recovery_code_works_once_for_its_person(url: String) {
    let directory = seeded(&url).await;
    let (kim, lee) = (person("kim"), person("lee"));
    assert_eq!(directory.recovery_codes_left(&kim).await.unwrap(), None);
    directory
        .replace_recovery_codes(&kim, &["one", "two", "three"], NOW)
        .await
        .unwrap();
    directory
        .replace_recovery_codes(&lee, &["one"], NOW)
        .await
        .unwrap();
    let spent = racers(|| {
        let (directory, kim) = (directory.clone(), kim.clone());
        async move {
            directory
                .spend_recovery_code(&kim, "one", LATER)
                .await
                .unwrap()
        }
    });
    assert_eq!(spent.await.into_iter().filter(|won| *won).count(), 1);
    assert_eq!(directory.recovery_codes_left(&kim).await.unwrap(), Some(2));
    assert_eq!(directory.recovery_codes_left(&lee).await.unwrap(), Some(1));
    for wrong in ["four", "", "ONE"] {
        assert!(
            !directory
                .spend_recovery_code(&kim, wrong, LATER)
                .await
                .unwrap()
        );
    }
    // New ones replace all of the old.
    directory
        .replace_recovery_codes(&kim, &["four"], LATER)
        .await
        .unwrap();
    assert!(
        !directory
            .spend_recovery_code(&kim, "two", LATER)
            .await
            .unwrap()
    );
    assert!(
        directory
            .spend_recovery_code(&kim, "four", LATER)
            .await
            .unwrap()
    );
    assert_eq!(directory.recovery_codes_left(&kim).await.unwrap(), Some(0));
    directory.remove_factors(&lee).await.unwrap();
    assert!(
        !directory
            .spend_recovery_code(&lee, "one", LATER)
            .await
            .unwrap()
    );
}

pub(crate) async fn devices_are_remembered_listed_and_forgotten(url: String) {
    let directory = seeded(&url).await;
    let (kim, lee) = (person("kim"), person("lee"));
    let from = ("192.0.2.1", "Firefox");
    let knows = async |person: &PersonId, byte| {
        let device = directory.device(person, &token(byte)).await.unwrap();
        device.is_some()
    };
    directory
        .remember_device(&kim, (None, &token(1)), from, NOW)
        .await
        .unwrap();
    assert!(knows(&kim, 1).await && !knows(&lee, 1).await && !knows(&kim, 2).await);
    // Lee shares the browser: kim's entry follows to the new cookie, the old one is worth nothing.
    directory
        .remember_device(&lee, (Some(&token(1)), &token(2)), from, LATER)
        .await
        .unwrap();
    assert!(knows(&kim, 2).await && knows(&lee, 2).await && !knows(&kim, 1).await);
    // Once more for kim in the same browser: one entry, made anew.
    directory
        .remember_device(&kim, (Some(&token(2)), &token(3)), from, LATER)
        .await
        .unwrap();
    let listed = directory.devices(&kim).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].made_at, listed[0].user_agent.as_str()),
        (LATER, "Firefox")
    );
    assert!(knows(&lee, 3).await);
    directory
        .use_device(&listed[0].id, NOW.plus(std::time::Duration::from_secs(900)))
        .await
        .unwrap();
    let used = directory.device(&kim, &token(3)).await.unwrap().unwrap();
    assert!(used.last_used_at > LATER && used.made_at == LATER);

    assert!(!directory.forget_device(&lee, &listed[0].id).await.unwrap());
    assert!(directory.forget_device(&kim, &listed[0].id).await.unwrap());
    assert!(!knows(&kim, 3).await && knows(&lee, 3).await);
    for byte in 10..35 {
        let at = LATER.plus(std::time::Duration::from_secs(byte.into()));
        directory
            .remember_device(&kim, (None, &token(byte)), from, at)
            .await
            .unwrap();
    }
    assert_eq!(directory.devices(&kim).await.unwrap().len(), 20);
    assert!(knows(&kim, 34).await && !knows(&kim, 14).await);
    assert_eq!(directory.forget_devices(&lee).await.unwrap(), 1);
    directory.remove_factors(&kim).await.unwrap();
    assert_eq!(directory.devices(&kim).await.unwrap(), []);
}
