use std::sync::Mutex;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, Version};

use super::*;

fn password(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

/// 'password' in scrypt, from passlib's documentation.
const SCRYPT: &str =
    "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";
/// 'passwordPASSWORDpassword' in PBKDF2.
const PBKDF2: &str = "$pbkdf2-sha256$i=4096,l=40\
    $c2FsdFNBTFRzYWx0U0FMVHNhbHRTQUxUc2FsdFNBTFRzYWx0\
    $NIyJ28vTKy8y2BS4EW6EzysXNH68GAAYHE4qH7jdU+HGNVGMfaxH6Q";
/// 'U*U' in bcrypt, from Openwall's test vectors, in its three spellings.
const BCRYPT: &str = "$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

#[tokio::test]
async fn every_form_is_checked_and_replaced_by_ours_when_it_is_right() {
    let hasher = Hasher::new();
    let mut cases = vec![
        (SCRYPT.to_owned(), "password"),
        (PBKDF2.to_owned(), "passwordPASSWORDpassword"),
    ];
    for spelling in ["$2a", "$2b", "$2y"] {
        cases.push((format!("{spelling}{BCRYPT}"), "U*U"));
    }
    for (text, right) in cases {
        let stored = PasswordHash::parse(&text).unwrap();
        let wrong = hasher
            .verify(Some(stored.clone()), password("wrong"))
            .await
            .unwrap();
        assert_eq!(wrong, WRONG, "{text}");
        let verdict = hasher.verify(Some(stored), password(right)).await.unwrap();
        assert!(verdict.correct, "{text}");
        let upgrade = verdict.upgrade.unwrap();
        let again = hasher.verify(Some(upgrade), password(right)).await.unwrap();
        assert_eq!(
            again,
            Verdict {
                correct: true,
                upgrade: None
            }
        );
    }
}

#[tokio::test]
async fn argon2id_with_other_parameters_is_replaced() {
    let weak = Argon2::new(
        Algorithm::Argon2id,
        Version::V0x10,
        Params::new(64, 1, 1, None).unwrap(),
    );
    let weak: phc::PasswordHash = weak.hash_password_with_salt(b"right", b"saltsalt").unwrap();
    let stored = PasswordHash::parse(&weak.to_string()).unwrap();
    let verdict = Hasher::new()
        .verify(Some(stored), password("right"))
        .await
        .unwrap();
    assert!(verdict.correct && verdict.upgrade.is_some());
}

#[tokio::test]
async fn nobody_is_wrong_and_so_is_a_hash_that_cant_be_read() {
    let hasher = Hasher::new();
    assert_eq!(
        hasher.verify(None, password("nobody's password")).await,
        Ok(WRONG)
    );
    let broken = Some(PasswordHash(String::from("!")));
    assert_eq!(hasher.verify(broken, password("")).await, Ok(WRONG));
}

/// The least of several, which other work on the machine can only raise. Without the dummy
/// hash the ratio is not a half but a thousandth.
#[tokio::test]
async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    let hasher = Hasher::with_bounds(1, 8);
    let kept = hasher.hash(password("right")).await.unwrap();
    let weak = PasswordHash(format!("$2b{BCRYPT}"));
    drop(hasher.verify(None, password("first")).await);
    let mut least = [std::time::Duration::MAX; 3];
    for _ in 0..5 {
        for (least, stored) in least.iter_mut().zip([Some(&kept), Some(&weak), None]) {
            let begun = std::time::Instant::now();
            let verdict = hasher.verify(stored.cloned(), password("wrong")).await;
            *least = begun.elapsed().min(*least);
            assert_eq!(verdict, Ok(WRONG));
        }
    }
    let (kept, others) = least.split_first().unwrap();
    assert!(others.iter().all(|other| *other > *kept / 4), "{least:?}");
}

