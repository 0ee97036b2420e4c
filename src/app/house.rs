//! What stays while gateway.toml changes, and makes of it what changes: the scene that requests are
//! judged and passed on in. Everything that can fail is made first; then all of it is swapped.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::join_all;
use ipnet::IpNet;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::certificates::certificate_files;
use super::{StartError, World, messages, origins, sites};
use crate::config::change::Change;
use crate::config::settings::{CertificateFiles, Settings};
use crate::directory::Directory;
use crate::directory::passwords::Hasher;
use crate::gate::headers::Managed;
use crate::gate::host::HostTable;
use crate::gate::trail::TrailEvent;
use crate::legacy::{self, Legacy, SignOns};
use crate::messages::Messages;
use crate::observe::access::AccessLog;
use crate::observe::audit::{Audit, AuditEvent, Head};
use crate::observe::metrics::Metrics;
use crate::observe::spans::Spans;
use crate::policies::{Base, PolicyFolder, Reload};
use crate::portal;
use crate::providers::Providers;
use crate::proxy::authz::Askers;
use crate::proxy::certificates::{CertificateError, Certificates};
use crate::proxy::facts::Reader;
use crate::proxy::forward::Front;
use crate::proxy::listen::Crowd;
use crate::proxy::record::{Books, Glass};
use crate::proxy::scene::{Scene, Way};
use crate::proxy::upstream::Upstream;
use crate::sessions::Sessions;
use crate::sessions::assertions::Assertions;
use crate::sessions::kept::KeptForms;

/// What every scene is made with.
pub struct Ground {
    pub world: World,
    pub sessions: Arc<Sessions>,
    pub directory: Directory,
    pub hasher: Arc<Hasher>,
    pub policies: PolicyFolder,
    pub metrics: Arc<Metrics>,
    pub access: Option<Arc<AccessLog>>,
    pub spans: Option<Arc<Spans>>,
    pub audit: Arc<Audit>,
    pub assertions: Arc<Assertions>,
    pub kept: Arc<KeptForms>,
    pub portal_key: Zeroizing<[u8; 32]>,
    pub observer: Arc<dyn portal::Observer>,
    pub sign_on_observer: Arc<dyn legacy::Observer>,
    pub glass: Arc<dyn Glass>,
    /// This process among the nodes that the directory knows.
    pub node: super::master_key::Node,
    /// Health checks end with it.
    pub over: watch::Receiver<bool>,
}

/// The settings in force, and what was opened for them and may stay.
#[derive(Clone)]
struct Standing {
    settings: Arc<Settings>,
    messages: Arc<Messages>,
    /// With what they published: asked again only when one of them changed.
    providers: Arc<Providers>,
}

pub struct House {
    pub ground: Ground,
    pub scene: Arc<ArcSwap<Scene>>,
    pub origins: Arc<ArcSwap<HostTable<String>>>,
    pub certificates: Arc<Certificates>,
    pub crowd: Arc<Crowd>,
    standing: Mutex<Standing>,
    groups: AtomicU64,
    complaint: Mutex<Option<String>>,
    anchored: ArcSwapOption<Head>,
}

