//! Puts the parts together, starts them, keeps them current and drains them: the only room that
//! knows everybody.

mod certificates;
mod engine;
pub mod handover;
mod house;
mod keys;
mod lines;
pub mod master_key;
pub mod memory;
mod messages;
mod observers;
mod orders;
mod rollout;
mod sockets;
mod upkeep;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use pingora::apps::HttpServerApp as _;
use pingora::proxy::HttpProxy;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::acme::Proofs;
use crate::config::Problems;
use crate::config::settings::{SessionStore, Settings, Telemetry, WhenUnavailable};
use crate::directory::passwords::Hasher;
use crate::directory::seal::{MasterKey, MasterKeyError};
use crate::directory::{Directory, DirectoryError, Purpose};
use crate::gate::facts::Site;
use crate::gate::host::{DuplicateHost, HostTable};
use crate::gate::traceparent::to_hex;
use crate::legacy::{self, OpenError};
use crate::messages::{Messages, MessagesError};
use crate::observe::access::{AccessLog, Sink};
use crate::observe::admin::Admin;
use crate::observe::audit::{Audit, AuditError};
use crate::observe::metrics::Metrics;
use crate::observe::spans::{self, SpansError};
use crate::policies::PolicyFolder;
pub use crate::portal::Letter;
use crate::providers::ProviderError;
use crate::proxy::certificates::CertificateError;
use crate::proxy::challenge::Witness;
use crate::proxy::gateway::{Gateway, Random};
use crate::proxy::listen::{self, Crowd, Door};
use crate::proxy::record::Glass;
use crate::proxy::redirect;
use crate::proxy::upstream::UpstreamError;
pub use crate::proxy::upstream::{Names, system_names};
use crate::proxy::workers::{self, Workers};
use crate::sessions::assertions::{AssertionError, Assertions};
use crate::sessions::embedded::EmbeddedStore;
use crate::sessions::kept::KeptForms;
use crate::sessions::redis::{PREFIX, RedisStore};
use crate::sessions::store::{Store, StoreError};
use crate::sessions::tokens::TokenKey;
use crate::sessions::{self, Clock, Sessions};

pub use messages::tell;
pub use sockets::Sockets;

use certificates::Testimony;
use house::{Ground, House, base};
use observers::{Ends, Trail};
use orders::Orders;

/// How long whoever was let in last has for the handshake and the head of a request, once the doors
/// are shut. At most half of `limits.drain`.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long mails that are under way are waited for at the end.
const LAST_MAILS: Duration = Duration::from_secs(10);

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
    #[error("an application or directory that keeps passwords can't be asked: {0}")]
    Legacy(#[from] OpenError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Spans(#[from] SpansError),
    #[error("{address} can't be listened on: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("the threads that serve can't be started: {0}")]
    Workers(io::Error),
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
    /// Where names of backends lead.
    pub names: Names,
}

/// A gateway at work.
pub struct Running {
    pub sessions: Arc<Sessions>,
    pub directory: Directory,
    pub hasher: Arc<Hasher>,
    pub policies: PolicyFolder,
    pub metrics: Arc<Metrics>,
    pub messages: Arc<Messages>,
    wish: Arc<upkeep::Wish>,
    house: Arc<House>,
    access: Option<Arc<AccessLog>>,
    audit: Arc<Audit>,
    workers: Arc<Workers<HttpProxy<Gateway>>>,
    /// First the doors close and drain, then what serves them stops.
    doors: JoinSet<()>,
    drain: Duration,
    doors_shut: watch::Sender<bool>,
    /// Who is inside over HTTP/2 hears that it ends.
    told: watch::Sender<bool>,
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

    let policies = PolicyFolder::open(&settings.policies_dir, base(&settings))?;
    policies.set_switched_on(directory.factor_switched_on().await?);

