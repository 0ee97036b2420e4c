//! Browsers in which a person asked to be remembered. What that is worth at a moment is the
//! gate's to say ([`stands_in`](crate::gate::device::stands_in)).

use super::factors::random_id;
use super::pool::{Row, Value};
use super::{Directory, DirectoryError, sql};
use crate::gate::name::PersonId;
use crate::gate::session::SecretHash;
use crate::gate::time::Moment;

/// So many a person keeps; the oldest are forgotten.
const MOST: i64 = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub id: String,
    pub made_at: Moment,
    pub last_used_at: Moment,
    pub address: String,
    pub user_agent: String,
}

impl Directory {
    /// Remembers a browser for a person by its new cookie. `old` is the cookie that it had: the
    /// other people who share this browser follow to the new one, and a copy that somebody took
    /// of the old one is worth nothing.
    pub async fn remember_device(
        &self,
        person: &PersonId,
        (old, new): (Option<&SecretHash>, &SecretHash),
        (address, user_agent): (&str, &str),
        now: Moment,
    ) -> Result<(), DirectoryError> {
        let (id, token) = (random_id()?, new.to_text());
        let owner = Value::Text(person.as_str());
        let mut transaction = self.pool().begin().await?;
        if let Some(old) = old {
            let old = old.to_text();
            let mine = [owner, Value::Text(&old)];
            transaction.write(sql::DEVICE_REPLACE, &mine).await?;
            let others = [Value::Text(&old), Value::Text(&token)];
            transaction.write(sql::DEVICE_FOLLOW, &others).await?;
        }
        let values = [
            Value::Text(&id),
            owner,
            Value::Text(&token),
            Value::Number(now.millis()),
            Value::Text(address),
            Value::Text(user_agent),
        ];
        transaction.write(sql::DEVICE_ADD, &values).await?;
        let most = [owner, Value::Number(MOST)];
        transaction.write(sql::DEVICES_TRIM, &most).await?;
        transaction.commit().await
    }

    /// What is remembered of this person under this cookie.
    pub async fn device(
        &self,
        person: &PersonId,
        token: &SecretHash,
    ) -> Result<Option<Device>, DirectoryError> {
        let token = token.to_text();
        let values = [Value::Text(person.as_str()), Value::Text(&token)];
        let row = self.pool().row(sql::DEVICE, &values).await?;
        row.as_ref().map(Device::read).transpose()
    }

    /// A person's remembered devices, newest first, whatever the policy makes of them now.
    pub async fn devices(&self, person: &PersonId) -> Result<Vec<Device>, DirectoryError> {
        let rows = self
            .pool()
            .rows(sql::DEVICES, &[Value::Text(person.as_str())])
            .await?;
        rows.iter().map(Device::read).collect()
    }

    /// Notes that a device spared its person the second factor.
    pub async fn use_device(&self, id: &str, now: Moment) -> Result<(), DirectoryError> {
        let values = [Value::Text(id), Value::Number(now.millis())];
        self.pool().write(sql::DEVICE_USE, &values).await.map(drop)
    }

    /// False when it is none of this person's.
    pub async fn forget_device(&self, person: &PersonId, id: &str) -> Result<bool, DirectoryError> {
        let values = [Value::Text(person.as_str()), Value::Text(id)];
        Ok(self.pool().write(sql::DEVICE_FORGET, &values).await? == 1)
    }

    /// Forgets all of a person's devices; returns how many there were.
    pub async fn forget_devices(&self, person: &PersonId) -> Result<u64, DirectoryError> {
        self.pool()
            .write(sql::DEVICES_FORGET, &[Value::Text(person.as_str())])
            .await
    }
}

impl Device {
    fn read(row: &Row) -> Result<Device, DirectoryError> {
        Ok(Device {
            id: row.value("id")?,
            made_at: Moment::from_millis(row.value("made_at")?),
            last_used_at: Moment::from_millis(row.value("last_used_at")?),
            address: row.value("address")?,
            user_agent: row.value("user_agent")?,
        })
    }
}
