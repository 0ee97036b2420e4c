//! Releasing a feature step by step: who has it, how people fared with it, and whether the release
//! is paused. One truth for all nodes.

use std::collections::{BTreeSet, HashMap};

use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::CompanyId;
use crate::gate::rollout::{Answers, COUNTED};
use crate::gate::time::Moment;

/// A release that stopped by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paused {
    pub at: Moment,
    /// What stopped it.
    pub answers: Answers,
}

fn minute(at: Moment) -> i64 {
    at.secs().div_euclid(60)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Directory {
    /// Whether the release is paused, and since when.
    pub async fn rollout_paused(&self, feature: &str) -> Result<Option<Paused>, DirectoryError> {
        let values = [Value::Text(feature)];
        let Some(row) = self.pool().row(sql::ROLLOUT_PAUSED, &values).await? else {
            return Ok(None);
        };
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Some(Paused {
            at: Moment::from_millis(row.value("at")?),
            answers: Answers {
                right: count(row.value("right_answers")?),
                wrong: count(row.value("wrong_answers")?),
            },
        }))
    }

    /// The companies that had the feature while its release went on.
    pub async fn rollout_reached(
        &self,
        feature: &str,
    ) -> Result<BTreeSet<CompanyId>, DirectoryError> {
        let values = [Value::Text(feature)];
        let rows = self.pool().rows(sql::ROLLOUT_REACHED, &values).await?;
        rows.iter().map(|row| row.parsed("company_id")).collect()
    }

    /// Notes who has the feature. Nobody is added to a release that is paused.
    pub async fn note_reached(
        &self,
        feature: &str,
        companies: &[&CompanyId],
        now: Moment,
    ) -> Result<(), DirectoryError> {
        let mut transaction = self.pool().begin().await?;
        for company in companies {
            let values = [
                Value::Text(feature),
                Value::Text(company.as_str()),
                Value::Number(now.millis()),
            ];
            transaction.write(sql::ROLLOUT_REACH, &values).await?;
        }
        transaction.commit().await
    }

    /// Pauses the release for all nodes; `has_it`: who keeps it. Whether it was this call that did.
    pub async fn pause_rollout(
        &self,
        feature: &str,
        has_it: &BTreeSet<CompanyId>,
        answers: Answers,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        let mut transaction = self.pool().begin().await?;
        for company in has_it {
            let values = [
                Value::Text(feature),
                Value::Text(company.as_str()),
                Value::Number(now.millis()),
            ];
            transaction.write(sql::ROLLOUT_REACH, &values).await?;
        }
        let values = [
            Value::Text(feature),
            Value::Number(now.millis()),
            Value::Number(number(answers.right)),
            Value::Number(number(answers.wrong)),
        ];
        let paused = transaction.write(sql::ROLLOUT_PAUSE, &values).await?;
        transaction.commit().await?;
        Ok(paused > 0)
    }

    /// Lets the release go on; what was answered before says nothing any more. Whether it was
    /// paused.
    pub async fn resume_rollout(&self, feature: &str) -> Result<bool, DirectoryError> {
        let mut transaction = self.pool().begin().await?;
        let values = [Value::Text(feature)];
        transaction
            .write(sql::ROLLOUT_ANSWERS_FORGET, &values)
            .await?;
        let resumed = transaction.write(sql::ROLLOUT_RESUME, &values).await?;
        transaction.commit().await?;
        Ok(resumed > 0)
    }

    /// Adds one node's answers to those of all.
    pub async fn count_answers(
        &self,
        feature: &str,
        answers: Answers,
        now: Moment,
    ) -> Result<(), DirectoryError> {
        let values = [
            Value::Text(feature),
            Value::Number(minute(now)),
            Value::Number(number(answers.right)),
            Value::Number(number(answers.wrong)),
        ];
        self.pool()
            .write(sql::ROLLOUT_COUNT, &values)
            .await
            .map(drop)
    }

    /// The answers of all nodes in the hour before `now`.
    pub async fn answers_before(
        &self,
        feature: &str,
        now: Moment,
    ) -> Result<Answers, DirectoryError> {
        let values = [
            Value::Text(feature),
            Value::Number(minute(now.minus(COUNTED))),
        ];
        let row = self.pool().row(sql::ROLLOUT_ANSWERS, &values).await?;
        let Some(row) = row else {
            return Ok(Answers::default());
        };
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Answers {
            right: count(row.value("right_answers")?),
            wrong: count(row.value("wrong_answers")?),
        })
    }

    /// Lets go of answers that nothing is judged by any more.
    pub async fn forget_answers(&self, now: Moment) -> Result<u64, DirectoryError> {
        let before = [Value::Number(minute(now.minus(COUNTED)))];
        self.pool().write(sql::ROLLOUT_ANSWERS_TIDY, &before).await
    }

    /// How many people each company has; those who are disabled are not counted.
    pub async fn people_by_company(&self) -> Result<HashMap<CompanyId, u64>, DirectoryError> {
        let rows = self.pool().rows(sql::PEOPLE_BY_COMPANY, &[]).await?;
        rows.iter()
            .map(|row| {
                let people: i64 = row.value("people")?;
                Ok((
                    row.parsed("company_id")?,
                    u64::try_from(people).unwrap_or(0),
                ))
            })
            .collect()
    }
}
