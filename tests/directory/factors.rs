//! Second factors: once only, and sealed.

use vestibule::directory::{DirectoryError, Removal};
use vestibule::gate::policy::FactorMethod;

use super::*;

pub(crate) async fn a_time_step_is_spent_by_one_of_twenty_racers(url: String) {
    let directory = seeded(&url).await;
    let factor = directory
        .add_totp(&person("kim"), b"secret", 100, NOW)
        .await
        .unwrap()
        .unwrap();
    for step in [101, 102] {
        let spent = racers(|| {
            let (directory, id) = (directory.clone(), factor.id.clone());
            async move { directory.spend_totp_step(&id, step, LATER).await.unwrap() }
        });
        assert_eq!(spent.await.into_iter().filter(|won| *won).count(), 1);
    }
    for late in [99, 100, 101, 102] {
        assert!(
            !directory
                .spend_totp_step(&factor.id, late, LATER)
                .await
                .unwrap(),
            "{late}"
        );
    }
    let factors = directory.factors(&person("kim")).await.unwrap();
    assert_eq!(factors.first().unwrap().last_used_at, Some(LATER));
    assert!(
        !directory
            .spend_totp_step("another", 103, LATER)
            .await
            .unwrap()
    );
}

pub(crate) async fn of_many_first_factors_one_is_added_whatever_their_methods(url: String) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let directory = seeded(&url).await;
    let place = std::sync::Arc::new(AtomicUsize::new(0));
    let methods = [FactorMethod::Totp, FactorMethod::Sms, FactorMethod::Email];
    let added = racers(|| {
        let method = methods[place.fetch_add(1, Ordering::SeqCst) % 3];
        let directory = directory.clone();
        async move {
            directory
                .add_first_factor(&person("kim"), method, b"secret", 0, NOW)
                .await
                .unwrap()
        }
    });
    let added: Vec<_> = added.await.into_iter().flatten().collect();
    assert_eq!(added.len(), 1);
    for method in methods {
        let more = directory
            .add_first_factor(&person("kim"), method, b"secret", 0, LATER)
            .await;
        assert_eq!(more.unwrap(), None, "{method:?}");
    }
    // Beside it, proved freshly, one of each method.
    let (first, others): (Vec<FactorMethod>, Vec<FactorMethod>) = methods
        .into_iter()
        .partition(|method| *method == added[0].kind);
    for (method, wanted) in [
        (first[0], 0),
        (others[0], 1),
        (others[1], 1),
        (others[0], 0),
    ] {
        let more = directory
            .add_factor(&person("kim"), method, b"+15550100001", 0, LATER)
            .await
            .unwrap();
        assert_eq!(more.iter().count(), wanted, "{method:?}");
    }
    assert_eq!(directory.factors(&person("kim")).await.unwrap().len(), 3);
    // After a reset, anew.
    assert_eq!(directory.remove_factors(&person("kim")).await.unwrap(), 3);
    let again = directory
        .add_first_factor(&person("kim"), FactorMethod::Sms, b"+15550100001", 0, LATER)
        .await
        .unwrap()
        .unwrap();
    let secret = directory.factor_secret(&again.id).await.unwrap().unwrap();
    assert_eq!(secret.as_slice(), b"+15550100001");
    let much_later = LATER.plus(std::time::Duration::from_secs(60));
    directory.used_factor(&again.id, much_later).await.unwrap();
    let factors = directory.factors(&person("kim")).await.unwrap();
    assert_eq!(factors[0].last_used_at, Some(much_later));
}

pub(crate) async fn a_person_has_one_authenticator(url: String) {
    let directory = seeded(&url).await;
    let added = racers(|| {
        let directory = directory.clone();
        async move {
            directory
                .add_totp(&person("kim"), b"secret", 1, NOW)
                .await
                .unwrap()
        }
    });
    let added: Vec<_> = added.await.into_iter().flatten().collect();
    assert_eq!(added.len(), 1);
    assert_eq!(directory.factors(&person("kim")).await.unwrap(), added);
    assert_eq!(added[0].kind, FactorMethod::Totp);
    assert!(
        directory
            .add_totp(&person("lee"), b"secret", 1, NOW)
            .await
            .unwrap()
            .is_some()
    );
    assert!(matches!(
        directory
            .add_totp(&person("nobody"), b"secret", 1, NOW)
            .await,
        Err(DirectoryError::Unknown(_))
    ));

    assert_eq!(directory.remove_factors(&person("kim")).await.unwrap(), 1);
    assert_eq!(directory.remove_factors(&person("kim")).await.unwrap(), 0);
    assert_eq!(directory.factor_secret(&added[0].id).await.unwrap(), None);
    assert!(
        directory
            .add_totp(&person("kim"), b"another", 2, NOW)
            .await
            .unwrap()
            .is_some()
    );
}

