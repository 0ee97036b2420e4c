//! Whose certificates are shown: those of the configuration's files, those that an authority gave, and
//! one for development where there is neither.

use std::sync::Arc;

use async_trait::async_trait;

use super::house::House;
use crate::acme::{Proofs, Shelf};
use crate::config::acme::{Acme, ChallengeKind};
use crate::config::settings::{CertificateFiles, Settings};
use crate::gate::host::Host;
use crate::proxy::certificates::{CertificateError, Certificates, development};
use crate::proxy::challenge::Witness;

/// The hosts for which certificates are ordered: those that no file of the configuration certifies, and
/// that an authority could.
pub fn ordered_hosts(settings: &Settings, configured: &Certificates) -> Vec<Host> {
    let mine = |host: &&Host| !configured.covers(host.as_str()) && host.is_certifiable();
    settings.hosts().filter(mine).cloned().collect()
}

pub fn shelf(settings: &Settings, acme: &Acme) -> Shelf {
    Shelf::of(&settings.store.data_dir, &acme.directory)
}

/// The files in the configuration, what was ordered, and one pair for development for the rest.
pub fn certificate_files(settings: &Settings) -> Result<Vec<CertificateFiles>, CertificateError> {
    let mut files = settings.tls.certificates.clone();
    let Some(acme) = &settings.tls.acme else {
        if files.is_empty() {
            tracing::warn!(
                "no certificate is configured: one for development is used, which no browser trusts"
            );
            files.push(for_development(settings)?);
        }
        return Ok(files);
    };
    let shelf = shelf(settings, acme);
    let configured = Certificates::read(files.clone())?;
    let mut missing = Vec::new();
    for host in ordered_hosts(settings, &configured) {
        match shelf.read(&host) {
            // Key and chain in one file.
            Some(_) => files.push(CertificateFiles {
                certificate: shelf.path(&host),
                key: shelf.path(&host),
            }),
            None => missing.push(host),
        }
    }
    if !missing.is_empty() {
        let hosts: Vec<&str> = missing.iter().map(Host::as_str).collect();
        tracing::warn!(
            hosts = hosts.join(" "),
            "no certificate has come yet: one for development is used there, which no browser trusts"
        );
    }
    let shown = Certificates::read(files.clone())?;
    if settings.hosts().any(|host| !shown.covers(host.as_str())) {
        files.push(for_development(settings)?);
    }
    Ok(files)
}

fn for_development(settings: &Settings) -> Result<CertificateFiles, CertificateError> {
    let hosts: Vec<String> = settings
        .hosts()
        .map(|host| host.as_str().to_owned())
        .collect();
    development(&settings.store.data_dir, &hosts)
}

/// Answers authorities for whichever node ordered.
pub struct Testimony {
    pub house: Arc<House>,
    pub proofs: Proofs,
}

impl Testimony {
    fn hears(&self, kind: ChallengeKind) -> bool {
        let settings = self.house.settings();
        settings
            .tls
            .acme
            .as_ref()
            .is_some_and(|acme| acme.challenge == kind)
    }
}

#[async_trait]
impl Witness for Testimony {
    fn hears_http(&self) -> bool {
        self.hears(ChallengeKind::Http01)
    }

    async fn over_http(&self, token: &str) -> Option<String> {
        let now = (self.house.ground.world.clock)();
        let found = self.proofs.over_http(token, now).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "an authority asks, and its answer can't be looked up");
            None
        })
    }

    async fn in_handshake(&self, host: &Host) -> Option<[u8; 32]> {
        if !self.hears(ChallengeKind::TlsAlpn01) || self.house.origins.load().get(host).is_none() {
            return None;
        }
        let now = (self.house.ground.world.clock)();
        let found = self.proofs.in_handshake(host, now).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "an authority asks, and its answer can't be looked up");
            None
        })
    }
}
