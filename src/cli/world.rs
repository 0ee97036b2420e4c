//! The real clock and the real randomness, and the parts that a command opens beside a running
//! gateway: the directory and the session store, never the front door.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use tokio::io::BufReader;
use tokio::sync::OnceCell;

use super::Failure;
use super::break_glass::{self, BreakGlassArgs};
use super::explain::{ExplainArgs, Who, explain_to as explain_question};
use super::on_record::{Deed, Record};
use super::people::{EndSessions, Means, People, PeopleCommand, PeopleError};
use super::policy_diff::{self, Subject};
use super::policy_test;
use super::rollout::{self, RolloutArgs, RolloutVerb};
use super::sessions::{self, SessionsArgs, Told, Verb};
use super::traffic::{Sides, replay};
use crate::app::{self, Letter, World};
use crate::config::settings::CredentialsKind;
use crate::config::{ProductIds, Settings};
use crate::directory::passwords::Hasher;
use crate::directory::seal::MasterKey;
use crate::directory::{Account, Directory, PasswordHash, Person};
use crate::gate::name::{CompanyId, PersonId, ProductId};
use crate::gate::rollout::MFA;
use crate::gate::session::Profile;
use crate::gate::time::Moment;
use crate::gate::traceparent::to_hex;
use crate::gate::trail::TrailEvent;
use crate::observe::audit::{Anchor, trail_name};
use crate::policies::{Base, PolicyFolder};
use crate::portal::locks::{self, Lock};
use crate::sessions::store::{Store, StoreError};
use crate::sessions::{EndCause, ending};

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
        names: app::system_names(),
    }
}

/// The gateways' directory. It is theirs, or that of an import, to begin one: a command that began
/// another in the wrong place would say of nobody that it is done.
pub async fn open_directory(settings: &Settings) -> Result<Directory, Failure> {
    is_there(settings)?;
    let master = MasterKey::read(&settings.store.master_key).map_err(Failure::not_so)?;
    opened(settings, &master).await
}

fn is_there(settings: &Settings) -> Result<(), Failure> {
    let store = &settings.store;
    let sqlite = store.directory.expose().strip_prefix("sqlite:");
    let sqlite = sqlite.map(|path| Path::new(path.strip_prefix("//").unwrap_or(path)));
    let key = ("master key", store.master_key.as_path());
    let is_gone = |path: &Path| {
        let found = std::fs::metadata(path);
        matches!(found, Err(error) if error.kind() == ErrorKind::NotFound)
    };
    let wanted = sqlite.map(|path| ("directory", path));
    match wanted
        .into_iter()
        .chain([key])
        .find(|(_, path)| is_gone(path))
    {
        None => Ok(()),
        Some((what, path)) => Err(Failure::not_so(format!(
            "there is no {what} at {}. `vestibule run` and `vestibule people import` begin one; every other \
             command works on that of the gateways: are these their configuration and their environment \
             (VESTIBULE_STORE__…)?",
            path.display()
        ))),
    }
}

/// For the first command on a new machine, which may well be an import.
async fn begin_directory(settings: &Settings) -> Result<Directory, Failure> {
    let master = MasterKey::read(&settings.store.master_key).or_else(|_| {
        let world = real();
        std::fs::create_dir_all(&settings.store.data_dir).map_err(Failure::not_so)?;
        MasterKey::read_or_make(&settings.store.master_key, || {
            let mut bytes = [0; 32];
            (world.random)(&mut bytes);
            bytes
        })
        .map_err(Failure::not_so)
    })?;
    // The audit trail is there too.
    std::fs::create_dir_all(&settings.store.data_dir).map_err(Failure::not_so)?;
    opened(settings, &master).await
}

async fn opened(settings: &Settings, master: &MasterKey) -> Result<Directory, Failure> {
    Directory::open(settings.store.directory.expose(), master)
        .await
        .map_err(Failure::not_so)
}

/// Ends sessions in the store; the gateways hear of it there.
struct Ends<'a> {
    settings: &'a Settings,
    /// Opened by who needs it first. One that is away is away for all of the command.
    store: OnceCell<Result<Arc<dyn Store>, String>>,
}

