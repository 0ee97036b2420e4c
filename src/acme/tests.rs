//! What is kept of certificates, on disk and in the store.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::notes::Sealing;
use super::proofs::Proof;
use super::*;
use crate::directory::seal::{MasterKey, Seal};
use crate::gate::host::Host;
use crate::gate::renewal::Attempts;
use crate::gate::time::Moment;
use crate::sessions::embedded::EmbeddedStore;
use crate::sessions::store::Store;

const NOW: Moment = Moment::from_secs(1_795_269_900);
const DIRECTORY: &str = "https://acme.example.org/directory";

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

/// Key and certificate of a name, valid from 2026-11-01 to the day.
fn made(name: &str, (year, month, day): (i32, u8, u8)) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 11, 1);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (key.serialize_pem(), certificate.pem())
}

fn bundle(name: &str) -> Bundle {
    let (key, chain) = made(name, (2027, 1, 30));
    Bundle::made(&key, &chain, &host(name), NOW).unwrap()
}

async fn store(folder: &Path) -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::open(folder).await.unwrap())
}

fn seal(byte: u8) -> Sealing {
    let seal = Arc::new(Seal::under(&MasterKey::from_bytes([byte; 32])).unwrap());
    Arc::new(move || Arc::clone(&seal))
}

#[test]
fn only_what_fits_this_host_and_this_hour_is_good() {
    let emr = host("emr.test");
    let (key, chain) = made("emr.test", (2027, 1, 30));
    let good = Bundle::made(&key, &chain, &emr, NOW).unwrap();
    assert_eq!(good.term().ends.to_rfc3339(), "2027-01-30T00:00:00.000Z");
    assert!(!format!("{good:?}").contains("KEY"), "{good:?}");
    let (other_key, _) = made("emr.test", (2027, 1, 30));
    let (ended_key, ended) = made("emr.test", (2026, 11, 20));
    for (key, chain, host, why) in [
        (&other_key, &chain, "emr.test", "don't fit"),
        (&key, &chain, "billing.test", "does not name billing.test"),
        (&ended_key, &ended, "emr.test", "it holds from"),
        (&key, &String::new(), "emr.test", "holds no certificate"),
        (&String::new(), &chain, "emr.test", "the key"),
    ] {
        let told = Bundle::made(key, chain, &self::host(host), NOW)
            .unwrap_err()
            .to_string();
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn what_stands_on_the_shelf_is_private_and_never_half() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::of(folder.path(), DIRECTORY);
    let emr = host("emr.test");
    assert!(shelf.read(&emr).is_none());
    let first = bundle("emr.test");
    shelf.write(&emr, &first).unwrap();
    assert_eq!(shelf.read(&emr).unwrap().expose(), first.expose());
    let mode = shelf.path(&emr).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // A disk that takes nothing: the one before stays.
    let second = bundle("emr.test");
    let beside = shelf
        .path(&emr)
        .with_extension(format!("{}.new", std::process::id()));
    std::fs::create_dir(&beside).unwrap();
    assert!(shelf.write(&emr, &second).is_err());
    assert_eq!(shelf.read(&emr).unwrap().expose(), first.expose());
    std::fs::remove_dir(&beside).unwrap();

    std::fs::write(shelf.path(&emr), &first.expose()[..300]).unwrap();
    assert!(
        shelf.read(&emr).is_none(),
        "a broken one is as good as none"
    );
    shelf.write(&emr, &second).unwrap();
    assert_eq!(shelf.read(&emr).unwrap().expose(), second.expose());
}

#[test]
fn another_authority_has_another_shelf() {
    let of = |directory| Shelf::of(Path::new("data"), directory);
    let (a, b) = (of(DIRECTORY), of("https://acme.example.org/staging"));
    assert_ne!(a, b);
    assert!(a.name().starts_with("acme.example.org-"), "{}", a.name());
    assert_eq!(a, of(DIRECTORY));
}

#[tokio::test]
async fn of_two_who_begin_one_may_and_failures_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let emr = host("emr.test");
    {
        let notes = Notes::new(store(folder.path()).await, seal(1));
        let (one, two) = (
            notes.attempts("a", &emr, NOW).await.unwrap(),
            notes.attempts("a", &emr, NOW).await.unwrap(),
        );
        assert_eq!(one.attempts, Attempts::NONE);
        let begun = Attempts::NONE.begun(NOW, 0);
        assert!(notes.swap(&one, begun, NOW).await.unwrap().is_some());
        let late = Attempts::NONE.begun(NOW, 1);
        assert!(notes.swap(&two, late, NOW).await.unwrap().is_none());
    }
    let notes = Notes::new(store(folder.path()).await, seal(1));
    let noted = notes.attempts("a", &emr, NOW).await.unwrap();
    assert_eq!(noted.attempts, Attempts::NONE.begun(NOW, 0));
    let other = notes.attempts("b", &emr, NOW).await.unwrap();
    assert_eq!(other.attempts, Attempts::NONE, "of another authority");
    notes.clear(&noted, NOW).await.unwrap();
    let noted = notes.attempts("a", &emr, NOW).await.unwrap();
    assert_eq!(noted.attempts, Attempts::NONE);
}

