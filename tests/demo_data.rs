//! The demo's people and policies are such as the program itself takes.

// A failed expectation is how a test reports, in what it is built from too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::Path;

use vestibule::config::{self, ProductIds, Settings};
use vestibule::demo;
use vestibule::directory::Directory;
use vestibule::directory::import::Tally;
use vestibule::directory::passwords::Hasher;
use vestibule::directory::seal::MasterKey;
use vestibule::gate::name::{CompanyId, PersonId, ProductId};
use vestibule::gate::policy::MfaMode;
use vestibule::gate::time::Moment;
use vestibule::policies::{Base, PolicyFolder};

const NOW: Moment = Moment::from_secs(1_790_000_000);

/// The sample configuration, whose three products are the demo's.
fn settings() -> Settings {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.toml");
    config::load(&file, std::iter::empty(), &[]).expect("gateway.toml is right")
}

#[tokio::test]
async fn everybody_of_the_demo_can_be_imported() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("people.db").display());
    let directory = Directory::open(&url, &MasterKey::from_bytes([7; 32]))
        .await
        .unwrap();
    let products: Vec<ProductId> = ["emr", "billing", "analytics"]
        .map(|id| ProductId::parse(id).unwrap())
        .into();

    let imported = directory
        .import(&Hasher::new(), demo::seed().as_bytes(), &products, NOW)
        .await
        .unwrap();
    let added = |added| Tally {
        added,
        ..Tally::default()
    };
    assert_eq!(imported.companies, added(2));
    assert_eq!(imported.people, added(7));
    assert_eq!(imported.accounts, added(demo::people().len()));

    let ada = PersonId::parse("ada").unwrap();
    assert_eq!(
        directory.person(&ada).await.unwrap().unwrap().name,
        "Ada Nováková"
    );
    let accounts = directory.accounts_of(&ada).await.unwrap();
    let billing = accounts
        .iter()
        .find(|account| account.product == products[1])
        .unwrap();
    assert_eq!(billing.companies.len(), 2);
    let sam = directory
        .accounts_of(&PersonId::parse("sam").unwrap())
        .await
        .unwrap();
    assert_eq!(sam.len(), 1, "Sam's Billing account waits to be paired");
}

#[test]
fn the_demos_policies_are_clean_and_northside_asks_for_a_factor() {
    let settings = settings();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in demo::policies() {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let base = Base {
        session: settings.session,
        rollout: settings.rollout.clone(),
        products: settings.products.clone(),
    };
    let products = ProductIds::of(settings.products.iter().map(|product| product.id.clone()));
    PolicyFolder::examine(folder.path(), products).expect("no problem");
    let policies = PolicyFolder::open(folder.path(), base)
        .expect("a folder")
        .published()
        .load_full();
    let mode = |company| policies.of(&CompanyId::parse(company).unwrap()).mfa.mode;
    assert_eq!(mode("acme-rehab"), MfaMode::Company);
    assert_eq!(mode("northside"), MfaMode::Required);
    assert_eq!(mode("anybody-else"), MfaMode::Required);
}
