//! Where attempts are counted: in the session store, so on all nodes together, each count one
//! atomic change. What a count means is the gate's.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::language::words;
use super::trouble::Trouble;
use super::visit::Visit;
use super::{State, known};
use crate::gate::name::{PersonId, ProductId, plain};
use crate::gate::policy::FactorMethod;
use crate::gate::throttle::{
    ACCOUNT_AND_ADDRESS, ACCOUNT_FROM_STRANGERS, ADDRESS, Attempts, Cap, FACTOR_CODES,
    KNOWN_BROWSER, KNOWN_BROWSERS, LINKS_TO_NAME, Rule, Verdict, attempt, factor_key, give_back,
    is_stopped, wait, within,
};
use crate::gate::time::Moment;
use crate::sessions::store::Store;

/// How long an address stays known to an account after a sign-in.
const FAMILIAR_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Between two lines that name who had to wait.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// How often a count is tried again when others count at the same moment.
const ROUNDS: usize = 64;

/// What one password attempt is counted under.
pub struct PasswordAttempt {
    /// By this browser's note of the account, where it has one: then by nothing else.
    noted: Option<Noted>,
    pub(super) pair: String,
    pub(super) address: String,
    pub(super) account: String,
    familiar: String,
}

struct Noted {
    own: String,
    /// Of all browsers with a note of the account.
    all: String,
}

impl PasswordAttempt {
    /// At the product that people sign in with. `account` is the canonical login, whether it exists
    /// or not.
    pub fn new(state: &State, visit: &Visit, account: &str, now: Moment) -> PasswordAttempt {
        let note = known::note(state, visit, account, now);
        PasswordAttempt {
            noted: note.map(|note| Noted {
                own: key("known", &[account, &note]),
                all: known_browsers(account),
            }),
            ..PasswordAttempt::of_strangers(account, &visit.network())
        }
    }

    /// The same in a browser that nobody knows. Spellings that another system may take for one count
    /// together for strangers. What a success clears or opens is that login's alone: whoever owns the
    /// other spelling must not clear this one's.
    pub(super) fn of_strangers(account: &str, network: &str) -> PasswordAttempt {
        PasswordAttempt {
            noted: None,
            pair: key("pair", &[account, network]),
            address: key("address", &[network]),
            account: key("account", &[&plain(account)]),
            familiar: key("familiar", &[account, network]),
        }
    }

    /// At an account of another product than the one that people sign in with: counted apart, so
    /// that guesses there shut nobody out of the sign-in, nor the other way round.
    pub fn at(product: &ProductId, account: &str, network: &str) -> PasswordAttempt {
        let product = product.as_str();
        PasswordAttempt {
            noted: None,
            pair: key("pair", &[product, account, network]),
            address: key("address", &[product, network]),
            account: key("account", &[product, &plain(account), ""]),
            familiar: key("familiar", &[product, account, network]),
        }
    }

