//! Gateways that run, and the master keys that each knows: a key is used when all know it, and let go of
//! when nobody seals with it any more.

use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::time::Moment;

/// A gateway that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNode {
    pub name: String,
    /// The master keys it knows by their names, the one that it seals with first.
    pub master_keys: Vec<String>,
}

impl Directory {
    /// Notes since when secrets are sealed under a master key; what was noted first stays.
    pub async fn master_key_used(&self, name: &str, now: Moment) -> Result<(), DirectoryError> {
        let values = [Value::Text(name), Value::Number(now.millis())];
        self.pool().write(sql::MASTER_KEY_USED, &values).await?;
        Ok(())
    }

    /// Since when; `None` for a key that never took over from another.
    pub async fn master_key_used_at(&self, name: &str) -> Result<Option<Moment>, DirectoryError> {
        let row = self
            .pool()
            .row(sql::MASTER_KEY_USED_AT, &[Value::Text(name)])
            .await?;
        row.map(|row| row.value("used_at").map(Moment::from_millis))
            .transpose()
    }

    /// Notes that a gateway runs, and which master keys it knows.
    pub async fn node_runs(&self, id: &str, name: &str, now: Moment) -> Result<(), DirectoryError> {
        let known = serde_json::Value::from(self.seal().known()).to_string();
        let values = [
            Value::Text(id),
            Value::Text(name),
            Value::Text(&known),
            Value::Number(now.millis()),
        ];
        self.pool().write(sql::NODE_RUNS, &values).await?;
        Ok(())
    }

    /// Forgets a gateway that stops, and those that were not seen since `before`.
    pub async fn node_stops(&self, id: &str, before: Moment) -> Result<(), DirectoryError> {
        let values = [Value::Text(id), Value::Number(before.millis())];
        self.pool().write(sql::NODE_STOPS, &values).await?;
        Ok(())
    }

    /// Gateways that were seen at `since` or later, by name.
    pub async fn nodes(&self, since: Moment) -> Result<Vec<StoredNode>, DirectoryError> {
        let rows = self
            .pool()
            .rows(sql::NODES, &[Value::Number(since.millis())])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(StoredNode {
                    name: row.value("name")?,
                    master_keys: row.json("master_keys")?,
                })
            })
            .collect()
    }
}
