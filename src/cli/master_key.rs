//! `vestibule master-key add|use|retire`: another master key takes over while the gateways run.
//!
//! Known everywhere, then used, then alone: at no moment is anything sealed under a key that some gateway
//! can't open. Each step looks at what the gateways say of themselves before it is taken, can be broken
//! off anywhere, and is taken again then.

use std::path::Path;

use async_trait::async_trait;
use clap::{Args, Subcommand};

use super::Failure;
use super::on_record::{Deed, Record};
use super::world::{now, open_directory, print, real};
use crate::app::master_key::{SIGN_ONS_LIVE, seen_since};
use crate::config::Settings;
use crate::config::settings::SignOn;
use crate::directory::seal::MasterKey;
use crate::directory::{Directory, Resealed, StoredNode};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;

#[derive(Debug, Args)]
pub struct MasterKeyArgs {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Adds a new key to the file: known, not used yet. Bring the file to every gateway then
    Add,
    /// Uses the new key from now on, and seals every secret of the directory anew. Broken off, say it again
    Use,
    /// Lets go of the old keys, when nothing is sealed under them any more
    Retire {
        /// Also when applications that people are signed in to may have to be signed in to again
        #[arg(long)]
        now: bool,
        /// After a theft: what was derived from the first key goes too. Everybody signs in again and recovery
        /// codes are void, once every gateway is restarted
        #[arg(long)]
        renew: bool,
    },
}

/// What a step needs.
pub struct Means<'a> {
    pub file: &'a Path,
    pub directory: &'a Directory,
    /// The bytes of a new key.
    pub fresh: [u8; 32],
    /// Whether what applications answered at a sign-on is kept, sealed, in the session store.
    pub keeps_sign_ons: bool,
    pub now: Moment,
    pub trail: &'a dyn Trail,
}

/// Where each change is written down at once: what comes after it may fail, or be broken off.
#[async_trait]
pub trait Trail: Sync {
    /// # Errors
    /// When it can't be written.
    async fn note(&self, event: TrailEvent, detail: String) -> Result<(), Failure>;
}

struct OnRecord<'a> {
    record: Record,
    directory: &'a Directory,
}

#[async_trait]
impl Trail for OnRecord<'_> {
    async fn note(&self, event: TrailEvent, detail: String) -> Result<(), Failure> {
        let deed = Deed {
            detail,
            ..Deed::of(event)
        };
        self.record.write(self.directory, vec![deed]).await
    }
}

pub async fn master_key(settings: &Settings, verb: Verb) -> Result<u8, Failure> {
    let directory = open_directory(settings).await?;
    let mut fresh = [0; 32];
    (real().random)(&mut fresh);
    let by_form = |way: &SignOn| matches!(way, SignOn::Form(_));
    let trail = OnRecord {
        record: Record::open(settings)?,
        directory: &directory,
    };
    let means = Means {
        file: &settings.store.master_key,
        directory: &directory,
        fresh,
        keeps_sign_ons: settings.backends.iter().any(|one| by_form(&one.sign_on)),
        now: now(),
        trail: &trail,
    };
    let done = run(verb, &means).await;
    directory.close().await;
    print(&done?)
}

/// Takes one step, and says what is next.
///
/// # Errors
/// When it can't be taken yet, with what is to be done first; or when it was broken off.
pub async fn run(verb: Verb, means: &Means<'_>) -> Result<String, Failure> {
    let key = MasterKey::read(means.file).map_err(Failure::not_so)?;
    if verb != Verb::Add {
        has_a_gateway(means.directory).await?;
    }
    match verb {
        Verb::Add => add(&key, means).await,
        Verb::Use => use_new(&key, means).await,
        Verb::Retire { now, renew } => retire(&key, means, now, renew).await,
    }
}