impl Ends<'_> {
    async fn store(&self) -> Result<&dyn Store, StoreError> {
        let open = async || {
            let opened = app::open_store(self.settings).await;
            opened.map_err(|error| match error {
                StoreError::Unavailable(why) => why,
                error @ StoreError::Corrupt(_) => error.to_string(),
            })
        };
        match self.store.get_or_init(open).await {
            Ok(store) => Ok(store.as_ref()),
            Err(why) => Err(StoreError::Unavailable(why.clone())),
        }
    }
}

#[async_trait::async_trait]
impl EndSessions for Ends<'_> {
    async fn end_person(&self, person: &PersonId, _cause: EndCause) -> Result<usize, StoreError> {
        let mut ended = 0;
        let (store, now) = (self.store().await?, now());
        for id in store.of_person(person, now).await? {
            ended += usize::from(ending::end(store, id, now).await?);
        }
        Ok(ended)
    }

    async fn forget_wrong_codes(&self, person: &PersonId) -> Result<(), StoreError> {
        ending::forget_wrong_codes(self.store().await?, person, now()).await
    }

    async fn locks(
        &self,
        person: &PersonId,
        accounts: &[Account],
        address: Option<IpAddr>,
    ) -> Result<Vec<Lock>, StoreError> {
        let logins: Vec<_> = accounts
            .iter()
            .map(|account| (account.product.clone(), account.login.clone()))
            .collect();
        let primary = &self.settings.products.primary().id;
        let store = self.store().await?;
        locks::of_person(store, person, (primary, &logins), address, now()).await
    }
}

pub async fn people(settings: &Settings, people: &People) -> Result<u8, Failure> {
    let directory = match &people.command {
        PeopleCommand::Import { .. } => begin_directory(settings).await?,
        _ => open_directory(settings).await?,
    };
    let ends = Ends {
        settings,
        store: OnceCell::new(),
    };
    let hasher = Hasher::new();
    let products: Vec<ProductId> = settings
        .products
        .iter()
        .map(|product| product.id.clone())
        .collect();
    let taken_over = Mutex::new(Vec::new());
    let means = Means {
        directory: &directory,
        hasher: &hasher,
        products: &products,
        sessions: &ends,
        kept_elsewhere: &|person, account| kept_elsewhere(settings, person, account),
        authenticator_added: &|person| {
            let mut taken_over = taken_over.lock().unwrap_or_else(PoisonError::into_inner);
            taken_over.push(person.clone());
        },
        now: now(),
    };
    // As it was handed over: whose name is not this user's (after runuser) could not be opened again.
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let input = tokio::fs::File::from_std(input.map_err(Failure::not_so)?.into());
    let record = match people.command.act() {
        Some(_) => Some(Record::open(settings)?),
        None => None,
    };
    // Before sessions end: afterwards nobody knows for whom they were at work.
    let concerned = match people.command.act() {
        Some((_, Some(person))) => concerned(&directory, &ends, person).await,
        _ => BTreeSet::new(),
    };
    let done = people.command.run(means, BufReader::new(input)).await;
    let deed = match (&done, people.command.act()) {
        (
            Ok(_) | Err(PeopleError::Sessions { .. } | PeopleError::Late { .. }),
            Some((event, person)),
        ) => Some(Deed {
            whom: person.cloned(),
            detail: match (&done, person) {
                // What was imported is a line for each kind.
                (Ok(told), None) => told.trim().replace('\n', "; "),
                (Ok(_), Some(_)) => people.command.about(),
                (Err(error), _) => error.to_string(),
            },
            reason: people.reason.clone(),
            ..Deed::of(event)
        }),
        _ => None,
    };
    let told = match (&deed, people.command.letter()) {
        (Some(_), Some((letter, person))) => tell(settings, &directory, person, letter).await,
        _ => None,
    };
    let taken_over = taken_over
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let taken_over = taken_over.into_iter().map(|person| Deed {
        reason: people.reason.clone(),
        whom: Some(person),
        detail: String::from("totp, imported"),
        ..Deed::of(TrailEvent::FactorAdded)
    });
    // One in each trail that it concerns, as of the same act in the portal.
    let deed = deed
        .into_iter()
        .flat_map(|deed| match concerned.is_empty() {
            true => vec![deed],
            false => in_each(&concerned, &deed),
        });
    let deeds: Vec<Deed> = deed.chain(told).chain(taken_over).collect();
    let recorded = match record {
        Some(record) if !deeds.is_empty() => record.write(&directory, deeds).await,
        _ => Ok(()),
    };
    directory.close().await;
    let code = print(&done.map_err(Failure::not_so)?)?;
    recorded.map(|()| code)
}