#[tokio::test]
async fn no_wrong_password_is_answered_sooner_than_one_for_an_imported_hash() {
    let hasher = Hasher::with_bounds(1, 8);
    let kept = hasher.hash(password("right")).await.unwrap();
    let imported = PasswordHash(bcrypt::hash("right", 10).unwrap());
    let right = hasher.verify(Some(imported.clone()), password("right"));
    assert!(right.await.unwrap().correct);
    assert_eq!(hasher.inner.floor(), Duration::ZERO);
    let wrong = hasher.verify(Some(imported), password("wrong"));
    assert_eq!(wrong.await, Ok(WRONG));
    let floor = hasher.inner.floor();
    assert!(floor > Duration::ZERO);
    for stored in [None, Some(kept.clone())] {
        let begun = Instant::now();
        assert_eq!(hasher.verify(stored, password("wrong")).await, Ok(WRONG));
        assert!(begun.elapsed() >= floor, "{floor:?}");
    }
    // However slow this machine is, there is an end to it.
    hasher.inner.took(Duration::from_secs(3600));
    assert_eq!(hasher.inner.floor(), HIGHEST_FLOOR);
}

#[tokio::test]
async fn an_overlong_password_is_refused_before_any_work() {
    let hasher = Hasher::with_bounds(1, 0);
    let _all = hasher.inner.slots.clone().acquire_owned().await.unwrap();
    let long = "a".repeat(LONGEST_PASSWORD + 1);
    assert_eq!(hasher.verify(None, password(&long)).await, Ok(WRONG));
    assert_eq!(hasher.hash(password(&long)).await, Err(HashError::TooLong));
}

#[tokio::test]
async fn a_full_queue_turns_away_at_once() {
    let hasher = Hasher::with_bounds(1, 1);
    let slot = hasher.inner.slots.clone().acquire_owned().await.unwrap();
    let waiting = tokio::spawn({
        let hasher = hasher.clone();
        async move { hasher.hash(password("one")).await }
    });
    let working = hasher.inner.places.clone().acquire_owned().await.unwrap();
    while hasher.inner.places.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hasher.verify(None, password("two")).await, Err(Busy));
    drop((slot, working));
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_free_the_slot_early() {
    let hasher = Hasher::with_bounds(1, 0);
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let begun = Mutex::new(begun);
    let (entered, mut inside) = tokio::sync::mpsc::unbounded_channel();
    let job = tokio::spawn({
        let hasher = hasher.clone();
        async move {
            let work = hasher.work(move |_| {
                entered.send(()).unwrap();
                assert!(begun.lock().unwrap().recv().is_err());
            });
            work.await
        }
    });
    inside.recv().await.unwrap();
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    assert_eq!(hasher.verify(None, password("two")).await, Err(Busy));
    drop(begin);
    let freed = hasher.inner.places.acquire().await;
    assert!(freed.is_ok());
}

#[test]
fn bombs_and_strangers_are_refused() {
    let salted =
        |head: &str| format!("{head}$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for (text, expected) in [
        (
            salted("$argon2id$v=19$m=4194304,t=1,p=1"),
            InvalidHash::TooCostly,
        ),
        (
            salted("$argon2id$v=19$m=65536,t=100,p=1"),
            InvalidHash::TooCostly,
        ),
        (
            salted("$argon2id$v=7$m=65536,t=1,p=1"),
            InvalidHash::Parameters,
        ),
        (
            salted("$argon2i$v=19$m=65536,t=1,p=1"),
            InvalidHash::Algorithm("argon2i"),
        ),
        (salted("$scrypt$ln=24,r=8,p=1"), InvalidHash::TooCostly),
        (salted("$scrypt$ln=17,r=8,p=100"), InvalidHash::TooCostly),
        (
            salted("$pbkdf2-sha256$i=900000000,l=32"),
            InvalidHash::TooCostly,
        ),
        (salted("$pbkdf2-sha256$i=10,l=32"), InvalidHash::Parameters),
        (
            salted("$pbkdf2-sha256$i=10000,l=31"),
            InvalidHash::Parameters,
        ),
        (
            String::from("$argon2id$v=19$m=65536,t=1,p=1"),
            InvalidHash::Incomplete,
        ),
        (
            String::from("$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            InvalidHash::TooCostly,
        ),
        (
            String::from("$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            InvalidHash::Form,
        ),
        (String::from("secret"), InvalidHash::Form),
        (String::new(), InvalidHash::Form),
    ] {
        assert_eq!(PasswordHash::parse(&text), Err(expected), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn reading_a_hash_never_panics(text in "\\$?(2b|argon2id|scrypt|pbkdf2-sha256)?[$=,a-z0-9]{0,60}") {
        drop(PasswordHash::parse(&text));
    }
}
