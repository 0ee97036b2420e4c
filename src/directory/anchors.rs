//! Where the audit trails stood, kept apart from the files that they are in.

use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::time::Moment;

/// The place of one line, as it was when it was the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnchor {
    pub seq: u64,
    pub hash: String,
}

impl Directory {
    /// Notes where a trail stands. What was noted before for the same line stays.
    pub async fn anchor(
        &self,
        trail: &str,
        seq: u64,
        hash: &str,
        now: Moment,
    ) -> Result<(), DirectoryError> {
        let values = [
            Value::Text(trail),
            Value::Number(i64::try_from(seq).unwrap_or(i64::MAX)),
            Value::Text(hash),
            Value::Number(now.millis()),
        ];
        self.pool().write(sql::ANCHOR_ADD, &values).await.map(drop)
    }

    /// Everything noted of a trail, in its order.
    pub async fn anchors(&self, trail: &str) -> Result<Vec<StoredAnchor>, DirectoryError> {
        let rows = self
            .pool()
            .rows(sql::ANCHORS, &[Value::Text(trail)])
            .await?;
        let anchors = rows.iter().map(|row| {
            Ok(StoredAnchor {
                seq: u64::try_from(row.value::<i64>("seq")?).unwrap_or_default(),
                hash: row.value("hash")?,
            })
        });
        anchors.collect()
    }
}
