//! Another master key takes over while nodes work.

use std::pin::pin;
use std::task::Poll;

use vestibule::directory::{DirectoryError, Purpose, SignOnPlace, TypedCredentials};
use vestibule::gate::policy::FactorMethod;

use super::*;

/// The old key, then with a new one that is known, then used, then alone.
fn turns() -> [MasterKey; 4] {
    let old = master();
    let staged = old.with_staged([8; 32]).unwrap();
    let used = staged.with_staged_in_use().unwrap();
    let alone = used.newest_alone().unwrap();
    [old, staged, used, alone]
}

fn place() -> SignOnPlace {
    SignOnPlace {
        product: product("billing"),
        login: login("kd"),
        account_of: product("billing"),
        person: person("kim"),
    }
}

/// One of each kind of secret.
struct Secrets {
    totp: String,
}

impl Secrets {
    /// Rows that are sealed: an authenticator, a passkey, a signing key, a typed password, and the four
    /// keys that are derived once.
    const ROWS: u64 = 8;

    async fn keep(directory: &Directory) -> Secrets {
        let kim = person("kim");
        let totp = directory.add_totp(&kim, b"kim's totp", 1, NOW).await;
        directory
            .add_passkey(
                &person("lee"),
                (b"credential", b"lee's passkey"),
                false,
                NOW,
            )
            .await
            .unwrap()
            .unwrap();
        directory
            .add_signing_key("k1", b"pkcs8", NOW)
            .await
            .unwrap();
        let typed = TypedCredentials {
            username: String::from("Kd"),
            password: Zeroizing::new(String::from("typed")),
        };
        directory
            .keep_sign_on_secret(&place(), &typed, NOW)
            .await
            .unwrap();
        directory
            .replace_recovery_codes(&kim, &["one", "two", "three", "four"], NOW)
            .await
            .unwrap();
        Secrets {
            totp: totp.unwrap().unwrap().id,
        }
    }

    /// All of it is what it was; `code` is a recovery code that was not used yet.
    async fn open(&self, directory: &Directory, code: &str) {
        let totp = directory.factor_secret(&self.totp).await.unwrap().unwrap();
        assert_eq!(&**totp, b"kim's totp");
        let passkeys = directory.passkeys(&person("lee")).await.unwrap();
        assert_eq!(passkeys[0].record.as_slice(), b"lee's passkey");
        let keys = directory.signing_keys().await.unwrap();
        assert_eq!(keys[0].pkcs8.as_slice(), b"pkcs8");
        let typed = directory.sign_on_secret(&place()).await.unwrap().unwrap();
        assert_eq!(&**typed.credentials.password, "typed");
        assert!(
            directory
                .spend_recovery_code(&person("kim"), code, LATER)
                .await
                .unwrap(),
            "the code {code}"
        );
    }
}

fn derived(directory: &Directory) -> Vec<Vec<u8>> {
    [Purpose::SessionTokens, Purpose::KeptForms, Purpose::Portal]
        .map(|purpose| directory.derived_key(purpose).to_vec())
        .to_vec()
}

pub(crate) async fn another_master_key_is_refused_and_leaves_nothing(url: String) {
    drop(open(&url).await);
    let other = Directory::open(&url, &MasterKey::from_bytes([9; 32])).await;
    let refused = other.unwrap_err();
    assert!(matches!(refused, DirectoryError::OtherMasterKey));
    assert!(refused.to_string().contains("another master key"));
    drop(open(&url).await);
}

pub(crate) async fn a_new_master_key_takes_over_on_two_nodes_and_the_old_one_goes(url: String) {
    let [old, staged, used, alone] = turns();
    let (a, b) = (seeded(&url).await, open(&url).await);
    let secrets = Secrets::keep(&a).await;
    let before = derived(&a);
    a.take_over_master_key(&staged).await.unwrap();
    b.take_over_master_key(&staged).await.unwrap();

    a.take_over_master_key(&used).await.unwrap();
    let round = a.reseal().await.unwrap();
    assert_eq!((round.done, round.current), (Secrets::ROWS, 0));
    assert!(round.is_whole());
    // The other one knows the new key and seals with the old one still.
    secrets.open(&a, "one").await;
    secrets.open(&b, "two").await;
    let late = b
        .add_factor(&person("kim"), FactorMethod::Sms, b"late", 0, LATER)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        &**a.factor_secret(&late.id).await.unwrap().unwrap(),
        b"late"
    );
    b.take_over_master_key(&used).await.unwrap();
    let round = b.reseal().await.unwrap();
    assert_eq!((round.done, round.current), (1, Secrets::ROWS));

    a.take_over_master_key(&alone).await.unwrap();
    secrets.open(&a, "three").await;
    let new = Directory::open(&url, &alone).await.unwrap();
    secrets.open(&new, "four").await;
    for node in [&a, &b, &new] {
        assert_eq!(derived(node), before);
    }
    // A node that comes up with the old key is told; one that is given it keeps what it has.
    let behind = Directory::open(&url, &old).await.unwrap_err();
    assert!(matches!(behind, DirectoryError::OtherMasterKey));
    assert!(b.take_over_master_key(&old).await.is_err());
    assert_eq!(b.seal().seals_with(), used.seals_with());
}

