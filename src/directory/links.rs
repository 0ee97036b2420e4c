//! Links: which person an account belongs to. That of two who pair the same account one wins is
//! decided in one statement, by the database.

use super::pool::Value;
use super::search::write_words_of;
use super::{Account, Directory, DirectoryError, sql};
use crate::gate::name::{PersonId, ProductId};

/// What became of a pairing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairing {
    Paired,
    /// It is this person's already.
    Theirs,
    /// Somebody else was first.
    Taken(PersonId),
    /// The person has another account of this product.
    Another,
    /// The account, or its password, is not what was proved a moment ago.
    Changed,
}

impl Directory {
    /// Links an account whose password was just proved with a person. `account` is as it was read
    /// for the proof: nothing is linked when its password is another one by now.
    pub async fn pair(
        &self,
        account: &Account,
        person: &PersonId,
    ) -> Result<Pairing, DirectoryError> {
        let values = [
            Value::Text(account.product.as_str()),
            Value::Text(account.login.as_str()),
            Value::Text(person.as_str()),
            Value::Text(&account.password_hash.0),
        ];
        match self.pool().write(sql::ACCOUNT_PAIR, &values).await {
            Ok(1..) => {
                // What user managers find them by: a pairing stands without it too.
                if let Err(error) = self.write_words(person).await {
                    tracing::warn!(%error, "a paired login is not found by search yet");
                }
                return Ok(Pairing::Paired);
            }
            // The unique index: another account of this product was paired at the same moment.
            Ok(0) | Err(DirectoryError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        let now = self.account(&account.product, &account.login).await?;
        match now.and_then(|account| account.person) {
            Some(holder) if holder == *person => return Ok(Pairing::Theirs),
            Some(holder) => return Ok(Pairing::Taken(holder)),
            None => {}
        }
        let others = self.accounts_of(person).await?;
        let has_another = others.iter().any(|other| other.product == account.product);
        Ok(if has_another {
            Pairing::Another
        } else {
            Pairing::Changed
        })
    }

    /// Takes away every link of a person but that of `kept`, the product they sign in with, and
    /// with them the choice of a default application. Returns the products. The caller ends the
    /// person's presence there.
    pub async fn unpair(
        &self,
        person: &PersonId,
        kept: &ProductId,
    ) -> Result<Vec<ProductId>, DirectoryError> {
        let values = [Value::Text(person.as_str()), Value::Text(kept.as_str())];
        let mut transaction = self.pool().begin().await?;
        transaction
            .write(sql::ACCOUNT_NAMES_FORGET, &values)
            .await?;
        let rows = transaction.rows(sql::ACCOUNTS_UNPAIR, &values).await?;
        let mut products = Vec::with_capacity(rows.len());
        for row in &rows {
            products.push(row.parsed("product")?);
        }
        // A password is kept for a link and goes with it.
        transaction
            .write(sql::SIGN_ON_SECRETS_FORGET, &values)
            .await?;
        let values = [Value::Text(person.as_str()), Value::TextOrNull(None)];
        transaction
            .write(sql::PERSON_DEFAULT_PRODUCT, &values)
            .await?;
        write_words_of(&mut transaction, person).await?;
        transaction.commit().await?;
        products.sort();
        Ok(products)
    }
}
