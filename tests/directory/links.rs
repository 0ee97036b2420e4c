//! Links and passwords: what may happen once happens once.

use vestibule::directory::Pairing;

use super::*;

const MORE: &str = r#"{"kind":"account","product":"billing","login":"kd2","password":"U*U*"}
"#;

async fn hash(text: &str) -> PasswordHash {
    // Any text will do: nothing here opens it.
    PasswordHash(format!("hash of {text}"))
}

pub(crate) async fn of_twenty_who_pair_one_account_one_wins(url: String) {
    let directory = seeded(&url).await;
    let account = account(&directory, "billing", "kd").await;
    let turns = std::sync::atomic::AtomicUsize::new(0);
    let answers = racers(|| {
        let turn = turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let who = person(if turn.is_multiple_of(2) { "kim" } else { "lee" });
        let (directory, account) = (directory.clone(), account.clone());
        async move { (who.clone(), directory.pair(&account, &who).await.unwrap()) }
    })
    .await;
    let won: Vec<_> = answers
        .iter()
        .filter(|(_, answer)| *answer == Pairing::Paired)
        .collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let winner = &won[0].0;
    for (who, answer) in &answers {
        let expected = match answer {
            Pairing::Paired => continue,
            Pairing::Theirs => who == winner,
            Pairing::Taken(holder) => who != winner && holder == winner,
            Pairing::Another | Pairing::Changed => false,
        };
        assert!(expected, "{who} {answer:?}, won by {winner}");
    }
    let now = self::account(&directory, "billing", "kd").await;
    assert_eq!(now.person.as_ref(), Some(winner));
    assert_eq!(
        now.password_hash, account.password_hash,
        "only the link is kept"
    );
}

pub(crate) async fn a_person_pairs_one_account_of_a_product(url: String) {
    let directory = seeded(&url).await;
    import(&directory, MORE).await.unwrap();
    let both = [
        account(&directory, "billing", "kd").await,
        account(&directory, "billing", "kd2").await,
    ];
    let turns = std::sync::atomic::AtomicUsize::new(0);
    let answers = racers(|| {
        let turn = turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (directory, account) = (directory.clone(), both[turn % 2].clone());
        async move { directory.pair(&account, &person("kim")).await.unwrap() }
    })
    .await;
    let count = |wanted: Pairing| answers.iter().filter(|answer| **answer == wanted).count();
    assert_eq!(count(Pairing::Paired), 1, "{answers:?}");
    assert_eq!(count(Pairing::Theirs), 9, "{answers:?}");
    assert_eq!(count(Pairing::Another), 10, "{answers:?}");
    assert_eq!(
        directory.accounts_of(&person("kim")).await.unwrap().len(),
        2
    );
}

pub(crate) async fn a_password_that_changed_since_it_was_proved_pairs_nothing(url: String) {
    let directory = seeded(&url).await;
    let proved = account(&directory, "billing", "kd").await;
    let new = hash("new").await;
    assert!(
        directory
            .set_password(&proved.product, &proved.login, &new, LATER)
            .await
            .unwrap()
    );
    assert_eq!(
        directory.pair(&proved, &person("kim")).await.unwrap(),
        Pairing::Changed
    );
    let now = account(&directory, "billing", "kd").await;
    assert_eq!(now.person, None);
    assert_eq!(
        directory.pair(&now, &person("kim")).await.unwrap(),
        Pairing::Paired
    );
}

pub(crate) async fn a_reset_takes_every_link_but_the_sign_ins(url: String) {
    let directory = seeded(&url).await;
    let (kim, emr, billing) = (person("kim"), product("emr"), product("billing"));
    let there = account(&directory, "billing", "kd").await;
    directory.pair(&there, &kim).await.unwrap();
    directory
        .set_default_product(&kim, Some(&billing))
        .await
        .unwrap();
    assert_eq!(directory.unpair(&kim, &emr).await.unwrap(), [billing]);
    let left = directory.accounts_of(&kim).await.unwrap();
    assert_eq!((left.len(), &left[0].product), (1, &emr));
    let now = directory.person(&kim).await.unwrap().unwrap();
    assert_eq!(now.default_product, None);
    assert_eq!(directory.unpair(&kim, &emr).await.unwrap(), []);
    // To a different person, with the same password as before.
    assert_eq!(
        directory.pair(&there, &person("lee")).await.unwrap(),
        Pairing::Paired
    );
}

pub(crate) async fn the_last_passwords_are_remembered_and_no_more(url: String) {
    let directory = seeded(&url).await;
    let first = account(&directory, "emr", "lee").await.password_hash;
    for n in 1..=6 {
        let account = account(&directory, "emr", "lee").await;
        let new = hash(&n.to_string()).await;
        assert!(
            directory
                .change_password(&account, &new, LATER)
                .await
                .unwrap()
        );
        if n == 1 {
            let former = directory.former_passwords(&account).await.unwrap();
            assert_eq!(former, std::slice::from_ref(&first));
        }
    }
    let now = account(&directory, "emr", "lee").await;
    assert_eq!(
        (now.password_hash, now.password_set_at),
        (hash("6").await, LATER)
    );
    let former = directory
        .former_passwords(&account(&directory, "emr", "lee").await)
        .await
        .unwrap();
    let expected: Vec<_> = ["5", "4", "3", "2"]
        .map(|n| PasswordHash(format!("hash of {n}")))
        .to_vec();
    assert_eq!(former, expected, "newest first, four of them");
    let kim = account(&directory, "emr", "kim").await;
    assert_eq!(directory.former_passwords(&kim).await.unwrap(), []);
}

pub(crate) async fn of_twenty_changes_of_one_password_one_wins(url: String) {
    let directory = seeded(&url).await;
    let account = account(&directory, "emr", "lee").await;
    let turns = std::sync::atomic::AtomicUsize::new(0);
    let changed = racers(|| {
        let turn = turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (directory, account) = (directory.clone(), account.clone());
        async move {
            let new = PasswordHash(format!("racer {turn}"));
            directory
                .change_password(&account, &new, LATER)
                .await
                .unwrap()
        }
    })
    .await;
    assert_eq!(changed.into_iter().filter(|won| *won).count(), 1);
    let former = directory.former_passwords(&account).await.unwrap();
    assert_eq!(former, [account.password_hash]);
    let nobody = directory
        .set_password(&product("emr"), &login("nobody"), &hash("x").await, LATER)
        .await;
    assert!(!nobody.unwrap());
}