/// A person's own company, and those for which they are at work: whoever of them reads their trail finds
/// what was done.
async fn concerned(
    directory: &Directory,
    ends: &Ends<'_>,
    person: &PersonId,
) -> BTreeSet<CompanyId> {
    let known = directory.person(person).await.ok().flatten();
    let mut companies: BTreeSet<CompanyId> = known.into_iter().map(|one| one.company).collect();
    let Ok(store) = ends.store().await else {
        return companies;
    };
    let now = now();
    for id in store.of_person(person, now).await.unwrap_or_default() {
        if let Ok(Some((session, _))) = store.load(id, now).await {
            companies.extend(session.companies_at_work().cloned());
        }
    }
    companies
}

fn in_each(companies: &BTreeSet<CompanyId>, deed: &Deed) -> Vec<Deed> {
    let one = |company: &CompanyId| Deed {
        company: Some(company.clone()),
        ..deed.clone()
    };
    companies.iter().map(one).collect()
}

/// Tells the owner by mail; what is to be noted when they can't be told.
async fn tell(
    settings: &Settings,
    directory: &Directory,
    person: &PersonId,
    letter: Letter,
) -> Option<Deed> {
    let known = directory.person(person).await.ok().flatten();
    let sent = match known {
        Some(known) => {
            let language = directory.language_of(person).await.ok().flatten();
            let told = (&known, language.unwrap_or_default());
            app::tell(settings, told, letter).await
        }
        None => false,
    };
    (!sent).then(|| Deed {
        whom: Some(person.clone()),
        detail: letter.as_str().to_owned(),
        ..Deed::of(TrailEvent::MailUnsent)
    })
}

/// A password that nobody is asked for here is not to be set here: who set it would believe that the
/// person gets in with it.
fn kept_elsewhere(settings: &Settings, person: &Person, account: &Account) -> Option<String> {
    let mut configured = settings.products.iter().zip(&settings.backends);
    let (product, backend) = configured.find(|(product, _)| product.id == account.product)?;
    let id = &person.id;
    if backend.credentials != CredentialsKind::Directory {
        let name = &product.name;
        return Some(format!(
            "the {name} password of {id} is not kept here: it is changed where the {name} passwords are"
        ));
    }
    let by_provider = account.password_hash == PasswordHash::elsewhere();
    let mut providers = settings.providers.iter();
    let provider = providers.find(|one| {
        one.company == person.company && (by_provider || one.only && product.primary)
    })?;
    Some(format!(
        "{id} signs in at the provider {:?} of {}: no password of theirs is asked for here",
        provider.name, person.company
    ))
}

/// What the directory knows of this machine's audit trail.
pub async fn anchors(settings: &Settings) -> Result<Vec<Anchor>, Failure> {
    let Some(trail) = trail_name(&settings.audit_trail()).map_err(Failure::not_so)? else {
        return Ok(Vec::new());
    };
    let directory = open_directory(settings).await.map_err(|failure| Failure {
        message: format!(
            "{} (audit verify --alone checks the chain by itself)",
            failure.message
        ),
        ..failure
    })?;
    let known = directory.anchors(&trail).await;
    directory.close().await;
    let known = known.map_err(Failure::not_so)?.into_iter();
    Ok(known
        .map(|known| Anchor {
            seq: known.seq,
            hash: known.hash,
        })
        .collect())
}

pub async fn break_glass(settings: &Settings, arguments: &BreakGlassArgs) -> Result<u8, Failure> {
    let directory = open_directory(settings).await?;
    let mut name = [0; 6];
    (real().random)(&mut name);
    let record = match &arguments.verb {
        break_glass::Verb::List { .. } => None,
        break_glass::Verb::Open { .. } | break_glass::Verb::Close { .. } => {
            Some(Record::open(settings)?)
        }
    };
    let done = break_glass::run(&arguments.verb, &directory, &to_hex(&name), now()).await;
    let done = done.map_err(Failure::not_so)?;
    if let (Some((event, line)), Some(record)) = (done.record, record) {
        record.write_lines(&directory, vec![event], &[line]).await?;
    }
    directory.close().await;
    print(&done.text)?;
    Ok(if done.found { 0 } else { super::NOT_SO })
}