    /// Counts the attempt, before anything is hashed.
    ///
    /// # Errors
    /// 429 when it has to wait.
    pub async fn count(&self, state: &State, now: Moment) -> Result<(), Trouble> {
        let store = state.sessions.store().as_ref();
        let familiar = store.state(&self.familiar, now).await?.is_some();
        let counts = self.counts(familiar);
        // What may not go is not counted anywhere: an account that waits is no guess of the address's.
        // Counting and taking back would start the waits of the others anew.
        for (key, rule) in &counts {
            let known = store.state(key, now).await?;
            let left = wait(known.as_deref().and_then(Attempts::from_json), rule, now);
            if !left.is_zero() {
                return Err(too_many(left));
            }
        }
        let mut counted: Vec<(&str, Limit<'_>)> = Vec::new();
        for (key, rule) in counts {
            let limit = Limit::Rule(rule);
            let wait = match count(store, key, &limit, now).await?.0 {
                Verdict::Go => {
                    counted.push((key, limit));
                    continue;
                }
                Verdict::Wait(wait) => wait,
                Verdict::Stopped => rule.longest_wait,
            };
            // Another's attempt came in between.
            for (key, limit) in &counted {
                returned(store, key, limit, now).await?;
            }
            return Err(too_many(wait));
        }
        Ok(())
    }

    /// `familiar`: the account was signed in to from this address before.
    fn counts(&self, familiar: bool) -> Vec<(&str, &'static Rule)> {
        if let Some(noted) = &self.noted {
            return vec![
                (noted.own.as_str(), &KNOWN_BROWSER),
                (noted.all.as_str(), &KNOWN_BROWSERS),
            ];
        }
        let mut counts: Vec<(&str, &'static Rule)> = vec![
            (self.pair.as_str(), &ACCOUNT_AND_ADDRESS),
            (self.address.as_str(), &ADDRESS),
        ];
        if !familiar {
            counts.push((self.account.as_str(), &ACCOUNT_FROM_STRANGERS));
        }
        counts
    }

    /// The password was right: the count of this browser, or of the pair, is cleared, and the address is
    /// known to the account. The shared counts get back this attempt and no more, or one own account
    /// would pay for guesses at others.
    pub async fn succeed(&self, state: &State, now: Moment) -> Result<(), Trouble> {
        let store = state.sessions.store();
        for (place, (key, rule)) in self.counts(false).into_iter().enumerate() {
            if place == 0 {
                store.take_state(key, now).await?;
            } else {
                returned(store.as_ref(), key, &Limit::Rule(rule), now).await?;
            }
        }
        let before = store.state(&self.familiar, now).await?;
        store
            .swap_state(
                &self.familiar,
                before.as_deref(),
                Some(b"1"),
                FAMILIAR_FOR,
                now,
            )
            .await?;
        Ok(())
    }

    /// Whether nobody was told within a minute that this had to wait: the first line names the person
    /// and is kept with theirs, or anybody could fill the directory with lines by asking on.
    pub async fn is_told_first(&self, state: &State, now: Moment) -> bool {
        let told = match &self.noted {
            Some(noted) => format!("{}:told", noted.own),
            None => format!("{}:told", self.account),
        };
        is_first(state, &told, now).await
    }

    /// Nobody could say whether the password was right: the attempt counts against nobody.
    pub async fn give_back(&self, state: &State, now: Moment) -> Result<(), Trouble> {
        let store = state.sessions.store().as_ref();
        for (key, rule) in self.counts(false) {
            returned(store, key, &Limit::Rule(rule), now).await?;
        }
        Ok(())
    }
}

/// Whether nobody else came with this key within a minute.
pub async fn is_first(state: &State, key: &str, now: Moment) -> bool {
    let store = state.sessions.store();
    let first = store.swap_state(key, None, Some(b"1"), TOLD_EVERY, now);
    first.await.unwrap_or_default()
}

/// All attempts from browsers that the account was signed in to before.
pub(super) fn known_browsers(account: &str) -> String {
    key("known-all", &[account])
}

/// Counts a wish for a link by mail, made by anybody under a name, whether somebody has it or not.
/// False: enough of them are on their way, and the newest one still works. Nobody is refused for what
/// strangers ask in their name.
///
/// # Errors
/// 429 when this address, or this browser, has to wait.
pub async fn count_link(
    state: &State,
    visit: &Visit,
    name: &str,
    now: Moment,
) -> Result<bool, Trouble> {
    let store = state.sessions.store().as_ref();
    let note = known::note(state, visit, name, now);
    let (own, rule) = match &note {
        Some(note) => (key("forgot", &["known", name, note]), &KNOWN_BROWSER),
        None => (key("forgot", &["address", &visit.network()]), &ADDRESS),
    };
    match count(store, &own, &Limit::Rule(rule), now).await?.0 {
        Verdict::Go => {}
        Verdict::Wait(wait) => return Err(too_many(wait)),
        Verdict::Stopped => return Err(too_many(rule.longest_wait)),
    }
    // Whoever knew the password once may have any number of notes.
    let (all, rule) = match &note {
        Some(_) => (key("forgot", &["known-all", name]), &KNOWN_BROWSERS),
        None => (key("forgot", &["name", name]), &LINKS_TO_NAME),
    };
    let (verdict, _) = count(store, &all, &Limit::Rule(rule), now).await?;
    Ok(verdict == Verdict::Go)
}

/// Counts something costly that a person does while signed in, whatever address they come from.
///
/// # Errors
/// 429 when it has to wait.
pub async fn count_deed(
    state: &State,
    deed: &'static str,
    person: &PersonId,
    now: Moment,
) -> Result<(), Trouble> {
    let store = state.sessions.store().as_ref();
    let key = key(deed, &[person.as_str()]);
    match count(store, &key, &Limit::Rule(&ACCOUNT_FROM_STRANGERS), now)
        .await?
        .0
    {
        Verdict::Go => Ok(()),
        Verdict::Wait(wait) => Err(too_many(wait)),
        Verdict::Stopped => Err(too_many(ACCOUNT_FROM_STRANGERS.longest_wait)),
    }
}

/// Whether one more proof by a factor may be tried.
pub enum Counted {
    /// With this one, so many in a row have not been right yet.
    Go(u32),
    Wait(Duration),
    /// Too many in a row were wrong: this factor is locked until it is reset.
    Stopped,
}

/// Counts an attempt at one of a person's factors. Each has a count of its own: a lock on one must
/// not lock its owner out of the other.
pub async fn count_code(
    state: &State,
    person: &PersonId,
    method: FactorMethod,
    now: Moment,
) -> Result<Counted, Trouble> {
    let store = state.sessions.store().as_ref();
    let key = factor_key(person, method);
    let (verdict, after) = count(store, &key, &Limit::Rule(&FACTOR_CODES), now).await?;
    Ok(match verdict {
        Verdict::Go => Counted::Go(after.failures),
        Verdict::Wait(wait) => Counted::Wait(wait),
        Verdict::Stopped => Counted::Stopped,
    })
}

/// Whether this factor is locked by wrong codes. Counts nothing.
pub async fn is_locked(
    state: &State,
    person: &PersonId,
    method: FactorMethod,
    now: Moment,
) -> Result<bool, Trouble> {
    let store = state.sessions.store();
    let known = store.state(&factor_key(person, method), now).await?;
    let known = known.as_deref().and_then(Attempts::from_json);
    Ok(is_stopped(known, &FACTOR_CODES))
}

/// A code was right.
pub async fn code_succeeded(
    state: &State,
    person: &PersonId,
    method: FactorMethod,
    now: Moment,
) -> Result<(), Trouble> {
    state
        .sessions
        .store()
        .take_state(&factor_key(person, method), now)
        .await?;
    Ok(())
}

/// Another factor of the method stands in the place of the one that was guessed at, or none does
/// any more. That is done: where the store does not answer the count stays.
pub async fn lock_opened(state: &State, person: &PersonId, method: FactorMethod, now: Moment) {
    if let Err(trouble) = code_succeeded(state, person, method, now).await {
        tracing::warn!(%person, method = method.as_str(), ?trouble, "wrong codes are still counted");
    }
}

/// What something is counted by.
pub enum Limit<'a> {
    Rule(&'a Rule),
    Cap(Cap),
}

impl Limit<'_> {
    fn judge(&self, known: Option<Attempts>, now: Moment) -> (Verdict, Attempts) {
        match self {
            Limit::Rule(rule) => attempt(known, rule, now),
            Limit::Cap(cap) => within(known, cap, now),
        }
    }

