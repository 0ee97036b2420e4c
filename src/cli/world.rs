//! The real clock and the real randomness, and the parts that a command opens beside a running
//! gateway: the directory and the session store, never the front door.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use tokio::io::BufReader;

use super::Failure;
use super::explain::{ExplainArgs, explain as explain_question};
use super::people::{EndSessions, Means, People};
use super::sessions::{SessionsArgs, run as run_sessions};
use crate::app::{self, World};
use crate::config::Settings;
use crate::directory::Directory;
use crate::directory::passwords::Hasher;
use crate::directory::seal::MasterKey;
use crate::gate::name::{PersonId, ProductId};
use crate::gate::session::Profile;
use crate::gate::time::Moment;
use crate::policies::{Base, PolicyFolder};
use crate::sessions::EndCause;
use crate::sessions::store::{Store, StoreError};

/// What the wall clock says.
pub fn now() -> Moment {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The world of a gateway that serves people.
pub fn real() -> World {
    let source = SystemRandom::new();
    World {
        clock: Arc::new(now),
        random: Arc::new(move |bytes| {
            if source.fill(bytes).is_err() {
                // A secret that can be guessed is worse than no gateway.
                tracing::error!("the system has no randomness left");
                std::process::abort();
            }
        }),
    }
}

async fn open_directory(settings: &Settings) -> Result<Directory, Failure> {
    let master = MasterKey::read(&settings.store.master_key).or_else(|_| {
        // The first command on a new machine may well be an import.
        let world = real();
        std::fs::create_dir_all(&settings.store.data_dir).map_err(Failure::not_so)?;
        MasterKey::read_or_make(&settings.store.master_key, || {
            let mut bytes = [0; 32];
            (world.random)(&mut bytes);
            bytes
        })
        .map_err(Failure::not_so)
    })?;
    Directory::open(settings.store.directory.expose(), &master)
        .await
        .map_err(Failure::not_so)
}

/// Ends sessions in the store; the gateways hear of it there.
struct Ends(Arc<dyn Store>);

#[async_trait::async_trait]
impl EndSessions for Ends {
    async fn end_person(&self, person: &PersonId, _cause: EndCause) -> Result<usize, StoreError> {
        let mut ended = 0;
        for id in self.0.of_person(person, now()).await? {
            ended += usize::from(self.0.end(id).await?);
        }
        Ok(ended)
    }
}

pub async fn people(settings: &Settings, people: &People) -> Result<u8, Failure> {
    let directory = open_directory(settings).await?;
    let store = app::open_store(settings).await.map_err(Failure::not_so)?;
    let hasher = Hasher::new();
    let products: Vec<ProductId> = settings
        .products
        .iter()
        .map(|product| product.id.clone())
        .collect();
    let means = Means {
        directory: &directory,
        hasher: &hasher,
        products: &products,
        sessions: &Ends(store),
        now: now(),
    };
    let input = tokio::fs::File::open("/dev/stdin")
        .await
        .map_err(Failure::not_so)?;
    let done = people.command.run(means, BufReader::new(input)).await;
    directory.close().await;
    print(&done.map_err(Failure::not_so)?)
}

pub async fn sessions(settings: &Settings, sessions: &SessionsArgs) -> Result<u8, Failure> {
    let store = app::open_store(settings).await.map_err(Failure::not_so)?;
    let done = run_sessions(sessions, store.as_ref(), now(), &mut std::io::stdout()).await;
    let found = done.map_err(Failure::not_so)?;
    Ok(if found { 0 } else { super::NOT_SO })
}

pub async fn explain(
    settings: &Settings,
    question: &ExplainArgs,
    json: bool,
) -> Result<u8, Failure> {
    let base = Base {
        session: settings.session,
        rollout: settings.rollout.clone(),
        products: settings.products.clone(),
    };
    let folder = PolicyFolder::open(&settings.policies_dir, base)?;
    let mut person = None;
    if let Some(id) = &question.person {
        let id = PersonId::parse(id).map_err(Failure::not_so)?;
        let directory = open_directory(settings).await?;
        folder.set_switched_on(
            directory
                .factor_switched_on()
                .await
                .map_err(Failure::not_so)?,
        );
        let found = directory.person(&id).await.map_err(Failure::not_so)?;
        let found = found.ok_or_else(|| Failure::not_so(format!("there is no person {id}")))?;
        person = Some(Profile {
            id: found.id,
            name: found.name,
            email: found.email,
            roles: found.roles,
            grants: found.grants,
        });
        directory.close().await;
    }
    let policies = folder.published().load_full();
    let explanation = explain_question(question, &settings.products, &policies, person, now())
        .map_err(|error| Failure {
            code: 2,
            message: error.to_string(),
        })?;
    if json {
        print(&format!("{}\n", explanation.to_json()))
    } else {
        print(&explanation.to_string())
    }
}

fn print(text: &str) -> Result<u8, Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Failure::not_so)?;
    Ok(0)
}
