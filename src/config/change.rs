//! What a changed gateway.toml means for a gateway that runs: which keys it follows at once, and
//! which have to wait for the next start.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::load::load;
use super::problem::Problems;
use super::settings::{Listen, Portal, SecretText, Settings, Tls};
use crate::gate::product::{Product, Products};

/// Where settings were read from, to read them again. The environment of a process stays.
#[derive(Clone)]
pub struct Source {
    file: PathBuf,
    variables: Vec<(String, SecretText)>,
    flags: Vec<(String, String)>,
}

impl Source {
    pub(super) fn new(
        file: &Path,
        variables: &[(String, String)],
        flags: &[(String, String)],
    ) -> Source {
        let hidden =
            |(name, value): &(String, String)| (name.clone(), SecretText::new(value.clone()));
        Source {
            file: file.to_owned(),
            variables: variables.iter().map(hidden).collect(),
            flags: flags.to_vec(),
        }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// # Errors
    /// Everything that is wrong now, at once.
    pub fn read_again(&self) -> Result<Settings, Problems> {
        let variables = self
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()));
        load(&self.file, variables, &self.flags)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.file.display())
    }
}

/// Keys whose value is another, as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    pub followed: Vec<String>,
    /// Read at the start alone.
    pub waiting: Vec<&'static str>,
}

impl Change {
    pub fn between(old: &Settings, new: &Settings) -> Change {
        Change {
            followed: followed(old, new),
            waiting: waiting(old, new),
        }
    }
}

fn followed(old: &Settings, new: &Settings) -> Vec<String> {
    let plain = [
        (
            "listen.trusted_proxies",
            old.listen.trusted_proxies == new.listen.trusted_proxies,
        ),
        (
            "tls.certificates",
            old.tls.certificates == new.tls.certificates,
        ),
        ("tls.acme", old.tls.acme == new.tls.acme),
        ("authz.peers", old.authz_peers == new.authz_peers),
        ("portal.title", old.portal.title == new.portal.title),
        ("session", old.session == new.session),
        ("session.keep_form", old.keep_form == new.keep_form),
        ("rollout", old.rollout == new.rollout),
        ("messages", old.messages == new.messages),
        ("providers", old.providers == new.providers),
        ("scim", old.scim_roles == new.scim_roles),
    ];
    let mut keys: Vec<String> = plain
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(key, _)| key.to_owned())
        .collect();
    let ids = |settings: &Settings| -> Vec<String> {
        let all = settings.products.iter();
        all.map(|product| product.id.to_string()).collect()
    };
    let mut all = ids(old);
    all.extend(ids(new));
    all.sort();
    all.dedup();
    let changed = all.iter().filter(|id| of(old, id) != of(new, id));
    keys.extend(changed.map(|id| format!("products.{id}")));
    if keys.is_empty() && ids(old) != ids(new) {
        // Their order alone, which people see in lists.
        keys.push(String::from("products"));
    }
    keys
}

/// What a product is, wherever it stands in the file.
fn of<'a>(settings: &'a Settings, id: &str) -> Option<(Product, &'a super::settings::Backend)> {
    let product = settings.products.by_id(id)?;
    let backend = settings.backends.get(product.index)?;
    let placed = Product {
        index: 0,
        ..Product::clone(product)
    };
    Some((placed, backend))
}

fn waiting(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let (a, b) = (&old.limits, &new.limits);
    let (c, d) = (&old.store, &new.store);
    let (e, f) = (&old.log, &new.log);
    let all = [
        ("listen.https", old.listen.https == new.listen.https),
        ("listen.http", old.listen.http == new.listen.http),
        ("listen.admin", old.listen.admin == new.listen.admin),
        ("tls.minimum", old.tls.minimum == new.tls.minimum),
        ("portal.url", old.portal.origin == new.portal.origin),
        ("policies_dir", old.policies_dir == new.policies_dir),
        ("store.sessions", c.sessions == d.sessions),
        ("store.directory", c.directory == d.directory),
        ("store.data_dir", c.data_dir == d.data_dir),
        ("store.master_key", c.master_key == d.master_key),
        (
            "store.when_unavailable",
            c.when_unavailable == d.when_unavailable,
        ),
        ("store.recheck", c.recheck == d.recheck),
        ("store.cache_capacity", c.cache_capacity == d.cache_capacity),
        ("limits.handshake", a.handshake == b.handshake),
        ("limits.head", a.head == b.head),
        ("limits.body", a.body == b.body),
        ("limits.idle", a.idle == b.idle),
        ("limits.drain", a.drain == b.drain),
        ("limits.connections", a.connections == b.connections),
        (
            "limits.connections_per_address",
            a.connections_per_address == b.connections_per_address,
        ),
        (
            "limits.streams_per_connection",
            a.streams_per_connection == b.streams_per_connection,
        ),
        ("limits.header_bytes", a.header_bytes == b.header_bytes),
        ("limits.header_count", a.header_count == b.header_count),
        ("limits.target_bytes", a.target_bytes == b.target_bytes),
        (
            "limits.password_workers",
            a.password_workers == b.password_workers,
        ),
        (
            "limits.password_queue",
            a.password_queue == b.password_queue,
        ),
        ("limits.kept_forms", a.kept_forms == b.kept_forms),
        ("log.format", e.format == f.format),
        ("log.level", e.level == f.level),
        ("log.access", e.access == f.access),
        ("log.access_file", e.access_file == f.access_file),
        ("log.audit_file", e.audit_file == f.audit_file),
        ("log.audit_rotate", e.audit_rotate == f.audit_rotate),
        ("telemetry", old.telemetry == new.telemetry),
    ];
    let changed = all.into_iter().filter(|(_, same)| !same);
    changed.map(|(key, _)| key).collect()
}

impl Settings {
    /// What holds while the gateway goes on: this, with what has to wait as it is `now`. `None` never
    /// comes of settings that were read.
    pub fn following(self, now: &Settings) -> Option<Settings> {
        let products = self.products.iter().map(|new| {
            // The same one, so that nothing is made anew for it.
            let same = |old: &&Arc<Product>| **old == *new;
            let old = now.products.iter().find(same);
            Arc::clone(old.unwrap_or(new))
        });
        Some(Settings {
            listen: Listen {
                trusted_proxies: self.listen.trusted_proxies,
                ..now.listen.clone()
            },
            tls: Tls {
                certificates: self.tls.certificates,
                acme: self.tls.acme,
                minimum: now.tls.minimum,
            },
            portal: Portal {
                title: self.portal.title,
                ..now.portal.clone()
            },
            store: now.store.clone(),
            products: Products::new(products.collect())?,
            policies_dir: now.policies_dir.clone(),
            limits: now.limits.clone(),
            log: now.log.clone(),
            telemetry: now.telemetry.clone(),
            pace: now.pace,
            ..self
        })
    }
}
