//! Random sequences of operations, on a store and on a model that is nothing but maps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use vestibule::gate::name::{CompanyId, PersonId, ProductId, SessionId};
use vestibule::gate::session::{LastSeen, Session};
use vestibule::gate::time::Moment;
use vestibule::sessions::store::{Stamp, Store};

use super::stores::session;
use crate::nodes::{Home, SECOND, START};

const CASES: u32 = 20;
const PEOPLE: [&str; 2] = ["kim", "lee"];
const COMPANIES: [&str; 2] = ["acme", "other"];
const PRODUCTS: [&str; 2] = ["emr", "billing"];

#[derive(Debug, Clone)]
enum Operation {
    Create {
        id: u8,
        person: usize,
        company: usize,
        life: u32,
    },
    /// `behind`: by somebody who read an older version.
    Replace {
        id: u8,
        company: usize,
        behind: bool,
    },
    End {
        id: u8,
    },
    Touch {
        id: u8,
        product: Option<usize>,
        back: u32,
    },
    Swap {
        key: u8,
        right: bool,
        new: Option<u8>,
        life: u32,
    },
    Take {
        key: u8,
    },
    Pass {
        secs: u64,
    },
    Purge,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    use Operation::*;
    let id = 0..4_u8;
    let operation = prop_oneof![
        3 => (id.clone(), 0..2_usize, 0..2_usize, 1..60_u32)
            .prop_map(|(id, person, company, life)| Create { id, person, company, life }),
        3 => (id.clone(), 0..2_usize, any::<bool>())
            .prop_map(|(id, company, behind)| Replace { id, company, behind }),
        1 => id.clone().prop_map(|id| End { id }),
        4 => (id, proptest::option::of(0..2_usize), 0..20_u32)
            .prop_map(|(id, product, back)| Touch { id, product, back }),
        4 => (0..2_u8, any::<bool>(), proptest::option::of(0..3_u8), 1..30_u32)
            .prop_map(|(key, right, new, life)| Swap { key, right, new, life }),
        2 => (0..2_u8).prop_map(|key| Take { key }),
        2 => (0..20_u64).prop_map(|secs| Pass { secs }),
        1 => Just(Purge),
    ];
    proptest::collection::vec(operation, 1..50)
}

#[derive(Default)]
struct Model {
    sessions: BTreeMap<SessionId, (Session, Moment, LastSeen)>,
    used: BTreeSet<u8>,
    states: BTreeMap<u8, (u8, Moment)>,
}

impl Model {
    fn live(&self, now: Moment) -> impl Iterator<Item = &Session> {
        self.sessions
            .values()
            .filter(move |(_, ends_at, _)| *ends_at > now)
            .map(|(session, ..)| session)
    }

    fn state(&self, key: u8, now: Moment) -> Option<u8> {
        self.states
            .get(&key)
            .filter(|(_, ends_at)| *ends_at > now)
            .map(|(value, _)| *value)
    }
}

pub async fn stores_do_what_the_model_does(home: Home) {
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        ..Config::default()
    });
    for case in 0..CASES {
        let operations = operations().new_tree(&mut runner).unwrap().current();
        let store = home.open_apart(&format!("case{case}:")).await;
        let mut model = Model::default();
        let mut now = START;
        for (step, operation) in operations.iter().enumerate() {
            let context = format!("step {step} of {operations:#?}");
            run(store.as_ref(), &mut model, operation, &mut now, &context).await;
            compare(store.as_ref(), &model, now, &context).await;
        }
    }
}

