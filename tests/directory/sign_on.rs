//! Passwords that the gateway types for people: sealed, and nobody else's.

use super::*;

use vestibule::directory::{Pairing, SignOnPlace, TypedCredentials};

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

pub(crate) async fn a_login_that_looks_like_another_is_a_guess_and_no_account(url: String) {
    let directory = seeded(&url).await;
    let billing = product("billing");
    let alike = async |spelling: &str| {
        let spelt = login(spelling);
        let found = directory.alike_account(&billing, &spelt);
        found.await.unwrap()
    };
    // The first that comes, and one that comes before it is an account.
    assert_eq!(alike("jos\u{e9}  r").await, None);
    assert_eq!(alike("Jose R").await, Some(login("jos\u{e9}  r")));
    // One that an import has made, and nobody's own.
    assert_eq!(alike("kd").await, None);
    assert_eq!(alike("\u{ff4b}d").await, Some(login("kd")));
    // One that has an account is guessed about no more, and of several one is told.
    let spelt = login("\u{ff4b}d");
    directory
        .adopt_account(&billing, &spelt, NOW)
        .await
        .unwrap();
    assert_eq!(alike(&spelt.to_string()).await, None);
    assert_eq!(alike("k\u{301}d").await, Some(login("kd")));
    // Nothing is left of these, and they are not the same for that.
    for marks in ["\u{301}", "\u{302}\u{303}"] {
        assert_eq!(alike(marks).await, None);
        let marks = login(marks);
        directory
            .adopt_account(&billing, &marks, NOW)
            .await
            .unwrap();
    }
}

pub(crate) async fn a_name_that_is_used_again_leads_to_no_account_of_before(url: String) {
    let directory = seeded(&url).await;
    let billing = product("billing");
    let vouched = async |spelling: &str| {
        let spelt = login(spelling);
        let account = directory.vouched_account(&billing, &spelt, "dn:uid=ann,o=x", NOW);
        account.await.unwrap()
    };
    let ann = vouched("ann").await;
    assert_eq!(vouched("ann@clinic.example").await.login, ann.login);
    let paired = directory.pair(&ann, &person("lee")).await.unwrap();
    assert_eq!(paired, Pairing::Paired);
    let unpaired = directory
        .unpair(&person("lee"), &product("emr"))
        .await
        .unwrap();
    assert_eq!(unpaired, std::slice::from_ref(&billing));
    let successor = vouched("ann@clinic.example").await;
    assert_eq!(successor.login, login("ann@clinic.example"));
}

pub(crate) async fn however_a_name_is_spelt_it_is_one_account(url: String) {
    let directory = seeded(&url).await;
    let billing = product("billing");
    let of = async |spelling: &str, name: &str| {
        let spelt = login(spelling);
        let account = directory.vouched_account(&billing, &spelt, name, NOW);
        account.await.unwrap().login
    };
    // A directory says who it is: another spelling, and somebody of a name that is alike.
    let (ann, anna) = ("dn:uid=ann,o=x", "dn:uid=\u{e3}nn,o=x");
    assert_eq!(of("ann", ann).await, login("ann"));
    assert_eq!(of("ann@clinic.example", ann).await, login("ann"));
    assert_eq!(of("\u{e3}nn", anna).await, login("\u{e3}nn"));
    // Of two at once one is made.
    let both = [login("lou"), login("lou@clinic.example")];
    let made = both
        .each_ref()
        .map(|login| directory.vouched_account(&billing, login, "u:lou", NOW));
    let [one, other] = made;
    let (one, other) = tokio::join!(one, other);
    assert_eq!(one.unwrap().login, other.unwrap().login);
}

pub(crate) async fn a_password_that_is_proved_again_was_not_what_was_refused(url: String) {
    let directory = seeded(&url).await;
    let kim = place("kim");
    let keep = async |password| {
        let typed = typed(password);
        let kept = directory.keep_sign_on_secret(&kim, &typed, NOW);
        kept.await.unwrap();
        directory.sign_on_secret(&kim).await.unwrap().unwrap()
    };
    let first = keep("first").await;
    let refuse = async |version| {
        directory
            .refuse_sign_on_secret(&kim, version)
            .await
            .unwrap()
    };
    assert!(refuse(first.version).await);
    // Another one teaches nothing, nor does the same where nobody refused it.
    let second = keep("second").await;
    assert!(!second.forbids_with_401);
    let second = keep("second").await;
    assert!(!second.forbids_with_401);
    assert!(refuse(second.version).await);
    let again = keep("second").await;
    assert!(again.forbids_with_401 && !again.refused);
    assert!(
        keep("third").await.forbids_with_401,
        "it is the application's way"
    );
    // What is forgotten with the link does not come back as the same.
    directory
        .unpair(&person("kim"), &product("emr"))
        .await
        .unwrap();
    let kept = directory
        .keep_sign_on_secret(&kim, &typed("third"), LATER)
        .await;
    kept.unwrap();
    let anew = directory.sign_on_secret(&kim).await.unwrap().unwrap();
    assert!(!anew.forbids_with_401 && anew.version > again.version);
}
