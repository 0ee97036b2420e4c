//! The gateway itself.

use super::Result;
use super::child::Setup;
use super::options::Options;

pub struct Visits {
    cookies: Vec<String>,
}
impl Visits {
    pub fn all(&self) -> &[String] {
        &self.cookies
    }
    pub fn some(&self, n: usize) -> Vec<String> {
        self.cookies.iter().take(n).cloned().collect()
    }
}
pub async fn prepare(_setup: &Setup<'_>, _sessions: usize) -> Result<Visits> {
    Ok(Visits {
        cookies: vec!["a=b".into()],
    })
}
pub async fn run(_options: &Options) -> Result<()> {
    Err("not joined yet".into())
}
