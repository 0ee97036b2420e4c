//! Where attempts are counted: in the session store, so on all nodes together, each count one
//! atomic change. What a count means is the gate's.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::State;
use super::language::words;
use super::trouble::Trouble;
use crate::gate::name::{PersonId, ProductId};
use crate::gate::policy::FactorMethod;
use crate::gate::throttle::{
    ACCOUNT_AND_ADDRESS, ACCOUNT_FROM_STRANGERS, ADDRESS, Attempts, Cap, FACTOR_CODES, Rule,
    Verdict, attempt, factor_key, give_back, within,
};
use crate::gate::time::Moment;
use crate::sessions::store::Store;

/// How long an address stays known to an account after a sign-in.
const FAMILIAR_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How often a count is tried again when others count at the same moment.
const ROUNDS: usize = 64;

/// What one password attempt is counted under.
pub struct PasswordAttempt {
    pair: String,
    address: String,
    account: String,
    familiar: String,
}

impl PasswordAttempt {
    /// `account` is the canonical login, whether it exists or not.
    pub fn new(account: &str, network: &str) -> PasswordAttempt {
        PasswordAttempt {
            pair: key("pair", &[account, network]),
            address: key("address", &[network]),
            account: key("account", &[account]),
            familiar: key("familiar", &[account, network]),
        }
    }

    /// At an account of another product than the one that people sign in with: counted apart, so
    /// that guesses there shut nobody out of the sign-in, nor the other way round.
    pub fn at(product: &ProductId, account: &str, network: &str) -> PasswordAttempt {
        let product = product.as_str();
        PasswordAttempt {
            pair: key("pair", &[product, account, network]),
            address: key("address", &[product, network]),
            account: key("account", &[product, account, ""]),
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
        let account = (&self.account, &ACCOUNT_FROM_STRANGERS);
        let all = [
            (&self.pair, &ACCOUNT_AND_ADDRESS),
            (&self.address, &ADDRESS),
        ];
        for (key, rule) in all.into_iter().chain((!familiar).then_some(account)) {
            match count(store, key, &Limit::Rule(rule), now).await?.0 {
                Verdict::Go => {}
                Verdict::Wait(wait) => return Err(too_many(wait)),
                Verdict::Stopped => return Err(too_many(rule.longest_wait)),
            }
        }
        Ok(())
    }

    /// The password was right: the pair's count is cleared and the address is known to the account.
    /// The shared counts get back this attempt and no more, or one own account would pay for
    /// guesses at others.
    pub async fn succeed(&self, state: &State, now: Moment) -> Result<(), Trouble> {
        let store = state.sessions.store();
        store.take_state(&self.pair, now).await?;
        let store = store.as_ref();
        returned(store, &self.address, &Limit::Rule(&ADDRESS), now).await?;
        let strangers = Limit::Rule(&ACCOUNT_FROM_STRANGERS);
        returned(store, &self.account, &strangers, now).await?;
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
}

impl PasswordAttempt {
    /// Nobody could say whether the password was right: the attempt counts against nobody.
    pub async fn give_back(&self, state: &State, now: Moment) -> Result<(), Trouble> {
        let store = state.sessions.store().as_ref();
        let all = [
            (&self.pair, &ACCOUNT_AND_ADDRESS),
            (&self.address, &ADDRESS),
            (&self.account, &ACCOUNT_FROM_STRANGERS),
        ];
        for (key, rule) in all {
            returned(store, key, &Limit::Rule(rule), now).await?;
        }
        Ok(())
    }
}

/// Counts what anybody may ask for under a name, whether somebody has it or not: by name, and by
/// address.
///
/// # Errors
/// 429 when it has to wait.
pub async fn count_name(
    state: &State,
    deed: &'static str,
    name: &str,
    network: &str,
    now: Moment,
) -> Result<(), Trouble> {
    let store = state.sessions.store().as_ref();
    let all = [
        (key(deed, &["name", name]), &ACCOUNT_AND_ADDRESS),
        (key(deed, &["address", network]), &ADDRESS),
    ];
    for (key, rule) in all {
        match count(store, &key, &Limit::Rule(rule), now).await?.0 {
            Verdict::Go => {}
            Verdict::Wait(wait) => return Err(too_many(wait)),
            Verdict::Stopped => return Err(too_many(rule.longest_wait)),
        }
    }
    Ok(())
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