pub async fn sessions(settings: &Settings, arguments: &SessionsArgs) -> Result<u8, Failure> {
    is_there(settings)?;
    let store = app::open_store(settings).await.map_err(Failure::not_so)?;
    let selection = match &arguments.verb {
        Verb::List(selection) => {
            let listed = sessions::list(selection, store.as_ref(), now()).await;
            return told(listed.map_err(Failure::not_so)?);
        }
        Verb::Revoke(selection) => selection,
    };
    let record = Record::open(settings)?;
    // Sessions can always be ended: what the directory is needed for is told afterwards.
    let directory = open_directory(settings).await;
    let mut failure = None;
    // Also what is not a session yet: a sign-in that waits for its code. First, so that none becomes one.
    if let (Ok(directory), Some(person)) = (&directory, &selection.which.person) {
        let voided = directory.void_beginnings(person).await;
        failure = voided.map_err(Failure::not_so).err();
    }
    let revoked = sessions::revoke(selection, store.as_ref(), now()).await;
    let mut deeds = Vec::new();
    for ended in &revoked.ended {
        // In the trail of each company that it concerns, their own among them.
        let person = match &directory {
            Ok(directory) => directory.person(&ended.person).await.ok().flatten(),
            Err(_) => None,
        };
        let home = person.map(|person| person.company);
        let companies: BTreeSet<_> = ended.at_work.iter().cloned().chain(home).collect();
        deeds.extend(companies.into_iter().map(|company| Deed {
            event: TrailEvent::SessionEnded,
            whom: Some(ended.person.clone()),
            company: Some(company),
            session: Some(ended.session),
            reason: arguments.reason.clone(),
            detail: String::from("on the command line"),
        }));
    }
    let recorded = match (&directory, deeds.is_empty()) {
        (_, true) => Ok(()),
        (Ok(directory), false) => record.write(directory, deeds).await,
        (Err(_), false) => record.write_on_file(deeds).await,
    };
    let failure = match directory {
        Ok(directory) => {
            directory.close().await;
            failure
        }
        Err(failure) => Some(failure),
    };
    let code = told(revoked.told(selection.json).map_err(Failure::not_so)?)?;
    recorded?;
    match failure {
        None => Ok(code),
        Some(failure) => Err(Failure {
            message: format!(
                "the sessions are ended; sign-ins that wait for a code may go on, and admins read nothing of \
                 it in their trail: {}",
                failure.message
            ),
            ..failure
        }),
    }
}

/// Prints it; exit 1 when the one thing that was named is not there.
fn told(told: Told) -> Result<u8, Failure> {
    print(&told.text)?;
    Ok(if told.found { 0 } else { super::NOT_SO })
}

/// For what is said of the files as they are: in the place of one that can't be read another would
/// answer, and nothing said of it would be so.
fn sound_policies(settings: &Settings, dir: &Path) -> Result<PolicyFolder, Failure> {
    let ids = settings.products.iter().map(|product| product.id.clone());
    PolicyFolder::examine(dir, ProductIds::of(ids))?;
    open_policies(settings, dir)
}

fn open_policies(settings: &Settings, dir: &Path) -> Result<PolicyFolder, Failure> {
    let base = Base {
        session: settings.session,
        rollout: settings.rollout.clone(),
        products: settings.products.clone(),
    };
    Ok(PolicyFolder::open(dir, base)?)
}

