//! Path patterns.

/// `/payments/**` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    pub fn parse(_text: &str) -> Result<Pattern, String> {
        todo!()
    }
    pub fn as_str(&self) -> &str {
        &self.text
    }
    pub fn matches(&self, _path: &str) -> bool {
        todo!()
    }
    pub fn matches_any_case(&self, _path: &str) -> bool {
        todo!()
    }
}
