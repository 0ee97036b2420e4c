//! What a company's admin decides in Company Settings.

use std::collections::HashSet;

use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::time::Moment;

impl Directory {
    /// Companies whose admin switched multi-factor authentication on.
    pub async fn factor_switched_on(&self) -> Result<HashSet<CompanyId>, DirectoryError> {
        let rows = self.pool().rows(sql::FACTOR_SWITCHED_ON, &[]).await?;
        rows.iter().map(|row| row.parsed("id")).collect()
    }

    /// # Errors
    /// `Unknown` when there is no such company.
    pub async fn switch_factor(
        &self,
        company: &CompanyId,
        on: bool,
        by: &PersonId,
        now: Moment,
    ) -> Result<(), DirectoryError> {
        let values = [
            Value::Text(company.as_str()),
            Value::Number(i64::from(on)),
            Value::Text(by.as_str()),
            Value::Number(now.millis()),
        ];
        match self.pool().write(sql::FACTOR_SWITCH, &values).await? {
            0 => Err(DirectoryError::Unknown(format!("company {company}"))),
            _ => Ok(()),
        }
    }
}
