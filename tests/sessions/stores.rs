//! What every store must do.

use std::sync::Arc;

use tokio::sync::Barrier;
use vestibule::gate::name::{CompanyId, PersonId, ProductId, SessionId};
use vestibule::gate::session::{LastSeen, Secret, Session};
use vestibule::sessions::store::{Event, Stamp};

use crate::nodes::{HOUR, Home, MILLI, SECOND, START, new_session};

const RACERS: usize = 20;

pub fn session(id: u8, person: &str, company: &str) -> Session {
    let new = new_session(person, company);
    Session {
        id: SessionId::from_bytes([id; 16]),
        version: 1,
        person: new.person,
        company: new.company,
        companies: new.companies,
        started_at: START,
        password_at: START,
        factor_at: None,
        methods: new.methods,
        portal: Secret::from_bytes([id; 32]).hash(),
        seed: Secret::from_bytes([id; 32]).hash(),
        entries: vestibule::gate::session::Entries::default(),
        address: new.address,
        user_agent: new.user_agent,
    }
}

fn next(session: &Session) -> Session {
    Session {
        version: session.version + 1,
        ..session.clone()
    }
}

fn person(id: &str) -> PersonId {
    PersonId::parse(id).unwrap()
}

fn company(id: &str) -> CompanyId {
    CompanyId::parse(id).unwrap()
}

pub async fn a_session_is_read_as_it_was_written(home: Home) {
    let store = home.open().await;
    let kim = session(1, "kim", "acme");
    store.create(&kim, START, HOUR).await.unwrap();
    store
        .create(&session(2, "kim", "other"), START, 2 * HOUR)
        .await
        .unwrap();
    store
        .create(&session(3, "lee", "acme"), START, HOUR)
        .await
        .unwrap();
    assert!(
        store.create(&kim, START, HOUR).await.is_err(),
        "an id is used once"
    );

    let (read, last_seen) = store.load(kim.id, START).await.unwrap().unwrap();
    assert_eq!((read, last_seen), (kim.clone(), LastSeen::default()));
    assert_eq!(
        store.of_person(&person("kim"), START).await.unwrap().len(),
        2
    );
    assert_eq!(
        store
            .of_company(&company("acme"), START)
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(store.count(START).await.unwrap(), 3);

    let last = START.plus(HOUR).minus(MILLI);
    assert!(store.load(kim.id, last).await.unwrap().is_some());
    let over = START.plus(HOUR);
    assert!(store.load(kim.id, over).await.unwrap().is_none());
    assert!(!store.replace(&next(&kim), over).await.unwrap());
    assert_eq!(store.count(over).await.unwrap(), 1);
    assert_eq!(
        store.of_person(&person("kim"), over).await.unwrap(),
        [SessionId::from_bytes([2; 16])]
    );
    store.purge(over).await.unwrap();
    assert_eq!(store.count(over).await.unwrap(), 1);
    store.ping().await.unwrap();
}

pub async fn an_end_is_an_end_everywhere(home: Home) {
    let store = home.open().await;
    let kim = session(1, "kim", "acme");
    store.create(&kim, START, HOUR).await.unwrap();
    assert!(store.end(kim.id).await.unwrap());
    assert!(!store.end(kim.id).await.unwrap());
    assert!(store.load(kim.id, START).await.unwrap().is_none());
    assert!(store.last_seen(kim.id).await.unwrap().is_none());
    assert!(!store.replace(&next(&kim), START).await.unwrap());
    assert!(
        store
            .of_person(&person("kim"), START)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .of_company(&company("acme"), START)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.count(START).await.unwrap(), 0);
}

/// Runs twenty at the same instant; says how many `won`.
async fn race<F: Future<Output = bool> + Send + 'static>(run: impl Fn(usize) -> F) -> usize {
    let barrier = Arc::new(Barrier::new(RACERS));
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let (barrier, run) = (Arc::clone(&barrier), run(racer));
            tokio::spawn(async move {
                barrier.wait().await;
                run.await
            })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        won += usize::from(racer.await.unwrap());
    }
    won
}

pub async fn of_twenty_who_replace_one_wins(home: Home) {
    let stores = [home.open().await, home.open().await];
    let kim = session(1, "kim", "acme");
    stores[0].create(&kim, START, HOUR).await.unwrap();
    for version in 2..7 {
        let won = race(|racer| {
            let store = Arc::clone(&stores[racer % 2]);
            let new = Session {
                version,
                user_agent: racer.to_string(),
                ..kim.clone()
            };
            async move { store.replace(&new, START).await.unwrap() }
        });
        assert_eq!(won.await, 1, "version {version}");
    }
    assert_eq!(
        stores[1]
            .load(kim.id, START)
            .await
            .unwrap()
            .unwrap()
            .0
            .version,
        6
    );
}

pub async fn of_twenty_who_swap_one_wins(home: Home) {
    let stores = [home.open().await, home.open().await];
    let swap = |expected: Option<&'static [u8]>, new: Option<&'static [u8]>| {
        let stores = stores.clone();
        race(move |racer| {
            let store = Arc::clone(&stores[racer % 2]);
            async move {
                store
                    .swap_state("ticket", expected, new, HOUR, START)
                    .await
                    .unwrap()
            }
        })
    };
    assert_eq!(swap(None, Some(b"one")).await, 1);
    assert_eq!(swap(Some(b"one"), Some(b"two")).await, 1);
    assert_eq!(swap(Some(b"wrong"), Some(b"three")).await, 0);
    assert_eq!(swap(Some(b"two"), None).await, 1);
    assert_eq!(swap(Some(b"two"), None).await, 0);
    assert_eq!(swap(None, None).await, RACERS, "it is absent, and stays so");
}