async fn run(
    store: &dyn Store,
    model: &mut Model,
    operation: &Operation,
    now: &mut Moment,
    context: &str,
) {
    match operation {
        Operation::Create {
            id,
            person,
            company,
            life,
        } => {
            // Ids are random: none is used twice.
            if model.used.insert(*id) {
                let new = session(*id, PEOPLE[*person], COMPANIES[*company]);
                let life = *life * SECOND;
                store.create(&new, *now, life).await.unwrap();
                model
                    .sessions
                    .insert(new.id, (new, now.plus(life), LastSeen::default()));
            }
        }
        Operation::Replace {
            id,
            company,
            behind,
        } => {
            let id = SessionId::from_bytes([*id; 16]);
            let known = model
                .sessions
                .get_mut(&id)
                .filter(|(_, ends_at, _)| *ends_at > *now);
            let mut new = known
                .as_ref()
                .map_or_else(|| session(9, "kim", "acme"), |(known, ..)| known.clone());
            new.version += u64::from(!behind);
            new.company = CompanyId::parse(COMPANIES[*company]).unwrap();
            let expected = known.is_some() && !behind;
            assert_eq!(
                store.replace(&new, *now).await.unwrap(),
                expected,
                "{context}"
            );
            if let Some((known, ..)) = known
                && expected
            {
                *known = new;
            }
        }
        Operation::End { id } => {
            let id = SessionId::from_bytes([*id; 16]);
            let live = model.live(*now).any(|session| session.id == id);
            let ended = store.end(id).await.unwrap();
            assert!(ended || !live, "{context}");
            model.sessions.remove(&id);
        }
        Operation::Touch { id, product, back } => {
            let session = SessionId::from_bytes([*id; 16]);
            let product = product.map(|index| ProductId::parse(PRODUCTS[index]).unwrap());
            let at = now.minus(*back * SECOND);
            store
                .touch(&[Stamp {
                    session,
                    product: product.clone(),
                    at,
                }])
                .await
                .unwrap();
            if let Some((_, _, seen)) = model.sessions.get_mut(&session) {
                seen.anywhere = seen.anywhere.max(Some(at));
                if let Some(product) = product {
                    let there = seen.products.entry(product).or_insert(at);
                    *there = at.max(*there);
                }
            }
        }
        Operation::Swap {
            key,
            right,
            new,
            life,
        } => {
            let current = model.state(*key, *now);
            let expected = if *right {
                current
            } else {
                Some(current.map_or(7, |value| value + 1))
            };
            let swapped = store
                .swap_state(
                    &key.to_string(),
                    expected.as_ref().map(std::slice::from_ref),
                    new.as_ref().map(std::slice::from_ref),
                    *life * SECOND,
                    *now,
                )
                .await;
            assert_eq!(swapped.unwrap(), *right, "{context}");
            if *right {
                match new {
                    Some(new) => model.states.insert(*key, (*new, now.plus(*life * SECOND))),
                    None => model.states.remove(key),
                };
            }
        }
        Operation::Take { key } => {
            let expected = model.state(*key, *now).map(|value| vec![value]);
            let taken = store.take_state(&key.to_string(), *now).await.unwrap();
            assert_eq!(taken, expected, "{context}");
            model.states.remove(key);
        }
        Operation::Pass { secs } => *now = now.plus(Duration::from_secs(*secs)),
        Operation::Purge => store.purge(*now).await.unwrap(),
    }
}

async fn compare(store: &dyn Store, model: &Model, now: Moment, context: &str) {
    for id in 0..4_u8 {
        let id = SessionId::from_bytes([id; 16]);
        let expected = model
            .sessions
            .get(&id)
            .filter(|(_, ends_at, _)| *ends_at > now)
            .map(|(session, _, seen)| (session.clone(), seen.clone()));
        assert_eq!(store.load(id, now).await.unwrap(), expected, "{context}");
    }
    for person in PEOPLE {
        let person = PersonId::parse(person).unwrap();
        let mut expected: Vec<SessionId> = model
            .live(now)
            .filter(|session| session.person.id == person)
            .map(|session| session.id)
            .collect();
        expected.sort_unstable();
        let mut listed = store.of_person(&person, now).await.unwrap();
        listed.sort_unstable();
        assert_eq!(listed, expected, "{context}");
    }
    for company in COMPANIES {
        let company = CompanyId::parse(company).unwrap();
        let expected = model
            .live(now)
            .filter(|session| session.company == company)
            .count();
        assert_eq!(
            store.of_company(&company, now).await.unwrap().len(),
            expected,
            "{context}"
        );
    }
    for key in 0..2_u8 {
        let expected = model.state(key, now).map(|value| vec![value]);
        assert_eq!(
            store.state(&key.to_string(), now).await.unwrap(),
            expected,
            "{context}"
        );
    }
    assert_eq!(
        store.count(now).await.unwrap(),
        model.live(now).count() as u64,
        "{context}"
    );
}
