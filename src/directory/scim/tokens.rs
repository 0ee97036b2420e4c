//! What a company's directory proves itself with.

use crate::directory::factors::random_id;
use crate::directory::pool::{Row, Value};
use crate::directory::{Directory, DirectoryError, sql};
use crate::gate::name::CompanyId;
use crate::gate::session::SecretHash;
use crate::gate::time::Moment;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimToken {
    /// Not a secret: it names the token in lists and in the audit trail.
    pub id: String,
    pub company: CompanyId,
    pub name: String,
    pub made_at: Moment,
    pub last_used_at: Option<Moment>,
}

impl Directory {
    /// Notes a new token by its hash; returns its id.
    ///
    /// # Errors
    /// `Unknown` when there is no such company.
    pub async fn add_scim_token(
        &self,
        company: &CompanyId,
        name: &str,
        hash: &SecretHash,
        now: Moment,
    ) -> Result<String, DirectoryError> {
        if self.company(company).await?.is_none() {
            return Err(DirectoryError::Unknown(format!("company {company}")));
        }
        let (id, hash) = (random_id()?, hash.to_text());
        let values = [
            Value::Text(&id),
            Value::Text(company.as_str()),
            Value::Text(name),
            Value::Text(&hash),
            Value::Number(now.millis()),
        ];
        self.pool().write(sql::SCIM_TOKEN_ADD, &values).await?;
        Ok(id)
    }

    pub async fn scim_token(&self, hash: &SecretHash) -> Result<Option<ScimToken>, DirectoryError> {
        let hash = hash.to_text();
        let row = self
            .pool()
            .row(sql::SCIM_TOKEN, &[Value::Text(&hash)])
            .await?;
        row.as_ref().map(ScimToken::read).transpose()
    }

    /// All tokens, by company and age.
    pub async fn scim_tokens(&self) -> Result<Vec<ScimToken>, DirectoryError> {
        let rows = self.pool().rows(sql::SCIM_TOKENS, &[]).await?;
        rows.iter().map(ScimToken::read).collect()
    }

    pub async fn use_scim_token(&self, id: &str, now: Moment) -> Result<(), DirectoryError> {
        let values = [Value::Text(id), Value::Number(now.millis())];
        self.pool().write(sql::SCIM_TOKEN_USE, &values).await?;
        Ok(())
    }

    /// False when there is none of this id.
    pub async fn revoke_scim_token(&self, id: &str) -> Result<bool, DirectoryError> {
        let values = [Value::Text(id)];
        Ok(self.pool().write(sql::SCIM_TOKEN_REVOKE, &values).await? == 1)
    }
}

impl ScimToken {
    fn read(row: &Row) -> Result<ScimToken, DirectoryError> {
        let last_used_at: Option<i64> = row.value("last_used_at")?;
        Ok(ScimToken {
            id: row.value("id")?,
            company: row.parsed("company_id")?,
            name: row.value("name")?,
            made_at: Moment::from_millis(row.value("made_at")?),
            last_used_at: last_used_at.map(Moment::from_millis),
        })
    }
}
