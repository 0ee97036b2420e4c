//! The request target: one canonical form.

use super::facts::Malformed;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    forwarded: String,
    path: String,
}

impl Target {
    pub fn parse(_raw: &[u8]) -> Result<Target, Malformed> {
        todo!()
    }
    /// What rules match on.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// Path and query as they go to the backend.
    pub fn forwarded(&self) -> &str {
        &self.forwarded
    }
    pub fn query(&self) -> Option<&str> {
        todo!()
    }
    /// Under `/.vestibule/`.
    pub fn is_own(&self) -> bool {
        todo!()
    }
}
