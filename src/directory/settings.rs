//! What a company's admin decides in Company Settings.

use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::policy::{ByCompany, Switched};
use crate::gate::time::Moment;

impl Directory {
    /// Companies whose admin switched multi-factor authentication on.
    pub async fn factor_switched_on(&self) -> Result<ByCompany<Switched>, DirectoryError> {
        let rows = self.pool().rows(sql::FACTOR_SWITCHED_ON, &[]).await?;
        let switched = rows.iter().map(|row| {
            let at: Option<i64> = row.value("factor_switched_at")?;
            let spares = row.value::<i64>("factor_spares_signed_in")? != 0;
            let spares_before = at.filter(|_| spares).map(Moment::from_millis);
            Ok((row.parsed("id")?, Switched { spares_before }))
        });
        switched.collect()
    }

    /// `on`: and what becomes of those who are signed in.
    ///
    /// # Errors
    /// `Unknown` when there is no such company.
    pub async fn switch_factor(
        &self,
        company: &CompanyId,
        on: Option<Switched>,
        by: &PersonId,
        now: Moment,
    ) -> Result<(), DirectoryError> {
        let spares_before = on.and_then(|switched| switched.spares_before);
        let values = [
            Value::Text(company.as_str()),
            Value::Number(i64::from(on.is_some())),
            Value::Text(by.as_str()),
            Value::Number(spares_before.unwrap_or(now).millis()),
            Value::Number(i64::from(spares_before.is_some())),
        ];
        match self.pool().write(sql::FACTOR_SWITCH, &values).await? {
            0 => Err(DirectoryError::Unknown(format!("company {company}"))),
            _ => Ok(()),
        }
    }
}