    let metrics = Arc::new(Metrics::new(&settings.products));
    let access = open_access_log(&settings, &metrics)?;
    let audit = Arc::new(Audit::open_rotating(
        settings.audit_trail(),
        settings.log.audit_rotate,
        &metrics,
    )?);
    let release = rollout::Release {
        fared: Arc::new(rollout::Fared::new(policies.published())),
        policies: policies.clone(),
        directory: directory.clone(),
        metrics: Arc::clone(&metrics),
        audit: Arc::clone(&audit),
        clock: Arc::clone(&world.clock),
    };
    release.begin().await?;

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
        token_key: TokenKey::new(&directory.derived_key(Purpose::SessionTokens)),
        assertions: Arc::clone(&assertions),
        policies: policies.published(),
        clock: Arc::clone(&world.clock),
        random: Arc::clone(&world.random),
        observer: Arc::new(Ends::new(Arc::clone(&metrics))),
    });

    let hasher = Arc::new(Hasher::with_bounds(
        settings.limits.password_workers,
        settings.limits.password_queue,
    ));
    let kept = Arc::new(KeptForms::new(
        Arc::clone(&sessions),
        &directory.derived_key(Purpose::KeptForms),
        Arc::clone(&world.random),
    ));
    let mut process = [0; 4];
    (world.random)(&mut process);
    let (lines, lines_keeper) = lines::lines(
        directory.clone(),
        Arc::clone(&world.clock),
        u32::from_be_bytes(process),
    );
    let (tasks_end, tasks_watch) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let spans = match &settings.telemetry {
        None => None,
        Some(telemetry) => {
            let (handle, exporter) = spans::spans(spans_settings(telemetry, &world), &metrics)?;
            tasks.spawn(exporter.run(tasks_watch.clone()));
            Some(Arc::new(handle))
        }
    };
    let observer = Arc::new(Trail::new(
        Arc::clone(&metrics),
        Arc::clone(&audit),
        lines,
        Arc::clone(&world.clock),
        Arc::clone(&release.fared),
    ));
    let ground = Ground {
        world: world.clone(),
        sessions: Arc::clone(&sessions),
        directory: directory.clone(),
        hasher: Arc::clone(&hasher),
        policies: policies.clone(),
        metrics: Arc::clone(&metrics),
        access: access.clone(),
        spans,
        audit: Arc::clone(&audit),
        assertions,
        kept: Arc::clone(&kept),
        portal_key: directory.derived_key(Purpose::Portal),
        sign_on_observer: Arc::clone(&observer) as Arc<dyn legacy::Observer>,
        glass: Arc::clone(&observer) as Arc<dyn Glass>,
        observer,
        node: master_key::Node::new(&settings, &world),
        over: tasks_watch.clone(),
    };
    let crowd = Crowd::trusting(&settings.limits, &house::proxies(&settings));
    crowd.tell(Arc::clone(&metrics));
    let limits = settings.limits.clone();
    let minimum = settings.tls.minimum;
    let how_many = workers::one_for_each_processor();
    let conf = Arc::new(engine::proxy_conf(&settings)?);
    check_address(&settings)?;
    let house = Arc::new(House::open(settings, ground, Arc::clone(&crowd)).await?);
    let witness: Arc<dyn Witness> = Arc::new(Testimony {
        house: Arc::clone(&house),
        proofs: Proofs::new(Arc::clone(sessions.store())),
    });
    let tls = house.certificates.server_config(minimum)?;
    let gateway = engine::gateway(&house, &limits, kept);
    let workers = Workers::start(how_many, || engine::proxy(&conf, &limits, gateway.clone()));
    let workers = Arc::new(workers.map_err(StartError::Workers)?);
    workers.tell(&metrics);

    let (doors_shut, doors_watch) = watch::channel(false);
    let (told, told_watch) = watch::channel(false);
    let mut doors = JoinSet::new();

    tasks.spawn(lines_keeper.run(tasks_watch.clone()));
    tasks.spawn(Arc::clone(&sessions).run(tasks_watch.clone()));
    let wish = Arc::new(upkeep::Wish::default());
    let upkeep = upkeep::Upkeep {
        house: Arc::clone(&house),
        wish: Arc::clone(&wish),
        release,
    };
    upkeep.look_at_policies(&policies.reload());
    tasks.spawn(upkeep.clone().run(tasks_watch.clone()));
    tasks.spawn(Orders::new(Arc::clone(&house), tasks_watch.clone()).run());
    if let Some(listener) = sockets.admin {
        let admin = admin(upkeep, Arc::clone(&workers), doors_watch.clone());
        tasks.spawn(admin.serve(listener, tasks_watch));
    }

    for listener in sockets.https {
        let door = Door {
            workers: Arc::clone(&workers),
            tls: Arc::clone(&tls),
            limits: limits.clone(),
            crowd: Arc::clone(&crowd),
            corks: true,
            witness: Some(Arc::clone(&witness)),
        };
        let (shut, told) = (doors_watch.clone(), told_watch.clone());
        doors.spawn(listen::serve(listener, door, shut, told));
    }
    for listener in sockets.http {
        doors.spawn(redirect::serve(
            listener,
            Arc::clone(&house.origins),
            Arc::clone(&witness),
            doors_watch.clone(),
        ));
    }
    Ok(Running {
        sessions,
        directory,
        hasher,
        policies,
        metrics,
        messages: house.messages(),
        wish,
        house,
        access,
        audit,
        workers,
        doors,
        drain: limits.drain,
        doors_shut,
        told,
        tasks,
        tasks_end,
    })
}

