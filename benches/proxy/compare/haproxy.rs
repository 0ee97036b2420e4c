//! HAProxy as a plain TLS proxy.

use std::fs;

use super::{Ground, programs};
use crate::Result;
use crate::child::{self, Running};

const CONFIGURATION: &str = include_str!("haproxy.cfg");

/// `None`: it is not here.
pub fn start(ground: &Ground) -> Result<Option<Running>> {
    let Some(program) = programs::find("haproxy") else {
        return Ok(None);
    };
    let address = child::free_address()?;
    // Certificate and key in one file.
    let pair = ground.path().join("haproxy.pem");
    let read = |name: &str| fs::read_to_string(ground.path().join(name));
    fs::write(&pair, read("site.pem")? + &read("site.key")?)?;
    let file = ground.path().join("haproxy.cfg");
    let text = CONFIGURATION
        .replace("@address@", &address.to_string())
        .replace("@backend@", &ground.backend.address.to_string())
        .replace("@pair@", &pair.display().to_string());
    fs::write(&file, text)?;
    let words = [program.as_path(), "-db".as_ref(), "-f".as_ref(), &file];
    let words = words.map(|word| word.display().to_string());
    Running::start_program(address, &words).map(Some)
}
