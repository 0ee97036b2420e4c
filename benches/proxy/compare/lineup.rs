//! Who takes part.

use super::nginx::{self, Kind};
use super::{Ground, haproxy, programs};
use crate::child::{Candidate, Running};
use crate::gateway::Plan;
use crate::options::{Options, Role};
use crate::visits::Visits;
use crate::{Result, start_plain};

/// Those that others are compared with, and their words in `--only`.
pub const STOCK: &str = "stock";
pub const BARE: &str = "bare";
pub const LUA: &str = "lua";
pub const LUA_CACHED: &str = "lua-cached";
/// The gateway's two, whose targets are held.
pub const CACHED: &str = "cached";
pub const KEEPING: &str = "embedded";

/// The word, the name, and whether a session is asked for.
const ALL: [(&str, &str, bool); 10] = [
    (STOCK, "pingora as it comes", false),
    (BARE, "bare pingora, own loop", false),
    (KEEPING, "Vestibule, embedded store", true),
    (CACHED, "Vestibule, Redis", true),
    ("asking", "Vestibule, asking Redis each time", true),
    (LUA, "nginx, Lua asking Redis each time", true),
    (LUA_CACHED, "nginx, Lua, one-second cache", true),
    ("auth-request", "nginx, auth_request to Vestibule", true),
    ("nginx", "nginx, plain TLS proxy", false),
    ("haproxy", "HAProxy, plain TLS proxy", false),
];

/// What the word stands for.
pub fn name(word: &'static str) -> &'static str {
    let known = ALL.iter().find(|(of, _, _)| *of == word);
    known.map_or(word, |(_, name, _)| name)
}

/// One who takes part.
pub struct Stage {
    pub word: &'static str,
    pub candidate: Candidate,
    /// Whom it knows; nobody where everybody is let through.
    pub visits: Visits,
    pub is_guarded: bool,
}

pub struct Lineup {
    stages: Vec<Stage>,
    missing: Vec<&'static str>,
}

impl Lineup {
    pub async fn build(options: &Options, ground: &Ground) -> Result<Lineup> {
        let mut lineup = Lineup {
            stages: Vec::new(),
            missing: Vec::new(),
        };
        // In the Redis of all: the same people for whoever asks it.
        let shared = match &ground.redis {
            Some(redis) => {
                let plan = ground.shared("prepare", redis);
                Visits::prepare(ground.path(), &plan, options.busy).await?
            }
            None => Visits::none(),
        };
        for (word, name, is_guarded) in ALL {
            if !options.wants(word) {
                continue;
            }
            let visits = match word {
                KEEPING => {
                    Visits::prepare(ground.path(), &ground.embedded(word), options.busy).await?
                }
                _ if is_guarded => shared.clone(),
                _ => Visits::none(),
            };
            match start(word, name, options, ground)? {
                Some(candidate) => lineup.stages.push(Stage {
                    word,
                    candidate,
                    visits,
                    is_guarded,
                }),
                None => lineup.missing.push(name),
            }
        }
        match lineup.stages.is_empty() {
            true => Err(format!("nothing to measure; {}", lineup.told()).into()),
            false => Ok(lineup),
        }
    }

    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Who is missing, and what would bring them.
    pub fn told(&self) -> String {
        match self.missing.is_empty() {
            true => String::new(),
            false => format!(
                "Left out, since a program is missing: {}. On Debian: `{}`\n",
                self.missing.join("; "),
                programs::APT
            ),
        }
    }
}

/// `None`: a program that it takes is not here.
fn start(
    word: &'static str,
    name: &'static str,
    options: &Options,
    ground: &Ground,
) -> Result<Option<Candidate>> {
    let plain = |role| start_plain(options, role, ground.path(), &ground.backend).map(Some);
    let gateway = |plan: Plan| plan.start(ground.path(), &options.under).map(Some);
    let mut others = Vec::new();
    let first: Option<Running> = match (word, &ground.redis) {
        (STOCK, _) => plain(Role::Stock)?,
        (BARE, _) => plain(Role::Bare)?,
        (KEEPING, _) => gateway(ground.embedded(word))?,
        ("nginx", _) => nginx::start(Kind::Plain, ground)?,
        ("haproxy", _) => haproxy::start(ground)?,
        (_, None) => None,
        (CACHED, Some(redis)) => gateway(ground.shared(word, redis))?,
        ("asking", Some(redis)) => gateway(Plan {
            recheck: String::from("0s"),
            ..ground.shared(word, redis)
        })?,
        (LUA, Some(redis)) => nginx::start(Kind::Lua(redis.port()), ground)?,
        (LUA_CACHED, Some(redis)) => nginx::start(Kind::LuaCached(redis.port()), ground)?,
        (_, Some(redis)) => {
            let plan = Plan {
                authz: true,
                ..ground.shared(word, redis)
            };
            let asked = plan.start(ground.path(), &options.under)?;
            let kind = Kind::AuthRequest(asked.address);
            others.push(asked);
            nginx::start(kind, ground)?
        }
    };
    Ok(first.map(|first| Candidate::of(name, first, others)))
}