/// When all of it is the same, the file was not touched.
pub fn stamp(file: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// Whose connections are many people's.
pub fn proxies(settings: &Settings) -> Vec<IpNet> {
    [
        settings.listen.trusted_proxies.as_slice(),
        &settings.authz_peers,
    ]
    .concat()
}

pub fn base(settings: &Settings) -> Base {
    Base {
        session: settings.session,
        rollout: settings.rollout.clone(),
        products: settings.products.clone(),
    }
}

impl House {
    pub async fn open(
        settings: Settings,
        ground: Ground,
        crowd: Arc<Crowd>,
    ) -> Result<House, StartError> {
        let certificates = Arc::new(Certificates::read(certificate_files(&settings)?)?);
        let standing = Standing {
            messages: Arc::new(messages::open(&settings.messages, &ground.metrics)?),
            providers: Arc::new(Providers::new(settings.providers.clone())?),
            settings: Arc::new(settings),
        };
        let groups = AtomicU64::new(1);
        let scene = scene(&ground, &groups, &standing, None).await?;
        Ok(House {
            origins: Arc::new(ArcSwap::from_pointee(origins(&standing.settings)?)),
            scene: Arc::new(ArcSwap::from_pointee(scene)),
            certificates,
            crowd,
            standing: Mutex::new(standing),
            groups,
            complaint: Mutex::default(),
            anchored: ArcSwapOption::empty(),
            ground,
        })
    }

    fn standing(&self) -> Standing {
        let standing = self.standing.lock();
        standing.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn settings(&self) -> Arc<Settings> {
        self.standing().settings
    }

    pub fn messages(&self) -> Arc<Messages> {
        self.standing().messages
    }

    /// Reads gateway.toml again and follows it, whole or not at all. What the policies came to, when
    /// they were read again for it.
    pub async fn follow(&self) -> Option<Reload> {
        let source = self.settings().source.clone();
        let read = tokio::task::spawn_blocking(move || source.read_again()).await;
        let outcome = match read {
            Ok(Ok(settings)) => self.take_over(settings).await,
            Ok(Err(problems)) => Err(problems.to_string()),
            Err(_) => Err(String::from("it could not be read")),
        };
        self.ground.metrics.config_reloaded(outcome.is_ok());
        let mut complaint = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(reload) => {
                *complaint = None;
                reload
            }
            Err(problems) => {
                if complaint.as_ref() != Some(&problems) {
                    tracing::error!(
                        problems,
                        "gateway.toml can't be used; everything stays as it is"
                    );
                    self.note(TrailEvent::ConfigurationRejected, "see the program's log");
                }
                *complaint = Some(problems);
                None
            }
        }
    }

    async fn take_over(&self, read: Settings) -> Result<Option<Reload>, String> {
        let before = self.standing();
        let change = Change::between(&before.settings, &read);
        for key in &change.waiting {
            tracing::warn!(
                key,
                "is another in gateway.toml, and takes effect at the next start"
            );
        }
        if change.followed.is_empty() {
            return Ok(None);
        }
        let Some(settings) = read.following(&before.settings) else {
            return Err(String::from("exactly one product must be primary"));
        };
        let reload = self
            .swap(&before, settings)
            .await
            .map_err(|error| error.to_string())?;
        let keys = change.followed.join(", ");
        tracing::info!(keys, "gateway.toml is followed");
        self.note(TrailEvent::ConfigurationChanged, &keys);
        Ok(Some(reload))
    }

    /// First what can fail, then what can't.
    async fn swap(&self, before: &Standing, settings: Settings) -> Result<Reload, StartError> {
        let messages = if settings.messages == before.settings.messages {
            Arc::clone(&before.messages)
        } else {
            Arc::new(messages::open(&settings.messages, &self.ground.metrics)?)
        };
        let providers = if settings.providers == before.settings.providers {
            Arc::clone(&before.providers)
        } else {
            Arc::new(Providers::new(settings.providers.clone())?)
        };
        let files = certificate_files(&settings)?;
        let certificates = match self.certificates.are(&files) {
            true => None,
            false => Some(Certificates::read(files)?),
        };
        let standing = Standing {
            settings: Arc::new(settings),
            messages,
            providers,
        };
        let settings = &standing.settings;
        let origins = origins(settings)?;
        let old = self.scene.load_full();
        let scene = scene(&self.ground, &self.groups, &standing, Some(&old)).await?;

        if let Some(certificates) = certificates {
            self.certificates.replace(certificates);
        }
        let reload = self.ground.policies.set_base(base(settings));
        self.ground.sessions.set_products(settings.products.clone());
        self.crowd.trust(&proxies(settings));
        self.scene.store(Arc::new(scene));
        self.origins.store(Arc::new(origins));
        self.ground.metrics.forget_backends();
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        Ok(reload)
    }

    /// Shows what the configuration names and what was ordered, as it is now, and says which files that is.
    pub fn show_certificates(&self) -> Result<Vec<CertificateFiles>, CertificateError> {
        let files = certificate_files(&self.settings())?;
        self.certificates
            .replace(Certificates::read(files.clone())?);
        self.tell_certificates();
        Ok(files)
    }

    /// Tells the metrics when the certificates end.
    pub fn tell_certificates(&self) {
        let now = (self.ground.world.clock)();
        let metrics = &self.ground.metrics;
        metrics.forget_certificates();
        for (name, expiry) in self.certificates.expiries() {
            metrics.certificate_expiry(&name, (expiry.millis() - now.millis()) / 1000);
        }
        let (scene, settings) = (self.scene.load(), self.settings());
        for (upstream, product) in scene.upstreams.iter().zip(settings.products.iter()) {
            if let Some(expiry) = upstream.expiry() {
                let name = format!("products.{}.tls.client", product.id);
                metrics.certificate_expiry(&name, (expiry.millis() - now.millis()) / 1000);
            }
        }
    }

    /// Asks again where the backends' names lead, and looks at the files with their authorities and with
    /// the certificates that they are shown.
    pub async fn follow_backends(&self) {
        let names = &self.ground.world.names;
        let scene = self.scene.load_full();
        let settings = self.settings();
        let group = || self.groups.fetch_add(1, Ordering::Relaxed);
        let moved = scene.upstreams.iter();
        let moved = join_all(moved.map(|upstream| upstream.moved(names, group))).await;
        let mut upstreams = scene.upstreams.clone();
        let mut any = false;
        let products = settings.products.iter();
        for ((upstream, moved), product) in upstreams.iter_mut().zip(moved).zip(products) {
            let product = product.id.as_str();
            match moved {
                Ok(None) => {}
                Ok(Some(moved)) => {
                    moved.watch_health(self.ground.over.clone());
                    let (before, now) = (upstream.sockets(), moved.sockets());
                    if before == now {
                        tracing::info!(product, "certificates for backends reloaded");
                        let detail = format!("products.{product}.tls");
                        self.note(TrailEvent::CertificatesChanged, &detail);
                    } else {
                        tracing::info!(product, ?before, ?now, "a backend's name leads elsewhere");
                    }
                    *upstream = Arc::new(moved);
                    any = true;
                }
                Err(error) => tracing::error!(
                    product,
                    %error,
                    "a backend that changed can't be used; it stays as it was"
                ),
            }
        }
        if any {
            self.scene.store(Arc::new(Scene {
                upstreams,
                ..Scene::clone(&scene)
            }));
        }
    }

    /// Notes in the directory where this node's audit trail stands, if it has grown.
    pub async fn anchor(&self) {
        let Some(head) = self.ground.audit.head() else {
            return;
        };
        if self.anchored.load().as_deref() == Some(&head) {
            return;
        }
        let now = (self.ground.world.clock)();
        let directory = &self.ground.directory;
        match directory
            .anchor(&head.trail, head.seq, &head.hash, now)
            .await
        {
            Ok(()) => self.anchored.store(Some(Arc::new(head))),
            Err(error) => tracing::warn!(%error, "the audit trail could not be anchored"),
        }
    }

    /// A line of the audit trail that no person is the cause of.
    pub fn note(&self, event: TrailEvent, detail: &str) {
        let now = (self.ground.world.clock)();
        let line = AuditEvent::new(event, now).who("operator").detail(detail);
        self.ground.audit.record(line);
    }
}

async fn scene(
    ground: &Ground,
    groups: &AtomicU64,
    standing: &Standing,
    before: Option<&Scene>,
) -> Result<Scene, StartError> {
    let settings = &standing.settings;
    let upstreams = upstreams(ground, groups, settings, before).await?;
    let legacy = Arc::new(Legacy::open(&settings.products, &settings.backends).await?);
    let sign_ons = SignOns::new(legacy::Parts {
        legacy: Arc::clone(&legacy),
        sessions: Arc::clone(&ground.sessions),
        directory: ground.directory.clone(),
        clock: Arc::clone(&ground.world.clock),
        random: Arc::clone(&ground.world.random),
        observer: Arc::clone(&ground.sign_on_observer),
    });
    let portal = Arc::new(portal_state(ground, standing, legacy));
    let books = Books {
        glass: Arc::clone(&ground.glass),
        metrics: Arc::new(ground.metrics.for_products(&settings.products)),
        access: ground.access.clone(),
        spans: ground.spans.clone(),
        portal_host: settings.portal.host.as_str().into(),
    };
    Ok(Scene {
        reader: Arc::new(Reader {
            sites: sites(settings)?,
            managed: Managed::of(&settings.products),
            limits: settings.limits.clone(),
            trusted_proxies: settings.listen.trusted_proxies.clone(),
            portal_origin: settings.portal.origin.clone(),
        }),
        upstreams,
        ways: settings
            .products
            .iter()
            .zip(&settings.backends)
            .map(|(product, backend)| Way {
                front: Front::of(product),
                body_limit: backend.body_limit,
                bar: backend.bar,
            })
            .collect(),
        portal: portal::router(Arc::clone(&portal)),
        own: portal::own_router(portal),
        sign_ons,
        askers: Askers {
            peers: settings.authz_peers.clone(),
            trusted_proxies: settings.listen.trusted_proxies.clone(),
        },
        keep_form: settings.keep_form,
        title: settings.portal.title.as_str().into(),
        books: Arc::new(books),
    })
}

/// Those that are as they were stay, with what is known of their health.
async fn upstreams(
    ground: &Ground,
    groups: &AtomicU64,
    settings: &Settings,
    before: Option<&Scene>,
) -> Result<Vec<Arc<Upstream>>, StartError> {
    let mut upstreams = Vec::with_capacity(settings.backends.len());
    let mut standing: Vec<Arc<Upstream>> =
        before.map_or_else(Vec::new, |scene| scene.upstreams.clone());
    for (product, backend) in settings.products.iter().zip(&settings.backends) {
        let same = |upstream: &Arc<Upstream>| upstream.is(backend, product.websockets);
        if let Some(at) = standing.iter().position(same) {
            // Taken out: two products with the same backends have their pools apart.
            upstreams.push(standing.swap_remove(at));
            continue;
        }
        let group = groups.fetch_add(1, Ordering::Relaxed);
        let names = &ground.world.names;
        let upstream = Upstream::new(group, backend, product.websockets, names).await?;
        upstream.watch_health(ground.over.clone());
        upstreams.push(Arc::new(upstream));
    }
    Ok(upstreams)
}

fn portal_state(ground: &Ground, standing: &Standing, legacy: Arc<Legacy>) -> portal::State {
    let settings = &standing.settings;
    portal::State {
        kept: Arc::clone(&ground.kept),
        legacy,
        providers: Arc::clone(&standing.providers),
        scim_roles: settings.scim_roles.clone(),
        messages: Arc::clone(&standing.messages),
        sessions: Arc::clone(&ground.sessions),
        directory: ground.directory.clone(),
        hasher: Arc::clone(&ground.hasher),
        policies: ground.policies.published(),
        products: settings.products.clone(),
        portal_origin: settings.portal.origin.clone(),
        title: settings.portal.title.clone(),
        clock: Arc::clone(&ground.world.clock),
        random: Arc::clone(&ground.world.random),
        keys: portal::Keys::new(*ground.portal_key),
        observer: Arc::clone(&ground.observer),
        pace: settings.pace,
        jwks: {
            let assertions = Arc::clone(&ground.assertions);
            Arc::new(move || assertions.jwks())
        },
    }
}