pub async fn explain(
    settings: &Settings,
    question: &ExplainArgs,
    json: bool,
) -> Result<u8, Failure> {
    let folder = open_policies(settings, &settings.policies_dir)?;
    let rejected = folder.reload().rejected;
    let mut who = Who::Somebody;
    let directory = match question.person {
        Some(_) => Some(open_directory(settings).await?),
        // Also what the files say can be asked, on a machine that has no directory yet.
        None if MasterKey::read(&settings.store.master_key).is_err() => None,
        None => open_directory(settings).await.map_err(aside).ok(),
    };
    if let Some(directory) = &directory {
        let looked = look_up(&folder, directory, question).await;
        directory.close().await;
        who = looked?;
    } else {
        complain(
            "without the directory: what admins switched in Company Settings, pauses and emergencies are \
             left out",
        );
    }
    for one in rejected {
        let (problems, instead) = (&one.problems, one.instead);
        complain(&format!("{problems}\nrejected: {instead}"));
    }
    let policies = folder.published().load_full();
    let explanation = explain_question(question, &settings.products, &policies, who, now())
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

/// What is worth saying beside an answer.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

fn aside(failure: Failure) {
    complain(&failure.message);
}

/// All that the gateways know beside the files, and who is asked of.
async fn look_up(
    folder: &PolicyFolder,
    directory: &Directory,
    question: &ExplainArgs,
) -> Result<Who, Failure> {
    as_it_stands(folder, directory).await?;
    let emergencies = directory.emergencies(now()).await;
    let emergencies = emergencies.map_err(Failure::not_so)?.into_iter();
    // A moment that can't be read is told of when the question is.
    let at = question.at.as_deref().and_then(Moment::parse_rfc3339);
    let at = at.unwrap_or_else(now);
    let of = emergencies.map(|one| one.of).filter(|of| of.until > at);
    folder.set_emergencies(of.collect());
    let Some(id) = &question.person else {
        return Ok(Who::Somebody);
    };
    let id = PersonId::parse(id).map_err(Failure::not_so)?;
    let found = directory.person(&id).await.map_err(Failure::not_so)?;
    let found = found.ok_or_else(|| Failure::not_so(format!("there is no person {id}")))?;
    let works_for = companies_of(directory, &found).await?;
    if !works_for.iter().any(|one| one.as_str() == question.company) {
        let all: Vec<&str> = works_for.iter().map(CompanyId::as_str).collect();
        return Err(Failure::not_so(format!(
            "{id} never works for {}, so nothing is decided for them there: theirs is {}",
            question.company,
            all.join(", ")
        )));
    }
    Ok(match found.disabled {
        true => Who::Disabled(profile(found)),
        false => Who::Known(profile(found)),
    })
}

/// Each company that one of their accounts reaches.
async fn companies_of(
    directory: &Directory,
    person: &Person,
) -> Result<BTreeSet<CompanyId>, Failure> {
    let accounts = directory.accounts_of(&person.id).await;
    let accounts = accounts.map_err(Failure::not_so)?.into_iter();
    let mut companies: BTreeSet<CompanyId> =
        accounts.flat_map(|account| account.companies).collect();
    companies.insert(person.company.clone());
    Ok(companies)
}

/// The tables of `dir` are held against the policies beside them, or against those in use when the
/// folder holds tables alone.
pub fn test_policies(settings: &Settings, dir: Option<&Path>) -> Result<u8, Failure> {
    let dir = dir.unwrap_or(&settings.policies_dir);
    let beside = if dir.join("default.toml").exists() {
        dir
    } else {
        &settings.policies_dir
    };
    let policies = sound_policies(settings, beside)?.published().load_full();
    policy_test::test(
        dir,
        &settings.products,
        &policies,
        now(),
        &mut std::io::stdout(),
    )
    .map_err(|error| Failure::not_so(format!("{}: {error}", dir.display())))
}

/// What is wrong with either, at once.
fn both_sound(
    settings: &Settings,
    old: &Path,
    new: &Path,
) -> Result<(PolicyFolder, PolicyFolder), Failure> {
    match (sound_policies(settings, old), sound_policies(settings, new)) {
        (Ok(old), Ok(new)) => Ok((old, new)),
        (Err(old), Err(new)) => Err(Failure {
            code: old.code.max(new.code),
            message: format!("{}\n{}", old.message, new.message),
        }),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
    }
}

pub async fn diff_policies(
    settings: &Settings,
    (old, new): (&Path, &Path),
    traffic: Option<&Path>,
    json: bool,
) -> Result<u8, Failure> {
    let (old, new) = both_sound(settings, old, new)?;
    let directory = open_directory(settings).await?;
    let asked = async {
        for folder in [&old, &new] {
            as_it_stands(folder, &directory).await?;
        }
        subjects(&directory).await
    };
    let subjects = asked.await;
    directory.close().await;
    let subjects = subjects?;
    let (old, new) = (old.published().load_full(), new.published().load_full());
    if let Some(log) = traffic {
        let people = subjects
            .into_iter()
            .map(|subject| (subject.person.id.to_string(), subject.person))
            .collect();
        let sides = Sides {
            old: &old,
            new: &new,
            products: &settings.products,
            people: &people,
        };
        let unreadable = |error| Failure::not_so(format!("{}: {error}", log.display()));
        let file = std::fs::File::open(log).map_err(unreadable)?;
        let replayed = replay(std::io::BufReader::new(file), &sides).map_err(unreadable)?;
        return match json {
            true => print(&format!("{}\n", replayed.to_json())),
            false => print(&replayed.to_text()),
        };
    }
    let found = policy_diff::diff(&old, &new, &settings.products, &subjects, now());
    match json {
        true => print(&format!("{}\n", found.to_json())),
        false => print(&found.to_text()),
    }
}

/// What the directory knows besides people: Company Settings, and a release that is paused.
async fn as_it_stands(folder: &PolicyFolder, directory: &Directory) -> Result<(), Failure> {
    let switched_on = directory.factor_switched_on().await;
    folder.set_switched_on(switched_on.map_err(Failure::not_so)?);
    let paused = directory.rollout_paused(MFA).await;
    if paused.map_err(Failure::not_so)?.is_some() {
        let held = directory.rollout_reached(MFA).await;
        folder.set_held(Some(Arc::new(held.map_err(Failure::not_so)?)));
    }
    Ok(())
}

pub async fn rollout(settings: &Settings, rollout: &RolloutArgs) -> Result<u8, Failure> {
    let directory = open_directory(settings).await?;
    let done = match &rollout.verb {
        RolloutVerb::Show { json } => show_rollout(settings, &directory, *json).await,
        RolloutVerb::Resume { feature } => resume_rollout(settings, &directory, feature).await,
    };
    directory.close().await;
    done
}

async fn show_rollout(
    settings: &Settings,
    directory: &Directory,
    json: bool,
) -> Result<u8, Failure> {
    let shown = rollout::show(directory, settings.rollout.clone()).await;
    let shown = shown.map_err(Failure::not_so)?;
    if json {
        let all: Vec<serde_json::Value> = shown.iter().map(rollout::Shown::to_json).collect();
        return print(&format!("{}\n", serde_json::Value::Array(all)));
    }
    if shown.is_empty() {
        return print("nothing is released step by step: everybody has everything\n");
    }
    print(
        &shown
            .iter()
            .map(rollout::Shown::to_text)
            .collect::<String>(),
    )
}

async fn resume_rollout(
    settings: &Settings,
    directory: &Directory,
    feature: &str,
) -> Result<u8, Failure> {
    let record = Record::open(settings)?;
    let resumed = directory.resume_rollout(feature).await;
    if !resumed.map_err(Failure::not_so)? {
        return Err(Failure::not_so(format!(
            "the release of {feature} is not paused"
        )));
    }
    let deed = Deed {
        detail: feature.to_owned(),
        ..Deed::of(TrailEvent::RolloutResumed)
    };
    record.write(directory, vec![deed]).await?;
    print(&format!("the release of {feature} goes on\n"))
}

/// Everybody, in each company that one of their accounts reaches.
async fn subjects(directory: &Directory) -> Result<Vec<Subject>, Failure> {
    const PAGE: u32 = 500;
    let mut subjects = Vec::new();
    let mut offset = 0;
    loop {
        let people = directory
            .people(None, None, PAGE, offset)
            .await
            .map_err(Failure::not_so)?;
        if people.is_empty() {
            return Ok(subjects);
        }
        offset = offset.saturating_add(u64::from(PAGE));
        for person in people {
            let companies = companies_of(directory, &person).await?;
            let profile = profile(person);
            subjects.extend(companies.into_iter().map(|company| Subject {
                company,
                person: profile.clone(),
            }));
        }
    }
}

fn profile(person: Person) -> Profile {
    Profile {
        id: person.id,
        name: person.name,
        email: person.email,
        roles: person.roles,
        grants: person.grants,
    }
}

pub fn print(text: &str) -> Result<u8, Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Failure::not_so)?;
    Ok(0)
}