pub async fn of_twenty_who_take_one_gets_it(home: Home) {
    let stores = [home.open().await, home.open().await];
    for round in 0..5 {
        let key = format!("ticket-{round}");
        assert!(
            stores[0]
                .swap_state(&key, None, Some(b"t\0\xff"), HOUR, START)
                .await
                .unwrap()
        );
        let taken = race(|racer| {
            let (store, key) = (Arc::clone(&stores[racer % 2]), key.clone());
            async move {
                let taken = store.take_state(&key, START).await.unwrap();
                assert!(taken.as_deref().is_none_or(|value| value == b"t\0\xff"));
                taken.is_some()
            }
        });
        assert_eq!(taken.await, 1);
    }
}

pub async fn states_expire_by_the_gateways_clock(home: Home) {
    let store = home.open().await;
    let over = START.plus(SECOND);
    assert!(
        store
            .swap_state("a", None, Some(b"1"), SECOND, START)
            .await
            .unwrap()
    );
    assert!(
        store
            .swap_state("b", None, Some(b"1"), SECOND, START)
            .await
            .unwrap()
    );
    assert_eq!(
        store.state("a", over.minus(MILLI)).await.unwrap().unwrap(),
        b"1"
    );
    assert_eq!(store.state("a", over).await.unwrap(), None);
    assert_eq!(store.take_state("b", over).await.unwrap(), None);
    assert!(
        !store
            .swap_state("a", Some(b"1"), Some(b"2"), SECOND, over)
            .await
            .unwrap()
    );
    assert!(
        store
            .swap_state("a", None, Some(b""), SECOND, over)
            .await
            .unwrap()
    );
    assert_eq!(store.state("a", over).await.unwrap().unwrap(), b"");
    assert!(
        store
            .swap_state("a", Some(b""), Some(b"3"), SECOND, over)
            .await
            .unwrap()
    );
    store.purge(over.plus(HOUR)).await.unwrap();
    assert_eq!(store.state("a", over.plus(HOUR)).await.unwrap(), None);
}

pub async fn last_seen_moves_forward_and_revives_nobody(home: Home) {
    let store = home.open().await;
    let (kim, billing) = (
        session(1, "kim", "acme"),
        ProductId::parse("billing").unwrap(),
    );
    let stamp = |product: Option<&ProductId>, secs: u32| Stamp {
        session: kim.id,
        product: product.cloned(),
        at: START.plus(secs * SECOND),
    };
    store.touch(&[stamp(None, 1)]).await.unwrap();
    assert_eq!(store.last_seen(kim.id).await.unwrap(), None);

    store.create(&kim, START, HOUR).await.unwrap();
    assert_eq!(
        store.last_seen(kim.id).await.unwrap(),
        Some(LastSeen::default())
    );
    let stamps = [
        stamp(Some(&billing), 5),
        stamp(None, 9),
        stamp(Some(&billing), 3),
    ];
    store.touch(&stamps).await.unwrap();
    store
        .touch(&[stamp(Some(&billing), 4), stamp(None, 8)])
        .await
        .unwrap();
    let expected = LastSeen {
        anywhere: Some(START.plus(9 * SECOND)),
        products: [(billing.clone(), START.plus(5 * SECOND))].into(),
    };
    assert_eq!(
        store.last_seen(kim.id).await.unwrap(),
        Some(expected.clone())
    );

    // A change of the record leaves it alone.
    assert!(store.replace(&next(&kim), START).await.unwrap());
    assert_eq!(
        store.load(kim.id, START).await.unwrap().unwrap().1,
        expected
    );

    store.end(kim.id).await.unwrap();
    store.touch(&[stamp(Some(&billing), 20)]).await.unwrap();
    assert_eq!(store.last_seen(kim.id).await.unwrap(), None);
    assert!(store.load(kim.id, START).await.unwrap().is_none());
}

pub async fn indexes_follow_the_company(home: Home) {
    let store = home.open().await;
    let kim = session(1, "kim", "acme");
    store.create(&kim, START, HOUR).await.unwrap();
    let moved = Session {
        company: company("other"),
        ..next(&kim)
    };
    assert!(store.replace(&moved, START).await.unwrap());
    assert!(
        store
            .of_company(&company("acme"), START)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        store.of_company(&company("other"), START).await.unwrap(),
        [kim.id]
    );
    assert_eq!(
        store.of_person(&person("kim"), START).await.unwrap(),
        [kim.id]
    );
}

pub async fn every_node_hears_of_a_change(home: Home) {
    let (here, there) = (home.open().await, home.open().await);
    let kim = session(1, "kim", "acme");
    here.create(&kim, START, HOUR).await.unwrap();
    let mut events = [here.events(), there.events()];
    let stamp = Stamp {
        session: kim.id,
        product: None,
        at: START,
    };
    here.touch(&[stamp]).await.unwrap();
    assert!(here.replace(&next(&kim), START).await.unwrap());
    assert!(here.end(kim.id).await.unwrap());
    for events in &mut events {
        // Exactly two: touching is announced to nobody.
        for _ in 0..2 {
            let event = tokio::time::timeout(SECOND, events.recv()).await;
            assert_eq!(event.unwrap().unwrap(), Event::Changed(kim.id));
        }
    }
}