/// Where no gateway ever ran, nobody says what it knows and nothing is sealed: each step would be taken at
/// once, and the file let go of the key under which the gateways' directory is sealed.
async fn has_a_gateway(directory: &Directory) -> Result<(), Failure> {
    match directory.signing_keys().await {
        // Each gateway makes one at its first start.
        Ok(keys) if keys.is_empty() => Err(Failure::not_so(
            "no gateway ever ran on this directory (store.directory): are these the gateways' configuration \
             and their environment (VESTIBULE_STORE__…)? Nothing is changed",
        )),
        // What can't be read is told of by the steps.
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn add(key: &MasterKey, means: &Means<'_>) -> Result<String, Failure> {
    let Some(more) = key.with_staged(means.fresh) else {
        return Err(Failure::not_so(match key.staged() {
            Some(name) => format!(
                "the key {name} is known already and not used yet: vestibule master-key use"
            ),
            None => String::from("there are too many old keys: vestibule master-key retire"),
        }));
    };
    more.replace(means.file).map_err(Failure::not_so)?;
    let name = more.staged().unwrap_or_default();
    let noted = means.trail.note(TrailEvent::MasterKeyAdded, name.clone());
    noted.await?;
    Ok(format!(
        "the key {name} is known and not used yet. Bring {} to every gateway, then: vestibule \
         master-key use\n",
        means.file.display()
    ))
}

async fn use_new(key: &MasterKey, means: &Means<'_>) -> Result<String, Failure> {
    let note = |detail| means.trail.note(TrailEvent::MasterKeyUsed, detail);
    let mut noted = Ok(());
    let used = match key.with_staged_in_use() {
        Some(used) => {
            let name = used.seals_with();
            let knows = |node: &StoredNode| node.master_keys.contains(&name);
            all_nodes(means, knows, &format!("don't know the key {name} yet")).await?;
            used.replace(means.file).map_err(Failure::not_so)?;
            noted = note(format!("{name}: seals from now on")).await;
            used
        }
        // In use already: the round may have been broken off.
        None if key.count() > 1 => key.clone(),
        None => {
            let text = "there is no new key: vestibule master-key add";
            return Err(Failure::not_so(text));
        }
    };
    let name = used.seals_with();
    let Resealed { done, current, .. } = match taken_over(&used, &name, means).await {
        Ok(round) => round,
        Err(failure) => {
            // Told for what failed first.
            let _ = note(format!("{name}: broken off, {}", failure.message)).await;
            return Err(failure);
        }
    };
    noted.and(note(format!("{name}: {done} sealed anew, {current} were")).await)?;
    Ok(format!(
        "the key {name} seals: {done} secrets sealed anew, {current} were. Bring {} to every \
         gateway, then: vestibule master-key retire\n",
        means.file.display()
    ))
}

async fn taken_over(used: &MasterKey, name: &str, means: &Means<'_>) -> Result<Resealed, Failure> {
    let directory = means.directory;
    let taken = directory.take_over_master_key(used).await;
    taken.map_err(Failure::not_so)?;
    let since = directory.master_key_used(name, means.now).await;
    since.map_err(Failure::not_so)?;
    resealed(directory).await
}

async fn retire(
    key: &MasterKey,
    means: &Means<'_>,
    at_once: bool,
    renew: bool,
) -> Result<String, Failure> {
    let Some(alone) = key.newest_alone() else {
        if renew && key.staged().is_none() {
            return renew_again(key, means).await;
        }
        return Err(Failure::not_so(match key.staged() {
            Some(name) => format!("the key {name} is not used yet: vestibule master-key use"),
            None => String::from(NO_OLD_KEY),
        }));
    };
    let name = alone.seals_with();
    let seals = |node: &StoredNode| node.master_keys.first() == Some(&name);
    all_nodes(means, seals, "still seal under an old key").await?;
    // What a gateway sealed under the old one before it took over the new.
    resealed(means.directory).await?;
    if means.keeps_sign_ons && !at_once {
        let used = means.directory.master_key_used_at(&name).await;
        let used = used.map_err(Failure::not_so)?.unwrap_or(means.now);
        let until = used.plus(SIGN_ONS_LIVE);
        if until > means.now {
            let until = until.to_rfc3339();
            return Err(Failure::not_so(format!(
                "people's sign-ins to applications may be sealed under the old key until {until}: say it again \
                 then, or with --now, and those applications are signed in to once more"
            )));
        }
    }
    // While the old key is there, and every gateway opens what the new one sealed: broken off after
    // this, the step is taken again from its beginning.
    let mut noted = Ok(());
    if renew {
        noted = renewed(&alone, &name, means).await?;
    }
    alone.replace(means.file).map_err(Failure::not_so)?;
    let detail = format!("{name} stays alone");
    noted.and(means.trail.note(TrailEvent::MasterKeyRetired, detail).await)?;
    Ok(retired(&name, means, renew))
}

/// What is derived is made anew; whether that could be written down.
async fn renewed(
    key: &MasterKey,
    name: &str,
    means: &Means<'_>,
) -> Result<Result<(), Failure>, Failure> {
    let renewed = means.directory.renew_derived_keys(key).await;
    renewed.map_err(Failure::not_so)?;
    let detail = format!("{name}: what is derived is made anew");
    Ok(means.trail.note(TrailEvent::MasterKeyRetired, detail).await)
}

const NO_OLD_KEY: &str = "there is no old key to let go of";

/// The old key is gone already; whether what it was known by is gone too, nobody noted. A key that took
/// over from none is no other key: then nothing would be renewed.
async fn renew_again(key: &MasterKey, means: &Means<'_>) -> Result<String, Failure> {
    let name = key.seals_with();
    let used = means.directory.master_key_used_at(&name).await;
    if used.map_err(Failure::not_so)?.is_none() {
        return Err(Failure::not_so(NO_OLD_KEY));
    }
    renewed(key, &name, means).await??;
    Ok(retired(&name, means, true))
}

fn retired(name: &str, means: &Means<'_>, renew: bool) -> String {
    let restart = match renew {
        false => "",
        true => " and restart them all: people sign in again",
    };
    format!(
        "the key {name} is the only one. Bring {} to every gateway{restart}\n",
        means.file.display()
    )
}

/// Everything under the newest key, or a failure that names what is not.
async fn resealed(directory: &Directory) -> Result<Resealed, Failure> {
    let round = directory.reseal().await.map_err(Failure::not_so)?;
    if round.is_whole() {
        return Ok(round);
    }
    Err(Failure::not_so(if round.unreadable > 0 {
        format!(
            "{} secrets are sealed under no key that is known, or were changed by hand (their table and row: \
             {}). The old key stays. `people reset-mfa` takes such a factor away, a password that is typed for \
             somebody goes with Reset Single Sign-On; then say it again",
            round.unreadable,
            round.named.join(", ")
        )
    } else {
        format!(
            "{} secrets were changed again and again meanwhile: say it again",
            round.missed
        )
    }))
}

/// Fails with the names of the gateways that are not `so`.
async fn all_nodes(
    means: &Means<'_>,
    so: impl Fn(&StoredNode) -> bool,
    lack: &str,
) -> Result<(), Failure> {
    let nodes = means.directory.nodes(seen_since(means.now)).await;
    let nodes = nodes.map_err(Failure::not_so)?;
    let behind: Vec<&str> = nodes
        .iter()
        .filter(|node| !so(node))
        .map(|node| node.name.as_str())
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    Err(Failure::not_so(format!(
        "these gateways {lack}: {}. Bring {} to them; each takes it within seconds",
        behind.join(", "),
        means.file.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::directory::Purpose;
    use crate::gate::name::PersonId;

    const NOW: Moment = Moment::from_secs(1_790_000_000);

    struct Bench {
        _folder: TempDir,
        file: PathBuf,
        url: String,
        directory: Directory,
        keeps_sign_ons: bool,
        now: Moment,
        trail: Noted,
    }

    #[derive(Default)]
    struct Noted(Mutex<Vec<(TrailEvent, String)>>);

    #[async_trait]
    impl Trail for Noted {
        async fn note(&self, event: TrailEvent, detail: String) -> Result<(), Failure> {
            self.0.lock().unwrap().push((event, detail));
            Ok(())
        }
    }

    impl Bench {
        async fn new() -> Bench {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("master.key");
            let key = MasterKey::read_or_make(&file, || [7; 32]).unwrap();
            let url = format!("sqlite:{}", folder.path().join("d.db").display());
            let directory = Directory::open(&url, &key).await.unwrap();
            let signs = directory.add_signing_key("first", b"pkcs8", NOW).await;
            signs.unwrap();
            Bench {
                _folder: folder,
                file,
                url,
                directory,
                keeps_sign_ons: false,
                now: NOW,
                trail: Noted::default(),
            }
        }

        async fn step(&self, verb: Verb) -> Result<&'static str, String> {
            let means = Means {
                file: &self.file,
                directory: &self.directory,
                fresh: [8; 32],
                keeps_sign_ons: self.keeps_sign_ons,
                now: self.now,
                trail: &self.trail,
            };
            let done = run(verb, &means).await;
            done.map(|_| self.trail.0.lock().unwrap().last().unwrap().0.as_str())
                .map_err(|failure| failure.message)
        }

        /// What was written down since the last time.
        fn noted(&self) -> Vec<String> {
            let noted = std::mem::take(&mut *self.trail.0.lock().unwrap());
            let told = noted.into_iter();
            told.map(|(event, detail)| format!("{event} {detail}"))
                .collect()
        }

        async fn refused(&self, verb: Verb, why: &str) {
            let before = std::fs::read(&self.file).unwrap();
            let told = self.step(verb).await.unwrap_err();
            assert!(told.contains(why), "{told}");
            let after = std::fs::read(&self.file).unwrap();
            assert_eq!(before, after, "a step that is refused changes nothing");
        }

        /// As a gateway that has read the file does.
        async fn node_follows(&self, id: &str) {
            let key = MasterKey::read(&self.file).unwrap();
            let node = Directory::open(&self.url, &key).await.unwrap();
            node.node_runs(id, id, self.now).await.unwrap();
            node.close().await;
        }
    }

    const RETIRE: Verb = Verb::Retire {
        now: false,
        renew: false,
    };

    #[tokio::test]
    async fn steps_are_taken_in_their_order() {
        let bench = Bench::new().await;
        bench.refused(Verb::Use, "there is no new key").await;
        bench.refused(RETIRE, "no old key to let go of").await;
        assert_eq!(bench.step(Verb::Add).await, Ok("master_key_added"));
        bench.refused(Verb::Add, "not used yet").await;
        bench.refused(RETIRE, "not used yet").await;
        assert_eq!(bench.step(Verb::Use).await, Ok("master_key_used"));
        // Broken off or not, it may be said again.
        assert_eq!(bench.step(Verb::Use).await, Ok("master_key_used"));
        assert_eq!(bench.step(RETIRE).await, Ok("master_key_retired"));
        bench.refused(RETIRE, "no old key to let go of").await;
        assert_eq!(MasterKey::read(&bench.file).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_directory_on_which_no_gateway_ever_ran_takes_no_key_from_the_file() {
        let bench = Bench::new().await;
        bench.step(Verb::Add).await.unwrap();
        let gone = bench.directory.remove_signing_key("first").await;
        assert!(gone.unwrap());
        bench.refused(Verb::Use, "no gateway ever ran").await;
        bench.refused(RETIRE, "no gateway ever ran").await;
    }

    #[tokio::test]
    async fn no_step_is_taken_before_every_gateway_can_follow() {
        let bench = Bench::new().await;
        bench.node_follows("north").await;
        bench.node_follows("south").await;
        bench.step(Verb::Add).await.unwrap();
        bench.node_follows("north").await;
        bench.refused(Verb::Use, "yet: south. Bring").await;
        bench.node_follows("south").await;
        bench.step(Verb::Use).await.unwrap();
        bench.node_follows("south").await;
        bench.refused(RETIRE, "old key: north. Bring").await;
        bench.node_follows("north").await;
        bench.step(RETIRE).await.unwrap();
    }

    #[tokio::test]
    async fn a_gateway_that_is_gone_holds_nothing_up() {
        let mut bench = Bench::new().await;
        bench.node_follows("north").await;
        bench.step(Verb::Add).await.unwrap();
        bench.refused(Verb::Use, "north").await;
        bench.now = NOW.plus(Duration::from_secs(61));
        bench.step(Verb::Use).await.unwrap();
    }

    #[tokio::test]
    async fn sign_ons_to_applications_outlive_the_key_that_sealed_them() {
        let mut bench = Bench::new().await;
        bench.keeps_sign_ons = true;
        bench.step(Verb::Add).await.unwrap();
        bench.step(Verb::Use).await.unwrap();
        bench.now = NOW.plus(SIGN_ONS_LIVE - Duration::from_secs(1));
        let until = NOW.plus(SIGN_ONS_LIVE).to_rfc3339();
        bench.refused(RETIRE, &until).await;
        bench.now = NOW.plus(SIGN_ONS_LIVE);
        bench.step(RETIRE).await.unwrap();

        let mut bench = Bench::new().await;
        bench.keeps_sign_ons = true;
        bench.step(Verb::Add).await.unwrap();
        bench.step(Verb::Use).await.unwrap();
        let at_once = Verb::Retire {
            now: true,
            renew: false,
        };
        bench.step(at_once).await.unwrap();
    }

    #[tokio::test]
    async fn after_a_theft_nothing_comes_from_the_old_key() {
        let bench = Bench::new().await;
        let derived = async || {
            let key = MasterKey::read(&bench.file).unwrap();
            let node = Directory::open(&bench.url, &key).await.unwrap();
            node.derived_key(Purpose::SessionTokens)
        };
        let before = derived().await;
        bench.step(Verb::Add).await.unwrap();
        bench.step(Verb::Use).await.unwrap();
        assert_eq!(derived().await, before);
        let renew = Verb::Retire {
            now: false,
            renew: true,
        };
        bench.step(renew).await.unwrap();
        let after = derived().await;
        assert_ne!(after, before);
        assert_eq!(derived().await, after);
    }

    const RENEW: Verb = Verb::Retire {
        now: false,
        renew: true,
    };

    /// What a gateway that starts now derives its cookies from.
    async fn tokens(bench: &Bench) -> zeroize::Zeroizing<[u8; 32]> {
        let key = MasterKey::read(&bench.file).unwrap();
        let node = Directory::open(&bench.url, &key).await.unwrap();
        node.derived_key(Purpose::SessionTokens)
    }

    /// Wherever it was broken off, saying it again ends where saying it once does.
    #[tokio::test]
    async fn a_renewal_that_was_broken_off_is_said_again() {
        let whole = Bench::new().await;
        let before = tokens(&whole).await;
        for verb in [Verb::Add, Verb::Use, RENEW] {
            whole.step(verb).await.unwrap();
        }
        let wanted = tokens(&whole).await;
        assert_ne!(wanted, before);
        let noted = whole.noted();
        assert!(
            noted
                .iter()
                .any(|line| line.ends_with(": what is derived is made anew")),
            "{noted:?}"
        );
        // It was whole, and whoever was not told that says it again.
        assert_eq!(whole.step(RENEW).await, Ok("master_key_retired"));
        assert_eq!(tokens(&whole).await, wanted);

        // What is derived is new, and the file is not written yet.
        let bench = Bench::new().await;
        bench.step(Verb::Add).await.unwrap();
        bench.step(Verb::Use).await.unwrap();
        let both = MasterKey::read(&bench.file).unwrap();
        let node = Directory::open(&bench.url, &both).await.unwrap();
        node.renew_derived_keys(&both.newest_alone().unwrap())
            .await
            .unwrap();
        assert_eq!(
            tokens(&bench).await,
            wanted,
            "whoever starts meanwhile has them too"
        );
        bench.step(RENEW).await.unwrap();
        assert_eq!(tokens(&bench).await, wanted);
        assert_eq!(MasterKey::read(&bench.file).unwrap().count(), 1);

        // The other way round: the file is written, and what is derived is as it was.
        let bench = Bench::new().await;
        bench.step(Verb::Add).await.unwrap();
        bench.step(Verb::Use).await.unwrap();
        let both = MasterKey::read(&bench.file).unwrap();
        both.newest_alone().unwrap().replace(&bench.file).unwrap();
        assert_eq!(tokens(&bench).await, before);
        bench.step(RENEW).await.unwrap();
        assert_eq!(tokens(&bench).await, wanted);

        // No other key ever took over: nothing would be renewed.
        let bench = Bench::new().await;
        bench.refused(RENEW, "no old key to let go of").await;
    }

    #[tokio::test]
    async fn a_key_stays_while_anything_needs_it() {
        let bench = Bench::new().await;
        // Under a key that is known to nobody, as after rows were brought from elsewhere.
        let raw = sqlx::SqlitePool::connect(&bench.url).await.unwrap();
        let kim = PersonId::parse("kim").unwrap();
        for text in [
            "INSERT INTO companies (id, name) VALUES ('acme', 'Acme')",
            "INSERT INTO people (id, company_id, name, email, roles, grants, search) \
             VALUES ('kim', 'acme', 'Kim', 'kim@acme.example', '[]', '[]', '')",
        ] {
            sqlx::query(text).execute(&raw).await.unwrap();
        }
        let factor = bench.directory.add_totp(&kim, b"secret", 1, NOW).await;
        let factor = factor.unwrap().unwrap();
        sqlx::query("UPDATE factors SET secret = X'0102030405' || secret")
            .execute(&raw)
            .await
            .unwrap();
        bench.step(Verb::Add).await.unwrap();
        bench.noted();
        let told = bench.step(Verb::Use).await.unwrap_err();
        assert!(
            told.contains(&format!("factors {} kim", factor.id)),
            "{told}"
        );
        let noted = bench.noted();
        assert!(
            noted.len() == 2
                && noted[0].ends_with(": seals from now on")
                && noted[1].contains(": broken off, 1 secrets"),
            "the key is another, so the trail says so: {noted:?}"
        );
        bench.refused(RETIRE, "The old key stays").await;
        assert_eq!(bench.noted(), [""; 0], "nothing was changed");
        bench.directory.remove_factors(&kim).await.unwrap();
        bench.step(Verb::Use).await.unwrap();
        bench.step(RETIRE).await.unwrap();
    }
}
