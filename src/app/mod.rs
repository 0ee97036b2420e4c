//! Puts the parts together, starts them, keeps them current and drains them: the only room that
//! knows everybody.

mod keys;
mod lines;
mod messages;
mod observers;
mod upkeep;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Uri;
use pingora::apps::{HttpServerApp as _, HttpServerOptions};
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Problems;
use crate::config::settings::{Listen, SessionStore, Settings, WhenUnavailable};
use crate::directory::passwords::Hasher;
use crate::directory::seal::{MasterKey, MasterKeyError};
use crate::directory::{Directory, DirectoryError};
use crate::gate::facts::Site;
use crate::gate::headers::Managed;
use crate::gate::host::{DuplicateHost, HostTable};
use crate::gate::policy::Policies;
use crate::messages::{Messages, MessagesError};
use crate::observe::access::{AccessLog, Sink};
use crate::observe::admin::Admin;
use crate::observe::audit::{Audit, AuditError};
use crate::observe::metrics::Metrics;
use crate::policies::{Base, PolicyFolder};
use crate::portal;
use crate::providers::{ProviderError, Providers};
use crate::proxy::certificates::{self, CertificateError, Certificates};
use crate::proxy::facts::Reader;
use crate::proxy::forward::Front;
use crate::proxy::gateway::{Gateway, Random, Way};
use crate::proxy::keep::Keeper;
use crate::proxy::listen::{self, Crowd, Door};
use crate::proxy::record::Books;
use crate::proxy::redirect;
use crate::proxy::upstream::{MOST_TRIES, Upstream, UpstreamError};
use crate::sessions::assertions::{AssertionError, Assertions};
use crate::sessions::embedded::EmbeddedStore;
use crate::sessions::kept::KeptForms;
use crate::sessions::redis::{PREFIX, RedisStore};
use crate::sessions::store::{Store, StoreError};
use crate::sessions::tokens::TokenKey;
use crate::sessions::{self, Clock, Sessions};

use observers::{Ends, Trail};

