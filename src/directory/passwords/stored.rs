//! The forms of hashes: the four that can be checked, and the one that is made.
//!
//! The fuzzer builds this file without the rest of the room: see `fuzz/rooms`.

use std::fmt;

use argon2::password_hash::phc;
use argon2::password_hash::{CustomizedPasswordHasher, PasswordHasher};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use pbkdf2::Pbkdf2;
use scrypt::Scrypt;

/// Longer passwords are refused before any work is done, in bytes.
pub const LONGEST_PASSWORD: usize = 1024;

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OUTPUT: usize = 32;
/// The argon2 version in force, 1.3.
const ARGON2_VERSION: u32 = 0x13;

/// The most that one stored hash may cost to check: an imported one must not be a bomb.
const MOST_MEMORY_KIB: u64 = 256 * 1024;
/// Memory times passes: about a second.
const MOST_WORK_KIB: u64 = 1024 * 1024;
const MOST_BCRYPT_COST: u32 = 15;
const MOST_PBKDF2_ROUNDS: u32 = 5_000_000;
const LONGEST_HASH: usize = 512;

/// Why a hash can't be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHash {
    #[error(
        "not a password hash in PHC form (argon2id, scrypt, pbkdf2-sha256, pbkdf2-sha512) or bcrypt's ($2a$, $2b$, $2y$)"
    )]
    Form,
    #[error("{0} hashes are not accepted; argon2id, bcrypt, PBKDF2 and scrypt are")]
    Algorithm(&'static str),
    #[error("the hash has no salt or no result")]
    Incomplete,
    #[error("the hash's parameters are wrong")]
    Parameters,
    #[error(
        "checking the hash would take too much memory or time: at most 256 MiB, 1 GiB over all passes, a cost of 15 for bcrypt, 5000000 rounds for PBKDF2"
    )]
    TooCostly,
}

/// A PHC string. Prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl PasswordHash {
    /// Of an account whose password another system keeps: no password opens it.
    pub fn elsewhere() -> PasswordHash {
        PasswordHash(String::from("elsewhere"))
    }
}

/// A stored hash, read.
pub(super) enum Stored {
    Argon2id {
        params: Params,
        version: u32,
        salt: phc::Salt,
        output: phc::Output,
    },
    Scrypt {
        params: scrypt::Params,
        salt: phc::Salt,
        output: phc::Output,
    },
    Pbkdf2 {
        algorithm: pbkdf2::Algorithm,
        params: pbkdf2::Params,
        salt: phc::Salt,
        output: phc::Output,
    },
    Bcrypt(Box<str>),
}

impl PasswordHash {
    /// Reads a hash that somebody else made.
    ///
    /// # Errors
    /// Another form than the four, or parameters that would be a bomb.
    pub fn parse(text: &str) -> Result<PasswordHash, InvalidHash> {
        Stored::read(text).map(|_| PasswordHash(text.to_owned()))
    }
}

impl Stored {
    pub(super) fn read(text: &str) -> Result<Stored, InvalidHash> {
        if text.len() > LONGEST_HASH {
            return Err(InvalidHash::Form);
        }
        if text.starts_with("$2") {
            return read_bcrypt(text);
        }
        let hash = phc::PasswordHash::new(text).map_err(|_| InvalidHash::Form)?;
        let (Some(salt), Some(output)) = (hash.salt, hash.hash) else {
            return Err(InvalidHash::Incomplete);
        };
        match hash.algorithm.as_str() {
            "argon2id" => read_argon2id(&hash, salt, output),
            "scrypt" => read_scrypt(&hash, salt, output),
            name @ ("pbkdf2-sha256" | "pbkdf2-sha512") => read_pbkdf2(name, &hash, salt, output),
            "argon2i" => Err(InvalidHash::Algorithm("argon2i")),
            "argon2d" => Err(InvalidHash::Algorithm("argon2d")),
            _ => Err(InvalidHash::Form),
        }
    }

