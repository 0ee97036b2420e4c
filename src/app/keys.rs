//! The keys that assertions are signed with: kept in the directory, so that every gateway signs
//! with the same and a backend finds each in the published set.

use std::time::Duration;

use crate::directory::Directory;
use crate::gate::time::Moment;
use crate::sessions::assertions::{AssertionError, SigningKey, generate_key};

use super::{StartError, World};

/// A key signs for so long before another takes over.
const AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads the keys; makes the first.
pub async fn load_or_make(
    directory: &Directory,
    world: &World,
) -> Result<Vec<SigningKey>, StartError> {
    let now = (world.clock)();
    let keys = load(directory).await?;
    if keys.is_empty() {
        make(directory, world, now).await
    } else {
        Ok(keys)
    }
}

/// Reads the keys; makes another when the newest has served its time. Backends get the
/// publication delay of `Assertions` to learn of it.
pub async fn load_or_rotate(
    directory: &Directory,
    world: &World,
) -> Result<Vec<SigningKey>, StartError> {
    let now = (world.clock)();
    let keys = load(directory).await?;
    let old = keys.iter().all(|key| now.since(key.created_at) > AGE);
    if old {
        make(directory, world, now).await
    } else {
        Ok(keys)
    }
}

async fn load(directory: &Directory) -> Result<Vec<SigningKey>, StartError> {
    let keys = directory.signing_keys().await?;
    Ok(keys
        .into_iter()
        .map(|key| SigningKey {
            id: key.id,
            pkcs8: key.pkcs8,
            created_at: key.created_at,
        })
        .collect())
}

async fn make(
    directory: &Directory,
    world: &World,
    now: Moment,
) -> Result<Vec<SigningKey>, StartError> {
    let mut name = [0; 8];
    (world.random)(&mut name);
    let id: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let pkcs8 = generate_key().map_err(|_| AssertionError::Unsigned)?;
    directory.add_signing_key(&id, &pkcs8, now).await?;
    load(directory).await
}