#[tokio::test]
async fn what_is_shared_is_sealed_and_ends_with_its_term() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let emr = host("emr.test");
    let notes = Notes::new(Arc::clone(&store), seal(1));
    let shared = bundle("emr.test");
    notes.share("a", &emr, &shared, NOW).await.unwrap();
    let raw = store.state("acme-bundle:a:emr.test", NOW).await.unwrap();
    let raw = String::from_utf8_lossy(&raw.unwrap()).into_owned();
    assert!(!raw.contains("PRIVATE KEY") && !raw.contains("CERTIFICATE"));

    let found = notes.shared("a", &emr, NOW).await.unwrap().unwrap();
    assert_eq!(found.expose(), shared.expose());
    let later = shared.term().ends;
    assert!(notes.shared("a", &emr, later).await.unwrap().is_none());
    let nobodys = Notes::new(store, seal(2));
    assert!(nobodys.shared("a", &emr, NOW).await.unwrap().is_none());
}

#[tokio::test]
async fn a_pause_is_everybodys_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let notes = Notes::new(store(folder.path()).await, seal(1));
    assert_eq!(notes.paused("a", NOW).await.unwrap(), None);
    let hour = Duration::from_secs(3600);
    notes.pause("a", hour, NOW).await.unwrap();
    assert_eq!(notes.paused("a", NOW).await.unwrap(), Some(NOW.plus(hour)));
    assert_eq!(notes.paused("b", NOW).await.unwrap(), None);
    assert_eq!(notes.paused("a", NOW.plus(hour)).await.unwrap(), None);
}

#[tokio::test]
async fn proofs_hang_out_until_they_are_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let proofs = Proofs::new(store(folder.path()).await);
    let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
    let proof = Proof::over_http(token, "token.thumbprint").unwrap();
    proofs.hang_out(&proof, NOW).await.unwrap();
    let seen = proofs.over_http(token, NOW).await.unwrap();
    assert_eq!(seen.as_deref(), Some("token.thumbprint"));
    proofs.take_in(&proof, NOW).await.unwrap();
    assert_eq!(proofs.over_http(token, NOW).await.unwrap(), None);
    for none in ["", "../x", "a b", "a:b", &"a".repeat(129)] {
        assert_eq!(Proof::over_http(none, "x"), None, "{none}");
    }

    let emr = host("emr.test");
    let proof = Proof::in_handshake(&emr, &[7; 32]);
    proofs.hang_out(&proof, NOW).await.unwrap();
    assert_eq!(proofs.in_handshake(&emr, NOW).await.unwrap(), Some([7; 32]));
    let other = host("billing.test");
    assert_eq!(proofs.in_handshake(&other, NOW).await.unwrap(), None);
}

#[test]
fn what_an_authority_says_can_t_break_a_log() {
    let said = plain(&format!("no\n{}\u{1b}[31m", "x".repeat(500)));
    assert!(said.starts_with("no x") && said.chars().count() == LONGEST_WORDS);
}