/// Idle connections to backends that are kept, in all.
const POOLED_CONNECTIONS: usize = 1024;

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Configuration(#[from] Problems),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error("the directory can't be opened: {0}")]
    Directory(#[from] DirectoryError),
    #[error("the session store can't be opened: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Assertions(#[from] AssertionError),
    #[error(transparent)]
    Messages(#[from] MessagesError),
    #[error(transparent)]
    Providers(#[from] ProviderError),
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    #[error("a backend can't be used: {0}")]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("{address} can't be listened on: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("{what}: {source}")]
    File { what: String, source: io::Error },
    #[error(transparent)]
    Host(#[from] DuplicateHost),
    #[error("a host of the configuration can't stand in an address")]
    Address,
}

/// What the gateway can't make itself: handed in, so that tests set the time.
#[derive(Clone)]
pub struct World {
    pub clock: Clock,
    pub random: Random,
}

/// The sockets, bound. Tests bind port 0 first and configure what they got.
#[derive(Default)]
pub struct Sockets {
    pub https: Vec<TcpListener>,
    pub http: Vec<TcpListener>,
    pub admin: Option<TcpListener>,
}

impl Sockets {
    pub async fn bind(listen: &Listen) -> Result<Sockets, StartError> {
        let mut sockets = Sockets::default();
        for address in &listen.https {
            sockets.https.push(bind(*address).await?);
        }
        for address in &listen.http {
            sockets.http.push(bind(*address).await?);
        }
        if let Some(address) = listen.admin {
            sockets.admin = Some(bind(address).await?);
        }
        Ok(sockets)
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = match TcpListener::bind(address).await {
        // A machine without IPv6: every address is every IPv4 address.
        Err(error) if address.ip().is_unspecified() && error.raw_os_error() == Some(97) => {
            TcpListener::bind(("0.0.0.0", address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|source| StartError::Listen { address, source })
}

/// A gateway at work.
pub struct Running {
    pub sessions: Arc<Sessions>,
    pub directory: Directory,
    pub hasher: Arc<Hasher>,
    pub policies: PolicyFolder,
    pub metrics: Arc<Metrics>,
    pub messages: Arc<Messages>,
    certificates: Arc<Certificates>,
    access: Option<Arc<AccessLog>>,
    audit: Arc<Audit>,
    proxy: Arc<HttpProxy<Gateway>>,
    /// First the doors close and drain, then what serves them stops.
    doors: JoinSet<()>,
    doors_shut: watch::Sender<bool>,
    tasks: JoinSet<()>,
    tasks_end: watch::Sender<bool>,
}

/// Opens what must be there, then serves on `sockets`.
pub async fn start(
    settings: Settings,
    world: World,
    sockets: Sockets,
) -> Result<Running, StartError> {
    let store_settings = &settings.store;
    make_private_folder(&store_settings.data_dir)?;
    let random = Arc::clone(&world.random);
    let master = MasterKey::read_or_make(&store_settings.master_key, || {
        let mut bytes = [0; 32];
        random(&mut bytes);
        bytes
    })?;
    let directory = Directory::open(store_settings.directory.expose(), &master).await?;
    let store = open_store(&settings).await?;
    let assertions = Arc::new(Assertions::new(
        keys::load_or_make(&directory, &world).await?,
    )?);

    let base = Base {
        session: settings.session,
        rollout: settings.rollout.clone(),
        products: settings.products.clone(),
    };
    let policies = PolicyFolder::open(&settings.policies_dir, base)?;
    policies.set_switched_on(directory.factor_switched_on().await?);

    let metrics = Arc::new(Metrics::new(&settings.products));
    let access = open_access_log(&settings, &metrics)?;
    let audit = Arc::new(Audit::open(settings.audit_trail(), &metrics)?);

    let grace = match store_settings.when_unavailable {
        WhenUnavailable::Refuse => None,
        WhenUnavailable::Grace(span) => Some(span),
    };
    let sessions = Sessions::new(sessions::Parts {
        store,
        products: settings.products.clone(),
        settings: sessions::Settings {
            recheck: store_settings.recheck,
            cache_capacity: store_settings.cache_capacity,
            grace,
            issuer: settings.portal.origin.clone(),
        },
        token_key: TokenKey::new(&master.derive("session tokens")),
        assertions: Arc::clone(&assertions),
        policies: policies.published(),
        clock: Arc::clone(&world.clock),
        random: Arc::clone(&world.random),
        observer: Arc::new(Ends::new(Arc::clone(&metrics), &settings.products)),
    });

    let mut upstreams = Vec::with_capacity(settings.backends.len());
    for (product, backend) in settings.products.iter().zip(&settings.backends) {
        let group = u64::try_from(product.index).unwrap_or(0) + 1;
        upstreams.push(Upstream::new(group, backend, product.websockets).await?);
    }
    let upstreams = Arc::new(upstreams);

    let hasher = Arc::new(Hasher::with_bounds(
        settings.limits.password_workers,
        settings.limits.password_queue,
    ));
    let kept = Arc::new(KeptForms::new(
        Arc::clone(&sessions),
        &master.derive("kept forms"),
        Arc::clone(&world.random),
    ));
    let mut process = [0; 4];
    (world.random)(&mut process);
    let (lines, lines_keeper) = lines::lines(
        directory.clone(),
        Arc::clone(&world.clock),
        u32::from_be_bytes(process),
    );
    let messages = Arc::new(messages::open(&settings.messages, &metrics)?);
    let portal = Arc::new(portal::State {
        kept: Arc::clone(&kept),
        messages: Arc::clone(&messages),
        providers: Arc::new(Providers::new(settings.providers.clone())?),
        scim_roles: settings.scim_roles.clone(),
        sessions: Arc::clone(&sessions),
        directory: directory.clone(),
        hasher: Arc::clone(&hasher),
        policies: policies.published(),
        products: settings.products.clone(),
        portal_origin: settings.portal.origin.clone(),
        title: settings.portal.title.clone(),
        clock: Arc::clone(&world.clock),
        random: Arc::clone(&world.random),
        keys: portal::Keys::new(master.derive("portal")),
        observer: Arc::new(Trail::new(
            Arc::clone(&metrics),
            Arc::clone(&audit),
            lines,
            Arc::clone(&world.clock),
        )),
        jwks: {
            let assertions = Arc::clone(&assertions);
            Arc::new(move || assertions.jwks())
        },
    });

    let certificates = Arc::new(open_certificates(&settings)?);
    let tls = certificates.server_config(settings.tls.minimum)?;
    let gateway = gateway(
        &settings,
        &world,
        &sessions,
        policies.published(),
        &upstreams,
        (portal, kept),
        Books {
            metrics: Arc::clone(&metrics),
            access: access.clone(),
            portal_host: settings.portal.host.as_str().into(),
        },
    )?;
    let proxy = Arc::new(proxy(&settings, gateway)?);

    let (doors_shut, doors_watch) = watch::channel(false);
    let (tasks_end, tasks_watch) = watch::channel(false);
    let mut doors = JoinSet::new();
    let mut tasks = JoinSet::new();

    tasks.spawn(lines_keeper.run(tasks_watch.clone()));
    tasks.spawn(Arc::clone(&sessions).run(tasks_watch.clone()));
    for upstream in upstreams.iter() {
        upstream.watch_health(tasks_watch.clone());
    }
    let upkeep = upkeep::Upkeep {
        sessions: Arc::clone(&sessions),
        directory: directory.clone(),
        policies: policies.clone(),
        certificates: Arc::clone(&certificates),
        assertions,
        upstreams,
        metrics: Arc::clone(&metrics),
        world: world.clone(),
    };
    upkeep.look_at_policies(&policies.reload());
    tasks.spawn(upkeep.clone().run(tasks_watch.clone()));
    if let Some(listener) = sockets.admin {
        let admin = admin(upkeep, doors_watch.clone());
        tasks.spawn(admin.serve(listener, tasks_watch));
    }

    let crowd = Crowd::trusting(&settings.limits, &settings.listen.trusted_proxies);
    for listener in sockets.https {
        let door = Door {
            proxy: Arc::clone(&proxy),
            tls: Arc::clone(&tls),
            limits: settings.limits.clone(),
            crowd: Arc::clone(&crowd),
        };
        doors.spawn(listen::serve(listener, door, doors_watch.clone()));
    }
    let origins = Arc::new(origins(&settings)?);
    for listener in sockets.http {
        doors.spawn(redirect::serve(
            listener,
            Arc::clone(&origins),
            doors_watch.clone(),
        ));
    }
    Ok(Running {
        sessions,
        directory,
        hasher,
        policies,
        metrics,
        messages,
        certificates,
        access,
        audit,
        proxy,
        doors,
        doors_shut,
        tasks,
        tasks_end,
    })
}

impl Running {
    /// Reads policies and certificates again, and opens the access log anew after a rotation.
    pub fn reload(&self) {
        if let Err(error) = self.certificates.reload() {
            tracing::error!(%error, "certificates could not be reloaded; the last good ones stay");
        }
        let reload = self.policies.reload();
        tracing::info!(
            changed = reload.changed,
            rejected = reload.rejected.len(),
            "policies reloaded"
        );
        if let Some(access) = &self.access {
            access.reopen();
        }
    }

    /// Lets nobody in any more, lets who is inside finish, writes what is unwritten.
    pub async fn stop(mut self) {
        let _ = self.doors_shut.send(true);
        // Idle keep-alive connections wait for a head that nobody would answer.
        self.proxy.http_cleanup().await;
        while self.doors.join_next().await.is_some() {}
        let _ = self.tasks_end.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.directory.close().await;
        if let Some(access) = &self.access {
            access.close();
        }
        self.audit.flush();
    }
}

/// Sessions, keys and trails are nobody's else to read.
fn make_private_folder(path: &Path) -> Result<(), StartError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StartError::File {
            what: format!("{} can't be made", path.display()),
            source,
        })
}

/// The session store that is configured, opened.
pub async fn open_store(settings: &Settings) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match &settings.store.sessions {
        SessionStore::Embedded => Arc::new(EmbeddedStore::open(&settings.store.data_dir).await?),
        SessionStore::Redis(url) => Arc::new(RedisStore::connect(url.expose(), PREFIX).await?),
    })
}

fn open_access_log(
    settings: &Settings,
    metrics: &Metrics,
) -> Result<Option<Arc<AccessLog>>, StartError> {
    if !settings.log.access {
        return Ok(None);
    }
    let sink = match &settings.log.access_file {
        Some(path) => Sink::File(path.clone()),
        None => Sink::Stdout,
    };
    let log = AccessLog::start(sink, metrics).map_err(|source| StartError::File {
        what: String::from("the access log"),
        source,
    })?;
    Ok(Some(Arc::new(log)))
}

fn open_certificates(settings: &Settings) -> Result<Certificates, CertificateError> {
    let mut files = settings.tls.certificates.clone();
    if files.is_empty() {
        let hosts: Vec<String> = std::iter::once(&settings.portal.host)
            .chain(settings.products.iter().map(|product| &product.host))
            .map(|host| host.as_str().to_owned())
            .collect();
        files.push(certificates::development(&settings.store.data_dir, &hosts)?);
        tracing::warn!(
            "no certificate is configured: one for development is used, which no browser trusts"
        );
    }
    Certificates::read(files)
}

fn sites(settings: &Settings) -> Result<HostTable<Site>, DuplicateHost> {
    let mut sites = HostTable::new();
    sites.insert(settings.portal.host.clone(), Site::Portal)?;
    for product in settings.products.iter() {
        sites.insert(product.host.clone(), Site::Product(Arc::clone(product)))?;
    }
    Ok(sites)
}

fn origins(settings: &Settings) -> Result<HostTable<String>, DuplicateHost> {
    let mut origins = HostTable::new();
    origins.insert(settings.portal.host.clone(), settings.portal.origin.clone())?;
    for product in settings.products.iter() {
        origins.insert(product.host.clone(), product.origin.clone())?;
    }
    Ok(origins)
}

fn gateway(
    settings: &Settings,
    world: &World,
    sessions: &Arc<Sessions>,
    policies: Arc<ArcSwap<Policies>>,
    upstreams: &Arc<Vec<Upstream>>,
    (portal, kept): (Arc<portal::State>, Arc<KeptForms>),
    books: Books,
) -> Result<Gateway, StartError> {
    // A Location is built of these for every sign-in: better to know now that it can be.
    settings
        .portal
        .origin
        .parse::<Uri>()
        .map_err(|_| StartError::Address)?;
    let mut process = [0; 8];
    (world.random)(&mut process);
    Ok(Gateway {
        reader: Reader {
            sites: sites(settings)?,
            managed: Managed::of(&settings.products),
            limits: settings.limits.clone(),
            trusted_proxies: settings.listen.trusted_proxies.clone(),
            portal_origin: settings.portal.origin.clone(),
        },
        sessions: Arc::clone(sessions),
        policies,
        upstreams: Arc::clone(upstreams),
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
        keeper: Keeper::new(
            kept,
            Arc::clone(sessions),
            settings.keep_form,
            settings.limits.kept_forms,
        ),
        title: settings.portal.title.clone(),
        books: Arc::new(books),
        clock: Arc::clone(&world.clock),
        random: Arc::clone(&world.random),
        process: u64::from_be_bytes(process),
        client_patience: crate::proxy::connection::CLIENT_PATIENCE,
    })
}

fn proxy(settings: &Settings, gateway: Gateway) -> Result<HttpProxy<Gateway>, StartError> {
    let trusts_system = settings.backends.iter().any(|backend| {
        backend.tls.ca.is_none() && backend.addresses.iter().any(|address| address.tls)
    });
    let mut conf = ServerConf {
        max_retries: MOST_TRIES,
        upstream_keepalive_pool_size: POOLED_CONNECTIONS,
        ..ServerConf::default()
    };
    if !trusts_system {
        // Pingora reads the system's authorities unless told of a file, and panics when the
        // environment names one that is not there. Nobody needs them here.
        let empty = settings.store.data_dir.join("no-authorities.pem");
        std::fs::write(&empty, b"").map_err(|source| StartError::File {
            what: format!("{} can't be written", empty.display()),
            source,
        })?;
        conf.ca_file = Some(empty.to_string_lossy().into_owned());
    }
    let mut proxy = http_proxy(&Arc::new(conf), gateway);
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(settings.limits.idle);
    proxy.server_options = Some(options);
    let mut h2 = default_h2_options();
    h2.max_concurrent_streams(
        u32::try_from(settings.limits.streams_per_connection).unwrap_or(u32::MAX),
    );
    h2.max_header_list_size(u32::try_from(settings.limits.header_bytes).unwrap_or(u32::MAX));
    proxy.h2_options = Some(h2);
    Ok(proxy)
}

fn admin(upkeep: upkeep::Upkeep, doors: watch::Receiver<bool>) -> Admin {
    let metrics = Arc::clone(&upkeep.metrics);
    Admin::new(
        move || metrics.render(),
        move || {
            let upkeep = upkeep.clone();
            let draining = *doors.borrow();
            Box::pin(async move { upkeep.ready(draining).await })
        },
    )
}
