//! Passwords that the gateway types for people: sealed, and nobody else's.

use super::*;

use vestibule::directory::{SignOnPlace, TypedCredentials};

fn place(who: &str) -> SignOnPlace {
    SignOnPlace {
        product: product("billing"),
        login: login("kd"),
        account_of: product("billing"),
        person: person(who),
    }
}

fn typed(password: &str) -> TypedCredentials {
    TypedCredentials {
        username: String::from("Kd"),
        password: Zeroizing::new(password.to_owned()),
    }
}

pub(crate) async fn a_password_that_is_typed_for_a_person_is_theirs_alone(url: String) {
    let directory = seeded(&url).await;
    let kim = place("kim");
    assert!(directory.sign_on_secret(&kim).await.unwrap().is_none());
    directory
        .keep_sign_on_secret(&kim, &typed("first"), NOW)
        .await
        .unwrap();
    let first = directory.sign_on_secret(&kim).await.unwrap().unwrap();
    assert_eq!(first.credentials, typed("first"));
    assert!(!first.refused);
    assert!(!format!("{first:?}").contains("first"), "prints as nothing");
    // The account may be paired with somebody else by now: nothing is left for them.
    assert!(
        directory
            .sign_on_secret(&place("lee"))
            .await
            .unwrap()
            .is_none()
    );
}

pub(crate) async fn a_refused_password_stays_refused_until_there_is_another(url: String) {
    let directory = seeded(&url).await;
    let kim = place("kim");
    let keep = async |password| {
        directory
            .keep_sign_on_secret(&kim, &typed(password), LATER)
            .await
            .unwrap();
        directory.sign_on_secret(&kim).await.unwrap().unwrap()
    };
    let first = keep("first").await;
    assert!(
        directory
            .refuse_sign_on_secret(&kim, first.version)
            .await
            .unwrap()
    );
    assert!(
        directory
            .sign_on_secret(&kim)
            .await
            .unwrap()
            .unwrap()
            .refused
    );
    let second = keep("second").await;
    assert!(!second.refused);
    // A late word about the first one is not about the second.
    assert!(
        !directory
            .refuse_sign_on_secret(&kim, first.version)
            .await
            .unwrap()
    );
    assert!(
        !directory
            .sign_on_secret(&kim)
            .await
            .unwrap()
            .unwrap()
            .refused
    );
}

pub(crate) async fn a_reset_forgets_what_is_typed_but_for_the_sign_in(url: String) {
    let directory = seeded(&url).await;
    let primary = SignOnPlace {
        product: product("analytics"),
        login: login("kim"),
        account_of: product("emr"),
        person: person("kim"),
    };
    for kept in [&place("kim"), &primary] {
        directory
            .keep_sign_on_secret(kept, &typed("secret"), NOW)
            .await
            .unwrap();
    }
    directory
        .unpair(&person("kim"), &product("emr"))
        .await
        .unwrap();
    assert!(
        directory
            .sign_on_secret(&place("kim"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(directory.sign_on_secret(&primary).await.unwrap().is_some());
}

pub(crate) async fn a_login_that_another_system_vouches_for_becomes_an_account_once(url: String) {
    let directory = seeded(&url).await;
    let (billing, new) = (product("billing"), login("new"));
    let adopted = directory.adopt_account(&billing, &new, NOW).await.unwrap();
    assert_eq!((&adopted.person, adopted.companies.len()), (&None, 0));
    assert!(!opens(adopted.password_hash.clone(), "").await);
    assert!(!opens(adopted.password_hash.clone(), "elsewhere").await);
    let again = directory
        .adopt_account(&billing, &new, LATER)
        .await
        .unwrap();
    assert_eq!(again, adopted);
    // One that is there keeps what it has.
    let there = account(&directory, "billing", "kd").await;
    let same = directory.adopt_account(&billing, &login("kd"), LATER).await;
    assert_eq!(same.unwrap(), there);
}
