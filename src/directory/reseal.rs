//! Another master key takes over: what was sealed under the one before is sealed anew, row by row, while
//! everybody works. Broken off, it goes on where it was.

use std::sync::Arc;

use super::pool::{Row, Value};
use super::seal::{MasterKey, RowName, Seal};
use super::{Directory, DirectoryError, sql};

/// Rows that are read at a time.
const PAGE: i64 = 200;
/// Rounds for what others change meanwhile.
const ROUNDS: usize = 5;
/// Rows that are named when they don't open.
const MOST_NAMED: usize = 20;

/// Where sealed values stand. Each column `BYTEA` of the schema is here, or says elsewhere why not.
const PLACES: [Place; 4] = [
    Place {
        table: "factors",
        column: "secret",
        // The row's key, and the person that the seal is bound to beside it.
        read: sql::FACTORS_SEALED,
        write: sql::FACTORS_RESEAL,
        key: |key| format!("{}:{}", key.third, key.first),
    },
    Place {
        table: "signing_keys",
        column: "pkcs8",
        read: sql::SIGNING_KEYS_SEALED,
        write: sql::SIGNING_KEYS_RESEAL,
        key: |key| key.first.clone(),
    },
    Place {
        table: "sign_on_secrets",
        column: "secret",
        read: sql::SIGN_ON_SECRETS_SEALED,
        write: sql::SIGN_ON_SECRETS_RESEAL,
        key: |key| [&*key.first, &key.second, &key.third].join("\0"),
    },
    Place {
        table: "derived_keys",
        column: "secret",
        read: sql::DERIVED_KEYS_SEALED,
        write: sql::DERIVED_KEYS_RESEAL,
        key: |key| key.first.clone(),
    },
];

struct Place {
    table: &'static str,
    column: &'static str,
    read: &'static str,
    /// Only in the place of what was read: what was replaced meanwhile stays replaced.
    write: &'static str,
    /// What the seal is bound to.
    key: fn(&Key) -> String,
}

#[derive(Default)]
struct Key {
    first: String,
    second: String,
    third: String,
}

/// What a round over the directory came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Sealed under the newest key now.
    pub done: u64,
    /// Were so before.
    pub current: u64,
    /// Changed by others again and again: another round finds them.
    pub missed: u64,
    /// Under no key that is known, or changed by hand: how many, and the first of them by name.
    pub unreadable: u64,
    pub named: Vec<String>,
}

impl Resealed {
    /// Whether nothing needs any key but the newest.
    pub fn is_whole(&self) -> bool {
        self.missed == 0 && self.unreadable == 0
    }
}

impl Directory {
    /// Takes over the keys of a file that changed.
    ///
    /// # Errors
    /// `OtherMasterKey` when they don't open what the directory holds; the keys from before stay.
    pub async fn take_over_master_key(&self, master: &MasterKey) -> Result<(), DirectoryError> {
        let seal = Seal::under(master)?;
        self.judge_master_key(&seal).await?;
        self.inner.seal.store(Arc::new(seal));
        Ok(())
    }

    /// Seals everything anew that is not sealed under the newest key.
    ///
    /// # Errors
    /// When the database fails; what was done before stays done.
    pub async fn reseal(&self) -> Result<Resealed, DirectoryError> {
        let mut all = self.reseal_round().await?;
        for _ in 1..ROUNDS {
            if all.missed == 0 {
                break;
            }
            let again = self.reseal_round().await?;
            all = Resealed {
                done: all.done + again.done,
                current: again.current.saturating_sub(all.done),
                ..again
            };
        }
        Ok(all)
    }

    async fn reseal_round(&self) -> Result<Resealed, DirectoryError> {
        let mut all = Resealed::default();
        for place in &PLACES {
            let mut last = Key::default();
            loop {
                let values = [
                    Value::Text(&last.first),
                    Value::Text(&last.second),
                    Value::Number(PAGE),
                ];
                let rows = self.pool().rows(place.read, &values).await?;
                for row in &rows {
                    last = Key::read(row)?;
                    let sealed: Vec<u8> = row.value("sealed")?;
                    self.reseal_one(place, &last, &sealed, &mut all).await?;
                }
                if rows.is_empty() {
                    break;
                }
            }
        }
        Ok(all)
    }

    async fn reseal_one(
        &self,
        place: &Place,
        key: &Key,
        sealed: &[u8],
        all: &mut Resealed,
    ) -> Result<(), DirectoryError> {
        let seal = self.seal();
        let bound = (place.key)(key);
        let row = RowName {
            table: place.table,
            column: place.column,
            key: &bound,
        };
        // What is current is opened too: a key is let go of only when everything else is readable.
        let Ok(plain) = seal.open(sealed, &row) else {
            all.unreadable += 1;
            if all.named.len() < MOST_NAMED {
                all.named.push(key.named(place.table));
            }
            return Ok(());
        };
        if seal.is_current(sealed) {
            all.current += 1;
            return Ok(());
        }
        let fresh = seal.seal(&plain, &row)?;
        let values = [
            Value::Text(&key.first),
            Value::Text(&key.second),
            Value::Bytes(&fresh),
            Value::Bytes(sealed),
        ];
        match self.pool().write(place.write, &values).await? {
            0 => all.missed += 1,
            _ => all.done += 1,
        }
        Ok(())
    }
}

impl Key {
    fn read(row: &Row) -> Result<Key, DirectoryError> {
        Ok(Key {
            first: row.value("k1")?,
            second: row.value("k2")?,
            third: row.value("k3")?,
        })
    }

    /// For the operator, who has to find it.
    fn named(&self, table: &str) -> String {
        let parts = [&*self.first, &self.second, &self.third];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{table} {}", parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Bytes that are no secret: hashes of words, for searching.
    const OPEN: [(&str, &str); 1] = [("people_words", "word")];

    #[test]
    fn every_sealed_column_of_the_schema_is_sealed_anew() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        let mut found = Vec::new();
        for file in files {
            let mut table = String::new();
            for line in fs::read_to_string(&file).unwrap().lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    ["--", ..] => {}
                    ["CREATE", "TABLE", name, ..] | ["ALTER", "TABLE", name, ..] => {
                        table = (*name).to_owned();
                        assert!(!line.contains("BYTEA"), "a line for each column: {line}");
                    }
                    [column, "BYTEA", ..] | ["ADD", "COLUMN", column, "BYTEA", ..] => {
                        found.push((table.clone(), (*column).to_owned()));
                    }
                    words => assert!(!words.contains(&"BYTEA"), "{}: {line}", file.display()),
                }
            }
        }
        let mut known: Vec<(String, String)> = PLACES
            .iter()
            .map(|place| (place.table, place.column))
            .chain(OPEN)
            .map(|(table, column)| (table.to_owned(), column.to_owned()))
            .collect();
        known.sort();
        found.sort();
        assert_eq!(found, known);
    }
}