    /// Whether this is what we would make today. Costlier ones are not: a sign-in that takes
    /// longer than one for an unknown name would tell that the name is known.
    pub(super) fn is_kept_form(&self) -> bool {
        matches!(self, Stored::Argon2id { params, version, output, .. }
            if params.m_cost() == MEMORY_KIB
                && params.t_cost() == PASSES
                && params.p_cost() == LANES
                && *version == ARGON2_VERSION
                && output.len() == OUTPUT)
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let (computed, output) = match self {
            Stored::Argon2id {
                params,
                version,
                salt,
                output,
            } => {
                let argon2 = Argon2::default();
                let version = Some(*version);
                let params = params.clone();
                (
                    argon2.hash_password_customized(password, salt, None, version, params),
                    output,
                )
            }
            Stored::Scrypt {
                params,
                salt,
                output,
            } => {
                let scrypt = Scrypt::default();
                (
                    scrypt.hash_password_customized(password, salt, None, None, *params),
                    output,
                )
            }
            Stored::Pbkdf2 {
                algorithm,
                params,
                salt,
                output,
            } => {
                let pbkdf2 = Pbkdf2::default();
                let name = Some(algorithm.as_ref());
                (
                    pbkdf2.hash_password_customized(password, salt, name, None, *params),
                    output,
                )
            }
            Stored::Bcrypt(hash) => return bcrypt::verify(password, hash).unwrap_or(false),
        };
        let computed: Result<phc::PasswordHash, _> = computed;
        computed
            .ok()
            .and_then(|computed| computed.hash)
            .is_some_and(|computed| {
                verify_slices_are_equal(computed.as_ref(), output.as_ref()).is_ok()
            })
    }
}

fn read_bcrypt(text: &str) -> Result<Stored, InvalidHash> {
    let known = ["$2a$", "$2b$", "$2y$"]
        .iter()
        .any(|prefix| text.starts_with(prefix));
    let parts: bcrypt::HashParts = text.parse().map_err(|_| InvalidHash::Form)?;
    match parts.get_cost() {
        _ if !known || text.len() != 60 => Err(InvalidHash::Form),
        0..4 => Err(InvalidHash::Parameters),
        4..=MOST_BCRYPT_COST => Ok(Stored::Bcrypt(text.into())),
        _ => Err(InvalidHash::TooCostly),
    }
}

fn read_argon2id(
    hash: &phc::PasswordHash,
    salt: phc::Salt,
    output: phc::Output,
) -> Result<Stored, InvalidHash> {
    let params = Params::try_from(hash).map_err(|_| InvalidHash::Parameters)?;
    // A hash without 'v=' was made by argon2 1.0.
    let version = hash.version.unwrap_or(0x10);
    Version::try_from(version).map_err(|_| InvalidHash::Parameters)?;
    let memory = u64::from(params.m_cost());
    if memory > MOST_MEMORY_KIB || memory * u64::from(params.t_cost()) > MOST_WORK_KIB {
        return Err(InvalidHash::TooCostly);
    }
    Ok(Stored::Argon2id {
        params,
        version,
        salt,
        output,
    })
}

fn read_scrypt(
    hash: &phc::PasswordHash,
    salt: phc::Salt,
    output: phc::Output,
) -> Result<Stored, InvalidHash> {
    let params = scrypt::Params::try_from(hash).map_err(|_| InvalidHash::Parameters)?;
    // 128 · N · r bytes (RFC 7914, section 6).
    let memory = 1_u64
        .checked_shl(u32::from(params.log_n()))
        .and_then(|n| n.checked_mul(u64::from(params.r())))
        .map_or(u64::MAX, |blocks| blocks / 8);
    if memory > MOST_MEMORY_KIB || memory.saturating_mul(u64::from(params.p())) > MOST_WORK_KIB {
        return Err(InvalidHash::TooCostly);
    }
    Ok(Stored::Scrypt {
        params,
        salt,
        output,
    })
}

fn read_pbkdf2(
    name: &str,
    hash: &phc::PasswordHash,
    salt: phc::Salt,
    output: phc::Output,
) -> Result<Stored, InvalidHash> {
    let algorithm = pbkdf2::Algorithm::new(name).map_err(|_| InvalidHash::Form)?;
    let rounds = hash
        .params
        .get_decimal("i")
        .ok_or(InvalidHash::Parameters)?;
    let length = hash
        .params
        .get_decimal("l")
        .map_or(Some(output.len()), |l| usize::try_from(l).ok());
    if rounds > MOST_PBKDF2_ROUNDS {
        return Err(InvalidHash::TooCostly);
    }
    if hash.version.is_some() || length != Some(output.len()) {
        return Err(InvalidHash::Parameters);
    }
    let params = pbkdf2::Params::new_with_output_len(rounds, output.len())
        .map_err(|_| InvalidHash::Parameters)?;
    Ok(Stored::Pbkdf2 {
        algorithm,
        params,
        salt,
        output,
    })
}

/// Hashes a password in the kept form; `None` without random numbers or memory.
pub(super) fn hash(password: &[u8]) -> Option<PasswordHash> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).ok()?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT)).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: phc::PasswordHash = argon2.hash_password_with_salt(password, &salt).ok()?;
    Some(PasswordHash(hash.to_string()))
}
