//! What the directory promises, over SQLite and over a real PostgreSQL: one suite for both.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "how a test reports"
)]

mod administration;
mod command;
mod factors;
mod failures;
mod imports;
mod keys;
mod links;
mod master_key;
mod people;
#[path = "../support/postgres.rs"]
mod postgres;
mod scim;
mod search_speed;
mod sign_on;

use std::future::Future;

use zeroize::Zeroizing;

use vestibule::directory::import::{ImportError, Imported};
use vestibule::directory::passwords::Hasher;
use vestibule::directory::seal::MasterKey;
use vestibule::directory::{Account, Directory, PasswordHash};
use vestibule::gate::name::{CompanyId, Login, PersonId, ProductId};
use vestibule::gate::time::Moment;

const NOW: Moment = Moment::from_secs(1_790_000_000);
const LATER: Moment = Moment::from_secs(1_790_000_060);
/// 'U*U', from Openwall's test vectors: cheap to check.
const BCRYPT: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

const SEED: &str = r#"{"kind":"company","id":"acme","name":"Acme Rehab"}
{"kind":"company","id":"bolt","name":"Bolt"}
{"kind":"person","id":"kim","company":"acme","name":"Kim Doe","email":"kim@example.com","phone":"+12025550123","roles":["company_admin","user_manager"],"grants":["analytics"]}
{"kind":"person","id":"lee","company":"bolt","name":"Åsa 100% Lee","email":"lee@example.com"}
{"kind":"account","product":"emr","login":" Kim ","person":"kim","password_hash":"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW","password_set_at":"2026-01-02T03:04:05Z","companies":["acme","bolt"],"default_company":"acme"}
{"kind":"account","product":"billing","login":"kd","password":"U*U*"}
{"kind":"account","product":"emr","login":"lee","person":"lee","password":"swordfish"}
"#;

macro_rules! suite {
    ($($room:ident::$name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    crate::$room::$name(format!("sqlite:{}", folder.path().join("d.db").display())).await;
                }
            )*
        }

        /// One test, since a test process of its own for each would start a server for each.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn postgresql_keeps_the_same_promises() {
            $(
                println!("{}", stringify!($name));
                $room::$name(postgres::database().await).await;
            )*
        }
    };
}

suite!(
    imports::an_import_is_read_back,
    imports::the_same_import_again_changes_nothing,
    imports::an_import_says_whose_sessions_must_end,
    imports::a_wrong_import_changes_nothing_and_lists_every_problem,
    imports::two_people_can_swap_accounts_in_one_import,
    imports::what_was_decided_by_hand_outlives_an_import,
    imports::a_password_changed_since_outlives_an_import,
    imports::an_authenticator_comes_with_a_new_person_and_never_again,
    scim::a_companys_directory_keeps_its_own_people,
    scim::groups_settle_roles,
    scim::a_large_group_costs_as_much_as_its_change,
    scim::of_two_companies_that_make_one_login_one_has_it,
    scim::who_leaves_for_another_company_leaves_its_groups,
    scim::tokens_and_identities_belong_to_one,
    scim::somebody_is_found_by_exactly_their_address,
    people::people_are_found_by_company_and_by_search_in_any_case,
    people::a_hash_is_upgraded_once_and_its_age_stays,
    factors::a_time_step_is_spent_by_one_of_twenty_racers,
    factors::a_person_has_one_authenticator,
    factors::of_many_who_remove_the_last_factors_one_is_too_late,
    factors::of_many_first_factors_one_is_added_whatever_their_methods,
    factors::secrets_are_sealed_under_the_master_key,
    keys::a_passkey_belongs_to_one_person,
    keys::of_twenty_proofs_by_one_passkey_one_is_kept,
    keys::a_recovery_code_works_once_for_its_person,
    keys::devices_are_remembered_listed_and_forgotten,
    people::a_grant_is_given_once_and_taken_back_once,
    people::of_three_who_grant_at_once_nobody_loses_another_s,
    people::the_managers_of_a_large_company_are_named,
    people::an_admin_switches_the_factor,
    people::the_language_of_the_last_sign_in_is_kept,
    people::signing_keys_are_shared_and_sealed,
    people::two_nodes_start_at_once,
    administration::a_companys_people_are_found_by_words_and_logins,
    administration::a_reset_takes_every_factor_and_voids_what_was_begun,
    administration::an_authenticator_is_replaced_in_one_step,
    administration::a_company_reads_its_own_lines_newest_first,
    links::of_twenty_who_pair_one_account_one_wins,
    links::a_person_pairs_one_account_of_a_product,
    links::a_password_that_changed_since_it_was_proved_pairs_nothing,
    links::a_reset_takes_every_link_but_the_sign_ins,
    links::the_last_passwords_are_remembered_and_no_more,
    links::of_twenty_changes_of_one_password_one_wins,
    sign_on::a_password_that_is_typed_for_a_person_is_theirs_alone,
    sign_on::a_refused_password_stays_refused_until_there_is_another,
    sign_on::a_reset_forgets_what_is_typed_but_for_the_sign_in,
    sign_on::a_login_that_another_system_vouches_for_becomes_an_account_once,
    sign_on::a_login_that_looks_like_another_is_a_guess_and_no_account,
    sign_on::a_name_that_is_used_again_leads_to_no_account_of_before,
    sign_on::however_a_name_is_spelt_it_is_one_account,
    sign_on::a_password_that_is_proved_again_was_not_what_was_refused,
    master_key::another_master_key_is_refused_and_leaves_nothing,
    master_key::a_new_master_key_takes_over_on_two_nodes_and_the_old_one_goes,
    master_key::a_reseal_that_is_broken_off_goes_on,
    master_key::of_many_reseals_at_once_each_row_is_done_by_one,
    master_key::nodes_say_which_master_keys_they_know,
    command::the_people_command_does_what_a_user_manager_can,
);

fn master() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

async fn open(url: &str) -> Directory {
    Directory::open(url, &master()).await.unwrap()
}

async fn seeded(url: &str) -> Directory {
    let directory = open(url).await;
    import(&directory, SEED).await.unwrap();
    directory
}

async fn import(directory: &Directory, text: &str) -> Result<Imported, ImportError> {
    directory
        .import(&Hasher::new(), text.as_bytes(), &products(), NOW)
        .await
}

fn products() -> Vec<ProductId> {
    ["emr", "billing", "analytics"].map(product).to_vec()
}

fn product(id: &str) -> ProductId {
    ProductId::parse(id).unwrap()
}

fn person(id: &str) -> PersonId {
    PersonId::parse(id).unwrap()
}

fn company(id: &str) -> CompanyId {
    CompanyId::parse(id).unwrap()
}

fn login(text: &str) -> Login {
    Login::parse(text).unwrap()
}

async fn account(directory: &Directory, id: &str, name: &str) -> Account {
    directory
        .account(&product(id), &login(name))
        .await
        .unwrap()
        .unwrap()
}

async fn opens(hash: PasswordHash, password: &str) -> bool {
    let password = Zeroizing::new(password.to_owned());
    Hasher::new()
        .verify(Some(hash), password)
        .await
        .unwrap()
        .correct
}

async fn racers<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    run: impl Fn() -> F,
) -> Vec<T> {
    let racers: Vec<_> = (0..20).map(|_| tokio::spawn(run())).collect();
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.unwrap());
    }
    answers
}
