//! The master key's file is followed while the gateway runs, and the directory is told which keys this
//! node knows.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::World;
use super::house::{House, stamp};
use crate::config::settings::Settings;
use crate::directory::seal::MasterKey;
use crate::gate::time::Moment;
use crate::gate::traceparent::to_hex;
use crate::gate::trail::TrailEvent;

/// A node that has not said for so long that it runs does not: several times as long as it takes
/// between two of its words.
pub const NODE_LIFE: Duration = Duration::from_secs(60);

/// What applications answered at a sign-on is kept so long, sealed.
pub const SIGN_ONS_LIVE: Duration = crate::legacy::LIFE;

/// This process among those that the directory knows.
pub struct Node {
    id: String,
    name: String,
}

impl Node {
    pub fn new(settings: &Settings, world: &World) -> Node {
        let mut id = [0; 8];
        (world.random)(&mut id);
        // The first is hidden from the systemd unit (ProcSubset=pid).
        let machine = ["/proc/sys/kernel/hostname", "/etc/hostname"];
        let mut machine = machine.into_iter().map(std::fs::read_to_string);
        let machine = machine.find_map(Result::ok).unwrap_or_default();
        let address = settings.listen.https.first();
        let name = format!(
            "{} {}",
            machine.trim(),
            address.map(ToString::to_string).unwrap_or_default()
        );
        Node {
            id: to_hex(&id),
            name: name.trim().to_owned(),
        }
    }
}

/// What was seen of the file at the last look.
#[derive(Default)]
pub struct KeyFile {
    stamp: Option<(SystemTime, u64, u64)>,
    complaint: Option<String>,
}

impl House {
    /// Takes over another set of master keys, when the file has one.
    pub async fn follow_master_key(&self, seen: &mut KeyFile) {
        let file = self.settings().store.master_key.clone();
        let now = stamp(&file);
        // What could not be used is tried again: the database may have been away.
        if now == seen.stamp && seen.complaint.is_none() {
            return;
        }
        seen.stamp = now;
        let before = self.ground.directory.seal().known();
        let problem = self.take_over_master_key(&file).await.err();
        if let Some(error) = &problem
            && seen.complaint.as_ref() != Some(error)
        {
            tracing::error!(
                error,
                "the master key's file can't be followed; the keys from before stay"
            );
        }
        seen.complaint = problem;
        let known = self.ground.directory.seal().known();
        if known != before {
            let keys = known.join(", ");
            tracing::info!(
                keys,
                "the master key's file is followed, the first key seals"
            );
            self.note(TrailEvent::MasterKeyFollowed, &keys);
            self.say_that_it_runs().await;
        }
    }

    async fn take_over_master_key(&self, file: &Path) -> Result<(), String> {
        let master = MasterKey::read(file).map_err(|error| error.to_string())?;
        let directory = &self.ground.directory;
        let taken = directory.take_over_master_key(&master).await;
        taken.map_err(|error| error.to_string())
    }

    pub async fn say_that_it_runs(&self) {
        let (directory, node) = (&self.ground.directory, &self.ground.node);
        let now = (self.ground.world.clock)();
        if let Err(error) = directory.node_runs(&node.id, &node.name, now).await {
            tracing::debug!(%error, "the directory could not be told that this node runs");
        }
    }

    pub async fn say_that_it_stops(&self) {
        let now = (self.ground.world.clock)();
        let (directory, node) = (&self.ground.directory, &self.ground.node);
        if let Err(error) = directory.node_stops(&node.id, seen_since(now)).await {
            tracing::debug!(%error, "the directory could not be told that this node stops");
        }
    }
}

/// Who was seen since then runs.
pub fn seen_since(now: Moment) -> Moment {
    now.minus(NODE_LIFE)
}