impl Running {
    /// Has gateway.toml, certificates and policies read again, names resolved again, and the access
    /// log opened anew after a rotation. It happens soon, whether or not anybody waits for its end, and
    /// the log says what came of it.
    pub fn reload(&self) -> impl Future<Output = ()> + use<> {
        self.wish.make()
    }

    /// Returns when each thread that serves connections has had a turn.
    pub async fn take_turns(&self) {
        self.workers.take_turns().await;
    }

    /// Lets nobody in any more, lets who is inside finish, writes what is unwritten.
    pub async fn stop(mut self) {
        // Pingora closes whoever has not sent a head yet, be it the first on this connection or not.
        self.shut_doors().await;
        close_idle(&self.workers).await;
        self.end().await;
    }

    /// [`Running::stop`] when another process listens on the same sockets. Who keeps a connection open
    /// may have sent the next request already: it is answered, and told to come back elsewhere. Only
    /// connections that stay idle for half of `limits.drain` are closed unasked.
    pub async fn retire(mut self) {
        let workers = Arc::clone(&self.workers);
        let patience = self.drain / 2;
        let impatient = tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            close_idle(&workers).await;
        });
        self.shut_doors().await;
        self.end().await;
        impatient.abort();
    }

    /// Who was let in last may say what they want before they hear that it ends.
    async fn shut_doors(&self) {
        let _ = self.doors_shut.send(true);
        let patience = LAST_WORDS.min(self.drain / 2);
        let _ = timeout(patience, self.house.crowd.newcomers_heard()).await;
        let _ = self.told.send(true);
    }

    async fn end(&mut self) {
        while self.doors.join_next().await.is_some() {}
        // Nobody asks for more of them now.
        if !self.house.messages().settle(LAST_MAILS).await {
            tracing::warn!("mails were under way and are lost");
        }
        let _ = self.tasks_end.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.audit.flush();
        self.house.anchor().await;
        self.house.say_that_it_stops().await;
        self.directory.close().await;
        if let Some(access) = &self.access {
            access.close();
        }
    }
}

/// Idle keep-alive connections wait for a head that nobody would answer.
async fn close_idle(workers: &Workers<HttpProxy<Gateway>>) {
    for proxy in workers.proxies() {
        proxy.http_cleanup().await;
    }
}

/// Sessions, keys and trails are nobody's else to read.
pub fn make_private_folder(path: &Path) -> Result<(), StartError> {
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

/// A Location is built of it for every sign-in: better to know now that it can be.
fn check_address(settings: &Settings) -> Result<(), StartError> {
    match settings.portal.origin.parse::<Uri>() {
        Ok(_) => Ok(()),
        Err(_) => Err(StartError::Address),
    }
}

fn spans_settings(telemetry: &Telemetry, world: &World) -> spans::Settings {
    let mut instance = [0; 8];
    (world.random)(&mut instance);
    spans::Settings {
        otlp: telemetry.otlp.clone(),
        token: telemetry
            .token
            .as_ref()
            .map(|token| token.expose().to_owned()),
        sample: telemetry.sample,
        instance: to_hex(&instance),
    }
}

fn admin(
    upkeep: upkeep::Upkeep,
    workers: Arc<Workers<HttpProxy<Gateway>>>,
    doors: watch::Receiver<bool>,
) -> Admin {
    let metrics = Arc::clone(&upkeep.house.ground.metrics);
    Admin::new(
        move || metrics.render(),
        move |asked| {
            let (upkeep, workers) = (upkeep.clone(), Arc::clone(&workers));
            let draining = *doors.borrow();
            Box::pin(async move {
                workers.take_turns().await;
                upkeep.ready(asked, draining).await
            })
        },
    )
}