pub(crate) async fn a_reseal_that_is_broken_off_goes_on(url: String) {
    let [_, staged, used, alone] = turns();
    let directory = seeded(&url).await;
    let secrets = Secrets::keep(&directory).await;
    directory.take_over_master_key(&staged).await.unwrap();
    directory.take_over_master_key(&used).await.unwrap();
    // Wherever it was when the process died: after one step, after two, and so on to the end.
    let mut broken_off = 0;
    for steps in 1.. {
        let mut round = pin!(directory.reseal());
        let mut left = steps;
        let ended = std::future::poll_fn(|context| match left {
            0 => Poll::Ready(None),
            _ => {
                left -= 1;
                round.as_mut().poll(context).map(Some)
            }
        });
        match ended.await {
            Some(round) => {
                assert!(round.unwrap().is_whole());
                break;
            }
            None => broken_off += 1,
        }
    }
    assert!(broken_off > 0);
    let round = directory.reseal().await.unwrap();
    assert_eq!((round.done, round.current), (0, Secrets::ROWS));
    let alone = Directory::open(&url, &alone).await.unwrap();
    secrets.open(&alone, "one").await;
}

pub(crate) async fn of_many_reseals_at_once_each_row_is_done_by_one(url: String) {
    let [_, staged, used, _] = turns();
    let directory = seeded(&url).await;
    let secrets = Secrets::keep(&directory).await;
    directory.take_over_master_key(&staged).await.unwrap();
    directory.take_over_master_key(&used).await.unwrap();
    let lee = person("lee");
    let rounds = racers(|| {
        let (directory, lee) = (directory.clone(), lee.clone());
        async move {
            // Meanwhile the passkey is used: whoever comes later, its last use stays.
            let read = directory.passkeys(&lee).await.unwrap().remove(0);
            let record = read.record.clone();
            directory
                .use_passkey(&lee, &read, &record, LATER)
                .await
                .unwrap();
            directory.reseal().await.unwrap()
        }
    })
    .await;
    assert!(rounds.iter().all(|round| round.unreadable == 0));
    let done: u64 = rounds.iter().map(|round| round.done).sum();
    assert!(done <= Secrets::ROWS, "{done}");
    let round = directory.reseal().await.unwrap();
    assert_eq!((round.done, round.current), (0, Secrets::ROWS));
    secrets.open(&directory, "one").await;
}

pub(crate) async fn nodes_say_which_master_keys_they_know(url: String) {
    let [old, staged, used, _] = turns();
    let directory = open(&url).await;
    directory.node_runs("n1", "north", NOW).await.unwrap();
    directory.take_over_master_key(&staged).await.unwrap();
    directory.take_over_master_key(&used).await.unwrap();
    directory.node_runs("n2", "south", LATER).await.unwrap();
    let nodes = directory.nodes(NOW).await.unwrap();
    let known: Vec<_> = nodes
        .iter()
        .map(|node| (node.name.as_str(), node.master_keys.clone()))
        .collect();
    assert_eq!(
        known,
        [
            ("north", vec![old.seals_with()]),
            ("south", vec![used.seals_with(), old.seals_with()])
        ]
    );
    assert_eq!(directory.nodes(LATER).await.unwrap().len(), 1);
    directory.node_stops("n2", NOW).await.unwrap();
    assert_eq!(directory.nodes(NOW).await.unwrap()[0].name, "north");
    directory.node_stops("n2", LATER).await.unwrap();
    assert!(directory.nodes(NOW).await.unwrap().is_empty(), "long gone");

    let name = used.seals_with();
    assert_eq!(directory.master_key_used_at(&name).await.unwrap(), None);
    for at in [NOW, LATER] {
        directory.master_key_used(&name, at).await.unwrap();
    }
    let since = directory.master_key_used_at(&name).await.unwrap();
    assert_eq!(since, Some(NOW), "the first use counts");
}

/// As somebody with a way into the database could.
async fn raw(url: &str) -> sqlx::SqlitePool {
    sqlx::SqlitePool::connect(url).await.unwrap()
}

#[tokio::test]
async fn what_does_not_open_is_named_and_everything_else_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("d.db").display());
    let directory = seeded(&url).await;
    let secrets = Secrets::keep(&directory).await;
    let [_, staged, used, _] = turns();
    directory.take_over_master_key(&staged).await.unwrap();
    directory.take_over_master_key(&used).await.unwrap();
    sqlx::query("UPDATE factors SET secret = (SELECT pkcs8 FROM signing_keys) WHERE id = $1")
        .bind(&secrets.totp)
        .execute(&raw(&url).await)
        .await
        .unwrap();
    let round = directory.reseal().await.unwrap();
    assert_eq!((round.done, round.unreadable), (Secrets::ROWS - 1, 1));
    assert!(!round.is_whole());
    assert_eq!(round.named, [format!("factors {} kim", secrets.totp)]);
}

#[tokio::test]
async fn a_directory_from_before_is_given_its_derived_keys_by_the_right_master_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("d.db").display());
    let directory = seeded(&url).await;
    let secrets = Secrets::keep(&directory).await;
    let before = derived(&directory);
    directory.close().await;
    let raw = raw(&url).await;
    sqlx::query("DELETE FROM derived_keys")
        .execute(&raw)
        .await
        .unwrap();
    let refused = Directory::open(&url, &MasterKey::from_bytes([9; 32])).await;
    assert!(matches!(
        refused.unwrap_err(),
        DirectoryError::OtherMasterKey
    ));
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM derived_keys")
        .fetch_one(&raw)
        .await
        .unwrap();
    assert_eq!(left, 0, "nothing is sealed under a wrong key");
    let again = open(&url).await;
    assert_eq!(derived(&again), before);
    secrets.open(&again, "one").await;
}