pub(crate) async fn secrets_are_sealed_under_the_master_key(url: String) {
    let directory = seeded(&url).await;
    let kim = directory
        .add_totp(&person("kim"), b"kim's secret", 1, NOW)
        .await
        .unwrap()
        .unwrap();
    let secret = directory.factor_secret(&kim.id).await.unwrap().unwrap();
    assert_eq!(&**secret, b"kim's secret");
    let other = Directory::open(&url, &MasterKey::from_bytes([8; 32])).await;
    let refused = other.unwrap_err().to_string();
    assert!(refused.contains("another master key"), "{refused}");
}

/// The sealed secret of one person put into the other's row, as somebody with a way into the
/// database could.
#[tokio::test]
async fn a_sealed_secret_does_not_open_in_another_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.db");
    let directory = seeded(&format!("sqlite:{}", path.display())).await;
    let kim = directory
        .add_totp(&person("kim"), b"kim's", 1, NOW)
        .await
        .unwrap()
        .unwrap();
    let lee = directory
        .add_totp(&person("lee"), b"lee's", 1, NOW)
        .await
        .unwrap()
        .unwrap();
    let raw = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    let stored: Vec<u8> = sqlx::query_scalar("SELECT secret FROM factors WHERE id = $1")
        .bind(&kim.id)
        .fetch_one(&raw)
        .await
        .unwrap();
    assert!(!stored.windows(5).any(|part| part == b"kim's"));
    let moved =
        "UPDATE factors SET secret = (SELECT secret FROM factors WHERE id = $1) WHERE id = $2";
    sqlx::query(moved)
        .bind(&kim.id)
        .bind(&lee.id)
        .execute(&raw)
        .await
        .unwrap();
    let refused = directory.factor_secret(&lee.id).await;
    assert!(matches!(refused, Err(DirectoryError::Corrupt(_))));
    assert_eq!(
        &**directory.factor_secret(&kim.id).await.unwrap().unwrap(),
        b"kim's"
    );
    // Nor does a row that is handed to somebody else.
    sqlx::query("DELETE FROM factors WHERE id = $1")
        .bind(&lee.id)
        .execute(&raw)
        .await
        .unwrap();
    let given = "UPDATE factors SET person_id = 'lee' WHERE id = $1";
    sqlx::query(given)
        .bind(&kim.id)
        .execute(&raw)
        .await
        .unwrap();
    assert!(matches!(
        directory.factor_secret(&kim.id).await,
        Err(DirectoryError::Corrupt(_))
    ));
    raw.close().await;
}

pub(crate) async fn of_many_who_remove_the_last_factors_one_is_too_late(url: String) {
    let directory = seeded(&url).await;
    let kim = person("kim");
    for _ in 0..5 {
        let mut ids = Vec::new();
        for _ in 0..20 {
            let added = directory.add_factor(&kim, FactorMethod::Passkey, b"key", 0, NOW);
            ids.push(added.await.unwrap().unwrap().id);
        }
        let tabs: Vec<_> = ids
            .into_iter()
            .map(|id| {
                let (directory, kim) = (directory.clone(), kim.clone());
                tokio::spawn(async move { directory.remove_factor(&kim, &id, true).await.unwrap() })
            })
            .collect();
        let mut came = Vec::new();
        for tab in tabs {
            came.push(tab.await.unwrap());
        }
        let count = |wanted: Removal| came.iter().filter(|one| **one == wanted).count();
        assert_eq!((count(Removal::Removed), count(Removal::Last)), (19, 1));
        let left = directory.factors(&kim).await.unwrap();
        assert_eq!(left.len(), 1);
        let last = &left[0].id;
        // Nobody's and another's is not there, whatever is the last.
        let gone = directory.remove_factor(&person("lee"), last, true).await;
        assert_eq!(gone.unwrap(), Removal::Gone);
        let freely = directory.remove_factor(&kim, last, false).await;
        assert_eq!(freely.unwrap(), Removal::Removed);
        let gone = directory.remove_factor(&kim, last, true).await;
        assert_eq!(gone.unwrap(), Removal::Gone);
    }
}
