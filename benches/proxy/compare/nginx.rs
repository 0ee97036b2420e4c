//! nginx as Debian has it: plain, with Lua that asks Redis, and asking this gateway.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Ground, programs};
use crate::child::{self, Running};
use crate::{HOST, PORTAL, Result};

const FRAME: &str = include_str!("nginx.conf");
const CHECK: &str = include_str!("check.lua");

/// `lua-nginx-redis`, or the same library under the name that it has elsewhere.
const REDIS_CLIENTS: [&str; 2] = [
    "/usr/share/lua/5.1/nginx/redis.lua",
    "/usr/share/lua/5.1/resty/redis.lua",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Asks the Redis on this port for each request.
    Lua(u16),
    /// The same, unless it asked within the last second.
    LuaCached(u16),
    /// Asks the gateway there for each request.
    AuthRequest(SocketAddr),
}

impl Kind {
    const fn folder(self) -> &'static str {
        match self {
            Kind::Plain => "nginx",
            Kind::Lua(_) => "nginx-lua",
            Kind::LuaCached(_) => "nginx-lua-cached",
            Kind::AuthRequest(_) => "nginx-auth-request",
        }
    }

    const fn location(self) -> &'static str {
        match self {
            Kind::Plain => include_str!("plain.conf"),
            Kind::Lua(_) | Kind::LuaCached(_) => include_str!("lua.conf"),
            Kind::AuthRequest(_) => include_str!("auth_request.conf"),
        }
    }

    /// What asks, in Lua.
    const fn entrance(self) -> &'static str {
        match self {
            Kind::LuaCached(_) => "remembering",
            _ => "asking",
        }
    }
}

/// `None`: what it takes is not here.
pub fn start(kind: Kind, ground: &Ground) -> Result<Option<Running>> {
    let Some(program) = programs::find("nginx") else {
        return Ok(None);
    };
    let (modules, redis) = match kind {
        Kind::Lua(redis) | Kind::LuaCached(redis) => match lua_modules() {
            Some(modules) => (modules, redis),
            None => return Ok(None),
        },
        Kind::Plain | Kind::AuthRequest(_) => (String::new(), 0),
    };
    let gateway = match kind {
        Kind::AuthRequest(gateway) => gateway,
        _ => ground.backend.address,
    };
    let address = child::free_address()?;
    let own = ground.path().join(kind.folder());
    fs::create_dir_all(&own)?;
    fs::write(
        own.join("check.lua"),
        CHECK.replace("@redis@", &redis.to_string()),
    )?;
    // Who is not the superuser can't change its workers' user, and need not.
    let user = match rustix::process::geteuid().is_root() {
        true => "user root;",
        false => "",
    };
    let text = FRAME
        .replace("@location@", kind.location())
        .replace("@modules@", &modules)
        .replace("@user@", user)
        .replace("@entrance@", kind.entrance())
        .replace("@gateway@", &gateway.to_string())
        .replace("@address@", &address.to_string())
        .replace("@backend@", &ground.backend.address.to_string())
        .replace("@host@", HOST)
        .replace("@portal@", PORTAL)
        .replace("@own@", &own.display().to_string())
        .replace("@folder@", &ground.path().display().to_string());
    let file = own.join("nginx.conf");
    fs::write(&file, text)?;
    let words = [
        program.as_path(),
        "-e".as_ref(),
        "stderr".as_ref(),
        "-p".as_ref(),
        &own,
        "-c".as_ref(),
        &file,
    ];
    let words = words.map(|word| word.display().to_string());
    Running::start_program(address, &words).map(Some)
}

/// The lines that load Lua's modules, where all that the check needs is here.
fn lua_modules() -> Option<String> {
    let told = programs::words_of("nginx", &["-V"])?;
    let folder = told
        .split_whitespace()
        .find_map(|word| word.strip_prefix("--modules-path="))
        .map_or_else(|| PathBuf::from("/usr/lib/nginx/modules"), PathBuf::from);
    let lua = folder.join("ngx_http_lua_module.so");
    let client = REDIS_CLIENTS.iter().any(|file| Path::new(file).is_file());
    if !lua.is_file() || !client {
        return None;
    }
    let folder = folder.display();
    Some(format!(
        "load_module {folder}/ndk_http_module.so;\nload_module {folder}/ngx_http_lua_module.so;"
    ))
}
