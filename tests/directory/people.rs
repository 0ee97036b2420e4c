//! People, accounts, and what is kept beside them.

use vestibule::directory::DirectoryError;
use vestibule::gate::policy::Switched;

use super::*;

pub(crate) async fn people_are_found_by_company_and_by_search_in_any_case(url: String) {
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

pub(crate) async fn a_hash_is_upgraded_once_and_its_age_stays(url: String) {
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

pub(crate) async fn a_grant_is_given_once_and_taken_back_once(url: String) {
    let directory = seeded(&url).await;
    let (lee, analytics) = (person("lee"), product("analytics"));
    let epoch = async || directory.epoch(&lee).await.unwrap();
    // Another number means that the person was reset, and their factors go.
    let before = epoch().await;
    assert!(directory.grant(&lee, &analytics, true).await.unwrap());
    assert!(!directory.grant(&lee, &analytics, true).await.unwrap());
    let known = directory.person(&lee).await.unwrap().unwrap();
    assert_eq!(known.grants, std::slice::from_ref(&analytics));
    assert!(directory.grant(&lee, &analytics, false).await.unwrap());
    assert!(!directory.grant(&lee, &analytics, false).await.unwrap());
    let known = directory.person(&lee).await.unwrap().unwrap();
    assert!(known.grants.is_empty());
    assert_eq!(epoch().await, before);
    let nobody = directory.grant(&person("nobody"), &analytics, true).await;
    assert!(matches!(nobody, Err(DirectoryError::Unknown(_))));
}

pub(crate) async fn of_three_who_grant_at_once_nobody_loses_another_s(url: String) {
    let directory = seeded(&url).await;
    let tasks = ["emr", "billing", "analytics"].map(|id| {
        let directory = directory.clone();
        tokio::spawn(async move { directory.grant(&person("lee"), &product(id), true).await })
    });
    for task in tasks {
        assert!(task.await.unwrap().unwrap());
    }
    let known = directory.person(&person("lee")).await.unwrap().unwrap();
    assert_eq!(known.grants.len(), 3, "{:?}", known.grants);
}

pub(crate) async fn the_managers_of_a_large_company_are_named(url: String) {
    let directory = seeded(&url).await;
    let mut many = String::new();
    for n in 0..600 {
        many += &format!(
            "{{\"kind\":\"person\",\"id\":\"a{n:03}\",\"company\":\"bolt\",\"name\":\"A {n:03}\",\"email\":\"a{n}@bolt.example\",\"roles\":[\"therapist\",\"User_Manager\"]}}\n"
        );
    }
    for (id, company, role) in [
        ("zed", "bolt", "user_manager"),
        ("yan", "bolt", "user_manager"),
        ("off", "bolt", "user_manager"),
        ("far", "acme", "user_manager"),
    ] {
        many += &format!(
            "{{\"kind\":\"person\",\"id\":\"{id}\",\"company\":\"{company}\",\"name\":\"Z {id}\",\"email\":\"{id}@bolt.example\",\"roles\":[\"{role}\"]}}\n"
        );
    }
    import(&directory, &many).await.unwrap();
    directory.set_disabled(&person("off"), true).await.unwrap();
    let named = directory.user_managers(&company("bolt"), 3).await.unwrap();
    assert_eq!(named, ["Z yan", "Z zed"]);
}

pub(crate) async fn an_admin_switches_the_factor(url: String) {
    let directory = seeded(&url).await;
    assert!(directory.factor_switched_on().await.unwrap().is_empty());
    directory
        .switch_factor(
            &company("acme"),
            Some(Switched::default()),
            &person("kim"),
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(
        directory.factor_switched_on().await.unwrap(),
        [(company("acme"), Switched::default())]
            .into_iter()
            .collect()
    );
    let sparing = Switched {
        spares_before: Some(LATER),
    };
    directory
        .switch_factor(&company("acme"), Some(sparing), &person("kim"), LATER)
        .await
        .unwrap();
    assert_eq!(
        directory.factor_switched_on().await.unwrap(),
        [(company("acme"), sparing)].into_iter().collect()
    );
    // The switch is not the file's.
    import(&directory, SEED).await.unwrap();
    assert_eq!(directory.factor_switched_on().await.unwrap().len(), 1);
    directory
        .switch_factor(&company("acme"), None, &person("kim"), LATER)
        .await
        .unwrap();
    assert!(directory.factor_switched_on().await.unwrap().is_empty());
    let unknown = directory
        .switch_factor(
            &company("gone"),
            Some(Switched::default()),
            &person("kim"),
            NOW,
        )
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

pub(crate) async fn signing_keys_are_shared_and_sealed(url: String) {
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
    assert!(here.remove_signing_key("one").await.unwrap());
    assert!(!there.remove_signing_key("one").await.unwrap());
    assert!(there.signing_keys().await.unwrap().is_empty());
}

pub(crate) async fn two_nodes_start_at_once(url: String) {
    let opened = racers(|| {
        let url = url.clone();
        async move { Directory::open(&url, &master()).await.map(drop) }
    });
    for opened in opened.await {
        opened.unwrap();
    }
}

pub(crate) async fn the_language_of_the_last_sign_in_is_kept(url: String) {
    use vestibule::gate::language::Language;
    let directory = seeded(&url).await;
    let kim = person("kim");
    assert_eq!(directory.language_of(&kim).await.unwrap(), None);
    for language in [Language::Spanish, Language::Spanish, Language::English] {
        directory.learn_language(&kim, language).await.unwrap();
        assert_eq!(directory.language_of(&kim).await.unwrap(), Some(language));
    }
    // An import says nothing of it.
    directory
        .learn_language(&kim, Language::Spanish)
        .await
        .unwrap();
    import(&directory, SEED).await.unwrap();
    let kept = directory.language_of(&kim).await.unwrap();
    assert_eq!(kept, Some(Language::Spanish));
    assert_eq!(directory.language_of(&person("lee")).await.unwrap(), None);
    assert_eq!(
        directory.language_of(&person("nobody")).await.unwrap(),
        None
    );
}