    fn life(&self) -> Duration {
        match self {
            Limit::Rule(rule) => rule.life(),
            Limit::Cap(cap) => cap.span,
        }
    }

    fn first_wait(&self) -> Duration {
        match self {
            Limit::Rule(rule) => rule.first_wait,
            Limit::Cap(_) => Duration::from_secs(1),
        }
    }
}

pub async fn count(
    store: &dyn Store,
    key: &str,
    limit: &Limit<'_>,
    now: Moment,
) -> Result<(Verdict, Attempts), Trouble> {
    let mut last = None;
    for _ in 0..ROUNDS {
        let before = store.state(key, now).await?;
        let known = before.as_deref().and_then(Attempts::from_json);
        let (verdict, after) = limit.judge(known, now);
        if verdict != Verdict::Go {
            return Ok((verdict, after));
        }
        let swapped = store
            .swap_state(
                key,
                before.as_deref(),
                Some(&after.to_json()),
                limit.life(),
                now,
            )
            .await?;
        if swapped {
            return Ok((Verdict::Go, after));
        }
        last = Some(after);
    }
    // So many at the same key in the same moment is a flood by itself.
    let after = last.unwrap_or(Attempts {
        failures: 0,
        last_at: now,
        window_started_at: now,
    });
    Ok((Verdict::Wait(limit.first_wait()), after))
}

/// Losing this race leaves a count too high by one, which a busy address bears.
pub async fn returned(
    store: &dyn Store,
    key: &str,
    limit: &Limit<'_>,
    now: Moment,
) -> Result<(), Trouble> {
    let before = store.state(key, now).await?;
    let Some(attempts) = before.as_deref().and_then(Attempts::from_json) else {
        return Ok(());
    };
    let after = give_back(attempts).map(|attempts| attempts.to_json());
    store
        .swap_state(key, before.as_deref(), after.as_deref(), limit.life(), now)
        .await?;
    Ok(())
}

pub fn too_many(wait: Duration) -> Trouble {
    let wait = wait.max(Duration::from_secs(1));
    Trouble::new(429, "throttled")
        .saying(
            words().problem_429(),
            words().too_many_log_ins(),
            words().wait_then_try(&in_words(wait)),
        )
        .with_link("/login", words().back_to_log_in())
        .retry_after(wait)
}

/// Rounded up.
pub fn in_words(span: Duration) -> String {
    let secs = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    match secs {
        0..120 => words().seconds(secs),
        120..7200 => words().minutes(secs.div_ceil(60)),
        7200..172_800 => words().hours(secs.div_ceil(3600)),
        _ => words().days(secs.div_ceil(86_400)),
    }
}

/// Hashed: what a client typed never becomes part of a key.
pub fn key(kind: &str, parts: &[&str]) -> String {
    let hash = digest(&SHA256, parts.join("\0").as_bytes());
    format!("throttle:{kind}:{}", URL_SAFE_NO_PAD.encode(hash))
}
