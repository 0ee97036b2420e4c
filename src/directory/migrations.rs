//! The directory's schema, as it grew. A list instead of `sqlx::migrate!`: that macro alone would
//! compile sqlx, SQLite, rustls and tokio a second time, a fifth of a clean build.

use std::borrow::Cow;
use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../migrations/", $name, ".sql")))),+]
    };
}

/// Name and text of each, in order.
const TEXTS: [(&str, &str); 15] = migrations![
    "0001_people",
    "0002_factor_methods",
    "0003_keys",
    "0004_administration",
    "0006_passwords",
    "0007_sign_on",
    "0008_search_and_names",
    "0009_rollout",
    "0010_operations",
    "0011_elsewhere",
    "0012_master_keys",
    "0014_told_and_overdue",
    "0016_sign_on_lessons",
    "0017_managers",
    "0018_scim_mobile",
];

pub static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    Migrator::with_migrations(
        TEXTS
            .iter()
            .filter_map(|(name, text)| {
                let (version, description) = name.split_once('_')?;
                Some(Migration::new(
                    version.parse().ok()?,
                    Cow::Owned(description.replace('_', " ")),
                    MigrationType::Simple,
                    (*text).into_sql_str(),
                    false,
                ))
            })
            .collect(),
    )
});

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_listed_in_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> = TEXTS
            .iter()
            .map(|(name, _)| format!("{name}.sql"))
            .collect();
        assert_eq!(listed, files);
        assert_eq!(MIGRATIONS.iter().count(), files.len());
        assert!(MIGRATIONS.iter().is_sorted_by_key(|one| one.version));
    }
}
