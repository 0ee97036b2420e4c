//! Bare pingora on the gateway's accept loop: what the gateway's own steps are measured against.

use super::Result;
use super::options::Options;

pub async fn run(_options: &Options) -> Result<()> {
    Err("not joined yet".into())
}
